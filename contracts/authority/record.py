"""The record of a run: everything that happened to it, in order, append-only, each event once.

Events are the audit trail; how far a run is stands in its status, and what it brought about in its facts. Each carries
pins and policy revision, so that one read alone says what it is about. None holds a secret.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import AwareDatetime, Field

from contracts.authority.identities import event_id_of
from contracts.authority.pins import Pins
from contracts.refs import Digest
from contracts.sealing import Linked


class EventKind(StrEnum):
    """What happened."""

    RUN_ADMITTED = "RUN_ADMITTED"
    AUTH_DENIED = "AUTH_DENIED"
    PLAN_COMMITTED = "PLAN_COMMITTED"
    ENGINE_ROOT_OVERRIDDEN = "ENGINE_ROOT_OVERRIDDEN"
    ENGINE_ATTEMPT_LAUNCHED = "ENGINE_ATTEMPT_LAUNCHED"
    ENGINE_ATTEMPT_FINISHED = "ENGINE_ATTEMPT_FINISHED"
    RUN_REUSED = "RUN_REUSED"
    EVIDENCE_ASSEMBLED = "EVIDENCE_ASSEMBLED"
    FACTS_COMMITTED = "FACTS_COMMITTED"
    RUN_READY = "RUN_READY"
    RUN_FAILED = "RUN_FAILED"
    RUN_QUARANTINED = "RUN_QUARANTINED"
    RUN_SUPERSEDED = "RUN_SUPERSEDED"
    PUBLISHED = "PUBLISHED"
    PUBLISH_FAILED = "PUBLISH_FAILED"
    REEMIT_REQUESTED = "REEMIT_REQUESTED"
    REEMIT_REFUSED = "REEMIT_REFUSED"
    REEMIT_WOULD_PUBLISH = "REEMIT_WOULD_PUBLISH"
    REEMIT_PUBLISHED = "REEMIT_PUBLISHED"
    REEMIT_FAILED = "REEMIT_FAILED"


class RunEvent(Linked):
    """One thing that happened to a run."""

    format: Literal["hashgate/run-event/v1"] = "hashgate/run-event/v1"
    number: int = Field(ge=1)
    run_id: str
    event_id: str = Field(pattern="^[0-9a-f]{32}$")
    """The same happening has the same, however often somebody tells it: it stands in the record once."""
    kind: EventKind
    at: AwareDatetime
    actor: str
    term: int | None
    """Of the leader that wrote it; None where nobody needs to lead."""
    pins: Pins
    policy_revision: Digest
    details: dict[str, Any]
    """What the kind needs: digests, reasons, places. See docs/engine.md."""

    @property
    def place(self) -> int:
        """The number in the chain."""
        return self.number


def event_id(run_id: str, kind: EventKind, about: str) -> str:
    """The name of an event: `about` tells it from others of its kind in the run."""
    return event_id_of(run_id, kind.value, about)
