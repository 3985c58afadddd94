"""The rows of a version as any session reads them, and a digest over them that knows no order and no format.

The digest is for telling whether two files hold the same rows, here and now. It is made of DuckDB's hash of each row,
which another version of DuckDB may compute otherwise: nothing is named by it, and nothing is compared with it later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb

from contracts.commits import Candidate, SegmentEntry
from contracts.duckdb_syntax import quoted
from contracts.refs import Digest, digest_json
from resources.duckdb_session import parquet_source, run_query
from resources.segment_places import SegmentPlace
from resources.table_reader import QUARANTINE, VALID

_FLOATING = frozenset({"FLOAT", "DOUBLE"})
_SECOND = "'second'"


@dataclass(frozen=True)
class VersionRows:
    """What a reader of a version sees."""

    columns: Mapping[str, str]
    """Name to DuckDB type, in order, lineage last."""
    query: str
    """A SELECT of exactly these columns, over files that are read as `sources` name them."""
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RowsDigest:
    """How many rows there are, and a digest of them all."""

    rows: int
    digest: Digest


def rows_of(candidate: Candidate, places: Mapping[Digest, SegmentPlace]) -> VersionRows:
    """The valid rows of a version, without what its overlay excludes."""
    columns = dict(candidate.contract.table_schema)
    valid = _sources(candidate.segments, VALID, places)
    left_out = _sources([candidate.overlay] if candidate.overlay else [], QUARANTINE, places)
    if not valid:  # every drop was withdrawn
        empty = ", ".join(f"CAST(NULL AS {kind}) AS {quoted(name)}" for name, kind in columns.items())
        return VersionRows(columns, f"SELECT {empty} WHERE false", ())
    query = f"SELECT {', '.join(map(quoted, columns))} FROM {parquet_source(valid)} AS valid"
    if left_out:
        query += f" ANTI JOIN {parquet_source(left_out)} AS overlay USING (_hg_source, _hg_record)"
    return VersionRows(columns, query, (*valid, *left_out))


def digest_rows(session: duckdb.DuckDBPyConnection, columns: Mapping[str, str], relation: str) -> RowsDigest:
    """Read all rows of a relation, which has columns of these names and types.

    Two sums of 64-bit hashes a row: rows may come in any order, and one that is lost, repeated or changed shows.
    """
    cells = ", ".join(_cell(name, kind) for name, kind in columns.items())
    sums = f"count(*), sum(CAST(hash({cells}) AS HUGEINT)), sum(CAST(hash({_SECOND}, {cells}) AS HUGEINT))"
    rows, *totals = run_query(session, f"SELECT {sums} FROM {relation}")[0]
    return RowsDigest(rows, digest_json([rows, *(str(total or 0) for total in totals)]))


def _cell(name: str, kind: str) -> str:
    """What of a cell is hashed; DuckDB's hash takes -0.0 for 0.0."""
    column = quoted(name)
    return f"{column}, signbit({column})" if kind in _FLOATING else column


def _sources(entries: Sequence[SegmentEntry], name: str, places: Mapping[Digest, SegmentPlace]) -> list[str]:
    there = [entry for entry in entries if name in {file.name for file in entry.files}]
    return [places[entry.content].source(name) for entry in there]
