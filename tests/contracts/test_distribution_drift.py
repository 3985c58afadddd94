"""Drift: nothing for what is alike, much for what is not, and no number where none can be told."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import pytest

from contracts.distribution_drift import ColumnDrift, drift_of
from contracts.overview_document import DriftSeries
from tests.contracts.test_profile_merging import profile_of


def drift(values: list[Any], reference: list[Any], type_: str = "BIGINT") -> ColumnDrift:
    found, other = profile_of(values, type_), profile_of(reference, type_)
    return drift_of(found.columns[0], found.rows, other.columns[0], other.rows)


ALIKE = {
    "numbers": (list(range(1000)), "BIGINT"),
    "texts": (["a", "b", "b", None] * 9, "VARCHAR"),
    "one value": ([7] * 50, "BIGINT"),
    "times of day": ([dt.time(hour) for hour in range(24)], "TIME"),
}


@pytest.mark.parametrize(("values", "type_"), ALIKE.values(), ids=ALIKE.keys())
def test_what_is_alike_has_not_drifted(values: list[Any], type_: str) -> None:
    found = drift(values, values, type_)
    assert (found.psi, found.distance, found.nulls_change, found.level) == (0.0, 0.0, 0.0, "little")


def test_the_index_is_that_of_its_definition() -> None:
    found = drift(["a"] * 60 + ["b"] * 40, ["a"] * 50 + ["b"] * 50, "VARCHAR")
    p, q = ((60.5 / 101, 40.5 / 101), (50.5 / 101, 50.5 / 101))
    assert found.psi == pytest.approx(sum((a - b) * math.log(a / b) for a, b in zip(p, q, strict=True)), abs=1e-6)
    assert (found.method, found.distance_error) == ("values", 0.0)
    assert found.distance == pytest.approx(0.1)
    assert found.psi_by_chance == pytest.approx(1 / 100 + 1 / 100)


def test_numbers_that_moved_have_drifted() -> None:
    found = drift([value + 500 for value in range(1000)], list(range(1000)))
    assert (found.method, found.level) == ("ranks", "strong")
    assert found.distance == pytest.approx(0.5, abs=1 / 32)
    assert found.distance_error == pytest.approx(2 / 64, abs=1e-4)


def test_values_with_nothing_in_common_are_one_apart() -> None:
    assert drift(["x"] * 9, ["y"] * 9, "VARCHAR").distance == 1.0
    assert drift([1] * 9, [2] * 9).distance == 1.0


def test_more_nulls_are_a_drift_of_their_own() -> None:
    found = drift([1, 2, None, None], [1, 2, 1, 2])
    assert found.nulls_change == 0.5
    assert found.psi is not None
    assert found.psi > 0.25


def test_few_rows_differ_by_chance_and_are_not_noted() -> None:
    found = drift(["a", "b"], ["a", "a"], "VARCHAR")
    assert found.psi is not None
    assert found.psi_by_chance == 1.0
    assert found.level == "little"


NOT_COMPARED = {
    "times move": ([dt.date(2024, 1, 2)], [dt.date(2024, 1, 1)], "DATE"),
    "too many values": ([f"a{i}" for i in range(500)], [f"b{i}" for i in range(500)], "VARCHAR"),
    "no values": ([None, None], [1, 2], "BIGINT"),
}


@pytest.mark.parametrize(
    ("why", "values", "reference", "type_"), [(why, *case) for why, case in NOT_COMPARED.items()], ids=NOT_COMPARED
)
def test_what_cannot_be_compared_says_why(why: str, values: list[Any], reference: list[Any], type_: str) -> None:
    found = drift(values, reference, type_)
    assert (found.why, found.method, found.psi, found.distance, found.level) == (why, None, None, None, "none")
    assert found.nulls_change is not None


def test_texts_without_values_on_one_side_are_not_compared() -> None:
    assert drift([None], ["a"], "VARCHAR").why == "no values"


def test_another_type_is_not_compared() -> None:
    found, other = profile_of([1], "BIGINT"), profile_of(["a"], "VARCHAR")
    assert drift_of(found.columns[0], 1, other.columns[0], 1).why == "other type"


@pytest.mark.parametrize("rows", [0, 5])
def test_where_there_is_nothing_before_nothing_is_said(rows: int) -> None:
    found = profile_of([1], "BIGINT").columns[0]
    assert drift_of(found, rows, None, 0) == ColumnDrift(why="first")


def test_a_series_gives_back_what_was_put_in() -> None:
    found = [ColumnDrift(why="first"), drift([1, 2], [1, 3]), drift(["a"], ["b"], "VARCHAR")]
    series = DriftSeries.of(found)
    assert [series.at(index) for index in range(3)] == found
