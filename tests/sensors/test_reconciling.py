"""Reconciliation both ways: versions that Dagster does not know, and versions that the store has lost."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from contracts.gates import GATES
from resources.dagster_resources import WorkspaceResource
from sensors.reconciling import reconcile_sensor
from tests.dagster_home import DagsterHome
from tests.installation import Installation

DAY, NEXT = "2024-03-01", "2024-03-02"
ASSETS = ("orders/selection", "orders/validated", "orders/quarantine", "orders/report")


@pytest.fixture
def orders(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[DagsterHome]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield DagsterHome(Installation(home, monkeypatch, capsys), instance)


class Reconciler:
    def __init__(self, home: DagsterHome) -> None:
        self.home = home
        self.cursor: str | None = None

    def tick(self) -> str:
        """What the sensor says."""
        context = dg.build_sensor_context(self.home.instance, cursor=self.cursor)
        result = reconcile_sensor([self.home.contract])(context, workspace=WorkspaceResource())
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        assert result.skip_reason is not None
        return str(result.skip_reason.skip_message)


def test_when_both_agree_nothing_is_told(orders: DagsterHome) -> None:
    orders.installation.drop(DAY)
    orders.run(DAY)
    assert Reconciler(orders).tick() == "1 tables: Dagster and the store agree."
    assert orders.materializations("orders/validated") == {DAY: 1}


def test_versions_of_a_lost_instance_are_told_with_their_checks(orders: DagsterHome) -> None:
    orders.installation.drop(DAY)
    orders.installation.drop(NEXT)
    orders.installation.build()  # published, and Dagster was never told

    assert Reconciler(orders).tick() == "orders: told Dagster of 2 of 2 versions that it did not know."

    head = orders.installation.workspace.reader.head("orders", DAY)
    assert head is not None
    assert {asset: orders.materializations(asset) for asset in ASSETS} == {a: {DAY: 1, NEXT: 1} for a in ASSETS}
    assert orders.latest("orders/validated", DAY).metadata["commit"].value == head.digest
    assert {gate: orders.gates(gate) for gate in GATES} == {
        gate: {DAY: ("SUCCEEDED", True), NEXT: ("SUCCEEDED", True)} for gate in GATES
    }
    assert Reconciler(orders).tick() == "1 tables: Dagster and the store agree."


def test_a_version_that_a_run_committed_and_died_is_told(orders: DagsterHome) -> None:
    orders.installation.drop(DAY)
    orders.run(DAY)
    orders.installation.drop(DAY, b"id,item,amount\n1,pen,9\n")
    orders.installation.build()
    assert Reconciler(orders).tick() == "orders: told Dagster of 1 of 1 versions that it did not know."
    assert orders.latest("orders/validated", DAY).metadata["version"].value == 2


def test_a_partition_in_a_run_is_left_to_the_run(orders: DagsterHome) -> None:
    orders.installation.drop(DAY)
    orders.installation.build()
    orders.instance.create_run_for_job(
        orders.definitions.resolve_job_def("orders_ingest"),
        tags={"dagster/partition": DAY},
        status=dg.DagsterRunStatus.STARTED,
    )
    assert Reconciler(orders).tick() == "1 tables: Dagster and the store agree."


def test_a_version_that_the_store_lost_turns_red_once(orders: DagsterHome) -> None:
    orders.installation.drop(DAY)
    orders.run(DAY)
    shutil.rmtree(orders.installation.home / "store" / "tables" / "orders" / "commits" / DAY)
    reconciler = Reconciler(orders)
    assert reconciler.tick() == f"orders: 1 partitions that Dagster shows cannot be read ({DAY})."
    verdict = orders.verdict("integrity", DAY)
    assert not verdict.passed
    assert verdict.description is not None
    assert "Dagster recorded a version, but the store has none" in verdict.description
    told = orders.instance.event_log_storage.get_maximum_record_id()
    reconciler.tick()
    assert orders.instance.event_log_storage.get_maximum_record_id() == told


def test_a_head_that_was_altered_turns_red(orders: DagsterHome) -> None:
    orders.installation.drop(DAY)
    orders.run(DAY)
    commit = orders.installation.home / "store" / "tables" / "orders" / "commits" / DAY / "00000001.json"
    commit.chmod(0o600)
    commit.write_bytes(commit.read_bytes()[:100])
    assert f"1 partitions that Dagster shows cannot be read ({DAY})" in Reconciler(orders).tick()
    assert not orders.verdict("integrity", DAY).passed


def test_a_store_restored_to_an_older_version_is_told(orders: DagsterHome) -> None:
    orders.installation.drop(DAY)
    orders.run(DAY)
    orders.installation.drop(DAY, b"id,item,amount\n1,pen,9\n")
    orders.run(DAY)
    (orders.installation.home / "store" / "tables" / "orders" / "commits" / DAY / "00000002.json").unlink()
    assert Reconciler(orders).tick() == "orders: told Dagster of 1 of 1 versions that it did not know."
    assert orders.latest("orders/validated", DAY).metadata["version"].value == 1
