"""What verification comes to: how much was looked at, and every object that is not what was published.

Each of them says what was expected and what is there, whom it concerns, and the way back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum


class Depth(StrEnum):
    """How closely one looks."""

    QUICK = "quick"
    """Every document whole; of files that they are there, with their sizes, and as they were when last hashed."""
    DEEP = "deep"
    """Every byte of everything."""
    JUDGED = "judged"
    """Every byte, and the current versions' drops framed again and their rows judged by every gate."""


class Concern(StrEnum):
    """Whom it concerns that something is not what was published."""

    READERS = "readers"
    """The current version cannot be read, or is not what it should be."""
    EVIDENCE = "evidence"
    """Readers have what was published; something that proves it, or that the next version is built from, is gone."""
    HISTORY = "history"
    """An earlier version, or a held candidate: readers do not need it."""
    STRAY = "stray"
    """Something that nothing explains; nothing rests on it."""


INGEST_FORCED = "Restore the object from a backup, or ingest the partition again with --force."
DROP_AGAIN = "Drop {path} again with the same content and ingest its partition, or restore the object from a backup."
RESTORE = "Restore the object from a backup of the store."
RESTORE_OLD = (
    "Only an older version needs it, and readers do not: restore the object from a backup of the store to have it back."
)
REPAIR = (
    "Restore the object from a backup of the store, or make the newest whole version current: hashgate repair {table} "
    "{partition} --actor YOU --reason WHY."
)
TRUST_STORE = (
    "Restore the store from a backup. If it is right as it is and this is to be forgotten, run "
    "`hashgate rebuild --trust-store`."
)
PUT_ASIDE = "Put it aside (`hashgate verify --deep --put-aside`) and ingest the partition again with --force."
MOVE_OUT = "Move it out of the store."
COLLECT = "Nothing needs it any more: the collector removes it."

AS_WRITTEN = "what was written"
UNEXPLAINED = "an object that nothing explains"


@dataclass(frozen=True, slots=True)
class Corruption:
    """One object that is not what was published, and the way back."""

    table: str | None
    partition: str | None
    subject: str
    """The object's key in the store, or the gate that failed."""
    expected: str
    observed: str
    fix: str
    concern: Concern

    @property
    def problem(self) -> str:
        """What is wrong with it, in words."""
        return f"expected {self.expected}, observed {self.observed}"


@dataclass(frozen=True, slots=True)
class Need:
    """Who needs an object, and what it means when it is not what it must be."""

    table: str | None
    """None: nobody does any more."""
    partition: str | None
    concern: Concern
    fix: str

    def missed(self, subject: str, expected: str, observed: str) -> Corruption:
        """What is to be told of an object."""
        return Corruption(self.table, self.partition, subject, expected, observed, self.fix, self.concern)


@dataclass
class TableReport:
    """What was checked of one table, how much of it, and what was found."""

    table: str
    partitions: int = 0
    versions: int = 0
    receipts: int = 0
    purged: int = 0
    """Versions whose rows were removed on purpose, by retention or because somebody forgot a drop."""
    held: int = 0
    selections: int = 0
    reports: int = 0
    datasets: int = 0
    folders: int = 0
    """Segments and exports, each with its index."""
    files: int = 0
    """In these."""
    drops: int = 0
    """Blobs of drops that versions, candidates and the capture log name."""
    captures: int = 0
    """Drops in the capture log."""
    hashed_bytes: int = 0
    records: int = 0
    """Framed again in the current versions' drops."""
    gates: int = 0
    """Run again over the current versions."""
    not_judged: list[str] = field(default_factory=list)
    """Partitions whose files are whole, but which today's contract cannot judge: it has changed, or there is none."""
    corruptions: list[Corruption] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether everything is what it was."""
        return not self.corruptions


@dataclass
class StoreReport:
    """What lies in the store beside the tables' own, when all of it was looked at."""

    expired: int = 0
    """Records of what was removed on purpose."""
    put_aside: int = 0
    """Damaged things that were moved out of the way before."""
    unneeded: int = 0
    """Objects that no document names: left-overs, which the collector removes."""
    unneeded_bytes: int = 0
    corruptions: list[Corruption] = field(default_factory=list)


@dataclass
class Verification:
    """One look at some tables, and at all of the store if nothing was left out."""

    depth: Depth
    tables: list[TableReport] = field(default_factory=list)
    store: StoreReport | None = None
    """None: only some tables or partitions were asked for."""
    asked_dagster: bool = False
    """Whether heads were compared with what Dagster remembers, too."""
    moved: list[str] = field(default_factory=list)
    """What was put aside of all that is damaged."""

    @property
    def corruptions(self) -> Iterator[Corruption]:
        """Everything that was found."""
        for table in self.tables:
            yield from table.corruptions
        if self.store is not None:
            yield from self.store.corruptions

    @property
    def sound(self) -> bool:
        """Whether everything is what it was."""
        return next(self.corruptions, None) is None
