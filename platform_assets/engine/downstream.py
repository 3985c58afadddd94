"""Which tables an engine's outputs flow into."""

from __future__ import annotations

from collections.abc import Iterable

from contracts.table_contract import TableContract


def tables_of(contracts: Iterable[TableContract], engine: str) -> list[TableContract]:
    """The tables whose rows come from an output of an engine, in the contracts' order."""
    return [c for c in contracts if c.server.engine_source is not None and c.server.engine_source.engine == engine]
