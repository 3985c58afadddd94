"""Evidence: complete exactly when every gate's law gives the flag's digest and every output is there."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from contracts.authority.evidence import Evidence, EvidenceState, InstanceReceipt, Role
from contracts.authority.instance_receipts import receipt_key
from contracts.authority.pack import EnginePack
from contracts.authority.pack_reader import read_pack
from contracts.authority.pins import Pins
from contracts.authority.reasons import ReasonCode
from contracts.errors import StoreError
from resources.authority.evidence_reader import assemble_evidence, read_oracle_pack
from resources.authority.instance_receipts import commit_instance_receipts
from resources.authority.run_roots import RunRoot, open_run_root
from resources.object_store import LocalObjectStore, ObjectStore
from tests.engine_bundles import (
    BUNDLE,
    LAWS,
    SHAPES,
    Files,
    MemoryRunFiles,
    flag,
    gate_document,
    law_digest,
    put,
    sha256,
    written_bundle,
)
from tests.engine_packs import output_document

PINS = Pins(manifest_fingerprint="m1", parameter_hash="p1", seed=42, scenario_id="s1")
SEEDED = ["manifest_fingerprint", "seed"]


def pack_of(outputs: Sequence[dict[str, Any]], gates: Sequence[dict[str, Any]]) -> EnginePack:
    catalogue = {"format": "hashgate/engine-catalogue/v1", "engine": "e", "outputs": list(outputs)}
    gate_map = {"format": "hashgate/engine-gates/v1", "gates": list(gates)}
    files = {"catalogue.yaml": catalogue, "gates.yaml": gate_map}
    made, problems = read_pack("e", {name: json.dumps(document).encode() for name, document in files.items()})
    assert problems == []
    assert made is not None
    return made


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return LocalObjectStore(tmp_path / "store")


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> ObjectStore:
    """For what is only assembled, and keeps no receipt."""
    return LocalObjectStore(tmp_path_factory.mktemp("empty"))


def gathered(
    pack: EnginePack,
    files: Files | RunRoot,
    store: ObjectStore,
    *,
    wanted: Sequence[str] | None = None,
    pins: Pins = PINS,
    traffic: Sequence[str] = (),
) -> Evidence:
    root = MemoryRunFiles(files) if isinstance(files, dict) else files
    evidence = assemble_evidence(
        pack,
        list(pack.outputs) if wanted is None else wanted,
        pins,
        root,
        policy_revision="revision",
        store=store,
        traffic_outputs=traffic,
    )
    assert Evidence.model_validate(evidence.model_dump()) == evidence, "evidence keeps its own schema"
    return evidence


def codes(evidence: Evidence) -> list[ReasonCode]:
    return [reason.code for reason in evidence.reasons]


def simple() -> tuple[EnginePack, Files]:
    """One output whose file is a member of its gate's bundle."""
    gate = gate_document(law=BUNDLE)
    pack = pack_of([output_document(path="bundle/o.csv")], [gate])
    return pack, written_bundle(gate, {"o.csv": b"1,2\n", "stats.json": b"{}"})


# --- what it comes to ---


def test_all_there_and_all_passed_is_complete(store: ObjectStore) -> None:
    pack, files = simple()
    evidence = gathered(pack, files, store, traffic=["o"])
    assert (evidence.state, evidence.reasons, evidence.missing) == (EvidenceState.COMPLETE, (), ())
    (locator,) = evidence.locators
    assert (locator.output_id, locator.path, locator.gates, locator.role) == ("o", "bundle/o.csv", ("g",), Role.TRAFFIC)
    assert locator.scope == {"manifest_fingerprint": "m1"}
    assert locator.content_digest.hex == sha256(b"1,2\n") == locator.members[0].sha256
    (receipt,) = evidence.gate_receipts
    assert [(m.path, m.size_bytes, m.sha256) for m in receipt.members] == [
        ("bundle/o.csv", 4, sha256(b"1,2\n")),
        ("bundle/stats.json", 2, sha256(b"{}")),
    ]


