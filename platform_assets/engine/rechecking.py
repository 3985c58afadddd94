"""Executing an engine's checks alone: the run root is read again, and each gate says what it makes of it now.

Nothing of the run is changed by it: what was READY stays READY, whoever reads it verifies what it reads, and a person
puts it into quarantine when the bytes are not those that passed.
"""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg

from contracts.authority.evidence import Evidence
from contracts.authority.pack import EnginePack
from contracts.authority.plans import RunPlan
from platform_assets.engine.engine_specs import EngineKeys, gate_subject, plain_name
from platform_assets.engine.run_events import gate_events
from platform_assets.ingest.asset_events import inert
from resources.authority.evidence_reader import assemble_evidence
from resources.authority.run_documents import RunDocuments, RunNotFoundError
from resources.authority.run_roots import open_run_root
from resources.workspace import Workspace


def recheck(workspace: Workspace, pack: EnginePack, run_id: str) -> Iterator[dg.AssetCheckResult]:
    """The verdicts of a run's gates on what its run root holds now.

    Raises:
        RunNotFoundError: There is no such run, or it was never planned.
        StoreError: The run root's disk or server refused: nothing is known.
    """
    documents = RunDocuments(workspace.store, run_id)
    plan, facts = documents.plan(), documents.facts()
    if plan is None:
        raise RunNotFoundError(run_id=run_id)
    evidence = assemble_evidence(
        pack,
        plan.outputs,
        plan.pins if facts is None else facts.pins,
        open_run_root(plan.root.root),
        policy_revision=plan.policy_revision,
        store=workspace.store,
        traffic_outputs=workspace.engine(pack.name).policy.traffic_outputs,
    )
    yield from gate_events(pack, evidence)
    passed = () if facts is None else tuple(receipt.gate_id for receipt in facts.gate_receipts)
    yield from _without_verdict(pack, plan, evidence, passed)


def _without_verdict(
    pack: EnginePack, plan: RunPlan, evidence: Evidence, passed: tuple[str, ...]
) -> Iterator[dg.AssetCheckResult]:
    """Gates that passed and of which nothing can be seen any more: unknown is not passed."""
    seen = {receipt.gate_id for receipt in evidence.gate_receipts}
    for gate in (pack.gates[name] for name in plan.gates if name in passed and name in pack.gates):
        if gate.id not in seen and gate_subject(gate) in pack.outputs:
            yield dg.AssetCheckResult(
                passed=False,
                asset_key=EngineKeys(pack.name).output(gate_subject(gate)),
                check_name=plain_name(gate.id),
                description=inert("It passed, and its flag or bundle is not there any more."),
            )
