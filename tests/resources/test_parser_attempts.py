"""Notes of attempts to read drops: whose process died counts, whose did not does not."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest
import sqlalchemy as sa

from contracts.refs import digest_bytes
from resources.database import Database
from resources.database_migrations import open_database
from resources.database_schema import parser_notes
from resources.parser_attempts import Crashes, ParserAttempts
from resources.processes import ProcessMark, this_process
from tests.resources.racing import race

NOON = dt.datetime(2020, 1, 1, 12, tzinfo=dt.UTC)
FIRST, SECOND, THIRD = (digest_bytes(name) for name in (b"first", b"second", b"third"))


@pytest.fixture
def database(database_url: sa.URL) -> Iterator[Database]:
    opened = open_database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def attempts(database: Database) -> ParserAttempts:
    return ParserAttempts(database)


@pytest.fixture(scope="module")
def dead() -> ProcessMark:
    """A process of this host that has ended."""
    child = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], check=True, capture_output=True)
    return replace(this_process(), pid=int(child.stdout), started=1)


def left_by(database: Database, process: ProcessMark) -> None:
    """Say that another process has left all the notes."""
    with database.writing() as connection:
        connection.execute(parser_notes.update().values(process=process.text))


def never(_: str) -> bool:
    return False


def note(attempts: ParserAttempts, *sources: str, alone: bool = False, transform: str = "t", run: str = "run") -> str:
    digests = [digest_bytes(source.encode()) for source in sources]
    return attempts.note(transform, digests, run_id=run, alone=alone, now=NOON)


def test_what_is_taken_back_never_counts(attempts: ParserAttempts, database: Database, dead: ProcessMark) -> None:
    attempts.take_back(note(attempts, "first", "second"))
    left_by(database, dead)
    assert attempts.settle(never, NOON) == 0
    assert attempts.crashes("t") == {}


def test_the_note_of_a_process_that_lives_does_not_count(attempts: ParserAttempts) -> None:
    note(attempts, "first")
    assert attempts.settle(lambda _: True, NOON) == 0, "not even if somebody takes its run for ended"
    assert attempts.crashes("t") == {}


def test_the_note_of_a_dead_process_counts_once(
    attempts: ParserAttempts, database: Database, dead: ProcessMark
) -> None:
    note(attempts, "first", "second")
    left_by(database, dead)
    assert [attempts.settle(never, NOON) for _ in range(2)] == [1, 0]
    said = f"process {dead.pid} on {dead.host} died"
    assert attempts.crashes("t") == dict.fromkeys([FIRST, SECOND], Crashes(1, alone=False, last_error=said))
    assert attempts.crashes("another") == {}


def test_a_machine_that_went_down_took_everything_with_it_and_no_drop_did(
    attempts: ParserAttempts, database: Database
) -> None:
    note(attempts, "first")
    left_by(database, replace(this_process(), boot="earlier"))
    assert attempts.settle(never, NOON) == 0
    left_by(database, replace(this_process(), pid=1, started=1))
    assert attempts.settle(never, NOON) == 0, "the note is gone"


@pytest.mark.parametrize("is_over", [True, False])
def test_of_another_host_its_run_tells(attempts: ParserAttempts, database: Database, *, is_over: bool) -> None:
    note(attempts, "first", run="theirs")
    left_by(database, replace(this_process(), host="another"))
    assert attempts.settle(lambda run_id: is_over and run_id == "theirs", NOON) == int(is_over)


@pytest.mark.parametrize(
    ("alone", "refused"),
    [
        pytest.param([False], False, id="once, among others"),
        pytest.param([True], False, id="once, alone"),
        pytest.param([False, False, False], False, id="always among others"),
        pytest.param([False, True], True, id="among others, then alone"),
        pytest.param([True, True], True, id="twice alone"),
        pytest.param([True, True, False], False, id="the last time among others"),
    ],
)
def test_a_drop_is_refused_after_two_crashes_the_last_of_them_alone(
    attempts: ParserAttempts, alone: list[bool], *, refused: bool
) -> None:
    for by_itself in alone:
        attempts.count(note(attempts, "first", alone=by_itself), "memory ran out", NOON)
    assert attempts.crashes("t")[FIRST].count == len(alone)
    assert attempts.refused("t") == (frozenset([FIRST]) if refused else frozenset())


def test_a_note_is_counted_by_one_of_those_who_find_it(attempts: ParserAttempts) -> None:
    found = note(attempts, "first")
    attempts.count(found, "it died", NOON)
    attempts.count(found, "it died", NOON)
    assert attempts.crashes("t")[FIRST].count == 1


def test_what_was_read_to_its_end_begins_anew(attempts: ParserAttempts) -> None:
    attempts.count(note(attempts, "first", "second", "third"), "it died", NOON)
    attempts.forget("t", [FIRST, THIRD])
    assert attempts.crashes("t").keys() == {SECOND}


def test_counts_of_one_transform_say_nothing_of_another(attempts: ParserAttempts) -> None:
    for transform in ("parser 1", "parser 1", "parser 2"):
        attempts.count(note(attempts, "first", alone=True, transform=transform), "it died", NOON)
    assert [attempts.refused("parser 1"), attempts.refused("parser 2")] == [frozenset([FIRST]), frozenset()]
    attempts.forget("parser 2", [FIRST])
    assert attempts.refused("parser 1") == {FIRST}


def test_thousands_of_drops_fit_into_one_note(attempts: ParserAttempts) -> None:
    sources = [digest_bytes(str(n).encode()) for n in range(2500)]
    attempts.count(attempts.note("t", sources, run_id="run", alone=False, now=NOON), "it died", NOON)
    assert len(attempts.crashes("t")) == 2500
    attempts.forget("t", sources)
    assert attempts.crashes("t") == {}


def settle(_number: int, url: sa.URL) -> int:
    opened = open_database(url)
    try:
        return ParserAttempts(opened).settle(never, NOON)
    finally:
        opened.close()


def test_of_many_who_settle_at_once_one_counts(
    attempts: ParserAttempts, database: Database, database_url: sa.URL, dead: ProcessMark
) -> None:
    note(attempts, "first")
    left_by(database, dead)
    assert len(race(settle, 4, database_url)) == 4
    assert attempts.crashes("t")[FIRST].count == 1
