"""Looking at runs: what there is, how far each is, and all that is known of one. Nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from contracts.authority.evidence import Evidence
from contracts.authority.plans import RunPlan
from contracts.authority.record import RunEvent
from contracts.authority.requests import RunRequest
from contracts.authority.status import RunState, RunStatus
from contracts.errors import StoreError
from platform_assets.engine.submitting import admitted_request
from resources.authority.run_documents import RunDocuments, RunNotFoundError, known_runs
from resources.workspace import Workspace

ADMITTED = "ADMITTED"
"""What a run without a status is called: nobody has begun with it."""

DENIED = "DENIED"
"""What there is of a run that nobody was let in for."""


@dataclass(frozen=True)
class RunLine:
    """A run in a list."""

    run_id: str
    engine: str | None
    state: str
    reasons: tuple[str, ...]
    key: str | None
    at: str | None
    problem: str | None = None
    """Why its documents cannot be read."""


def run_lines(workspace: Workspace, engine: str | None = None, state: str | None = None) -> Iterator[RunLine]:
    """Every run, in the order of ids; of an engine, in a state."""
    for run_id in known_runs(workspace.store):
        line = _line(RunDocuments(workspace.store, run_id))
        if engine in {None, line.engine} and state in {None, line.state}:
            yield line


@dataclass(frozen=True)
class RunView:
    """All that is known of a run."""

    run_id: str
    request: RunRequest | None
    plan: RunPlan | None
    statuses: tuple[RunStatus, ...]
    events: tuple[RunEvent, ...]
    evidence: Evidence | None

    @property
    def state(self) -> str:
        """How far it is."""
        if self.statuses:
            return self.statuses[-1].state.value
        return DENIED if self.request is None else ADMITTED

    @property
    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "run_id": self.run_id,
            "state": self.state,
            "request": None if self.request is None else self.request.model_dump(mode="json"),
            "plan": None if self.plan is None else self.plan.model_dump(mode="json") | {"digest": self.plan.digest},
            "statuses": [status.model_dump(mode="json") | {"digest": status.digest} for status in self.statuses],
            "events": [event.model_dump(mode="json") for event in self.events],
            "evidence": None if self.evidence is None else self.evidence.model_dump(mode="json"),
        }


def run_view(workspace: Workspace, run_id: str) -> RunView:
    """All that is known of a run.

    Raises:
        RunNotFoundError: Nothing is.
        StoreError: One of its documents is not what was written.
    """
    documents = RunDocuments(workspace.store, run_id)
    events = tuple(documents.events())
    if not events:
        raise RunNotFoundError(run_id=run_id)
    return RunView(
        run_id=run_id,
        request=admitted_request(documents),
        plan=documents.plan(),
        statuses=tuple(documents.statuses.after(0)),
        events=events,
        evidence=documents.last_evidence(),
    )


def found_run(workspace: Workspace, named: str) -> str:
    """The run of an id, or of its first digits.

    Raises:
        RunNotFoundError: There is none, or there are several.
    """
    found = [run_id for run_id in known_runs(workspace.store) if run_id.startswith(named)] if named else []
    if len(found) != 1:
        raise RunNotFoundError(run_id=named)
    return found[0]


def _line(documents: RunDocuments) -> RunLine:
    try:
        status = documents.status()
        request = admitted_request(documents)
    except StoreError as error:
        return RunLine(documents.run_id, None, "UNREADABLE", (), None, None, str(error))
    engine, key = (None, None) if request is None else (request.engine, request.run_equivalence_key)
    if status is None:
        return RunLine(documents.run_id, engine, DENIED if request is None else ADMITTED, (), key, None)
    reasons = tuple(reason.code.value for reason in status.reasons)
    return RunLine(documents.run_id, engine, status.state.value, reasons, key, status.at.isoformat())


def is_open(state: str) -> bool:
    """Whether somebody has to bring a run in this state forward."""
    return state == ADMITTED or (state in RunState.__members__ and not RunState(state).is_terminal)
