"""Processes that publish and read one table at once, and write down what they did and saw, and when.

Two ways to publish: whole tables, as an asset returns them (parsed, judged, published), and candidates that were judged
before, which come to the commit so fast that nearly all of them meet there.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from uuid import uuid4

import pyarrow as pa

from contracts.commits import Candidate, Commit, SegmentEntry
from contracts.errors import CommitError
from contracts.gates import PRODUCED_GATES, receipt
from contracts.produced import AssetPromise, SinkMode, produced_segment_view, produced_view
from contracts.refs import Digest, ViewRef, digest_json
from contracts.segments import SegmentIndex
from resources.duckdb_session import open_session, parquet_source
from resources.parser_identity import parser_identity
from resources.produced_table import publish_table
from resources.publisher import Judged, Publication, publish_on_head
from resources.segment_places import SegmentPlace, StagedFolder
from resources.segment_writer import stored_file, write_index
from resources.table_reader import VALID, segment_prefix
from resources.workspace import Workspace
from tests.faults.homes import Home
from tests.faults.version_history import Operation, Value

PARTITION = "contended"

Publish = Callable[[Workspace, AssetPromise, str, str], Publication]
"""Publish a value to a partition."""

Look = Callable[[Workspace, Commit], Value]
"""What is in a version, as it lies in the store."""

_START_S = 60
_PASSED = tuple(receipt(gate, expected="nothing", observed="nothing", findings=[]) for gate in PRODUCED_GATES)
_context = multiprocessing.get_context("fork")


def contend(home: Home, way: str, mode: SinkMode, processes: int, rounds: int) -> dict[str, list[Operation]]:
    """Let processes publish and read in turns, all beginning each round together.

    Args:
        home: Where.
        way: `tables` or `candidates`.
        mode: The sink mode. In `error` each round has a partition of its own: on one, only the first is a contest.
        processes: How many.
        rounds: How many publications and reads each does.

    Returns:
        By partition the operations of all, and of one more reader when everybody is done.
    """
    publish, look = WAYS[way]
    home.workspace.catalogue.close()  # which has created the database by now
    start, ours = _context.Barrier(processes), _context.SimpleQueue()
    children = [
        _context.Process(target=_take_part, args=(home, publish, look, mode, number, rounds, start, ours))
        for number in range(processes)
    ]
    for child in children:
        child.start()
    recorded = [ours.get() for _ in children]
    for child in children:
        child.join()
    history: dict[str, list[Operation]] = {}
    for operations in recorded:
        if isinstance(operations, BaseException):
            raise operations
        for partition, operation in operations:
            history.setdefault(partition, []).append(operation)
    for partition, operations in history.items():
        operations.append(_read(home.workspace, look, mode, partition, processes))
    return history


def versions(home: Home, mode: SinkMode, partition: str) -> list[int]:
    """The numbers of a partition's chain, verified from end to end."""
    return [commit.number for commit in home.workspace.reader.history(_promise(mode).table, partition)]


def _take_part(
    home: Home, publish: Publish, look: Look, mode: SinkMode, process: int, rounds: int, start: Barrier, ours: object
) -> None:
    try:
        done: object = _operations(home, publish, look, mode, process, rounds, start)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the test is to show it instead of waiting
        start.abort()
        done = error
    ours.put(done)


def _operations(
    home: Home, publish: Publish, look: Look, mode: SinkMode, process: int, rounds: int, start: Barrier
) -> list[tuple[str, Operation]]:
    workspace, done = home.workspace, []
    for number in range(rounds):
        partition = f"{PARTITION}-{number}" if mode == "error" else PARTITION
        start.wait(_START_S)
        done.append((partition, _publish(workspace, publish, mode, partition, process, f"{process}-{number}")))
        done.append((partition, _read(workspace, look, mode, partition, process)))
    return done


def _publish(
    workspace: Workspace, publish: Publish, mode: SinkMode, partition: str, process: int, value: str
) -> Operation:
    begun = time.monotonic_ns()
    try:
        publication = publish(workspace, _promise(mode), partition, value)
    except CommitError as error:
        if mode != "error":
            raise
        return Operation(process, begun, time.monotonic_ns(), error.evidence["number"])
    ended = time.monotonic_ns()
    made = frozenset([value]) if publication.outcome == "published" else None
    return Operation(process, begun, ended, publication.commit.number, made=made)


