"""What the control bus carries: one envelope a fact, with an id by which consumers tell a repetition.

The bus delivers at least once; truth is in the store, and an envelope points there. Whoever acts on one looks at the
run's status first.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import AwareDatetime, Field

from contracts.authority.facts import ReadySignal, TerminalSignal
from contracts.authority.identities import terminal_message_id
from contracts.authority.status import RunStatus
from contracts.canonical import canonical_bytes, parse_json
from contracts.refs import Digest, Frozen


class EnvelopeKind(StrEnum):
    """What an envelope tells."""

    READY = "READY"
    TERMINAL = "TERMINAL"
    READY_REEMIT = "READY_REEMIT"
    TERMINAL_REEMIT = "TERMINAL_REEMIT"

    @property
    def is_ready(self) -> bool:
        """Whether it tells of a READY run."""
        return self in {EnvelopeKind.READY, EnvelopeKind.READY_REEMIT}


class Envelope(Frozen):
    """One message."""

    format: Literal["hashgate/bus-envelope/v1"] = "hashgate/bus-envelope/v1"
    kind: EnvelopeKind
    message_id: str = Field(pattern="^[0-9a-f]{32}([0-9a-f]{32})?$")
    """Of the fact: told again, it is the same."""
    run_id: str
    engine: str
    fact_digest: Digest
    """Of the signal in `fact`, as it lies in the store."""
    fact: ReadySignal | TerminalSignal = Field(discriminator="format")
    published_at: AwareDatetime

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        return canonical_bytes(self.model_dump(mode="json"))

    @classmethod
    def from_bytes(cls, data: bytes) -> Envelope:
        """Read one; ValueError when it is none, or its fact is not the one that its digest names."""
        envelope = cls.model_validate(parse_json(data))
        if envelope.fact.digest != envelope.fact_digest or envelope.fact.message_id != envelope.message_id:
            msg = f"the envelope names fact {envelope.fact_digest}, and carries {envelope.fact.digest}"
            raise ValueError(msg)
        return envelope


def terminal_signal(status: RunStatus) -> TerminalSignal:
    """The signal for a run that ended badly: a function of its status alone."""
    state: Literal["FAILED", "QUARANTINED"] = "FAILED" if status.state.value == "FAILED" else "QUARANTINED"
    return TerminalSignal(
        message_id=terminal_message_id(status.run_id, state, status.digest),
        run_id=status.run_id,
        engine=status.engine,
        state=state,
        reason_codes=tuple(reason.code.value for reason in status.reasons),
        status_digest=status.digest,
        pins=status.pins,
        policy_revision=status.policy_revision,
    )
