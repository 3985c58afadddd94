"""Admission: one run-equivalence key, one run, whoever asks, however often, and however many at once.

The database decides between requests that come together. The store's record is what it rests on: where the database
was lost, a key that a record knows is bound as it was, before anybody else can take it.
"""

from __future__ import annotations

from contracts.authority.errors import CollisionError
from contracts.authority.record import EventKind
from contracts.authority.requests import RunRequest
from contracts.refs import Digest
from resources.authority.run_documents import RunDocuments
from resources.database import Database
from resources.object_store import ObjectStore
from resources.run_equivalence import RunEquivalences


class Admissions:
    """The keys in an open database, over the records in a store."""

    def __init__(self, database: Database, store: ObjectStore) -> None:
        self._equivalences, self._store = RunEquivalences(database), store

    def admit(self, request: RunRequest) -> str:
        """Bind a request's key to its run, unless it is bound; returns the run's id.

        Raises:
            CollisionError: The key stands for a run with another intent. Nothing was changed.
            DatabaseError: The database is away; ask again.
        """
        key, run_id = request.run_equivalence_key, request.run_id
        bound = self._equivalences.binding(key)
        if bound is None:
            bound = self._equivalences.bind(key, run_id, self._recorded(run_id) or request.intent)
        if bound.intent != request.intent:
            raise CollisionError(key=key, run_id=bound.run_id, bound_intent=bound.intent, intent=request.intent)
        return bound.run_id

    def _recorded(self, run_id: str) -> Digest | None:
        """The intent that a run was admitted with; None when it was not."""
        for event in RunDocuments(self._store, run_id).events():
            if event.kind is EventKind.RUN_ADMITTED:
                return Digest(event.details["intent"])
        return None
