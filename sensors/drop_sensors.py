"""New drops: one sensor a table looks at the drop folder and asks for runs over what has to be built.

A tick costs one stat a listed file, and everything else only for partitions in which something moved. It asks for as
few runs as it can (contiguous ranges), never for a partition that a run is working on, and not again for one that is
held: that waits for another drop or another contract. A run that was killed or failed is asked for again, three times
in all; one that somebody cancelled is not. A run whose process is dead is said to be over, whoever started it.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of a nested function as they stand.

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import dagster as dg

from contracts.errors import ContractError, HashgateError
from contracts.odcs_reader import parse_contract
from contracts.partitions import keys_between
from contracts.refs import Frozen, digest_json
from contracts.table_contract import TableContract
from platform_assets.ingest.asset_events import CONTRACT_TAG, visible
from platform_assets.ingest.planning import PartitionState, PartitionStatus, partition_statuses
from platform_assets.ingest.run_outcomes import report_aborted
from platform_assets.ingest.selecting import scan
from platform_assets.ingest.table_assets import job_name
from resources.dagster_resources import WorkspaceResource
from resources.drop_folder import is_being_written
from resources.file_catalogue import KnownFile, ScanReport
from resources.parser_identity import parser_identity
from resources.workspace import Workspace
from sensors.active_runs import RANGE_END_TAG, RANGE_START_TAG, partitions_in_work
from sensors.cursors import SensorCursor

SECONDS_BETWEEN_TICKS = 10
PARTITIONS_A_RUN = 50
"""So that progress shows, and that a killed run is little to do again."""
RUNS_A_TICK = 4
ATTEMPTS = 3
ATTEMPT_TAG = "hashgate/attempt"
_FINGERPRINT_CHARACTERS = 16


class Asked(Frozen):
    """A run was asked for, for a partition in a certain state."""

    fingerprint: str
    attempt: int
    run_key: str


class DropCursor(SensorCursor):
    """What a table's sensor remembers from tick to tick."""

    under: str = ""
    """The contract and parser it looked under; under others, all partitions are looked at again."""
    sequence: int = 0
    """The capture sequence up to which it has looked."""
    open: tuple[str, ...] = ()
    """Partitions that were not done when it looked last."""
    asked: Mapping[str, Asked] = {}


@dataclass(frozen=True, slots=True)
class Look:
    """What one tick came to."""

    requests: tuple[dg.RunRequest, ...]
    cursor: DropCursor
    said: str


StatusOf = Callable[[str], dg.DagsterRunStatus | None]
"""The status of the newest run with a run key; None when there is none."""


def drop_sensor(contract: TableContract) -> dg.SensorDefinition:
    """The sensor of one table."""

    @dg.sensor(
        name=f"{contract.table}_drops",
        job_name=job_name(contract.table),
        minimum_interval_seconds=SECONDS_BETWEEN_TICKS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"New and changed files at {contract.server.path} are ingested into {contract.table}.",
    )
    def drops(context: dg.SensorEvaluationContext, workspace: WorkspaceResource) -> dg.SensorResult | dg.SkipReason:
        report_aborted(context.instance)
        # before anything else is looked at: a run that ends meanwhile then counts as busy, not as failed
        busy = partitions_in_work(context.instance, contract)
        try:
            changed = contract_problem(contract)
            if changed is not None:
                return dg.SkipReason(changed)
            opened, cursor = workspace.open(), DropCursor.parse(context.cursor)
            count_crashes(opened, context.instance)
            look = look_for_drops(opened, contract, cursor, busy, _status_of(context.instance))
        except HashgateError as error:
            return dg.SkipReason(visible(str(error), 2000))
        if not look.requests:
            return dg.SensorResult(skip_reason=look.said, cursor=look.cursor.text())
        context.log.info(look.said)
        return dg.SensorResult(run_requests=list(look.requests), cursor=look.cursor.text())

    return drops


def count_crashes(workspace: Workspace, instance: dg.DagsterInstance) -> None:
    """Settle the notes of dead processes now: what a drop's crashes change is known when it is asked for again."""

    def is_over(run_id: str) -> bool:
        run = instance.get_run_by_id(run_id)
        return run is not None and run.is_finished

    workspace.parser_attempts.settle(is_over, workspace.now())


def look_for_drops(
    workspace: Workspace, contract: TableContract, cursor: DropCursor, busy: Collection[str], status_of: StatusOf
) -> Look:
    """Scan the drop folder and decide what to ask for.

    Args:
        workspace: The installation.
        contract: The table's.
        cursor: From the tick before.
        busy: Partitions that a run is working on or waits to.
        status_of: How an earlier request ended.

    Raises:
        ConfigurationError: The drop folder is missing or unreadable.
    """
    under = digest_json([contract.digest, parser_identity().model_dump(mode="json")])
    sequence = workspace.catalogue.newest_sequence(contract.table)
    scanned = scan(workspace, contract)
    files = workspace.catalogue.files(contract.table, to_capture=True)
    statuses = partition_statuses(workspace, contract, files, only=_moved(workspace, contract, cursor, files, under))
    moving = {f.partition for f in files if f.partition and is_being_written(workspace.settings.drops / f.path)}
    pending = {s.key: s for s in statuses if s.state is PartitionState.PENDING}
    asked: dict[str, Asked] = {}
    wanted: dict[str, tuple[str, int]] = {}
    given_up: list[str] = []
    for key, status in sorted(pending.items()):
        before = cursor.asked.get(key)
        fingerprint = _fingerprint(contract, status, [f for f in files if f.partition == key])
        if before is not None and before.fingerprint == fingerprint:
            asked[key] = before
        if key in busy or key in moving:
            continue
        attempt = _next_attempt(asked.get(key), status_of)
        if attempt is None:
            given_up.append(key)
        else:
            wanted[key] = (fingerprint, attempt)
    requests = []
    for keys in _ranges(contract, list(wanted))[:RUNS_A_TICK]:
        request = _request(contract, keys, {key: wanted[key] for key in keys if key in wanted})
        requests.append(request)
        asked |= {
            key: Asked(fingerprint=wanted[key][0], attempt=wanted[key][1], run_key=str(request.run_key))
            for key in keys
            if key in wanted
        }
    return Look(
        tuple(requests),
        DropCursor(under=under, sequence=sequence, open=tuple(pending), asked=asked),
        _said(scanned, statuses, requests, pending, busy, moving, given_up),
    )


