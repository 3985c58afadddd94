"""Repair: a damaged chain is named, gone round and readable again; and what is whole is not repaired."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from contracts.commits import Commit, EmptyLink
from contracts.errors import CommitError, NotPublishedError, UsageError
from contracts.refs import digest_bytes
from platform_assets.decisions.going_back import find_return, roll_back
from platform_assets.decisions.holding import find_held, release
from platform_assets.decisions.repairing import RepairPlan, plan_repair, repair
from platform_assets.ingest.planning import PartitionState, partition_statuses
from resources.object_store import ObjectStore
from resources.publisher import Outcome
from resources.table_reader import commits_prefix, numbered_key, segment_prefix
from tests.damaging import flip, remove, replace
from tests.sales import DAY, HEADER, SalesHome, row
from tests.versions import ANA


@pytest.fixture
def thrice(sales: SalesHome) -> SalesHome:
    """Three versions, of one row each."""
    for number in (1, 2, 3):
        sales.drop(HEADER + row(number))
        sales.ingest()
    return sales


def link(number: int) -> str:
    return numbered_key("sales", "commits", DAY, number)


def plan(sales: SalesHome) -> RepairPlan:
    return plan_repair(sales.workspace, "sales", DAY)


def repaired(sales: SalesHome) -> Commit | EmptyLink:
    return repair(sales.workspace, plan(sales), ANA)


def ids(sales: SalesHome) -> list[object]:
    return [r[0] for r in sales.rows(columns="id")]


def test_what_is_whole_is_not_repaired(thrice: SalesHome) -> None:
    before = thrice.workspace.store.keys(commits_prefix("sales", DAY))
    with pytest.raises(UsageError, match=r"nothing is wrong with the chain of sales\[2024-03-01\]: 3 links"):
        plan(thrice)
    assert thrice.workspace.store.keys(commits_prefix("sales", DAY)) == before


@pytest.mark.parametrize(("table", "partition"), [("sale", DAY), ("sales", "2024-03-02")])
def test_what_is_not_there_is_not_repaired(thrice: SalesHome, table: str, partition: str) -> None:
    with pytest.raises(UsageError, match="there is nothing of a table|has no chain of versions"):
        plan_repair(thrice.workspace, table, partition)


@pytest.mark.parametrize(
    ("damage", "damaged", "current"),
    [
        pytest.param({3: flip}, [3], 2, id="the head altered"),
        pytest.param({3: remove}, [3], 2, id="the head cut off"),
        pytest.param({3: remove, 2: remove}, [3, 2], 1, id="two cut off"),
        pytest.param({3: flip, 2: flip}, [3, 2], 1, id="two altered"),
        pytest.param({2: flip}, [2], 3, id="one in the middle altered"),
        pytest.param({2: remove}, [2], 3, id="one in the middle missing"),
        pytest.param({1: remove}, [1], 3, id="the first one missing"),
        pytest.param({3: flip, 1: flip}, [3, 1], 2, id="the head and the first"),
        pytest.param({3: lambda store, key: replace(store, key, b"")}, [3], 2, id="the head of length zero"),
    ],
)
def test_every_damage_is_named_and_the_newest_whole_version_is_current(
    thrice: SalesHome, damage: dict[int, Callable[[ObjectStore, str], object]], damaged: list[int], current: int
) -> None:
    store = thrice.workspace.store
    for number, do in damage.items():
        do(store, link(number))
    found = plan(thrice)
    assert [d.number for d in found.damages] == damaged
    made = repair(thrice.workspace, found, ANA)
    assert isinstance(made, Commit)
    assert (made.kind, made.number, made.decision) == ("repair", 4, ANA)
    assert made.goes_back_to is not None
    assert made.goes_back_to.number == current
    for one in made.damages:
        there = store.get(link(one.number)) if store.exists(link(one.number)) else None
        assert one.observed == (None if there is None else digest_bytes(there))
    assert ids(thrice) == [current]
    assert made in thrice.workspace.reader.history("sales", DAY)
    with pytest.raises(UsageError, match="nothing is wrong"):
        plan(thrice)


def test_the_partition_is_unreadable_until_then_and_never_falls_back_by_itself(thrice: SalesHome) -> None:
    flip(thrice.workspace.store, link(3))
    with pytest.raises(CommitError, match="hashgate repair sales 2024-03-01"):
        ids(thrice)
    (status,) = partition_statuses(thrice.workspace, thrice.contract, [])
    assert (status.state, status.version) == (PartitionState.UNREADABLE, None)
    assert "version 3" in status.why
    with pytest.raises(CommitError, match="version 3"):
        thrice.ingest(force=True)
    repaired(thrice)
    (status,) = partition_statuses(thrice.workspace, thrice.contract, [])
    assert (status.state, status.kind) == (PartitionState.PENDING, "repair")
    assert thrice.ingest().outcome is Outcome.PUBLISHED, "the drops are captured: what was lost is built again"
    assert ids(thrice) == [3]


def test_where_nothing_is_whole_nothing_is_current(thrice: SalesHome) -> None:
    for number in (1, 2, 3):
        flip(thrice.workspace.store, link(number))
    found = plan(thrice)
    assert (found.current, found.whole) == (None, ())
    made = repair(thrice.workspace, found, ANA)
    assert isinstance(made, EmptyLink)
    assert (made.kind, made.number, made.parent) == ("repair", 4, None)
    with pytest.raises(NotPublishedError, match="its state is pending"):
        ids(thrice)
    assert thrice.ingest().commit.number == 5
    assert ids(thrice) == [3]


def test_a_version_whose_files_are_damaged_does_not_become_current(thrice: SalesHome) -> None:
    head = thrice.workspace.reader.head("sales", DAY)
    assert head is not None
    (entry,) = head.candidate.segments
    prefix = segment_prefix("sales", entry.view_key, entry.content)
    remove(thrice.workspace.store, f"{prefix}/valid.parquet")
    found = plan(thrice)
    assert [(d.number, d.observed) for d in found.damages] == [(3, head.digest)]
    assert "valid.parquet: expected blake3:" in found.damages[0].problem
    assert "observed nothing" in found.damages[0].problem
    repair(thrice.workspace, found, ANA)
    assert ids(thrice) == [2]


def test_a_rollback_that_is_repaired_is_still_one(thrice: SalesHome) -> None:
    roll_back(thrice.workspace, find_return(thrice.workspace, "sales", DAY, 1), ANA)
    flip(thrice.workspace.store, link(2))
    made = repaired(thrice)
    assert isinstance(made, Commit)
    assert made.declined is not None
    (status,) = partition_statuses(thrice.workspace, thrice.contract, [])
    assert status.state is PartitionState.DECLINED
    assert thrice.ingest().outcome is Outcome.SUPERSEDED
    assert ids(thrice) == [1]


def test_a_waived_version_that_is_repaired_stays_waived(sales: SalesHome) -> None:
    sales.drop(HEADER + row(1))
    sales.ingest()
    sales.drop(HEADER + row(1, amount="x") + row(2, amount="y") + row(3))
    sales.ingest()
    released = release(sales.workspace, find_held(sales.workspace, "sales", DAY), ANA)
    flip(sales.workspace.store, link(1))
    made = repaired(sales)
    assert isinstance(made, Commit)
    assert (made.waived, made.waiver) == (True, released.waiver)


def test_damage_to_a_repair_is_repaired_too(thrice: SalesHome) -> None:
    flip(thrice.workspace.store, link(2))
    repaired(thrice)
    flip(thrice.workspace.store, link(4))
    found = plan(thrice)
    assert [d.number for d in found.damages] == [4, 2]
    assert repair(thrice.workspace, found, ANA).number == 5
    assert ids(thrice) == [3]


def test_somebody_who_commits_meanwhile_is_not_overridden(thrice: SalesHome) -> None:
    flip(thrice.workspace.store, link(2))
    found = plan(thrice)
    thrice.drop(HEADER + row(4))
    thrice.ingest()
    with pytest.raises(CommitError, match="somebody else committed meanwhile"):
        repair(thrice.workspace, found, ANA)
    assert ids(thrice) == [4]
