"""The assets of a table, made from its contract: `selection -> validated, quarantine -> report`, and the gates.

They are one operation, and what it does is never split. Freezing a selection, publishing from it and reporting on
what was published are one act per partition: whoever materializes any of the four gets the partition brought up to
date, and an unchanged one costs nothing. Executing the checks alone verifies what is published. Dagster is told of each
partition only what is true of it: one that is held, empty or failed is not materialized, and those around it are.

The operation is declared subsettable only because Dagster 1.13 refuses backfills over a non-subsettable one in which an
asset (the report) has two parents: `TimeWindowPartitionsSubset` has an `__eq__` but the `!=` of its tuple.

Beside them stands one asset without partitions, the overview: what there is to say about all current versions together.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of a nested function as they stand.

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import dagster as dg
from dagster import AssetCheckEvaluation, AssetMaterialization
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION as NOTHING_TO_RECORD
from dagster._core.errors import DagsterExecutionInterruptedError

from contracts.errors import DropError, HashgateError
from contracts.refs import hex_of
from contracts.table_contract import TableContract
from platform_assets.ingest.asset_events import (
    CONTRACT_TAG,
    TableKeys,
    failure_events,
    overview_metadata,
    selection_event,
    visible,
)
from platform_assets.ingest.ingesting import Ended, Ending, TakenIn, ingest, missing_files, run_fingerprint, take_in
from platform_assets.ingest.partition_calendars import table_partitions
from platform_assets.ingest.rechecking import recheck
from platform_assets.ingest.run_outcomes import (
    OUTCOME_TAG,
    RunOutcome,
    beginning_tags,
    outcome_of,
    stopped_outcome,
)
from platform_assets.ingest.table_specs import gate_specs, overview_spec, table_specs
from platform_assets.ingest.telling import tell, told_versions
from platform_assets.reports.table_overview import write_overview
from resources.dagster_resources import WorkspaceResource
from resources.gated_io_manager import AlreadyPublished
from resources.workspace import Workspace

FINGERPRINT_TAG = "hashgate/run_fingerprint"
TAG_DIGITS = 32
"""Dagster allows 63 characters in a tag's value: the first digits of the fingerprint tell runs apart well enough."""

RECORDED_TOGETHER = 16
RECORDED_AFTER_S = 2.0
"""Partitions are committed one by one and told to Dagster a few at a time, which saves it look-ups."""

FAILURES_NAMED = 5
BACKFILL_TAG = "dagster/backfill"

IngestEvent: TypeAlias = AssetMaterialization | AssetCheckEvaluation | dg.Output[AlreadyPublished | None]


class IngestConfig(dg.Config):
    """How to ingest."""

    force: bool = False
    """Parse, judge and publish again, even what is unchanged."""


class IngestListener:
    """Hears of every partition as it ends. This one does not care."""

    def taken_in(self, taken: TakenIn) -> None:
        """The drop folder was looked at, and the selections are frozen."""

    def ended(self, ended: Ended) -> None:
        """A partition is done, one way or another."""

    def gave_up(self, error: HashgateError) -> None:
        """The run cannot go on."""

    def stopped(self, interruption: BaseException) -> None:
        """Somebody stopped the run. Where that met a commit, a note on it says which came first."""


def table_assets(contract: TableContract) -> dg.Definitions:
    """The assets, checks and job of one table."""
    with warnings.catch_warnings():
        # backfill policies are beta and partitioned checks a preview; the tests show what we rely on
        warnings.simplefilter("ignore", dg.BetaWarning)
        warnings.simplefilter("ignore", dg.PreviewWarning)
        assets = _assets(contract)
    job = dg.define_asset_job(
        job_name(contract.table),
        selection=dg.AssetSelection.assets(assets),
        description=f"Bring partitions of {contract.table} up to date: select, build, audit, publish, report.",
        tags={CONTRACT_TAG: contract.digest},
        executor_def=dg.in_process_executor,
    )
    return dg.Definitions(assets=[assets, _overview(contract)], jobs=[job])


def job_name(table: str) -> str:
    """The job that ingests a table."""
    return f"{table}_ingest"


def operation_name(table: str) -> str:
    """The one operation behind a table's assets."""
    return f"{table}_ingest_partitions"


