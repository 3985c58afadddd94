"""Putting what was built anew in the place of what a database holds, in one step: a crash leaves the old or the new.

A database that can still be used takes the new rows in one transaction, and keeps what is not made from the store:
leases, attempts and bindings of runs. One that cannot be used is kept aside, whole, and a new one takes its place.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from pathlib import Path

import sqlalchemy as sa

from contracts.errors import ConfigurationError
from resources.database import POSTGRESQL_SCHEMA, Database, UnusableDatabaseError, copy_rows
from resources.database_migrations import copy_file, create_tables, lock_schema, open_database
from resources.database_schema import anchors, captures, files, verified
from resources.settings import sqlite_url

_REBUILT = (files, captures, anchors)


def take_over(database: Database, rebuilt: Database, *, lower_anchors: bool = False) -> None:
    """Replace a database's files, captures and anchors by those of another, in one transaction.

    What was verified before is forgotten. An anchor never goes down, unless `lower_anchors` says so.

    Raises:
        UnusableDatabaseError: The database cannot take them; nothing was changed.
        DatabaseError: It is away or refuses; nothing was changed.
    """
    with rebuilt.reading() as source, database.writing() as target:
        if not database.is_sqlite:
            # writers wait here, and not in a circle with the rows that go; readers read on
            target.exec_driver_sql("LOCK TABLE files, captures, verified, anchors IN EXCLUSIVE MODE")
        for table in (files, captures, verified, *([anchors] if lower_anchors else [])):
            target.execute(table.delete())
        copy_rows(source, target, [files, captures])
        rows = [dict(row) for row in source.execute(sa.select(anchors)).mappings()]
        insert = database.insert(anchors)
        forward = insert.on_conflict_do_update(
            index_elements=["table_name", "partition_key"],
            set_={name: insert.excluded[name] for name in ("number", "digest")},
            where=anchors.c.number < insert.excluded.number,
        )
        if rows:
            target.execute(forward, rows)


def replace(url: sa.URL, rebuilt: Database) -> str:
    """Put a copy of `rebuilt` in the place of a database that cannot be used.

    Returns:
        Where the old one is kept: a file, or a schema of the same database.

    Raises:
        ConfigurationError: The files cannot be moved.
        DatabaseError: The server is away or refuses; nothing was changed.
    """
    database = Database.connected(url)
    if database.file is None:
        return _replace_schema(database, rebuilt)
    try:
        return _replace_tables(database, database.file, rebuilt)
    except UnusableDatabaseError:
        database.close()
        return _replace_file(database.file, rebuilt)


def _replace_schema(database: Database, rebuilt: Database) -> str:
    with rebuilt.reading() as source, database.writing() as target:
        lock_schema(database, target)
        taken = set(sa.inspect(target).get_schema_names())
        aside = _first_free(f"{POSTGRESQL_SCHEMA}_aside_", taken)
        target.exec_driver_sql(f"ALTER SCHEMA {POSTGRESQL_SCHEMA} RENAME TO {aside}")
        target.exec_driver_sql(f"CREATE SCHEMA {POSTGRESQL_SCHEMA}")
        create_tables(target)
        copy_rows(source, target, _REBUILT)
    return aside


def _replace_tables(database: Database, path: Path, rebuilt: Database) -> str:
    """Keep a copy of a file that SQLite can read, and put other tables into it: who has it open is not disturbed."""
    with rebuilt.reading() as source, database.writing() as target:
        aside = _beside(path)
        copy_file(path, aside)
        present = sa.MetaData()
        present.reflect(target)
        present.drop_all(target)
        create_tables(target)
        copy_rows(source, target, _REBUILT)
    database.close()
    return str(aside)


def _replace_file(path: Path, rebuilt: Database) -> str:
    """Put another file in the place of one that SQLite cannot read, and that nobody can be using."""
    fresh = path.with_name(f"{path.name}.rebuilding")
    try:
        for leftover in _with_logs(fresh):
            leftover.unlink(missing_ok=True)
        database = open_database(sqlite_url(fresh))
        take_over(database, rebuilt)
        database.close()  # the last connection puts its log into the file
        aside = _beside(path)
        # the logs first: beside another file they would be taken for its own
        for log, kept in zip(_with_logs(path)[1:], _with_logs(aside)[1:], strict=True):
            with contextlib.suppress(FileNotFoundError):
                os.rename(log, kept)  # noqa: PTH104, TID251 - to a name that was free
        os.link(path, aside)
        os.replace(fresh, path)  # noqa: PTH105, TID251 - what nobody can open is replaced by what everybody can
    except OSError as error:
        msg = f"catalogue {path}: {error.strerror}. Give this user access to its folder, or move the file away."
        raise ConfigurationError(msg, database=str(path)) from error
    return str(aside)


def _beside(path: Path) -> Path:
    return path.with_name(_first_free(f"{path.name}.aside-", {entry.name for entry in path.parent.iterdir()}))


def _with_logs(path: Path) -> list[Path]:
    """A SQLite file and the two that SQLite keeps beside it."""
    return [path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")]


def _first_free(name: str, taken: set[str]) -> str:
    return next(f"{name}{number}" for number in itertools.count(1) if f"{name}{number}" not in taken)
