"""Where every partition stands, and what a run would do about it. Looks, and changes nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from contracts.commits import Commit, declines, refuses
from contracts.errors import CommitError
from contracts.gates import counted
from contracts.partitions import keys_between
from contracts.refs import Digest
from contracts.segments import expected_partition_view
from contracts.selection import CapturedDrop, Selector, choose, freeze
from contracts.table_contract import TableContract
from platform_assets.ingest.engine_outputs import waiting_files
from platform_assets.ingest.watched_reading import refused_drops
from resources.file_catalogue import KnownFile
from resources.parser_identity import parser_identity
from resources.workspace import Workspace


class PartitionState(StrEnum):
    """Where a partition stands."""

    PUBLISHED = "published"
    """The current version is built from what is there now."""
    HELD = "held"
    """A gate stopped what is there now; the last good version, if any, stays readable."""
    PENDING = "pending"
    """There is something that no version was built from yet."""
    DECLINED = "declined"
    """A person rolled back or discarded what is there now: nothing is built from it until something new comes."""
    EMPTY = "empty"
    """No drop has come for it."""
    UNREADABLE = "unreadable"
    """Its chain of versions is not what was written: nobody reads it, and nothing is built, until it is repaired."""


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """One partition's standing."""

    table: str
    key: str
    state: PartitionState
    view_key: Digest | None = None
    """Of the current version."""
    version: int | None = None
    inputs: int = 0
    """Drops of the current version; of the newest selection when there is none."""
    valid_rows: int | None = None
    quarantined_rows: int | None = None
    committed_at: dt.datetime | None = None
    outdated: bool = False
    """Built by another parser or other libraries: current all the same; rebuilt by `--force` or when inputs change."""
    why: str = ""
    """For anything but a plain published one: what is waited for, or what stopped it."""
    pending_view_key: Digest | None = None
    """The recipe of what would be built now, as far as it is captured."""
    kind: str | None = None
    """How the current version came about: `publish`, `release`, `rollback` or `repair`."""
    waived: bool = False
    """Whether a gate stopped the current version, and somebody let it through."""
    decided_by: str | None = None
    """Who let it through, or went back to it."""
    because: str | None = None
    """Why they did."""


def partition_statuses(
    workspace: Workspace,
    contract: TableContract,
    files: Sequence[KnownFile] | None = None,
    *,
    only: Collection[str] | None = None,
) -> list[PartitionStatus]:
    """Every partition from the first to the newest that has anything, and the empty ones between.

    Args:
        workspace: The installation.
        contract: The table's.
        files: New and changed files (default: as the catalogue has them after its last scan).
        only: Look at these partitions alone, which costs as much as they are many.
    """
    if files is None:
        files = waiting_files(workspace, contract, only)
    waiting: dict[str, list[KnownFile]] = {}
    for file in files:
        if file.partition is not None:
            waiting.setdefault(file.partition, []).append(file)
    captures = workspace.catalogue.captures(contract.table, None if only is None else sorted(only))
    published = set(workspace.reader.partitions(contract.table))
    calendar = set(only) if only is not None else _calendar(contract, {*captures, *published, *waiting})
    crashed = refused_drops(workspace, contract)
    return [
        _status(
            workspace, contract, key, captures.get(key, []), waiting.get(key, []), crashed, has_head=key in published
        )
        for key in sorted(calendar)
    ]


def _calendar(contract: TableContract, touched: set[str]) -> set[str]:
    if not touched:
        return set()
    return set(keys_between(contract.partitioning, min(touched), max(touched))) | touched


