"""Side by side with DuckDB's own COPY, on the same files: `make bench` writes bench/results.json and RESULTS.md.

Sides take turns, each run in a process of its own, on files that are in the page cache; the first round is not
counted. What is compared is the median of the counted runs. Nothing here decides what is good: the limits are the
project's, and a figure that misses one is shown as a miss.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.measure import SIDES
from bench.tables import BAD_EVERY

BENCH = Path(__file__).parent
STAGES = ("capture_s", "frame_parse_judge_s", "gates_s", "commit_s")
GIB = 1 << 30


@dataclass(frozen=True)
class Case:
    """One file to ingest, and who ingests it."""

    name: str
    table: str
    rows: int
    bad: bool = False
    sides: tuple[str, ...] = ("duckdb", "hashgate")


@dataclass(frozen=True)
class Figure:
    """One number the project has promised, with its limit."""

    what: str
    value: float
    limit: float
    unit: str

    @property
    def kept(self) -> bool:
        """Whether the promise holds in this run."""
        return self.value <= self.limit


CASES = (
    Case("wide, clean", "wide", 500_000, sides=("duckdb", "hashgate", "hashgate, framed")),
    # DuckDB cannot read this file without losing records, so there is no peer but its own time for the clean one.
    Case("wide, 1 % bad", "wide", 500_000, bad=True, sides=("hashgate",)),
    Case("narrow", "narrow", 500_000),
    Case("narrow, ten million rows", "narrow", 10_000_000),
)
"""Per byte, ten million rows are compared with the same table of half a million: the shape stays, the size changes."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Generate, measure, write; 1 when a promise is broken."""
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="a twentieth of the rows, one counted run, no results kept"
    )
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each side (5)")
    parser.add_argument("--data", type=Path, default=BENCH / "data", help="where the generated files are kept")
    parser.add_argument("--side", choices=tuple(SIDES), help="measure this side alone; no results kept")
    asked = parser.parse_args(arguments)
    runs = 1 if asked.quick else asked.runs
    measured = [measure(case, asked.data, runs, 20 if asked.quick else 1, asked.side) for case in CASES]
    if asked.side:
        return 0
    promised = list(figures(measured))
    results = {
        "machine": machine(),
        "counted_runs": runs,
        "cases": measured,
        "figures": [vars(figure) | {"kept": figure.kept} for figure in promised],
    }
    text = render(results)
    print(text)
    if not asked.quick:
        (BENCH / "results.json").write_text(json.dumps(results, indent=2) + "\n")
        (BENCH / "RESULTS.md").write_text(text)
    return 0 if all(figure.kept for figure in promised) else 1


