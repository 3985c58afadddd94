"""One measurement in a process of its own: `python -m bench.measure SIDE TABLE CSV FOLDER` prints one JSON line.

Time is taken inside, after every import, so that starting Python is in neither side. Memory is the kernel's own peak
for this process (VmHWM), which also sees what DuckDB and Arrow allocate. Only the side that is measured is imported.
"""

from __future__ import annotations

import json
import re
import sys
import time
from importlib import import_module
from pathlib import Path

from bench.tables import TABLES

SIDES: dict[str, tuple[str, dict[str, bool]]] = {
    "duckdb": ("bench.peer", {}),
    "hashgate": ("bench.ours", {}),
    "hashgate, framed": ("bench.ours", {"framed": True}),
}
"""Module, and what its `ingest_file` is told."""


def peak_bytes() -> int:
    """The most memory this process ever had resident."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    if found is None:
        sys.exit("/proc/self/status has no VmHWM: the bench runs on Linux only")
    return int(found[1]) * 1024


def main(side: str, table: str, csv: str, folder: str) -> None:
    """Measure once and print what was seen."""
    module, told = SIDES[side]
    ingest_file = import_module(module).ingest_file
    before = time.process_time()
    seen = ingest_file(TABLES[table], Path(csv), Path(folder), **told)
    print(json.dumps(seen | {"cpu_s": time.process_time() - before, "peak_bytes": peak_bytes()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
