"""Making a run's plan of its request: a function of request, pack and policy, whoever makes it and whenever."""

from __future__ import annotations

from pathlib import Path

from contracts.authority.identities import scenario_run_id_of
from contracts.authority.pack import Availability
from contracts.authority.pins import Pins
from contracts.authority.plans import RootSource, RunPlan, run_config_digest_of
from contracts.authority.reasons import Reason, ReasonCode, ReasonError
from contracts.authority.requests import RunRequest, Strategy
from resources.authority.engines import Engine


def make_plan(request: RunRequest, engine: Engine, platform_roots: Path) -> RunPlan:
    """The plan for a request.

    Args:
        request: As it was admitted.
        engine: As it is now.
        platform_roots: Where an engine writes that nobody named a place for.

    Raises:
        ReasonError: UNKNOWN_OUTPUT_ID, UNKNOWN_GATE_ID, REUSE_NOT_ALLOWED, ENGINE_ROOT_MISSING.
    """
    if request.strategy is Strategy.REUSE and not engine.policy.reuse:
        raise ReasonError(
            Reason(
                code=ReasonCode.REUSE_NOT_ALLOWED,
                subject=engine.name,
                expected="reuse: true in the engine's policy",
                observed="false",
                hint="Submit with strategy invoke under a new key, or let the policy allow it.",
            )
        )
    outputs = request.outputs or tuple(sorted(engine.pack.outputs))
    gates = engine.pack.required_gates(outputs)
    pins = request.pins.pins(request.run_id)
    return RunPlan(
        run_id=request.run_id,
        platform_run_id=request.run_id,
        scenario_run_id=scenario_run_id_of(engine.name, pins.scenario_id, request.run_id),
        engine=engine.name,
        run_equivalence_key=request.run_equivalence_key,
        intent=request.intent,
        requested=request.pins,
        pins=pins,
        window=request.window,
        strategy=request.strategy,
        outputs=outputs,
        optional=tuple(o for o in outputs if engine.pack.output(o).availability is Availability.OPTIONAL),
        gates=gates,
        root=run_root_of(request, engine, pins, platform_roots),
        policy_revision=engine.revision,
        pack_revision=engine.pack.policy_revision,
        attempt_limit=engine.policy.attempt_limit,
        timeout_s=engine.policy.timeout_s,
        evidence_wait_seconds=engine.policy.evidence_wait_seconds,
        run_config_digest=run_config_digest_of(request, outputs, engine.revision),
    )


def run_root_of(request: RunRequest, engine: Engine, pins: Pins, platform_roots: Path) -> RootSource:
    """Where the engine's results are: where the policy says, else where the request says, else in the home.

    Raises:
        ReasonError: ENGINE_ROOT_MISSING: results are to be reused, and nobody says where they are.
    """
    asked = request.engine_run_root
    if engine.policy.engine_root is not None:
        root = engine.policy.engine_root.format_map(pins.model_dump(mode="json"))
        return RootSource(root=root, said_by="policy", overridden=asked if asked not in {None, root} else None)
    if asked is not None:
        return RootSource(root=asked, said_by="request")
    if request.strategy is Strategy.REUSE:
        raise ReasonError(
            Reason(
                code=ReasonCode.ENGINE_ROOT_MISSING,
                subject=engine.name,
                expected="engine_run_root in the request, or engine_root in the engine's policy",
                observed="neither",
                hint="Name the run root whose results are to be reused, and submit under a new key.",
            )
        )
    return RootSource(root=str(platform_roots / engine.name / request.run_id), said_by="platform")
