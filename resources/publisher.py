"""The publisher: turns a judged candidate into the partition's current version, in one atomic step, or keeps it held.

Segments move to their content-given place first; nobody sees them there. Creating the next commit makes validated
rows, quarantine and receipts visible together. There is no lock: of two writers one creates the number, the other
looks at the new head and decides again. What may follow what, `contracts.commits` says.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from contracts.collection import free_place
from contracts.commits import Candidate, Commit, refuses
from contracts.errors import CommitError, StoreError
from contracts.gates import GateReceipt, all_passed
from contracts.refs import Digest
from resources.commit_chain import Standing
from resources.doomed_lists import doomed_names, first_copy
from resources.link_writer import Creation, committed_before, create_link, new_writer
from resources.object_store import ObjectStore, fsync_path
from resources.segment_places import Indexed, SegmentPlace, StagedFolder, StoredFolder
from resources.table_reader import INDEX, TableReader, check_segment, exports_of, folders_of, held_key, segment_prefix

_ATTEMPTS = 3
"""How many times in one go a commit is tried that the store does not answer."""


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
    """A candidate and where its segments lie: built from drops, or from what an asset returned."""

    @property
    def candidate(self) -> Candidate:
        """What is to be published."""

    @property
    def contract(self) -> Promise:
        """Under what promise."""

    @property
    def places(self) -> Mapping[Digest, SegmentPlace]:
        """Where each segment and export lies, by content."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A candidate that knows what it was built on, where all of it lies, and what the gates said of it."""

    candidate: Candidate
    places: Mapping[Digest, SegmentPlace]
    contract: Promise
    receipts: tuple[GateReceipt, ...]

    @classmethod
    def on(cls, head: Commit | None, staged: Staged, receipts: tuple[GateReceipt, ...]) -> Judged:
        """A staged candidate, built when `head` was current."""
        return cls(staged.candidate.built_on(head), staged.places, staged.contract, receipts)

    @property
    def passed(self) -> bool:
        """Whether readers may have it."""
        return all_passed(self.receipts, self.candidate.gates)


def publish(
    store: ObjectStore,
    reader: TableReader,
    staged: Staged,
    receipts: tuple[GateReceipt, ...],
    now: dt.datetime,
    *,
    base: Standing | None = None,
    force: bool = False,
) -> Publication:
    """Publish what passed, hold what did not. When another version comes first, the same candidate follows that one.

    Args:
        store: Where to.
        reader: Of the same store.
        staged: The candidate.
        receipts: Of its gates.
        now: The time.
        base: What was current when building began; by default what is now.
        force: What a person declined comes back, if that was known when building began.

    Raises:
        CommitError: The sink mode is `error` and another version is current; or the chain is damaged.
        UnansweredError: The store did not say whether it was published; nothing was cleaned up.
        StoreError: The store refused; nothing became visible.
    """
    candidate = staged.candidate
    found = base or reader.standing(candidate.table, candidate.partition)
    publishing = _Publishing(store, reader, candidate.table, candidate.partition, now, force=force)
    judged = Judged.on(found.head, staged, receipts)
    return publishing.run(lambda _: judged)


def publish_on_head(
    store: ObjectStore,
    reader: TableReader,
    table: str,
    partition: str,
    judged_on: Callable[[Commit | None], Judged],
    now: dt.datetime,
) -> Publication:
    """Publish a candidate that depends on the current version: it is made, and judged, anew for each that comes first.

    Args:
        store: Where to.
        reader: Of the same store.
        table: The table's name.
        partition: The key.
        judged_on: Makes and judges the candidate that follows a version.
        now: The time.

    Raises:
        As `publish` does.
    """
    publishing = _Publishing(store, reader, table, partition, now, force=False)
    return publishing.run(judged_on)


