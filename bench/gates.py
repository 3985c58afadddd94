"""Checking an engine's gates beside plain hashing of the same bytes: `python -m bench.gates`, for two sizes of files.

The peer hashes one file after the other with SHA-256, as whoever wrote the flag did. A gate reads the same files
through a run root, hashes each for its receipt, and puts together what its law says; two of the laws are over the bytes
of all files, so that each is hashed twice. `--check` ends with 1 when a ratio is worse by more than a quarter than the
baseline in docs/claims.yaml, which changes only when somebody writes another one there.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from contracts.authority.evidence import Missing
from contracts.authority.gate_laws import check_gate
from contracts.authority.pack import EngineGate
from contracts.authority.run_files import Ledger
from resources.authority.run_roots import open_run_root
from tests.claims import read_claims
from tests.engine_bundles import LAWS, gate_document, put, written_bundle

CLAIM = "engine.gates.throughput"
WORSE = 1.25
ROUNDS = 5
_SIZES = {"32 MiB": (8, 32 << 20), "64 KiB": (2000, 64 << 10)}
"""How many files, and how large."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and say; 1 when `--check` finds a ratio worse than its baseline allows."""
    parser = argparse.ArgumentParser(prog="python -m bench.gates", description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare with the baseline in docs/claims.yaml")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"rounds of each side ({ROUNDS})")
    asked = parser.parse_args(arguments)
    (claim,) = (claim for claim in read_claims() if claim.id == CLAIM)
    worse = False
    for name, ratio in _ratios(asked.rounds).items():
        allowed = (claim.baseline or {}).get(name, 0.0) * WORSE
        worse |= ratio > allowed
        print(f"{name}: {ratio:.2f} x hashing (allowed: {allowed:.2f})")
    return int(asked.check and worse)


def _ratios(rounds: int) -> dict[str, float]:
    """By size and law how many times as long a gate takes as plain hashing, at its best of all rounds."""
    found: dict[str, float] = {}
    for size, (files, size_bytes) in _SIZES.items():
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            members = {f"part-{n:05d}.bin": os.urandom(1024) * (size_bytes // 1024) for n in range(files)}
            put(root, {f"bundle/{name}": data for name, data in members.items()})
            paths = [root / "bundle" / name for name in members]
            plain = _best(lambda paths=paths: _hash(paths), rounds)  # type: ignore[misc]
            for law in LAWS:
                look = _gate(root, law, members)
                found[f"{law}, files of {size}"] = _best(look, rounds) / plain
    return found


def _gate(root: Path, law: str, members: Mapping[str, bytes]) -> Callable[[], None]:
    """What checks a gate of that law over the members, which lie there already."""
    document = gate_document(law=law)
    written = written_bundle(document, members)
    put(root, {path: data for path, data in written.items() if path.endswith((".json", ".flag"))})
    gate = EngineGate.model_validate(document)

    def look() -> None:
        receipt = check_gate(gate, {}, Ledger(open_run_root(str(root))))
        if isinstance(receipt, Missing) or not receipt.passed:
            msg = f"a sound bundle did not pass, so there is nothing to compare: {receipt}"
            raise RuntimeError(msg)

    return look


def _hash(paths: Sequence[Path]) -> None:
    for path in paths:
        hasher = hashlib.sha256()
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(4 << 20):
                hasher.update(chunk)


def _best(work: Callable[[], None], rounds: int) -> float:
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


if __name__ == "__main__":
    sys.exit(main())
