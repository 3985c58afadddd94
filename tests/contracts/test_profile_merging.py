"""Merging: what can be exact is, what is estimated is as near as it says, and order does not matter."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.profile_merging import can_be_merged, merge_profiles, spread_over
from contracts.report_document import ColumnProfile, Profile
from platform_assets.reports.profile import profile_table

DAYS = [dt.date(2024, 1, 1) + dt.timedelta(days=i) for i in range(400)]


def profile_of(values: list[Any], type_: str) -> Profile:
    """Of one column `x`."""
    with duckdb.connect() as session:
        session.execute("SET TimeZone = 'UTC'")
        session.execute(f"CREATE TABLE r (_hg_source VARCHAR, _hg_record BIGINT, x {type_})")
        if values:
            rows = [("d", at, value) for at, value in enumerate(values, 1)]
            session.executemany("INSERT INTO r VALUES (?, ?, ?)", rows)
        return profile_table(session, "r", {"x": type_}, {})


def merged(parts: list[list[Any]], type_: str = "BIGINT") -> ColumnProfile:
    return merge_profiles([profile_of(part, type_) for part in parts]).columns[0]


def exact(parts: list[list[Any]], type_: str = "BIGINT") -> ColumnProfile:
    return profile_of([value for part in parts for value in part], type_).columns[0]


PARTS = {
    "few numbers": ([[1, 2, 2, None], [2, 3, 3], [9]], "BIGINT"),
    "a part of nulls": ([[None, None], [1, 2]], "BIGINT"),
    "few texts": ([["a", "b", "b"], ["b", "", "c"], ["c"]], "VARCHAR"),
    "true and false": ([[True, False], [True, None]], "BOOLEAN"),
    "days": ([DAYS[:9], DAYS[3:7], DAYS[20:30]], "DATE"),
    "amounts": ([["1.50", "2.25"], ["-0.75", "1.50"]], "DECIMAL(8,2)"),
    "times": ([[dt.time(1, 2), dt.time(3)], [dt.time(23, 59, 59)]], "TIME"),
    "one value of each of many": ([list(range(8)), list(range(8, 16)), list(range(16, 24))], "BIGINT"),
}


@pytest.mark.parametrize(("parts", "type_"), PARTS.values(), ids=PARTS.keys())
def test_of_few_values_everything_is_exact(parts: list[list[Any]], type_: str) -> None:
    found, expected = merged(parts, type_), exact(parts, type_)
    names = ("nulls", "distinct", "minimum", "maximum", "quantiles", "top_values", "histogram", "estimates")
    assert {name: getattr(found, name) for name in names} == {name: getattr(expected, name) for name in names}


@settings(max_examples=25, deadline=None)
@given(
    parts=st.lists(st.lists(st.integers(-500, 500) | st.none(), max_size=120), min_size=1, max_size=4).filter(
        lambda parts: any(value is not None for part in parts for value in part)
    )
)
def test_of_many_values_quantiles_are_as_near_as_they_say(parts: list[list[int | None]]) -> None:
    found = merged(parts)
    values = sorted(value for part in parts for value in part if value is not None)
    estimate = found.estimate("quantiles")
    allowed = (estimate.error if estimate and estimate.error else 0.0) + 1 / len(values)
    for quantile in found.quantiles:
        below = sum(value < int(quantile.value) for value in values) / len(values)
        upto = sum(value <= int(quantile.value) for value in values) / len(values)
        assert below - allowed <= quantile.share <= upto + allowed
    assert found.nulls == sum(value is None for part in parts for value in part)
    assert found.minimum is not None
    assert found.maximum is not None
    assert (int(found.minimum.text), int(found.maximum.text)) == (values[0], values[-1])


def test_of_many_values_it_says_what_is_estimated_and_how() -> None:
    found = merged([list(range(1000)), list(range(500, 1500))])
    assert [(e.figure, e.method) for e in found.estimates] == [
        ("distinct", "hyperloglog"),
        ("quantiles", "merged-ladders"),
        ("histogram", "merged-ladders"),
    ]
    assert [e.error for e in found.estimates] == pytest.approx([0.0325, 1 / 64, 2 / 64], abs=1e-4)
    assert found.distinct_is_approximate
    assert found.distinct == pytest.approx(1500, rel=0.13)


def test_an_estimated_histogram_has_every_value_once_and_the_right_shape() -> None:
    parts = [list(range(1000)), list(range(1000)), list(range(300))]
    found, expected = merged(parts), exact(parts)
    assert found.histogram is not None
    assert expected.histogram is not None
    assert (found.histogram.start, found.histogram.width) == (expected.histogram.start, expected.histogram.width)
    assert sum(found.histogram.rows) == 2300
    apart = np.abs(np.array(found.histogram.rows) - np.array(expected.histogram.rows))
    assert apart.max() <= 2300 / 32


def test_of_many_texts_the_certainly_most_frequent_are_shown_as_lower_bounds() -> None:
    parts = [["often"] * 500 + [f"k{i}-{part}" for i in range(100) for _ in range(3)] for part in range(3)]
    found = merged(parts, "VARCHAR")
    assert [(top.value.text, top.rows) for top in found.top_values] == [("often", 1500)]
    estimate = found.estimate("top_values")
    assert estimate is not None
    assert (estimate.method, estimate.error) == ("merged-values", 9.0)


def test_what_may_be_off_by_more_than_it_is_is_not_shown() -> None:
    parts = [[f"k{i}-{part}" for i in range(100) for _ in range(3)] for part in range(3)]
    assert merged(parts, "VARCHAR").top_values == ()


def test_parts_merged_in_steps_say_that_they_are_farther_off() -> None:
    halves = [merge_profiles([profile_of(list(range(a, a + 500)), "BIGINT") for a in (b, b + 300)]) for b in (0, 700)]
    found = merge_profiles(halves).columns[0]
    estimate = found.estimate("quantiles")
    assert estimate is not None
    assert estimate.error == pytest.approx(2 / 64, abs=1e-4)


@pytest.mark.parametrize("order", [(1, 0, 2), (2, 1, 0)], ids=str)
def test_the_order_of_the_parts_does_not_show(order: tuple[int, ...]) -> None:
    parts = [profile_of(list(range(a, a + 200)), "BIGINT") for a in (0, 150, 900)]
    assert merge_profiles([parts[at] for at in order]) == merge_profiles(parts)


def test_infinities_and_nan_stand_in_no_bin_and_are_extremes() -> None:
    found = merged([[1.0, 2.0, math.inf], [math.nan, -math.inf, 3.0], [float(i) for i in range(20)]], "DOUBLE")
    assert found.minimum is not None
    assert found.maximum is not None
    assert (found.minimum.text, found.maximum.text) == ("-inf", "nan")
    assert found.histogram is not None
    assert (found.histogram.not_binned, sum(found.histogram.rows)) == (3, 23)


def test_a_column_that_a_part_lacks_is_null_there() -> None:
    wide, narrow = profile_of([1, 2, 3], "BIGINT"), Profile(rows=5, columns=())
    found = merge_profiles([narrow, wide])
    assert (found.rows, found.columns[0].nulls, found.columns[0].distinct) == (8, 5, 3)


def test_a_column_of_another_type_before_counts_as_null_there() -> None:
    found = merge_profiles([profile_of(["a", "b"], "VARCHAR"), profile_of([1], "BIGINT")]).columns[0]
    assert (found.type, found.nulls, found.distinct) == ("BIGINT", 2, 1)


def test_a_part_without_rows_adds_nothing() -> None:
    some, none = profile_of([1, 2], "BIGINT"), profile_of([], "BIGINT")
    assert merge_profiles([none, some, none]) == some
    assert merge_profiles([none]).rows == 0


def test_sketches_of_other_hashes_are_not_merged() -> None:
    one, other = profile_of(list(range(900)), "BIGINT"), profile_of(list(range(900, 2000)), "BIGINT")
    column = other.columns[0]
    assert column.summary is not None
    foreign = column.model_copy(update={"summary": column.summary.model_copy(update={"hashing": "duckdb 9.9"})})
    found = merge_profiles([one, other.model_copy(update={"columns": (foreign,)})]).columns[0]
    estimate = found.estimate("distinct")
    assert estimate is not None
    assert (found.distinct, estimate.method, estimate.error) == (1100, "largest-part", None)


def test_a_profile_of_an_earlier_format_cannot_be_merged() -> None:
    found = profile_of([1], "BIGINT")
    assert can_be_merged(found)
    column = found.columns[0].model_copy(update={"summary": None})
    assert not can_be_merged(found.model_copy(update={"columns": (column,)}))


def test_values_spread_over_the_bins_of_others() -> None:
    summary, histogram = profile_of([1, 1, 2, 50], "BIGINT").columns[0].summary, exact([list(range(24))]).histogram
    assert summary is not None
    assert histogram is not None
    shares = spread_over(summary, histogram)
    assert shares is not None
    assert (shares[1], shares[2], sum(shares)) == (0.5, 0.25, 0.75)
