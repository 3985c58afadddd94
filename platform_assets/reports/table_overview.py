"""The overview of a table: computed from the reports of its current versions, and from no row.

A version whose report was not written yet, or in a format that cannot be merged, is read; its report is not written:
that is for whoever tells of the version. What is computed is kept under the name of the versions it is of.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from contracts.commits import Commit, refuses
from contracts.distribution_drift import ColumnDrift, drift_of
from contracts.errors import CommitError, HashgateError, StoreError, UsageError
from contracts.overview_document import (
    BASELINE_PARTITIONS,
    REASONS_SHOWN,
    Baseline,
    ColumnSeries,
    DriftSeries,
    GateLine,
    Overview,
    PartitionLine,
    ReasonLine,
    Totals,
)
from contracts.partitions import keys_between, window_of
from contracts.profile_merging import can_be_merged, merge_profiles
from contracts.refs import Digest, Frozen, digest_json, hex_of
from contracts.report_document import ColumnProfile, Profile, Report
from contracts.table_contract import Cadence, TableContract
from platform_assets.reports.links import page_url
from platform_assets.reports.partition_report import compute_reports, place_of, stored_report
from platform_assets.reports.preview import render_overview_markdown
from resources.expirations import Expirations
from resources.table_reader import table_prefix
from resources.workspace import Workspace

DOCUMENT = "overview.json"
_COMPUTED_BY = "urn:hashgate:overview:1"
"""Part of an overview's name: what is computed otherwise is another one."""

LOW, MEDIAN, HIGH = 0.05, 0.5, 0.95


class OverviewRef(Frozen):
    """Where an overview lies, and a short preview of it."""

    key: str
    place: str
    """A path, or the address in a remote store."""
    page: str
    """The address of its page."""
    markdown: str
    overview: Overview


@dataclass(frozen=True, slots=True)
class Standing:
    """What a table consists of now."""

    contract: TableContract
    heads: Mapping[str, Commit]
    """By partition, in order."""
    held: Mapping[str, Commit]
    """The newest candidate of a partition that is held, if nothing newer was published."""
    unreadable: Mapping[str, str]
    """Why, in words."""
    purged: Mapping[str, Commit]
    """Current versions whose rows were removed on purpose."""

    @property
    def versions(self) -> Digest:
        """A name for all of it."""
        return versions_digest(self.heads, self.held, self.unreadable)

    @property
    def partitions(self) -> list[str]:
        """All that have anything, in order: by time, and runs of an engine by when they were committed."""
        return sorted({*self.heads, *self.held, *self.unreadable, *self.purged}, key=self.place_of)

    def place_of(self, partition: str) -> tuple[str, str]:
        """What a partition is sorted by."""
        if self.contract.partitioning.cadence is not Cadence.RUN:
            return "", partition
        commit = self.heads.get(partition) or self.held.get(partition) or self.purged.get(partition)
        return "" if commit is None else commit.committed_at.isoformat(), partition

    def with_candidate(self, commit: Commit) -> Standing:
        """The same, and the partition of a version that may have nothing current any more."""
        partition = commit.candidate.partition
        return self if partition in self.partitions else replace(self, purged={**self.purged, partition: commit})

    def between(self, first: str, last: str) -> list[str]:
        """All partitions of the calendar from one that has anything to another, whether they have or not."""
        there = self.partitions
        some = there[there.index(first) : there.index(last) + 1]
        if self.contract.partitioning.cadence is Cadence.RUN:
            return some
        return sorted({*keys_between(self.contract.partitioning, first, last), *some})


def versions_digest(heads: Mapping[str, Commit], held: Mapping[str, Commit], unreadable: Iterable[str] = ()) -> Digest:
    """A name for what a table consists of.

    Args:
        heads: Its current versions by partition, without purged ones.
        held: The candidates that `newest_held` gives.
        unreadable: Partitions whose chain is not what was written.
    """
    named = [{key: commits[key].digest for key in sorted(commits)} for commits in (heads, held)]
    return digest_json({"by": _COMPUTED_BY, "heads": named[0], "held": named[1], "unreadable": sorted(unreadable)})


