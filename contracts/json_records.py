"""JSON Lines to text columns.

Lines are taken apart by the block, as positions: `contracts.json_members` finds names and values of the lines that are
plainly one object each. Every other line (bad, odd in its white space, or with columns that the contract does not
want) meets a strict parser on its own, which also words the refusals. Both give the same text for the same line, and
numbers keep every digit they were written with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contracts.framing import Flaw, FrameKind, frame_lines
from contracts.json_members import Members
from contracts.json_texts import Literal, Pairs, compact_json, json_string, json_strings, parse_json_text
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

_MANY_EXTRAS = 64
"""More undeclared names than this in one block are not worth columns of their own."""


def read_json_lines(
    chunks: Iterable[bytes], contract: TableContract, jsonl: JsonLinesFormat, only: Int64s | None
) -> Iterator[Records]:
    """Records of a decoded JSON Lines file; see `contracts.records.read_records`."""
    reader = _LineReader(contract)
    first = 1
    for batch in frame_lines(chunks, jsonl):
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
        chosen = taken[members.lines]
        columns = [members.texts(np.flatnonzero(chosen & (targets == i))) for i in range(len(self._contract.columns))]
        if self._keep:
            columns.append(self._extras(members, targets, chosen))
        table = pa.Table.from_arrays([*columns, pa.array(records.numbers)], schema=self._schema)
        return table if taken.all() else table.filter(pa.array(taken)), taken

    def _targets(self, members: Members) -> Int64s:
        """For each member the position of its column, or -1 - (index of its name) when it is undeclared."""
        targets = [self._positions.get(name, -1 - i) for i, name in enumerate(members.names)]
        return np.array(targets, np.int64)[members.name_codes]

    def _against_contract(self, members: Members, targets: Int64s) -> Bools:
        """Lines with a column twice, with one that must not be there, or without one that must."""
        lines, against = members.lines, np.zeros(len(members.sound), bool)
        span = len(self._positions) + len(members.names) + 1
        cells = np.sort(lines * span + (targets + len(members.names)))
        against[cells[1:][np.diff(cells) == 0] // span] = True
        undeclared = [name for name in members.names if name not in self._positions]
        if undeclared:
            welcome = self._keep and len(undeclared) <= _MANY_EXTRAS
            refused = np.array([not welcome or name.startswith(LINEAGE_PREFIX) for name in members.names])
            against[lines[(targets < 0) & refused[members.name_codes]]] = True
        for position in self._needed:
            present = np.zeros(len(against), bool)
            present[lines[targets == position]] = True
            against |= ~present
        return against

    def _extras(self, members: Members, targets: Int64s, chosen: Bools) -> pa.StringArray:
        """Undeclared members as one JSON object a line, names ascending."""
        pieces = []
        for name, code in sorted((name, i) for i, name in enumerate(members.names) if name not in self._positions):
            index = np.flatnonzero(chosen & (targets == -1 - code))
            if len(index):
                piece = pc.binary_join_element_wise(f",{json_string(name)}:", members.json(index), "")
                pieces.append(pc.fill_null(piece, ""))
        if not pieces:
            return pa.nulls(len(members.sound), pa.string())
        inner = pc.binary_join_element_wise(*pieces, "")
        objects = pc.binary_join_element_wise(pc.utf8_replace_slice(inner, 0, 1, "{"), "}", "")
        return pc.if_else(pc.equal(inner, ""), pa.scalar(None, pa.string()), objects)

    def _read_singly(self, records: Slices) -> tuple[pa.Table, list[Refusal]]:
        rows: list[list[Any]] = []
        refused: list[Refusal] = []
        for number, line in records.pieces():
            outcome = self._read_line(line)
            if isinstance(outcome, list):
                rows.append([*outcome, number])
            else:
                refused += [problem.of(number) for problem in outcome]
        columns = zip(*rows, strict=True) if rows else [[]] * len(self._schema)
        arrays = [pa.array(column, kind) for column, kind in zip(columns, self._schema.types, strict=True)]
        return pa.Table.from_arrays(arrays, schema=self._schema), refused

    def _read_line(self, line: bytes) -> list[str | None] | Sequence[Problem]:
        """The cells of one line, `_hg_extra` included, or why there are none."""
        try:
            value = parse_json_text(line.decode())
        except UnicodeDecodeError:
            return [_no_text]
        except ValueError as error:
            return [Problem(Reason.NOT_JSON, None, f"the line is not JSON: {error}")]
        if not isinstance(value, Pairs):
            return [Problem(Reason.NOT_AN_OBJECT, None, Reason.NOT_AN_OBJECT.meaning)]
        cells, extras, problems = self._sort_out(value)
        if problems:
            return problems
        texts = [None if cell is None else _text(cell) for cell in cells]
        if self._keep:
            texts.append(compact_json(Pairs(sorted(extras.items()))) if extras else None)
        return texts if all(text is None or _is_unicode(text) for text in texts) else [_half_character]

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
