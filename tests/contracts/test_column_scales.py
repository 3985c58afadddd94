"""Scales: a position is written as DuckDB writes the value that stands there."""

from __future__ import annotations

import duckdb
import pytest

from contracts.column_scales import scale_of, text_at

WRITTEN = {
    "BIGINT": ["-3", "0", "9007199254740992"],
    "UTINYINT": ["0", "255"],
    "DECIMAL(10,2)": ["-0.50", "12.00", "99999999.99"],
    "DECIMAL(4,0)": ["12"],
    "DOUBLE": ["-0.5", "1e+100", "0.1"],
    "DATE": ["1970-01-01", "2024-02-29", "1815-06-18", "9999-12-31"],
    "TIMESTAMP": ["2024-03-01 10:00:00", "1969-12-31 23:59:59.5", "2024-03-01 00:00:00"],
    "TIMESTAMP WITH TIME ZONE": ["2024-03-01 10:00:00+00", "2024-03-01 10:00:00.25+00"],
    "TIME": ["00:00:00", "23:59:59.999999", "07:05:00"],
}


@pytest.mark.parametrize(
    ("type_", "text"), [(type_, text) for type_, texts in WRITTEN.items() for text in texts], ids=str
)
def test_a_position_is_written_as_the_database_writes_the_value(type_: str, text: str) -> None:
    scale = scale_of(type_)
    assert scale is not None
    place = "v::DOUBLE" if scale.unit == "value" else "epoch(v)"
    with duckdb.connect() as session:
        session.execute("SET TimeZone = 'UTC'")
        row = session.execute(f"SELECT v::VARCHAR, {place} FROM (SELECT ?::{type_} AS v)", [text]).fetchone()
    assert row is not None
    assert text_at(type_, row[1]) == row[0] == text


@pytest.mark.parametrize("type_", ["VARCHAR", "BOOLEAN", "JSON", "INTEGER[]", "BLOB"])
def test_other_types_have_no_scale(type_: str) -> None:
    assert scale_of(type_) is None


def test_a_day_beyond_the_calendar_is_written_in_seconds() -> None:
    assert text_at("DATE", 1e15) == "1000000000000000 s"
