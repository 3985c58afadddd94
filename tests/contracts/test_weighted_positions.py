"""Positions with weights: ranks and shares are those of the plain list of values."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.weighted_positions import LADDER_STEPS, NOTHING, Weighted

VALUES = st.lists(st.integers(-50, 50), min_size=1, max_size=300)


def counted(values: list[int]) -> Weighted:
    counts = Counter(values)
    return Weighted.of_counts([float(value) for value in counts], list(counts.values()))


@given(values=VALUES, share=st.sampled_from([0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 1.0]))
def test_a_quantile_is_the_smallest_value_that_the_share_does_not_exceed(values: list[int], share: float) -> None:
    expected = sorted(values)[max(0, math.ceil(round(share * len(values), 9)) - 1)]
    assert counted(values).at_shares([share]).tolist() == [expected]


@given(values=VALUES, position=st.integers(-60, 60))
def test_a_share_counts_the_values_up_to_a_position(values: list[int], position: int) -> None:
    found = counted(values).share_up_to(np.array([float(position)]))[0]
    assert found == pytest.approx(sum(value <= position for value in values) / len(values))


@given(values=VALUES)
def test_a_ladder_misses_no_rank_by_more_than_it_says(values: list[int]) -> None:
    exact = counted(values)
    ladder = Weighted.of_ladder(exact.ladder, len(values), 0.0)
    at = np.arange(-60.0, 60.0)
    apart = np.abs(exact.share_up_to(at) - ladder.share_up_to(at)).max()
    # a rung is a value, and there is none between two neighbouring ones of few
    assert apart <= ladder.rank_error + 1 / len(values)
    assert ladder.rank_error == 1 / LADDER_STEPS
    assert ladder.total == pytest.approx(len(values))


def test_a_ladder_goes_from_the_smallest_to_the_largest_value() -> None:
    ladder = counted(list(range(640))).ladder
    assert (len(ladder), ladder[0], ladder[1], ladder[32], ladder[-1]) == (65, 0, 9, 319, 639)


def test_nothing_has_no_ladder() -> None:
    assert (NOTHING.ladder, NOTHING.total) == ((), 0.0)