def _status(
    workspace: Workspace,
    contract: TableContract,
    key: str,
    captures: list[tuple[int, CapturedDrop]],
    waiting: list[KnownFile],
    crashed: frozenset[Digest],
    *,
    has_head: bool,
) -> PartitionStatus:
    if not captures and not waiting and not has_head:
        return PartitionStatus(contract.table, key, PartitionState.EMPTY, why="no drop has come for it")
    try:
        head = workspace.reader.head(contract.table, key) if has_head else None
    except CommitError as error:
        return PartitionStatus(contract.table, key, PartitionState.UNREADABLE, why=str(error))
    selector, cutoff = Selector.of(contract.sink_mode), captures[-1][0] if captures else 0
    snapshot, _ = freeze(choose(selector, captures, cutoff), selector)
    recipe = expected_partition_view(contract, parser_identity(), snapshot.inputs, crashed).key
    look = _Look(workspace, contract, key, head, recipe, snapshot.digest, cutoff, waiting)
    state, why, outdated = look.judge()
    decided = head and (head.decision or head.waiver)
    return PartitionStatus(
        table=contract.table,
        key=key,
        state=state,
        view_key=head.candidate.view_key if head else None,
        version=head.number if head else None,
        inputs=len(snapshot.inputs) + len([f for f in waiting if not captures]),
        valid_rows=head.candidate.valid_rows if head else None,
        quarantined_rows=head.candidate.quarantined_rows if head else None,
        committed_at=head.committed_at if head else None,
        outdated=outdated,
        why=why,
        pending_view_key=recipe if captures else None,
        kind=head.kind if head else None,
        waived=head.waived if head else False,
        decided_by=decided.actor if decided else None,
        because=decided.reason if decided else None,
    )


@dataclass(frozen=True, slots=True)
class _Look:
    """What there is for one partition, and what is made of it."""

    workspace: Workspace
    contract: TableContract
    key: str
    head: Commit | None
    recipe: Digest
    """Of what would be built now."""
    snapshot: Digest
    cutoff: int
    """The last capture for it."""
    waiting: Sequence[KnownFile]

    def judge(self) -> tuple[PartitionState, str, bool]:
        """The state, why, and whether the current version is outdated."""
        if self.waiting:
            names = ", ".join(f.path for f in self.waiting[:3]) + (" and more" if len(self.waiting) > 3 else "")
            return PartitionState.PENDING, f"{counted(len(self.waiting), 'new or changed file')}: {names}", False
        if self.head is not None and self.head.candidate.view_key == self.recipe:
            return PartitionState.PUBLISHED, "", False
        held = self._held()
        if held is not None and not held.is_undecided:
            return PartitionState.HELD, _what_stopped(held), False
        rolled_back = declines(self.head, self.cutoff, self.contract)
        if rolled_back is not None:
            return PartitionState.DECLINED, rolled_back, False
        changed = self._changed()
        if changed is None:
            return PartitionState.PUBLISHED, "built by another version of the parser or its libraries", True
        discarded = self._discarded()
        if discarded is not None:
            return PartitionState.DECLINED, discarded, False
        return PartitionState.PENDING, f"{_what_stopped(held)}: to be judged again" if held else changed, False

    def _held(self) -> Commit | None:
        """The candidate of this recipe that a gate stopped, unless something newer was committed since."""
        try:
            held = self.workspace.reader.held(self.contract.table, self.key, self.recipe)
        except CommitError:
            return None  # it is built again, and replaced; `hashgate verify` names it
        return held if held is not None and refuses(self.head, held.candidate, force=True) is None else None

    def _discarded(self) -> str | None:
        discard = self.workspace.reader.discards(self.contract.table, self.key).last()
        return None if discard is None else discard.declines(self.cutoff, self.contract)

    def _changed(self) -> str | None:
        """What is other than when the current version was made."""
        if self.head is None:
            return "captured, never built"
        candidate = self.head.candidate
        if candidate.snapshot != self.snapshot:
            return "its drops changed since the current version"
        if candidate.contract.rows_digest != self.contract.rows_digest:
            return "the contract's rules for rows changed: its drops are parsed again"
        if candidate.contract.set_digest != self.contract.set_digest:
            return "the contract's rules for the partition changed: its segments are judged again"
        return None


def _what_stopped(held: Commit) -> str:
    """The gates that did not pass, each with its first finding."""
    return "; ".join(
        f"gate {r.gate} {r.verdict}: {r.findings[0].subject}: {r.findings[0].observed}"
        for r in held.failed
        if r.findings
    )
