"""What a command was asked about: tables and partitions, checked, with an error that names what there is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from contracts.canonical import canonical_bytes
from contracts.errors import ConfigurationError, ContractError, UsageError
from contracts.partitions import check_key, current_key, window_of
from contracts.table_contract import TableContract
from platform_assets.cli.terminal import Terminal
from resources.workspace import Workspace

BROKEN_CONTRACT = 2


def asked_contracts(workspace: Workspace, table: str | None) -> list[TableContract]:
    """The contract of `table`, or all that could be read.

    Raises:
        UsageError, ContractError: There is no such table, or its contract is broken.
        ConfigurationError: No contract at all was found.
    """
    if table is not None:
        return [workspace.contract(table)]
    registry = workspace.contracts
    if not registry.contracts and not registry.problems:
        folders = ", ".join(map(str, registry.folders))
        msg = (
            f"there is no contract (*.odcs.yaml) in {folders}. Write one, or draft one with `hashgate contract infer`."
        )
        raise ConfigurationError(msg, folders=[str(folder) for folder in registry.folders])
    return list(registry.contracts.values())


def broken_contracts(workspace: Workspace, table: str | None) -> tuple[ContractError, ...]:
    """The contracts that a command about all tables had to leave out."""
    return workspace.contracts.problems if table is None else ()


def checked_partitions(contract: TableContract, keys: Sequence[str] | None, now: dt.datetime) -> list[str] | None:
    """Partition keys as they were asked for, each once; None when none was.

    Raises:
        UsageError: One is no key of the table's calendar, or its period has not begun.
    """
    if not keys:
        return None
    last = current_key(contract.partitioning, now)
    for key in keys:
        try:
            check_key(contract.partitioning, key)
        except UsageError as error:
            msg = f"{contract.table}: {error}"
            raise UsageError(msg, table=contract.table, **error.evidence) from None
        if contract.server.engine_source is None and window_of(contract.partitioning, key).start > now:
            msg = f"{contract.table}: partition {key} has not begun; the newest one is {last}. Ask for one up to it."
            raise UsageError(msg, table=contract.table, partition=key, last=last)
    return list(dict.fromkeys(keys))


def say_json(terminal: Terminal, document: Any) -> None:
    """One JSON document on one line, canonical: the same state gives the same bytes."""
    terminal.line(canonical_bytes(document).decode())
