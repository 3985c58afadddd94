"""Commits: self-digested documents of a few kinds, each with what it must have, and the rules of what follows what."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.canonical import canonical_bytes, parse_json
from contracts.commits import (
    Candidate,
    Commit,
    Damage,
    Declined,
    EmptyLink,
    Export,
    LinkRef,
    Waiver,
    declines,
    let_through,
    parse_link,
    refuses,
    superseded,
)
from contracts.gates import Finding, GateReceipt, Verdict, all_passed, receipt, unknown
from contracts.refs import digest_json
from contracts.segments import StoredFile
from contracts.sinks import Sink
from tests.versions import (
    ANA,
    DAY,
    NOON,
    SOME,
    TABLE,
    after,
    candidate,
    first,
    passed,
    ref,
    staged_segment,
    stamp,
    stopped,
)

DOCUMENTS = Path(__file__).parent / "documents"
LATER = NOON + dt.timedelta(hours=1)
WAIVER = Waiver(actor="ana", reason="the airport was closed", waived_at=NOON)
BACK = LinkRef(number=1, digest=SOME)
DECLINED = Declined(
    view_key=candidate().view_key, cutoff=3, revision=1, rows_digest=stamp().digest, set_digest=stamp().digest
)
DAMAGE = Damage(number=2, observed=SOME, problem="it is no JSON", below=BACK)

OF_KIND: dict[str, dict[str, Any]] = {
    "publish": {},
    "release": {"receipts": stopped(), "waiver": WAIVER},
    "rollback": {"number": 3, "parent": SOME, "decision": ANA, "goes_back_to": BACK, "declined": DECLINED},
    "repair": {"number": 3, "parent": SOME, "decision": ANA, "goes_back_to": BACK, "damages": (DAMAGE,)},
    "held": {"receipts": stopped()},
}


def of_kind(kind: str, **changes: Any) -> Commit:
    return first(**{"kind": kind} | OF_KIND[kind] | changes)


# ---- what each kind must have ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "receipts",
    [
        (),
        passed()[:3],
        passed()[::-1],
        (*passed()[:3], unknown("quality", "no disk")),
        (*passed()[:3], passed()[3].model_copy(update={"verdict": Verdict.FAIL})),
        (*passed(), passed()[0]),
    ],
    ids=["none", "one missing", "out of order", "one unknown", "one failed", "one twice"],
)
def test_nothing_is_published_without_a_pass_of_every_gate(receipts: tuple[GateReceipt, ...]) -> None:
    assert not all_passed(receipts)
    with pytest.raises(ValueError, match="a commit publishes what every gate passed"):
        first(receipts=receipts)


@pytest.mark.parametrize("kind", OF_KIND)
def test_a_commit_of_every_kind_survives_storage(kind: str) -> None:
    stored = of_kind(kind).to_bytes()
    assert Commit.from_bytes(stored) == Commit.from_bytes(Commit.from_bytes(stored).to_bytes())
    assert Commit.from_bytes(stored).to_bytes() == stored


@pytest.mark.parametrize(
    ("kind", "changes", "said"),
    [
        pytest.param("publish", {"waiver": WAIVER}, "publish has no waiver", id="publish with a waiver"),
        pytest.param("publish", {"decision": ANA}, "publish has no decision", id="publish with a decision"),
        pytest.param("publish", {"damages": (DAMAGE,)}, "publish has no damages", id="publish with damages"),
        pytest.param("release", {"waiver": None}, "release needs waiver", id="release without a waiver"),
        pytest.param("release", {"receipts": passed()}, "here every one passed", id="release of what passed"),
        pytest.param("release", {"decision": ANA}, "release has no decision", id="release with a second decision"),
        pytest.param("rollback", {"decision": None}, "rollback needs decision", id="rollback by nobody"),
        pytest.param("rollback", {"goes_back_to": None}, "rollback needs goes_back_to", id="rollback to nothing"),
        pytest.param("rollback", {"declined": None}, "rollback needs declined", id="rollback that declines nothing"),
        pytest.param("rollback", {"receipts": stopped()}, "rollback needs waiver", id="rollback to a waived version"),
        pytest.param("rollback", {"waiver": WAIVER}, "rollback has no waiver", id="rollback with a needless waiver"),
        pytest.param("repair", {"decision": None}, "repair needs decision", id="repair by nobody"),
        pytest.param("repair", {"damages": ()}, "repair needs damages", id="repair of nothing"),
        pytest.param("repair", {"goes_back_to": None}, "repair needs goes_back_to", id="repair to nothing"),
        pytest.param("held", {"receipts": passed()}, "here every one passed", id="held although it passed"),
        pytest.param("held", {"waiver": WAIVER}, "held has no waiver", id="held with a waiver"),
        pytest.param(
            "rollback", {"goes_back_to": LinkRef(number=3, digest=SOME)}, "no earlier one", id="rollback to itself"
        ),
        pytest.param("publish", {"number": 1, "parent": SOME}, "the first commit has no parent", id="first with one"),
        pytest.param("publish", {"number": 2, "parent": None}, "the first commit has no parent", id="second without"),
        pytest.param("repair", {"parent": None}, "every other one has", id="repair without a parent"),
        pytest.param("void", {}, "Input should be", id="no such kind"),
    ],
)
def test_a_commit_that_lacks_or_adds_what_its_kind_has_is_none(kind: str, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        first(**{"kind": kind} | OF_KIND.get(kind, {}) | changes)


@pytest.mark.parametrize(
    ("kind", "waived"),
    [("publish", False), ("release", True), ("rollback", False), ("repair", False), ("held", False)],
)
def test_readers_can_tell_a_waived_version(kind: str, waived: bool) -> None:
    assert of_kind(kind).waived is waived


def test_going_back_to_a_waived_version_stays_waived() -> None:
    back = of_kind("rollback", receipts=stopped(), waiver=WAIVER)
    assert back.waived
    assert let_through(back) == (
        "t[2020-01-01] version 3 was let through by ana (the airport was closed) although its gates said: quality FAIL"
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"kind": "void", "decision": ANA}, "a void link holds nothing", id="void with a decision"),
        pytest.param({"kind": "void", "damages": (DAMAGE,)}, "a void link holds nothing", id="void with damages"),
        pytest.param({"kind": "void", "number": 1}, "the first link has no parent", id="first void with a parent"),
        pytest.param({"kind": "repair"}, "a repair names what was found", id="repair without a word"),
        pytest.param({"kind": "repair", "decision": ANA}, "a repair names what was found", id="repair of nothing"),
        pytest.param({"kind": "publish"}, "Input should be", id="no such kind"),
    ],
)
def test_an_empty_link_has_what_its_kind_needs(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        empty(**changes)


def empty(**changes: Any) -> EmptyLink:
    fields = {"number": 2, "parent": SOME, "committed_at": NOON, "writer": "w", "table": TABLE, "partition": DAY}
    return EmptyLink(**fields | changes)


# ---- exports ---------------------------------------------------------------------------------------------------------

EXPORTS = tuple(
    Export(sink=sink, content=SOME, file=StoredFile(name=f"t.{sink}", digest=SOME, size_bytes=1, rows=0))
    for sink in (Sink.CSV, Sink.DUCKDB)
)
RIGHT = receipt("sinks", expected="e", observed="o", findings=())
WRONG = receipt("sinks", expected="e", observed="o", findings=[Finding(subject="csv", expected="e", observed="o")])


def exported(*exports: Export, sinks: tuple[Sink, ...] = (Sink.CSV, Sink.DUCKDB)) -> Candidate:
    promised = stamp().model_copy(update={"sinks": sinks})
    return Candidate.model_validate(candidate().model_dump() | {"contract": promised, "exports": exports})


def test_a_version_of_parquet_alone_says_nothing_of_sinks() -> None:
    document = parse_json(first().to_bytes())
    assert "exports" not in document["candidate"]
    assert "sinks" not in document["candidate"]["contract"]


def test_a_version_with_exports_survives_storage() -> None:
    commit = first(exported(*EXPORTS), receipts=(*passed(), RIGHT))
    assert Commit.from_bytes(commit.to_bytes()) == commit
    assert [export.sink for export in commit.candidate.exports] == [Sink.CSV, Sink.DUCKDB]
    assert commit.candidate.export(Sink.DUCKDB) == EXPORTS[1]
    assert commit.candidate.export(Sink.PARQUET) is None


@pytest.mark.parametrize(
    ("exports", "sinks"),
    [
        pytest.param(EXPORTS[:1], (Sink.CSV, Sink.DUCKDB), id="one is missing"),
        pytest.param(EXPORTS[::-1], (Sink.CSV, Sink.DUCKDB), id="in another order"),
        pytest.param(EXPORTS, (Sink.CSV,), id="one that nobody promised"),
        pytest.param(EXPORTS[:1], (), id="nothing was promised"),
        pytest.param((EXPORTS[0], EXPORTS[0]), (Sink.CSV,), id="one twice"),
    ],
)
def test_a_version_is_exported_as_its_contract_says(exports: tuple[Export, ...], sinks: tuple[Sink, ...]) -> None:
    with pytest.raises(ValueError, match="a version is exported as its contract says"):
        exported(*exports, sinks=sinks)


@pytest.mark.parametrize(
    ("of", "changes", "said"),
    [
        pytest.param(exported(*EXPORTS), {"receipts": passed()}, "every gate passed", id="no gate saw them"),
        pytest.param(
            exported(*EXPORTS),
            {"receipts": (*passed(), WRONG), "kind": "release", "waiver": WAIVER},
            "exactly when the gate",
            id="let through although they are wrong",
        ),
        pytest.param(
            exported(*EXPORTS), {"receipts": (*passed(), WRONG), "kind": "held"}, "exactly when the gate", id="held so"
        ),
        pytest.param(
            exported(), {"receipts": (*passed(), RIGHT)}, "exactly when the gate", id="found right, and not there"
        ),
        pytest.param(exported(), {"receipts": passed()}, "every gate passed", id="promised, and not made"),
        pytest.param(
            exported(), {"receipts": (*passed(), WRONG)}, "every gate passed", id="published without, and not waived"
        ),
    ],
)
def test_a_wrong_export_is_in_no_document(of: Candidate, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        first(of, **changes)


def test_who_lets_a_version_through_whose_export_is_wrong_publishes_it_without() -> None:
    commit = first(exported(), receipts=(*passed(), WRONG), kind="release", waiver=WAIVER)
    assert commit.candidate.exports == ()
    assert let_through(commit).endswith("although its gates said: sinks FAIL")


# ---- storage ---------------------------------------------------------------------------------------------------------


def test_a_link_is_read_as_what_it_is() -> None:
    for link in (first(), of_kind("rollback"), empty(), empty(kind="repair", decision=ANA, damages=(DAMAGE,))):
        assert parse_link(link.to_bytes()) == link


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param(of_kind("held").to_bytes(), "a held candidate, which is in no chain", id="a held candidate"),
        pytest.param(b"[]", "not an object", id="no object"),
        pytest.param(b"", "Expecting value", id="nothing"),
        pytest.param(canonical_bytes({"format": "hashgate/commit/v3"}), "self-digest is None", id="no digest"),
        pytest.param(first().to_bytes() + b"\n", "in canonical form", id="a line end more"),
        pytest.param(first().to_bytes().replace(b"{", b"{ ", 1), "in canonical form", id="a space more"),
    ],
)
def test_what_is_no_link_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_link(data)


@pytest.mark.parametrize("kind", [*OF_KIND, "void"])
@given(position=st.integers(0, 100_000), bit=st.integers(0, 7))
def test_one_flipped_bit_is_noticed(kind: str, position: int, bit: int) -> None:
    link = empty() if kind == "void" else of_kind(kind)
    data = bytearray(link.to_bytes())
    data[position % len(data)] ^= 1 << bit
    with pytest.raises(ValueError, match="."):
        type(link).from_bytes(bytes(data))


def fields_of(document: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place in a document that holds no other."""
    if isinstance(document, dict):
        return [found for name, part in document.items() for found in fields_of(part, (*path, name))]
    if isinstance(document, list) and document:
        return [found for number, part in enumerate(document) for found in fields_of(part, (*path, number))]
    return [path]


