"""Where every partition stands, and what a run would do about it. Looks, and changes nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from contracts.commits import Commit
from contracts.gates import counted
from contracts.partitions import keys_between
from contracts.refs import Digest
from contracts.segments import expected_partition_view
from contracts.selection import CapturedDrop, freeze, newest_by_path
from contracts.table_contract import TableContract
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
    EMPTY = "empty"
    """No drop has come for it."""


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
        files = workspace.catalogue.files(contract.table, to_capture=True)
    waiting: dict[str, list[KnownFile]] = {}
    for file in files:
        if file.partition is not None:
            waiting.setdefault(file.partition, []).append(file)
    captures = workspace.catalogue.captures(contract.table, None if only is None else sorted(only))
    published = set(workspace.reader.partitions(contract.table))
    calendar = set(only) if only is not None else _calendar(contract, {*captures, *published, *waiting})
    return [
        _status(workspace, contract, key, captures.get(key, []), waiting.get(key, []), has_head=key in published)
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
    *,
    has_head: bool,
) -> PartitionStatus:
    if not captures and not waiting and not has_head:
        return PartitionStatus(contract.table, key, PartitionState.EMPTY, why="no drop has come for it")
    head = workspace.reader.head(contract.table, key) if has_head else None
    snapshot, _ = freeze(newest_by_path(captures, captures[-1][0] if captures else 0))
    recipe = expected_partition_view(contract, parser_identity(), snapshot.inputs).key
    state, why, outdated = _judge(workspace, contract, key, head, recipe, snapshot.digest, waiting)
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
    )


def _judge(
    workspace: Workspace,
    contract: TableContract,
    key: str,
    head: Commit | None,
    recipe: Digest,
    snapshot: Digest,
    waiting: list[KnownFile],
) -> tuple[PartitionState, str, bool]:
    if waiting:
        names = ", ".join(f.path for f in waiting[:3]) + (" and more" if len(waiting) > 3 else "")
        return PartitionState.PENDING, f"{counted(len(waiting), 'new or changed file')}: {names}", False
    if head is not None and head.candidate.view_key == recipe:
        return PartitionState.PUBLISHED, "", False
    held = workspace.reader.held(contract.table, key, recipe)
    if held is not None:
        failed = [r for r in held.receipts if r.verdict != "PASS"]
        said = "; ".join(
            f"gate {r.gate} {r.verdict}: {r.findings[0].subject}: {r.findings[0].observed}"
            for r in failed
            if r.findings
        )
        return PartitionState.HELD, said, False
    if head is None:
        return PartitionState.PENDING, "captured, never built", False
    if head.candidate.snapshot != snapshot:
        return PartitionState.PENDING, "its drops changed since the current version", False
    if head.candidate.contract.rows_digest != contract.rows_digest:
        return PartitionState.PENDING, "the contract's rules for rows changed: its drops are parsed again", False
    if head.candidate.contract.set_digest != contract.set_digest:
        return (
            PartitionState.PENDING,
            "the contract's rules for the partition changed: its segments are judged again",
            False,
        )
    return PartitionState.PUBLISHED, "built by another version of the parser or its libraries", True
