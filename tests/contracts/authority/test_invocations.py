"""What an engine is told, how its command is filled, and what its receipt must say."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.authority.invocations import Invocation, invocation_of, parse_receipt, resolved_command
from contracts.authority.reasons import ReasonCode, ReasonError
from contracts.authority.requests import RequestedPins
from contracts.canonical import canonical_bytes
from tests.engine_documents import pins

RUN = "r1"
REQUESTED = RequestedPins(manifest_fingerprint="m1", parameter_hash="p1", seed=7, scenario_id="behaves")
ABOUT: dict[str, Any] = {
    "attempt_id": "a1",
    "attempt": 1,
    "engine_run_root": "/results",
    "window": None,
    "outputs": ("numbers",),
    "receipt": "run_receipt.json",
}
RECEIPT: dict[str, Any] = {
    "run_id": RUN,
    "manifest_fingerprint": "m1",
    "parameter_hash": "p1",
    "seed": 7,
    "scenario_id": "behaves",
}


def code_of(error: pytest.ExceptionInfo[ReasonError]) -> ReasonCode:
    code: ReasonCode = error.value.evidence["reason"].code
    return code


def test_an_invocation_says_everything() -> None:
    made = invocation_of(engine="toy", pins=pins(RUN), requested=REQUESTED, about=ABOUT)

    assert Invocation.model_validate_json(made.text()) == made
    assert (made.run_id, made.seed, made.scenario_set) == (RUN, 7, None)


@pytest.mark.parametrize("changed", [{"attempt": 0}, {"attempt_id": None}, {"more": 1}, {"outputs": 3}])
def test_what_makes_no_invocation_has_its_code(changed: dict[str, Any]) -> None:
    with pytest.raises(ReasonError, match="ENGINE_INVOCATION_INVALID") as refused:
        invocation_of(engine="toy", pins=pins(RUN), requested=REQUESTED, about=ABOUT | changed)

    assert code_of(refused) is ReasonCode.ENGINE_INVOCATION_INVALID


def test_placeholders_are_text_and_nothing_more() -> None:
    filled = resolved_command(["{python}", "a{seed}b", "{{literal}}"], {"python": "{seed}; rm", "seed": "7"}, "toy")

    assert filled == ("{seed}; rm", "a7b", "{literal}")


@pytest.mark.parametrize("part", ["{moon}", "{seed", "seed}", "{}", "{0}", "{seed!r}", "{seed:{seed}}", "{seed[0]}"])
def test_what_cannot_be_filled_has_its_code(part: str) -> None:
    with pytest.raises(ReasonError, match="ENGINE_COMMAND_TEMPLATE_UNRESOLVED") as refused:
        resolved_command([part], {"seed": "7"}, "toy")

    assert refused.value.evidence["reason"].subject == part


def test_no_command_is_a_missing_one() -> None:
    with pytest.raises(ReasonError, match="ENGINE_COMMAND_MISSING"):
        resolved_command([], {}, "toy")


def test_a_receipt_may_say_more_than_we_ask() -> None:
    said = parse_receipt(canonical_bytes(RECEIPT | {"release": "9"}), pins(RUN), "r.json", ours=True)

    assert said.run_id == RUN


INVALID = {
    "nothing": b"",
    "no JSON": b"{",
    "a list": b"[]",
    "a name twice": b'{"run_id":"a","run_id":"b"}',
    "NaN": b"NaN",
}


@pytest.mark.parametrize("data", INVALID.values(), ids=INVALID)
def test_what_is_no_receipt_is_invalid(data: bytes) -> None:
    with pytest.raises(ReasonError, match="ENGINE_RECEIPT_INVALID"):
        parse_receipt(data, pins(RUN), "r.json", ours=True)


@pytest.mark.parametrize("field", RECEIPT)
def test_a_receipt_without_a_pin_is_invalid(field: str) -> None:
    said = {name: value for name, value in RECEIPT.items() if name != field}

    with pytest.raises(ReasonError, match=f"ENGINE_RECEIPT_INVALID: r.json.*{field}"):
        parse_receipt(canonical_bytes(said), pins(RUN), "r.json", ours=True)


def test_no_receipt_is_missing() -> None:
    with pytest.raises(ReasonError, match="ENGINE_RECEIPT_MISSING"):
        parse_receipt(None, pins(RUN), "r.json", ours=True)


@pytest.mark.parametrize("field", RECEIPT)
@pytest.mark.parametrize("ours", [True, False])
def test_a_receipt_of_other_pins_is_a_mismatch(field: str, ours: bool) -> None:
    other = RECEIPT | {field: 8 if field == "seed" else "other"}
    if field == "run_id" and not ours:
        assert parse_receipt(canonical_bytes(other), pins(RUN), "r.json", ours=False).run_id == "other"
        return

    with pytest.raises(ReasonError, match="ENGINE_RECEIPT_MISMATCH") as refused:
        parse_receipt(canonical_bytes(other), pins(RUN), "r.json", ours=ours)

    reason = refused.value.evidence["reason"]
    assert (reason.expected, reason.observed) == (f"{field} {RECEIPT[field]}", f"{field} {other[field]}")
