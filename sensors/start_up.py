"""The quick look at the store when a process starts, a part of it a tick; and again at whatever it found broken.

`reconcile` calls it: the first tick of each code server looks at every partition, as `hashgate verify` does without
options, for as long as a tick may take, and the next tick goes on from there. It costs the listings and documents of
each partition once a process; nothing is read of a file that nobody has touched since it was last hashed. What is not
a partition's (the capture log, strays) is left to the command.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from contracts.errors import HashgateError
from platform_assets.evidence.corruptions import Concern, Corruption, Depth
from platform_assets.evidence.memories import remembered
from platform_assets.evidence.partition_evidence import partitions_of
from platform_assets.evidence.verifying import known_tables, verify_partitions
from resources.workspace import Workspace

PROCESS = uuid4().hex
"""This process: another one looks anew."""
_TOGETHER = 16

Place = tuple[str, str]
"""Table and partition."""


@dataclass
class StartUpLook:
    """How far the look has come, and what this part of it found."""

    reached: Place | None
    """The last partition that was looked at; None: none yet."""
    done: bool
    partitions: int = 0
    found: list[Corruption] = field(default_factory=list)

    @property
    def unreadable(self) -> dict[Place, str]:
        """The partitions whose current version readers cannot have, with the reason."""
        return {
            (found.table or "", found.partition or ""): f"{found.subject}: {found.problem}. {found.fix}"
            for found in reversed(self.found)
            if found.concern is Concern.READERS
        }


def look_from(workspace: Workspace, reached: Place | None, seconds: float) -> StartUpLook:
    """Look at the partitions after one, for some time.

    Raises:
        HashgateError: The store or the database is away.
    """
    until = time.monotonic() + seconds
    look = StartUpLook(reached, done=True)
    for table, partitions in _in_portions(_places_after(workspace, reached)):
        if look.partitions and time.monotonic() > until:
            look.done = False
            break
        look.found += verify_partitions(workspace, table, partitions, depth=Depth.QUICK).corruptions
        look.partitions += len(partitions)
        look.reached = (table, partitions[-1])
    return look


def is_readable(workspace: Workspace, table: str, partition: str) -> bool:
    """Whether readers can have what was broken before."""
    try:
        found = verify_partitions(workspace, table, [partition], depth=Depth.QUICK).corruptions
    except HashgateError:
        return False
    return all(corruption.concern is not Concern.READERS for corruption in found)


def _places_after(workspace: Workspace, reached: Place | None) -> Iterator[Place]:
    for table in known_tables(workspace):
        if reached is None or table >= reached[0]:
            keys = partitions_of(workspace, table, remembered(workspace.catalogue, table, log=False))
            yield from ((table, key) for key in keys if reached is None or (table, key) > reached)


def _in_portions(places: Iterable[Place]) -> Iterator[tuple[str, Sequence[str]]]:
    table, keys = "", list[str]()
    for of, key in places:
        if keys and (of != table or len(keys) == _TOGETHER):
            yield table, keys
            keys = []
        table = of
        keys.append(key)
    if keys:
        yield table, keys
