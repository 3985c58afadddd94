"""Publishing a run's facts again: which of them, and what stands against it. Truth is read, and never changed."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Literal

from pydantic import Field

from contracts.authority.reasons import Reason, ReasonCode
from contracts.authority.status import RunState
from contracts.refs import Frozen


class ReemitKind(StrEnum):
    """Which of a run's facts."""

    READY_ONLY = "READY_ONLY"
    TERMINAL_ONLY = "TERMINAL_ONLY"
    BOTH = "BOTH"


class ReemitRequest(Frozen):
    """Somebody wants a run's facts to be published again."""

    format: Literal["hashgate/reemit-request/v1"] = "hashgate/reemit-request/v1"
    request_id: str = Field(pattern="^[0-9a-f]{32}$")
    run_id: str = Field(pattern="^[0-9a-f]{32}$")
    kind: ReemitKind = ReemitKind.BOTH
    actor: str = Field(pattern=r"^[^\x00-\x1f\x7f]{1,256}$")
    dry_run: bool = False


Signal = Literal["ready", "terminal"]


def signals_to_reemit(kind: ReemitKind, state: RunState | None) -> tuple[Signal, ...]:
    """The facts of a run in a state that a request of a kind is about; empty when there is none."""
    wants_ready = kind in {ReemitKind.READY_ONLY, ReemitKind.BOTH} and state is RunState.READY
    wants_terminal = kind in {ReemitKind.TERMINAL_ONLY, ReemitKind.BOTH} and state is not None and state.is_bad
    if wants_ready:
        return ("ready",)
    return ("terminal",) if wants_terminal else ()


def mismatch(kind: ReemitKind, run_id: str, state: RunState | None) -> tuple[Reason, ...]:
    """Why there is nothing of that kind to publish again."""
    codes = {
        ReemitKind.READY_ONLY: (ReasonCode.REEMIT_READY_ONLY_MISMATCH,),
        ReemitKind.TERMINAL_ONLY: (ReasonCode.REEMIT_TERMINAL_ONLY_MISMATCH,),
        ReemitKind.BOTH: (ReasonCode.REEMIT_READY_ONLY_MISMATCH, ReasonCode.REEMIT_TERMINAL_ONLY_MISMATCH),
    }
    return tuple(_mismatch(code, run_id, state) for code in codes[kind])


def over_limit(run_id: str, published: Sequence[object], wanted: int, limit: int, window_s: float) -> Reason | None:
    """Why publishing again has to wait; None when it need not."""
    if len(published) + wanted <= limit:
        return None
    return Reason(
        code=ReasonCode.REEMIT_RATE_LIMIT,
        subject=run_id,
        expected=f"at most {limit} published again within {window_s:g} s",
        observed=f"{len(published)} published, {wanted} more wanted",
        hint="Wait until the window has passed; consumers that were away read the run's facts from the store.",
    )


def _mismatch(code: ReasonCode, run_id: str, state: RunState | None) -> Reason:
    wanted = "READY" if code is ReasonCode.REEMIT_READY_ONLY_MISMATCH else "FAILED or QUARANTINED"
    return Reason(
        code=code,
        subject=run_id,
        expected=wanted,
        observed="no status" if state is None else state.value,
        hint="Only the fact that a run ended with can be published again: see `hashgate engine show`.",
    )