def test_an_output_that_policy_does_not_list_as_traffic_is_none(store: ObjectStore) -> None:
    assert gathered(*simple(), store).locators[0].role is Role.NON_TRAFFIC


@pytest.mark.parametrize(
    ("gone", "kind", "subject"),
    [
        (["bundle/_passed.flag"], "flag", "g"),
        (["bundle/o.csv", "bundle/stats.json"], "bundle", "g"),
    ],
)
def test_what_is_not_there_is_waited_for(gone: list[str], kind: str, subject: str, store: ObjectStore) -> None:
    pack, files = simple()
    evidence = gathered(pack, {path: data for path, data in files.items() if path not in gone}, store)
    assert evidence.state is EvidenceState.WAITING
    assert (evidence.missing[0].kind, evidence.missing[0].subject) == (kind, subject)
    assert set(codes(evidence)) == {ReasonCode.EVIDENCE_MISSING}
    assert evidence.locators == ()


def test_an_output_beside_its_bundle_is_waited_for(store: ObjectStore) -> None:
    gate = gate_document(law=BUNDLE)
    pack = pack_of([output_document(path="data/o.csv")], [gate])
    evidence = gathered(pack, written_bundle(gate, {"a": b"a"}), store)
    assert evidence.state is EvidenceState.WAITING
    assert [(m.kind, m.subject, m.path) for m in evidence.missing] == [("output", "o", "data/o.csv")]
    assert evidence.reasons[0].sentence == (
        "EVIDENCE_MISSING: o, at data/o.csv: expected the output at data/o.csv, observed nothing there. "
        "The engine has not written it, or not yet."
    )


def test_an_altered_member_is_a_conflict_with_both_digests(store: ObjectStore) -> None:
    pack, files = simple()
    expected = sha256(b"1,2\n{}")
    evidence = gathered(pack, files | {"bundle/o.csv": b"1,3\n"}, store)
    assert evidence.state is EvidenceState.CONFLICT
    (reason,) = evidence.reasons
    assert (reason.code, reason.subject, reason.expected) == (ReasonCode.EVIDENCE_CONFLICT, "g", expected)
    assert str(reason.observed).startswith(sha256(b"1,3\n{}"))
    assert evidence.locators == ()


def test_a_contradiction_outweighs_what_is_missing(store: ObjectStore) -> None:
    first, second = gate_document("g1", root="b1"), gate_document("g2", root="b2", authorizes=["p"])
    pack = pack_of([output_document("o", "b1/o"), output_document("p", "b2/p")], [first, second])
    files = written_bundle(first, {"o": b"o"}) | {"b1/o": b"altered"}
    evidence = gathered(pack, files, store)
    assert evidence.state is EvidenceState.CONFLICT
    assert codes(evidence)[0] is ReasonCode.EVIDENCE_CONFLICT
    assert ReasonCode.EVIDENCE_MISSING in codes(evidence)


def test_a_gate_upstream_that_did_not_pass_lets_nothing_through(store: ObjectStore) -> None:
    up, down = gate_document("up", root="b1", authorizes=["o"]), gate_document("down", root="b2", authorizes=["p"])
    down["upstream"] = ["up"]
    pack = pack_of([output_document("o", "b1/o"), output_document("p", "b2/p")], [up, down])
    files = written_bundle(up, {"o": b"o"}) | written_bundle(down, {"p": b"p"})
    assert gathered(pack, files, store, wanted=["p"]).locators[0].gates == ("up", "down")
    altered = gathered(pack, files | {"b1/o": b"altered"}, store, wanted=["p"])
    assert (altered.state, altered.locators) == (EvidenceState.CONFLICT, ())
    del files["b1/_passed.flag"]
    waiting = gathered(pack, files, store, wanted=["p"])
    assert (waiting.state, waiting.locators) == (EvidenceState.WAITING, ())


