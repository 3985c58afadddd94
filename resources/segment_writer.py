"""The segment writer: drops in, `valid.parquet` and `quarantine.parquet` out.

One pass over the clean records, and a second one over the bad ones only.

Everything is written in bulk by DuckDB from a stream of Arrow batches, in bounded memory. The writer's counts go into
the segment's index; nobody relies on them, the gates count for themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.arrow_arrays import constant_text, index_array, int64_array, text_array, text_records_array
from contracts.decoding import UndecodableError
from contracts.duckdb_syntax import literal
from contracts.judgement import compile_judgement
from contracts.prefetching import prefetch
from contracts.reasons import Reason
from contracts.record_runs import RECORD_COLUMN
from contracts.records import Records, read_records, records_schema
from contracts.refs import BlobRef, Digest, View
from contracts.segments import DropAccount, IndexedFile, SegmentIndex, crashed_drops
from contracts.table_contract import TableContract
from resources.background import Background
from resources.block_digests import digests_of_file
from resources.captures import open_blob, require_blob
from resources.duckdb_session import open_session, run_query
from resources.freed_memory import keep_freed_memory
from resources.object_store import ObjectStore, fsync_path
from resources.table_reader import INDEX, QUARANTINE, VALID

ReasonRow = Mapping[str, str | None]
"""code, column, rule, message, value."""

Batches = Callable[[Event], Generator[pa.RecordBatch, None, None]]
"""Makes the batches to write. The event is set when nobody wants them any more."""

RAW_SHOWN_BYTES = 1 << 20
"""Raw text kept in a quarantine row; the whole record is at its byte range in the captured drop."""

_LINEAGE_FIELDS = [pa.field(name, pa.dictionary(pa.int8(), pa.string())) for name in ("_hg_source", "_hg_segment")]

_PARQUET = "FORMAT parquet, ROW_GROUP_SIZE 30720"
"""Row groups of a quarter of DuckDB's default are encoded while records are still read, which takes a fifth off the
wall time for 0.5 % more bytes."""

_HEAD_SHOWN_BYTES = 256
"""Of a drop that cannot be read as a whole."""

_REASONS = pa.list_(pa.struct([(name, pa.string()) for name in ("code", "column", "rule", "message", "value")]))
_PLACE = pa.struct([("byte_start", pa.int64()), ("byte_end", pa.int64()), ("raw", pa.string())])

QUARANTINE_SCHEMA = pa.schema(
    [
        ("_hg_source", pa.string()),
        ("_hg_record", pa.int64()),
        ("_hg_segment", pa.string()),
        *_PLACE,
        ("reasons", _REASONS),
    ]
)
"""One row a bad record: where it stands (`byte_start` to `byte_end` of the decoded drop), its text, all its reasons."""


@dataclass(slots=True)
class _Tally:
    """What reading a drop has shown: how many records it has, or why it cannot be read at all."""

    ref: BlobRef
    records: int = 0
    unreadable: UndecodableError | None = None


def write_segment(store: ObjectStore, contract: TableContract, view: View, folder: Path) -> SegmentIndex:
    """Parse, judge and write the drops of `view` into the empty `folder`; everything in it is on disk afterwards.

    Returns:
        The index, which is also written into the folder. A drop that cannot be read as a whole counts as one record,
        in quarantine, covering the file; so does one that the recipe says to leave alone.

    Raises:
        StoreError: A drop is missing from the store.
    """
    crashed = crashed_drops(view)
    drops = [ref for ref in view.inputs if isinstance(ref, BlobRef)]
    tallies = [_Tally(ref, unreadable=_crash() if ref.digest in crashed else None) for ref in drops]
    for tally in tallies:
        require_blob(store, tally.ref)
    keep_freed_memory()
    rows = _write_valid(store, contract, view.key, tallies, folder / VALID)
    with Background("described") as beside:
        described = beside.submit(lambda: stored_file(folder / VALID, rows))
        bad = _bad_records(folder / VALID, tallies)
        files = [described.result()]
    if any(len(numbers) for numbers in bad):

        def batches(stop: Event) -> Generator[pa.RecordBatch, None, None]:
            return _all_quarantined(store, contract, view.key, tallies, bad, stop)

        files.append(write_quarantine(store, contract, batches, folder / QUARANTINE))
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
    store: ObjectStore,
    contract: TableContract,
    segment: Digest,
    source: BlobRef,
    numbers: np.ndarray,
    because: Mapping[int, Sequence[ReasonRow]] | None = None,
    *,
    stop: Event,
) -> Generator[pa.RecordBatch, None, None]:
    """Some records of one drop, read again as `write_quarantine` wants them: only their bytes are parsed.

    Args:
        store: Where the drop lies.
        contract: How it is read.
        segment: Key of the segment's view.
        source: The drop.
        numbers: Sorted 1-based record numbers.
        because: The reasons, by record, when the records themselves are sound (a repeated key).
        stop: Set when nobody wants them any more.

    Yields:
        Batches in record order, each of what a block of the drop holds.
    """
    for records in prefetch(_read(store, contract, source, only=numbers), stop=stop):
        here = numbers[(numbers >= records.first) & (numbers < records.first + records.count)]
        if len(here):
            yield from _bad_rows(records, here, source.digest, segment, because).to_batches()


def write_quarantine(store: ObjectStore, contract: TableContract, batches: Batches, path: Path) -> IndexedFile:
    """Judge records that are not sound and write them as rows of `QUARANTINE_SCHEMA`, in the order of `batches`."""
    query = compile_judgement(contract).quarantine_query("records")
    return stored_file(path, _copy(store, query, _bad_rows_schema(contract), batches, path))


def reason(
    code: Reason, column: str | None, message: str, *, rule: str | None = None, value: str | None = None
) -> ReasonRow:
    """One reason as quarantine stores it."""
    return {"code": str(code), "column": column, "rule": rule, "message": message, "value": value}


def _bad_rows_schema(contract: TableContract) -> pa.Schema:
    """Records with what quarantine keeps of them beside their cells, and the reasons that are known already."""
    place, given = pa.field("_hg_place", _PLACE), pa.field("_hg_given", _REASONS)
    return pa.schema([*records_schema(contract), *_LINEAGE_FIELDS, place, given])


def _bad_rows(
    records: Records,
    numbers: np.ndarray,
    source: Digest,
    segment: Digest,
    because: Mapping[int, Sequence[ReasonRow]] | None,
) -> pa.Table:
    """Records of one run; those that the reader refused have no cells, but its reasons."""
    refused: dict[int, list[ReasonRow]] = {}
    for refusal in records.refused:
        refused.setdefault(refusal.record, []).append(reason(refusal.reason, refusal.column, refusal.message))
    given = [(refused if because is None else because).get(number) for number in numbers.tolist()]
    raws = [records.raw(number)[:RAW_SHOWN_BYTES].decode("utf-8", "backslashreplace") for number in numbers.tolist()]
    at = numbers - records.first
    place = [int64_array(records.starts[at]), int64_array(records.ends[at]), text_array(raws)]
    table = _with_lineage(_rows_of(records.table, numbers), source, segment)
    table = table.append_column("_hg_place", pa.StructArray.from_arrays(place, fields=list(_PLACE)))
    return table.append_column("_hg_given", text_records_array(given, _REASONS))


def _rows_of(table: pa.Table, numbers: np.ndarray) -> pa.Table:
    """The rows of `numbers`, in that order; of a record that has none, only its number."""
    position = table.schema.get_field_index(RECORD_COLUMN)
    there = np.from_dlpack(table.column(position).combine_chunks()) if table.num_rows else np.empty(0, np.int64)
    found = np.searchsorted(there, numbers)
    missing = (found == len(there)) | (there[np.minimum(found, len(there) - 1)] != numbers) if len(there) else True
    taken = table.take(index_array(np.where(missing, -1, found)))
    return taken.set_column(position, RECORD_COLUMN, int64_array(numbers))


def stored_file(path: Path, rows: int) -> IndexedFile:
    """Describe a written file by reading it back."""
    digest, blocks = digests_of_file(path)
    return IndexedFile(name=path.name, digest=digest, size_bytes=path.stat().st_size, rows=rows, blocks=blocks)


def _write_valid(
    store: ObjectStore, contract: TableContract, segment: Digest, tallies: Sequence[_Tally], path: Path
) -> int:
    """The clean pass, and how many rows it wrote. A drop that is unreadable in its middle is left out in a new one."""
    query = compile_judgement(contract).valid_query("records")
    schema = pa.schema([*records_schema(contract), *_LINEAGE_FIELDS])
    while True:
        with suppress(UndecodableError):
            return _copy(
                store, query, schema, lambda stop: _valid_batches(store, contract, segment, tallies, stop), path
            )


def _copy(store: ObjectStore, query: str, schema: pa.Schema, batches: Batches, path: Path) -> int:
    """Write what `query` makes of the batches, which are called `records` in it, and say how many rows that was.

    Raises:
        BaseException: What the batches raise, itself: DuckDB would tell it as an error of its own.
    """
    stop, stopped_by = Event(), list[BaseException]()
    feed = _fed(batches(stop), stopped_by)
    try:
        with open_session("writer", store=store) as session:
            session.register("records", pa.RecordBatchReader.from_batches(schema, feed))
            copied = run_query(session, f"COPY ({query}) TO {literal(str(path))} ({_PARQUET})", stop=stop)
    except duckdb.Error:
        if stopped_by:
            raise stopped_by[0] from None
        raise
    finally:
        feed.close()
    rows: int = copied[0][0]
    return rows


def _fed(
    batches: Generator[pa.RecordBatch, None, None], stopped_by: list[BaseException]
) -> Generator[pa.RecordBatch, None, None]:
    """The same batches; what ends them early is kept."""
    try:
        yield from batches
    except GeneratorExit:
        raise
    except BaseException as error:
        stopped_by.append(error)
        raise


def _valid_batches(
    store: ObjectStore, contract: TableContract, segment: Digest, tallies: Sequence[_Tally], stop: Event
) -> Generator[pa.RecordBatch, None, None]:
    for tally in tallies:
        tally.records = 0 if tally.unreadable is None else 1
        if tally.unreadable is not None:
            continue
        try:
            for records in prefetch(_read(store, contract, tally.ref), stop=stop):
                tally.records += records.count
                if records.table.num_rows:
                    yield from _with_lineage(records.table, tally.ref.digest, segment).to_batches()
        except UndecodableError as error:
            tally.unreadable = error
            raise


def _read(
    store: ObjectStore, contract: TableContract, source: BlobRef, only: np.ndarray | None = None
) -> Iterator[Records]:
    with open_blob(store, source.digest) as file:
        yield from read_records(file, contract, only=only)


def _with_lineage(table: pa.Table, source: str, segment: str) -> pa.Table:
    for field, value in zip(_LINEAGE_FIELDS, (source, segment), strict=True):
        table = table.append_column(field, constant_text(value, table.num_rows))
    return table


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
    store: ObjectStore,
    contract: TableContract,
    segment: Digest,
    tallies: Sequence[_Tally],
    bad: Sequence[np.ndarray],
    stop: Event,
) -> Generator[pa.RecordBatch, None, None]:
    for tally, numbers in zip(tallies, bad, strict=True):
        if tally.unreadable is not None:
            yield from _unreadable_row(store, contract, tally.ref, tally.unreadable, segment).to_batches()
        elif len(numbers):
            yield from quarantine_batches(store, contract, segment, tally.ref, numbers, stop=stop)


def _crash() -> UndecodableError:
    return UndecodableError(
        reason=Reason.PARSER_CRASHED, where="the whole file", problem="reading it ended the process, twice"
    )


def _unreadable_row(
    store: ObjectStore, contract: TableContract, source: BlobRef, error: UndecodableError, segment: Digest
) -> pa.Table:
    """A drop that cannot be read as a whole: one record without cells, over all of the file."""
    with open_blob(store, source.digest) as file:
        head = file.read(_HEAD_SHOWN_BYTES)
    first, everything = np.array([1]), (np.array([0]), np.array([source.size_bytes]))
    nothing = pa.table({field.name: pa.nulls(0, field.type) for field in records_schema(contract)})
    records = Records(1, *everything, nothing, (), lambda _: head)
    return _bad_rows(records, first, source.digest, segment, {1: [reason(error.evidence["reason"], None, str(error))]})
