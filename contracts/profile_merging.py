"""Profiles of parts merged into that of the whole: of segments into a partition's, of partitions into a table's.

What can be exact stays exact: counts, nulls, extremes, and everything of a column whose values are all listed. The rest
is estimated from the parts' summaries, and says so with its method and how far it may be off. No row is read again.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import numpy as np

from contracts import distinct_sketch
from contracts.column_scales import Bins, Scale, scale_of, text_at
from contracts.report_document import (
    QUANTILES,
    SUMMARY_VALUES,
    TOP_VALUES,
    ColumnProfile,
    ColumnSummary,
    Estimate,
    Excerpt,
    Histogram,
    Profile,
    Quantile,
    TopValue,
)
from contracts.weighted_positions import LADDER_STEPS, Floats, Weighted

RANK_ERROR_DIGITS = 4
_MERGED_VALUES = 2000
"""Listed values of all parts together, beyond which only the most frequent are kept."""


def merge_profiles(parts: Sequence[Profile]) -> Profile:
    """The profile of all rows of some profiles together.

    Args:
        parts: One at least, in a fixed order. A column that not all of them have, or that has a type of its own in
            one, is that of the parts whose type is the last one's; the others' rows count as nulls of it.
    """
    rows = sum(part.rows for part in parts)
    if not rows:
        return parts[-1]
    columns = [
        _merged_column([_column_of(part, column) for part in parts if part.rows], column)
        for column in next(part for part in reversed(parts) if part.rows).columns
    ]
    return Profile(rows=rows, columns=tuple(columns))


def can_be_merged(profile: Profile) -> bool:
    """Whether its columns carry what merging takes; those of earlier formats do not."""
    return all(column.summary is not None for column in profile.columns)


def _column_of(part: Profile, wanted: ColumnProfile) -> tuple[int, ColumnProfile | None]:
    found = (column for column in part.columns if (column.name, column.type) == (wanted.name, wanted.type))
    return part.rows, next(found, None)


def _merged_column(parts: Sequence[tuple[int, ColumnProfile | None]], last: ColumnProfile) -> ColumnProfile:
    present = [column for _, column in parts if column is not None and column.summary is not None]
    rows = sum(rows for rows, _ in parts)
    if len(present) == len(parts) == 1:
        return last
    nulls = rows - sum(rows_of - column.nulls for rows_of, column in parts if column is not None)
    return _Merging(last, tuple(present), rows, nulls).column()


@dataclass(frozen=True, slots=True)
class _Merging:
    last: ColumnProfile
    parts: tuple[ColumnProfile, ...]
    rows: int
    nulls: int

    def column(self) -> ColumnProfile:
        summary, values, scale = self._summary(), self._weighted(), scale_of(self.last.type)
        estimates: list[Estimate] = []
        distinct = self._distinct(summary, estimates)
        quantiles = self._quantiles(values, scale, estimates)
        is_exact = values.rank_error == 0
        histogram = self._histogram(values, scale, is_exact=is_exact) if distinct > TOP_VALUES else None
        if histogram is not None and not is_exact:
            estimates.append(self._ladder_estimate("histogram", 2 * values.rank_error))
        return self.last.model_copy(
            update={
                "nulls": self.nulls,
                "distinct": distinct,
                "distinct_is_approximate": any(estimate.figure == "distinct" for estimate in estimates),
                "minimum": _extreme([c.minimum for c in self.parts], self.last.type, highest=False),
                "maximum": _extreme([c.maximum for c in self.parts], self.last.type, highest=True),
                "quantiles": quantiles,
                "quantile_sample": None,
                "top_values": () if histogram else self._top_values(summary, estimates),
                "histogram": histogram,
                "estimates": tuple(estimates),
                "summary": summary,
            }
        )

    def _summaries(self) -> Iterator[ColumnSummary]:
        return (column.summary for column in self.parts if column.summary is not None)

    def _summary(self) -> ColumnSummary:
        counted: Counter[str] = Counter()
        positions: dict[str, float] = {}
        for summary in self._summaries():
            counted.update(dict(summary.values))
            positions |= dict(zip((text for text, _ in summary.values), summary.positions, strict=False))
        complete = all(summary.complete for summary in self._summaries()) and len(counted) <= _MERGED_VALUES
        most = sorted(counted.items(), key=lambda found: (-found[1], found[0]))
        kept = counted.keys() if complete else {text for text, _ in most[:SUMMARY_VALUES]}
        listed = sorted(((text, rows) for text, rows in counted.items() if text in kept), key=lambda v: v[0])
        values = self._weighted()
        placed = all(text in positions for text, _ in listed)
        return ColumnSummary(
            values=tuple(listed),
            complete=complete,
            positions=tuple(positions[text] for text, _ in listed) if placed else (),
            unit=next((s.unit for s in self._summaries() if s.unit), None),
            ladder=values.ladder,
            finite=sum(summary.finite for summary in self._summaries()),
            rank_error=round(values.rank_error, RANK_ERROR_DIGITS),
            hashing=self.parts[-1].summary.hashing if self.parts[-1].summary else "",
            registers=distinct_sketch.to_text(
                distinct_sketch.merged(distinct_sketch.from_text(s.registers) for s in self._summaries())
            ),
        )

    def _weighted(self) -> Weighted:
        parts = [summary.weighted for summary in self._summaries()]
        positions = np.concatenate([part.positions for part in parts]) if parts else np.empty(0)
        weights = np.concatenate([part.weights for part in parts]) if parts else np.empty(0)
        order = np.argsort(positions, kind="stable")
        total = max(1.0, float(weights.sum()))
        error = sum(part.rank_error * part.total for part in parts) / total
        return Weighted(positions[order], weights[order], round(error, RANK_ERROR_DIGITS))

    def _distinct(self, summary: ColumnSummary, estimates: list[Estimate]) -> int:
        if summary.complete:
            return len(summary.values)
        most = max(column.distinct for column in self.parts)
        if len({s.hashing for s in self._summaries()}) > 1:
            estimates.append(Estimate(figure="distinct", method="largest-part", error=None))
            return most
        found = distinct_sketch.distinct_values(distinct_sketch.from_text(summary.registers))
        estimates.append(Estimate(figure="distinct", method="hyperloglog", error=distinct_sketch.STANDARD_ERROR))
        return min(max(found, most), self.rows - self.nulls)

    def _quantiles(self, values: Weighted, scale: Scale | None, estimates: list[Estimate]) -> tuple[Quantile, ...]:
        if scale is None or not len(values.positions):
            return ()
        if values.rank_error:
            estimates.append(self._ladder_estimate("quantiles", values.rank_error))
        found = values.at_shares(QUANTILES).tolist()
        return tuple(
            Quantile(share=share, value=text_at(self.last.type, position))
            for share, position in zip(QUANTILES, found, strict=True)
        )

    def _ladder_estimate(self, figure: str, error: float) -> Estimate:
        return Estimate.model_validate(
            {"figure": figure, "method": "merged-ladders", "error": round(error, RANK_ERROR_DIGITS)}
        )

    def _histogram(self, values: Weighted, scale: Scale | None, *, is_exact: bool) -> Histogram | None:
        if scale is None or not len(values.positions):
            return None
        bins = Bins.of(float(values.positions[0]), float(values.positions[-1]), scale)
        if bins is None:
            return None
        if is_exact:
            place = np.clip(np.floor(values.positions / bins.width) - bins.first, 0, bins.count - 1).astype(np.int64)
            cumulated: Floats = np.cumsum(np.bincount(place, weights=values.weights, minlength=bins.count))
        else:
            # a bin ends before the next one's start
            edges = np.nextafter((bins.first + np.arange(1, bins.count + 1)) * bins.width, -np.inf)
            cumulated = np.zeros(bins.count)
            for summary in self._summaries():
                cumulated += _smoothed(summary, edges)
            cumulated[-1] = values.total
        counts = np.diff(np.concatenate(([0.0], np.rint(cumulated)))).clip(min=0).astype(np.int64)
        finite = sum(summary.finite for summary in self._summaries())
        return bins.histogram(scale, counts.tolist(), self.rows - self.nulls - finite)

    def _top_values(self, summary: ColumnSummary, estimates: list[Estimate]) -> tuple[TopValue, ...]:
        """The most frequent values, as far as they certainly are; each on at least so many rows."""
        most = sorted(summary.values, key=lambda value: -value[1])
        if summary.complete:
            shown = most if len(most) <= TOP_VALUES or (most and most[0][1] > 1) else []
        else:
            missed = sum(min(rows for _, rows in s.values) for s in self._summaries() if s.values and not s.complete)
            unlisted = any(not s.values and not s.complete for s in self._summaries())
            shown = [] if unlisted else [value for value in most if value[1] > missed]
            if shown:
                estimates.append(Estimate(figure="top_values", method="merged-values", error=float(missed)))
        return tuple(
            TopValue(value=Excerpt(text=text, characters=len(text)), rows=rows) for text, rows in shown[:TOP_VALUES]
        )


def spread_over(summary: ColumnSummary, histogram: Histogram) -> list[float] | None:
    """Which share of a summary's values lies in each bin of a histogram over other ones; None without values."""
    if not summary.finite:
        return None
    edges = histogram.start + histogram.width * np.arange(len(histogram.rows) + 1)
    # a bin ends before the next one's start
    return [float(share) for share in np.diff(_smoothed(summary, np.nextafter(edges, -np.inf))) / summary.finite]


