"""The CSV sink: one file a version, RFC 4180, UTF-8 without a mark, with a header; lines end in CR LF.

NULL is an empty field without quotes and empty text one with them (`,,` and `,"",`), which is how PostgreSQL reads and
writes it; a text that holds a comma, a quote or a line end is in quotes, a quote in it doubled. Numbers have all their
digits, dates and times are ISO 8601 with a space before the time, moments in UTC (`2024-01-31 10:00:00+00`).

DuckDB writes the file and Arrow reads it back: what one of them does wrong, the other one does not.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import duckdb
import pyarrow as pa
from pyarrow import csv

from contracts.duckdb_syntax import literal, quoted
from resources.duckdb_session import open_session, run_query
from resources.object_store import ObjectStore
from resources.version_rows import RowsDigest, VersionRows, digest_rows

_DIALECT = r"""FORMAT csv, HEADER true, DELIMITER ',', QUOTE '"', ESCAPE '"', NULLSTR '', NEW_LINE '\r\n'"""

_BLOCKS_BYTES = (4 << 20, 64 << 20, 1 << 30)
"""How much is parsed at once; a record that is longer than a block needs a larger one."""

_TOO_LONG = "straddl"
"""What Arrow says of a record that no block holds."""


def write_csv(store: ObjectStore, rows: VersionRows, path: Path) -> None:
    """Write a version into the new file `path`."""
    with open_session("writer", store=store) as session:
        run_query(session, f"COPY ({rows.query}) TO {literal(os.fspath(path))} ({_DIALECT})")


def read_csv(store: ObjectStore, path: Path, columns: Mapping[str, str]) -> RowsDigest:
    """Read a version's file back, through another parser, as values of the columns' types.

    Raises:
        ValueError: It has other columns, or is no such CSV.
    """
    for block_bytes in _BLOCKS_BYTES:
        try:
            return _read(store, path, columns, block_bytes)
        except (pa.ArrowInvalid, duckdb.InvalidInputException) as error:
            if _TOO_LONG not in str(error) or block_bytes == _BLOCKS_BYTES[-1]:
                raise
    raise AssertionError


def as_text(path: Path, columns: Iterable[str], block_bytes: int = _BLOCKS_BYTES[0]) -> pa.RecordBatchReader:
    """The file's cells as text, NULL and empty text apart."""
    return csv.open_csv(
        path,
        read_options=csv.ReadOptions(block_size=block_bytes),
        parse_options=csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(columns, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )


def _read(store: ObjectStore, path: Path, columns: Mapping[str, str], block_bytes: int) -> RowsDigest:
    cells = as_text(path, columns, block_bytes)
    if cells.schema.names != list(columns):
        msg = f"it has the columns {', '.join(cells.schema.names)}"
        raise ValueError(msg)
    typed = ", ".join(f"CAST({quoted(name)} AS {kind}) AS {quoted(name)}" for name, kind in columns.items())
    with open_session("gate", store=store) as session:
        session.register("hg_cells", cells)
        return digest_rows(session, columns, f"(SELECT {typed} FROM hg_cells)")
