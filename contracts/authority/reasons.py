"""Why a run waits, failed or was put into quarantine: codes that machines match, and evidence that people read.

The codes are those of requirements E1 to E15, letter by letter: whoever matches them elsewhere must not be surprised.
"""

from __future__ import annotations

from enum import StrEnum

from contracts.authority.errors import AuthorityError
from contracts.refs import Frozen


class ReasonCode(StrEnum):
    """What may be said of a run."""

    RUN_EQUIVALENCE_COLLISION = "RUN_EQUIVALENCE_COLLISION"
    REQUEST_INVALID = "REQUEST_INVALID"
    AUTH_DENIED = "AUTH_DENIED"
    UNKNOWN_OUTPUT_ID = "UNKNOWN_OUTPUT_ID"
    UNKNOWN_GATE_ID = "UNKNOWN_GATE_ID"
    PACK_INVALID = "PACK_INVALID"
    POLICY_CHANGED = "POLICY_CHANGED"
    EVIDENCE_MISSING = "EVIDENCE_MISSING"
    EVIDENCE_MISSING_DEADLINE = "EVIDENCE_MISSING_DEADLINE"
    EVIDENCE_CONFLICT = "EVIDENCE_CONFLICT"
    LOCATOR_SCHEMA_INVALID = "LOCATOR_SCHEMA_INVALID"
    RECEIPT_SCHEMA_INVALID = "RECEIPT_SCHEMA_INVALID"
    INSTANCE_DIGEST_MISSING = "INSTANCE_DIGEST_MISSING"
    INSTANCE_SCOPE_MISSING = "INSTANCE_SCOPE_MISSING"
    INSTANCE_RECEIPT_SCHEMA_INVALID = "INSTANCE_RECEIPT_SCHEMA_INVALID"
    INSTANCE_RECEIPT_DRIFT = "INSTANCE_RECEIPT_DRIFT"
    REUSE_NOT_ALLOWED = "REUSE_NOT_ALLOWED"
    ENGINE_ROOT_MISSING = "ENGINE_ROOT_MISSING"
    ENGINE_INVOCATION_INVALID = "ENGINE_INVOCATION_INVALID"
    ENGINE_COMMAND_MISSING = "ENGINE_COMMAND_MISSING"
    ENGINE_COMMAND_TEMPLATE_UNRESOLVED = "ENGINE_COMMAND_TEMPLATE_UNRESOLVED"
    ENGINE_EXIT_NONZERO = "ENGINE_EXIT_NONZERO"
    ENGINE_TIMEOUT = "ENGINE_TIMEOUT"
    ENGINE_RECEIPT_MISSING = "ENGINE_RECEIPT_MISSING"
    ENGINE_RECEIPT_INVALID = "ENGINE_RECEIPT_INVALID"
    ENGINE_RECEIPT_MISMATCH = "ENGINE_RECEIPT_MISMATCH"
    ATTEMPT_LIMIT_EXCEEDED = "ATTEMPT_LIMIT_EXCEEDED"
    ORACLE_PACK_INVALID = "ORACLE_PACK_INVALID"
    ORACLE_PACK_MISMATCH = "ORACLE_PACK_MISMATCH"
    FACTS_VIEW_MISSING = "FACTS_VIEW_MISSING"
    REEMIT_READY_ONLY_MISMATCH = "REEMIT_READY_ONLY_MISMATCH"
    REEMIT_TERMINAL_ONLY_MISMATCH = "REEMIT_TERMINAL_ONLY_MISMATCH"
    REEMIT_RATE_LIMIT = "REEMIT_RATE_LIMIT"
    QUARANTINED_BY_ACTOR = "QUARANTINED_BY_ACTOR"
    SUPERSEDED = "SUPERSEDED"


class Reason(Frozen):
    """One reason with its evidence; what does not apply is None."""

    code: ReasonCode
    subject: str
    """What it is about: an output or gate id, a file, an attempt."""
    expected: str | None = None
    observed: str | None = None
    member: str | None = None
    """The first file that fails, by its path in the bundle or the run root."""
    hint: str
    """What to do about it."""

    @property
    def sentence(self) -> str:
        """The reason as a person reads it, on one line."""
        member = f", at {self.member}" if self.member else ""
        parts = [("expected", self.expected), ("observed", self.observed)]
        compared = ", ".join(f"{name} {value}" for name, value in parts if value is not None)
        return f"{self.code}: {self.subject}{member}{f': {compared}' if compared else ''}. {self.hint}"


class ReasonError(AuthorityError):
    """A run cannot go on, for a reason that goes into its documents."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.sentence, code=reason.code.value, reason=reason)
