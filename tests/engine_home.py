"""An installation with a small engine whose scenario says how it behaves: quick to run, and as bad as one wants."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from contracts.authority.record import EventKind, RunEvent
from contracts.authority.requests import RunRequest
from contracts.authority.status import RunState, RunStatus
from platform_assets.engine.running import advance
from platform_assets.engine.submitting import submit
from resources.authority.run_documents import RunDocuments
from resources.workspace import Workspace

ENGINE = "toy"

PROGRAM = """
import hashlib, json, os, pathlib, subprocess, sys, time

call = json.loads(os.environ["HASHGATE_ENGINE_INVOCATION"])
how = call["scenario_id"]
root = pathlib.Path(call["engine_run_root"])
pins = {name: call[name] for name in ("run_id", "manifest_fingerprint", "parameter_hash", "seed", "scenario_id")}
print("I am", how)
print("trouble is", how, file=sys.stderr)
if how == "exits":
    sys.exit(3)
if how == "sleeps":
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    time.sleep(60)
if how == "tells_environment":
    (root / "environment.json").write_text(json.dumps(dict(os.environ) | {"cwd": os.getcwd(), "argv": sys.argv}))
bundle = root / call["manifest_fingerprint"] / f"seed={call['seed']}" / "numbers"
if how != "writes_nothing":
    bundle.mkdir(parents=True, exist_ok=True)
    data = [f"{call['seed'] * n}\\n".encode() for n in range(3)]
    for n, part in enumerate(data):
        (bundle / f"part-{n}.txt").write_bytes(part)
    said = hashlib.sha256(b"".join(data)).hexdigest()
    if how == "lies":
        said = "0" * 64
    if how != "forgets_flag":
        (bundle / "_passed.flag").write_text(f"sha256_hex = {said}\\n")
if how == "misnames_run":
    pins["run_id"] = "another"
if how == "misnames_seed":
    pins["seed"] += 1
if how == "garbles_receipt":
    (root / "run_receipt.json").write_text("{")
elif how == "lacks_pin":
    (root / "run_receipt.json").write_text(json.dumps({"run_id": pins["run_id"]}))
elif how != "forgets_receipt":
    (root / "run_receipt.json").write_text(json.dumps(pins | {"release": "1"}))
"""

CATALOGUE = """
format: hashgate/engine-catalogue/v1
engine: toy
outputs:
  - id: numbers
    path: "{manifest_fingerprint}/seed={seed}/numbers/part-*.txt"
    scope: [manifest_fingerprint, seed]
  - id: notes
    path: "{manifest_fingerprint}/notes/*.txt"
    scope: [manifest_fingerprint]
    availability: optional
    read_requires_gates: [numbers_passed]
"""

GATES = """
format: hashgate/engine-gates/v1
gates:
  - id: numbers_passed
    authorizes: [numbers]
    bundle_root: "{manifest_fingerprint}/seed={seed}/numbers/"
    flag: {path: "{manifest_fingerprint}/seed={seed}/numbers/_passed.flag", format: text}
    law: {name: sha256_bundle_digest}
"""

POLICY: Mapping[str, Any] = {
    "command": '["{python}", "-I", "-S", "{engine_folder}/toy.py"]',
    "timeout_s": 20,
    "evidence_wait_seconds": 60,
}


class EngineHome:
    """A home with the toy engine, set in the environment."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = home
        self.engines = home.parent / "engines"
        self.folder = self.engines / ENGINE
        self.folder.mkdir(parents=True)
        (home.parent / "contracts").mkdir(exist_ok=True)
        monkeypatch.setenv("HASHGATE_ENGINES", str(self.engines))
        monkeypatch.setenv("HASHGATE_CONTRACTS", str(home.parent / "contracts"))
        (self.folder / "toy.py").write_text(PROGRAM)
        (self.folder / "catalogue.yaml").write_text(CATALOGUE)
        (self.folder / "gates.yaml").write_text(GATES)
        self.write_policy()

    def write_policy(self, **changed: Any) -> None:
        """The engine's policy, with some fields changed; None leaves one out."""
        fields = {name: value for name, value in {**POLICY, **changed}.items() if value is not None}
        (self.folder / "policy.yaml").write_text("".join(f"{name}: {value}\n" for name, value in fields.items()))

    @property
    def workspace(self) -> Workspace:
        """The installation, opened anew."""
        return Workspace.from_environment()

    def documents(self, run_id: str) -> RunDocuments:
        """The truth of a run."""
        return RunDocuments(self.workspace.store, run_id)

    def states(self, run_id: str) -> list[RunState]:
        """How far a run was, in order."""
        return [status.state for status in self.documents(run_id).statuses.after(0)]

    def events(self, run_id: str, kind: EventKind) -> list[RunEvent]:
        """What happened of a kind."""
        return [event for event in self.documents(run_id).events() if event.kind is kind]

    def kinds(self, run_id: str) -> list[EventKind]:
        """What happened, in order."""
        return [event.kind for event in self.documents(run_id).events()]

    def run(self, wanted: RunRequest) -> RunStatus:
        """Submit a request, and bring its run forward once."""
        workspace = self.workspace
        return advance(workspace, submit(workspace, wanted).run_id)

    def envelopes(self) -> list[Any]:
        """What is on the bus."""
        return list(self.workspace.bus.read("").envelopes)


def request(key: str = "k1", how: str = "behaves", **changed: Any) -> RunRequest:
    """A request for a run in which the engine behaves so."""
    document: dict[str, Any] = {
        "engine": ENGINE,
        "run_equivalence_key": key,
        "pins": {"manifest_fingerprint": "m1", "parameter_hash": "p1", "seed": 7, "scenario_id": how},
        "actor": "ann",
    }
    return RunRequest.model_validate(document | changed)


def request_text(wanted: RunRequest) -> str:
    """A request as somebody writes it."""
    return wanted.model_dump_json(exclude_none=True)


def write_results(root: Path, *, seed: int = 7, flag: str | None = None, parts: int = 3) -> Path:
    """What the engine would write under a run root, but for its receipt; returns the bundle."""
    bundle = root / "m1" / f"seed={seed}" / "numbers"
    bundle.mkdir(parents=True)
    data = [f"{seed * n}\n".encode() for n in range(parts)]
    for n, part in enumerate(data):
        (bundle / f"part-{n}.txt").write_bytes(part)
    said = hashlib.sha256(b"".join(data)).hexdigest() if flag is None else flag
    (bundle / "_passed.flag").write_text(f"sha256_hex = {said}\n")
    return bundle


def write_receipt(root: Path, **changed: Any) -> None:
    """A receipt of whoever ran the engine."""
    pins = {"run_id": "theirs", "manifest_fingerprint": "m1", "parameter_hash": "p1", "seed": 7}
    said = pins | {"scenario_id": "behaves"} | changed
    root.mkdir(parents=True, exist_ok=True)
    (root / "run_receipt.json").write_text(str(said).replace("'", '"'))


def marked(mark: str) -> list[str]:
    """The processes that live and carry the mark of an attempt."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            is_dead = (folder / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
            if not is_dead and f"={mark}".encode() in (folder / "environ").read_bytes():
                found.append(folder.name)
        except OSError:
            continue
    return found
