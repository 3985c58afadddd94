"""Profiles against plain Python over the same values, and the two ways of computing them against each other."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.canonical import canonical_bytes
from contracts.column_scales import BINS
from contracts.duckdb_syntax import quoted
from contracts.report_document import QUANTILES, ColumnProfile, Profile
from platform_assets.reports import profile as module
from platform_assets.reports.profile import profile_table
from resources.duckdb_session import open_session


@pytest.fixture
def session() -> Iterator[duckdb.DuckDBPyConnection]:
    with open_session() as opened:
        yield opened


def profile_of(session: duckdb.DuckDBPyConnection, type_: str, *texts: str | None, name: str = "x") -> ColumnProfile:
    """The profile of one column that holds `texts`, cast to `type_`."""
    session.execute(f"CREATE OR REPLACE TEMP TABLE sample_rows (_hg_record BIGINT, {quoted(name)} {type_})")
    session.execute(
        "INSERT INTO sample_rows SELECT i, list_extract(?::VARCHAR[], i) FROM range(1, ?) r(i)",
        [list(texts), len(texts) + 1],
    )
    return profile_table(session, "sample_rows", {name: type_}, {}).columns[0]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns of more than three distinct values are many."""
    monkeypatch.setattr(module, "COUNTED_VALUES", 3)


CASES = {
    "numbers": ("BIGINT", ["3", "1", None, "2", "1"], "1", "3", 3, 1),
    "numbers beyond floating point": (
        "HUGEINT",
        [str(10**30 + 1), str(10**30), str(10**30 + 2)],
        str(10**30),
        str(10**30 + 2),
        3,
        0,
    ),
    "decimals keep their scale": ("DECIMAL(6,2)", ["1.5", "-2"], "-2.00", "1.50", 2, 0),
    "both zeros are one value": ("DOUBLE", ["-0.0", "0.0"], "0.0", "0.0", 1, 0),
    "NaN is the greatest": ("DOUBLE", ["nan", "1", "-inf"], "-inf", "nan", 3, 0),
    "dates": ("DATE", ["2024-02-29", "2023-01-01"], "2023-01-01", "2024-02-29", 2, 0),
    "times": ("TIME", ["23:59:59.5", "00:00:00"], "00:00:00", "23:59:59.5", 2, 0),
    "timestamps": ("TIMESTAMP", ["2024-01-01 10:00:00", None], "2024-01-01 10:00:00", "2024-01-01 10:00:00", 1, 1),
    "moments are in UTC": (
        "TIMESTAMP WITH TIME ZONE",
        ["2024-01-01 10:00:00+02"],
        "2024-01-01 08:00:00+00",
        "2024-01-01 08:00:00+00",
        1,
        0,
    ),
    "texts, the empty one among them": ("VARCHAR", ["b", "", "a", None], "", "b", 3, 1),
    "truth": ("BOOLEAN", ["true", "false", "true"], "false", "true", 2, 0),
    "JSON": ("JSON", ['{"a": 1}', '{"a": 1}'], '{"a": 1}', '{"a": 1}', 1, 0),
}


@pytest.mark.parametrize(("type_", "texts", "low", "high", "distinct", "nulls"), CASES.values(), ids=CASES.keys())
def test_extremes_distinct_values_and_nulls(
    session: duckdb.DuckDBPyConnection,
    type_: str,
    texts: list[str | None],
    low: str,
    high: str,
    distinct: int,
    nulls: int,
) -> None:
    found = profile_of(session, type_, *texts)
    assert found.minimum is not None
    assert found.maximum is not None
    assert (found.minimum.text, found.maximum.text, found.distinct, found.nulls) == (low, high, distinct, nulls)
    assert not found.distinct_is_approximate


@pytest.mark.parametrize("type_", ["BIGINT", "DOUBLE", "VARCHAR", "DATE", "BOOLEAN", "JSON"])
@pytest.mark.parametrize("rows", [0, 3])
def test_a_column_without_values_has_no_figures(session: duckdb.DuckDBPyConnection, type_: str, rows: int) -> None:
    found = profile_of(session, type_, *[None] * rows)
    assert (found.nulls, found.distinct, found.minimum, found.maximum) == (rows, 0, None, None)
    assert (found.quantiles, found.top_values, found.histogram) == ((), (), None)


def test_top_values_come_most_frequent_first_and_equals_in_value_order(session: duckdb.DuckDBPyConnection) -> None:
    found = profile_of(session, "VARCHAR", *"ccbbbad", None)
    assert [(top.value.text, top.rows) for top in found.top_values] == [("b", 3), ("c", 2), ("a", 1), ("d", 1)]


def test_of_many_values_the_ten_most_frequent_are_shown(session: duckdb.DuckDBPyConnection) -> None:
    found = profile_of(session, "VARCHAR", *[f"v{i:02}" for i in range(40) for _ in range(1 + (i == 7))])
    assert len(found.top_values) == 10
    assert (found.top_values[0].value.text, found.top_values[0].rows) == ("v07", 2)


