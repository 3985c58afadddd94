"""The code location: wires the parts together and computes nothing."""

from __future__ import annotations

import dagster as dg

from platform_assets.ingest.table_assets import IngestListener, table_assets
from resources.dagster_resources import WorkspaceResource
from resources.workspace import Workspace


def definitions() -> dg.Definitions:
    """Everything there is, as the contracts and the environment say."""
    workspace = WorkspaceResource()
    contracts = workspace.open().contracts
    return dg.Definitions.merge(
        *(table_assets(contract) for contract in contracts.contracts.values()),
        dg.Definitions(
            resources={"workspace": workspace, "listener": IngestListener()}, executor=dg.in_process_executor
        ),
    )


defs = definitions()
