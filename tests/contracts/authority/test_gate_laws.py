"""The laws: what passes, what contradicts itself, what is not there yet, and what a law cannot see."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from contracts.authority.evidence import EngineGateReceipt, Missing
from contracts.authority.gate_laws import FLAG_LIMIT_BYTES, check_gate
from contracts.authority.pack import EngineGate
from contracts.authority.run_files import ChangedFileError, Ledger
from tests.engine_bundles import (
    BUNDLE,
    CONCAT,
    RAW,
    SHAPES,
    Files,
    MemoryRunFiles,
    flag,
    gate_document,
    indexed,
    sha256,
    written_bundle,
)

MEMBERS = {"b.txt": b"second", "a/x.txt": b"first", "a-c.txt": b"third"}
"""In the index's order; in ASCII order the three are a-c.txt, a/x.txt, b.txt."""


def check(gate: Mapping[str, Any], files: Mapping[str, bytes]) -> EngineGateReceipt | Missing:
    return check_gate(EngineGate.model_validate(gate), {}, Ledger(MemoryRunFiles(files)))


def receipt(gate: Mapping[str, Any], files: Mapping[str, bytes]) -> EngineGateReceipt:
    made = check(gate, files)
    assert isinstance(made, EngineGateReceipt)
    return made


def test_a_bundle_is_its_files_bytes_in_ascii_order_one_after_another() -> None:
    gate = gate_document(law=BUNDLE)
    made = receipt(gate, written_bundle(gate, MEMBERS))
    assert made.passed
    assert made.observed == made.expected == sha256(b"third" + b"first" + b"second")
    assert [m.path for m in made.members] == ["bundle/a-c.txt", "bundle/a/x.txt", "bundle/b.txt"]
    assert (made.members[0].size_bytes, made.members[0].sha256) == (5, sha256(b"third"))


def test_member_digests_are_the_index_s_own_texts_in_its_order() -> None:
    gate = gate_document(law=CONCAT, ordering="index_order")
    made = receipt(gate, written_bundle(gate, MEMBERS))
    texts = sha256(b"second") + sha256(b"first") + sha256(b"third")
    assert made.passed
    assert made.observed == sha256(texts.encode())


def test_digests_are_put_together_as_they_are_written() -> None:
    gate = gate_document(law=CONCAT, ordering="index_order")
    text = f"sha256:{sha256(b'x').upper()}"
    files = {
        "bundle/x": b"x",
        "bundle/index.json": indexed([{"path": "x", "digest": text}], "items"),
        "bundle/_passed.flag": flag(sha256(text.encode())),
    }
    assert receipt(gate, files).passed


def test_listed_bytes_in_ascii_order_whatever_the_index_s_order() -> None:
    gate = gate_document(law=RAW)
    made = receipt(gate, written_bundle(gate, MEMBERS))
    assert made.passed
    assert made.observed == sha256(b"third" + b"first" + b"second")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("path_base", ["bundle_root", "run_root"])
@pytest.mark.parametrize("ordering", ["ascii_lex", "index_order"])
@pytest.mark.parametrize("law", [BUNDLE, CONCAT, RAW])
@pytest.mark.parametrize("json_flag", [False, True], ids=["text", "json"])
def test_every_law_in_every_form_passes_what_an_engine_writes(
    law: str, ordering: str, path_base: str, shape: str, json_flag: bool
) -> None:
    gate = gate_document(law=law, indexed=True, json_flag=json_flag, ordering=ordering, path_base=path_base)
    made = receipt(gate, written_bundle(gate, MEMBERS, shape))
    assert (made.passed, made.problem, made.failing_member) == (True, None, None)
    assert made.flag is not None
    assert made.index is not None


def test_excluded_names_are_no_members_wherever_they_lie() -> None:
    gate = gate_document(law=BUNDLE, exclude_filenames=["_passed.flag", "index.json", "log.txt"])
    files = written_bundle(gate, MEMBERS) | {"bundle/deep/log.txt": b"noise", "bundle/deep/index.json": b"{}"}
    made = receipt(gate, files)
    assert made.passed
    assert "bundle/deep/log.txt" not in {m.path for m in made.members}


def test_an_index_may_list_what_is_excluded() -> None:
    gate = gate_document(law=RAW)
    files = written_bundle(gate, MEMBERS)
    items = [{"path": path} for path in (*MEMBERS, "index.json", "_passed.flag")]
    assert receipt(gate, files | {"bundle/index.json": indexed(items, "files")}).passed


# --- what contradicts itself ---

