"""The profile of a table's columns: nulls, distinct values, extremes, quantiles, and how the values spread.

Computed by DuckDB in bounded memory. A column of few distinct values is counted value by value, which gives every
figure exactly from one small table; one of very many gets estimates where exact figures would need the whole column,
and says so. The result does not depend on the number of threads: nothing here adds floating-point numbers up, and no
t-digest is used, whose centroids depend on the order in which threads finish. Each column carries a summary, from which
profiles of several relations are merged without reading them again (`contracts.profile_merging`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np

from contracts import distinct_sketch
from contracts.column_scales import Bins, Scale, scale_of
from contracts.duckdb_syntax import quoted
from contracts.report_document import (
    EXCERPT_CHARACTERS,
    QUANTILES,
    REGISTERS,
    SUMMARY_VALUES,
    TOP_VALUES,
    ColumnProfile,
    ColumnSummary,
    Estimate,
    Excerpt,
    Histogram,
    Profile,
    Quantile,
    Sample,
    TopValue,
)
from contracts.weighted_positions import LADDER_STEPS, Weighted
from resources.duckdb_session import interruptibly, run_query

HASHING = "duckdb " + ".".join(duckdb.__version__.split(".")[:2])
"""Whose hashes the sketches are made of: only those of one kind can be merged."""

COUNTED_VALUES = 20_000
"""Columns of up to this many distinct values are counted value by value."""

WHOLE_BYTES = 1000
"""Texts up to this size are compared as they are."""

COLUMNS_AT_ONCE = 20
"""Columns counted by one statement: planning costs more than counting when a partition is small."""

SORTED_ROWS = 16_000_000
"""Values that an exact quantile may hold in memory, 16 bytes each at most; beyond, a sample of the rows is taken."""


@dataclass(frozen=True, slots=True)
class _Tally:
    """The distinct values of a column in their order, and on how many rows each stands."""

    texts: np.ndarray
    characters: np.ndarray
    positions: np.ndarray
    rows: np.ndarray
    hashes: np.ndarray

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
    session: duckdb.DuckDBPyConnection,
    relation: str,
    columns: Mapping[str, str],
    descriptions: Mapping[str, str],
    seed: int = 0,
) -> Profile:
    """Profile a relation.

    Args:
        session: In UTC; reads the relation several times, a column at a time.
        relation: Its name or a FROM clause; has `_hg_source` (the drop's digest) and `_hg_record` (1-based record in
            the drop) beside the columns.
        columns: Name to DuckDB type, in the order of the result.
        descriptions: What the contract says about columns, by name.
        seed: Of the sample of rows that quantiles are of where a column is too long to be sorted.
    """
    rows = int(run_query(session, f"SELECT count(*) FROM {relation}")[0][0])
    overviews = {} if rows <= COUNTED_VALUES else _overviews(session, relation, columns)
    few = [name for name in columns if name not in overviews or overviews[name].distinct <= COUNTED_VALUES]
    facts: dict[str, dict[str, Any]] = {}
    for start in range(0, len(few), COLUMNS_AT_ONCE):
        counted = {name: columns[name] for name in few[start : start + COLUMNS_AT_ONCE]}
        for name, tally in _tallies(session, relation, counted).items():
            facts[name] = _counted(tally, scale_of(columns[name]), rows)
    for name in columns.keys() - facts.keys():
        facts[name] = _Estimating(session, relation, name, columns[name], overviews[name], seed).facts()
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
    names = ("t", "characters", "position", "n", "h")
    return {
        name: _Tally(*(np.asarray(found[part])[first:last] for part in names))
        for name, first, last in zip(columns, bounds[:-1], bounds[1:], strict=True)
    }


def _tally_query(relation: str, index: int, name: str, type_: str) -> str:
    scale = scale_of(type_)
    if scale is not None:
        characters, position, longest = "length(v::VARCHAR)", _position(scale, "v"), ""
    else:
        characters, position = "characters", "0::DOUBLE"
        longest = f", max(length({quoted(name)}::VARCHAR)) AS characters"
    return (
        f"SELECT {index} AS i, row_number() OVER (ORDER BY v) AS place, "
        f"left(v::VARCHAR, {EXCERPT_CHARACTERS}) AS t, {characters} AS characters, {position} AS position, n, "
        f"hash(v) AS h FROM (SELECT {_told_apart(name, type_)} AS v, count(*) AS n{longest} "
        f"FROM {relation} WHERE {quoted(name)} IS NOT NULL GROUP BY 1)"
    )


def _told_apart(name: str, type_: str) -> str:
    """SQL for what tells a column's values apart."""
    if scale_of(type_) is not None:
        return _value(name, type_)
    # a long text is told from others by its digest: a table of documents must not be held in memory as a whole
    text = f"{quoted(name)}::VARCHAR"
    long = f"left({text}, {EXCERPT_CHARACTERS}) || md5({text})"
    return f"CASE WHEN strlen({text}) <= {WHOLE_BYTES} THEN {text} ELSE {long} END"


