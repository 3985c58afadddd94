"""Repair: a chain that is not what was written gets a commit that says so, and can be read again.

The commit names every link that is damaged or missing, and makes the newest version current whose link and files are
whole; or none. It mends nothing: what was lost is lost, unless a backup has it, and a restored link is as welcome
after a repair as before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.commits import Commit, Damage, EmptyLink, Link
from contracts.errors import DigestMismatchError, UsageError
from contracts.selection import Decision
from platform_assets.decisions.deciding import commit, stored_table
from resources.link_writer import new_writer
from resources.workspace import Workspace


@dataclass(frozen=True, slots=True)
class RepairPlan:
    """What is wrong with a partition's chain, and what a repair would make of it."""

    table: str
    partition: str
    number: int
    """Of the commit to come."""
    whole: tuple[Link, ...]
    """The links that stay, the newest first."""
    damages: tuple[Damage, ...]
    current: Commit | None
    """The version that would be current; None: there is none whose files are whole."""


def plan_repair(workspace: Workspace, table: str, partition: str) -> RepairPlan:
    """Look at every link of a chain, and at the files of the version to come back. Changes nothing.

    Raises:
        UsageError: There is no such table or partition, or nothing is wrong.
        StoreError: The store refused; that is no damage.
    """
    inspection = workspace.reader.chain(stored_table(workspace, table), partition).inspect()
    if inspection.highest == 0:
        msg = f"{table}[{partition}] has no chain of versions. See what there is: hashgate status {table}"
        raise UsageError(msg, table=table, partition=partition)
    damages = list(inspection.damages)
    whole = list(inspection.whole)
    current: Commit | None = None
    while current is None and (newest := _newest_version(whole)) is not None:
        problem = _problem_with_files(workspace, newest)
        if problem is None:
            current = newest
        else:
            damages.append(Damage(number=newest.number, observed=newest.digest, problem=problem, below=None))
            whole.remove(newest)
    if not damages:
        msg = (
            f"nothing is wrong with the chain of {table}[{partition}]: {len(whole)} links and the files of the current "
            "version are whole. To look at everything else: hashgate verify"
        )
        raise UsageError(msg, table=table, partition=partition)
    bridged = tuple(sorted((_bridged(damage, whole) for damage in damages), key=lambda damage: -damage.number))
    return RepairPlan(table, partition, inspection.highest + 1, tuple(whole), bridged, current)


def repair(workspace: Workspace, plan: RepairPlan, decision: Decision) -> Link:
    """Commit what was found, and with it what is current from now on.

    Raises:
        CommitError: Somebody committed meanwhile: look again.
        StoreError: The store refused.
        UnansweredError: The store did not say whether it was committed.
    """
    current = plan.current
    parent = plan.whole[0].digest if plan.whole else None
    link: Link
    if current is None:
        link = EmptyLink(
            number=plan.number,
            parent=parent,
            kind="repair",
            committed_at=workspace.now(),
            writer=new_writer(),
            table=plan.table,
            partition=plan.partition,
            decision=decision,
            damages=plan.damages,
        )
    else:
        link = Commit(
            number=plan.number,
            parent=parent,
            kind="repair",
            committed_at=workspace.now(),
            writer=new_writer(),
            candidate=current.candidate,
            receipts=current.receipts,
            waiver=current.waiver,
            decision=decision,
            goes_back_to=current.ref,
            declined=current.declined,
            damages=plan.damages,
        )
    commit(workspace, link)
    return link


def _newest_version(whole: Sequence[Link]) -> Commit | None:
    """What readers see of a chain of these links, the newest first."""
    link = next((link for link in whole if link.kind != "void"), None)
    return link if isinstance(link, Commit) else None


def _problem_with_files(workspace: Workspace, version: Commit) -> str | None:
    try:
        workspace.reader.check_files(version.candidate)
    except DigestMismatchError as error:
        return (
            f"{error.evidence['subject']}: expected {error.evidence['expected']}, observed {error.evidence['observed']}"
        )
    return None


def _bridged(damage: Damage, whole: Sequence[Link]) -> Damage:
    below = next((link.ref for link in whole if link.number < damage.number), None)
    return damage.model_copy(update={"below": below})
