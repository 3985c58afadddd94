"""The file catalogue: remembers what a scan saw, and does work for what is new only."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from contracts.errors import ConfigurationError
from contracts.refs import digest_bytes
from contracts.selection import CaptureBatch, CapturedDrop
from resources.drop_folder import FileStamp, ListedFile
from resources.file_catalogue import SCHEMA_VERSION, FileCatalogue

NOON = dt.datetime(2020, 1, 1, 12, tzinfo=dt.UTC)


@pytest.fixture
def catalogue(tmp_path: Path) -> FileCatalogue:
    return FileCatalogue(tmp_path / "catalogue.db")


def listed(path: str, size: int = 1, ctime: int = 1, problem: str | None = None) -> ListedFile:
    stamp = None if problem else FileStamp(size, 1, ctime, 1)
    return ListedFile(path, Path("/nowhere") / path, stamp, problem)


class Keys:
    """Counts what it is asked for; names that begin with a digit are keys."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.today = "2020-01-01"

    def __call__(self, names: Sequence[str]) -> list[tuple[str | None, str | None]]:
        self.asked += names
        return [
            (None, "NO_KEY") if not n[0].isdigit() else (None, "OUTSIDE_CALENDAR") if n > self.today else (n, None)
            for n in names
        ]


def test_a_scan_tells_new_changed_unchanged_and_missing(catalogue: FileCatalogue) -> None:
    keys = Keys()
    catalogue.observe("t", [listed("2019"), listed("2018"), listed("2017")], keys, NOON)
    report = catalogue.observe("t", [listed("2019"), listed("2018", ctime=2), listed("2016")], keys, NOON)
    assert (report.listed, report.new, report.changed, report.unchanged, report.missing) == (3, 1, 1, 1, 1)


def test_a_scan_asks_for_the_keys_of_new_and_changed_files_only(catalogue: FileCatalogue) -> None:
    keys = Keys()
    catalogue.observe("t", [listed(f"{n}") for n in range(1000, 1100)], keys, NOON)
    keys.asked.clear()
    catalogue.observe("t", [listed(f"{n}") for n in range(1000, 1101)], keys, NOON)
    assert keys.asked == ["1100"]


def test_a_scan_that_must_not_remember_does_not(catalogue: FileCatalogue) -> None:
    report = catalogue.observe("t", [listed("2019"), listed("x")], Keys(), NOON, record=False)
    assert (report.new, [p.path for p in report.problems]) == (2, ["x"])
    assert catalogue.files("t") == []


def test_a_problem_is_reported_as_long_as_it_lasts(catalogue: FileCatalogue) -> None:
    keys = Keys()
    for _ in range(2):
        report = catalogue.observe("t", [listed("2019"), listed("fifo", problem="NOT_A_FILE")], keys, NOON)
        assert [(p.path, p.problem) for p in report.problems] == [("fifo", "NOT_A_FILE")]
    assert catalogue.observe("t", [listed("2019")], keys, NOON).problems == ()


def test_a_file_from_tomorrow_is_taken_when_its_day_has_come(catalogue: FileCatalogue) -> None:
    keys = Keys()
    first = catalogue.observe("t", [listed("2020-01-02")], keys, NOON)
    assert [p.problem for p in first.problems] == ["OUTSIDE_CALENDAR"]
    keys.today = "2020-01-02"
    assert catalogue.observe("t", [listed("2020-01-02")], keys, NOON).problems == ()
    assert [f.partition for f in catalogue.files("t", to_capture=True)] == ["2020-01-02"]


def test_a_captured_state_is_not_captured_again_until_it_changes(catalogue: FileCatalogue) -> None:
    keys = Keys()
    catalogue.observe("t", [listed("2019")], keys, NOON)
    (file,) = catalogue.files("t", to_capture=True)
    catalogue.mark_captured("t", [("2019", file.stamp)])
    assert catalogue.files("t", to_capture=True) == []
    catalogue.observe("t", [listed("2019", ctime=2)], keys, NOON)
    assert [f.path for f in catalogue.files("t", to_capture=True)] == ["2019"]


def test_tables_do_not_see_each_other(catalogue: FileCatalogue) -> None:
    catalogue.observe("t", [listed("2019")], Keys(), NOON)
    assert catalogue.observe("u", [listed("2019")], Keys(), NOON).new == 1
    assert len(catalogue.files("t")) == 1


def batch(sequence: int, path: str, content: bytes) -> CaptureBatch:
    drop = CapturedDrop(path=path, partition="2019", digest=digest_bytes(content), size_bytes=len(content))
    return CaptureBatch(table="t", sequence=sequence, captured_at=NOON, drops=(drop,))


def test_indexing_a_batch_twice_is_indexing_it_once(catalogue: FileCatalogue) -> None:
    for _ in range(2):
        catalogue.index_captures(batch(1, "a", b"x"))
    assert [sequence for sequence, _ in catalogue.captures("t")["2019"]] == [1]
    assert catalogue.newest_sequence("t") == 1


def test_the_newest_capture_of_a_path_is_the_last_in_sequence(catalogue: FileCatalogue) -> None:
    catalogue.index_captures(batch(1, "a", b"x"))
    catalogue.index_captures(batch(2, "a", b"y"))
    assert catalogue.newest_capture("t", "a") == digest_bytes(b"y")
    assert catalogue.newest_capture("t", "b") is None


def test_a_database_of_a_newer_schema_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.db"
    FileCatalogue(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET value = ? WHERE key = 'schema_version'", (str(SCHEMA_VERSION + 1),))
    with pytest.raises(
        ConfigurationError, match="has schema version 2, this hashgate knows 1. Upgrade hashgate"
    ) as refused:
        FileCatalogue(path)
    assert (refused.value.evidence["found"], refused.value.evidence["known"]) == (2, 1)


def test_a_database_that_is_none_says_that_it_is_only_an_index(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.db"
    path.write_bytes(b"not a database, but long enough to be taken for one" * 100)
    with pytest.raises(ConfigurationError, match="It is only an index: move it away and run `hashgate scan`"):
        FileCatalogue(path)


def test_two_processes_may_write_at_once(tmp_path: Path) -> None:
    one, other = FileCatalogue(tmp_path / "c.db"), FileCatalogue(tmp_path / "c.db")
    one.observe("t", [listed("2019")], Keys(), NOON)
    other.observe("t", [listed("2019"), listed("2018")], Keys(), NOON)
    assert {f.path for f in one.files("t")} == {"2018", "2019"}


def test_sql_in_a_path_is_only_a_path(catalogue: FileCatalogue) -> None:
    path = "2019'); DROP TABLE files; --"
    catalogue.observe("t", [listed(path)], Keys(), NOON)
    assert [f.path for f in catalogue.files("t")] == [path]