@pytest.mark.parametrize("kind", OF_KIND)
def test_each_field_that_is_changed_is_noticed(kind: str) -> None:
    """Also where whoever changes it has the self-digest fit again: then the link is another one, under another name."""
    original = of_kind(kind)
    for path in fields_of(parse_json(original.to_bytes())):
        document = parse_json(original.to_bytes())
        part = document
        for step in path[:-1]:
            part = part[step]
        part[path[-1]] = {"forged": True} if not isinstance(part[path[-1]], str) else part[path[-1]] + "0"
        with pytest.raises(ValueError, match="."):
            Commit.from_bytes(canonical_bytes(document))
        if path == ("digest",):
            continue
        body = {name: value for name, value in document.items() if name != "digest"}
        try:
            forged = Commit.from_bytes(canonical_bytes(body | {"digest": digest_json(body)}))
        except ValueError:
            continue
        assert forged.digest != original.digest, path


@pytest.mark.parametrize(("name", "kind"), [("commit-v1-publish", "publish"), ("commit-v1-held", "held")])
def test_a_document_of_the_first_format_is_read_as_it_was_written(name: str, kind: str) -> None:
    stored = (DOCUMENTS / f"{name}.json").read_bytes()
    commit = Commit.from_bytes(stored)
    assert (commit.format, commit.kind) == ("hashgate/commit/v1", kind)
    assert commit.to_bytes() == stored
    assert commit.digest == parse_json(stored)["digest"]
    assert (commit.candidate.base, commit.candidate.revision, commit.writer) == (None, 0, "")


