"""The control bus, heard: a READY run is shown in Dagster, and starts what is downstream of it; so is a bad end.

An envelope only says where to look. Whether a run may be read is asked of its documents: one that is in quarantine or
superseded by now starts nothing. The same message, told again, asks for the same Dagster runs, which Dagster has; only
one that was published again by somebody starts again what had failed.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of a nested function as they stand.

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from contracts.authority.envelopes import Envelope
from contracts.authority.facts import TerminalSignal
from contracts.authority.status import RunState
from contracts.errors import HashgateError
from contracts.refs import hex_of
from contracts.table_contract import TableContract
from platform_assets.engine.engine_specs import ENGINE_RUN_TAG, STATE_TAG, job_name
from platform_assets.engine.run_partitions import run_partitions
from platform_assets.ingest.asset_events import CONTRACT_TAG, visible
from platform_assets.ingest.table_assets import job_name as table_job_name
from resources.authority.run_documents import RunDocuments
from resources.dagster_resources import WorkspaceResource
from resources.workspace import Workspace
from sensors.active_runs import UNFINISHED
from sensors.engine_runs import Job

SECONDS_BETWEEN_TICKS = 10
ENVELOPES_A_TICK = 20
_CONTRACT_DIGITS = 12


@dataclass(frozen=True, slots=True)
class BusLook:
    """What one tick came to."""

    requests: tuple[dg.RunRequest, ...]
    runs: Mapping[str, tuple[str, ...]]
    """Run ids by engine: the partitions that there have to be."""
    cursor: str
    said: str


def bus_sensor(
    engines: Sequence[str], tables: Mapping[str, Sequence[TableContract]], jobs: Sequence[Job]
) -> dg.SensorDefinition:
    """The sensor of the control bus.

    Args:
        engines: Those that have assets.
        tables: The tables that each engine's outputs flow into.
        jobs: Of the engines and of these tables.
    """

    @dg.sensor(
        name="engine_bus",
        jobs=list(jobs),
        minimum_interval_seconds=SECONDS_BETWEEN_TICKS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="READY and bad ends of engine runs, from the control bus: shown here, and handed on downstream.",
    )
    def engine_bus(context: dg.SensorEvaluationContext, workspace: WorkspaceResource) -> dg.SensorResult:
        try:
            look = hear(workspace.open(), context.cursor or "", engines, tables, is_shown=_is_shown(context.instance))
        except HashgateError as error:
            return dg.SensorResult(skip_reason=visible(str(error), 2000))
        if not look.requests:
            return dg.SensorResult(skip_reason=look.said, cursor=look.cursor)
        context.log.info(look.said)
        return dg.SensorResult(
            run_requests=list(look.requests),
            cursor=look.cursor,
            dynamic_partitions_requests=[
                run_partitions(engine).build_add_request(list(run_ids)) for engine, run_ids in look.runs.items()
            ],
        )

    return engine_bus


def hear(
    workspace: Workspace,
    cursor: str,
    engines: Sequence[str],
    tables: Mapping[str, Sequence[TableContract]],
    *,
    is_shown: Callable[[Envelope], bool] = lambda _: False,
) -> BusLook:
    """Read what came after a cursor, and decide what to ask for.

    Args:
        workspace: The installation.
        cursor: Of the tick before.
        engines: Those that have assets.
        tables: Downstream of each engine.
        is_shown: Whether Dagster has shown already what an envelope tells.

    Raises:
        BusError, StoreError: The bus or the store is away; the cursor stays.
    """
    delivery = workspace.bus.read(cursor, ENVELOPES_A_TICK)
    requests: list[dg.RunRequest] = []
    runs: dict[str, tuple[str, ...]] = {}
    for envelope in delivery.envelopes:
        if envelope.engine in engines:
            if not is_shown(envelope):
                requests.append(_shown_by(envelope))
            requests += _downstream(workspace, envelope, tables.get(envelope.engine, ()))
            runs[envelope.engine] = tuple(dict.fromkeys((*runs.get(envelope.engine, ()), envelope.run_id)))
    said = f"{len(delivery.envelopes)} envelopes, {len(requests)} runs asked for"
    if delivery.unreadable:
        said += f"; {len(delivery.unreadable)} cannot be read ({visible(delivery.unreadable[0], 300)})"
    return BusLook(tuple(requests), runs, delivery.cursor, said)


def _shown_by(envelope: Envelope) -> dg.RunRequest:
    """The Dagster run that shows a run's end."""
    return dg.RunRequest(
        run_key=_run_key(envelope, envelope.engine),
        job_name=job_name(envelope.engine),
        partition_key=envelope.run_id,
        tags={ENGINE_RUN_TAG: envelope.run_id},
    )


def _downstream(workspace: Workspace, envelope: Envelope, tables: Sequence[TableContract]) -> Iterator[dg.RunRequest]:
    """The Dagster runs that take a READY run's outputs in."""
    if not envelope.kind.is_ready or RunDocuments(workspace.store, envelope.run_id).readable_facts() is None:
        return
    for contract in tables:
        yield dg.RunRequest(
            run_key=_run_key(envelope, f"{contract.table}:{hex_of(contract.digest)[:_CONTRACT_DIGITS]}"),
            job_name=table_job_name(contract.table),
            partition_key=envelope.run_id,
            tags={CONTRACT_TAG: contract.digest, ENGINE_RUN_TAG: envelope.run_id},
        )


def _is_shown(instance: dg.DagsterInstance) -> Callable[[Envelope], bool]:
    """A run that Dagster itself brought forward has told its end; one that is about to need not be told twice."""

    def is_shown(envelope: Envelope) -> bool:
        about = {ENGINE_RUN_TAG: envelope.run_id}
        job = job_name(envelope.engine)
        told = dg.RunsFilter(job_name=job, tags=about | {STATE_TAG: ended_as(envelope)})
        under_way = dg.RunsFilter(job_name=job, tags=about, statuses=UNFINISHED)
        return any(instance.get_runs(filters, limit=1) for filters in (told, under_way))

    return is_shown


def ended_as(envelope: Envelope) -> str:
    """The state that an envelope tells."""
    return envelope.fact.state if isinstance(envelope.fact, TerminalSignal) else RunState.READY.value


def _run_key(envelope: Envelope, about: str) -> str:
    """One request a message; one more each time that somebody publishes it again."""
    again = f":{envelope.published_at.isoformat()}" if envelope.kind.value.endswith("REEMIT") else ""
    return f"{envelope.message_id}:{about}{again}"
