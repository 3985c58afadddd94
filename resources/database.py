"""The database: one interface over SQLite and PostgreSQL, pooled, with time limits, and errors that people can act on.

What it holds is an index over the store and the drop folder, and leases. It is never the truth, so nothing is lost
with it that `hashgate rebuild` would not bring back, leases apart. Opening brings the schema to the present version
(`database_migrations`). Passwords stand in no error, log or representation.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from contracts.errors import ConfigurationError, HashgateError

POSTGRESQL_SCHEMA = "hashgate"
"""Where the tables are in PostgreSQL: apart from Dagster's, which may share the database."""
ROWS_A_STATEMENT = 1000
"""Below every limit on parameters of one statement (SQLite 32,766; PostgreSQL's protocol 65,535)."""

_ROWS_A_PIECE = 10_000
"""Of a copy: how many are in memory at a time."""

CONNECT_TIMEOUT_S = 10
LOCK_TIMEOUT_S = 60
STATEMENT_TIMEOUT_S = 300
_POOL_SIZE = 5
_POOL_TIMEOUT_S = 30
_RECYCLE_S = 1800
_CHANGED_BY_OTHERS = frozenset({"42P01", "42P07", "42703", "42804", "3F000"})
"""SQLSTATE of tables, columns and schemas that are missing, or not what they were."""
_DAMAGED = ("is not a database", "malformed", "no such table", "no such column", "has no column", "already exists")
"""What SQLite says of a file that is damaged or was changed."""
_CONNECTION_FAILURES = frozenset({"08000", "08001", "08003", "08004", "08006", "57P01", "57P02", "57P03"})

Insert = sqlite.Insert | postgresql.Insert
"""An INSERT that knows `on_conflict_do_update` and `on_conflict_do_nothing`: both dialects spell them alike."""


class DatabaseError(HashgateError):
    """The database is away, or it refused."""


class UnusableDatabaseError(ConfigurationError):
    """The database is damaged, was changed by somebody else, or is of a newer hashgate."""


class now_ms(FunctionElement[int]):  # noqa: N801 - reads as the SQL function it stands for
    """Milliseconds since 1970 by the database's clock, at the moment a row is looked at."""

    type = sa.BigInteger()
    inherit_cache = True


@compiles(now_ms, "sqlite")
def _now_ms_in_sqlite(*_: Any, **__: Any) -> str:
    return "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"


@compiles(now_ms, "postgresql")
def _now_ms_in_postgresql(*_: Any, **__: Any) -> str:
    # now() would stand still from the start of the transaction, through any wait for a lock
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"


