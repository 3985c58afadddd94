"""What surrounds a version, and how it differs from others: worked out when somebody looks, since others may change.

A report says what a version is, for good. How it stands among its neighbours depends on what these are now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.commits import Candidate, Commit
from contracts.distribution_drift import ColumnDrift
from contracts.errors import HashgateError
from contracts.partitions import window_of
from contracts.profile_merging import merge_profiles
from contracts.refs import Digest
from contracts.report_document import ColumnProfile, Report
from platform_assets.reports.table_overview import Standing, baseline_partitions, drifts, report_of
from resources.workspace import Workspace

AROUND = 30
"""Partitions shown before and after."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A partition of the calendar; without rows when nothing is published."""

    partition: str
    valid_rows: int | None = None
    quarantined_rows: int = 0

    @property
    def refused_share(self) -> float:
        """Of its records."""
        records = (self.valid_rows or 0) + self.quarantined_rows
        return self.quarantined_rows / records if records else 0.0


@dataclass(frozen=True, slots=True)
class Compared:
    """What a version is compared with."""

    label: str
    """In a word."""
    name: str
    """In words."""
    versions: Mapping[str, Digest]
    """The commits, by partition."""
    rows: int
    columns: Mapping[str, ColumnProfile]
    drifts: Mapping[str, ColumnDrift]
    """By column."""

    def document(self) -> dict[str, Any]:
        """For machines."""
        columns = {name: drift.model_dump(mode="json") for name, drift in self.drifts.items()}
        return {"name": self.name, "versions": dict(self.versions), "rows": self.rows, "columns": columns}


@dataclass(frozen=True, slots=True)
class Context:
    """A version among others."""

    neighbours: Sequence[Neighbour]
    marked: int
    """The number of the one that this is about."""
    previous: Compared | None
    """The published partition before."""
    baseline: Compared | None
    after_end_s: float | None
    """How long after its period ended it was committed."""
    before: str | None
    """The nearest partitions that have something to show."""
    after: str | None


def context_of(
    workspace: Workspace, standing: Standing, commit: Commit, report: Report, baseline: Sequence[str] | None = None
) -> Context:
    """Look at what is current around a version.

    Args:
        workspace: The installation.
        standing: What is current in its table.
        commit: The version, or a held candidate.
        report: Its report.
        baseline: Published partitions that it is compared with (default: the first ones of the table).
    """
    heads, partition = standing.heads, commit.candidate.partition
    ordered = standing.with_candidate(commit)
    earlier = [key for key in ordered.partitions[: ordered.partitions.index(partition)] if key in heads]
    reference = baseline_partitions(standing) if baseline is None else list(baseline)
    comparing = _Comparing(workspace, standing, report)
    previous = comparing.with_(earlier[-1:], earlier[-1], f"{earlier[-1]}, the partition before") if earlier else None
    named = _baseline_name(reference, by_hand=baseline is not None) if reference else ""
    base = None if reference in ([], [partition]) else comparing.with_(reference, "the baseline", named)
    neighbours = _neighbours(ordered, commit)
    shown = [key for key in ordered.partitions if key in {*heads, *standing.held, partition}]
    at = shown.index(partition)
    return Context(
        neighbours=neighbours,
        marked=next(index for index, line in enumerate(neighbours) if line.partition == partition),
        previous=previous,
        baseline=base,
        after_end_s=_after_end(standing, commit),
        before=shown[at - 1] if at else None,
        after=shown[at + 1] if at + 1 < len(shown) else None,
    )


def _baseline_name(partitions: Sequence[str], *, by_hand: bool) -> str:
    if len(partitions) == 1:
        return f"the baseline, {partitions[0]}"
    which = f"{len(partitions)} partitions" if by_hand else f"the first {len(partitions)} partitions"
    return f"the baseline, {which} from {partitions[0]} to {partitions[-1]}"


@dataclass(frozen=True, slots=True)
class _Comparing:
    workspace: Workspace
    standing: Standing
    report: Report

    def with_(self, partitions: Sequence[str], label: str, name: str) -> Compared:
        """Compare with some partitions as one."""
        heads = {key: self.standing.heads[key] for key in partitions}
        reports = (report_of(self.workspace, self.standing.contract, head) for head in heads.values())
        profile = merge_profiles([report.profile for report in reports])
        return Compared(
            label=label,
            name=name,
            versions={key: head.digest for key, head in heads.items()},
            rows=profile.rows,
            columns={column.name: column for column in profile.columns},
            drifts=drifts(self.report.profile, profile),
        )


def _neighbours(standing: Standing, commit: Commit) -> list[Neighbour]:
    candidate = commit.candidate
    there = standing.partitions
    at = there.index(candidate.partition)
    first, last = there[max(0, at - AROUND)], there[min(len(there) - 1, at + AROUND)]
    calendar = standing.between(first, last)
    here = calendar.index(candidate.partition)
    candidates = {key: head.candidate for key, head in standing.heads.items()} | {candidate.partition: candidate}
    return [_neighbour(key, candidates.get(key)) for key in calendar[max(0, here - AROUND) : here + AROUND + 1]]


def _neighbour(partition: str, candidate: Candidate | None) -> Neighbour:
    if candidate is None:
        return Neighbour(partition)
    return Neighbour(partition, candidate.valid_rows, candidate.quarantined_rows)


def _after_end(standing: Standing, commit: Commit) -> float | None:
    try:
        window = window_of(standing.contract.partitioning, commit.candidate.partition)
    except (HashgateError, ValueError):
        return None  # a calendar that was changed since has no such period
    return (commit.committed_at - window.end).total_seconds()
