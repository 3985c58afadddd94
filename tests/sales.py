"""A small table of our own for tests: daily sales, with a key, rules of every kind and a budget."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from contracts.table_contract import (
    Column,
    CsvFormat,
    Partitioning,
    RowRule,
    Server,
    SetRule,
    Severity,
    TableContract,
)
from platform_assets.ingest.building import PartitionResult, build_partition
from platform_assets.ingest.selecting import capture, scan, select
from resources.duckdb_session import open_session, parquet_source
from resources.settings import Settings
from resources.workspace import Workspace
from tests.profile import in_profile

HEADER = "id,shop,amount,sold_at,note\n"
DAY = "2024-03-01"

SALES = TableContract(
    table="sales",
    version="1.0.0",
    server=Server(path="sales/**/*.csv*", format=CsvFormat()),
    columns=(
        Column(name="id", type="BIGINT", required=True, primary_key_position=1),
        Column(name="shop", type="VARCHAR", required=True, allowed_values=("north", "south")),
        Column(name="amount", type="DECIMAL(10,2)", minimum="0"),
        Column(name="sold_at", type="TIMESTAMP"),
        Column(name="note", type="VARCHAR"),
    ),
    partitioning=Partitioning(
        cadence="daily",
        start=dt.datetime(2024, 1, 1),
        file_name_pattern=r"(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2}).*\.csv.*",
    ),
    row_rules=(
        RowRule(name="north is never free", expression="shop <> 'north' OR amount > 0"),
        RowRule(name="has a note", expression="note IS NOT NULL", severity=Severity.WARNING),
    ),
    set_rules=(SetRule(name="some rows", query="SELECT count(*) FROM {table}", operator=">", threshold=(0.0,)),),
    quarantine_budget=0.5,
)


def row(number: int, shop: str = "south", amount: str = "1.50", note: str = "") -> str:
    """One line of a sales file."""
    return f"{number},{shop},{amount},2024-03-01T10:00:00,{note}\n"


@dataclass(frozen=True)
class SalesHome:
    """A home with the sales table, and the few things a test does to it."""

    folder: Path
    contract: TableContract = SALES

    @property
    def workspace(self) -> Workspace:
        """Opened anew each time, as another process would."""
        settings = Settings(home=self.folder / "home", drops=self.folder / "drops", contracts=())
        return Workspace(in_profile(settings))

    def under(self, contract: TableContract) -> SalesHome:
        """The same home under a changed contract."""
        return replace(self, contract=contract)

    def drop(self, content: str | bytes, name: str = f"{DAY}.csv") -> Path:
        """Put a file into the drop folder, as people do: written elsewhere, moved in whole."""
        target = self.folder / "drops" / "sales" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        staged = self.folder / "staged-drop"
        staged.write_bytes(content if isinstance(content, bytes) else content.encode())
        staged.rename(target)
        return target

    def take_in(self, *partitions: str) -> None:
        """Scan, capture, select."""
        workspace = self.workspace
        scan(workspace, self.contract)
        capture(workspace, self.contract)
        select(workspace, self.contract, partitions or (DAY,))

    def ingest(self, partition: str = DAY, *, force: bool = False) -> PartitionResult:
        """The whole way for one partition."""
        self.take_in(partition)
        return build_partition(self.workspace, self.contract, partition, run_id="test", force=force)

    def rows(self, partition: str = DAY, columns: str = "*") -> list[tuple[object, ...]]:
        """What a reader sees, through the verified files."""

        workspace = self.workspace
        files = workspace.reader.open("sales", partition)
        query = f"SELECT {columns} FROM {parquet_source(files.valid)} AS valid"
        if files.overlay:
            query += f" ANTI JOIN {parquet_source(files.overlay)} AS overlay USING (_hg_source, _hg_record)"
        with open_session(store=workspace.store) as session:
            return session.execute(f"{query} ORDER BY ALL").fetchall()

    def quarantined(self, partition: str = DAY) -> list[dict[str, Any]]:
        """The quarantine rows of the current version, overlay included."""
        workspace = self.workspace
        files = workspace.reader.open("sales", partition)
        paths = [*files.quarantine, *files.overlay]
        if not paths:
            return []
        query = f"SELECT * FROM {parquet_source(paths)} ORDER BY byte_start"
        with open_session(store=workspace.store) as session:
            rows: list[dict[str, Any]] = session.sql(query).to_arrow_table().to_pylist()
        return rows
