"""A person's decision: whose it is, which table it is about, and the one attempt to commit it.

A decision is made on what was looked at. When something else is committed meanwhile, it is not carried over to that:
whoever decided looks again.
"""

from __future__ import annotations

from pydantic import ValidationError

from contracts.commits import Link
from contracts.errors import CommitError, UsageError
from contracts.selection import Decision
from resources.link_writer import Creation, create_link
from resources.workspace import Workspace


def decided_by(actor: str, reason: str) -> Decision:
    """Somebody's decision.

    Raises:
        UsageError: Nobody is named, or no reason.
    """
    try:
        return Decision(actor=actor.strip(), reason=reason.strip())
    except ValidationError:
        msg = "a decision is recorded with who made it and why: name both, with --actor and --reason."
        raise UsageError(msg, actor=actor, reason=reason) from None


def stored_table(workspace: Workspace, table: str) -> str:
    """The name of a table that has a place in the store, be it a contract's or an asset's.

    Raises:
        UsageError: There is none of that name.
    """
    tables = stored_tables(workspace)
    if table in tables:
        return table
    asset = f"asset.{table}"
    hint = f" Did you mean {asset}?" if asset in tables else f" Tables: {', '.join(tables) or 'none'}."
    msg = f"there is nothing of a table {table!r} in the store.{hint}"
    raise UsageError(msg, table=table, tables=tables)


def stored_tables(workspace: Workspace) -> list[str]:
    """Every table that has a place in the store, in order."""
    return workspace.store.keys("tables")


def commit(workspace: Workspace, link: Link) -> None:
    """Create a link that a person decided.

    Raises:
        CommitError: Somebody else committed meanwhile, or the store did not answer; nothing was changed.
        UnansweredError: Nobody knows what became of it.
        StoreError: The store refused.
    """
    creation = create_link(workspace.store, workspace.reader, link, workspace.now())
    if creation is Creation.OURS:
        return
    table, partition, number = link.place
    why = (
        "somebody else committed meanwhile"
        if creation is Creation.ANOTHERS
        else "the store did not answer, and the attempt was made void"
    )
    msg = f"{table}[{partition}]: {why}: nothing was changed. Look again, and repeat it if you still want it."
    raise CommitError(msg, table=table, partition=partition, number=number)
