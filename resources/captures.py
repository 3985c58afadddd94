"""Capture: drops become blobs before anything else looks at them, and the capture log says what arrived when.

The log is the ingest sequence, and the record of what arrived: a chain of batches, each created once, verified
whenever it is read. A file that changes while it is copied is not captured; it waits for the next look. Content that a
person withdrew is not taken again.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import hashlib
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from blake3 import blake3

from contracts.collection import free_place, in_order
from contracts.errors import DigestMismatchError, DropError, StoreError
from contracts.refs import BlobRef, Digest, digest_bytes, hex_of
from contracts.selection import CaptureBatch, CapturedDrop, Decision
from resources.document_chain import DocumentChain
from resources.doomed_lists import doomed_names
from resources.drop_folder import FileStamp, ListedFile, open_drop
from resources.object_store import ObjectStore, digest_of_file, refused_by_disk

CHUNK_BYTES = 4 << 20
FLUSHED_AHEAD_BYTES = 32 << 20
"""A large copy goes to disk while it is still made, this much at a time: the last flush has little left to do."""

_COPY = "capture-"


class DropChangedError(DropError):
    """The file was written to while it was captured."""

    def __init__(self, *, path: str) -> None:
        super().__init__(
            f"{path} changed while it was captured, so nothing was taken of it. "
            "It is taken when it rests; write elsewhere and move it into the drop folder when it is complete.",
            path=path,
        )


class WithdrawnError(DropError):
    """The file holds what somebody decided to forget."""

    def __init__(self, *, path: str, digest: Digest) -> None:
        super().__init__(
            f"{path} holds content that was withdrawn ({digest}), so it was not taken. Remove the file, or drop "
            "other content in its place; `hashgate forget --undo` takes the withdrawal back.",
            path=path,
            digest=digest,
        )


class StatedDigestError(DropError):
    """A file is not what was stated before it was captured, by the gates that let it through."""

    def __init__(self, *, path: str, expected: str, observed: str) -> None:
        super().__init__(
            f"{path}: its gates saw SHA-256 {expected}, and it has {observed} now, so nothing was taken. "
            "Somebody wrote to the run root after the run was READY: quarantine the run, and submit the work anew.",
            path=path,
            expected=expected,
            observed=observed,
        )


def blob_key(digest: Digest) -> str:
    """Where a blob lies, unless that place is doomed: spread over two levels of 256 folders."""
    name = hex_of(digest)
    return f"blobs/{name[:2]}/{name[2:4]}/{name}"


@dataclass(frozen=True, slots=True)
class Captured:
    """A drop's content in the store, with the state of the file it was read from."""

    ref: BlobRef
    stamp: FileStamp
    key: str
    """Where it lies."""


def put_blob(store: ObjectStore, data: bytes) -> BlobRef:
    """Keep bytes under their digest; having them already is the same. What was damaged is healed."""
    digest = digest_bytes(data)
    key = free_place(blob_key(digest), doomed_names(store))
    if not store.put_if_absent(key, data) and digest_bytes(store.get(key)) != digest:
        store.put_aside(key)
        store.put_if_absent(key, data)
    return BlobRef(digest=digest, size_bytes=len(data))


def open_blob(store: ObjectStore, digest: Digest) -> BinaryIO:
    """Open a blob wherever it lies, for reading; nothing of it is verified.

    Raises:
        StoreError: It is missing.
    """
    for key in _places(store, digest):
        with contextlib.suppress(KeyError):
            return store.open(key)
    raise _missing(digest)


def get_blob(store: ObjectStore, digest: Digest) -> bytes:
    """Fetch a small blob and verify it.

    Raises:
        DigestMismatchError: It is not what it was.
        StoreError: It is missing.
    """
    with open_blob(store, digest) as file:
        data = file.read()
    observed = digest_bytes(data)
    if observed != digest:
        raise DigestMismatchError(subject=f"blob {digest}", expected=digest, observed=observed)
    return data


