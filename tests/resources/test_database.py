"""The database's interface: one transaction a context, limits on waiting, errors that say what to do, no secrets."""

from __future__ import annotations

import logging
import os
import pickle
import sqlite3
import subprocess
import sys
import textwrap
import traceback
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import sqlalchemy as sa

from contracts.errors import ConfigurationError, HashgateError
from resources import database as database_module
from resources.database import Database, DatabaseError, UnusableDatabaseError
from resources.database_migrations import open_database
from resources.database_schema import meta
from tests.servers.postgres import PASSWORD, PostgresServer, written

ROOT = Path(__file__).parents[2]
OTHER_PASSWORD = "other-canary"  # noqa: S105


@pytest.fixture
def database(database_url: sa.URL) -> Iterator[Database]:
    opened = open_database(database_url)
    yield opened
    opened.close()


def add(connection: sa.Connection, key: str) -> None:
    connection.execute(meta.insert().values(key=key, value=""))


def keys(database: Database) -> set[str]:
    with database.reading() as connection:
        return set(connection.execute(sa.select(meta.c.key)).scalars()) - {"schema_version"}


def everything_said(error: HashgateError) -> str:
    """All that an error can tell anybody, the way there included."""
    lines = traceback.format_exception(error)
    return "".join(
        [*lines, str(error), repr(error), repr(error.evidence), repr(error.__cause__), repr(pickle.dumps(error))]
    )


# ---- transactions ----------------------------------------------------------------------------------------------------


def test_a_context_is_one_transaction(database: Database) -> None:
    with database.writing() as connection:
        add(connection, "first")
        add(connection, "second")
    assert keys(database) == {"first", "second"}


