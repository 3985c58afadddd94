"""Documents of a run for tests, made by hand: as small as their schemas allow."""

from __future__ import annotations

import datetime as dt

from contracts.authority.envelopes import Envelope, EnvelopeKind, terminal_signal
from contracts.authority.evidence import EngineGateReceipt, Locator, Member, OraclePackRef, Role, Sha256
from contracts.authority.facts import ReadySignal, RunFacts, TerminalSignal, ready_signal
from contracts.authority.identities import run_id_of, scenario_run_id_of
from contracts.authority.pins import Pins
from contracts.authority.reasons import Reason, ReasonCode
from contracts.authority.status import RunState, RunStatus
from contracts.refs import digest_bytes

AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
REVISION = digest_bytes(b"revision")
PLAN = digest_bytes(b"plan")


def pins(run_id: str) -> Pins:
    return Pins(manifest_fingerprint="m1", parameter_hash="p1", seed=7, scenario_id="behaves", run_id=run_id)


def facts(name: str) -> RunFacts:
    """The facts of a run whose key is `name`."""
    run_id = run_id_of(name)
    member = Member(path="m1/part-0.txt", size_bytes=2, sha256="a" * 64)
    locator = Locator(
        output_id="numbers",
        role=Role.NON_TRAFFIC,
        scope={"manifest_fingerprint": "m1"},
        path="m1/part-*.txt",
        content_digest=Sha256(hex="b" * 64),
        members=(member,),
        gates=("numbers_passed",),
    )
    receipt = EngineGateReceipt(
        gate_id="numbers_passed",
        scope={"manifest_fingerprint": "m1"},
        law="sha256_bundle_digest",
        ordering="ascii_lex",
        path_base="bundle_root",
        bundle_root="m1",
        passed=True,
        expected="c" * 64,
        observed="c" * 64,
        flag=member,
        index=None,
        members=(member,),
        failing_member=None,
        problem=None,
    )
    return RunFacts(
        run_id=run_id,
        platform_run_id=run_id,
        scenario_run_id=scenario_run_id_of("toy", "behaves", run_id),
        run_config_digest=digest_bytes(b"config"),
        engine="toy",
        pins=pins(run_id),
        window=None,
        policy_revision=REVISION,
        plan_digest=PLAN,
        attempt_id=None,
        oracle_pack_ref=OraclePackRef(engine_run_root="/results"),
        bundle_digest=digest_bytes(b"bundle"),
        locators=(locator,),
        gate_receipts=(receipt,),
    )


def status(name: str, state: RunState = RunState.FAILED, number: int = 1, before: RunStatus | None = None) -> RunStatus:
    """A status of a run whose key is `name`."""
    run_id = run_id_of(name)
    reason = Reason(code=ReasonCode.ENGINE_EXIT_NONZERO, subject="toy", observed="3", hint="See what it said.")
    return RunStatus(
        number=number,
        parent=None if before is None else before.digest,
        run_id=run_id,
        engine="toy",
        state=state,
        before=None if before is None else before.state,
        reasons=(reason,) if state.is_bad else (),
        at=AT,
        term=1,
        pins=pins(run_id),
        policy_revision=REVISION,
        plan_digest=PLAN,
    )


def signal(name: str, kind: EnvelopeKind) -> ReadySignal | TerminalSignal:
    """The signal of a run's end."""
    return ready_signal(facts(name), "engine/facts.json") if kind.is_ready else terminal_signal(status(name))


def envelope(name: str, kind: EnvelopeKind = EnvelopeKind.READY) -> Envelope:
    """An envelope about a run whose key is `name`."""
    told = signal(name, kind)
    return Envelope(
        kind=kind,
        message_id=told.message_id,
        run_id=told.run_id,
        engine=told.engine,
        fact_digest=told.digest,
        fact=told,
        published_at=AT,
    )