def test_what_nobody_wants_is_not_looked_at(store: ObjectStore) -> None:
    first, second = gate_document("g1", root="b1"), gate_document("g2", root="b2", authorizes=["p"])
    pack = pack_of([output_document("o", "b1/o"), output_document("p", "b2/p")], [first, second])
    files = written_bundle(first, {"o": b"o"}) | written_bundle(second, {"p": b"p"}) | {"b2/p": b"altered"}
    evidence = gathered(pack, files, store, wanted=["o"])
    assert evidence.state is EvidenceState.COMPLETE
    assert [receipt.gate_id for receipt in evidence.gate_receipts] == ["g1"]


def test_an_unknown_output_fails(store: ObjectStore) -> None:
    evidence = gathered(*simple(), store, wanted=["o", "nope"])
    assert (evidence.state, codes(evidence)) == (EvidenceState.FAIL, [ReasonCode.UNKNOWN_OUTPUT_ID])
    assert evidence.locators == ()


def test_an_unknown_gate_fails(store: ObjectStore) -> None:
    pack, files = simple()
    gate = pack.gates["g"].model_copy(update={"upstream": ("gone",)})
    broken = pack.model_copy(update={"gate_map": pack.gate_map.model_copy(update={"gates": (gate,)})})
    fresh = EnginePack.model_validate(broken.model_dump())
    evidence = gathered(fresh, files, store)
    assert (evidence.state, codes(evidence)) == (EvidenceState.FAIL, [ReasonCode.UNKNOWN_GATE_ID])


# --- optional outputs ---


def optional() -> tuple[EnginePack, Files]:
    must, may = gate_document("g1", root="b1"), gate_document("g2", root="b2", authorizes=["p"])
    outputs = [output_document("o", "b1/o"), output_document("p", "b2/p", availability="optional")]
    return pack_of(outputs, [must, may]), written_bundle(must, {"o": b"o"}) | written_bundle(may, {"p": b"p"})


def test_an_optional_output_that_is_there_is_taken(store: ObjectStore) -> None:
    evidence = gathered(*optional(), store)
    assert [locator.output_id for locator in evidence.locators] == ["o", "p"]


@pytest.mark.parametrize("gone", [["b2/p"], ["b2/_passed.flag"], ["b2/p", "b2/_passed.flag"]], ids="+".join)
def test_an_optional_output_that_is_not_there_never_blocks(gone: list[str], store: ObjectStore) -> None:
    pack, files = optional()
    evidence = gathered(pack, {path: data for path, data in files.items() if path not in gone}, store)
    assert (evidence.state, evidence.reasons) == (EvidenceState.COMPLETE, ())
    assert [locator.output_id for locator in evidence.locators] == ["o"]
    assert evidence.missing
    assert all(missing.optional for missing in evidence.missing)


def test_an_optional_output_that_contradicts_its_flag_is_a_conflict_all_the_same(store: ObjectStore) -> None:
    pack, files = optional()
    assert gathered(pack, files | {"b2/p": b"altered"}, store).state is EvidenceState.CONFLICT


# --- partitions, folders, patterns ---

SEGMENTED = {"path": "d/{segment}/*.csv", "partitions": [{"name": "segment", "values": ["x", "y"]}]}


def segmented(**fields: Any) -> tuple[EnginePack, Files]:
    gate = gate_document(root="b")
    files = written_bundle(gate, {"a": b"a"}) | {
        "d/x/1.csv": b"1",
        "d/x/2.csv": b"2",
        "d/y/1.csv": b"3",
        "d/y/no.txt": b"",
    }
    return pack_of([output_document(**{**SEGMENTED, **fields})], [gate]), files


def test_the_members_of_a_pattern_are_sorted_and_know_their_partition(store: ObjectStore) -> None:
    (locator,) = gathered(*segmented(), store).locators
    assert [(m.path, m.partition) for m in locator.members] == [
        ("d/x/1.csv", {"segment": "x"}),
        ("d/x/2.csv", {"segment": "x"}),
        ("d/y/1.csv", {"segment": "y"}),
    ]
    assert locator.path == "d/{segment}/*.csv"


def test_a_declared_partition_without_a_file_is_waited_for(store: ObjectStore) -> None:
    pack, files = segmented()
    del files["d/y/1.csv"]
    evidence = gathered(pack, files, store)
    assert evidence.state is EvidenceState.WAITING
    assert [missing.path for missing in evidence.missing] == ["d/y/*.csv"]


