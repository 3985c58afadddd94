"""The object store in a bucket of S3, or of any server that speaks its protocol and honours `If-None-Match: *`.

The same promise as on local disk: of any number of writers exactly one creates a key. Each create carries a mark of
its own in the object's metadata, so that one whose answer was lost, or was a repetition's "it is there already", can
look whose object is there and say truly whether it is its own. Only S3's own "NoSuchKey" is absence.

A folder is not made at once here: its `index.json` comes last and makes it one. What is left of a writer that stopped
before that is found complete or verified, and used, by the next one. Objects get no access list: private is what a
bucket gives by itself.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast
from uuid import uuid4

from blake3 import blake3
from boto3.s3.transfer import TransferConfig

from contracts.errors import DigestMismatchError, StoreError, UnansweredError
from contracts.refs import Digest, digest_bytes
from resources.object_store import (
    FOLDER_INDEX,
    INCOMING,
    StoredObject,
    check_key,
    digest_of_file,
    refused_by_disk,
    sweep_folder,
    verified_url,
)
from resources.s3_bucket import CREATION, Bucket, Fetched, Refusal, Seen, incomplete
from resources.s3_file import LARGEST_READ_BYTES, S3File

PART_BYTES = 16 << 20
"""What is larger than one part is uploaded in parts, several at a time."""

MOST_PARTS = 10_000
LARGEST_PUT_BYTES = 5 << 30
"""S3's limits: how many parts an upload has, and what one PUT may hold."""

_SENDERS = 4
_PAUSES_S = (0.1, 0.5, 2.0)
"""How long to wait before a create is sent again that the server was too busy to decide."""

_COPYING = TransferConfig(multipart_threshold=1 << 30, multipart_chunksize=256 << 20, use_threads=False)

_LISTING = {"ContinuationToken": "NextContinuationToken"}
_UPLOADS = {"KeyMarker": "NextKeyMarker", "UploadIdMarker": "NextUploadIdMarker"}
"""How a listing goes on: what the next request says, and where the answer has it."""

_TRY_AGAIN = frozenset({409, 412})
"""Answers after which, when nothing is there, a create is worth sending again."""

T = TypeVar("T")
Send = Callable[[str], Refusal | None]
"""Sends a create that carries the given mark; None when the server confirmed it."""


