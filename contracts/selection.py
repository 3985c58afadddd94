"""Selection: which drops a partition is built from, frozen once and never worked out again.

Three layers. The selector URN names the rule. The envelope is provenance: parameters, cutoff, the paths under which
the drops arrived. The snapshot is the ordered list of inputs and nothing else, so the same inputs give the same
snapshot whenever, wherever and in whatever order they came. Work depends on snapshots only.

The captures are the record of what arrived, and of what a person withdrew from it: a withdrawal takes its number in
the same sequence, so that a selection is a function of the captures up to its cutoff, and one that was made before the
withdrawal counts as older than one made after it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import ClassVar, Literal, Self

from pydantic import AwareDatetime, Field, field_validator, model_validator

from contracts.canonical import canonical_bytes, parse_json
from contracts.refs import BlobRef, Digest, Frozen, digest_bytes, parse_digest
from contracts.sealing import Linked


class Selector(StrEnum):
    """The rules by which drops are chosen. Paths in code point order; the same content under two paths once."""

    NEWEST_BY_PATH = "urn:hashgate:selector-newest-by-path:1"
    """Per path the newest content at the cutoff: for tables whose restated drops replace the earlier ones."""
    EVERY_CONTENT = "urn:hashgate:selector-every-content:1"
    """Per path every content up to the cutoff, once each, in the order of its first arrival: for tables that grow."""

    @classmethod
    def of(cls, sink_mode: str) -> Selector:
        """The rule of a contract's sink mode."""
        return cls.EVERY_CONTENT if sink_mode == "append" else cls.NEWEST_BY_PATH


class CapturedDrop(Frozen):
    """A file as it was taken into the store, or the withdrawal of one that was."""

    path: str
    """Relative to the drop folder, `/` between names; bytes that are no UTF-8 stand as `\\xNN`."""
    partition: str
    digest: Digest
    size_bytes: int = Field(ge=0)
    withdrawn: bool = False
    """From here on this content does not count under this path, until it is captured again."""

    _check_digest = field_validator("digest")(parse_digest)

    @property
    def ref(self) -> BlobRef:
        """The bytes, without the path."""
        return BlobRef(digest=self.digest, size_bytes=self.size_bytes)


class Decision(Frozen):
    """Who decided something that no rule decides, and why."""

    actor: str = Field(min_length=1)
    reason: str = Field(min_length=1)


class CaptureBatch(Linked):
    """What arrived for one table in one go, or what a person withdrew. The numbers are the ingest sequence."""

    UNSEALED: ClassVar[frozenset[str]] = frozenset({"hashgate/captures/v1"})

    format: Literal["hashgate/captures/v1", "hashgate/captures/v2"] = "hashgate/captures/v2"
    table: str
    sequence: int = Field(ge=1)
    captured_at: AwareDatetime
    drops: tuple[CapturedDrop, ...] = Field(min_length=1)
    decision: Decision | None = None
    """Whose it was to withdraw these drops, or to take them back; None: they arrived."""

    @model_validator(mode="after")
    def _withdrawals_are_decided(self) -> Self:
        withdrawn = {drop.withdrawn for drop in self.drops}
        if len(withdrawn) > 1 or (withdrawn == {True} and self.decision is None):
            msg = "a batch withdraws all of its drops, by somebody's recorded decision, or none"
            raise ValueError(msg)
        return self

    @property
    def withdraws(self) -> bool:
        """Whether it takes drops back instead of adding any."""
        return self.drops[0].withdrawn

    @property
    def place(self) -> int:
        """The number in the chain."""
        return self.sequence


class SelectionSnapshot(Frozen):
    """The frozen, ordered inputs: the only part that enters identity."""

    format: Literal["hashgate/selection/v1"] = "hashgate/selection/v1"
    selector: Selector = Selector.NEWEST_BY_PATH
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


class Selection(Linked):
    """The envelope: a snapshot with the circumstances under which it was frozen. A chain, per partition."""

    UNSEALED: ClassVar[frozenset[str]] = frozenset({"hashgate/selection-envelope/v1"})

    format: Literal["hashgate/selection-envelope/v1", "hashgate/selection-envelope/v2"] = (
        "hashgate/selection-envelope/v2"
    )
    table: str
    partition: str
    number: int = Field(ge=1)
    selector: Selector = Selector.NEWEST_BY_PATH
    cutoff: int = Field(ge=0)
    """The highest capture sequence that was looked at."""
    snapshot: Digest
    drops: tuple[SelectedDrop, ...]
    frozen_at: dt.datetime

    @property
    def place(self) -> int:
        """The number in the chain."""
        return self.number


def choose(selector: Selector, captures: Iterable[tuple[int, CapturedDrop]], cutoff: int) -> tuple[CapturedDrop, ...]:
    """Apply a rule: of `captures` as (sequence, drop) in sequence order, what counts at `cutoff`.

    A path that comes again leaves the partition it was in, should its name's partition have changed. A file that was
    deleted from the folder stays: nothing here knows of deletions. Where a path's newest content is withdrawn, the
    path counts for nothing: what it replaced does not come back.
    """
    by_path: dict[str, dict[Digest, CapturedDrop]] = {}
    for sequence, drop in captures:
        if sequence > cutoff:
            break
        contents = by_path.setdefault(drop.path, {})
        if drop.withdrawn:
            contents.pop(drop.digest, None)
        elif selector is Selector.EVERY_CONTENT:
            contents.setdefault(drop.digest, drop)
        else:
            by_path[drop.path] = {drop.digest: drop}
    return tuple(drop for path in sorted(by_path) for drop in by_path[path].values())


def freeze(
    drops: Sequence[CapturedDrop], selector: Selector = Selector.NEWEST_BY_PATH
) -> tuple[SelectionSnapshot, tuple[SelectedDrop, ...]]:
    """Make the snapshot of `drops`, which are in selection order; repeated content counts once, at its first place."""
    paths: dict[Digest, list[str]] = {}
    refs: dict[Digest, BlobRef] = {}
    for drop in drops:
        paths.setdefault(drop.digest, []).append(drop.path)
        refs.setdefault(drop.digest, drop.ref)
    selected = tuple(SelectedDrop(digest=digest, paths=tuple(names)) for digest, names in paths.items())
    return SelectionSnapshot(selector=selector, inputs=tuple(refs.values())), selected
