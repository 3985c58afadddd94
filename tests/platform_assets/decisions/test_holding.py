"""Held candidates: listed, released with a waiver, or discarded; and what a plain rerun then makes of the partition."""

from __future__ import annotations

import pytest

from contracts.commits import Commit, Waiver
from contracts.errors import CommitError, DigestMismatchError, UsageError
from contracts.gates import Verdict
from platform_assets.decisions.holding import HeldCandidate, discard, find_held, held_candidates, release
from platform_assets.ingest.planning import PartitionState, PartitionStatus, partition_statuses
from resources.publisher import Outcome
from resources.table_reader import held_key, segment_prefix
from tests.damaging import flip, replace
from tests.sales import DAY, HEADER, SALES, SalesHome, row
from tests.versions import ANA

GOOD = HEADER + row(1)
BAD = HEADER + row(1, amount="x") + row(2, amount="y") + row(3)
WORSE = HEADER + row(1, amount="x") + row(2, amount="y") + row(4)


def status(sales: SalesHome) -> PartitionStatus:
    (found,) = partition_statuses(sales.workspace, sales.contract, [])
    return found


def held(sales: SalesHome) -> HeldCandidate:
    return find_held(sales.workspace, "sales", DAY)


@pytest.fixture
def stopped(sales: SalesHome) -> SalesHome:
    """A good version, and a candidate over the quarantine budget."""
    sales.drop(GOOD)
    sales.ingest()
    sales.drop(BAD)
    assert sales.ingest().outcome is Outcome.HELD
    return sales


# ---- looking ---------------------------------------------------------------------------------------------------------


def test_what_is_held_is_listed_with_what_readers_see_meanwhile(stopped: SalesHome) -> None:
    (found,) = held_candidates(stopped.workspace).candidates
    assert (found.table, found.partition, found.superseded) == ("sales", DAY, None)
    assert found.head == stopped.workspace.reader.head("sales", DAY)
    assert [receipt.gate for receipt in found.commit.failed] == ["quality"]
    assert (found.commit.candidate.valid_rows, found.commit.candidate.quarantined_rows) == (1, 2)
    assert found.commit.candidate.base == found.head.ref if found.head else None


def test_the_list_is_of_one_table_or_one_partition_when_asked_for(stopped: SalesHome) -> None:
    workspace = stopped.workspace
    assert len(held_candidates(workspace, "sales").candidates) == 1
    assert len(held_candidates(workspace, "sales", DAY).candidates) == 1
    assert held_candidates(workspace, "sales", "2024-03-02").candidates == ()
    with pytest.raises(UsageError, match="there is nothing of a table 'orders'"):
        held_candidates(workspace, "orders")


def test_a_damaged_candidate_hides_no_other(stopped: SalesHome) -> None:
    stopped.drop(BAD, "2024-03-02.csv")
    stopped.ingest("2024-03-02")
    replace(stopped.workspace.store, held_key("sales", DAY, held(stopped).commit.candidate.view_key), b"{}")
    found = held_candidates(stopped.workspace)
    assert [h.partition for h in found.candidates] == ["2024-03-02"]
    assert [problem.evidence["partition"] for problem in found.problems] == [DAY]


@pytest.mark.parametrize(
    ("candidate", "said"),
    [
        pytest.param("zz", "0 held candidates of sales[2024-03-01] begin with 'zz'", id="none of that name"),
        pytest.param("", "2 held candidates", id="several"),
    ],
)
def test_a_candidate_is_found_by_its_first_digits(stopped: SalesHome, candidate: str, said: str) -> None:
    first = held(stopped)
    stopped.drop(WORSE)
    stopped.ingest()
    assert held(stopped).name != first.name, "the newest one is meant"
    assert find_held(stopped.workspace, "sales", DAY, first.name[:12]).commit == first.commit
    assert find_held(stopped.workspace, "sales", DAY, first.commit.candidate.view_key).commit == first.commit
    with pytest.raises(UsageError) as refused:
        find_held(stopped.workspace, "sales", DAY, candidate)
    assert said in str(refused.value)
    assert first.name[:12] in str(refused.value)


def test_where_nothing_is_held_nothing_is_found(sales: SalesHome) -> None:
    sales.drop(GOOD)
    sales.ingest()
    with pytest.raises(UsageError, match=r"nothing is held of sales\[2024-03-01\]. See what is: hashgate held sales"):
        held(sales)


# ---- releasing -------------------------------------------------------------------------------------------------------


def test_a_release_is_a_version_with_the_waiver_in_it(stopped: SalesHome) -> None:
    before = held(stopped)
    commit = release(stopped.workspace, before, ANA)
    assert (commit.kind, commit.number, commit.waived) == ("release", 2, True)
    assert commit.candidate == before.commit.candidate
    assert [(r.gate, r.verdict) for r in commit.failed] == [("quality", Verdict.FAIL)]
    assert commit.waiver == Waiver(actor="ana", reason="the airport was closed", waived_at=commit.committed_at)
    assert stopped.workspace.reader.head("sales", DAY) == commit
    assert [r[0] for r in stopped.rows(columns="id")] == [3]
    assert held_candidates(stopped.workspace).candidates == ()


def test_a_first_version_may_be_released(sales: SalesHome) -> None:
    sales.drop(BAD)
    sales.ingest()
    assert release(sales.workspace, held(sales), ANA).number == 1
    assert [r[0] for r in sales.rows(columns="id")] == [3]