ALTERED: dict[str, tuple[str, dict[str, Any], Callable[[Files], Any], str | None]] = {
    "a member altered, bundle": (BUNDLE, {}, lambda f: f.update({"bundle/b.txt": b"Second"}), None),
    "a member altered, digests": (CONCAT, {}, lambda f: f.update({"bundle/b.txt": b"Second"}), "bundle/b.txt"),
    "a member altered, raw": (RAW, {}, lambda f: f.update({"bundle/b.txt": b"Second"}), None),
    "a member more, bundle": (BUNDLE, {}, lambda f: f.update({"bundle/new": b"!"}), None),
    "a member more, covered": (RAW, {"covers_folder": True}, lambda f: f.update({"bundle/z": b"!"}), "bundle/z"),
    "a member less, bundle": (BUNDLE, {}, lambda f: f.pop("bundle/b.txt"), None),
    "a member less, digests": (CONCAT, {}, lambda f: f.pop("bundle/b.txt"), "bundle/b.txt"),
    "a member less, raw": (RAW, {}, lambda f: f.pop("bundle/a/x.txt"), "bundle/a/x.txt"),
    "renamed so that the order changes": (
        BUNDLE,
        {},
        lambda f: f.update({"bundle/0.txt": f.pop("bundle/b.txt")}),
        None,
    ),
    "a flag of another run": (BUNDLE, {}, lambda f: f.update({"bundle/_passed.flag": flag("0" * 64)}), None),
    "an empty flag": (BUNDLE, {}, lambda f: f.update({"bundle/_passed.flag": b""}), "bundle/_passed.flag"),
    "an empty index": (RAW, {}, lambda f: f.update({"bundle/index.json": b"[]"}), "bundle/index.json"),
    "half an index": (RAW, {}, lambda f: f.update({"bundle/index.json": b'{"files": ['}), "bundle/index.json"),
}


@pytest.mark.parametrize(("law", "options", "alter", "member"), ALTERED.values(), ids=ALTERED.keys())
def test_what_differs_does_not_pass_and_the_member_is_named_where_it_can_be(
    law: str, options: dict[str, Any], alter: Callable[[Files], Any], member: str | None
) -> None:
    gate = gate_document(law=law, **options)
    files = written_bundle(gate, MEMBERS)
    assert receipt(gate, files).passed
    alter(files)
    made = receipt(gate, files)
    assert not made.passed
    assert made.problem
    assert made.failing_member == member


def test_expected_is_what_the_flag_says_and_observed_what_was_found() -> None:
    gate = gate_document(law=BUNDLE)
    files = written_bundle(gate, {"a": b"a"}) | {"bundle/a": b"A"}
    made = receipt(gate, files)
    assert (made.expected, made.observed) == (sha256(b"a"), sha256(b"A"))
    assert made.problem == "the flag states another digest than the law gives"


@pytest.mark.parametrize("law", [CONCAT, RAW, BUNDLE])
def test_the_index_s_order_counts_where_the_law_says_so(law: str) -> None:
    gate = gate_document(law=law, indexed=True, ordering="index_order")
    files = written_bundle(gate, MEMBERS)
    document = json.loads(files["bundle/index.json"])
    document["files"].reverse()
    files["bundle/index.json"] = json.dumps(document).encode()
    assert not receipt(gate, files).passed


def test_a_digest_in_the_index_must_be_the_file_s_also_where_the_law_is_over_bytes() -> None:
    gate = gate_document(law=RAW)
    files = written_bundle(gate, {"a": b"a", "b": b"b"})
    items = [{"path": "a", "sha256": sha256(b"a")}, {"path": "b", "sha256": sha256(b"a")}]
    made = receipt(gate, files | {"bundle/index.json": indexed(items, "files")})
    assert (made.passed, made.failing_member) == (False, "bundle/b")


def test_a_size_in_the_index_tells_which_member_it_may_be() -> None:
    gate = gate_document(law=RAW)
    files = written_bundle(gate, {"a": b"a", "b": b"b"})
    items = [{"path": "a", "size_bytes": 1}, {"path": "b", "size_bytes": 1}]
    made = receipt(gate, files | {"bundle/index.json": indexed(items, "files"), "bundle/b": b"longer"})
    assert (made.passed, made.failing_member) == (False, "bundle/b")


def test_the_law_over_digests_needs_one_for_each_member() -> None:
    gate = gate_document(law=CONCAT)
    files = written_bundle(gate, {"a": b"a"}) | {"bundle/index.json": indexed([{"path": "a"}], "files")}
    made = receipt(gate, files)
    assert (made.passed, made.failing_member) == (False, "bundle/a")
    assert made.problem == "the index states no digest, and the law is over digests"


@pytest.mark.parametrize(
    "path", ["../outside", "/etc/passwd", "a/../../outside", "a//b", "./../x", "a/.", "a\\b", "..", "a/"]
)
def test_a_listed_path_that_leaves_the_root_is_never_opened(path: str) -> None:
    gate = gate_document(law=RAW)
    files = written_bundle(gate, {"a": b"a"}) | {"bundle/index.json": indexed([{"path": path}], "files")}
    root = MemoryRunFiles(files | {"outside": b"", "bundle/../outside": b""})
    made = check_gate(EngineGate.model_validate(gate), {}, Ledger(root))
    assert isinstance(made, EngineGateReceipt)
    assert not made.passed
    assert "leaves the run root" in str(made.problem)
    assert root.opened == []


def test_a_file_listed_twice_is_refused() -> None:
    gate = gate_document(law=RAW)
    files = written_bundle(gate, {"a": b"a"}) | {"bundle/index.json": indexed(["a", "./a"], "files")}
    made = receipt(gate, files)
    assert (made.problem, made.failing_member) == ("the index lists a file twice", "bundle/a")


