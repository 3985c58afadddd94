"""Engines that cannot be read, as assets nobody can materialize: a broken pack is seen where its engine is missed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from contracts.errors import ContractError
from platform_assets.ingest.asset_events import visible

GROUP = "broken_engines"


def broken_pack_assets(problems: Sequence[ContractError]) -> dg.Definitions:
    """One asset a broken pack, with what is wrong and how to mend it; logged, too."""
    log = dg.get_dagster_logger("engines")
    for problem in problems:
        log.error("%s", visible(str(problem), 4000))
    return dg.Definitions(assets=[_spec(number, problem) for number, problem in enumerate(problems, 1)])


def _spec(number: int, problem: ContractError) -> dg.AssetSpec:
    source = str(problem.evidence["contract"])
    name = re.sub(r"\W+", "_", Path(source).parent.name) or "engine"
    return dg.AssetSpec(
        [GROUP, f"{name}_{number}"],
        group_name=GROUP,
        description=f"This pack cannot be read, so its engine is not here:\n\n    {visible(str(problem), 4000)}\n\n"
        "Mend it, see `hashgate engine lint`, and reload the definitions.",
        kinds={"yaml"},
        metadata={"pack": dg.MetadataValue.path(source)},
    )
