"""What retention lets go: superseded versions, and selections and drops that nothing names any more.

What is to go is recorded before anything is removed, and what was recorded is no root any more. That is all that
happens here; the collector removes what nothing names.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice, pairwise, zip_longest
from typing import Literal, TypeVar

from contracts.collection import (
    LISTED_TOGETHER,
    Arrival,
    ExpiredDrop,
    ExpiredRecord,
    ExpiredSelection,
    ExpiredVersion,
)
from contracts.commits import Commit, superseded
from contracts.errors import HashgateError
from contracts.produced import PRODUCED_PREFIX
from contracts.refs import Digest
from contracts.retention import KEPT_FOR_EVER, Retention, VersionAge, is_past, too_old
from contracts.selection import CapturedDrop, Decision, Selection, Selector, choose
from platform_assets.upkeep.table_documents import Snapshots, TableDocuments
from resources.commit_chain import link_name
from resources.expirations import Expirations, record_expired
from resources.object_store import ObjectStore
from resources.table_reader import folders_of, numbered_key
from resources.workspace import Workspace

ItemT = TypeVar("ItemT")
Cause = Literal["retention", "forgotten"]


@dataclass
class Expiry:
    """What is to go, and why."""

    versions: list[ExpiredVersion] = field(default_factory=list)
    selections: list[ExpiredSelection] = field(default_factory=list)
    drops: list[ExpiredDrop] = field(default_factory=list)
    why: dict[tuple[str, str, int], str] = field(default_factory=dict)
    """Of versions, by table, partition and number: the limit that each broke."""

    def __bool__(self) -> bool:
        return bool(self.versions or self.selections or self.drops)

    def add(self, other: Expiry) -> None:
        """Take over what another table lets go."""
        self.versions += other.versions
        self.selections += other.selections
        self.drops += other.drops
        self.why |= other.why

    def records(
        self, now: dt.datetime, cause: Cause, decision: Decision | None = None
    ) -> Iterator[partial[ExpiredRecord]]:
        """The records that say so, each still without a number and a parent."""
        portions = zip_longest(
            _portions(self.versions), _portions(self.selections), _portions(self.drops), fillvalue=()
        )
        for versions, selections, drops in portions:
            yield partial(
                ExpiredRecord,
                expired_at=now,
                cause=cause,
                decision=decision,
                versions=versions,
                selections=selections,
                drops=drops,
            )


def retention_of(workspace: Workspace, table: str) -> tuple[Retention, Selector]:
    """How long a table's superseded versions are kept, and what it selects by. When unsure, nothing goes."""
    contract = workspace.contracts.contracts.get(table)
    if contract is not None:
        return contract.retention, Selector.of(contract.sink_mode)
    retention = Retention() if table.startswith(PRODUCED_PREFIX) else KEPT_FOR_EVER
    return retention, Selector.NEWEST_BY_PATH


def expiry_of(
    workspace: Workspace,
    documents: TableDocuments,
    expirations: Expirations,
    snapshots: Snapshots,
    now: dt.datetime,
) -> Expiry:
    """What of a table is too old now, by the store's clock; nothing, where a document cannot be read."""
    if documents.problems:
        return Expiry()
    retention, selector = retention_of(workspace, documents.table)
    expiry = Expiry()
    _let_versions_go(expiry, documents, expirations, retention, now)
    with_versions = expirations.with_records(_as_written(expiry, now))
    _let_selections_go(expiry, documents, with_versions, retention, now)
    with_selections = with_versions.with_records(_as_written(expiry, now))
    try:
        _let_drops_go(expiry, documents, with_selections, snapshots, retention, selector, now)
    except HashgateError:  # a snapshot: the collector says so, and removes nothing of the table
        return Expiry()
    return expiry


def superseded_candidates(workspace: Workspace, documents: TableDocuments, now: dt.datetime) -> list[Commit]:
    """The held candidates that wait for nobody any more, by the store's clock; none, where a document cannot be read.

    What was published after all goes at once: a crash kept its publisher from forgetting it. What something newer
    superseded stays as long as a superseded version does.
    """
    if documents.problems:
        return []
    retention, _ = retention_of(workspace, documents.table)

    def is_over(held: Commit) -> bool:
        head = documents.heads.get(held.candidate.partition)
        if head is None or superseded(head, held) is None:
            return False
        key = numbered_key(documents.table, "commits", held.candidate.partition, head.number)
        since = documents.modified.get(key, head.committed_at)
        return held.candidate.is_same_content(head.candidate) or is_past(retention, since, now)

    return [held for held in documents.held if is_over(held)]


