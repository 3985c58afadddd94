"""SQL over the published tables: one SELECT, exactly the rows that passed, and no way to anything else.

Every question gets a fresh in-memory database. It sees a view for each table that the question names, over exactly
the files it was given, and is then locked: no other file, no extension, no setting, no variable of Python. What may
run at all is decided before that, by parsing (`contracts.sql_guard`); the lock is the second defence, because with a
path allowed it would still let a COPY overwrite it. Nothing is written, so a question neither waits for an ingestion
nor makes one wait.

Which files a table has, and that they are what was published, is the business of whoever calls. Nothing is logged, and
no error repeats the SQL's constants or a path. Dagster is not imported here: a question should cost milliseconds.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self, TextIO

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.canonical import canonical_bytes
from contracts.duckdb_syntax import literal, quoted
from contracts.errors import QueryError, UsageError
from contracts.sql_guard import UnsafeSqlError, literals, tables_read
from resources.segment_places import is_remote, telling_why, verified_files

BATCH_ROWS = 10_000
SHOWN_ROWS = 1_000
"""How many rows a text table shows; the other formats give all."""

SHOWN_WIDTH = 60
"""How wide a column of a text table gets."""

EXACT_TYPES = frozenset(
    {
        "array", "bigint", "blob", "boolean", "date", "decimal", "double", "enum", "float", "hugeint", "integer",
        "list", "map", "smallint", "struct", "time", "timestamp", "timestamp with time zone", "timestamp_ms",
        "timestamp_ns", "timestamp_s", "tinyint", "ubigint", "uinteger", "usmallint", "utinyint", "uuid", "varchar",
        '"null"', "null",
    }
)  # fmt: skip
"""Types that reach Arrow unchanged. Not so UHUGEINT (the largest becomes -1), TIME_NS (cut to microseconds), TIME WITH
TIME ZONE (loses its zone), BIT, INTERVAL and the like: an answer with one of those is refused."""


@dataclass(frozen=True)
class PublishedPart:
    """Files of one version of a partition that have one schema.

    `overlay` names Parquet files that list the rows (`_hg_source`, `_hg_record`) of `files` to leave out.
    """

    files: tuple[str, ...]
    schema: Mapping[str, str]
    overlay: tuple[str, ...] = ()


@dataclass(frozen=True)
class PublishedTable:
    """What a name in FROM means: the current parts, and the columns a reader sees (name to DuckDB type, in order).

    A column that a part's schema lacks is NULL there; one that only a part has is not seen.
    """

    name: str
    parts: tuple[PublishedPart, ...]
    columns: Mapping[str, str]


@dataclass(frozen=True)
class ResultColumn:
    """A column of an answer; names may repeat."""

    name: str
    type: str


@dataclass
class QueryResult:
    """An answer that is still being read: batches come as DuckDB makes them. Close it, or use it as a context."""

    columns: tuple[ResultColumn, ...]
    _reader: pa.RecordBatchReader = field(repr=False)
    _connection: duckdb.DuckDBPyConnection = field(repr=False)
    _discretion: _Discretion = field(repr=False)
    _sources: tuple[str, ...] = field(repr=False)
    row_count: int = 0
    """Rows handed out so far; all of them once `batches` or `rows` has ended."""

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema of the batches."""
        return self._reader.schema

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The batches that were not read yet.

        Raises:
            QueryError: The query failed on the way.
        """
        while True:
            try:
                with telling_why(self._sources):
                    batch = self._reader.read_next_batch()
            except StopIteration:
                return
            except (duckdb.Error, pa.ArrowException, OSError) as error:
                self._discretion.refuse(error)
            self.row_count += batch.num_rows
            yield batch

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """The rows that were not read yet, as Python values.

        Raises:
            QueryError: The query failed on the way, or Python has no word for a value (a date after 9999, say).
        """
        for batch in self.batches():
            yield from zip(*(self._values(batch, number) for number in range(len(self.columns))), strict=True)

    def close(self) -> None:
        """Let go of the database and of every file."""
        self._reader.close()
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _values(self, batch: pa.RecordBatch, number: int) -> list[Any]:
        try:
            values: list[Any] = batch.column(number).to_pylist()
        except (OverflowError, ValueError):
            raise _unencodable(self.columns[number], "a value beyond what a calendar of four-digit years has") from None
        return values


@dataclass(frozen=True)
class QueryEngine:
    """Answers questions, each in a database of its own."""

    memory_limit_bytes: int = 1 << 30
    temporary_folder: str | None = None
    """An existing folder to spill to; None: a question that does not fit in memory fails."""
    timeout_s: float | None = None
    threads: int | None = None

    def run(
        self, sql: str, tables: Sequence[PublishedTable], unreadable: Mapping[str, str] | None = None
    ) -> QueryResult:
        """Ask one question.

        Only the tables that the question names are opened, so a broken one hides no other.

        Args:
            sql: One SELECT, as `contracts.sql_guard.check_reader_query` allows it.
            tables: Everything that may be named.
            unreadable: Names of further tables that exist but cannot be read, with the reason.

        Raises:
            QueryError: The SQL is not allowed, a table that it names cannot be read (`tables` on the error has all of
                them with their reasons), or it failed.
        """
        broken = dict(unreadable or {})
        known = {table.name: table for table in tables}
        discretion, names = _read_question(sql, [*known, *broken])
        opened = [known[name] for name in sorted(names) if name not in broken]
        sources = tuple(path for table in opened for path in _paths_of(table))
        connection = self._connect(sources)
        try:
            failed = {name: broken[name] for name in sorted(names) if name in broken} | _open_views(connection, opened)
            _refuse_broken(failed)
            relation = _guarded(discretion, sources, lambda: connection.sql(sql))
            columns = tuple(
                ResultColumn(name, str(kind)) for name, kind in zip(relation.columns, relation.types, strict=True)
            )
            for column, kind in zip(columns, relation.types, strict=True):
                _check_exact(column, kind)
            reader = _guarded(discretion, sources, lambda: relation.to_arrow_reader(BATCH_ROWS))
        except BaseException:
            connection.close()
            raise
        return QueryResult(columns, reader, connection, discretion, sources)

    def _connect(self, sources: Sequence[str]) -> duckdb.DuckDBPyConnection:
        """A database that can open these files and nothing else, whatever SQL comes."""
        settings: dict[str, Any] = {
            "allow_community_extensions": False,
            "allow_persistent_secrets": False,
            "allow_unredacted_secrets": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "enable_external_file_cache": False,  # it would not outlive the question
            "python_enable_replacements": False,
            "memory_limit": f"{self.memory_limit_bytes}B",
            "temp_directory": self.temporary_folder or "",
        }
        if self.threads is not None:
            settings["threads"] = self.threads
        if self.timeout_s is not None:
            settings["max_execution_time"] = max(1, round(self.timeout_s * 1000))
        connection = duckdb.connect(":memory:", config=settings)
        if any(map(is_remote, sources)):
            verified_files().attach(connection)
        paths = ", ".join(map(literal, sources))
        connection.execute("SET GLOBAL TimeZone = 'UTC'")
        connection.execute(f"SET GLOBAL allowed_paths = [{paths}]")
        connection.execute("SET GLOBAL enable_external_access = false")
        connection.execute("SET GLOBAL lock_configuration = true")
        return connection


# --- what is asked ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Discretion:
    """What an error may not repeat: the constants of the question. Paths are known by their shape."""

    secrets: frozenset[str]

    def refuse(self, error: Exception) -> NoReturn:
        """Say what DuckDB says, without the SQL it quotes, its constants and any path."""
        message = str(error).partition("\n\nLINE ")[0]
        kind, _, rest = message.partition(" Error: ")
        if kind == "IO":
            rest = "a published file could not be read; `hashgate verify` says which"
        for secret in sorted(self.secrets, key=len, reverse=True):
            rest = rest.replace(f"'{secret}'", "'...'").replace(f'"{secret}"', '"..."')
            rest = rest.replace(secret, "...") if len(secret) > 3 else rest
        text = re.sub(r"(?<![\w.])/[^\s\"']+", "<path>", rest or message)
        msg = f"the query failed: {plain_text(text)}"
        raise QueryError(msg, problem=text) from None


def _guarded(discretion: _Discretion, sources: Sequence[str], action: Any) -> Any:
    try:
        with telling_why(sources):
            return action()
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        discretion.refuse(error)


def _read_question(sql: str, tables: Sequence[str]) -> tuple[_Discretion, frozenset[str]]:
    """The constants of the question and the tables it reads."""
    try:
        names = tables_read(sql, tables)
        return _Discretion(literals(sql)), names
    except UnsafeSqlError as error:
        raise QueryError(str(error), problem=error.problem, fix=error.fix) from None


def _refuse_broken(failed: Mapping[str, str]) -> None:
    if failed:
        listed = "; ".join(f"{name}: {why}" for name, why in failed.items())
        msg = f"cannot be read: {listed}"
        raise QueryError(msg, tables=dict(failed))


def _check_exact(column: ResultColumn, kind: Any) -> None:
    """Refuse a type that Arrow would change on the way."""
    if kind.id not in EXACT_TYPES:
        raise _unencodable(column, f"its type {column.type}")
    with suppress(AttributeError, duckdb.Error):
        for _, child in kind.children:
            if hasattr(child, "id"):
                _check_exact(column, child)


def _unencodable(column: ResultColumn, what: str) -> QueryError:
    msg = f'column "{plain_text(column.name)}" cannot be handed over: {what}. Write CAST(... AS VARCHAR) in the query.'
    return QueryError(msg, column=column.name, type=column.type)


# --- what is opened --------------------------------------------------------------------------------------------------


def _paths_of(table: PublishedTable) -> Iterator[str]:
    for part in table.parts:
        yield from part.files
        yield from part.overlay


def _open_views(connection: duckdb.DuckDBPyConnection, tables: Sequence[PublishedTable]) -> dict[str, str]:
    """Make a view for each table; the reasons of those for which it did not work."""
    failed = {}
    for table in tables:
        try:
            connection.execute(f"CREATE TEMP VIEW {quoted(table.name)} AS {_view_query(table)}")
        except duckdb.Error:
            failed[table.name] = f"its published files do not open; `hashgate verify {table.name}` says which"
    return failed


def _view_query(table: PublishedTable) -> str:
    """SELECT of the table's columns over all parts: files of one schema are one scan, not thousands."""
    parts = [part for part in table.parts if part.files]
    if not parts:
        columns = ", ".join(f"CAST(NULL AS {kind}) AS {quoted(name)}" for name, kind in table.columns.items())
        return f"SELECT {columns} WHERE false"
    ordered = sorted(parts, key=_scan_key)
    return " UNION ALL ".join(_scan(table, list(group)) for _, group in groupby(ordered, key=_scan_key))