def contract_problem(contract: TableContract) -> str | None:
    """Why nothing should be asked for under the contract that the definitions were made from; None when all is well."""
    source = Path(contract.source)
    try:
        now = parse_contract(source.read_bytes(), source=contract.source)
    except FileNotFoundError:
        return f"{contract.source} is gone. Put it back, or reload the definitions to take {contract.table} away."
    except (OSError, ContractError) as error:
        return f"Nothing is ingested into {contract.table}: {visible(str(error), 1500)}"
    if now.digest != contract.digest:
        return f"{contract.source} was changed. Reload the definitions: runs under the old contract would be refused."
    return None


def _status_of(instance: dg.DagsterInstance) -> StatusOf:
    @cache
    def status_of(run_key: str) -> dg.DagsterRunStatus | None:
        runs = instance.get_runs(filters=dg.RunsFilter(tags={"dagster/run_key": run_key}), limit=1)
        return runs[0].status if runs else None

    return status_of


def _moved(
    workspace: Workspace, contract: TableContract, cursor: DropCursor, files: Sequence[KnownFile], under: str
) -> set[str] | None:
    """The partitions that may stand otherwise than at the last look; None for all of them."""
    if cursor.under != under:
        return None
    since = workspace.catalogue.partitions_captured_since(contract.table, cursor.sequence)
    return {f.partition for f in files if f.partition} | since | set(cursor.open)


def _fingerprint(contract: TableContract, status: PartitionStatus, files: Sequence[KnownFile]) -> str:
    """What a request is about: the contract, the version that is current, what is captured and what is not yet."""
    stamps = sorted([f.path, f.stamp] for f in files)
    digest = digest_json([contract.digest, status.key, status.version, status.pending_view_key, stamps])
    return digest.partition(":")[2][:_FINGERPRINT_CHARACTERS]


def _next_attempt(before: Asked | None, status_of: StatusOf) -> int | None:
    """Which attempt the next request is; None when nobody should try again until something changes."""
    if before is None:
        return 1
    status = status_of(before.run_key)
    if status is None:
        return before.attempt  # it never came to a run: the same key may be used again
    if status is dg.DagsterRunStatus.CANCELED or before.attempt >= ATTEMPTS:
        return None
    return before.attempt + 1


def _ranges(contract: TableContract, keys: Sequence[str]) -> list[list[str]]:
    """Cut sorted keys into runs of neighbours.

    A range over a gap would be fewer runs, but a day for which nothing came would show as failed when another is held.
    """
    if not keys:
        return []
    place = {key: i for i, key in enumerate(keys_between(contract.partitioning, keys[0], keys[-1]))}
    ranges = [[keys[0]]]
    for key in keys[1:]:
        current = ranges[-1]
        if place[key] == place[current[-1]] + 1 and len(current) < PARTITIONS_A_RUN:
            current.append(key)
        else:
            ranges.append([key])
    return ranges


def _request(contract: TableContract, keys: Sequence[str], wanted: Mapping[str, tuple[str, int]]) -> dg.RunRequest:
    run_key = digest_json([contract.table, sorted([key, *about] for key, about in wanted.items())])
    return dg.RunRequest(
        run_key=run_key,
        tags={
            RANGE_START_TAG: keys[0],
            RANGE_END_TAG: keys[-1],
            CONTRACT_TAG: contract.digest,
            ATTEMPT_TAG: str(max(attempt for _, attempt in wanted.values())),
        },
    )


def _said(
    scanned: ScanReport,
    statuses: Sequence[PartitionStatus],
    requests: Sequence[dg.RunRequest],
    pending: Collection[str],
    busy: Collection[str],
    moving: Collection[str | None],
    given_up: Sequence[str],
) -> str:
    return ", ".join(_parts(scanned, statuses, requests, pending, busy, moving, given_up)) + "."


def _parts(
    scanned: ScanReport,
    statuses: Sequence[PartitionStatus],
    requests: Sequence[dg.RunRequest],
    pending: Collection[str],
    busy: Collection[str],
    moving: Collection[str | None],
    given_up: Sequence[str],
) -> Iterator[str]:
    yield f"{scanned.listed} files: {scanned.new} new, {scanned.changed} changed, {scanned.unchanged} unchanged"
    if pending:
        yield f"{len(pending)} partitions to build, {len(requests)} runs asked for"
    if busy:
        yield f"{len(set(busy))} partitions in runs"
    if moving:
        yield f"{len(moving)} waiting for files that are still being written"
    if given_up:
        many = f"{len(given_up)} given up after {ATTEMPTS} attempts or a cancel"
        yield f"{many} ({given_up[0]}): materialize them by hand"
    held = [s.key for s in statuses if s.state is PartitionState.HELD]
    if held:
        yield f"{len(held)} held ({held[0]})"
    if scanned.problems:
        first = scanned.problems[0]
        yield f"{len(scanned.problems)} files cannot be taken ({visible(first.path, 100)}: {first.problem})"
