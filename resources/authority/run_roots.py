"""An engine's run root, on local disk or in S3: read, never written, and never left.

On disk no link is followed, not even one that stays inside, and nothing but regular files is opened: what a gate hashes
is what lies there. A folder that is not there yet has no files; that is for evidence to wait for, not an error. What
the disk or the server refuses is one, and nothing is concluded from it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from contracts.authority.run_files import DocumentTooLargeError, RunFiles, UnsafePathError, told_reading
from contracts.errors import ConfigurationError, StoreError, UsageError
from resources.object_store import ObjectStore, check_key
from resources.settings import S3Location, parse_store

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG})
_LINK_FIX = "Put the file itself there: links are not followed in a run root."


class RunRoot(RunFiles, Protocol):
    """The files of a run root, and where it is."""

    @property
    def location(self) -> str:
        """An absolute folder, or `s3://bucket/prefix`."""


def open_run_root(location: str, *, client: Any = None) -> RunRoot:
    """Open a run root by its location; it need not be there yet.

    Args:
        location: An absolute folder, or `s3://bucket/prefix`.
        client: boto3's for S3; without one, the AWS_* variables say where and who.

    Raises:
        UsageError: It is neither.
    """
    try:
        place = parse_store(location.strip())
    except ConfigurationError:
        place = None
    if isinstance(place, Path):
        return LocalRunRoot(place)
    if not isinstance(place, S3Location) or not place.prefix:
        msg = "an engine run root is an absolute folder or s3://bucket/prefix, with a prefix. Name one of these."
        raise UsageError(msg)
    # imported here because boto3 takes 0.2 s, which a local run root need not wait for
    from resources.s3_client import s3_client  # noqa: PLC0415
    from resources.s3_store import S3ObjectStore  # noqa: PLC0415

    scratch = Path(os.devnull) / "run-roots-are-not-written"
    store = S3ObjectStore(s3_client() if client is None else client, place.bucket, "", scratch)
    return StoreRunRoot(store, place.prefix, str(place))


def check_path(path: str) -> str:
    """Return a path below a run root, or raise UnsafePathError when it could leave it."""
    is_text = path.isascii() or path == path.encode("utf-8", "replace").decode()
    if not path or not is_text or "\0" in path or "\\" in path or not {"", ".", ".."}.isdisjoint(path.split("/")):
        problem = "it is no path below the run root"
        raise UnsafePathError(path=path, problem=problem, fix="Write names joined by /, none empty, `.` or `..`.")
    return path


class LocalRunRoot:
    """A folder on this machine. Only the folder itself may be named through links."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    @property
    def location(self) -> str:
        """The folder, its links resolved."""
        return os.fspath(self._root)

    def listing(self, folder: str) -> list[str]:
        """Every file below a folder, in the order of the paths."""
        try:
            with self._opened(folder) as descriptor:
                return sorted(_files_below(descriptor, folder))
        except KeyError:
            return []

    def open(self, path: str) -> BinaryIO:
        """Open a regular file."""
        folder, _, name = check_path(path).rpartition("/")
        with self._opened(folder) as parent, _told(path):
            descriptor = _open_here(name, parent, _FILE, path)
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode):
                return os.fdopen(descriptor, "rb", buffering=0)
            os.close(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise KeyError(path)
        raise UnsafePathError(path=path, problem="it is no regular file", fix="Put a plain file there.")

    def read_document(self, path: str, limit_bytes: int) -> bytes:
        """Read a small file whole."""
        with self.open(path) as file:
            return _limited(file, path, limit_bytes)

    @contextlib.contextmanager
    def _opened(self, folder: str) -> Iterator[int]:
        """A folder below the root, reached name by name; KeyError when there is none."""
        with _told(folder or self.location):
            descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in check_path(folder).split("/") if folder else ():
                with _told(folder):
                    below = _open_here(name, descriptor, _FOLDER, folder)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)


class StoreRunRoot:
    """A folder in an object store that is not the platform's own; only its listings and objects are asked for."""

    def __init__(self, store: ObjectStore, prefix: str, location: str) -> None:
        self._store, self._prefix, self._location = store, prefix, location

    @property
    def location(self) -> str:
        """As it was given."""
        return self._location

    def listing(self, folder: str) -> list[str]:
        """Every object below a folder, in the order of the paths."""
        place = self._key(folder) if folder else self._prefix
        return sorted(check_path(found.key.removeprefix(f"{self._prefix}/")) for found in self._store.objects(place))

    def open(self, path: str) -> BinaryIO:
        """Open an object."""
        return self._store.open(self._key(path))

    def read_document(self, path: str, limit_bytes: int) -> bytes:
        """Read a small object whole."""
        with self.open(path) as file:
            return _limited(file, path, limit_bytes)

    def _key(self, path: str) -> str:
        key = f"{self._prefix}/{check_path(path)}"
        try:
            return check_key(key)
        except StoreError:
            raise UnsafePathError(path=path, problem="no object can be called that", fix="Correct the path.") from None


def _files_below(descriptor: int, folder: str) -> Iterator[str]:
    with _told(folder), os.scandir(descriptor) as entries:
        found = list(entries)
    for entry in found:
        path = f"{folder}/{entry.name}" if folder else entry.name
        try:
            entry.name.encode()
        except UnicodeEncodeError:
            shown = ascii(path)
            raise UnsafePathError(path=shown, problem="its name is no UTF-8", fix="Give it another name.") from None
        if entry.is_symlink():
            raise UnsafePathError(path=path, problem="it is a symbolic link", fix=_LINK_FIX)
        if entry.is_dir(follow_symlinks=False):
            with _told(path):
                below = _open_here(entry.name, descriptor, _FOLDER, path)
            try:
                yield from _files_below(below, path)
            finally:
                os.close(below)
        elif entry.is_file(follow_symlinks=False):
            yield path
        else:
            raise UnsafePathError(path=path, problem="it is no regular file", fix="Put a plain file there.")


def _open_here(name: str, folder: int, flags: int, path: str) -> int:
    """Open a name in an open folder; a link is told from something that is not there."""
    try:
        return os.open(name, flags, dir_fd=folder)
    except OSError as error:
        is_link = error.errno in {errno.ELOOP, errno.ENOTDIR, errno.EMLINK} and _is_link(name, folder)
        if not is_link:
            raise
    raise UnsafePathError(path=path, problem=f"{name} is a symbolic link", fix=_LINK_FIX)


def _is_link(name: str, folder: int) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except OSError:
        return False


@contextlib.contextmanager
def _told(path: str) -> Iterator[None]:
    """Not found is a KeyError; what else the disk says is told as such."""
    try:
        yield
    except OSError as error:
        if error.errno in _ABSENT:
            raise KeyError(path) from None
        problem = os.strerror(error.errno) if error.errno else str(error)
        msg = f"run root file {path}: {problem}. Let this user read it, and try again: nothing was concluded."
        raise StoreError(msg, path=path, errno=error.errno) from error


def _limited(file: BinaryIO, path: str, limit_bytes: int) -> bytes:
    data = b""
    with told_reading(path):
        while len(data) <= limit_bytes and (more := file.read(limit_bytes + 1 - len(data))):
            data += more
    if len(data) > limit_bytes:
        problem = f"it is larger than {limit_bytes} bytes"
        raise DocumentTooLargeError(path=path, problem=problem, fix="Is this the right file?")
    return data
