"""`hashgate sink`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from contracts.errors import UsageError
from contracts.sinks import Sink, artifact_name
from platform_assets.cli.arguments import Arguments
from platform_assets.cli.asked import say_json
from platform_assets.cli.terminal import Colour, Terminal, counted, human_size, neutralized
from platform_assets.decisions.deciding import stored_table
from platform_assets.evidence.sink_files import SinkFile, SinkFiles, sink_files
from resources.segment_places import is_remote, open_source
from resources.workspace import Workspace

NOT_ALL = 1
_COPIED_BYTES = 4 << 20


def sink(arguments: Arguments, terminal: Terminal) -> int:
    """Name the files of the current versions, or copy them out."""
    workspace = Workspace.from_environment()
    table = stored_table(workspace, arguments.table or "")
    partitions = _partitions(workspace, table, arguments.partition)
    wanted = None if arguments.sink is None else [Sink(arguments.sink)]
    if arguments.output is not None:
        wanted = _copied_sinks(workspace, table, partitions, wanted)
    found = sink_files(workspace, table, partitions, wanted)
    copied = {} if arguments.output is None else _copy_out(table, found.files, Path(arguments.output))
    if arguments.json:
        files = [_document(file, copied.get(file)) for file in found.files]
        say_json(terminal, {"table": table, "files": files, "problems": [str(error) for error in found.problems]})
    else:
        _say(terminal, table, found, copied)
    return NOT_ALL if found.problems else 0


def _copied_sinks(workspace: Workspace, table: str, partitions: list[str], wanted: list[Sink] | None) -> list[Sink]:
    """What can be copied as it is: one file a partition. By default, whatever any of the partitions has."""
    if wanted == [Sink.PARQUET]:
        msg = (
            "a partition's rows may lie in several Parquet files, and leave records of them out. Write what readers "
            'see into one file: hashgate query "SELECT * FROM ..." --format parquet --output F'
        )
        raise UsageError(msg, sink=str(Sink.PARQUET))
    heads = [workspace.reader.head(table, partition) for partition in partitions]
    there = {export.sink for head in heads if head is not None for export in head.candidate.exports}
    if not there:
        msg = f"no current version of {table} has a CSV or DuckDB file. Name `sinks` in its contract, and ingest it."
        raise UsageError(msg, table=table)
    return sorted(there) if wanted is None else wanted


def _partitions(workspace: Workspace, table: str, asked: list[str] | None) -> list[str]:
    there = workspace.reader.partitions(table)
    for key in asked or ():
        if key not in there:
            known = f"Those with one go from {there[0]} to {there[-1]}." if there else "No partition has one yet."
            msg = f"{table}[{key}] has no version. {known} See `hashgate status {table}`."
            raise UsageError(msg, table=table, partition=key)
    return list(dict.fromkeys(asked or there))


def _copy_out(table: str, files: Iterable[SinkFile], folder: Path) -> dict[SinkFile, Path]:
    """Copy exports into a folder as new files, each complete or not at all."""
    copied: dict[SinkFile, Path] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            if file.sink is not Sink.PARQUET:
                copied[file] = folder / artifact_name(table, file.partition, sink=file.sink)
                _copy(file.source, copied[file])
    except FileExistsError as error:
        msg = f"{error.filename} exists already. Name another folder, or remove it first: nothing is overwritten."
        raise UsageError(msg, path=str(error.filename)) from None
    except OSError as error:
        msg = f"{error.filename or folder}: {error.strerror}. Name a folder that is open to you, and has room."
        raise UsageError(msg, path=str(error.filename or folder)) from None
    return copied


def _copy(source: str, target: Path) -> None:
    with open_source(source) as file, target.open("xb") as copy:
        try:
            shutil.copyfileobj(file, copy, _COPIED_BYTES)
        except BaseException:
            target.unlink(missing_ok=True)
            raise


def _document(file: SinkFile, copy: Path | None) -> dict[str, Any]:
    return {
        "partition": file.partition,
        "version": file.version,
        "sink": str(file.sink),
        "rows": file.rows,
        "size_bytes": file.size_bytes,
        "digest": file.digest,
        "address": file.address,
        "path": None if is_remote(file.source) else file.source,
        "leaves_out": list(file.leaves_out),
        "copy": None if copy is None else os.fspath(copy),
    }


def _say(terminal: Terminal, table: str, found: SinkFiles, copied: dict[SinkFile, Path]) -> None:
    shown = [file for file in found.files if not copied or file in copied]
    partitions = counted(len({file.partition for file in shown}), "partition")
    terminal.line(f"{terminal.coloured(neutralized(table), Colour.BOLD)}  {partitions}")
    rows = [("partition", "version", "sink", "rows", "size", "copied to" if copied else "file")]
    rows += [
        (
            file.partition,
            str(file.version),
            f"{file.sink}, in part" if file.leaves_out else str(file.sink),
            f"{file.rows:,}",
            human_size(file.size_bytes),
            os.fspath(copied[file]) if file in copied else _place(file),
        )
        for file in shown
    ]
    if shown:
        terminal.table(rows, right=(1, 3, 4))
    if any(file.leaves_out for file in shown):
        terminal.line("  in part: some of its records do not count; --json names the files that list them")
    for error in found.problems:
        terminal.error(str(error))


def _place(file: SinkFile) -> str:
    return file.address if is_remote(file.source) else file.source
