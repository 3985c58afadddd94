"""The report of one partition version: computed from its commit, its selection and its verified files.

A report is written once, under the name of the commit it describes, and never changed. It holds nothing that a second
run could see otherwise; of a version that has a report nothing is read again. Its page is drawn when somebody asks for
it (`pages`): plots cost more than all the rest, and most partitions of a backfill nobody ever looks at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import duckdb

from contracts.commits import Candidate, Commit, SegmentEntry
from contracts.duckdb_syntax import literal
from contracts.errors import DigestMismatchError, StoreError
from contracts.profile_merging import merge_profiles
from contracts.reasons import Reason
from contracts.refs import Digest, Frozen, digest_bytes, hex_of
from contracts.report_document import (
    DROPS_SHOWN,
    EXAMPLES_SHOWN,
    EXCERPT_CHARACTERS,
    QUARANTINE_GROUPS_SHOWN,
    RAW_CHARACTERS,
    SEGMENTS_SHOWN,
    ContractFacts,
    DropLine,
    Excerpt,
    Flow,
    Lineage,
    Profile,
    QuarantineExample,
    QuarantineGroup,
    Report,
    SegmentLine,
)
from contracts.segments import DropAccount, SegmentIndex
from contracts.selection import SelectedDrop, Selection, SelectionSnapshot
from contracts.table_contract import LINEAGE_COLUMNS, TableContract
from platform_assets.reports.links import page_url
from platform_assets.reports.preview import render_markdown
from platform_assets.reports.profile import profile_table
from platform_assets.reports.segment_profiles import rows_query, segment_profiles
from resources.captures import get_blob
from resources.duckdb_session import open_session, parquet_source, run_query
from resources.object_store import ObjectStore
from resources.segment_places import is_remote, sources_size
from resources.table_reader import INDEX, PublishedFiles, numbered_key, table_prefix
from resources.workspace import Workspace

DOCUMENT = "report.json"

LOADED_BYTES = 16 << 20
"""Of Parquet; a partition up to this size is read once and profiled from memory."""


class ReportRef(Frozen):
    """Where a report lies, and a short preview of it."""

    key: str
    place: str
    """A path, or the address in a remote store."""
    page: str
    """The address of its page."""
    markdown: str


def report_prefix(commit: Commit) -> str:
    """The folder of a version's report; a held candidate has no version."""
    candidate = commit.candidate
    version = "held" if commit.kind == "held" else str(commit.number)
    return f"{table_prefix(candidate.table)}/reports/{candidate.partition}/{version}-{hex_of(commit.digest)[:12]}"


def write_report(workspace: Workspace, contract: TableContract, commit: Commit) -> ReportRef:
    """Write the report of one version, or find it; see `write_reports`."""
    return next(write_reports(workspace, contract, [commit]))


def write_reports(workspace: Workspace, contract: TableContract, commits: Sequence[Commit]) -> Iterator[ReportRef]:
    """Write the reports of versions of one table, published or held, or find those that are there.

    Many at once cost one look at the catalogue together.

    Args:
        workspace: The installation.
        contract: The table's; gives descriptions, and the budget when the version was made under this very contract.
        commits: In any order.

    Yields:
        One reference a commit, in order.

    Raises:
        DigestMismatchError, StoreError: A file that a version rests on is not what it was.
    """
    stored = [stored_report(workspace.store, commit) for commit in commits]
    to_do = [commit for commit, report in zip(commits, stored, strict=True) if report is None]
    computed = compute_reports(workspace, contract, to_do)
    for commit, found in zip(commits, stored, strict=True):
        report = found if found is not None else next(computed)
        if found is None:
            _put(workspace.store, _key(commit), report.to_bytes())
        yield _reference(workspace, commit, report)


def compute_reports(workspace: Workspace, contract: TableContract, commits: Sequence[Commit]) -> Iterator[Report]:
    """Open all versions at once, then report on one after the other. Of reports, nothing is written."""
    opened = workspace.reader.open_commits(commits) if commits else []
    with open_session(store=workspace.store) as session:
        for files in opened:
            yield compute_report(workspace, contract, files, session)


def compute_report(
    workspace: Workspace, contract: TableContract, files: PublishedFiles, session: duckdb.DuckDBPyConnection
) -> Report:
    """The report of a version whose files are open and verified. Writes nothing."""
    commit, candidate = files.commit, files.commit.candidate
    selection = _selection(workspace, candidate)
    snapshot = SelectionSnapshot.from_bytes(get_blob(workspace.store, candidate.snapshot))
    same_contract = contract.digest == candidate.contract.digest
    groups = _quarantine(session, [*files.quarantine, *files.overlay], selection.drops)
    return Report(
        table=candidate.table,
        partition=candidate.partition,
        state="held" if commit.kind == "held" else "published",
        version=None if commit.kind == "held" else commit.number,
        committed_at=commit.committed_at,
        description=_one_line(contract.description),
        contract=ContractFacts(**candidate.contract.model_dump(exclude={"table_schema", "sinks"})),
        flow=_flow(workspace, candidate, selection, snapshot, contract.quarantine_budget if same_contract else None),
        quarantine_reasons=len(groups),
        quarantine=tuple(groups[:QUARANTINE_GROUPS_SHOWN]),
        gates=commit.receipts,
        profile=_profile(session, workspace, contract, files),
        lineage=_lineage(commit),
    )