def capture_file(
    store: ObjectStore,
    listed: ListedFile,
    *,
    doomed: Collection[str] | None = None,
    withdrawn: Collection[Digest] = (),
) -> Captured:
    """Copy one drop into the store, hashing on the way, and read back what was written.

    Args:
        store: Where to.
        listed: The file.
        doomed: Names in the store not to rely on (default: looked up).
        withdrawn: Content that is not taken.

    Raises:
        DropChangedError: It changed under our eyes.
        WithdrawnError: Somebody decided to forget its content.
        DropError: It went away, became something else than a file, or cannot be read.
        StoreError: The store's disk is full or broken.
    """
    names = doomed_names(store) if doomed is None else doomed
    try:
        with _own_copy(store.scratch) as staged:
            before, digest, size = _copy(listed, staged)
            if digest in withdrawn:
                raise WithdrawnError(path=listed.path, digest=digest)
            key = _adopt(store, staged, digest, names, listed.path)
            return Captured(BlobRef(digest=digest, size_bytes=size), before, key)
    except OSError as error:
        copy = f"incoming copy of {listed.path}"
        raise refused_by_disk(copy, error) from error


def capture_stream(
    store: ObjectStore,
    path: str,
    source: BinaryIO,
    *,
    sha256: str,
    doomed: Collection[str],
    withdrawn: Collection[Digest],
) -> tuple[BlobRef, str]:
    """Copy content that a digest was stated for before, hashing on the way, and read back what was written.

    Args:
        store: Where to.
        path: What to call it.
        source: Read to its end.
        sha256: What its SHA-256 must be, in hex.
        doomed: Names in the store not to rely on.
        withdrawn: Content that is not taken.

    Returns:
        The content, and where it lies.

    Raises:
        StatedDigestError: It is not what was stated.
        WithdrawnError: Somebody decided to forget its content.
        StoreError: The store's disk is full or broken.
    """
    own, stated, size = blake3(), hashlib.sha256(), 0
    try:
        with _own_copy(store.scratch) as staged:
            with staged.open("r+b", buffering=0) as target:
                while chunk := source.read(CHUNK_BYTES):
                    own.update(chunk)
                    stated.update(chunk)
                    _write_all(target, memoryview(chunk))
                    size += len(chunk)
                os.fsync(target.fileno())
            if stated.hexdigest() != sha256:
                raise StatedDigestError(path=path, expected=sha256, observed=stated.hexdigest())
            digest = Digest(f"blake3:{own.hexdigest()}")
            if digest in withdrawn:
                raise WithdrawnError(path=path, digest=digest)
            return BlobRef(digest=digest, size_bytes=size), _adopt(store, staged, digest, doomed, path)
    except OSError as error:
        copy = f"incoming copy of {path}"
        raise refused_by_disk(copy, error) from error


def sweep_copies(scratch: Path) -> int:
    """Remove the copies of captures whose process is dead; says how many. The kernel knows: it keeps their locks."""
    swept = 0
    for path in scratch.glob(f"{_COPY}*"):
        with contextlib.suppress(OSError):
            if _is_left(path):
                path.unlink()
                swept += 1
    return swept


def find_blob(store: ObjectStore, digest: Digest) -> str:
    """Where a blob lies.

    Raises:
        StoreError: It is missing.
    """
    for key in _places(store, digest):
        if store.exists(key):
            return key
    raise _missing(digest)


def secure_blob(store: ObjectStore, digest: Digest) -> None:
    """Have a blob where no collector is about to remove it: for whoever is going to name it.

    Raises:
        DigestMismatchError: It is not what it was.
        StoreError: It is missing.
    """
    doomed = doomed_names(store)
    if any(key not in doomed and store.exists(key) for key in _places(store, digest)):
        return
    copy = store.scratch / uuid4().hex
    try:
        with open_blob(store, digest) as source, copy.open("xb") as target:
            shutil.copyfileobj(source, target, CHUNK_BYTES)
            target.flush()
            os.fsync(target.fileno())
        observed = digest_of_file(copy)
        if observed != digest:
            raise DigestMismatchError(subject=f"blob {digest}", expected=digest, observed=observed)
        store.adopt_file(free_place(blob_key(digest), doomed), copy)
    except OSError as error:
        raise refused_by_disk(blob_key(digest), error) from error
    finally:
        with contextlib.suppress(OSError):
            copy.unlink(missing_ok=True)


