"""Names made of content: digests, references to bytes, and recipes ("views") whose key is a digest.

A reference never carries a path, a URL, a row id, a permission or a state: two machines that hold the same bytes
or follow the same recipe arrive at the same name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NewType, Self

from blake3 import blake3
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from contracts.canonical import canonical_bytes

Digest = NewType("Digest", str)
"""`blake3:` and 64 lower-case hex digits."""

_DIGEST = re.compile(r"blake3:[0-9a-f]{64}")


def parse_digest(text: str) -> Digest:
    """Read a digest, or raise ValueError."""
    if not _DIGEST.fullmatch(text):
        msg = f"{text!r} is not a digest: expected blake3: and 64 lower-case hex digits"
        raise ValueError(msg)
    return Digest(text)


def digest_bytes(data: bytes | memoryview) -> Digest:
    """The digest of bytes as they are."""
    return Digest(f"blake3:{blake3(data).hexdigest()}")


def digest_json(value: Any) -> Digest:
    """The digest of a value's canonical JSON."""
    return digest_bytes(canonical_bytes(value))


def hex_of(digest: Digest) -> str:
    """The hex digits alone, for places (file names) where a colon is unwelcome."""
    return digest.partition(":")[2]


class Frozen(BaseModel):
    """A document or a part of one: immutable, and strict about what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class BlobRef(Frozen):
    """Bytes by digest."""

    kind: Literal["blob"] = "blob"
    digest: Digest
    size_bytes: int = Field(ge=0)

    _check_digest = field_validator("digest")(parse_digest)

    @property
    def key(self) -> Digest:
        """What two references to the same thing have in common."""
        return self.digest


class ViewRef(Frozen):
    """The result of a recipe by the recipe's key."""

    kind: Literal["view"] = "view"
    key: Digest

    _check_key = field_validator("key")(parse_digest)


ContentRef = BlobRef | ViewRef


class View(Frozen):
    """A recipe: a transform with its parameters over ordered inputs.

    `parameters` hold nothing of time, place, arrival or chance; whatever a transform uses must be in them or in
    the inputs. Views refer to their inputs by key, so they form a DAG that ends in blobs and cannot have a cycle:
    a view would have to contain its own digest.
    """

    transform: str = Field(pattern=r"^urn:hashgate:[a-z][a-z0-9-]*:[0-9]+$")
    parameters: Mapping[str, Any]
    inputs: tuple[BlobRef | ViewRef, ...]
    order_sensitive: bool = True

    @model_validator(mode="after")
    def _canonical(self) -> Self:
        canonical_bytes(dict(self.parameters))
        return self

    @property
    def key(self) -> Digest:
        """The digest of exactly transform, parameters and inputs; unordered inputs are sorted by (kind, key)."""
        inputs: Sequence[ContentRef] = self.inputs
        if not self.order_sensitive:
            inputs = sorted(inputs, key=lambda ref: (ref.kind, ref.key))
        return digest_json(
            {
                "transform": self.transform,
                "parameters": dict(self.parameters),
                "inputs": [ref.model_dump(mode="json") for ref in inputs],
            }
        )

    @property
    def ref(self) -> ViewRef:
        """The reference to this view's result."""
        return ViewRef(key=self.key)
