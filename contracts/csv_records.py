"""CSV frames to text columns.

Clean records are parsed in bulk by Arrow, which is right about them because framing has already refused what Arrow
would guess at; every bulk parse is checked against the number of frames. Records with an escape character, which Arrow
reads by other rules, are split one by one. Typing and judging values is not done here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from contracts.arrow_arrays import int64_array
from contracts.framing import Flaw, FrameBatch, FrameKind, Uint8s, frame_csv
from contracts.json_texts import json_objects, json_strings
from contracts.reasons import Reason
from contracts.record_runs import (
    Bools,
    Int64s,
    Matching,
    Problem,
    Records,
    Refusal,
    Slices,
    match_columns,
    ordered,
    records_schema,
    wanted_records,
)
from contracts.table_contract import CsvFormat, TableContract

_BOM = b"\xef\xbb\xbf"

_FLAWS = {flaw: Reason[flaw.name] for flaw in Flaw if flaw is not Flaw.NONE}


def read_csv(
    chunks: Iterable[bytes], contract: TableContract, csv: CsvFormat, only: Int64s | None
) -> Iterator[Records]:
    """Records of a decoded CSV file; see `contracts.records.read_records`."""
    reader = _CsvReader(contract, csv)
    matching = None if csv.header else match_columns([c.name for c in contract.columns], contract)
    first = 1
    for batch in frame_csv(chunks, csv):
        header = np.flatnonzero(batch.kinds == FrameKind.HEADER)
        if len(header):
            matching = reader.match_header(batch, int(header[0]))
        frames = np.flatnonzero(batch.kinds == FrameKind.RECORD)
        wanted = wanted_records(only, first, len(frames))
        if len(wanted) and matching is not None:
            starts, ends = batch.starts[frames], batch.ends[frames]
            records = Slices(batch.text, starts, ends, np.arange(first, first + len(frames)))
            table, refused = reader.read(records, batch.flaws[frames], wanted, matching)
            yield Records(first, starts + batch.offset, ends + batch.offset, table, refused, records.piece)
        first += len(frames)


@dataclass(frozen=True)
class _Rows:
    """Parsed records: one text array a column of the file, the records' numbers, and what did not become a row."""

    columns: list[pa.StringArray]
    numbers: Int64s
    refused: list[Refusal]

    def merged(self, others: _Rows) -> _Rows:
        """These rows and others of the same file, by number."""
        numbers = np.concatenate((self.numbers, others.numbers))
        order = np.argsort(numbers)
        pairs = zip(self.columns, others.columns, strict=True)
        columns = [pa.concat_arrays(pair).take(pa.array(order)) for pair in pairs]
        return _Rows(columns, numbers[order], self.refused + others.refused)