def _assets(contract: TableContract) -> dg.AssetsDefinition:
    partitions = table_partitions(contract)

    @dg.multi_asset(
        name=operation_name(contract.table),
        specs=table_specs(contract, partitions),
        check_specs=gate_specs(contract, partitions),
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        can_subset=True,
        op_tags={CONTRACT_TAG: contract.digest},
        pool=f"ingest_{contract.table}",
    )
    def ingest_partitions(
        context: dg.AssetExecutionContext,
        config: IngestConfig,
        workspace: WorkspaceResource,
        listener: dg.ResourceParam[IngestListener],
    ) -> Iterator[IngestEvent]:
        _refuse_other_contract(context, contract)
        try:
            if context.selected_asset_keys:
                yield from _Run(context, contract, workspace.open(), listener).events(force=config.force)
            else:
                yield from _checks_alone(context, contract, workspace.open())
        except HashgateError as error:
            listener.gave_up(error)
            _tell_outcome(context, RunOutcome.FAILED)
            raise dg.Failure(description=visible(str(error), 4000), allow_retries=False) from None
        except (KeyboardInterrupt, DagsterExecutionInterruptedError) as interruption:
            listener.stopped(interruption)
            _tell_outcome(context, stopped_outcome(context.instance, context.run.run_id))
            raise

    return ingest_partitions


def _overview(contract: TableContract) -> dg.AssetsDefinition:
    @dg.multi_asset(name=f"{contract.table}_overview", specs=[overview_spec(contract)])
    def overview(workspace: WorkspaceResource) -> dg.MaterializeResult[None]:
        """Merge the reports of what is current; what was merged before is found again."""
        try:
            written = write_overview(workspace.open(), contract)
        except HashgateError as error:
            raise dg.Failure(description=visible(str(error), 4000), allow_retries=False) from None
        return dg.MaterializeResult(
            metadata=overview_metadata(contract.table, written),
            data_version=dg.DataVersion(written.overview.versions),
        )

    return overview


def _tell_outcome(context: dg.AssetExecutionContext, outcome: RunOutcome) -> None:
    context.instance.add_run_tags(context.run.run_id, {OUTCOME_TAG: outcome.value})


def _checks_alone(
    context: dg.AssetExecutionContext, contract: TableContract, workspace: Workspace
) -> Iterator[IngestEvent]:
    gates = [gate for gate in contract.gates if gate in {key.name for key in context.selected_asset_check_keys}]
    partitions = list(context.partition_keys)
    yield from recheck(context.instance, workspace, contract, partitions, gates, context.run.run_id)
    for name in context.op_execution_context.selected_output_names:
        yield dg.Output(None, name)


def _refuse_other_contract(context: dg.AssetExecutionContext, contract: TableContract) -> None:
    """The run was asked for under a contract; work under another is not what was asked for.

    What was asked for stands in the snapshot of the job that Dagster took when the run was created.
    """
    snapshot_id = context.run.job_snapshot_id
    if snapshot_id is None:
        return
    snapshot = context.instance.get_job_snapshot(snapshot_id)
    asked_for = snapshot.node_defs_snapshot.op_def_snaps
    digests = {op.tags[CONTRACT_TAG] for op in asked_for if op.name == context.op_def.name and CONTRACT_TAG in op.tags}
    if digests and digests != {contract.digest}:
        raise dg.Failure(
            description=(
                f"This run was asked for under contract {', '.join(sorted(digests))}, but {contract.source} says "
                f"{contract.digest} now: nothing was done. Reload the definitions and ask again."
            ),
            allow_retries=False,
        )


