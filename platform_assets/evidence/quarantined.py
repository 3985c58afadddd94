"""The quarantine, read back: which records of a table were refused, where each stands, and all its reasons.

It shows what a person would mend: the current version's quarantine, or that of the candidate that a gate holds. Files
are verified before they are read, as for any reader.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from contracts.commits import Commit
from contracts.selection import Selection
from contracts.table_contract import TableContract
from platform_assets.ingest.planning import PartitionState, partition_statuses
from resources.duckdb_session import open_session, parquet_source
from resources.table_reader import numbered_key
from resources.workspace import Workspace

_READ_AT_ONCE = 500
"""Files opened by one query: DuckDB keeps them all open."""


@dataclass(frozen=True, slots=True)
class QuarantinedRecord:
    """One refused record."""

    partition: str
    held: bool
    """Whether the partition's candidate is held; otherwise the record belongs to the published version."""
    source: str
    paths: tuple[str, ...]
    """Under which names its drop came."""
    record: int
    byte_start: int
    byte_end: int
    raw: str
    reasons: tuple[dict[str, str | None], ...]
    """code, column, rule, message, value."""


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """How many records of how many partitions were refused for one reason."""

    code: str
    column: str | None
    rule: str | None
    records: int
    partitions: int
    first_partition: str
    last_partition: str
    example: str | None
    """One of the values, the first in order."""


def versions_to_mend(
    workspace: Workspace, contract: TableContract, partitions: Sequence[str] | None = None
) -> list[Commit]:
    """Per partition the held candidate, if what is there now is held, else the current version."""
    wanted = None if partitions is None else set(partitions)
    versions: list[Commit] = []
    for status in partition_statuses(workspace, contract, []):
        if wanted is not None and status.key not in wanted:
            continue
        version = None
        if status.state is PartitionState.HELD and status.pending_view_key is not None:
            version = workspace.reader.held(contract.table, status.key, status.pending_view_key)
        elif status.version is not None:
            version = workspace.reader.head(contract.table, status.key)
        if version is not None:
            versions.append(version)
    return versions


def quarantined_records(
    workspace: Workspace, versions: Sequence[Commit], limit: int | None = None
) -> list[QuarantinedRecord]:
    """The refused records of `versions`, by partition, drop and place, at most `limit`.

    Raises:
        DigestMismatchError, StoreError: A file is not what was published.
    """
    by_partition = {version.candidate.partition: version for version in versions}
    names = {
        key: _names(workspace, version) for key, version in by_partition.items() if version.candidate.quarantined_rows
    }
    found: list[QuarantinedRecord] = []
    for files in _files(workspace, versions):
        left = None if limit is None else limit - len(found)
        if left == 0:
            break
        columns = "partition, _hg_source, _hg_record, byte_start, byte_end, raw, reasons"
        query = f"SELECT {columns} FROM quarantined ORDER BY partition, _hg_source, _hg_record"
        for row in _ask(workspace, files, query if left is None else f"{query} LIMIT {left}"):
            partition, source, record, start, end, raw, reasons = row
            paths = names[partition].get(source, ())
            held = by_partition[partition].kind == "held"
            found.append(QuarantinedRecord(partition, held, source, paths, record, start, end, raw, tuple(reasons)))
    return found


def count_reasons(workspace: Workspace, versions: Sequence[Commit]) -> list[ReasonCount]:
    """The reasons in the quarantine of `versions`, the most frequent first. A record may have several.

    Raises:
        DigestMismatchError, StoreError: A file is not what was published.
    """
    query = """
        SELECT r.code, r."column", r.rule, count(*), list(DISTINCT partition), min(r."value")
        FROM (SELECT partition, unnest(reasons) AS r FROM quarantined) GROUP BY ALL"""
    counted: dict[tuple[str, str | None, str | None], tuple[int, set[str], str | None]] = {}
    for files in _files(workspace, versions):
        for code, column, rule, records, partitions, value in _ask(workspace, files, query):
            before = counted.get((code, column, rule), (0, set(), None))
            example = min((v for v in (before[2], value) if v is not None), default=None)
            counted[code, column, rule] = (before[0] + records, before[1] | set(partitions), example)
    counts = [
        ReasonCount(code, column, rule, records, len(partitions), min(partitions), max(partitions), example)
        for (code, column, rule), (records, partitions, example) in counted.items()
    ]
    return sorted(counts, key=lambda c: (-c.records, c.code, c.column or "", c.rule or ""))


def _files(workspace: Workspace, versions: Sequence[Commit]) -> Iterable[list[tuple[str, str]]]:
    """(partition, file) of all quarantine files, in parts; the same file may belong to several partitions."""
    some = [version for version in versions if version.candidate.quarantined_rows]
    opened = workspace.reader.open_commits(some)
    pairs = [
        (version.candidate.partition, path)
        for version, files in zip(some, opened, strict=True)
        for path in (*files.quarantine, *files.overlay)
    ]
    return (pairs[start : start + _READ_AT_ONCE] for start in range(0, len(pairs), _READ_AT_ONCE))


def _ask(workspace: Workspace, files: list[tuple[str, str]], query: str) -> list[tuple[Any, ...]]:
    paths = sorted({path for _, path in files})
    with open_session(store=workspace.store) as session:
        _register(session, files)
        source = parquet_source(paths).removesuffix(")") + ", filename='_hg_file')"
        session.execute(f"CREATE TEMP VIEW quarantined AS SELECT * FROM {source} JOIN partition_files USING (_hg_file)")
        return session.execute(query).fetchall()


def _register(session: duckdb.DuckDBPyConnection, files: list[tuple[str, str]]) -> None:
    names = {"partition": [partition for partition, _ in files], "_hg_file": [path for _, path in files]}
    session.register("partition_files", pa.table(names))


def _names(workspace: Workspace, version: Commit) -> dict[str, tuple[str, ...]]:
    candidate = version.candidate
    key = numbered_key(candidate.table, "selections", candidate.partition, candidate.selection_number)
    try:
        selection = Selection.from_bytes(workspace.store.get(key))
    except (KeyError, ValueError):  # lost or altered: only the names are gone, the records stand
        return {}
    return {drop.digest: drop.paths for drop in selection.drops}