class _Publishing:
    """One attempt to publish; remembers where it has put what."""

    def __init__(
        self, store: ObjectStore, reader: TableReader, table: str, partition: str, now: dt.datetime, *, force: bool
    ) -> None:
        self._store, self._reader, self._now, self._force = store, reader, now, force
        self._table, self._partition = table, partition
        self._places: dict[Digest, str] = {}

    def run(self, judged_on: Callable[[Commit | None], Judged]) -> Publication:
        void = 0
        while void < _ATTEMPTS:
            standing = self._reader.standing(self._table, self._partition)
            judged = judged_on(standing.head)
            settled = self._settled_already(standing.head, judged)
            if settled is not None:
                return settled
            commit = self._commit(standing, judged)
            creation = create_link(self._store, self._reader, commit, self._now)
            if creation is Creation.OURS:
                self._forget_held(commit)
                return Publication(Outcome.PUBLISHED, commit)
            void += creation is Creation.VOID
        msg = (
            f"{self._table}[{self._partition}] was not published: the store answered none of {void} attempts, and each "
            "was made void. What was readable still is. Run it again when the store answers."
        )
        raise StoreError(msg, table=self._table, partition=self._partition)

    def _settled_already(self, head: Commit | None, judged: Judged) -> Publication | None:
        """What it comes to when no commit is to be made. If one is, everything it names is in place afterwards."""
        candidate = judged.candidate
        refused = refuses(head, candidate, force=self._force)
        if head is not None and refused is not None:
            return Publication(Outcome.SUPERSEDED, head, refused)
        segments = ((segment_prefix(self._table, e.view_key, e.content), e) for e in candidate.entries)
        self._place(segments, judged)
        is_there = head is not None and candidate.is_same_content(head.candidate) and _is_let_through(head, judged)
        if head is not None and is_there and self._has_exports(head, candidate):
            return Publication(Outcome.REUSED, head)
        self._place(exports_of(candidate), judged)
        if not judged.passed:
            return Publication(Outcome.HELD, self._hold(judged))
        _check_mode(head, judged)
        return None

    def _commit(self, standing: Standing, judged: Judged) -> Commit:
        self._move_from_doomed(judged.candidate)
        return Commit(
            number=standing.next_number,
            parent=standing.parent,
            committed_at=self._now,
            writer=new_writer(),
            candidate=judged.candidate,
            receipts=judged.receipts,
        )

    def _hold(self, judged: Judged) -> Commit:
        """Keep the candidate where people find it. One that is held already stays, with the time since when."""
        candidate = judged.candidate
        with suppress(CommitError):  # a damaged one is replaced
            before = self._reader.held(self._table, self._partition, candidate.view_key)
            if before is not None and _is_same_held(before, judged) and self._has_exports(before, candidate):
                return before
        self._move_from_doomed(candidate)
        held = Commit(
            number=1,
            parent=None,
            kind="held",
            committed_at=self._now,
            writer=new_writer(),
            candidate=candidate,
            receipts=judged.receipts,
        )
        key = held_key(self._table, self._partition, candidate.view_key)
        self._store.forget(key)
        self._store.put_if_absent(key, held.to_bytes())
        return held

    def _forget_held(self, commit: Commit) -> None:
        """Of the recipe that is published now nothing is held any more; should it stay, nobody looks at it."""
        try:
            self._store.forget(held_key(self._table, self._partition, commit.candidate.view_key))
        except StoreError:
            return
        except BaseException as stopped:
            stopped.add_note(committed_before(commit))
            raise

    # ---- segments and exports --------------------------------------------------------------------------------------

    def _place(self, folders: Iterable[tuple[str, Indexed]], judged: Judged) -> None:
        """Bring folders to their places in the store, where nobody sees them yet."""
        missing = [(name, entry) for name, entry in folders if entry.content not in self._places]
        doomed = doomed_names(self._store) if missing else frozenset[str]()
        for name, entry in missing:
            place = judged.places[entry.content]
            if isinstance(place, StagedFolder):
                self._places[entry.content] = self._adopt(name, entry, place.path, doomed)
            elif isinstance(place, StoredFolder):
                lies = place.prefix
                self._places[entry.content] = self._moved(name, entry, lies, doomed) if lies in doomed else lies

    def _move_from_doomed(self, candidate: Candidate) -> None:
        """Look once more, right before a document names them, whether one lies where it will be removed."""
        doomed = doomed_names(self._store)
        for name, entry in folders_of(candidate):
            place = self._places[entry.content]
            if place in doomed:
                self._places[entry.content] = self._moved(name, entry, place, doomed)

    def _adopt(self, name: str, entry: Indexed, folder: Path, doomed: frozenset[str]) -> str:
        place = free_place(name, doomed)
        if not self._store.adopt_folder(place, folder):
            if self._is_intact(place, entry):
                shutil.rmtree(folder)
            else:
                self._store.put_aside(place)
                self._store.adopt_folder(place, folder)
        return place

    def _moved(self, name: str, entry: Indexed, place: str, doomed: frozenset[str]) -> str:
        """A copy of a folder that is about to be removed, where it is not."""
        with _scratch_folder(self._store) as folder:
            for file in (INDEX, *(file.name for file in entry.files)):
                with self._store.open(f"{place}/{file}") as source, (folder / file).open("xb") as target:
                    shutil.copyfileobj(source, target)
                fsync_path(folder / file)
            fsync_path(folder)
            return self._adopt(name, entry, folder, doomed)

    def _has_exports(self, version: Commit, candidate: Candidate) -> bool:
        """Whether a version of the same content has its exports, whole: written again, they may have other bytes."""
        if [export.sink for export in version.candidate.exports] != [export.sink for export in candidate.exports]:
            return False
        return all(
            self._is_intact(first_copy(self._store, name, INDEX) or name, export)
            for name, export in exports_of(version.candidate)
        )

    def _is_intact(self, place: str, entry: Indexed) -> bool:
        try:
            check_segment(self._store, place, entry)
        except StoreError:
            return False
        return True


