"""Restore: a backup back into an empty home, every file verified, the documents last.

Until the last document is there nobody can read what has no files yet. What the backup lacks, or has altered, is left
out and named, with the versions that cannot be read for it; everything else is restored. The database is built anew
from the store.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from contracts.backup_manifest import DAGSTER, STORE, BackedUpFile, BackupError
from contracts.errors import DigestMismatchError, StoreError
from platform_assets.evidence.rebuilding import LATER, rebuild
from platform_assets.upkeep.backup_folder import BackupFolder, copied_file
from platform_assets.upkeep.table_documents import read_documents, tables_with_documents
from resources.object_store import FOLDER_INDEX, fsync_path, refused_by_disk
from resources.table_reader import folders_of
from resources.workspace import Workspace

_DOCUMENTS = ("datasets", "captures", "selections", "discarded", "expired", "held", "commits")
"""What makes other things visible comes after them."""


@dataclass
class RestoreReport:
    """What was brought back."""

    number: int
    """Of the backup."""
    files: int = 0
    restored_bytes: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)
    """What is missing or altered, and what cannot be read for it."""

    @property
    def bytes_per_second(self) -> float:
        """How fast it went."""
        return self.restored_bytes / self.seconds if self.seconds else 0.0


def restore(workspace: Workspace, folder: Path, *, restored: Callable[[str], None] = lambda _: None) -> RestoreReport:
    """Bring the newest backup in a folder back.

    Args:
        workspace: The installation to fill; its home, store and database are empty.
        folder: The backup.
        restored: Called with the name of each file that is done.

    Raises:
        BackupError: The folder is no backup, or the home is not empty; nothing was changed.
        ChainError: The backup's manifests are not what was written.
        StoreError: Store or disk refused; empty the home before the next attempt.
    """
    source = BackupFolder.opened(folder)
    manifest = source.newest()
    if manifest is None:
        msg = f"{folder} holds no finished backup. Name another folder."
        raise BackupError(msg, folder=str(folder))
    _check_empty(workspace)
    started = time.monotonic()
    report = RestoreReport(manifest.number, problems=[f"when it was made: {said}" for said in manifest.problems])
    missing: set[str] = set()
    for file in sorted(manifest.files, key=_order):
        problem = _restore_file(workspace, source, file)
        if problem is None:
            report.files += 1
            report.restored_bytes += file.size_bytes
        else:
            report.problems.append(problem)
            missing.add(file.name.removeprefix(f"{STORE}/"))
        restored(file.name)
    report.problems += _unreadable(workspace, missing)
    report.problems += [
        f"{problem.problem} {problem.fix}".strip() for problem in rebuild(workspace).problems if problem.fix != LATER
    ]
    report.seconds = time.monotonic() - started
    return report


def _check_empty(workspace: Workspace) -> None:
    settings = workspace.settings
    url = settings.database
    database = Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None
    found = next(iter(workspace.store.walk("")), None)
    there = [
        f"the store has {found}" if found else "",
        f"{settings.dagster_home} has files" if any(p.is_file() for p in settings.dagster_home.rglob("*")) else "",
        f"there is a database {database}" if database is not None and database.exists() else "",
    ]
    said = [problem for problem in there if problem]
    if said:
        msg = f"{settings.home} is not empty: {'; '.join(said)}. Set HASHGATE_HOME to a new folder and restore into it."
        raise BackupError(msg, home=str(settings.home), found=said)


def _order(file: BackedUpFile) -> tuple[int, bool, str]:
    """Objects first, a folder's index after its files; then the documents, those that name most at the end."""
    parts = file.name.removeprefix(f"{STORE}/").split("/")
    kind = parts[2] if parts[0] == "tables" and len(parts) > 2 else parts[0]
    rank = _DOCUMENTS.index(kind) + 1 if kind in _DOCUMENTS else 0
    return rank, parts[-1] == FOLDER_INDEX, file.name


def _restore_file(workspace: Workspace, source: BackupFolder, file: BackedUpFile) -> str | None:
    """Bring one file back; what is wrong with it, if that cannot be done."""
    fix = "It is not restored: take it from another backup."
    staged = workspace.store.scratch / uuid4().hex
    try:
        copied_file(lambda: source.store.open(file.name), staged, file.name, file.digest)
        _put(workspace, file.name, staged)
    except KeyError:
        return f"{file.name} is missing from the backup. {fix}"
    except DigestMismatchError as error:
        return f"{file.name}: expected {file.digest}, observed {error.evidence['observed']}. {fix}"
    finally:
        staged.unlink(missing_ok=True)
    return None


def _put(workspace: Workspace, name: str, staged: Path) -> None:
    kind, _, rest = name.partition("/")
    if kind == STORE:
        workspace.store.adopt_file(rest, staged)
        return
    if kind != DAGSTER:
        msg = f"{name} is of no known kind: this backup was made by a newer hashgate. Upgrade, and restore again."
        raise StoreError(msg, name=name)
    target = workspace.settings.dagster_home / rest.partition("/")[2]
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copyfile(staged, target)
        fsync_path(target)
    except OSError as error:
        raise refused_by_disk(name, error) from error


def _unreadable(workspace: Workspace, missing: set[str]) -> list[str]:
    """The current versions that readers cannot have, because something of them was not restored."""
    if not missing:
        return []
    folders = {key.rpartition("/")[0] for key in missing}
    said: list[str] = []
    for table in tables_with_documents(workspace):
        for partition, head in read_documents(workspace, table).heads.items():
            missed = [entry for name, entry in folders_of(head.candidate) if name in folders]
            if missed:
                lost = {export.content: str(export.sink) for export in head.candidate.exports}
                sinks = [lost.get(entry.content, "") for entry in missed]
                what = "cannot be read" if "" in sinks else f"cannot be read as {' and '.join(sinks)}"
                where = f"{table}[{partition}] version {head.number}"
                said.append(f"{where} {what}. Ingest the partition again with --force.")
    return said
