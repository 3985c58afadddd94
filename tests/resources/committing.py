"""Processes that publish into one partition at the same time, and what each of them was told.

What they run stands here and not in the tests, so that a child imports little and starts fast.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass

from contracts.commits import Commit
from contracts.errors import CommitError
from contracts.refs import Digest
from resources.object_store import ObjectStore
from resources.publisher import Judged, Outcome, publish, publish_on_head
from resources.segment_places import SegmentPlace, StagedFolder
from resources.table_reader import TableReader
from tests.versions import DAY, NOON, TABLE, Contract, Home, StagedVersion, candidate, passed


@dataclass(frozen=True)
class Told:
    """What a writer was told of one attempt."""

    began_ns: int
    ended_ns: int
    """By the machine's monotonic clock, which all processes share."""
    content: Digest
    cutoff: int
    outcome: str
    number: int = 0
    commit: Digest | None = None


def keep_publishing(writer: int, home: Home, environment: Mapping[str, str], sink_mode: str, rounds: int) -> list[Told]:
    """Publish `rounds` contents of one's own, under cutoffs that rise by and large; what came of each."""
    os.environ.update(environment)  # where a bucket is, and who may write to it
    told = []
    store, reader = home.store, home.reader
    dice = random.Random(writer)  # noqa: S311 - to be repeated, not to be secret
    for number in range(rounds):
        content = f"of-{writer} round-{number}"
        cutoff = 1 if sink_mode == "append" else max(1, number + dice.randint(-3, 3))
        told.append(_attempt(store, reader, home.stage(content, sink_mode=sink_mode, cutoff=cutoff)))
    return told


def _attempt(store: ObjectStore, reader: TableReader, staged: StagedVersion) -> Told:
    (entry,) = staged.candidate.segments
    cutoff = staged.candidate.cutoff
    began = time.monotonic_ns()
    try:
        if staged.contract.sink_mode == "append":
            done = publish_on_head(store, reader, TABLE, DAY, lambda head: _beside(reader, staged, head), NOON)
        else:
            done = publish(store, reader, staged, passed(), NOON)
    except CommitError as error:
        if "sink mode is `error`" not in str(error):
            raise
        return Told(began, time.monotonic_ns(), entry.content, cutoff, "refused")
    ended = time.monotonic_ns()
    number, digest = (done.commit.number, done.commit.digest) if done.outcome is Outcome.PUBLISHED else (0, None)
    return Told(began, ended, entry.content, cutoff, str(done.outcome), number, digest)


def _beside(reader: TableReader, staged: StagedVersion, head: Commit | None) -> Judged:
    """What an asset's table in the mode `append` is made to: all of the head, and one's own."""
    before = head.candidate.segments if head else ()
    entries = {entry.content: entry for entry in (*before, *staged.candidate.segments)}
    places: dict[Digest, SegmentPlace] = {
        content: reader.segment_place(TABLE, entry) for content, entry in entries.items()
    }
    places |= _still_staged(staged.places)
    whole = candidate(segments=tuple(entries.values()), view_key=staged.candidate.view_key)
    return Judged.on(head, StagedVersion(whole, places, Contract("append")), passed())


def _still_staged(places: Mapping[Digest, SegmentPlace]) -> dict[Digest, SegmentPlace]:
    return {c: place for c, place in places.items() if isinstance(place, StagedFolder) and place.path.exists()}
