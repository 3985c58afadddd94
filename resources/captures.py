"""Capture: drops become blobs before anything else looks at them, and the capture log says what arrived when.

The log is the ingest sequence: batches numbered without gaps, each created once. A file that changes while it is
copied is not captured; it waits for the next look.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from uuid import uuid4

from blake3 import blake3

from contracts.canonical import canonical_bytes, parse_json
from contracts.errors import DigestMismatchError, DropError, StoreError
from contracts.refs import BlobRef, Digest, digest_bytes, hex_of
from contracts.selection import CaptureBatch, CapturedDrop
from resources.drop_folder import FileStamp, ListedFile, open_drop
from resources.object_store import LocalObjectStore, digest_of_file, refused_by_disk

CHUNK_BYTES = 4 << 20
FLUSHED_AHEAD_BYTES = 32 << 20
"""A large copy goes to disk while it is still made, this much at a time: the last flush has little left to do."""


class DropChangedError(DropError):
    """The file was written to while it was captured."""

    def __init__(self, *, path: str) -> None:
        super().__init__(
            f"{path} changed while it was captured, so nothing was taken of it. "
            "It is taken when it rests; write elsewhere and move it into the drop folder when it is complete.",
            path=path,
        )


def blob_key(digest: Digest) -> str:
    """Where a blob lies: spread over two levels of 256 folders."""
    name = hex_of(digest)
    return f"blobs/{name[:2]}/{name[2:4]}/{name}"


@dataclass(frozen=True, slots=True)
class Captured:
    """A drop's content in the store, with the state of the file it was read from."""

    ref: BlobRef
    stamp: FileStamp


def put_blob(store: LocalObjectStore, data: bytes) -> BlobRef:
    """Keep bytes under their digest; having them already is the same."""
    digest = digest_bytes(data)
    store.put_if_absent(blob_key(digest), data)
    return BlobRef(digest=digest, size_bytes=len(data))


def get_blob(store: LocalObjectStore, digest: Digest) -> bytes:
    """Fetch a small blob and verify it; DigestMismatchError when it is not what it was."""
    data = store.get(blob_key(digest))
    observed = digest_bytes(data)
    if observed != digest:
        raise DigestMismatchError(subject=f"blob {digest}", expected=digest, observed=observed)
    return data


def capture_file(store: LocalObjectStore, listed: ListedFile) -> Captured:
    """Copy one drop into the store, hashing on the way, and read back what was written.

    Raises:
        DropChangedError: It changed under our eyes.
        DropError: It went away, became something else than a file, or cannot be read.
        StoreError: The store's disk is full or broken.
    """
    staged = store.path(f"incoming/{uuid4().hex}")
    try:
        before, digest, size = _copy(listed, staged)
        written = digest_of_file(staged)
        if written != digest:
            raise DigestMismatchError(subject=f"the copy of {listed.path}", expected=digest, observed=written)
        ref = BlobRef(digest=digest, size_bytes=size)
        if not store.adopt_file(blob_key(digest), staged) and digest_of_file(store.path(blob_key(digest))) != digest:
            store.put_aside(blob_key(digest))  # it was damaged: what has just come heals it
            store.adopt_file(blob_key(digest), staged)
        return Captured(ref, before)
    except OSError as error:
        copy = f"incoming copy of {listed.path}"
        raise refused_by_disk(copy, error) from error
    finally:
        with contextlib.suppress(OSError):
            staged.unlink(missing_ok=True)


def require_blob(store: LocalObjectStore, ref: BlobRef) -> Path:
    """Where a blob lies; StoreError when it is missing."""
    path = store.path(blob_key(ref.digest))
    if not path.exists():
        msg = f"blob {ref.digest} is missing from the store. Drop the file again, or restore the store from a backup."
        raise StoreError(msg, digest=ref.digest)
    return path


def check_blob(store: LocalObjectStore, ref: BlobRef) -> None:
    """Hash a blob where it lies.

    Raises:
        DigestMismatchError: It is not what was captured.
        StoreError: It is missing.
    """
    path = require_blob(store, ref)
    observed = digest_of_file(path)
    if observed != ref.digest:
        raise DigestMismatchError(subject=f"blob {ref.digest}", expected=ref.digest, observed=observed)


class CaptureLog:
    """The numbered batches `captures/<table>/<n>.json`."""

    def __init__(self, store: LocalObjectStore) -> None:
        self._store = store

    def append(self, table: str, sequence: int, drops: Sequence[CapturedDrop], now: dt.datetime) -> CaptureBatch | None:
        """Create batch `sequence`; None when somebody else was first, whose batch must be read before trying again."""
        batch = CaptureBatch(table=table, sequence=sequence, captured_at=now, drops=tuple(drops))
        created = self._store.put_if_absent(_batch_key(table, sequence), canonical_bytes(batch.model_dump(mode="json")))
        return batch if created else None

    def since(self, table: str, sequence: int) -> Iterator[CaptureBatch]:
        """The batches after `sequence`, in order, up to the first number that does not exist."""
        while True:
            sequence += 1
            try:
                data = self._store.get(_batch_key(table, sequence))
            except KeyError:
                return
            yield CaptureBatch.model_validate(parse_json(data))


def _batch_key(table: str, sequence: int) -> str:
    return f"captures/{table}/{sequence:08d}.json"


def _copy(listed: ListedFile, staged: Path) -> tuple[FileStamp, Digest, int]:
    hasher = blake3(max_threads=blake3.AUTO)
    try:
        descriptor = open_drop(listed)
    except OSError as error:
        msg = f"{listed.path}: {error.strerror}. Give this user access to it, or drop it again."
        raise DropError(msg, path=listed.path) from error
    try:
        before = FileStamp.of(os.fstat(descriptor))
        size = 0
        # one buffer for all chunks: a new one each would be zeroed each time
        buffer = memoryview(bytearray(min(CHUNK_BYTES, before.size_bytes + 1)))
        with staged.open("xb", buffering=0) as target, ThreadPoolExecutor(max_workers=1) as flusher:
            flushing: Future[None] | None = None
            while count := os.readv(descriptor, [buffer]):
                hasher.update(buffer[:count])
                _write_all(target, buffer[:count])
                size += count
                if size % FLUSHED_AHEAD_BYTES < count and (flushing is None or flushing.done()):
                    flushing = flusher.submit(os.fdatasync, target.fileno())
            if flushing is not None:
                flushing.result()
            os.fsync(target.fileno())
        if FileStamp.of(os.fstat(descriptor)) != before or size != before.size_bytes:
            raise DropChangedError(path=listed.path)
    finally:
        os.close(descriptor)
    return before, Digest(f"blake3:{hasher.hexdigest()}"), size


def _write_all(target: RawIOBase, data: memoryview) -> None:
    while data:
        data = data[target.write(data) or 0 :]
