"""What the collector writes down: what it is going to remove, what it has removed, and what has expired for good.

A name on a list that is not retired is doomed: nobody may start to rely on what lies there, nor put anything there.
Whoever needs the same content takes the name's next generation, `<name>.1`, and so on; who reads takes the first one
that is there. An expired version or drop leaves its digests, paths and times behind; asking for it is answered with
PURGED, which is not the answer to a thing that was tampered with.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Literal

from pydantic import AwareDatetime, Field

from contracts.errors import HashgateError
from contracts.refs import Digest, Frozen
from contracts.sealing import Linked, Sealed
from contracts.selection import Decision

LISTED_TOGETHER = 2000
"""Objects in one list, expirations in one record: a document stays well below a megabyte."""

_GENERATION = re.compile(r"\.([1-9][0-9]*)$")


class DoomedObject(Frozen):
    """Something that nothing names."""

    name: str
    """Its key in the store; of a folder, without what is in it."""
    size_bytes: int = Field(ge=0)
    why: str


class DoomedList(Sealed):
    """What will be removed if, after a grace, still nothing names it."""

    format: Literal["hashgate/doomed/v1"] = "hashgate/doomed/v1"
    number: int = Field(ge=1)
    objects: tuple[DoomedObject, ...] = Field(min_length=1)


class EmptiedList(Sealed):
    """A list was gone through. Its names stay doomed for another grace: a collector may have stalled over one."""

    format: Literal["hashgate/emptied/v1"] = "hashgate/emptied/v1"
    number: int = Field(ge=1)
    removed: int = Field(ge=0)
    removed_bytes: int = Field(ge=0)
    kept: tuple[str, ...]
    """What something names again."""


class ExpiredVersion(Frozen):
    """A version whose rows are gone; its commit and its receipts stay."""

    table: str
    partition: str
    number: int = Field(ge=1)
    commit: Digest
    view_key: Digest
    snapshot: Digest
    committed_at: AwareDatetime


class ExpiredSelection(Frozen):
    """A selection whose list of inputs is gone."""

    table: str
    partition: str
    number: int = Field(ge=1)
    snapshot: Digest


class Arrival(Frozen):
    """When and under which name a drop was captured."""

    path: str
    partition: str
    sequence: int = Field(ge=1)
    captured_at: AwareDatetime


class ExpiredDrop(Frozen):
    """A drop whose bytes are gone. Should the same content be captured later than these times, that one counts."""

    table: str
    digest: Digest
    size_bytes: int = Field(ge=0)
    arrivals: tuple[Arrival, ...] = Field(min_length=1)


class ExpiredRecord(Linked):
    """What retention or a person's decision removed; written before anything is."""

    format: Literal["hashgate/expired/v1"] = "hashgate/expired/v1"
    number: int = Field(ge=1)
    expired_at: AwareDatetime
    cause: Literal["retention", "forgotten"]
    decision: Decision | None = None
    """Whose it was to forget; None: the contract's retention."""
    versions: tuple[ExpiredVersion, ...] = ()
    selections: tuple[ExpiredSelection, ...] = ()
    drops: tuple[ExpiredDrop, ...] = ()

    @property
    def place(self) -> int:
        """The number in the chain."""
        return self.number


class PurgedError(HashgateError):
    """Something was removed on purpose: by retention, or because somebody decided to forget it."""

    def __init__(self, *, subject: str, record: ExpiredRecord) -> None:
        by = f"forgotten by {record.decision.actor}" if record.decision else "removed by retention"
        super().__init__(
            f"{subject} was purged: {by} on {record.expired_at:%Y-%m-%d} (expired/{record.number:08d}.json). "
            "Its digests are still known, its content is not: restore it from a backup, if one has it.",
            subject=subject,
            number=record.number,
            cause=record.cause,
        )


def generation(name: str, number: int) -> str:
    """The name's `number`th copy; the first one, 0, has the name itself."""
    return name if number == 0 else f"{name}.{number}"


def base_name(name: str) -> str:
    """The name that a copy is of."""
    return _GENERATION.sub("", name)


def generation_number(name: str) -> int:
    """Which copy it is."""
    found = _GENERATION.search(name)
    return int(found[1]) if found else 0


def in_order(name: str, found: Iterable[str]) -> list[str]:
    """Of names that lie in one folder, the copies of `name`, the first generation first."""
    return sorted((other for other in found if base_name(other) == name), key=generation_number)


def free_place(name: str, doomed: Collection[str]) -> str:
    """Where a writer puts the content called `name`, or may rely on it if it lies there: the first copy not doomed."""
    number = 0
    while generation(name, number) in doomed:
        number += 1
    return generation(name, number)
