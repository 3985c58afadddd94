"""The end of a run, told to its end: the record, the signal, the bus. What is there already stays as it is."""

from __future__ import annotations

import datetime as dt

from contracts.authority.envelopes import Envelope, EnvelopeKind, terminal_signal
from contracts.authority.errors import AuthorityError, BusError
from contracts.authority.facts import ReadySignal, TerminalSignal, ready_signal
from contracts.authority.reasons import ReasonCode
from contracts.authority.record import EventKind
from contracts.authority.status import RunState, RunStatus
from resources.authority.observers import Observers
from resources.authority.run_documents import RunDocuments, terminal_name
from resources.authority.run_writer import RunWriter
from resources.workspace import Workspace

_ENDS = {
    RunState.READY: EventKind.RUN_READY,
    RunState.FAILED: EventKind.RUN_FAILED,
    RunState.QUARANTINED: EventKind.RUN_QUARANTINED,
    RunState.SUPERSEDED: EventKind.RUN_SUPERSEDED,
}


def is_told(documents: RunDocuments, status: RunStatus) -> bool:
    """Whether a run has ended, and its end was told to its end."""
    if not status.state.is_terminal:
        return False
    told = {event.kind for event in documents.events() if event.details.get("status_digest") == status.digest}
    return EventKind.PUBLISHED in told or EventKind.PUBLISH_FAILED in told or EventKind.RUN_SUPERSEDED in told


class RunEnding:
    """Saying that a run has ended, and telling it to its end: the record, the signal, the bus."""

    def __init__(self, workspace: Workspace, writer: RunWriter, observers: Observers) -> None:
        self._workspace, self._writer, self._observers = workspace, writer, observers

    def finish(self, status: RunStatus) -> None:
        """Write and publish what belongs to an end; what is there already stays."""
        details = {
            "state": status.state.value,
            "status_digest": status.digest,
            "plan_digest": status.plan_digest,
            "facts_digest": status.facts_digest,
            "reasons": [reason.model_dump(mode="json") for reason in status.reasons],
            "decision": None if status.decision is None else status.decision.model_dump(mode="json"),
            "superseded_by": status.superseded_by,
        }
        documents = self._writer.documents
        if status.state is RunState.READY:
            facts = documents.facts()
            if facts is None:
                msg = f"run {status.run_id} is READY and has no facts. Restore facts.json from a backup of the store."
                raise AuthorityError(msg, code=ReasonCode.FACTS_VIEW_MISSING.value, run_id=status.run_id)
            details |= {"bundle_digest": facts.bundle_digest}
            self._writer.tell(_ENDS[status.state], status.digest, details)
            signal = ready_signal(facts, documents.key("facts.json"))
            self._writer.put_once("ready.json", signal)
            self._publish(EnvelopeKind.READY, signal, status)
        else:
            self._writer.tell(_ENDS[status.state], status.digest, details)
            if status.state.is_bad:
                ended = terminal_signal(status)
                self._writer.put_once(terminal_name(status.number), ended)
                self._publish(EnvelopeKind.TERMINAL, ended, status)
        codes = ",".join(reason.code.value for reason in status.reasons)
        self._observers.tell("run_ended", run_id=status.run_id, state=status.state.value, reasons=codes)

    def _publish(self, kind: EnvelopeKind, signal: ReadySignal | TerminalSignal, status: RunStatus) -> None:
        """Hand a fact to the bus. What the bus does changes nothing of the run; that it failed is recorded."""
        recorder = self._writer.recorder
        tried = [*recorder.told(EventKind.PUBLISHED), *recorder.told(EventKind.PUBLISH_FAILED)]
        if any(event.details["message_id"] == signal.message_id for event in tried):
            return
        envelope = envelope_of(kind, signal, self._workspace.now())
        said = {"kind": kind.value, "message_id": signal.message_id, "status_digest": status.digest}
        self._writer.confirm()
        try:
            place = self._workspace.bus.publish(envelope)
        except BusError as error:
            about = {**said, "problem": str(error)}
            self._writer.tell(EventKind.PUBLISH_FAILED, signal.message_id, about)
            self._observers.tell("publish_failed", run_id=status.run_id, problem=str(error))
            return
        self._writer.tell(EventKind.PUBLISHED, signal.message_id, {**said, "place": place})


def envelope_of(kind: EnvelopeKind, signal: ReadySignal | TerminalSignal, now: dt.datetime) -> Envelope:
    """A fact as the bus carries it."""
    return Envelope(
        kind=kind,
        message_id=signal.message_id,
        run_id=signal.run_id,
        engine=signal.engine,
        fact_digest=signal.digest,
        fact=signal,
        published_at=now,
    )