class Database:
    """An open database. Safe for several processes and threads; each context is one transaction."""

    def __init__(self, engine: sa.Engine, *, name: str, file: Path | None = None, password: str = "") -> None:
        """Take an engine; the schema is left as it is.

        Args:
            engine: For the dialect `sqlite` or `postgresql`.
            name: What people know it by; without a password.
            file: The SQLite file; None in memory and on a server.
            password: What must not show in an error.
        """
        self.name, self.file = name, file
        self._password = password
        self._writer = engine.execution_options(hashgate_begin="BEGIN IMMEDIATE")
        snapshot = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self._reader = engine if self.is_sqlite else engine.execution_options(**snapshot)

    def __repr__(self) -> str:
        return f"Database({self.name})"

    @classmethod
    def connected(cls, url: sa.URL) -> Database:
        """Ready to connect to `url`, whatever its schema is; nothing has been asked of it yet.

        Raises:
            ConfigurationError: The SQLite file cannot be created.
        """
        if url.get_backend_name() == "sqlite":
            path = Path(url.database or "")
            _create_private(path)
            return cls(_sqlite_engine(url, timeout=LOCK_TIMEOUT_S), name=str(path), file=path)
        shown = url.set(drivername="postgresql").render_as_string(hide_password=True)
        return cls(_postgresql_engine(url), name=shown, password=url.password or "")

    @classmethod
    def in_memory(cls, name: str, memory: sqlite3.Connection | None = None) -> Database:
        """A database that is gone when it is closed: empty, or what `memory` holds."""
        connection = memory or sqlite3.connect(":memory:", check_same_thread=False)
        engine = _tuned(sa.create_engine("sqlite://", creator=lambda: connection, poolclass=sa.StaticPool))
        return cls(engine, name=name)

    @property
    def is_sqlite(self) -> bool:
        """Whether it is SQLite; else it is PostgreSQL."""
        return self._writer.dialect.name == "sqlite"

    def insert(self, table: sa.Table) -> Insert:
        """An INSERT for this database's dialect."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """One transaction that sees one state and changes nothing.

        Raises:
            DatabaseError: The database is away or refused.
        """
        with self._spoken_errors(), self._reader.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """One transaction, committed at the end of the context, undone by an exception.

        On SQLite it waits for other writers at its beginning, so that what it reads stays true until it writes.

        Raises:
            DatabaseError: The database is away or refused.
        """
        with self._spoken_errors(), self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        """Let go of the file, or of the idle connections to the server."""
        self._writer.dispose()

    @contextmanager
    def _spoken_errors(self) -> Iterator[None]:
        try:
            yield
        except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
            refusal = self._refusal(error)
            hides = self._password and self._password in f"{error}{error.__cause__}"
            raise refusal from (None if hides else error)

    def _refusal(self, error: sa.exc.SQLAlchemyError) -> HashgateError:
        cause = getattr(error, "orig", None) or error
        # the lines after the first may quote the statement, and with it what is in the rows
        said = str(cause).strip().partition("\n")[0].strip()
        if self._password:
            said = said.replace(self._password, "***")
        code = getattr(cause, "pgcode", None)
        if code in _CHANGED_BY_OTHERS or (self.is_sqlite and any(words in said for words in _DAMAGED)):
            return unusable(self.name, said)
        if self.is_sqlite and "unable to open" in said:
            return _no_access(Path(self.name), said)
        return DatabaseError(f"database {self.name}: {said}. {_fix(error, said)}", database=self.name)


def unusable(name: str, problem: str) -> UnusableDatabaseError:
    """The error for a database that cannot be read any more, with the way back."""
    fix = "It is only an index: `hashgate rebuild` keeps it aside and builds a new one from the store."
    return UnusableDatabaseError(f"catalogue {name}: {problem}. {fix}", database=name)


def batches(rows: Sequence[Any], size: int = ROWS_A_STATEMENT) -> Iterator[Sequence[Any]]:
    """`rows` in pieces that one statement can hold."""
    return (rows[start : start + size] for start in range(0, len(rows), size))


def copy_rows(source: sa.Connection, target: sa.Connection, tables: Sequence[sa.Table]) -> None:
    """Add all rows of one database's tables to the same tables of another; they must not be there yet."""
    for table in tables:
        found = source.execute(sa.select(table).execution_options(yield_per=_ROWS_A_PIECE))
        as_it_is = str(table.insert().compile(dialect=target.dialect))
        for rows in found.partitions():
            if target.dialect.name == "sqlite":  # much faster than through parameters by name
                target.exec_driver_sql(as_it_is, [tuple(row) for row in rows])
            else:
                target.execute(table.insert(), [row._asdict() for row in rows])


def read_sqlite_copy(path: Path) -> sqlite3.Connection:
    """What a SQLite file holds now, in memory: whatever is done to the copy, file and folder stay as they are.

    Raises:
        ConfigurationError: It is no database.
    """
    memory = sqlite3.connect(":memory:", check_same_thread=False)
    if path.exists():
        # in WAL mode even a reader creates files beside the database, unless it is told that nobody writes
        log = path.with_name(f"{path.name}-wal")
        mode = "ro" if log.exists() and log.stat().st_size else "ro&immutable=1"
        try:
            with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True)) as source:
                source.backup(memory)
        except sqlite3.DatabaseError as error:
            raise unusable(str(path), str(error)) from error
    return memory