def test_partitions_nobody_declared_are_whatever_is_there(store: ObjectStore) -> None:
    pack, files = segmented(partitions=[{"name": "segment"}])
    del files["d/y/1.csv"]
    assert gathered(pack, files, store).state is EvidenceState.COMPLETE


@pytest.mark.parametrize("change", [{"d/x/1.csv": b"!"}, {"d/x/3.csv": b""}, {"d/y/1.csv": b"", "d/y/2.csv": b"3"}])
def test_the_digest_of_several_files_changes_with_each_of_them(change: Files, store: ObjectStore) -> None:
    pack, files = segmented()
    before, after = (gathered(pack, these, store).locators[0] for these in (files, files | change))
    assert before.content_digest != after.content_digest


def test_a_folder_is_everything_below_it(store: ObjectStore) -> None:
    gate = gate_document(root="b")
    pack = pack_of([output_document(path="d/")], [gate])
    files = written_bundle(gate, {"a": b"a"}) | {"d/x/1": b"1", "d/2": b"2", "dd/3": b"3"}
    assert [m.path for m in gathered(pack, files, store).locators[0].members] == ["d/2", "d/x/1"]
    assert gathered(pack, written_bundle(gate, {"a": b"a"}), store).missing[0].path == "d/"


# --- documents that would break their schema ---


def test_a_locator_that_breaks_its_schema_fails(store: ObjectStore) -> None:
    gate = gate_document(root="b")
    pack = pack_of([output_document(path="d/*")], [gate])
    evidence = gathered(pack, written_bundle(gate, {"a": b"a"}) | {"d/x\ny": b"1"}, store)
    assert (evidence.state, codes(evidence)) == (EvidenceState.FAIL, [ReasonCode.LOCATOR_SCHEMA_INVALID])
    assert evidence.reasons[0].subject == "o"


def test_a_receipt_that_breaks_its_schema_fails(store: ObjectStore) -> None:
    gate = gate_document(root="b")
    pack = pack_of([output_document(path="d/o")], [gate])
    evidence = gathered(pack, written_bundle(gate, {"x\ny": b"a"}) | {"d/o": b"1"}, store)
    assert (evidence.state, codes(evidence)) == (EvidenceState.FAIL, [ReasonCode.RECEIPT_SCHEMA_INVALID])
    assert evidence.locators == ()


# --- instances ---


def seeded(**fields: Any) -> tuple[EnginePack, Files]:
    gate = gate_document(root="b")
    output = output_document(**{"path": "d/{seed}.csv", "scope": SEEDED, **fields})
    return pack_of([output], [gate]), written_bundle(gate, {"a": b"a"}) | {"d/42.csv": b"1"}


def test_an_output_of_one_instance_gets_a_receipt_that_is_kept_once(store: ObjectStore) -> None:
    pack, files = seeded()
    evidence = gathered(pack, files, store)
    (receipt,) = evidence.instance_receipts
    assert list(store.walk("engine")) == [], "assembling writes nothing"
    assert commit_instance_receipts(store, evidence) == ()
    assert list(store.walk("engine")) == ["engine/receipts/e/o/manifest_fingerprint=m1/seed=42/receipt.json"]
    assert InstanceReceipt.from_bytes(store.get(receipt_key(receipt))) == receipt
    assert gathered(pack, files, store).state is EvidenceState.COMPLETE
    assert commit_instance_receipts(store, evidence) == ()


def test_an_output_of_all_instances_gets_none(store: ObjectStore) -> None:
    assert gathered(*simple(), store).instance_receipts == ()


def test_other_bytes_under_the_same_pins_are_drift(store: ObjectStore) -> None:
    pack, files = seeded()
    commit_instance_receipts(store, gathered(pack, files, store))
    evidence = gathered(pack, files | {"d/42.csv": b"2"}, store)
    assert (evidence.state, codes(evidence)) == (EvidenceState.FAIL, [ReasonCode.INSTANCE_RECEIPT_DRIFT])
    reason = evidence.reasons[0]
    assert (reason.subject, reason.expected) == ("o", f"{sha256(b'1')} at d/42.csv")
    assert reason.observed == f"{sha256(b'2')} at d/42.csv"


