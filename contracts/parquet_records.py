"""Parquet rows to text columns.

A row is a record. Every value becomes the text that the contract's type reads back as the same value, so that Parquet
meets the same rules, in the same words, as CSV does. Statistics, dictionaries and encodings of the file are not looked at.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contracts.decoding import UndecodableError
from contracts.json_texts import json_objects, json_strings
from contracts.reasons import Reason
from contracts.record_runs import (
    Bools,
    Int64s,
    Matching,
    Records,
    Refusal,
    match_columns,
    records_schema,
    wanted_records,
)
from contracts.table_contract import TableContract

_ROWS = 1 << 15
"""Rows a run; a constant, because a row's size is not known beforehand."""


def read_parquet(file: BinaryIO, contract: TableContract, only: Int64s | None) -> Iterator[Records]:
    """Records of a Parquet file; see `contracts.records.read_records`."""
    parquet = _opened(file)
    matching = match_columns(parquet.schema_arrow.names, contract)
    first = 1
    for group in range(parquet.metadata.num_row_groups):
        rows = parquet.metadata.row_group(group).num_rows
        if len(wanted_records(only, first, rows)):
            yield from _read_group(parquet, group, contract, matching, only, first)
        first += rows


def count_parquet_rows(file: BinaryIO) -> int:
    """The number of rows that the footer's row groups state.

    Raises:
        UndecodableError: The file is not Parquet.
    """
    metadata = _opened(file).metadata
    return sum(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))


def _opened(file: BinaryIO) -> pq.ParquetFile:
    try:
        file.seek(0)
        return pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise _not_parquet("the file", error) from None


def _not_parquet(where: str, error: Exception) -> UndecodableError:
    return UndecodableError(reason=Reason.NOT_PARQUET, where=where, problem=str(error).splitlines()[0])


def _read_group(
    parquet: pq.ParquetFile, group: int, contract: TableContract, matching: Matching, only: Int64s | None, first: int
) -> Iterator[Records]:
    last = first + parquet.metadata.row_group(group).num_rows
    batches = parquet.iter_batches(batch_size=_ROWS, row_groups=[group], use_threads=False)
    while first < last:
        try:
            batch = next(batches)
        except (pa.ArrowException, OSError) as error:
            raise _not_parquet(f"row group {group + 1}", error) from None
        except StopIteration:
            problem = f"it ends {last - first} rows before its number of rows"
            raise UndecodableError(
                reason=Reason.NOT_PARQUET, where=f"row group {group + 1}", problem=problem
            ) from None
        wanted = wanted_records(only, first, batch.num_rows)
        if len(wanted):
            yield _records(batch, contract, matching, wanted, first)
        first += batch.num_rows


def _records(batch: pa.RecordBatch, contract: TableContract, matching: Matching, wanted: Int64s, first: int) -> Records:
    index = np.arange(first - 1, first - 1 + batch.num_rows)
    asked = batch if len(wanted) == batch.num_rows else batch.take(pa.array(wanted))
    numbers = wanted + first
    if matching.problems:
        refused = [problem.of(number) for number in numbers.tolist() for problem in matching.problems]
        table = records_schema(contract).empty_table()
    else:
        table, refused = _rows(asked, contract, matching, numbers)

    def raw(record: int) -> bytes:
        return _row_as_json(batch.slice(record - first, 1))

    return Records(first, index, index + 1, table, refused, raw)


def _rows(
    batch: pa.RecordBatch, contract: TableContract, matching: Matching, numbers: Int64s
) -> tuple[pa.Table, list[Refusal]]:
    texts = {index: _as_text(batch.column(index)) for index in {*matching.sources} - {None}}
    texts |= {index: _as_text(batch.column(index)) for index, _ in matching.extras}
    bad = np.zeros(len(numbers), bool)
    refused: list[Refusal] = []
    for index, (_, undecodable) in sorted(texts.items()):
        name = batch.schema.names[index]
        for number in numbers[undecodable].tolist():
            refused.append(Refusal(number, Reason.UNDECODABLE_TEXT, name, Reason.UNDECODABLE_TEXT.meaning))
        bad |= undecodable
    absent = pa.nulls(len(numbers), pa.string())
    columns = [absent if source is None else texts[source][0] for source in matching.sources]
    if contract.undeclared_columns == "keep":
        names = [name for _, name in matching.extras]
        values = [json_strings(texts[index][0]) for index, _ in matching.extras]
        columns.append(json_objects(names, values) if names else absent)
    table = pa.Table.from_arrays([*columns, pa.array(numbers)], schema=records_schema(contract))
    refused.sort(key=lambda refusal: refusal.record)
    return (table.filter(pa.array(~bad)) if bad.any() else table), refused


def _as_text(column: pa.Array) -> tuple[pa.StringArray, Bools]:
    """Values as text, and which of them are bytes that are no UTF-8 (their text is NULL)."""
    undecodable = np.zeros(len(column), bool)
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _as_text(column.dictionary_decode())
    if isinstance(column, pa.ExtensionArray):
        return _as_text(column.storage)
    if _is_bytes(kind):
        return _decoded(column)
    if pa.types.is_floating(kind):
        # Through double: the digits of a float's own shortest text mean another double.
        return pc.cast(pc.cast(column, pa.float64()), pa.string()), undecodable
    for matches, to_text in _TO_TEXT:
        if matches(kind):
            return to_text(column), undecodable
    return pc.cast(column, pa.string()), undecodable


def _is_bytes(kind: pa.DataType) -> bool:
    """Text too: writers may put bytes that are no UTF-8 under it, and Arrow reads them unchecked."""
    return any(
        matches(kind)
        for matches in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_string_view,
            pa.types.is_binary,
            pa.types.is_large_binary,
            pa.types.is_binary_view,
            pa.types.is_fixed_size_binary,
        )
    )


def _decoded(column: pa.Array) -> tuple[pa.StringArray, Bools]:
    plain = pc.cast(column, pa.binary())
    try:
        text = pc.cast(plain, pa.string())
    except pa.ArrowInvalid:
        values = [_text_or_none(value) for value in plain.to_pylist()]
        text = pa.array(values, pa.string())
    undecodable = np.asarray(pc.xor(text.is_null(), plain.is_null()))
    return text, undecodable


def _text_or_none(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _decimals(column: pa.Array) -> pa.StringArray:
    """Plain digits: Arrow's cast writes small ones with an exponent."""
    return pa.array([None if v is None else f"{v:f}" for v in column.to_pylist()], pa.string())


def _timestamps(column: pa.Array) -> pa.StringArray:
    """ISO 8601 to the column's own resolution; an instant in UTC, marked so."""
    zone = "+00:00" if column.type.tz else ""
    naive = pc.cast(column, pa.timestamp(column.type.unit))
    return pc.binary_join_element_wise(pc.cast(naive, pa.string()), zone, "")


def _nested(column: pa.Array) -> pa.StringArray:
    return pa.array([None if v is None else _json(v) for v in column.to_pylist()], pa.string())


_TO_TEXT: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], pa.StringArray]], ...] = (
    (pa.types.is_decimal, _decimals),
    (pa.types.is_timestamp, _timestamps),
    (pa.types.is_nested, _nested),
)


def _row_as_json(row: pa.RecordBatch) -> bytes:
    pairs = zip(row.schema.names, (column.to_pylist()[0] for column in row.columns), strict=True)
    inner = ",".join(f"{_json(name)}:{_json(value)}" for name, value in pairs)
    return ("{" + inner + "}").encode("utf-8", "backslashreplace")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
