"""What Dagster injects into assets and sensors: the installation, and whoever wants to hear how a run gets on."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg
from pydantic import Field

from resources.settings import Settings
from resources.workspace import Workspace


class WorkspaceResource(dg.ConfigurableResource["WorkspaceResource"]):
    """The installation to work in. Fields that are left empty follow the environment, see `Settings`."""

    home: str = Field(default="", description="Folder of store, catalogue and staging; empty: HASHGATE_HOME.")
    drops: str = Field(default="", description="Folder where drops arrive; empty: HASHGATE_DROPS.")
    contracts: str = Field(default="", description="Contract folders, separated like PATH; empty: HASHGATE_CONTRACTS.")

    def open(self) -> Workspace:
        """Open it. Each call opens anew, so that no run sees what another one remembered."""
        named = {"HASHGATE_HOME": self.home, "HASHGATE_DROPS": self.drops, "HASHGATE_CONTRACTS": self.contracts}
        return Workspace(Settings.from_environment(dict(os.environ) | {name: v for name, v in named.items() if v}))

    @classmethod
    def at(cls, settings: Settings) -> WorkspaceResource:
        """The resource for settings that are known already, whatever the environment says."""
        return cls(
            home=str(settings.home),
            drops=str(settings.drops),
            contracts=os.pathsep.join(str(Path(folder)) for folder in settings.contracts),
        )
