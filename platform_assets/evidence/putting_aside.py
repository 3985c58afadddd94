"""Damaged objects are moved to `damaged/`, where nobody reads them and people can look at them.

Only what can be made or dropped again is moved: blobs, segments, exports, held candidates, and what is computed from
versions (reports, profiles, overviews). The links of chains stay where they are: what they were is for a backup to
bring back, or for `hashgate repair` to put up with.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from platform_assets.evidence.corruptions import Concern, Corruption
from resources.object_store import ObjectStore

_BLOB = re.compile(r"blobs/.+")
_FOLDER = re.compile(r"(tables/[^/]+/(?:(?:segments|exports|reports)/[^/]+|profiles|overviews)/[^/]+)/[^/]+")
_HELD = re.compile(r"tables/[^/]+/held/[^/]+/[^/]+")


def put_damaged_aside(store: ObjectStore, corruptions: Iterable[Corruption]) -> list[str]:
    """Move what is damaged out of the way; of a segment or report the whole folder, since it counts as one thing.

    Returns:
        The names of what was moved, in order.

    Raises:
        StoreError: The store refused.
    """
    altered = (found.subject for found in corruptions if found.concern is not Concern.STRAY)
    names = sorted({name for name in map(_thing, altered) if name is not None})
    moved = [name for name in names if store.exists(name) or store.keys(name)]
    for name in moved:
        store.put_aside(name)
    return moved


def _thing(key: str) -> str | None:
    """What an object belongs to, as far as it may be moved."""
    if _BLOB.fullmatch(key) or _HELD.fullmatch(key):
        return key
    found = _FOLDER.fullmatch(key)
    return found[1] if found else None
