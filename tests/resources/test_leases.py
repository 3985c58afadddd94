"""Leases: one holder at a time, tokens that only grow, an end by the database's clock; raced on both databases."""

from __future__ import annotations

import datetime as dt
import pickle
import re
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import sqlalchemy as sa

from resources.database import Database
from resources.database_migrations import open_database
from resources.database_schema import leases as table
from resources.leases import Lease, LeaseHeldError, LeaseLostError, Leases
from tests.resources.racing import acquire_once, hold_for_ever, in_background, outlive_short_leases, race, take_turns

MINUTE = dt.timedelta(minutes=1)
SOON = dt.timedelta(milliseconds=50)


@pytest.fixture
def database(database_url: sa.URL) -> Iterator[Database]:
    opened = open_database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def leases(database: Database) -> Leases:
    return Leases(database)


def wait_until_it_ends(lease: Lease, leases: Leases) -> None:
    while leases.holding(lease.name) is not None:
        time.sleep(0.01)


def test_a_lease_has_one_holder(leases: Leases) -> None:
    lease = leases.acquire("run", "one", MINUTE)
    with pytest.raises(LeaseHeldError, match="lease run is held by one, for .* s more at most") as refused:
        leases.acquire("run", "other", MINUTE)
    assert (refused.value.evidence["name"], refused.value.evidence["holder"]) == ("run", "one")
    assert 0 < refused.value.evidence["seconds_left"] <= 60
    assert 0 < leases.check(lease) <= 60


def test_a_name_for_people_opens_nothing(leases: Leases) -> None:
    leases.acquire("run", "one", MINUTE)
    with pytest.raises(LeaseHeldError):
        leases.acquire("run", "one", MINUTE)


def test_names_do_not_see_each_other(leases: Leases) -> None:
    first = leases.acquire("run", "one", MINUTE)
    second = leases.acquire("other run", "one", MINUTE)
    assert leases.release(first)
    leases.check(second)


def test_a_released_lease_is_free_at_once_and_lost_to_who_had_it(leases: Leases) -> None:
    lease = leases.acquire("run", "one", MINUTE)
    assert leases.release(lease)
    assert leases.holding("run") is None
    assert not leases.release(lease)
    for use in (leases.check, lambda held: leases.renew(held, MINUTE)):
        with pytest.raises(LeaseLostError, match="one does not hold lease run any more: it ended"):
            use(lease)
    assert leases.acquire("run", "other", MINUTE).fencing_token > lease.fencing_token


def test_a_lease_ends_by_itself_and_stays_ended(leases: Leases) -> None:
    lease = leases.acquire("run", "one", SOON)
    wait_until_it_ends(lease, leases)
    with pytest.raises(LeaseLostError):
        leases.check(lease)
    with pytest.raises(LeaseLostError, match="acquire it anew and look at the state first") as lost:
        leases.renew(lease, MINUTE)
    assert (lost.value.evidence["name"], lost.value.evidence["holder"]) == ("run", "one")


def test_who_was_late_does_not_end_the_lease_of_who_took_over(leases: Leases) -> None:
    late = leases.acquire("run", "late", SOON)
    wait_until_it_ends(late, leases)
    now = leases.acquire("run", "now", MINUTE)
    assert now.fencing_token > late.fencing_token
    assert not leases.release(late)
    assert leases.check(now) > 0


def test_renewing_prolongs_and_keeps_the_token(leases: Leases) -> None:
    lease = leases.acquire("run", "one", dt.timedelta(seconds=5))
    renewed = leases.renew(lease, dt.timedelta(hours=1))
    assert renewed.fencing_token == lease.fencing_token
    assert renewed.expires_at - lease.expires_at > dt.timedelta(minutes=58)
    assert leases.check(lease) > 3500, "both objects stand for the one lease"
    shortened = leases.renew(renewed, SOON)
    wait_until_it_ends(shortened, leases)


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param({"secret": "0" * 64}, id="another secret"),
        pytest.param({"fencing_token": 1}, id="another token"),
        pytest.param({"name": "other"}, id="another name"),
    ],
)
def test_a_lease_is_held_by_who_knows_it(forged: dict[str, str], leases: Leases) -> None:
    lease = leases.acquire("run", "one", MINUTE)
    known = {name: getattr(lease, name) for name in ("name", "holder", "fencing_token", "expires_at", "secret")}
    other = Lease(**(known | forged))
    with pytest.raises(LeaseLostError):
        leases.check(other)
    with pytest.raises(LeaseLostError):
        leases.renew(other, MINUTE)
    assert not leases.release(other)
    leases.check(lease)


def test_tokens_and_secrets_are_shown_nowhere(leases: Leases, database: Database) -> None:
    lease = leases.acquire("run", "one", MINUTE)
    with database.reading() as connection:
        stored = str(connection.execute(sa.select(table)).one())
    with pytest.raises(LeaseHeldError) as held:
        leases.acquire("run", "other", MINUTE)
    leases.release(lease)
    with pytest.raises(LeaseLostError) as lost:
        leases.check(lease)
    errors = [f"{error.value!r} {error.value} {error.value.evidence}" for error in (held, lost)]
    for text in (repr(lease), str(lease), f"{lease}", stored, *errors):
        assert lease.secret not in text
    for text in (repr(lease), str(lease), *errors):
        assert str(lease.fencing_token) not in text
    assert pickle.loads(pickle.dumps(lease)) == lease


