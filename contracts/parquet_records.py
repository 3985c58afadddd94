"""Parquet rows to text columns.

A row is a record. Every value becomes the text that the contract's type reads back as the same value, so that Parquet
meets the same rules, in the same words, as CSV does. Dates and times come as ISO 8601; nothing is rounded. A file that
Arrow cannot read is refused whole, since no byte of it can be told to belong to one record.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contracts.arrow_arrays import int64_array
from contracts.decoding import UndecodableError, too_large
from contracts.json_texts import json_objects, json_strings
from contracts.reasons import Reason
from contracts.record_runs import (
    Bools,
    Int64s,
    Matching,
    Records,
    Refusal,
    match_columns,
    ordered,
    records_schema,
    wanted_records,
)
from contracts.table_contract import Expansion, TableContract

_RUN_BYTES = 8 << 20
"""How much of a row group to hold as one run, by the size its own metadata states."""

_MOST_ROWS = 1 << 16

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str, allow_nan=False)


def read_parquet(file: BinaryIO, contract: TableContract, only: Int64s | None) -> Iterator[Records]:
    """Records of a Parquet file; see `contracts.records.read_records`."""
    parquet, names = _opened(file, contract.server.decompression)
    reader = _RowReader(contract, match_columns(names, contract))
    first = 1
    for group in range(parquet.metadata.num_row_groups):
        count = parquet.metadata.row_group(group).num_rows
        if only is None or np.diff(np.searchsorted(only, [first, first + count])) > 0:
            for batch in _batches(parquet, group):
                wanted = wanted_records(only, first, batch.num_rows)
                if len(wanted):
                    yield reader.read(batch, wanted, first)
                first += batch.num_rows
        else:
            first += count


def count_parquet_rows(file: BinaryIO, limit: Expansion) -> int:
    """The number of rows that the footer's row groups state.

    Raises:
        UndecodableError: The file is not Parquet, or states more than the limit allows.
    """
    metadata = _opened(file, limit)[0].metadata
    return sum(int(metadata.row_group(group).num_rows) for group in range(metadata.num_row_groups))


def read_through(file: BinaryIO, limit: Expansion) -> int:
    """The number of rows that are really there: every page is read, as `read_parquet` reads it.

    Raises:
        UndecodableError: The file is not Parquet, breaks somewhere, or states more than the limit allows.
    """
    parquet, _ = _opened(file, limit)
    groups = range(parquet.metadata.num_row_groups)
    return sum(len(batch) for group in groups for batch in _batches(parquet, group))


def _opened(file: BinaryIO, limit: Expansion) -> tuple[pq.ParquetFile, list[str]]:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    try:
        parquet = pq.ParquetFile(file)
        names = parquet.schema_arrow.names
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        problem = _first_line(error)
        raise UndecodableError(reason=Reason.NOT_PARQUET, where="footer", problem=problem) from None
    if _stated_bytes(parquet.metadata) > (most := limit.most_bytes(size)):
        raise too_large(limit, "footer", most)
    return parquet, names


def _stated_bytes(metadata: pq.FileMetaData) -> int:
    """How much the file says it is: a cell is a byte at least, in whatever few bytes a run of equal ones is stored."""
    groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
    return int(max(sum(group.total_byte_size for group in groups), sum(g.num_rows * g.num_columns for g in groups)))


def _batches(parquet: pq.ParquetFile, group: int) -> Iterator[pa.RecordBatch]:
    """The rows of a row group; exactly as many as its metadata states."""
    metadata = parquet.metadata.row_group(group)
    rows = max(1, min(_MOST_ROWS, _RUN_BYTES * metadata.num_rows // max(1, metadata.total_byte_size)))
    missing = metadata.num_rows
    try:
        for batch in parquet.iter_batches(batch_size=rows, row_groups=[group], use_threads=False):
            missing -= batch.num_rows
            yield batch
        problem = f"its rows and the number it states differ by {abs(missing)}" if missing else None
    except (pa.ArrowException, OSError) as error:
        problem = _first_line(error)
    if problem:
        raise UndecodableError(reason=Reason.NOT_PARQUET, where=f"row group {group + 1}", problem=problem)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


class _RowReader:
    """Turns the rows of one file into records."""

    def __init__(self, contract: TableContract, matching: Matching) -> None:
        self._matching = matching
        self._schema = records_schema(contract)
        self._keep = contract.undeclared_columns == "keep"

    def read(self, batch: pa.RecordBatch, wanted: Int64s, first: int) -> Records:
        """The `wanted` rows of a batch that begins with record `first`."""
        index = np.arange(first - 1, first - 1 + batch.num_rows)
        asked = batch if len(wanted) == batch.num_rows else batch.take(pa.array(wanted))
        numbers = wanted + first
        if self._matching.problems:
            problems = self._matching.problems
            refused = [problem.of(number) for number in numbers.tolist() for problem in problems]
            table = self._schema.empty_table()
        else:
            table, refused = self._rows(asked, numbers)

        def raw(record: int) -> bytes:
            if not 0 <= record - first < batch.num_rows:
                msg = f"record {record} is not in this run of {batch.num_rows} records from {first}"
                raise IndexError(msg)
            return _row_as_json(batch.slice(record - first, 1))

        return Records(first, index, index + 1, table, refused, raw)

    def _rows(self, batch: pa.RecordBatch, numbers: Int64s) -> tuple[pa.Table, list[Refusal]]:
        named = [source for source in self._matching.sources if source is not None]
        used = sorted({*named, *(index for index, _ in self._matching.extras)})
        texts = {index: _as_text(batch.column(index)) for index in used}
        refused = [
            Refusal(number, Reason.UNDECODABLE_TEXT, batch.schema.names[index], "the value cannot be written as text")
            for index, text in texts.items()
            for number in numbers[text.undecodable].tolist()
        ]
        absent = pa.nulls(len(numbers), pa.string())
        columns = [absent if source is None else texts[source].values for source in self._matching.sources]
        if self._keep:
            names = [name for _, name in self._matching.extras]
            values = [json_strings(texts[index].values) for index, _ in self._matching.extras]
            columns.append(json_objects(names, values) if names else absent)
        table = pa.Table.from_arrays([*columns, int64_array(numbers)], schema=self._schema)
        if refused:
            sound = ~np.logical_or.reduce([text.undecodable for text in texts.values()])
            table = table.filter(pa.array(sound))
        return table, ordered(refused)


@dataclass(frozen=True, eq=False)
class _Text:
    """A column as text, and which of its values have none (NULL in `values`)."""

    values: pa.StringArray
    undecodable: Bools


def _as_text(column: pa.Array) -> _Text:
    if pa.types.is_dictionary(column.type):
        return _as_text(column.dictionary_decode())
    if isinstance(column, pa.ExtensionArray) and column.type.extension_name != "arrow.uuid":
        return _as_text(column.storage)
    convert = next((convert for matches, convert in _CONVERSIONS if matches(column.type)), _cast)
    values = convert(column)
    return _Text(values, np.asarray(pc.xor(values.is_null(), column.is_null())))


def _cast(column: pa.Array) -> pa.StringArray:
    try:
        return pc.cast(column, pa.string())
    except pa.ArrowNotImplementedError:
        return _one_by_one(column, str)


def _one_by_one(column: pa.Array, text: Callable[[Any], str]) -> pa.StringArray:
    """Each value as Python sees it, as text; NULL for what is no text, or has no Python value."""
    return pa.array([_attempt(value, text) for value in column], pa.string())


def _attempt(value: pa.Scalar, text: Callable[[Any], str]) -> str | None:
    if not value.is_valid:
        return None
    try:
        result = text(value.as_py())
        result.encode()
    except ValueError:  # what is no UTF-8 is one, too
        return None
    return result


def _bytes(column: pa.Array) -> pa.StringArray:
    """Text, and bytes taken for text: writers put either under either, and Arrow checks neither when it reads."""
    plain = pc.cast(column, pa.binary())
    try:
        return pc.cast(plain, pa.string())
    except pa.ArrowInvalid:
        return _one_by_one(plain, bytes.decode)


def _floats(column: pa.Array) -> pa.StringArray:
    """Through double: the shortest text of a float means another double."""
    return pc.cast(pc.cast(column, pa.float64()), pa.string())


def _decimals(column: pa.Array) -> pa.StringArray:
    """Plain digits: Arrow writes small ones with an exponent."""
    texts = pc.cast(column, pa.string())
    small = pc.fill_null(pc.match_substring(texts, "E"), fill_value=False)
    if pc.any(small).as_py():
        plain = [f"{value:f}" for value in column.filter(small).to_pylist()]
        texts = pc.replace_with_mask(texts, small, pa.array(plain, pa.string()))
    return texts


def _timestamps(column: pa.Array) -> pa.StringArray:
    """To the column's own resolution; an instant in UTC, and marked so."""
    if column.type.tz is None:
        return pc.cast(column, pa.string())
    in_utc = pc.cast(pc.cast(column, pa.timestamp(column.type.unit, "UTC")), pa.timestamp(column.type.unit))
    return pc.binary_join_element_wise(pc.cast(in_utc, pa.string()), "+00:00", "")


