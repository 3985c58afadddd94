"""Collection: remove what no document names, beside running ingests and readers, and never what one names.

Two phases. First the unneeded things are *listed*; a listed name is doomed. After a grace the roots are looked at
again, and what is still unneeded is *removed*; after another grace the list is *retired*.

Why no interleaving removes what a commit (or a selection, or the capture log) names. One assumption about time: nobody
takes longer than a grace (a) between a last look at the lists and the document written right after it, (b) between
reading a document and the last use of what it names, a new document that names it again included (a run, a query),
(c) between checking the collector's lease and the removal right after it. Let list L hold the name X, be created at D,
and X be removed at R; a collector looks at all roots at S, with D + grace <= S < R.

1. A writer that names X looks at the lists, finds X on none, and *then* finds X there, or puts it there; it does so
   right before its document, created at C. If that last look came before D, then C < D + grace <= S by (a): the look
   at S saw the document, and X stayed. If it came after D and before L was retired, X was listed, and the writer took
   `X.1`, for which the same holds. If it came after L was retired, X had been kept, or was gone: then it is put there.
2. Who uses X because a document names it (a reader; a run, of the drops that its selection names) read that document
   while X was a root: a name stops being one only when its documents have expired, or it never had any, and only then
   is it listed. So that was before D, and by (b) it is over before S. Who comes later finds the expiry, or the newer
   document.
3. A collector that lost its lease over a removal removes by (c) before L is retired by another one, which waits a
   grace after it has gone through L: until then nobody has put X there anew.

No number of a list is used twice, so a note about one list never speaks of another. A crash between any two steps
leaves documents that say how far it came: the next collector goes on from there.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from contracts.collection import LISTED_TOGETHER, DoomedList, DoomedObject, EmptiedList
from contracts.commits import Commit
from contracts.retention import Retention
from contracts.selection import Decision
from platform_assets.upkeep.expiring import (
    Cause,
    Expiry,
    expiry_of,
    forgotten_expiry,
    superseded_candidates,
    write_expiry,
)
from platform_assets.upkeep.roots import BLOBS, DAMAGED, FOLDERS, TABLES, Roots, roots_of
from platform_assets.upkeep.table_documents import Snapshots, TableDocuments, read_documents, tables_with_documents
from resources.doomed_lists import (
    FOLDER,
    doomed_names,
    emptied,
    emptied_key,
    list_key,
    list_numbers,
    next_list_number,
    standing_lists,
)
from resources.expirations import Expirations
from resources.leases import Lease
from resources.object_store import FOLDER_INDEX, ObjectStore, StoredObject
from resources.staging import LeftFolder, left_folders, remove_left
from resources.table_reader import held_key
from resources.workspace import Workspace

LEASE = "collector"
_LEASE_LASTS = dt.timedelta(minutes=10)
_NOTE = re.compile(r"([0-9]{8,})\.emptied\.json")
_ASIDE_AT = re.compile(r"damaged/([0-9]{8}T[0-9]{6})Z-")


@dataclass
class Collection:
    """What a collector did, or with a dry run would do."""

    dry_run: bool
    grace: dt.timedelta
    left: list[LeftFolder] = field(default_factory=list)
    """Staging folders of dead runs."""
    swept: int = 0
    """Files that writers staged in the store and never finished."""
    expiry: Expiry = field(default_factory=Expiry)
    no_longer_held: list[Commit] = field(default_factory=list)
    """Candidates that waited for a person, and were superseded long ago or published after all."""
    listed: list[DoomedObject] = field(default_factory=list)
    """What is doomed from now on."""
    waiting: list[DoomedObject] = field(default_factory=list)
    """What was doomed before and has a grace to go."""
    removed: list[DoomedObject] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    """What was doomed, and something names again."""
    problems: list[str] = field(default_factory=list)
    """Documents that cannot be read; of their tables, and of the blobs, nothing is removed."""


@dataclass(frozen=True, slots=True)
class Lying:
    """Objects that lie together and go together."""

    size_bytes: int
    modified: dt.datetime


IsActive = Callable[[str], bool]
"""Whether a Dagster run of that id is queued or in progress."""


def collect(
    workspace: Workspace, grace: dt.timedelta, *, is_active: IsActive = lambda _: False, dry_run: bool = False
) -> Collection:
    """Go once through all phases; what is not due yet waits for the next time.

    Args:
        workspace: The installation; for a dry run one that is open for looking only will do.
        grace: Longer than any run or read takes; also the age below which nothing is touched.
        is_active: Tells runs of other hosts from dead ones.
        dry_run: Say what would be done, and change nothing.

    Raises:
        LeaseHeldError: Another collector is at work.
        LeaseLostError: It stalled for so long that another one took over; nothing is lost.
        ChainError: The record of what expired is not whole: nothing was removed.
        StoreError: The store refused.
    """
    result = Collection(dry_run, grace)
    now = workspace.now() if dry_run else workspace.store.now()
    result.left = list(left_folders(workspace.settings.staging, now - grace, is_active))
    if dry_run:
        _Collector(workspace, result, now, lease=None).run()
        return result
    for left in result.left:
        remove_left(left)
    lease = workspace.leases.acquire(LEASE, f"{socket.gethostname()}:{os.getpid()}", _LEASE_LASTS)
    try:
        result.swept = workspace.store.sweep(now - grace)
        _Collector(workspace, result, now, lease).run()
    finally:
        workspace.leases.release(lease)
    return result


class _Collector:
    """One go through the phases."""

    def __init__(self, workspace: Workspace, result: Collection, now: dt.datetime, lease: Lease | None) -> None:
        self._workspace, self._store, self._result = workspace, workspace.store, result
        self._now, self._lease = now, lease

    def run(self) -> None:
        # which lists are due is settled before the roots are looked at
        due = [listed for listed in standing_lists(self._store) if self._is_due(list_key(listed.number))]
        documents = self._documents()
        self._let_candidates_go(documents)
        expirations = self._let_expire(documents)
        roots = roots_of(documents, expirations, Snapshots(self._workspace))
        self._result.problems = roots.problems
        self._remove(due, roots)
        self._list(roots, due)
        self._retire()

    def _documents(self) -> list[TableDocuments]:
        found = []
        for table in tables_with_documents(self._workspace):
            self._check_lease()
            found.append(read_documents(self._workspace, table))
        return found

    def _let_candidates_go(self, documents: Sequence[TableDocuments]) -> None:
        """Of what nobody will release any more no record stays but that of its drops, which are logged."""
        for table in documents:
            gone = superseded_candidates(self._workspace, table, self._now)
            table.held = [held for held in table.held if held not in gone]
            self._result.no_longer_held += gone
            for candidate in (held.candidate for held in gone if not self._result.dry_run):
                self._check_lease()
                self._store.forget(held_key(candidate.table, candidate.partition, candidate.view_key))

    def _let_expire(self, documents: Sequence[TableDocuments]) -> Expirations:
        """Record what is too old; what the records say with it."""
        expirations = Expirations.read(self._store)
        snapshots = Snapshots(self._workspace)
        # first what was made of a withdrawn drop: a late run may have published it after `forget` was done
        for decision, expiry in forgotten_expiry(documents, expirations, snapshots):
            expirations = self._expire(expirations, expiry, "forgotten", decision)
        expiry = Expiry()
        for table in documents:
            expiry.add(expiry_of(self._workspace, table, expirations, snapshots, self._now))
        return self._expire(expirations, expiry, "retention", None)

    def _expire(self, expirations: Expirations, expiry: Expiry, cause: Cause, decision: Decision | None) -> Expirations:
        self._result.expiry.add(expiry)
        if self._result.dry_run:
            return expirations.with_records(record(number=1) for record in expiry.records(self._now, cause, decision))
        self._check_lease()
        return expirations.with_records(write_expiry(self._store, expiry, self._now, cause, decision))

    def _remove(self, due: Sequence[DoomedList], roots: Roots) -> None:
        for listed in due:
            if emptied(self._store, listed.number) is not None:
                continue
            needed = [doomed.name for doomed in listed.objects if roots.holds(doomed.name)]
            gone = [doomed for doomed in listed.objects if doomed.name not in set(needed)]
            self._result.kept += needed
            self._result.removed += gone
            if self._result.dry_run:
                continue
            for doomed in gone:
                remove_object(self._store, doomed.name, before_each=self._check_lease)
            note = EmptiedList(
                number=listed.number,
                removed=len(gone),
                removed_bytes=sum(doomed.size_bytes for doomed in gone),
                kept=tuple(needed),
            )
            self._store.put_if_absent(emptied_key(listed.number), note.to_bytes())

    def _list(self, roots: Roots, due: Iterable[DoomedList]) -> None:
        standing = doomed_names(self._store)
        gone_through = {listed.number for listed in due}
        self._result.waiting = [
            doomed
            for listed in standing_lists(self._store)
            if listed.number not in gone_through and emptied(self._store, listed.number) is None
            for doomed in listed.objects
        ]
        self._result.listed = [doomed for doomed in self._unneeded(roots) if doomed.name not in standing]
        if self._result.dry_run:
            return
        self._check_lease()
        doom(self._store, self._result.listed)

    def _unneeded(self, roots: Roots) -> Iterator[DoomedObject]:
        """What nothing names, and nobody has written to for a grace."""
        store = self._store
        for table in store.keys(TABLES):
            for kind in FOLDERS:
                yield from self._doomed(roots, store.objects(f"{TABLES}/{table}/{kind}"), f"{kind[:-1]} nothing names")
        yield from self._doomed(roots, store.objects(BLOBS), "blob nothing names")
        retention = Retention().age_s or 0
        for name, found in lying_aside(store).items():
            if (self._now - found.modified).total_seconds() > retention:
                yield DoomedObject(name=name, size_bytes=found.size_bytes, why="damaged, and put aside long ago")

    def _doomed(self, roots: Roots, objects: Iterable[StoredObject], why: str) -> Iterator[DoomedObject]:
        for name, found in _together(objects).items():
            if not roots.holds(name) and found.modified <= self._now - self._result.grace:
                yield DoomedObject(name=name, size_bytes=found.size_bytes, why=why)

    def _retire(self) -> None:
        """Lists that were gone through a grace ago are no use any more; the last note keeps the count."""
        if self._result.dry_run:
            return
        for number in list_numbers(self._store):
            if emptied(self._store, number) is not None and self._is_due(emptied_key(number)):
                self._store.forget(list_key(number))
        notes = [int(found[1]) for found in map(_NOTE.fullmatch, self._store.keys(FOLDER)) if found]
        standing = set(list_numbers(self._store))
        for number in notes:
            if number not in standing and number < max(notes):
                self._store.forget(emptied_key(number))

    def _is_due(self, key: str) -> bool:
        try:
            return self._store.modified(key) + self._result.grace <= self._now
        except KeyError:
            return False  # another collector has just retired it

    def _check_lease(self) -> None:
        if self._lease is None:
            return
        if self._workspace.leases.check(self._lease) < _LEASE_LASTS.total_seconds() / 2:
            self._lease = self._workspace.leases.renew(self._lease, _LEASE_LASTS)


def doom(store: ObjectStore, objects: Iterable[DoomedObject]) -> None:
    """Publish lists of what is to be removed, but for what is on one already."""
    standing = doomed_names(store)
    rest = (doomed for doomed in objects if doomed.name not in standing)
    while some := tuple(islice(rest, LISTED_TOGETHER)):
        listed = DoomedList(number=next_list_number(store), objects=some)
        while not store.put_if_absent(list_key(listed.number), listed.to_bytes()):
            listed = listed.model_copy(update={"number": next_list_number(store)})


def remove_object(store: ObjectStore, name: str, *, before_each: Callable[[], None] = lambda: None) -> None:
    """Remove a doomed object or folder; of a folder first what makes it one, so that no part of it looks whole."""
    keys = [name] if name.startswith(f"{BLOBS}/") else list(store.walk(name))
    for key in sorted(keys, key=lambda key: (not key.endswith(f"/{FOLDER_INDEX}"), key)):
        before_each()
        store.forget(key)


def lying_aside(store: ObjectStore) -> dict[str, Lying]:
    """What was damaged and put aside, with the time when that was: its files keep the times that they had."""
    inside = (stored for stored in store.objects(DAMAGED) if stored.key.count("/") > 1)
    found = _together(inside, lambda key: "/".join(key.split("/")[:2]))
    return {name: Lying(lying.size_bytes, _in_name(name) or lying.modified) for name, lying in found.items()}


def _name_of(key: str) -> str:
    """What goes together with an object: a blob by itself, a file of a segment or report with its folder."""
    return key if key.startswith(f"{BLOBS}/") else key.rpartition("/")[0]


def _together(objects: Iterable[StoredObject], name_of: Callable[[str], str] = _name_of) -> dict[str, Lying]:
    found: dict[str, Lying] = {}
    for stored in objects:
        before = found.get(name := name_of(stored.key))
        size, modified = stored.size_bytes, stored.modified
        if before is not None:
            size, modified = size + before.size_bytes, max(modified, before.modified)
        found[name] = Lying(size, modified)
    return found


def _in_name(name: str) -> dt.datetime | None:
    found = _ASIDE_AT.match(name)
    return dt.datetime.strptime(found[1], "%Y%m%dT%H%M%S").replace(tzinfo=dt.UTC) if found else None