def test_drift_that_came_between_looking_and_keeping_is_found(store: ObjectStore) -> None:
    pack, files = seeded()
    mine, theirs = gathered(pack, files, store), gathered(pack, files | {"d/42.csv": b"2"}, store)
    assert commit_instance_receipts(store, theirs) == ()
    (reason,) = commit_instance_receipts(store, mine)
    assert reason.code is ReasonCode.INSTANCE_RECEIPT_DRIFT


def test_other_pins_are_another_instance(store: ObjectStore) -> None:
    pack, files = seeded(path="d/*.csv")
    commit_instance_receipts(store, gathered(pack, files, store))
    other = gathered(pack, files | {"d/42.csv": b"2"}, store, pins=PINS.model_copy(update={"seed": 43}))
    assert other.state is EvidenceState.COMPLETE


@pytest.mark.parametrize("damage", [b"", b"{}", b"not json"])
def test_a_kept_receipt_that_was_altered_is_no_excuse(damage: bytes, tmp_path: Path) -> None:
    store = LocalObjectStore(tmp_path / "store")
    pack, files = seeded()
    evidence = gathered(pack, files, store)
    commit_instance_receipts(store, evidence)
    store.path(receipt_key(evidence.instance_receipts[0])).write_bytes(damage)
    again = gathered(pack, files, store)
    assert (again.state, codes(again)) == (EvidenceState.FAIL, [ReasonCode.INSTANCE_RECEIPT_SCHEMA_INVALID])


def test_a_pin_that_nobody_knows_fails_what_is_scoped_by_it(store: ObjectStore) -> None:
    pack, files = seeded(path="d/*.csv", scope=["manifest_fingerprint", "run_id"])
    evidence = gathered(pack, files, store)
    assert (evidence.state, codes(evidence)) == (EvidenceState.FAIL, [ReasonCode.INSTANCE_SCOPE_MISSING])
    known = gathered(pack, files, store, pins=PINS.model_copy(update={"run_id": "theirs"}))
    assert known.locators[0].scope == {"manifest_fingerprint": "m1", "run_id": "theirs"}


# --- pack identity ---


def test_evidence_names_its_pack(store: ObjectStore) -> None:
    pack, files = simple()
    manifest = json.dumps({"oracle_pack_id": "o1", "pins": {"seed": 42}}).encode()
    found = gathered(pack, files | {"_oracle_pack_manifest.json": manifest}, store).oracle_pack
    assert found is not None
    assert (found.engine_run_root, found.oracle_pack_id) == ("memory", "o1")


@pytest.mark.parametrize(
    ("manifest", "code"),
    [
        (b"{", ReasonCode.ORACLE_PACK_INVALID),
        (b"[" * 2_000_000, ReasonCode.ORACLE_PACK_INVALID),
        (b'{"oracle_pack_id": "o", "pins": {"seed": 1}}', ReasonCode.ORACLE_PACK_MISMATCH),
    ],
    ids=["broken", "too large", "other pins"],
)
def test_a_pack_that_is_not_what_it_should_be_ends_the_run(
    manifest: bytes, code: ReasonCode, store: ObjectStore
) -> None:
    pack, files = simple()
    evidence = gathered(pack, files | {"_oracle_pack_manifest.json": manifest}, store)
    assert (evidence.state, codes(evidence), evidence.oracle_pack) == (EvidenceState.FAIL, [code], None)


# --- on disk ---


def test_a_link_in_a_bundle_is_a_conflict(tmp_path: Path, store: ObjectStore) -> None:
    pack, files = simple()
    folder = put(tmp_path / "root", files)
    (folder / "bundle" / "z").symlink_to(folder / "bundle" / "o.csv")
    evidence = gathered(pack, open_run_root(str(folder)), store)
    assert evidence.state is EvidenceState.CONFLICT
    assert (evidence.reasons[0].subject, evidence.reasons[0].member) == ("g", "bundle/z")