def _smoothed(summary: ColumnSummary, edges: Floats) -> Floats:
    """How many of a summary's values lie before each edge, the values between two rungs spread evenly."""
    if summary.lists_all:
        return summary.weighted.share_up_to(edges) * summary.weighted.total
    if not summary.ladder:
        return np.zeros(len(edges))
    rungs, last = np.unique(np.asarray(summary.ladder)[::-1], return_index=True)
    shares = (LADDER_STEPS - last) / LADDER_STEPS
    return np.asarray(np.interp(edges, rungs, shares, left=0.0, right=1.0) * summary.finite)


def _extreme(found: Sequence[Excerpt | None], type_: str, *, highest: bool) -> Excerpt | None:
    there = [excerpt for excerpt in found if excerpt is not None]
    if not there:
        return None
    return (max if highest else min)(there, key=lambda excerpt: _order(type_, excerpt.text))


def _order(type_: str, text: str) -> tuple[Decimal, str]:
    """As DuckDB orders values of the type: NaN comes last."""
    scale = scale_of(type_)
    if scale is None:
        return Decimal(0), text
    try:
        if scale.unit == "value":
            number = Decimal(text)
            return (Decimal("Infinity"), "z") if number.is_nan() else (number, "")
        if scale.unit == "epoch_s":
            moment = dt.datetime.fromisoformat(text.removesuffix("+00"))
            return Decimal(str(moment.replace(tzinfo=dt.UTC).timestamp())), ""
    except (InvalidOperation, ValueError):  # infinity, or a year beyond 9999: after all others, or before
        return (Decimal("-Infinity" if text.startswith("-") or text.endswith("(BC)") else "Infinity"), text)
    return Decimal(0), text
