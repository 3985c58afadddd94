"""The digest over rows: what changes it, and what does not."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.duckdb_syntax import quoted
from resources.duckdb_session import open_session
from resources.version_rows import RowsDigest, digest_rows

COLUMNS = {"a": "VARCHAR", "b": "BIGINT", "c": "DOUBLE"}
ROWS = "(VALUES ('x', 1, 0.5), ('', 2, NULL), (NULL, 3, -1.0))"


def digest_of(values: str, columns: Mapping[str, str] = COLUMNS) -> RowsDigest:
    typed = ", ".join(f"CAST({quoted(name)} AS {kind}) AS {quoted(name)}" for name, kind in columns.items())
    names = ", ".join(map(quoted, columns))
    with open_session("gate") as session:
        return digest_rows(session, columns, f"(SELECT {typed} FROM {values} AS v({names}))")


def test_the_order_of_rows_does_not_show() -> None:
    turned = "(VALUES (NULL, 3, -1.0), ('x', 1, 0.5), ('', 2, NULL))"
    assert digest_of(turned) == digest_of(ROWS)
    assert digest_of(ROWS).rows == 3


@pytest.mark.parametrize(
    "values",
    [
        pytest.param("(VALUES ('x', 1, 0.5), ('', 2, NULL))", id="a row lost"),
        pytest.param("(VALUES ('x', 1, 0.5), ('', 2, NULL), (NULL, 3, -1.0), (NULL, 3, -1.0))", id="a row twice"),
        pytest.param("(VALUES ('x', 1, 0.5), ('x', 1, 0.5), (NULL, 3, -1.0))", id="a row instead of another"),
        pytest.param("(VALUES ('x', 1, 0.5), (NULL, 2, NULL), (NULL, 3, -1.0))", id="NULL instead of empty text"),
        pytest.param("(VALUES ('x', 1, 0.5), ('', 2, 0.0), (NULL, 3, -1.0))", id="zero instead of NULL"),
        pytest.param("(VALUES ('x ', 1, 0.5), ('', 2, NULL), (NULL, 3, -1.0))", id="a blank more"),
        pytest.param("(VALUES ('x', 1, 0.5000000000000001), ('', 2, NULL), (NULL, 3, -1.0))", id="the last bit"),
        pytest.param("(VALUES ('x', 2, 0.5), ('', 1, NULL), (NULL, 3, -1.0))", id="values of two rows exchanged"),
    ],
)
def test_what_differs_shows(values: str) -> None:
    assert digest_of(values).digest != digest_of(ROWS).digest


@pytest.mark.parametrize("kind", ["FLOAT", "DOUBLE"])
def test_the_sign_of_zero_shows(kind: str) -> None:
    assert digest_of("(VALUES ('-0.0'))", {"x": kind}) != digest_of("(VALUES ('0.0'))", {"x": kind})


def test_values_of_two_columns_exchanged_show() -> None:
    columns = {"a": "VARCHAR", "b": "VARCHAR"}
    assert digest_of("(VALUES ('x', 'y'))", columns) != digest_of("(VALUES ('y', 'x'))", columns)
    assert digest_of("(VALUES (NULL, 'y'))", columns) != digest_of("(VALUES ('y', NULL))", columns)


def test_no_rows_have_a_digest_too() -> None:
    assert digest_of("(SELECT 'x', 1, 0.5 WHERE false)").rows == 0


@given(rows=st.lists(st.tuples(st.one_of(st.none(), st.text()), st.integers(-(2**63), 2**63 - 1)), max_size=8))
def test_two_lists_of_rows_have_one_digest_when_they_are_the_same_rows(
    rows: list[tuple[str | None, int]],
) -> None:
    def made(these: list[tuple[str | None, int]]) -> RowsDigest:
        with duckdb.connect() as session:
            session.execute("CREATE TABLE t (a VARCHAR, b BIGINT)")
            for row in these:
                session.execute("INSERT INTO t VALUES (?, ?)", list(row))
            return digest_rows(session, {"a": "VARCHAR", "b": "BIGINT"}, "t")

    assert made(rows[::-1]) == made(rows)
    if rows:
        changed = [(rows[0][0], (rows[0][1] + 1) % 2**63), *rows[1:]]
        assert made(changed) != made(rows)
        assert made(rows[1:]) != made(rows)
