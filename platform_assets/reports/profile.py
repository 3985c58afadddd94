"""The profile of a table's columns: nulls, distinct values, extremes, quantiles, and how the values spread.

Computed by DuckDB in bounded memory. A column of few distinct values is counted value by value, which gives every
figure exactly from one small table; one of very many gets estimates where exact figures would need the whole column,
and says so. The result does not depend on the number of threads: nothing here adds floating-point numbers up, and no
t-digest is used, whose centroids depend on the order in which threads finish.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import duckdb
import numpy as np

from contracts.duckdb_syntax import quoted
from contracts.report_document import (
    EXCERPT_CHARACTERS,
    QUANTILES,
    TOP_VALUES,
    ColumnProfile,
    Excerpt,
    Histogram,
    Profile,
    Quantile,
    Sample,
    TopValue,
)
from resources.duckdb_session import interruptibly, run_query

COUNTED_VALUES = 20_000
"""Columns of up to this many distinct values are counted value by value."""

WHOLE_BYTES = 1000
"""Texts up to this size are compared as they are."""

COLUMNS_AT_ONCE = 20
"""Columns counted by one statement: planning costs more than counting when a partition is small."""

SORTED_ROWS = 16_000_000
"""Values that an exact quantile may hold in memory, 16 bytes each at most; beyond, every n-th record is taken."""

BINS = 24
_DAY = 86_400.0
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
_INSTANTS = frozenset({"TIMESTAMP", "TIMESTAMP WITH TIME ZONE"})


@dataclass(frozen=True, slots=True)
class _Scale:
    """How values of a type are placed on a line."""

    unit: Literal["value", "epoch_s", "second_of_day"]
    finest: float
    """The smallest distance of two values that matters; 0 when there is none."""

    def position(self, value: str) -> str:
        """SQL for the place of a value: a DOUBLE, NaN where it has none."""
        number = f"{value}::DOUBLE" if self.unit == "value" else f"epoch({value})"
        return f"coalesce({number}, 'nan'::DOUBLE)"


def _scale_of(type_: str) -> _Scale | None:
    if type_ in _INTEGERS:
        return _Scale("value", 1.0)
    if type_ in {"FLOAT", "DOUBLE"} or type_.startswith("DECIMAL"):
        return _Scale("value", 0.0)
    if type_ == "DATE":
        return _Scale("epoch_s", _DAY)
    if type_ in _INSTANTS:
        return _Scale("epoch_s", 0.0)
    return _Scale("second_of_day", 0.0) if type_ == "TIME" else None


@dataclass(frozen=True, slots=True)
class _Tally:
    """The distinct values of a column in their order, and on how many rows each stands."""

    texts: np.ndarray
    characters: np.ndarray
    positions: np.ndarray
    rows: np.ndarray

    def excerpt(self, index: int) -> Excerpt:
        return Excerpt(text=self.texts[index], characters=int(self.characters[index]))


@dataclass(frozen=True, slots=True)
class _Overview:
    """What one pass over the whole column tells."""

    values: int
    nulls: int
    distinct: int
    minimum: Excerpt | None
    maximum: Excerpt | None
    low: float | None
    """The smallest finite position."""
    high: float | None
    binned: int
    """Values with a finite position."""


def profile_table(
    session: duckdb.DuckDBPyConnection, relation: str, columns: Mapping[str, str], descriptions: Mapping[str, str]
) -> Profile:
    """Profile a relation.

    Args:
        session: In UTC; reads the relation several times, a column at a time.
        relation: Its name or a FROM clause; has `_hg_record` (1-based record in the drop) beside the columns.
        columns: Name to DuckDB type, in the order of the result.
        descriptions: What the contract says about columns, by name.
    """
    rows = int(run_query(session, f"SELECT count(*) FROM {relation}")[0][0])
    overviews = {} if rows <= COUNTED_VALUES else _overviews(session, relation, columns)
    few = [name for name in columns if name not in overviews or overviews[name].distinct <= COUNTED_VALUES]
    facts: dict[str, dict[str, Any]] = {}
    for start in range(0, len(few), COLUMNS_AT_ONCE):
        counted = {name: columns[name] for name in few[start : start + COLUMNS_AT_ONCE]}
        for name, tally in _tallies(session, relation, counted).items():
            facts[name] = _counted(tally, _scale_of(columns[name]), rows)
    for name in columns.keys() - facts.keys():
        facts[name] = _estimated(session, relation, name, columns[name], overviews[name])
    return Profile(
        rows=rows,
        columns=tuple(
            ColumnProfile(name=name, type=type_, description=descriptions.get(name, ""), **facts[name])
            for name, type_ in columns.items()
        ),
    )


def _tallies(session: duckdb.DuckDBPyConnection, relation: str, columns: Mapping[str, str]) -> dict[str, _Tally]:
    """Count the values of some columns, each on its own, in one statement."""
    counts = " UNION ALL ".join(
        _tally_query(relation, index, name, type_) for index, (name, type_) in enumerate(columns.items())
    )
    found = interruptibly(session, lambda: session.execute(f"{counts} ORDER BY i, place").fetchnumpy())
    bounds = np.searchsorted(np.asarray(found["i"]), np.arange(len(columns) + 1))
    names = ("t", "characters", "position", "n")
    return {
        name: _Tally(*(np.asarray(found[part])[first:last] for part in names))
        for name, first, last in zip(columns, bounds[:-1], bounds[1:], strict=True)
    }


def _tally_query(relation: str, index: int, name: str, type_: str) -> str:
    scale = _scale_of(type_)
    if scale is not None:
        counted, characters, position = _value(name, type_), "length(v::VARCHAR)", scale.position("v")
        longest = ""
    else:
        # a long text is told from others by its digest: a table of documents must not be held in memory as a whole
        text = f"{quoted(name)}::VARCHAR"
        long = f"left({text}, {EXCERPT_CHARACTERS}) || md5({text})"
        counted = f"CASE WHEN strlen({text}) <= {WHOLE_BYTES} THEN {text} ELSE {long} END"
        characters, position, longest = "characters", "0::DOUBLE", f", max(length({text})) AS characters"
    return (
        f"SELECT {index} AS i, row_number() OVER (ORDER BY v) AS place, "
        f"left(v::VARCHAR, {EXCERPT_CHARACTERS}) AS t, {characters} AS characters, {position} AS position, n "
        f"FROM (SELECT {counted} AS v, count(*) AS n{longest} "
        f"FROM {relation} WHERE {quoted(name)} IS NOT NULL GROUP BY 1)"
    )


def _counted(tally: _Tally, scale: _Scale | None, rows: int) -> dict[str, Any]:
    """Every figure of a column from the counts of its values; all exact."""
    distinct, values = len(tally.texts), int(tally.rows.sum())
    facts: dict[str, Any] = {
        "nulls": rows - values,
        "distinct": distinct,
        "distinct_is_approximate": False,
        "minimum": tally.excerpt(0) if distinct else None,
        "maximum": tally.excerpt(-1) if distinct else None,
        "quantiles": (),
        "quantile_sample": None,
        "top_values": (),
        "histogram": None,
    }
    if scale is not None and distinct:
        ranks = [max(1, math.ceil(share * values)) for share in QUANTILES]
        places = np.searchsorted(np.cumsum(tally.rows), ranks, side="left")
        facts["quantiles"] = tuple(
            Quantile(share=share, value=tally.texts[place]) for share, place in zip(QUANTILES, places, strict=True)
        )
    if scale is not None and distinct > TOP_VALUES:
        facts["histogram"] = _histogram_of(tally, scale)
    elif distinct and (distinct <= TOP_VALUES or tally.rows.max() > 1):
        most = np.argsort(-tally.rows, kind="stable")[:TOP_VALUES]
        facts["top_values"] = tuple(TopValue(value=tally.excerpt(i), rows=int(tally.rows[i])) for i in most)
    return facts


def _histogram_of(tally: _Tally, scale: _Scale) -> Histogram | None:
    finite = np.isfinite(tally.positions)
    positions, rows = tally.positions[finite], tally.rows[finite]
    bins = _Bins.of(float(positions.min()), float(positions.max()), scale) if len(positions) else None
    if bins is None:
        return None
    counts = np.zeros(bins.count, dtype=np.int64)
    np.add.at(counts, np.clip(np.floor(positions / bins.width) - bins.first, 0, bins.count - 1).astype(np.int64), rows)
    return bins.histogram(scale, counts.tolist(), int(tally.rows[~finite].sum()))


def _overviews(session: duckdb.DuckDBPyConnection, relation: str, columns: Mapping[str, str]) -> dict[str, _Overview]:
    """One pass over all columns: counts, estimated distinct values, extremes."""
    parts = []
    for name, type_ in columns.items():
        value, scale = _value(name, type_), _scale_of(type_)
        position = scale.position(quoted(name)) if scale else "'nan'::DOUBLE"
        finite = f"FILTER (WHERE isfinite({position}) AND {quoted(name)} IS NOT NULL)"
        parts += [f"count({value})", f"count(*) - count({value})", f"approx_count_distinct({value})"]
        parts += [f"left({end}({value})::VARCHAR, {EXCERPT_CHARACTERS})" for end in ("min", "max")]
        parts += [f"length({end}({value})::VARCHAR)" for end in ("min", "max")]
        parts += [f"min({position}) {finite}", f"max({position}) {finite}", f"count(*) {finite}"]
    found = run_query(session, f"SELECT {', '.join(parts)} FROM {relation}")[0]
    size = len(parts) // len(columns)
    return {name: _overview(found[i * size : (i + 1) * size]) for i, name in enumerate(columns)}


def _overview(found: Sequence[Any]) -> _Overview:
    values, nulls, distinct, low_text, high_text, low_characters, high_characters, low, high, binned = found
    minimum = None if low_text is None else Excerpt(text=low_text, characters=low_characters)
    maximum = None if high_text is None else Excerpt(text=high_text, characters=high_characters)
    return _Overview(values, nulls, distinct, minimum, maximum, low, high, binned)


def _estimated(
    session: duckdb.DuckDBPyConnection, relation: str, name: str, type_: str, overview: _Overview
) -> dict[str, Any]:
    """The figures of a column with too many different values to count each."""
    scale = _scale_of(type_)
    facts: dict[str, Any] = {
        "nulls": overview.nulls,
        # an estimate may exceed what is possible; saying so would only confuse
        "distinct": min(overview.distinct, overview.values),
        "distinct_is_approximate": True,
        "minimum": overview.minimum,
        "maximum": overview.maximum,
        "quantiles": (),
        "quantile_sample": None,
        "top_values": (),
        "histogram": None,
    }
    if scale is not None:
        facts["quantiles"], facts["quantile_sample"] = _quantiles(session, relation, name, type_, overview.values)
        facts["histogram"] = _histogram(session, relation, name, scale, overview)
    return facts


def _quantiles(
    session: duckdb.DuckDBPyConnection, relation: str, name: str, type_: str, values: int
) -> tuple[tuple[Quantile, ...], Sample | None]:
    """Exact quantiles while the column fits into memory, else of every n-th record."""
    every = -(-values // SORTED_ROWS)
    where = f"WHERE _hg_record % {every} = 0" if every > 1 else ""
    query = (
        f"SELECT quantile_disc({_value(name, type_)}, {list(QUANTILES)})::VARCHAR[], count(*) FROM {relation} {where}"
    )
    found, looked_at = run_query(session, query)[0]
    if not found:
        return (), None
    sample = Sample(every_record=every, fraction=1 / every) if every > 1 and looked_at else None
    return tuple(Quantile(share=share, value=text) for share, text in zip(QUANTILES, found, strict=True)), sample


def _histogram(
    session: duckdb.DuckDBPyConnection, relation: str, name: str, scale: _Scale, overview: _Overview
) -> Histogram | None:
    if overview.low is None or overview.high is None:
        return None
    bins = _Bins.of(overview.low, overview.high, scale)
    if bins is None:
        return None
    found = run_query(
        session,
        f"SELECT greatest(0, least({bins.count - 1}, floor(p / ?) - ?))::INTEGER AS b, count(*) "
        f"FROM (SELECT {scale.position(quoted(name))} AS p FROM {relation} WHERE {quoted(name)} IS NOT NULL) "
        "WHERE isfinite(p) GROUP BY 1",
        [bins.width, bins.first],
    )
    counts = dict(found)
    return bins.histogram(scale, [counts.get(i, 0) for i in range(bins.count)], overview.values - overview.binned)


def _value(name: str, type_: str) -> str:
    """SQL for a column's value; 0.0 and -0.0 are one value, and which of them is shown is not left to chance."""
    return f"({quoted(name)} + 0.0)" if type_ in {"FLOAT", "DOUBLE"} else quoted(name)


