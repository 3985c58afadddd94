"""Writing a run's truth: under a lease that is confirmed before each write, each event once, each status forward.

Two kinds of writers meet in a record: the leader, and whoever may only tell (a denial, a re-emit). Only the leader
writes anything else.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

from contracts.authority.errors import AuthorityError
from contracts.authority.pins import Pins
from contracts.authority.record import EventKind, RunEvent, event_id
from contracts.authority.status import RunState, RunStatus, may_follow
from contracts.canonical import canonical_bytes, parse_json
from contracts.refs import Digest
from contracts.sealing import Sealed
from resources.authority.leadership import Leadership
from resources.authority.run_documents import RunDocuments, check_schema, put_once
from resources.leases import LeaseLostError

Clock = Callable[[], dt.datetime]

_ATTEMPTS_TO_APPEND = 100
"""So many writers at once between reading a record's end and appending to it, and something is wrong."""


class RunRecorder:
    """Appends to a run's record. What it tells is told once, by whomever."""

    def __init__(self, documents: RunDocuments, clock: Clock, actor: str, pins: Pins, policy_revision: Digest) -> None:
        self.documents, self.pins, self.policy_revision = documents, pins, policy_revision
        self._clock, self._actor = clock, actor
        self._events: list[RunEvent] = list(documents.events())

    @property
    def events(self) -> tuple[RunEvent, ...]:
        """The record as it was seen last."""
        return tuple(self._events)

    def told(self, kind: EventKind) -> list[RunEvent]:
        """The events of a kind, in order."""
        return [event for event in self._events if event.kind is kind]

    def tell(self, kind: EventKind, about: str, details: Mapping[str, Any], term: int | None = None) -> RunEvent:
        """Append an event, unless the record has it.

        Args:
            kind: What happened.
            about: What tells it from other events of its kind in this run.
            details: JSON; no secrets.
            term: The leader's.

        Returns:
            The event as the record has it.

        Raises:
            LeaseLostError: A later leader has written already.
        """
        wanted = event_id(self.documents.run_id, kind, about)
        plain = parse_json(canonical_bytes(dict(details)))
        for _ in range(_ATTEMPTS_TO_APPEND):
            there = next((event for event in self._events if event.event_id == wanted), None)
            if there is not None:
                return there
            self._refuse_an_earlier_term(term)

            def event(parent: Digest | None) -> RunEvent:
                made = RunEvent(
                    number=len(self._events) + 1,
                    parent=parent,
                    run_id=self.documents.run_id,
                    event_id=wanted,
                    kind=kind,
                    at=self._clock(),
                    actor=self._actor,
                    term=term,
                    pins=self.pins,
                    policy_revision=self.policy_revision,
                    details=plain,
                )
                check_schema("run-event", made.model_dump(mode="json") | {"digest": made.digest})
                return made

            appended = self.documents.record.append(len(self._events) + 1, event)
            if appended is not None:
                self._events.append(appended)
                return appended
            self._events += self.documents.record.after(len(self._events))
        msg = f"the record of run {self.documents.run_id} grows faster than anybody can append to it. Try again."
        raise AuthorityError(msg, code="BUSY", run_id=self.documents.run_id)

    def _refuse_an_earlier_term(self, term: int | None) -> None:
        latest = max((event.term for event in self._events if event.term is not None), default=0)
        if term is not None and term < latest:
            raise LeaseLostError(name=f"engine-run/{self.documents.run_id}", holder=self._actor)


class RunWriter:
    """The leader's hand: each write begins by making sure that it still leads."""

    def __init__(self, recorder: RunRecorder, leadership: Leadership, clock: Clock) -> None:
        self.recorder, self._leadership, self._clock = recorder, leadership, clock
        self.documents = recorder.documents
        self._status = self.documents.status()

    @property
    def status(self) -> RunStatus | None:
        """How far the run is."""
        return self._status

    def confirm(self) -> None:
        """Make sure that this process still leads.

        Raises:
            LeaseLostError: It does not.
        """
        self._leadership.confirm()

    def tell(self, kind: EventKind, about: str, details: Mapping[str, Any]) -> RunEvent:
        """Append an event as the leader, unless the record has it."""
        self.confirm()
        return self.recorder.tell(kind, about, details, self._leadership.term)

    def put_once(self, name: str, document: Sealed) -> None:
        """Write one of the run's documents that are never changed; the very same may be there.

        Raises:
            ImmutableError: Another one is there.
        """
        self.confirm()
        put_once(self.documents.store, self.documents.key(name), document)

    def advance(self, state: RunState, **about: Any) -> RunStatus:
        """Say how far the run is from now on.

        Args:
            state: Later than the present one.
            about: What else the status says.

        Raises:
            LeaseLostError: Somebody else leads.
            AuthorityError: A run never goes back.
        """
        before = self._status
        if before is not None and not may_follow(state, before.state):
            msg = f"run {self.documents.run_id} is {before.state} and cannot become {state}. Status only goes forward."
            raise AuthorityError(msg, code="NOT_FORWARD", run_id=self.documents.run_id, state=before.state.value)
        if before is not None and before.term > self._leadership.term:
            raise LeaseLostError(name=f"engine-run/{self.documents.run_id}", holder="an earlier leader")
        self.confirm()
        number = 1 if before is None else before.number + 1

        def status(parent: Digest | None) -> RunStatus:
            made = RunStatus(
                number=number,
                parent=parent,
                run_id=self.documents.run_id,
                state=state,
                before=None if before is None else before.state,
                at=self._clock(),
                term=self._leadership.term,
                pins=self.recorder.pins,
                policy_revision=self.recorder.policy_revision,
                **about,
            )
            check_schema("run-status", made.model_dump(mode="json") | {"digest": made.digest})
            return made

        written = self.documents.statuses.append(number, status)
        if written is None:
            written = self._mine_or_lost(number, state)
        self._status = written
        return written

    def _mine_or_lost(self, number: int, state: RunState) -> RunStatus:
        """The status that is there although ours was not created: our own, whose answer was lost, or a successor's."""
        there = self.documents.statuses.read(number)
        if there.term != self._leadership.term or there.state is not state:
            raise LeaseLostError(name=f"engine-run/{self.documents.run_id}", holder="an earlier leader")
        return there
