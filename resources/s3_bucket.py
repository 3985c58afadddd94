"""One bucket's requests: an answer, or a refusal as a value, told apart as finely as what follows from them differs.

What a refusal means for an object (absent, somebody else's, unknown) is the store's business; here is only what the
server said, and how a person mends it. The text of a server or of botocore never gets into an error: it may quote an
address, a header or a key.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from contracts.errors import StoreError

CREATION = "hashgate-creation"
"""Metadata on every object: the create that made it. One whose answer was lost knows its object when it sees it."""

_READ_ATTEMPTS = 3
_UNDECIDED = frozenset({408, 409, 412, 429})
"""Answers below 500 that do not say that the request was without effect for good."""

_NEVER_SENT = frozenset({"NoCredentialsError", "PartialCredentialsError", "ParamValidationError"})
_NO_ANSWER = (BotoCoreError, ResponseParserError, HTTPError)
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")

_FIXES = {
    "NoSuchBucket": "The bucket does not exist: create it, or correct HASHGATE_STORE.",
    "NoCredentialsError": "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
    "PartialCredentialsError": "Set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
    "InvalidAccessKeyId": "Check AWS_ACCESS_KEY_ID.",
    "SignatureDoesNotMatch": "Check AWS_SECRET_ACCESS_KEY.",
    "ExpiredToken": "Renew the credentials (AWS_SESSION_TOKEN).",
    "InvalidToken": "Check AWS_SESSION_TOKEN.",
    "RequestTimeTooSkewed": "Set this machine's clock.",
    "PermanentRedirect": "Set AWS_DEFAULT_REGION to the bucket's region.",
    "AuthorizationHeaderMalformed": "Set AWS_DEFAULT_REGION to the bucket's region.",
    "EndpointConnectionError": "Check AWS_ENDPOINT_URL_S3 (or AWS_ENDPOINT_URL) and that the server runs.",
    "ConnectTimeoutError": "Check AWS_ENDPOINT_URL_S3 (or AWS_ENDPOINT_URL) and that the server runs.",
    "EntityTooLarge": "The server takes no object of that size.",
    "QuotaExceeded": "The server's space or quota is used up: get more, and run it again.",
    "PreconditionFailed": "It changed while it was used: run it again.",
}
_DENIED = (
    "Give these credentials s3:GetObject, s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload on the bucket's "
    "objects, and s3:ListBucket and s3:ListBucketMultipartUploads on the bucket."
)
_UNWELL = "The server is down or overloaded: run it again when it answers."
_OTHER = "See the server's log for the reason."


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that did not succeed."""

    operation: str
    code: str
    """S3's error code, or the name of botocore's exception when there was no answer."""
    status: int | None
    """HTTP's status; None when there was no answer."""
    resent: bool
    """Whether this is the answer to a repetition: then the first one may have had an effect."""

    @property
    def is_final(self) -> bool:
        """Whether the server (or this side) said that nothing was done and nothing will come of it."""
        if self.status is None:
            return self.code in _NEVER_SENT
        return 300 <= self.status < 500 and self.status not in _UNDECIDED and not self.resent

    @property
    def problem(self) -> str:
        """What happened, in words."""
        if self.status is None:
            return f"{self.operation} got no answer ({self.code})"
        return f"{self.operation} was refused ({self.code}, HTTP {self.status})"

    @property
    def fix(self) -> str:
        """What a person can do about it."""
        if self.code in _FIXES:
            return _FIXES[self.code]
        if self.status in {401, 403}:
            return _DENIED
        return _UNWELL if self.status is None or self.status >= 500 else _OTHER

    def error(self, key: str) -> StoreError:
        """The error for whoever wanted the object at `key`."""
        return StoreError(
            f"store object {key}: {self.problem}. {self.fix}",
            key=key,
            operation=self.operation,
            code=self.code,
            status=self.status,
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """An object as an answer describes it."""

    size_bytes: int
    etag: str
    version: str
    modified: dt.datetime
    creation: str
    """The mark of the create that made it; empty when the server keeps none, or something else wrote it."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """Bytes that arrived whole, and the object that they are of."""

    data: bytes
    seen: Seen


class Bucket:
    """A bucket on a client. Threads may share it; processes may not."""

    def __init__(self, client: Any, name: str) -> None:
        self.name = name
        self.endpoint: str = client.meta.endpoint_url
        self._client = client

    def ask(self, operation: str, **parameters: Any) -> dict[str, Any] | Refusal:
        """Make one request; nothing is raised."""
        try:
            answer: dict[str, Any] = getattr(self._client, operation)(Bucket=self.name, **parameters)
        except ClientError as error:
            details = error.response.get("ResponseMetadata", {})
            status, resent = details.get("HTTPStatusCode"), details.get("RetryAttempts", 0) > 0
            return Refusal(operation, str(error.response.get("Error", {}).get("Code", "")), status, resent)
        except _NO_ANSWER as error:
            return Refusal(operation, type(error).__name__, None, resent=True)
        return answer or {}

    def fetch(self, key: str, span: tuple[int, int] | None = None, etag: str = "") -> Fetched | Refusal:
        """Get an object or, with `span`, its bytes from first to last; with `etag`, only as long as it is that one."""
        wanted = {"Range": f"bytes={span[0]}-{span[1]}"} if span else {}
        condition = {"IfMatch": etag} if etag else {}
        for _ in range(_READ_ATTEMPTS):
            answer = self.ask("get_object", Key=key, **wanted, **condition)
            if isinstance(answer, Refusal):
                return answer
            fetched = _read(answer, span)
            if isinstance(fetched, Fetched):
                break
        return fetched

    def head(self, key: str) -> Seen | Refusal:
        """Look at an object without its bytes. A missing one and a missing bucket look the same here (`404`)."""
        answer = self.ask("head_object", Key=key)
        return answer if isinstance(answer, Refusal) else _seen(answer) or incomplete("head_object")

    def clock(self) -> dt.datetime | Refusal:
        """The server's time, aware."""
        answer = self.ask("list_objects_v2", MaxKeys=1)
        if isinstance(answer, Refusal):
            return answer
        try:
            return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        except (KeyError, ValueError):
            return incomplete("list_objects_v2")


def incomplete(operation: str) -> Refusal:
    """What a success is worth that lacks what S3 answers: a proxy's page, perhaps. Nothing follows from it."""
    return Refusal(operation, "IncompleteAnswer", None, resent=True)


def _read(answer: Mapping[str, Any], span: tuple[int, int] | None) -> Fetched | Refusal:
    seen = _seen(answer)
    if seen is None:
        return incomplete("get_object")
    try:
        with answer["Body"] as body:
            data: bytes = body.read()
    except _NO_ANSWER as error:
        return Refusal("get_object", type(error).__name__, None, resent=True)
    part = _RANGE.fullmatch(answer.get("ContentRange", ""))
    first, last = span or (0, seen.size_bytes - 1)
    if (int(part[1]) if part else 0, len(data)) != (first, min(last + 1, seen.size_bytes) - first):
        return incomplete("get_object")
    return Fetched(data, seen)


def _seen(answer: Mapping[str, Any]) -> Seen | None:
    """An object from the answer to a GET or HEAD, of a part or of the whole; None when it says too little."""
    if not {"ContentLength", "LastModified", "ETag"} <= answer.keys():
        return None
    part = _RANGE.fullmatch(answer.get("ContentRange", ""))
    return Seen(
        size_bytes=int(part[3]) if part else answer["ContentLength"],
        etag=answer["ETag"],
        version=answer.get("VersionId", ""),
        modified=answer["LastModified"].astimezone(dt.UTC),
        creation=answer.get("Metadata", {}).get(CREATION, ""),
    )