def test_where_every_value_is_different_none_is_on_top(session: duckdb.DuckDBPyConnection) -> None:
    assert profile_of(session, "VARCHAR", *[f"v{i}" for i in range(11)]).top_values == ()


def test_a_long_value_is_cut_and_says_so(session: duckdb.DuckDBPyConnection) -> None:
    found = profile_of(session, "VARCHAR", "é" * 5000)
    assert found.minimum is not None
    assert (found.minimum.text, found.minimum.characters, found.minimum.left_out) == ("é" * 120, 5000, 4880)


def test_long_values_that_begin_alike_are_different_values(session: duckdb.DuckDBPyConnection) -> None:
    found = profile_of(session, "VARCHAR", "x" * 2000 + "a", "x" * 2000 + "bc", "x" * 2000 + "a")
    assert (found.distinct, [(top.value.characters, top.rows) for top in found.top_values]) == (
        2,
        [(2001, 2), (2002, 1)],
    )


def test_infinities_stand_in_no_bin_and_are_counted(session: duckdb.DuckDBPyConnection) -> None:
    found = profile_of(session, "DOUBLE", "inf", "nan", "-inf", *[str(i) for i in range(20)])
    assert found.histogram is not None
    assert (sum(found.histogram.rows), found.histogram.not_binned) == (20, 3)


@pytest.mark.parametrize(
    ("type_", "texts", "unit", "start", "width"),
    [
        ("BIGINT", [str(i) for i in range(-3, 21)], "value", -3, 1),
        ("BIGINT", [str(i) for i in range(100)], "value", 0, 5),
        ("DOUBLE", [str(i / 100) for i in range(100)], "value", 0, 0.05),
        ("DATE", [f"2024-03-{day:02}" for day in range(1, 25)], "epoch_s", 1709251200, 86_400),
        ("TIMESTAMP", [f"2024-03-01 {h:02}:00:00" for h in range(24)], "epoch_s", 1709251200, 3600),
        ("TIME", [f"{h:02}:30:00" for h in range(12)], "second_of_day", 1800, 1800),
    ],
    ids=["whole numbers one by one", "whole numbers in fives", "fractions", "days", "hours", "half hours"],
)
def test_bins_are_round(
    session: duckdb.DuckDBPyConnection, type_: str, texts: list[str], unit: str, start: float, width: float
) -> None:
    histogram = profile_of(session, type_, *texts).histogram
    assert histogram is not None
    assert histogram.unit == unit
    assert (histogram.start, histogram.width) == pytest.approx((start, width))
    assert len(histogram.rows) <= BINS
    assert sum(histogram.rows) == len(texts)


@pytest.mark.parametrize(
    "texts",
    [["-1.7e308", "1.7e308"], ["5e-324", "1e-323"], ["1e300", "1.0000000000000002e300"], ["1e17", "1e18"]],
    ids=["too far apart", "too near each other", "neighbours", "large"],
)
def test_numbers_at_the_ends_of_floating_point_do_no_harm(session: duckdb.DuckDBPyConnection, texts: list[str]) -> None:
    between = [str(float(texts[0]) + (float(texts[1]) / 12 - float(texts[0]) / 12) * i) for i in range(12)]
    found = profile_of(session, "DOUBLE", *texts, *between)
    assert found.histogram is None or sum(found.histogram.rows) == 14
    canonical_bytes(found.model_dump(mode="json"))


def test_names_of_columns_are_names_whatever_they_say(session: duckdb.DuckDBPyConnection) -> None:
    names = ["v", "n", "i", "t", "p", "place", "position", "sample_rows", 'say "x"', "select", "a;b", "count(*)"]
    values = ", ".join(f"{i} AS {quoted(n)}" for i, n in enumerate(names))
    session.execute(f"CREATE TEMP TABLE sample_rows AS SELECT 1 AS _hg_record, {values}")
    found = profile_table(session, "sample_rows", dict.fromkeys(names, "INTEGER"), {})
    assert [(c.name, c.minimum.text if c.minimum else None) for c in found.columns] == [
        (n, str(i)) for i, n in enumerate(names)
    ]


@pytest.mark.usefixtures("few")
def test_names_are_names_where_values_are_many(session: duckdb.DuckDBPyConnection) -> None:
    names = ["v", "b", "p", "sample_rows", 'say "x"']
    values = ", ".join(f"i AS {quoted(n)}" for n in names)
    session.execute(f"CREATE TEMP TABLE sample_rows AS SELECT i AS _hg_record, {values} FROM range(1, 10) r(i)")
    found = profile_table(session, "sample_rows", dict.fromkeys(names, "BIGINT"), {})
    assert [c.quantiles[2].value for c in found.columns] == ["5"] * 5
    assert [sum(c.histogram.rows) for c in found.columns if c.histogram] == [9] * 5


WHOLE = st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.integers(-50, 50)), max_size=60)