def newest_held(heads: Mapping[str, Commit], candidates: Iterable[Commit]) -> dict[str, Commit]:
    """By partition the newest candidate that is held, if nothing newer was published since."""
    newest: dict[str, Commit] = {}
    for commit in sorted(candidates, key=lambda held: (held.candidate.cutoff, held.committed_at)):
        newest[commit.candidate.partition] = commit
    return {
        key: newest[key] for key in sorted(newest) if refuses(heads.get(key), newest[key].candidate, force=True) is None
    }


def standing_of(workspace: Workspace, contract: TableContract) -> Standing:
    """Look at the chains of all partitions of a table."""
    table, reader = contract.table, workspace.reader
    heads: dict[str, Commit] = {}
    candidates: list[Commit] = []
    unreadable: dict[str, str] = {}
    published = set(reader.partitions(table))
    stopped = set(workspace.store.keys(f"{table_prefix(table)}/held"))
    for partition in sorted(published | stopped):
        try:
            head = reader.head(table, partition) if partition in published else None
            candidates += reader.held_candidates(table, partition) if partition in stopped else []
        except CommitError as error:
            unreadable[partition] = str(error)
            continue
        if head is not None:
            heads[partition] = head
    expired = Expirations.read(workspace.store).versions
    purged = {key: head for key, head in heads.items() if head.place in expired}
    there = {key: head for key, head in heads.items() if key not in purged}
    standing = Standing(contract, there, newest_held(heads, candidates), unreadable, purged)
    return replace(standing, heads={key: there[key] for key in sorted(there, key=standing.place_of)})


def overview_prefix(table: str, versions: Digest) -> str:
    """The folder of an overview."""
    return f"{table_prefix(table)}/overviews/{hex_of(versions)}"


def write_overview(workspace: Workspace, contract: TableContract) -> OverviewRef:
    """Write the overview of what is current, or find it.

    Raises:
        UsageError: Nothing was published or held yet.
        StoreError: A report, or a file that a version rests on, is not what it was.
    """
    standing = standing_of(workspace, contract)
    key = _key(standing)
    overview = kept_overview(workspace, standing)
    page = page_url(contract.table)
    markdown = render_overview_markdown(overview)
    return OverviewRef(key=key, place=place_of(workspace.store, key), page=page, markdown=markdown, overview=overview)


def kept_overview(workspace: Workspace, standing: Standing) -> Overview:
    """The overview of what is current; computed, and kept, if nobody did so before.

    Raises:
        UsageError: Nothing was published or held yet.
        StoreError: What is kept is not what was written; or a report, or a file that a version rests on.
    """
    key = _key(standing)
    try:
        return Overview.from_bytes(workspace.store.get(key))
    except KeyError:
        overview = compute_overview(workspace, standing)
    except ValueError as error:
        msg = f"{key} is not an overview any more. Remove its folder: it is computed again."
        raise StoreError(msg, key=key) from error
    workspace.store.put_if_absent(key, overview.to_bytes())
    return overview


def _key(standing: Standing) -> str:
    return f"{overview_prefix(standing.contract.table, standing.versions)}/{DOCUMENT}"


def compute_overview(workspace: Workspace, standing: Standing, baseline: Sequence[str] | None = None) -> Overview:
    """The overview of what is current. Writes nothing.

    Args:
        workspace: The installation.
        standing: What is current.
        baseline: Published partitions that all are compared with (default: the first ones of the table).
    """
    if not standing.heads and not standing.held:
        table = standing.contract.table
        msg = f"{table} has no version and no held candidate: there is nothing to show. Run `hashgate ingest {table}`."
        raise UsageError(msg, table=table)
    reports = dict(zip(standing.heads, current_reports(workspace, standing), strict=True))
    return _Computing(standing, reports, baseline).overview()


def current_reports(
    workspace: Workspace, standing: Standing, partitions: Sequence[str] | None = None
) -> Iterator[Report]:
    """The reports of current versions, in order; those of `partitions` only, if given."""
    for partition in standing.heads if partitions is None else partitions:
        yield report_of(workspace, standing.contract, standing.heads[partition])


def report_of(workspace: Workspace, contract: TableContract, commit: Commit) -> Report:
    """The report of a version as it was written, or computed if it was not, or in a format of before."""
    report = stored_report(workspace.store, commit)
    if report is None or not can_be_merged(report.profile):
        return next(compute_reports(workspace, contract, [commit]))
    return report


