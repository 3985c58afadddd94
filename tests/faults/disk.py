"""What a disk holds when the power goes: only what was synced. A model, kept beside a real folder.

A file's content is on the disk since its last fsync, a folder's entries since the folder's. Until then a disk may have
them or not; here it has none of them, or the names alone, which are the two ends of what file systems do.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class _File:
    """One file's life, under whatever names."""

    synced: bytes = b""


@dataclass
class _Folder:
    """One folder's life."""

    synced: dict[str, _File | _Folder] = field(default_factory=dict)


class Disk:
    """What of a folder is on the disk. All of it was synced when this is made."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[int, _File | _Folder] = {}
        """By inode, those that are there now."""
        for folder, _, names in os.walk(root, topdown=False):
            for name in names:
                self.synced(Path(folder, name))
            self.synced(Path(folder))

    def synced(self, path: Path) -> None:
        """A file or folder was synced just now; what is no regular file or folder does not matter."""
        known = self._at(path)
        if isinstance(known, _File):
            known.synced = path.read_bytes()
        elif isinstance(known, _Folder):
            there = {name: self._at(path / name) for name in os.listdir(path)}  # noqa: PTH208 - names only
            known.synced = {name: entry for name, entry in there.items() if entry is not None}

    def removing(self, path: Path) -> None:
        """A name is about to go: should it be the last one, its inode may come back as another file."""
        try:
            status = path.lstat()
        except OSError:
            return
        if status.st_nlink == 1 or path.is_dir():
            self._known.pop(status.st_ino, None)

    def lose_what_is_not_synced(self, *, names_stay: bool) -> None:
        """Make the folder what it is after the power came back.

        Args:
            names_stay: What was created, linked, renamed or removed since a folder's last sync is so on the disk, too;
                only file content is lost. Without it, nothing of that has happened.
        """
        if names_stay:
            for folder, _, names in os.walk(self._root):
                for path in (Path(folder, name) for name in names):
                    known = self._at(path)
                    if isinstance(known, _File):
                        path.write_bytes(known.synced)
            return
        root = self._at(self._root)
        shutil.rmtree(self._root)
        if isinstance(root, _Folder):
            _write(root, self._root, {})

    def _at(self, path: Path) -> _File | _Folder | None:
        try:
            status = path.lstat()
        except OSError:
            return None
        if path.is_symlink():
            return None
        kind = _Folder if path.is_dir() else _File
        known = self._known.get(status.st_ino)
        if not isinstance(known, kind):
            known = self._known[status.st_ino] = kind()
        return known


def _write(folder: _Folder, path: Path, written: dict[int, Path]) -> None:
    """Write a folder; a file with several names is one file again."""
    path.mkdir(mode=0o700)
    for name, entry in folder.synced.items():
        target = path / name
        if isinstance(entry, _Folder):
            _write(entry, target, written)
        elif id(entry) in written:
            target.hardlink_to(written[id(entry)])
        else:
            target.write_bytes(entry.synced)
            written[id(entry)] = target
