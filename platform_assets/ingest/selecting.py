"""Scan, capture, select: which drops a partition is built from, decided once and frozen."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from contracts.canonical import canonical_bytes
from contracts.errors import DropError
from contracts.partitions import NoKey, partition_keys_of
from contracts.selection import CapturedDrop, Selection, SelectionSnapshot, freeze, newest_by_path
from contracts.table_contract import TableContract
from resources.captures import capture_file, get_blob, put_blob
from resources.drop_folder import ListedFile, is_being_written, list_drops
from resources.file_catalogue import KnownFile, ScanReport, stamp_text
from resources.table_reader import numbered_key
from resources.workspace import Workspace

BATCH_DROPS = 1000
_SETTLING_S = 1.0


@dataclass(frozen=True, slots=True)
class CaptureReport:
    """What became of the files that were new or changed."""

    captured: int
    """Files whose content is in the store now."""
    waiting: tuple[str, ...]
    """Files that are still being written; they are taken when they rest."""
    failed: tuple[DropError, ...]


def scan(workspace: Workspace, contract: TableContract, *, record: bool = True) -> ScanReport:
    """Look at a table's drop folder; with `record` off nothing is remembered."""
    if record:
        _catch_up(workspace, contract.table)
    listed = list_drops(workspace.settings.drops, contract.server.path)
    return workspace.catalogue.observe(
        contract.table, listed, _key_of(workspace, contract), workspace.now(), record=record
    )


def capture(workspace: Workspace, contract: TableContract, partitions: Iterable[str] | None = None) -> CaptureReport:
    """Take the new and changed files of `partitions` (default: all) into the store, and log them."""
    _catch_up(workspace, contract.table)
    wanted = None if partitions is None else set(partitions)
    files = [
        f for f in workspace.catalogue.files(contract.table, to_capture=True) if wanted is None or f.partition in wanted
    ]
    resting, waiting = _part_resting(workspace, files)
    captured, failed = 0, []
    for start in range(0, len(resting), BATCH_DROPS):
        done, errors = _capture_batch(workspace, contract.table, resting[start : start + BATCH_DROPS])
        captured += done
        failed += errors
    return CaptureReport(captured, tuple(waiting), tuple(failed))


def select(workspace: Workspace, contract: TableContract, partitions: Sequence[str]) -> dict[str, Selection]:
    """Freeze what `partitions` are built from. Partitions without a single drop are left out.

    A selection that says the same as the one before it is that one: nothing is written.
    """
    _catch_up(workspace, contract.table)
    cutoff = workspace.catalogue.newest_sequence(contract.table)
    captures = workspace.catalogue.captures(contract.table, partitions)
    return {
        key: _freeze(workspace, contract.table, key, newest_by_path(captures[key], cutoff), cutoff)
        for key in partitions
        if key in captures
    }


def load_snapshot(workspace: Workspace, selection: Selection) -> SelectionSnapshot:
    """The frozen inputs that a selection names, verified."""
    return SelectionSnapshot.from_bytes(get_blob(workspace.store, selection.snapshot))


def _key_of(
    workspace: Workspace, contract: TableContract
) -> Callable[[Sequence[str]], list[tuple[str | None, str | None]]]:
    def key_of(names: Sequence[str]) -> list[tuple[str | None, str | None]]:
        found = partition_keys_of(names, contract.partitioning, now=workspace.now())
        return [(None, str(key.reason)) if isinstance(key, NoKey) else (key, None) for key in found]

    return key_of


def _catch_up(workspace: Workspace, table: str) -> None:
    """Index what the capture log has and the catalogue has not: another process's work, or that of a lost database."""
    for batch in workspace.capture_log.since(table, workspace.catalogue.newest_sequence(table)):
        workspace.catalogue.index_captures(batch)


def _part_resting(workspace: Workspace, files: list[KnownFile]) -> tuple[list[ListedFile], list[str]]:
    """Part the files nobody writes to from those somebody may be writing to.

    Where the kernel cannot tell, a file rests when it looks the same a second later.
    """
    resting: list[ListedFile] = []
    unsure: list[ListedFile] = []
    waiting: list[str] = []
    for file in files:
        listed = ListedFile(file.path, workspace.settings.drops / file.path, None)
        writing = is_being_written(listed.location)
        if writing:
            waiting.append(file.path)
        else:
            (unsure if writing is None else resting).append(listed)
    if unsure:
        before = [_size_and_times(f) for f in unsure]
        time.sleep(_SETTLING_S)
        for listed, earlier in zip(unsure, before, strict=True):
            if _size_and_times(listed) == earlier:
                resting.append(listed)
            else:
                waiting.append(listed.path)
    return resting, waiting


def _size_and_times(listed: ListedFile) -> tuple[int, int, int] | None:
    try:
        status = listed.location.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _capture_batch(workspace: Workspace, table: str, files: Sequence[ListedFile]) -> tuple[int, list[DropError]]:
    partitions = {f.path: f.partition for f in workspace.catalogue.files(table, to_capture=True)}
    taken: list[tuple[CapturedDrop, str]] = []
    failed: list[DropError] = []
    for listed in files:
        try:
            captured = capture_file(workspace.store, listed)
        except DropError as error:
            failed.append(error)
            continue
        drop = CapturedDrop(
            path=listed.path,
            partition=partitions[listed.path],
            digest=captured.ref.digest,
            size_bytes=captured.ref.size_bytes,
        )
        taken.append((drop, stamp_text(captured.stamp)))
    _log(workspace, table, [drop for drop, _ in taken])
    workspace.catalogue.mark_captured(table, [(drop.path, stamp) for drop, stamp in taken])
    return len(taken), failed


def _log(workspace: Workspace, table: str, drops: Sequence[CapturedDrop]) -> None:
    """Append what the log does not say yet; when another process takes the number, look again at what is new."""
    while True:
        _catch_up(workspace, table)
        news = [d for d in drops if workspace.catalogue.newest_capture(table, d.path) != d.digest]
        if not news:
            return
        sequence = workspace.catalogue.newest_sequence(table) + 1
        batch = workspace.capture_log.append(table, sequence, news, workspace.now())
        if batch is not None:
            workspace.catalogue.index_captures(batch)
            return


def _freeze(workspace: Workspace, table: str, partition: str, drops: Sequence[CapturedDrop], cutoff: int) -> Selection:
    snapshot, selected = freeze(drops)
    while True:
        before = workspace.reader.selection(table, partition)
        if before is not None and (before.snapshot, before.drops) == (snapshot.digest, selected):
            return before
        put_blob(workspace.store, snapshot.to_bytes())
        selection = Selection(
            table=table,
            partition=partition,
            number=1 if before is None else before.number + 1,
            cutoff=cutoff,
            snapshot=snapshot.digest,
            drops=selected,
            frozen_at=workspace.now(),
        )
        key = numbered_key(table, "selections", partition, selection.number)
        if workspace.store.put_if_absent(key, canonical_bytes(selection.model_dump(mode="json"))):
            return selection
