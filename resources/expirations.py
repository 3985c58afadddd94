"""The record of what was removed on purpose, by retention or by somebody's decision to forget it.

Whoever misses something looks here before calling it lost: what was purged is answered with PURGED, and not with the
error for a store that somebody tampered with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from contracts.collection import ExpiredRecord, PurgedError
from contracts.refs import Digest
from resources.document_chain import DocumentChain
from resources.object_store import ObjectStore

VersionKey = tuple[str, str, int]
"""Table, partition, number."""


def expired_chain(store: ObjectStore) -> DocumentChain[ExpiredRecord]:
    """The records `expired/<n>.json`."""
    way_back = (
        "It says what was removed on purpose: restore the object from a backup of the store. Until then nothing more "
        "is removed, and what is missing counts as lost."
    )
    return DocumentChain(store, "expired", ExpiredRecord, about={}, way_back=way_back)


@dataclass(frozen=True)
class Expirations:
    """What the records say together."""

    versions: Mapping[VersionKey, ExpiredRecord] = field(default_factory=dict)
    selections: Mapping[VersionKey, ExpiredRecord] = field(default_factory=dict)
    drops: Mapping[tuple[str, Digest], tuple[int, ExpiredRecord]] = field(default_factory=dict)
    """By table and digest: up to which capture sequence it is gone, and the record that says so."""

    @classmethod
    def read(cls, store: ObjectStore) -> Expirations:
        """Read all records.

        Raises:
            ChainError: One is missing or altered.
        """
        return cls().with_records(expired_chain(store).after(0))

    def with_records(self, records: Iterable[ExpiredRecord]) -> Expirations:
        """What these and further records say together, as if they were written already."""
        versions, selections, drops = dict(self.versions), dict(self.selections), dict(self.drops)
        for record in records:
            versions |= {(v.table, v.partition, v.number): record for v in record.versions}
            selections |= {(s.table, s.partition, s.number): record for s in record.selections}
            for drop in record.drops:
                last = max(arrival.sequence for arrival in drop.arrivals)
                drops[drop.table, drop.digest] = (last, record)
        return Expirations(versions, selections, drops)

    def holds_drop(self, table: str, digest: Digest, sequence: int) -> bool:
        """Whether a drop's capture is one of those that are gone: it may have come again since."""
        return sequence <= self.drops.get((table, digest), (0, None))[0]

    def check_version(self, table: str, partition: str, number: int) -> None:
        """PurgedError for a version whose rows were removed on purpose."""
        record = self.versions.get((table, partition, number))
        if record is not None:
            raise PurgedError(subject=f"{table}[{partition}] version {number}", record=record)

    def check_drop(self, table: str, digest: Digest) -> None:
        """PurgedError for a drop whose bytes were removed on purpose."""
        found = self.drops.get((table, digest))
        if found is not None:
            raise PurgedError(subject=f"drop {digest} of {table}", record=found[1])


def record_expired(store: ObjectStore, make: Callable[[int, Digest | None], ExpiredRecord]) -> ExpiredRecord:
    """Append a record; whoever is first takes the number, and the other the next one.

    Args:
        store: Where to.
        make: The record that has a certain number and parent.

    Raises:
        ChainError: The record before it is missing or altered.
    """
    chain = expired_chain(store)
    while True:
        number = chain.newest() + 1
        record = chain.append(number, partial(make, number))
        if record is not None:
            return record
