"""What the tests of reading share: contracts of plain text columns, and whole files as one outcome a record."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from contracts.records import Records, count_frames, read_records
from contracts.table_contract import (
    Cadence,
    Column,
    CsvFormat,
    JsonLinesFormat,
    ParquetFormat,
    Partitioning,
    Server,
    TableContract,
)


def seeded(label: object) -> random.Random:
    """Chance that falls the same way every time for one label."""
    return random.Random(str(label))  # noqa: S311 - damage, not secrets


def text_contract(
    layout: CsvFormat | JsonLinesFormat | ParquetFormat, columns: Sequence[str | Column], **changes: Any
) -> TableContract:
    """A contract whose columns are text, as far as reading is concerned."""
    return TableContract(
        table="t",
        version="1",
        server=Server(path="*", format=layout, compression=changes.pop("compression", "auto")),
        columns=tuple(c if isinstance(c, Column) else Column(name=c, type="VARCHAR") for c in columns),
        partitioning=Partitioning(cadence=Cadence.DAILY, start=dt.datetime(2024, 1, 1), file_name_pattern="x"),
        **changes,
    )


@dataclass
class Outcome:
    """A whole file: a row or reasons for each record, by number."""

    rows: dict[int, dict[str, str | None]] = field(default_factory=dict)
    reasons: dict[int, list[tuple[str, str | None]]] = field(default_factory=dict)
    messages: dict[int, list[str]] = field(default_factory=dict)
    raw: dict[int, bytes] = field(default_factory=dict)
    records: int = 0


def outcome(chunks: Iterable[bytes], contract: TableContract, only: Sequence[int] | None = None) -> Outcome:
    """Read a file; checks on the way that every record that was asked for comes out once, and in order."""
    result = Outcome()
    for run in read_records(chunks, contract, only=None if only is None else np.array(only, np.int64)):
        if only is None:
            assert run.first == result.records + 1
        result.records = run.first + run.count - 1
        rows = run.table.to_pylist()
        numbers = [row.pop("_hg_record") for row in rows]
        assert numbers == sorted(set(numbers))
        refused = [refusal.record for refusal in run.refused]
        assert refused == sorted(refused)
        asked = {n for n in range(run.first, run.first + run.count) if only is None or n in only}
        assert {*numbers} | {*refused} == asked
        assert not {*numbers} & {*refused}
        result.rows |= dict(zip(numbers, rows, strict=True))
        for refusal in run.refused:
            result.reasons.setdefault(refusal.record, []).append((refusal.reason.value, refusal.column))
            result.messages.setdefault(refusal.record, []).append(refusal.message)
        _check_places(run)
        result.raw |= {number: run.raw(number) for number in sorted(asked)}
    return result


def _check_places(run: Records) -> None:
    assert len(run.starts) == len(run.ends) == run.count
    assert (run.ends > run.starts).all()
    assert (run.starts[1:] >= run.ends[:-1]).all()


def whole(data: bytes, contract: TableContract) -> Outcome:
    """Read a file given in one piece, and hold the count of its records against its frames."""
    result = outcome([data], contract)
    framing = count_frames([data], contract)
    assert framing.tiled
    assert framing.records == len(result.rows) + len(result.reasons) == result.records
    return result
