"""The peer: DuckDB's own COPY with explicit types, its output fsynced."""

from __future__ import annotations

import os
import time
from pathlib import Path

import duckdb

from bench.tables import Table


def ingest_file(table: Table, csv: Path, home: Path) -> dict[str, float]:
    """Copy `csv` to Parquet in `home`.

    The connection is new, as it is for whoever types this; threads and memory are DuckDB's defaults.

    Returns:
        `total_s`: wall seconds from opening the connection to the end of the fsync.
    """
    started = time.perf_counter()
    target = home / "peer.parquet"
    with duckdb.connect() as connection:
        source = (
            f"read_csv('{csv}', columns = {table.types}, auto_detect = false, header = true, delim = ',',"
            """ quote = '"', escape = '"')"""
        )
        connection.execute(f"copy (from {source}) to '{target}' (format parquet)").fetchall()
    descriptor = os.open(target, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    return {"total_s": time.perf_counter() - started}
