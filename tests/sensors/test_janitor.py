"""The janitor: a job that collects, and a schedule that launches it every night."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import dagster as dg
import pytest

from platform_assets.definitions import definitions
from platform_assets.upkeep.collecting import Collection
from platform_assets.upkeep.jobs import said
from resources.captures import put_blob
from sensors.janitor import janitor_schedule
from tests.dagster_home import failure_of
from tests.installation import SOUND, Installation

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def collected(instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    job = definitions().resolve_job_def("collect_garbage")
    return job.execute_in_process(instance=instance, run_config=QUIET, raise_on_error=False)


def measures(result: dg.ExecuteInProcessResult) -> dict[str, object]:
    (output,) = [event for event in result.all_events if event.is_successful_output]
    return {name: value.value for name, value in output.step_output_data.metadata.items()}


@pytest.fixture
def installation(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Installation:
    return Installation(home, monkeypatch, capsys)


@pytest.fixture
def instance() -> dg.DagsterInstance:
    return dg.DagsterInstance.ephemeral()


@pytest.mark.usefixtures("installation")
def test_it_runs_every_night_from_the_start() -> None:
    (schedule,) = definitions().get_repository_def().schedule_defs
    assert (schedule.name, schedule.job_name) == ("janitor", "collect_garbage")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("17 3 * * *", "UTC")


def test_its_tick_asks_for_one_run() -> None:
    context = dg.build_schedule_context(scheduled_execution_time=dt.datetime(2024, 1, 1, 3, 17, tzinfo=dt.UTC))
    requests = janitor_schedule().evaluate_tick(context).run_requests
    assert len(requests or []) == 1


def test_the_run_collects_and_shows_its_figures(
    installation: Installation, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.drop("2024-01-01", SOUND)
    installation.build()
    put_blob(installation.workspace.store, b"never logged")
    assert measures(collected(instance))["doomed_objects"] == 0, "it is younger than the grace"
    monkeypatch.setattr("resources.settings.SHORTEST_GRACE", dt.timedelta(0))
    monkeypatch.setenv("HASHGATE_GRACE", "0s")
    doomed, removed = measures(collected(instance)), measures(collected(instance))
    assert (doomed["doomed_objects"], doomed["doomed_bytes"], doomed["removed_objects"]) == (1, 12, 0)
    assert (removed["doomed_objects"], removed["removed_objects"], removed["removed_bytes"]) == (0, 1, 12)
    assert installation.hashgate("verify").code == 0


def test_a_document_that_cannot_be_read_turns_the_run_red(
    installation: Installation, instance: dg.DagsterInstance
) -> None:
    installation.drop("2024-01-01", SOUND)
    installation.build()
    (commit,) = installation.home.glob("store/tables/orders/commits/2024-01-01/*.json")
    commit.write_bytes(commit.read_bytes().replace(b'"number":1', b'"number":7'))
    result = collected(instance)
    assert not result.success
    assert "1 documents cannot be read" in failure_of(result)
    assert "orders[2024-01-01] version 1: its self-digest" in failure_of(result)


def test_a_collector_elsewhere_turns_it_red(installation: Installation, instance: dg.DagsterInstance) -> None:
    lease = installation.workspace.leases.acquire("collector", "elsewhere:1", dt.timedelta(minutes=5))
    result = collected(instance)
    assert "lease collector is held by elsewhere:1" in failure_of(result)
    assert not any(event.is_step_up_for_retry for event in result.all_events)
    installation.workspace.leases.release(lease)
    assert collected(instance).success


def test_staging_of_a_run_that_dagster_knows_to_be_active_stays(
    installation: Installation, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resources.settings.SHORTEST_GRACE", dt.timedelta(0))
    monkeypatch.setenv("HASHGATE_GRACE", "0s")
    job = definitions().resolve_job_def("collect_garbage")
    active = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED).run_id
    done = instance.create_run_for_job(job, status=dg.DagsterRunStatus.FAILURE).run_id
    staging = installation.workspace.settings.staging
    for run_id in (active, done):
        (staging / run_id / "half").mkdir(parents=True)
    result = collected(instance)
    assert measures(result)["dead_runs"] == 1
    assert [path.name for path in staging.iterdir()] == [active]


def test_nothing_to_do_is_said_too() -> None:
    assert said(Collection(dry_run=False, grace=dt.timedelta(0))) == "there was nothing to collect"
