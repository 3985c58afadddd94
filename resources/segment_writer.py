"""The segment writer: drops in, `valid.parquet` and `quarantine.parquet` out.

One pass over the clean records, and a second one over the bad ones only.

Everything is written in bulk by DuckDB from a stream of Arrow batches, in bounded memory. The writer's counts go into
the segment's index; nobody relies on them, the gates count for themselves.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.decoding import UndecodableError
from contracts.duckdb_syntax import literal
from contracts.judgement import compile_judgement
from contracts.prefetching import prefetch
from contracts.reasons import Reason
from contracts.records import Records, read_records, records_schema
from contracts.refs import BlobRef, Digest, View
from contracts.segments import DropAccount, SegmentIndex, StoredFile
from contracts.table_contract import TableContract
from resources.captures import blob_key, require_blob
from resources.duckdb_session import open_session
from resources.object_store import LocalObjectStore, digest_of_file, fsync_path
from resources.table_reader import INDEX, QUARANTINE, VALID

ReasonRow = dict[str, str | None]
"""code, column, rule, message, value."""

RAW_SHOWN_BYTES = 1 << 20
"""Raw text kept in a quarantine row; the whole record is at its byte range in the captured drop."""

_LINEAGE_FIELDS = [pa.field(name, pa.dictionary(pa.int8(), pa.string())) for name in ("_hg_source", "_hg_segment")]

_ROW_GROUP_ROWS = 61_440
"""Half of DuckDB's default: groups are encoded while records are still read, a quarter faster for 0.1 % more bytes."""

_ROWS_A_QUERY = 10_000
_RUNS_A_QUERY = 16
"""Runs keep their text until their quarantine rows are written: this many of them bound the memory."""

_HEAD_SHOWN_BYTES = 256
"""Of a drop that cannot be read as a whole."""

QUARANTINE_SCHEMA = pa.schema(
    [
        ("_hg_source", pa.string()),
        ("_hg_record", pa.int64()),
        ("_hg_segment", pa.string()),
        ("byte_start", pa.int64()),
        ("byte_end", pa.int64()),
        ("raw", pa.string()),
        (
            "reasons",
            pa.list_(
                pa.struct(
                    [
                        ("code", pa.string()),
                        ("column", pa.string()),
                        ("rule", pa.string()),
                        ("message", pa.string()),
                        ("value", pa.string()),
                    ]
                )
            ),
        ),
    ]
)
"""One row a bad record: where it stands (`byte_start` to `byte_end` of the decoded drop), its text, all its reasons."""


@dataclass(slots=True)
class _Tally:
    """What reading a drop has shown: how many records it has, or why it cannot be read at all."""

    ref: BlobRef
    records: int = 0
    unreadable: UndecodableError | None = None


def write_segment(store: LocalObjectStore, contract: TableContract, view: View, folder: Path) -> SegmentIndex:
    """Parse, judge and write the drops of `view` into the empty `folder`; everything in it is on disk afterwards.

    Returns:
        The index, which is also written into the folder. A drop that cannot be read as a whole counts as one record,
        in quarantine, covering the file.

    Raises:
        StoreError: A drop is missing from the store.
    """
    tallies = [_Tally(ref) for ref in view.inputs if isinstance(ref, BlobRef)]
    for tally in tallies:
        require_blob(store, tally.ref)
    files = [_write_valid(store, contract, view.key, tallies, folder / VALID)]
    bad = _bad_records(folder / VALID, tallies)
    if any(len(numbers) for numbers in bad):
        batches = _all_quarantined(store, contract, view.key, tallies, bad)
        files.append(write_parquet(store, batches, folder / QUARANTINE))
    accounts = tuple(
        DropAccount(
            source=tally.ref,
            records=tally.records,
            valid_rows=tally.records - len(numbers),
            quarantined_rows=len(numbers),
        )
        for tally, numbers in zip(tallies, bad, strict=True)
    )
    return write_index(
        SegmentIndex(view=view.ref, drops=accounts, files=tuple(sorted(files, key=lambda f: f.name))), folder
    )


def write_index(index: SegmentIndex, folder: Path) -> SegmentIndex:
    """Close a segment's folder: its index beside its files, everything on disk."""
    (folder / INDEX).write_bytes(index.to_bytes())
    for path in [*folder.iterdir(), folder]:
        fsync_path(path)
    return index


