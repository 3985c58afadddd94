"""Retention: what is too old by age, number or size, and what never is."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.retention import DAY_S, KEPT_FOR_EVER, UNITS, Retention, VersionAge, is_past, too_old

NOW = dt.datetime(2024, 6, 1, tzinfo=dt.UTC)
DEFAULT = Retention()


def ago(days: float) -> dt.datetime:
    return NOW - dt.timedelta(days=days)


def version(number: int, superseded: float | None, size: int = 10, partition: str = "p") -> VersionAge:
    """A version that another one followed so many days ago; None: it is current."""
    return VersionAge(partition, number, None if superseded is None else ago(superseded), size)


def gone(retention: Retention, *versions: VersionAge) -> list[tuple[str, int]]:
    return sorted(too_old(retention, versions, NOW))


@pytest.mark.parametrize(
    ("retention", "versions", "expected"),
    [
        pytest.param(DEFAULT, [version(1, 61), version(2, None)], [1], id="superseded for 61 days"),
        pytest.param(DEFAULT, [version(1, 60), version(2, None)], [], id="superseded for 60 days"),
        pytest.param(DEFAULT, [version(1, None)], [], id="the current one, however old"),
        pytest.param(DEFAULT, [version(1, 300), version(2, 200), version(3, 1)], [1, 2], id="nothing is current"),
        pytest.param(DEFAULT, [version(9, 61)], [], id="the latest, though it is not current"),
        pytest.param(
            Retention(latest=3), [version(1, 99), version(2, 98), version(3, None)], [], id="none of the latest three"
        ),
        pytest.param(
            Retention(latest=2), [version(1, 99), version(2, 98), version(3, None)], [1], id="all but the latest two"
        ),
        pytest.param(
            Retention(versions=1), [version(1, 2), version(2, 1), version(3, None)], [1], id="one superseded is kept"
        ),
        pytest.param(Retention(versions=0), [version(1, 0), version(2, None)], [1], id="no superseded one is kept"),
        pytest.param(
            Retention(size_bytes=20), [version(1, 3), version(2, 2), version(3, 1), version(4, None)], [1], id="by size"
        ),
        pytest.param(Retention(size_bytes=0), [version(1, 1), version(2, None, 99)], [1], id="current bytes are free"),
        pytest.param(KEPT_FOR_EVER, [version(1, 9999), version(2, None)], [], id="no limit"),
    ],
)
def test_what_is_too_old(retention: Retention, versions: list[VersionAge], expected: list[int]) -> None:
    assert gone(retention, *versions) == [("p", number) for number in expected]


def test_numbers_count_by_partition_and_size_by_table() -> None:
    versions = [version(n, 10 - n, partition=p) for p in ("a", "b") for n in (1, 2)]
    versions += [version(3, None, partition=p) for p in ("a", "b")]
    assert gone(Retention(versions=1), *versions) == [("a", 1), ("b", 1)]
    assert gone(Retention(size_bytes=30), *versions) == [("b", 1)]


@pytest.mark.parametrize(
    ("retention", "said"),
    [
        (Retention(), "superseded for more than 60d"),
        (Retention(age_s=None, versions=0), "more than 0 superseded versions of its partition"),
        (Retention(age_s=None, size_bytes=5), "superseded versions of the table have more than 5 bytes"),
    ],
    ids=["age", "number", "size"],
)
def test_each_says_which_limit_it_broke(retention: Retention, said: str) -> None:
    assert too_old(retention, [version(1, 99), version(2, None)], NOW) == {("p", 1): said}


@given(
    st.builds(
        Retention,
        age_s=st.none() | st.integers(1, 10 * DAY_S),
        versions=st.none() | st.integers(0, 4),
        size_bytes=st.none() | st.integers(0, 50),
        latest=st.integers(1, 4),
    ),
    st.lists(st.integers(0, 20), min_size=1, max_size=6).map(lambda days: sorted(days, reverse=True)),
)
def test_the_current_and_the_latest_versions_never_go(retention: Retention, days: list[int]) -> None:
    numbers = range(1, len(days) + 2)
    versions = [version(n, d) for n, d in zip(numbers, days, strict=False)] + [version(len(days) + 1, None)]
    found = {number for _, number in too_old(retention, versions, NOW)}
    assert not found & set(sorted(numbers)[-retention.latest :])
    # what is older than something that goes by age or number goes, too
    assert gone(retention.model_copy(update={"size_bytes": None}), *versions) == [
        ("p", n) for n in range(1, 1 + len(gone(retention.model_copy(update={"size_bytes": None}), *versions)))
    ]


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (90, "d", {"age_s": 90 * DAY_S}),
        (1.5, "weeks", {"age_s": round(10.5 * DAY_S)}),
        (1, "y", {"age_s": 365 * DAY_S}),
        (12, "h", {"age_s": 43_200}),
        (3, "versions", {"versions": 3}),
        (0, "versions", {"versions": 0}),
        (2, "latest", {"latest": 2}),
        (0.5, "GB", {"size_bytes": 500_000_000}),
    ],
)
def test_a_limit_as_a_contract_writes_it(value: float, unit: str, expected: dict[str, int]) -> None:
    assert unit in UNITS
    assert Retention().with_level(value, unit) == Retention().model_copy(update=expected)


@pytest.mark.parametrize(
    ("value", "unit"),
    [(0, "d"), (-1, "d"), (1.5, "versions"), (-1, "versions"), (0, "latest"), (-1, "GB"), (float("nan"), "d")],
)
def test_a_limit_that_is_none_is_refused(value: float, unit: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Retention().with_level(value, unit)
    with pytest.raises(OverflowError):
        Retention().with_level(float("inf"), "d")


def test_something_is_past_when_its_age_is_over() -> None:
    assert is_past(DEFAULT, ago(61), NOW)
    assert not is_past(DEFAULT, ago(59), NOW)
    assert not is_past(KEPT_FOR_EVER, ago(9999), NOW)
