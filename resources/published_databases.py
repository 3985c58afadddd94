"""The DuckDB files of current versions, attached for reading, with one view a table over its partitions.

Each file is verified before it is attached. It never changes, so a reader neither waits for an ingestion nor makes one
wait, and sees the versions that were current when it asked, as long as its connection lives. A partition whose current
version has no such file is an error: a view that left it out would show less than is published.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from contracts.commits import Commit
from contracts.duckdb_syntax import literal, quoted
from contracts.errors import UsageError
from contracts.sinks import Sink, artifact_name
from resources.duckdb_sink import relation_name
from resources.export_cache import ExportCache, Wanted
from resources.workspace import Workspace

_TOO_MANY = "Too many open files"


@dataclass(frozen=True)
class PublishedFile:
    """A current version, and where its DuckDB file can be attached."""

    head: Commit
    path: Path

    @property
    def name(self) -> str:
        """What its database is called: no two partitions' are the same, though DuckDB takes `A` for `a`."""
        candidate = self.head.candidate
        return artifact_name(candidate.table, candidate.partition, sink=Sink.DUCKDB)


@contextmanager
def attached_tables(
    connection: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    tables: Sequence[str],
    cache: ExportCache,
    partitions: Mapping[str, Sequence[str]] | None = None,
) -> Iterator[None]:
    """Attach tables to a connection; in the context each of them is a view of its name.

    Args:
        connection: Where to; its own database is not written to.
        workspace: The installation.
        tables: Names of tables; of gated assets' `asset.` and their keys.
        cache: Where copies of a remote store's files go; they stay as long as the context.
        partitions: By table the partitions that are meant; of a table that is not named there, all.

    Raises:
        UsageError: There is no such table, or its files are more than may be open at once.
        NotExportedError: A current version has no DuckDB file.
        DigestMismatchError, StoreError: A file is not what was published.
    """
    heads = {table: _heads(workspace, table, (partitions or {}).get(table)) for table in tables}
    every = [head for table in tables for head in heads[table]]
    opened = workspace.reader.open_exports(every, Sink.DUCKDB)
    with cache.local([Wanted(source, export.file.digest) for export, source in opened]) as paths:
        files = [PublishedFile(head, path) for head, path in zip(every, paths, strict=True)]
        for file in files:
            _attach(connection, file, len(files))
        for table in tables:
            own = [file for file in files if file.head.candidate.table == table]
            query = _view_query(_columns(workspace, table, heads[table]), own)
            connection.execute(f"CREATE TEMP VIEW {quoted(table)} AS {query}")
        yield


def _heads(workspace: Workspace, table: str, partitions: Sequence[str] | None) -> list[Commit]:
    there = workspace.reader.partitions(table)
    missing = sorted(set(partitions or ()) - set(there))
    if missing:
        msg = f"{table}[{missing[0]}] has no version. See what there is: hashgate status {table}"
        raise UsageError(msg, table=table, partition=missing[0])
    heads = [workspace.reader.head(table, key) for key in (there if partitions is None else partitions)]
    return [head for head in heads if head is not None]


def _columns(workspace: Workspace, table: str, heads: Sequence[Commit]) -> Mapping[str, str]:
    """As the contract has them now; of an asset's table, as the newest version has them."""
    if table not in workspace.contracts.contracts and heads:
        return dict(max(heads, key=lambda head: head.committed_at).candidate.contract.table_schema)
    return workspace.contract(table).table_schema


def _attach(connection: duckdb.DuckDBPyConnection, file: PublishedFile, files: int) -> None:
    try:
        connection.execute(f"ATTACH {literal(os.fspath(file.path))} AS {quoted(file.name)} (READ_ONLY)")
    except duckdb.IOException as error:
        if _TOO_MANY not in str(error):
            raise
        msg = (
            f"{files:,} files are more than this process may open at once. Name fewer partitions, raise the limit "
            "(ulimit -n), or read the Parquet files, which need not be open all at once: `hashgate query` does."
        )
        raise UsageError(msg, files=files) from None


def _view_query(columns: Mapping[str, str], files: Sequence[PublishedFile]) -> str:
    if not files:
        empty = ", ".join(f"CAST(NULL AS {kind}) AS {quoted(name)}" for name, kind in columns.items())
        return f"SELECT {empty} WHERE false"
    return " UNION ALL ".join(_part_query(columns, file) for file in files)


def _part_query(columns: Mapping[str, str], file: PublishedFile) -> str:
    """Versions that were made under another contract may differ in columns: what one lacks is NULL."""
    stored = dict(file.head.candidate.contract.table_schema)
    cells = (
        f"CAST({quoted(name) if name in stored else 'NULL'} AS {kind}) AS {quoted(name)}"
        for name, kind in columns.items()
    )
    return f"SELECT {', '.join(cells)} FROM {quoted(file.name)}.{quoted(relation_name(file.head.candidate.table))}"