def test_a_document_of_the_first_format_has_nothing_of_the_second() -> None:
    stored = parse_json((DOCUMENTS / "commit-v1-held.json").read_bytes())
    body = {name: value for name, value in stored.items() if name != "digest"} | {"kind": "release"}
    body["waiver"] = WAIVER.model_dump(mode="json")
    with pytest.raises(ValueError, match="in canonical form"):
        Commit.from_bytes(canonical_bytes(body | {"digest": digest_json(body)}))


@pytest.mark.parametrize("name", ["commit-v1-publish", "commit-v1-held"])
def test_a_document_of_the_first_format_has_no_exports(name: str) -> None:
    stored = parse_json((DOCUMENTS / f"{name}.json").read_bytes())
    assert "exports" not in stored["candidate"]
    assert "sinks" not in stored["candidate"]["contract"]
    body = {key: value for key, value in stored.items() if key != "digest"}
    body["candidate"]["contract"]["sinks"] = ["csv"]
    body["candidate"]["exports"] = [EXPORTS[0].model_dump(mode="json")]
    with pytest.raises(ValueError, match="."):
        Commit.from_bytes(canonical_bytes(body | {"digest": digest_json(body)}))


def test_a_new_commit_follows_one_of_the_first_format() -> None:
    old = Commit.from_bytes((DOCUMENTS / "commit-v1-publish.json").read_bytes())
    new = after(old, old.candidate)
    assert (new.format, new.candidate.base, new.candidate.revision) == ("hashgate/commit/v2", ref(old), 0)
    assert new.candidate.is_same_content(old.candidate)


