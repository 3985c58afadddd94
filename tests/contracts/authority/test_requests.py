"""Run requests: what is one, what is none and why, and what two have in common."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.authority.errors import RequestError
from contracts.authority.identities import scenario_id_of_set
from contracts.authority.requests import RunRequest, Strategy, parse_request
from contracts.canonical import canonical_bytes

PINS: dict[str, Any] = {"manifest_fingerprint": "m1", "parameter_hash": "p1", "seed": 7, "scenario_id": "base"}
SOUND: dict[str, Any] = {"engine": "toy", "run_equivalence_key": "k1", "pins": PINS, "actor": "ann"}
WORLD = {name: value for name, value in PINS.items() if name != "scenario_id"}


def parsed(**changed: Any) -> RunRequest:
    given = {name: value for name, value in {**SOUND, **changed}.items() if value is not None}
    return parse_request(canonical_bytes(given), "request.json")


def test_yaml_and_json_are_the_same_request() -> None:
    yaml = b"""
engine: toy
run_equivalence_key: k1
pins: {manifest_fingerprint: m1, parameter_hash: p1, seed: 7, scenario_id: base}
actor: ann
"""
    assert parse_request(yaml, "request.yaml") == parsed()


def test_what_is_left_out_has_its_default() -> None:
    request = parsed()

    assert (request.strategy, request.outputs, request.window, request.engine_run_root) == (
        Strategy.AUTO,
        None,
        None,
        None,
    )


SAME: dict[str, dict[str, Any]] = {
    "another actor": {"actor": "bob"},
    "outputs in another order, twice": {"outputs": ["b", "a", "b"]},
    "the same moments in another zone": {
        "window": {"start": "2026-01-01T01:00:00+01:00", "end": "2026-01-02T00:00:00+00:00"}
    },
    "scenarios in another order": {"pins": WORLD | {"scenario_set": ["b", "a"]}},
}
AS: dict[str, dict[str, Any]] = {
    "another actor": {},
    "outputs in another order, twice": {"outputs": ["a", "b"]},
    "the same moments in another zone": {"window": {"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"}},
    "scenarios in another order": {"pins": WORLD | {"scenario_set": ["a", "b"]}},
}


@pytest.mark.parametrize("case", SAME)
def test_the_same_intent(case: str) -> None:
    assert parsed(**SAME[case]).intent == parsed(**AS[case]).intent


def test_the_key_is_no_part_of_the_intent_and_all_of_the_run() -> None:
    assert parsed().intent == parsed(run_equivalence_key="k2").intent
    assert parsed().run_id != parsed(run_equivalence_key="k2").run_id


def test_a_set_of_scenarios_stands_under_a_name_of_its_own() -> None:
    request = parsed(pins=WORLD | {"scenario_set": ["b", "a"]})

    assert request.pins.pins("r").scenario_id == scenario_id_of_set(["a", "b"])


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "no engine": ({"engine": None}, "engine is missing"),
    "an engine that leaves its folder": ({"engine": "../x"}, "does not match"),
    "no key": ({"run_equivalence_key": None}, "run_equivalence_key is missing"),
    "an empty key": ({"run_equivalence_key": ""}, "run_equivalence_key"),
    "a key over two lines": ({"run_equivalence_key": "a\nb"}, "run_equivalence_key"),
    "no actor": ({"actor": None}, "actor is missing"),
    "both scenario and set": ({"pins": PINS | {"scenario_set": ["a"]}}, "exactly one of scenario_id and scenario_set"),
    "neither": ({"pins": WORLD}, "exactly one of scenario_id and scenario_set"),
    "an empty set": ({"pins": WORLD | {"scenario_set": []}}, "it is empty"),
    "a seed below 0": ({"pins": PINS | {"seed": -1}}, "too small"),
    "a seed that JSON would round": ({"pins": PINS | {"seed": 2.0**54}}, "pins.seed"),
    "a seed that is text": ({"pins": PINS | {"seed": "7"}}, "expected a whole number"),
    "a pin with a slash": ({"pins": PINS | {"manifest_fingerprint": "a/b"}}, "pins.manifest_fingerprint"),
    "a pin that hides": ({"pins": PINS | {"parameter_hash": ".."}}, "pins.parameter_hash"),
    "a window that ends first": (
        {"window": {"start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"}},
        "is not after its start",
    ),
    "a window without a zone": ({"window": {"start": "2026-01-01T00:00:00", "end": "2026-01-02T00:00:00"}}, "timezone"),
    "half a window": ({"window": {"start": "2026-01-01T00:00:00Z"}}, "end is missing"),
    "no outputs": ({"outputs": []}, "it is empty"),
    "an unknown strategy": ({"strategy": "guess"}, "'guess' is not known here"),
    "a relative root": ({"engine_run_root": "results"}, "engine_run_root"),
    "a root of another kind": ({"engine_run_root": "http://x/y"}, "engine_run_root"),
    "a bucket without a prefix": ({"engine_run_root": "s3://bucket"}, "engine_run_root"),
    "an unknown key": ({"seeed": 7}, "this key is not known"),
    "another format": ({"format": "hashgate/engine-request/v2"}, "format"),
}


@pytest.mark.parametrize(("changed", "said"), BROKEN.values(), ids=BROKEN)
def test_what_is_no_request_is_refused_with_the_reason(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError) as refused:
        parsed(**changed)

    assert said in str(refused.value)
    assert str(refused.value).startswith("request.json: line 1")
    assert refused.value.exit_code == 2
    assert refused.value.evidence["source"] == "request.json"


def test_all_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(RequestError, match=r"engine: expected text.*Also: .*actor is missing"):
        parse_request(b"engine: 3\nrun_equivalence_key: k\npins: {}\n", "r")


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b"a: &x 1\nb: *x"])
def test_what_is_no_document_is_refused(data: bytes) -> None:
    with pytest.raises(RequestError):
        parse_request(data, "r")
