"""Ingest without servers: the same assets, run in this process and recorded in the installation's Dagster instance."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import dagster as dg
from dagster._core.instance.ref import InstanceRef

from contracts.errors import HashgateError
from contracts.partitions import check_key, keys_between
from contracts.table_contract import Cadence, Partitioning, TableContract
from platform_assets.ingest.engine_outputs import check_runs
from platform_assets.ingest.ingesting import Ended, Ending, TakenIn
from platform_assets.ingest.partition_calendars import register_runs
from platform_assets.ingest.planning import PartitionState, partition_statuses
from platform_assets.ingest.run_cancels import heeding_cancels
from platform_assets.ingest.run_outcomes import beginning_tags, report_aborted
from platform_assets.ingest.selecting import scan
from platform_assets.ingest.table_assets import IngestListener, job_name, operation_name, table_assets
from resources.dagster_resources import WorkspaceResource
from resources.gated_io_manager import GatedIOManager
from resources.settings import Settings
from resources.workspace import Workspace

RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"

OnTakenIn = Callable[[TakenIn], None]
OnEnded = Callable[[Ended], None]


@dataclass(frozen=True, slots=True)
class Ingestion:
    """What `run_ingest` did."""

    ended: tuple[Ended, ...]
    """One a partition, in order."""
    run_ids: tuple[str, ...]
    """Dagster's runs, one a contiguous range."""
    aborted_run_ids: tuple[str, ...] = ()
    """Earlier runs that were found dead, and are recorded as aborted now."""


class DefectiveRunError(RuntimeError):
    """A run ended with an error that nobody foresaw: a defect of the platform, not of drops or contracts."""


@dataclass
class _Told(IngestListener):
    """Keeps what a run tells, and passes it on."""

    on_taken_in: OnTakenIn | None
    on_ended: OnEnded | None
    all_ended: list[Ended] = field(default_factory=list)
    error: HashgateError | None = None
    interruption: BaseException | None = None

    def taken_in(self, taken: TakenIn) -> None:
        if self.on_taken_in is not None:
            self.on_taken_in(taken)

    def ended(self, ended: Ended) -> None:
        self.all_ended.append(ended)
        if self.on_ended is not None:
            self.on_ended(ended)

    def gave_up(self, error: HashgateError) -> None:
        self.error = error

    def stopped(self, interruption: BaseException) -> None:
        self.interruption = interruption


def run_ingest(
    workspace: Workspace,
    table: str,
    partitions: Iterable[str],
    *,
    instance: dg.DagsterInstance | None = None,
    force: bool = False,
    on_taken_in: OnTakenIn | None = None,
    on_ended: OnEnded | None = None,
) -> Ingestion:
    """Ingest partitions of a table: one run for each contiguous range of those that are not up to date.

    Args:
        workspace: The installation; its settings are what the run works with.
        table: The table's name.
        partitions: Keys in any order.
        instance: Where the runs are recorded; by default the installation's own instance.
        force: Parse, judge and publish again, even what is unchanged.
        on_taken_in: Called once a run, when the drop folder was looked at and the selections are frozen.
        on_ended: Called for each partition as it ends.

    Raises:
        HashgateError: The run could not go on (no drop folder, a full disk); what was published stays.
        UsageError: There is no such table, partition or run.
        DefectiveRunError: It failed in a way that nobody foresaw; its log in Dagster has the traceback.
        KeyboardInterrupt: Ctrl-C, or somebody terminated the run in Dagster; it is recorded as canceled, and what was
            published stays. Where it met a commit, a note on it says which came first.
    """
    contract = workspace.contract(table)
    if instance is None:
        with open_instance(workspace.settings) as own:
            return run_ingest(
                workspace, table, partitions, instance=own, force=force, on_taken_in=on_taken_in, on_ended=on_ended
            )
    aborted = report_aborted(instance)
    told = _Told(on_taken_in, on_ended)
    job = _job(workspace, contract, told)
    run_ids = []
    wanted = sorted(set(partitions))
    if not force:
        for done in _up_to_date(workspace, contract, wanted):
            wanted.remove(done.partition)
            told.ended(done)
    check_runs(workspace, contract, wanted)
    for keys in contiguous_ranges(contract.partitioning, wanted):
        result = _execute(job, contract, instance, keys, force=force)
        run_ids.append(result.run_id)
        if result.dagster_run.status is dg.DagsterRunStatus.CANCELED:
            raise _interrupted(told.interruption)
        if told.error is not None:
            raise told.error
        _raise_defect(result)
    ended = tuple(sorted(told.all_ended, key=lambda ended: ended.partition))
    return Ingestion(ended, tuple(run_ids), tuple(aborted))


