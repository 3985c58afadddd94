"""Build partitions anew after somebody decided what they are made of: the same runs as any ingest.

What a gate stops is let through by the same decision: the version that readers have now has to go.
"""

from __future__ import annotations

from collections.abc import Sequence

from contracts.errors import HashgateError
from contracts.selection import Decision
from platform_assets.decisions.holding import find_held, release
from platform_assets.ingest.ingesting import Ended, Ending
from platform_assets.ingest.runs import run_ingest
from resources.settings import Settings
from resources.workspace import Workspace


def build_anew(settings: Settings, decision: Decision, table: str, partitions: Sequence[str]) -> list[str]:
    """Build partitions of a table from what is captured now, and let through what a gate stops.

    Returns:
        What could not be built, in words.
    """
    try:
        ended = run_ingest(Workspace(settings), table, partitions).ended
    except HashgateError as error:
        return [f"{table}: {error}"]
    problems = [f"{table}[{one.partition}]: {one.why}" for one in ended if one.ending is Ending.FAILED]
    for one in ended:
        if one.ending is Ending.HELD:
            problems += _let_through(Workspace(settings), one, decision)
    return problems


def _let_through(workspace: Workspace, ended: Ended, decision: Decision) -> list[str]:
    try:
        release(workspace, find_held(workspace, ended.table, ended.partition), decision)
    except HashgateError as error:
        return [f"{ended.table}[{ended.partition}]: {error}"]
    return []
