"""Objects of any store as files that DuckDB and pyarrow read in parts, each part verified before it is handed out.

An fsspec file system of the protocol `hashgate`. It opens only what was registered before, with its size and the
digests of its blocks, as the segment's index has them; everything else does not exist for it. A read fetches the
blocks it touches, neighbours in one request, and gives out no byte of one whose digest is another: so a query streams
from a bucket, reads only what it needs, and still never sees an altered byte. It writes nothing and lists nothing.

DuckDB reads one file from several threads by a `seek` and a `read` that another thread's may come between: the
position of a file is each thread's own. With pyarrow, open a file here and give it to `ParquetFile`. What reads through
the file system in pyarrow's own threads (`read_table(filesystem=)`, datasets) gives the right rows, but its threads may
abort the process when it ends (https://github.com/apache/arrow/issues/50482).
"""

from __future__ import annotations

import datetime as dt
import errno
import io
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
from fsspec import AbstractFileSystem

from contracts.errors import DigestMismatchError, HashgateError, StoreError
from contracts.refs import Digest, digest_bytes, hex_of
from contracts.segments import BLOCK_BYTES
from resources.object_store import VERIFIED_PROTOCOL, ObjectStore, verified_url

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CACHE_BYTES = 64 << 20
"""How much of what was verified is kept for the next read: Parquet's ends and the blocks where columns meet."""

_NEVER = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
"""When a registered file was changed: its content is fixed, so whoever caches it by this time is right."""


@dataclass(frozen=True, slots=True)
class RegisteredFile:
    """What may be opened, and what its bytes must be."""

    store: ObjectStore
    key: str
    size_bytes: int
    blocks: bytes
    """The blocks' digests, 32 bytes each: a terabyte's take 32 MB."""

    def digest(self, number: int) -> Digest:
        """The digest of a block, counted from 0."""
        return Digest(f"blake3:{self.blocks[32 * number : 32 * number + 32].hex()}")

    def read_blocks(self, first: int, last: int) -> list[memoryview]:
        """Fetch consecutive blocks in one request.

        Raises:
            DigestMismatchError: One of them is not what was registered.
            StoreError: The object is missing, or the store refused.
        """
        start = first * BLOCK_BYTES
        length = min((last + 1) * BLOCK_BYTES, self.size_bytes) - start
        try:
            data = memoryview(self.store.read_range(self.key, start, length))
        except KeyError:
            msg = f"{self.key} is missing. Restore the store, or ingest the partition again with --force."
            raise StoreError(msg, key=self.key) from None
        blocks = [data[at : at + BLOCK_BYTES] for at in range(0, (last - first + 1) * BLOCK_BYTES, BLOCK_BYTES)]
        for number, block in enumerate(blocks, first):
            observed = digest_bytes(block)
            if observed != self.digest(number):
                subject = f"block {number} of {self.key}"
                raise DigestMismatchError(subject=subject, expected=self.digest(number), observed=observed)
        return blocks


