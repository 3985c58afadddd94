"""Everything the documents of a table say: its versions, what is held, its selections, what arrived, and when.

A document that cannot be read might name anything. So it is no error here but a problem, kept beside the rest: whoever
removes things leaves alone what the table may need.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from contracts.commits import Commit
from contracts.errors import HashgateError
from contracts.refs import BlobRef, Digest
from contracts.selection import CaptureBatch, CapturedDrop, Selection, SelectionSnapshot
from resources.captures import get_blob
from resources.table_reader import held_prefix, selection_chain, table_prefix
from resources.workspace import Workspace


@dataclass
class TableDocuments:
    """The documents of one table."""

    table: str
    versions: dict[str, list[Commit]] = field(default_factory=dict)
    """By partition, oldest first: every link of the chain that holds a version."""
    heads: dict[str, Commit] = field(default_factory=dict)
    """By partition what readers see; one without a current version is left out."""
    tips: dict[str, int] = field(default_factory=dict)
    """By partition the number of the chain's last link, with a version or without."""
    held: list[Commit] = field(default_factory=list)
    selections: dict[str, list[Selection]] = field(default_factory=dict)
    """By partition, oldest first."""
    batches: list[CaptureBatch] = field(default_factory=list)
    """What arrived, oldest first."""
    modified: Mapping[str, dt.datetime] = field(default_factory=dict)
    """When each document was written, by key and the store's clock."""
    problems: list[str] = field(default_factory=list)

    @property
    def captures(self) -> Iterator[tuple[int, CapturedDrop]]:
        """Every captured drop with its sequence, in order."""
        return ((batch.sequence, drop) for batch in self.batches for drop in batch.drops)

    def candidates(self) -> Iterator[Commit]:
        """Every version, and every held candidate."""
        for versions in self.versions.values():
            yield from versions
        yield from self.held


class Snapshots:
    """The frozen inputs that documents name, each read once."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._inputs: dict[Digest, tuple[BlobRef, ...] | HashgateError] = {}

    def inputs(self, snapshot: Digest) -> tuple[BlobRef, ...]:
        """The drops of a snapshot, in order.

        Raises:
            DigestMismatchError, StoreError: It is not what was frozen, or is missing.
        """
        if snapshot not in self._inputs:
            self._inputs[snapshot] = self._read(snapshot)
        found = self._inputs[snapshot]
        if isinstance(found, HashgateError):
            raise found
        return found

    def _read(self, snapshot: Digest) -> tuple[BlobRef, ...] | HashgateError:
        try:
            return SelectionSnapshot.from_bytes(get_blob(self._workspace.store, snapshot)).inputs
        except HashgateError as error:
            return error


def tables_with_documents(workspace: Workspace) -> list[str]:
    """Every table that anything was captured for or published of, with a contract or without."""
    store = workspace.store
    return sorted({*store.keys("tables"), *store.keys("captures")})


def read_documents(workspace: Workspace, table: str) -> TableDocuments:
    """Read and verify all documents of a table."""
    found = TableDocuments(table)
    prefix, store = table_prefix(table), workspace.store
    found.modified = {
        stored.key: stored.modified
        for folder in (f"{prefix}/commits", f"{prefix}/selections", f"captures/{table}")
        for stored in store.objects(folder)
    }
    for partition in workspace.reader.partitions(table):
        _noting(found, partial(_read_versions, workspace, found, partition))
    for partition in store.keys(f"{prefix}/held"):
        _noting(found, partial(_read_held, workspace, found, partition))
    for partition in store.keys(f"{prefix}/selections"):
        _noting(found, partial(_read_selections, workspace, found, partition))
    _noting(found, lambda: found.batches.extend(workspace.capture_log.since(table, 0)))
    return found


def _noting(found: TableDocuments, read: Callable[[], None]) -> None:
    try:
        read()
    except HashgateError as error:
        found.problems.append(str(error))


def _read_versions(workspace: Workspace, found: TableDocuments, partition: str) -> None:
    standing = workspace.reader.standing(found.table, partition)
    if standing.tip is not None:
        found.tips[partition] = standing.tip.number
    if standing.head is not None:
        found.heads[partition] = standing.head
    found.versions[partition] = workspace.reader.history(found.table, partition)


def _read_held(workspace: Workspace, found: TableDocuments, partition: str) -> None:
    prefix = held_prefix(found.table, partition)
    names: Sequence[str] = workspace.store.keys(prefix)
    for name in names:
        view_key = Digest(f"blake3:{name.removesuffix('.json')}")
        held = workspace.reader.held(found.table, partition, view_key)
        if held is not None:  # else it was released or discarded between two looks
            found.held.append(held)


def _read_selections(workspace: Workspace, found: TableDocuments, partition: str) -> None:
    chain = selection_chain(workspace.store, found.table, partition)
    found.selections[partition] = list(chain.after(0))