def segment_contents(candidate: Candidate) -> frozenset[Digest]:
    """The content digests of everything a version consists of."""
    return frozenset(entry.content for entry in candidate.entries)


def _is_let_through(head: Commit, judged: Judged) -> bool:
    """Whether what the gates say of the head's content now stops nothing that was not let through before."""
    stopping = {receipt.gate for receipt in judged.receipts if receipt.verdict != "PASS"}
    return judged.passed or stopping <= {receipt.gate for receipt in head.failed}


def _has_same_rows(head: Commit, judged: Judged) -> bool:
    contents = [[entry.content for entry in candidate.entries] for candidate in (head.candidate, judged.candidate)]
    return contents[0] == contents[1]


def _is_same_held(before: Commit, judged: Judged) -> bool:
    in_this_run = {"run_id": judged.candidate.run_id, "exports": judged.candidate.exports}
    same = before.candidate.model_copy(update=in_this_run) == judged.candidate
    return same and before.receipts == judged.receipts


def _check_mode(head: Commit | None, judged: Judged) -> None:
    if head is None or _has_same_rows(head, judged):
        return  # the same rows once more, as under another contract, or for a sink that has come: nothing is restated
    if judged.contract.sink_mode == "error":
        table, partition, number = head.place
        whose, where = "contract", "sinkMode"
        if head.candidate.origin == "asset":
            whose, where = "asset", "hashgate/sink_mode in the asset's metadata"
        msg = (
            f"{table}[{partition}] is published (version {number}) and its {whose}'s sink mode is `error`: nothing was "
            f"changed. Set {where} to `replace` to let restated content through."
        )
        raise CommitError(msg, table=table, partition=partition, number=number)


@contextmanager
def _scratch_folder(store: ObjectStore) -> Iterator[Path]:
    folder = store.scratch / uuid4().hex
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
