from __future__ import annotations

import pytest
from pydantic import ValidationError

from contracts.authority.evidence import (
    Evidence,
    EvidenceState,
    InstanceReceipt,
    Locator,
    Member,
    Missing,
    Role,
    Sha256,
    past_deadline,
)
from contracts.authority.instance_receipts import instance_receipt, receipt_key
from contracts.authority.pack import EngineOutput
from contracts.authority.pins import Pins
from contracts.authority.reasons import Reason, ReasonCode

DIGEST = "0" * 64
FLAG = Missing(kind="flag", subject="g", path="a/_passed.flag")
PINS = Pins(manifest_fingerprint="m", parameter_hash="p", seed=7, scenario_id="s")
OUTPUT = EngineOutput(id="o", path="o.csv", scope=("scenario_id", "seed", "manifest_fingerprint"))


def evidence(state: EvidenceState, *missing: Missing, **more: object) -> Evidence:
    return Evidence.model_validate(
        {"state": state, "policy_revision": "r", "oracle_pack": None, "missing": missing, **more}
    )


def locator(output_id: str, digest: str = DIGEST) -> Locator:
    return Locator(
        output_id=output_id,
        role=Role.NON_TRAFFIC,
        scope={"seed": "7"},
        path=f"{output_id}.csv",
        content_digest=Sha256(hex=digest),
        members=(Member(path=f"{output_id}.csv", size_bytes=1, sha256=digest),),
        gates=("g",),
    )


@pytest.mark.parametrize("waited_s", [0, 9.5, 10])
def test_until_the_deadline_evidence_waits(waited_s: float) -> None:
    waiting = evidence(EvidenceState.WAITING, FLAG)
    assert past_deadline(waiting, waited_s=waited_s, evidence_wait_seconds=10) is waiting


def test_after_the_deadline_it_fails_and_says_what_was_missing() -> None:
    reason = Reason(code=ReasonCode.EVIDENCE_MISSING, subject="g", hint="Wait.")
    failed = past_deadline(
        evidence(EvidenceState.WAITING, FLAG, reasons=(reason,)), waited_s=10.1, evidence_wait_seconds=10
    )
    assert failed.state is EvidenceState.FAIL
    assert [r.code for r in failed.reasons] == [ReasonCode.EVIDENCE_MISSING_DEADLINE, ReasonCode.EVIDENCE_MISSING]
    assert (failed.reasons[0].subject, failed.reasons[0].member) == ("g", "a/_passed.flag")
    assert failed.reasons[0].observed == "1 still missing after 10 s"


@pytest.mark.parametrize("state", [EvidenceState.COMPLETE, EvidenceState.CONFLICT, EvidenceState.FAIL])
def test_only_waiting_has_a_deadline(state: EvidenceState) -> None:
    assert past_deadline(evidence(state), waited_s=1e9, evidence_wait_seconds=0).state is state


def test_the_bundle_digest_does_not_depend_on_the_order_in_which_things_were_found() -> None:
    one = evidence(EvidenceState.COMPLETE, locators=(locator("a"), locator("b")))
    two = evidence(EvidenceState.COMPLETE, locators=(locator("b"), locator("a")))
    assert one.bundle_digest == two.bundle_digest


def test_the_bundle_digest_changes_with_content_and_policy() -> None:
    digests = {
        evidence(EvidenceState.COMPLETE, locators=(locator("a"),)).bundle_digest,
        evidence(EvidenceState.COMPLETE, locators=(locator("a", "1" * 64),)).bundle_digest,
        evidence(EvidenceState.COMPLETE, locators=(locator("a"), locator("b"))).bundle_digest,
        evidence(EvidenceState.COMPLETE, locators=(locator("a"),), policy_revision="other").bundle_digest,
    }
    assert len(digests) == 4


@pytest.mark.parametrize("path", ["/a", "../a", "a/../b", "a//b", "./a", "", "a\nb", "a\x7f", "a\\b"])
def test_a_locator_never_has_a_path_that_leaves_the_run_root(path: str) -> None:
    with pytest.raises(ValidationError):
        Member(path=path, size_bytes=0, sha256=DIGEST)


# --- receipts of instances ---


def test_a_receipt_s_place_has_the_pins_of_the_scope_in_the_order_of_paths() -> None:
    made = instance_receipt("e", OUTPUT, PINS, path="o.csv", content_digest=Sha256(hex=DIGEST))
    assert isinstance(made, InstanceReceipt)
    assert receipt_key(made) == "engine/receipts/e/o/manifest_fingerprint=m/seed=7/scenario_id=s/receipt.json"
    assert made == InstanceReceipt.from_bytes(made.to_bytes())


def test_a_receipt_has_no_time_in_it() -> None:
    made = instance_receipt("e", OUTPUT, PINS, path="o.csv", content_digest=Sha256(hex=DIGEST))
    assert isinstance(made, InstanceReceipt)
    assert made.model_dump().keys() == {"format", "engine", "output_id", "scope", "path", "content_digest"}


def test_without_a_digest_there_is_no_receipt() -> None:
    made = instance_receipt("e", OUTPUT, PINS, path="o.csv", content_digest=None)
    assert isinstance(made, Reason)
    assert made.code is ReasonCode.INSTANCE_DIGEST_MISSING


def test_without_a_pin_of_its_scope_there_is_no_receipt() -> None:
    output = OUTPUT.model_copy(update={"scope": ("run_id",)})
    made = instance_receipt("e", output, PINS, path="o.csv", content_digest=Sha256(hex=DIGEST))
    assert isinstance(made, Reason)
    assert (made.code, made.expected) == (ReasonCode.INSTANCE_SCOPE_MISSING, "a value for run_id")


def test_a_receipt_that_breaks_its_schema_is_not_drawn_up() -> None:
    made = instance_receipt("e", OUTPUT, PINS, path="../o.csv", content_digest=Sha256(hex=DIGEST))
    assert isinstance(made, Reason)
    assert made.code is ReasonCode.INSTANCE_RECEIPT_SCHEMA_INVALID
    assert "path" in str(made.observed)