def test_what_fails_leaves_nothing(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        _write_and_fail(database)
    assert keys(database) == set()


def _write_and_fail(database: Database) -> None:
    with database.writing() as connection:
        add(connection, "first")
        raise ZeroDivisionError


def test_a_reader_sees_one_state(database: Database, database_url: sa.URL) -> None:
    other = open_database(database_url)
    with database.reading() as connection:
        count = sa.select(sa.func.count()).select_from(meta)
        before = connection.execute(count).scalar_one()
        with other.writing() as writer:
            add(writer, "meanwhile")
        assert connection.execute(count).scalar_one() == before
    assert keys(database) == {"meanwhile"}
    other.close()


def test_reading_writes_nothing(postgres_url: sa.URL) -> None:
    database = open_database(postgres_url)
    with pytest.raises(DatabaseError, match="read-only transaction. Give this user the rights"):
        _write_while_reading(database)
    database.close()


def _write_while_reading(database: Database) -> None:
    with database.reading() as connection:
        add(connection, "x")


def test_a_child_of_a_fork_does_not_talk_over_its_parent(database_url: sa.URL) -> None:
    script = """
        import os, sys, sqlalchemy as sa
        from resources.database_migrations import open_database
        from resources.settings import parse_database
        database = open_database(parse_database(os.environ["HASHGATE_DATABASE"]))
        def look():
            with database.reading() as connection:
                return connection.execute(sa.text("SELECT value FROM meta")).scalar_one()
        look()
        child = os.fork()
        if child == 0:
            os._exit(0 if [look() for _ in range(50)] == ["2"] * 50 else 1)
        seen = [look() for _ in range(50)]
        _, status = os.waitpid(child, 0)
        sys.exit(0 if seen == ["2"] * 50 and status == 0 else 1)
    """
    address = f"sqlite:///{database_url.database}" if database_url.drivername == "sqlite" else written(database_url)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env=os.environ | {"HASHGATE_DATABASE": address, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


# ---- files -----------------------------------------------------------------------------------------------------------


def test_a_file_is_its_user_s_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        database = open_database(sa.URL.create("sqlite", database=str(tmp_path / "c.db")))
        with database.writing() as connection:
            add(connection, "x")
            modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert modes == {"c.db": 0o600, "c.db-wal": 0o600, "c.db-shm": 0o600}


@pytest.mark.parametrize("content", [b"not a database, but long enough" * 100, b"\0" * 4096], ids=["text", "zeros"])
def test_a_file_that_is_no_database_says_that_it_is_only_an_index(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "catalogue.db"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="not a database. It is only an index: `hashgate rebuild` keeps it"):
        open_database(sa.URL.create("sqlite", database=str(path)))
    assert path.read_bytes() == content


def test_a_damaged_page_is_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.db"
    database = open_database(sa.URL.create("sqlite", database=str(path)))
    with database.writing() as connection:
        connection.execute(meta.insert(), [{"key": f"{n:06}", "value": "x" * 100} for n in range(2000)])
    database.close()
    with path.open("r+b") as file:
        file.seek(5 * 4096)
        file.write(b"\xff" * (path.stat().st_size - 6 * 4096))
    with pytest.raises(ConfigurationError, match="malformed. It is only an index"):
        keys(open_database(sa.URL.create("sqlite", database=str(path))))


@pytest.mark.parametrize(
    ("place", "problem"),
    [("no/c.db", "No such file or directory"), (".", "unable to open database file")],
    ids=["no folder", "a folder"],
)
def test_a_place_where_no_file_can_be(place: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"{problem}. Give this user access to it, or set HASHGATE_HOME"):
        open_database(sa.URL.create("sqlite", database=str(tmp_path / place)))


# ---- waiting ---------------------------------------------------------------------------------------------------------


def test_a_writer_that_holds_a_file_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = sa.URL.create("sqlite", database=str(tmp_path / "c.db"))
    open_database(url).close()
    monkeypatch.setattr(database_module, "LOCK_TIMEOUT_S", 0.1)
    database = open_database(url)
    holder = sqlite3.connect(str(url.database), isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseError, match="database is locked. Another process was using it for too long: run it"):
        _write(database)
    assert keys(database) == set(), "readers do not wait for it"
    holder.execute("COMMIT")
    holder.close()
    _write(database)
    database.close()


def test_a_session_that_holds_a_table_too_long(postgres_url: sa.URL) -> None:
    impatient = postgres_url.update_query_dict({"options": "-c lock_timeout=100"})
    holder, database = open_database(postgres_url), open_database(impatient)
    with holder.writing() as connection:
        connection.exec_driver_sql("LOCK TABLE meta")
        with pytest.raises(DatabaseError, match="lock timeout. Another process was using it for too long: run it"):
            _write(database)
    _write(database)
    holder.close()
    database.close()


def test_limits_hold_on_every_connection(postgres_url: sa.URL) -> None:
    database = open_database(postgres_url)
    with database.reading() as connection:
        shown = {
            name: connection.exec_driver_sql(f"SHOW {name}").scalar_one()
            for name in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout", "search_path")
        }
        application = connection.exec_driver_sql("SHOW application_name").scalar_one()
    assert shown == {
        "lock_timeout": "1min",
        "statement_timeout": "5min",
        "idle_in_transaction_session_timeout": "5min",
        "search_path": "hashgate",
    }
    assert application == "hashgate"
    database.close()


def _write(database: Database) -> None:
    with database.writing() as connection:
        add(connection, "x")


# ---- a server that is away or refuses --------------------------------------------------------------------------------


def test_a_server_that_is_away_and_comes_again(postgres: PostgresServer, postgres_url: sa.URL) -> None:
    database = open_database(postgres_url)
    _write(database)
    postgres.stop()
    try:
        for use in (keys, _write):
            with pytest.raises(DatabaseError, match="refused.*Start it, or mend HASHGATE_DATABASE") as away:
                use(database)
            assert PASSWORD not in everything_said(away.value)
            assert away.value.exit_code == 1
        with pytest.raises(DatabaseError, match="It is only an index: nothing that was published is lost"):
            open_database(postgres_url)
    finally:
        postgres.start()
    assert keys(database) == {"x"}, "the same object goes on when the server is there again"
    database.close()


def test_a_connection_that_dies_in_a_transaction(postgres_url: sa.URL) -> None:
    database, other = open_database(postgres_url), open_database(postgres_url.update_query_dict({"options": " "}))
    with pytest.raises(DatabaseError, match="Start it, or mend HASHGATE_DATABASE"):
        _write_through_a_dying_connection(database, other)
    assert keys(database) == set()
    database.close()
    other.close()


def _write_through_a_dying_connection(database: Database, other: Database) -> None:
    with database.writing() as connection:
        add(connection, "x")
        backend = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        with other.writing() as killer:
            killer.execute(sa.select(sa.func.pg_terminate_backend(backend)))
        add(connection, "y")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        pytest.param({"password": f"not-{PASSWORD}"}, "password authentication failed", id="another password"),
        pytest.param({"username": "nobody-known"}, "password authentication failed", id="another user"),
        pytest.param({"database": "nowhere"}, 'database "nowhere" does not exist', id="no such database"),
        pytest.param({"host": "no-such-host.invalid"}, "could not translate host name", id="no such host"),
        pytest.param({"query": {"no_option": "x"}}, "invalid connection option", id="no such option"),
        pytest.param({"query": {"options": "-c nothing=1"}}, "unrecognized configuration", id="no such setting"),
    ],
)
def test_a_server_that_refuses(changed: dict[str, str], said: str, postgres_url: sa.URL) -> None:
    url = postgres_url.set(**changed)  # type: ignore[arg-type]
    with pytest.raises(DatabaseError, match=said) as refused:
        open_database(url)
    text = everything_said(refused.value)
    assert PASSWORD not in text
    assert quote(PASSWORD, safe="") not in text
    assert "***" in refused.value.evidence["database"]


