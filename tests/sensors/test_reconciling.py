"""Reconciliation both ways: versions that Dagster does not know, and versions that the store has lost.

The instance is a real one, in its folder: it can be lost, and what it refuses, it refuses here.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest

from contracts.commits import Commit, EmptyLink
from contracts.gates import GATES
from platform_assets.decisions.going_back import find_return, roll_back
from platform_assets.decisions.holding import find_held, release
from platform_assets.decisions.repairing import plan_repair, repair
from platform_assets.evidence.corruptions import Depth
from platform_assets.evidence.dagster_memory import told_table
from platform_assets.evidence.rebuilding import rebuild
from platform_assets.evidence.verifying import verify
from platform_assets.ingest.runs import open_instance
from resources.dagster_resources import WorkspaceResource
from resources.link_writer import new_writer
from sensors import reconciling, start_up
from sensors.reconciling import ReconcileCursor, reconcile_sensor
from tests.dagster_home import HALF_BAD, DagsterHome
from tests.installation import SOUND, Installation
from tests.versions import ANA, NOON

pytestmark = pytest.mark.embedded

DAY, NEXT = "2024-03-01", "2024-03-02"
ASSETS = ("orders/selection", "orders/validated", "orders/quarantine", "orders/report")
AGREE = "1 tables: Dagster and the store agree."
OTHER = b"id,item,amount\n1,pen,9\n"
GREEN = dict.fromkeys(GATES, ("SUCCEEDED", True))


@dataclass
class Orders:
    """An installation, its instance, and the sensor's memory."""

    installation: Installation
    cursor: str | None = None
    _open: ExitStack = field(default_factory=ExitStack)
    _instance: dg.DagsterInstance | None = None

    @property
    def instance(self) -> dg.DagsterInstance:
        if self._instance is None:
            self._instance = self._open.enter_context(open_instance(self.installation.workspace.settings))
        return self._instance

    @property
    def dagster(self) -> DagsterHome:
        return DagsterHome(self.installation, self.instance)

    @property
    def store(self) -> Path:
        return self.installation.home / "store"

    @property
    def chain(self) -> Path:
        return self.store / "tables" / "orders" / "commits" / DAY

    def close(self) -> None:
        self._open.close()
        self._open, self._instance = ExitStack(), None

    def lose_instance(self) -> None:
        """Its folder is deleted, and whoever opens it next makes a new one."""
        self.close()
        shutil.rmtree(self.installation.home / "dagster")

    def publish(self, content: bytes = SOUND, day: str = DAY) -> None:
        """Ingest by a run, which tells Dagster."""
        self.installation.drop(day, content)
        self.dagster.run(day)

    def commit_untold(self, content: bytes = SOUND, day: str = DAY) -> None:
        """Publish, and die before Dagster is told."""
        self.installation.drop(day, content)
        self.installation.build()

    def head(self) -> Commit:
        head = self.installation.workspace.reader.head("orders", DAY)
        assert head is not None
        return head

    def tick(self) -> str:
        """What the sensor says."""
        context = dg.build_sensor_context(self.instance, cursor=self.cursor, definitions=self.dagster.definitions)
        result = reconcile_sensor([self.dagster.contract])(context, workspace=WorkspaceResource())
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        assert result.skip_reason is not None
        return str(result.skip_reason.skip_message)

    def agree(self) -> None:
        """Within two ticks, Dagster shows what readers have, and the gates' word on it."""
        self.tick()
        assert self.tick() == AGREE
        head = self.head()
        assert self.dagster.latest("orders/validated", DAY).metadata["commit"].value == head.digest
        assert {gate: self.dagster.gates(gate)[DAY] for gate in GATES} == GREEN
        told = {"orders": told_table(self.instance, "orders")}
        assert list(verify(self.installation.workspace, depth=Depth.DEEP, told=told).corruptions) == []

    def observations(self) -> list[dg.AssetObservation]:
        found = self.instance.fetch_observations(dg.AssetKey(["orders", "validated"]), limit=10).records
        return [told for record in found if (told := record.event_log_entry.asset_observation) is not None]