# ---- what a candidate was built on -----------------------------------------------------------------------------------


def test_a_candidate_names_its_base_and_how_many_contracts_there_were() -> None:
    one = first(candidate(contract="A").built_on(None))
    two = after(one, candidate(cutoff=2, contract="B"))
    three = after(two, candidate(cutoff=3, contract="B"))
    back = after(three, candidate(cutoff=4, contract="A"))
    assert [c.candidate.base for c in (one, two, three)] == [None, ref(one), ref(two)]
    assert [c.revision for c in (one, two, three, back)] == [1, 2, 2, 3]


def test_the_same_content_is_the_same_recipe_and_the_same_bytes(tmp_path: Path) -> None:
    entry, _ = staged_segment(tmp_path / "a", "one two")
    other, _ = staged_segment(tmp_path / "b", "three")
    of = [candidate(segments=(entry,)), candidate(segments=(other,)), candidate(cutoff=2, segments=(entry,))]
    assert of[0].is_same_content(candidate(segments=(entry,), run_id="another"))
    assert not of[0].is_same_content(of[1])
    assert not of[0].is_same_content(of[2])


# ---- what follows what -----------------------------------------------------------------------------------------------

HEAD = first(candidate(cutoff=5).built_on(None))
NEXT = after(HEAD, candidate(cutoff=7, contract="B"))


