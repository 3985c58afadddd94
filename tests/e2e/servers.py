"""Dagster's servers over a home of their own, started as `make demo` starts them, and ended to the last process."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest

from contracts.canonical import canonical_bytes, parse_json
from contracts.table_contract import TableContract
from platform_assets.ingest.planning import PartitionStatus, partition_statuses
from resources.settings import Settings
from resources.workspace import Workspace

ROOT = Path(__file__).parents[2]
START_S = 240
STOP_S = 60
LOG_LINES_SHOWN = 40

_SENSORS = """{ repositoriesOrError { ... on RepositoryConnection { nodes { sensors { name id } } } } }"""
_STOP = "mutation ($id: String!) { stopSensor(id: $id) { __typename } }"
_START = """mutation ($name: String!) { startSensor(sensorSelector: {
    repositoryName: "__repository__", repositoryLocationName: "hashgate", sensorName: $name }) { __typename } }"""
_RUNS_IN_PROGRESS = """{ runsOrError(filter: { statuses: [QUEUED, NOT_STARTED, STARTING, STARTED, CANCELING] }) {
    ... on Runs { count } } }"""


class Servers:
    """Webserver, daemon and code server: one process group, known by its leader's id."""

    def __init__(self, home: Path, contracts: Path = ROOT / "contracts" / "odcs") -> None:
        """Take a home with its drop folder; nothing is started yet."""
        self.settings = Settings(home=home, drops=home / "drops", contracts=(contracts,))
        with socket.create_server(("127.0.0.1", 0)) as free, socket.create_server(("127.0.0.1", 0)) as another:
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"
            self.reports = f"127.0.0.1:{another.getsockname()[1]}"
            """Where links to reports lead."""
        self._log = home / "servers.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start them, and wait until the code location is loaded."""
        self.settings.dagster_home.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "dagster.yaml", self.settings.dagster_home)
        where = ["--host", "127.0.0.1", "--port", self.url.rpartition(":")[2]]
        # A child of a shell's background job would ignore SIGINT, as the job does, and could not be ended by it.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "dagster", "dev", *where, "--workspace", str(ROOT / "workspace.yaml")],
                    cwd=ROOT,
                    env=self.environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        finally:
            signal.signal(signal.SIGINT, before)
        self.wait_until(lambda: bool(self._sensors()), "the code location is loaded", START_S)

    def stop(self) -> list[str]:
        """End them as Ctrl-C does.

        Returns:
            The commands of processes that were still there a minute later, and then were killed.
        """
        if self._process is None:
            return []
        group = self._process.pid
        if self._process.poll() is None:
            os.killpg(group, signal.SIGINT)
        deadline = time.monotonic() + STOP_S
        while (left := self.processes()) and time.monotonic() < deadline:
            self._process.poll()
            time.sleep(0.25)
        for process in left:
            os.kill(process, signal.SIGKILL)
        self._process.wait(STOP_S)
        return list(left.values())

    def graphql(self, query: str, **variables: Any) -> Any:
        """The data that a query or mutation gives."""
        body = canonical_bytes({"query": query, "variables": variables})
        request = urllib.request.Request(  # noqa: S310 - our own server
            f"{self.url}/graphql", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            document = parse_json(answer.read())
        assert "errors" not in document, document["errors"]
        return document["data"]

    def switch_sensor(self, name: str, *, on: bool) -> None:
        """Turn a sensor on or off."""
        answer = self.graphql(_START, name=name) if on else self.graphql(_STOP, id=self._sensors()[name])
        (kind,) = (result["__typename"] for result in answer.values())
        assert not kind.endswith("Error"), answer

    def runs_in_progress(self) -> int:
        """How many runs wait or work."""
        return int(self.graphql(_RUNS_IN_PROGRESS)["runsOrError"]["count"])

    @property
    def workspace(self) -> Workspace:
        """hashgate's own view of the home, opened anew each time."""
        return Workspace(self.settings)

    @property
    def flights(self) -> TableContract:
        """The table's contract."""
        return self.workspace.contract("flights")

    def statuses(self) -> dict[str, PartitionStatus]:
        """Where every partition of the flights stands, by hashgate's own account."""
        workspace = self.workspace
        try:
            return {status.key: status for status in partition_statuses(workspace, self.flights)}
        finally:
            workspace.catalogue.close()

    def wait_for(self, days: Collection[str], state: str, timeout_s: float = 180) -> dict[str, PartitionStatus]:
        """Wait until all of some days are in a state, and say where everything stands then."""
        self.wait_until(
            lambda: all(day in (now := self.statuses()) and now[day].state == state for day in days),
            f"{', '.join(days)} are {state}",
            timeout_s,
        )
        return self.statuses()

    def wait_until(self, condition: Callable[[], bool], what: str, timeout_s: float) -> None:
        """Wait, but not for ever and not for servers that have died."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            died = self._process is None or self._process.poll() is not None
            if died or time.monotonic() > deadline:
                said = "\n".join(self._log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:])
                pytest.fail(f"{'the servers died' if died else f'{timeout_s} s passed'} before {what}:\n{said}")
            time.sleep(0.5)

    def _sensors(self) -> dict[str, str]:
        try:
            nodes = self.graphql(_SENSORS)["repositoriesOrError"].get("nodes", [])
        except urllib.error.URLError:
            return {}  # not listening yet
        return {sensor["name"]: sensor["id"] for node in nodes for sensor in node["sensors"]}

    def environment(self) -> dict[str, str]:
        """That of a process that works on this home."""
        mine = {name: value for name, value in os.environ.items() if not name.startswith(("HASHGATE_", "DAGSTER_"))}
        return mine | {
            "HASHGATE_HOME": str(self.settings.home),
            "HASHGATE_CONTRACTS": os.pathsep.join(map(str, self.settings.contracts)),
            "HASHGATE_WEBSERVER": self.url.removeprefix("http://"),
            "HASHGATE_REPORTS": self.reports,
            "DAGSTER_HOME": str(self.settings.dagster_home),
            "DAGSTER_DISABLE_TELEMETRY": "yes",
        }

    def processes(self) -> dict[int, str]:
        """Everything that runs with this home, wherever it was reparented to; from /proc, so nothing beyond Linux."""
        mine = f"HASHGATE_HOME={self.settings.home}\0".encode()
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mine in (folder / "environ").read_bytes() + b"\0" and not _has_ended(folder):
                    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                    found[int(folder.name)] = command.decode(errors="replace")
            except OSError:
                continue  # it ended meanwhile, or is somebody else's
        return found


def _has_ended(folder: Path) -> bool:
    """Whether a process is over and only waits for its parent to notice."""
    return (folder / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
