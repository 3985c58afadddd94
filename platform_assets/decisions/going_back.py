"""Rollback: an earlier version becomes current again, as a commit of its own, and stays so until something new comes.

What was current is turned down by it: neither a run nor an automation publishes that again by itself. A rollback is
undone by another one, to the version that it replaced.
"""

from __future__ import annotations

from dataclasses import dataclass

from contracts.commits import Commit, Declined, Rules
from contracts.errors import CommitError, UsageError
from contracts.selection import Decision
from platform_assets.decisions.deciding import commit, stored_table
from resources.expirations import Expirations
from resources.link_writer import new_writer
from resources.table_reader import check_exports
from resources.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Return:
    """Which version is to come back, and instead of which."""

    head: Commit
    target: Commit


def versions(workspace: Workspace, table: str, partition: str) -> list[Commit]:
    """Every version of a partition, the oldest first; the last one is current.

    Raises:
        UsageError: There is no such table, or no version of the partition.
        CommitError: The chain is not what was written.
    """
    history = workspace.reader.history(stored_table(workspace, table), partition)
    if not history:
        msg = f"{table}[{partition}] has no version. See what there is: hashgate status {table}"
        raise UsageError(msg, table=table, partition=partition)
    return history


def find_return(workspace: Workspace, table: str, partition: str, version: int) -> Return:
    """Look up the version that a person wants back.

    Raises:
        UsageError: There is no such version, or readers see its content already.
        PurgedError: It was removed on purpose.
        CommitError: The chain is not what was written.
    """
    history = versions(workspace, table, partition)
    head = workspace.reader.head(table, partition)
    target = next((commit for commit in history if commit.number == version), None)
    if target is None or head is None:
        there = ", ".join(str(commit.number) for commit in history)
        msg = f"{table}[{partition}] has no version {version}. There are: {there}."
        raise UsageError(msg, table=table, partition=partition, version=version)
    Expirations.read(workspace.store).check_version(table, partition, version)
    if target.candidate.is_same_content(head.candidate):
        msg = f"{table}[{partition}]: readers see the content of version {version} already (version {head.number})."
        raise UsageError(msg, table=table, partition=partition, version=version)
    return Return(head, target)


def roll_back(workspace: Workspace, to: Return, decision: Decision) -> Commit:
    """Make an earlier version current again.

    Raises:
        CommitError: Another version became current meanwhile.
        DigestMismatchError, StoreError: The version's files are not what was published, or gone; or the store refused.
        UnansweredError: The store did not say whether it was committed.
    """
    candidate = to.target.candidate
    table, partition = candidate.table, candidate.partition
    workspace.reader.check_files(candidate)
    check_exports(workspace.store, candidate)
    standing = workspace.reader.standing(table, partition)
    if standing.head != to.head:
        now = "no version" if standing.head is None else f"version {standing.head.number}"
        msg = f"{table}[{partition}]: {now} is current by now: nothing was changed. Look again."
        raise CommitError(msg, table=table, partition=partition)
    back = Commit(
        number=standing.next_number,
        parent=standing.parent,
        kind="rollback",
        committed_at=workspace.now(),
        writer=new_writer(),
        candidate=candidate,
        receipts=to.target.receipts,
        waiver=to.target.waiver,
        decision=decision,
        goes_back_to=to.target.ref,
        declined=_declined(workspace, to.head),
    )
    commit(workspace, back)
    return back


def _declined(workspace: Workspace, head: Commit) -> Declined:
    table, partition, _ = head.place
    rules: Rules = workspace.contracts.contracts.get(table) or head.candidate.contract
    selection = workspace.reader.selection(table, partition)
    return Declined(
        view_key=head.candidate.view_key,
        cutoff=max(head.cutoff, 0 if selection is None else selection.cutoff),
        revision=head.revision,
        rows_digest=rules.rows_digest,
        set_digest=rules.set_digest,
    )
