"""An ingest in a process whose reading of marked drops ends it, one way or another: a child of the tests.

Usage: python -m tests.platform_assets.ingest.dying_parser HOW WHERE [--force]
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from contracts.canonical import canonical_bytes
from platform_assets.ingest.ingesting import ingest, take_in
from platform_assets.ingest.selecting import capture, scan
from resources import gatekeeper, segment_writer
from resources.workspace import Workspace

MARK = b"666,poison"


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _run_out_of_memory() -> None:
    raise MemoryError


WAYS: dict[str, Callable[[], None]] = {"kill": _kill, "abort": os.abort, "memory": _run_out_of_memory}


def _dying(read: Callable[..., Any], die: Callable[[], None]) -> Callable[..., Any]:
    """The same reading, but for drops with the mark."""

    def reading(source: BinaryIO | Iterator[bytes], *arguments: Any, **options: Any) -> Any:
        data = source.read() if hasattr(source, "read") else b"".join(source)
        if MARK in data:
            die()
        return read(io.BytesIO(data), *arguments, **options)

    return reading


def ingest_orders(*, force: bool) -> None:
    """What a run does, without Dagster; a line of JSON for each partition, as it ends."""
    workspace = Workspace.from_environment()
    contract = workspace.contract("orders")
    scan(workspace, contract)
    capture(workspace, contract)
    partitions = sorted(workspace.catalogue.captures(contract.table))
    taken = take_in(workspace, contract, partitions)
    for ended in ingest(workspace, contract, partitions, taken, run_id=str(os.getpid()), force=force):
        sys.stdout.buffer.write(canonical_bytes([ended.partition, ended.ending, ended.why]) + b"\n")
        sys.stdout.flush()


if __name__ == "__main__":
    how, where, *flags = sys.argv[1:]
    if where == "writer":
        segment_writer.read_records = _dying(segment_writer.read_records, WAYS[how])
    else:
        gatekeeper.count_frames = _dying(gatekeeper.count_frames, WAYS[how])
    ingest_orders(force="--force" in flags)
