"""Watching over the reading of drops, so that one which ends its process does so twice, and then no more.

All drops of a build share one note while they are read. Where an earlier reading ended in a crash, each drop that may
have caused it is first read alone, from its first byte to the verdict of the writer and the count of the gates; what is
found out this way is certain. A drop that survives is as good as any other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress

import duckdb

from contracts.errors import DropError, HashgateError
from contracts.gates import counted
from contracts.refs import BlobRef, Digest, digest_json
from contracts.table_contract import TableContract
from resources.parser_attempts import IsOver
from resources.parser_identity import parser_identity
from resources.workspace import Workspace


class OutOfMemoryError(DropError):
    """Memory ran out while drops were read: it counts as a crash, but takes nothing else with it."""

    def __init__(self, *, table: str, sources: Sequence[Digest], alone: bool) -> None:
        many = counted(len(sources), "drop")
        said = f"{table}: memory ran out while {many} {'was' if len(sources) == 1 else 'were'} read"
        if alone:
            hint = f"Run it again: drop {sources[0]} is refused then, and the others are published."
        else:
            hint = "Run it again: each is read alone then, and one that needs too much by itself is refused after that."
        super().__init__(f"{said}. {hint}", table=table, sources=list(sources), alone=alone)


def transform_of(contract: TableContract) -> str:
    """What reads a table's drops: under another contract or parser a drop that crashed gets another chance."""
    return digest_json([contract.rows_digest, parser_identity().model_dump(mode="json")])


def refused_drops(workspace: Workspace, contract: TableContract) -> frozenset[Digest]:
    """The drops that are not read any more under a contract, as far as crashes were counted."""
    return workspace.parser_attempts.refused(transform_of(contract))


class ReadingWatch:
    """Watches one build of one table."""

    def __init__(self, workspace: Workspace, contract: TableContract, run_id: str, is_over: IsOver) -> None:
        """Count what dead processes left, and look up what crashed before.

        Raises:
            DatabaseError: The database is away; nothing is read without a note.
        """
        self._workspace, self._table, self._run_id = workspace, contract.table, run_id
        self._attempts, self._transform = workspace.parser_attempts, transform_of(contract)
        self._attempts.settle(is_over, workspace.now())
        self._crashes = self._attempts.crashes(self._transform)

    @property
    def refused(self) -> frozenset[Digest]:
        """The drops that are not to be read."""
        return frozenset(source for source, crashes in self._crashes.items() if crashes.refused)

    def suspects(self, drops: Collection[BlobRef]) -> list[BlobRef]:
        """Those of `drops` that were being read when a process died, and have not been read to their end since."""
        return [drop for drop in drops if drop.digest in self._crashes and drop.digest not in self.refused]

    def begin_anew(self, drops: Collection[BlobRef]) -> None:
        """Forget what was counted for drops: they were read, or a person wants them to be tried again."""
        known = [drop.digest for drop in drops if drop.digest in self._crashes]
        if known:
            self._attempts.forget(self._transform, known)
            for digest in known:
                del self._crashes[digest]

    @contextmanager
    def reading(self, drops: Collection[BlobRef], *, alone: bool = False) -> Iterator[None]:
        """While drops are read. Should the process die in here, the note stays, and counts.

        Args:
            drops: All that are read, by whatever thread.
            alone: Whether it is one drop, and nothing else of this build is being read.

        Raises:
            OutOfMemoryError: Memory ran out. That is counted as a crash.
        """
        sources = [drop.digest for drop in drops]
        if not sources:
            yield
            return
        now = self._workspace.now()
        note = self._attempts.note(self._transform, sources, run_id=self._run_id, alone=alone, now=now)
        try:
            yield
        except (MemoryError, duckdb.OutOfMemoryException) as error:
            self._attempts.count(note, "memory ran out", self._workspace.now())
            raise OutOfMemoryError(table=self._table, sources=sources, alone=alone) from error
        finally:
            with suppress(HashgateError):  # a note too many costs a second look at sound drops, some day
                self._attempts.take_back(note)