def _up_to_date(workspace: Workspace, contract: TableContract, partitions: Sequence[str]) -> list[Ended]:
    """The partitions for which nothing changed: a run over them would only say so."""
    scan(workspace, contract)
    return [
        Ended(contract.table, status.key, Ending.REUSED, workspace.reader.head(contract.table, status.key))
        for status in partition_statuses(workspace, contract, only=partitions)
        if status.state is PartitionState.PUBLISHED and not status.outdated
    ]


@contextmanager
def open_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The installation's Dagster instance; nothing of it leaves the machine, with a dagster.yaml or without."""
    settings.prepare()
    os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "yes")
    # the variable keeps the collected usage data from being sent; the setting keeps it from being collected
    ref = InstanceRef.from_dir(str(settings.dagster_home), overrides={"telemetry": {"enabled": False}})
    with dg.DagsterInstance.from_ref(ref) as instance:
        yield instance


def contiguous_ranges(partitioning: Partitioning, partitions: Iterable[str]) -> list[list[str]]:
    """Partitions as runs of neighbours in the calendar, in order.

    Raises:
        UsageError: One of them is no key of the calendar.
    """
    wanted = sorted(set(partitions))
    if not wanted:
        return []
    if partitioning.cadence is Cadence.RUN:
        for key in wanted:
            check_key(partitioning, key)
        return [[key] for key in wanted]
    ranges: list[list[str]] = [[]]
    chosen = set(wanted)
    for key in keys_between(partitioning, wanted[0], wanted[-1]):
        if key in chosen:
            ranges[-1].append(key)
        elif ranges[-1]:
            ranges.append([])
    return [keys for keys in ranges if keys]


def _job(workspace: Workspace, contract: TableContract, listener: IngestListener) -> dg.JobDefinition:
    resource = WorkspaceResource.at(workspace.settings)
    resources = {"workspace": resource, "listener": listener, "gated": GatedIOManager(workspace=resource)}
    definitions = dg.Definitions.merge(table_assets(contract), dg.Definitions(resources=resources))
    return definitions.resolve_job_def(job_name(contract.table))


def _execute(
    job: dg.JobDefinition, contract: TableContract, instance: dg.DagsterInstance, keys: Sequence[str], *, force: bool
) -> dg.ExecuteInProcessResult:
    run_id = str(uuid4())
    register_runs(instance, contract, keys)
    with heeding_cancels(instance, run_id):
        return job.execute_in_process(
            instance=instance,
            run_id=run_id,
            raise_on_error=False,
            # from its creation on: a process that is killed early is found out, too
            tags={RANGE_START_TAG: keys[0], RANGE_END_TAG: keys[-1]} | beginning_tags(),
            run_config={
                "ops": {operation_name(contract.table): {"config": {"force": force}}},
                # whoever called shows what is worth showing; all of it is in the run's log
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
        )


def _interrupted(by: BaseException | None) -> KeyboardInterrupt:
    interrupt = KeyboardInterrupt()
    for note in getattr(by, "__notes__", ()):
        interrupt.add_note(note)
    return interrupt


def _raise_defect(result: dg.ExecuteInProcessResult) -> None:
    """A run that failed because it said so (something is held) has told why; any other failure is a defect."""
    for event in result.all_events:
        if event.is_step_failure and event.step_failure_data.user_failure_data is None:
            error = event.step_failure_data.error
            cause = error.cause or error if error is not None else None
            said = cause.message.strip() if cause else "for an unknown reason"
            msg = f"run {result.run_id} failed: {said}. Its log is in Dagster."
            raise DefectiveRunError(msg)
