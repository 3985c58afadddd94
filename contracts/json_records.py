"""JSON Lines to text columns.

Lines are taken apart by the block, as positions: `contracts.json_members` finds names and values of the lines that are
plainly one object each. Every other line (bad, odd in its white space, or with columns that the contract does not
want) meets a strict parser on its own, which also words the refusals. Both give the same text for the same line, and
numbers keep every digit they were written with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contracts.arrow_arrays import int64_array
from contracts.framing import Flaw, FrameKind, frame_lines
from contracts.json_members import Members
from contracts.json_texts import Pairs, compact_json, json_string, parse_json_text
from contracts.reasons import Reason
from contracts.record_runs import (
    Bools,
    Int64s,
    Problem,
    Records,
    Refusal,
    Slices,
    column_positions,
    column_problems,
    may_not_be_absent,
    ordered,
    records_schema,
    wanted_records,
)
from contracts.table_contract import LINEAGE_PREFIX, JsonLinesFormat, TableContract

_BLOCK_BYTES = 1 << 20
"""Smaller than for CSV: many positions are kept for each byte, and they should stay in the processor's cache."""

_MANY_EXTRAS = 64
"""More undeclared names than this in one block are not worth columns of their own."""


def read_json_lines(
    chunks: Iterable[bytes], contract: TableContract, jsonl: JsonLinesFormat, only: Int64s | None
) -> Iterator[Records]:
    """Records of a decoded JSON Lines file; see `contracts.records.read_records`."""
    reader = _LineReader(contract)
    first = 1
    for batch in frame_lines(chunks, jsonl, block_bytes=_BLOCK_BYTES):
        frames = np.flatnonzero(batch.kinds == FrameKind.RECORD)
        wanted = wanted_records(only, first, len(frames))
        if len(wanted):
            starts, ends, flawed = batch.starts[frames], batch.ends[frames], batch.flaws[frames] != Flaw.NONE
            records = Slices(batch.text, starts, ends, np.arange(first, first + len(frames)))
            asked, bad = records.where(wanted), flawed[wanted]
            table, refused = reader.read(asked.where(~bad))
            refused += [_too_long.of(number) for number in asked.numbers[bad].tolist()]
            yield Records(first, starts + batch.offset, ends + batch.offset, table, ordered(refused), records.piece)
        first += len(frames)


_too_long = Problem(Reason.RECORD_TOO_LONG, None, Reason.RECORD_TOO_LONG.meaning)


