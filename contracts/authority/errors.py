"""Errors of the run authority that are not about one run's evidence: those are reasons, see `reasons`."""

from __future__ import annotations

from contracts.errors import HashgateError


class AuthorityError(HashgateError):
    """The authority refuses; `code` is what machines match."""

    code: str


class RequestError(HashgateError):
    """A run request, policy or invocation is not what its schema says."""

    exit_code = 2

    def __init__(self, *, source: str, where: str, problem: str, fix: str) -> None:
        super().__init__(f"{source}: {where}: {problem}. {fix}", source=source, where=where, problem=problem, fix=fix)


class CollisionError(AuthorityError):
    """The run-equivalence key stands for a run with another intent."""

    def __init__(self, *, key: str, run_id: str, bound_intent: str, intent: str) -> None:
        hint = "Nothing was changed. Ask for the same as the run that the key names, or take another key."
        super().__init__(
            f"RUN_EQUIVALENCE_COLLISION: key {key!r} is bound to run {run_id} with intent {bound_intent}, "
            f"and this request has intent {intent}. {hint}",
            code="RUN_EQUIVALENCE_COLLISION",
            key=key,
            run_id=run_id,
            bound_intent=bound_intent,
            intent=intent,
        )


class DeniedError(AuthorityError):
    """The actor is not on the allow-list."""

    def __init__(self, *, actor: str, action: str, engine: str, run_id: str) -> None:
        hint = f"Let whoever runs the platform put them into {action}_allow in the policy of engine {engine}."
        super().__init__(
            f"AUTH_DENIED: {actor} may not {action} runs of engine {engine}. The denial is recorded at run {run_id}, "
            f"and nothing else was changed. {hint}",
            code="AUTH_DENIED",
            actor=actor,
            action=action,
            engine=engine,
            run_id=run_id,
        )


class BusyError(AuthorityError):
    """Somebody else is at it."""

    def __init__(self, *, subject: str, holder: str, seconds_left: float) -> None:
        hint = "Try again when it has ended."
        super().__init__(
            f"BUSY: {subject} is being worked on by {holder}, for {seconds_left:.1f} s more at most unless it goes on. "
            f"{hint}",
            code="BUSY",
            subject=subject,
            holder=holder,
            seconds_left=seconds_left,
        )


class BusError(HashgateError):
    """The control bus did not take or give an envelope. Truth does not depend on it."""
