"""Where the values of a column lie on its scale, each with how many it stands for: what ranks and shares are read from.

Pure arithmetic; knows no document.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LADDER_STEPS = 64
"""Between two rungs of a ladder lies this part of the values, at most."""


@dataclass(frozen=True)
class Weighted:
    """Positions in ascending order, and how many values each stands for."""

    positions: Floats
    weights: Floats
    rank_error: float
    """By how much the share of values up to a position may be off; 0 when all of them are known."""

    @cached_property
    def cumulated(self) -> Floats:
        """How many values lie before each position, and how many there are; one more than positions."""
        return np.concatenate(([0.0], np.cumsum(self.weights)))

    @property
    def total(self) -> float:
        """How many values there are."""
        return float(self.cumulated[-1])

    def share_up_to(self, positions: Floats) -> Floats:
        """Which share of the values does not exceed each position."""
        return np.asarray(self.cumulated[self.positions.searchsorted(positions, side="right")] / max(1.0, self.total))

    def at_shares(self, shares: Sequence[float]) -> Floats:
        """The smallest position that each share of the values does not exceed."""
        # a hair less: what is exactly a share must not be missed by a rounding
        wanted = np.asarray(shares) * self.total * (1 - 1e-12)
        found = self.cumulated[1:].searchsorted(wanted, side="left")
        return self.positions[np.minimum(found, len(self.positions) - 1)]

    @property
    def ladder(self) -> tuple[float, ...]:
        """The positions at even ranks; empty without values."""
        if not len(self.positions):
            return ()
        return tuple(self.at_shares([step / LADDER_STEPS for step in range(LADDER_STEPS + 1)]).tolist())

    @classmethod
    def of_counts(cls, positions: Sequence[float], rows: Sequence[int]) -> Weighted:
        """All values, each with how often it is there; in any order."""
        places, weights = np.asarray(positions, dtype=np.float64), np.asarray(rows, dtype=np.float64)
        order = np.argsort(places, kind="stable")
        return cls(places[order], weights[order], 0.0)

    @classmethod
    def of_ladder(cls, ladder: Sequence[float], total: int, rank_error: float) -> Weighted:
        """A ladder's rungs: each stands for the values of half a step before it and half a step behind it."""
        weights = np.full(len(ladder), total / LADDER_STEPS)
        weights[[0, -1]] /= 2
        return cls(np.asarray(ladder, dtype=np.float64), weights, rank_error + 1 / LADDER_STEPS)


NOTHING = Weighted(np.empty(0), np.empty(0), 0.0)
