"""The drop folder: which files lie in it, without trusting any of them.

A scan costs one stat a file. Symbolic links are followed only inside the folder; FIFOs, sockets and devices are
never opened; a name that is no UTF-8 is written with its bytes escaped and reported, and stops nothing.
"""

from __future__ import annotations

import fcntl
import fnmatch
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from contracts.errors import ConfigurationError, DropError


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What tells one state of a file from another. New content under the same size and mtime still has a new ctime."""

    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileStamp:
        """Take the stamp from a stat."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file that the glob names. `problem` says why it cannot be taken; `stamp` is None then."""

    path: str
    """Relative to the drop folder; undecodable bytes as `\\xNN`."""
    location: Path
    stamp: FileStamp | None
    problem: str | None = None


def list_drops(root: Path, pattern: str) -> Iterator[ListedFile]:
    """Every file below `root` whose relative path matches the glob `pattern`, in no particular order.

    Raises:
        ConfigurationError: The fixed part of the pattern's folder is missing or cannot be read.
    """
    glob = _Glob(pattern)
    base = root / glob.fixed
    if not base.is_dir():
        msg = f"drop folder {base} does not exist. Create it, or set HASHGATE_DROPS to where the drops arrive."
        raise ConfigurationError(msg, path=str(base))
    real_root = base.resolve()
    for entry, names in _walk(base, glob.deepest):
        if glob.matches(names):
            relative = "/".join([glob.fixed, *names] if glob.fixed else names)
            yield _look_at(entry, _printable(relative), real_root)


def open_drop(listed: ListedFile) -> int:
    """Open a drop for reading, never following a last-moment swap into a FIFO or device; the caller closes it."""
    descriptor = os.open(listed.location, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        msg = f"{listed.path} is no regular file any more. Drop a plain file."
        raise DropError(msg, path=listed.path)
    return descriptor


def is_being_written(location: Path) -> bool | None:
    """Whether a process has the file open for writing; None when this file system or user cannot tell.

    A read lease is granted by the kernel only when there is no writer (fcntl(2), F_SETLEASE).
    """
    try:
        descriptor = os.open(location, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return False


def _walk(base: Path, deepest: int | None) -> Iterator[tuple[os.DirEntry[str], list[str]]]:
    """Everything below `base` that is no folder, with its names from there; `deepest` folders down at most."""
    folders: list[tuple[str, list[str]]] = [(os.fspath(base), [])]
    while folders:
        folder, above = folders.pop()
        try:
            entries = list(os.scandir(folder))
        except FileNotFoundError:
            continue  # removed while we looked
        except OSError as error:
            msg = f"drop folder {folder} cannot be read: {error.strerror}. Give this user access to it."
            raise ConfigurationError(msg, path=folder) from error
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                yield entry, [*above, entry.name]
            elif deepest is None or len(above) < deepest:
                folders.append((entry.path, [*above, entry.name]))


def _look_at(entry: os.DirEntry[str], path: str, real_root: Path) -> ListedFile:
    location = Path(entry.path)
    try:
        if entry.is_symlink() and not location.resolve(strict=True).is_relative_to(real_root):
            return ListedFile(path, location, None, "LINK_LEAVES_FOLDER")
        status = entry.stat(follow_symlinks=True)
    except (FileNotFoundError, RuntimeError):
        return ListedFile(path, location, None, "BROKEN_LINK")
    except OSError:
        return ListedFile(path, location, None, "UNREADABLE")
    if not stat.S_ISREG(status.st_mode):
        return ListedFile(path, location, None, "NOT_A_FILE")
    if not _is_utf8(entry.name):
        return ListedFile(path, location, None, "NAME_NOT_UTF8")
    if not os.access(location, os.R_OK):
        return ListedFile(path, location, None, "UNREADABLE")
    return ListedFile(path, location, FileStamp.of(status))


def _is_utf8(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _printable(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")


class _Glob:
    """A path pattern, matched name by name: `fnmatch` translates `*` without backtracking, `**` is any depth."""

    def __init__(self, pattern: str) -> None:
        parts = pattern.split("/")
        wild = next((i for i, part in enumerate(parts[:-1]) if any(c in part for c in "*?[")), len(parts) - 1)
        self.fixed = "/".join(parts[:wild])
        self.deepest = None if "**" in parts else len(parts) - wild - 1
        self._names = [None if part == "**" else re.compile(fnmatch.translate(part)) for part in parts[wild:]]

    def matches(self, names: list[str]) -> bool:
        """Whether the names below `fixed` match; the set of reachable pattern positions, name after name."""
        reachable = self._skip_depths({0})
        for name in names:
            following = set()
            for position in reachable:
                if position < len(self._names):
                    matcher = self._names[position]
                    if matcher is None:
                        following.add(position)
                    elif matcher.match(name):
                        following.add(position + 1)
            reachable = self._skip_depths(following)
        return len(self._names) in reachable

    def _skip_depths(self, positions: set[int]) -> set[int]:
        for position in sorted(positions):
            while position < len(self._names) and self._names[position] is None:
                position += 1  # noqa: PLW2901 - `**` may stand for no folder at all
                positions.add(position)
        return positions
