"""Creating a link: whatever the store answers or does not, nobody is told what is not so."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.commits import Commit, EmptyLink
from contracts.errors import HashgateError, StoreError, UnansweredError
from resources.file_catalogue import Anchor
from resources.link_writer import Creation, create_link, new_writer
from resources.table_reader import TableReader
from tests.unanswering import Fate, UnansweringStore
from tests.versions import DAY, NOON, TABLE, Home, after, candidate, first

KEY = f"tables/{TABLE}/commits/{DAY}/00000001.json"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.at(tmp_path)


def opened(home: Home, *fates: Fate, gets_fail: int = 0) -> tuple[UnansweringStore, TableReader]:
    store = UnansweringStore(home.store, *fates, gets_fail=gets_fail)
    return store, TableReader(store.as_store, home.catalogue)


def test_no_two_attempts_are_the_same() -> None:
    assert len({new_writer() for _ in range(100)}) == 100


def test_a_link_is_created_and_anchored(home: Home) -> None:
    link = first()
    store, reader = opened(home)
    assert create_link(store.as_store, reader, link, NOON) is Creation.OURS
    assert home.reader.head(TABLE, DAY) == link
    assert home.catalogue.anchors(TABLE) == {DAY: Anchor(1, link.digest)}


def test_a_number_that_is_taken_is_another_s_and_is_not_anchored(home: Home) -> None:
    store, reader = opened(home)
    create_link(store.as_store, reader, first(), NOON)
    late = first(candidate(cutoff=2))
    assert create_link(store.as_store, reader, late, NOON) is Creation.ANOTHERS
    assert home.reader.head(TABLE, DAY) != late
    assert home.catalogue.anchors(TABLE)[DAY].digest != late.digest


def test_a_number_that_is_taken_by_our_own_bytes_is_ours(home: Home) -> None:
    link = first()
    store, reader = opened(home)
    store.put_if_absent(KEY, link.to_bytes())
    assert create_link(store.as_store, reader, link, NOON) is Creation.OURS


@pytest.mark.parametrize(
    ("fates", "creation", "there"),
    [
        pytest.param([Fate.ARRIVES], Creation.OURS, "ours", id="it arrived"),
        pytest.param([Fate.LATE], Creation.VOID, "void", id="it comes too late"),
        pytest.param([Fate.LOST], Creation.VOID, "void", id="it was lost"),
        pytest.param([Fate.LOST, Fate.ARRIVES], Creation.VOID, "void", id="what occupies is unanswered, too"),
    ],
)
def test_an_unanswered_create_is_settled(home: Home, fates: list[Fate], creation: Creation, there: str) -> None:
    link = first()
    store, reader = opened(home, *fates)
    assert create_link(store.as_store, reader, link, NOON) is creation
    store.arrive()
    tip = home.reader.standing(TABLE, DAY).tip
    assert isinstance(tip, EmptyLink if there == "void" else Commit)
    assert (tip == link) is (there == "ours")


def test_what_arrives_between_the_look_and_the_occupying_is_ours(home: Home) -> None:
    link = first()
    store, reader = opened(home, Fate.LATE)
    store.looks_until_late = 1  # the one that sees nothing
    assert create_link(store.as_store, reader, link, NOON) is Creation.OURS
    assert home.reader.head(TABLE, DAY) == link


def test_another_s_link_at_an_unanswered_number_is_another_s(home: Home) -> None:
    store, reader = opened(home, Fate.ANSWERED, Fate.LOST)
    create_link(store.as_store, reader, first(), NOON)
    assert create_link(store.as_store, reader, first(candidate(cutoff=2)), NOON) is Creation.ANOTHERS


def test_when_nothing_is_answered_the_outcome_is_said_to_be_unknown(home: Home) -> None:
    store, reader = opened(home, Fate.LATE, Fate.LOST)
    with pytest.raises(UnansweredError) as unknown:
        create_link(store.as_store, reader, first(), NOON)
    said = str(unknown.value)
    assert unknown.value.evidence["key"] == KEY
    assert "version 1 of t[2020-01-01] was sent and not answered" in said
    assert "whether it was published is unknown, and nothing was cleaned up" in said
    assert "Run the same command again" in said
    store.arrive()
    assert home.reader.head(TABLE, DAY) is not None, "it did arrive"


def test_when_the_number_cannot_be_read_back_the_outcome_is_unknown(home: Home) -> None:
    store, reader = opened(home, Fate.ARRIVES, gets_fail=1)
    with pytest.raises(UnansweredError, match="is unknown") as unknown:
        create_link(store.as_store, reader, first(), NOON)
    assert "503" in str(unknown.value.__cause__)


def test_when_it_is_unclear_whose_the_number_is_the_outcome_is_unknown(home: Home) -> None:
    """A client that repeats a request by itself is told that its own, first one was there already."""
    link = first()
    store, reader = opened(home)
    store.put_if_absent(KEY, link.to_bytes())
    store.gets_fail = 1
    with pytest.raises(UnansweredError, match="whether it was published is unknown"):
        create_link(store.as_store, reader, link, NOON)
    assert home.reader.head(TABLE, DAY) == link


def test_what_the_store_refuses_is_no_doubt(home: Home) -> None:
    store, reader = opened(home, Fate.REFUSED)
    with pytest.raises(StoreError, match="403"):
        create_link(store.as_store, reader, first(), NOON)
    assert store.tried == [KEY], "nothing is occupied"
    assert home.reader.standing(TABLE, DAY).tip is None


@pytest.mark.parametrize(
    ("fate", "said", "published"),
    [
        pytest.param(
            Fate.CANCELLED_BEFORE,
            "It came before the commit: nothing of t[2020-01-01] was published, nor will be.",
            False,
            id="the cancel came first",
        ),
        pytest.param(
            Fate.CANCELLED_AFTER,
            "The commit came before it: t[2020-01-01] version 1 is published.",
            True,
            id="the commit came first",
        ),
    ],
)
def test_a_cancel_that_meets_the_commit_is_told_which_one_won(
    home: Home, fate: Fate, said: str, published: bool
) -> None:
    link = first()
    store, reader = opened(home, fate)
    with pytest.raises(KeyboardInterrupt) as stopped:
        create_link(store.as_store, reader, link, NOON)
    assert stopped.value.__notes__ == [said]
    assert (DAY in home.catalogue.anchors(TABLE)) is published
    standing = home.reader.standing(TABLE, DAY)
    assert (standing.head == link) is published
    assert standing.next_number == 2, "what was sent can never arrive at its number"


def test_a_cancel_that_cannot_be_settled_says_that_nobody_knows(home: Home) -> None:
    store, reader = opened(home, Fate.CANCELLED_BEFORE, Fate.LOST)
    with pytest.raises(KeyboardInterrupt) as stopped:
        create_link(store.as_store, reader, first(), NOON)
    assert "whether it was published is unknown" in stopped.value.__notes__[0]


@pytest.mark.embedded
def test_a_catalogue_that_refuses_takes_nothing_back(home: Home) -> None:
    link = first()
    store, reader = opened(home)
    assert reader.head(TABLE, DAY) is None
    for path in home.settings.home.glob("catalogue.db*"):
        path.write_bytes(b"no database any more" * 1000)
    with pytest.raises(HashgateError):
        reader._catalogue.anchor(TABLE, DAY, 1, link.digest)
    assert create_link(store.as_store, reader, link, NOON) is Creation.OURS
    assert create_link(store.as_store, reader, after(link, candidate(cutoff=2)), NOON) is Creation.OURS
