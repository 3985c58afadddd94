"""Rebuild: the database that was built anew equals the one before, table by table; what contradicts it is told."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from contracts.errors import HashgateError
from platform_assets.evidence import rebuilding
from platform_assets.evidence.rebuilding import RebuildReport, rebuild
from resources import database_replacement
from resources.database import Database, UnusableDatabaseError
from resources.database_migrations import open_database
from resources.database_schema import metadata
from resources.leases import LeaseHeldError
from resources.object_store import ObjectStore
from resources.workspace import Workspace
from tests.installation import SOUND, Installation
from tests.servers.postgres import written

HELD = b"id,thing,amount\n1,pen,2.5\n"
NOT_FROM_THE_STORE = {"leases", "parser_attempts", "parser_notes", "run_equivalences"}
REMEMBERED_HASHES = {"verified"}
"""What was verified is verified anew when it is next read."""
WHEN_IT_WAS_LOOKED_AT = {"first_seen", "last_changed"}
"""When somebody looked at the drop folder is known to nobody else."""

Rows = dict[str, list[tuple[Any, ...]]]


@pytest.fixture(params=["sqlite", "postgresql"])
def orders(request: pytest.FixtureRequest, installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """Two days published, one of them twice; one held; a file that is no drop. Kept in either database."""
    if request.param == "postgresql":
        monkeypatch.setenv("HASHGATE_DATABASE", written(request.getfixturevalue("postgres_url")))
    installation.drop("2024-01-01")
    installation.drop("2024-01-02")
    installation.build()
    installation.drop("2024-01-02", SOUND.replace(b"pen", b"pan"))
    installation.drop("2024-01-03", HELD)
    (installation.drops / "orders" / "orders-notes.csv").write_text("no day")
    installation.build()
    return installation


@pytest.fixture
def installation(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Installation:
    """On SQLite, whatever the profile."""
    monkeypatch.setenv("HASHGATE_DATABASE", f"sqlite:///{home / 'catalogue.db'}")
    return Installation(home, monkeypatch, capsys)


@pytest.fixture
def workspace(orders: Installation) -> Iterator[Workspace]:
    opened = orders.workspace
    yield opened
    opened.database.close()


def rows_of(database: Database, *, but: set[str] = NOT_FROM_THE_STORE | REMEMBERED_HASHES) -> Rows:
    """Every table's rows in order, without the columns that nobody can know again."""
    found: Rows = {}
    with database.reading() as connection:
        for table in metadata.sorted_tables:
            columns = [column for column in table.columns if column.name not in WHEN_IT_WAS_LOOKED_AT]
            query = sa.select(*columns).order_by(*table.primary_key.columns)
            found[table.name] = [tuple(row) for row in connection.execute(query)]
    return {name: rows for name, rows in found.items() if name not in but}


def lose(database: Database) -> None:
    """Everything that a table can lose, but that it is there."""
    with database.writing() as connection:
        for name in ("files", "captures", "anchors", "verified"):
            connection.execute(metadata.tables[name].delete())


def said(report: RebuildReport) -> list[str]:
    return [problem.problem for problem in report.problems]


def test_the_rebuilt_database_equals_the_one_before(workspace: Workspace) -> None:
    before = rows_of(workspace.database)
    assert {name: len(rows) for name, rows in before.items()} == {"meta": 1, "files": 4, "captures": 4, "anchors": 2}
    lose(workspace.database)
    report = rebuild(workspace)
    assert (report.replaced, report.kept_aside, report.problems) == (True, None, [])
    assert rows_of(workspace.database) == before


def test_it_says_what_it_found(workspace: Workspace) -> None:
    looked: list[str] = []
    report = rebuild(workspace, looked_at=looked.append)
    (table,) = report.tables
    assert (table.table, table.batches, table.drops, table.withdrawn) == ("orders", 2, 4, 0)
    assert (table.partitions, table.links, table.held) == (2, 3, 1)
    assert (table.files, table.files_in_store) == (4, 3)
    assert looked == ["orders[2024-01-01]", "orders[2024-01-02]", "orders"]
    assert list(workspace.settings.staging.glob("rebuild-*")) == []


def test_a_lost_database_is_built_from_nothing(workspace: Workspace, orders: Installation) -> None:
    before = rows_of(workspace.database)
    if workspace.database.file is not None:
        workspace.database.close()
        for path in orders.home.glob("catalogue.db*"):
            path.unlink()
    else:
        with workspace.database.writing() as connection:
            connection.exec_driver_sql("DROP SCHEMA hashgate CASCADE")
    again = orders.workspace
    assert rebuild(again).problems == []
    assert rows_of(again.database) == before


