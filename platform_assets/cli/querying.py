"""`hashgate query`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO
from uuid import uuid4

from contracts.errors import QueryError, UsageError
from contracts.sql_guard import UnsafeSqlError, tables_read
from platform_assets.cli.arguments import Arguments
from platform_assets.cli.terminal import Terminal, counted, neutralized
from platform_assets.evidence.published import published_tables, unread_tables
from resources.query_engine import (
    PublishedTable,
    QueryEngine,
    QueryResult,
    write_csv,
    write_json,
    write_parquet,
    write_table,
)
from resources.staging import staged
from resources.workspace import Workspace

_NO_COLUMN = "not found in FROM clause"
_BY_SUFFIX = {".csv": "csv", ".json": "json", ".parquet": "parquet", ".txt": "table"}


def query(arguments: Arguments, terminal: Terminal) -> int:
    """Ask one SELECT over the published tables."""
    output = None if arguments.output is None else Path(arguments.output)
    form = _form(arguments, output)
    sql = sys.stdin.read() if arguments.sql == "-" else arguments.sql
    workspace = Workspace.from_environment()
    tables, unreadable = _tables(workspace, sql)
    with _spill_folder(workspace) as folder, _asked(sql, tables, unreadable, folder) as result:
        if output is None:
            _write(result, form, terminal.out)
            return 0
        if form == "parquet":
            write_parquet(result, output)
        else:
            _write_file(result, form, output)
        terminal.note(f"{counted(result.row_count, 'row')} written to {neutralized(str(output))}")
    return 0


def _asked(sql: str, tables: list[PublishedTable], unreadable: dict[str, str], folder: Path) -> QueryResult:
    """Ask; when a column does not exist, the error says which ones do."""
    try:
        return QueryEngine(temporary_folder=str(folder)).run(sql, tables, unreadable)
    except QueryError as error:
        if _NO_COLUMN not in str(error):
            raise
        there = "; ".join(f"{table.name}: {', '.join(table.columns)}" for table in tables if table.parts)
        first = str(error).partition("\\n")[0].rstrip("!")
        msg = f"{first}. The columns are {there or 'none'}."
        raise QueryError(msg, **error.evidence) from None


def _form(arguments: Arguments, output: Path | None) -> str:
    """The format that was asked for, or that follows from the rest."""
    by_suffix = None if output is None else _BY_SUFFIX.get(output.suffix.lower())
    form = arguments.format or ("json" if arguments.json and output is None else by_suffix)
    if form is None and output is not None:
        known = ", ".join(_BY_SUFFIX)
        msg = f"{output}: no format is known for this suffix. Name it with --format, or use one of {known}."
        raise UsageError(msg, path=str(output))
    if form == "parquet" and output is None:
        msg = "Parquet is no text, so it cannot go to the terminal. Name a file with --output."
        raise UsageError(msg, format=form)
    if output is not None and output.exists():
        msg = f"{output} exists. Name another file, or remove this one first: nothing is overwritten."
        raise UsageError(msg, path=str(output))
    return form or "table"


def _tables(workspace: Workspace, sql: str) -> tuple[list[PublishedTable], dict[str, str]]:
    """Open what the question names, and only that; the others stay names that an error can list."""
    there, broken = unread_tables(workspace)
    names = [table.name for table in there]
    try:
        wanted = tables_read(sql, [*names, *broken])
    except UnsafeSqlError:
        return there, broken  # the engine says what is wrong with it
    opened, unreadable = published_tables(workspace, [name for name in names if name in wanted])
    return [*opened, *(table for table in there if table.name not in wanted)], broken | unreadable


def _write(result: QueryResult, form: str, out: TextIO) -> None:
    {"csv": write_csv, "json": write_json, "table": write_table}[form](result, out)


def _write_file(result: QueryResult, form: str, path: Path) -> None:
    """A new file, complete or not at all."""
    try:
        out = path.open("x", encoding="utf-8", newline="")
    except OSError as error:
        msg = f"{path} cannot be created: {error.strerror}. Name a new file in a folder that exists and is open to you."
        raise UsageError(msg, path=str(path)) from None
    try:
        with out:
            _write(result, form, out)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


@contextmanager
def _spill_folder(workspace: Workspace) -> Iterator[Path]:
    """Where a large question may put what does not fit in memory."""
    workspace.settings.prepare()
    with staged(workspace.settings.staging, f"query-{uuid4().hex}") as folder:
        yield folder