def quarantine_batches(
    store: LocalObjectStore,
    contract: TableContract,
    segment: Digest,
    source: BlobRef,
    numbers: np.ndarray,
    because: Mapping[int, list[ReasonRow]] | None = None,
) -> Iterator[pa.RecordBatch]:
    """The quarantine rows of some records of one drop, read and judged again: only their bytes are parsed.

    Args:
        store: Where the drop lies.
        contract: What the records are judged by.
        segment: Key of the segment's view.
        source: The drop.
        numbers: Sorted 1-based record numbers.
        because: The reasons, by record, when the records themselves are sound (a repeated key).

    Yields:
        Batches of `QUARANTINE_SCHEMA`, in record order; a few thousand rows at a time, whatever the drop's size.
    """
    for runs in _in_portions(_read(store, contract, source, only=numbers)):
        reasons = _reasons(store, contract, runs, source.digest, segment) if because is None else because
        rows = [
            _quarantine_row(records, number, reasons[number], source.digest, segment)
            for records in runs
            for number in numbers[(numbers >= records.first) & (numbers < records.first + records.count)].tolist()
        ]
        yield from _batches(rows)


def write_parquet(store: LocalObjectStore, batches: Iterator[pa.RecordBatch], path: Path) -> StoredFile:
    """Write quarantine rows as the platform writes all its Parquet: by DuckDB, byte for byte the same each time."""
    with open_session("writer", spill_to=store.spill_folder) as session:
        session.register("rows", pa.RecordBatchReader.from_batches(QUARANTINE_SCHEMA, batches))
        rows = session.execute(f"COPY rows TO {literal(str(path))} (FORMAT parquet)").fetchall()[0][0]
    return stored_file(path, rows)


def reason(
    code: Reason, column: str | None, message: str, *, rule: str | None = None, value: str | None = None
) -> ReasonRow:
    """One reason as quarantine stores it."""
    return {"code": str(code), "column": column, "rule": rule, "message": message, "value": value}


def _in_portions(runs: Iterator[Records]) -> Iterator[list[Records]]:
    """Runs together, until they are worth a query: planning one costs more than judging a thousand records."""
    portion: list[Records] = []
    for records in runs:
        portion.append(records)
        if sum(r.table.num_rows + len(r.refused) for r in portion) >= _ROWS_A_QUERY or len(portion) >= _RUNS_A_QUERY:
            yield portion
            portion = []
    if portion:
        yield portion


def _reasons(
    store: LocalObjectStore, contract: TableContract, runs: Sequence[Records], source: Digest, segment: Digest
) -> dict[int, list[ReasonRow]]:
    """Why records are refused: the reader's word, and the judge's about those that could be read."""
    reasons: dict[int, list[ReasonRow]] = {}
    for records in runs:
        for refusal in records.refused:
            reasons.setdefault(refusal.record, []).append(reason(refusal.reason, refusal.column, refusal.message))
    readable = pa.concat_tables([records.table for records in runs])
    if readable.num_rows:
        with open_session("writer", spill_to=store.spill_folder) as session:
            session.register("records", _with_lineage(readable, source, segment))
            query = compile_judgement(contract).reasons_query("records")
            for number, found in session.execute(f"SELECT _hg_record, reasons FROM ({query})").fetchall():
                reasons.setdefault(number, []).extend(found)
    return reasons


def _quarantine_row(
    records: Records, number: int, reasons: list[ReasonRow], source: Digest, segment: Digest
) -> dict[str, object]:
    at = number - records.first
    return {
        "_hg_source": source,
        "_hg_record": number,
        "_hg_segment": segment,
        "byte_start": int(records.starts[at]),
        "byte_end": int(records.ends[at]),
        "raw": records.raw(number)[:RAW_SHOWN_BYTES].decode("utf-8", "backslashreplace"),
        "reasons": reasons,
    }


def stored_file(path: Path, rows: int) -> StoredFile:
    """Describe a written file by reading it back."""
    return StoredFile(name=path.name, digest=digest_of_file(path), size_bytes=path.stat().st_size, rows=rows)


