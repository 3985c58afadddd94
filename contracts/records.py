"""From a drop's bytes to rows of text: the one door to reading CSV, JSON Lines and Parquet.

Every record comes out exactly once, as a row or with the reasons why it is none; which of the two depends on its own
bytes, the file's header and the contract, never on its neighbours or on how the input was cut. Values stay text: typing
and judging them is SQL's part. Memory is bounded by a few blocks whatever the file's size.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, cast

import numpy as np

from contracts.csv_records import read_csv
from contracts.decoding import decode_chunks
from contracts.framing import BLOCK_BYTES, FrameBatch, FrameKind, frame_csv, frame_lines
from contracts.json_records import read_json_lines
from contracts.parquet_records import count_parquet_rows, read_parquet
from contracts.record_runs import RECORD_COLUMN, Int64s, Records, Refusal, records_schema
from contracts.table_contract import CsvFormat, JsonLinesFormat, TableContract

__all__ = ["RECORD_COLUMN", "Framing", "Records", "Refusal", "count_frames", "read_records", "records_schema"]

Source = Iterable[bytes] | BinaryIO
"""A drop's bytes as they were dropped: chunks in order, or an open binary file. Parquet needs to seek: given chunks, it
holds the whole file in memory."""


def read_records(source: Source, contract: TableContract, *, only: Int64s | None = None) -> Iterator[Records]:
    """Read a drop, lazily: runs of consecutive records, in order.

    Args:
        source: The drop, still compressed and in its own encoding; both come off by what the contract says.
        contract: Says how the file is read, and which columns there are.
        only: Record numbers (1-based, ascending, no duplicates). When given, `table` and `refused` speak of these
            alone, in the same words as without it, and runs without any of them are left out.

    Raises:
        UndecodableError: While iterating: the compression is broken, the file is not Parquet, or it becomes too large.
        ValueError: The contract's encoding or CSV dialect is none that can be read.
    """
    layout = contract.server.format
    if isinstance(layout, CsvFormat):
        return read_csv(_decoded(source, contract, layout.encoding), contract, layout, only)
    if isinstance(layout, JsonLinesFormat):
        return read_json_lines(_decoded(source, contract, layout.encoding), contract, layout, only)
    return read_parquet(_seekable(source), contract, only)


@dataclass(frozen=True)
class Framing:
    """How a file falls into frames.

    Attributes:
        size_bytes: Size of the decoded file, counted before framing; of the file as it is for Parquet.
        tiled: Whether the frames cover [0, size_bytes) without gap or overlap.
        records: How many records it has.
        flawed_records: How many of them are flawed as bytes.
    """

    size_bytes: int
    tiled: bool
    records: int
    flawed_records: int


def count_frames(source: Source, contract: TableContract, *, size_bytes: int | None = None) -> Framing:
    """Frame a drop again and count, parsing nothing: what a gate compares valid and quarantined rows with.

    Args:
        source: The drop.
        contract: Says how the file is read.
        size_bytes: How much chunks are together, so that a file that becomes too large is refused early.

    Raises:
        UndecodableError: As by `read_records`; but of Parquet only the footer is read, and believed.
    """
    layout = contract.server.format
    if not isinstance(layout, CsvFormat | JsonLinesFormat):
        file = _seekable(source)
        rows = count_parquet_rows(file, contract.server.decompression)
        return Framing(file.seek(0, io.SEEK_END), tiled=True, records=rows, flawed_records=0)
    measured = _Measured(_decoded(source, contract, layout.encoding, size_bytes))
    frames = frame_csv(measured, layout) if isinstance(layout, CsvFormat) else frame_lines(measured, layout)
    reached, tiled, records, flawed = 0, True, 0, 0
    for batch in frames:
        tiled = tiled and batch.offset == reached and _tiles(batch)
        reached = batch.offset + len(batch.text)
        is_record = batch.kinds == FrameKind.RECORD
        records += int(is_record.sum())
        flawed += int((batch.flaws[is_record] != 0).sum())
    return Framing(measured.size_bytes, tiled and reached == measured.size_bytes, records, flawed)


class _Measured:
    """Chunks, counted as they pass."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self.size_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.size_bytes += len(chunk)
            yield chunk


def _tiles(batch: FrameBatch) -> bool:
    return bool(np.all(np.diff(batch.ends, prepend=0) > 0)) and int(batch.ends[-1]) == len(batch.text)


def _decoded(source: Source, contract: TableContract, encoding: str, size_bytes: int | None = None) -> Iterator[bytes]:
    server, size = contract.server, _size_of(source) if size_bytes is None else size_bytes
    return decode_chunks(_chunks(source), server.compression, encoding, limit=server.decompression, size_bytes=size)


def _size_of(source: Source) -> int | None:
    if not _is_file(source):
        return None
    file = cast("BinaryIO", source)
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    return size


def _chunks(source: Source) -> Iterable[bytes]:
    # Iterating over an open file would give its lines.
    if not _is_file(source):
        return source
    file = cast("BinaryIO", source)
    return iter(lambda: file.read(BLOCK_BYTES), b"")


def _seekable(source: Source) -> BinaryIO:
    return cast("BinaryIO", source) if _is_file(source) else io.BytesIO(b"".join(source))


def _is_file(source: Source) -> bool:
    return hasattr(source, "read")
