"""The partitions of an engine: its runs, by id. Its assets have them, and the tables that its outputs flow into."""

from __future__ import annotations

import dagster as dg


def run_partitions(engine: str) -> dg.DynamicPartitionsDefinition:
    """The runs of an engine, as sensors and jobs have told Dagster of them."""
    return dg.DynamicPartitionsDefinition(name=partitions_name(engine))


def partitions_name(engine: str) -> str:
    """What Dagster calls the set."""
    return f"engine_{engine}_runs"
