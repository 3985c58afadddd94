"""Reconciliation: what Dagster shows and what the store holds are compared, both ways.

They part when a run dies between a commit and its events, when Dagster's instance is lost, or when a store is restored
from a backup. The store is the truth: versions that Dagster does not know are told to it, without a run; versions that
Dagster believes in and the store no longer has, or cannot vouch for, turn their partition's `integrity` red.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of a nested function as they stand.

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import dagster as dg

from contracts.canonical import canonical_bytes, parse_json
from contracts.commits import Commit
from contracts.errors import CommitError, HashgateError
from contracts.table_contract import TableContract
from platform_assets.ingest.asset_events import TableKeys, failure_events, selection_event, visible
from platform_assets.ingest.telling import tell, told_versions
from resources.dagster_resources import WorkspaceResource
from resources.table_reader import commits_prefix, numbered_key
from resources.workspace import Workspace
from sensors.active_runs import partitions_in_work

SECONDS_BETWEEN_TICKS = 60
PARTITIONS_A_TICK = 100
"""About ten seconds of events on SQLite."""
_TOLD_TOGETHER = 16
_RUNLESS = ""
"""The run id of events that no run made."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How Dagster and the store differ over one table."""

    untold: tuple[str, ...]
    """Partitions whose current version Dagster's latest event does not name."""
    lost: tuple[tuple[str, str], ...]
    """Partitions, with the reason, that Dagster shows as materialized and nobody can read."""


def reconcile_sensor(contracts: Sequence[TableContract]) -> dg.SensorDefinition:
    """The sensor for all tables."""

    @dg.sensor(
        name="reconcile",
        minimum_interval_seconds=SECONDS_BETWEEN_TICKS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells Dagster of versions that it does not know of, and turns red what the store has lost.",
    )
    def reconcile(context: dg.SensorEvaluationContext, workspace: WorkspaceResource) -> dg.SensorResult:
        opened = workspace.open()
        known_lost = set(parse_json(context.cursor)) if context.cursor else set()
        lost: list[str] = []
        said: list[str] = []
        for contract in contracts:
            # before the look: a run that ends meanwhile has told everything itself
            busy = partitions_in_work(context.instance, contract)
            difference = compare(context.instance, opened, contract, busy)
            told, problems = tell_untold(context.instance, opened, contract, difference.untold[:PARTITIONS_A_TICK])
            missing = [*difference.lost, *problems]
            for partition, why in missing:
                lost.append(f"{contract.table}/{partition}")
                if lost[-1] not in known_lost:
                    for event in failure_events(TableKeys(contract.table), partition, ["integrity"], why):
                        context.instance.report_runless_asset_event(event)
            said += _said(contract, told, len(difference.untold), missing)
        reason = "; ".join(said) if said else f"{len(contracts)} tables: Dagster and the store agree"
        return dg.SensorResult(skip_reason=reason + ".", cursor=canonical_bytes(sorted(lost)).decode())

    return reconcile


def compare(
    instance: dg.DagsterInstance, workspace: Workspace, contract: TableContract, busy: Collection[str]
) -> Difference:
    """Compare heads with Dagster's latest events, leaving out partitions that a run is working on."""
    told = told_versions(instance, TableKeys(contract.table).report)
    heads = head_digests(workspace, contract.table)
    untold = tuple(key for key, digest in heads.items() if key not in busy and told.get(key) != digest)
    gone = "Dagster recorded a version, but the store has none. Restore the store, or materialize the partition again."
    lost = tuple((key, gone) for key in sorted(told) if key not in heads and key not in busy)
    return Difference(untold, lost)


def head_digests(workspace: Workspace, table: str) -> dict[str, str]:
    """Per partition the digest that its newest commit claims; nothing is verified, it is only compared."""
    digests: dict[str, str] = {}
    for partition in workspace.reader.partitions(table):
        names = workspace.store.keys(commits_prefix(table, partition))
        if names:
            number = int(names[-1].removesuffix(".json"))
            digests[partition] = _claimed_digest(workspace.store.get(numbered_key(table, "commits", partition, number)))
    return digests


def tell_untold(
    instance: dg.DagsterInstance, workspace: Workspace, contract: TableContract, partitions: Sequence[str]
) -> tuple[int, list[tuple[str, str]]]:
    """Tell Dagster of the current versions of partitions, without a run.

    Returns:
        How many were told, and the partitions whose version cannot be trusted, with the reason.
    """
    commits: list[Commit] = []
    problems: list[tuple[str, str]] = []
    for partition in partitions:
        try:
            head = workspace.reader.head(contract.table, partition)
        except CommitError as error:
            problems.append((partition, str(error)))
            continue
        if head is not None:
            commits.append(head)
    told = 0
    for start in range(0, len(commits), _TOLD_TOGETHER):
        batch = commits[start : start + _TOLD_TOGETHER]
        try:
            for event in _events(instance, workspace, contract, batch):
                instance.report_runless_asset_event(event)
        except HashgateError as error:
            problems += [(commit.candidate.partition, visible(str(error))) for commit in batch]
        else:
            told += len(batch)
    return told, problems


def _events(
    instance: dg.DagsterInstance, workspace: Workspace, contract: TableContract, commits: Sequence[Commit]
) -> Iterator[dg.AssetMaterialization | dg.AssetCheckEvaluation]:
    keys = TableKeys(contract.table)
    for commit in commits:
        selection = workspace.reader.selection(contract.table, commit.candidate.partition)
        if selection is not None and selection.number == commit.candidate.selection_number:
            yield selection_event(keys, selection)
    yield from tell(instance, workspace, contract, commits, _RUNLESS)


def _claimed_digest(data: bytes) -> str:
    try:
        return str(parse_json(data)["digest"])
    except (ValueError, KeyError, TypeError):
        return "unreadable"


def _said(contract: TableContract, told: int, untold: int, lost: Sequence[tuple[str, str]]) -> list[str]:
    said = [f"{contract.table}: told Dagster of {told} of {untold} versions that it did not know"] if untold else []
    if lost:
        said.append(f"{contract.table}: {len(lost)} partitions that Dagster shows cannot be read ({lost[0][0]})")
    return said
