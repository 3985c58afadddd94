"""Scan, capture, select: which drops a partition is built from, decided once and frozen.

A person's withdrawal of a drop is part of the same record: it is logged as the arrivals are, and every selection frozen
later does without the drop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from contracts.errors import DropError, StoreError
from contracts.partitions import NoKey, partition_keys_of
from contracts.refs import Digest
from contracts.selection import (
    CaptureBatch,
    CapturedDrop,
    Decision,
    Selection,
    SelectionSnapshot,
    Selector,
    choose,
    freeze,
)
from contracts.table_contract import TableContract
from platform_assets.ingest.engine_outputs import new_outputs, scan_runs, take_output
from resources.captures import Captured, capture_file, get_blob, put_blob
from resources.doomed_lists import doomed_names, next_list_number
from resources.drop_folder import ListedFile, is_being_written, list_drops
from resources.file_catalogue import KnownFile, ScanReport, stamp_text
from resources.table_reader import selection_chain
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
    """Look at a table's drop folder, or at its engine's READY runs; with `record` off nothing is remembered."""
    if record:
        _catch_up(workspace, contract.table)
    if contract.server.engine_source is not None:
        return scan_runs(workspace, contract)
    listed = list_drops(workspace.settings.drops, contract.server.path)
    return workspace.catalogue.observe(
        contract.table, listed, _key_of(workspace, contract), workspace.now(), record=record
    )


def capture(workspace: Workspace, contract: TableContract, partitions: Iterable[str] | None = None) -> CaptureReport:
    """Take the new and changed files of `partitions` (default: all) into the store, and log them."""
    _catch_up(workspace, contract.table)
    if contract.server.engine_source is not None:
        return _capture_runs(workspace, contract, partitions)
    wanted = None if partitions is None else set(partitions)
    files = [
        f for f in workspace.catalogue.files(contract.table, to_capture=True) if wanted is None or f.partition in wanted
    ]
    resting, waiting = _part_resting(workspace, files)
    keys = {f.path: f.partition for f in files}
    captured, failed = 0, []
    for start in range(0, len(resting), BATCH_DROPS):
        done, errors = _capture_batch(workspace, contract.table, resting[start : start + BATCH_DROPS], keys)
        captured += done
        failed += errors
    return CaptureReport(captured, tuple(waiting), tuple(failed))


def select(workspace: Workspace, contract: TableContract, partitions: Sequence[str]) -> dict[str, Selection]:
    """Freeze what `partitions` are built from. Partitions that no drop ever came for are left out.

    A selection that says the same as the one before it is that one, unless a withdrawal came between: a version built
    from it has to count as later than one that knows nothing of the withdrawal.
    """
    _catch_up(workspace, contract.table)
    cutoff = workspace.catalogue.newest_sequence(contract.table)
    captures = workspace.catalogue.captures(contract.table, partitions)
    return {key: _freeze(workspace, contract, key, captures[key], cutoff) for key in partitions if key in captures}


def withdraw(workspace: Workspace, table: str, drops: Sequence[CapturedDrop], decision: Decision) -> CaptureBatch:
    """Log that captured drops do not count from now on, or, where they are withdrawn, that they count again.

    Args:
        workspace: The installation.
        table: Whose drops they are.
        drops: As they are to be logged: `withdrawn` or not, all alike.
        decision: Whose it was.

    Returns:
        The batch that says so; its sequence is later than all that was captured before.
    """
    while True:
        _catch_up(workspace, table)
        sequence = workspace.catalogue.newest_sequence(table) + 1
        batch = workspace.capture_log.append(table, sequence, drops, workspace.now(), decision)
        if batch is not None:
            workspace.catalogue.index_captures(batch)
            return batch


def load_snapshot(workspace: Workspace, selection: Selection) -> SelectionSnapshot:
    """The frozen inputs that a selection names, verified."""
    return SelectionSnapshot.from_bytes(get_blob(workspace.store, selection.snapshot))


def _capture_runs(workspace: Workspace, contract: TableContract, partitions: Iterable[str] | None) -> CaptureReport:
    """Take in what READY runs' facts name; of a run all files or none."""
    keys = sorted(
        {f.partition for f in new_outputs(workspace, contract) if f.partition} if partitions is None else partitions
    )
    refused = workspace.catalogue.withdrawn(contract.table)
    captured, failed = 0, []
    for run_id in keys:
        try:
            captured += _capture_run(workspace, contract, run_id, refused)
        except DropError as error:
            failed.append(error)
    return CaptureReport(captured, (), tuple(failed))


