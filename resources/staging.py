"""Staging: folders in which candidates are written, each with an owner that the kernel knows to be alive or not.

Beside each folder lies a file that its owner holds locked. A lock goes with its process, however that ends, and no
number is ever mistaken for another's as process ids are. What another host left is told from what it is working on by
age alone: not every file system shares locks between hosts.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from contracts.canonical import canonical_bytes, parse_json
from contracts.errors import StoreError

OWNER_SUFFIX = ".owner"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class LeftFolder:
    """A staging folder that nobody works in any more."""

    run_id: str
    path: Path
    size_bytes: int
    why: str


@contextmanager
def staged(staging: Path, run_id: str) -> Iterator[Path]:
    """An empty folder for one candidate, private to the user; whatever is in it at the end of the context goes.

    Args:
        staging: Where all runs stage.
        run_id: Whose candidate; several processes of a run may stage at once.

    Raises:
        OSError: The disk refused.
    """
    run_folder = staging / run_id
    folder, owner = _own(run_folder)
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _disown(folder, owner)
        with contextlib.suppress(OSError):
            run_folder.rmdir()  # unless another candidate of the run is being staged


def left_folders(staging: Path, before: dt.datetime, is_active: Callable[[str], bool]) -> Iterator[LeftFolder]:
    """The folders that can go: whose owner is dead, or, where nobody can tell, that nothing was written to for long.

    Args:
        staging: Where all runs stage.
        before: What cannot be told otherwise is left over when nothing in it was written since then.
        is_active: Whether a run of that id is queued or in progress: then nothing of it is left over.
    """
    for run_folder in _entries(staging):
        found = [_left(run_folder, path, before, is_active) for path in _candidates(run_folder)]
        yield from (left for left in found if left is not None)


def remove_left(left: LeftFolder) -> None:
    """Remove a folder that was left over; one that is gone already is no error.

    Raises:
        StoreError: The disk refused.
    """
    owner = left.path.with_name(left.path.name + OWNER_SUFFIX)
    try:
        if left.path.is_dir() and not left.path.is_symlink():
            shutil.rmtree(left.path)
        else:
            left.path.unlink(missing_ok=True)
        owner.unlink(missing_ok=True)
        if left.path.parent.name == left.run_id:
            with contextlib.suppress(OSError):
                left.path.parent.rmdir()  # unless another candidate of the run is there
    except FileNotFoundError:
        return
    except OSError as error:
        msg = f"{left.path}: {os.strerror(error.errno or 0)}. Give this user access to it, or remove it by hand."
        raise StoreError(msg, path=str(left.path), errno=error.errno) from error


def _own(run_folder: Path) -> tuple[Path, int]:
    """A name for a folder that is ours: its owner's file exists, says who we are, and is locked by us."""
    while True:
        run_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = run_folder / uuid4().hex
        try:
            owner = os.open(_owner_of(folder), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            continue  # another candidate of the run was done, and took the empty folder with it
        fcntl.flock(owner, fcntl.LOCK_EX)
        if os.fstat(owner).st_nlink:
            os.write(owner, canonical_bytes({"host": socket.gethostname(), "boot": _boot(), "pid": os.getpid()}))
            return folder, owner
        os.close(owner)  # a sweep was faster than our lock


def _disown(folder: Path, owner: int) -> None:
    with contextlib.suppress(OSError):
        _owner_of(folder).unlink(missing_ok=True)
    os.close(owner)


def _owner_of(folder: Path) -> Path:
    return folder.with_name(folder.name + OWNER_SUFFIX)


def _candidates(run_folder: Path) -> list[Path]:
    """What lies in a run's folder, each folder once, whether it or its owner's file is there."""
    names = {path.name.removesuffix(OWNER_SUFFIX) for path in _entries(run_folder)}
    return [run_folder / name for name in sorted(names)] or [run_folder]


def _left(run_folder: Path, path: Path, before: dt.datetime, is_active: Callable[[str], bool]) -> LeftFolder | None:
    told = None if path == run_folder else _owner_is_dead(_owner_of(path))
    if told is False:
        return None
    size, newest = _measure(path)
    if told is True:
        return LeftFolder(run_folder.name, path, size, "its process is dead")
    if newest >= before or is_active(run_folder.name):
        return None
    return LeftFolder(run_folder.name, path, size, f"nobody has written to it since {newest:%Y-%m-%d %H:%M} UTC")


def _owner_is_dead(owner: Path) -> bool | None:
    """Whether the owner of a folder is gone; None when this host cannot tell."""
    try:
        descriptor = os.open(owner, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        said = parse_json(os.pread(descriptor, 4096, 0) or b"{}")
    except BlockingIOError:
        return False
    except (OSError, ValueError):
        return None
    finally:
        os.close(descriptor)
    here = {"host": socket.gethostname(), "boot": _boot()}
    return True if any(value and said.get(name) == value for name, value in here.items()) else None


def _measure(path: Path) -> tuple[int, dt.datetime]:
    """Bytes below `path`, and when anything in it was written last."""
    newest, size = 0.0, 0
    for found in [path, *path.rglob("*")]:
        with contextlib.suppress(OSError):
            status = found.lstat()
            newest = max(newest, status.st_mtime)
            size += 0 if found.is_dir() else status.st_size
    return size, dt.datetime.fromtimestamp(newest, dt.UTC)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _boot() -> str:
    """What tells this run of this machine's kernel from all others; empty where there is no such thing."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        return ""
