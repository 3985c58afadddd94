"""`hashgate verify --deep` beside plain hashing of the same files: `python -m bench.verifying` writes VERIFYING.md.

The peer does what `b3sum` does: one file after the other, each mapped and hashed by all processors. Verification reads
the same bytes, and every document besides. Sides take turns, each run in a process of its own that measures itself
after its imports, on files that are in the page cache; the first round is not counted, and what is compared is the
best of the counted ones, because the others tell about the machine's neighbours. A store is made once, by ingesting,
and kept.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from blake3 import blake3

from bench.run import BENCH, Figure, machine
from bench.tables import NARROW
from contracts.table_contract import TableContract

GB = 1e9
_MADE = "made"
"""Written when a store is complete."""


@dataclass(frozen=True)
class Case:
    """Drops of one size, over some days."""

    name: str
    drops: int
    rows: int
    """In each."""
    days: int


CASES = (
    Case("three large drops", drops=3, rows=3_600_000, days=3),
    Case("20,000 small drops", drops=20_000, rows=600, days=366),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the stores, measure, write; 1 when a promise is broken."""
    parser = argparse.ArgumentParser(prog="python -m bench.verifying", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a hundredth of it, one counted run, no results kept")
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each side (5)")
    parser.add_argument("--data", type=Path, default=BENCH / "data", help="where the stores are kept")
    parser.add_argument(
        "--measure", nargs=2, metavar=("SIDE", "HOME"), help="measure once and print it; used by itself"
    )
    asked = parser.parse_args(arguments)
    if asked.measure:
        print(json.dumps(SIDES[asked.measure[0]](Path(asked.measure[1]))))
        return 0
    shrink, runs = (100, 1) if asked.quick else (1, asked.runs)
    measured = [measure(case, made(case, asked.data, shrink), runs) for case in CASES]
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
        (BENCH / "verifying.json").write_text(json.dumps(results, indent=2) + "\n")
        (BENCH / "VERIFYING.md").write_text(text)
    return 0 if all(figure.kept for figure in promised) else 1


# ---- the store -------------------------------------------------------------------------------------------------------


def made(case: Case, data: Path, shrink: int) -> Path:
    """The case's home, made once by ingesting its drops."""
    drops, rows = max(case.days, case.drops // shrink), max(1, case.rows // shrink)
    home = data / f"verify-{drops}-{rows}"
    if not (home / _MADE).exists():
        shutil.rmtree(home, ignore_errors=True)
        folder = home / "drops" / NARROW.name
        folder.mkdir(parents=True)
        write_drops(folder, drops, rows, case.days)
        ingest(home)
        shutil.rmtree(home / "drops")
        (home / _MADE).touch()
    return home


def write_drops(folder: Path, drops: int, rows: int, days: int) -> None:
    """Drops of so many different rows each, spread over days."""
    whole = folder.parent / "all.csv"
    NARROW.write(whole, drops * rows)
    first = dt.date(2024, 1, 1)
    with whole.open() as lines:
        header = next(lines)
        for number in range(drops):
            day = first + dt.timedelta(days=number % days)
            with (folder / f"{NARROW.name}-{day}-{number:05d}.csv").open("w") as drop:
                drop.write(header)
                drop.writelines(islice(lines, rows))
    whole.unlink()


def ingest(home: Path) -> None:
    """Everything in the drop folder, by the functions that the assets call."""
    from platform_assets.ingest.building import build_partition  # noqa: PLC0415 - not imported where time is taken
    from platform_assets.ingest.selecting import capture, scan, select  # noqa: PLC0415

    workspace, contract = _workspace(home), _contract()
    scan(workspace, contract)
    captured = capture(workspace, contract)
    partitions = sorted(workspace.catalogue.captures(contract.table))
    for done, partition in enumerate(select(workspace, contract, partitions), 1):
        build_partition(workspace, contract, partition, run_id="bench")
        if done % 100 == 0:
            print(f"{home.name}: {captured.captured} captured, {done} of {len(partitions)} days", file=sys.stderr)


def _contract() -> TableContract:
    """The table's, for several drops a day."""
    partitioning = NARROW.contract.partitioning
    pattern = partitioning.file_name_pattern.replace(r"\.csv", r"-\d+\.csv")
    return NARROW.contract.model_copy(
        update={"partitioning": partitioning.model_copy(update={"file_name_pattern": pattern})}
    )


def _workspace(home: Path) -> Any:
    from resources.settings import Settings  # noqa: PLC0415
    from resources.workspace import Workspace  # noqa: PLC0415

    return Workspace(Settings(home=home / "home", drops=home / "drops", contracts=()))


def files(home: Path) -> list[Path]:
    """Every file of the store."""
    return sorted(path for path in (home / "home" / "store").rglob("*") if path.is_file())


# ---- the two sides ---------------------------------------------------------------------------------------------------


def hash_all(home: Path) -> dict[str, float]:
    """As `b3sum` does."""
    paths = files(home)
    started = time.perf_counter()
    for path in paths:
        blake3(max_threads=blake3.AUTO).update_mmap(path).digest()
    return {"seconds": time.perf_counter() - started, "bytes": sum(path.stat().st_size for path in paths)}


def verify_all(home: Path) -> dict[str, float]:
    """Verification of everything, opened anew."""
    from platform_assets.evidence.corruptions import Depth  # noqa: PLC0415
    from platform_assets.evidence.verifying import verify  # noqa: PLC0415

    return _verified(home, lambda: verify(_workspace(home), depth=Depth.DEEP))


def look_through(home: Path) -> dict[str, float]:
    """The quick look, which start-up does."""
    from platform_assets.evidence.corruptions import Depth  # noqa: PLC0415
    from platform_assets.evidence.verifying import verify  # noqa: PLC0415

    return _verified(home, lambda: verify(_workspace(home), depth=Depth.QUICK))


def _verified(home: Path, look: Callable[[], Any]) -> dict[str, float]:
    started = time.perf_counter()
    done = look()
    seconds = time.perf_counter() - started
    if not done.sound:
        sys.exit(f"{home} is not sound: {next(done.corruptions)}")
    return {"seconds": seconds, "bytes": sum(path.stat().st_size for path in files(home))}


SIDES: Mapping[str, Callable[[Path], dict[str, float]]] = {
    "hashing": hash_all,
    "verify --deep": verify_all,
    "verify": look_through,
}


def measure(case: Case, home: Path, runs: int) -> dict[str, Any]:
    """Let the sides take turns, once uncounted and then `runs` times."""
    seen: dict[str, list[float]] = {side: [] for side in SIDES}
    size = 0.0
    for turn in range(runs + 1):
        for side in SIDES:
            command = [sys.executable, "-m", "bench.verifying", "--measure", side, str(home.resolve())]
            done = subprocess.run(command, check=True, cwd=BENCH.parent, stdout=subprocess.PIPE, text=True)
            run: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
            size = run["bytes"]
            print(f"{case.name}: {side} {run['seconds']:.2f} s{'' if turn else ' (not counted)'}", file=sys.stderr)
            if turn:
                seen[side].append(run["seconds"])
    best = {side: min(seconds) for side, seconds in seen.items()}
    return {"name": case.name, "files": len(files(home)), "size_bytes": size, "runs": seen, "best": best}


def figures(measured: Sequence[Mapping[str, Any]]) -> Iterator[Figure]:
    """What the project promises: of large files a gigabyte a second, and no slower than it takes to hash them."""
    large, small = measured
    for case, limit in ((large, 1.25), (small, 3.0)):
        ratio = case["best"]["verify --deep"] / case["best"]["hashing"]
        yield Figure(f"{case['name']}: verify --deep / hashing the same files", ratio, limit, "x")
    seconds = large["best"]["verify --deep"] / (large["size_bytes"] / GB)
    yield Figure(f"{large['name']}: verify --deep, seconds a gigabyte", seconds, 1.0, "s/GB")


def render(results: Mapping[str, Any]) -> str:
    """The results as a page: promises first, then what was measured, then where."""
    lines = ["# Bench: verification beside plain hashing", ""]
    lines += [
        "Written by `python -m bench.verifying`. The peer hashes the same files as `b3sum` does: one after the other,",
        f"each mapped and hashed by all processors. Both take turns on cached files, {results['counted_runs']} runs",
        "each; the best of them. `verify` without options reads documents, and looks whether anybody touched a file.",
        "",
        "| Promise | Measured | Limit | |",
        "| --- | ---: | ---: | --- |",
    ]
    for figure in results["figures"]:
        verdict = "kept" if figure["kept"] else "**missed**"
        unit = figure["unit"]
        lines.append(f"| {figure['what']} | {figure['value']:.2f} {unit} | {figure['limit']:.2f} {unit} | {verdict} |")
    lines += ["", "| Store | Files | GB | Side | best s | GB/s |", "| --- " * 6 + "|"]
    for case in results["cases"]:
        size = case["size_bytes"] / GB
        for side, best in case["best"].items():
            rate = f"{size / best:.2f}" if side != "verify" else ""
            lines.append(f"| {case['name']} | {case['files']:,} | {size:.2f} | {side} | {best:.2f} | {rate} |")
    about = "; ".join(f"{name} {value}" for name, value in results["machine"].items())
    return "\n".join([*lines, "", f"Where: {about}.", ""])


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main())