def test_a_token_never_repeats_even_when_the_database_is_lost(leases: Leases, database: Database) -> None:
    tokens = [leases.acquire("run", "one", MINUTE)]
    for _ in range(3):
        leases.release(tokens[-1])
        with database.writing() as connection:
            connection.execute(table.delete())
        time.sleep(0.002)
        tokens.append(leases.acquire("run", "one", MINUTE))
    assert all(before.fencing_token < after.fencing_token for before, after in pairwise(tokens))


def test_a_token_never_repeats_when_an_older_copy_of_the_database_is_restored(
    leases: Leases, database: Database
) -> None:
    tokens = []
    for _ in range(4):
        lease = leases.acquire("run", "one", MINUTE)
        tokens.append(lease.fencing_token)
        leases.release(lease)
        time.sleep(0.002)
    with database.writing() as connection:
        connection.execute(table.update().values(fencing_token=tokens[0]))
    assert leases.acquire("run", "one", MINUTE).fencing_token > max(tokens)


def test_a_token_grows_also_when_the_clock_was_set_back(leases: Leases, database: Database) -> None:
    lease = leases.acquire("run", "one", MINUTE)
    leases.release(lease)
    in_a_year = lease.fencing_token + 365 * 86_400_000
    with database.writing() as connection:
        connection.execute(table.update().values(fencing_token=in_a_year))
    assert leases.acquire("run", "one", MINUTE).fencing_token == in_a_year + 1


@pytest.mark.parametrize("ttl", [dt.timedelta(0), dt.timedelta(microseconds=999), dt.timedelta(seconds=-1)])
def test_a_lease_that_ends_before_it_begins_is_refused(ttl: dt.timedelta, leases: Leases) -> None:
    with pytest.raises(ValueError, match="lasts a millisecond at least"):
        leases.acquire("run", "one", ttl)
    lease = leases.acquire("run", "one", MINUTE)
    with pytest.raises(ValueError, match="lasts a millisecond at least"):
        leases.renew(lease, ttl)


@pytest.mark.parametrize("name", ["", "n" * 1001, "ü" * 501])
def test_a_name_that_no_index_holds_is_refused(name: str, leases: Leases) -> None:
    with pytest.raises(ValueError, match="a lease's name has 1 to 1000 bytes"):
        leases.acquire(name, "one", MINUTE)


@pytest.mark.parametrize("name", ["x'; DROP TABLE leases; --", "ü" * 500, "\n"], ids=["SQL", "long", "line end"])
def test_any_other_name_is_only_a_name(name: str, leases: Leases) -> None:
    lease = leases.acquire(name, "'; --", MINUTE)
    holding = leases.holding(name)
    assert holding is not None
    assert holding.holder == "'; --"
    assert leases.release(lease)


# ---- processes -------------------------------------------------------------------------------------------------------


def test_of_processes_that_ask_at_once_one_is_the_leader(database_url: sa.URL) -> None:
    open_database(database_url).close()
    tokens = race(acquire_once, 8, database_url)
    assert sorted(token is None for token in tokens) == [False, *[True] * 7]


def test_turns_never_overlap_and_tokens_grow_with_them(database_url: sa.URL) -> None:
    open_database(database_url).close()
    turns = sorted(turn for taken in race(take_turns, 4, database_url, 25) for turn in taken)
    assert len({token for token, _, _ in turns}) == len(turns) == 100
    for (_, _, ended), (_, began, _) in pairwise(turns):
        assert ended <= began, "in the order of their tokens, each turn began when the one before had ended"


def test_leases_that_end_by_themselves_are_taken_over_with_greater_tokens(database_url: sa.URL) -> None:
    open_database(database_url).close()
    taken = race(outlive_short_leases, 4, database_url, 2.0)
    tokens = [token for process in taken for token, _ in process]
    assert len(set(tokens)) == len(tokens) > 20
    for process in taken:
        assert [token for token, _ in process] == sorted(token for token, _ in process)
        assert all(lost for _, lost in process[::2]), "whoever overslept may not renew"


def test_a_killed_holder_is_waited_for_no_longer_than_its_time(database_url: sa.URL) -> None:
    leases = Leases(open_database(database_url))
    holder = in_background(hold_for_ever, database_url, "run", dt.timedelta(seconds=2))
    try:
        while leases.holding("run") is None:
            assert holder.is_alive()
            time.sleep(0.01)
    finally:
        holder.kill()
        holder.join()
    with pytest.raises(LeaseHeldError, match="the one that was killed"):
        leases.acquire("run", "heir", MINUTE)
    deadline = time.monotonic() + 10
    while True:
        try:
            lease = leases.acquire("run", "heir", MINUTE)
        except LeaseHeldError as held:
            assert time.monotonic() < deadline
            time.sleep(max(0.01, held.evidence["seconds_left"]))
        else:
            break
    assert leases.check(lease) > 0


def test_no_clock_but_the_database_s_counts(database_url: sa.URL) -> None:
    source = Path(__file__).parents[2] / "resources" / "leases.py"
    assert re.findall(r"\bnow\(\)|import time|monotonic|utcnow", source.read_text()) == []
    leases = Leases(open_database(database_url))
    lease = leases.acquire("run", "one", MINUTE)
    assert abs(lease.expires_at - dt.datetime.now(dt.UTC) - MINUTE) < dt.timedelta(seconds=10)
    assert lease.expires_at.tzinfo is not None
