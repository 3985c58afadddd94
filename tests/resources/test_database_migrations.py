"""Schema versions: forward and back with data, on both databases, once among many, and never half."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from contracts.errors import ConfigurationError, UsageError
from contracts.refs import digest_bytes
from resources import database_migrations
from resources.database import Database
from resources.database_migrations import migrate, open_copy, open_database, schema_version
from resources.database_schema import SCHEMA_VERSION, metadata
from resources.file_catalogue import FileCatalogue
from tests.resources.racing import migrate_and_count, race
from tests.servers.postgres import PostgresServer

VERSION_1 = (Path(__file__).parent / "catalogue_v1.sql").read_text()
"""As a released hashgate wrote it. On PostgreSQL there never was one: it gets the rows in tables of version 1."""
PROCESSES = 8

Rows = dict[str, set[tuple[Any, ...]]]


def load_version_1(url: sa.URL) -> None:
    if url.get_backend_name() == "sqlite":
        with contextlib.closing(sqlite3.connect(str(url.database))) as file:
            file.executescript(VERSION_1)
        return
    database = Database.connected(url)
    migrate(database, 1)
    with database.writing() as connection:
        for line in VERSION_1.splitlines():
            if line.startswith("INSERT") and '"meta"' not in line:
                connection.exec_driver_sql(line)


def rows_of(database: Database) -> Rows:
    """Every table's rows."""
    with database.reading() as connection:
        tables = sa.MetaData()
        tables.reflect(connection)
        return {name: {tuple(r) for r in connection.execute(sa.select(t))} for name, t in tables.tables.items()}


def shape_of(database: Database) -> dict[str, Any]:
    """Columns, keys and indexes of every table, by name."""
    with database.reading() as connection:
        look = sa.inspect(connection)
        return {
            name: (
                [(column["name"], str(column["type"]), column["nullable"]) for column in look.get_columns(name)],
                look.get_pk_constraint(name),
                sorted(look.get_indexes(name), key=lambda index: str(index["name"])),
            )
            for name in look.get_table_names()
        }


@pytest.fixture
def version_1(database_url: sa.URL) -> sa.URL:
    load_version_1(database_url)
    return database_url


def test_a_new_database_is_what_the_tables_say(database_url: sa.URL) -> None:
    database = open_database(database_url)
    with database.reading() as connection:
        assert schema_version(connection) == SCHEMA_VERSION
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    database.close()


def test_a_migrated_database_is_like_a_new_one(version_1: sa.URL, tmp_path: Path) -> None:
    migrated = open_database(version_1)
    fresh = shape_of(open_database(sa.URL.create("sqlite", database=str(tmp_path / "fresh.db"))))
    if migrated.is_sqlite:
        assert shape_of(migrated) == fresh
    with migrated.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    assert shape_of(migrated).keys() == fresh.keys()
    migrated.close()


def test_nothing_is_lost_on_the_way_forward(version_1: sa.URL) -> None:
    before = rows_of(Database.connected(version_1))
    database = open_database(version_1)
    after = rows_of(database)
    assert {row[:7] for row in after["captures"]} == before["captures"]
    assert not any(row[7] for row in after["captures"])
    for name in ("files", "verified"):
        assert after[name] == before[name]
    assert after["meta"] == {("schema_version", "2")}
    assert (len(after["files"]), len(after["captures"]), len(after["verified"])) == (5, 3, 1)
    assert FileCatalogue(database).captures("orders")["2020-01-01"][-1][1].digest == digest_bytes(b"c")
    database.close()


def test_back_again_is_where_it_came_from(version_1: sa.URL) -> None:
    started = Database.connected(version_1)
    before, shape = rows_of(started), shape_of(started)
    database = open_database(version_1)
    migration = migrate(database, 1)
    assert (migration.before, migration.after) == (2, 1)
    assert (rows_of(database), shape_of(database)) == (before, shape)
    assert migrate(database).after == 2
    database.close()


def test_on_the_way_back_what_was_withdrawn_does_not_turn_into_captures(database_url: sa.URL) -> None:
    database = open_database(database_url)
    rows = [
        (1, "kept", "k", False),
        (1, "gone", "g", False),
        (2, "gone", "g", True),
        (3, "again", "a", False),
        (4, "again", "a", True),
        (5, "again", "a", False),
    ]
    names = ("sequence", "path", "digest", "withdrawn")
    common = {"table_name": "t", "partition_key": "p", "size_bytes": 1, "captured_at": "then"}
    with database.writing() as connection:
        values = [common | dict(zip(names, row, strict=True)) for row in rows]
        connection.execute(metadata.tables["captures"].insert(), values)
    migrate(database, 1)
    assert {(row[1], row[2]) for row in rows_of(database)["captures"]} == {(1, "kept"), (5, "again")}
    database.close()