def _nested(column: pa.Array) -> pa.StringArray:
    return _one_by_one(column, _ENCODER.encode)


def _is_bytes(kind: pa.DataType) -> bool:
    return any(
        matches(kind)
        for matches in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_binary,
            pa.types.is_large_binary,
            pa.types.is_fixed_size_binary,
        )
    )


_CONVERSIONS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], pa.StringArray]], ...] = (
    (_is_bytes, _bytes),
    (pa.types.is_floating, _floats),
    (pa.types.is_decimal, _decimals),
    (pa.types.is_timestamp, _timestamps),
    (pa.types.is_nested, _nested),
)


def _row_as_json(row: pa.RecordBatch) -> bytes:
    """Every column of the file as text; bytes that are none, escaped."""
    cells = (_cell(column) for column in row.columns)
    pairs = (f"{_ENCODER.encode(n)}:{_ENCODER.encode(c)}" for n, c in zip(row.schema.names, cells, strict=True))
    return ("{" + ",".join(pairs) + "}").encode("utf-8", "backslashreplace")


def _cell(column: pa.Array) -> str | None:
    text = _as_text(column)
    if not text.undecodable[0]:
        value: str | None = text.values[0].as_py()
        return value
    plain = pc.cast(column, pa.binary())[0].as_py() if _is_bytes(column.type) else b"?"
    return str(plain, "utf-8", "backslashreplace")
