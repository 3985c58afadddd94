"""The schema's version: brought up to date when a database is opened, and back when somebody asks.

Each version is a step with a way forward and a way back. A change of version is one transaction behind one lock, after
a copy of what was there: of processes that start together one migrates and the others find it done; a crash leaves the
old version. The version stands in the table `meta`, where it has been since version 1.

Not alembic: it keeps its own version table beside ours, so that one fact would stand in two places; loads its scripts
by file path; and knows neither the lock nor the copy. Two steps over one list do not ask for it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from contracts.errors import ConfigurationError, HashgateError, UsageError
from resources.database import (
    POSTGRESQL_SCHEMA,
    Database,
    UnusableDatabaseError,
    copy_rows,
    read_sqlite_copy,
    unusable,
)
from resources.database_schema import (
    SCHEMA_VERSION,
    ByteText,
    anchors,
    captures,
    files,
    leases,
    meta,
    parser_attempts,
    parser_notes,
    run_equivalences,
    verified,
)

_captures_1 = sa.Table(
    "captures",
    sa.MetaData(),
    sa.Column("table_name", ByteText, primary_key=True),
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("path", ByteText, primary_key=True),
    sa.Column("partition_key", ByteText, nullable=False),
    sa.Column("digest", ByteText, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("captured_at", ByteText, nullable=False),
    sa.Index("captures_of_path", "table_name", "path", "sequence"),
    sa.Index("captures_of_partition", "table_name", "partition_key"),
)
_KEPT = (meta, files, verified)
_ADDED_BY_2 = (anchors, leases, parser_attempts, parser_notes, run_equivalences)
TABLES_OF_VERSION = {1: (*_KEPT, _captures_1), 2: (*_KEPT, captures, *_ADDED_BY_2)}
"""Every table of each version."""

_VERSION_KEY = "schema_version"
_LOCK = int.from_bytes(b"hashgate", "big", signed=True)
"""The advisory lock that a change of version holds in PostgreSQL."""


@dataclass(frozen=True, slots=True)
class Migration:
    """What a change of version did."""

    before: int
    """0: there was nothing."""
    after: int
    backup: str | None
    """The file or schema with a copy of what was there before; None when nothing was changed or nothing was there."""


def open_database(url: sa.URL) -> Database:
    """Connect, and bring the schema to the present version.

    Raises:
        UnusableDatabaseError: It is damaged, or one of a newer hashgate.
        DatabaseError: It is away or refuses.
    """
    database = Database.connected(url)
    try:
        with database.reading() as connection:
            version = schema_version(connection)
        if version != SCHEMA_VERSION:
            migrate(database)
    except HashgateError:
        database.close()
        raise
    return database


def open_copy(url: sa.URL) -> Database:
    """What a database holds now, in memory, at the present version; the database itself stays as it is.

    Raises:
        UnusableDatabaseError: It is damaged, or one of a newer hashgate.
        DatabaseError: It is away or refuses.
    """
    if url.get_backend_name() == "sqlite":
        path = Path(url.database or "")
        copy = Database.in_memory(str(path), read_sqlite_copy(path))
    else:
        source = Database.connected(url)
        copy = Database.in_memory(source.name)
        with source.reading() as rows, copy.writing() as target:
            if version := schema_version(rows):
                _refuse_newer(source, version)
                create_tables(target, version)
                copy_rows(rows, target, [t for t in TABLES_OF_VERSION[version] if t is not meta])
    migrate(copy)
    return copy


def schema_version(connection: sa.Connection) -> int:
    """The version a database has; 0 when it is empty."""
    if not sa.inspect(connection).has_table(meta.name):
        return 0
    found = connection.execute(sa.select(meta.c.value).where(meta.c.key == _VERSION_KEY)).scalar()
    if found is None or not found.isdecimal():
        name = connection.engine.url.render_as_string(hide_password=True)
        raise unusable(name, f"its schema version is {found!r}, which is none")
    return int(found)


def migrate(database: Database, to: int = SCHEMA_VERSION) -> Migration:
    """Change the schema's version, forward or back, after a copy of what is there; the same version changes nothing.

    Going back drops the tables that came later; the copy has them.

    Raises:
        UnusableDatabaseError: The database is damaged, or one of a newer hashgate.
        ConfigurationError: It keeps its text in another encoding than UTF-8.
        UsageError: There is no such version.
        DatabaseError: The database is away or refuses; nothing was changed.
    """
    if to not in TABLES_OF_VERSION:
        versions = ", ".join(map(str, sorted(TABLES_OF_VERSION)))
        msg = f"there is no schema version {to}. There are: {versions}."
        raise UsageError(msg, version=to)
    with database.writing() as connection:
        lock_schema(database, connection)
        before = schema_version(connection)
        _refuse_newer(database, before)
        if before == to:
            return Migration(before, to, None)
        if before == 0:
            create_tables(connection, to)
            return Migration(before, to, None)
        backup = _back_up(database, connection, before)
        for step in _steps(before, to):
            step(connection)
        connection.execute(meta.update().where(meta.c.key == _VERSION_KEY).values(value=str(to)))
    return Migration(before, to, backup)


def create_tables(connection: sa.Connection, version: int = SCHEMA_VERSION) -> None:
    """Create every table of a version where there is none."""
    for table in TABLES_OF_VERSION[version]:
        table.create(connection)
    connection.execute(meta.insert().values(key=_VERSION_KEY, value=str(version)))


def _to_2(connection: sa.Connection) -> None:
    """Drops may be withdrawn, several of one path at once; anchors, leases, attempts and equivalences come."""
    _remake(connection, _captures_1, captures, withdrawn="FALSE")
    for table in _ADDED_BY_2:
        table.create(connection)


def _back_to_1(connection: sa.Connection) -> None:
    """Withdrawals go: a hashgate of version 1 would take them for captures."""
    for table in _ADDED_BY_2:
        table.drop(connection)
    withdrawn = captures.alias()
    same = [withdrawn.c[name] == captures.c[name] for name in ("table_name", "path", "digest")]
    later = sa.exists().where(*same, withdrawn.c.withdrawn.is_(True), withdrawn.c.sequence >= captures.c.sequence)
    connection.execute(captures.delete().where(later))
    _remake(connection, captures, _captures_1)


_Step = Callable[[sa.Connection], None]
_FORWARD: dict[int, _Step] = {2: _to_2}
_BACK: dict[int, _Step] = {1: _back_to_1}
"""What leads to a version from the one before it, and from the one after it."""


def _steps(before: int, to: int) -> list[_Step]:
    forward = [_FORWARD[version] for version in range(before + 1, to + 1)]
    return forward or [_BACK[version] for version in range(before - 1, to - 1, -1)]


def _remake(connection: sa.Connection, old: sa.Table, new: sa.Table, **added: str) -> None:
    """Give a table another definition; names of keys and indexes come out as if it had always had it."""
    kept = ", ".join(column.name for column in new.columns if column.name not in added)
    connection.exec_driver_sql(f"CREATE TEMPORARY TABLE remade AS SELECT {kept} FROM {old.name}")
    old.drop(connection)
    new.create(connection)
    names, values = ", ".join([kept, *added]), ", ".join([kept, *added.values()])
    connection.exec_driver_sql(f"INSERT INTO {new.name} ({names}) SELECT {values} FROM remade")
    connection.exec_driver_sql("DROP TABLE remade")


def lock_schema(database: Database, connection: sa.Connection) -> None:
    """Let one process at a time through, however long the one before takes. SQLite has it from its BEGIN IMMEDIATE.

    Raises:
        ConfigurationError: The server keeps the database's text in another encoding than UTF-8.
    """
    if database.is_sqlite:
        return
    for limit in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
        connection.exec_driver_sql(f"SET LOCAL {limit} = 0")
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    encoding = connection.execute(sa.text("SHOW server_encoding")).scalar()
    if encoding != "UTF8":
        msg = (
            f"database {database.name} keeps its text in {encoding}, which not every file name fits into. "
            "Create one with ENCODING 'UTF8' TEMPLATE template0."
        )
        raise ConfigurationError(msg, database=database.name, encoding=encoding)
    if POSTGRESQL_SCHEMA not in sa.inspect(connection).get_schema_names():  # who made it need not let us make others
        connection.exec_driver_sql(f"CREATE SCHEMA {POSTGRESQL_SCHEMA}")


def _back_up(database: Database, connection: sa.Connection, version: int) -> str | None:
    """Copy everything, as of before this transaction; a copy of the same version is replaced by this newer one."""
    if database.is_sqlite:
        if database.file is None:
            return None
        copy = database.file.with_name(f"{database.file.name}.v{version}")
        copy_file(database.file, copy)
        return str(copy)
    schema = f"{POSTGRESQL_SCHEMA}_v{version}"
    connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
    for table in TABLES_OF_VERSION[version]:
        connection.exec_driver_sql(f"CREATE TABLE {schema}.{table.name} AS TABLE {POSTGRESQL_SCHEMA}.{table.name}")
    return schema


def copy_file(path: Path, copy: Path) -> None:
    """Copy a SQLite file as of its last commit, complete or not at all, whoever has it open.

    Raises:
        UnusableDatabaseError: It is damaged.
        ConfigurationError: The copy cannot be written.
    """
    unfinished = copy.with_name(f"{copy.name}.unfinished")
    try:
        unfinished.unlink(missing_ok=True)
        os.close(os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with (
            contextlib.closing(sqlite3.connect(path)) as source,
            contextlib.closing(sqlite3.connect(unfinished)) as target,
        ):
            source.backup(target)
        os.replace(unfinished, copy)  # noqa: PTH105, TID251 - an older copy of the same; nobody has it open
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise _no_copy(path, error) from error
        raise unusable(str(path), str(error)) from error
    except OSError as error:
        raise _no_copy(path, error) from error


def _no_copy(path: Path, error: Exception) -> ConfigurationError:
    msg = f"catalogue {path}: no copy could be made of it ({error}). Make room in its folder, and let this user write."
    return ConfigurationError(msg, database=str(path))


def _refuse_newer(database: Database, found: int) -> None:
    if found <= SCHEMA_VERSION:
        return
    elsewhere = "HASHGATE_HOME" if database.is_sqlite else "HASHGATE_DATABASE"
    msg = (
        f"catalogue {database.name} has schema version {found}, this hashgate knows {SCHEMA_VERSION}. "
        f"Upgrade hashgate, or point {elsewhere} elsewhere. To stay with this one, `hashgate rebuild` keeps the newer "
        "database aside and builds one from the store."
    )
    raise UnusableDatabaseError(msg, database=database.name, found=found, known=SCHEMA_VERSION)