def _create_private(path: Path) -> None:
    try:
        # never opened when it is there: closing any descriptor of a file takes this process's locks on it away, those
        # of other connections included (https://www.sqlite.org/howtocorrupt.html, 2.2)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise _no_access(path, error.strerror or str(error)) from error


def _no_access(path: Path, problem: str) -> ConfigurationError:
    fix = "Give this user access to it, or set HASHGATE_HOME to a folder that can be written."
    return ConfigurationError(f"catalogue {path}: {problem}. {fix}", path=str(path))


def _sqlite_engine(url: sa.URL, *, timeout: float) -> sa.Engine:
    return _tuned(sa.create_engine(url, connect_args={"timeout": timeout}, hide_parameters=True))


def _tuned(engine: sa.Engine) -> sa.Engine:
    sa.event.listen(engine, "connect", _tune)
    sa.event.listen(engine, "begin", _begin)
    return engine


def _tune(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where `_begin` says, not where the driver guesses
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


def _begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("hashgate_begin", "BEGIN"))


_engines: dict[sa.URL, sa.Engine] = {}
"""One pool a server and process: a workspace is opened anew for every tick and run, and connections are dear there."""


def _postgresql_engine(url: sa.URL) -> sa.Engine:
    if url not in _engines:
        try:
            _engines[url] = sa.create_engine(
                url,
                hide_parameters=True,
                pool_size=_POOL_SIZE,
                max_overflow=_POOL_SIZE,
                pool_timeout=_POOL_TIMEOUT_S,
                pool_recycle=_RECYCLE_S,
                pool_pre_ping=True,
                connect_args=_connect_arguments(url),
                executemany_mode="values_plus_batch",
            )
        except ImportError as error:
            msg = f"PostgreSQL needs a package that is missing ({error.name}). Install dagster-postgres."
            raise ConfigurationError(msg) from error
    return _engines[url]


def _connect_arguments(url: sa.URL) -> dict[str, Any]:
    """What libpq is told, but for what the URL says. Source: PostgreSQL 15, "34.1.2 Parameter Key Words"."""
    arguments: dict[str, Any] = {
        "application_name": "hashgate",
        "connect_timeout": CONNECT_TIMEOUT_S,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 60_000,
    }
    settings = {
        "statement_timeout": STATEMENT_TIMEOUT_S * 1000,
        "lock_timeout": LOCK_TIMEOUT_S * 1000,
        "idle_in_transaction_session_timeout": STATEMENT_TIMEOUT_S * 1000,
        "client_encoding": "utf8",
        "client_min_messages": "warning",
    }
    given = url.query.get("options", "")
    ours = " ".join(f"-c {name}={value}" for name, value in settings.items())
    options = f"{ours} {given if isinstance(given, str) else ' '.join(given)} -c search_path={POSTGRESQL_SCHEMA}"
    return {name: value for name, value in arguments.items() if name not in url.query} | {"options": options}


def _fix(error: sa.exc.SQLAlchemyError, said: str) -> str:
    code = getattr(getattr(error, "orig", None), "pgcode", None)
    if "disk is full" in said or code == "53100":
        return "Free some space and run it again: what was published stays readable."
    if "locked" in said or code in {"55P03", "57014", "40001", "40P01"}:
        return "Another process was using it for too long: run it again."
    if "too many" in said or code == "53300" or isinstance(error, sa.exc.TimeoutError):
        return "Run it again when others are done, or let the server take more connections."
    if "readonly" in said or code in {"42501", "25006"}:
        return "Give this user the rights to it."
    disconnected = isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated
    if code in _CONNECTION_FAILURES or disconnected or (code is None and "connection" in said):
        return "Start it, or mend HASHGATE_DATABASE. It is only an index: nothing that was published is lost."
    return "It is only an index: if this stays so, `hashgate rebuild` makes it anew from the store."


def _forget_inherited() -> None:
    for engine in _engines.values():
        engine.dispose(close=False)


# a connection serves one process: a fork must not talk over its parent's
os.register_at_fork(after_in_child=_forget_inherited)
