"""Held candidates: what a gate stopped, and what a person makes of it. It is released as it is, or discarded.

A release is a commit with the failed receipts and the waiver in it; it may only follow what the candidate was built
on. A discard leaves a record, takes the candidate off the list and changes nothing for readers; what the candidate was
made of stays captured, so building the partition again comes to the same digests.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from contracts.commits import Commit, Waiver, superseded
from contracts.decisions import Discard
from contracts.errors import CommitError, StoreError, UsageError
from contracts.refs import Digest, hex_of
from contracts.selection import Decision
from platform_assets.decisions.deciding import commit, stored_table, stored_tables
from resources.link_writer import new_writer
from resources.table_reader import check_exports, held_key, table_prefix
from resources.workspace import Workspace


@dataclass(frozen=True, slots=True)
class HeldCandidate:
    """One candidate that a gate stopped."""

    commit: Commit
    head: Commit | None
    """What readers see meanwhile."""
    superseded: str | None
    """Why it is not to be released any more; None when it may be."""

    @property
    def table(self) -> str:
        """Whose it is."""
        return self.commit.candidate.table

    @property
    def partition(self) -> str:
        """Whose it is."""
        return self.commit.candidate.partition

    @property
    def name(self) -> str:
        """The candidate's recipe, in hex: what it is held under."""
        return hex_of(self.commit.candidate.view_key)


@dataclass(frozen=True, slots=True)
class HeldList:
    """What is held, and what cannot be told."""

    candidates: tuple[HeldCandidate, ...]
    problems: tuple[CommitError, ...]
    """Of held candidates, or chains, that are not what was written."""


def held_candidates(workspace: Workspace, table: str | None = None, partition: str | None = None) -> HeldList:
    """Every held candidate, by table and partition, the newest selection of a partition last.

    Args:
        workspace: The installation.
        table: One table (default: all that have a place in the store, gated assets' included).
        partition: One partition of it.

    Raises:
        UsageError: There is no such table.
    """
    tables = stored_tables(workspace) if table is None else [stored_table(workspace, table)]
    found: list[HeldCandidate] = []
    problems: list[CommitError] = []
    for name in tables:
        for key in workspace.store.keys(f"{table_prefix(name)}/held"):
            if partition not in {None, key}:
                continue
            try:
                found += _held(workspace, name, key)
            except CommitError as error:
                problems.append(error)
    return HeldList(tuple(found), tuple(problems))


def find_held(workspace: Workspace, table: str, partition: str, candidate: str | None = None) -> HeldCandidate:
    """The held candidate of a partition that a person decides about.

    Args:
        workspace: The installation.
        table: The table's name.
        partition: The key.
        candidate: The first hex digits of its name; by default the newest one that nothing has superseded.

    Raises:
        UsageError: There is none, or none of that name, or several.
        CommitError: A held candidate or the chain is not what was written.
    """
    held = _held(workspace, stored_table(workspace, table), partition)
    if not held:
        msg = f"nothing is held of {table}[{partition}]. See what is: hashgate held {table}"
        raise UsageError(msg, table=table, partition=partition)
    if candidate is None:
        return next((h for h in reversed(held) if h.superseded is None), held[-1])
    named = [h for h in held if h.name.startswith(candidate.removeprefix("blake3:"))]
    if len(named) == 1:
        return named[0]
    there = ", ".join(h.name[:12] for h in held)
    msg = f"{len(named)} held candidates of {table}[{partition}] begin with {candidate!r}. There are: {there}."
    raise UsageError(msg, table=table, partition=partition, candidate=candidate)


def release(workspace: Workspace, held: HeldCandidate, decision: Decision) -> Commit:
    """Make a held candidate the current version, with the waiver in the commit.

    Raises:
        CommitError: Something newer was committed since it was built, or it is no longer held as it was.
        DigestMismatchError, StoreError: Its files are not what was judged, or the store refused.
        UnansweredError: The store did not say whether it was published.
    """
    _check_still_held(workspace, held)
    workspace.reader.check_files(held.commit.candidate)
    check_exports(workspace.store, held.commit.candidate)
    table, partition = held.table, held.partition
    standing = workspace.reader.standing(table, partition)
    why_not = superseded(standing.head, held.commit)
    if why_not is not None:
        msg = (
            f"{table}[{partition}]: the held candidate {held.name[:12]} cannot be released: {why_not}. Have what is "
            f"there now judged on top of it: hashgate ingest {table} --partition {partition} --force"
        )
        raise CommitError(msg, table=table, partition=partition, candidate=held.name, why=why_not)
    now = workspace.now()
    released = Commit(
        number=standing.next_number,
        parent=standing.parent,
        kind="release",
        committed_at=now,
        writer=new_writer(),
        candidate=held.commit.candidate,
        receipts=held.commit.receipts,
        waiver=Waiver(actor=decision.actor, reason=decision.reason, waived_at=now),
    )
    commit(workspace, released)
    with suppress(StoreError):  # it is published; a held one of the same content is no longer looked at
        workspace.store.forget(held_key(table, partition, held.commit.candidate.view_key))
    return released


def discard(workspace: Workspace, held: HeldCandidate, decision: Decision) -> Discard:
    """Record that a held candidate is not wanted, and drop it.

    Raises:
        CommitError: It is no longer held as it was.
        StoreError: The store refused.
    """
    _check_still_held(workspace, held)
    recorded = _recorded(workspace, held) or _record(workspace, held, decision)
    workspace.store.forget(held_key(held.table, held.partition, held.commit.candidate.view_key))
    return recorded


def _held(workspace: Workspace, table: str, partition: str) -> list[HeldCandidate]:
    candidates = workspace.reader.held_candidates(table, partition)
    head = workspace.reader.head(table, partition) if candidates else None
    return [HeldCandidate(held, head, superseded(head, held)) for held in candidates]


def _check_still_held(workspace: Workspace, held: HeldCandidate) -> None:
    there = workspace.reader.held(held.table, held.partition, held.commit.candidate.view_key)
    if there is None or there.digest != held.commit.digest:
        now = "is not held any more" if there is None else "was built again since"
        msg = f"{held.table}[{held.partition}]: the candidate {held.name[:12]} {now}: nothing was changed. Look again."
        raise CommitError(msg, table=held.table, partition=held.partition, candidate=held.name)


def _recorded(workspace: Workspace, held: HeldCandidate) -> Discard | None:
    """The record of this very discard, if whoever made it came no further."""
    last = workspace.reader.discards(held.table, held.partition).last()
    return last if last is not None and last.held.digest == held.commit.digest else None


def _record(workspace: Workspace, held: HeldCandidate, decision: Decision) -> Discard:
    chain, now = workspace.reader.discards(held.table, held.partition), workspace.now()

    def numbered(number: int, parent: Digest | None) -> Discard:
        return Discard(
            number=number,
            parent=parent,
            table=held.table,
            partition=held.partition,
            discarded_at=now,
            decision=decision,
            held=held.commit,
        )

    while True:
        number = chain.newest() + 1
        recorded = chain.append(number, partial(numbered, number))
        if recorded is not None:
            return recorded