def _scan_key(part: PublishedPart) -> tuple[Any, ...]:
    """What a scan has in common. An overlay speaks of its own parts alone: another may hold the same drop."""
    return (tuple(part.schema.items()), part.overlay)


def _scan(table: PublishedTable, parts: Sequence[PublishedPart]) -> str:
    schema = parts[0].schema
    columns = ", ".join(_column(name, kind, schema.get(name)) for name, kind in table.columns.items())
    rows = f"{_files([path for part in parts for path in part.files])} AS _hg_rows"
    if parts[0].overlay:
        left_out = f"(SELECT _hg_source, _hg_record FROM {_files(parts[0].overlay)}) AS _hg_overlay"
        rows += f" ANTI JOIN {left_out} USING (_hg_source, _hg_record)"
    return f"SELECT {columns} FROM {rows}"


def _column(name: str, kind: str, stored: str | None) -> str:
    if stored is None:
        return f"CAST(NULL AS {kind}) AS {quoted(name)}"
    value = f"_hg_rows.{quoted(name)}"
    return f"{value} AS {quoted(name)}" if stored == kind else f"CAST({value} AS {kind}) AS {quoted(name)}"


def _files(paths: Sequence[str]) -> str:
    listed = ", ".join(literal(path) for path in paths)
    return f"read_parquet([{listed}], hive_partitioning=false, union_by_name=false)"


