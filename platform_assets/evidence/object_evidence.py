"""The objects that documents name: folders of segments and exports with their files, frozen inputs, captured drops.

Each is looked at once, however many need it; what is wrong with it is told to everybody who does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from contracts.collection import base_name, in_order
from contracts.commits import Candidate
from contracts.refs import BlobRef, Digest, digest_bytes
from contracts.segments import SegmentIndex
from contracts.selection import SelectionSnapshot
from platform_assets.evidence.corruptions import MOVE_OUT, UNEXPLAINED, Concern, Corruption, Need
from resources.captures import blob_key
from resources.object_store import ObjectStore
from resources.rereading import Altered, ExpectedObject
from resources.segment_places import Indexed
from resources.table_reader import INDEX, NOTHING, exports_of, segment_prefix

Subject = tuple[str | None, str | None]
"""Table and partition."""


_MOST_AT_STAKE = list(Concern)


@dataclass
class Needed:
    """Everybody who needs an object, or a folder of objects; of a partition the need with most at stake."""

    by: dict[Subject, Need] = field(default_factory=dict)

    def add(self, need: Need) -> None:
        """One more."""
        subject = (need.table, need.partition)
        before = self.by.get(subject, need)
        self.by[subject] = min(before, need, key=lambda either: _MOST_AT_STAKE.index(either.concern))

    def add_all(self, other: Needed) -> None:
        """Everybody who needs something that this is a part of."""
        for need in other.by.values():
            self.add(need)


@dataclass(frozen=True, slots=True)
class NeededFolder:
    """A segment or an export, as a version names it."""

    name: str
    """Its key when there is one copy of it."""
    view_key: Digest
    """Of the recipe that its index names."""
    said: Indexed


@dataclass
class FolderLook:
    """What a segment or an export turned out to be, wherever a copy of it lies."""

    places: list[str] = field(default_factory=list)
    files: list[ExpectedObject] = field(default_factory=list)
    wrong: list[tuple[str, str, str]] = field(default_factory=list)
    """Subject, expected, observed."""
    strays: list[str] = field(default_factory=list)
    """Keys in its folders that its index does not name."""


class Lying:
    """What lies in the store: as one walk over it saw, or as the store says when it is asked."""

    def __init__(self, store: ObjectStore, walked: Mapping[str, int] | None = None) -> None:
        """Look where a walk has been, and ask for the rest.

        Args:
            store: The store.
            walked: Sizes by key; None: nobody has walked.
        """
        self._store, self._walked = store, walked
        self._names: dict[str, set[str]] = {}
        for key in walked or ():
            folder, _, name = key.rpartition("/")
            self._names.setdefault(folder, set()).add(name)
            above, _, last = folder.rpartition("/")
            self._names.setdefault(above, set()).add(last)

    def copies(self, name: str) -> list[str]:
        """Every generation of a blob or a segment's folder, the first one first."""
        folder, _, last = name.rpartition("/")
        # what was put there after the walk is asked for: it is no loss
        found = in_order(last, self._names.get(folder, ())) or in_order(last, self._store.keys(folder))
        return [f"{folder}/{copy}" for copy in found]

    def names(self, folder: str) -> set[str]:
        """What lies in a folder."""
        return self._names.get(folder) or set(self._store.keys(folder))

    def size(self, key: str) -> int | None:
        """How large an object is; None when there is none."""
        if self._walked is not None and key in self._walked:
            return self._walked[key]
        try:
            return self._store.size(key)
        except KeyError:
            return None


def folders_needed(candidate: Candidate) -> Iterator[NeededFolder]:
    """Everything that a version consists of."""
    for entry in candidate.entries:
        name = segment_prefix(candidate.table, entry.view_key, entry.content)
        yield NeededFolder(name, entry.view_key, entry)
    for name, export in exports_of(candidate):
        yield NeededFolder(name, candidate.view_key, export)


