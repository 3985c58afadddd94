"""The event log with kept connections on PostgreSQL, as deploy/dagster.yaml names it: Dagster's own tables."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
import yaml
from dagster._core.storage.runs import RunStorage
from dagster_aws.s3 import S3ComputeLogManager
from dagster_postgres import PostgresEventLogStorage, PostgresRunStorage, PostgresScheduleStorage

from resources.postgres_event_log import PooledPostgresEventLog
from tests.servers.postgres import PASSWORD

DEPLOYED = Path(__file__).parents[2] / "deploy" / "dagster.yaml"


@dg.asset
def thing() -> None:
    """Nothing, but recorded."""


@pytest.fixture
def deployed(home: Path, postgres_url: sa.URL, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DAGSTER_HOME as docs/deploy.md makes it, but for the server of the runs' logs, which nothing here asks."""
    values = {
        "DAGSTER_POSTGRES_HOST": postgres_url.host,
        "DAGSTER_POSTGRES_PORT": postgres_url.port,
        "DAGSTER_POSTGRES_DB": postgres_url.database,
        "DAGSTER_POSTGRES_USER": postgres_url.username,
        "DAGSTER_POSTGRES_PASSWORD": postgres_url.password,
        "DAGSTER_LOG_BUCKET": "logs",
        "DAGSTER_LOG_PREFIX": "dagster",
        "DAGSTER_LOG_FOLDER": home / "logs",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, str(value))
    (home / "dagster" / "dagster.yaml").write_text(DEPLOYED.read_text())
    return home / "dagster"


@pytest.fixture
def instance(deployed: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(deployed)) as opened:
        yield opened


def storage_of(instance: dg.DagsterInstance) -> PooledPostgresEventLog:
    storage = instance.event_log_storage
    assert isinstance(storage, PooledPostgresEventLog)
    return storage


def test_the_deployed_instance_is_on_postgresql_and_s3(instance: dg.DagsterInstance) -> None:
    storage_of(instance)
    assert isinstance(instance.run_storage, RunStorage)
    assert isinstance(instance.run_storage, PostgresRunStorage)
    assert isinstance(instance.schedule_storage, PostgresScheduleStorage)
    assert isinstance(instance.compute_log_manager, S3ComputeLogManager)
    assert instance.telemetry_enabled is False
    assert instance.run_monitoring_enabled is True


def test_no_secret_is_in_the_file_or_in_what_dagster_hands_to_runs(instance: dg.DagsterInstance) -> None:
    assert PASSWORD not in DEPLOYED.read_text()
    assert PASSWORD not in str(instance.get_ref().to_dict())


def test_apart_from_storage_it_says_what_the_file_for_one_host_says() -> None:
    one_host = yaml.safe_load((DEPLOYED.parents[1] / "dagster.yaml").read_text())
    several = yaml.safe_load(DEPLOYED.read_text())
    storage = {"run_storage", "schedule_storage", "event_log_storage", "compute_logs"}
    assert {name: several[name] for name in several.keys() - storage} == {
        name: one_host[name] for name in one_host.keys() - storage
    }
    assert storage <= several.keys()


def test_dagsters_own_storage_reads_what_it_wrote(instance: dg.DagsterInstance) -> None:
    run = dg.materialize([thing], instance=instance)
    stock = PostgresEventLogStorage(storage_of(instance).postgres_url)
    ours = [r.event_log_entry.user_message for r in storage_of(instance).get_records_for_run(run.run_id).records]
    theirs = [r.event_log_entry.user_message for r in stock.get_records_for_run(run.run_id).records]
    assert ours == theirs
    assert len(ours) > 5
    assert stock.get_latest_materialization_events([thing.key])[thing.key] is not None


def test_it_connects_once_and_not_once_an_event(instance: dg.DagsterInstance) -> None:
    made: list[object] = []
    sa.event.listen(storage_of(instance)._engine, "connect", lambda *connection: made.append(connection))
    for number in range(20):
        instance.report_runless_asset_event(dg.AssetMaterialization("told", metadata={"number": number}))
    assert len(made) <= 2
    assert len(instance.fetch_materializations(dg.AssetKey("told"), limit=100).records) == 20


def test_threads_may_write_at_once(instance: dg.DagsterInstance) -> None:
    def tell(number: int) -> None:
        instance.report_runless_asset_event(dg.AssetMaterialization("told", metadata={"number": number}))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(tell, range(80)))
    records = instance.fetch_materializations(dg.AssetKey("told"), limit=100).records
    told = {r.asset_materialization.metadata["number"].value for r in records if r.asset_materialization}
    assert told == set(range(80))