class _Run:
    """One run over some partitions: does the work through `ingest`, and tells Dagster what became true."""

    def __init__(
        self,
        context: dg.AssetExecutionContext,
        contract: TableContract,
        workspace: Workspace,
        listener: IngestListener,
    ) -> None:
        self._context, self._contract, self._workspace, self._listener = context, contract, workspace, listener
        self._keys = TableKeys(contract.table)
        self._partitions = list(context.partition_keys)
        self._all: list[Ended] = []

    def events(self, *, force: bool) -> Iterator[IngestEvent]:
        """Ingest the run's partitions.

        Raises:
            dg.Failure: Something is held, failed, or there was nothing to do at all; what was published stays.
        """
        self._context.instance.add_run_tags(self._context.run.run_id, beginning_tags())
        taken = take_in(self._workspace, self._contract, self._partitions)
        self._say_what_was_found(taken)
        self._listener.taken_in(taken)
        fingerprint = run_fingerprint(self._contract, taken, force=force)
        tag = {FINGERPRINT_TAG: hex_of(fingerprint)[:TAG_DIGITS]}
        self._context.instance.add_run_tags(self._context.run.run_id, tag)
        told, selected = self._told(self._keys.report), self._told(self._keys.selection)
        run_id = self._context.run.run_id
        about: dict[str, Any] = {"run_id": run_id, "force": force, "is_over": self._is_over}
        for batch in self._in_batches(ingest(self._workspace, self._contract, self._partitions, taken, **about)):
            yield from self._record(batch, told, selected)
        self._fail_if_not_all_well(missing_files(taken))
        yield from self._hand_on(readable=all(ended.ending.is_readable for ended in self._all))

    def _is_over(self, run_id: str) -> bool:
        run = self._context.instance.get_run_by_id(run_id)
        return run is not None and run.is_finished

    def _told(self, key: dg.AssetKey) -> Mapping[str, str]:
        """What need not be told again; all of it in a backfill, which counts what its own runs told as done."""
        if BACKFILL_TAG in self._context.run.tags:
            return {}
        return told_versions(self._context.instance, key, self._partitions)

    def _in_batches(self, ended: Iterator[Ended]) -> Iterator[list[Ended]]:
        batch: list[Ended] = []
        since = time.monotonic()
        for one in ended:
            self._all.append(one)
            self._listener.ended(one)
            batch.append(one)
            if len(batch) >= RECORDED_TOGETHER or time.monotonic() - since >= RECORDED_AFTER_S:
                yield batch
                batch, since = [], time.monotonic()
        if batch:
            yield batch

    def _record(
        self, batch: Sequence[Ended], told: Mapping[str, str], selected: Mapping[str, str]
    ) -> Iterator[IngestEvent]:
        """Tell what a few partitions came to. What Dagster's latest event says already is not said again."""
        for ended in batch:
            if ended.selection is not None and selected.get(ended.partition) != ended.selection.snapshot:
                yield selection_event(self._keys, ended.selection)
        commits = [ended.commit for ended in batch if ended.commit is not None]
        instance, run_id = self._context.instance, self._context.run.run_id
        yield from tell(instance, self._workspace, self._contract, commits, run_id, known=told)
        for ended in batch:
            if ended.ending is Ending.FAILED:
                yield from failure_events(self._keys, ended.partition, self._contract.gates, ended.why)

    def _say_what_was_found(self, taken: TakenIn) -> None:
        scanned, captured, log = taken.scanned, taken.captured, self._context.log
        log.info(
            "%s: %d files, %d new, %d changed; %d captured, %d still being written",
            self._contract.server.path,
            scanned.listed,
            scanned.new,
            scanned.changed,
            captured.captured,
            len(captured.waiting),
        )
        for problem in scanned.problems[:FAILURES_NAMED]:
            log.warning("%s cannot be taken: %s", visible(problem.path), problem.problem)
        for failure in captured.failed[:FAILURES_NAMED]:
            log.warning("%s", visible(str(failure)))

    def _fail_if_not_all_well(self, not_captured: Sequence[DropError]) -> None:
        outcome = outcome_of(self._all, len(not_captured))
        empty = [e for e in self._all if e.ending is Ending.EMPTY]
        nothing = len(self._all) == len(empty) == 1
        _tell_outcome(self._context, RunOutcome.FAILED if nothing else outcome)
        if outcome is not RunOutcome.COMPLETE:
            raise dg.Failure(description=self._summary(outcome, not_captured), allow_retries=False)
        if nothing:
            partition, why = f"{self._contract.table}[{empty[0].partition}]", visible(empty[0].why)
            said = f"{partition} has nothing to ingest: {why}. Drop a file and run it again."
            raise dg.Failure(description=said, allow_retries=False)
        if empty:
            said = "%d of %d partitions have no drop and were left out: %s"
            self._context.log.warning(said, len(empty), len(self._all), _some_of(empty))

    def _summary(self, outcome: RunOutcome, not_captured: Sequence[DropError]) -> str:
        """The outcome, how many partitions ended how, and what is missing by name."""
        bad = [e for e in self._all if e.ending in {Ending.HELD, Ending.FAILED}]
        counts = {ending: sum(e.ending is ending for e in self._all) for ending in Ending}
        head = ", ".join(f"{count} {ending}" for ending, count in counts.items() if count)
        lines = [f"{e.partition} is {e.ending}: {visible(e.why)}" for e in bad[:FAILURES_NAMED]]
        if len(bad) > FAILURES_NAMED:
            lines.append(f"and {len(bad) - FAILURES_NAMED} more: {_some_of(bad[FAILURES_NAMED:])}")
        lines += [f"not captured: {visible(str(error))}" for error in not_captured[:FAILURES_NAMED]]
        if len(not_captured) > FAILURES_NAMED:
            lines.append(f"and {len(not_captured) - FAILURES_NAMED} more files")
        stays = "What was published stays published."
        return "\n".join([f"{outcome}: {self._contract.table}: {head}. {stays}", *lines])

    def _hand_on(self, *, readable: bool) -> Iterator[dg.Output[AlreadyPublished | None]]:
        """Let assets further down run in this very run if all partitions are `readable`; checks need their output.

        All is recorded: the outputs must not record it again.
        """
        selected = self._context.op_execution_context.selected_output_names
        for name, output in self._context.op_def.output_dict.items():
            if name not in selected or (not readable and not output.is_required):
                continue
            value = None if output.dagster_type.is_nothing else AlreadyPublished()
            yield dg.Output(value, name, metadata={NOTHING_TO_RECORD: True})


def _some_of(ended: Sequence[Ended]) -> str:
    names = [e.partition for e in ended]
    return ", ".join(names) if len(names) <= 2 * FAILURES_NAMED else f"{names[0]} ... {names[-1]}"