def test_a_plain_rerun_does_not_hold_what_was_released_again(stopped: SalesHome) -> None:
    commit = release(stopped.workspace, held(stopped), ANA)
    again = stopped.ingest()
    assert (again.outcome, again.commit) == (Outcome.REUSED, commit)
    found = status(stopped)
    assert (found.state, found.kind, found.waived) == (PartitionState.PUBLISHED, "release", True)
    assert (found.decided_by, found.because, found.version) == ("ana", "the airport was closed", 2)
    assert stopped.ingest(force=True).outcome is Outcome.REUSED
    assert held_candidates(stopped.workspace).candidates == ()


def test_a_new_drop_follows_a_release(stopped: SalesHome) -> None:
    release(stopped.workspace, held(stopped), ANA)
    stopped.drop(HEADER + row(7))
    assert stopped.ingest().outcome is Outcome.PUBLISHED
    assert not status(stopped).waived


def test_nothing_is_released_over_something_newer(stopped: SalesHome) -> None:
    late = held(stopped)
    stopped.drop(HEADER + row(7))
    newer = stopped.ingest().commit
    with pytest.raises(CommitError, match="cannot be released: version 2 was selected at sequence 3") as refused:
        release(stopped.workspace, late, ANA)
    assert "hashgate ingest sales --partition 2024-03-01 --force" in str(refused.value)
    assert stopped.workspace.reader.head("sales", DAY) == newer
    assert held(stopped).superseded is not None
    assert held_candidates(stopped.workspace).candidates[0].superseded == refused.value.evidence["why"]


def test_nothing_is_released_over_the_same_drops_under_a_mended_contract(sales: SalesHome) -> None:
    sales.drop(BAD)
    sales.ingest()
    late = held(sales)
    lenient = sales.under(SALES.model_copy(update={"quarantine_budget": 0.9}))
    assert lenient.ingest().outcome is Outcome.PUBLISHED
    with pytest.raises(CommitError, match="cannot be released: version 1 "):
        release(sales.workspace, late, ANA)


@pytest.mark.parametrize("file", ["valid.parquet", "quarantine.parquet", "index.json"])
def test_files_are_verified_before_they_are_released(stopped: SalesHome, file: str) -> None:
    before = held(stopped)
    (entry,) = before.commit.candidate.segments
    flip(stopped.workspace.store, f"{segment_prefix('sales', entry.view_key, entry.content)}/{file}")
    with pytest.raises(DigestMismatchError, match=file):
        release(stopped.workspace, before, ANA)
    head = stopped.workspace.reader.head("sales", DAY)
    assert head is not None
    assert head.number == 1


def test_what_was_looked_at_is_what_is_released(stopped: SalesHome) -> None:
    before = held(stopped)
    discard(stopped.workspace, before, ANA)
    with pytest.raises(CommitError, match="is not held any more: nothing was changed. Look again"):
        release(stopped.workspace, before, ANA)
    stopped.drop(WORSE)
    stopped.ingest()
    other = held(stopped)
    altered = HeldCandidate(
        Commit.model_validate(other.commit.model_dump() | {"writer": "w"}), other.head, other.superseded
    )
    with pytest.raises(CommitError, match="was built again since: nothing was changed"):
        release(stopped.workspace, altered, ANA)


# ---- discarding ------------------------------------------------------------------------------------------------------


def test_a_discard_is_recorded_and_changes_nothing_for_readers(stopped: SalesHome) -> None:
    before, head = held(stopped), stopped.workspace.reader.head("sales", DAY)
    record = discard(stopped.workspace, before, ANA)
    assert (record.number, record.decision, record.held) == (1, ANA, before.commit)
    assert stopped.workspace.reader.discards("sales", DAY).last() == record
    assert stopped.workspace.reader.head("sales", DAY) == head
    assert held_candidates(stopped.workspace).candidates == ()


def test_what_was_discarded_waits_for_something_new(stopped: SalesHome) -> None:
    discard(stopped.workspace, held(stopped), ANA)
    found = status(stopped)
    assert (found.state, found.version) == (PartitionState.DECLINED, 1)
    assert found.why.startswith("discarded by ana (the airport was closed): waits for a new drop or another contract")
    stopped.drop(HEADER + row(7))
    stopped.take_in()
    assert status(stopped).state is PartitionState.PENDING
    assert stopped.ingest().outcome is Outcome.PUBLISHED


def test_what_was_discarded_is_pending_again_under_another_contract(stopped: SalesHome) -> None:
    discard(stopped.workspace, held(stopped), ANA)
    lenient = stopped.under(SALES.model_copy(update={"quarantine_budget": 0.9}))
    assert status(lenient).state is PartitionState.PENDING


def test_building_it_again_by_name_comes_to_the_same_digests_and_may_hold_it_again(stopped: SalesHome) -> None:
    before = held(stopped)
    first = discard(stopped.workspace, before, ANA)
    assert stopped.ingest().outcome is Outcome.HELD
    again = held(stopped)
    assert again.commit.candidate.is_same_content(before.commit.candidate)
    assert status(stopped).state is PartitionState.HELD
    second = discard(stopped.workspace, again, ANA)
    assert (second.number, second.parent) == (2, first.digest)


def test_a_discard_that_got_no_further_than_its_record_is_finished(
    stopped: SalesHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, workspace = held(stopped), stopped.workspace

    def cancel(_key: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(workspace.store, "forget", cancel)
    with pytest.raises(KeyboardInterrupt):
        discard(workspace, before, ANA)
    assert held(stopped).commit == before.commit
    assert discard(stopped.workspace, held(stopped), ANA).number == 1
    assert held_candidates(stopped.workspace).candidates == ()


def test_a_first_version_that_was_discarded_leaves_a_partition_without_one(sales: SalesHome) -> None:
    sales.drop(BAD)
    sales.ingest()
    discard(sales.workspace, held(sales), ANA)
    found = status(sales)
    assert (found.state, found.version, found.kind) == (PartitionState.DECLINED, None, None)
