"""What others than the store remember of a table: the database, and Dagster. A chain cannot see its own tail cut off.

It must be looked up before the store is: then whatever is remembered was in the store by that time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from contracts.refs import Digest
from contracts.selection import CapturedDrop
from resources.file_catalogue import Anchor, FileCatalogue


@dataclass(frozen=True, slots=True)
class ToldVersion:
    """A version as Dagster's latest event of a partition has it."""

    commit: str
    """The digest of its commit."""
    number: int


@dataclass(frozen=True)
class ToldTable:
    """What Dagster was told last of each partition of a table."""

    versions: Mapping[str, ToldVersion] = field(default_factory=dict)
    selections: Mapping[str, str] = field(default_factory=dict)
    """The digest of the snapshot."""
    reports: Mapping[str, str] = field(default_factory=dict)
    """The digest of the commit that the report is of."""


@dataclass(frozen=True)
class Remembered:
    """What is remembered of one table."""

    anchors: Mapping[str, Anchor] = field(default_factory=dict)
    """By partition how far its chain was seen to reach."""
    captures: Mapping[int, frozenset[CapturedDrop]] = field(default_factory=dict)
    """By number what a batch of the capture log was seen to hold."""
    withdrawn: frozenset[Digest] = frozenset()
    """Content that somebody decided to forget."""
    told: ToldTable = field(default_factory=ToldTable)


def remembered(catalogue: FileCatalogue, table: str, told: ToldTable | None = None, *, log: bool = True) -> Remembered:
    """Look up what the database remembers of a table, and lay it beside what Dagster does.

    Args:
        catalogue: The database.
        table: Its name.
        told: What Dagster remembers.
        log: Its captures, too: they are many, and partitions can be looked at without.
    """
    captures: dict[int, set[CapturedDrop]] = {}
    for drops in (catalogue.captures(table) if log else {}).values():
        for sequence, drop in drops:
            captures.setdefault(sequence, set()).add(drop)
    return Remembered(
        anchors=catalogue.anchors(table),
        captures={sequence: frozenset(drops) for sequence, drops in captures.items()},
        withdrawn=catalogue.withdrawn(table),
        told=told or ToldTable(),
    )
