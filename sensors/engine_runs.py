"""Runs of engines that have not ended: asked for in Dagster, and asked for again while they wait for evidence.

A run that ended is not looked at again here: the control bus tells of ends. One that Dagster failed to bring forward
(its host died, the store was away) is asked for a few times; one that a person cancelled is not.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of a nested function as they stand.

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import (
    UnresolvedAssetJobDefinition,  # what define_asset_job gives; Dagster exports no name for it
)

from contracts.authority.status import RunState, RunStatus
from contracts.errors import HashgateError, StoreError
from platform_assets.engine.engine_specs import ENGINE_RUN_TAG, job_name
from platform_assets.engine.run_partitions import run_partitions
from platform_assets.engine.submitting import admitted_request
from platform_assets.ingest.asset_events import visible
from resources.authority.run_documents import RunDocuments, known_runs
from resources.dagster_resources import WorkspaceResource
from resources.workspace import Workspace
from sensors.active_runs import PARTITION_TAG, UNFINISHED
from sensors.cursors import SensorCursor

SECONDS_BETWEEN_TICKS = 10
LOOK_AGAIN_AFTER_S = 30
"""A waiting run is asked for so often at most: each look costs a Dagster run. One that somebody else seems to lead is
asked for ever more rarely, in case that somebody died."""

ATTEMPTS = 3
RUNS_A_TICK = 10


class RunsCursor(SensorCursor):
    """The runs that had ended, which nobody needs to look at again."""

    ended: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run that has not ended."""

    run_id: str
    engine: str
    state: str
    look: int
    """How often it was to be looked at by now in this state."""

    def run_key(self, attempt: int) -> str:
        """What tells a request for it from all others."""
        return f"{self.run_id}|{self.state}|{self.look}|{attempt}"


Job = dg.JobDefinition | UnresolvedAssetJobDefinition

Attempted = Callable[[OpenRun], int | None]
"""Which attempt the next request for a run is; None: none."""


def run_sensor(jobs: Mapping[str, Job]) -> dg.SensorDefinition:
    """The sensor over all engines' runs; `jobs` by engine."""
    names = sorted(jobs)

    @dg.sensor(
        name="engine_runs",
        jobs=[jobs[name] for name in names],
        minimum_interval_seconds=SECONDS_BETWEEN_TICKS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Submitted runs of engines are brought forward until they end.",
    )
    def engine_runs(context: dg.SensorEvaluationContext, workspace: WorkspaceResource) -> dg.SensorResult:
        try:
            found, cursor = open_runs(workspace.open(), RunsCursor.parse(context.cursor))
        except HashgateError as error:
            return dg.SensorResult(skip_reason=visible(str(error), 2000))
        busy = {run.tags.get(PARTITION_TAG) for run in context.instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))}
        waiting = [run for run in found if run.engine in names and run.run_id not in busy]
        requests = list(_requests(waiting, _attempt_of(context.instance)))[:RUNS_A_TICK]
        said = f"{len(found)} runs have not ended, {len(requests)} asked for"
        if not requests:
            return dg.SensorResult(skip_reason=said, cursor=cursor.text())
        context.log.info(said)
        by_engine = {run.engine for run in waiting}
        keys = {request.partition_key for request in requests}
        return dg.SensorResult(
            run_requests=requests,
            cursor=cursor.text(),
            dynamic_partitions_requests=[
                run_partitions(engine).build_add_request(
                    [run.run_id for run in waiting if run.engine == engine and run.run_id in keys]
                )
                for engine in sorted(by_engine)
            ],
        )

    return engine_runs


def open_runs(workspace: Workspace, cursor: RunsCursor) -> tuple[list[OpenRun], RunsCursor]:
    """The runs that have not ended, and what need not be looked at the next time."""
    done = set(cursor.ended)
    found: list[OpenRun] = []
    known = known_runs(workspace.store)
    for run_id in known:
        if run_id in done:
            continue
        documents = RunDocuments(workspace.store, run_id)
        try:
            status, request = documents.status(), admitted_request(documents)
        except StoreError:
            continue  # verify names it
        if status is not None and status.state.is_terminal:
            done.add(run_id)
        elif request is not None:
            state = "ADMITTED" if status is None else status.state.value
            found.append(OpenRun(run_id, request.engine, state, _looks(workspace.now(), status)))
    return found, RunsCursor(ended=tuple(sorted(done & set(known))))


def _looks(now: dt.datetime, status: RunStatus | None) -> int:
    """How often a run was to be looked at by now: at once, and again at intervals; they double where nobody waits."""
    if status is None:
        return 0
    intervals = max(0, int((now - status.at).total_seconds() // LOOK_AGAIN_AFTER_S))
    return intervals if status.state is RunState.WAITING else (intervals + 1).bit_length() - 1


def _requests(found: Iterable[OpenRun], attempt_of: Attempted) -> Iterable[dg.RunRequest]:
    for run in found:
        attempt = attempt_of(run)
        if attempt is not None:
            yield dg.RunRequest(
                run_key=run.run_key(attempt),
                job_name=job_name(run.engine),
                partition_key=run.run_id,
                tags={ENGINE_RUN_TAG: run.run_id},
            )


def _attempt_of(instance: dg.DagsterInstance) -> Attempted:
    """A request whose run failed or died is made again, a few times; a cancelled one is not."""

    def attempt_of(run: OpenRun) -> int | None:
        for attempt in range(1, ATTEMPTS + 1):
            filters = dg.RunsFilter(tags={"dagster/run_key": run.run_key(attempt)})
            runs = instance.get_runs(filters=filters, limit=1)
            if not runs:
                return attempt
            if runs[0].status is not dg.DagsterRunStatus.FAILURE:
                return None
        return None

    return attempt_of