def test_an_output_that_is_a_link_is_a_conflict(tmp_path: Path, store: ObjectStore) -> None:
    gate = gate_document(root="b")
    pack = pack_of([output_document(path="d/o")], [gate])
    folder = put(tmp_path / "root", written_bundle(gate, {"a": b"a"}) | {"real": b"1"})
    (folder / "d").mkdir()
    (folder / "d" / "o").symlink_to("../real")
    evidence = gathered(pack, open_run_root(str(folder)), store)
    assert (evidence.state, evidence.reasons[0].member) == (EvidenceState.CONFLICT, "d/o")


def test_what_the_disk_does_not_give_concludes_nothing(store: ObjectStore) -> None:
    class Refusing(MemoryRunFiles):
        def open(self, path: str) -> Any:
            msg = f"{path}: refused"
            raise StoreError(msg)

    pack, files = simple()
    with pytest.raises(StoreError, match="refused"):
        gathered(pack, Refusing(files), store)


def test_evidence_is_the_same_wherever_the_files_lie(tmp_path: Path, store: ObjectStore) -> None:
    pack, files = simple()
    digests = {
        gathered(pack, files, store).bundle_digest,
        gathered(pack, open_run_root(str(put(tmp_path / "one", files))), store).bundle_digest,
        gathered(pack, open_run_root(str(put(tmp_path / "two", files))), store).bundle_digest,
    }
    assert len(digests) == 1


def test_each_file_is_read_as_often_as_a_law_needs_and_not_for_its_locator_again(store: ObjectStore) -> None:
    pack, files = simple()
    root = MemoryRunFiles(files)
    gathered(pack, root, store)
    assert sorted(root.opened) == ["bundle/o.csv", "bundle/stats.json"]


def test_a_bare_run_root_is_a_pack_by_its_place(tmp_path: Path) -> None:
    found = read_oracle_pack(open_run_root(str(tmp_path)), PINS)
    assert found.model_dump()["engine_run_root"] == str(tmp_path)


# --- generated engines ---

names = st.text("abc-_.Z0", min_size=1, max_size=4).filter(
    lambda n: n not in {".", ".."} and n not in {"index.json", "_passed.flag"}
)
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
contents = st.binary(max_size=12)


@st.composite
def members(draw: st.DrawFn) -> dict[str, bytes]:
    """Files of a bundle in the index's order; none is a folder of another."""
    found: dict[str, bytes] = {}
    for path in draw(st.lists(paths, min_size=1, max_size=5, unique=True)):
        if not any(path.startswith(f"{other}/") or other.startswith(f"{path}/") for other in found):
            found[path] = draw(contents)
    return found


@st.composite
def engines(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[dict[str, Any]], Files]:
    """A catalogue, its gates, and what the engine wrote; every output is a member of the bundle of its gate."""
    outputs, gates = [], []
    files: Files = {}
    for at in range(draw(st.integers(1, 3))):
        law = draw(st.sampled_from(LAWS))
        gate = gate_document(
            f"g{at}",
            law,
            root=f"b{at}",
            authorizes=[f"o{at}"],
            upstream=draw(st.lists(st.sampled_from([f"g{n}" for n in range(at)]), unique=True)) if at else [],
            indexed=law != BUNDLE or draw(st.booleans()),
            json_flag=draw(st.booleans()),
            path_base=draw(st.sampled_from(["bundle_root", "run_root"])),
            covers_folder=draw(st.booleans()),
        )
        if "index" in gate["law"]:
            gate["law"]["ordering"] = draw(st.sampled_from(["ascii_lex", "index_order"]))
        bundle = draw(members())
        files |= written_bundle(gate, bundle, draw(st.sampled_from(SHAPES)))
        scope = draw(st.sampled_from([["manifest_fingerprint"], SEEDED]))
        outputs.append(output_document(f"o{at}", f"b{at}/{draw(st.sampled_from(sorted(bundle)))}", scope=scope))
        gates.append(gate)
    return outputs, gates, files


