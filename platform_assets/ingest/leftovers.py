"""What killed runs left half done, removed at the next start: staged candidates, and copies of drops.

Only what surely belongs to a dead process of this host goes here; `hashgate gc` tells the rest by its age.
"""

from __future__ import annotations

import datetime as dt

from resources.captures import sweep_copies
from resources.staging import left_folders, remove_left
from resources.workspace import Workspace

_NEVER = dt.datetime.min.replace(tzinfo=dt.UTC)


def sweep_leftovers(workspace: Workspace) -> int:
    """Remove what the dead have staged; says how many things.

    Raises:
        StoreError: The disk refused.
    """
    swept = 0
    for left in left_folders(workspace.settings.staging, _NEVER, lambda _: True):
        remove_left(left)
        swept += 1
    return swept + sweep_copies(workspace.store.scratch)