class _LineReader:
    """Reads the lines of one file: together where it can, one by one where it must."""

    def __init__(self, contract: TableContract) -> None:
        self._contract = contract
        self._positions = column_positions(contract)
        self._needed = [i for i, c in enumerate(contract.columns) if may_not_be_absent(c)]
        self._schema = records_schema(contract)
        self._keep = contract.undeclared_columns == "keep"

    def read(self, records: Slices) -> tuple[pa.Table, list[Refusal]]:
        """Rows and refusals of sound frames."""
        table, taken = self._read_together(records)
        if taken.all():
            return table, []
        others, refused = self._read_singly(records.where(~taken))
        if others.num_rows:
            table = pa.concat_tables([table, others]).sort_by("_hg_record")
        return table, refused

    def _read_together(self, records: Slices) -> tuple[pa.Table, Bools]:
        """A table of those lines that are plainly rows, and which ones these are."""
        members = Members.of(records)
        targets = self._targets(members)
        taken = members.sound & ~self._against_contract(members, targets)
        chosen = np.flatnonzero(taken[members.lines])
        by_target = _by_value(targets[members.name_codes[chosen]])
        indexes = {target: chosen[places] for target, places in by_target.items()}
        nothing = np.empty(0, np.int64)
        columns = [members.texts(indexes.get(i, nothing)) for i in range(len(self._contract.columns))]
        if self._keep:
            extras = {members.names[-1 - target]: index for target, index in indexes.items() if target < 0}
            columns.append(_extras(members, extras))
        table = pa.Table.from_arrays([*columns, int64_array(records.numbers)], schema=self._schema)
        return table if taken.all() else table.filter(pa.array(taken)), taken

    def _targets(self, members: Members) -> Int64s:
        """For each name the position of its column, or -1 - (its own index) when it is undeclared."""
        targets = [self._positions.get(name, -1 - i) for i, name in enumerate(members.names)]
        return np.array(targets, np.int64)

    def _against_contract(self, members: Members, targets: Int64s) -> Bools:
        """Lines with a column twice, with one that must not be there, or without one that must."""
        lines, against = members.lines, np.zeros(len(members.sound), bool)
        against[_lines_with_repeats(members, targets)] = True
        undeclared = [name for name in members.names if name not in self._positions]
        if undeclared:
            welcome = self._keep and len(undeclared) <= _MANY_EXTRAS
            refused = [
                name not in self._positions and (not welcome or name.startswith(LINEAGE_PREFIX))
                for name in members.names
            ]
            against[lines[np.array(refused)[members.name_codes]]] = True
        for position in self._needed:
            present = np.zeros(len(against), bool)
            present[lines[np.isin(members.name_codes, np.flatnonzero(targets == position))]] = True
            against |= ~present
        return against

    def _read_singly(self, records: Slices) -> tuple[pa.Table, list[Refusal]]:
        rows: list[list[Any]] = []
        refused: list[Refusal] = []
        for number, line in records.pieces():
            cells, problems = self._read_line(line)
            if problems:
                refused += [problem.of(number) for problem in problems]
            else:
                rows.append([*cells, number])
        columns = zip(*rows, strict=True) if rows else [[]] * len(self._schema)
        arrays = [pa.array(column, kind) for column, kind in zip(columns, self._schema.types, strict=True)]
        return pa.Table.from_arrays(arrays, schema=self._schema), refused

    def _read_line(self, line: bytes) -> tuple[list[str | None], Sequence[Problem]]:
        """The cells of one line, `_hg_extra` included, and why it is no row."""
        try:
            value = parse_json_text(line.decode().removesuffix("\n").removesuffix("\r"))
        except UnicodeDecodeError:
            return [], [_no_text]
        except ValueError as error:
            return [], [Problem(Reason.NOT_JSON, None, f"the line is not JSON: {error}")]
        if not isinstance(value, Pairs):
            return [], [Problem(Reason.NOT_AN_OBJECT, None, Reason.NOT_AN_OBJECT.meaning)]
        cells, extras, problems = self._sort_out(value)
        if problems:
            return [], problems
        texts = [None if cell is None else _text(cell) for cell in cells]
        if self._keep:
            texts.append(compact_json(Pairs(sorted(extras.items()))) if extras else None)
        return texts, [] if all(text is None or _is_unicode(text) for text in texts) else [_half_character]

    def _sort_out(self, members: Pairs) -> tuple[list[Any], dict[str, Any], Sequence[Problem]]:
        """Values for the contract's columns, undeclared ones, and what is wrong with the names."""
        columns = self._contract.columns
        cells: list[Any] = [None] * len(columns)
        seen: set[int] = set()
        extras: dict[str, Any] = {}
        repeated = []
        for name, value in members:
            position = self._positions.get(name)
            if (position is None and name in extras) or position in seen:
                repeated.append(name)
            elif position is None:
                extras[name] = value
            else:
                cells[position] = value
                seen.add(position)
        missing = [columns[i].name for i in self._needed if i not in seen]
        problems = column_problems(
            self._contract, undeclared=list(extras), repeated=repeated, missing=missing, subject="record"
        )
        return cells, extras, problems


def _by_value(values: Int64s) -> dict[int, Int64s]:
    """For each value where it stands, ascending."""
    order = np.argsort(values, kind="stable")
    found, firsts = np.unique(values[order], return_index=True)
    return dict(zip(found.tolist(), np.split(order, firsts[1:]), strict=True)) if len(found) else {}


def _lines_with_repeats(members: Members, targets: Int64s) -> Int64s:
    """Lines in which two members have one target."""
    codes, span = members.name_codes, len(targets)
    if len(np.unique(targets)) < span:
        codes = np.unique(targets, return_inverse=True)[1][codes]
    cells = members.lines * span + codes
    steps = np.diff(cells)
    if (steps > 0).all():  # as it is where every line has its names in the order of the first one
        return np.empty(0, np.int64)
    cells = np.sort(cells)
    repeats: Int64s = cells[1:][np.diff(cells) == 0] // span
    return repeats


def _extras(members: Members, extras: Mapping[str, Int64s]) -> pa.StringArray:
    """Undeclared members, given by name, as one JSON object a line, names ascending."""
    if not extras:
        return pa.nulls(len(members.sound), pa.string())
    pieces = []
    for name, index in sorted(extras.items()):
        piece = pc.binary_join_element_wise(f",{json_string(name)}:", members.json(index), "")
        pieces.append(pc.fill_null(piece, ""))
    inner = pc.binary_join_element_wise(*pieces, "")
    objects = pc.binary_join_element_wise(pc.utf8_replace_slice(inner, 0, 1, "{"), "}", "")
    return pc.if_else(pc.equal(inner, ""), pa.scalar(None, pa.string()), objects)


_no_text = Problem(Reason.UNDECODABLE_TEXT, None, Reason.UNDECODABLE_TEXT.meaning)
_half_character = Problem(
    Reason.UNDECODABLE_TEXT, None, r"a \u escape names half of a surrogate pair, which is no character"
)


def _text(value: Any) -> str:
    """A scalar as its content, anything nested as compact JSON."""
    return value if type(value) is str else compact_json(value)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
