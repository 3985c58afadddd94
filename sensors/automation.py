"""Automation: assets that say by a condition when they want to follow their inputs do so without a click."""

from __future__ import annotations

import dagster as dg

SECONDS_BETWEEN_TICKS = 30


def automation_sensor() -> dg.AutomationConditionSensorDefinition:
    """The sensor that evaluates every asset's automation condition; on from the start."""
    return dg.AutomationConditionSensorDefinition(
        "automation",
        target=dg.AssetSelection.all(),
        minimum_interval_seconds=SECONDS_BETWEEN_TICKS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Runs assets whose automation condition holds; no held partition starts anything.",
    )
