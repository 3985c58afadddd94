"""What a READY run brought about: the facts that everything downstream joins with, and the signal that they are there.

Both are written once. A correction is another run that supersedes this one; nothing here is ever changed.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from contracts.authority.evidence import EngineGateReceipt, InstanceReceipt, Locator, OraclePackRef
from contracts.authority.identities import ready_message_id
from contracts.authority.pins import Pins
from contracts.authority.requests import Window
from contracts.refs import Digest, parse_digest
from contracts.sealing import Sealed


class RunFacts(Sealed):
    """run_facts_view: every output of a READY run, where it is, of which bytes it is made, and what let it through."""

    format: Literal["hashgate/run-facts/v1"] = "hashgate/run-facts/v1"
    run_id: str
    platform_run_id: str
    scenario_run_id: str
    run_config_digest: Digest
    engine: str
    pins: Pins
    """As the engine knows the run: of a reused one, `run_id` is that of whoever ran it."""
    window: Window | None
    policy_revision: Digest
    plan_digest: Digest
    attempt_id: str | None
    """The attempt that brought the results about; None: they were there."""
    oracle_pack_ref: OraclePackRef
    bundle_digest: Digest
    """Over sorted locators, receipts and policy revision."""
    locators: tuple[Locator, ...] = Field(min_length=1)
    gate_receipts: tuple[EngineGateReceipt, ...]
    instance_receipts: tuple[InstanceReceipt, ...] = ()
    """That bind the bytes of outputs of one instance to its pins, as the store keeps them."""
    missing_optional: tuple[str, ...] = ()
    """Optional outputs that were wanted and are not there."""

    _check_digests = field_validator("run_config_digest", "policy_revision", "plan_digest", "bundle_digest")(
        parse_digest
    )

    @property
    def message_id(self) -> str:
        """READY's message id."""
        return ready_message_id(self.platform_run_id, self.scenario_run_id, self.bundle_digest)

    def locator(self, output_id: str) -> Locator | None:
        """Where an output is; None when the run has none of that name."""
        return next((found for found in self.locators if found.output_id == output_id), None)


class ReadySignal(Sealed):
    """That a run is READY: the last document of its commit, and what the bus carries."""

    format: Literal["hashgate/run-ready/v1"] = "hashgate/run-ready/v1"
    message_id: str = Field(pattern="^[0-9a-f]{32}$")
    run_id: str
    platform_run_id: str
    scenario_run_id: str
    run_config_digest: Digest
    engine: str
    pins: Pins
    policy_revision: Digest
    plan_digest: Digest
    facts_digest: Digest
    facts_key: str
    """Where the facts lie in the store."""
    bundle_digest: Digest
    oracle_pack_ref: OraclePackRef
    outputs: tuple[str, ...]


class TerminalSignal(Sealed):
    """That a run ended and nothing of it may be read."""

    format: Literal["hashgate/run-terminal/v1"] = "hashgate/run-terminal/v1"
    message_id: str = Field(pattern="^[0-9a-f]{64}$")
    run_id: str
    engine: str
    state: Literal["FAILED", "QUARANTINED"]
    reason_codes: tuple[str, ...]
    status_digest: Digest
    pins: Pins
    policy_revision: Digest


def ready_signal(facts: RunFacts, facts_key: str) -> ReadySignal:
    """The signal for committed facts: a function of them alone."""
    return ReadySignal(
        message_id=facts.message_id,
        run_id=facts.run_id,
        platform_run_id=facts.platform_run_id,
        scenario_run_id=facts.scenario_run_id,
        run_config_digest=facts.run_config_digest,
        engine=facts.engine,
        pins=facts.pins,
        policy_revision=facts.policy_revision,
        plan_digest=facts.plan_digest,
        facts_digest=facts.digest,
        facts_key=facts_key,
        bundle_digest=facts.bundle_digest,
        oracle_pack_ref=facts.oracle_pack_ref,
        outputs=tuple(locator.output_id for locator in facts.locators),
    )
