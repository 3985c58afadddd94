"""How values of a column are placed on a line, and the round bins of a histogram over them.

Pure arithmetic over positions. Which SQL gives a value's position is for whoever reads the values.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from contracts.report_document import Histogram

Unit: TypeAlias = Literal["value", "epoch_s", "second_of_day"]

BINS = 24
_DAY = 86_400.0
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_TIME_STEPS = tuple(
    float(step)
    for step in (
        *(1, 2, 5, 10, 15, 30),
        *(60 * minutes for minutes in (1, 2, 5, 10, 15, 30)),
        *(3600 * hours for hours in (1, 2, 3, 6, 12)),
        *(86_400 * days for days in (1, 2, 7)),
    )
)
_INTEGERS = frozenset(
    {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"} | {"UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"}
)
_FLOATS = frozenset({"FLOAT", "DOUBLE"})
_INSTANTS = frozenset({"TIMESTAMP", "TIMESTAMP WITH TIME ZONE"})
_DECIMAL = re.compile(r"DECIMAL\(\d+,\s*(\d+)\)")


@dataclass(frozen=True, slots=True)
class Scale:
    """How values of a type are placed on a line."""

    unit: Unit
    finest: float
    """The smallest distance of two values that matters; 0 when there is none."""


def scale_of(type_: str) -> Scale | None:
    """The scale of a DuckDB type; None when its values have no places."""
    if type_ in _INTEGERS:
        return Scale("value", 1.0)
    if type_ in _FLOATS or type_.startswith("DECIMAL"):
        return Scale("value", 0.0)
    if type_ == "DATE":
        return Scale("epoch_s", _DAY)
    if type_ in _INSTANTS:
        return Scale("epoch_s", 0.0)
    return Scale("second_of_day", 0.0) if type_ == "TIME" else None


def text_at(type_: str, position: float) -> str:
    """The value at a position, as DuckDB writes it; of positions that doubles cannot tell apart, one of them."""
    if type_ in _INTEGERS:
        return str(int(position))
    if (decimal := _DECIMAL.fullmatch(type_)) is not None:
        return f"{position:.{decimal[1]}f}"
    if type_ == "TIME":
        return _clock(position)
    if type_ == "DATE" or type_ in _INSTANTS:
        return _moment(type_, position)
    return repr(position)


def _clock(position: float) -> str:
    whole, fraction = divmod(round(position * 1e6), 1_000_000)
    hours, rest = divmod(whole, 3600)
    tail = f".{fraction:06d}".rstrip("0") if fraction else ""
    return f"{hours:02d}:{rest // 60:02d}:{rest % 60:02d}{tail}"


def _moment(type_: str, position: float) -> str:
    days, seconds = divmod(position, _DAY)
    try:
        day = (_EPOCH + dt.timedelta(days=days)).date().isoformat()
    except OverflowError:
        return f"{position:.17g} s"
    if type_ == "DATE":
        return day
    return f"{day} {_clock(seconds)}{'+00' if type_.endswith('ZONE') else ''}"


@dataclass(frozen=True, slots=True)
class Bins:
    """Bins of equal, round width that cover all values."""

    first: float
    """The first bin's number, counted from zero on."""
    width: float
    count: int

    @classmethod
    def of(cls, low: float, high: float, scale: Scale) -> Bins | None:
        """At most `BINS` bins; None when the values are too far apart, or too near each other, for floating point."""
        width = _round_width((high - low) / (BINS - 1), scale)
        bins = cls._with_width(low, high, width)
        # round bins need not begin at the lowest value, so one more may be needed than fits
        return cls._with_width(low, high, _round_width(1.01 * width, scale)) if bins and bins.count > BINS else bins

    @classmethod
    def _with_width(cls, low: float, high: float, width: float) -> Bins | None:
        if not 0 < width < math.inf or not (math.isfinite(low / width) and math.isfinite(high / width)):
            return None
        first, last = math.floor(low / width), math.floor(high / width)
        return cls(float(first), width, last - first + 1)

    def histogram(self, scale: Scale, counts: Sequence[int], not_binned: int) -> Histogram:
        """The document's histogram, from the count of each bin."""
        return Histogram(
            unit=scale.unit, start=self.first * self.width, width=self.width, rows=tuple(counts), not_binned=not_binned
        )


def _round_width(wanted: float, scale: Scale) -> float:
    """The next round number: 1, 2 or 5 times a power of ten, or what divides clocks and calendars evenly."""
    if not (math.isfinite(wanted) and wanted > 0):
        return 0.0
    wanted = max(wanted, scale.finest)
    if scale.unit != "value" and wanted > 1:
        steps = [step for step in _TIME_STEPS if step >= wanted]
        return steps[0] if steps else _round_width(wanted / _DAY, Scale("value", 1.0)) * _DAY
    power = 10.0 ** math.floor(math.log10(wanted))
    return next((m * power for m in (1.0, 2.0, 5.0) if m * power >= wanted), 10 * power)
