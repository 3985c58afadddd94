"""The assets of an engine: `plan -> outputs -> facts -> ready`, a partition a run, and the gates as blocking checks.

They are one operation, which brings a run forward as `hashgate engine wait` does, and tells Dagster what is true of it
then. A run that waits for evidence is no failure: its plan is there, the state stands on the run and in an observation
of `ready`, and a sensor asks again. A run that failed or is in quarantine fails here, with its reasons.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of a nested function as they stand.

import warnings
from collections.abc import Iterable, Iterator

import dagster as dg

from contracts.authority.pack import EnginePack
from contracts.authority.status import RunState
from contracts.errors import HashgateError
from platform_assets.engine.engine_specs import (
    ENGINE_RUN_TAG,
    ENGINE_TAG,
    STATE_TAG,
    EngineKeys,
    engine_specs,
    gate_check_specs,
    job_name,
    plain_name,
)
from platform_assets.engine.rechecking import recheck
from platform_assets.engine.run_events import RunEvents, reasons_metadata, run_events, spoken_reasons
from platform_assets.engine.run_partitions import run_partitions
from platform_assets.engine.waiting import brought_forward
from platform_assets.ingest.asset_events import visible
from resources.authority.run_documents import RunDocuments
from resources.dagster_resources import WorkspaceResource


def engine_assets(pack: EnginePack) -> dg.Definitions:
    """The assets, checks and job of one engine."""
    with warnings.catch_warnings():
        # partitioned checks are a preview; the tests show what we rely on
        warnings.simplefilter("ignore", dg.BetaWarning)
        warnings.simplefilter("ignore", dg.PreviewWarning)
        assets = _assets(pack)
    job = dg.define_asset_job(
        job_name(pack.name),
        selection=dg.AssetSelection.assets(assets),
        description=f"Bring a run of engine {pack.name} forward: plan, invoke or reuse, judge, READY.",
        tags={ENGINE_TAG: pack.name},
        executor_def=dg.in_process_executor,
    )
    return dg.Definitions(assets=[assets], jobs=[job])


def _assets(pack: EnginePack) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=f"engine_{plain_name(pack.name)}_bring_forward",
        specs=engine_specs(pack),
        check_specs=gate_check_specs(pack),
        partitions_def=run_partitions(pack.name),
        can_subset=True,
        pool=f"engine_{plain_name(pack.name)}",
    )
    def bring_forward(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> Iterator[RunEvents]:
        run_id = context.partition_key
        try:
            opened = workspace.open()
            if not context.selected_asset_keys:
                yield from _selected(context, recheck(opened, pack, run_id))
                return
            status = brought_forward(opened, run_id)
            documents = RunDocuments(opened.store, run_id)
            told = [] if status is None else list(run_events(pack, documents, status))
        except HashgateError as error:
            raise dg.Failure(description=visible(str(error), 4000), allow_retries=False) from None
        state = "ADMITTED" if status is None else status.state.value
        context.instance.add_run_tags(context.run.run_id, {STATE_TAG: state, ENGINE_RUN_TAG: run_id})
        yield from _selected(context, told)
        if status is None:
            context.log.warning("run %s is admitted, and somebody else leads it: nothing is known yet", run_id)
            return
        if status.state.is_bad or status.state is RunState.SUPERSEDED:
            description = f"{state}: run {run_id} of engine {pack.name}\n{spoken_reasons(status.reasons)}"
            raise dg.Failure(description=description, metadata=reasons_metadata(status), allow_retries=False)
        if status.state is not RunState.READY:
            context.log.warning("run %s is %s: %s", run_id, state, spoken_reasons(status.reasons))
            observed = dg.AssetObservation(
                EngineKeys(pack.name).ready, partition=run_id, metadata=reasons_metadata(status)
            )
            context.log_event(observed)

    return bring_forward


def _selected(context: dg.AssetExecutionContext, events: Iterable[RunEvents]) -> Iterator[RunEvents]:
    """Those of some events that Dagster asked for."""
    checks = {(key.asset_key, key.name) for key in context.selected_asset_check_keys}
    for event in events:
        if isinstance(event, dg.MaterializeResult):
            if event.asset_key in context.selected_asset_keys:
                yield event
        elif (event.asset_key, event.check_name) in checks:
            yield event