class S3ObjectStore:
    """Objects below a prefix of a bucket; creation is a conditional PUT. Threads may share it; processes may not."""

    def __init__(self, client: Any, bucket: str, prefix: str, scratch: Path, *, part_bytes: int = PART_BYTES) -> None:
        """Open a store; nothing is asked of the server yet.

        Args:
            client: boto3's, with time limits: `s3_client.s3_client` or `s3_resource.LimitedS3Resource` make one.
            bucket: An existing bucket.
            prefix: What all keys start with, without a slash at its end; "" for the whole bucket.
            scratch: A local folder to stage in; made when it is first asked for.
            part_bytes: From which size on uploads go in parts, of this size; servers want 5 MiB at least.
        """
        if prefix:
            check_key(prefix)
        self._bucket = Bucket(client, bucket)
        self._prefix = f"{prefix}/" if prefix else ""
        self._scratch = scratch
        self._part_bytes = part_bytes

    @property
    def scratch(self) -> Path:
        """Where writers stage what they upload."""
        with _staged(INCOMING):
            self._scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._scratch

    @property
    def spill_folder(self) -> Path:
        """Where what does not fit in memory may go: the same local disk."""
        return self.scratch

    def uri(self, key: str) -> str:
        """The object as `s3://bucket/key`."""
        return f"s3://{self._bucket.name}/{self._key(key)}"

    def url(self, key: str) -> str:
        """The address under which `VerifiedFiles` hands the object to DuckDB."""
        return verified_url(f"{self._bucket.endpoint} {self._bucket.name} {self._prefix}", check_key(key))

    def get(self, key: str) -> bytes:
        """The object's bytes; KeyError when there is none."""
        return self._fetched(key, self._bucket.fetch(self._key(key))).data

    def read_range(self, key: str, start: int, length: int) -> bytes:
        """A part of the object; KeyError when there is none."""
        return self._read_range(key, start, length, etag="")

    def open(self, key: str) -> BinaryIO:
        """Open the object for reading; KeyError when there is none. Another object in its place is an error."""
        seen = self._seen(key)
        file = S3File(seen.size_bytes, lambda start, length: self._read_range(key, start, length, etag=seen.etag))
        return cast("BinaryIO", io.BufferedReader(file))

    def exists(self, key: str) -> bool:
        """Whether the key is there; a refusal by the server is not absence."""
        return self._look(key) is not None

    def size(self, key: str) -> int:
        """The object's size."""
        return self._seen(key).size_bytes

    def digest(self, key: str) -> Digest:
        """The digest of the object as it is stored now, read in a stream."""
        hasher = blake3()
        with self.open(key) as file:
            while chunk := file.read(LARGEST_READ_BYTES):
                hasher.update(chunk)
        return Digest(f"blake3:{hasher.hexdigest()}")

    def stamp(self, key: str) -> str:
        """Size, ETag, version and time: what is written again, even with the same bytes, is another object."""
        seen = self._seen(key)
        return f"{seen.size_bytes}:{seen.etag}:{seen.version}:{seen.modified.isoformat()}"

    def modified(self, key: str) -> dt.datetime:
        """When the server took the object in."""
        return self._seen(key).modified

    def now(self) -> dt.datetime:
        """The server's clock, in whole seconds."""
        return self._answered(self._bucket.clock(), "")

    def keys(self, prefix: str) -> list[str]:
        """The names directly below `prefix`, sorted."""
        below = self._below(prefix)
        names: set[str] = set()
        for page in self._pages("list_objects_v2", _LISTING, prefix, Delimiter="/"):
            names.update(item["Key"].removeprefix(below) for item in page.get("Contents", ()))
            names.update(
                item["Prefix"].removeprefix(below).removesuffix("/") for item in page.get("CommonPrefixes", ())
            )
        return sorted(name for name in names if name and (prefix or name != INCOMING))

    def walk(self, prefix: str) -> Iterator[str]:
        """Every key below `prefix`, sorted."""
        return (found.key for found in self.objects(prefix))

    def objects(self, prefix: str) -> Iterator[StoredObject]:
        """Every object below `prefix`, in the order in which S3 lists: that of the keys' bytes."""
        hidden = () if prefix else (f"{INCOMING}/",)
        for page in self._pages("list_objects_v2", _LISTING, prefix):
            for item in page.get("Contents", ()):
                key = item["Key"].removeprefix(self._prefix)
                # a name that ends in a slash is how consoles draw a folder: no object of ours
                if not key.endswith("/") and not key.startswith(hidden):
                    yield StoredObject(key, item["Size"], item["LastModified"].astimezone(dt.UTC))

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Create the object by one conditional PUT."""
        return self._create(key, digest_bytes(data), lambda mark: self._put(key, data, mark))

    def adopt_file(self, key: str, staged: Path) -> bool:
        """Upload a file, in parts when it is large, and read back what has arrived."""
        with _staged(key):
            digest = digest_of_file(staged)
            if not self._upload(key, staged, digest):
                return False
        self._require(key, digest)
        return True

    def adopt_folder(self, prefix: str, staged: Path) -> bool:
        """Upload a folder's files, each verified, and its index last. The staged folder stays."""
        index = f"{check_key(prefix)}/{FOLDER_INDEX}"
        if self.exists(index):
            return False
        with _staged(prefix):
            files = sorted(path for path in staged.rglob("*") if path.is_file() and path != staged / FOLDER_INDEX)
            for path in files:
                self._place(f"{prefix}/{path.relative_to(staged).as_posix()}", path)
        return self.adopt_file(index, staged / FOLDER_INDEX)

    def forget(self, key: str) -> None:
        """Remove an object; one that is gone already is no error."""
        answer = self._bucket.ask("delete_object", Key=self._key(key))
        if isinstance(answer, Refusal):
            if answer.code != "NoSuchKey":
                raise answer.error(key)
        elif answer["ResponseMetadata"]["HTTPStatusCode"] != 204 and self.exists(key):
            raise incomplete("delete_object").error(key)

    def put_aside(self, prefix: str) -> None:
        """Copy a damaged object, or all below a folder, to `damaged/` on the server, and remove it where it was.

        A folder's index goes last: as long as it is there, the folder counts as damaged and can be put aside again.
        """
        place = f"damaged/{uuid4().hex}"
        keys = [*([prefix] if self.exists(prefix) else []), *self.walk(prefix)]
        if not keys:
            msg = f"store object {prefix}: there is nothing to put aside. Somebody else was quicker: run it again."
            raise StoreError(msg, key=prefix)
        for key in sorted(keys, key=lambda key: key == f"{prefix}/{FOLDER_INDEX}"):
            source, copy = {"Bucket": self._bucket.name, "Key": self._key(key)}, f"{place}/{key}"
            self._answered(self._bucket.ask("copy", CopySource=source, Key=self._key(copy), Config=_COPYING), key)
            there = self._look(copy)
            if there is None or there.size_bytes != self._seen(key).size_bytes:
                raise incomplete("copy").error(key)
            self.forget(key)

    def sweep(self, before: dt.datetime) -> int:
        """Abort the uploads, and remove the staged objects and local files, of writers that never finished."""
        swept = sweep_folder(self.scratch, before)
        for page in self._pages("list_multipart_uploads", _UPLOADS, ""):
            for upload in page.get("Uploads", ()):
                if upload["Initiated"] < before:
                    self._abort(upload["Key"], upload["UploadId"])
                    swept += 1
        for found in self.objects(INCOMING):
            if found.modified < before:
                self.forget(found.key)
                swept += 1
        return swept

    def _key(self, key: str) -> str:
        return check_key(f"{self._prefix}{check_key(key)}")

    def _below(self, prefix: str) -> str:
        return f"{self._key(prefix)}/" if prefix else self._prefix

    def _look(self, key: str) -> Seen | None:
        """What is at `key`. A GET of one byte, because the answer to a HEAD cannot say that the bucket is missing."""
        found = self._bucket.fetch(self._key(key), (0, 0))
        if isinstance(found, Fetched):
            return found.seen
        if found.code == "NoSuchKey":
            return None
        if found.code != "InvalidRange":
            raise found.error(key)
        empty = self._bucket.head(self._key(key))  # an empty object has no first byte
        if isinstance(empty, Refusal) and empty.code == "404":
            return None
        return self._answered(empty, key)

    def _seen(self, key: str) -> Seen:
        seen = self._look(key)
        if seen is None:
            raise KeyError(key)
        return seen

    def _read_range(self, key: str, start: int, length: int, etag: str) -> bytes:
        if length <= 0:
            return b""
        found = self._bucket.fetch(self._key(key), (start, start + length - 1), etag)
        if isinstance(found, Refusal) and found.code == "InvalidRange":
            return b""
        # an object that was opened and is gone is not absent: something took it away from under a reader
        return self._answered(found, key).data if etag else self._fetched(key, found).data

    def _fetched(self, key: str, found: Fetched | Refusal) -> Fetched:
        if isinstance(found, Refusal) and found.code == "NoSuchKey":
            raise KeyError(key)
        return self._answered(found, key)

    @staticmethod
    def _answered(answer: T | Refusal, key: str) -> T:
        if isinstance(answer, Refusal):
            raise answer.error(key)
        return answer

    def _told(self, answer: dict[str, Any] | Refusal, name: str, operation: str, key: str) -> str:
        """What a success must tell; one that does not was none."""
        value: str = self._answered(answer, key).get(name, "")
        if not value:
            raise incomplete(operation).error(key)
        return value

    def _pages(self, operation: str, markers: dict[str, str], prefix: str, **wanted: str) -> Iterator[dict[str, Any]]:
        going_on: dict[str, str] = {}
        while True:
            answer = self._bucket.ask(operation, Prefix=self._below(prefix), **wanted, **going_on)
            page = self._answered(answer, prefix)
            if "IsTruncated" not in page:  # a page of a proxy, say: it must not pass for an empty listing
                raise incomplete(operation).error(prefix)
            yield page
            if not page["IsTruncated"]:
                return
            before, going_on = going_on, {ours: page.get(theirs, "") for ours, theirs in markers.items()}
            if going_on == before or not all(going_on.values()):
                raise incomplete(operation).error(prefix)

    def _create(self, key: str, digest: Digest, send: Send) -> bool:
        """Send a create until it is clear what became of it, a few times at most.

        Raises:
            StoreError: The server refused it, and nothing was created.
            UnansweredError: Nothing is there, and it cannot be excluded that it will be.
        """
        mark, problem, under_way = uuid4().hex, "", False
        for pause in (*_PAUSES_S, None):
            try:
                refusal = send(mark)
                if refusal is None:
                    return True
                if refusal.is_final:
                    raise refusal.error(key)
            except StoreError as error:
                if under_way:
                    raise UnansweredError(key=key, problem=f"{problem}, and then it failed otherwise") from error
                raise
            ours = self._is_ours(key, mark, digest, refusal)
            if ours is not None:
                return ours
            problem, under_way = refusal.problem, under_way or refusal.resent
            if pause is None or refusal.status not in _TRY_AGAIN:
                break
            time.sleep(pause)
        raise UnansweredError(key=key, problem=problem)

    def _is_ours(self, key: str, mark: str, digest: Digest, refusal: Refusal) -> bool | None:
        """Whose object is at `key`: this create's, somebody else's (False), or nobody's yet (None)."""
        try:
            seen = self._look(key)
            if seen is None:
                return None
            if seen.creation:
                return seen.creation == mark
            return self.digest(key) == digest  # a server that keeps no metadata: equal bytes are as good as ours
        except (StoreError, KeyError):
            problem = f"{refusal.problem}, and looking for it failed too"
            raise UnansweredError(key=key, problem=problem) from None

    def _put(self, key: str, body: bytes | BinaryIO, mark: str) -> Refusal | None:
        answer = self._bucket.ask(
            "put_object", Key=self._key(key), Body=body, IfNoneMatch="*", Metadata={CREATION: mark}
        )
        if isinstance(answer, Refusal):
            return answer
        return None if answer.get("ETag") else incomplete("put_object")

    def _upload(self, key: str, path: Path, digest: Digest) -> bool:
        """Create an object from a file; a large one only when nobody has it yet, to spare the way."""
        size = path.stat().st_size
        if size <= self._part_bytes:
            data = path.read_bytes()
            return self._create(key, digest, lambda mark: self._put(key, data, mark))
        if self.exists(key):
            return False
        if self._keeps_conditions_of_parts:
            return self._create(key, digest, lambda mark: self._put_parts(key, path, mark))
        if size > LARGEST_PUT_BYTES:
            msg = (
                f"store object {key}: {size:,} bytes are too many. This server ignores If-None-Match when an upload in "
                f"parts is completed, so hashgate uses none there, and one PUT holds {LARGEST_PUT_BYTES:,} bytes at "
                "most. Split the drop, or use a server that honours it."
            )
            raise StoreError(msg, key=key, size_bytes=size)
        return self._create(key, digest, lambda mark: self._put_streaming(key, path, mark))

    def _put_streaming(self, key: str, path: Path, mark: str) -> Refusal | None:
        with path.open("rb") as file:
            return self._put(key, file, mark)

    def _put_parts(self, key: str, path: Path, mark: str) -> Refusal | None:
        """Upload in parts; the create is the completion. Unless that went unanswered, nothing of it stays behind."""
        begun = self._bucket.ask("create_multipart_upload", Key=self._key(key), Metadata={CREATION: mark})
        upload = self._told(begun, "UploadId", "create_multipart_upload", key)
        parts = None
        try:
            parts = self._send_parts(key, path, upload)
        finally:
            if parts is None:
                self._abort(self._key(key), upload)
        answer = self._bucket.ask(
            "complete_multipart_upload",
            Key=self._key(key),
            UploadId=upload,
            MultipartUpload={"Parts": parts},
            IfNoneMatch="*",
        )
        if not isinstance(answer, Refusal):
            return None if answer.get("Key") else incomplete("complete_multipart_upload")
        if answer.is_final or answer.status in _TRY_AGAIN:
            self._abort(self._key(key), upload)
        return answer

    def _send_parts(self, key: str, path: Path, upload: str) -> list[dict[str, Any]]:
        size = path.stat().st_size
        step = max(self._part_bytes, -(-size // MOST_PARTS))

        def send(number: int) -> dict[str, Any]:
            with path.open("rb", buffering=0) as file:
                file.seek(number * step)
                part = file.read(step)
            answer = self._bucket.ask(
                "upload_part", Key=self._key(key), UploadId=upload, PartNumber=number + 1, Body=part
            )
            return {"PartNumber": number + 1, "ETag": self._told(answer, "ETag", "upload_part", key)}

        with ThreadPoolExecutor(_SENDERS) as senders:
            return list(senders.map(send, range(max(1, -(-size // step)))))

    def _abort(self, key: str, upload: str) -> None:
        """Give back what an upload holds. What this misses, a sweep finds."""
        self._bucket.ask("abort_multipart_upload", Key=key, UploadId=upload)

    def _place(self, key: str, path: Path) -> None:
        """Have a folder's file at its place: uploaded, or left there by a writer that stopped, whole or damaged."""
        digest = digest_of_file(path)
        if not self._upload(key, path, digest) and self.digest(key) != digest:
            self.put_aside(key)
            self._upload(key, path, digest)
        self._require(key, digest)

    def _require(self, key: str, digest: Digest) -> None:
        try:
            observed = self.digest(key)
        except KeyError:
            msg = f"store object {key}: it was created and is gone again. Somebody removed it: run it again."
            raise StoreError(msg, key=key) from None
        if observed != digest:
            raise DigestMismatchError(subject=self.uri(key), expected=digest, observed=observed)

    @cached_property
    def _keeps_conditions_of_parts(self) -> bool:
        """Whether the server refuses to complete an upload onto a key that is there; Ceph 16 does not, for one."""
        key, path = f"{INCOMING}/probe-{uuid4().hex}", self.scratch / f"probe-{uuid4().hex}"
        try:
            with _staged(key):
                path.write_bytes(b"probe")
            first, second = (self._put_parts(key, path, uuid4().hex) for _ in range(2))
        finally:
            path.unlink(missing_ok=True)
            with contextlib.suppress(StoreError):
                self.forget(key)
        for refusal in (first, second):
            if refusal is not None and refusal.status != 412:
                raise refusal.error(key)
        return first is None and second is not None


@contextlib.contextmanager
def _staged(key: str) -> Iterator[None]:
    """Local files are at work: what the disk refuses is told as such."""
    try:
        yield
    except OSError as error:
        raise refused_by_disk(key, error) from error
