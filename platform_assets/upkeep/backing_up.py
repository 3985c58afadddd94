"""Backup: the store's documents first, then everything they name, while runs go on.

What a document names was there before the document, and nothing that is named changes or goes: so the documents of
one moment, and after them what they name, are consistent whatever is written meanwhile. What a collector removes in
between had expired, and the record of that is copied last.

Dagster's SQLite databases are copied by SQLite's own online backup. The platform's database is not: it is an index,
and built anew from the store. Drop folder and contracts are not the platform's.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from contracts.backup_manifest import DAGSTER, STORE, BackedUpFile, BackupError, BackupManifest
from contracts.commits import Commit
from contracts.errors import HashgateError
from contracts.refs import Digest, digest_bytes
from contracts.segments import SegmentIndex
from platform_assets.upkeep.backup_folder import BackupFolder
from platform_assets.upkeep.roots import BLOBS, roots_of
from platform_assets.upkeep.table_documents import Snapshots, read_documents, tables_with_documents
from resources.doomed_lists import first_copy
from resources.expirations import Expirations
from resources.object_store import FOLDER_INDEX
from resources.workspace import Workspace

_OF_A_TABLE = ("commits", "held", "discarded", "selections", "datasets")
"""A table's documents, in this order: what is copied later, what was copied before may name."""
_MAY_GO = ("/held/",)
"""Documents that are no links of a chain: people release and discard them."""
_NOT_COPIED = ("-wal", "-shm", "-journal", ".sock")


@dataclass
class BackupReport:
    """What was copied."""

    folder: Path
    number: int = 0
    """Of the backup in its folder."""
    files: int = 0
    """That belong to it."""
    copied: int = 0
    copied_bytes: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)
    """What could not be read, and is not in it."""

    @property
    def bytes_per_second(self) -> float:
        """How fast it went."""
        return self.copied_bytes / self.seconds if self.seconds else 0.0


def back_up(workspace: Workspace, folder: Path, *, copied: Callable[[str], None] = lambda _: None) -> BackupReport:
    """Copy an installation into a folder; into one with earlier backups of the same home only what is new.

    Args:
        workspace: The installation.
        folder: New, empty, or with earlier backups.
        copied: Called with the name of each file that is done.

    Raises:
        BackupError: The folder is no place for a backup of this home.
        ChainError: The manifests in it are not what was written.
        StoreError: Store or disk refused.
    """
    home = workspace.settings.home
    if folder.absolute().is_relative_to(home) or home.is_relative_to(folder.absolute()):
        msg = f"{folder} and the home {home} lie in each other. Name a folder elsewhere, on another disk if you can."
        raise BackupError(msg, folder=str(folder))
    return _Backup(workspace, BackupFolder.created(folder), copied).run()


