"""The plan of a run: what it is to bring about, under which policy. Made once, canonical, never changed.

It holds no time and nothing of chance: whoever plans the same request under the same policy makes the same plan.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from contracts.authority.pins import Pins
from contracts.authority.requests import RequestedPins, RunRequest, Strategy, Window
from contracts.refs import Digest, Frozen, digest_json, parse_digest
from contracts.sealing import Sealed


class RootSource(Frozen):
    """Where the engine's results are, and who said so."""

    root: str
    said_by: Literal["policy", "request", "platform"]
    overridden: str | None = None
    """What the request named, where the policy names another."""


class RunPlan(Sealed):
    """What one run is to bring about."""

    format: Literal["hashgate/run-plan/v1"] = "hashgate/run-plan/v1"
    run_id: str
    platform_run_id: str
    scenario_run_id: str
    engine: str
    run_equivalence_key: str
    intent: Digest
    requested: RequestedPins
    pins: Pins
    window: Window | None
    strategy: Strategy
    outputs: tuple[str, ...] = Field(min_length=1)
    """Every output that is wanted, sorted."""
    optional: tuple[str, ...]
    """Those of `outputs` that do not block."""
    gates: tuple[str, ...]
    """Every gate that readers of the outputs need, upstream ones first."""
    root: RootSource
    policy_revision: Digest
    pack_revision: Digest
    attempt_limit: int
    timeout_s: float
    evidence_wait_seconds: float
    run_config_digest: Digest
    """Over all that configures the run; the same configuration under another key gives the same."""

    _check_digests = field_validator("intent", "policy_revision", "pack_revision", "run_config_digest")(parse_digest)


def run_config_digest_of(request: RunRequest, outputs: tuple[str, ...], policy_revision: Digest) -> Digest:
    """The digest of a run's configuration."""
    return digest_json(
        {
            "engine": request.engine,
            "pins": request.pins.model_dump(mode="json"),
            "window": None if request.window is None else request.window.model_dump(mode="json"),
            "outputs": list(outputs),
            "strategy": request.strategy.value,
            "policy_revision": policy_revision,
        }
    )