class _CsvReader:
    """Parses the records of one file."""

    def __init__(self, contract: TableContract, csv: CsvFormat) -> None:
        self._contract = contract
        self._csv = csv
        self._splitter = FieldSplitter(csv)
        self._schema = records_schema(contract)

    def match_header(self, batch: FrameBatch, index: int) -> Matching:
        """What the header says, or why it says nothing."""
        flaw = Flaw(batch.flaws[index])
        if flaw is not Flaw.NONE:
            return _unreadable_header(_FLAWS[flaw])
        try:
            names = [f.decode() for f in self._splitter.fields(batch.text[batch.starts[index] : batch.ends[index]])]
        except UnicodeDecodeError:
            return _unreadable_header(Reason.UNDECODABLE_TEXT)
        return match_columns(names, self._contract)

    def read(
        self, records: Slices, flaws: Uint8s, wanted: Int64s, matching: Matching
    ) -> tuple[pa.Table, list[Refusal]]:
        """Rows and refusals of the `wanted` ones among `records`."""
        asked, flaws = records.where(wanted), flaws[wanted]
        flawed = flaws != Flaw.NONE
        refused = [
            Refusal(number, _FLAWS[flaw], None, _FLAWS[flaw].meaning)
            for number, flaw in zip(asked.numbers[flawed].tolist(), flaws[flawed].tolist(), strict=True)
        ]
        if matching.problems:
            refused += [problem.of(number) for number in asked.numbers.tolist() for problem in matching.problems]
            return self._schema.empty_table(), ordered(refused)
        rows = self._parse(asked.where(~flawed), matching.width)
        return self._table(rows, matching), ordered(refused + rows.refused)

    def _table(self, rows: _Rows, matching: Matching) -> pa.Table:
        count = len(rows.numbers)
        absent = pa.nulls(count, pa.string())
        columns = [absent if source is None else rows.columns[source] for source in matching.sources]
        if self._contract.undeclared_columns == "keep":
            names = [name for _, name in matching.extras]
            values = [json_strings(rows.columns[index]) for index, _ in matching.extras]
            columns.append(json_objects(names, values) if names else absent)
        return pa.Table.from_arrays([*columns, int64_array(rows.numbers)], schema=self._schema)

    def _parse(self, records: Slices, width: int) -> _Rows:
        """Rows of sound frames: in bulk, except what needs care."""
        undecodable = records.undecodable()
        refused = [_undecodable(number) for number in records.numbers[undecodable].tolist()]
        records = records.where(~undecodable)
        escaped = self._with_escape(records)
        rows = self._parse_in_bulk(records.where(~escaped), width)
        if escaped.any():
            rows = rows.merged(self._parse_singly(records.where(escaped), width))
        return _Rows(rows.columns, rows.numbers, refused + rows.refused)

    def _with_escape(self, records: Slices) -> Bools:
        """Records with an escape character: Arrow would let it escape outside quotes too."""
        mask = np.zeros(len(records), bool)
        escape = self._splitter.escape
        if escape is not None and escape in records.text:
            escapes = np.flatnonzero(np.frombuffer(records.text, np.uint8) == escape[0])
            mask = np.searchsorted(escapes, records.starts) < np.searchsorted(escapes, records.ends)
        return mask

    def _parse_in_bulk(self, records: Slices, width: int) -> _Rows:
        if not len(records):
            return self._parse_singly(records, width)
        columns, misfits = self._arrow(records, width)
        rows = np.array([row for row, _ in misfits], np.int64) - 1
        fits = np.ones(len(records), bool)
        fits[rows] = False
        if any(len(column) != np.count_nonzero(fits) for column in columns):
            return self._parse_singly(records, width)
        refused = [_misfit(int(records.numbers[r]), width, n) for r, (_, n) in zip(rows, misfits, strict=True)]
        return _Rows(columns, records.numbers[fits], refused)

    def _arrow(self, records: Slices, width: int) -> tuple[list[pa.StringArray], list[tuple[int, int]]]:
        """Columns and, of the records with another width, row (from 1) and width."""
        misfits: list[tuple[int, int]] = []

        def skip(row: pa_csv.InvalidRow) -> str:
            misfits.append((row.number, row.actual_columns))
            return "skip"

        data = records.joined()
        if data[: len(_BOM)] == _BOM:
            data = _BOM + bytes(data)  # Arrow drops one at the start of what it takes for a file; here it is data
        names = [str(i) for i in range(width)]
        csv = self._csv
        table = pa_csv.read_csv(
            pa.BufferReader(pa.py_buffer(data)),
            pa_csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=names),
            pa_csv.ParseOptions(
                delimiter=csv.delimiter,
                quote_char=csv.quote or False,
                double_quote=self._splitter.escape is None,
                newlines_in_values=csv.quote is not None,
                invalid_row_handler=skip,
            ),
            pa_csv.ConvertOptions(
                check_utf8=False,
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=True,
                null_values=list(csv.null_markers),
            ),
        )
        return [_single_chunk(column) for column in table.columns], misfits

    def _parse_singly(self, records: Slices, width: int) -> _Rows:
        """The same as in bulk, one record after the other."""
        cells: list[list[str | None]] = [[] for _ in range(width)]
        numbers: list[int] = []
        refused: list[Refusal] = []
        nulls = set(self._csv.null_markers)
        for number, record in records.pieces():
            fields = self._splitter.fields(record)
            if len(fields) != width:
                refused.append(_misfit(number, width, len(fields)))
                continue
            numbers.append(number)
            for column, text in zip(cells, (field.decode() for field in fields), strict=True):
                column.append(None if text in nulls else text)
        return _Rows([pa.array(column, pa.string()) for column in cells], np.array(numbers, np.int64), refused)


class FieldSplitter:
    """Cuts one sound record (no flaw) into the fields it holds."""

    def __init__(self, csv: CsvFormat) -> None:
        self._delimiter = csv.delimiter.encode()
        self._quote = csv.quote.encode() if csv.quote else None
        self.escape = csv.escape.encode() if csv.escape and csv.escape != csv.quote else None
        if self._quote:
            quote, literal = re.escape(self._quote), re.escape(self.escape or self._quote)
            inside = literal + b"." if self.escape else literal + quote
            self._quoted = re.compile(rb"((?:[^" + quote + literal + rb"]|" + inside + rb")*)" + quote, re.DOTALL)
            self._literal = re.compile(literal + rb"(.)", re.DOTALL)

    def fields(self, record: bytes) -> list[bytes]:
        """The fields, quotes and escapes taken off, line end left out."""
        body = record[: len(record) - _line_end_size(record)]
        if self._quote is None or self._quote not in body:
            return body.split(self._delimiter)
        fields, position = [], 0
        while True:
            if body[position : position + 1] == self._quote and (match := self._quoted.match(body, position + 1)):
                fields.append(self._literal.sub(rb"\1", match[1]))
                position = match.end()
            else:
                end = body.find(self._delimiter, position)
                fields.append(body[position : end if end >= 0 else len(body)])
                position += len(fields[-1])
            if position == len(body):
                return fields
            position += 1


def _line_end_size(record: bytes) -> int:
    if record.endswith(b"\r\n"):
        return 2
    return 1 if record.endswith((b"\n", b"\r")) else 0


def _unreadable_header(reason: Reason) -> Matching:
    return Matching((), (), (Problem(reason, None, f"the header cannot be read: {reason.meaning}"),), 0)


def _misfit(number: int, expected: int, found: int) -> Refusal:
    return Refusal(number, Reason.FIELD_COUNT, None, f"expected {expected} fields, found {found}")


def _undecodable(number: int) -> Refusal:
    return Refusal(number, Reason.UNDECODABLE_TEXT, None, Reason.UNDECODABLE_TEXT.meaning)


def _single_chunk(column: pa.ChunkedArray) -> pa.Array:
    """One block gives one chunk, which combining would copy."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
