from __future__ import annotations

import json
from typing import Any

import pytest

from contracts.authority.evidence import OraclePackRef
from contracts.authority.oracle_pack import bare_pack, identified_pack
from contracts.authority.pins import Pins
from contracts.authority.reasons import Reason, ReasonCode

PINS = Pins(manifest_fingerprint="m", parameter_hash="p", seed=7, scenario_id="s")


def identified(document: Any) -> OraclePackRef | Reason:
    return identified_pack(json.dumps(document).encode(), "/root", PINS)


def test_a_run_root_without_a_manifest_is_its_place_and_no_more() -> None:
    assert bare_pack("/root") == OraclePackRef(engine_run_root="/root")


@pytest.mark.parametrize("pins", [{}, {"seed": 7}, {"seed": "7", "manifest_fingerprint": "m"}, {"run_id": "anybody's"}])
def test_a_manifest_of_these_pins_gives_the_pack_its_identity(pins: dict[str, Any]) -> None:
    found = identified({"oracle_pack_id": "o1", "engine_release": "9", "pins": pins, "made_by": "an engine"})
    assert found == OraclePackRef(
        engine_run_root="/root", manifest_ref="_oracle_pack_manifest.json", oracle_pack_id="o1", engine_release="9"
    )


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"oracle_pack_id": ""},
        {"oracle_pack_id": 7},
        {"oracle_pack_id": "o", "engine_release": 2},
        {"oracle_pack_id": "o", "pins": ["m"]},
        {"oracle_pack_id": "o", "pins": {"sed": 7}},
        {"oracle_pack_id": "o", "pins": {"seed": None}},
    ],
)
def test_a_bad_manifest_is_invalid(document: Any) -> None:
    found = identified(document)
    assert isinstance(found, Reason)
    assert (found.code, found.member) == (ReasonCode.ORACLE_PACK_INVALID, "_oracle_pack_manifest.json")


@pytest.mark.parametrize(
    "data", [b"", b"{", b"\xff", b'{"oracle_pack_id": "a", "oracle_pack_id": "b"}', b"[" * 100_000]
)
def test_a_manifest_that_is_no_json_is_invalid(data: bytes) -> None:
    found = identified_pack(data, "/root", PINS)
    assert isinstance(found, Reason)
    assert found.code is ReasonCode.ORACLE_PACK_INVALID


@pytest.mark.parametrize("name", ["manifest_fingerprint", "parameter_hash", "seed", "scenario_id"])
def test_other_pins_are_a_mismatch(name: str) -> None:
    found = identified({"oracle_pack_id": "o", "pins": {name: "8"}})
    assert isinstance(found, Reason)
    assert found.code is ReasonCode.ORACLE_PACK_MISMATCH
    assert (found.expected, found.observed) == (f"{name} {PINS.text(name)}", f"{name} 8")
