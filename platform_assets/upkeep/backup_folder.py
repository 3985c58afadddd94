"""A backup's folder: a store of its own for copies, and a chain of manifests that say what belongs to which backup.

Copies are verified by digest when they are made, and read back. Nothing in the folder is changed, but for what an
unfinished backup left, which the next one takes over or replaces.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from blake3 import blake3

from contracts.backup_manifest import BackedUpFile, BackupError, BackupManifest
from contracts.errors import DigestMismatchError
from contracts.refs import Digest
from resources.document_chain import DocumentChain
from resources.object_store import LocalObjectStore, fsync_path, refused_by_disk

CHUNK_BYTES = 4 << 20
MANIFESTS = "manifests"


class BackupFolder:
    """The copies and manifests in one folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self.store = LocalObjectStore(folder)
        way_back = "The backup cannot be trusted: use another one, or make a new one into an empty folder."
        self.manifests: DocumentChain[BackupManifest] = DocumentChain(
            self.store, MANIFESTS, BackupManifest, about={}, way_back=way_back
        )

    @classmethod
    def opened(cls, folder: Path) -> BackupFolder:
        """A folder with a finished backup.

        Raises:
            BackupError: It is none.
            ChainError: Its manifests are not what was written.
        """
        if not (folder / MANIFESTS).is_dir():
            msg = f"{folder} is no backup: it has no folder {MANIFESTS}. Name the folder that `hashgate backup` made."
            raise BackupError(msg, folder=str(folder))
        return cls(folder)

    @classmethod
    def created(cls, folder: Path) -> BackupFolder:
        """A folder for a backup: a new or empty one, or one with earlier backups.

        Raises:
            BackupError: Something else is in it, or it cannot be created.
        """
        try:
            there = {path.name for path in folder.iterdir()} if folder.exists() else set[str]()
            if there - {MANIFESTS, "store", "dagster", "incoming", "damaged"}:
                msg = f"{folder} is not empty and no backup. Name a new folder, an empty one or an earlier backup."
                raise BackupError(msg, folder=str(folder), found=sorted(there))
            return cls(folder)
        except OSError as error:
            msg = f"{folder}: {error.strerror}. Name a folder that this user can write to."
            raise BackupError(msg, folder=str(folder)) from error

    def newest(self) -> BackupManifest | None:
        """The newest finished backup; None when there is none yet."""
        return self.manifests.last()

    def has(self, wanted: BackedUpFile, before: dict[str, BackedUpFile]) -> bool:
        """Whether a copy is there: verified by an earlier backup, or read now."""
        if not self.store.exists(wanted.name) or self.store.size(wanted.name) != wanted.size_bytes:
            return False
        return before.get(wanted.name) == wanted or self.store.digest(wanted.name) == wanted.digest

    def put(self, name: str, opened: Callable[[], BinaryIO], digest: Digest | None) -> BackedUpFile:
        """Copy a file in, and read back what was written; what lies there in its place is put aside.

        Args:
            name: Its name in the backup.
            opened: Opens it.
            digest: What it must have, where that is known.

        Raises:
            KeyError: There is no such object any more.
            DigestMismatchError: It is not what it should be, or was not copied as it is.
            StoreError: The disk refused.
        """
        staged = self.store.scratch / uuid4().hex
        try:
            size, observed = copied_file(opened, staged, name, digest)
            if not self.store.adopt_file(name, staged) and self.store.digest(name) != observed:
                self.store.put_aside(name)
                self.store.adopt_file(name, staged)
        finally:
            staged.unlink(missing_ok=True)
        written = self.store.digest(name)
        if written != observed:
            raise DigestMismatchError(subject=f"the copy of {name}", expected=observed, observed=written)
        return BackedUpFile(name=name, size_bytes=size, digest=observed)


def copied_file(opened: Callable[[], BinaryIO], staged: Path, name: str, expected: Digest | None) -> tuple[int, Digest]:
    """Copy into a new file, on disk at the end, hashing on the way.

    Returns:
        Size and digest of what was read.

    Raises:
        KeyError: There is nothing to copy.
        DigestMismatchError: It is not what it should be.
        StoreError: The disk refused.
    """
    hasher, size = blake3(max_threads=blake3.AUTO), 0
    try:
        with opened() as source, staged.open("xb", buffering=0) as target:
            while chunk := source.read(CHUNK_BYTES):
                hasher.update(chunk)
                rest = memoryview(chunk)
                while rest:
                    rest = rest[target.write(rest) :]
                size += len(chunk)
        fsync_path(staged)
    except OSError as error:
        raise refused_by_disk(name, error) from error
    observed = Digest(f"blake3:{hasher.hexdigest()}")
    if expected is not None and observed != expected:
        raise DigestMismatchError(subject=name, expected=expected, observed=observed)
    return size, observed
