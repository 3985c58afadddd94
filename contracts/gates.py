"""Gates: named checks over a candidate, and their receipts.

A gate answers PASS, FAIL with findings, or UNKNOWN; UNKNOWN is not PASS. It looks at storage itself: what the writer
counted is what it checks, never what it relies on.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from pydantic import Field

from contracts.refs import Frozen

GATES = ("integrity", "conservation", "contract", "quality")
"""Every candidate that is made from drops passes these, in this order."""

PRODUCED_GATES = ("integrity", "contract", "quality")
"""Every candidate that an asset returned as a table: it has no drops whose records could be counted again."""

SINKS_GATE = "sinks"
"""After those, every candidate that is published in other formats than Parquet: each of them has the same rows."""

FINDINGS_SHOWN = 20
"""Findings kept in a receipt; their whole number is in it too."""


class Verdict(StrEnum):
    """What a gate says."""

    PASS = "PASS"  # noqa: S105
    FAIL = "FAIL"
    UNKNOWN = "UNKNOWN"


class Finding(Frozen):
    """One thing that is wrong: what was looked at, what was expected, what was found, how to mend it."""

    subject: str
    expected: str
    observed: str
    fix: str = ""
    severity: str = "error"


class GateReceipt(Frozen):
    """A gate's verdict with its evidence; part of the commit (or of the held candidate)."""

    gate: str
    verdict: Verdict
    expected: str
    """In one line, for people: what had to be so."""
    observed: str
    """In one line, for people: what was so."""
    findings: tuple[Finding, ...] = ()
    findings_total: int = 0
    warnings: tuple[Finding, ...] = ()
    measures: dict[str, int | float | str] = Field(default_factory=dict)
    """What the gate measured on storage, by name."""


def all_passed(receipts: Sequence[GateReceipt], gates: Sequence[str] = GATES) -> bool:
    """Whether every one of `gates` is there, exactly once, and says PASS. Anything else is not a pass."""
    return [r.gate for r in receipts] == list(gates) and all(r.verdict is Verdict.PASS for r in receipts)


def receipt(
    gate: str,
    *,
    expected: str,
    observed: str,
    findings: Sequence[Finding],
    measures: dict[str, int | float | str] | None = None,
) -> GateReceipt:
    """Draw up a receipt: PASS exactly when no finding is an error."""
    errors = [f for f in findings if f.severity == "error"]
    warnings = [f for f in findings if f.severity != "error"]
    return GateReceipt(
        gate=gate,
        verdict=Verdict.FAIL if errors else Verdict.PASS,
        expected=expected,
        observed=observed,
        findings=tuple(errors[:FINDINGS_SHOWN]),
        findings_total=len(errors),
        warnings=tuple(warnings),
        measures=measures or {},
    )


def counted(number: int, thing: str) -> str:
    """`1 drop`, `2 drops`, `1,000 drops`: how receipts say a count to a person."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def unknown(gate: str, problem: str) -> GateReceipt:
    """The receipt of a gate that could not come to a verdict."""
    finding = Finding(
        subject=gate, expected="a verdict", observed=problem, fix="Mend what kept it from looking, then ingest again."
    )
    return GateReceipt(
        gate=gate,
        verdict=Verdict.UNKNOWN,
        expected="a verdict",
        observed=problem,
        findings=(finding,),
        findings_total=1,
    )
