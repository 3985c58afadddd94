"""Reconciliation: what Dagster shows and what the store holds are compared, both ways.

They part when a run dies between a commit and its events, when Dagster's instance is lost, or when a store is restored
from a backup. The store is the truth: versions that Dagster does not know are told to it, without a run; versions that
Dagster believes in and the store no longer has, or cannot vouch for, turn their partition's `integrity` red, and green
again when the store is whole. Where the store has gone back behind what Dagster knew, an observation says so: that may
have been a restore, or somebody who cut the chain's tail off.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of a nested function as they stand.

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import dagster as dg

from contracts.commits import Commit, EmptyLink
from contracts.errors import CommitError, HashgateError
from contracts.gates import counted
from contracts.produced import UNPARTITIONED, produced_asset
from contracts.table_contract import TableContract
from platform_assets.evidence.corruptions import Concern, Corruption
from platform_assets.evidence.dagster_memory import told_versions_of
from platform_assets.evidence.memories import ToldVersion
from platform_assets.ingest.asset_events import (
    DATA_VERSION,
    DATA_VERSION_IS_OURS,
    TableKeys,
    failure_events,
    selection_event,
    visible,
)
from platform_assets.ingest.runless_events import report
from platform_assets.ingest.telling import tell, told_versions
from resources.dagster_resources import WorkspaceResource
from resources.gated_io_manager import version_metadata
from resources.workspace import Workspace
from sensors.active_runs import UNFINISHED, partitions_in_work
from sensors.cursors import SensorCursor
from sensors.start_up import PROCESS, Place, StartUpLook, is_readable, look_from

SECONDS_BETWEEN_TICKS = 60
TELLING_S = 25.0
"""Of a tick, for a table: some 250 partitions on SQLite. What is left follows in the next ticks."""
START_UP_S = 15.0
_TOLD_TOGETHER = 16
_SAID = 3


class ReconcileCursor(SensorCursor):
    """What the sensor remembers from tick to tick."""

    broken: tuple[Place, ...] = ()
    """Partitions that were turned red."""
    process: str = ""
    """Which process has looked at the store as it started."""
    reached: Place | None = None
    """How far that look has come."""
    done: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    """How Dagster and the store differ over one table."""

    untold: tuple[str, ...]
    """Partitions whose current version Dagster's latest event does not name."""
    lost: tuple[tuple[str, str], ...]
    """Partitions, with the reason, that Dagster shows as materialized and nobody can read."""


@dataclass
class Telling:
    """What came of telling the untold."""

    told: list[str] = field(default_factory=list)
    """Partitions."""
    problems: list[tuple[str, str]] = field(default_factory=list)
    """Partitions whose version cannot be trusted, with the reason."""
    went_back: list[str] = field(default_factory=list)
    """Partitions of which Dagster knew a version that the store does not have."""


def reconcile_sensor(contracts: Sequence[TableContract]) -> dg.SensorDefinition:
    """The sensor for all tables."""

    @dg.sensor(
        name="reconcile",
        minimum_interval_seconds=SECONDS_BETWEEN_TICKS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Tells Dagster of versions that it does not know of, and turns red what the store has lost. The first "
            "ticks of a process look through the whole store."
        ),
    )
    def reconcile(context: dg.SensorEvaluationContext, workspace: WorkspaceResource) -> dg.SensorResult:
        tick = _Tick(context, workspace.open(), ReconcileCursor.parse(context.cursor))
        return tick.run(contracts)

    return reconcile


