"""The code location: wires the parts together and computes nothing."""

from __future__ import annotations

import dagster as dg

from contracts.table_contract import TableContract
from platform_assets.ingest.table_assets import IngestListener, table_assets
from resources.dagster_resources import WorkspaceResource
from sensors.drop_sensors import drop_sensor


def definitions() -> dg.Definitions:
    """Everything there is, as the contracts and the environment say."""
    workspace = WorkspaceResource()
    contracts = workspace.open().contracts
    return dg.Definitions.merge(
        *(table(contract) for contract in contracts.contracts.values()),
        dg.Definitions(
            resources={"workspace": workspace, "listener": IngestListener()}, executor=dg.in_process_executor
        ),
    )


def table(contract: TableContract) -> dg.Definitions:
    """What one contract brings: assets, checks, a job, a sensor."""
    return dg.Definitions.merge(table_assets(contract), dg.Definitions(sensors=[drop_sensor(contract)]))


defs = definitions()