# --- what is handed over ---------------------------------------------------------------------------------------------


def write_json(result: QueryResult, out: TextIO) -> None:
    """Write `{"columns": [{"name", "type"}], "rows": [[...]], "row_count": n}`.

    Integers and decimals are JSON numbers with all their digits, dates and times ISO 8601, structs objects, maps lists
    of pairs.

    Raises:
        QueryError: JSON has no word for a value (NaN, infinity, bytes); what was written so far is no document.
    """
    columns = [{"name": column.name, "type": column.type} for column in result.columns]
    out.write(f'{{"columns":{canonical_bytes(columns).decode()},"rows":[')
    for number, row in enumerate(result.rows()):
        cells = ",".join(_json(value, column) for value, column in zip(row, result.columns, strict=True))
        out.write(f"{',' if number else ''}\n[{cells}]")
    out.write(f'],"row_count":{result.row_count}}}\n')


def write_csv(result: QueryResult, out: TextIO) -> None:
    """Write CSV (RFC 4180, lines end in LF): NULL is empty, empty text is `""`.

    Raises:
        QueryError: A value has no text (bytes).
    """
    out.write(",".join(_csv_cell(column.name) for column in result.columns) + "\n")
    for row in result.rows():
        cells = (
            "" if value is None else _csv_cell(_text(value, column))
            for value, column in zip(row, result.columns, strict=True)
        )
        out.write(",".join(cells) + "\n")