@dataclass(frozen=True, slots=True)
class _Bins:
    """Bins of equal, round width that cover all values."""

    first: float
    """The first bin's number, counted from zero on."""
    width: float
    count: int

    @classmethod
    def of(cls, low: float, high: float, scale: _Scale) -> _Bins | None:
        """At most `BINS` bins; None when the values are too far apart, or too near each other, for floating point."""
        width = _round_width((high - low) / (BINS - 1), scale)
        bins = cls._with_width(low, high, width)
        # round bins need not begin at the lowest value, so one more may be needed than fits
        return cls._with_width(low, high, _round_width(1.01 * width, scale)) if bins and bins.count > BINS else bins

    @classmethod
    def _with_width(cls, low: float, high: float, width: float) -> _Bins | None:
        if not 0 < width < math.inf or not (math.isfinite(low / width) and math.isfinite(high / width)):
            return None
        first, last = math.floor(low / width), math.floor(high / width)
        return cls(float(first), width, last - first + 1)

    def histogram(self, scale: _Scale, counts: Sequence[int], not_binned: int) -> Histogram:
        return Histogram(
            unit=scale.unit, start=self.first * self.width, width=self.width, rows=tuple(counts), not_binned=not_binned
        )


def _round_width(wanted: float, scale: _Scale) -> float:
    """The next round number: 1, 2 or 5 times a power of ten, or what divides clocks and calendars evenly."""
    if not (math.isfinite(wanted) and wanted > 0):
        return 0.0
    wanted = max(wanted, scale.finest)
    if scale.unit != "value" and wanted > 1:
        steps = [step for step in _TIME_STEPS if step >= wanted]
        return steps[0] if steps else _round_width(wanted / _DAY, _Scale("value", 1.0)) * _DAY
    power = 10.0 ** math.floor(math.log10(wanted))
    return next((m * power for m in (1.0, 2.0, 5.0) if m * power >= wanted), 10 * power)
