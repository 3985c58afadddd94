"""Run equivalence: one key, one run, whoever asks and however many at once."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from contracts.refs import digest_bytes
from resources.database_migrations import open_database
from resources.run_equivalence import Binding, RunEquivalences
from tests.resources.racing import bind_one_key, race

INTENT, OTHER = digest_bytes(b"intent"), digest_bytes(b"other")


@pytest.fixture
def equivalences(database_url: sa.URL) -> RunEquivalences:
    return RunEquivalences(open_database(database_url))


def test_the_first_binding_stays(equivalences: RunEquivalences) -> None:
    assert equivalences.binding("key") is None
    assert equivalences.bind("key", "run 1", INTENT) == Binding("run 1", INTENT)
    assert equivalences.bind("key", "run 2", INTENT) == Binding("run 1", INTENT)
    assert equivalences.binding("key") == Binding("run 1", INTENT)


def test_another_intent_shows_as_a_collision(equivalences: RunEquivalences) -> None:
    equivalences.bind("key", "run 1", INTENT)
    assert equivalences.bind("key", "run 1", OTHER).intent == INTENT


def test_keys_do_not_see_each_other(equivalences: RunEquivalences) -> None:
    equivalences.bind("key", "run 1", INTENT)
    assert equivalences.bind("other key", "run 2", OTHER) == Binding("run 2", OTHER)


def test_processes_that_ask_at_once_get_one_answer(database_url: sa.URL) -> None:
    open_database(database_url).close()
    answers = race(bind_one_key, 6, database_url)
    assert len(answers) == 6
    assert len(set(answers)) == 1