def alter(files: Files, path: str) -> None:
    files[path] = bytes([files[path][0] ^ 1]) + files[path][1:] if files[path] else b"!"


def move_a_byte(files: Files, path: str) -> None:
    """From the member after this one to its end: what stands one after another stays the same."""
    bundle = path.partition("/")[0]
    later = [other for other in members_of(files) if other > path and files[other] and other.startswith(f"{bundle}/")]
    if later:
        files[path] += files[later[0]][:1]
        files[later[0]] = files[later[0]][1:]


def turn_index(files: Files, path: str) -> None:
    index = f"{path.split('/', maxsplit=1)[0]}/index.json"
    if index in files:
        document = json.loads(files[index])
        (
            document if isinstance(document, list) else next(v for v in document.values() if isinstance(v, list))
        ).reverse()
        files[index] = json.dumps(document).encode()


TROUBLES: dict[str, Callable[[Files, str], Any]] = {
    "nothing": lambda _files, _path: None,
    "altered": alter,
    "extra": lambda files, path: files.update({f"{path.split('/')[0]}/zz-extra": b"extra"}),
    "missing": lambda files, path: files.pop(path),
    "a byte moved": move_a_byte,
    "order": turn_index,
    "another flag": lambda files, path: files.update({f"{path.split('/')[0]}/_passed.flag": flag("ab" * 32)}),
    "no flag": lambda files, path: files.pop(f"{path.split('/')[0]}/_passed.flag"),
    "no index": lambda files, path: files.pop(f"{path.split('/')[0]}/index.json", None),
}


def verdict(gate: dict[str, Any], files: Files) -> str:
    """What the reference says: passed, missing or conflict."""
    path, root = gate["flag"]["path"], gate["bundle_root"]
    index = gate["law"].get("index")
    lies_there = any(p.startswith(root) and p not in {path, index} for p in files)
    if path not in files or (index is not None and index not in files) or (index is None and not lies_there):
        return "missing"
    text = files[path].decode()
    stated = json.loads(text)["bundle_digest_sha256"] if text.startswith("{") else text.split()[-1]
    is_of_its_form = text.startswith("{") == (gate["flag"]["format"] == "json")
    return "passed" if is_of_its_form and law_digest(gate, files) == stated else "conflict"


def members_of(files: Files) -> list[str]:
    return sorted(path for path in files if path.rpartition("/")[2] not in {"index.json", "_passed.flag"})


@settings(max_examples=500)
@given(engine=engines(), trouble=st.sampled_from(sorted(TROUBLES)), data=st.data())
def test_a_gate_passes_exactly_when_the_law_gives_what_the_flag_states(
    engine: tuple[list[dict[str, Any]], list[dict[str, Any]], Files],
    trouble: str,
    data: st.DataObject,
    empty_store: ObjectStore,
) -> None:
    outputs, gates, files = engine
    pack = pack_of(outputs, gates)
    before = gathered(pack, files, empty_store)
    assert before.state is EvidenceState.COMPLETE

    after_files = dict(files)
    TROUBLES[trouble](after_files, data.draw(st.sampled_from(members_of(files))))
    after = gathered(pack, after_files, empty_store)

    expected = {gate["id"]: verdict(gate, after_files) for gate in gates}
    event(f"{trouble}: {'/'.join(sorted(set(expected.values())))}")
    found = {r.gate_id: "passed" if r.passed else "conflict" for r in after.gate_receipts}
    assert found == {gate: said for gate, said in expected.items() if said != "missing"}
    if "conflict" in expected.values():
        assert after.state is EvidenceState.CONFLICT
    elif "missing" in expected.values() or any(output["path"] not in after_files for output in outputs):
        assert after.state is EvidenceState.WAITING
    else:
        assert after.state is EvidenceState.COMPLETE
    changed = {path for path in files | after_files if files.get(path) != after_files.get(path)}
    read = {m.path for r in after.gate_receipts for m in r.members}
    if changed & read:
        assert after.bundle_digest != before.bundle_digest, "what a law cannot see, the receipts do"
