"""The published tables as SQL sees them: for each, the verified files of its partitions' current versions.

One table that cannot be read hides no other: its reason is kept beside those that can.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from contracts.errors import HashgateError
from contracts.table_contract import TableContract
from resources.query_engine import PublishedPart, PublishedTable
from resources.table_reader import PublishedFiles
from resources.workspace import Workspace


def published_tables(workspace: Workspace, names: Iterable[str]) -> tuple[list[PublishedTable], dict[str, str]]:
    """Open the current versions of tables; each file is verified, or was and has not been touched since.

    Args:
        workspace: The installation.
        names: Tables that have a contract.

    Returns:
        The tables, and the reasons of those that cannot be read.
    """
    tables: list[PublishedTable] = []
    unreadable: dict[str, str] = {}
    for name in names:
        contract = workspace.contract(name)
        try:
            tables.append(_published(workspace, contract))
        except HashgateError as error:
            unreadable[name] = str(error)
    return tables, unreadable


def unread_tables(workspace: Workspace) -> tuple[list[PublishedTable], dict[str, str]]:
    """All tables by name alone, nothing opened; and those whose contract is broken, by the name of its file."""
    tables = [PublishedTable(c.table, (), c.table_schema) for c in workspace.contracts.contracts.values()]
    broken = {
        Path(problem.evidence["contract"]).name.partition(".")[0]: str(problem)
        for problem in workspace.contracts.problems
    }
    return tables, {name: why for name, why in broken.items() if name not in workspace.contracts.contracts}


def _published(workspace: Workspace, contract: TableContract) -> PublishedTable:
    reader = workspace.reader
    heads = [reader.head(contract.table, partition) for partition in reader.partitions(contract.table)]
    opened = reader.open_commits([head for head in heads if head is not None])
    return PublishedTable(
        contract.table, tuple(_part(contract, files) for files in opened if files.valid), contract.table_schema
    )


def _part(contract: TableContract, files: PublishedFiles) -> PublishedPart:
    schema = dict(files.commit.candidate.contract.table_schema) or dict(contract.table_schema)
    return PublishedPart(files.valid, schema, files.overlay)