@pytest.fixture(params=["stock event log", "kept connections"])
def orders(
    request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Orders]:
    made = Orders(Installation(home, monkeypatch, capsys))
    if request.param == "kept connections":
        shutil.copy(Path(reconciling.__file__).parents[1] / "dagster.yaml", home / "dagster")
    yield made
    made.close()


@pytest.fixture
def kept(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Orders]:
    """With the event log of dagster.yaml."""
    made = Orders(Installation(home, monkeypatch, capsys))
    shutil.copy(Path(reconciling.__file__).parents[1] / "dagster.yaml", home / "dagster")
    yield made
    made.close()


def flip(path: Path) -> None:
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


# ---- what Dagster does not know --------------------------------------------------------------------------------------


def test_when_both_agree_nothing_is_told(kept: Orders) -> None:
    kept.publish()
    assert kept.tick() == AGREE
    assert kept.dagster.materializations("orders/validated") == {DAY: 1}


def test_a_lost_instance_learns_every_version_with_its_checks_within_two_ticks(orders: Orders) -> None:
    orders.publish()
    orders.publish(day=NEXT)
    orders.lose_instance()
    assert orders.tick() == "orders: told Dagster of 2 of 2 versions that it did not know."
    assert {asset: orders.dagster.materializations(asset) for asset in ASSETS} == {
        asset: {DAY: 1, NEXT: 1} for asset in ASSETS
    }
    orders.agree()


def test_a_version_that_a_run_committed_and_died_is_told_each_time_anew(orders: Orders) -> None:
    """Dagster keeps one evaluation of a check for each run: without runs there must be room for a second one."""
    orders.publish()
    for number, content in ((2, OTHER), (3, SOUND), (4, OTHER)):
        orders.commit_untold(content)
        assert orders.tick() == "orders: told Dagster of 1 of 1 versions that it did not know."
        assert orders.dagster.latest("orders/validated", DAY).metadata["version"].value == number
        orders.agree()


def test_a_partition_in_a_run_is_left_to_the_run(kept: Orders) -> None:
    kept.commit_untold()
    kept.instance.create_run_for_job(
        kept.dagster.definitions.resolve_job_def("orders_ingest"),
        tags={"dagster/partition": DAY},
        status=dg.DagsterRunStatus.STARTED,
    )
    assert kept.tick() == AGREE


def test_more_versions_than_a_tick_has_time_for_are_told_tick_by_tick(
    kept: Orders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciling, "TELLING_S", 0.0)
    monkeypatch.setattr(reconciling, "_TOLD_TOGETHER", 1)
    for day in (DAY, NEXT):
        kept.commit_untold(day=day)
    assert kept.tick() == "orders: told Dagster of 1 of 2 versions that it did not know."
    assert kept.tick() == "orders: told Dagster of 1 of 1 versions that it did not know."
    assert kept.tick() == AGREE


# ---- what people decided ---------------------------------------------------------------------------------------------


def test_a_rollback_is_told_as_one(kept: Orders) -> None:
    kept.publish()
    kept.publish(OTHER)
    roll_back(kept.installation.workspace, find_return(kept.installation.workspace, "orders", DAY, 1), ANA)
    kept.agree()
    told = kept.dagster.latest("orders/validated", DAY).metadata
    assert (told["version"].value, told["decided"].value, told["decided_by"].value) == (3, "rollback", "ana")
    assert told["because"].value == "the airport was closed"
    assert kept.observations() == [], "the chain still has what Dagster knew: nothing was lost"


def test_a_released_version_is_told_with_who_let_it_through(kept: Orders) -> None:
    kept.publish(HALF_BAD)
    assert not kept.dagster.verdict("quality", DAY).passed
    workspace = kept.installation.workspace
    release(workspace, find_held(workspace, "orders", DAY), ANA)
    kept.agree()
    told = kept.dagster.latest("orders/validated", DAY).metadata
    assert (told["decided"].value, told["waived_by"].value) == ("release", "ana")
    verdict = kept.dagster.verdict("quality", DAY)
    assert verdict.passed
    assert "Let through by ana" in str(verdict.description)


