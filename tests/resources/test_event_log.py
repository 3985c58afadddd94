"""The event log with kept connections: the same files as Dagster's own, for many runs, threads and processes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log import SqliteEventLogStorage

from resources.event_log import CONNECTIONS_KEPT, KeptConnectionEventLog

CONFIG = """
telemetry: {enabled: false}
event_log_storage:
  module: resources.event_log
  class: KeptConnectionEventLog
  config: {}
"""


@pytest.fixture
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    (home / "dagster" / "dagster.yaml").write_text(CONFIG)
    with dg.DagsterInstance.from_config(str(home / "dagster")) as opened:
        yield opened


@dg.asset
def thing() -> None:
    """Nothing, but recorded."""


def test_dagster_yaml_chooses_it_and_it_lies_where_dagster_looks(instance: dg.DagsterInstance, home: Path) -> None:
    assert isinstance(instance.event_log_storage, KeptConnectionEventLog)
    dg.materialize([thing], instance=instance)
    assert (home / "dagster" / "history" / "runs" / "index.db").is_file()


def test_dagsters_own_storage_reads_what_it_wrote(instance: dg.DagsterInstance, home: Path) -> None:
    run = dg.materialize([thing], instance=instance)
    stock = SqliteEventLogStorage(str(home / "dagster" / "history" / "runs"))
    ours = [
        record.event_log_entry.user_message
        for record in instance.event_log_storage.get_records_for_run(run.run_id).records
    ]
    theirs = [record.event_log_entry.user_message for record in stock.get_records_for_run(run.run_id).records]
    assert ours == theirs
    assert len(ours) > 5
    assert stock.get_latest_materialization_events([thing.key])[thing.key] is not None


def test_it_keeps_a_few_connections_however_many_runs_there_are(instance: dg.DagsterInstance) -> None:
    runs = [dg.materialize([thing], instance=instance).run_id for _ in range(CONNECTIONS_KEPT + 3)]
    storage = instance.event_log_storage
    assert isinstance(storage, KeptConnectionEventLog)
    assert len(storage._engines) == CONNECTIONS_KEPT
    assert all(storage.get_records_for_run(run).records for run in runs), "a closed one opens again"


def test_threads_may_write_at_once(instance: dg.DagsterInstance) -> None:
    def tell(number: int) -> None:
        instance.report_runless_asset_event(dg.AssetMaterialization("told", metadata={"number": number}))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(tell, range(40)))
    records = instance.fetch_materializations(dg.AssetKey("told"), limit=100).records
    told = {r.asset_materialization.metadata["number"].value for r in records if r.asset_materialization}
    assert told == set(range(40))


def test_a_transaction_that_fails_leaves_nothing(instance: dg.DagsterInstance) -> None:
    storage = instance.event_log_storage
    assert isinstance(storage, KeptConnectionEventLog)
    dg.materialize([thing], instance=instance)
    with pytest.raises(ZeroDivisionError):
        _delete_and_fail(storage)
    assert len(instance.fetch_materializations(thing.key, limit=5).records) == 1


def _delete_and_fail(storage: KeptConnectionEventLog) -> None:
    with storage.index_connection() as connection:
        connection.exec_driver_sql("DELETE FROM event_logs")
        raise ZeroDivisionError
