"""A small installation of one's own for tests: one table, a drop folder, and the real command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from contracts.canonical import parse_json
from platform_assets.cli.main import main
from platform_assets.ingest.building import build_partition
from platform_assets.ingest.selecting import capture, scan, select
from resources.workspace import Workspace

CONTRACT = r"""
apiVersion: v3.1.0
kind: DataContract
id: orders
version: 1.0.0
status: active
servers:
  - server: drops
    type: local
    path: orders/*.csv*
    format: csv
schema:
  - name: orders
    properties:
      - name: id
        logicalType: integer
        primaryKey: true
      - name: item
        logicalType: string
        required: true
      - name: amount
        logicalType: number
        logicalTypeOptions: {minimum: 0}
customProperties:
  - property: partitioning
    value:
      cadence: daily
      start: '2024-01-01'
      fileNamePattern: 'orders-(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2}).*\.csv.*'
  - property: quarantineBudget
    value: 0.5
"""

SOUND = b"id,item,amount\n1,pen,2.5\n2,ink,3\n"


@dataclass(frozen=True)
class Ran:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return parse_json(self.out)

    @property
    def error(self) -> Any:
        """The error document of a command with `--json`."""
        return parse_json(self.err)["error"]


class Installation:
    """A home, a folder of contracts and a drop folder, set in the environment."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.home = home
        self.drops = home.parent / "drops"
        self.contracts = home.parent / "contracts"
        self._capsys = capsys
        self.contracts.mkdir()
        (self.drops / "orders").mkdir(parents=True)
        monkeypatch.setenv("HASHGATE_DROPS", str(self.drops))
        monkeypatch.setenv("HASHGATE_CONTRACTS", str(self.contracts))
        monkeypatch.setenv("NO_COLOR", "1")
        self.write_contract(CONTRACT)

    @property
    def workspace(self) -> Workspace:
        return Workspace.from_environment()

    def write_contract(self, text: str, table: str = "orders") -> Path:
        path = self.contracts / f"{table}.odcs.yaml"
        path.write_text(text)
        return path

    def drop(self, day: str, content: bytes = SOUND, suffix: str = ".csv") -> Path:
        path = self.drops / "orders" / f"orders-{day}{suffix}"
        path.write_bytes(content)
        return path

    def build(self, *, force: bool = False) -> None:
        """Take in and publish everything, by the functions that the assets call, without Dagster."""
        workspace = self.workspace
        contract = workspace.contract("orders")
        scan(workspace, contract)
        capture(workspace, contract)
        for partition in select(workspace, contract, sorted(workspace.catalogue.captures(contract.table))):
            build_partition(workspace, contract, partition, run_id="test", force=force)
        workspace.catalogue.close()

    def tree(self) -> dict[str, tuple[int, int]]:
        """Every file and folder of home, drops and contracts with its change time and size."""
        found = (self.home, self.drops, self.contracts)
        paths = [path for folder in found for path in (folder, *folder.rglob("*"))]
        return {str(p): (p.lstat().st_ctime_ns, p.lstat().st_size) for p in paths if p.is_symlink() or p.exists()}

    def hashgate(self, *arguments: str) -> Ran:
        """Run a command in this process, through the entry point of the console script."""
        self._capsys.readouterr()
        code = main(arguments)
        said = self._capsys.readouterr()
        return Ran(code, said.out, said.err)
