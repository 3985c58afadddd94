"""A chain of commits, read from its tip down: voids are passed over, damage is never, and a cut tail is seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from contracts.commits import Commit, Damage, EmptyLink, Link, LinkRef
from contracts.errors import CommitError
from contracts.refs import Digest, digest_bytes
from resources.commit_chain import CommitChain, link_name
from resources.object_store import LocalObjectStore
from tests.versions import ANA, DAY, NOON, SOME, TABLE, after, candidate, first, ref

PREFIX = "chain"


class Counting(LocalObjectStore):
    """Counts what is asked of it."""

    gets = listings = 0

    def get(self, key: str) -> bytes:
        self.gets += 1
        return super().get(key)

    def keys(self, prefix: str) -> list[str]:
        self.listings += 1
        return super().keys(prefix)


@pytest.fixture
def store(tmp_path: Path) -> Counting:
    return Counting(tmp_path)


def put(store: LocalObjectStore, *links: Link) -> None:
    for link in links:
        assert store.put_if_absent(f"{PREFIX}/{link_name(link.number)}", link.to_bytes())


def chain(store: LocalObjectStore, anchor: LinkRef | None = None) -> CommitChain:
    return CommitChain(store, PREFIX, table=TABLE, partition=DAY, anchor=anchor)


def versions(count: int) -> list[Commit]:
    made = [first()]
    while len(made) < count:
        made.append(after(made[-1], candidate(cutoff=len(made) + 1)))
    return made


def void(before: Link) -> EmptyLink:
    return empty(before.number + 1, before.digest)


def empty(number: int, parent: Digest | None, **changes: Any) -> EmptyLink:
    about = {"committed_at": NOON, "writer": "w", "table": TABLE, "partition": DAY}
    return EmptyLink(number=number, parent=parent, **about | changes)


def repaired(number: int, below: Link, damages: Sequence[Damage]) -> Commit:
    version = below if isinstance(below, Commit) else first()
    found = {"goes_back_to": ref(version), "damages": tuple(damages), "decision": ANA, "kind": "repair"}
    return first(version.candidate, number=number, parent=below.digest, **found)


def damaged(number: int, below: Link | None, observed: Digest | None = None) -> Damage:
    ref_below = None if below is None else LinkRef(number=below.number, digest=below.digest)
    return Damage(number=number, observed=observed, problem="gone", below=ref_below)


def path(store: LocalObjectStore, number: int) -> Path:
    return store.path(f"{PREFIX}/{link_name(number)}")


# ---- tip and head ----------------------------------------------------------------------------------------------------


def test_an_empty_chain_has_neither_tip_nor_head(store: Counting) -> None:
    standing = chain(store).standing()
    assert (standing.tip, standing.head, standing.next_number, standing.parent) == (None, None, 1, None)
    assert list(chain(store).links()) == []


def test_the_highest_commit_is_tip_and_head(store: Counting) -> None:
    one, two, three = versions(3)
    put(store, one, two, three)
    standing = chain(store).standing()
    assert (standing.tip, standing.head, standing.next_number, standing.parent) == (three, three, 4, three.digest)
    assert list(chain(store).links()) == [three, two, one]


def test_what_is_no_link_is_passed_over(store: Counting) -> None:
    (one,) = versions(1)
    put(store, one)
    for name in ("00000002.json.tmp", "2.json", "readme", "00000002.txt"):
        path(store, 1).with_name(name).write_bytes(b"x")
    assert chain(store).standing().tip == one


def test_the_number_of_links_is_not_limited_by_their_names(store: Counting) -> None:
    assert link_name(123_456_789) == "123456789.json"
    put(store, *versions(1))
    path(store, 123_456_789).write_bytes(b"")
    with pytest.raises(CommitError, match="version 123456789"):
        chain(store).standing()


def test_void_links_are_passed_over(store: Counting) -> None:
    (one,) = versions(1)
    three = void(two := void(one))
    put(store, one, two, three)
    standing = chain(store).standing()
    assert (standing.tip, standing.head, standing.next_number) == (three, one, 4)
    four = after(one, candidate(cutoff=2), number=4, parent=three.digest)
    put(store, four)
    assert chain(store).standing().head == four


def test_a_chain_of_voids_alone_has_no_head(store: Counting) -> None:
    put(store, empty(1, None))
    standing = chain(store).standing()
    assert (standing.head, standing.next_number) == (None, 2)


def test_a_repair_that_found_nothing_whole_leaves_no_head(store: Counting) -> None:
    put(store, empty(2, None, kind="repair", decision=ANA, damages=(damaged(1, None),)))
    standing = chain(store).standing()
    assert (standing.head, standing.next_number) == (None, 3)
    assert [link.number for link in chain(store).links()] == [2]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        pytest.param(lambda p: p.write_bytes(b""), "Expecting value", id="of length zero"),
        pytest.param(lambda p: p.write_bytes(p.read_bytes()[:-1]), "line 1", id="cut short"),
        pytest.param(lambda p: p.write_bytes(p.read_bytes() + b" "), "canonical form", id="longer"),
        pytest.param(lambda p: p.write_bytes(p.read_bytes().replace(b"2020", b"2021")), "self-digest", id="altered"),
        pytest.param(
            lambda p: p.write_bytes(first(candidate(partition="2020-01-02")).to_bytes()),
            r"it belongs to t\[2020-01-02\] number 1",
            id="of another partition",
        ),
        pytest.param(
            lambda p: p.write_bytes(first(candidate(table="u")).to_bytes()), r"it belongs to u\[", id="of another table"
        ),
    ],
)
@pytest.mark.parametrize("number", [3, 2], ids=["the head", "the link below"])
def test_damage_makes_the_partition_unreadable_and_says_the_way_back(
    damage: Any, said: str, number: int, store: Counting
) -> None:
    put(store, *versions(3))
    damage(path(store, number))
    with pytest.raises(CommitError, match=said) as refused:
        chain(store).standing()
    assert (refused.value.evidence["number"], refused.value.evidence["table"]) == (number, TABLE)
    assert f"Restore chain/0000000{number}.json from a backup" in str(refused.value)
    assert "hashgate repair t 2020-01-01 --actor YOU --reason WHY" in str(refused.value)


def test_the_same_number_of_another_chain_is_noticed(store: Counting) -> None:
    one, two = versions(2)
    put(store, one, two)
    path(store, 1).write_bytes(first(candidate(cutoff=9)).to_bytes())
    with pytest.raises(CommitError, match=f"version 2 was built on {one.digest}"):
        chain(store).standing()


def test_a_missing_link_below_the_head_is_noticed(store: Counting) -> None:
    put(store, *versions(3))
    path(store, 2).unlink()
    with pytest.raises(CommitError, match="version 2: it is missing from the chain"):
        chain(store).standing()


def test_damage_far_below_the_head_costs_its_history_only(store: Counting) -> None:
    made = versions(4)
    put(store, *made)
    path(store, 1).write_bytes(b"{}")
    assert chain(store).standing().head == made[-1]
    with pytest.raises(CommitError, match="version 1"):
        list(chain(store).links())


# ---- anchors ---------------------------------------------------------------------------------------------------------


def test_a_tip_that_is_anchored_costs_one_listing_and_one_read(store: Counting) -> None:
    made = versions(9)
    put(store, *made)
    store.gets = store.listings = 0
    assert chain(store, ref(made[-1])).standing().head == made[-1]
    assert (store.gets, store.listings) == (1, 1)


def test_a_tip_above_its_anchor_is_followed_down_to_it(store: Counting) -> None:
    made = versions(9)
    put(store, *made)
    store.gets = 0
    assert chain(store, ref(made[5])).standing().head == made[-1]
    assert store.gets == 4


@pytest.mark.parametrize("left", [0, 1, 2], ids=["all cut off", "two cut off", "one cut off"])
def test_a_tail_that_was_cut_off_is_noticed(store: Counting, left: int) -> None:
    made = versions(3)
    put(store, *made[:left])
    with pytest.raises(CommitError, match="the chain's tail was cut off or replayed") as refused:
        chain(store, ref(made[2])).standing()
    assert f"number 3 was {made[2].digest}, but its last link is number {left}" in str(refused.value)
    with pytest.raises(CommitError, match="cut off or replayed"):
        list(chain(store, ref(made[2])).links())


def test_a_tail_that_was_replayed_is_noticed_also_below_newer_links(store: Counting) -> None:
    made = versions(2)
    other = after(made[0], candidate(cutoff=7))
    put(store, made[0], other, after(other, candidate(cutoff=8)))
    with pytest.raises(CommitError, match=f"number 2 is {other.digest} now"):
        chain(store, ref(made[1])).standing()


def test_without_its_anchor_a_cut_tail_cannot_be_noticed(store: Counting) -> None:
    """What a chain alone cannot know; the documentation says so."""
    made = versions(3)
    put(store, *made[:2])
    assert chain(store).standing().head == made[1]


def test_a_void_tip_is_anchored_like_any_other(store: Counting) -> None:
    (one,) = versions(1)
    tip = void(one)
    put(store, one)
    with pytest.raises(CommitError, match="cut off"):
        chain(store, LinkRef(number=2, digest=tip.digest)).standing()


# ---- repairs ---------------------------------------------------------------------------------------------------------


def test_a_repair_goes_round_what_it_names(store: Counting) -> None:
    made = versions(4)
    put(store, *made)
    path(store, 3).write_bytes(b"x")
    path(store, 4).unlink()
    five = repaired(5, made[1], [damaged(4, made[1]), damaged(3, made[1], digest_bytes(b"x"))])
    put(store, five)
    assert chain(store).standing().head == five
    assert chain(store, ref(made[3])).standing().head == five, "the anchor's number is among what it names"
    assert [link.number for link in chain(store).links()] == [5, 2, 1]
    six = after(five, candidate(cutoff=9))
    put(store, six)
    assert [link.number for link in chain(store, ref(five)).links()] == [6, 5, 2, 1]


def test_a_repair_goes_round_damage_in_the_middle(store: Counting) -> None:
    made = versions(4)
    put(store, *made)
    path(store, 2).unlink()
    five = repaired(5, made[3], [damaged(2, made[0])])
    put(store, five)
    assert [link.number for link in chain(store).links()] == [5, 4, 3, 1]


def test_a_later_repair_goes_round_an_earlier_one_that_was_damaged(store: Counting) -> None:
    made = versions(3)
    put(store, *made)
    path(store, 2).unlink()
    put(store, repaired(4, made[2], [damaged(2, made[0])]))
    path(store, 4).unlink()
    put(store, repaired(5, made[2], [damaged(4, made[2]), damaged(2, made[0])]))
    assert [link.number for link in chain(store).links()] == [5, 3, 1]


def test_a_link_that_a_repair_went_round_may_come_back_from_a_backup(store: Counting) -> None:
    made = versions(3)
    put(store, *made)
    path(store, 2).unlink()
    put(store, repaired(4, made[2], [damaged(2, made[0])]))
    put(store, made[1])
    assert chain(store).standing().tip is not None
    assert [link.number for link in chain(store).links()] == [4, 3, 1]


def test_what_a_repair_goes_back_to_below_the_damage_is_still_verified(store: Counting) -> None:
    made = versions(3)
    put(store, *made)
    path(store, 3).unlink()
    put(store, repaired(4, made[1], [damaged(3, made[1])]))
    path(store, 2).write_bytes(after(made[0], candidate(cutoff=99)).to_bytes())
    with pytest.raises(CommitError, match=f"version 4 was built on {made[1].digest}"):
        chain(store).standing()


# ---- inspection ------------------------------------------------------------------------------------------------------


def numbers(links: Sequence[Link]) -> list[int]:
    return [link.number for link in links]


def test_a_whole_chain_has_no_damage(store: Counting) -> None:
    made = versions(3)
    put(store, *made)
    found = chain(store, ref(made[2])).inspect()
    assert (numbers(found.whole), found.damages, found.highest) == ([3, 2, 1], (), 3)


def test_every_damage_is_named_with_what_lies_there_and_where_the_chain_goes_on(store: Counting) -> None:
    made = versions(7)
    put(store, *made)
    path(store, 7).write_bytes(b"x")
    path(store, 5).unlink()
    path(store, 4).write_bytes(after(made[2], candidate(cutoff=99)).to_bytes())
    path(store, 1).write_bytes(b"")
    found = chain(store).inspect()
    assert [(d.number, d.observed, d.below and d.below.number) for d in found.damages] == [
        (7, digest_bytes(b"x"), 6),
        (5, None, 4),
        (1, digest_bytes(b""), None),
    ]
    assert numbers(found.whole) == [6, 4, 3, 2], "nothing whole says what number 4 has to be"
    path(store, 5).write_bytes(made[4].to_bytes())
    assert [d.number for d in chain(store).inspect().damages] == [7, 4, 1]


def test_a_cut_and_a_replayed_tail_are_damage(store: Counting) -> None:
    made = versions(3)
    put(store, *made[:2])
    anchored = LinkRef(number=5, digest=SOME)
    found = chain(store, anchored).inspect()
    assert ([d.number for d in found.damages], numbers(found.whole), found.highest) == ([5, 4, 3], [2, 1], 5)
    found = chain(store, LinkRef(number=2, digest=SOME)).inspect()
    assert [d.number for d in found.damages] == [2]
    assert f"{SOME} was seen under this number" in found.damages[0].problem


def test_what_was_repaired_is_not_damage_again(store: Counting) -> None:
    made = versions(3)
    put(store, *made)
    path(store, 2).unlink()
    put(store, repaired(4, made[2], [damaged(2, made[0])]))
    found = chain(store).inspect()
    assert (numbers(found.whole), found.damages) == ([4, 3, 1], ())
