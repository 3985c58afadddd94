"""The janitor: collection once a day, at an hour when little else runs; on from the start."""

from __future__ import annotations

import dagster as dg

from platform_assets.upkeep.jobs import collect_garbage

AT = "17 3 * * *"
"""Of the night, in UTC."""


def janitor_schedule() -> dg.ScheduleDefinition:
    """The schedule of the collector. One that was missed is not made up for: the next one does the same."""
    return dg.ScheduleDefinition(
        name="janitor",
        job=collect_garbage,
        cron_schedule=AT,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Removes what nothing needs any more: staging of dead runs, unnamed objects, expired versions.",
    )
