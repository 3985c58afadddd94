"""Questions to DuckDB about types, patterns, formats and literals."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from contracts.duckdb_syntax import DuckSyntax, duck_syntax, literal, quoted


@pytest.fixture(scope="module")
def duck() -> Iterator[DuckSyntax]:
    with duck_syntax() as syntax:
        yield syntax


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("int8", "BIGINT"),
        ("Decimal( 9 , 2 )", "DECIMAL(9,2)"),
        ("timestamptz", "TIMESTAMP WITH TIME ZONE"),
        ("text", "VARCHAR"),
        ("HUGEINT", None),
        ("UUID", None),
        ("STRUCT(a INT)", None),
        ("INT[]", None),
        ("nonsense", None),
        ("INT) FROM 'x.csv' --", None),
        ("DECIMAL(99,1)", None),
        ("", None),
    ],
)
def test_types(duck: DuckSyntax, spelling: str, name: str | None) -> None:
    assert duck.canonical_type(spelling) == name


@pytest.mark.parametrize(
    ("text", "column_type", "is_value"),
    [
        ("1", "BIGINT", True),
        ("1.5", "BIGINT", False),
        ("1.0", "BIGINT", False),
        ("128", "TINYINT", False),
        ("1.25", "DECIMAL(4,2)", True),
        ("1.25", "DECIMAL(4,1)", False),
        ("1000", "DECIMAL(4,1)", False),
        ("2013-02-30", "DATE", False),
        ("x", "DOUBLE", False),
        ("x", "VARCHAR", True),
    ],
)
def test_values(duck: DuckSyntax, text: str, column_type: str, *, is_value: bool) -> None:
    assert duck.is_value(text, column_type) is is_value


@pytest.mark.parametrize(
    ("strptime_format", "column_type", "usable"),
    [
        ("%d/%m/%Y", "DATE", True),
        ("%j %Y", "DATE", True),
        ("%d/%m", "DATE", False),
        ("%Q", "DATE", False),
        ("", "DATE", False),
        ("%Y-%m-%d %H:%M", "TIMESTAMP", True),
        ("%Y-%m-%d", "TIMESTAMP", True),
        ("%Y-%m-%d %I:%M", "TIMESTAMP", False),
        ("%Y-%m-%d %I:%M %p", "TIMESTAMP", True),
        ("%Y-%m-%dT%H:%M:%S%z", "TIMESTAMP WITH TIME ZONE", True),
        ("%H:%M", "TIME", True),
        ("%M", "TIME", False),
    ],
)
def test_formats(duck: DuckSyntax, strptime_format: str, column_type: str, *, usable: bool) -> None:
    assert (duck.format_problem(strptime_format, column_type) is None) is usable


def test_patterns(duck: DuckSyntax) -> None:
    assert duck.pattern_problem("(a+)+$") is None
    assert duck.pattern_problem("(?=a)") == "invalid perl operator: (?="
    assert duck.matches("a+", "aaa")
    assert not duck.matches("a+", "aaab")


def test_order_and_words(duck: DuckSyntax) -> None:
    assert duck.is_ordered("2", "10", "BIGINT")
    assert not duck.is_ordered("2", "2", "BIGINT", strictly=True)
    assert duck.is_reserved("Select")
    assert not duck.is_reserved("trips")


def test_the_database_reaches_nothing(duck: DuckSyntax) -> None:
    with pytest.raises(Exception, match="disabled by configuration"):
        duck.connection.execute("SELECT * FROM read_csv('/etc/passwd')")


@pytest.mark.parametrize("text", ["a", "it's", 'a"b', "", "a;--"])
def test_quoting(duck: DuckSyntax, text: str) -> None:
    assert duck.connection.execute(f"SELECT {literal(text)}").fetchall() == [(text,)]
    if text:
        described = duck.connection.execute(f"SELECT 1 AS {quoted(text)}").description
        assert described is not None
        assert described[0][0] == text
