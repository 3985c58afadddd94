"""The DuckDB sink: one immutable database file a version, which readers attach.

The file has one table, named as the contract's, and `_hg_version`, which says whose rows these are. It is never opened
for writing again: one process that has a DuckDB file open for writing locks all readers out, and the other way round.
Its bytes may be others each time the same rows are written (that of a few rows is the same, that of many is not), so
nothing is told from them but whether this very file was altered.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import duckdb
from dagster_duckdb import DuckDBResource

from contracts.commits import Candidate
from contracts.duckdb_syntax import literal, quoted
from contracts.produced import produced_asset
from resources.duckdb_session import run_query, session_config
from resources.object_store import ObjectStore
from resources.segment_places import is_remote, verified_files
from resources.version_rows import RowsDigest, VersionRows, digest_rows

VERSION_TABLE = "_hg_version"
"""No table is named so: the prefix is reserved."""

STORAGE = "STORAGE_VERSION 'v1.2.0'"
"""DuckDB 1.2 and later read it; what DuckDB writes by default, only its own version does."""

SMALL_ROWS = 2048
SMALL_BLOCKS = "BLOCK_SIZE 16384"
"""For so few rows a file takes a third of what it would with DuckDB's blocks of 256 KiB; for more, several times it."""

_EXPORT = "hg_export"


def relation_name(table: str) -> str:
    """What the table is called inside its file: a contract's table by its name, an asset's by the key's last part."""
    asset = produced_asset(table)
    return table if asset is None else asset[-1]


def write_database(store: ObjectStore, candidate: Candidate, rows: VersionRows, path: Path) -> None:
    """Write a version into the new file `path`; nothing of it is left open or in a log beside it."""
    options = f"{STORAGE}, {SMALL_BLOCKS}" if candidate.valid_rows <= SMALL_ROWS else STORAGE
    # the resource opens a database in memory: on one in a file it would try for minutes when the disk is full
    resource = DuckDBResource(database=":memory:", connection_config=session_config(os.fspath(store.spill_folder)))
    with resource.get_connection() as opened, closing(opened) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        if any(map(is_remote, rows.sources)):
            verified_files().attach(connection)
        connection.execute(f"ATTACH {literal(os.fspath(path))} AS {_EXPORT} ({options})")
        relation = f"{_EXPORT}.{quoted(relation_name(candidate.table))}"
        run_query(connection, f"CREATE TABLE {relation} AS {rows.query}")
        connection.execute(f"CREATE TABLE {_EXPORT}.{VERSION_TABLE} AS {_about(candidate)}")
        run_query(connection, f"CHECKPOINT {_EXPORT}")
        connection.execute(f"DETACH {_EXPORT}")


def read_database(path: Path, candidate: Candidate, columns: Mapping[str, str]) -> RowsDigest:
    """Read a version's file back, through a database of its own.

    Raises:
        ValueError: It holds other tables or columns than it should, or says that it is another version's.
    """
    with attached(path) as connection:
        name = relation_name(candidate.table)
        found = {row[0] for row in connection.execute(f"SHOW TABLES FROM {_EXPORT}").fetchall()}
        if found != {name, VERSION_TABLE}:
            msg = f"it has the tables {', '.join(sorted(found)) or 'none'}"
            raise ValueError(msg)
        about = connection.execute(f"FROM {_EXPORT}.{VERSION_TABLE}").fetchall()
        if about != connection.execute(_about(candidate)).fetchall():
            msg = f"it says that it holds {about}"
            raise ValueError(msg)
        relation = f"{_EXPORT}.{quoted(name)}"
        described = connection.execute(f"DESCRIBE {relation}").fetchall()
        if [(column, kind) for column, kind, *_ in described] != list(columns.items()):
            msg = f"it has the columns {', '.join(f'{column} {kind}' for column, kind, *_ in described)}"
            raise ValueError(msg)
        return digest_rows(connection, columns, relation)


@contextmanager
def attached(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory with a version's file attached for reading."""
    with closing(duckdb.connect(config=session_config(""))) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"ATTACH {literal(os.fspath(path))} AS {_EXPORT} (READ_ONLY)")
        yield connection


def _about(candidate: Candidate) -> str:
    """One row: whose rows the file holds."""
    stamp = candidate.contract
    texts = {
        "table_name": candidate.table,
        "partition": candidate.partition,
        "view_key": candidate.view_key,
        "contract_version": stamp.version,
        "contract_digest": stamp.digest,
    }
    named = ", ".join(f"{literal(value)} AS {quoted(name)}" for name, value in texts.items())
    return f'SELECT {named}, CAST({candidate.valid_rows} AS BIGINT) AS "rows"'