def rolled_back(head: Commit, to: Commit, contract: str = "B") -> Commit:
    rules = stamp(contract)
    declined = Declined(
        view_key=head.candidate.view_key,
        cutoff=head.cutoff,
        revision=head.revision,
        rows_digest=rules.rows_digest,
        set_digest=rules.set_digest,
    )
    back = {"kind": "rollback", "decision": ANA, "goes_back_to": to.ref, "declined": declined, "receipts": to.receipts}
    return first(to.candidate, number=head.number + 1, parent=head.digest, **back)


BACK_AGAIN = rolled_back(NEXT, HEAD)
RELEASED = first(
    candidate(cutoff=7, contract="B").built_on(HEAD),
    number=2,
    parent=HEAD.digest,
    kind="release",
    receipts=stopped(),
    waiver=WAIVER,
)


@pytest.mark.parametrize(
    ("head", "late", "force", "said"),
    [
        pytest.param(None, candidate().built_on(None), False, None, id="nothing there"),
        pytest.param(HEAD, candidate(5).built_on(HEAD), False, None, id="built on the head"),
        pytest.param(HEAD, candidate(5).built_on(None), False, None, id="built before the head, as new"),
        pytest.param(
            HEAD,
            candidate(4).built_on(None),
            False,
            "version 1 was selected at sequence 5, later than this candidate's 4",
            id="an older selection",
        ),
        pytest.param(HEAD, candidate(4).built_on(HEAD), True, "later than this", id="an older selection, by force"),
        pytest.param(
            NEXT,
            candidate(9).built_on(HEAD),
            False,
            "version 2 was made under a newer contract (B)",
            id="an older contract",
        ),
        pytest.param(
            HEAD,
            candidate(5, "B").built_on(None),
            False,
            "version 1 was made under another contract meanwhile",
            id="another contract, neither newer",
        ),
        pytest.param(HEAD, candidate(6, "B").built_on(None), False, None, id="another contract, a newer selection"),
        pytest.param(NEXT, candidate(7, "A").built_on(NEXT), False, None, id="a contract that returned"),
        pytest.param(
            BACK_AGAIN,
            candidate(7, "B").built_on(NEXT),
            False,
            "rolled back to version 1 by ana (the airport was closed): waits for a new drop or another contract",
            id="what was declined, begun before",
        ),
        pytest.param(BACK_AGAIN, candidate(7, "B").built_on(NEXT), True, "rolled back", id="begun before, by force"),
        pytest.param(BACK_AGAIN, candidate(7, "B").built_on(BACK_AGAIN), False, "rolled back", id="begun after"),
        pytest.param(BACK_AGAIN, candidate(7, "B").built_on(BACK_AGAIN), True, None, id="begun after, by force"),
        pytest.param(BACK_AGAIN, candidate(8, "B").built_on(NEXT), False, None, id="a drop that came since"),
        pytest.param(BACK_AGAIN, candidate(7, "C").built_on(BACK_AGAIN), False, None, id="a contract that came since"),
        pytest.param(
            RELEASED,
            candidate(7, "B").built_on(HEAD),
            False,
            "version 2 was released by ana meanwhile",
            id="a rival of what was released",
        ),
        pytest.param(RELEASED, candidate(7, "B").built_on(RELEASED), False, None, id="built on what was released"),
        pytest.param(RELEASED, candidate(8, "B").built_on(HEAD), False, None, id="newer than what was released"),
    ],
)
def test_a_late_writer_is_refused_and_told_why(
    head: Commit | None, late: Candidate, force: bool, said: str | None
) -> None:
    refused = refuses(head, late, force=force)
    assert (refused is None) == (said is None), refused
    assert said is None or said in str(refused)


def test_what_an_asset_returned_is_declined_by_its_content() -> None:
    made = [candidate(0, origin="asset", view_key=digest_json(n)) for n in range(3)]
    one = first(made[0].built_on(None), receipts=produced())
    two = after(one, made[1], receipts=produced())
    back = rolled_back(two, one, "A")
    assert "the same content comes back by `hashgate rollback` alone" in str(refuses(back, made[1].built_on(back)))
    assert refuses(back, made[2].built_on(back)) is None


