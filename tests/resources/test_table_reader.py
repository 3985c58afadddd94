"""The table reader: heads and their anchors, held candidates, discards, and files opened as they were published."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.commits import EmptyLink
from contracts.decisions import Discard
from contracts.errors import CommitError, DigestMismatchError, NotPublishedError, StoreError
from contracts.refs import Digest
from contracts.sealing import ChainError
from resources.file_catalogue import Anchor
from resources.link_writer import new_writer
from resources.object_store import ObjectStore
from resources.table_reader import (
    NOTHING,
    check_segment,
    commits_prefix,
    held_key,
    numbered_key,
    segment_prefix,
)
from tests.damaging import move, remove, remove_all, replace
from tests.versions import ANA, DAY, NOON, TABLE, Home, candidate, first, stopped

NEXT = "2020-01-02"
Damage = Callable[[ObjectStore, str], object]


def link(number: int) -> str:
    return numbered_key(TABLE, "commits", DAY, number)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.at(tmp_path)


# ---- anchors ---------------------------------------------------------------------------------------------------------


def test_a_head_that_is_read_is_anchored(home: Home) -> None:
    commit = first()
    home.store.put_if_absent(link(1), commit.to_bytes())
    assert home.catalogue.anchors(TABLE) == {}
    assert home.reader.head(TABLE, DAY) == commit
    assert home.catalogue.anchors(TABLE) == {DAY: Anchor(1, commit.digest)}


def test_a_cut_tail_is_refused_by_every_reader_and_the_way_back_leads_back(home: Home) -> None:
    home.publish("a")
    home.publish("b", cutoff=2)
    tip = link(2)
    kept = home.store.get(tip)
    remove(home.store, tip)
    for read in (home.reader.head, home.reader.open, home.reader.history):
        with pytest.raises(CommitError, match="the chain's tail was cut off or replayed"):
            read(TABLE, DAY)
    home.store.put_if_absent(tip, kept)
    head = home.reader.head(TABLE, DAY)
    assert head is not None
    assert head.number == 2


def test_a_chain_that_vanished_is_still_a_partition(home: Home) -> None:
    home.publish("a")
    remove_all(home.store, commits_prefix(TABLE, DAY))
    assert home.reader.partitions(TABLE) == [DAY]
    with pytest.raises(CommitError, match="cut off"):
        home.reader.head(TABLE, DAY)


def test_a_reader_that_was_opened_before_sees_what_others_commit(home: Home) -> None:
    reader = home.reader
    assert reader.head(TABLE, DAY) is None
    made = [home.publish(content, cutoff=n).commit for n, content in enumerate("abc", 1)]
    assert reader.head(TABLE, DAY) == made[-1]
    assert reader.partitions(TABLE) == [DAY]


def test_a_reader_that_was_opened_before_notices_a_tail_that_is_cut_off_after_others_have_seen_it(home: Home) -> None:
    reader = home.reader
    home.publish("a")
    assert reader.head(TABLE, DAY) is not None
    for n, content in enumerate("bcd", 2):
        home.publish(content, cutoff=n)
    for number in (4, 3):
        remove(home.store, link(number))
    with pytest.raises(CommitError, match="number 4 was"):
        reader.head(TABLE, DAY)


def test_a_reader_whose_anchor_is_refused_looks_again(home: Home) -> None:
    """Between its two looks, at the anchors and at the chain, the chain was replaced by another."""
    reader = home.reader
    assert reader.head(TABLE, DAY) is None
    home.publish("a")
    replace(home.store, link(1), first(candidate(cutoff=9)).to_bytes())
    with pytest.raises(CommitError, match="cut off or replayed"):
        reader.head(TABLE, DAY)


# ---- versions --------------------------------------------------------------------------------------------------------


def test_a_number_without_a_version_is_said_to_be_so(home: Home) -> None:
    one = home.publish("a").commit
    void = EmptyLink(number=2, parent=one.digest, committed_at=NOON, writer=new_writer(), table=TABLE, partition=DAY)
    home.store.put_if_absent(link(2), void.to_bytes())
    assert home.reader.commit(TABLE, DAY, 1) == one
    with pytest.raises(CommitError, match=r"t\[2020-01-01\] number 2 holds no version: it is a link of kind void"):
        home.reader.commit(TABLE, DAY, 2)
    assert home.reader.history(TABLE, DAY) == [one]
    assert home.publish("b", cutoff=2).commit.parent == void.digest


@pytest.mark.parametrize(
    ("above", "claimed"),
    [
        pytest.param(b"", "unreadable", id="nothing that can be read"),
        pytest.param(b"[]", "unreadable", id="no object"),
        pytest.param(None, None, id="no link at all"),
    ],
)
def test_the_claimed_head_is_what_the_newest_version_says_and_costs_no_verification(
    home: Home, above: bytes | None, claimed: str | None
) -> None:
    if above is None:
        assert home.reader.claimed_head(TABLE, DAY) is claimed
        return
    one = home.publish("a").commit
    assert home.reader.claimed_head(TABLE, DAY) == one.digest
    void = EmptyLink(number=2, parent=one.digest, committed_at=NOON, writer="w", table=TABLE, partition=DAY)
    home.store.put_if_absent(link(2), void.to_bytes())
    assert home.reader.claimed_head(TABLE, DAY) == one.digest
    home.store.put_if_absent(link(3), above)
    assert home.reader.claimed_head(TABLE, DAY) == claimed


def test_a_partition_that_was_never_published_says_what_it_waits_for(home: Home) -> None:
    with pytest.raises(NotPublishedError, match="its state is pending"):
        home.reader.open(TABLE, DAY)
    home.publish("a", receipts=stopped())
    with pytest.raises(NotPublishedError, match="its state is held"):
        home.reader.open(TABLE, DAY)


# ---- files -----------------------------------------------------------------------------------------------------------


def folder_of(home: Home, content: str) -> str:
    (entry,) = home.stage(content).candidate.segments
    return segment_prefix(TABLE, entry.view_key, entry.content)


@pytest.mark.parametrize(
    ("damage", "observed"),
    [
        pytest.param(lambda s, f: replace(s, f"{f}/valid.parquet", b"x"), "blake3:", id="an altered file"),
        pytest.param(lambda s, f: replace(s, f"{f}/index.json", b"{}"), "blake3:", id="an altered index"),
        pytest.param(lambda s, f: remove(s, f"{f}/valid.parquet"), NOTHING, id="a missing file"),
        pytest.param(lambda s, f: remove(s, f"{f}/index.json"), NOTHING, id="a missing index"),
        pytest.param(lambda s, f: s.put_if_absent(f"{f}/more", b""), "blake3:", id="one file more"),
    ],
)
def test_a_full_check_trusts_nothing_that_was_verified_before(home: Home, damage: Damage, observed: str) -> None:
    commit = home.publish("a").commit
    reader = home.reader
    reader.open(TABLE, DAY)
    reader.check_files(commit.candidate)
    damage(home.store, folder_of(home, "a"))
    with pytest.raises(DigestMismatchError) as found:
        reader.check_files(commit.candidate)
    assert found.value.evidence["observed"].startswith(observed)
    assert found.value.evidence["subject"].startswith(f"tables/{TABLE}/segments/")
    (entry,) = commit.candidate.segments
    with pytest.raises(DigestMismatchError):
        check_segment(home.store, segment_prefix(TABLE, entry.view_key, entry.content), entry)


def test_a_segment_is_read_in_the_first_generation_that_is_there(home: Home) -> None:
    commit = home.publish("a").commit
    folder = folder_of(home, "a")
    move(home.store, folder, f"{folder}.3")
    assert home.reader.open(TABLE, DAY).valid[0].endswith(".3/valid.parquet")
    home.reader.check_files(commit.candidate)
    (entry,) = commit.candidate.segments
    assert home.reader.segment_place(TABLE, entry).prefix.endswith(".3")


def test_a_segment_that_is_gone_is_missing_by_name(home: Home) -> None:
    home.publish("a")
    remove_all(home.store, folder_of(home, "a"))
    with pytest.raises(StoreError, match="is missing. Restore the store") as missing:
        home.reader.open(TABLE, DAY)
    assert missing.value.evidence["key"].startswith(folder_of(home, "a"))


# ---- held candidates and discards ------------------------------------------------------------------------------------


def test_held_candidates_come_in_the_order_of_their_selections(home: Home) -> None:
    cutoffs = [3, 1, 2]
    for cutoff in cutoffs:
        home.publish(f"of-{cutoff}", cutoff=cutoff, receipts=stopped())
    found = home.reader.held_candidates(TABLE, DAY)
    assert [held.candidate.cutoff for held in found] == [1, 2, 3]
    assert home.reader.held(TABLE, DAY, found[0].candidate.view_key) == found[0]
    assert home.reader.held_candidates(TABLE, NEXT) == []


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        pytest.param(lambda s, k: replace(s, k, s.get(k)[:-1]), "line 1", id="cut short"),
        pytest.param(lambda s, k: replace(s, k, first().to_bytes()), "it belongs to t", id="another candidate"),
        pytest.param(
            lambda s, k: (s.put_if_absent(f"{k.rpartition('/')[0]}/{'0' * 64}.json", s.get(k)), s.forget(k)),
            "it belongs to t",
            id="under another name",
        ),
    ],
)
def test_a_held_candidate_that_is_not_what_was_held_is_refused(home: Home, damage: Damage, said: str) -> None:
    held = home.publish("a", receipts=stopped()).commit
    damage(home.store, held_key(TABLE, DAY, held.candidate.view_key))
    with pytest.raises(CommitError, match=said) as refused:
        home.reader.held_candidates(TABLE, DAY)
    assert "Move it out of the store and ingest the partition again with --force" in str(refused.value)


def test_a_published_version_is_no_held_candidate(home: Home) -> None:
    commit = home.publish("a").commit
    home.store.put_if_absent(held_key(TABLE, DAY, commit.candidate.view_key), commit.to_bytes())
    with pytest.raises(CommitError, match="it is a commit of kind publish"):
        home.reader.held(TABLE, DAY, commit.candidate.view_key)


def discard(number: int, parent: Digest | None) -> Discard:
    held = first(candidate(cutoff=number), kind="held", receipts=stopped())
    return Discard(number=number, parent=parent, table=TABLE, partition=DAY, discarded_at=NOON, decision=ANA, held=held)


def test_discards_are_a_chain(home: Home) -> None:
    chain = home.reader.discards(TABLE, DAY)
    assert chain.last() is None
    chain.append(1, lambda parent: discard(1, parent))
    second = chain.append(2, lambda parent: discard(2, parent))
    assert second is not None
    assert home.reader.discards(TABLE, DAY).last() == second
    replace(home.store, chain.key(2), home.store.get(chain.key(2)).replace(b"ana", b"eve"))
    with pytest.raises(ChainError, match="self-digest"):
        home.reader.discards(TABLE, DAY).last()


def test_a_discard_of_another_partition_is_noticed(home: Home) -> None:
    home.reader.discards(TABLE, DAY).append(1, lambda parent: discard(1, parent))
    elsewhere = home.reader.discards(TABLE, NEXT)
    home.store.put_if_absent(elsewhere.key(1), home.store.get(home.reader.discards(TABLE, DAY).key(1)))
    with pytest.raises(ChainError, match="it belongs to table t, partition 2020-01-01"):
        elsewhere.last()
