"""Judging what is published once more: its drops are framed again, and every gate looks at what lies there now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from contracts.commits import Commit
from contracts.gates import GateReceipt, Verdict
from contracts.refs import Digest, ViewRef
from contracts.segments import partition_view
from contracts.selection import SelectionSnapshot
from contracts.table_contract import TableContract
from platform_assets.evidence.corruptions import INGEST_FORCED, Concern, Corruption
from resources.captures import get_blob
from resources.exports import judge_sinks
from resources.gatekeeper import StagedCandidate, judge
from resources.segment_places import SegmentPlace
from resources.table_reader import numbered_key
from resources.workspace import Workspace


@dataclass
class Rejudgement:
    """What the gates said, beside what they said when it was published."""

    gates: int = 0
    records: int = 0
    corruptions: list[Corruption] = field(default_factory=list)


def can_be_judged(contract: TableContract | None, version: Commit) -> bool:
    """Whether today's contract is the one that a version was judged under; an asset's table has none."""
    if contract is None or version.candidate.origin != "drops":
        return False
    stamp = version.candidate.contract
    return (stamp.rows_digest, stamp.set_digest) == (contract.rows_digest, contract.set_digest)


def judge_again(workspace: Workspace, contract: TableContract, version: Commit) -> Rejudgement:
    """Run the gates over a version whose files and drops are whole, and compare with its receipts."""
    candidate = version.candidate
    snapshot = SelectionSnapshot.from_bytes(get_blob(workspace.store, candidate.snapshot))
    reader = workspace.reader
    places: Mapping[Digest, SegmentPlace] = {
        **{entry.content: reader.segment_place(contract.table, entry) for entry in candidate.entries},
        **{export.content: reader.export_place(candidate, export) for export in candidate.exports},
    }
    receipts = (
        *judge(StagedCandidate(candidate, snapshot, contract, places), workspace.store),
        *judge_sinks(candidate, places, workspace.store),
    )
    counts = next((r.measures for r in receipts if r.gate == "conservation"), {})
    return Rejudgement(
        gates=len(receipts),
        records=int(counts.get("records", 0)),
        corruptions=[
            Corruption(
                candidate.table, candidate.partition, subject, expected, observed, INGEST_FORCED, Concern.READERS
            )
            for subject, expected, observed in (
                *_verdicts(version, receipts),
                *_claims(version, contract, counts.get("records")),
            )
        ],
    )


def _verdicts(version: Commit, receipts: tuple[GateReceipt, ...]) -> Iterator[tuple[str, str, str]]:
    for before, now in zip(version.receipts, receipts, strict=True):
        if now.verdict in {Verdict.PASS, before.verdict}:
            continue  # a gate that was overridden stops the same as it did
        finding = now.findings[0] if now.findings else None
        said = (
            f"{finding.subject}: expected {finding.expected}, observed {finding.observed}" if finding else now.observed
        )
        yield f"gate {now.gate}", str(before.verdict), f"{now.verdict}: {said}"


def _claims(version: Commit, contract: TableContract, records: object) -> Iterator[tuple[str, str, str]]:
    """What a version says of itself follows from its segments and its drops."""
    candidate = version.candidate
    where = numbered_key(candidate.table, "commits", candidate.partition, version.number)
    recipe = partition_view(contract, [ViewRef(key=entry.view_key) for entry in candidate.segments]).key
    if recipe != candidate.view_key:
        yield where, f"the recipe {recipe}", candidate.view_key
    rows = candidate.valid_rows + candidate.quarantined_rows
    if records is not None and (candidate.records, rows) != (records, records):
        yield where, f"{records} records, as its drops have", f"{candidate.records} records and {rows} rows"