def forgotten_expiry(
    documents: Sequence[TableDocuments], expirations: Expirations, snapshots: Snapshots
) -> list[tuple[Decision, Expiry]]:
    """What was made of drops that somebody withdrew, and the drops themselves, by the decision that they go by."""
    by_decision: dict[Decision, Expiry] = {}
    for table in documents:
        withdrawn = _withdrawn(table)
        if withdrawn:
            _let_forgotten_go(by_decision, table, withdrawn, expirations, snapshots)
    return list(by_decision.items())


def _withdrawn(documents: TableDocuments) -> dict[Digest, Decision]:
    """The content that does not count any more, and whose decision that was."""
    standing: dict[Digest, Decision] = {}
    for batch in documents.batches:
        for drop in batch.drops:
            standing.pop(drop.digest, None)
            if drop.withdrawn and batch.decision is not None:
                standing[drop.digest] = batch.decision
    return standing


def _let_forgotten_go(
    by_decision: dict[Decision, Expiry],
    documents: TableDocuments,
    withdrawn: Mapping[Digest, Decision],
    expirations: Expirations,
    snapshots: Snapshots,
) -> None:
    def decided(snapshot: Digest) -> Decision | None:
        try:
            inputs = snapshots.inputs(snapshot)
        except HashgateError:  # the collector says so, and removes nothing of the table
            return None
        return next((withdrawn[ref.digest] for ref in inputs if ref.digest in withdrawn), None)

    for commit in kept_versions(documents, expirations):
        by = decided(commit.candidate.snapshot) if commit.candidate.origin == "drops" else None
        if by is not None:
            by_decision.setdefault(by, Expiry()).versions.append(expired_version(commit))
    for selection in kept_selections(documents, expirations):
        by = decided(selection.snapshot)
        if by is not None:
            by_decision.setdefault(by, Expiry()).selections.append(expired_selection(selection))
    arrived = {drop.digest: sequence for sequence, drop in documents.captures if not drop.withdrawn}
    for digest, by in withdrawn.items():
        if not expirations.holds_drop(documents.table, digest, arrived[digest]):
            by_decision.setdefault(by, Expiry()).drops.append(expired_drop(documents, digest))


def kept_versions(documents: TableDocuments, expirations: Expirations) -> Iterator[Commit]:
    """The versions that have not expired, by partition, oldest first."""
    for partition, commits in documents.versions.items():
        yield from (c for c in commits if (documents.table, partition, c.number) not in expirations.versions)


def kept_selections(documents: TableDocuments, expirations: Expirations) -> Iterator[Selection]:
    """The selections that have not expired, by partition, oldest first."""
    for partition, selections in documents.selections.items():
        yield from (s for s in selections if (documents.table, partition, s.number) not in expirations.selections)


def write_expiry(
    store: ObjectStore,
    expiry: Expiry,
    now: dt.datetime,
    cause: Cause = "retention",
    decision: Decision | None = None,
) -> list[ExpiredRecord]:
    """Record what goes; from now on it is no root.

    Raises:
        ChainError: An earlier record is missing or altered.
    """

    def numbered(record: partial[ExpiredRecord], number: int, parent: Digest | None) -> ExpiredRecord:
        return record(number=number, parent=parent)

    return [record_expired(store, partial(numbered, record)) for record in expiry.records(now, cause, decision)]


def expired_version(commit: Commit) -> ExpiredVersion:
    """What stays known of a version."""
    candidate = commit.candidate
    return ExpiredVersion(
        table=candidate.table,
        partition=candidate.partition,
        number=commit.number,
        commit=commit.digest,
        view_key=candidate.view_key,
        snapshot=candidate.snapshot,
        committed_at=commit.committed_at,
    )


def expired_selection(selection: Selection) -> ExpiredSelection:
    """What stays known of a selection."""
    return ExpiredSelection(
        table=selection.table, partition=selection.partition, number=selection.number, snapshot=selection.snapshot
    )


def expired_drop(documents: TableDocuments, digest: Digest) -> ExpiredDrop:
    """What stays known of a drop: all its arrivals."""
    arrivals, size = [], 0
    for batch in documents.batches:
        for drop in batch.drops:
            if drop.digest == digest and not drop.withdrawn:
                size = drop.size_bytes
                arrivals.append(
                    Arrival(
                        path=drop.path,
                        partition=drop.partition,
                        sequence=batch.sequence,
                        captured_at=batch.captured_at,
                    )
                )
    return ExpiredDrop(table=documents.table, digest=digest, size_bytes=size, arrivals=tuple(arrivals))


def version_ages(documents: TableDocuments, expirations: Expirations) -> list[VersionAge]:
    """The versions that have not expired, with their ages and what would go with each."""
    seen: set[str] = set()
    ages: list[VersionAge] = []
    versions = [(commit, _superseded_at(documents, commit)) for commit in kept_versions(documents, expirations)]
    far = dt.datetime.max.replace(tzinfo=dt.UTC)
    for commit, superseded_at in sorted(versions, key=lambda pair: pair[1] or far, reverse=True):
        own = {
            f"{name}/{file.name}": file.size_bytes
            for name, folder in folders_of(commit.candidate)
            for file in folder.files
        }
        size = sum(size for name, size in own.items() if name not in seen)
        seen |= set(own)
        ages.append(VersionAge(commit.candidate.partition, commit.number, superseded_at, size))
    return ages