def _capture_run(workspace: Workspace, contract: TableContract, run_id: str, refused: frozenset[Digest]) -> int:
    while True:
        lists = next_list_number(workspace.store)
        taken = take_output(workspace, contract, run_id, refused)
        if not _collected_meanwhile(workspace, [key for _, key in taken], lists):
            break
    _log(workspace, contract.table, [drop for drop, _ in taken])
    return len(taken)


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


def _capture_batch(
    workspace: Workspace, table: str, files: Sequence[ListedFile], partitions: Mapping[str, str | None]
) -> tuple[int, list[DropError]]:
    refused = workspace.catalogue.withdrawn(table)
    done = 0
    failed: list[DropError] = []
    while files:
        lists = next_list_number(workspace.store)
        taken, errors = _take(workspace, files, refused)
        failed += errors
        gone = _collected_meanwhile(workspace, [captured.key for _, captured in taken], lists)
        safe = [(listed, captured) for listed, captured in taken if captured.key not in gone]
        drops = [_captured_drop(listed, captured, partitions[listed.path]) for listed, captured in safe]
        _log(workspace, table, drops)
        stamps = [(listed.path, stamp_text(captured.stamp)) for listed, captured in safe]
        workspace.catalogue.mark_captured(table, stamps)
        done += len(safe)
        files = [listed for listed, captured in taken if captured.key in gone]
    return done, failed


def _collected_meanwhile(workspace: Workspace, keys: Sequence[str], lists: int) -> set[str]:
    """The last look before the log names what was taken: of `keys`, what a collector has doomed or removed since.

    Args:
        workspace: The installation.
        keys: Where blobs were found or put.
        lists: The number that the next of the collector's lists had before that.
    """
    if next_list_number(workspace.store) == lists:
        return set()
    doomed = doomed_names(workspace.store)
    return {key for key in keys if key in doomed or not workspace.store.exists(key)}


def _take(
    workspace: Workspace, files: Sequence[ListedFile], refused: frozenset[Digest]
) -> tuple[list[tuple[ListedFile, Captured]], list[DropError]]:
    taken: list[tuple[ListedFile, Captured]] = []
    failed: list[DropError] = []
    doomed = doomed_names(workspace.store)
    for listed in files:
        try:
            taken.append((listed, capture_file(workspace.store, listed, doomed=doomed, withdrawn=refused)))
        except DropError as error:
            failed.append(error)
    return taken, failed


def _captured_drop(listed: ListedFile, captured: Captured, partition: str | None) -> CapturedDrop:
    return CapturedDrop(
        path=listed.path,
        partition=partition,
        digest=captured.ref.digest,
        size_bytes=captured.ref.size_bytes,
    )


def _log(workspace: Workspace, table: str, drops: Sequence[CapturedDrop]) -> None:
    """Append what the log does not say yet; when another process takes the number, look again at what is new."""
    while True:
        _catch_up(workspace, table)
        newest = workspace.catalogue.newest_captures(table, [d.path for d in drops])
        news = [d for d in drops if newest.get(d.path) != d.digest]
        if not news:
            return
        sequence = workspace.catalogue.newest_sequence(table) + 1
        batch = workspace.capture_log.append(table, sequence, news, workspace.now())
        if batch is not None:
            workspace.catalogue.index_captures(batch)
            return


def _freeze(
    workspace: Workspace,
    contract: TableContract,
    partition: str,
    captures: Sequence[tuple[int, CapturedDrop]],
    cutoff: int,
) -> Selection:
    selector = Selector.of(contract.sink_mode)
    snapshot, selected = freeze(choose(selector, captures, cutoff), selector)
    withdrawn_at = max((sequence for sequence, drop in captures if drop.withdrawn), default=0)
    chain = selection_chain(workspace.store, contract.table, partition)
    while True:
        before = chain.last()
        same = before is not None and (before.snapshot, before.drops) == (snapshot.digest, selected)
        if before is not None and same and before.cutoff >= withdrawn_at:
            _secure(workspace, snapshot)
            return before
        number = 1 if before is None else before.number + 1
        put_blob(workspace.store, snapshot.to_bytes())

        def selection(parent: Digest | None, number: int = number) -> Selection:
            return Selection(
                table=contract.table,
                partition=partition,
                number=number,
                parent=parent,
                selector=selector,
                cutoff=cutoff,
                snapshot=snapshot.digest,
                drops=selected,
                frozen_at=workspace.now(),
            )

        frozen = chain.append(number, selection)
        if frozen is not None:
            return frozen


def _secure(workspace: Workspace, snapshot: SelectionSnapshot) -> None:
    """Write frozen inputs down again that were lost or damaged since: they follow from what was captured."""
    try:
        get_blob(workspace.store, snapshot.digest)
    except StoreError:
        put_blob(workspace.store, snapshot.to_bytes())
