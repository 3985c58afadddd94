"""What DuckDB itself says about a type, a pattern, a date format or a literal, asked of an in-memory database.

A contract is checked by the engine that will run it, not by a copy of its rules that would age. Nothing here reads a
file or keeps data; the database has no access to either.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb

INTEGER_TYPES = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"})
_PLAIN_TYPES = INTEGER_TYPES | frozenset(
    {"VARCHAR", "BOOLEAN", "FLOAT", "DOUBLE", "DATE", "TIME", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "JSON"}
)
_DECIMAL = re.compile(r"DECIMAL\(\d+,\d+\)")
_TYPE_SPELLING = re.compile(r"[A-Za-z][A-Za-z0-9_ ]*(?:\(\s*\d+\s*(?:,\s*\d+\s*)?\))?")
_SAMPLE = dt.datetime(2013, 11, 23, 17, 45)  # noqa: DTZ001 - formats are tried on a wall clock's time
"""A moment whose year, month, day, hour and minute all differ, so that a format which leaves one out shows."""


@dataclass(frozen=True)
class DuckSyntax:
    """Questions to one in-memory DuckDB; not shared between threads."""

    connection: duckdb.DuckDBPyConnection

    def canonical_type(self, spelling: str) -> str | None:
        """DuckDB's own name of a type that a contract may use: `int8` is BIGINT. None for any other.

        HUGEINT and UHUGEINT are none: DuckDB writes them to Parquet as DOUBLE, which rounds.
        """
        if not _TYPE_SPELLING.fullmatch(spelling):
            return None
        try:
            name = str(self._value(f"SELECT typeof(CAST(NULL AS {spelling}))"))
        except duckdb.Error:
            return None
        return name if name in _PLAIN_TYPES or _DECIMAL.fullmatch(name) else None

    def pattern_problem(self, pattern: str) -> str | None:
        """Why RE2 refuses a pattern; None when it compiles."""
        try:
            self._value("SELECT regexp_full_match('', ?)", pattern)
        except duckdb.Error as error:
            return _reason(error)
        return None

    def matches(self, pattern: str, text: str) -> bool:
        """Whether a pattern that compiles matches the whole text."""
        return self._value("SELECT regexp_full_match(?, ?)", text, pattern) is True

    def format_problem(self, strptime_format: str, column_type: str) -> str | None:
        """Why a strptime format cannot give a value of a date or time type; None when it can."""
        try:
            written = self._value("SELECT strftime(CAST(? AS TIMESTAMP), ?)", _SAMPLE, strptime_format)
            read = self._value("SELECT CAST(try_strptime(?, ?) AS TIMESTAMP)", written, strptime_format)
        except duckdb.Error as error:
            return _reason(error)
        if not isinstance(read, dt.datetime):
            return f"it does not read what it writes itself: {written!r}"
        date_kept = column_type == "TIME" or read.date() == _SAMPLE.date()
        hour_kept = column_type == "DATE" or read.hour == _SAMPLE.hour or (column_type != "TIME" and read.hour == 0)
        return None if date_kept and hour_kept else f"it reads {written!r}, written for {_SAMPLE}, as {read}"

    def is_value(self, text: str, column_type: str) -> bool:
        """Whether text is a value of the type, without rounding or cutting."""
        if column_type in INTEGER_TYPES and not re.fullmatch(r"[-+]?[0-9]+", text):
            return False
        if column_type == "VARCHAR":
            return True
        if column_type.startswith("DECIMAL"):
            exact = f"SELECT TRY_CAST(? AS {column_type}) = TRY_CAST(? AS DECIMAL(38,15))"
            return self._value(exact, text, text) is True
        return self._value(f"SELECT TRY_CAST(? AS {column_type}) IS NOT NULL", text) is True

    def is_ordered(self, low: str, high: str, column_type: str, *, strictly: bool = False) -> bool:
        """Whether two values of the type stand in this order."""
        sign = "<" if strictly else "<="
        return self._value(f"SELECT CAST(? AS {column_type}) {sign} CAST(? AS {column_type})", low, high) is True

    def is_reserved(self, word: str) -> bool:
        """Whether SQL keeps the word for itself, so that a table of that name would need quotes in every query."""
        query = "SELECT count(*) FROM duckdb_keywords() WHERE keyword_category = 'reserved' AND keyword_name = ?"
        return self._value(query, word.lower()) != 0

    def _value(self, query: str, *parameters: object) -> object:
        return self.connection.execute(query, list(parameters)).fetchall()[0][0]


@contextmanager
def duck_syntax() -> Iterator[DuckSyntax]:
    """Open an in-memory database that can reach nothing, for as long as questions are asked."""
    with duckdb.connect(":memory:", config={"enable_external_access": False, "threads": 1}) as connection:
        yield DuckSyntax(connection)


def _reason(error: duckdb.Error) -> str:
    return str(error).partition("Error: ")[2].splitlines()[0]


def quoted(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """An SQL string."""
    return "'" + text.replace("'", "''") + "'"
