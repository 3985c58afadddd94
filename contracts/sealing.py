"""Sealed documents: each carries its own digest, and in a chain also that of the document before it.

A seal shows that a document is not what was written; a chain, that one was taken out or put in. Neither can see that
the chain's tail was cut off: that takes an anchor elsewhere. Nothing here opens anything or knows a key's meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, Self

from contracts.canonical import canonical_bytes, parse_json
from contracts.errors import StoreError
from contracts.refs import Digest, Frozen, digest_bytes, digest_json


class ChainError(StoreError):
    """A numbered document is missing from its chain, altered, or out of place."""

    def __init__(self, *, key: str, problem: str, fix: str) -> None:
        super().__init__(f"{key}: {problem}. {fix}", key=key, problem=problem, fix=fix)


class Sealed(Frozen):
    """A document that is stored with its own digest.

    Formats in `UNSEALED` were written before there were seals: they load as they are, and their digest is that of
    the bytes they were stored as.
    """

    UNSEALED: ClassVar[frozenset[str]] = frozenset()

    format: str

    @cached_property
    def digest(self) -> Digest:
        """The document's name: over everything in it."""
        return digest_json(self._body())

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy as pydantic does, but let the copy work out its own digest: it would keep the cached one."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("digest", None)
        return copied

    def to_bytes(self) -> bytes:
        """Canonical JSON as it is stored, the seal included."""
        body = self._body()
        return canonical_bytes(body if self.format in self.UNSEALED else body | {"digest": self.digest})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read a stored document.

        Raises:
            ValueError: It is no such document, its seal is missing or does not fit, or it is not canonical.
        """
        document = parse_json(data)
        if not isinstance(document, dict):
            msg = f"it is a JSON {type(document).__name__}, not an object"
            raise ValueError(msg)  # noqa: TRY004 - for whoever reads a stored document, one kind of error
        claimed = document.pop("digest", None)
        if document.get("format") in cls.UNSEALED:
            sealed = cls.model_validate(document)
        else:
            observed = digest_json(document)
            if claimed != observed:
                msg = f"its self-digest is {claimed}, its content has {observed}"
                raise ValueError(msg)
            sealed = cls.model_validate(document)
            sealed.__dict__["digest"] = observed  # which the bytes below show to be so
        if sealed.to_bytes() != data:
            msg = f"it has digest {digest_bytes(sealed.to_bytes())} in canonical form, its bytes {digest_bytes(data)}"
            raise ValueError(msg)
        return sealed

    def _body(self) -> dict[str, Any]:
        # what an earlier format lacked has a default here, and was not in the bytes
        return self.model_dump(mode="json", exclude_unset=self.format in self.UNSEALED)


class Linked(Sealed):
    """A sealed document with a number in a chain: from the second on it names the digest of the one before."""

    parent: Digest | None = None

    @property
    def place(self) -> int:
        """The number in the chain, from 1."""
        raise NotImplementedError

    def problem_after(self, before: Linked | None) -> str | None:
        """Why this is not the link that follows `before` (None: the chain begins here); None when it is."""
        if self.format in self.UNSEALED:
            is_late = before is not None and before.format not in before.UNSEALED
            return f"it has no seal ({self.format}), and the one before it has" if is_late else None
        expected = None if before is None else before.digest
        if self.parent != expected:
            return f"its parent should be {expected}, but is {self.parent}"
        return None