def _write_valid(
    store: LocalObjectStore, contract: TableContract, segment: Digest, tallies: Sequence[_Tally], path: Path
) -> StoredFile:
    """The clean pass. A drop that turns out to be unreadable in its middle is left out, and the pass starts over."""
    query = compile_judgement(contract).valid_query("records")
    schema = pa.schema([*records_schema(contract), *_LINEAGE_FIELDS])
    while True:
        unreadable = [tally.unreadable for tally in tallies]
        batches = _valid_batches(store, contract, segment, tallies)
        try:
            with open_session("writer", spill_to=store.spill_folder) as session:
                session.register("records", pa.RecordBatchReader.from_batches(schema, batches))
                copy = f"COPY ({query}) TO {literal(str(path))} (FORMAT parquet, ROW_GROUP_SIZE {_ROW_GROUP_ROWS})"
                copied = session.execute(copy).fetchall()
            return stored_file(path, copied[0][0])
        except duckdb.Error:
            if [tally.unreadable for tally in tallies] == unreadable:
                raise
        finally:
            batches.close()


def _valid_batches(
    store: LocalObjectStore, contract: TableContract, segment: Digest, tallies: Sequence[_Tally]
) -> Generator[pa.RecordBatch, None, None]:
    for tally in tallies:
        tally.records = 0 if tally.unreadable is None else 1
        if tally.unreadable is not None:
            continue
        try:
            for records in prefetch(_read(store, contract, tally.ref)):
                tally.records += records.count
                if records.table.num_rows:
                    yield from _with_lineage(records.table, tally.ref.digest, segment).to_batches()
        except UndecodableError as error:
            tally.unreadable = error
            raise


def _read(
    store: LocalObjectStore, contract: TableContract, source: BlobRef, only: np.ndarray | None = None
) -> Iterator[Records]:
    with store.open(blob_key(source.digest)) as file:
        yield from read_records(file, contract, only=only)


def _with_lineage(table: pa.Table, source: str, segment: str) -> pa.Table:
    for field, value in zip(_LINEAGE_FIELDS, (source, segment), strict=True):
        table = table.append_column(field, _constant(value, table.num_rows))
    return table


def _constant(text: str, rows: int) -> pa.DictionaryArray:
    """The same text on every row, held once; by hand, because `pa.array` would import pandas to look for its types."""
    encoded = text.encode()
    offsets = pa.py_buffer(np.array([0, len(encoded)], dtype=np.int32))
    codes = pa.Array.from_buffers(pa.int8(), rows, [None, pa.py_buffer(bytes(rows))])
    return pa.DictionaryArray.from_arrays(codes, pa.StringArray.from_buffers(1, offsets, pa.py_buffer(encoded)))


def _bad_records(valid: Path, tallies: Sequence[_Tally]) -> list[np.ndarray]:
    """Per drop the numbers of the records that are not in the valid file: whatever is missing there was bad."""
    good = pq.ParquetFile(valid, read_dictionary=["_hg_source"]).read(columns=["_hg_source", "_hg_record"])
    sources = good["_hg_source"].unify_dictionaries().combine_chunks()
    codes = {digest: code for code, digest in enumerate(sources.dictionary.to_pylist())}
    # not by `to_numpy`, which would import pandas
    indices, numbers = np.from_dlpack(sources.indices), np.from_dlpack(good["_hg_record"].combine_chunks())
    result = []
    for tally in tallies:
        there = np.zeros(tally.records + 1, dtype=bool)
        there[0] = True
        there[numbers[indices == codes.get(tally.ref.digest, -1)]] = True
        result.append(np.flatnonzero(~there))
    return result


def _all_quarantined(
    store: LocalObjectStore,
    contract: TableContract,
    segment: Digest,
    tallies: Sequence[_Tally],
    bad: Sequence[np.ndarray],
) -> Iterator[pa.RecordBatch]:
    for tally, numbers in zip(tallies, bad, strict=True):
        if tally.unreadable is not None:
            yield from _batches([_unreadable_row(store, tally.ref, tally.unreadable, segment)])
        elif len(numbers):
            yield from quarantine_batches(store, contract, segment, tally.ref, numbers)


def _unreadable_row(
    store: LocalObjectStore, source: BlobRef, error: UndecodableError, segment: Digest
) -> dict[str, object]:
    with store.open(blob_key(source.digest)) as file:
        head = file.read(_HEAD_SHOWN_BYTES)
    return {
        "_hg_source": source.digest,
        "_hg_record": 1,
        "_hg_segment": segment,
        "byte_start": 0,
        "byte_end": source.size_bytes,
        "raw": head.decode("utf-8", "backslashreplace"),
        "reasons": [reason(error.evidence["reason"], None, str(error))],
    }


def _batches(rows: list[dict[str, object]]) -> list[pa.RecordBatch]:
    table = pa.Table.from_pylist(rows, schema=QUARANTINE_SCHEMA)
    return list(table.to_batches())
