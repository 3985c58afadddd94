"""Our side of the bench: one file through the whole pipeline, with the time of each stage."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from bench.tables import Table
from contracts import csv_records, framing
from contracts.table_contract import CsvFormat, TableContract
from platform_assets.ingest import building
from platform_assets.ingest.selecting import capture, scan, select
from resources.publisher import Outcome
from resources.settings import Settings
from resources.workspace import Workspace

PARTITION = "2024-01-01"


def ingest_file(table: Table, csv: Path, home: Path, *, framed: bool = False) -> dict[str, float]:
    """Ingest `csv` as the only drop of one partition of `table` into the empty `home`.

    Args:
        table: The contract's.
        csv: The file.
        home: An empty folder.
        framed: Hand the reader its frames ready-made, so that the writer's framing costs nothing. The gates frame the
            file for themselves all the same.

    Returns:
        Wall seconds by stage: `capture_s` (scan, copy with hash and fsync, select), `frame_parse_judge_s` (staging and
        its fsync included), `gates_s`, `commit_s`, and `total_s`, which is all of it.
    """
    workspace = Workspace(Settings(home=home / "home", drops=home / "drops", contracts=()))
    drop = home / "drops" / table.name / f"{table.name}-{PARTITION}.csv"
    drop.parent.mkdir(parents=True)
    drop.hardlink_to(csv)
    contract = table.contract
    if framed:
        _hand_over_frames(csv, contract)
    gates, commit = _Clock(building, "judge"), _Clock(building, "publish")

    started = time.perf_counter()
    scan(workspace, contract)
    capture(workspace, contract)
    select(workspace, contract, [PARTITION])
    captured = time.perf_counter()
    result = building.build_partition(workspace, contract, PARTITION, run_id="bench")
    ended = time.perf_counter()

    if result.outcome is not Outcome.PUBLISHED:
        sys.exit(f"nothing was published: {result.outcome} {result.reason} {result.receipts}")
    return {
        "capture_s": captured - started,
        "frame_parse_judge_s": ended - captured - gates.seconds - commit.seconds,
        "gates_s": gates.seconds,
        "commit_s": commit.seconds,
        "total_s": ended - started,
        "valid_rows": result.commit.candidate.valid_rows,
        "quarantined_rows": result.commit.candidate.quarantined_rows,
    }


def _hand_over_frames(csv: Path, contract: TableContract) -> None:
    layout = cast("CsvFormat", contract.server.format)
    with csv.open("rb") as file:
        frames = list(framing.frame_csv(iter(lambda: file.read(framing.BLOCK_BYTES), b""), layout))
    cast("Any", csv_records).frame_csv = lambda *_: iter(frames)


class _Clock:
    """Times the calls of one function of a module, in place; the function still does all it does."""

    def __init__(self, module: ModuleType, name: str) -> None:
        self.seconds = 0.0
        self._function: Callable[..., Any] = getattr(module, name)
        setattr(module, name, self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        try:
            return self._function(*args, **kwargs)
        finally:
            self.seconds += time.perf_counter() - started