class VerifiedFiles(AbstractFileSystem):  # type: ignore[misc] # fsspec ships no types
    """The file system. One instance may serve all connections and threads of a process."""

    protocol = VERIFIED_PROTOCOL
    cachable = False  # fsspec would make every instance the same one

    def __init__(self, cache_bytes: int = CACHE_BYTES) -> None:
        super().__init__()
        self._files: dict[str, tuple[RegisteredFile, int]] = {}
        self._refusals: dict[str, tuple[float, HashgateError]] = {}
        self._kept: OrderedDict[Digest, bytes] = OrderedDict()
        self._kept_bytes = 0
        self._cache_bytes = cache_bytes
        self._fetching: dict[tuple[str, int, Digest], Future[memoryview]] = {}
        self._lock = threading.Lock()

    def attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Let a DuckDB database read the registered files; its other connections may have attached already."""
        if VERIFIED_PROTOCOL not in connection.list_filesystems():
            connection.register_filesystem(self)

    def register(self, store: ObjectStore, key: str, size_bytes: int, blocks: Sequence[Digest]) -> str:
        """Allow an object to be read, until `unregister` was called as often as this.

        Args:
            store: Where it lies.
            key: Its key.
            size_bytes: Its size.
            blocks: The digests of its consecutive `BLOCK_BYTES`, the last block being what is left.

        Returns:
            The address to open it by.

        Raises:
            StoreError: The digests are not as many as the size has blocks, or it is registered with others.
        """
        file = RegisteredFile(store, key, size_bytes, bytes.fromhex("".join(hex_of(digest) for digest in blocks)))
        if len(file.blocks) != 32 * -(-size_bytes // BLOCK_BYTES):
            msg = f"{key}: {len(blocks)} block digests do not cover {size_bytes:,} bytes. Ingest the partition again."
            raise StoreError(msg, key=key, size_bytes=size_bytes, blocks=len(blocks))
        address = store.url(key)
        if not address.startswith(f"{VERIFIED_PROTOCOL}://"):
            address = verified_url(store.uri(key), key)
        with self._lock:
            known, times = self._files.get(address, (file, 0))
            if (known.size_bytes, known.blocks) != (size_bytes, file.blocks):
                msg = f"{key} is being read as another file under the same name. Close what reads it and ask again."
                raise StoreError(msg, key=key)
            self._files[address] = (file, times + 1)
        return address

    def unregister(self, address: str) -> None:
        """Take back one `register`; after the last one nothing is known of the file any more."""
        with self._lock:
            file, times = self._files[address]
            if times > 1:
                self._files[address] = (file, times - 1)
                return
            del self._files[address]
            self._refusals.pop(address, None)

    @contextmanager
    def telling_why(self, addresses: Sequence[str]) -> Iterator[None]:
        """Within it, what failed because a file was refused raises that file's error, not DuckDB's or Arrow's.

        DuckDB turns whatever a file system raises into an error of its own that holds a stack trace as text.
        """
        began = time.monotonic()
        try:
            yield
        except (duckdb.Error, pa.ArrowException, OSError):
            refusals = [self._refusals[name] for name in addresses if name in self._refusals]
            refusal = next((error for at, error in refusals if at >= began), None)
            if refusal is None:
                raise
            raise refusal from None

    def open(self, path: str, mode: str = "rb", **_: Any) -> VerifiedFile:
        """Open a registered file for reading."""
        if mode != "rb":
            msg = f"{path}: opened with mode {mode!r}, but published files are read only."
            raise PermissionError(msg)
        address = _address(path)
        return VerifiedFile(self, address, self._registered(address))

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """What is known of a registered file."""
        address = _address(path)
        file = self._registered(address)
        return {"name": address, "size": file.size_bytes, "type": "file", "mtime": _NEVER}

    def glob(self, path: str, **_: Any) -> list[str]:
        """The file itself: an address is no pattern."""
        return [path] if self.exists(path) else []

    def exists(self, path: str, **_: Any) -> bool:
        """Whether it is registered."""
        return _address(path) in self._files

    def modified(self, path: str) -> dt.datetime:
        """Always the same: content does not change."""
        self._registered(_address(path))
        return _NEVER

    def read_verified(self, address: str, file: RegisteredFile, start: int, length: int) -> bytes:
        """Verified bytes of a registered file, fewer at its end."""
        end = min(start + length, file.size_bytes)
        if start >= end:
            return b""
        first, last = start // BLOCK_BYTES, (end - 1) // BLOCK_BYTES
        try:
            blocks = self._blocks(address, file, first, last)
        except HashgateError as error:
            self._refusals[address] = (time.monotonic(), error)
            raise
        blocks[-1] = blocks[-1][: end - last * BLOCK_BYTES]
        blocks[0] = blocks[0][start - first * BLOCK_BYTES :]
        return b"".join(blocks)

    def _registered(self, address: str) -> RegisteredFile:
        if address not in self._files:
            raise FileNotFoundError(errno.ENOENT, "not registered for reading", address)
        return self._files[address][0]

    def _blocks(self, address: str, file: RegisteredFile, first: int, last: int) -> list[memoryview]:
        """The blocks of a range: kept from before, on their way to another thread, or fetched now."""
        due: list[memoryview | Future[memoryview]] = []
        mine: dict[int, Future[memoryview]] = {}
        with self._lock:
            for number in range(first, last + 1):
                digest = file.digest(number)
                name = (address, number, digest)
                if (kept := self._kept.get(digest)) is not None:
                    self._kept.move_to_end(digest)
                    due.append(memoryview(kept))
                elif name in self._fetching:
                    due.append(self._fetching[name])
                else:
                    mine[number] = self._fetching[name] = Future()
                    due.append(mine[number])
        self._fetch(address, file, mine)
        return [block.result() if isinstance(block, Future) else block for block in due]

    def _fetch(self, address: str, file: RegisteredFile, mine: Mapping[int, Future[memoryview]]) -> None:
        """Fetch blocks for everybody who waits for one; an error is theirs, too."""
        failure: HashgateError = StoreError(f"{file.key}: reading it was interrupted. Ask again.", key=file.key)
        try:
            for first, last in _runs(mine):
                for number, block in enumerate(file.read_blocks(first, last), first):
                    self._keep(file.digest(number), block)
                    mine[number].set_result(block)
        except HashgateError as error:
            failure = error
            raise
        finally:
            for number, awaited in mine.items():
                if not awaited.done():
                    awaited.set_exception(failure)
                with self._lock:
                    del self._fetching[address, number, file.digest(number)]

    def _keep(self, digest: Digest, block: memoryview) -> None:
        """Keep a block under its digest, whatever file it is of, and let go of those that were not used for longest."""
        with self._lock:
            if digest not in self._kept:
                self._kept[digest] = bytes(block)
                self._kept_bytes += len(block)
            while self._kept_bytes > self._cache_bytes:
                self._kept_bytes -= len(self._kept.popitem(last=False)[1])


class VerifiedFile(io.RawIOBase):
    """A registered file, open for reading. Each thread has its own position, which starts at 0."""

    def __init__(self, files: VerifiedFiles, address: str, file: RegisteredFile) -> None:
        super().__init__()
        self._files, self._address, self._file = files, address, file
        self._own = threading.local()

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Where this thread's next read starts."""
        position: int = getattr(self._own, "position", 0)
        return position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place for this thread's next read; beyond the end nothing is read."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self._file.size_bytes}[whence]
        if start + offset < 0:
            msg = f"seek to {start + offset}, before the start"
            raise ValueError(msg)
        self._own.position = start + offset
        return start + offset

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to that many bytes, or all that is left; fewer only at the end."""
        start = self.tell()
        length = self._file.size_bytes - start if size is None or size < 0 else size
        data = self._files.read_verified(self._address, self._file, start, length)
        self._own.position = start + len(data)
        return data

    def readall(self) -> bytes:
        """All that is left."""
        return self.read()

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill a buffer as far as there is something left."""
        target = memoryview(buffer).cast("B")
        data = self.read(len(target))
        target[: len(data)] = data
        return len(data)


def _address(path: str) -> str:
    """The address, also where pyarrow has cut the protocol off."""
    start = f"{VERIFIED_PROTOCOL}://"
    return path if path.startswith(start) else f"{start}{path.lstrip('/')}"


def _runs(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Ascending numbers as runs without gaps, each as its first and last."""
    first = last = -1
    for number in numbers:
        if number != last + 1 or first < 0:
            if first >= 0:
                yield first, last
            first = number
        last = number
    if first >= 0:
        yield first, last
