"""The two tables that are measured: what their columns are, ten rules to judge, and CSV made of arithmetic alone.

The generator uses no random numbers and no hash whose result could change with a version: the same rows come out
byte for byte on any machine. It knows nothing of the platform but the contract's model.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from contracts.table_contract import Cadence, Column, CsvFormat, Partitioning, RowRule, Server, TableContract

BAD_EVERY = 100
"""In the variant with bad records, one record in so many is bad."""

MIX = """
create macro spread(i, salt) as ((i * 2654435761 + salt::bigint * 179424673) % 4294967291)::ubigint;
create macro mix(i, salt) as ((spread(i, salt) * spread(i, salt)) % 4294967291)::bigint;
create macro quoted(t) as '"' || replace(t, '"', '""') || '"';
"""
"""A number in [0, 2**32 - 5) from two: squares modulo a prime, which fit an unsigned 64-bit integer."""


@dataclass(frozen=True)
class Field:
    """One column: its type, and its value in record `i` as SQL text that is sound CSV."""

    type: str
    sql: str


@dataclass(frozen=True)
class Table:
    """A table to generate, to copy and to ingest."""

    name: str
    fields: Mapping[str, Field]
    rules: Mapping[str, str]

    @property
    def types(self) -> dict[str, str]:
        """Column to DuckDB type."""
        return {name: field.type for name, field in self.fields.items()}

    @property
    def contract(self) -> TableContract:
        """What the platform is asked to hold the file to."""
        return TableContract(
            table=self.name,
            version="1.0.0",
            server=Server(path=f"{self.name}/*.csv", format=CsvFormat()),
            columns=tuple(Column(name=name, type=field.type) for name, field in self.fields.items()),
            partitioning=Partitioning(
                cadence=Cadence.DAILY,
                start=dt.datetime(2024, 1, 1),  # noqa: DTZ001 - naive by the model: the zone stands beside it
                file_name_pattern=self.name + r"-(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})\.csv",
            ),
            row_rules=tuple(RowRule(name=name, expression=expression) for name, expression in self.rules.items()),
        )

    def write(self, path: Path, rows: int, *, bad: bool = False) -> None:
        """Write `rows` records as CSV with a header, LF; with `bad`, one in `BAD_EVERY` is bad in one of five ways."""
        line = f"concat_ws(',', {', '.join(field.sql for field in self.fields.values())})"
        if bad:
            line = f"case when i % {BAD_EVERY} = 37 then {_spoiled(line)} else {line} end"
        with duckdb.connect() as connection, path.open("wb") as out:
            connection.execute(MIX + "set enable_progress_bar = false")
            out.write((",".join(self.fields) + "\n").encode())
            query = f"select {line} || chr(10) from range(1, {rows} + 1) r(i)"
            for batch in connection.sql(query).to_arrow_reader(100_000):
                out.write("".join(batch.column(0).to_pylist()).encode())


def _spoiled(line: str) -> str:
    """Five ways to be bad, in turn: a lost field, a surplus one, text for a number, a broken rule, a stray quote."""
    return f"""case (i // {BAD_EVERY}) % 5
        when 0 then regexp_replace({line}, '^[^,]*,', '')
        when 1 then {line} || ',surplus'
        when 2 then 'number ' || {line}
        when 3 then '-' || {line}
        else '"1" ' || {line} end"""


WIDE = Table(
    name="wide",
    fields={
        "id": Field("BIGINT", "i::varchar"),
        "ts": Field("TIMESTAMP", "(timestamp '2024-01-01' + to_seconds((i * 7) % 31536000))::varchar"),
        "d": Field("DATE", "(date '2024-01-01' + (i % 366)::int)::varchar"),
        "a": Field("BIGINT", "(mix(i, 1) % 100000)::varchar"),
        "b": Field("BIGINT", "(mix(i, 2) * 233)::varchar"),
        "x": Field("DOUBLE", "((mix(i, 3) % 1000000) / 100.0)::varchar"),
        "y": Field("DECIMAL(18,4)", "((mix(i, 4) % 100000000)::decimal(18,4) / 10000)::decimal(18,4)::varchar"),
        "flag": Field("BOOLEAN", "(mix(i, 5) % 2 = 0)::varchar"),
        "cat": Field("VARCHAR", "['alpha', 'beta', 'gamma', 'delta'][mix(i, 6) % 4 + 1]"),
        "code": Field("VARCHAR", "md5(i::varchar)"),
        "email": Field("VARCHAR", "'user' || (mix(i, 7) % 50000)::varchar || '@example.org'"),
        "body": Field("VARCHAR", "repeat('lorem ipsum dolor sit amet ', (mix(i, 8) % 9 + 5)::int)"),
        "note": Field(
            "VARCHAR",
            """case when mix(i, 9) % 4 = 0
            then quoted('first line of note ' || i::varchar || chr(10) || 'second "line", '
                        || repeat('padding ', (mix(i, 10) % 12 + 6)::int))
            else 'plain note ' || repeat('word ', 27) end""",
        ),
        "q1": Field("INTEGER", "(mix(i, 11) % 1000)::varchar"),
        "q2": Field("INTEGER", "(mix(i, 12) % 1000)::varchar"),
        "q3": Field("INTEGER", "(mix(i, 13) % 1000 + mix(i, 11) % 1000)::varchar"),
        "lat": Field("DOUBLE", "((mix(i, 14) % 18000000) / 100000.0 - 90)::varchar"),
        "tail": Field("VARCHAR", "upper(md5((i + 1)::varchar)) || md5((i + 2)::varchar) || md5((i + 3)::varchar)"),
    },
    rules={
        "id_is_positive": "id > 0",
        "ts_is_in_2024": "ts >= timestamp '2024-01-01' and ts < timestamp '2025-01-01'",
        "d_is_in_2024": "year(d) = 2024",
        "a_is_small": "a between 0 and 99999",
        "y_is_not_negative": "y >= 0",
        "cat_is_known": "cat in ('alpha', 'beta', 'gamma', 'delta')",
        "code_is_hex": "regexp_full_match(code, '[0-9a-f]{32}')",
        "email_has_a_host": "email like '%@%.%'",
        "q3_covers_q1": "q3 >= q1",
        "lat_is_a_latitude": "lat between -90 and 90",
    },
)

NARROW = Table(
    name="narrow",
    fields={
        "id": Field("BIGINT", "i::varchar"),
        "d": Field("DATE", "(date '2024-01-01' + (i % 366)::int)::varchar"),
        "a": Field("BIGINT", "(mix(i, 1) % 100000)::varchar"),
        "x": Field("DOUBLE", "((mix(i, 2) % 1000000) / 100.0)::varchar"),
        "flag": Field("BOOLEAN", "(mix(i, 3) % 2 = 0)::varchar"),
        "cat": Field("VARCHAR", "['alpha', 'beta', 'gamma', 'delta'][mix(i, 4) % 4 + 1]"),
        "q1": Field("INTEGER", "(mix(i, 5) % 1000)::varchar"),
        "email": Field("VARCHAR", "'user' || (mix(i, 6) % 50000)::varchar || '@example.org'"),
    },
    rules={
        "id_is_positive": "id > 0",
        "d_is_in_2024": "year(d) = 2024",
        "a_is_small": "a between 0 and 99999",
        "x_is_not_negative": "x >= 0",
        "cat_is_known": "cat in ('alpha', 'beta', 'gamma', 'delta')",
        "q1_is_small": "q1 < 1000",
        "email_has_a_host": "email like '%@%.%'",
    },
)

TABLES = {table.name: table for table in (WIDE, NARROW)}
