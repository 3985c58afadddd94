"""The drop sensor, tick by tick: what it asks for, what it does not, and what it says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from contracts.partitions import keys_between
from resources.dagster_resources import WorkspaceResource
from sensors import drop_sensors
from sensors.drop_sensors import ATTEMPTS, PARTITIONS_A_RUN, RUNS_A_TICK, DropCursor, drop_sensor
from tests.dagster_home import HALF_BAD, RANGE_END, RANGE_START, DagsterHome
from tests.installation import CONTRACT, SOUND, Installation

DAY, NEXT, LAST = "2024-03-01", "2024-03-02", "2024-03-04"
RESTATED = b"id,item,amount\n1,pen,9\n"


class Ticker:
    """Ticks the sensor as the daemon does: cursor in, cursor out, and a run for each new run key."""

    def __init__(self, home: DagsterHome) -> None:
        self.home = home
        self.cursor: str | None = None
        self.seen: set[str] = set()

    def tick(self) -> list[dg.RunRequest]:
        """One tick; the requests that would become runs."""
        context = dg.build_sensor_context(self.home.instance, cursor=self.cursor)
        result = drop_sensor(self.home.contract)(context, workspace=WorkspaceResource())
        if isinstance(result, dg.SkipReason):
            self.said = str(result.skip_message)
            return []
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        self.said = str(result.skip_reason.skip_message) if result.skip_reason else ""
        requests = [r for r in result.run_requests or [] if r.run_key not in self.seen]
        self.seen |= {str(r.run_key) for r in requests}
        return requests

    def ranges(self) -> list[tuple[str, str]]:
        """One tick; the ranges it asks for."""
        return [(request.tags[RANGE_START], request.tags[RANGE_END]) for request in self.tick()]

    def work(self) -> list[tuple[str, str]]:
        """One tick whose runs run."""
        requests = self.tick()
        for request in requests:
            first, last = request.tags[RANGE_START], request.tags[RANGE_END]
            self.home.run(first, last, tags={**request.tags, "dagster/run_key": str(request.run_key)})
        return [(request.tags[RANGE_START], request.tags[RANGE_END]) for request in requests]

    def record_run(self, request: dg.RunRequest, status: dg.DagsterRunStatus) -> None:
        """A run that came to no more than a status."""
        self.home.instance.create_run_for_job(
            self.home.definitions.resolve_job_def("orders_ingest"),
            tags={**request.tags, "dagster/run_key": str(request.run_key)},
            status=status,
        )


@pytest.fixture
def ticker(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Ticker]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Ticker(DagsterHome(Installation(home, monkeypatch, capsys), instance))


def test_a_new_file_is_asked_for_once(ticker: Ticker) -> None:
    ticker.home.installation.drop(DAY)
    assert ticker.work() == [(DAY, DAY)]
    assert ticker.home.materializations("orders/validated") == {DAY: 1}
    assert ticker.work() == []
    assert ticker.said == "1 files: 0 new, 0 changed, 1 unchanged."


def test_an_empty_folder_asks_for_nothing_and_says_so(ticker: Ticker) -> None:
    assert ticker.work() == []
    assert ticker.said == "0 files: 0 new, 0 changed, 0 unchanged."


def test_a_run_is_asked_for_under_its_contract(ticker: Ticker) -> None:
    ticker.home.installation.drop(DAY)
    (request,) = ticker.tick()
    assert request.tags["hashgate/contract"] == ticker.home.contract.digest
    assert request.tags["hashgate/attempt"] == "1"


def test_neighbours_are_one_run_and_a_day_nothing_came_for_is_in_none(ticker: Ticker) -> None:
    for day in (DAY, NEXT, LAST):
        ticker.home.installation.drop(day)
    assert ticker.ranges() == [(DAY, NEXT), (LAST, LAST)]


def test_published_days_are_not_run_again_between_two_new_ones(ticker: Ticker) -> None:
    ticker.home.installation.drop(NEXT)
    ticker.work()
    ticker.home.installation.drop(DAY)
    ticker.home.installation.drop("2024-03-03")
    assert ticker.ranges() == [(DAY, DAY), ("2024-03-03", "2024-03-03")]


def test_many_days_come_in_bounded_runs_and_bounded_ticks(ticker: Ticker) -> None:
    days = keys_between(ticker.home.contract.partitioning, "2024-01-01", "2024-09-30")
    for day in days:
        ticker.home.installation.drop(day)
    first = ticker.ranges()
    assert len(first) == RUNS_A_TICK
    assert first[0] == (days[0], days[PARTITIONS_A_RUN - 1])
    assert all(len(keys_between(ticker.home.contract.partitioning, *r)) == PARTITIONS_A_RUN for r in first)


def test_a_file_restated_and_restated_back_is_asked_for_each_time(ticker: Ticker) -> None:
    for content in (SOUND, RESTATED, SOUND):
        ticker.home.installation.drop(DAY, content)
        assert ticker.work() == [(DAY, DAY)]
    history = ticker.home.installation.workspace.reader.history("orders", DAY)
    assert [commit.number for commit in history] == [1, 2, 3]
    assert history[0].candidate.view_key == history[2].candidate.view_key != history[1].candidate.view_key


@pytest.mark.parametrize(
    "status", [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
)
def test_a_partition_in_a_run_is_not_asked_for_again(ticker: Ticker, status: dg.DagsterRunStatus) -> None:
    ticker.home.installation.drop(DAY)
    (request,) = ticker.tick()
    ticker.record_run(request, status)
    ticker.home.installation.drop(NEXT)
    assert ticker.ranges() == [(NEXT, NEXT)]


def test_a_run_started_by_hand_counts_as_one(ticker: Ticker) -> None:
    ticker.home.installation.drop(DAY)
    job = ticker.home.definitions.resolve_implicit_global_asset_job_def()
    ticker.home.instance.create_run_for_job(
        job,
        tags={"dagster/partition": DAY},
        status=dg.DagsterRunStatus.STARTED,
        asset_selection=frozenset({dg.AssetKey(["orders", "validated"])}),
    )
    assert ticker.ranges() == []
    assert "1 partitions in runs" in ticker.said


def test_a_killed_run_is_asked_for_again_and_given_up_in_the_end(ticker: Ticker) -> None:
    ticker.home.installation.drop(DAY)
    for attempt in range(1, ATTEMPTS + 1):
        (request,) = ticker.tick()
        assert request.tags["hashgate/attempt"] == str(attempt)
        ticker.record_run(request, dg.DagsterRunStatus.FAILURE)
    assert ticker.tick() == []
    assert f"1 given up after {ATTEMPTS} attempts or a cancel ({DAY}): materialize them by hand" in ticker.said
    ticker.home.installation.drop(DAY, RESTATED)
    assert ticker.work() == [(DAY, DAY)], "another file is another matter"


def test_a_cancelled_run_is_not_asked_for_again(ticker: Ticker) -> None:
    ticker.home.installation.drop(DAY)
    (request,) = ticker.tick()
    ticker.record_run(request, dg.DagsterRunStatus.CANCELED)
    assert ticker.tick() == []


def test_a_request_that_never_became_a_run_is_made_again(ticker: Ticker) -> None:
    ticker.home.installation.drop(DAY)
    (request,) = ticker.tick()
    ticker.seen.clear()
    assert [r.run_key for r in ticker.tick()] == [request.run_key]


def test_a_held_partition_waits_for_another_file(ticker: Ticker) -> None:
    ticker.home.installation.drop(DAY, HALF_BAD)
    assert ticker.work() == [(DAY, DAY)]
    assert ticker.work() == []
    ticker.home.installation.drop(DAY)
    assert ticker.work() == [(DAY, DAY)]
    assert ticker.home.installation.workspace.reader.head("orders", DAY) is not None


def test_a_held_partition_waits_for_another_contract(ticker: Ticker) -> None:
    ticker.home.installation.drop(DAY, HALF_BAD)
    ticker.work()
    ticker.home.installation.write_contract(CONTRACT.replace("value: 0.5", "value: 0.9"))
    assert ticker.work() == [(DAY, DAY)]
    assert ticker.home.installation.workspace.reader.head("orders", DAY) is not None


def test_what_was_captured_and_never_built_is_found_without_a_cursor(ticker: Ticker) -> None:
    ticker.home.installation.drop(DAY)
    ticker.work()
    ticker.cursor = None
    ticker.seen.clear()
    assert ticker.work() == []


def test_a_file_that_is_being_written_waits(ticker: Ticker) -> None:
    path = ticker.home.installation.drop(DAY)
    with path.open("ab") as writer:
        assert ticker.tick() == []
        assert "1 waiting for files that are still being written" in ticker.said
        writer.write(b"3,nib,1\n")
    assert ticker.work() == [(DAY, DAY)]


def test_files_that_cannot_be_taken_are_named_and_stop_nothing(ticker: Ticker) -> None:
    (ticker.home.installation.drops / "orders" / "odd\x1b[31m.csv").write_bytes(SOUND)
    ticker.home.installation.drop(DAY)
    assert ticker.work() == [(DAY, DAY)]
    assert ticker.tick() == []
    assert r"1 files cannot be taken (orders/odd\x1b[31m.csv: NO_KEY)" in ticker.said


def test_a_drop_folder_that_is_gone_is_said_and_breaks_nothing(ticker: Ticker) -> None:
    folder = ticker.home.installation.drops / "orders"
    folder.rmdir()
    assert ticker.tick() == []
    assert ticker.said.startswith(f"drop folder {folder} does not exist. Create it")


def test_a_contract_that_changed_on_disk_asks_for_a_reload(ticker: Ticker, monkeypatch: pytest.MonkeyPatch) -> None:
    contract = ticker.home.contract
    ticker.home.installation.drop(DAY)
    ticker.home.installation.write_contract(CONTRACT.replace("minimum: 0", "minimum: 1"))
    monkeypatch.setattr(DagsterHome, "contract", contract)
    assert ticker.tick() == []
    assert "was changed. Reload the definitions" in ticker.said
    ticker.home.installation.write_contract("schema: [")
    assert ticker.tick() == []
    assert ticker.said.startswith("Nothing is ingested into orders: ")
    Path(contract.source).unlink()
    assert ticker.tick() == []
    assert "is gone. Put it back, or reload the definitions" in ticker.said


@pytest.mark.parametrize("text", ["", "{", "[]", '{"asked": 1}', '{"of": "another version"}'])
def test_a_cursor_of_another_make_costs_a_look_and_no_more(text: str) -> None:
    assert DropCursor.parse(text) == DropCursor()


def test_an_idle_tick_looks_at_no_partition(ticker: Ticker, monkeypatch: pytest.MonkeyPatch) -> None:
    ticker.home.installation.drop(DAY)
    ticker.work()
    ticker.tick()
    looked: list[object] = []
    statuses = drop_sensors.partition_statuses

    def watched(*arguments: object, only: object, **named: object) -> object:
        looked.append(only)
        return statuses(*arguments, only=only, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(drop_sensors, "partition_statuses", watched)
    ticker.tick()
    assert looked == [set()]
