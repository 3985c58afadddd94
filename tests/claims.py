"""The claims of docs/claims.yaml, and what a test run has shown of them; the closing summary says what it has not."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from pathlib import Path
from typing import Literal

import yaml
from _pytest.terminal import TerminalReporter
from pydantic import BaseModel, ConfigDict

ROOT = Path(__file__).parents[1]
CLAIMS = ROOT / "docs" / "claims.yaml"
RECORDS = "HASHGATE_CLAIMS"
"""The variable that names a file for the records, one JSON object a line."""


class Claim(BaseModel):
    """One public claim."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    claim: str
    mode: Literal["contract", "integration", "performance"]
    proof: tuple[str, ...]
    baseline: dict[str, float] | None = None
    """Of a performance claim: what was measured when somebody last decided so."""


def read_claims(path: Path = CLAIMS) -> list[Claim]:
    """All claims, in the order of the file."""
    return [Claim.model_validate(claim) for claim in yaml.safe_load(path.read_text())]


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Say which claims were proven, which fell, and which were not looked at; write the records if asked."""
    outcomes = _outcomes(terminalreporter)
    claims = [claim for claim in read_claims() if claim.mode != "performance"]
    if not any(proof in outcomes for claim in claims for proof in claim.proof):
        return
    records = [
        {"claim": claim.id, "mode": claim.mode, "case": case, "outcome": outcome}
        for claim in claims
        for proof in claim.proof
        for case, outcome in outcomes.get(proof, {proof: "not run"}).items()
    ]
    found = {claim.id: {record["outcome"] for record in records if record["claim"] == claim.id} for claim in claims}
    proven = [name for name, shown in found.items() if shown == {"passed"}]
    terminalreporter.section("claims")
    terminalreporter.write_line(f"{len(proven)} of {len(claims)} proven by {len(records)} cases")
    for name, shown in found.items():
        if name not in proven:
            terminalreporter.write_line(f"{name}: {', '.join(sorted(shown))}")
    if path := os.environ.get(RECORDS):
        Path(path).write_text("".join(json.dumps(record) + "\n" for record in records))


def _outcomes(terminalreporter: TerminalReporter) -> dict[str, dict[str, str]]:
    """By test what became of each of its cases: passed, failed, error, skipped."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for outcome in ("passed", "skipped", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            if getattr(report, "when", "call") == "call" or outcome != "passed":
                found[report.nodeid.partition("[")[0]][report.nodeid] = outcome
    return dict(found)
