"""Commits: a chain of self-digested documents that can only publish what every gate passed."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.commits import Candidate, Commit, ContractStamp, refuses
from contracts.gates import GATES, Finding, GateReceipt, Verdict, all_passed, receipt, unknown
from contracts.refs import digest_bytes
from contracts.segments import ParserIdentity

SOME = digest_bytes(b"")
NOON = dt.datetime(2020, 1, 1, 12, tzinfo=dt.UTC)


def candidate(cutoff: int = 1) -> Candidate:
    return Candidate(
        table="t",
        partition="2020-01-01",
        view_key=SOME,
        snapshot=SOME,
        selection_number=1,
        cutoff=cutoff,
        contract=ContractStamp(
            version="1.0.0", digest=SOME, rows_digest=SOME, set_digest=SOME, schema_fingerprint=SOME
        ),
        parser=ParserIdentity(version=1, artifact=SOME, environment=SOME),
        output_target_key=SOME,
        materialization_key=SOME,
        segments=(),
        records=0,
        valid_rows=0,
        quarantined_rows=0,
        run_id="run",
    )


def passed() -> tuple[GateReceipt, ...]:
    return tuple(receipt(gate, expected="e", observed="o", findings=()) for gate in GATES)


def commit(**changes: object) -> Commit:
    fields = {"number": 1, "parent": None, "committed_at": NOON, "candidate": candidate(), "receipts": passed()}
    return Commit(**fields | changes)


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
        commit(receipts=receipts)


def test_a_held_candidate_keeps_its_failed_receipts() -> None:
    held = commit(kind="held", receipts=(unknown("integrity", "no disk"),))
    assert Commit.from_bytes(held.to_bytes()) == held


@pytest.mark.parametrize(("number", "parent"), [(1, SOME), (2, None)], ids=["first with a parent", "second without"])
def test_a_link_that_does_not_fit_the_chain_is_refused(number: int, parent: str | None) -> None:
    with pytest.raises(ValueError, match="the first commit has no parent"):
        commit(number=number, parent=parent)


def test_a_commit_survives_storage() -> None:
    assert Commit.from_bytes(commit().to_bytes()) == commit()


@given(position=st.integers(0, 100_000), bit=st.integers(0, 7))
def test_one_flipped_bit_is_noticed(position: int, bit: int) -> None:
    data = bytearray(commit().to_bytes())
    data[position % len(data)] ^= 1 << bit
    with pytest.raises((ValueError, TypeError)):
        Commit.from_bytes(bytes(data))


def test_a_late_writer_is_refused_and_told_why() -> None:
    head = commit(candidate=candidate(cutoff=7))
    assert refuses(head, candidate(cutoff=6)) == "version 1 was selected at sequence 7, later than this candidate's 6"
    assert refuses(head, candidate(cutoff=7)) is None
    assert refuses(None, candidate(cutoff=1)) is None


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
