"""Objects of the store, read again from end to end and compared with what they must be: several at once, each once.

Nothing is taken from an earlier reading. A file whose index has the digests of its blocks is compared block by block,
which hashes every byte once and says where it differs; the digest of the whole is made only for one that does, to say
what it is now. Files are read and never mapped: a mapped page that a disk cannot deliver ends the process, while a
read that fails can be told.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import zip_longest
from typing import cast

from blake3 import blake3

from contracts.errors import StoreError
from contracts.gates import counted
from contracts.refs import Digest, digest_bytes
from contracts.segments import BLOCK_BYTES
from resources.object_store import ObjectStore
from resources.segment_places import is_remote
from resources.table_reader import NOTHING

_TOGETHER_BYTES = 16 << 20
_TOGETHER_OBJECTS = 128
"""How much one task reads: many small objects, or one large."""
_LARGE_BYTES = 64 << 20
_LARGE_CHUNK_BYTES = 4 << 20
"""A large object without block digests is hashed by all processors, in pieces that are worth the handing over."""
_REMOTE_READERS = 16
"""A bucket answers slowly and many at once."""


@dataclass(frozen=True, slots=True)
class ExpectedObject:
    """An object, and what its bytes must be."""

    key: str
    digest: Digest
    size_bytes: int
    blocks: tuple[Digest, ...] | None = None
    """The digests of its consecutive `BLOCK_BYTES`; None: nobody noted them."""


@dataclass(frozen=True, slots=True)
class Altered:
    """An object that is not what it must be."""

    expected: ExpectedObject
    observed: str
    """Its digest now, `NOTHING`, or why it cannot be read."""


def readers_of(store: ObjectStore) -> int:
    """How many objects of a store are worth reading at once."""
    return _REMOTE_READERS if is_remote(store.url("any")) else max(4, os.cpu_count() or 1)


def reread(
    store: ObjectStore, expected: Iterable[ExpectedObject], *, done: Callable[[str, int], None] = lambda _key, _n: None
) -> Iterator[Altered]:
    """Read objects again.

    Args:
        store: Where they lie.
        expected: What is to be read, each key once.
        done: Called with the last key and the number of objects whenever some more are done.

    Yields:
        Those that are not what they must be, in any order.
    """
    # the largest first: at the end nobody waits for one that was begun last
    ordered = sorted(expected, key=lambda asked: -asked.size_bytes)
    pool = ThreadPoolExecutor(max_workers=readers_of(store), thread_name_prefix="reread")
    try:
        tasks = {pool.submit(_reread_some, store, some): some for some in _together(ordered)}
        for task in as_completed(tasks):
            some = tasks.pop(task)
            yield from task.result()
            done(some[-1].key, len(some))
    finally:
        pool.shutdown(cancel_futures=True)


def observed_of(store: ObjectStore, asked: ExpectedObject) -> str | None:
    """What an object is now, when it is not what it must be; None when it is."""
    try:
        if asked.size_bytes <= BLOCK_BYTES:
            return _small(store, asked)
        if asked.blocks is None:
            return _whole(store, asked)
        return _in_blocks(store, asked, asked.blocks)
    except KeyError:
        return NOTHING
    except (StoreError, OSError) as error:  # opening speaks of the store, reading on of the disk below it
        return f"it cannot be read: {str(error).partition(chr(10))[0]}"


def _together(ordered: Sequence[ExpectedObject]) -> Iterator[list[ExpectedObject]]:
    some: list[ExpectedObject] = []
    size = 0
    for asked in ordered:
        if some and (size + asked.size_bytes > _TOGETHER_BYTES or len(some) == _TOGETHER_OBJECTS):
            yield some
            some, size = [], 0
        some.append(asked)
        size += asked.size_bytes
    if some:
        yield some


def _reread_some(store: ObjectStore, some: Sequence[ExpectedObject]) -> list[Altered]:
    looked = ((asked, observed_of(store, asked)) for asked in some)
    return [Altered(asked, observed) for asked, observed in looked if observed is not None]


def _small(store: ObjectStore, asked: ExpectedObject) -> str | None:
    """An object that should be of one block at most, whose digest is that of the whole."""
    observed = digest_bytes(store.get(asked.key))
    if observed != asked.digest:
        return observed
    if asked.blocks is not None and asked.blocks != ((observed,) if asked.size_bytes else ()):
        return f"{observed}, of which its index has other blocks"
    return None


def _whole(store: ObjectStore, asked: ExpectedObject) -> str | None:
    large = asked.size_bytes >= _LARGE_BYTES
    hasher = blake3(max_threads=blake3.AUTO if large else 1)
    for piece in _pieces(store, asked.key, _LARGE_CHUNK_BYTES if large else BLOCK_BYTES):
        hasher.update(piece)
    observed = f"blake3:{hasher.hexdigest()}"
    return None if observed == asked.digest else observed


def _in_blocks(store: ObjectStore, asked: ExpectedObject, blocks: Sequence[Digest]) -> str | None:
    observed = tuple(digest_bytes(piece) for piece in _pieces(store, asked.key, BLOCK_BYTES))
    if observed == tuple(blocks):
        return None
    other = [number for number, pair in enumerate(zip_longest(observed, blocks)) if pair[0] != pair[1]]
    where = f"{counted(len(other), 'block')} of 1 MiB {'differs' if len(other) == 1 else 'differ'}, the first at byte"
    return f"{store.digest(asked.key)} ({where} {other[0] * BLOCK_BYTES:,})"


def _pieces(store: ObjectStore, key: str, size_bytes: int) -> Iterator[memoryview]:
    """An object in pieces of one size, the last one being what is left; each is gone when the next one is read."""
    buffer = memoryview(bytearray(size_bytes))
    with cast("io.BufferedIOBase", store.open(key)) as file:
        while count := file.readinto(buffer):
            yield buffer[:count]