def write_table(result: QueryResult, out: TextIO, *, shown_rows: int = SHOWN_ROWS) -> None:
    """Write an aligned table for a terminal: the first rows, long cells cut, control characters made visible.

    Raises:
        QueryError: A value has no text (bytes).
    """
    shown: list[list[str]] = []
    for row in result.rows():
        if len(shown) < shown_rows:
            shown.append([_shown(value, column) for value, column in zip(row, result.columns, strict=True)])
    names = [_cut(plain_text(column.name)) for column in result.columns]
    widths = [max(map(_width, cells)) for cells in zip(names, *shown, strict=True)]
    rule = ["-" * width for width in widths]
    for cells in (names, rule, *shown):
        padded = (cell + " " * (width - _width(cell)) for cell, width in zip(cells, widths, strict=True))
        out.write("  ".join(padded).rstrip() + "\n")
    more = f", the first {len(shown):,} shown" if len(shown) < result.row_count else ""
    out.write(f"({result.row_count:,} {'row' if result.row_count == 1 else 'rows'}{more})\n")


def write_parquet(result: QueryResult, path: Path) -> None:
    """Write a new Parquet file.

    Raises:
        UsageError: Something is at `path` already, or its folder is missing or closed; nothing was changed.
        QueryError: The query failed on the way, or two columns have one name; there is no file then.
    """
    names = [column.name for column in result.columns]
    if len(set(names)) != len(names):
        msg = "two columns of the answer have the same name, which Parquet readers do not take. Name them with AS."
        raise QueryError(msg, columns=names)
    try:
        sink = path.open("xb")
    except FileExistsError:
        msg = f"{path} exists already. Name another file, or remove it first."
        raise UsageError(msg, path=str(path)) from None
    except OSError as error:
        msg = f"{path} cannot be created: {error.strerror}. Name a file in a folder that exists and is open to you."
        raise UsageError(msg, path=str(path)) from None
    try:
        with sink, pq.ParquetWriter(sink, result.schema) as writer:
            for batch in result.batches():
                writer.write_batch(batch)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def plain_text(text: str) -> str:
    """Text that a terminal shows and does not obey: what is not printable becomes an escape of Python's."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def _json(value: Any, column: ResultColumn) -> str:
    """One value as JSON text."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return canonical_bytes(value).decode()
    if isinstance(value, int | float | Decimal):
        if not math.isfinite(value):
            raise _unencodable(column, f"JSON has no {value}")
        return _number(value)
    if isinstance(value, dt.date | dt.time):
        return f'"{value.isoformat()}"'
    if isinstance(value, dict):
        return "{" + ",".join(f"{_json(name, column)}:{_json(each, column)}" for name, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(_json(each, column) for each in value) + "]"
    if isinstance(value, bytes):
        raise _unencodable(column, "bytes, which are no text (hex(...) and base64(...) make one)")
    raise _unencodable(column, f"a value of type {column.type}")


def _number(value: float | Decimal) -> str:
    return format(value, "f") if isinstance(value, Decimal) else repr(value)


def _text(value: Any, column: ResultColumn) -> str:
    """One value as plain text."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, dt.datetime):
        return value.isoformat(" ")
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    return _json(value, column)


def _csv_cell(text: str) -> str:
    if text == "" or any(character in text for character in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


def _shown(value: Any, column: ResultColumn) -> str:
    return "NULL" if value is None else _cut(plain_text(_text(value, column)))


def _cut(text: str) -> str:
    """The text in at most `SHOWN_WIDTH` places."""
    if _width(text) <= SHOWN_WIDTH:
        return text
    width, kept = 0, 0
    for character in text:
        width += _width(character)
        if width > SHOWN_WIDTH - 1:
            break
        kept += 1
    return text[:kept] + "\N{HORIZONTAL ELLIPSIS}"


def _width(text: str) -> int:
    """How many places a terminal gives it: two for wide letters, none for combining marks."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )
