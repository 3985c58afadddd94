"""Damage done to a store from outside, on disk and in a bucket alike: what was written once is written otherwise."""

from __future__ import annotations

from resources.object_store import ObjectStore


def replace(store: ObjectStore, key: str, data: bytes) -> None:
    """Put other bytes where an object is, or was."""
    store.forget(key)
    assert store.put_if_absent(key, data)


def flip(store: ObjectStore, key: str) -> None:
    """Turn one bit in the middle of an object."""
    data = bytearray(store.get(key))
    data[len(data) // 2] ^= 1
    replace(store, key, bytes(data))


def remove(store: ObjectStore, key: str) -> None:
    """Take an object away."""
    assert store.exists(key)
    store.forget(key)


def move(store: ObjectStore, prefix: str, to: str) -> None:
    """Take everything below a folder elsewhere."""
    for key in list(store.walk(prefix)):
        assert store.put_if_absent(f"{to}{key.removeprefix(prefix)}", store.get(key))
        store.forget(key)


def remove_all(store: ObjectStore, prefix: str) -> None:
    """Take everything below a folder away."""
    for key in list(store.walk(prefix)):
        remove(store, key)