class _Backup:
    """One backup of one home."""

    def __init__(self, workspace: Workspace, target: BackupFolder, copied: Callable[[str], None]) -> None:
        self._workspace, self._store, self._target, self._copied = workspace, workspace.store, target, copied
        self._report = BackupReport(target.path)
        self._before: dict[str, BackedUpFile] = {}
        self._files: dict[str, BackedUpFile] = {}

    def run(self) -> BackupReport:
        started = time.monotonic()
        earlier = self._target.newest()
        self._before = {file.name: file for file in earlier.files} if earlier else {}
        number = earlier.number + 1 if earlier else 1
        self._check_same_home()
        held = self._copy_documents()
        names, problems = self._names(held)
        self._report.problems += problems
        missing = [name for name in sorted(names) if not self._copy_named(name)]
        self._report_missing(missing)
        self._copy_dagster(number)
        for key in self._store.walk("expired"):
            self._copy_object(key, None)
        self._finish(number, earlier)
        self._forget_earlier_dagster(number)
        self._report.seconds = time.monotonic() - started
        return self._report

    def _check_same_home(self) -> None:
        """Every document of the earlier backup is in this home, as it was: two homes have no history in common."""
        for name, file in self._before.items():
            key = name.removeprefix(f"{STORE}/")
            if name == key or not _is_link(key):
                continue
            try:
                observed = digest_bytes(self._store.get(key))
            except KeyError:
                observed = None
            if observed != file.digest:
                msg = (
                    f"{self._target.path} is a backup of another home: {key} is {file.digest} there, and here "
                    f"{observed or 'there is none'}. Name another folder."
                )
                raise BackupError(msg, folder=str(self._target.path), key=key)

    def _copy_documents(self) -> list[Commit]:
        """Copy all documents; the held candidates among them, which may be gone when their segments are copied."""
        held: list[Commit] = []
        for kind in _OF_A_TABLE:
            for table in self._store.keys("tables"):
                for key in self._store.walk(f"tables/{table}/{kind}"):
                    if self._copy_object(key, None) and kind == "held":
                        held += self._held_candidate(f"{STORE}/{key}")
        for folder in ("captures", "engine"):
            for key in self._store.walk(folder):
                self._copy_object(key, None)
        return held

    def _held_candidate(self, name: str) -> list[Commit]:
        try:
            return [Commit.from_bytes(self._target.store.get(name))]
        except ValueError as error:
            self._report.problems.append(f"{name}: {error}")
            return []

    def _names(self, held: list[Commit]) -> tuple[set[str], list[str]]:
        """What documents name; all that were copied are among those that are read here, but for `held`.

        Returns:
            The names, and the documents that cannot be read.
        """
        documents = [read_documents(self._workspace, table) for table in tables_with_documents(self._workspace)]
        for commit in held:
            documents[[d.table for d in documents].index(commit.candidate.table)].held.append(commit)
        roots = roots_of(documents, Expirations.read(self._store), Snapshots(self._workspace))
        return roots.names, roots.problems

    def _copy_named(self, name: str) -> bool:
        """Copy what lies under a name; False when it is missing."""
        if name.startswith(f"{BLOBS}/"):
            digest = Digest(f"blake3:{name.rpartition('/')[2]}")
            place = first_copy(self._store, name)
            return place is not None and self._copy_object(place, digest, name=name)
        place = first_copy(self._store, name, FOLDER_INDEX) or name
        keys = list(self._store.walk(place))
        for key in keys:
            self._copy_object(key, self._digest_of(place, key), name=f"{name}{key.removeprefix(place)}")
        # a report is written after its version, or never
        return not _is_indexed(name) or self._has_what_it_names(place, keys)

    def _has_what_it_names(self, place: str, keys: list[str]) -> bool:
        """Whether everything is there that a folder's index names; of an altered one, its digest has told already."""
        try:
            index = SegmentIndex.from_bytes(self._store.get(f"{place}/{FOLDER_INDEX}"))
        except KeyError:
            return False
        except ValueError:
            return True
        return {f"{place}/{file.name}" for file in index.files} <= set(keys)

    def _digest_of(self, place: str, key: str) -> Digest | None:
        """What a segment's or export's file must have, by its index; and its index, by the folder's name."""
        if not _is_indexed(place):
            return None
        if key.endswith(f"/{FOLDER_INDEX}"):
            return Digest(f"blake3:{place.rpartition('/')[2].partition('.')[0]}")
        try:
            index = SegmentIndex.from_bytes(self._store.get(f"{place}/{FOLDER_INDEX}"))
        except (KeyError, ValueError):
            return None  # told of the index itself
        return next((file.digest for file in index.files if key == f"{place}/{file.name}"), None)

    def _copy_object(self, key: str, digest: Digest | None, *, name: str | None = None) -> bool:
        """Copy one object, unless it is there; False when it is gone or not what it should be."""
        wanted = f"{STORE}/{name or key}"
        known = self._before.get(wanted)
        if known is not None and not any(part in key for part in _MAY_GO) and self._target.has(known, self._before):
            self._files[wanted] = known
            self._copied(wanted)
            return True
        try:
            self._put(wanted, partial(self._store.open, key), digest)
        except KeyError:
            return False
        except HashgateError as error:
            if "errno" in error.evidence:
                raise
            self._report.problems.append(str(error))
        return True

    def _report_missing(self, missing: list[str]) -> None:
        """What is named and not there was lost, unless it expired while the backup was made."""
        still_named = self._names([])[0] if missing else set[str]()
        fix = "Restore it, or ingest its partition again with --force; `hashgate verify` says more."
        self._report.problems += [
            f"{name} is missing, and a document names it. {fix}" for name in missing if name in still_named
        ]

    def _copy_dagster(self, number: int) -> None:
        home = self._workspace.settings.dagster_home
        for path in sorted(home.rglob("*")):
            if not path.is_file() or path.is_symlink() or path.name.endswith(_NOT_COPIED):
                continue
            name = f"{DAGSTER}/{number:08d}/{path.relative_to(home).as_posix()}"
            opened = _opened_database if path.suffix == ".db" else _opened
            try:
                self._put(name, partial(opened, path, self._target.store.scratch), None)
            except KeyError:
                continue
            except (HashgateError, sqlite3.Error, OSError) as error:
                self._report.problems.append(f"{path}: {error}")

    def _put(self, name: str, opened: Callable[[], BinaryIO], digest: Digest | None) -> None:
        file = self._target.put(name, opened, digest)
        self._files[name] = file
        self._report.copied += 1
        self._report.copied_bytes += file.size_bytes
        self._copied(name)

    def _forget_earlier_dagster(self, number: int) -> None:
        """Databases change as a whole: of these only the newest copy is kept."""
        for earlier in self._target.store.keys(DAGSTER):
            if earlier != f"{number:08d}":
                for name in list(self._target.store.walk(f"{DAGSTER}/{earlier}")):
                    self._target.store.forget(name)

    def _finish(self, number: int, earlier: BackupManifest | None) -> None:
        manifest = BackupManifest(
            number=number,
            parent=earlier.digest if earlier else None,
            made_at=self._workspace.now(),
            files=tuple(self._files[name] for name in sorted(self._files)),
            problems=tuple(self._report.problems),
        )
        if not self._target.store.put_if_absent(self._target.manifests.key(number), manifest.to_bytes()):
            msg = f"{self._target.path}: another backup into this folder has just finished. Run it again."
            raise BackupError(msg, folder=str(self._target.path))
        self._report.number, self._report.files = number, len(manifest.files)


def _is_indexed(name: str) -> bool:
    return "/segments/" in name or "/exports/" in name


def _is_link(key: str) -> bool:
    kinds = ("commits", "discarded", "selections")
    return key.startswith(("captures/", "expired/")) or any(f"/{kind}/" in key for kind in kinds)


def _opened(path: Path, _scratch: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise KeyError(str(path)) from None


def _opened_database(path: Path, scratch: Path) -> BinaryIO:
    """A copy of a SQLite database as it is at one moment, whoever writes to it meanwhile."""
    copy = scratch / f"{path.name}.backup"
    copy.unlink(missing_ok=True)
    try:
        with (
            closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
            if target.execute("PRAGMA quick_check").fetchone() != ("ok",):
                msg = "SQLite says that the copy is not whole"
                raise sqlite3.DatabaseError(msg)
        return cast("BinaryIO", copy.open("rb"))
    finally:
        copy.unlink(missing_ok=True)