def _read(workspace: Workspace, look: Look, mode: SinkMode, partition: str, process: int) -> Operation:
    begun = time.monotonic_ns()
    head = workspace.reader.head(_promise(mode).table, partition)
    ended = time.monotonic_ns()
    if head is None:
        return Operation(process, begun, ended, 0, seen=frozenset())
    return Operation(process, begun, ended, head.number, seen=look(workspace, head))


def _promise(mode: SinkMode) -> AssetPromise:
    return AssetPromise(key=("contended",), code_version="1", sink_mode=mode)


# ---- whole tables ----------------------------------------------------------------------------------------------------


def publish_whole_table(workspace: Workspace, promise: AssetPromise, partition: str, value: str) -> Publication:
    """Publish a table of one row."""
    table = pa.table({"value": [value]})
    return publish_table(workspace, promise, partition, table, run_id=value)


def rows_of(workspace: Workspace, commit: Commit) -> Value:
    """The rows of a version, through the verified files."""
    (files,) = workspace.reader.open_commits([commit])
    with open_session(store=workspace.store) as session:
        rows = session.execute(f"SELECT value FROM {parquet_source(files.valid)}").fetchall()
    assert len(set(rows)) == len(rows), rows
    return frozenset(value for (value,) in rows)


# ---- candidates that were judged before ------------------------------------------------------------------------------


def publish_candidate(workspace: Workspace, promise: AssetPromise, partition: str, value: str) -> Publication:
    """Publish a segment whose one file holds the value, beside those of the head when the mode is `append`."""
    folder = workspace.settings.staging / uuid4().hex
    folder.mkdir(mode=0o700)
    entry = _write_segment(promise, value, folder)

    def judged_on(head: Commit | None) -> Judged:
        before = head.candidate.segments if head is not None and promise.sink_mode == "append" else ()
        candidate = _candidate(promise, partition, (*before, entry), value)
        places: dict[Digest, SegmentPlace] = {
            e.content: workspace.reader.segment_place(promise.table, e) for e in candidate.segments
        }
        if folder.exists():  # after a first attempt it lies in the store
            places[entry.content] = StagedFolder(folder)
        return Judged(candidate.built_on(head), places, promise, _PASSED)

    now = workspace.now()
    return publish_on_head(workspace.store, workspace.reader, promise.table, partition, judged_on, now)


def files_of(workspace: Workspace, commit: Commit) -> Value:
    """The values in a version's files."""
    places = [segment_prefix(commit.candidate.table, e.view_key, e.content) for e in commit.candidate.segments]
    return frozenset(workspace.store.get(f"{place}/{VALID}").decode() for place in places)


def _write_segment(promise: AssetPromise, value: str, folder: Path) -> SegmentEntry:
    path = folder / VALID
    path.write_text(value)
    file = stored_file(path, 1)
    view = produced_segment_view(promise, file)
    index = write_index(SegmentIndex(view=view.ref, drops=(), files=(file,)), folder)
    return SegmentEntry(
        view_key=view.key, content=index.content, files=(file.stored,), records=1, valid_rows=1, quarantined_rows=0
    )


def _candidate(promise: AssetPromise, partition: str, entries: tuple[SegmentEntry, ...], run_id: str) -> Candidate:
    view = produced_view(promise, [ViewRef(key=entry.view_key) for entry in entries])
    target: Digest = digest_json([promise.table, promise.sink_mode])
    return Candidate(
        origin="asset",
        table=promise.table,
        partition=partition,
        view_key=view.key,
        snapshot=view.key,
        selection_number=0,
        cutoff=0,
        contract=promise.stamp([("value", "VARCHAR")]),
        parser=parser_identity(),
        output_target_key=target,
        materialization_key=digest_json([target, view.key]),
        segments=entries,
        records=len(entries),
        valid_rows=len(entries),
        quarantined_rows=0,
        run_id=run_id,
    )


WAYS: dict[str, tuple[Publish, Look]] = {
    "tables": (publish_whole_table, rows_of),
    "candidates": (publish_candidate, files_of),
}