def test_a_user_without_rights(postgres_url: sa.URL) -> None:
    owner = open_database(postgres_url)
    with owner.writing() as connection:
        connection.exec_driver_sql(f"CREATE ROLE reader LOGIN PASSWORD '{OTHER_PASSWORD}'")
        connection.exec_driver_sql("GRANT USAGE ON SCHEMA hashgate TO reader")
        connection.exec_driver_sql("GRANT SELECT ON ALL TABLES IN SCHEMA hashgate TO reader")
    reader = open_database(postgres_url.set(username="reader", password=OTHER_PASSWORD))
    try:
        assert keys(reader) == set()
        with pytest.raises(DatabaseError, match="permission denied for table meta. Give this user the rights to it"):
            _write(reader)
    finally:
        reader.close()
        with owner.writing() as connection:
            connection.exec_driver_sql("DROP OWNED BY reader; DROP ROLE reader")
        owner.close()


def test_a_schema_that_somebody_made_for_us_is_enough(postgres_url: sa.URL) -> None:
    owner = sa.create_engine(postgres_url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with owner.connect() as connection:
        connection.exec_driver_sql(f"CREATE ROLE tenant LOGIN PASSWORD '{OTHER_PASSWORD}'")
        connection.exec_driver_sql("CREATE SCHEMA hashgate AUTHORIZATION tenant")
        database = open_database(postgres_url.set(username="tenant", password=OTHER_PASSWORD))
        _write(database)
        assert keys(database) == {"x"}
        database.close()
        connection.exec_driver_sql("DROP OWNED BY tenant; DROP ROLE tenant")


def test_a_table_that_somebody_took_away(database: Database) -> None:
    with database.writing() as connection:
        connection.exec_driver_sql("DROP TABLE meta")
    with pytest.raises(UnusableDatabaseError, match="It is only an index: `hashgate rebuild` keeps it aside"):
        keys(database)


# ---- secrets ---------------------------------------------------------------------------------------------------------


def test_passwords_and_rows_are_in_no_representation_log_or_error(
    postgres_url: sa.URL, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        database = open_database(postgres_url)
        with pytest.raises(DatabaseError) as twice:
            _add_twice(database, "planted-row")
        database.close()
    for text in (repr(database), str(database), caplog.text, everything_said(twice.value)):
        assert PASSWORD not in text
        assert quote(PASSWORD, safe="") not in text
    assert "duplicate key" in str(twice.value)
    assert "planted-row" not in str(twice.value)


def _add_twice(database: Database, key: str) -> None:
    with database.writing() as connection:
        add(connection, key)
        add(connection, key)


def test_a_password_that_an_error_would_quote_is_taken_out() -> None:
    engine, said = sa.create_engine("sqlite://"), OTHER_PASSWORD
    database = Database(engine, name="somewhere", password=OTHER_PASSWORD)
    with pytest.raises(DatabaseError) as refused, database.reading():
        raise sa.exc.OperationalError(said, {}, Exception(f"no pg_hba.conf entry for {said}@host"))
    assert "no pg_hba.conf entry for ***@host" in str(refused.value)
    assert OTHER_PASSWORD not in everything_said(refused.value)