def _summary_of(tally: _Tally, scale: Scale | None) -> ColumnSummary:
    """What the column's part in a merged profile is made from."""
    finite = np.isfinite(tally.positions)
    short = tally.characters <= EXCERPT_CHARACTERS
    complete = len(tally.texts) <= SUMMARY_VALUES and bool(short.all()) and bool(finite.all())
    listed = np.arange(len(tally.texts))
    if not complete:
        frequent = np.argsort(-tally.rows, kind="stable")[:SUMMARY_VALUES]
        worth_it = scale is None and len(frequent) and tally.rows[frequent[0]] > 1
        listed = np.sort(frequent[short[frequent]]) if worth_it else listed[:0]
    placed = Weighted(tally.positions[finite], tally.rows[finite].astype(np.float64), 0.0)
    return ColumnSummary(
        values=tuple(zip(tally.texts[listed].tolist(), tally.rows[listed].tolist(), strict=True)),
        complete=complete,
        positions=tuple(tally.positions[listed].tolist()) if scale else (),
        unit=scale.unit if scale else None,
        ladder=placed.ladder if scale else (),
        finite=int(tally.rows[finite].sum()) if scale else 0,
        hashing=HASHING,
        registers=distinct_sketch.to_text(distinct_sketch.registers_of(tally.hashes)),
    )


