"""Bringing a run forward: from its request to READY, or to the reason why not. Whoever calls leads, or hears who does.

```
request -> plan -> what is there, or an attempt -> evidence -> facts -> status -> record -> READY -> bus
```
Each step looks first at what is there. A process that dies between any two writes leaves a run that the next one brings
forward from where it stood: facts that are written are not judged anew, an end that was said is told to its end.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from contracts.authority.errors import AuthorityError
from contracts.authority.evidence import Evidence, EvidenceState, OraclePackRef, past_deadline
from contracts.authority.facts import RunFacts
from contracts.authority.pins import Pins
from contracts.authority.plans import RunPlan
from contracts.authority.reasons import Reason, ReasonError
from contracts.authority.record import EventKind
from contracts.authority.requests import RunRequest, Strategy
from contracts.authority.status import RunState, RunStatus
from contracts.refs import Digest
from platform_assets.engine.attempting import Attempts, reused_receipt
from platform_assets.engine.ending import RunEnding, is_told
from platform_assets.engine.planning import make_plan
from platform_assets.engine.submitting import admitted_request
from resources.authority.engines import Engine
from resources.authority.evidence_reader import assemble_evidence
from resources.authority.instance_receipts import commit_instance_receipts
from resources.authority.leadership import TTL, Leadership, leading
from resources.authority.observers import Observers
from resources.authority.run_documents import RunDocuments, RunNotFoundError, put_evidence
from resources.authority.run_roots import RunRoot, open_run_root
from resources.authority.run_writer import RunRecorder, RunWriter
from resources.processes import this_process
from resources.workspace import Workspace


class PolicyChangedError(AuthorityError):
    """The engine's pack or policy is not the one that a run is pinned to."""

    def __init__(self, *, run_id: str, engine: str, pinned: str, present: str) -> None:
        hint = (
            "Bring the files of the pinned revision back to let the run go on, or put it into quarantine and submit "
            "the work under a new key."
        )
        super().__init__(
            f"POLICY_CHANGED: run {run_id} is pinned to revision {pinned} of engine {engine}, which has {present} now. "
            f"Nothing was changed. {hint}",
            code="POLICY_CHANGED",
            run_id=run_id,
            engine=engine,
            pinned=pinned,
            present=present,
        )


def advance(
    workspace: Workspace, run_id: str, *, observers: Observers | None = None, ttl: dt.timedelta = TTL
) -> RunStatus:
    """Bring a run as far as it comes now, unless its end was told already.

    Returns:
        How far it is: READY, FAILED, QUARANTINED, SUPERSEDED; or WAITING, to be asked again later.

    Raises:
        RunNotFoundError: There is no such run, or it was never admitted.
        BusyError: Somebody else leads it.
        LeaseLostError: Somebody else leads it now. What was begun here was stopped.
        PolicyChangedError: The engine is another than the plan's.
        StoreError, DatabaseError: The store or the database is away; ask again.
    """
    documents = RunDocuments(workspace.store, run_id)
    status = documents.status()
    if status is not None and is_told(documents, status):
        return status
    request = admitted_request(documents)
    if request is None:
        raise RunNotFoundError(run_id=run_id)
    with leading(workspace.leases, run_id, holder(), ttl) as leadership:
        return _Leader(workspace, documents, request, leadership, observers or Observers()).run()


def holder() -> str:
    """Who leads, for people."""
    mark = this_process()
    return f"process {mark.pid} on {mark.host}"


