"""A small installation to which everything has happened once, and what tests do to it: build its day, and read it."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import dagster as dg
import pyarrow as pa
from dagster._core.types.dagster_type import resolve_dagster_type
from pydantic import PrivateAttr

from contracts.commits import Commit
from contracts.errors import HashgateError
from contracts.sinks import Sink
from platform_assets.decisions.holding import discard, find_held
from platform_assets.evidence.corruptions import Depth, Verification
from platform_assets.evidence.dagster_memory import told_table
from platform_assets.evidence.published import published_tables
from platform_assets.evidence.quarantined import quarantined_records
from platform_assets.evidence.verifying import Told, verify
from platform_assets.ingest.building import build_partition
from platform_assets.ingest.runless_events import report
from platform_assets.ingest.selecting import capture, scan, select
from platform_assets.ingest.telling import tell
from platform_assets.upkeep.forgetting import find_stakes, forget
from resources.contract_registry import ContractRegistry
from resources.dagster_resources import WorkspaceResource
from resources.gated_io_manager import GatedIOManager
from resources.publisher import Outcome
from resources.query_engine import QueryEngine
from resources.segment_places import open_source
from resources.workspace import Workspace
from tests.faults.homes import DAY, TABLE, Home
from tests.versions import ANA

Rows = list[tuple[object, ...]]

CSV_TOO = """\
  - property: sinks
    value: [parquet, csv]
"""
FIRST = "id,item\n1,pen\n2,\n"
CURRENT = "id,item\n1,pen\n2,\n1,ink\n3,cap\n"
FORGOTTEN = "id,item\n8,secret\n"
MOSTLY_BAD = "id,item\n1,pen\n2,\n3,\n4,\n"
WORSE = "id,item\n2,\n3,\n4,\n"

ROWS: Rows = [(1, "pen"), (3, "cap")]
REFUSED: Rows = [(2, "2,\n"), (3, "1,ink\n")]
"""Of the current drop: one lacks its item, one repeats a key and stands in the overlay."""


def build(home: Home, *, force: bool = False, take_in_only: bool = False) -> Outcome | None:
    """Take in what was dropped, and build the day."""
    workspace, contract = home.workspace, home.contract
    scan(workspace, contract)
    capture(workspace, contract)
    select(workspace, contract, [DAY])
    outcome = None
    if not take_in_only:
        outcome = build_partition(workspace, contract, DAY, run_id="test", force=force).outcome
    workspace.catalogue.close()
    return outcome


def read_rows(home: Home) -> Rows:
    """All rows, as `hashgate query` reads them.

    Raises:
        HashgateError: They cannot be read.
    """
    return by_query(home.workspace)


# ---- readers ---------------------------------------------------------------------------------------------------------


def by_query(workspace: Workspace) -> Rows:
    """The valid rows, as `hashgate query` reads them."""
    tables, unreadable = published_tables(workspace, [TABLE])
    with QueryEngine().run(f"SELECT id, item FROM {TABLE} ORDER BY ALL", tables, unreadable) as result:
        return list(result.rows())


def by_io_manager(workspace: Workspace) -> Rows:
    """The valid rows, as an asset gets them."""
    manager = GatedIOManager(workspace=_OpenedWorkspace.of(workspace))
    found: pa.Table = manager.load_input(_input_of_an_asset())
    return sorted(zip(found["id"].to_pylist(), found["item"].to_pylist(), strict=True))


@cache
def _input_of_an_asset() -> dg.InputContext:
    """Making one takes a third of a second."""
    return dg.build_input_context(
        asset_key=dg.AssetKey([TABLE, "validated"]),
        partition_key=DAY,
        asset_partitions_def=dg.DailyPartitionsDefinition(DAY),
        dagster_type=resolve_dagster_type(pa.Table),
    )


def by_quarantine(workspace: Workspace) -> Rows:
    """The refused records, as `hashgate quarantine` shows them."""
    head = workspace.reader.head(TABLE, DAY)
    return [] if head is None else [(found.record, found.raw) for found in quarantined_records(workspace, [head])]


def by_export(workspace: Workspace) -> Rows:
    """The rows of the CSV file that was published beside."""
    head = workspace.reader.head(TABLE, DAY)
    if head is None:
        return []
    ((_, source),) = workspace.reader.open_exports([head], Sink.CSV)
    with open_source(source) as file:
        lines = list(csv.DictReader(io.TextIOWrapper(file, encoding="utf-8", newline="")))
    return sorted((int(line["id"]), line["item"]) for line in lines)


READERS: Mapping[str, tuple[Callable[[Workspace], Rows], Rows]] = {
    "query": (by_query, ROWS),
    "IO manager": (by_io_manager, ROWS),
    "quarantine": (by_quarantine, REFUSED),
    "CSV export": (by_export, ROWS),
}
"""How somebody reads, and the rows that there are to read."""


class _OpenedWorkspace(WorkspaceResource):
    """A resource that opens what a test has opened."""

    _opened: Workspace | None = PrivateAttr(default=None)

    @classmethod
    def of(cls, workspace: Workspace) -> WorkspaceResource:
        """The resource for it."""
        resource = cls()
        resource._opened = workspace
        return resource

    def open(self) -> Workspace:
        """The same."""
        assert self._opened is not None
        return self._opened


# ---- the installation ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Published:
    """An installation with versions, a forgotten drop, candidates held and discarded, reports and an export."""

    home: Home
    told: Told
    """What Dagster remembers of it."""
    contracts: ContractRegistry

    @property
    def store(self) -> Path:
        """Its store's folder."""
        return self.home.home / "store"

    @property
    def files(self) -> list[Path]:
        """Everything in it."""
        return sorted(path for path in self.store.rglob("*") if path.is_file())

    def copied(self, folder: Path) -> Published:
        """The same at another place."""
        shutil.copytree(self.home.folder, folder, dirs_exist_ok=True, symlinks=True)
        return replace(self, home=Home(folder))

    def key(self, path: Path) -> str:
        """What a file is called in the store."""
        return path.relative_to(self.store).as_posix()

    @property
    def workspace(self) -> Workspace:
        """Opened anew, but for the contracts, which nobody tampers with."""
        workspace = self.home.workspace
        workspace.contracts = self.contracts
        return workspace

    def verified(
        self, depth: Depth = Depth.DEEP, *, asks_dagster: bool = True, put_aside: bool = False
    ) -> Verification:
        """Look at all of it."""
        workspace = self.workspace
        try:
            return verify(workspace, depth=depth, told=self.told if asks_dagster else None, put_aside=put_aside)
        finally:
            workspace.database.close()

    def misread(self, readers: Mapping[str, tuple[Callable[[Workspace], Rows], Rows]] = READERS) -> list[str]:
        """Read in every way; who gets rows gets those that were published. Says who did not."""
        workspace = self.workspace
        wrong = []
        try:
            for name, (read, expected) in readers.items():
                try:
                    rows = read(workspace)
                except HashgateError:
                    continue
                if rows != expected:
                    wrong.append(f"{name} read {rows}")
        finally:
            workspace.database.close()
        return wrong


