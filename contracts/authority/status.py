"""The status of a run: a chain that only goes forward. What was said stays; what comes later is added.

READY is the only state in which anything of a run may be read.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import AwareDatetime, Field

from contracts.authority.pins import Pins
from contracts.authority.reasons import Reason
from contracts.refs import Digest
from contracts.sealing import Linked
from contracts.selection import Decision


class RunState(StrEnum):
    """How far a run is."""

    PLANNED = "PLANNED"
    EXECUTING = "EXECUTING"
    """The engine was invoked."""
    WAITING = "WAITING"
    """Evidence is missing, and the deadline is not over."""
    READY = "READY"
    FAILED = "FAILED"
    QUARANTINED = "QUARANTINED"
    SUPERSEDED = "SUPERSEDED"
    """Another run took its place, by somebody's decision."""

    @property
    def is_terminal(self) -> bool:
        """Whether the authority does nothing more by itself."""
        return _RANK[self] >= _RANK[RunState.READY]

    @property
    def is_bad(self) -> bool:
        """Whether the run ended without results that anybody may read."""
        return self in {RunState.FAILED, RunState.QUARANTINED}


_RANK = {
    RunState.PLANNED: 1,
    RunState.EXECUTING: 2,
    RunState.WAITING: 3,
    RunState.READY: 4,
    RunState.FAILED: 4,
    RunState.QUARANTINED: 5,
    RunState.SUPERSEDED: 6,
}
"""A later state has a higher rank: READY is never FAILED, and neither ever WAITING again."""


def may_follow(state: RunState, before: RunState | None) -> bool:
    """Whether a run may come to `state` from `before`."""
    return before is None or _RANK[state] > _RANK[before]


class RunStatus(Linked):
    """How far a run was from some moment on."""

    format: Literal["hashgate/run-status/v1"] = "hashgate/run-status/v1"
    number: int = Field(ge=1)
    run_id: str
    engine: str
    state: RunState
    before: RunState | None
    """The state that this one follows."""
    reasons: tuple[Reason, ...] = ()
    at: AwareDatetime
    term: int
    """Of the leader that wrote it: a later leader has a greater one."""
    pins: Pins
    policy_revision: Digest
    plan_digest: Digest | None
    """None: it failed before there was a plan."""
    facts_digest: Digest | None = None
    decision: Decision | None = None
    """Whose it was, where no rule decided."""
    superseded_by: str | None = None

    @property
    def place(self) -> int:
        """The number in the chain."""
        return self.number

    def problem_after(self, before: Linked | None) -> str | None:
        """Also: it goes forward, and its leader is no earlier one."""
        problem = super().problem_after(before)
        if problem is not None or not isinstance(before, RunStatus):
            return problem
        if self.before is not before.state or not may_follow(self.state, before.state):
            return f"{self.state} does not follow {before.state}"
        return f"its leader's term {self.term} is over since {before.term}" if self.term < before.term else None