class _Tick:
    """One look at all tables."""

    def __init__(self, context: dg.SensorEvaluationContext, workspace: Workspace, cursor: ReconcileCursor) -> None:
        self._context, self._instance, self._workspace, self._cursor = context, context.instance, workspace, cursor
        self._said: list[str] = []
        self._broken: list[Place] = []

    def run(self, contracts: Sequence[TableContract]) -> dg.SensorResult:
        look = self._look_at_start()
        for contract in contracts:
            self._reconcile(contract, look.unreadable)
        self._tell_of_assets()
        reason = "; ".join(self._said) or f"{len(contracts)} tables: Dagster and the store agree"
        cursor = ReconcileCursor(
            broken=tuple(sorted(self._broken)), process=PROCESS, reached=look.reached, done=look.done
        )
        return dg.SensorResult(skip_reason=f"{reason}.", cursor=cursor.text())

    def _look_at_start(self) -> StartUpLook:
        cursor = self._cursor
        if cursor.process == PROCESS and cursor.done:
            return StartUpLook(cursor.reached, done=True)
        reached = cursor.reached if cursor.process == PROCESS else None
        look = look_from(self._workspace, reached, START_UP_S)
        for found in look.found:
            self._context.log.error("%s", visible(_in_words(found), 2000))
        if look.found:
            first = visible(_in_words(look.found[0]), 300)
            said = counted(len(look.found), "object")
            self._said.append(f"at start-up, {said} not as published ({first}): run `hashgate verify`")
        if not look.done:
            seen = counted(look.partitions, "partition")
            self._said.append(f"at start-up, {seen} looked through in this tick, the others follow")
        return look

    def _reconcile(self, contract: TableContract, unreadable: Mapping[Place, str]) -> None:
        # before the look: a run that ends meanwhile has told everything itself
        busy = partitions_in_work(self._instance, contract)
        difference = compare(self._instance, self._workspace, contract, busy)
        telling = tell_untold(self._instance, self._workspace, contract, difference.untold, TELLING_S)
        damaged = [(key, why) for (table, key), why in unreadable.items() if table == contract.table]
        broken = dict([*damaged, *telling.problems, *difference.lost])
        before = [key for table, key in self._cursor.broken if table == contract.table]
        still = [
            key
            for key in before
            if key not in broken and (key in busy or not self._has_recovered(contract, key, telling.told))
        ]
        self._broken += [(contract.table, key) for key in still]
        for key, why in broken.items():
            self._broken.append((contract.table, key))
            if key not in before:
                report(self._instance, failure_events(TableKeys(contract.table), key, ["integrity"], why))
        self._said += _said(contract, telling, len(difference.untold), broken)
        if still:
            self._said.append(f"{contract.table}: {counted(len(still), 'partition')} still red ({still[0]})")

    def _has_recovered(self, contract: TableContract, partition: str, told: Collection[str]) -> bool:
        """Whether readers can have again what was turned red; its gates' verdicts count again then."""
        if not is_readable(self._workspace, contract.table, partition):
            return False
        head = self._workspace.reader.head(contract.table, partition)
        if head is not None and partition not in told:
            known = {partition: head.digest}
            report(self._instance, tell(self._instance, self._workspace, contract, [head], "", known=known))
        return True

    def _tell_of_assets(self) -> None:
        """Tell of the tables of people's own assets, as far as Dagster knows the assets."""
        repository = self._context.repository_def
        if repository is None:
            return
        known = repository.asset_graph.get_all_asset_keys()
        runs = self._instance.get_runs(filters=dg.RunsFilter(statuses=UNFINISHED))
        for table in self._workspace.store.keys("tables"):
            key = dg.AssetKey(produced_asset(table) or ())
            if key in known and not any(run.asset_selection is None or key in run.asset_selection for run in runs):
                told = report(self._instance, _untold_tables(self._instance, self._workspace, table, key))
                self._said += [f"{key.to_user_string()}: told Dagster of {told} tables that it did not know"] * bool(
                    told
                )


def compare(
    instance: dg.DagsterInstance, workspace: Workspace, contract: TableContract, busy: Collection[str]
) -> Difference:
    """Compare heads with Dagster's latest events, leaving out partitions that a run is working on."""
    told = told_versions(instance, TableKeys(contract.table).report)
    heads = head_digests(workspace, contract.table)
    untold = tuple(key for key, digest in heads.items() if key not in busy and told.get(key) != digest)
    gone = sorted(key for key in told if key not in heads and key not in busy)
    return Difference(untold, tuple((key, _why_gone(workspace, contract.table, key)) for key in gone))


def head_digests(workspace: Workspace, table: str) -> dict[str, str]:
    """Per partition the digest that its current version claims; nothing is verified, it is only compared."""
    claimed = {key: workspace.reader.claimed_head(table, key) for key in workspace.reader.partitions(table)}
    return {partition: digest for partition, digest in claimed.items() if digest is not None}


def tell_untold(
    instance: dg.DagsterInstance,
    workspace: Workspace,
    contract: TableContract,
    partitions: Sequence[str],
    seconds: float,
) -> Telling:
    """Tell Dagster of the current versions of partitions, without a run, for some time."""
    until, telling = time.monotonic() + seconds, Telling()
    known = told_versions_of(instance, TableKeys(contract.table).validated, partitions)
    for start in range(0, len(partitions), _TOLD_TOGETHER):
        if telling.told and time.monotonic() > until:
            break
        commits = list(_trusted(workspace, contract, partitions[start : start + _TOLD_TOGETHER], telling))
        try:
            report(instance, _events(instance, workspace, contract, commits, known, telling))
        except HashgateError as error:
            telling.problems += [(commit.candidate.partition, visible(str(error))) for commit in commits]
        else:
            telling.told += [commit.candidate.partition for commit in commits]
    return telling


