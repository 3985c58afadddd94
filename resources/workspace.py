"""One installation, opened: settings, store, catalogue, contracts, and the readers over them."""

from __future__ import annotations

import datetime as dt
from functools import cached_property

from contracts.table_contract import TableContract
from resources.authority.control_bus import ControlBus, open_bus
from resources.authority.engines import Engine, engine_of
from resources.authority.pack_files import EngineRegistry
from resources.captures import CaptureLog
from resources.contract_registry import ContractRegistry
from resources.database import Database
from resources.database_migrations import open_database
from resources.file_catalogue import FileCatalogue
from resources.leases import Leases
from resources.object_store import ObjectStore
from resources.parser_attempts import ParserAttempts
from resources.settings import Settings
from resources.store_setting import open_store
from resources.table_reader import TableReader


class Workspace:
    """Opens each part when it is first needed, and keeps what it opened."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._engines: dict[str, Engine] = {}

    @classmethod
    def from_environment(cls) -> Workspace:
        """The installation that the environment names."""
        return cls(Settings.from_environment())

    @cached_property
    def store(self) -> ObjectStore:
        """Blobs, tables, commits."""
        self.settings.prepare()
        return open_store(self.settings)

    @cached_property
    def database(self) -> Database:
        """What catalogue and leases are kept in, at the present schema version."""
        self.settings.prepare()
        return open_database(self.settings.database)

    @cached_property
    def catalogue(self) -> FileCatalogue:
        """The index over drop folder and store."""
        return FileCatalogue(self.database)

    @cached_property
    def leases(self) -> Leases:
        """Who may work on something now."""
        return Leases(self.database)

    @cached_property
    def parser_attempts(self) -> ParserAttempts:
        """Which drops are being read, and which ended their process."""
        return ParserAttempts(self.database)

    @cached_property
    def contracts(self) -> ContractRegistry:
        """The table contracts, as they are now."""
        return ContractRegistry.load(self.settings.contracts)

    @cached_property
    def reader(self) -> TableReader:
        """What is current, verified."""
        return TableReader(self.store, self.catalogue)

    @cached_property
    def capture_log(self) -> CaptureLog:
        """What arrived, in order."""
        return CaptureLog(self.store)

    @cached_property
    def engines(self) -> EngineRegistry:
        """The interface packs of engines, as they are now."""
        return EngineRegistry.load(self.settings.engines)

    @cached_property
    def bus(self) -> ControlBus:
        """Where READY and the ends of engine runs are told."""
        return open_bus(self.settings)

    def engine(self, name: str) -> Engine:
        """An engine's pack and policy, or an error that says what there is."""
        if name not in self._engines:
            self._engines[name] = engine_of(self.engines, name)
        return self._engines[name]

    def contract(self, table: str) -> TableContract:
        """A table's contract, or an error that says what there is."""
        return self.contracts.table(table)

    def now(self) -> dt.datetime:
        """The time, aware, in UTC. The only clock the platform reads."""
        return dt.datetime.now(dt.UTC)
