"""Selection: which drops a partition is built from, frozen once and never worked out again.

Three layers. The selector URN names the rule. The envelope is provenance: parameters, cutoff, the paths under which
the drops arrived. The snapshot is the ordered list of inputs and nothing else, so the same inputs give the same
snapshot whenever, wherever and in whatever order they came. Work depends on snapshots only.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import AwareDatetime, Field, field_validator

from contracts.canonical import canonical_bytes, parse_json
from contracts.refs import BlobRef, Digest, Frozen, digest_bytes, parse_digest

SELECTOR = "urn:hashgate:selector-newest-by-path:1"
"""Per path the newest content at the cutoff; paths in code point order; the same content under two paths once."""


class CapturedDrop(Frozen):
    """A file as it was taken into the store."""

    path: str
    """Relative to the drop folder, `/` between names; bytes that are no UTF-8 stand as `\\xNN`."""
    partition: str
    digest: Digest
    size_bytes: int = Field(ge=0)

    _check_digest = field_validator("digest")(parse_digest)

    @property
    def ref(self) -> BlobRef:
        """The bytes, without the path."""
        return BlobRef(digest=self.digest, size_bytes=self.size_bytes)


class CaptureBatch(Frozen):
    """What arrived for one table in one go. The batches' numbers are the ingest sequence."""

    format: Literal["hashgate/captures/v1"] = "hashgate/captures/v1"
    table: str
    sequence: int = Field(ge=1)
    captured_at: AwareDatetime
    drops: tuple[CapturedDrop, ...] = Field(min_length=1)


class SelectionSnapshot(Frozen):
    """The frozen, ordered inputs: the only part that enters identity."""

    format: Literal["hashgate/selection/v1"] = "hashgate/selection/v1"
    selector: Literal["urn:hashgate:selector-newest-by-path:1"] = "urn:hashgate:selector-newest-by-path:1"
    inputs: tuple[BlobRef, ...]

    def to_bytes(self) -> bytes:
        """Canonical JSON: what is stored as a blob and hashed."""
        return canonical_bytes(self.model_dump(mode="json"))

    @classmethod
    def from_bytes(cls, data: bytes) -> SelectionSnapshot:
        """Read a stored snapshot; ValueError when it is not one."""
        return cls.model_validate(parse_json(data))

    @property
    def digest(self) -> Digest:
        """The snapshot's name."""
        return digest_bytes(self.to_bytes())


class SelectedDrop(Frozen):
    """Provenance of one input: under which paths it came."""

    digest: Digest
    paths: tuple[str, ...] = Field(min_length=1)


class Selection(Frozen):
    """The envelope: a snapshot with the circumstances under which it was frozen. Append-only, per partition."""

    format: Literal["hashgate/selection-envelope/v1"] = "hashgate/selection-envelope/v1"
    table: str
    partition: str
    number: int = Field(ge=1)
    cutoff: int = Field(ge=0)
    """The highest capture sequence that was looked at."""
    snapshot: Digest
    drops: tuple[SelectedDrop, ...]
    frozen_at: dt.datetime


def newest_by_path(captures: Iterable[tuple[int, CapturedDrop]], cutoff: int) -> tuple[CapturedDrop, ...]:
    """Apply the selector: of `captures` as (sequence, drop) in sequence order, what counts at `cutoff`.

    A path that comes again replaces its earlier content and leaves the partition it was in, should its name's
    partition have changed. A file that was deleted from the folder stays: nothing here knows of deletions.
    """
    newest: dict[str, CapturedDrop] = {}
    for sequence, drop in captures:
        if sequence <= cutoff:
            newest[drop.path] = drop
    return tuple(newest[path] for path in sorted(newest))


def freeze(drops: Sequence[CapturedDrop]) -> tuple[SelectionSnapshot, tuple[SelectedDrop, ...]]:
    """Make the snapshot of `drops`, which are in selection order; repeated content counts once, at its first place."""
    paths: dict[Digest, list[str]] = {}
    refs: dict[Digest, BlobRef] = {}
    for drop in drops:
        paths.setdefault(drop.digest, []).append(drop.path)
        refs.setdefault(drop.digest, drop.ref)
    selected = tuple(SelectedDrop(digest=digest, paths=tuple(names)) for digest, names in paths.items())
    return SelectionSnapshot(inputs=tuple(refs.values())), selected
