"""The object store: named bytes, written once, on local disk.

The one operation everything rests on is `put_if_absent`: of any number of writers exactly one creates a key, and a
key that exists is complete and on disk. Nothing is ever renamed over or changed in place.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from pathlib import Path
from typing import BinaryIO, Protocol
from uuid import uuid4

from blake3 import blake3

from contracts.errors import StoreError
from contracts.refs import Digest

MAXIMUM_KEY_BYTES = 1024
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\]")


class ObjectStore(Protocol):
    """What the platform asks of a store. Only "not found" means absent; every other failure is raised."""

    def get(self, key: str) -> bytes:
        """The object's bytes; KeyError when there is none."""

    def exists(self, key: str) -> bool:
        """Whether the key is there."""

    def keys(self, prefix: str) -> list[str]:
        """The names directly below a folder `prefix`, sorted; empty when there is none."""

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Create the object; False when the key was there already (and nothing was changed)."""

    def adopt_file(self, key: str, staged: Path) -> bool:
        """Make a local, complete file the object at `key`; False when it was there already."""

    def adopt_folder(self, prefix: str, staged: Path) -> bool:
        """Make a local folder's files the objects below `prefix`, all at once; False when it was there already."""

    def forget(self, key: str) -> None:
        """Remove an object that nothing refers to any more; it may be gone already."""

    def put_aside(self, prefix: str) -> None:
        """Take a damaged folder out of the way, kept for inspection below `damaged/`."""

    def path(self, key: str) -> Path:
        """Where DuckDB can read the object."""

    def open(self, key: str) -> BinaryIO:
        """The object for reading in parts; KeyError when there is none."""


def check_key(key: str) -> str:
    """Return `key`, or raise StoreError when it could leave the store or confuse one."""
    parts = key.split("/")
    if (
        not key
        or len(key.encode()) > MAXIMUM_KEY_BYTES
        or _FORBIDDEN.search(key)
        or any(p in {"", ".", ".."} for p in parts)
    ):
        msg = f"{key!r} is not a key: use names joined by /, none empty, `.` or `..`, at most {MAXIMUM_KEY_BYTES} bytes"
        raise StoreError(msg, key=key)
    return key


def digest_of_file(path: Path) -> Digest:
    """Hash a file without holding it in memory."""
    hasher = blake3(max_threads=2)
    hasher.update_mmap(path)
    return Digest(f"blake3:{hasher.hexdigest()}")


def fsync_path(path: Path) -> None:
    """Put a file's content, or a folder's entries, on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class LocalObjectStore:
    """Objects are files below a root folder; creation is a hard link, which fails when the name exists."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / "incoming"
        self._incoming.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def spill_folder(self) -> Path:
        """Where what does not fit in memory may go: on the store's disk, which is the one that was sized for data."""
        return self._incoming

    def path(self, key: str) -> Path:
        """The file of `key`, whether it exists or not."""
        return self._root / check_key(key)

    def get(self, key: str) -> bytes:
        """The object's bytes; KeyError when there is none, StoreError when the disk says no."""
        try:
            return self.path(key).read_bytes()
        except FileNotFoundError:
            raise KeyError(key) from None
        except OSError as error:
            raise refused_by_disk(key, error) from error

    def open(self, key: str) -> BinaryIO:
        """Open the object for reading; KeyError when there is none."""
        try:
            return self.path(key).open("rb")
        except FileNotFoundError:
            raise KeyError(key) from None
        except OSError as error:
            raise refused_by_disk(key, error) from error

    def exists(self, key: str) -> bool:
        """Whether the key is there; a refusal by the disk is not absence."""
        try:
            self.path(key).lstat()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise refused_by_disk(key, error) from error
        return True

    def keys(self, prefix: str) -> list[str]:
        """The names directly below `prefix`, sorted."""
        try:
            return sorted(os.listdir(self.path(prefix)))  # noqa: PTH208 - names only, and no stat each
        except FileNotFoundError:
            return []
        except OSError as error:
            raise refused_by_disk(prefix, error) from error

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write aside, put on disk, then link: the key appears complete or not at all."""
        staged = self._incoming / uuid4().hex
        try:
            with staged.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            return self.adopt_file(key, staged)
        except OSError as error:
            raise refused_by_disk(key, error) from error
        finally:
            with contextlib.suppress(OSError):
                staged.unlink(missing_ok=True)

    def adopt_file(self, key: str, staged: Path) -> bool:
        """Link an fsynced file of this file system to `key`. The staged name stays; its owner removes it."""
        target = self.path(key)
        self._make_folder(target.parent)
        try:
            os.link(staged, target)
        except FileExistsError:
            return _same_file(staged, target)
        except OSError as error:
            if _same_file(staged, target):
                return True
            raise refused_by_disk(key, error) from error
        fsync_path(target.parent)
        return True

    def adopt_folder(self, prefix: str, staged: Path) -> bool:
        """Rename a folder of fsynced files to its content-given, not yet existing place."""
        target = self.path(prefix)
        self._make_folder(target.parent)
        try:
            os.rename(staged, target)  # noqa: PTH104 - onto nothing: a non-empty target makes it fail
        except OSError as error:
            if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
                return False
            raise refused_by_disk(prefix, error) from error
        fsync_path(target.parent)
        return True

    def forget(self, key: str) -> None:
        """Remove an object; one that is gone already is no error."""
        try:
            self.path(key).unlink(missing_ok=True)
        except OSError as error:
            raise refused_by_disk(key, error) from error

    def put_aside(self, prefix: str) -> None:
        """Move a damaged folder to `damaged/`, where nothing reads."""
        target = self.path(f"damaged/{uuid4().hex}/{prefix}")
        self._make_folder(target.parent)
        try:
            os.rename(self.path(prefix), target)  # noqa: PTH104 - to a name that cannot exist yet
        except OSError as error:
            raise refused_by_disk(prefix, error) from error

    def _make_folder(self, folder: Path) -> None:
        missing: list[Path] = []
        while not folder.is_dir():
            missing.append(folder)
            folder = folder.parent
        for path in reversed(missing):
            path.mkdir(mode=0o700, exist_ok=True)
            fsync_path(path.parent)


def _same_file(first: Path, second: Path) -> bool:
    """A link whose answer was lost has succeeded when both names are one file."""
    try:
        return first.samefile(second)
    except OSError:
        return False


def refused_by_disk(key: str, error: OSError) -> StoreError:
    """What an operating system's error means for whoever wanted an object kept: what, where, how to fix."""
    fixes = {
        errno.ENOSPC: "Free some space and run it again: nothing was published.",
        errno.EACCES: "Give this user access to the store.",
        errno.EXDEV: "Keep HASHGATE_HOME on one file system.",
        errno.EMLINK: "This file system does not allow enough hard links: use another one.",
        errno.EPERM: "This file system does not allow hard links: use another one for HASHGATE_HOME.",
    }
    fix = fixes.get(error.errno or 0, "Mend the disk and run it again: nothing was published.")
    return StoreError(f"store object {key}: {os.strerror(error.errno or 0)}. {fix}", key=key, errno=error.errno)