def _trusted(
    workspace: Workspace, contract: TableContract, partitions: Sequence[str], telling: Telling
) -> Iterator[Commit]:
    for partition in partitions:
        try:
            head = workspace.reader.head(contract.table, partition)
        except CommitError as error:
            telling.problems.append((partition, str(error)))
            continue
        if head is not None:
            yield head


def _events(
    instance: dg.DagsterInstance,
    workspace: Workspace,
    contract: TableContract,
    commits: Sequence[Commit],
    known: Mapping[str, ToldVersion],
    telling: Telling,
) -> Iterator[dg.AssetMaterialization | dg.AssetObservation | dg.AssetCheckEvaluation]:
    keys = TableKeys(contract.table)
    for commit in commits:
        partition = commit.candidate.partition
        selection = workspace.reader.selection(contract.table, partition)
        if selection is not None and selection.number == commit.candidate.selection_number:
            yield selection_event(keys, selection)
        told = known.get(partition)
        if told is not None and not _has(workspace, commit, told):
            telling.went_back.append(partition)
            yield _went_back(keys, commit, told)
    yield from tell(instance, workspace, contract, commits, "")


def _has(workspace: Workspace, head: Commit, told: ToldVersion) -> bool:
    """Whether the chain has a version that Dagster knows."""
    table, partition, _ = head.place
    chain = workspace.reader.chain(table, partition)
    try:
        return chain.link(told.number).digest == told.commit
    except CommitError:
        # what a repair has put up with is known to be gone
        return any(damage.number == told.number for link in chain.links() for damage in link.damages)


def _went_back(keys: TableKeys, head: Commit, told: ToldVersion) -> dg.AssetObservation:
    return dg.AssetObservation(
        keys.validated,
        partition=head.candidate.partition,
        description=(
            f"The store has no version {told.number} any more, which Dagster had recorded: it was restored to an "
            f"earlier state, or its tail was cut off. Version {head.number} is current."
        ),
        metadata={
            "lost_version": told.number,
            "lost_commit": told.commit,
            "version": head.number,
            "commit": head.digest,
        },
    )


def _untold_tables(
    instance: dg.DagsterInstance, workspace: Workspace, table: str, key: dg.AssetKey
) -> Iterator[dg.AssetMaterialization]:
    """The current tables of an asset that Dagster's latest events do not name."""
    heads = head_digests(workspace, table)
    told = told_versions_of(instance, key, list(heads)) if heads else {}
    for partition, digest in heads.items():
        if partition in told and told[partition].commit == digest:
            continue
        try:
            head = workspace.reader.head(table, partition)
        except CommitError:
            continue  # whoever reads it is told; an asset's table has no check that could turn red
        if head is not None:
            yield dg.AssetMaterialization(
                key,
                partition=None if partition == UNPARTITIONED else partition,
                metadata=version_metadata(workspace, head),
                tags={DATA_VERSION: head.candidate.view_key, DATA_VERSION_IS_OURS: "true"},
            )


def _why_gone(workspace: Workspace, table: str, partition: str) -> str:
    gone = "Dagster recorded a version, but the store has none"
    try:
        tip = workspace.reader.standing(table, partition).tip
    except CommitError as error:
        return f"{gone}: {error}"
    if isinstance(tip, EmptyLink) and tip.decision is not None:
        by = f"{tip.decision.actor} ({tip.decision.reason})"
        return f"{gone}: {visible(by)} repaired its chain, and no version was whole. Materialize the partition again."
    return f"{gone}. Restore the store, or materialize the partition again."


def _in_words(found: Corruption) -> str:
    place = f"{found.table}[{found.partition}] " if found.partition else ""
    hint = " Readers cannot have its current version." if found.concern is Concern.READERS else ""
    return f"{place}{found.subject}: {found.problem}.{hint} {found.fix}"


def _said(contract: TableContract, telling: Telling, untold: int, broken: Mapping[str, str]) -> list[str]:
    said = []
    if untold:
        said.append(f"{contract.table}: told Dagster of {len(telling.told)} of {untold} versions that it did not know")
    if telling.went_back:
        some = ", ".join(telling.went_back[:_SAID])
        said.append(f"{contract.table}: the store has gone back behind what Dagster knew in {some}")
    if broken:
        said.append(f"{contract.table}: {len(broken)} partitions that Dagster shows cannot be read ({min(broken)})")
    return said
