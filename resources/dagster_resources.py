"""What Dagster injects into assets and sensors: the installation, and whoever wants to hear how a run gets on."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg
from pydantic import Field

from contracts.errors import ConfigurationError
from resources.settings import DATABASE_VARIABLE, STORE_VARIABLE, Settings
from resources.workspace import Workspace


class WorkspaceResource(dg.ConfigurableResource["WorkspaceResource"]):
    """The installation to work in. Fields that are left empty follow the environment, see `Settings`."""

    home: str = Field(default="", description="Folder of catalogue, staging and a local store; empty: HASHGATE_HOME.")
    drops: str = Field(default="", description="Folder where drops arrive; empty: HASHGATE_DROPS.")
    contracts: str = Field(default="", description="Contract folders, separated like PATH; empty: HASHGATE_CONTRACTS.")
    store: str = Field(default="", description="An absolute folder or s3://bucket/prefix; empty: HASHGATE_STORE.")
    database: str = Field(
        default="",
        description="A SQLite file by its absolute path; empty: HASHGATE_DATABASE. The URL of a server belongs there "
        "and nowhere else, because Dagster keeps and shows configuration.",
    )

    def open(self) -> Workspace:
        """Open it. Each call opens anew, so that no run sees what another one remembered.

        Raises:
            ConfigurationError: A field or variable makes no sense, or `database` holds a URL.
        """
        if self.database and not self.database.startswith("/"):
            msg = (
                "the resource's field `database` is no absolute path (it is not shown here: it may hold a password). "
                f"Name a SQLite file, or leave it empty and set {DATABASE_VARIABLE}."
            )
            raise ConfigurationError(msg)
        named = {
            "HASHGATE_HOME": self.home,
            "HASHGATE_DROPS": self.drops,
            "HASHGATE_CONTRACTS": self.contracts,
            STORE_VARIABLE: self.store,
            DATABASE_VARIABLE: f"sqlite:///{self.database}" if self.database else "",
        }
        return Workspace(Settings.from_environment(dict(os.environ) | {name: v for name, v in named.items() if v}))

    @classmethod
    def at(cls, settings: Settings) -> WorkspaceResource:
        """The resource for settings that are known already, whatever the environment says.

        Raises:
            ConfigurationError: Their database is a server other than that of the environment: its URL may hold a
                password, which must not become configuration.
        """
        url = settings.database
        if url.get_backend_name() != "sqlite" and url != Settings.from_environment().database:
            msg = f"the database {url!r} is not that of {DATABASE_VARIABLE}. Set the variable for runs to find it."
            raise ConfigurationError(msg, setting=DATABASE_VARIABLE)
        return cls(
            home=str(settings.home),
            drops=str(settings.drops),
            contracts=os.pathsep.join(str(Path(folder)) for folder in settings.contracts),
            store=str(settings.store),
            database=url.database or "" if url.get_backend_name() == "sqlite" else "",
        )