def require_blob(store: ObjectStore, ref: BlobRef) -> None:
    """StoreError when a blob is missing."""
    find_blob(store, ref.digest)


def check_blob(store: ObjectStore, ref: BlobRef) -> None:
    """Hash a blob where it lies.

    Raises:
        DigestMismatchError: It is not what was captured.
        StoreError: It is missing.
    """
    observed = store.digest(find_blob(store, ref.digest))
    if observed != ref.digest:
        raise DigestMismatchError(subject=f"blob {ref.digest}", expected=ref.digest, observed=observed)


def put_damaged_aside(store: ObjectStore, refs: Iterable[BlobRef]) -> None:
    """Read blobs again, and move those that are not what was captured to where nobody reads them.

    Raises:
        DigestMismatchError: At least one was moved; it has to be dropped again.
    """
    damaged: DigestMismatchError | None = None
    for ref in refs:
        for key in _places(store, ref.digest):
            try:
                observed = store.digest(key)
            except KeyError:
                continue
            if observed != ref.digest:
                store.put_aside(key)
                damaged = DigestMismatchError(subject=f"drop {key}", expected=ref.digest, observed=observed)
    if damaged is not None:
        raise damaged


class CaptureLog:
    """The chains `captures/<table>/<n>.json`, one a table."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def chain(self, table: str) -> DocumentChain[CaptureBatch]:
        """The batches of a table."""
        way_back = (
            "It is the record of what arrived: restore the object from a backup of the store. Until then nothing is "
            "captured for the table; what is published stays readable."
        )
        return DocumentChain(self._store, f"captures/{table}", CaptureBatch, about={"table": table}, way_back=way_back)

    def append(
        self,
        table: str,
        sequence: int,
        drops: Sequence[CapturedDrop],
        now: dt.datetime,
        decision: Decision | None = None,
    ) -> CaptureBatch | None:
        """Create batch `sequence`; None when somebody else was first, whose batch must be read before trying again.

        Raises:
            ChainError: The batch before it is not what was written.
        """

        def batch(parent: Digest | None) -> CaptureBatch:
            return CaptureBatch(
                table=table, sequence=sequence, parent=parent, captured_at=now, drops=tuple(drops), decision=decision
            )

        return self.chain(table).append(sequence, batch)

    def since(self, table: str, sequence: int) -> Iterator[CaptureBatch]:
        """The batches after `sequence`, in order.

        Raises:
            ChainError: One is missing, altered, or does not follow the one before it.
        """
        return self.chain(table).after(sequence)


def _places(store: ObjectStore, digest: Digest) -> Iterator[str]:
    """Where a blob may lie, the likeliest place first; whoever looks at one place only pays for one."""
    key = blob_key(digest)
    yield key
    folder, _, name = key.rpartition("/")
    yield from (f"{folder}/{copy}" for copy in in_order(name, store.keys(folder)))


def _missing(digest: Digest) -> StoreError:
    msg = f"blob {digest} is missing from the store. Drop the file again, or restore the store from a backup."
    return StoreError(msg, digest=digest)


@contextlib.contextmanager
def _own_copy(scratch: Path) -> Iterator[Path]:
    """An empty file that goes at the end; until then it is locked, as long as this process lives."""
    name = uuid4().hex
    path, unlocked = scratch / f"{_COPY}{name}", scratch / name
    descriptor = os.open(unlocked, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        unlocked.rename(path)  # whoever finds it under its name finds it locked
        yield path
    finally:
        with contextlib.suppress(OSError):
            unlocked.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
        os.close(descriptor)


def _is_left(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _adopt(store: ObjectStore, staged: Path, digest: Digest, doomed: Collection[str], path: str) -> str:
    """Make a copy the blob of its digest, once it was read back; says where it lies."""
    written = digest_of_file(staged)
    if written != digest:
        raise DigestMismatchError(subject=f"the copy of {path}", expected=digest, observed=written)
    key = free_place(blob_key(digest), doomed)
    if not store.adopt_file(key, staged) and store.digest(key) != digest:
        store.put_aside(key)  # it was damaged: what has just come heals it
        store.adopt_file(key, staged)
    return key


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
        with staged.open("r+b", buffering=0) as target, ThreadPoolExecutor(max_workers=1) as flusher:
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
