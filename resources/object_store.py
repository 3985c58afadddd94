"""The object store: named bytes, written once. Here: what is asked of any store, and the store on local disk.

The one operation everything rests on is `put_if_absent`: of any number of writers exactly one creates a key, and a
key that exists is complete and on disk. Nothing is ever renamed over or changed in place. `s3_store` has the store in
a bucket; what is written here of a store holds for both, and the same tests show it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import mmap
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol
from uuid import uuid4

from blake3 import blake3

from contracts.errors import StoreError, UnansweredError
from contracts.refs import Digest, digest_bytes, hex_of

MAXIMUM_KEY_BYTES = 1024
FOLDER_INDEX = "index.json"
"""The file that makes a folder of objects one: where a folder cannot be made at once, it is created last."""

INCOMING = "incoming"
"""Where writers stage; nothing below it is an object."""

VERIFIED_PROTOCOL = "hashgate"

_HASHED_AT_ONCE = 64 << 20

_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as a listing shows it; `modified` is aware and of the store's clock."""

    key: str
    size_bytes: int
    modified: dt.datetime


class ObjectStore(Protocol):
    """What the platform asks of a store. Only "not found" means absent; every other failure is a StoreError.

    A create that was sent and got no answer raises UnansweredError: whether the object is there is unknown then.
    Listings are complete, in the order of the keys' UTF-8, and accept "" for the whole store.
    """

    @property
    def scratch(self) -> Path:
        """A local folder for staging what is to be adopted, with room for data."""

    @property
    def spill_folder(self) -> Path:
        """A local folder for what does not fit in memory."""

    def get(self, key: str) -> bytes:
        """The object's bytes; KeyError when there is none."""

    def read_range(self, key: str, start: int, length: int) -> bytes:
        """The `length` bytes from `start` on, fewer at the object's end; KeyError when there is none."""

    def open(self, key: str) -> BinaryIO:
        """The object for reading in parts, seekable; KeyError when there is none."""

    def exists(self, key: str) -> bool:
        """Whether the key is there."""

    def size(self, key: str) -> int:
        """The object's size in bytes; KeyError when there is none."""

    def digest(self, key: str) -> Digest:
        """The digest of what is stored now, read from end to end; KeyError when there is none."""

    def stamp(self, key: str) -> str:
        """A text that stays equal as long as nobody touches the object; KeyError when there is none."""

    def modified(self, key: str) -> dt.datetime:
        """When the object was written, aware, by the store's clock; KeyError when there is none."""

    def now(self) -> dt.datetime:
        """The store's clock, aware: the one that ages are reckoned by."""

    def keys(self, prefix: str) -> list[str]:
        """The names directly below a folder `prefix`, sorted; empty when there is none."""

    def walk(self, prefix: str) -> Iterator[str]:
        """Every key below a folder `prefix`, sorted."""

    def objects(self, prefix: str) -> Iterator[StoredObject]:
        """Every object below a folder `prefix`, in the order of its key, at the price of a listing."""

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Create the object; False when the key was there already (and nothing was changed)."""

    def adopt_file(self, key: str, staged: Path) -> bool:
        """Make a local, complete file the object at `key`; False when it was there already.

        The staged file stays; its owner removes it.

        Raises:
            DigestMismatchError: The store has other bytes than it was given.
        """

    def adopt_folder(self, prefix: str, staged: Path) -> bool:
        """Make a local folder's files the objects below `prefix`, which its content names; False when they were there.

        One of the files is `index.json`: a folder is there when its index is. The staged folder may be gone afterwards.

        Raises:
            DigestMismatchError: The store has other bytes than it was given.
        """

    def forget(self, key: str) -> None:
        """Remove an object that nothing refers to any more; it may be gone already."""

    def put_aside(self, prefix: str) -> None:
        """Take a damaged object or folder out of the way, kept for inspection below `damaged/`."""

    def sweep(self, before: dt.datetime) -> int:
        """Remove what writers staged before then (by the store's clock) and never finished; says how many things."""

    def uri(self, key: str) -> str:
        """Where the object is, for people."""

    def url(self, key: str) -> str:
        """What DuckDB reads: a path, or an address that `VerifiedFiles` has to know first."""


def check_key(key: str) -> str:
    """Return `key`, or raise StoreError when it could leave the store or confuse one."""
    parts = key.split("/")
    if (
        not key
        or _FORBIDDEN.search(key)
        or len(key.encode()) > MAXIMUM_KEY_BYTES
        or any(p in {"", ".", ".."} for p in parts)
    ):
        msg = f"{key!r} is not a key: use names joined by /, none empty, `.` or `..`, at most {MAXIMUM_KEY_BYTES} bytes"
        raise StoreError(msg, key=key)
    return key


def verified_url(place: str, key: str) -> str:
    """The address of an object that is read through `VerifiedFiles`; `place` is the store that it lies in."""
    return f"{VERIFIED_PROTOCOL}://{hex_of(digest_bytes(place.encode()))[:16]}/{key}"


def probe(store: ObjectStore) -> None:
    """Try out whether a store keeps the promise that everything rests on: a key has one creator.

    Raises:
        StoreError: It does not, or it cannot be used at all. What was written to find out is removed.
    """
    key = f"{INCOMING}/probe-{uuid4().hex}"
    try:
        created, again = store.put_if_absent(key, b"first"), store.put_if_absent(key, b"second")
        held = store.get(key)
        if not created or again or held != b"first":
            msg = (
                f"{store.uri(key)}: the store let a second writer create an object that was there already, so two runs "
                "could publish at once. Use a store (and no proxy before it) that honours PUT with If-None-Match: *."
            )
            raise StoreError(msg, key=key, created=created, created_again=again)
    except KeyError:
        msg = f"{store.uri(key)}: the store does not have what it has just created. Use one that is read-after-write."
        raise StoreError(msg, key=key) from None
    finally:
        with contextlib.suppress(StoreError):
            store.forget(key)


def digest_of_file(path: Path) -> Digest:
    """Hash a file without holding it in memory, in steps between which a cancel is heard."""
    hasher = blake3(max_threads=2)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size:  # nothing cannot be mapped
            with mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as content:
                for start in range(0, size, _HASHED_AT_ONCE):
                    hasher.update(content[start : start + _HASHED_AT_ONCE])
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
        self._incoming = root / INCOMING
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._incoming.mkdir(mode=0o700, exist_ok=True)

    @property
    def scratch(self) -> Path:
        """Where writers stage: on the store's own file system, because what is linked and renamed must be."""
        return self._incoming

    @property
    def spill_folder(self) -> Path:
        """Where what does not fit in memory may go: on the store's disk, which is the one that was sized for data."""
        return self._incoming

    def path(self, key: str) -> Path:
        """The file of `key`, whether it exists or not."""
        return self._root / check_key(key)

    def uri(self, key: str) -> str:
        """The file as a `file:` address."""
        return self.path(key).absolute().as_uri()

    def url(self, key: str) -> str:
        """The file's path."""
        return os.fspath(self.path(key))

    def get(self, key: str) -> bytes:
        """The object's bytes; KeyError when there is none, StoreError when the disk says no."""
        with _absent_or_refused(key):
            return self.path(key).read_bytes()

    def read_range(self, key: str, start: int, length: int) -> bytes:
        """A part of the object; KeyError when there is none."""
        with _absent_or_refused(key), self.path(key).open("rb", buffering=0) as file:
            file.seek(start)
            data = bytearray()
            while len(data) < length and (more := file.read(length - len(data))):
                data += more
            return bytes(data)

    def open(self, key: str) -> BinaryIO:
        """Open the object for reading; KeyError when there is none."""
        with _absent_or_refused(key):
            return self.path(key).open("rb")

    def exists(self, key: str) -> bool:
        """Whether the key is there; a refusal by the disk is not absence."""
        try:
            self._status(key)
        except KeyError:
            return False
        return True

    def size(self, key: str) -> int:
        """The file's size."""
        return self._status(key).st_size

    def digest(self, key: str) -> Digest:
        """The digest of the file as it is now."""
        with _absent_or_refused(key):
            return digest_of_file(self.path(key))

    def stamp(self, key: str) -> str:
        """Size, times and inode: new content under the same size and mtime still has a new ctime."""
        status = self._status(key)
        return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}:{status.st_ino}"

    def modified(self, key: str) -> dt.datetime:
        """The file's mtime."""
        return _utc(self._status(key))

    def now(self) -> dt.datetime:
        """The file system's clock, which may be a server's: the mtime of a file made now."""
        made = self._incoming / uuid4().hex
        try:
            made.touch(mode=0o600, exist_ok=False)
            return _utc(made.stat())
        except OSError as error:
            raise refused_by_disk(made.name, error) from error
        finally:
            with contextlib.suppress(OSError):
                made.unlink(missing_ok=True)

    def keys(self, prefix: str) -> list[str]:
        """The names directly below `prefix`, sorted."""
        try:
            names = os.listdir(self._folder(prefix))  # noqa: PTH208 - names only, and no stat each
        except FileNotFoundError:
            return []
        except OSError as error:
            raise refused_by_disk(prefix, error) from error
        return sorted(name for name in names if prefix or name != INCOMING)

    def walk(self, prefix: str) -> Iterator[str]:
        """Every key below `prefix`, sorted."""
        return (found.key for found in self.objects(prefix))

    def objects(self, prefix: str) -> Iterator[StoredObject]:
        """Every file below `prefix`, sorted; one that goes away meanwhile may be left out."""
        folder = self._folder(prefix)
        try:
            with os.scandir(folder) as entries:
                # a folder sorts as the keys below it do: "a-b" < "a/b" < "ab"
                found = sorted((f"{e.name}/" if e.is_dir(follow_symlinks=False) else e.name) for e in entries)
        except FileNotFoundError:
            return
        except OSError as error:
            raise refused_by_disk(prefix, error) from error
        for name in found:
            key = f"{prefix}/{name}" if prefix else name
            if not key.endswith("/"):
                with contextlib.suppress(KeyError):
                    status = self._status(key)
                    yield StoredObject(key, status.st_size, _utc(status))
            elif key != f"{INCOMING}/":
                yield from self.objects(key.removesuffix("/"))

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write aside, put on disk, then link: the key appears complete or not at all."""
        staged = self._incoming / uuid4().hex
        try:
            with os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
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
        self._make_folder(key, target.parent)
        try:
            os.link(staged, target)
        except OSError as error:
            if not _same_file(staged, target):
                if isinstance(error, FileExistsError):
                    return False
                raise refused_by_disk(key, error) from error
        _put_on_disk(key, target.parent)
        return True

    def adopt_folder(self, prefix: str, staged: Path) -> bool:
        """Rename a folder of fsynced files to its content-given, not yet existing place."""
        target = self.path(prefix)
        self._make_folder(prefix, target.parent)
        was_there = os.path.lexists(staged)
        try:
            os.rename(staged, target)  # noqa: PTH104 - onto nothing: a non-empty target makes it fail
        except OSError as error:
            if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
                return False
            # the answer was lost when the folder, which nobody else knows, has left its old name
            if not (was_there and target.is_dir() and not os.path.lexists(staged)):
                raise refused_by_disk(prefix, error) from error
        _put_on_disk(prefix, target.parent)
        return True

    def forget(self, key: str) -> None:
        """Remove an object; one that is gone already is no error."""
        try:
            self.path(key).unlink(missing_ok=True)
        except OSError as error:
            raise refused_by_disk(key, error) from error

    def put_aside(self, prefix: str) -> None:
        """Move a damaged object or folder to `damaged/`, where nothing reads."""
        # with the time in its name, because what is moved keeps its own
        key = f"damaged/{self.now():%Y%m%dT%H%M%SZ}-{uuid4().hex[:12]}/{prefix}"
        target = self.path(key)
        self._make_folder(key, target.parent)
        try:
            os.rename(self.path(prefix), target)  # noqa: PTH104 - to a name that cannot exist yet
        except OSError as error:
            raise refused_by_disk(prefix, error) from error

    def sweep(self, before: dt.datetime) -> int:
        """Remove the staged files of writers that never came to adopt or remove them."""
        return sweep_folder(self._incoming, before)

    def _status(self, key: str) -> os.stat_result:
        with _absent_or_refused(key):
            return self.path(key).lstat()

    def _folder(self, prefix: str) -> Path:
        return self.path(prefix) if prefix else self._root

    def _make_folder(self, key: str, folder: Path) -> None:
        missing: list[Path] = []
        while not folder.is_dir():
            missing.append(folder)
            folder = folder.parent
        try:
            for path in reversed(missing):
                path.mkdir(mode=0o700, exist_ok=True)
                fsync_path(path.parent)
        except OSError as error:
            raise refused_by_disk(key, error) from error


def sweep_folder(folder: Path, before: dt.datetime) -> int:
    """Remove a local folder's files that were last written before then; says how many."""
    swept = 0
    try:
        for path in folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # whoever staged it has just removed it
                status = path.lstat()
                if stat.S_ISREG(status.st_mode) and _utc(status) < before:
                    path.unlink()
                    swept += 1
    except OSError as error:
        raise refused_by_disk(os.fspath(folder), error) from error
    return swept


@contextlib.contextmanager
def _absent_or_refused(key: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise KeyError(key) from None
    except OSError as error:
        raise refused_by_disk(key, error) from error


def _same_file(first: Path, second: Path) -> bool:
    """A link whose answer was lost has succeeded when both names are one file."""
    try:
        return first.samefile(second)
    except OSError:
        return False


def _put_on_disk(key: str, folder: Path) -> None:
    """Make a new entry last. When that fails it is there to see, but a power cut may still take it away: unknown."""
    try:
        fsync_path(folder)
    except OSError as error:
        problem = f"it was created, but the disk did not confirm it ({_problem(error)})"
        raise UnansweredError(key=key, problem=problem) from error


def _utc(status: os.stat_result) -> dt.datetime:
    return dt.datetime.fromtimestamp(status.st_mtime, dt.UTC)


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
    return StoreError(f"store object {key}: {_problem(error)}. {fix}", key=key, errno=error.errno)


def _problem(error: OSError) -> str:
    """The system's words; errors that were made outside Python may have no number."""
    return os.strerror(error.errno) if error.errno else str(error)