@given(values=WHOLE)
def test_whole_numbers_are_as_plain_python_finds_them(values: list[int | None]) -> None:
    with open_session() as session:
        found = profile_of(session, "BIGINT", *[None if v is None else str(v) for v in values])
    there = sorted(v for v in values if v is not None)
    assert (found.nulls, found.distinct) == (len(values) - len(there), len(set(there)))
    if there:
        expected = [str(there[max(1, math.ceil(share * len(there))) - 1]) for share in QUANTILES]
        assert [q.value for q in found.quantiles] == expected
    if len(set(there)) > 10:
        assert found.histogram is not None
        assert sum(found.histogram.rows) == len(there)
    else:
        counted = {top.value.text: top.rows for top in found.top_values}
        assert counted == {str(v): n for v, n in Counter(there).items()}


@given(values=st.lists(st.decimals(-9999, 9999, places=2), min_size=12, max_size=80, unique=True))
def test_every_value_stands_in_the_bin_that_covers_it(values: list[Decimal]) -> None:
    with open_session() as session:
        histogram = profile_of(session, "DECIMAL(8,2)", *map(str, values)).histogram
    assert histogram is not None
    ends = [histogram.start + histogram.width * (i + 1) for i in range(len(histogram.rows))]
    slack = histogram.width * 1e-6
    assert len(ends) <= BINS
    for i, end in enumerate(ends):
        # a value on a bin's edge may be binned to either side by the last bit of a division
        sure = sum(float(v) < end - slack for v in values)
        possible = sum(float(v) <= end + slack for v in values)
        assert sure <= sum(histogram.rows[: i + 1]) <= possible


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("type_", ["BIGINT", "DOUBLE", "DECIMAL(8,2)", "DATE", "TIMESTAMP", "TIME", "VARCHAR"])
def test_estimating_agrees_with_counting(
    session: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch, type_: str
) -> None:
    expression = {
        "DATE": "DATE '2024-01-01' + (i * 7 % 50)::INTEGER",
        "TIMESTAMP": "TIMESTAMP '2024-01-01' + to_minutes(i * 7 % 50)",
        "TIME": "TIME '00:00:00' + to_minutes(i * 7 % 50)",
        "VARCHAR": "'k' || (i * 7 % 50)",
    }.get(type_, "((i * 7 % 50) / 4 - 3)")
    session.execute(
        "CREATE TEMP TABLE sample_rows AS "
        f"SELECT i AS _hg_record, CASE WHEN i % 9 > 0 THEN ({expression})::{type_} END AS x FROM range(1, 500) r(i)"
    )
    estimated = profile_table(session, "sample_rows", {"x": type_}, {}).columns[0]
    monkeypatch.setattr(module, "COUNTED_VALUES", 1000)
    counted = profile_table(session, "sample_rows", {"x": type_}, {}).columns[0]
    assert estimated.distinct_is_approximate
    assert estimated.distinct == pytest.approx(counted.distinct, rel=0.15)
    for same in ("nulls", "minimum", "maximum", "quantiles", "histogram"):
        assert getattr(estimated, same) == getattr(counted, same), same
    assert estimated.top_values == ()
    assert [(e.figure, e.method, e.error) for e in estimated.estimates] == [("distinct", "hyperloglog", 0.0325)]
    assert counted.estimates == ()
    assert estimated.summary is not None
    assert counted.summary is not None
    for same in ("unit", "ladder", "finite", "registers", "hashing"):
        assert getattr(estimated.summary, same) == getattr(counted.summary, same), same


@pytest.mark.usefixtures("few")
def test_a_sample_says_which_and_how_much(session: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SORTED_ROWS", 30)
    rows = "SELECT 'd' AS _hg_source, i AS _hg_record, i AS x FROM range(1, 101) r(i)"
    session.execute(f"CREATE TEMP TABLE sample_rows AS {rows}")
    sampled = [profile_table(session, "sample_rows", {"x": "BIGINT"}, {}, seed).columns[0] for seed in (7, 7, 8)]
    found = sampled[0]
    assert found.quantile_sample is not None
    assert (found.quantile_sample.method, found.quantile_sample.every_record) == ("record-hash", 4)
    assert found.quantile_sample.fraction == pytest.approx(0.25)
    assert found.quantile_sample.seed == 7
    assert [(e.figure, e.method) for e in found.estimates] == [("distinct", "hyperloglog"), ("quantiles", "sampled")]
    assert sampled[1] == found
    assert sampled[2].quantiles != found.quantiles
    assert all(1 <= int(q.value) <= 100 for q in found.quantiles)


def test_the_number_of_threads_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COUNTED_VALUES", 1000)
    profiles: list[Profile] = []
    for threads in ("1", "4"):
        with duckdb.connect(config={"threads": threads}) as session:
            session.execute(
                "CREATE TEMP TABLE sample_rows AS "
                "SELECT i AS _hg_record, hash(i) / 1e10 AS d, 'k' || hash(i) % 5000 AS s, hash(i) % 70 AS few "
                "FROM range(600000) r(i)"
            )
            profiles.append(
                profile_table(session, "sample_rows", {"d": "DOUBLE", "s": "VARCHAR", "few": "UBIGINT"}, {})
            )
    assert profiles[0] == profiles[1]
    assert [c.distinct_is_approximate for c in profiles[0].columns] == [True, True, False]