def test_a_copy_is_made_before_anything_changes(version_1: sa.URL) -> None:
    untouched = Database.connected(version_1)
    before = rows_of(untouched)
    migration = migrate(untouched)
    assert migration.backup is not None
    if untouched.is_sqlite:
        path = Path(str(version_1.database))
        assert migration.backup == f"{path}.v1"
        assert Path(migration.backup).stat().st_mode & 0o777 == 0o600
        copy = Database.connected(sa.URL.create("sqlite", database=migration.backup))
        assert rows_of(copy) == before
        assert sorted(p.name for p in path.parent.iterdir() if "unfinished" in p.name) == []
    else:
        assert migration.backup == "hashgate_v1"
        with untouched.reading() as connection:
            copied = sa.MetaData(schema="hashgate_v1")
            copied.reflect(connection)
            found = {t.name: {tuple(r) for r in connection.execute(sa.select(t))} for t in copied.tables.values()}
        assert found == before
    untouched.close()


def test_the_present_version_and_an_empty_database_need_no_copy(database_url: sa.URL) -> None:
    database = Database.connected(database_url)
    assert migrate(database) == database_migrations.Migration(0, SCHEMA_VERSION, None)
    assert migrate(database) == database_migrations.Migration(SCHEMA_VERSION, SCHEMA_VERSION, None)
    database.close()


def test_a_migration_that_fails_leaves_the_old_version(version_1: sa.URL, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database.connected(version_1)
    before = rows_of(database)

    def fails(connection: sa.Connection) -> None:
        database_migrations._to_2(connection)
        raise ZeroDivisionError

    monkeypatch.setitem(database_migrations._FORWARD, 2, fails)
    with pytest.raises(ZeroDivisionError):
        migrate(database)
    assert rows_of(database) == before
    monkeypatch.undo()
    migrate(database)
    assert rows_of(database)["meta"] == {("schema_version", "2")}
    database.close()


@pytest.mark.parametrize("has_version_1", [True, False], ids=["from version 1", "from nothing"])
def test_of_processes_that_start_together_one_migrates(database_url: sa.URL, has_version_1: bool) -> None:
    if has_version_1:
        load_version_1(database_url)
    outcomes = sorted(race(migrate_and_count, PROCESSES, database_url))
    before, captures = (1, 3) if has_version_1 else (0, 0)
    assert outcomes == [(before, 2, captures), *[(2, 2, captures)] * (PROCESSES - 1)]


def test_a_database_of_a_newer_schema_is_refused_with_the_way_out(database_url: sa.URL) -> None:
    database = open_database(database_url)
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE meta SET value = '3' WHERE key = 'schema_version'")
    before = rows_of(database)
    for opening in (open_database, open_copy):
        with pytest.raises(ConfigurationError, match="has schema version 3, this hashgate knows 2. Upgrade") as refused:
            opening(database_url)
        assert (refused.value.evidence["found"], refused.value.evidence["known"]) == (3, 2)
        assert "`hashgate rebuild` keeps the newer database aside" in str(refused.value)
    assert rows_of(database) == before
    database.close()


@pytest.mark.parametrize("version", [0, 3, -1])
def test_there_is_no_other_version_to_go_to(version: int, tmp_path: Path) -> None:
    database = open_database(sa.URL.create("sqlite", database=str(tmp_path / "c.db")))
    with pytest.raises(UsageError, match=f"there is no schema version {version}. There are: 1, 2."):
        migrate(database, version)


def test_a_copy_to_look_at_is_up_to_date_and_changes_nothing(version_1: sa.URL) -> None:
    source = Database.connected(version_1)
    before = rows_of(source)
    if source.is_sqlite:
        source.close()
        files = sorted(Path(str(version_1.database)).parent.iterdir())
        Path(str(version_1.database)).chmod(0o400)
    copy = open_copy(version_1)
    assert rows_of(copy)["files"] == before["files"]
    assert rows_of(copy)["meta"] == {("schema_version", "2")}
    with copy.writing() as connection:
        connection.exec_driver_sql("DELETE FROM files")
    if source.is_sqlite:
        assert sorted(Path(str(version_1.database)).parent.iterdir()) == files
    assert rows_of(source) == before
    source.close()


def test_a_copy_of_nothing_is_empty_and_creates_nothing(database_url: sa.URL, tmp_path: Path) -> None:
    copy = open_copy(database_url)
    assert rows_of(copy)["files"] == set()
    assert list(tmp_path.iterdir()) == []
    if database_url.get_backend_name() == "postgresql":
        with Database.connected(database_url).reading() as connection:
            assert schema_version(connection) == 0


def test_a_database_that_cannot_hold_every_name_is_refused(postgres: PostgresServer) -> None:
    with postgres.new_database() as url:
        pass
    latin = sa.create_engine(postgres.url("postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with latin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {url.database} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
        try:
            with pytest.raises(ConfigurationError, match="keeps its text in LATIN1, which not every file name fits"):
                open_database(url)
        finally:
            connection.exec_driver_sql(f"DROP DATABASE {url.database} WITH (FORCE)")


def test_text_sorts_by_its_bytes_on_every_database(database_url: sa.URL) -> None:
    database = open_database(database_url)
    words = ["a", "B", "_", "é", "Z", "~", "a b", "a-b"]
    with database.writing() as connection:
        connection.execute(metadata.tables["meta"].insert(), [{"key": word, "value": ""} for word in words])
    with database.reading() as connection:
        table = metadata.tables["meta"]
        found = list(connection.execute(sa.select(table.c.key).where(table.c.value == "").order_by("key")).scalars())
    assert found == sorted(words, key=str.encode)
    database.close()
