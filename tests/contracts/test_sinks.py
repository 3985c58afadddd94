"""Sinks: their order, and names of files that cannot collide."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.sinks import Sink, artifact_name, in_order


@pytest.mark.parametrize(
    ("named", "sinks"),
    [
        pytest.param((), "parquet", id="none: Parquet all the same"),
        pytest.param((Sink.DUCKDB,), "parquet+duckdb", id="one"),
        pytest.param((Sink.DUCKDB, Sink.CSV), "parquet+csv+duckdb", id="in another order"),
        pytest.param((Sink.CSV, Sink.PARQUET, Sink.CSV), "parquet+csv", id="one twice"),
    ],
)
def test_sinks_come_in_one_order_each_once_and_parquet_always(named: tuple[Sink, ...], sinks: str) -> None:
    assert "+".join(in_order(named)) == sinks


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        pytest.param(("orders", "2024-01-31"), "orders.2024-01-31.csv", id="a day"),
        pytest.param(("orders", "2024-01-31-05:00"), "orders.2024-01-31-05%3a00.csv", id="an hour"),
        pytest.param(("asset.delays", "all"), "asset%2edelays.all.csv", id="an asset's"),
        pytest.param(("asset.Ü", "../x"), "asset%2e%c3%9c.%2e%2e%2fx.csv", id="signs of all kinds"),
    ],
)
def test_names_are_readable_and_plain(parts: tuple[str, ...], name: str) -> None:
    assert artifact_name(*parts, sink=Sink.CSV) == name


COLLIDING = [
    (("a/b", "1"), ("a_b", "1")),
    (("A", "1"), ("a", "1")),
    (("a", "b.1"), ("a.b", "1")),
    (("a", "x%2fy"), ("a", "x/y")),
    (("straße", "1"), ("strasse", "1")),
    (("\u00e9", "1"), ("e\u0301", "1")),  # one letter, spelled in two ways
]


@pytest.mark.parametrize(("one", "other"), COLLIDING)
def test_what_looks_alike_has_different_names(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert artifact_name(*one, sink=Sink.CSV) != artifact_name(*other, sink=Sink.CSV)


@given(
    one=st.tuples(st.text(min_size=1), st.text(min_size=1)), other=st.tuples(st.text(min_size=1), st.text(min_size=1))
)
def test_no_two_come_to_one_name_whatever_the_file_system(one: tuple[str, str], other: tuple[str, str]) -> None:
    names = [artifact_name(*parts, sink=Sink.DUCKDB) for parts in (one, other)]
    assert (names[0] == names[1]) == (one == other)
    # a file system that takes upper for lower case sees the same names, and nothing in them leads elsewhere
    assert all(re.fullmatch(r"[a-z0-9_%-]+\.[a-z0-9_%-]+\.duckdb", name) for name in names)


def test_two_sinks_of_one_partition_have_two_names() -> None:
    assert len({artifact_name("t", "p", sink=sink) for sink in Sink}) == len(Sink)