@pytest.mark.embedded  # what is read from a bucket is verified block by block each time
def test_what_is_read_afterwards_is_verified_anew(workspace: Workspace, orders: Installation) -> None:
    assert orders.hashgate("query", "SELECT * FROM orders").code == 0
    before = rows_of(workspace.database, but=NOT_FROM_THE_STORE)
    assert len(before["verified"]) >= 2
    rebuild(workspace)
    assert rows_of(workspace.database, but=set())["verified"] == []
    assert orders.hashgate("query", "SELECT * FROM orders").code == 0
    assert rows_of(workspace.database, but=NOT_FROM_THE_STORE) == before


def test_ingesting_goes_on_as_if_nothing_had_happened(workspace: Workspace, orders: Installation) -> None:
    lose(workspace.database)
    rebuild(workspace)
    kept = list(workspace.store.walk(""))
    orders.build()
    assert list(workspace.store.walk("")) == kept
    orders.drop("2024-01-04")
    orders.build()
    assert orders.workspace.reader.head("orders", "2024-01-04") is not None


def test_a_file_that_changed_meanwhile_is_to_be_captured(workspace: Workspace, orders: Installation) -> None:
    orders.drop("2024-01-01", SOUND.replace(b"pen", b"pin"))
    (orders.drops / "orders" / "orders-2024-01-02.csv").unlink()
    table = rebuild(workspace).tables[0]
    assert (table.files, table.files_in_store) == (3, 1)
    assert [file.path for file in workspace.catalogue.files("orders", to_capture=True)] == [
        "orders/orders-2024-01-01.csv"
    ]


def test_leases_stay_where_the_database_can_be_used(workspace: Workspace) -> None:
    leases = workspace.leases
    lease = leases.acquire("run", "one", dt.timedelta(minutes=5))
    rebuild(workspace)
    assert leases.check(lease) > 0
    with pytest.raises(LeaseHeldError):
        leases.acquire("run", "other", dt.timedelta(minutes=5))


# ---- a database that cannot be used ----------------------------------------------------------------------------------