def measure(case: Case, data: Path, runs: int, shrink: int, only: str | None) -> dict[str, Any]:
    """Run both sides in turn, once uncounted and then `runs` times."""
    csv = generate(case, data, case.rows // shrink)
    sides = [side for side in case.sides if only in (None, side)]
    seen: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for turn in range(runs + 1):
        for side in sides:
            run = measure_once(side, case.table, csv)
            print(f"{case.name}: {side} {run['total_s']:.2f} s{'' if turn else ' (not counted)'}", file=sys.stderr)
            check_result(case, run, case.rows // shrink)
            if turn:
                seen[side].append(run)
    return {
        "name": case.name,
        "rows": case.rows // shrink,
        "size_bytes": csv.stat().st_size,
        "runs": seen,
        "medians": {side: medians(runs_of_side) for side, runs_of_side in seen.items()},
    }


def check_result(case: Case, run: Mapping[str, float], rows: int) -> None:
    """A fast wrong answer is no figure: every record must be where the generator says it belongs."""
    bad = rows // BAD_EVERY if case.bad else 0
    expected = {"valid_rows": rows - bad, "quarantined_rows": bad}
    observed = {name: run[name] for name in expected if name in run}
    if observed and observed != expected:
        sys.exit(f"{case.name}: expected {expected}, observed {observed}")


def generate(case: Case, data: Path, rows: int) -> Path:
    """The case's file, made once: by a child, so that this process stays small."""
    path = data / f"{case.table}-{rows}{'-bad' if case.bad else ''}.csv"
    if not path.exists():
        data.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        made = "from pathlib import Path; from bench.tables import TABLES"
        call = f"TABLES[{case.table!r}].write(Path({str(part)!r}), {rows}, bad={case.bad})"
        subprocess.run([sys.executable, "-c", f"{made}; {call}"], check=True, cwd=BENCH.parent)
        part.rename(path)
    return path


def measure_once(side: str, table: str, csv: Path) -> dict[str, float]:
    """One run in a new process and a new, empty folder on the disk that holds the data."""
    folder = Path(tempfile.mkdtemp(dir=csv.parent))
    try:
        command = [sys.executable, "-m", "bench.measure", side, table, str(csv.resolve()), str(folder.resolve())]
        done = subprocess.run(command, check=True, cwd=BENCH.parent, stdout=subprocess.PIPE, text=True)
    finally:
        shutil.rmtree(folder)
    seconds: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return seconds


def medians(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of every number that was measured."""
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def figures(measured: Sequence[Mapping[str, Any]]) -> Iterator[Figure]:
    """What the project promises about speed and memory, from the medians."""
    cases = {case["name"]: case for case in measured}
    wide, bad = cases["wide, clean"], cases["wide, 1 % bad"]
    narrow, large = cases["narrow"], cases["narrow, ten million rows"]
    peer, ours = wide["medians"]["duckdb"], wide["medians"]["hashgate"]
    framed = wide["medians"]["hashgate, framed"]
    from_frames = framed["total_s"] - framed["capture_s"]
    yield Figure("parse, judge, stage, gates and commit / COPY", from_frames / peer["total_s"], 1.5, "x")
    yield Figure("everything, capture and framing too / COPY", ours["total_s"] / peer["total_s"], 2.0, "x")
    yield Figure(
        "everything, 1 % bad records / COPY of the clean file",
        bad["medians"]["hashgate"]["total_s"] / peer["total_s"],
        3.0,
        "x",
    )
    yield Figure(
        "time per byte, ten million rows / half a million",
        _seconds_per_byte(large) / _seconds_per_byte(narrow),
        1.15,
        "x",
    )
    yield Figure("peak memory, half a million rows", ours["peak_bytes"] / GIB, 1.0, "GiB")
    yield Figure("peak memory, 1 % bad records", bad["medians"]["hashgate"]["peak_bytes"] / GIB, 1.0, "GiB")
    yield Figure("peak memory, ten million rows", large["medians"]["hashgate"]["peak_bytes"] / GIB, 2.0, "GiB")


def render(results: Mapping[str, Any]) -> str:
    """The results as a page: promises first, then what was measured, then where."""
    lines = ["# Bench: side by side with DuckDB's COPY", ""]
    lines += [
        "Written by `make bench`. The peer is `COPY (FROM read_csv with explicit types) TO parquet`, output fsynced.",
        f"Both sides take turns on the same file, {results['counted_runs']} counted runs each, every run in a process",
        "of its own that measures itself after its imports; medians. `framed`: the writer got its frames ready-made",
        "(so the first promise is worded); the gates framed for themselves all the same.",
        "",
        "| Promise | Measured | Limit | |",
        "| --- | ---: | ---: | --- |",
    ]
    for figure in results["figures"]:
        verdict = "kept" if figure["kept"] else "**missed**"
        unit = figure["unit"]
        lines.append(f"| {figure['what']} | {figure['value']:.2f} {unit} | {figure['limit']:.2f} {unit} | {verdict} |")
    lines += ["", f"| File | MB | Side | total s | {' | '.join(STAGES)} | CPU s | peak MiB |", "| --- " * 10 + "|"]
    for case in results["cases"]:
        for side, median in case["medians"].items():
            stages = " | ".join(f"{median[stage]:.3f}" if stage in median else "" for stage in STAGES)
            row = f"| {case['name']} | {case['size_bytes'] / 1e6:.0f} | {side} | {median['total_s']:.3f} | {stages}"
            lines.append(f"{row} | {median['cpu_s']:.2f} | {median['peak_bytes'] / (1 << 20):.0f} |")
    about = "; ".join(f"{name} {value}" for name, value in results["machine"].items())
    return "\n".join([*lines, "", f"Where: {about}.", ""])


def machine() -> dict[str, Any]:
    """What the figures depend on: kind of processor, cores, memory, versions. No names of machines or people."""
    model = next((line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")), "unknown")
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB),
        "python": platform.python_version(),
        "duckdb": version("duckdb"),
        "pyarrow": version("pyarrow"),
    }


def _cpuinfo() -> list[str]:
    return Path("/proc/cpuinfo").read_text().splitlines()


def _seconds_per_byte(case: Mapping[str, Any]) -> float:
    return float(case["medians"]["hashgate"]["total_s"] / case["size_bytes"])


if __name__ == "__main__":
    sys.exit(main())