def baseline_of(
    standing: Standing, reports: Mapping[str, Report], chosen: Sequence[str] | None = None
) -> tuple[Baseline, Profile] | None:
    """What the partitions of a table are compared with, merged.

    Args:
        standing: What is current.
        reports: By partition; those of the baseline at least.
        chosen: By hand; default: the first published ones.
    """
    partitions = tuple(baseline_partitions(standing) if chosen is None else chosen)
    if not partitions:
        return None
    profile = merge_profiles([reports[partition].profile for partition in partitions])
    said = Baseline(
        chosen="first-partitions" if chosen is None else "by-hand",
        partitions=partitions,
        versions=digest_json([standing.heads[partition].digest for partition in partitions]),
        rows=profile.rows,
    )
    return said, profile


def baseline_partitions(standing: Standing) -> list[str]:
    """The first published partitions."""
    return list(standing.heads)[:BASELINE_PARTITIONS]


def drifts(profile: Profile, reference: Profile | None) -> dict[str, ColumnDrift]:
    """Each column of a profile against the same one of another, by name."""
    others = {} if reference is None else {column.name: column for column in reference.columns}
    rows = 0 if reference is None else reference.rows
    return {c.name: drift_of(c, profile.rows, others.get(c.name), rows) for c in profile.columns}