def test_an_index_of_excluded_files_only_shows_nothing() -> None:
    gate = gate_document(law=RAW)
    files = written_bundle(gate, {"a": b"a"}) | {"bundle/index.json": indexed(["index.json"], "files")}
    assert "a gate over nothing shows nothing" in str(receipt(gate, files).problem)


def test_a_flag_as_large_as_data_is_no_flag() -> None:
    gate = gate_document(law=BUNDLE)
    files = written_bundle(gate, {"a": b"a"})
    files["bundle/_passed.flag"] += b" " * FLAG_LIMIT_BYTES
    made = receipt(gate, files)
    assert made.failing_member == "bundle/_passed.flag"
    assert "larger than 65536 bytes" in str(made.problem)


def test_a_file_that_changes_while_gates_look_at_it_passes_none() -> None:
    class Restless(MemoryRunFiles):
        def open(self, path: str) -> Any:
            self.files[path] += b"!"
            return super().open(path)

    gate = gate_document(law=BUNDLE)
    ledger = Ledger(Restless(written_bundle(gate, {"a": b"a"})))
    ledger.member("bundle/a")
    made = check_gate(EngineGate.model_validate(gate), {}, ledger)
    assert isinstance(made, EngineGateReceipt)
    assert not made.passed
    assert made.failing_member == "bundle/a"
    assert "a moment ago" in str(made.problem)
    with pytest.raises(ChangedFileError):
        ledger.read_into("bundle/a", None)


# --- what is not there yet ---


@pytest.mark.parametrize("law", [BUNDLE, CONCAT, RAW])
def test_without_its_flag_a_gate_waits_whatever_else_is_wrong(law: str) -> None:
    gate = gate_document(law=law)
    files = written_bundle(gate, MEMBERS) | {"bundle/b.txt": b"altered", "bundle/index.json": b"?"}
    del files["bundle/_passed.flag"]
    assert check(gate, files) == Missing(kind="flag", subject="g", path="bundle/_passed.flag")


def test_without_its_bundle_a_gate_waits() -> None:
    gate = gate_document(law=BUNDLE)
    files = {"bundle/_passed.flag": flag("0" * 64), "bundle/index.json": b"[]", "bundle-2/a": b"not below it"}
    assert check(gate, files) == Missing(kind="bundle", subject="g", path="bundle/")


@pytest.mark.parametrize("law", [CONCAT, RAW])
def test_without_its_index_a_gate_waits(law: str) -> None:
    gate = gate_document(law=law)
    files = written_bundle(gate, MEMBERS)
    del files["bundle/index.json"]
    assert check(gate, files) == Missing(kind="bundle", subject="g", path="bundle/index.json")


# --- what a law cannot see, and the receipt does ---


def test_bytes_that_move_from_one_member_to_the_next_pass_the_law_and_change_the_receipt() -> None:
    gate = gate_document(law=BUNDLE)
    before = receipt(gate, written_bundle(gate, {"a": b"one", "b": b"two"}))
    files = written_bundle(gate, {"a": b"one", "b": b"two"}) | {"bundle/a": b"onet", "bundle/b": b"wo"}
    after = receipt(gate, files)
    assert before.passed
    assert after.passed
    assert before.observed == after.observed
    assert [m.size_bytes for m in before.members] == [3, 3]
    assert [m.size_bytes for m in after.members] == [4, 2]
    assert before != after


def test_a_renamed_member_passes_the_law_and_changes_the_receipt() -> None:
    gate = gate_document(law=BUNDLE)
    files = written_bundle(gate, {"a": b"one", "b": b"two"})
    before = receipt(gate, files)
    files["bundle/c"] = files.pop("bundle/b")
    after = receipt(gate, files)
    assert after.passed
    assert before.members != after.members


def test_an_unlisted_file_passes_a_law_that_does_not_cover_the_folder() -> None:
    gate = gate_document(law=RAW)
    files = written_bundle(gate, MEMBERS) | {"bundle/extra": b"unlisted"}
    made = receipt(gate, files)
    assert made.passed
    assert "bundle/extra" not in {m.path for m in made.members}


def test_pins_name_the_bundle() -> None:
    gate = gate_document(law=BUNDLE, root="w/{manifest_fingerprint}")
    files = written_bundle(gate_document(law=BUNDLE, root="w/m1"), {"a": b"a"})
    made = check_gate(EngineGate.model_validate(gate), {"manifest_fingerprint": "m1"}, Ledger(MemoryRunFiles(files)))
    assert isinstance(made, EngineGateReceipt)
    assert (made.passed, made.bundle_root, made.scope) == (True, "w/m1", {"manifest_fingerprint": "m1"})


def test_the_run_root_itself_may_be_the_bundle() -> None:
    gate = gate_document(law=BUNDLE) | {"bundle_root": ".", "flag": {"path": "_passed.flag"}}
    files = {"a": b"a", "b/c": b"c", "_passed.flag": flag(sha256(b"ac"))}
    assert receipt(gate, files).passed
