"""Commits: the documents that decide what a reader sees, and nothing else does.

Per partition they form a chain: number n names the digest of number n-1. A commit holds the segments it publishes,
the receipts of the gates that let it through and the identity of all that went in. A held candidate is the same
document under another name: complete, inspectable, and without any effect on readers.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from contracts.canonical import canonical_bytes, parse_json
from contracts.gates import GATES, PRODUCED_GATES, GateReceipt, all_passed
from contracts.refs import Digest, Frozen, digest_json
from contracts.segments import ParserIdentity, StoredFile


class SegmentEntry(Frozen):
    """One segment of a partition version: where it lies and how much is in it."""

    view_key: Digest
    content: Digest
    files: tuple[StoredFile, ...]
    records: int = Field(ge=0)
    valid_rows: int = Field(ge=0)
    quarantined_rows: int = Field(ge=0)


class ContractStamp(Frozen):
    """Under which promise a version was made."""

    version: str
    digest: Digest
    rows_digest: Digest
    set_digest: Digest
    schema_fingerprint: Digest
    table_schema: tuple[tuple[str, str], ...] = ()


class Candidate(Frozen):
    """A partition version as it stands before anybody may read it."""

    origin: Literal["drops", "asset"] = "drops"
    """`drops`: parsed from what arrived. `asset`: the table that an asset returned; its drops are other versions."""
    table: str
    partition: str
    view_key: Digest
    snapshot: Digest
    selection_number: int
    cutoff: int
    contract: ContractStamp
    parser: ParserIdentity
    output_target_key: Digest
    materialization_key: Digest
    segments: tuple[SegmentEntry, ...]
    overlay: SegmentEntry | None = None
    """Records that repeat an earlier key: excluded from the valid rows, counted as quarantined."""
    records: int
    valid_rows: int
    """After the overlay."""
    quarantined_rows: int
    """Including the overlay's."""
    run_id: str

    @property
    def gates(self) -> tuple[str, ...]:
        """The gates that this candidate must pass, in order."""
        return GATES if self.origin == "drops" else PRODUCED_GATES


class Commit(Frozen):
    """One link of a partition's chain."""

    format: Literal["hashgate/commit/v1"] = "hashgate/commit/v1"
    number: int = Field(ge=1)
    parent: Digest | None
    kind: Literal["publish", "held"] = "publish"
    committed_at: AwareDatetime
    candidate: Candidate
    receipts: tuple[GateReceipt, ...]

    @model_validator(mode="after")
    def _only_what_passed_is_published(self) -> Self:
        if self.kind == "publish" and not all_passed(self.receipts, self.candidate.gates):
            msg = "a commit publishes what every gate passed, and here one did not"
            raise ValueError(msg)
        if (self.number == 1) != (self.parent is None) and self.kind == "publish":
            msg = "the first commit has no parent, every other one has"
            raise ValueError(msg)
        return self

    @property
    def digest(self) -> Digest:
        """The commit's name: over everything in it."""
        return digest_json(self._body())

    def to_bytes(self) -> bytes:
        """Canonical JSON with the self-digest, as it is stored."""
        body = self._body()
        return canonical_bytes(body | {"digest": digest_json(body)})

    @classmethod
    def from_bytes(cls, data: bytes) -> Commit:
        """Read a stored commit; ValueError when it is not one or its self-digest does not fit."""
        document = parse_json(data)
        if not isinstance(document, dict):
            msg = "a commit is a JSON object"
            raise TypeError(msg)
        claimed = document.pop("digest", None)
        observed = digest_json(document)
        if claimed != observed:
            msg = f"its self-digest is {claimed}, its content has {observed}"
            raise ValueError(msg)
        return cls.model_validate(document)

    def _body(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


def refuses(head: Commit | None, candidate: Candidate) -> str | None:
    """Why `candidate` must not follow `head`: a late writer never undoes a newer selection. None when it may."""
    if head is None or head.candidate.cutoff <= candidate.cutoff:
        return None
    return (
        f"version {head.number} was selected at sequence {head.candidate.cutoff}, "
        f"later than this candidate's {candidate.cutoff}"
    )
