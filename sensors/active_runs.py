"""Which partitions of a table a run is working on, or is about to."""

from __future__ import annotations

import dagster as dg

from contracts.errors import UsageError
from contracts.partitions import keys_between
from contracts.table_contract import TableContract
from platform_assets.ingest.asset_events import TableKeys
from platform_assets.ingest.table_assets import job_name

PARTITION_TAG = "dagster/partition"
RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def partitions_in_work(instance: dg.DagsterInstance, contract: TableContract) -> set[str]:
    """The partitions of runs that are queued or in progress, whoever asked for them."""
    runs = instance.get_runs(filters=dg.RunsFilter(statuses=UNFINISHED))
    return {key for run in runs if _is_of(run, contract.table) for key in _partitions(run, contract)}


def _is_of(run: dg.DagsterRun, table: str) -> bool:
    selected = run.asset_selection
    if selected is None:
        return run.job_name == job_name(table)
    return TableKeys(table).validated in selected


def _partitions(run: dg.DagsterRun, contract: TableContract) -> list[str]:
    if PARTITION_TAG in run.tags:
        return [run.tags[PARTITION_TAG]]
    if RANGE_START_TAG not in run.tags or RANGE_END_TAG not in run.tags:
        return []
    try:
        return keys_between(contract.partitioning, run.tags[RANGE_START_TAG], run.tags[RANGE_END_TAG])
    except UsageError:
        return []  # of a calendar that the contract had earlier
