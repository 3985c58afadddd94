"""DuckDB sessions of the platform's own: in memory, in UTC, within limits, and without the network.

A database costs milliseconds to create, a session on it microseconds, so each role keeps one database a process. The
writer's and the gates' are two: what a gate reads comes from disk, not from something the writer left in a cache.
People's SQL has a stricter session, in `query_engine`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import duckdb

from contracts.duckdb_syntax import literal

Role = Literal["writer", "gate", "reader"]

MEMORY_LIMIT = "512MB"
"""What a database may buffer before it spills; small enough that a writer of any size stays below 1 GiB."""

_databases: dict[tuple[int, Role, str], duckdb.DuckDBPyConnection] = {}
_creating = threading.Lock()


@contextmanager
def open_session(role: Role = "reader", *, spill_to: Path | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a session; what it registers and creates is its own, and gone when it closes.

    Args:
        role: Whose database.
        spill_to: An existing folder that lives as long as the process; without one, what does not fit in memory fails.
    """
    session = _database(role, "" if spill_to is None else os.fspath(spill_to)).cursor()
    try:
        session.execute("SET TimeZone = 'UTC'")
        yield session
    finally:
        session.close()


def parquet_source(paths: Sequence[Path]) -> str:
    """A relation over Parquet files that takes nothing from their paths (`env=prod/` would become a column)."""
    names = ", ".join(literal(os.fspath(path)) for path in paths)
    return f"read_parquet([{names}], hive_partitioning=false)"


def _database(role: Role, spill_to: str) -> duckdb.DuckDBPyConnection:
    key = (os.getpid(), role, spill_to)  # a forked child must not share its parent's threads
    with _creating:
        if key not in _databases:
            _databases[key] = duckdb.connect(
                config={
                    "memory_limit": MEMORY_LIMIT,
                    "threads": str(max(2, os.cpu_count() or 2)),
                    "temp_directory": spill_to,
                    "autoinstall_known_extensions": "false",
                    "autoload_known_extensions": "false",
                    "enable_external_file_cache": "false",
                    "python_enable_replacements": "false",
                }
            )
        return _databases[key]