class _Leader:
    """One process that leads one run."""

    def __init__(
        self,
        workspace: Workspace,
        documents: RunDocuments,
        request: RunRequest,
        leadership: Leadership,
        observers: Observers,
    ) -> None:
        self._workspace, self._documents, self._request = workspace, documents, request
        self._leadership, self._observers = leadership, observers

    def run(self) -> RunStatus:
        """Go on from where the run stands."""
        status, plan = self._documents.status(), self._documents.plan()
        if status is not None and status.state.is_terminal:
            writer = self._writer(status.policy_revision)
        else:
            engine = self._workspace.engine(self._request.engine)
            if plan is not None and plan.policy_revision != engine.revision:
                pinned, present = plan.policy_revision, engine.revision
                raise PolicyChangedError(run_id=plan.run_id, engine=engine.name, pinned=pinned, present=present)
            writer = self._writer(engine.revision)
            status = self._forward(writer, engine)
        if status.state.is_terminal:
            RunEnding(self._workspace, writer, self._observers).finish(status)
        return status

    def _writer(self, policy_revision: Digest) -> RunWriter:
        pins = self._request.pins.pins(self._request.run_id)
        clock = self._workspace.now
        recorder = RunRecorder(self._documents, clock, self._request.actor, pins, policy_revision)
        return RunWriter(recorder, self._leadership, clock)

    def _forward(self, writer: RunWriter, engine: Engine) -> RunStatus:
        try:
            plan = self._planned(writer, engine)
        except ReasonError as error:
            reasons = (error.evidence["reason"],)
            return writer.advance(RunState.FAILED, engine=engine.name, plan_digest=None, reasons=reasons)
        run = _PlannedRun(self._workspace, writer, plan, engine, self._request.actor, self._observers)
        try:
            return run.forward()
        except ReasonError as error:
            return run.status(RunState.FAILED, [error.evidence["reason"]])

    def _planned(self, writer: RunWriter, engine: Engine) -> RunPlan:
        """The run's plan: made once, and then the one that is there.

        Raises:
            ReasonError: There can be none.
        """
        plan = self._documents.plan()
        if plan is None:
            plan = make_plan(self._request, engine, self._workspace.settings.engine_runs)
            writer.put_once("plan.json", plan)
        if writer.status is None:
            writer.advance(RunState.PLANNED, engine=plan.engine, plan_digest=plan.digest)
        details = {"plan_digest": plan.digest, "outputs": plan.outputs, "gates": plan.gates, "root": plan.root.root}
        writer.tell(EventKind.PLAN_COMMITTED, plan.digest, details)
        if plan.root.overridden is not None:
            writer.tell(EventKind.ENGINE_ROOT_OVERRIDDEN, plan.digest, plan.root.model_dump(mode="json"))
        return plan


