"""Where a segment lies: staged in a local folder, or below a key of the store. Who looks at it need not know which."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from contracts.errors import StoreError
from contracts.refs import Digest
from contracts.segments import IndexedFile, SegmentIndex, StoredFile
from resources.block_digests import digests_of, digests_of_file
from resources.object_store import FOLDER_INDEX, VERIFIED_PROTOCOL, ObjectStore

if TYPE_CHECKING:
    from resources.verified_files import VerifiedFiles


class Indexed(Protocol):
    """What a version says of a folder that it consists of: a segment, or an export."""

    @property
    def content(self) -> Digest:
        """Of the index."""

    @property
    def files(self) -> tuple[StoredFile, ...]:
        """All that lies beside the index."""


class SegmentPlace(Protocol):
    """A segment's folder, wherever it is. Only what is missing is a KeyError."""

    def names(self) -> set[str]:
        """What lies there."""

    def index(self) -> SegmentIndex:
        """Its table of contents, as it is; ValueError when it is none."""

    def digests(self, name: str) -> tuple[Digest, tuple[Digest, ...]]:
        """The digest of a file as it lies there now, and those of its blocks."""

    def source(self, name: str) -> str:
        """What DuckDB and `open_source` read a file by."""


@dataclass(frozen=True)
class StagedFolder:
    """A folder that a writer has closed, on the local disk."""

    path: Path

    def names(self) -> set[str]:
        """The files."""
        return set(os.listdir(self.path))  # noqa: PTH208 - names only

    def index(self) -> SegmentIndex:
        """Read anew each time."""
        return SegmentIndex.from_bytes((self.path / FOLDER_INDEX).read_bytes())

    def digests(self, name: str) -> tuple[Digest, tuple[Digest, ...]]:
        """Read from end to end."""
        return digests_of_file(self.path / name)

    def source(self, name: str) -> str:
        """The path."""
        return os.fspath(self.path / name)


@dataclass(frozen=True)
class StoredFolder:
    """A folder of the store. From a remote one, files are read in parts, each verified by the index that was read."""

    store: ObjectStore
    prefix: str
    trusted: SegmentIndex | None = None
    """The index, when it was verified already."""

    def names(self) -> set[str]:
        """The objects."""
        return set(self.store.keys(self.prefix))

    def index(self) -> SegmentIndex:
        """Read anew each time."""
        return SegmentIndex.from_bytes(self.store.get(f"{self.prefix}/{FOLDER_INDEX}"))

    def digests(self, name: str) -> tuple[Digest, tuple[Digest, ...]]:
        """Read from end to end."""
        with self.store.open(f"{self.prefix}/{name}") as file:
            return digests_of(file)

    def source(self, name: str) -> str:
        """The path, or the address at which the file may be read from now on.

        Raises:
            StoreError: The index does not name it.
        """
        key = f"{self.prefix}/{name}"
        url = self.store.url(key)
        if not is_remote(url):
            return url
        described = self._described.get(name)
        if described is None:
            msg = f"{key}: the segment's index does not name it. Restore the store, or ingest the partition again."
            raise StoreError(msg, key=key)
        return verified_files().register(self.store, key, described.size_bytes, described.blocks)

    @cached_property
    def _described(self) -> dict[str, IndexedFile]:
        return {file.name: file for file in (self.trusted or self.index()).files}


def is_intact(place: SegmentPlace, entry: Indexed) -> bool:
    """Whether a folder holds exactly what a version names, read from end to end."""
    try:
        index = place.index()
        if (index.content, index.stored_files) != (entry.content, entry.files):
            return False
        if place.names() != {FOLDER_INDEX, *(file.name for file in entry.files)}:
            return False
        return all(place.digests(file.name) == (file.digest, file.blocks) for file in index.files)
    except (OSError, KeyError, ValueError):
        return False


@cache
def verified_files() -> VerifiedFiles:
    """The files of remote stores that this process may read; imported when there are any, since it takes 0.1 s."""
    from resources.verified_files import VerifiedFiles  # noqa: PLC0415

    return VerifiedFiles()


def is_remote(source: str) -> bool:
    """Whether a source is read through `verified_files`."""
    return source.startswith(f"{VERIFIED_PROTOCOL}://")


def open_source(source: str) -> BinaryIO:
    """Open what `SegmentPlace.source` gave, seekable."""
    if is_remote(source):
        return cast("BinaryIO", verified_files().open(source))
    return Path(source).open("rb")


def telling_why(sources: Sequence[str]) -> AbstractContextManager[None]:
    """Within it, what failed because a remote file was refused raises that file's error, not DuckDB's or Arrow's."""
    remote = [source for source in sources if is_remote(source)]
    return verified_files().telling_why(remote) if remote else nullcontext()


def sources_size(sources: Sequence[str]) -> int:
    """How many bytes they are together."""
    return sum(int(verified_files().info(s)["size"]) if is_remote(s) else Path(s).stat().st_size for s in sources)
