"""Events that no run made: what the store has and Dagster was not told of.

Dagster keeps one evaluation of a check for each run and partition, and counts all that have no run as one run's: the
second one for a partition is refused by its database (dagster 1.13, `idx_asset_check_executions_unique`). So verdicts
come under an id of their own for each time that something is told; there is no run of that id.
"""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg
from dagster._core.events import DagsterEvent
from dagster._core.instance.utils import RUNLESS_JOB_NAME  # as Dagster names the job of such events itself
from dagster._core.utils import make_new_run_id


def report(
    instance: dg.DagsterInstance,
    events: Iterable[dg.AssetMaterialization | dg.AssetObservation | dg.AssetCheckEvaluation],
) -> int:
    """Have events stored, each before the next one is asked for; says how many."""
    told_by, told = make_new_run_id(), 0
    for event in events:
        if isinstance(event, dg.AssetCheckEvaluation):
            evaluated = DagsterEvent(
                event_type_value=dg.DagsterEventType.ASSET_CHECK_EVALUATION.value,
                job_name=RUNLESS_JOB_NAME,
                event_specific_data=event,
            )
            instance.report_dagster_event(evaluated, run_id=told_by)
        else:
            instance.report_runless_asset_event(event)
        told += 1
    return told