@dataclass(frozen=True)
class _PlannedRun:
    """A run that has a plan, and its leader."""

    workspace: Workspace
    writer: RunWriter
    plan: RunPlan
    engine: Engine
    actor: str
    observers: Observers

    def forward(self) -> RunStatus:
        """READY, or as far as it comes.

        Raises:
            ReasonError: It failed.
        """
        facts = self.writer.documents.facts()
        if facts is not None:
            return self._ready(facts)
        root = open_run_root(self.plan.root.root)
        attempts = Attempts(self.writer, self.plan, self.engine, self.workspace.settings.staging, self.actor)
        if not attempts.any_launched and self._may_reuse:
            found = self._reusable(root)
            if found is not None and (found[0].state is not EvidenceState.WAITING or self._only_reuses):
                return self._conclude(*found, attempt_id=None)
        attempt_id = attempts.succeeded()
        return self._conclude(self._evidence(self.plan.pins, root), self.plan.pins, attempt_id=attempt_id)

    def status(self, state: RunState, reasons: Sequence[Reason] = (), facts_digest: Digest | None = None) -> RunStatus:
        """Say how far the run is."""
        return self.writer.advance(
            state,
            engine=self.engine.name,
            plan_digest=self.plan.digest,
            reasons=tuple(reasons),
            facts_digest=facts_digest,
        )

    @property
    def _only_reuses(self) -> bool:
        return self.plan.strategy is Strategy.REUSE

    @property
    def _may_reuse(self) -> bool:
        return self._only_reuses or (self.plan.strategy is Strategy.AUTO and self.engine.policy.reuse)

    def _reusable(self, root: RunRoot) -> tuple[Evidence, Pins] | None:
        """What is there, and the pins as whoever brought it about knows them; None: it belongs to another run."""
        try:
            receipt = reused_receipt(root, self.plan, self.engine.policy.receipt)
        except ReasonError:
            if self._only_reuses:
                raise
            return None
        pins = self.plan.pins.model_copy(update={"run_id": None if receipt is None else receipt.run_id})
        return self._evidence(pins, root), pins

    def _evidence(self, pins: Pins, root: RunRoot) -> Evidence:
        return assemble_evidence(
            self.engine.pack,
            self.plan.outputs,
            pins,
            root,
            policy_revision=self.plan.policy_revision,
            store=self.workspace.store,
            traffic_outputs=self.engine.policy.traffic_outputs,
        )

    def _conclude(self, evidence: Evidence, pins: Pins, *, attempt_id: str | None) -> RunStatus:
        """What follows from evidence."""
        evidence = self._within_deadline(evidence)
        self._tell_evidence(evidence)
        if evidence.state is EvidenceState.WAITING:
            return self._waiting(evidence)
        if evidence.state is EvidenceState.CONFLICT:
            return self.status(RunState.QUARANTINED, evidence.reasons)
        if evidence.state is EvidenceState.FAIL or evidence.oracle_pack is None:
            return self.status(RunState.FAILED, evidence.reasons)
        self.writer.confirm()
        refused = commit_instance_receipts(self.workspace.store, evidence)
        if refused:
            return self.status(RunState.FAILED, refused)
        if attempt_id is None:
            self.writer.tell(EventKind.RUN_REUSED, "reused", {"root": self.plan.root.root, "run_id": pins.run_id})
        facts = self._facts(evidence, evidence.oracle_pack, pins, attempt_id)
        self.writer.put_once("facts.json", facts)
        return self._ready(facts)

    def _within_deadline(self, evidence: Evidence) -> Evidence:
        status = self.writer.status
        if status is None or status.state is not RunState.WAITING:
            return evidence
        waited = (self.workspace.now() - status.at).total_seconds()
        return past_deadline(evidence, waited_s=waited, evidence_wait_seconds=self.plan.evidence_wait_seconds)

    def _tell_evidence(self, evidence: Evidence) -> None:
        self.writer.confirm()
        digest = put_evidence(self.writer.documents, evidence)
        details = {
            "digest": digest,
            "state": evidence.state.value,
            "bundle_digest": evidence.bundle_digest if evidence.state is EvidenceState.COMPLETE else None,
            "reasons": [reason.code.value for reason in evidence.reasons],
            "missing": len(evidence.missing),
        }
        self.writer.tell(EventKind.EVIDENCE_ASSEMBLED, digest, details)

    def _waiting(self, evidence: Evidence) -> RunStatus:
        status = self.writer.status
        if status is not None and status.state is RunState.WAITING:
            return status
        self.observers.tell("run_waits", run_id=self.plan.run_id, missing=len(evidence.missing))
        return self.status(RunState.WAITING, evidence.reasons)

    def _facts(self, evidence: Evidence, oracle_pack: OraclePackRef, pins: Pins, attempt_id: str | None) -> RunFacts:
        found = {locator.output_id for locator in evidence.locators}
        return RunFacts(
            run_id=self.plan.run_id,
            platform_run_id=self.plan.platform_run_id,
            scenario_run_id=self.plan.scenario_run_id,
            run_config_digest=self.plan.run_config_digest,
            engine=self.plan.engine,
            pins=pins,
            window=self.plan.window,
            policy_revision=self.plan.policy_revision,
            plan_digest=self.plan.digest,
            attempt_id=attempt_id,
            oracle_pack_ref=oracle_pack,
            bundle_digest=evidence.bundle_digest,
            locators=evidence.locators,
            gate_receipts=evidence.gate_receipts,
            instance_receipts=evidence.instance_receipts,
            missing_optional=tuple(output for output in self.plan.outputs if output not in found),
        )

    def _ready(self, facts: RunFacts) -> RunStatus:
        return self.status(RunState.READY, facts_digest=facts.digest)
