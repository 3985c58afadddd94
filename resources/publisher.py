"""The publisher: turns a judged candidate into the partition's current version, in one atomic step, or keeps it held.

Segments move to their content-given place first; nobody sees them there. Creating the next commit makes validated
rows, quarantine and receipts visible together. There is no lock: of two writers one creates the number, the other
looks at the new head and decides again.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from contracts.commits import Candidate, Commit, SegmentEntry, refuses
from contracts.errors import CommitError
from contracts.gates import GateReceipt, all_passed
from contracts.refs import Digest
from contracts.segments import SegmentIndex
from resources.object_store import LocalObjectStore, digest_of_file
from resources.table_reader import INDEX, TableReader, held_key, numbered_key, segment_prefix


class Outcome(StrEnum):
    """How it ended for a partition."""

    PUBLISHED = "published"
    REUSED = "reused"
    HELD = "held"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class Publication:
    """What the publisher did, and the document that says so."""

    outcome: Outcome
    commit: Commit
    """The new head; the unchanged head when reused or superseded; the held candidate when held."""
    reason: str = ""


class Promise(Protocol):
    """What the publisher asks of a contract."""

    @property
    def sink_mode(self) -> str:
        """What publishing over another version means: `append`, `replace` or `error`."""


class Staged(Protocol):
    """A candidate with the folders its segments lie in: built from drops, or from what an asset returned."""

    @property
    def candidate(self) -> Candidate:
        """What is to be published."""

    @property
    def contract(self) -> Promise:
        """Under what promise."""

    @property
    def folders(self) -> Mapping[Digest, Path]:
        """Where each segment lies, by content."""


def publish(
    store: LocalObjectStore,
    reader: TableReader,
    staged: Staged,
    receipts: tuple[GateReceipt, ...],
    now: dt.datetime,
) -> Publication:
    """Publish what passed, hold what did not.

    Raises:
        CommitError: The sink mode is `error` and another version is current.
        StoreError: The store refused; nothing became visible.
    """
    candidate = staged.candidate
    _place_segments(store, staged)
    if not all_passed(receipts, candidate.gates):
        return Publication(Outcome.HELD, _hold(store, candidate, receipts, now))
    while True:
        head = reader.head(candidate.table, candidate.partition)
        late = refuses(head, candidate)
        if head is not None and late is not None:
            return Publication(Outcome.SUPERSEDED, head, late)
        if (
            head is not None
            and head.candidate.view_key == candidate.view_key
            and _same_content(head.candidate, candidate)
        ):
            return Publication(Outcome.REUSED, head)
        _check_mode(head, staged)
        commit = Commit(
            number=1 if head is None else head.number + 1,
            parent=None if head is None else head.digest,
            committed_at=now,
            candidate=candidate,
            receipts=receipts,
        )
        key = numbered_key(candidate.table, "commits", candidate.partition, commit.number)
        if store.put_if_absent(key, commit.to_bytes()):
            store.forget(held_key(candidate.table, candidate.partition, candidate.view_key))
            return Publication(Outcome.PUBLISHED, commit)


def _place_segments(store: LocalObjectStore, staged: Staged) -> None:
    candidate = staged.candidate
    for entry in _entries(candidate):
        folder = staged.folders[entry.content]
        prefix = segment_prefix(candidate.table, entry.view_key, entry.content)
        if folder == store.path(prefix) or store.adopt_folder(prefix, folder):
            continue
        if is_intact(store.path(prefix), entry):
            shutil.rmtree(folder)
        else:
            store.put_aside(prefix)
            store.adopt_folder(prefix, folder)


def is_intact(folder: Path, entry: SegmentEntry) -> bool:
    """Whether a segment's folder still holds exactly what its index says."""
    try:
        index = SegmentIndex.from_bytes((folder / INDEX).read_bytes())
        if index.content != entry.content or {p.name for p in folder.iterdir()} != {
            INDEX,
            *(f.name for f in index.files),
        }:
            return False
        return all(digest_of_file(folder / file.name) == file.digest for file in index.files)
    except (OSError, ValueError):
        return False


def _hold(store: LocalObjectStore, candidate: Candidate, receipts: tuple[GateReceipt, ...], now: dt.datetime) -> Commit:
    held = Commit(number=1, parent=None, kind="held", committed_at=now, candidate=candidate, receipts=receipts)
    key = held_key(candidate.table, candidate.partition, candidate.view_key)
    store.forget(key)
    store.put_if_absent(key, held.to_bytes())
    return held


def _same_content(first: Candidate, second: Candidate) -> bool:
    return [e.content for e in _entries(first)] == [e.content for e in _entries(second)]


def _entries(candidate: Candidate) -> list[SegmentEntry]:
    return [*candidate.segments, *([candidate.overlay] if candidate.overlay else [])]


def segment_contents(candidate: Candidate) -> frozenset[Digest]:
    """The content digests of everything a version consists of."""
    return frozenset(entry.content for entry in _entries(candidate))


def _check_mode(head: Commit | None, staged: Staged) -> None:
    if head is not None and staged.contract.sink_mode == "error":
        candidate = staged.candidate
        msg = (
            f"{candidate.table}[{candidate.partition}] is published (version {head.number}) and its contract's "
            "sink mode is `error`: nothing was changed. Set sinkMode to `replace` to let restated drops through."
        )
        raise CommitError(msg, table=candidate.table, partition=candidate.partition, number=head.number)
