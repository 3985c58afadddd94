"""Waiting for a run's end: it is brought forward by whoever waits, unless somebody else does."""

from __future__ import annotations

import time

from contracts.authority.errors import BusyError
from contracts.authority.status import RunState, RunStatus
from platform_assets.engine.running import advance
from resources.authority.run_documents import RunDocuments
from resources.workspace import Workspace

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0


def wait_for_end(workspace: Workspace, run_id: str, timeout_s: float) -> RunStatus | None:
    """Bring a run forward until it has ended, or time is over.

    Returns:
        How far it is; None when nobody has begun with it.

    Raises:
        RunNotFoundError, PolicyChangedError, StoreError, DatabaseError: As `advance`.
    """
    until = time.monotonic() + timeout_s
    pause = FIRST_PAUSE_S
    while True:
        status = brought_forward(workspace, run_id)
        if (status is not None and status.state.is_terminal) or time.monotonic() + pause > until:
            return status
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_S)


def brought_forward(workspace: Workspace, run_id: str) -> RunStatus | None:
    """How far a run comes now; where somebody else leads, how far it is."""
    try:
        return advance(workspace, run_id)
    except BusyError:
        return RunDocuments(workspace.store, run_id).status()


def is_ready(status: RunStatus | None) -> bool:
    """Whether a run's results may be read."""
    return status is not None and status.state is RunState.READY
