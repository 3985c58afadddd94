"""Publishing a run's facts again: truth is read, the same fact goes out under the same id, and all of it is on record.

Nothing of the run's plan, status, facts or signals is ever written here: what was not published the first time, or
was lost on the way, reaches its consumers late, and nothing else differs.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from contracts.authority.envelopes import Envelope, EnvelopeKind
from contracts.authority.errors import AuthorityError, BusError, DeniedError
from contracts.authority.facts import ReadySignal, TerminalSignal
from contracts.authority.reasons import Reason, ReasonCode
from contracts.authority.record import EventKind
from contracts.authority.reemission import ReemitKind, ReemitRequest, Signal, mismatch, over_limit, signals_to_reemit
from contracts.authority.status import RunStatus
from platform_assets.engine.ending import envelope_of
from platform_assets.engine.running import holder
from platform_assets.engine.submitting import admitted_request
from resources.authority.leadership import reemitting
from resources.authority.observers import Observers
from resources.authority.run_documents import RunDocuments, RunNotFoundError, check_schema
from resources.authority.run_writer import RunRecorder
from resources.workspace import Workspace

_KINDS: Mapping[Signal, EnvelopeKind] = {
    "ready": EnvelopeKind.READY_REEMIT,
    "terminal": EnvelopeKind.TERMINAL_REEMIT,
}


class ReemitRefusedError(AuthorityError):
    """A fact is not published again; the refusal is on record."""

    def __init__(self, *, reasons: tuple[Reason, ...]) -> None:
        said = " ".join(reason.sentence for reason in reasons)
        super().__init__(said, code=reasons[0].code.value, reasons=reasons)


@dataclass(frozen=True, slots=True)
class Reemitted:
    """What was published again, or would be."""

    envelopes: tuple[Envelope, ...]
    places: tuple[str, ...]
    """Where they are on the bus; empty in a dry run."""


def reemit_request(run_id: str, kind: ReemitKind, actor: str, *, dry_run: bool = False) -> ReemitRequest:
    """A request of one's own."""
    return ReemitRequest(request_id=uuid4().hex, run_id=run_id, kind=kind, actor=actor, dry_run=dry_run)


def reemit(workspace: Workspace, request: ReemitRequest, observers: Observers | None = None) -> Reemitted:
    """Publish a run's facts again.

    Raises:
        RunNotFoundError: There is no such run.
        DeniedError: The actor may not.
        BusyError: Somebody publishes the same again now.
        ReemitRefusedError: REEMIT_READY_ONLY_MISMATCH, REEMIT_TERMINAL_ONLY_MISMATCH, FACTS_VIEW_MISSING,
            REEMIT_RATE_LIMIT.
        BusError: The bus did not take it. Ask again when it does.
    """
    documents = RunDocuments(workspace.store, request.run_id)
    admitted = admitted_request(documents)
    if admitted is None:
        raise RunNotFoundError(run_id=request.run_id)
    engine = workspace.engine(admitted.engine)
    status, plan = documents.status(), documents.plan()
    revision = engine.revision if plan is None else plan.policy_revision
    pins = admitted.pins.pins(request.run_id)
    recorder = RunRecorder(documents, workspace.now, request.actor, pins, revision)
    audit = _Audit(recorder, request)
    if not engine.policy.may_reemit(request.actor):
        audit.tell(EventKind.AUTH_DENIED, {"action": "reemit", "reasons": [ReasonCode.AUTH_DENIED.value]})
        raise DeniedError(actor=request.actor, action="reemit", engine=engine.name, run_id=request.run_id)
    with ExitStack() as leases:
        for signal in _leased(request.kind):
            leases.enter_context(reemitting(workspace.leases, request.run_id, signal, holder()))
        audit.tell(EventKind.REEMIT_REQUESTED, {})
        signals = _signals(documents, status, request.kind, audit)
        window_s = engine.policy.reemit_window_s
        recent = _recent(recorder, workspace.now() - dt.timedelta(seconds=window_s))
        limited = over_limit(request.run_id, recent, len(signals), engine.policy.reemit_limit, window_s)
        if limited is not None:
            raise audit.refused((limited,))
        return _publish(workspace, signals, audit, observers or Observers())


