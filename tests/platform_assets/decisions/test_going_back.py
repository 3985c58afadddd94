"""Rollback: an earlier version becomes current again, and stays so until something new comes or force is used."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.errors import CommitError, DigestMismatchError, UsageError
from contracts.gates import GateReceipt
from platform_assets.decisions.going_back import find_return, roll_back, versions
from platform_assets.decisions.holding import find_held, held_candidates, release
from platform_assets.ingest import building
from platform_assets.ingest.building import build_partition
from platform_assets.ingest.planning import PartitionState, PartitionStatus, partition_statuses
from resources.publisher import Outcome
from resources.table_reader import segment_prefix
from tests.damaging import flip, remove
from tests.sales import DAY, HEADER, SALES, SalesHome, row
from tests.versions import ANA


def status(sales: SalesHome) -> PartitionStatus:
    (found,) = partition_statuses(sales.workspace, sales.contract, [])
    return found


def ids(sales: SalesHome) -> list[Any]:
    return [r[0] for r in sales.rows(columns="id")]


@pytest.fixture
def twice(sales: SalesHome) -> SalesHome:
    """Two versions, of one row each."""
    for number in (1, 2):
        sales.drop(HEADER + row(number))
        sales.ingest()
    return sales


def back(sales: SalesHome, version: int) -> None:
    roll_back(sales.workspace, find_return(sales.workspace, "sales", DAY, version), ANA)


def test_a_rollback_is_a_version_that_names_the_one_it_goes_back_to(twice: SalesHome) -> None:
    one, two = versions(twice.workspace, "sales", DAY)
    back(twice, 1)
    head = versions(twice.workspace, "sales", DAY)[-1]
    assert (head.kind, head.number, head.parent) == ("rollback", 3, two.digest)
    assert (head.goes_back_to, head.decision, head.waived) == (one.ref, ANA, False)
    assert head.candidate == one.candidate
    assert head.declined is not None
    assert (head.declined.view_key, head.declined.cutoff) == (two.candidate.view_key, two.candidate.cutoff)
    assert ids(twice) == [1]


def test_it_stays_whatever_is_run_again(twice: SalesHome) -> None:
    back(twice, 1)
    for _ in range(2):
        again = twice.ingest()
        assert again.outcome is Outcome.SUPERSEDED
        assert again.reason.startswith("rolled back to version 1 by ana (the airport was closed): waits for a new drop")
        assert again.segments_written == 0, "nothing is even built"
    found = status(twice)
    assert (found.state, found.kind, found.version) == (PartitionState.DECLINED, "rollback", 3)
    assert found.why == again.reason
    assert (found.decided_by, found.because) == ("ana", "the airport was closed")
    assert ids(twice) == [1]


def test_a_new_drop_ends_it(twice: SalesHome) -> None:
    back(twice, 1)
    twice.drop(HEADER + row(3))
    twice.take_in()
    assert status(twice).state is PartitionState.PENDING
    assert twice.ingest().outcome is Outcome.PUBLISHED
    assert ids(twice) == [3]


def test_the_declined_content_that_comes_again_ends_it_when_another_came_between(twice: SalesHome) -> None:
    back(twice, 1)
    twice.drop(HEADER + row(1))
    twice.ingest()
    twice.drop(HEADER + row(2))
    assert twice.ingest().outcome is Outcome.PUBLISHED
    assert ids(twice) == [2]


def test_a_file_that_was_only_touched_is_nothing_new(twice: SalesHome) -> None:
    back(twice, 1)
    twice.drop(HEADER + row(2))
    assert twice.ingest().outcome is Outcome.SUPERSEDED
    assert ids(twice) == [1]


def test_another_contract_ends_it(twice: SalesHome) -> None:
    back(twice, 1)
    other = twice.under(SALES.model_copy(update={"quarantine_budget": 0.4}))
    assert status(other).state is PartitionState.PENDING
    assert other.ingest().outcome is Outcome.PUBLISHED
    assert ids(twice) == [2]


def test_force_overrides_it(twice: SalesHome) -> None:
    back(twice, 1)
    done = twice.ingest(force=True)
    assert (done.outcome, done.commit.number) == (Outcome.PUBLISHED, 4)
    assert ids(twice) == [2]
    assert status(twice).state is PartitionState.PUBLISHED


def test_a_run_that_began_before_it_does_not_undo_it_not_even_by_force(
    twice: SalesHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = building.judge

    def slowly(*args: Any) -> tuple[GateReceipt, ...]:
        monkeypatch.setattr(building, "judge", judge)
        back(twice, 1)
        return judge(*args)

    monkeypatch.setattr(building, "judge", slowly)
    late = build_partition(twice.workspace, twice.contract, DAY, run_id="late", force=True)
    assert late.outcome is Outcome.SUPERSEDED
    assert late.reason.startswith("rolled back to version 1 by ana")
    assert ids(twice) == [1]


def test_forward_again_is_a_rollback_too_and_back_to_identical_digests(twice: SalesHome) -> None:
    two = versions(twice.workspace, "sales", DAY)[1]
    back(twice, 1)
    back(twice, 2)
    head = versions(twice.workspace, "sales", DAY)[-1]
    assert head.candidate == two.candidate
    assert ids(twice) == [2]
    assert twice.ingest().outcome is Outcome.REUSED
    assert status(twice).state is PartitionState.PUBLISHED


def test_a_candidate_that_was_held_before_it_is_superseded(twice: SalesHome) -> None:
    twice.drop(HEADER + row(1, amount="x"))
    assert twice.ingest().outcome is Outcome.HELD
    assert status(twice).state is PartitionState.HELD
    back(twice, 1)
    assert status(twice).state is PartitionState.DECLINED
    held = find_held(twice.workspace, "sales", DAY)
    assert str(held.superseded).startswith("rolled back to version 1")
    with pytest.raises(CommitError, match="cannot be released: rolled back"):
        release(twice.workspace, held, ANA)
    assert twice.ingest(force=True).outcome is Outcome.HELD
    assert status(twice).state is PartitionState.HELD
    assert release(twice.workspace, find_held(twice.workspace, "sales", DAY), ANA).number == 4
    assert held_candidates(twice.workspace).candidates == ()


def test_going_back_to_a_released_version_stays_waived(sales: SalesHome) -> None:
    sales.drop(HEADER + row(1, amount="x") + row(2, amount="y") + row(3))
    sales.ingest()
    released = release(sales.workspace, find_held(sales.workspace, "sales", DAY), ANA)
    sales.drop(HEADER + row(7))
    sales.ingest()
    back(sales, 1)
    head = versions(sales.workspace, "sales", DAY)[-1]
    assert (head.waived, head.waiver, head.failed) == (True, released.waiver, released.failed)


@pytest.mark.parametrize(
    ("version", "said"),
    [
        pytest.param(2, "readers see the content of version 2 already", id="the current one"),
        pytest.param(3, "has no version 3. There are: 1, 2.", id="none of that number"),
        pytest.param(0, "has no version 0", id="none at all"),
    ],
)
def test_where_there_is_nothing_to_go_back_to(twice: SalesHome, version: int, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        find_return(twice.workspace, "sales", DAY, version)
    assert said in str(refused.value)
    assert refused.value.evidence["version"] == version


def test_a_partition_without_a_version_has_none_to_go_back_to(twice: SalesHome) -> None:
    with pytest.raises(UsageError, match=r"sales\[2024-03-02\] has no version"):
        find_return(twice.workspace, "sales", "2024-03-02", 1)


@pytest.mark.parametrize("damage", ["altered", "gone"])
def test_the_files_are_verified_before_they_become_current(twice: SalesHome, damage: str) -> None:
    one = versions(twice.workspace, "sales", DAY)[0]
    (entry,) = one.candidate.segments
    store, prefix = twice.workspace.store, segment_prefix("sales", entry.view_key, entry.content)
    for name in store.keys(prefix) if damage == "gone" else ["valid.parquet"]:
        (remove if damage == "gone" else flip)(store, f"{prefix}/{name}")
    with pytest.raises(DigestMismatchError, match="expected blake3:"):
        back(twice, 1)
    assert ids(twice) == [2]


def test_what_was_looked_at_is_what_is_left(twice: SalesHome) -> None:
    to = find_return(twice.workspace, "sales", DAY, 1)
    twice.drop(HEADER + row(3))
    twice.ingest()
    with pytest.raises(CommitError, match="version 3 is current by now: nothing was changed. Look again"):
        roll_back(twice.workspace, to, ANA)
    assert ids(twice) == [3]