def publish_all(home: Home) -> Published:
    """Let everything happen once: publish, forget, restate, hold, discard, hold again; and tell Dagster of it."""
    home.found()
    path = home.folder / "contracts" / f"{TABLE}.odcs.yaml"
    path.write_text(path.read_text() + CSV_TOO)
    with dg.DagsterInstance.ephemeral() as instance:
        home.drop(FIRST)
        home.drop(FORGOTTEN, "-b")
        assert build(home) is Outcome.PUBLISHED
        home.drop(CURRENT)
        _forget(home, f"{TABLE}/{TABLE}-{DAY}-b.csv")
        _tell(instance, home)
        for content in (MOSTLY_BAD, WORSE):
            home.drop(content)
            assert build(home) is Outcome.HELD
            held = find_held(home.workspace, TABLE, DAY)
            _tell(instance, home, held.commit)
            if content == MOSTLY_BAD:
                discard(home.workspace, held, ANA)
        told = {TABLE: told_table(instance, TABLE)}
    return Published(home, told, home.workspace.contracts)


def _forget(home: Home, drop: str) -> None:
    """Let a drop go, with everything that was made of it; the bytes stay for a grace."""

    def rebuild(_table: str, _partitions: object) -> list[str]:
        (home.drops / drop).unlink()
        assert build(home) is Outcome.PUBLISHED
        return []

    done = forget(home.workspace, find_stakes(home.workspace, drop), ANA, rebuild)
    assert done.problems == []


def _tell(instance: dg.DagsterInstance, home: Home, commit: Commit | None = None) -> None:
    """Tell Dagster of the current version, or of a held candidate; the report is drawn by that."""
    workspace = home.workspace
    told = commit or workspace.reader.head(TABLE, DAY)
    assert told is not None
    report(instance, tell(instance, workspace, home.contract, [told], ""))