def _flow(
    workspace: Workspace,
    candidate: Candidate,
    selection: Selection,
    snapshot: SelectionSnapshot,
    quarantine_budget: float | None,
) -> Flow:
    accounts = _accounts(workspace, candidate)
    sizes = {ref.digest: ref.size_bytes for ref in snapshot.inputs}
    return Flow(
        drops=len(snapshot.inputs),
        drop_bytes=sum(sizes.values()),
        records=candidate.records,
        valid_rows=candidate.valid_rows,
        quarantined_rows=candidate.quarantined_rows,
        quarantine_budget=quarantine_budget,
        drop_lines=tuple(
            DropLine(digest=drop.digest, paths=drop.paths, size_bytes=sizes[drop.digest], **accounts[drop.digest])
            for drop in selection.drops[:DROPS_SHOWN]
        ),
    )


def _accounts(workspace: Workspace, candidate: Candidate) -> dict[Digest, dict[str, int]]:
    """What became of each drop's records, records that repeat an earlier key counted as quarantined."""
    accounts: dict[Digest, dict[str, int]] = {}
    for entry in candidate.segments:
        for account in _index(workspace, candidate.table, entry):
            accounts[account.source.digest] = account.model_dump(exclude={"source"})
    for repeated in _index(workspace, candidate.table, candidate.overlay) if candidate.overlay else ():
        accounts[repeated.source.digest]["valid_rows"] -= repeated.quarantined_rows
        accounts[repeated.source.digest]["quarantined_rows"] += repeated.quarantined_rows
    return accounts


def _index(workspace: Workspace, table: str, entry: SegmentEntry) -> tuple[DropAccount, ...]:
    key = f"{workspace.reader.segment_place(table, entry).prefix}/{INDEX}"
    data = _get(workspace, key)
    observed = digest_bytes(data)
    if observed != entry.content:
        raise DigestMismatchError(subject=key, expected=entry.content, observed=observed)
    return SegmentIndex.from_bytes(data).drops


def _selection(workspace: Workspace, candidate: Candidate) -> Selection:
    key = numbered_key(candidate.table, "selections", candidate.partition, candidate.selection_number)
    data = _get(workspace, key)
    try:
        selection = Selection.from_bytes(data)
    except ValueError as error:
        msg = f"{key}: {str(error).partition(chr(10))[0]}. Restore the object from a backup of the store."
        raise StoreError(msg, key=key) from error
    if selection.snapshot != candidate.snapshot:
        raise DigestMismatchError(subject=key, expected=candidate.snapshot, observed=selection.snapshot)
    return selection


def _quarantine(
    session: duckdb.DuckDBPyConnection, paths: list[str], drops: Sequence[SelectedDrop]
) -> list[QuarantineGroup]:
    """Refused records by reason, each with its first examples; `drops` in selection order."""
    if not paths:
        return []
    order = "[" + ", ".join(literal(drop.digest) for drop in drops) + "]"
    found = run_query(
        session,
        f"""
        WITH refused AS (
            SELECT _hg_source AS source, _hg_record AS record, byte_start, byte_end,
                   left(raw, {RAW_CHARACTERS}) AS raw, length(raw) AS raw_characters,
                   list_position({order}, _hg_source) AS place, unnest(reasons) AS reason
            FROM {parquet_source(paths)}
        )
        SELECT reason.code AS code, reason."column" AS "column", reason.rule AS rule,
               count(DISTINCT row(place, record)) AS records,
               arg_min(
                   {{source: source, record: record, byte_start: byte_start, byte_end: byte_end, raw: raw,
                     raw_characters: raw_characters, value: left(reason.value, {EXCERPT_CHARACTERS}),
                     value_characters: length(reason.value), message: reason.message}},
                   row(place, record, reason.message, reason.value), {EXAMPLES_SHOWN}
               ) AS examples
        FROM refused GROUP BY ALL ORDER BY records DESC, code, "column", rule
        """,
    )
    return [_group(*row) for row in found]


def _group(
    code: str, column: str | None, rule: str | None, records: int, examples: list[dict[str, Any]]
) -> QuarantineGroup:
    reason = Reason(code)
    return QuarantineGroup(
        code=code,
        column=column,
        rule=rule,
        meaning=reason.meaning,
        fix=reason.fix,
        records=records,
        examples=tuple(_example(**example) for example in examples),
    )