def produced() -> tuple[GateReceipt, ...]:
    return tuple(r for r in passed() if r.gate != "conservation")


@pytest.mark.parametrize(
    ("head", "cutoff", "contract", "waits"),
    [
        pytest.param(None, 7, "B", False, id="nothing there"),
        pytest.param(NEXT, 7, "B", False, id="no rollback"),
        pytest.param(BACK_AGAIN, 7, "B", True, id="what was declined"),
        pytest.param(BACK_AGAIN, 3, "B", True, id="something older"),
        pytest.param(BACK_AGAIN, 8, "B", False, id="a drop that came since"),
        pytest.param(BACK_AGAIN, 7, "C", False, id="another contract"),
    ],
)
def test_a_rollback_stays_until_something_new_comes(
    head: Commit | None, cutoff: int, contract: str, waits: bool
) -> None:
    assert (declines(head, cutoff, stamp(contract)) is not None) is waits


def held(of: Candidate, **changes: Any) -> Commit:
    return first(of, kind="held", receipts=stopped(), **changes)


def repaired(head: Commit) -> Commit:
    found = {"goes_back_to": ref(head), "damages": (DAMAGE,)}
    return first(head.candidate, number=9, parent=head.digest, kind="repair", decision=ANA, **found)


OLD_HELD = Commit.from_bytes((DOCUMENTS / "commit-v1-held.json").read_bytes())
OLD_HEAD = Commit.from_bytes((DOCUMENTS / "commit-v1-publish.json").read_bytes())


@pytest.mark.parametrize(
    ("head", "candidate_held", "said"),
    [
        pytest.param(None, held(candidate(5).built_on(None)), None, id="nothing is published"),
        pytest.param(HEAD, held(candidate(6).built_on(HEAD)), None, id="built on the head"),
        pytest.param(repaired(HEAD), held(candidate(6).built_on(HEAD)), None, id="the head was only repaired since"),
        pytest.param(HEAD, held(candidate(4).built_on(HEAD)), "selected at sequence 5", id="an older selection"),
        pytest.param(NEXT, held(candidate(8).built_on(HEAD)), "a newer contract", id="an older contract"),
        pytest.param(NEXT, held(candidate(8, "B").built_on(HEAD)), "version 2 came after it", id="the head moved"),
        pytest.param(HEAD, held(candidate(5).built_on(None)), "is the same content", id="it is published already"),
        pytest.param(BACK_AGAIN, held(candidate(7, "B").built_on(NEXT)), "rolled back", id="rolled back since"),
        pytest.param(BACK_AGAIN, held(candidate(7, "B").built_on(BACK_AGAIN)), None, id="built on the rollback"),
        pytest.param(OLD_HEAD, OLD_HELD, None, id="of the first format, and newer"),
        pytest.param(
            OLD_HEAD.model_copy(update={"committed_at": OLD_HELD.committed_at + dt.timedelta(1)}),
            OLD_HELD,
            "version 1 came after it",
            id="of the first format, and older",
        ),
    ],
)
def test_a_held_candidate_may_be_released_until_something_newer_is_committed(
    head: Commit | None, candidate_held: Commit, said: str | None
) -> None:
    found = superseded(head, candidate_held)
    assert (found is None) == (said is None), found
    assert said is None or said in str(found)


# ---- receipts --------------------------------------------------------------------------------------------------------


def test_a_receipt_passes_exactly_when_no_finding_is_an_error() -> None:
    error = Finding(subject="s", expected="e", observed="o")
    warning = error.model_copy(update={"severity": "warning"})
    assert receipt("quality", expected="", observed="", findings=[warning]).verdict is Verdict.PASS
    assert receipt("quality", expected="", observed="", findings=[warning, error]).verdict is Verdict.FAIL


def test_a_receipt_shows_the_first_findings_and_counts_all() -> None:
    many = receipt(
        "quality",
        expected="",
        observed="",
        findings=[Finding(subject=str(i), expected="", observed="") for i in range(99)],
    )
    assert (len(many.findings), many.findings_total) == (20, 99)