class _Computing:
    """One overview."""

    def __init__(self, standing: Standing, reports: Mapping[str, Report], baseline: Sequence[str] | None) -> None:
        self._standing, self._reports, self._chosen = standing, reports, baseline
        self._contract = standing.contract

    def overview(self) -> Overview:
        lines = tuple(self._lines())
        reasons = self._reasons()
        profile = merge_profiles([r.profile for r in self._reports.values()]) if self._reports else _NOTHING
        baseline = baseline_of(self._standing, self._reports, self._chosen)
        newest = list(self._reports.values())[-1] if self._reports else None
        return Overview(
            table=self._contract.table,
            description=" ".join(self._contract.description.split()),
            cadence=self._contract.partitioning.cadence.value,
            contract=None if newest is None else newest.contract,
            versions=self._standing.versions,
            totals=self._totals(lines, len(reasons)),
            partitions=lines,
            reasons=tuple(reasons[:REASONS_SHOWN]),
            gates=tuple(self._gates()),
            profile=profile,
            series=tuple(self._series(profile, None if baseline is None else baseline[1])),
            baseline=None if baseline is None else baseline[0],
        )

    def _lines(self) -> Iterator[PartitionLine]:
        standing = self._standing
        there = standing.partitions
        for partition in standing.between(there[0], there[-1]):
            commit = standing.heads.get(partition) or standing.held.get(partition)
            is_held = partition in standing.held
            if commit is None:
                state = next((s for s in ("unreadable", "purged") if partition in getattr(standing, s)), "missing")
                yield PartitionLine.model_validate({"partition": partition, "state": state, "held": is_held})
                continue
            yield self._line(partition, commit, is_held=is_held)

    def _line(self, partition: str, commit: Commit, *, is_held: bool) -> PartitionLine:
        candidate, report = commit.candidate, self._reports.get(partition)
        return PartitionLine(
            partition=partition,
            state="held" if report is None else "published",
            held=is_held,
            version=None if report is None else commit.number,
            commit=commit.digest,
            committed_at=commit.committed_at,
            after_end_s=self._after_end(partition, commit.committed_at),
            waived=commit.waived,
            gates_not_passed=tuple(receipt.gate for receipt in commit.failed),
            warnings=sum(len(receipt.warnings) for receipt in commit.receipts),
            drops=0 if report is None else report.flow.drops,
            drop_bytes=0 if report is None else report.flow.drop_bytes,
            records=candidate.records,
            valid_rows=candidate.valid_rows,
            quarantined_rows=candidate.quarantined_rows,
        )

    def _after_end(self, partition: str, committed_at: dt.datetime) -> float | None:
        try:
            window = window_of(self._contract.partitioning, partition)
        except (HashgateError, ValueError):
            return None  # a calendar that was changed since has no such period
        return round((committed_at - window.end).total_seconds(), 3)

    def _totals(self, lines: Sequence[PartitionLine], reasons: int) -> Totals:
        published = [line for line in lines if line.state == "published"]
        return Totals(
            partitions=len(lines),
            published=len(published),
            held=sum(line.held for line in lines),
            missing=sum(line.state == "missing" for line in lines),
            drops=sum(line.drops for line in published),
            drop_bytes=sum(line.drop_bytes for line in published),
            records=sum(line.records for line in published),
            valid_rows=sum(line.valid_rows for line in published),
            quarantined_rows=sum(line.quarantined_rows for line in published),
            segments=sum(report.lineage.segments for report in self._reports.values()),
            reasons=reasons,
        )

    def _reasons(self) -> list[ReasonLine]:
        found: dict[tuple[str, str | None, str | None], list[tuple[str, int]]] = {}
        examples: dict[tuple[str, str | None, str | None], tuple[str, str | None]] = {}
        for partition, report in self._reports.items():
            for group in report.quarantine:
                name = (group.code, group.column, group.rule)
                found.setdefault(name, []).append((partition, group.records))
                value = group.examples[0].value if group.examples else None
                examples.setdefault(name, (group.meaning, None if value is None else value.text))
        lines = [
            ReasonLine(
                code=name[0],
                column=name[1],
                rule=name[2],
                meaning=examples[name][0],
                records=sum(records for _, records in where),
                partitions=len(where),
                first=where[0][0],
                last=where[-1][0],
                example=examples[name][1],
            )
            for name, where in found.items()
        ]
        return sorted(lines, key=lambda line: (-line.records, line.code, line.column or "", line.rule or ""))

    def _gates(self) -> Iterator[GateLine]:
        passed: Counter[str] = Counter()
        warnings: Counter[str] = Counter()
        stopped: dict[str, list[str]] = {}
        for commits in (self._standing.heads, self._standing.held):
            for partition, commit in commits.items():
                for receipt in commit.receipts:
                    warnings[receipt.gate] += len(receipt.warnings)
                    where = stopped.setdefault(receipt.gate, [])
                    if receipt in commit.failed:
                        where.append(partition)
                    else:
                        passed[receipt.gate] += 1
        for gate, where in stopped.items():
            yield GateLine(gate=gate, passed=passed[gate], not_passed=tuple(where), warnings=warnings[gate])

    def _series(self, merged: Profile, baseline: Profile | None) -> Iterator[ColumnSeries]:
        profiles = [report.profile for report in self._reports.values()]
        before = [None, *profiles[:-1]]
        previous = [drifts(profile, other) for profile, other in zip(profiles, before, strict=False)]
        based = [drifts(profile, baseline) for profile in profiles]
        by_name = [{column.name: column for column in profile.columns} for profile in profiles]
        for column in merged.columns:
            there = [found.get(column.name) for found in by_name]
            ladders = [_low_median_high(found) for found in there]
            yield ColumnSeries(
                name=column.name,
                null_share=tuple(
                    None if found is None or not profile.rows else round(found.nulls / profile.rows, 6)
                    for found, profile in zip(there, profiles, strict=True)
                ),
                distinct=tuple(None if found is None else found.distinct for found in there),
                low=tuple(ladder[0] for ladder in ladders),
                median=tuple(ladder[1] for ladder in ladders),
                high=tuple(ladder[2] for ladder in ladders),
                unit=column.summary.unit if column.summary else None,
                against_previous=DriftSeries.of([found.get(column.name, _ABSENT) for found in previous]),
                against_baseline=DriftSeries.of([found.get(column.name, _ABSENT) for found in based]),
            )


_NOTHING = Profile(rows=0, columns=())
_ABSENT = ColumnDrift(why="no values")


def _low_median_high(column: ColumnProfile | None) -> tuple[float | None, float | None, float | None]:
    """Where the middle nine tenths of a column's values lie."""
    if column is None or column.summary is None or column.summary.unit is None:
        return None, None, None
    values = column.summary.weighted
    if not len(values.positions):
        return None, None, None
    low, median, high = values.at_shares((LOW, MEDIAN, HIGH)).tolist()
    return low, median, high
