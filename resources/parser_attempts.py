"""Attempts to read drops: noted before they begin, taken back when they end, so that a crash is not forgotten.

Drops are read in the process that publishes them. When one of them ends it (a defect of a parser, memory), nothing is
left but the note, and whoever finds the note of a dead process counts a crash for the drops it names. One that crashed
is read alone the next time; when that crashes again, it is known which drop it was, and the drop is refused. Counts
hold for one transform: another parser or other rules begin anew.

A note is no record of anything: without it a crash goes uncounted, and nothing else is lost.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from uuid import uuid4

import sqlalchemy as sa

from contracts.refs import Digest
from resources.database import Database, batches
from resources.database_schema import parser_attempts, parser_notes
from resources.processes import Fate, ProcessMark, this_process

MOST_CRASHES = 2
"""So many, the last of them alone, and a drop is not read any more."""

IsOver = Callable[[str], bool]
"""Whether the run of an id has ended; asked of runs on other hosts."""


@dataclass(frozen=True, slots=True)
class Crashes:
    """How often reading a drop ended its process."""

    count: int
    alone: bool
    """Whether the last time nothing else was being read, so that it was surely this drop."""
    last_error: str

    @property
    def refused(self) -> bool:
        """Whether it is not to be read again."""
        return self.alone and self.count >= MOST_CRASHES


class ParserAttempts:
    """The notes and counts in an open database. Each method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, transform: str, sources: Sequence[Digest], *, run_id: str, alone: bool, now: dt.datetime) -> str:
        """Note that drops are about to be read by this process.

        Args:
            transform: What reads them, by digest.
            sources: The drops.
            run_id: In whose name.
            alone: Whether nothing else is read meanwhile.
            now: The time.

        Returns:
            The note's name, for `take_back` or `count`.
        """
        name = uuid4().hex
        about = {
            "note": name,
            "transform": transform,
            "run_id": run_id,
            "process": this_process().text,
            "alone": alone,
            "noted_at": now.isoformat(),
        }
        rows = [about | {"source_digest": source} for source in sorted(set(sources))]
        with self._database.writing() as connection:
            for some in batches(rows):
                connection.execute(parser_notes.insert(), some)
        return name

    def take_back(self, note: str) -> None:
        """They were read to their end, or somebody stopped it: nothing crashed."""
        with self._database.writing() as connection:
            connection.execute(parser_notes.delete().where(parser_notes.c.note == note))

    def count(self, note: str, error: str, now: dt.datetime) -> None:
        """Count a crash for what a note names, and take it back. Whoever comes second to a note changes nothing."""
        taken = parser_notes.delete().where(parser_notes.c.note == note)
        columns = (parser_notes.c.source_digest, parser_notes.c.transform, parser_notes.c.alone)
        insert = self._database.insert(parser_attempts)
        again = {name: insert.excluded[name] for name in ("alone", "last_error", "last_at")}
        upsert = insert.on_conflict_do_update(
            index_elements=["source_digest", "transform"], set_=again | {"attempts": parser_attempts.c.attempts + 1}
        )
        with self._database.writing() as connection:
            crashed = connection.execute(taken.returning(*columns)).mappings().all()
            about = {"attempts": 1, "last_error": error, "last_at": now.isoformat()}
            rows = sorted((dict(row) | about for row in crashed), key=lambda row: str(row["source_digest"]))
            for some in batches(rows):
                connection.execute(upsert, some)

    def settle(self, is_over: IsOver, now: dt.datetime) -> int:
        """Count what the notes of dead processes name.

        Args:
            is_over: Tells for processes of other hosts.
            now: The time.

        Returns:
            How many notes were counted. One whose whole machine went down is taken back: that was no parser.
        """
        query = sa.select(parser_notes.c.note, parser_notes.c.process, parser_notes.c.run_id).distinct()
        with self._database.reading() as connection:
            notes = connection.execute(query).all()
        counted = 0
        for note, process, run_id in notes:
            mark = ProcessMark.parse(process)
            fate = mark.fate
            if fate is Fate.WENT_DOWN:
                self.take_back(note)
            elif fate is Fate.DEAD or (fate is Fate.UNKNOWN and is_over(run_id)):
                self.count(note, f"process {mark.pid} on {mark.host} died", now)
                counted += 1
        return counted

    def crashes(self, transform: str) -> dict[Digest, Crashes]:
        """The drops that crashed under a transform and were not read to their end since; mostly there are none."""
        query = sa.select(parser_attempts).where(parser_attempts.c.transform == transform)
        with self._database.reading() as connection:
            return {
                Digest(row.source_digest): Crashes(row.attempts, row.alone, row.last_error)
                for row in connection.execute(query)
            }

    def refused(self, transform: str) -> frozenset[Digest]:
        """The drops that are not to be read any more."""
        return frozenset(source for source, crashes in self.crashes(transform).items() if crashes.refused)

    def forget(self, transform: str, sources: Collection[Digest]) -> None:
        """Begin anew with drops: they were read to their end, or a person wants them to be tried again."""
        with self._database.writing() as connection:
            for some in batches(sorted(sources)):
                which = (parser_attempts.c.transform == transform) & parser_attempts.c.source_digest.in_(some)
                connection.execute(parser_attempts.delete().where(which))