def _counted(tally: _Tally, scale: Scale | None, rows: int) -> dict[str, Any]:
    """Every figure of a column from the counts of its values; all exact."""
    distinct, values = len(tally.texts), int(tally.rows.sum())
    facts: dict[str, Any] = {
        "summary": _summary_of(tally, scale),
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


def _histogram_of(tally: _Tally, scale: Scale) -> Histogram | None:
    finite = np.isfinite(tally.positions)
    positions, rows = tally.positions[finite], tally.rows[finite]
    bins = Bins.of(float(positions.min()), float(positions.max()), scale) if len(positions) else None
    if bins is None:
        return None
    counts = np.zeros(bins.count, dtype=np.int64)
    np.add.at(counts, np.clip(np.floor(positions / bins.width) - bins.first, 0, bins.count - 1).astype(np.int64), rows)
    return bins.histogram(scale, counts.tolist(), int(tally.rows[~finite].sum()))


def _overviews(session: duckdb.DuckDBPyConnection, relation: str, columns: Mapping[str, str]) -> dict[str, _Overview]:
    """One pass over all columns: counts, estimated distinct values, extremes."""
    parts = []
    for name, type_ in columns.items():
        value, scale = _value(name, type_), scale_of(type_)
        position = _position(scale, quoted(name)) if scale else "'nan'::DOUBLE"
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


@dataclass(frozen=True, slots=True)
class _Estimating:
    """The figures of a column with too many different values to count each."""

    session: duckdb.DuckDBPyConnection
    relation: str
    name: str
    type_: str
    overview: _Overview
    seed: int

    def facts(self) -> dict[str, Any]:
        """What `ColumnProfile` takes beside name, type and description."""
        overview, scale = self.overview, scale_of(self.type_)
        registers = self._registers()
        quantiles, rungs, sample = self._quantiles(scale) if scale else ((), (), None)
        estimates = [Estimate(figure="distinct", method="hyperloglog", error=distinct_sketch.STANDARD_ERROR)]
        if sample is not None:
            estimates.append(Estimate(figure="quantiles", method="sampled", error=None))
        return {
            "nulls": overview.nulls,
            # an estimate may exceed what is possible; saying so would only confuse
            "distinct": min(distinct_sketch.distinct_values(registers), overview.values),
            "distinct_is_approximate": True,
            "minimum": overview.minimum,
            "maximum": overview.maximum,
            "quantiles": quantiles,
            "quantile_sample": sample,
            "top_values": (),
            "histogram": self._histogram(scale) if scale else None,
            "estimates": tuple(estimates),
            "summary": ColumnSummary(
                complete=False,
                unit=scale.unit if scale else None,
                ladder=rungs,
                finite=overview.binned if scale else 0,
                hashing=HASHING,
                registers=distinct_sketch.to_text(registers),
            ),
        }

    def _registers(self) -> distinct_sketch.Registers:
        """The sketch of all values: as `distinct_sketch.registers_of` makes it, but in one pass of the database."""
        bits = REGISTERS.bit_length() - 1
        found = run_query(
            self.session,
            f"SELECT (h & {REGISTERS - 1})::INTEGER, max(bit_count(xor(rest, rest - 1))) FROM ("
            f"SELECT h, ((h >> {bits}) | {1 << (63 - bits)})::BIGINT AS rest FROM ("
            f"SELECT hash({_told_apart(self.name, self.type_)}) AS h FROM {self.relation} "
            f"WHERE {quoted(self.name)} IS NOT NULL)) GROUP BY 1",
        )
        registers = np.zeros(REGISTERS, dtype=np.int8)
        for register, rank in found:
            registers[register] = rank
        return registers

    def _quantiles(self, scale: Scale) -> tuple[tuple[Quantile, ...], tuple[float, ...], Sample | None]:
        """Exact quantiles and rungs while the column fits into memory, else of a sample of the rows."""
        every = -(-self.overview.values // SORTED_ROWS)
        kept = f"hash(_hg_source, _hg_record, {self.seed}) % {every} = 0" if every > 1 else "true"
        value, shares = _value(self.name, self.type_), [step / LADDER_STEPS for step in range(LADDER_STEPS + 1)]
        found = self._disc(value, [*QUANTILES, *shares], f"{quoted(self.name)} IS NOT NULL AND {kept}", scale)
        if not found:
            return (), (), None
        rungs = [position for _, position in found[len(QUANTILES) :]]
        if self.overview.binned < self.overview.values:  # infinities and NaN have no place on the ladder
            finite = f"isfinite({_position(scale, value)}) AND {quoted(self.name)} IS NOT NULL AND {kept}"
            rungs = [position for _, position in self._disc(value, shares, finite, scale)]
        texts = [text for text, _ in found[: len(QUANTILES)]]
        quantiles = tuple(Quantile(share=share, value=text) for share, text in zip(QUANTILES, texts, strict=True))
        if every == 1:
            return quantiles, tuple(rungs), None
        sample = Sample(method="record-hash", every_record=every, fraction=1 / every, seed=self.seed)
        return quantiles, tuple(rungs), sample

    def _disc(self, value: str, shares: Sequence[float], where: str, scale: Scale) -> list[tuple[str, float]]:
        query = (
            f"SELECT v::VARCHAR, {_position(scale, 'v')} FROM ("
            f"SELECT unnest(quantile_disc({value}, {list(shares)})) AS v FROM {self.relation} WHERE {where})"
        )
        return [(text, position) for text, position in run_query(self.session, query)]

    def _histogram(self, scale: Scale) -> Histogram | None:
        overview = self.overview
        if overview.low is None or overview.high is None:
            return None
        bins = Bins.of(overview.low, overview.high, scale)
        if bins is None:
            return None
        found = run_query(
            self.session,
            f"SELECT greatest(0, least({bins.count - 1}, floor(p / ?) - ?))::INTEGER AS b, count(*) "
            f"FROM (SELECT {_position(scale, quoted(self.name))} AS p FROM {self.relation} "
            f"WHERE {quoted(self.name)} IS NOT NULL) WHERE isfinite(p) GROUP BY 1",
            [bins.width, bins.first],
        )
        counts = dict(found)
        return bins.histogram(scale, [counts.get(i, 0) for i in range(bins.count)], overview.values - overview.binned)


def _position(scale: Scale, value: str) -> str:
    """SQL for the place of a value: a DOUBLE, NaN where it has none."""
    number = f"{value}::DOUBLE" if scale.unit == "value" else f"epoch({value})"
    return f"coalesce({number}, 'nan'::DOUBLE)"


def _value(name: str, type_: str) -> str:
    """SQL for a column's value; 0.0 and -0.0 are one value, and which of them is shown is not left to chance."""
    return f"({quoted(name)} + 0.0)" if type_ in {"FLOAT", "DOUBLE"} else quoted(name)
