"""The code location: wires the parts together and computes nothing."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from contracts.table_contract import TableContract
from platform_assets.decisions.jobs import decision_jobs
from platform_assets.ingest.broken_contracts import broken_contract_assets
from platform_assets.ingest.table_assets import IngestListener, table_assets
from platform_assets.user.carrier_delays import FLIGHTS, carrier_delays
from resources.contract_registry import ContractRegistry
from resources.dagster_resources import WorkspaceResource
from resources.gated_io_manager import GatedIOManager
from resources.published_duckdb import PublishedDuckDB
from resources.settings import Settings
from sensors.automation import automation_sensor
from sensors.contract_files import contract_sensor
from sensors.drop_sensors import drop_sensor
from sensors.janitor import janitor_schedule
from sensors.reconciling import reconcile_sensor


def definitions() -> dg.Definitions:
    """Everything there is, as the contracts and the environment say."""
    workspace = installation()
    registry = workspace.open().contracts
    contracts = list(registry.contracts.values())
    return dg.Definitions.merge(
        *(table(contract) for contract in contracts),
        users(registry),
        broken_contract_assets(registry.problems),
        decision_jobs(),
        dg.Definitions(
            sensors=[contract_sensor(registry.folders), reconcile_sensor(contracts), automation_sensor()],
            schedules=[janitor_schedule()],
            resources={
                "workspace": workspace,
                "listener": IngestListener(),
                "gated": GatedIOManager(workspace=workspace),
                "published": PublishedDuckDB(workspace=workspace),
            },
            executor=dg.in_process_executor,
        ),
    )


def installation() -> WorkspaceResource:
    """The one that the environment names, over dagster-aws's S3 resource when its store is a bucket."""
    if isinstance(Settings.from_environment().store, Path):
        return WorkspaceResource()
    # imported here because dagster-aws takes half a second, which a local store need not wait for
    from resources.s3_resource import LimitedS3Resource, S3WorkspaceResource  # noqa: PLC0415

    return S3WorkspaceResource(s3=LimitedS3Resource())


def table(contract: TableContract) -> dg.Definitions:
    """What one contract brings: assets, checks, a job, a sensor."""
    return dg.Definitions.merge(table_assets(contract), dg.Definitions(sensors=[drop_sensor(contract)]))


def users(registry: ContractRegistry) -> dg.Definitions:
    """People's own assets. Yours go here, too."""
    flights = registry.contracts.get(FLIGHTS)
    return dg.Definitions(assets=[] if flights is None else [carrier_delays(flights)])


defs = definitions()
