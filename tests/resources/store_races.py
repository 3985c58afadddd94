"""What racing processes do to one store, for `racing.race`; a store is opened in each, from its setting."""

from __future__ import annotations

import os
from pathlib import Path

from resources.object_store import ObjectStore
from resources.settings import Settings, parse_store
from resources.store_setting import open_store

Place = tuple[str, dict[str, str], Path]
"""A store's setting, the environment that it is opened in, and a folder for scratch."""


def opened(place: Place) -> ObjectStore:
    setting, environment, scratch = place
    os.environ.update(environment)
    settings = Settings(home=scratch, drops=scratch, contracts=(), store_location=parse_store(setting))
    return open_store(settings)


def create_each(number: int, place: Place, rounds: int, *, alike: bool) -> list[bool]:
    """Create one key a round, with bytes of one's own or all with the same: who won what."""
    store = opened(place)
    content = b"the same" if alike else str(number).encode()
    return [store.put_if_absent(f"race/{turn}", content) for turn in range(rounds)]


def adopt_large(number: int, place: Place, size: int) -> bool:
    """Make a file of one's own the object that all want to make."""
    store = opened(place)
    staged = store.scratch / f"large {number}"
    staged.write_bytes(bytes([number]) * size)
    return store.adopt_file("large", staged)


def adopt_alike(number: int, place: Place) -> bool:
    """Adopt a folder with the same files as everybody's."""
    store = opened(place)
    staged = store.scratch / f"folder {number}"
    staged.mkdir()
    for name in ("a.parquet", "b.parquet", "index.json"):
        (staged / name).write_bytes(name.encode())
    return store.adopt_folder("folder", staged)
