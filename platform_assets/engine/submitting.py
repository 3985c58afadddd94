"""Submitting: a request is let in, or denied, or found to be one that is known; and then it is one run."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.authority.errors import CollisionError, DeniedError
from contracts.authority.record import EventKind
from contracts.authority.requests import RunRequest
from contracts.authority.status import RunState
from resources.authority.admission import Admissions
from resources.authority.engines import Engine
from resources.authority.run_documents import RunDocuments
from resources.authority.run_writer import RunRecorder
from resources.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Submitted:
    """The run that a request means."""

    run_id: str
    state: RunState | None
    """How far it is; None: nobody has begun."""


def submit(workspace: Workspace, request: RunRequest) -> Submitted:
    """Admit a request. Nothing of the run is done yet: whoever brings it forward leads it.

    Raises:
        UsageError, ContractError, RequestError: There is no such engine, or one of its files is broken.
        DeniedError: The actor may not. The denial is in the run's record, and no key is bound.
        CollisionError: The key means another run. Nothing was changed.
    """
    engine = workspace.engine(request.engine)
    if not engine.policy.may_submit(request.actor):
        _deny(workspace, engine, request)
    run_id = Admissions(workspace.database, workspace.store).admit(request)
    documents = RunDocuments(workspace.store, run_id)
    status = documents.status()
    if status is None:  # else it was told: there is no status without an admission
        _tell_admission(_recorder(workspace, engine, request), request)
    return Submitted(run_id, None if status is None else status.state)


def admitted_request(documents: RunDocuments) -> RunRequest | None:
    """The request that a run was admitted with; None when it was not."""
    for event in documents.events():
        if event.kind is EventKind.RUN_ADMITTED:
            return RunRequest.model_validate(event.details["request"])
    return None


def _tell_admission(recorder: RunRecorder, request: RunRequest) -> None:
    """Put the request on record. A run has one admission, also where two databases let in one each.

    Raises:
        CollisionError: The record has that of another intent.
    """
    details = {"request": request.model_dump(mode="json"), "intent": request.intent}
    admitted = recorder.tell(EventKind.RUN_ADMITTED, "", details).details["intent"]
    if admitted != request.intent:
        key, run_id = request.run_equivalence_key, request.run_id
        raise CollisionError(key=key, run_id=run_id, bound_intent=admitted, intent=request.intent)


def _deny(workspace: Workspace, engine: Engine, request: RunRequest) -> None:
    details = {"action": "submit", "intent": request.intent, "reasons": ["AUTH_DENIED"]}
    about = f"submit|{request.actor}|{request.intent}"
    _recorder(workspace, engine, request).tell(EventKind.AUTH_DENIED, about, details)
    raise DeniedError(actor=request.actor, action="submit", engine=engine.name, run_id=request.run_id)


def _recorder(workspace: Workspace, engine: Engine, request: RunRequest) -> RunRecorder:
    documents = RunDocuments(workspace.store, request.run_id)
    pins = request.pins.pins(request.run_id)
    return RunRecorder(documents, workspace.now, request.actor, pins, engine.revision)
