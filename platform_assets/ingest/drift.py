"""Drift: how the columns of files that have not been taken in yet compare with the contract.

Only the head of a file is read, and nothing is captured. It is a forecast for people; what counts is what the reader
does with each record when the file is ingested.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.canonical import parse_json
from contracts.csv_records import FieldSplitter
from contracts.decoding import decode_chunks
from contracts.errors import DropError
from contracts.framing import Flaw, FrameKind, frame_csv
from contracts.reasons import Reason
from contracts.record_runs import match_columns
from contracts.table_contract import CsvFormat, JsonLinesFormat, TableContract
from resources.drop_folder import ListedFile, open_drop

_HEAD_BYTES = 1 << 20
_LINES_READ = 1000


@dataclass(frozen=True, slots=True)
class Drift:
    """How one file's columns differ from the contract's."""

    path: str
    renamed: tuple[tuple[str, str], ...] = ()
    """(name in the file, column) where the contract knows the name as an alias."""
    missing: tuple[str, ...] = ()
    """Columns the file does not bring."""
    undeclared: tuple[str, ...] = ()
    likely: tuple[tuple[str, str], ...] = ()
    """(undeclared name, missing column) that look like a renaming nobody has declared."""
    consequences: tuple[str, ...] = ()
    """Why no record of the file would pass; empty when they may."""
    unreadable: str | None = None
    """Why its head could not be read."""

    @property
    def differs(self) -> bool:
        """Whether there is anything to say."""
        return self != Drift(self.path)


def drift_of(contract: TableContract, files: Sequence[ListedFile]) -> list[Drift]:
    """The files whose columns differ from the contract's, in order. CSV without a header has no names to compare."""
    layout = contract.server.format
    if isinstance(layout, CsvFormat) and not layout.header:
        return []
    return [drift for drift in (_drift(contract, file) for file in files) if drift.differs]


def _drift(contract: TableContract, file: ListedFile) -> Drift:
    try:
        names = _column_names(contract, file)
    except (DropError, OSError, ValueError) as error:
        return Drift(file.path, unreadable=str(error))
    if names is None:
        return Drift(file.path)
    matching = match_columns(names, contract)
    found = [(column.name, source) for column, source in zip(contract.columns, matching.sources, strict=True)]
    missing = tuple(name for name, source in found if source is None)
    undeclared = tuple(name for _, name in matching.extras)
    return Drift(
        path=file.path,
        renamed=tuple((names[source], name) for name, source in found if source is not None and names[source] != name),
        missing=missing,
        undeclared=undeclared,
        likely=_likely(undeclared, missing),
        consequences=tuple(
            f"{problem.reason}: {problem.message}. {problem.reason.fix}" for problem in matching.problems
        ),
    )


def _likely(undeclared: Sequence[str], missing: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Names that resemble a missing column, regardless of case."""
    folded = {name.casefold(): name for name in missing}
    pairs = [(name, difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.7)) for name in undeclared]
    return tuple((name, folded[near[0]]) for name, near in pairs if near)


def _column_names(contract: TableContract, file: ListedFile) -> list[str] | None:
    """The names of a file's columns; None when its head holds none (an empty file)."""
    layout = contract.server.format
    descriptor = open_drop(file)
    with os.fdopen(descriptor, "rb") as opened:
        if isinstance(layout, CsvFormat):
            return _header(decode_chunks(_head(opened.fileno()), contract.server.compression, layout.encoding), layout)
        if isinstance(layout, JsonLinesFormat):
            return _members(decode_chunks(_head(opened.fileno()), contract.server.compression, layout.encoding))
        try:
            return list(pq.read_schema(opened).names)
        except pa.ArrowInvalid as error:
            raise ValueError(str(error).partition("\n")[0]) from None


def _head(descriptor: int) -> Iterator[bytes]:
    while chunk := os.read(descriptor, _HEAD_BYTES):
        yield chunk


def _header(chunks: Iterable[bytes], csv: CsvFormat) -> list[str] | None:
    splitter = FieldSplitter(csv)
    for batch in frame_csv(chunks, csv):
        headers = np.flatnonzero(batch.kinds == FrameKind.HEADER)
        if len(headers):
            at = int(headers[0])
            if batch.flaws[at]:
                msg = f"the header cannot be read: {Reason[Flaw(batch.flaws[at]).name].meaning}"
                raise ValueError(msg)
            return [field.decode() for field in splitter.fields(batch.text[batch.starts[at] : batch.ends[at]])]
    return None


def _members(chunks: Iterable[bytes]) -> list[str] | None:
    """The names of the first records' members, in order of appearance; a line that is no object has none."""
    names: dict[str, None] = {}
    text = next(iter(chunks), b"")
    for line in text.split(b"\n")[:_LINES_READ]:
        try:
            record = parse_json(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            names |= dict.fromkeys(record)
    return list(names) or None
