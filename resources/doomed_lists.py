"""The collector's lists, as writers and readers of the store meet them.

A writer looks at the lists *before* it looks whether the content is there already, and once more right before the
document that will name it: what is listed it neither relies on nor overwrites, but writes its next generation. A
reader needs no list: it takes the first generation that is there. Why this suffices is told in
`platform_assets.upkeep.collecting`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from contracts.collection import DoomedList, EmptiedList, in_order
from contracts.errors import StoreError
from resources.object_store import ObjectStore

FOLDER = "doomed"
_LIST = re.compile(r"([0-9]{8,})\.json")
_ANY = re.compile(r"([0-9]{8,})(?:\.emptied)?\.json")


def list_key(number: int) -> str:
    """Where a list lies until it is retired."""
    return f"{FOLDER}/{number:08d}.json"


def emptied_key(number: int) -> str:
    """Where it is noted that a list was gone through."""
    return f"{FOLDER}/{number:08d}.emptied.json"


def doomed_names(store: ObjectStore) -> frozenset[str]:
    """Every name on a list that is not retired.

    Raises:
        StoreError: A list cannot be read.
    """
    return frozenset(doomed.name for listed in standing_lists(store) for doomed in listed.objects)


def standing_lists(store: ObjectStore) -> Iterator[DoomedList]:
    """The lists that are not retired, the oldest first.

    Raises:
        StoreError: A list cannot be read.
    """
    for number in list_numbers(store):
        listed = _read_list(store, number)
        if listed is not None:
            yield listed


def list_numbers(store: ObjectStore) -> list[int]:
    """The numbers of the lists that are not retired, in order."""
    return [int(found[1]) for found in map(_LIST.fullmatch, store.keys(FOLDER)) if found]


def next_list_number(store: ObjectStore) -> int:
    """A number that no list has, and none had as long as a note of the last one stands."""
    return 1 + max((int(found[1]) for found in map(_ANY.fullmatch, store.keys(FOLDER)) if found), default=0)


def emptied(store: ObjectStore, number: int) -> EmptiedList | None:
    """The note that a list was gone through; None while it was not.

    Raises:
        StoreError: It cannot be read.
    """
    key = emptied_key(number)
    try:
        return EmptiedList.from_bytes(store.get(key))
    except KeyError:
        return None
    except ValueError as error:
        raise _unreadable(key, error) from error


def first_copy(store: ObjectStore, name: str, member: str = "") -> str | None:
    """The first generation of `name` that is there; None when there is none.

    Args:
        store: Where it lies.
        name: A key; or a folder's, if `member` is given.
        member: A key of the folder that is there when the folder is complete.
    """
    probe = f"/{member}" if member else ""
    if store.exists(f"{name}{probe}"):
        return name
    folder, _, last = name.rpartition("/")
    copies = in_order(last, store.keys(folder))
    return next((f"{folder}/{copy}" for copy in copies if store.exists(f"{folder}/{copy}{probe}")), None)


def _read_list(store: ObjectStore, number: int) -> DoomedList | None:
    key = list_key(number)
    try:
        return DoomedList.from_bytes(store.get(key))
    except KeyError:
        return None  # it was retired between two looks
    except ValueError as error:
        raise _unreadable(key, error) from error


def _unreadable(key: str, error: ValueError) -> StoreError:
    problem = str(error).partition("\n")[0]
    fix = "Remove it when no gc is running: nothing hangs on it, the next gc makes a new one."
    return StoreError(f"{key}: {problem}. {fix}", key=key)