@dataclass(frozen=True)
class _Audit:
    """Tells what becomes of one request."""

    recorder: RunRecorder
    request: ReemitRequest

    def tell(self, kind: EventKind, details: Mapping[str, Any], about: str = "") -> None:
        said = {"request": self.request.model_dump(mode="json"), **details}
        check_schema("reemit-request", said["request"])
        self.recorder.tell(kind, f"{self.request.request_id}|{about}", said)

    def refused(self, reasons: tuple[Reason, ...]) -> ReemitRefusedError:
        told = [reason.model_dump(mode="json") for reason in reasons]
        self.tell(EventKind.REEMIT_REFUSED, {"reasons": told})
        return ReemitRefusedError(reasons=reasons)


def _leased(kind: ReemitKind) -> tuple[Signal, ...]:
    """What a request of a kind may be about, in the order in which leases are taken."""
    both: tuple[Signal, ...] = ("ready", "terminal")
    return {ReemitKind.READY_ONLY: both[:1], ReemitKind.TERMINAL_ONLY: both[1:], ReemitKind.BOTH: both}[kind]


def _signals(
    documents: RunDocuments, status: RunStatus | None, kind: ReemitKind, audit: _Audit
) -> dict[Signal, ReadySignal | TerminalSignal]:
    """The facts to publish, as the store has them.

    Raises:
        ReemitRefusedError: There are none of that kind.
    """
    state = None if status is None else status.state
    wanted = signals_to_reemit(kind, state)
    if not wanted or status is None:
        raise audit.refused(mismatch(kind, documents.run_id, state))
    if "ready" in wanted:
        ready = documents.ready()
        if ready is None or documents.facts() is None:
            raise audit.refused((_missing(documents, "facts.json and ready.json"),))
        return {"ready": ready}
    terminal = documents.terminal(status.number)
    if terminal is None:
        raise audit.refused((_missing(documents, "the signal of its end"),))
    return {"terminal": terminal}


def _missing(documents: RunDocuments, what: str) -> Reason:
    return Reason(
        code=ReasonCode.FACTS_VIEW_MISSING,
        subject=documents.run_id,
        expected=what,
        observed="nothing",
        hint="Bring the run forward first (`hashgate engine wait`); where it was, restore the store from a backup.",
    )


def _recent(recorder: RunRecorder, since: dt.datetime) -> list[object]:
    return [event for event in recorder.told(EventKind.REEMIT_PUBLISHED) if event.at >= since]


def _publish(
    workspace: Workspace, signals: Mapping[Signal, ReadySignal | TerminalSignal], audit: _Audit, observers: Observers
) -> Reemitted:
    envelopes = [envelope_of(_KINDS[name], signal, workspace.now()) for name, signal in signals.items()]
    places: list[str] = []
    for envelope in envelopes:
        said = {"kind": envelope.kind.value, "message_id": envelope.message_id, "fact_digest": envelope.fact_digest}
        if audit.request.dry_run:
            audit.tell(EventKind.REEMIT_WOULD_PUBLISH, said, envelope.kind.value)
            continue
        try:
            places.append(workspace.bus.publish(envelope))
        except BusError as error:
            audit.tell(EventKind.REEMIT_FAILED, {**said, "problem": str(error)}, envelope.kind.value)
            raise
        audit.tell(EventKind.REEMIT_PUBLISHED, {**said, "place": places[-1]}, envelope.kind.value)
        observers.tell("reemitted", run_id=envelope.run_id, kind=envelope.kind.value)
    return Reemitted(tuple(envelopes), tuple(places))
