"""The file catalogue: remembers what a scan saw, and does work for what is new only."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa

from contracts.refs import Digest, digest_bytes
from contracts.selection import CaptureBatch, CapturedDrop, Decision
from resources.database_migrations import open_database
from resources.drop_folder import FileStamp, ListedFile
from resources.file_catalogue import MAXIMUM_PATH_BYTES, Anchor, FileCatalogue
from tests.resources.racing import race, scan_in_any_order
from tests.servers.postgres import PostgresServer

NOON = dt.datetime(2020, 1, 1, 12, tzinfo=dt.UTC)


@pytest.fixture
def catalogue(database_url: sa.URL) -> Iterator[FileCatalogue]:
    opened = FileCatalogue(open_database(database_url))
    yield opened
    opened.close()


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
    assert catalogue.newest_captures("t", ["a", "b"]) == {"a": digest_bytes(b"y")}


def test_two_may_write_at_once(database_url: sa.URL) -> None:
    one, other = (FileCatalogue(open_database(database_url)) for _ in range(2))
    one.observe("t", [listed("2019")], Keys(), NOON)
    other.observe("t", [listed("2019"), listed("2018")], Keys(), NOON)
    assert {f.path for f in one.files("t")} == {"2018", "2019"}
    one.close()
    other.close()


def test_sql_in_a_path_is_only_a_path(catalogue: FileCatalogue) -> None:
    path = "2019'); DROP TABLE files; --"
    catalogue.observe("t", [listed(path)], Keys(), NOON)
    assert [f.path for f in catalogue.files("t")] == [path]


def test_a_path_that_no_index_holds_is_a_problem_and_stops_no_other(catalogue: FileCatalogue) -> None:
    long = [f"2019/{'ü' * 1500}{n}" for n in range(2)]
    keys = Keys()
    for _ in range(2):
        report = catalogue.observe("t", [listed("2019"), *map(listed, long)], keys, NOON)
        assert [p.problem for p in report.problems] == ["PATH_TOO_LONG"] * 2
        assert len({p.path for p in report.problems}) == 2, "each is told from the other"
        assert all(p.path.startswith("2019/üüü") and len(p.path.encode()) < 250 for p in report.problems)
    assert [f.path for f in catalogue.files("t", to_capture=True)] == ["2019"]
    assert len(catalogue.files("t")) == 3
    assert catalogue.observe("t", [listed("2019")], keys, NOON).missing == 2


def test_the_longest_path_is_only_a_path(catalogue: FileCatalogue, incompressible: str) -> None:
    catalogue.observe("t", [listed(incompressible)], Keys(), NOON)
    catalogue.index_captures(batch(1, incompressible, b"x"))
    assert [f.path for f in catalogue.files("t")] == [incompressible]
    assert catalogue.newest_captures("t", [incompressible]) == {incompressible: digest_bytes(b"x")}


@pytest.fixture
def incompressible() -> str:
    """The longest path there may be; PostgreSQL cannot make it shorter."""
    signs = random.Random(0)  # noqa: S311 - the same every time, and no secret
    return "".join(
        signs.choices("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", k=MAXIMUM_PATH_BYTES)
    )


# ---- captures --------------------------------------------------------------------------------------------------------


def withdrawal(sequence: int, path: str, *contents: bytes) -> CaptureBatch:
    drops = tuple(
        CapturedDrop(path=path, partition="2019", digest=digest_bytes(c), size_bytes=len(c), withdrawn=True)
        for c in contents
    )
    decision = Decision(actor="ana", reason="asked to")
    return CaptureBatch(table="t", sequence=sequence, captured_at=NOON, drops=drops, decision=decision)


def test_several_contents_of_one_path_are_withdrawn_at_once(catalogue: FileCatalogue) -> None:
    catalogue.index_captures(batch(1, "a", b"x"))
    catalogue.index_captures(batch(2, "a", b"y"))
    catalogue.index_captures(withdrawal(3, "a", b"x", b"y"))
    found = [(sequence, drop.digest, drop.withdrawn) for sequence, drop in catalogue.captures("t")["2019"]]
    x, y = digest_bytes(b"x"), digest_bytes(b"y")
    assert found == [(1, x, False), (2, y, False), *((3, digest, True) for digest in sorted((x, y)))]
    assert catalogue.newest_captures("t", ["a"]) == {}, "what was withdrawn is not what was captured last"
    assert catalogue.withdrawn("t") == {x, y}
    catalogue.index_captures(batch(4, "a", b"x"))
    assert catalogue.newest_captures("t", ["a"]) == {"a": x}
    assert catalogue.withdrawn("t") == {y}


def test_captures_are_in_sequence_order_however_many_partitions_are_asked_for(catalogue: FileCatalogue) -> None:
    drops = tuple(
        CapturedDrop(path=f"{n:05}", partition=f"p{n % 1500}", digest=digest_bytes(b"x"), size_bytes=1)
        for n in range(3000)
    )
    for sequence, some in ((2, drops[1500:]), (1, drops[:1500])):
        catalogue.index_captures(CaptureBatch(table="t", sequence=sequence, captured_at=NOON, drops=some))
    partitions = [f"p{n}" for n in range(1500)]
    found = catalogue.captures("t", partitions)
    assert found == catalogue.captures("t")
    assert sorted(found) == sorted(partitions)
    assert all([sequence for sequence, _ in captures] == [1, 2] for captures in found.values())
    assert len(catalogue.newest_captures("t", [drop.path for drop in drops])) == 3000
    assert catalogue.partitions_captured_since("t", 1) == set(partitions)


def test_what_was_verified_twice_counts_as_it_was_last(catalogue: FileCatalogue) -> None:
    catalogue.remember_verified([("a", "1", "old"), ("a", "2", "new"), ("b", "1", "x")])
    catalogue.remember_verified([("b", "2", "y"), ("b", "2", "y")])
    catalogue.remember_verified([])
    assert catalogue.verified() == {"a": ("2", "new"), "b": ("2", "y")}


# ---- anchors ---------------------------------------------------------------------------------------------------------

FIRST, SECOND, OTHER = (digest_bytes(name) for name in (b"first", b"second", b"other"))


@pytest.mark.parametrize(
    ("number", "digest", "anchored", "stands"),
    [
        pytest.param(1, FIRST, False, (2, SECOND), id="lower"),
        pytest.param(2, SECOND, True, (2, SECOND), id="the same"),
        pytest.param(2, OTHER, False, (2, SECOND), id="another digest under the same number"),
        pytest.param(3, OTHER, True, (3, OTHER), id="higher"),
    ],
)
def test_an_anchor_never_goes_down_and_a_number_keeps_its_digest(
    number: int, digest: Digest, anchored: bool, stands: tuple[int, Digest], catalogue: FileCatalogue
) -> None:
    assert catalogue.anchor("t", "p", 1, FIRST)
    assert catalogue.anchor("t", "p", 2, SECOND)
    assert catalogue.anchor("t", "p", number, digest) is anchored
    assert catalogue.anchors("t") == {"p": Anchor(*stands)}


def test_many_anchors_at_once_name_those_that_stand_otherwise(catalogue: FileCatalogue) -> None:
    catalogue.anchor("t", "higher", 5, FIRST)
    catalogue.anchor("t", "other", 1, OTHER)
    catalogue.anchor("u", "new", 9, OTHER)
    heads = {name: Anchor(1, FIRST) for name in ("higher", "other", "new")}
    assert catalogue.anchor_all("t", heads) == {"higher": Anchor(5, FIRST), "other": Anchor(1, OTHER)}
    assert catalogue.anchors("t")["new"] == Anchor(1, FIRST)
    assert catalogue.anchor_all("t", {}) == {}


# ---- cost ------------------------------------------------------------------------------------------------------------


def test_no_row_costs_a_round_trip(postgres: PostgresServer, postgres_url: sa.URL) -> None:
    noted = postgres_url.update_query_dict({"options": "-c log_statement=all"})
    catalogue = FileCatalogue(open_database(noted))
    files = [listed(f"2019-{n:05}") for n in range(2000)]
    drops = tuple(CapturedDrop(path=f.path, partition="2019", digest=FIRST, size_bytes=1) for f in files)
    captured = CaptureBatch(table="t", sequence=1, captured_at=NOON, drops=drops)
    work: dict[str, Callable[[], object]] = {
        "observe": lambda: catalogue.observe("t", files, Keys(), NOON),
        "index captures": lambda: catalogue.index_captures(captured),
        "newest captures": lambda: catalogue.newest_captures("t", [f.path for f in files]),
        "mark captured": lambda: catalogue.mark_captured("t", [(f.path, "1:1:1:1") for f in files]),
        "anchor": lambda: catalogue.anchor_all("t", {f.path: Anchor(1, FIRST) for f in files}),
        "remember verified": lambda: catalogue.remember_verified([(f.path, "1", FIRST) for f in files]),
        "gone": lambda: catalogue.observe("t", [], Keys(), NOON),
    }
    trips = {}
    for name, call in work.items():
        before = postgres.log().count("statement: ")
        call()
        trips[name] = postgres.log().count("statement: ") - before
    catalogue.close()
    assert all(0 < count <= 40 for count in trips.values()), trips


def test_scans_at_once_do_not_wait_for_each_other_in_a_circle(database_url: sa.URL) -> None:
    open_database(database_url).close()
    assert race(scan_in_any_order, 4, database_url, 300) == [300] * 4
