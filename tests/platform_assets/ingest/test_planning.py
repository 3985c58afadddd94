"""Where a partition stands: what decides between its states, and what a reader of its current version should know."""

from __future__ import annotations

import pytest

from contracts.commits import Waiver
from contracts.errors import StoreError
from contracts.gates import GateReceipt
from platform_assets.decisions.going_back import find_return, roll_back
from platform_assets.decisions.holding import discard, find_held, release
from platform_assets.ingest import building, planning
from platform_assets.ingest.planning import PartitionState, PartitionStatus, partition_statuses
from resources import gatekeeper
from resources.publisher import Outcome
from resources.table_reader import held_key, numbered_key
from tests.damaging import flip, replace
from tests.sales import DAY, HEADER, SALES, SalesHome, row
from tests.versions import ANA

BAD = HEADER + row(1, amount="x") + row(2, amount="y") + row(3)
OTHER_PARSER = building.parser_identity().model_copy(update={"version": 99})


def status(sales: SalesHome) -> PartitionStatus:
    (found,) = partition_statuses(sales.workspace, sales.contract, [])
    return found


def state(sales: SalesHome) -> tuple[PartitionState, bool]:
    found = status(sales)
    return found.state, found.outdated


def test_a_version_from_what_is_there_is_published(sales: SalesHome) -> None:
    sales.drop(HEADER + row(1))
    sales.ingest()
    found = status(sales)
    assert (found.state, found.why, found.kind, found.waived) == (PartitionState.PUBLISHED, "", "publish", False)
    assert (found.decided_by, found.because, found.version) == (None, None, 1)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(None, "captured, never built", id="never built"),
        pytest.param(HEADER + row(2), "its drops changed since the current version", id="another drop"),
    ],
)
def test_what_was_captured_and_not_built_is_pending(sales: SalesHome, content: str | None, why: str) -> None:
    sales.drop(HEADER + row(1))
    if content is not None:
        sales.ingest()
        sales.drop(content)
    sales.take_in()
    assert (status(sales).state, status(sales).why) == (PartitionState.PENDING, why)


@pytest.mark.parametrize(
    ("update", "why"),
    [
        pytest.param({"quarantine_budget": 0.4}, "the contract's rules for the partition changed", id="of the set"),
        pytest.param({"row_rules": ()}, "the contract's rules for rows changed", id="of the rows"),
    ],
)
def test_other_rules_are_pending(sales: SalesHome, update: dict[str, object], why: str) -> None:
    sales.drop(HEADER + row(1))
    sales.ingest()
    found = status(sales.under(SALES.model_copy(update=update)))
    assert found.state is PartitionState.PENDING
    assert found.why.startswith(why)


def test_a_damaged_held_candidate_is_built_again(sales: SalesHome) -> None:
    sales.drop(BAD)
    held = sales.ingest().commit
    assert status(sales).state is PartitionState.HELD
    assert "gate quality FAIL: quarantine budget" in status(sales).why
    replace(sales.workspace.store, held_key("sales", DAY, held.candidate.view_key), b"{}")
    assert status(sales).state is PartitionState.PENDING
    sales.ingest()
    assert status(sales).state is PartitionState.HELD


def test_a_discard_that_is_damaged_is_loud(sales: SalesHome) -> None:
    sales.drop(BAD)
    sales.ingest()
    discard(sales.workspace, find_held(sales.workspace, "sales", DAY), ANA)
    flip(sales.workspace.store, numbered_key("sales", "discarded", DAY, 1))
    with pytest.raises(StoreError, match="discarded/2024-03-01/00000001.json"):
        status(sales)


def test_a_broken_chain_hides_no_other_partition(sales: SalesHome) -> None:
    for day in (DAY, "2024-03-02"):
        sales.drop(HEADER + row(1), f"{day}.csv")
        sales.ingest(day)
    flip(sales.workspace.store, numbered_key("sales", "commits", DAY, 1))
    found = partition_statuses(sales.workspace, SALES, [])
    assert [s.state for s in found] == [PartitionState.UNREADABLE, PartitionState.PUBLISHED]
    assert "hashgate repair sales 2024-03-01" in found[0].why


def blind(*_: object) -> GateReceipt:
    """A gate that cannot look."""
    msg = "the disk does not answer"
    raise OSError(msg)


def test_what_a_gate_could_not_look_at_is_judged_again(sales: SalesHome, monkeypatch: pytest.MonkeyPatch) -> None:
    sales.drop(HEADER + row(1))
    with monkeypatch.context() as patched:
        patched.setattr(gatekeeper, "_quality", blind)
        assert sales.ingest().outcome is Outcome.HELD
    waits = status(sales)
    said = "gate quality UNKNOWN: quality: OSError: the disk does not answer: to be judged again"
    assert (waits.state, waits.why) == (PartitionState.PENDING, said)
    assert sales.ingest().outcome is Outcome.PUBLISHED


def test_what_a_gate_found_wrong_is_held_whatever_another_could_not_look_at(
    sales: SalesHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    sales.drop(BAD)
    monkeypatch.setattr(gatekeeper, "_contract", blind)
    sales.ingest()
    assert status(sales).state is PartitionState.HELD


@pytest.mark.parametrize("made", ["published", "released", "released after a discard", "rolled back"])
def test_another_parser_makes_a_version_outdated_whatever_people_decided(
    made: str, sales: SalesHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    sales.drop(HEADER + row(1) if made in {"published", "rolled back"} else BAD)
    sales.ingest()
    if made == "released after a discard":
        discard(sales.workspace, find_held(sales.workspace, "sales", DAY), ANA)
        sales.ingest()
    if made.startswith("released"):
        released = release(sales.workspace, find_held(sales.workspace, "sales", DAY), ANA)
        assert isinstance(released.waiver, Waiver)
    if made == "rolled back":
        sales.drop(HEADER + row(2))
        sales.ingest()
        roll_back(sales.workspace, find_return(sales.workspace, "sales", DAY, 1), ANA)
    before = status(sales).state
    monkeypatch.setattr(planning, "parser_identity", lambda: OTHER_PARSER)
    expected = (PartitionState.DECLINED, False) if made == "rolled back" else (PartitionState.PUBLISHED, True)
    assert (before, state(sales)) == (expected[0], expected)
