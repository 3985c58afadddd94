"""Local copies of files that lie in a remote store, for DuckDB, which attaches a database only from the local disk.

A copy is named by its digest, and verified when it is made and whenever somebody may have touched it. The folder has a
bound: what was not used for longest goes first, and what is in use stays, because its user holds a lock on it, which
ends with the process. The whole folder may be removed when nothing runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from contracts.refs import Digest, hex_of
from resources.exports import copy_source
from resources.file_catalogue import FileCatalogue
from resources.object_store import digest_of_file, refused_by_disk
from resources.segment_places import is_remote

CACHE_BYTES = 8 << 30

_COPY = re.compile(r"[0-9a-f]{64}")
_USED = ".used"
_PART = ".part"
_LEFT_AFTER_S = 86_400
"""A copy that nobody has finished for so long was given up."""

Known = dict[str, tuple[str, str]]
"""By key: stamp and digest of what was verified."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file as `TableReader.open_exports` names it, and the digest that it has."""

    source: str
    digest: Digest


class ExportCache:
    """The copies in one folder, which any number of processes may share."""

    def __init__(self, folder: Path, catalogue: FileCatalogue, limit_bytes: int = CACHE_BYTES) -> None:
        self._folder, self._catalogue, self._limit_bytes = folder, catalogue, limit_bytes

    @contextmanager
    def local(self, wanted: Sequence[Wanted]) -> Iterator[list[Path]]:
        """Paths of verified files, which stay as long as the context; those of a local store lie where they are.

        Raises:
            DigestMismatchError, StoreError: One is not what was published, or the store or the disk refused.
        """
        known, fresh = self._catalogue.verified(), list[tuple[str, str, str]]()
        with ExitStack() as held:
            paths = [held.enter_context(self._local(file, known, fresh)) for file in wanted]
            self._catalogue.remember_verified(fresh)
            if any(is_remote(file.source) for file in wanted):
                self._sweep()
            yield paths

    @contextmanager
    def _local(self, file: Wanted, known: Known, fresh: list[tuple[str, str, str]]) -> Iterator[Path]:
        if not is_remote(file.source):
            yield Path(file.source)
            return
        path = self._folder / hex_of(file.digest)
        descriptor = None
        while descriptor is None:
            descriptor = self._held(path, file.digest, known, fresh)
            if descriptor is None:
                self._fetch(file, path)
        try:
            path.with_suffix(_USED).touch(mode=0o600)
            yield path
        finally:
            os.close(descriptor)

    def _held(self, path: Path, digest: Digest, known: Known, fresh: list[tuple[str, str, str]]) -> int | None:
        """A lock that keeps a whole copy; None when there is none."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise refused_by_disk(os.fspath(path), error) from error
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        status = os.fstat(descriptor)
        if status.st_nlink:
            key = f"cache/{path.name}"
            stamp = f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}:{status.st_ino}"
            if known.get(key) == (stamp, digest):
                return descriptor
            if digest_of_file(path) == digest:
                fresh.append((key, stamp, digest))
                return descriptor
            path.unlink(missing_ok=True)
        os.close(descriptor)  # it is not whole, or a sweep was faster than our lock
        return None

    def _fetch(self, file: Wanted, path: Path) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{uuid4().hex}{_PART}")
        try:
            copy_source(file.source, part)
            with contextlib.suppress(FileExistsError):  # somebody else was faster
                os.link(part, path)
        except OSError as error:
            raise refused_by_disk(os.fspath(path), error) from error
        finally:
            part.unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Remove what was not used for longest and is not in use, until the rest is within the bound."""
        copies: list[tuple[float, int, Path]] = []
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if path.suffix == _PART and path.stat().st_mtime < time.time() - _LEFT_AFTER_S:
                    path.unlink()
                elif _COPY.fullmatch(path.name):
                    used = path.with_suffix(_USED)
                    last = used.stat() if used.exists() else path.stat()
                    copies.append((last.st_mtime, path.stat().st_size, path))
        excess = sum(size for _, size, _ in copies) - self._limit_bytes
        for _, size, path in sorted(copies):
            if excess > 0 and _removed(path):
                excess -= size


def _removed(path: Path) -> bool:
    """Remove a copy unless somebody uses it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
        path.with_suffix(_USED).unlink(missing_ok=True)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