def _example(  # noqa: PLR0913 - one row of the query above, by name
    *,
    source: Digest,
    record: int,
    byte_start: int,
    byte_end: int,
    raw: str | None,
    raw_characters: int | None,
    value: str | None,
    value_characters: int | None,
    message: str | None,
) -> QuarantineExample:
    return QuarantineExample(
        source=source,
        record=record,
        byte_start=byte_start,
        byte_end=byte_end,
        raw=None if raw is None else Excerpt(text=raw, characters=raw_characters or 0),
        value=None if value is None else Excerpt(text=value, characters=value_characters or 0),
        message=message or "",
    )


def _profile(
    session: duckdb.DuckDBPyConnection, workspace: Workspace, contract: TableContract, files: PublishedFiles
) -> Profile:
    """Profile what readers see: the valid rows without those that the overlay excludes.

    What fits into memory is profiled as a whole. More is profiled segment by segment, and merged.
    """
    candidate = files.commit.candidate
    columns = {name: type_ for name, type_ in candidate.contract.table_schema if name not in LINEAGE_COLUMNS}
    if not files.valid:
        return Profile(rows=0, columns=())
    descriptions = {column.name: _one_line(column.description) for column in contract.columns}
    if sources_size(files.valid) <= LOADED_BYTES:
        rows = rows_query(files.valid, files.overlay, columns)
        run_query(session, f"CREATE OR REPLACE TEMP TABLE loaded AS {rows}")
        profile = profile_table(session, "loaded", columns, descriptions)
    else:
        profile = merge_profiles(
            [_described(part, descriptions) for part in segment_profiles(session, workspace.store, files, columns)]
        )
    if profile.rows != candidate.valid_rows:
        subject = f"valid rows of {candidate.table}[{candidate.partition}]"
        raise DigestMismatchError(subject=subject, expected=str(candidate.valid_rows), observed=str(profile.rows))
    return profile


def _described(profile: Profile, descriptions: Mapping[str, str]) -> Profile:
    """The same with what the contract says about columns, which is no part of what is kept of a segment."""
    columns = [c.model_copy(update={"description": descriptions.get(c.name, "")}) for c in profile.columns]
    return profile.model_copy(update={"columns": tuple(columns)})


def _lineage(commit: Commit) -> Lineage:
    candidate = commit.candidate
    return Lineage(
        commit=commit.digest,
        parent=commit.parent,
        view_key=candidate.view_key,
        snapshot=candidate.snapshot,
        selection_number=candidate.selection_number,
        cutoff=candidate.cutoff,
        materialization_key=candidate.materialization_key,
        run_id=candidate.run_id,
        segments=len(candidate.segments),
        segment_lines=tuple(_segment_line(entry) for entry in candidate.segments[:SEGMENTS_SHOWN]),
        overlay=_segment_line(candidate.overlay) if candidate.overlay else None,
    )


def _segment_line(entry: SegmentEntry) -> SegmentLine:
    return SegmentLine(
        view_key=entry.view_key,
        content=entry.content,
        records=entry.records,
        valid_rows=entry.valid_rows,
        quarantined_rows=entry.quarantined_rows,
        size_bytes=sum(file.size_bytes for file in entry.files),
    )


def _one_line(prose: str) -> str:
    return " ".join(prose.split())


def _put(store: ObjectStore, key: str, data: bytes) -> None:
    """Write a report; what an earlier attempt left there, and is none, is put aside."""
    if not store.put_if_absent(key, data) and store.get(key) != data:
        store.put_aside(key)
        store.put_if_absent(key, data)


def _key(commit: Commit) -> str:
    return f"{report_prefix(commit)}/{DOCUMENT}"


def stored_report(store: ObjectStore, commit: Commit) -> Report | None:
    """The report that lies beside a version, if it is of that version; None when it was not written yet.

    Raises:
        StoreError: It is not what was written.
    """
    key = _key(commit)
    try:
        report = Report.from_bytes(store.get(key))
    except KeyError:
        return None
    except ValueError as error:
        msg = f"{key} is not a report any more. Remove its folder: it is written again from what is published."
        raise StoreError(msg, key=key) from error
    if report.lineage.commit != commit.digest:
        raise DigestMismatchError(subject=key, expected=commit.digest, observed=report.lineage.commit)
    return report


def _reference(workspace: Workspace, commit: Commit, report: Report) -> ReportRef:
    key = _key(commit)
    table, partition, number = commit.place
    page = page_url(table, partition, "held" if commit.is_held else number)
    return ReportRef(key=key, place=place_of(workspace.store, key), page=page, markdown=render_markdown(report))


def place_of(store: ObjectStore, key: str) -> str:
    """Where people find it: a path on this machine, or an address."""
    return store.uri(key) if is_remote(store.url(key)) else store.url(key)


def _get(workspace: Workspace, key: str) -> bytes:
    try:
        return workspace.store.get(key)
    except KeyError:
        msg = f"{key} is missing. Restore the store, or ingest the partition again with --force."
        raise StoreError(msg, key=key) from None
