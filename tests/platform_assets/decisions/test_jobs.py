"""Decisions as Dagster jobs: what was decided is recorded in the run, the commit and the events, at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from platform_assets.decisions.holding import find_held
from tests.dagster_home import HALF_BAD, DagsterHome, failure_of
from tests.installation import Installation

DAY = "2024-03-01"
BY = {"actor": "ana", "reason": "the airport was closed"}


@pytest.fixture
def orders(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[DagsterHome]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield DagsterHome(Installation(home, monkeypatch, capsys), instance)


def decide(
    orders: DagsterHome, job: str, op: str, *, also: dg.Definitions | None = None, **config: Any
) -> dg.ExecuteInProcessResult:
    loaded = orders.definitions if also is None else dg.Definitions.merge(orders.definitions, also)
    about = {"table": "orders", "partition": DAY} | BY | config
    return loaded.resolve_job_def(job).execute_in_process(
        instance=orders.instance,
        raise_on_error=False,
        run_config={
            "ops": {op: {"config": about}},
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
        },
    )


def release(orders: DagsterHome, **config: Any) -> dg.ExecuteInProcessResult:
    return decide(orders, "release_held", "release_held_candidate", **config)


def discard(orders: DagsterHome, **config: Any) -> dg.ExecuteInProcessResult:
    return decide(orders, "discard_held", "discard_held_candidate", **config)


def roll_back(orders: DagsterHome, **config: Any) -> dg.ExecuteInProcessResult:
    return decide(orders, "roll_back_partition", "roll_back_to_version", **config)


def test_a_release_is_told_with_its_waiver_and_lets_followers_go_on(orders: DagsterHome) -> None:
    orders.installation.drop(DAY, HALF_BAD)
    assert not orders.run(DAY).success
    assert orders.gates("quality")[DAY][0] == "FAILED"
    assert release(orders).success
    head = orders.installation.workspace.reader.head("orders", DAY)
    assert head is not None
    assert (head.kind, head.waiver and head.waiver.actor) == ("release", "ana")
    told = orders.latest("orders/validated", DAY)
    assert told.metadata["commit"].value == head.digest
    assert [told.metadata[name].value for name in ("decided", "decided_by", "waived_by", "because")] == [
        "release",
        "ana",
        "ana",
        BY["reason"],
    ]
    assert orders.materializations("orders/report") == {DAY: 1}
    assert orders.gates("quality")[DAY] == ("SUCCEEDED", True), "it blocks nobody any more"
    verdict = orders.verdict("quality", DAY)
    assert "Let through by ana (the airport was closed) although it says FAIL" in str(verdict.description)


def test_a_rollback_is_told_and_stays(orders: DagsterHome) -> None:
    for amount in (b"1", b"2"):
        orders.installation.drop(DAY, b"id,item,amount\n1,pen," + amount + b"\n")
        assert orders.run(DAY).success
    assert roll_back(orders, to=1).success
    head = orders.installation.workspace.reader.head("orders", DAY)
    assert head is not None
    assert (head.kind, head.number) == ("rollback", 3)
    assert orders.latest("orders/validated", DAY).metadata["version"].value == 3
    assert orders.latest("orders/validated", DAY).metadata["decided"].value == "rollback"
    assert orders.run(DAY).success
    assert orders.latest("orders/validated", DAY).metadata["version"].value == 3


def test_a_discard_leaves_what_readers_see(orders: DagsterHome) -> None:
    orders.installation.drop(DAY)
    orders.run(DAY)
    orders.installation.drop(DAY, HALF_BAD)
    orders.run(DAY)
    assert discard(orders).success
    workspace = orders.installation.workspace
    assert workspace.reader.held_candidates("orders", DAY) == []
    assert orders.materializations("orders/validated") == {DAY: 1}
    record = workspace.reader.discards("orders", DAY).last()
    assert record is not None
    assert record.decision.model_dump() == BY


@pytest.mark.parametrize(
    ("config", "said"),
    [
        pytest.param({}, "nothing is held of orders[2024-03-01]", id="nothing held"),
        pytest.param({"table": "order"}, "nothing of a table 'order'", id="no such table"),
        pytest.param({"candidate": "zz"}, "nothing is held of", id="no such candidate"),
    ],
)
def test_a_decision_that_cannot_be_made_fails_with_the_reason(
    orders: DagsterHome, config: dict[str, str], said: str
) -> None:
    orders.installation.drop(DAY)
    orders.run(DAY)
    for job in (release, discard):
        assert said in failure_of(job(orders, **config))


def test_a_decision_without_a_name_or_a_reason_is_refused(orders: DagsterHome) -> None:
    orders.installation.drop(DAY, HALF_BAD)
    orders.run(DAY)
    for job in (release, discard):
        assert "recorded with who made it and why" in failure_of(job(orders, actor=" "))
    assert find_held(orders.installation.workspace, "orders", DAY).superseded is None


def test_a_rollback_to_nothing_fails_with_the_versions_there_are(orders: DagsterHome) -> None:
    orders.installation.drop(DAY)
    orders.run(DAY)
    assert "has no version 7. There are: 1." in failure_of(roll_back(orders, to=7))


def test_the_table_of_an_asset_is_rolled_back_under_the_asset_s_name(orders: DagsterHome) -> None:
    rows = [{"id": [1]}, {"id": [2]}]

    @dg.asset(io_manager_key="gated")
    def made() -> pa.Table:
        return pa.table(rows.pop(0))

    also = dg.Definitions(assets=[made])
    for _ in range(2):
        assert orders.run(DAY, assets=[made.key], also=[made]).success
    done = decide(
        orders,
        "roll_back_partition",
        "roll_back_to_version",
        also=also,
        table="asset.made",
        partition="all",
        to=1,
    )
    assert done.success
    (event, *_) = orders.instance.fetch_materializations(made.key, limit=5).records
    assert event.asset_materialization is not None
    assert event.asset_materialization.metadata["version"].value == 3
    assert event.asset_materialization.partition is None