def _superseded_at(documents: TableDocuments, commit: Commit) -> dt.datetime | None:
    """When the next link took a version's place; None for the current one."""
    partition = commit.candidate.partition
    head = documents.heads.get(partition)
    if head is not None and head.number == commit.number:
        return None
    later = [other.number for other in documents.versions[partition] if other.number > commit.number]
    successor = min(later, default=documents.tips.get(partition, commit.number))
    key = numbered_key(documents.table, "commits", partition, successor)
    return documents.modified.get(key, commit.committed_at)


def _let_versions_go(
    expiry: Expiry, documents: TableDocuments, expirations: Expirations, retention: Retention, now: dt.datetime
) -> None:
    old = too_old(retention, version_ages(documents, expirations), now)
    for partition, commits in documents.versions.items():
        for commit in commits:
            why = old.get((partition, commit.number))
            if why is not None:
                expiry.versions.append(expired_version(commit))
                expiry.why[documents.table, partition, commit.number] = why


def _let_selections_go(
    expiry: Expiry, documents: TableDocuments, expirations: Expirations, retention: Retention, now: dt.datetime
) -> None:
    """Selections with a newer one, that no version is built from which is kept."""
    table = documents.table
    named = {
        (commit.candidate.partition, commit.candidate.selection_number)
        for commit in (*kept_versions(documents, expirations), *documents.held)
    }
    for partition, selections in documents.selections.items():
        for selection, successor in pairwise(selections):
            gone = (table, partition, selection.number) in expirations.selections
            if gone or (partition, selection.number) in named:
                continue
            key = numbered_key(table, "selections", partition, successor.number)
            since = documents.modified.get(key, successor.frozen_at)
            if is_past(retention, since, now):
                expiry.selections.append(expired_selection(selection))


def _let_drops_go(
    expiry: Expiry,
    documents: TableDocuments,
    expirations: Expirations,
    snapshots: Snapshots,
    retention: Retention,
    selector: Selector,
    now: dt.datetime,
) -> None:
    """Drops that nothing names which is kept, and that no selection would choose now."""
    kept = _named_drops(documents, expirations, snapshots) | _selectable(documents, selector)
    arrived = {drop.digest: sequence for sequence, drop in documents.captures if not drop.withdrawn}
    for digest, since in _useless_since(documents).items():
        gone = expirations.holds_drop(documents.table, digest, arrived[digest])
        if digest not in kept and not gone and is_past(retention, since, now):
            expiry.drops.append(expired_drop(documents, digest))


def _named_drops(documents: TableDocuments, expirations: Expirations, snapshots: Snapshots) -> set[Digest]:
    """The drops of every version, candidate and selection that is kept."""
    named = {
        commit.candidate.snapshot
        for commit in (*kept_versions(documents, expirations), *documents.held)
        if commit.candidate.origin == "drops"
    } | {selection.snapshot for selection in kept_selections(documents, expirations)}
    return {ref.digest for snapshot in named for ref in snapshots.inputs(snapshot)}


def _selectable(documents: TableDocuments, selector: Selector) -> set[Digest]:
    """What a selection of any partition would choose now."""
    by_partition: dict[str, list[tuple[int, CapturedDrop]]] = {}
    for sequence, drop in documents.captures:
        by_partition.setdefault(drop.partition, []).append((sequence, drop))
    return {drop.digest for captures in by_partition.values() for drop in choose(selector, captures, captures[-1][0])}


def _useless_since(documents: TableDocuments) -> dict[Digest, dt.datetime]:
    """Per drop that was replaced or withdrawn: when that happened under the last of its paths."""
    since: dict[Digest, dt.datetime] = {}
    newest: dict[str, Digest] = {}
    for batch in documents.batches:
        key = f"captures/{documents.table}/{link_name(batch.sequence)}"
        at = documents.modified.get(key, batch.captured_at)
        for drop in batch.drops:
            before = drop.digest if drop.withdrawn else newest.get(drop.path)
            if before is not None and (drop.withdrawn or before != drop.digest):
                since[before] = max(at, since.get(before, at))
            newest[drop.path] = drop.digest
    return since


def _as_written(expiry: Expiry, now: dt.datetime) -> Iterator[ExpiredRecord]:
    return (record(number=1) for record in expiry.records(now, "retention"))


def _portions(items: Sequence[ItemT]) -> Iterator[tuple[ItemT, ...]]:
    rest: Iterable[ItemT] = iter(items)
    while portion := tuple(islice(rest, LISTED_TOGETHER)):
        yield portion
