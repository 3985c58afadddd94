"""The sales home for tests of upkeep: its contract is in the registry, and time can be let pass."""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from contracts.retention import Retention
from contracts.table_contract import TableContract
from platform_assets.evidence.corruptions import Depth
from platform_assets.evidence.verifying import verify
from platform_assets.reports.partition_report import write_report
from platform_assets.upkeep.collecting import Collection, collect
from resources.contract_registry import ContractRegistry
from resources.settings import Settings
from resources.workspace import Workspace
from tests.sales import DAY, HEADER, SALES, SalesHome, row

AT_ONCE = Retention(age_s=1, versions=0)
"""Nothing superseded is kept."""
FLEETING = SALES.model_copy(update={"retention": AT_ONCE})
NO_GRACE = dt.timedelta(0)

A, B = HEADER + row(1), HEADER + row(1) + row(2)
"""Two contents of a day."""


class KeptWorkspace(Workspace):
    """A workspace that knows one contract, from no file."""

    def __init__(self, settings: Settings, contract: TableContract | None) -> None:
        super().__init__(settings)
        self._known = {} if contract is None else {contract.table: contract}

    @cached_property
    def contracts(self) -> ContractRegistry:
        """The one contract."""
        return ContractRegistry(self._known, (), ())


@dataclass(frozen=True)
class KeptHome(SalesHome):
    """A home with the sales table; superseded versions go at once unless a test says otherwise."""

    contract: TableContract = FLEETING

    @property
    def workspace(self) -> Workspace:
        settings = Settings(home=self.folder / "home", drops=self.folder / "drops", contracts=())
        return KeptWorkspace(settings, self.contract)

    @property
    def store(self) -> Path:
        """The folder of its local store."""
        return self.folder / "home" / "store"

    def keeping(self, retention: Retention) -> KeptHome:
        """The same home under another retention."""
        return KeptHome(self.folder, self.contract.model_copy(update={"retention": retention}))

    def restate(self, *contents: str, day: str = DAY) -> None:
        """Let a day's file come with these contents, one after the other, and publish each with its report."""
        for content in contents:
            self.drop(content, f"{day}.csv")
            write_report(self.workspace, self.contract, self.ingest(day).commit)

    def days_pass(self, days: float) -> None:
        """Everything in the store was written so much earlier."""
        for path in self.store.rglob("*"):
            if path.is_file():
                then = path.stat().st_mtime - days * 86_400
                os.utime(path, (then, then))

    def collect(self, grace: dt.timedelta = NO_GRACE, *, dry_run: bool = False) -> Collection:
        """One go of a collector."""
        return collect(self.workspace, grace, dry_run=dry_run)

    def objects(self, *kinds: str) -> list[str]:
        """The keys in the store, of some kinds (the first name of a key, or of what is below a table)."""
        keys = sorted(p.relative_to(self.store).as_posix() for p in self.store.rglob("*") if p.is_file())
        return [key for key in keys if not kinds or {key.split("/")[0], *key.split("/")[2:3]} & set(kinds)]

    def problems(self) -> list[str]:
        """What a verification of everything finds."""
        return [f"{c.subject}: {c.problem}" for c in verify(self.workspace, depth=Depth.JUDGED).corruptions]
