"""The sketch of distinct values: near the truth, the same however it was put together, and the same as text."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.distinct_sketch import STANDARD_ERROR, distinct_values, from_text, merged, registers_of, to_text
from contracts.report_document import REGISTERS


def hashes(first: int, last: int) -> np.ndarray:
    """Of the numbers from `first` to before `last`: splitmix64, which spreads them evenly."""
    with np.errstate(over="ignore"):
        z = (np.arange(first, last, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(z ^ (z >> np.uint64(31)))


@pytest.mark.parametrize("count", [0, 1, 2, 10, 100, 1000, 2000, 3000, 10_000, 100_000, 1_000_000])
def test_the_estimate_is_within_four_standard_errors(count: int) -> None:
    assert distinct_values(registers_of(hashes(0, count))) == pytest.approx(count, rel=4 * STANDARD_ERROR, abs=1)


def test_values_that_come_again_count_once() -> None:
    some = hashes(0, 500)
    assert distinct_values(registers_of(np.concatenate([some, some]))) == distinct_values(registers_of(some))


@given(cuts=st.lists(st.integers(0, 3000), min_size=1, max_size=4))
def test_sketches_of_parts_give_that_of_the_whole(cuts: list[int]) -> None:
    bounds = [0, *sorted(cuts), 3000]
    parts = [registers_of(hashes(a, b)) for a, b in pairwise(bounds)]
    assert (merged(parts) == registers_of(hashes(0, 3000))).all()


@pytest.mark.parametrize("count", [0, 1, 30, 300, 341, 342, 400, 5000, 200_000])
def test_a_sketch_is_the_same_as_text(count: int) -> None:
    registers = registers_of(hashes(0, count))
    text = to_text(registers)
    assert (from_text(text) == registers).all()
    assert len(text) <= REGISTERS


def test_a_sketch_of_few_values_is_short() -> None:
    assert len(to_text(registers_of(hashes(0, 5)))) == 15
    assert to_text(registers_of(hashes(0, 0))) == ""


@pytest.mark.parametrize(
    "text", ["A", "AB", "ABCD", "!!!", "//A", "A" * (REGISTERS - 2), "\u00e4AA", "A" * (REGISTERS + 3)], ids=repr
)
def test_what_is_no_sketch_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no sketch of distinct values"):
        from_text(text)
