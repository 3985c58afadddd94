"""The files in which readers find the current versions of a table, by sink; each verified before it is named.

Of Parquet there may be several a partition, and some may hold records that an overlay leaves out: those files are
named, too. Every other sink has one file a partition with exactly the rows that readers see.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from contracts.commits import Commit
from contracts.errors import HashgateError
from contracts.segments import StoredFile
from contracts.sinks import Sink
from resources.segment_places import StoredFolder
from resources.table_reader import QUARANTINE, VALID
from resources.workspace import Workspace


@dataclass(frozen=True, slots=True)
class SinkFile:
    """One file of a current version."""

    partition: str
    version: int
    sink: Sink
    rows: int
    size_bytes: int
    digest: str
    address: str
    """Where it is, for people and tools: a `file:` or `s3:` address."""
    source: str
    """As `open_source` takes it: a path, or an address whose blocks are verified when they are read."""
    leaves_out: tuple[str, ...] = ()
    """Of a Parquet file: addresses of files that list records (`_hg_source`, `_hg_record`) that do not count."""


@dataclass
class SinkFiles:
    """All that were found, and why some were not."""

    files: list[SinkFile] = field(default_factory=list)
    problems: list[HashgateError] = field(default_factory=list)


def sink_files(
    workspace: Workspace, table: str, partitions: Sequence[str], sinks: Collection[Sink] | None = None
) -> SinkFiles:
    """Verify and name the files of current versions.

    Args:
        workspace: The installation.
        table: A table with a place in the store.
        partitions: Which ones. Those without a version have no file, and are no problem.
        sinks: Which ones; a version that lacks one is a problem then. By default those that each version has.
    """
    found = SinkFiles()
    for partition in partitions:
        try:
            head = workspace.reader.head(table, partition)
        except HashgateError as error:
            found.problems.append(error)
            continue
        if head is not None:
            _add_version(found, workspace, head, sinks)
    return found


def _add_version(found: SinkFiles, workspace: Workspace, head: Commit, sinks: Collection[Sink] | None) -> None:
    there = (Sink.PARQUET, *(export.sink for export in head.candidate.exports))
    for sink in there if sinks is None else sinks:
        try:
            found.files += _parquet_files(workspace, head) if sink is Sink.PARQUET else _export(workspace, head, sink)
        except HashgateError as error:
            found.problems.append(error)


def _export(workspace: Workspace, head: Commit, sink: Sink) -> list[SinkFile]:
    return [
        _file(workspace, head, sink, workspace.reader.export_place(head.candidate, export), export.file, source)
        for export, source in workspace.reader.open_exports([head], sink)
    ]


def _parquet_files(workspace: Workspace, head: Commit) -> list[SinkFile]:
    table, reader = head.candidate.table, workspace.reader
    (opened,) = reader.open_commits([head])
    overlay = head.candidate.overlay
    left_out = (workspace.store.uri(f"{reader.segment_place(table, overlay).prefix}/{QUARANTINE}"),) if overlay else ()
    valid = [(entry, file) for entry in head.candidate.segments for file in entry.files if file.name == VALID]
    return [
        _file(workspace, head, Sink.PARQUET, reader.segment_place(table, entry), file, source, left_out)
        for (entry, file), source in zip(valid, opened.valid, strict=True)
    ]


def _file(
    workspace: Workspace,
    head: Commit,
    sink: Sink,
    place: StoredFolder,
    file: StoredFile,
    source: str,
    left_out: tuple[str, ...] = (),
) -> SinkFile:
    return SinkFile(
        partition=head.candidate.partition,
        version=head.number,
        sink=sink,
        rows=file.rows,
        size_bytes=file.size_bytes,
        digest=file.digest,
        address=workspace.store.uri(f"{place.prefix}/{file.name}"),
        source=source,
        leaves_out=left_out,
    )
