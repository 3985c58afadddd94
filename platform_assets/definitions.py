"""The code location: wires the parts together and computes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import dagster as dg

from contracts.table_contract import TableContract
from platform_assets.decisions.jobs import decision_jobs
from platform_assets.engine.broken_packs import broken_pack_assets
from platform_assets.engine.downstream import tables_of
from platform_assets.engine.engine_assets import engine_assets
from platform_assets.engine.jobs import engine_jobs
from platform_assets.ingest.broken_contracts import broken_contract_assets
from platform_assets.ingest.table_assets import IngestListener, table_assets
from platform_assets.user.carrier_delays import FLIGHTS, carrier_delays
from resources.authority.pack_files import EngineRegistry
from resources.contract_registry import ContractRegistry
from resources.dagster_resources import WorkspaceResource
from resources.gated_io_manager import GatedIOManager
from resources.published_duckdb import PublishedDuckDB
from resources.settings import Settings
from sensors.automation import automation_sensor
from sensors.contract_files import contract_sensor
from sensors.drop_sensors import drop_sensor
from sensors.engine_bus import bus_sensor
from sensors.engine_requests import request_sensor
from sensors.engine_runs import run_sensor
from sensors.janitor import janitor_schedule
from sensors.reconciling import reconcile_sensor


def definitions() -> dg.Definitions:
    """Everything there is, as the contracts and the environment say."""
    workspace = installation()
    opened = workspace.open()
    registry = opened.contracts
    contracts = list(registry.contracts.values())
    tables = {contract.table: table(contract) for contract in contracts}
    return dg.Definitions.merge(
        *tables.values(),
        engines(opened.engines, contracts, tables),
        users(registry),
        broken_contract_assets(registry.problems),
        decision_jobs(),
        dg.Definitions(
            sensors=[
                contract_sensor(registry.folders, opened.settings.engines),
                reconcile_sensor(contracts),
                automation_sensor(),
            ],
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
    sensors = [drop_sensor(contract)] if contract.server.engine_source is None else []
    return dg.Definitions.merge(table_assets(contract), dg.Definitions(sensors=sensors))


def engines(
    registry: EngineRegistry, contracts: Sequence[TableContract], tables: Mapping[str, dg.Definitions]
) -> dg.Definitions:
    """What the engines bring: assets, checks, jobs, and the sensors over requests, runs and the control bus."""
    if not registry.packs:
        return broken_pack_assets(registry.problems)
    made = {name: engine_assets(pack) for name, pack in registry.packs.items()}
    downstream = {name: tables_of(contracts, name) for name in made}
    jobs = {name: job for name, brought in made.items() for job in brought.jobs or ()}
    table_jobs = [job for of in downstream.values() for c in of for job in tables[c.table].jobs or ()]
    sensors = [request_sensor(), run_sensor(jobs), bus_sensor(list(made), downstream, [*jobs.values(), *table_jobs])]
    return dg.Definitions.merge(
        *made.values(), broken_pack_assets(registry.problems), engine_jobs(), dg.Definitions(sensors=sensors)
    )


def users(registry: ContractRegistry) -> dg.Definitions:
    """People's own assets. Yours go here, too."""
    flights = registry.contracts.get(FLIGHTS)
    return dg.Definitions(assets=[] if flights is None else [carrier_delays(flights)])


defs = definitions()
