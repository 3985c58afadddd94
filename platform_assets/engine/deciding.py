"""What people decide about runs: that nobody shall read one, or that another takes its place.

A status is never taken back, so the way back is a new run: submitted under a new key with the old run root to reuse, it
has the same digests.
"""

from __future__ import annotations

from contracts.authority.errors import DeniedError
from contracts.authority.reasons import Reason, ReasonCode
from contracts.authority.record import EventKind
from contracts.authority.status import RunState, RunStatus
from contracts.errors import UsageError
from contracts.selection import Decision
from platform_assets.engine.ending import RunEnding
from platform_assets.engine.running import holder
from platform_assets.engine.submitting import admitted_request
from resources.authority.leadership import leading
from resources.authority.observers import Observers
from resources.authority.run_documents import RunDocuments, RunNotFoundError
from resources.authority.run_writer import RunRecorder, RunWriter
from resources.workspace import Workspace


def quarantine(workspace: Workspace, run_id: str, decision: Decision) -> RunStatus:
    """Put a run into quarantine, also one that is READY: from now on nobody reads it.

    Raises:
        RunNotFoundError: There is no such run.
        DeniedError: The actor may not.
        BusyError: Somebody brings it forward now.
        AuthorityError: It is in quarantine, or superseded.
    """
    reason = Reason(
        code=ReasonCode.QUARANTINED_BY_ACTOR,
        subject=run_id,
        observed=decision.reason,
        hint=f"{decision.actor} decided so. Submit the work under a new key, and supersede this run by it.",
    )
    return _decide(workspace, run_id, decision, RunState.QUARANTINED, (reason,), None)


def supersede(workspace: Workspace, run_id: str, by: str, decision: Decision) -> RunStatus:
    """Let a READY run take another's place.

    Raises:
        RunNotFoundError: There is no such run.
        UsageError: What is to take its place is not READY, of another engine, or the run itself.
        DeniedError: The actor may not.
        BusyError: Somebody brings it forward now.
        AuthorityError: It is superseded already.
    """
    successor = RunDocuments(workspace.store, by).readable_facts()
    admitted = admitted_request(RunDocuments(workspace.store, run_id))
    if admitted is None:
        raise RunNotFoundError(run_id=run_id)
    if successor is None or successor.engine != admitted.engine or by == run_id:
        msg = (
            f"run {by} cannot take the place of run {run_id}: a successor is another run of engine {admitted.engine} "
            "that is READY. See `hashgate engine runs`."
        )
        raise UsageError(msg, run_id=run_id, by=by)
    reason = Reason(
        code=ReasonCode.SUPERSEDED,
        subject=run_id,
        observed=f"{by} takes its place: {decision.reason}",
        hint=f"{decision.actor} decided so. Read run {by}.",
    )
    return _decide(workspace, run_id, decision, RunState.SUPERSEDED, (reason,), by)


def _decide(
    workspace: Workspace,
    run_id: str,
    decision: Decision,
    state: RunState,
    reasons: tuple[Reason, ...],
    by: str | None,
) -> RunStatus:
    documents = RunDocuments(workspace.store, run_id)
    request = admitted_request(documents)
    if request is None:
        raise RunNotFoundError(run_id=run_id)
    engine, plan = workspace.engine(request.engine), documents.plan()
    revision = engine.revision if plan is None else plan.policy_revision
    recorder = RunRecorder(documents, workspace.now, decision.actor, request.pins.pins(run_id), revision)
    if not engine.policy.may_submit(decision.actor):
        about = {"action": state.value, "reasons": [ReasonCode.AUTH_DENIED.value]}
        recorder.tell(EventKind.AUTH_DENIED, f"{state.value}|{decision.actor}|{decision.reason}", about)
        raise DeniedError(actor=decision.actor, action="submit", engine=engine.name, run_id=run_id)
    with leading(workspace.leases, run_id, holder()) as leadership:
        facts = documents.facts()
        writer = RunWriter(recorder, leadership, workspace.now)
        status = writer.advance(
            state,
            engine=engine.name,
            plan_digest=None if plan is None else plan.digest,
            facts_digest=None if facts is None else facts.digest,
            reasons=reasons,
            decision=decision,
            superseded_by=by,
        )
        RunEnding(workspace, writer, Observers()).finish(status)
    return status
