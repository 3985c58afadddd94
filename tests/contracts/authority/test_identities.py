"""The names that the authority gives, computed once more by hand."""

from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.authority.identities import (
    attempt_id_of,
    event_id_of,
    ready_message_id,
    run_id_of,
    scenario_id_of_set,
    scenario_run_id_of,
    terminal_message_id,
)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_they_are_what_the_requirements_say() -> None:
    assert run_id_of("key") == sha256("key")[:32]
    assert attempt_id_of("r", 2, "ann") == sha256("r|2|ann")[:32]
    assert ready_message_id("p", "s", "blake3:b") == sha256("ready|p|s|blake3:b")[:32]
    assert terminal_message_id("r", "FAILED", "blake3:s") == sha256("terminal|r|FAILED|blake3:s")


def test_they_are_what_they_were() -> None:
    assert run_id_of("k1") == "6ab9f1eb8f7d3388f4f9d586f66e99fd"
    assert scenario_id_of_set(["b", "a"]) == "set-" + sha256("a|b")[:16]


@given(st.text(), st.text())
def test_two_keys_are_two_runs(one: str, two: str) -> None:
    same = one.encode("utf-8", "surrogatepass") == two.encode("utf-8", "surrogatepass")
    if any("\ud800" <= sign <= "\udfff" for sign in one + two):
        return
    assert (run_id_of(one) == run_id_of(two)) == same
    assert re.fullmatch("[0-9a-f]{32}", run_id_of(one))


@pytest.mark.parametrize("changed", [("r2", "KIND", "x"), ("r", "OTHER", "x"), ("r", "KIND", "y")])
def test_another_happening_has_another_name(changed: tuple[str, str, str]) -> None:
    assert event_id_of(*changed) != event_id_of("r", "KIND", "x")
    assert scenario_run_id_of(*changed) != scenario_run_id_of("r", "KIND", "x")


def test_the_order_of_a_set_does_not_matter() -> None:
    assert scenario_id_of_set(["a", "b"]) == scenario_id_of_set(["b", "a"]) != scenario_id_of_set(["ab"])
