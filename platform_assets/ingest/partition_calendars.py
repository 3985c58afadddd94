"""A contract's calendar as Dagster's: the same keys, so that a file's partition is the partition in the UI."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from zoneinfo import ZoneInfo

import dagster as dg

from contracts.partitions import WEEK_DAY_OFFSET
from contracts.table_contract import Cadence, Partitioning, TableContract
from platform_assets.engine.run_partitions import run_partitions


def table_partitions(contract: TableContract) -> dg.PartitionsDefinition[str]:
    """The partitions definition of a table's assets and checks: its calendar, or its engine's runs."""
    source = contract.server.engine_source
    return partitions_of(contract.partitioning) if source is None else run_partitions(source.engine)


def register_runs(instance: dg.DagsterInstance, contract: TableContract, run_ids: Sequence[str]) -> None:
    """Make runs known to Dagster as partitions; those of a table with a calendar need no such thing."""
    source = contract.server.engine_source
    name = None if source is None else run_partitions(source.engine).name
    if name is not None:
        instance.add_dynamic_partitions(name, run_ids)


def partitions_of(partitioning: Partitioning) -> dg.TimeWindowPartitionsDefinition:
    """The partitions definition of a table's assets and checks.

    Dagster's `end_offset` of 1 makes the running period a partition. It would also add one behind an end that has
    passed: there it is 0. An end that passes while the definitions are loaded takes effect when they are loaded again.
    """
    start, end, zone = partitioning.start, partitioning.end, partitioning.time_zone
    over = end is not None and end.replace(tzinfo=ZoneInfo(zone)) <= dt.datetime.now(dt.UTC)
    offset = 0 if over else 1
    match partitioning.cadence:
        case Cadence.HOURLY:
            return dg.HourlyPartitionsDefinition(start, end_date=end, timezone=zone, end_offset=offset)
        case Cadence.DAILY:
            return dg.DailyPartitionsDefinition(start, end_date=end, timezone=zone, end_offset=offset)
        case Cadence.WEEKLY:
            return dg.WeeklyPartitionsDefinition(
                start, end_date=end, timezone=zone, day_offset=WEEK_DAY_OFFSET, end_offset=offset
            )
        case Cadence.MONTHLY:
            return dg.MonthlyPartitionsDefinition(start, end_date=end, timezone=zone, end_offset=offset)
        case Cadence.RUN:
            msg = "runs of an engine have no calendar"
            raise AssertionError(msg)