def test_an_occupied_number_is_no_news(kept: Orders) -> None:
    kept.publish()
    head = kept.head()
    void = EmptyLink(
        number=2, parent=head.digest, committed_at=NOON, writer=new_writer(), table="orders", partition=DAY
    )
    (kept.chain / "00000002.json").write_bytes(void.to_bytes())
    assert kept.tick() == AGREE
    assert kept.dagster.materializations("orders/validated") == {DAY: 1}
    kept.commit_untold(OTHER)
    kept.agree()
    assert kept.dagster.latest("orders/validated", DAY).metadata["version"].value == 3


def test_a_repair_is_told_as_one_and_its_partition_turns_green(kept: Orders) -> None:
    kept.publish()
    kept.publish(OTHER)
    flip(kept.chain / "00000002.json")
    kept.tick()
    assert not kept.dagster.verdict("integrity", DAY).passed
    workspace = kept.installation.workspace
    repair(workspace, plan_repair(workspace, "orders", DAY), ANA)
    kept.agree()
    told = kept.dagster.latest("orders/validated", DAY).metadata
    assert (told["version"].value, told["decided"].value, told["decided_by"].value) == (3, "repair", "ana")
    assert kept.observations() == [], "a repair has put up with what was lost"


def test_a_repair_that_found_nothing_whole_turns_its_partition_red(kept: Orders) -> None:
    kept.publish()
    flip(kept.chain / "00000001.json")
    workspace = kept.installation.workspace
    repair(workspace, plan_repair(workspace, "orders", DAY), ANA)
    assert f"1 partitions that Dagster shows cannot be read ({DAY})" in kept.tick()
    said = str(kept.dagster.verdict("integrity", DAY).description)
    assert "ana (the airport was closed) repaired its chain, and no version was whole" in said.replace("\\", "")


# ---- what the store lost ---------------------------------------------------------------------------------------------


def test_a_version_that_the_store_lost_turns_red_once_and_green_when_it_is_back(kept: Orders) -> None:
    kept.publish()
    aside = kept.chain.rename(kept.installation.home / "aside")
    assert f"orders: 1 partitions that Dagster shows cannot be read ({DAY})." in kept.tick()
    verdict = kept.dagster.verdict("integrity", DAY)
    assert not verdict.passed
    assert "Dagster recorded a version, but the store has none" in str(verdict.description)
    told = kept.instance.event_log_storage.get_maximum_record_id()
    kept.tick()
    assert kept.instance.event_log_storage.get_maximum_record_id() == told
    aside.rename(kept.chain)
    kept.agree()


@pytest.mark.parametrize("damage", [flip, Path.unlink], ids=["altered", "cut off"])
def test_a_head_that_cannot_be_trusted_turns_red_and_green_when_it_is_restored(damage: object, kept: Orders) -> None:
    kept.publish()
    kept.publish(OTHER)
    tip = kept.chain / "00000002.json"
    content = tip.read_bytes()
    assert callable(damage)
    damage(tip)
    assert f"1 partitions that Dagster shows cannot be read ({DAY})" in kept.tick()
    assert not kept.dagster.verdict("integrity", DAY).passed
    tip.write_bytes(content)
    kept.agree()


def test_an_older_store_that_was_restored_with_its_database_is_told_and_said_loudly(
    orders: Orders, tmp_path: Path
) -> None:
    orders.publish()
    shutil.copytree(orders.store, tmp_path / "backup")
    orders.publish(OTHER)
    lost = orders.head()
    shutil.rmtree(orders.store)
    (tmp_path / "backup").rename(orders.store)
    for path in orders.installation.home.glob("catalogue.db*"):
        path.unlink()
    rebuild(orders.installation.workspace)

    said = orders.tick()
    assert "orders: told Dagster of 1 of 1 versions that it did not know" in said
    assert f"orders: the store has gone back behind what Dagster knew in {DAY}" in said
    orders.agree()
    (observed,) = orders.observations()
    assert observed.partition == DAY
    assert (observed.metadata["lost_version"].value, observed.metadata["lost_commit"].value) == (2, lost.digest)
    assert "it was restored to an earlier state, or its tail was cut off" in str(observed.description)