def look_at_folder(store: ObjectStore, lying: Lying, folder: NeededFolder) -> FolderLook:
    """Every copy's index has the folder's name and says what the version says; its files are there, and nothing else.

    The files themselves are only named.
    """
    copies = lying.copies(folder.name)
    # a folder is there when its index is: one without is what a writer left, unless it is all there is
    look = FolderLook(places=[place for place in copies if INDEX in lying.names(place)] or copies[:1])
    if not look.places:
        look.wrong.append((f"{folder.name}/{INDEX}", folder.said.content, NOTHING))
    for place in look.places:
        index = _look_at_index(store, f"{place}/{INDEX}", folder, look)
        blocks = {file.name: file.blocks for file in index.files} if index is not None else {}
        named = {INDEX, *(file.name for file in folder.said.files)}
        look.strays += [f"{place}/{name}" for name in sorted(lying.names(place) - named)]
        look.files += [
            ExpectedObject(f"{place}/{file.name}", file.digest, file.size_bytes, blocks.get(file.name))
            for file in folder.said.files
        ]
    return look


def look_at_left_folder(store: ObjectStore, lying: Lying, place: str) -> FolderLook:
    """A folder that no version names any more: as far as it says so itself, it is what it was.

    One without an index is what a writer left, and says nothing.
    """
    look = FolderLook(places=[place])
    content = base_name(place.rpartition("/")[2])
    key = f"{place}/{INDEX}"
    try:
        data = store.get(key)
    except KeyError:
        return look
    observed = digest_bytes(data)
    if observed != f"blake3:{content}":
        look.wrong.append((key, f"blake3:{content}", observed))
        return look
    try:
        index = SegmentIndex.from_bytes(data)
    except ValueError as error:
        look.wrong.append((key, "an index", str(error).partition("\n")[0]))
        return look
    for file in index.files:
        look.files.append(ExpectedObject(f"{place}/{file.name}", file.digest, file.size_bytes, file.blocks))
    names = {INDEX, *(asked.key.rpartition("/")[2] for asked in look.files)}
    look.strays = [f"{place}/{name}" for name in sorted(lying.names(place) - names)]
    return look


def look_at_snapshot(
    store: ObjectStore, lying: Lying, digest: Digest
) -> tuple[tuple[BlobRef, ...] | None, list[tuple[str, str, str]]]:
    """The frozen inputs, if they are what they were; and what is wrong with any copy of them."""
    inputs: tuple[BlobRef, ...] | None = None
    wrong: list[tuple[str, str, str]] = []
    for key in lying.copies(blob_key(digest)) or [blob_key(digest)]:
        try:
            data = store.get(key)
        except KeyError:
            wrong.append((key, digest, NOTHING))
            continue
        observed = digest_bytes(data)
        if observed != digest:
            wrong.append((key, digest, observed))
        else:
            inputs = SelectionSnapshot.from_bytes(data).inputs
    return inputs, wrong


def blobs(lying: Lying, ref: BlobRef) -> Iterator[ExpectedObject]:
    """Every copy of a blob; the place where it should be, when there is none."""
    for key in lying.copies(blob_key(ref.digest)) or [blob_key(ref.digest)]:
        yield ExpectedObject(key, ref.digest, ref.size_bytes)


def of_another_size(lying: Lying, expected: Iterable[ExpectedObject]) -> Iterator[Altered]:
    """Those that are missing, or have another size; nothing is read."""
    for asked in expected:
        size = lying.size(asked.key)
        if size != asked.size_bytes:
            yield Altered(asked, NOTHING if size is None else f"{size:,} bytes in place of {asked.size_bytes:,}")


def stray(table: str | None, partition: str | None, key: str) -> Corruption:
    """Something lies there that nothing explains."""
    return Corruption(table, partition, key, NOTHING, UNEXPLAINED, MOVE_OUT, Concern.STRAY)


def _look_at_index(store: ObjectStore, key: str, folder: NeededFolder, look: FolderLook) -> SegmentIndex | None:
    expected = folder.said.content
    try:
        data = store.get(key)
    except KeyError:
        look.wrong.append((key, expected, NOTHING))
        return None
    observed = digest_bytes(data)
    if observed != expected:
        look.wrong.append((key, expected, observed))
        return None
    try:
        index = SegmentIndex.from_bytes(data)
    except ValueError as error:
        look.wrong.append((key, "an index", str(error).partition("\n")[0]))
        return None
    if (index.view.key, index.stored_files) != (folder.view_key, folder.said.files):
        look.wrong.append((key, "what the version says of it", "something else"))
    return index
