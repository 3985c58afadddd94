"""Run equivalence: of any number of requests for the same work one is bound to a run, and the others are told which.

What a key and an intent are made of is the caller's. Nothing here compares more than their text.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from contracts.refs import Digest
from resources.database import Database
from resources.database_schema import run_equivalences


@dataclass(frozen=True, slots=True)
class Binding:
    """The run that an equivalence key stands for, and what it was bound for."""

    run_id: str
    intent: Digest


class RunEquivalences:
    """The bindings in an open database. A binding is made once and never changes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def bind(self, key: str, run_id: str, intent: Digest) -> Binding:
        """Bind a key to a run, unless it is bound.

        Returns:
            What the key is bound to now: the caller's own run, or that of whoever was first. Another intent than the
            caller's is a collision.
        """
        values = {"equivalence_key": key, "run_id": run_id, "intent_digest": intent}
        insert = self._database.insert(run_equivalences).values(values).on_conflict_do_nothing()
        with self._database.writing() as connection:
            connection.execute(insert)
            found = _binding(connection, key)
        if found is None:
            msg = f"equivalence key {key} was bound and is not there"
            raise AssertionError(msg)
        return found

    def binding(self, key: str) -> Binding | None:
        """What a key is bound to; None when it is free."""
        with self._database.reading() as connection:
            return _binding(connection, key)


def _binding(connection: sa.Connection, key: str) -> Binding | None:
    query = sa.select(run_equivalences).where(run_equivalences.c.equivalence_key == key)
    row = connection.execute(query).one_or_none()
    return None if row is None else Binding(row.run_id, Digest(row.intent_digest))