def test_an_older_store_under_a_database_that_remembers_more_stays_red_until_somebody_decides(
    kept: Orders, tmp_path: Path
) -> None:
    """By itself nobody can tell a restore from a theft."""
    kept.publish()
    shutil.copytree(kept.store, tmp_path / "backup")
    kept.publish(OTHER)
    shutil.rmtree(kept.store)
    (tmp_path / "backup").rename(kept.store)
    for _ in range(2):
        assert f"1 partitions that Dagster shows cannot be read ({DAY})" in kept.tick()
    rebuild(kept.installation.workspace, trusts_store=lambda _: True)
    kept.agree()


# ---- people's own assets ---------------------------------------------------------------------------------------------


def made() -> dg.AssetsDefinition:
    @dg.asset(io_manager_key="gated")
    def prices() -> pa.Table:
        return pa.table({"id": [1]})

    return prices


def test_the_table_of_an_asset_is_told_to_an_instance_that_was_lost(
    kept: Orders, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = dg.Definitions.merge(kept.dagster.definitions, dg.Definitions(assets=[made()]))
    monkeypatch.setattr(DagsterHome, "definitions", property(lambda _: whole))
    kept.dagster.run(DAY, assets=[dg.AssetKey("prices")])
    head = kept.installation.workspace.reader.head("asset.prices", "all")
    assert head is not None
    assert kept.tick() == AGREE
    kept.lose_instance()
    assert kept.tick() == "prices: told Dagster of 1 tables that it did not know."
    told = kept.instance.get_latest_materialization_event(dg.AssetKey("prices"))
    assert told is not None
    assert told.asset_materialization is not None
    assert told.asset_materialization.metadata["commit"].value == head.digest
    assert kept.tick() == AGREE


# ---- the look at start-up --------------------------------------------------------------------------------------------


def valid_file(orders: Orders) -> Path:
    (path,) = orders.store.glob("tables/orders/segments/*/*/valid.parquet")
    return path


def test_the_first_tick_of_a_process_finds_what_is_damaged_and_says_so(kept: Orders) -> None:
    kept.publish()
    flip(valid_file(kept))
    said = kept.tick()
    assert "at start-up, 1 object not as published (orders[2024-03-01] tables/orders/segments/" in said
    verdict = kept.dagster.verdict("integrity", DAY)
    assert not verdict.passed
    assert "valid.parquet" in str(verdict.description)
    assert kept.tick() == f"orders: 1 partition still red ({DAY}).", "the object is named once"
    assert ReconcileCursor.parse(kept.cursor).broken == (("orders", DAY),)


def test_what_was_found_at_start_up_turns_green_when_an_ingest_has_healed_it(kept: Orders) -> None:
    kept.publish()
    flip(valid_file(kept))
    kept.tick()
    kept.installation.build(force=True)
    kept.agree()
    assert ReconcileCursor.parse(kept.cursor).broken == ()


def test_a_lost_drop_is_said_and_stops_no_reader(kept: Orders) -> None:
    kept.publish()
    blob = next(path for path in kept.store.glob("blobs/*/*/*") if path.read_bytes() == SOUND)
    blob.unlink()
    assert f"blobs/{blob.parts[-3]}/{blob.parts[-2]}" in kept.tick()
    assert kept.dagster.verdict("integrity", DAY).passed


def test_each_process_looks_once(kept: Orders, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.publish()
    kept.tick()
    flip(valid_file(kept))
    assert kept.tick() == AGREE
    monkeypatch.setattr(reconciling, "PROCESS", "another")
    assert "at start-up, 1 object not as published" in kept.tick()


def test_a_large_store_is_looked_through_tick_by_tick(kept: Orders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciling, "START_UP_S", 0.0)
    monkeypatch.setattr(start_up, "_TOGETHER", 1)
    for day in (DAY, NEXT):
        kept.publish(day=day)
    assert kept.tick() == "at start-up, 1 partition looked through in this tick, the others follow."
    assert not ReconcileCursor.parse(kept.cursor).done
    assert kept.tick() == AGREE
    assert ReconcileCursor.parse(kept.cursor).done
    monkeypatch.setattr(start_up, "verify_partitions", lambda *_, **__: pytest.fail("it has looked already"))
    assert kept.tick() == AGREE


@pytest.mark.parametrize("cursor", ['["orders/2024-03-01"]', "no JSON", "{}"])
def test_a_cursor_of_another_make_counts_as_none(cursor: str) -> None:
    assert ReconcileCursor.parse(cursor) == ReconcileCursor()
