"""What reading a file gives: runs of records, each either a row of text or refused with reasons.

Also how the names that a file brings find the contract's columns. Nothing here reads a format; the readers of CSV,
JSON Lines and Parquet share these words, so that a record is judged alike wherever it came from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.reasons import Reason
from contracts.table_contract import EXTRA_COLUMN, LINEAGE_PREFIX, Column, TableContract

Int64s = NDArray[np.int64]
Bools = NDArray[np.bool_]

RECORD_COLUMN = "_hg_record"

_SHOWN_NAMES = 8
_SHOWN_CHARACTERS = 80


class Refusal(NamedTuple):
    """Why one record is not a row. A record may have several.

    Attributes:
        record: 1-based number in the file.
        reason: The code.
        column: The column it is about, when it is about exactly one.
        message: What, where and, where it is not plain from the code, what was expected.
    """

    record: int
    reason: Reason
    column: str | None
    message: str


@dataclass(frozen=True, eq=False)
class Records:
    """Consecutive records of one file.

    Attributes:
        first: Number of the first record, 1-based.
        starts: int64, one a record; where its bytes begin in the decoded file. In Parquet, which has no such place,
            the row's 0-based index in the file.
        ends: int64, one a record; where they end (exclusive), line end included. In Parquet the index + 1.
        table: The sound records: the contract's columns as text in its order, NULL for null markers and absent
            columns, then `_hg_extra` when undeclared columns are kept, then `_hg_record` (int64, ascending).
        refused: Why the other records are not in `table`, ascending by record.
        raw: The bytes of one record of this run, by its number; for Parquet the row as a JSON object.
    """

    first: int
    starts: Int64s
    ends: Int64s
    table: pa.Table
    refused: Sequence[Refusal]
    raw: Callable[[int], bytes]

    @property
    def count(self) -> int:
        """How many records this run has, whether or not they were asked for."""
        return len(self.starts)


@dataclass(frozen=True)
class Problem:
    """Something wrong with the columns of a file, or of one record that brings its own names."""

    reason: Reason
    column: str | None
    message: str

    def of(self, record: int) -> Refusal:
        """The same as a refusal of one record."""
        return Refusal(record, self.reason, self.column, self.message)


@dataclass(frozen=True)
class Matching:
    """How a file's columns serve the contract's.

    Attributes:
        sources: For each of the contract's columns its index in the file, None when absent.
        extras: Index and name of the undeclared columns, by name; they go to `_hg_extra`.
        problems: Why no record of this file can become a row; empty when they can.
        width: How many columns the file has.
    """

    sources: tuple[int | None, ...]
    extras: tuple[tuple[int, str], ...]
    problems: tuple[Problem, ...]
    width: int


@dataclass(frozen=True, eq=False)
class Slices:
    """Some records of a block, ascending: their numbers in the file and where they lie in `text`."""

    text: bytes
    starts: Int64s
    ends: Int64s
    numbers: Int64s

    def __len__(self) -> int:
        return len(self.numbers)

    def where(self, chosen: Bools | Int64s) -> Slices:
        """The chosen ones, by mask or by index."""
        return Slices(self.text, self.starts[chosen], self.ends[chosen], self.numbers[chosen])

    def joined(self) -> memoryview | bytes:
        """Their bytes alone, without copying when nothing lies between them."""
        if not len(self):
            return b""
        breaks = np.flatnonzero(self.starts[1:] != self.ends[:-1])
        view = memoryview(self.text)
        firsts, lasts = [0, *(breaks + 1).tolist()], [*breaks.tolist(), len(self) - 1]
        pieces = [view[self.starts[a] : self.ends[b]] for a, b in zip(firsts, lasts, strict=True)]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        """Number and bytes of each."""
        for number, start, end in zip(self.numbers.tolist(), self.starts.tolist(), self.ends.tolist(), strict=True):
            yield number, self.text[start:end]

    def undecodable(self) -> Bools:
        """Which of them are no UTF-8."""
        if _is_utf8(self.joined()):
            return np.zeros(len(self), bool)
        return np.array([not _is_utf8(piece) for _, piece in self.pieces()], bool)

    def piece(self, number: int) -> bytes:
        """The bytes of one, by its number; only where the numbers have no gaps."""
        index = number - int(self.numbers[0])
        if not 0 <= index < len(self):
            msg = f"record {number} is not in this run of {len(self)} records from {self.numbers[0]}"
            raise IndexError(msg)
        return self.text[self.starts[index] : self.ends[index]]


def _is_utf8(data: bytes | memoryview) -> bool:
    """Asked of Arrow, which tells without building the text."""
    offsets = pa.py_buffer(np.array([0, len(data)], np.int32))
    try:
        pa.StringArray.from_buffers(1, offsets, pa.py_buffer(data)).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def records_schema(contract: TableContract) -> pa.Schema:
    """The schema of `Records.table`."""
    extra = [EXTRA_COLUMN] if contract.undeclared_columns == "keep" else []
    texts = [(name, pa.string()) for name in [*(c.name for c in contract.columns), *extra]]
    return pa.schema([*texts, (RECORD_COLUMN, pa.int64())])


def column_positions(contract: TableContract) -> dict[str, int]:
    """Every name a column may come under, to the column's position; a column's own name wins over an alias."""
    aliases = {alias: i for i, c in reversed(list(enumerate(contract.columns))) for alias in c.aliases}
    return aliases | {c.name: i for i, c in enumerate(contract.columns)}


def may_not_be_absent(column: Column) -> bool:
    """Whether a file or record without this column is refused."""
    return column.required or column.absent == "quarantine"


def match_columns(names: Sequence[str], contract: TableContract) -> Matching:
    """Find the contract's columns among the file's, by exact name, then alias."""
    positions = column_positions(contract)
    sources: list[int | None] = [None] * len(contract.columns)
    extras: dict[str, int] = {}
    repeated: list[str] = []
    for index, name in enumerate(names):
        position = positions.get(name)
        if position is None and name not in extras:
            extras[name] = index
        elif position is not None and sources[position] is None:
            sources[position] = index
        else:
            repeated.append(name)
    missing = [c.name for c, s in zip(contract.columns, sources, strict=True) if s is None and may_not_be_absent(c)]
    problems = column_problems(contract, undeclared=list(extras), repeated=repeated, missing=missing, subject="file")
    return Matching(tuple(sources), tuple((i, n) for n, i in sorted(extras.items())), problems, len(names))


def column_problems(
    contract: TableContract,
    *,
    undeclared: Sequence[str],
    repeated: Sequence[str],
    missing: Sequence[str],
    subject: str,
) -> tuple[Problem, ...]:
    """What the contract says about the columns of `subject` ("file" or "record"): at most one problem a reason."""
    reserved = [name for name in undeclared if name.startswith(LINEAGE_PREFIX)]
    others = [name for name in undeclared if not name.startswith(LINEAGE_PREFIX)]
    if contract.undeclared_columns == "keep":
        others = []
    found = [
        (Reason.COLUMN_ABSENT, missing, f"the {subject} lacks"),
        (Reason.COLUMN_UNDECLARED, others, f"the contract does not declare, but the {subject} has,"),
        (Reason.COLUMN_RESERVED, reserved, f"{LINEAGE_PREFIX} is reserved for lineage, but the {subject} has"),
        (Reason.COLUMN_REPEATED, repeated, f"the {subject} has more than once (perhaps under an alias)"),
    ]
    return tuple(
        Problem(reason, _shown(names[0]) if len(names) == 1 else None, f"{text} {_listed(names)}")
        for reason, names, text in found
        if names
    )


def wanted_records(only: Int64s | None, first: int, count: int) -> Int64s:
    """0-based indexes of the records that are asked for, in the run of `count` records that begins with `first`."""
    if only is None:
        return np.arange(count)
    low, high = np.searchsorted(only, [first, first + count])
    return only[low:high] - first


def ordered(refused: Iterable[Refusal]) -> list[Refusal]:
    """Refusals by record; those of one record stay in the order they were found in."""
    return sorted(refused, key=lambda refusal: refusal.record)


def _shown(name: str) -> str:
    """A name from a file, fit for a message: any length, any character."""
    short = name if len(name) <= _SHOWN_CHARACTERS else f"{name[:_SHOWN_CHARACTERS]}..."
    return short.encode("utf-8", "backslashreplace").decode()


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN_NAMES
    text = ", ".join(repr(_shown(name)) for name in names[:_SHOWN_NAMES])
    return f"the column{'s' if len(names) > 1 else ''} {text}" + (f" and {more} more" if more > 0 else "")
