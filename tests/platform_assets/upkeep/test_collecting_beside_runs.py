"""A collector beside runs in other processes that go back and forth between contents: no reader ever misses a row."""

from __future__ import annotations

import datetime as dt
import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.kept_sales import A, B, KeptHome
from tests.sales import HEADER, row

ROOT = Path(__file__).parents[3]
GRACE = dt.timedelta(seconds=5)
CONTENTS = (A, B, A, HEADER + row(1) + row(2) + row(3), B)
"""Every content comes back; all partitions have the same ones, and share their segments."""
RUNS_LAST_S = 18.0

RUN = """
import sys
from pathlib import Path
from tests.kept_sales import KeptHome
from tests.platform_assets.upkeep.test_collecting_beside_runs import restate_and_read
restate_and_read(KeptHome(Path(sys.argv[1])), sys.argv[2])
"""


def restate_and_read(kept: KeptHome, day: str) -> None:
    """What a run's process does: publish one content after the other, and read each back."""
    ends = time.monotonic() + RUNS_LAST_S
    for content in itertools.takewhile(lambda _: time.monotonic() < ends, itertools.cycle(CONTENTS)):
        staged = kept.folder / f"staged-{day}"
        staged.write_text(content)
        staged.rename(kept.folder / "drops" / "sales" / f"{day}.csv")
        outcome = kept.ingest(day).outcome
        assert outcome in {"published", "reused"}, outcome
        rows = [found[0] for found in kept.rows(day, "id")]
        assert rows == list(range(1, content.count("\n")))


def test_nothing_that_a_run_names_is_ever_removed(kept: KeptHome) -> None:
    days = [f"2024-03-{day:02d}" for day in (1, 2, 3)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", RUN, str(kept.folder), day], env=environment, stderr=subprocess.PIPE, text=True
        )
        for day in days
    ]
    removed = listed = again = 0
    while any(run.poll() is None for run in runs):
        done = kept.collect(GRACE)
        assert done.problems == []
        removed, listed, again = removed + len(done.removed), listed + len(done.listed), again + len(done.kept)
        time.sleep(0.1)
    for run in runs:
        _, said = run.communicate()
        assert run.returncode == 0, said
    assert listed > 0, "the collector found something to do beside them"
    for _ in range(4):
        time.sleep(GRACE.total_seconds() / 2)
        removed += len(kept.collect(GRACE).removed)
    assert removed > 0
    assert kept.problems() == []
