"""Durations: a number and a unit, and nothing that could mean something else."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.durations import parse_duration, spoken_duration


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0s", dt.timedelta()),
        ("90s", dt.timedelta(seconds=90)),
        ("15m", dt.timedelta(minutes=15)),
        ("24h", dt.timedelta(days=1)),
        (" 7d ", dt.timedelta(days=7)),
    ],
)
def test_a_number_and_a_unit(text: str, expected: dt.timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["", "h", "24", "24 h", "1.5h", "-1h", "1w", "1H", "1h30m", "1e3s", "9999999999s"])
def test_anything_else_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="write a whole number and s, m, h or d, as in 24h"):
        parse_duration(text)


@given(st.integers(0, 10**7))
def test_what_is_written_reads_back_the_same(seconds: int) -> None:
    duration = dt.timedelta(seconds=seconds)
    assert parse_duration(spoken_duration(duration)) == duration


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (90, "90s"), (3600, "1h"), (86_400, "1d"), (90_000, "25h")])
def test_it_is_written_in_the_largest_unit_that_fits(seconds: int, text: str) -> None:
    assert spoken_duration(dt.timedelta(seconds=seconds)) == text