def damage(workspace: Workspace, how: str) -> None:
    database = workspace.database
    with database.writing() as connection:
        if how == "newer":
            connection.exec_driver_sql("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
        elif how == "no version":
            connection.exec_driver_sql("DROP TABLE meta")
        elif how == "a table gone":
            connection.exec_driver_sql("DROP TABLE anchors")
        elif how == "another table":
            connection.exec_driver_sql("ALTER TABLE captures DROP COLUMN withdrawn")
    database.close()
    if how == "no database":
        path = Path(str(workspace.settings.database.database))
        path.write_bytes(b"this is no database" * 1000)


@pytest.mark.parametrize(
    ("how", "command"),
    [
        ("newer", ["scan"]),
        ("no version", ["scan"]),
        ("a table gone", ["query", "SELECT * FROM orders"]),
        ("another table", ["status"]),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_a_database_that_cannot_be_used_is_kept_aside(how: str, command: list[str], orders: Installation) -> None:
    workspace = orders.workspace
    before = rows_of(workspace.database)
    damage(workspace, how)
    refused = orders.hashgate(*command)
    assert refused.code == 2, refused.out + refused.err
    assert "`hashgate rebuild` keeps" in refused.err
    ran = orders.hashgate("rebuild")
    assert ran.code == 0, ran.out + ran.err
    assert "The one before, which could not be used, is kept: " in ran.out
    again = orders.workspace
    assert rows_of(again.database) == before
    aside = ran.out.rpartition("is kept: ")[2].strip()
    if again.database.is_sqlite:
        assert aside == str(orders.home / "catalogue.db.aside-1")
        assert Path(aside).stat().st_mode & 0o777 == 0o600
        with contextlib.closing(sqlite3.connect(aside)) as kept:
            assert kept.execute("SELECT count(*) FROM files").fetchone() == (4,)
    else:
        assert aside == "hashgate_aside_1"
        with again.database.reading() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM hashgate_aside_1.files").scalar_one() == 4
    assert orders.hashgate("scan").code == 1, "a file is still no drop"
    again.database.close()


@pytest.mark.embedded  # it is about SQLite
def test_a_file_that_is_no_database_is_kept_as_it_is(installation: Installation) -> None:
    installation.drop("2024-01-01")
    installation.build()
    workspace = installation.workspace
    before = rows_of(workspace.database)
    damage(workspace, "no database")
    junk = (installation.home / "catalogue.db").read_bytes()
    refused = installation.hashgate("scan")
    assert refused.code == 2
    assert "file is not a database. It is only an index: `hashgate rebuild` keeps it aside" in refused.err
    ran = installation.hashgate("rebuild", "--json")
    assert (ran.code, ran.json["replaced"]) == (0, True)
    assert Path(ran.json["kept_aside"]).read_bytes() == junk
    again = installation.workspace
    assert rows_of(again.database) == before
    again.database.close()


def test_what_was_kept_aside_before_stays(orders: Installation) -> None:
    for number in (1, 2):
        workspace = orders.workspace
        damage(workspace, "newer")
        kept = rebuild(orders.workspace).kept_aside
        assert kept is not None
        assert kept.endswith(str(number))


# ---- what contradicts the store --------------------------------------------------------------------------------------


def link(partition: str, number: int) -> str:
    return f"tables/orders/commits/{partition}/{number:08d}.json"


def alter(store: ObjectStore, key: str, before: bytes, after: bytes) -> None:
    data = store.get(key)
    assert before in data
    store.forget(key)
    store.put_if_absent(key, data.replace(before, after, 1))


def cut_off(workspace: Workspace) -> None:
    """The newest version of 2024-01-02 goes, as if the store had been restored from an older copy."""
    workspace.store.forget(link("2024-01-02", 2))


def test_where_the_database_remembers_more_nothing_is_replaced(workspace: Workspace, orders: Installation) -> None:
    before = rows_of(workspace.database)
    cut_off(workspace)
    report = rebuild(orders.workspace)
    assert not report.replaced
    (problem,) = report.problems
    assert (problem.table, problem.partition, problem.contradicts) == ("orders", "2024-01-02", True)
    assert "the database has seen number 2 as blake3:" in problem.problem
    assert "hashgate rebuild --trust-store" in problem.fix
    assert rows_of(workspace.database) == before


def test_a_chain_that_vanished_is_missed(workspace: Workspace, orders: Installation) -> None:
    workspace.store.forget(link("2024-01-01", 1))
    report = rebuild(orders.workspace)
    assert [p.partition for p in report.problems if p.contradicts] == ["2024-01-01"]
    assert "in the store there is no chain" in said(report)[0]


def test_a_table_that_vanished_with_its_contract_is_missed(workspace: Workspace, orders: Installation) -> None:
    for key in list(workspace.store.walk("")):
        workspace.store.forget(key)
    for path in orders.contracts.iterdir():
        path.unlink()
    report = rebuild(orders.workspace)
    assert not report.replaced
    assert {problem.table for problem in report.problems} == {"orders"}
    assert [problem.partition for problem in report.problems] == [None, "2024-01-01", "2024-01-02"]


def test_a_capture_log_that_was_cut_off_is_missed(workspace: Workspace, orders: Installation) -> None:
    workspace.store.forget("captures/orders/00000002.json")
    report = rebuild(orders.workspace)
    assert not report.replaced
    assert "the database knows captures up to number 2, the store's log can be read up to 1" in said(report)[0]


def test_whoever_trusts_the_store_is_asked_and_then_obeyed(orders: Installation) -> None:
    cut_off(orders.workspace)
    refused = orders.hashgate("rebuild")
    assert refused.code == 1
    assert "is as it was" in refused.out
    unasked = orders.hashgate("rebuild", "--trust-store")
    assert unasked.code == 2
    assert "There is no terminal to ask at: add --yes" in unasked.err
    ran = orders.hashgate("rebuild", "--trust-store", "--yes", "--json")
    assert ran.code == 1, "what was found stays said"
    assert ran.json["replaced"] is True
    assert [p["contradicts"] for p in ran.json["problems"]] == [True]
    workspace = orders.workspace
    assert workspace.catalogue.anchors("orders")["2024-01-02"].number == 1
    workspace.database.close()
    assert orders.hashgate("rebuild").code == 0


def test_a_broken_link_leaves_its_partition_s_anchor_as_it_was(workspace: Workspace, orders: Installation) -> None:
    before = workspace.catalogue.anchors("orders")
    alter(workspace.store, link("2024-01-02", 1), b"orders", b"0rders")
    report = rebuild(orders.workspace)
    assert report.replaced
    assert [problem.partition for problem in report.problems] == ["2024-01-02"]
    assert "hashgate repair orders 2024-01-02" in said(report)[0]
    assert workspace.catalogue.anchors("orders") == before


def test_damage_elsewhere_is_told_and_stops_nothing(orders: Installation) -> None:
    store = orders.workspace.store
    alter(store, next(store.walk("tables/orders/held")), b"}", b"")
    orders.write_contract("kind: [", "broken")
    report = rebuild(orders.workspace)
    assert report.replaced
    assert {problem.contradicts for problem in report.problems} == {False}
    assert any("held candidate of orders[2024-01-03]" in text for text in said(report))
    assert any("broken.odcs.yaml" in text for text in said(report))
    assert orders.hashgate("rebuild").code == 1


def test_a_missing_drop_folder_leaves_the_files_for_later(workspace: Workspace, orders: Installation) -> None:
    (orders.drops / "orders").rename(orders.drops / "elsewhere")
    report = rebuild(workspace)
    assert report.replaced
    assert "does not exist" in said(report)[0]
    assert report.problems[0].fix == "Its files are looked for at the next scan."
    assert report.tables[0].drops == 4


# ---- in the middle ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["while it is built", "while it is taken over"])
def test_what_fails_in_the_middle_leaves_the_old_one(
    where: str, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows_of(workspace.database)

    def fails(*_: object) -> None:
        raise HashgateError(where)

    if where == "while it is built":
        monkeypatch.setattr(rebuilding, "_has_content", fails)
    else:
        monkeypatch.setattr(database_replacement, "copy_rows", fails)
    with pytest.raises(HashgateError, match=where):
        rebuild(workspace)
    assert rows_of(workspace.database) == before
    assert list(workspace.settings.staging.glob("rebuild-*")) == []


@pytest.mark.embedded  # it is about SQLite
@pytest.mark.parametrize("how", ["newer", "no database"])
def test_a_crash_at_any_step_of_a_replacement_leaves_the_old_one_or_the_new(
    how: str, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.drop("2024-01-01")
    installation.build()
    workspace = installation.workspace
    before = rows_of(workspace.database)
    workspace.database.close()
    calls: dict[str, Any] = {"unlink": Path.unlink, "rename": os.rename, "link": os.link, "replace": os.replace}
    calls |= {"copy_rows": database_replacement.copy_rows, "create_tables": database_replacement.create_tables}
    survived = 0
    for stop_at in range(1, 20):
        damage(installation.workspace, how)
        steps = Countdown(stop_at)
        with monkeypatch.context() as patch:
            for name, call in calls.items():
                place = {"unlink": Path, "copy_rows": database_replacement, "create_tables": database_replacement}
                patch.setattr(place.get(name, os), name, steps.before(call))
            with contextlib.suppress(KeyboardInterrupt):
                rebuild(installation.workspace)
        if not steps.stopped:
            break
        survived += 1
        opened = contextlib.suppress(UnusableDatabaseError)
        with opened:
            open_database(installation.workspace.settings.database).close()
        assert rebuild(installation.workspace).replaced
        again = installation.workspace
        assert rows_of(again.database) == before
        again.database.close()
    assert survived >= 4


class Countdown:
    """Stops before the n-th of the calls that it was put in front of."""

    def __init__(self, stop_at: int) -> None:
        self._left = stop_at
        self.stopped = False

    def before(self, call: Any) -> Any:
        def step(*arguments: Any, **named: Any) -> Any:
            self._left -= 1
            if self._left == 0:
                self.stopped = True
                raise KeyboardInterrupt
            return call(*arguments, **named)

        return step


def test_captures_that_come_meanwhile_are_not_lost(
    workspace: Workspace, orders: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_content = rebuilding._has_content

    def slowly(*arguments: Any) -> bool:
        monkeypatch.setattr(rebuilding, "_has_content", has_content)
        orders.drop("2024-01-05")
        orders.drop("2024-01-01", SOUND.replace(b"ink", b"tin"))
        orders.build()
        return has_content(*arguments)

    monkeypatch.setattr(rebuilding, "_has_content", slowly)
    report = rebuild(workspace)
    assert (report.replaced, report.problems) == (True, [])
    anchored = {partition: anchor.number for partition, anchor in workspace.catalogue.anchors("orders").items()}
    assert anchored == {"2024-01-01": 2, "2024-01-02": 2, "2024-01-05": 1}, "an anchor never goes down"
    orders.build()
    assert workspace.catalogue.newest_sequence("orders") == 3
    assert workspace.catalogue.files("orders", to_capture=True) == []
