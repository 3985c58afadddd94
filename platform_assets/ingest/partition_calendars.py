"""A contract's calendar as Dagster's: the same keys, so that a file's partition is the partition in the UI."""

from __future__ import annotations

import dagster as dg

from contracts.partitions import WEEK_DAY_OFFSET
from contracts.table_contract import Cadence, Partitioning

INCLUDE_RUNNING = 1
"""Dagster's `end_offset`: the period that is running is a partition already."""


def partitions_of(partitioning: Partitioning) -> dg.TimeWindowPartitionsDefinition:
    """The partitions definition of a table's assets and checks."""
    start, zone = partitioning.start, partitioning.time_zone
    match partitioning.cadence:
        case Cadence.HOURLY:
            return dg.HourlyPartitionsDefinition(start, timezone=zone, end_offset=INCLUDE_RUNNING)
        case Cadence.DAILY:
            return dg.DailyPartitionsDefinition(start, timezone=zone, end_offset=INCLUDE_RUNNING)
        case Cadence.WEEKLY:
            return dg.WeeklyPartitionsDefinition(
                start, timezone=zone, day_offset=WEEK_DAY_OFFSET, end_offset=INCLUDE_RUNNING
            )
        case Cadence.MONTHLY:
            return dg.MonthlyPartitionsDefinition(start, timezone=zone, end_offset=INCLUDE_RUNNING)
