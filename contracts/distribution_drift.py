"""How far a column's values differ from those of another time: numbers, from two summaries and no row.

- `psi`, the population stability index: the sum over bins of (p - q) ln(p / q), each bin's count raised by 1/2 so that
  an empty one is no infinity. Bins are the tenths of the reference's values, or the values themselves where all are
  listed; nulls are one more. By custom, below 0.1 little has changed and from 0.25 on a lot.
- `distance`: the largest difference of the shares of values up to any position (Kolmogorov and Smirnov), or half the
  sum of the differences of the values' shares (total variation). 0: alike; 1: nothing in common.
- `psi_by_chance`: what the index would come to on average if nothing had changed, from the number of rows alone. That
  one is modeled, and the only number here that is.

Times are not compared: they move with the partition.

Source: B. Yurdakul, "Statistical properties of population stability index", 2018 (the expectation).
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import numpy as np
from pydantic import Field

from contracts.refs import Frozen
from contracts.report_document import ColumnProfile, ColumnSummary
from contracts.weighted_positions import Floats, Weighted

BINS = 10
DIGITS = 6
NOTABLE, STRONG = 0.1, 0.25
_TENTHS = tuple(tenth / BINS for tenth in range(1, BINS))
_PSEUDO_COUNT = 0.5
_LISTED_SHARE = 0.5
"""Of the values of a text column, which the listed ones must cover for a comparison to mean anything."""


Method: TypeAlias = Literal["ranks", "values"]
NotCompared: TypeAlias = Literal["", "first", "other type", "times move", "too many values", "no values"]


class ColumnDrift(Frozen):
    """One column against another time."""

    basis: Literal["measured"] = "measured"
    """All but `psi_by_chance`, which is modeled."""
    method: Method | None = None
    """`ranks`: over positions; `values`: over listed values. None: `why` says why only nulls are compared."""
    why: NotCompared = ""
    nulls_change: float | None = None
    """Difference of the shares of nulls."""
    psi: float | None = Field(default=None, ge=0)
    psi_by_chance: float | None = Field(default=None, ge=0)
    distance: float | None = Field(default=None, ge=0, le=1)
    distance_error: float | None = Field(default=None, ge=0)
    """By how much `distance` may be off, since it comes from summaries."""

    @property
    def level(self) -> Literal["none", "little", "notable", "strong"]:
        """In words; what chance alone would give twice over is nothing to note."""
        if self.psi is None:
            return "none"
        if self.psi < NOTABLE or self.psi < 2 * (self.psi_by_chance or 0):
            return "little"
        return "notable" if self.psi < STRONG else "strong"


def drift_of(column: ColumnProfile, rows: int, reference: ColumnProfile | None, reference_rows: int) -> ColumnDrift:
    """Compare a column with the same column at another time.

    Args:
        column: Of the rows in question.
        rows: How many there are, nulls included.
        reference: What it is compared with; None: there is no such column there.
        reference_rows: How many rows there are in the reference.
    """
    if reference is None or not rows or not reference_rows:
        return ColumnDrift(why="first")
    if reference.type != column.type or column.summary is None or reference.summary is None:
        return ColumnDrift(why="other type")
    change = round(column.nulls / rows - reference.nulls / reference_rows, DIGITS)
    found, other = column.summary, reference.summary
    if found.unit == "epoch_s":
        return ColumnDrift(why="times move", nulls_change=change)
    nulls = np.array([column.nulls, reference.nulls], dtype=np.float64)
    if found.unit is not None:
        return _by_ranks(found.weighted, other.weighted, nulls, change)
    return _by_values(found, other, (rows, reference_rows), nulls, change)


def _by_ranks(found: Weighted, other: Weighted, nulls: Floats, change: float) -> ColumnDrift:
    if not len(found.positions) or not len(other.positions):
        return ColumnDrift(why="no values", nulls_change=change)
    edges = np.unique(other.at_shares(_TENTHS))
    counts = np.stack([_between(part, edges) for part in (found, other)])
    at = np.concatenate((found.positions, other.positions))
    apart = np.abs(found.share_up_to(at) - other.share_up_to(at))
    return ColumnDrift(
        method="ranks",
        nulls_change=change,
        distance=_rounded(min(1.0, float(apart.max()))),
        distance_error=_rounded(found.rank_error + other.rank_error),
        **_stability(np.column_stack([counts, nulls])),
    )


def _between(part: Weighted, edges: Floats) -> Floats:
    """How many values lie up to the first edge, then up to the next, and beyond the last."""
    return np.diff(np.concatenate(([0.0], part.share_up_to(edges), [1.0]))) * part.total


def _by_values(
    found: ColumnSummary, other: ColumnSummary, rows: tuple[int, int], nulls: Floats, change: float
) -> ColumnDrift:
    listed = (dict(found.values), dict(other.values))
    there = [rows[side] - float(nulls[side]) for side in (0, 1)]
    if not all(there):
        return ColumnDrift(why="no values", nulls_change=change)
    # a value that one side did not list may be among its other ones: only what both list can be compared then
    complete = found.complete and other.complete
    names = sorted(listed[0].keys() | listed[1].keys() if complete else listed[0].keys() & listed[1].keys())
    counts = np.array([[side.get(name, 0) for name in names] for side in listed], dtype=np.float64).reshape(2, -1)
    rest = np.array(there) - counts.sum(axis=1)
    if not complete and (rest > _LISTED_SHARE * np.array(there)).any():
        return ColumnDrift(why="too many values", nulls_change=change)
    table = counts if complete else np.column_stack([counts, rest])
    shares = table / np.array(there)[:, None]
    return ColumnDrift(
        method="values",
        nulls_change=change,
        distance=_rounded(min(1.0, 0.5 * float(np.abs(shares[0] - shares[1]).sum()))),
        distance_error=0.0,
        **_stability(np.column_stack([table, nulls])),
    )


def _stability(counts: Floats) -> dict[str, float]:
    """The index over bins (two rows of counts), and what chance alone would give."""
    kept = counts[:, counts.sum(axis=0) > 0]
    bins = kept.shape[1]
    totals = kept.sum(axis=1)
    shares = (kept + _PSEUDO_COUNT) / (totals + _PSEUDO_COUNT * bins)[:, None]
    index = math.fsum(((shares[0] - shares[1]) * np.log(shares[0] / shares[1])).tolist())
    return {
        "psi": _rounded(max(0.0, index)),
        "psi_by_chance": _rounded((bins - 1) * float((1 / totals).sum())),
    }


def _rounded(number: float) -> float:
    """So that the last digits, which differ between machines, are not in a document."""
    return round(number, DIGITS)
