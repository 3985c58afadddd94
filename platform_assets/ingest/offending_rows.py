"""The first records that a version has in quarantine: what a gate shows beside its verdict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq

from contracts.commits import Commit
from resources.segment_places import open_source
from resources.workspace import Workspace

ROWS_SHOWN = 5
REASONS_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Offending:
    """One quarantined record. Its texts are the sender's, as they are: whoever shows them escapes them."""

    drop: str
    record: int
    reasons: str
    raw: str


def first_offending(workspace: Workspace, commit: Commit) -> tuple[Offending, ...]:
    """The first records in quarantine, by drop and place in it; those that repeat a key come last.

    Raises:
        DigestMismatchError, StoreError: A file of the version is not what it was.
    """
    if not commit.candidate.quarantined_rows:
        return ()
    files = workspace.reader.open_commits([commit])[0]
    rows: list[Offending] = []
    for source in (*files.quarantine, *files.overlay):
        for row in _rows(source):
            rows.append(row)
            if len(rows) == ROWS_SHOWN:
                return tuple(rows)
    return tuple(rows)


def _rows(source: str) -> Iterator[Offending]:
    columns = ["_hg_source", "_hg_record", "reasons", "raw"]
    with open_source(source) as file:
        for batch in pq.ParquetFile(file).iter_batches(batch_size=ROWS_SHOWN, columns=columns):
            yield from map(_offending, batch.to_pylist())


def _offending(row: dict[str, Any]) -> Offending:
    said = [_in_words(r["code"], r["column"], r["message"]) for r in row["reasons"]]
    more = [f"and {len(said) - REASONS_SHOWN} more"] if len(said) > REASONS_SHOWN else []
    return Offending(
        row["_hg_source"], row["_hg_record"], "; ".join(said[:REASONS_SHOWN] + more), row["raw"].rstrip("\r\n")
    )


def _in_words(code: str, column: str | None, message: str) -> str:
    return f"{code}: {message}" if column is None else f"{code} {column}: {message}"
