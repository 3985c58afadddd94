"""Status and record: forward only, each link on the one before, no earlier leader; and the envelopes about them."""

from __future__ import annotations

import itertools

import pytest

from contracts.authority.envelopes import Envelope, EnvelopeKind, terminal_signal
from contracts.authority.facts import ready_signal
from contracts.authority.identities import ready_message_id, terminal_message_id
from contracts.authority.reemission import ReemitKind, mismatch, over_limit, signals_to_reemit
from contracts.authority.status import RunState, RunStatus, may_follow
from contracts.canonical import canonical_bytes, parse_json
from tests.engine_documents import envelope, facts, status

FORWARD = {
    (RunState.PLANNED, RunState.EXECUTING),
    (RunState.EXECUTING, RunState.WAITING),
    (RunState.WAITING, RunState.READY),
    (RunState.WAITING, RunState.FAILED),
    (RunState.READY, RunState.QUARANTINED),
    (RunState.FAILED, RunState.QUARANTINED),
    (RunState.READY, RunState.SUPERSEDED),
    (RunState.QUARANTINED, RunState.SUPERSEDED),
}


@pytest.mark.parametrize(("before", "state"), sorted(FORWARD))
def test_a_run_goes_forward_and_never_back(before: RunState, state: RunState) -> None:
    assert may_follow(state, before)
    assert not may_follow(before, state)


@pytest.mark.parametrize("state", RunState)
def test_no_state_follows_itself_and_any_may_be_the_first(state: RunState) -> None:
    assert not may_follow(state, state)
    assert may_follow(state, None)


def test_ready_and_failed_exclude_each_other() -> None:
    assert not may_follow(RunState.READY, RunState.FAILED)
    assert not may_follow(RunState.FAILED, RunState.READY)


def test_only_ends_are_terminal() -> None:
    assert [s for s in RunState if not s.is_terminal] == [RunState.PLANNED, RunState.EXECUTING, RunState.WAITING]
    assert [s for s in RunState if s.is_bad] == [RunState.FAILED, RunState.QUARANTINED]


def test_a_status_follows_the_one_that_it_names() -> None:
    first = status("a", RunState.PLANNED)
    second = status("a", RunState.FAILED, 2, first)

    assert second.problem_after(first) is None
    assert second.problem_after(None) is not None
    assert first.problem_after(None) is None


BREAKS = {
    "another parent": ({"parent": None}, "its parent should be"),
    "another state before": ({"before": RunState.WAITING}, "does not follow"),
    "a state that is no later": ({"state": RunState.PLANNED}, "PLANNED does not follow PLANNED"),
    "an earlier leader": ({"term": 0}, "term 0 is over since 1"),
}


@pytest.mark.parametrize(("changed", "said"), BREAKS.values(), ids=BREAKS)
def test_what_does_not_follow_says_why(changed: dict[str, object], said: str) -> None:
    first = status("a", RunState.PLANNED)
    second = status("a", RunState.FAILED, 2, first).model_copy(update=changed)

    assert said in str(second.problem_after(first))


def test_a_status_is_what_was_written() -> None:
    written = status("a").to_bytes()

    assert RunStatus.from_bytes(written) == status("a")
    with pytest.raises(ValueError, match="its self-digest is"):
        RunStatus.from_bytes(written.replace(b'"FAILED"', b'"READY"'))


def test_facts_and_their_signal() -> None:
    told = facts("a")
    ready = ready_signal(told, "engine/facts.json")

    assert ready.message_id == ready_message_id(told.run_id, told.scenario_run_id, told.bundle_digest)
    assert (ready.facts_digest, ready.outputs) == (told.digest, ("numbers",))
    assert (ready.platform_run_id, ready.scenario_run_id, ready.run_config_digest) == (
        told.platform_run_id,
        told.scenario_run_id,
        told.run_config_digest,
    )
    assert told.locator("numbers") == told.locators[0]
    assert told.locator("moon") is None


def test_a_bad_ends_signal_is_a_function_of_its_status() -> None:
    ended = status("a")
    signal = terminal_signal(ended)

    assert signal == terminal_signal(ended)
    assert signal.message_id == terminal_message_id(ended.run_id, "FAILED", ended.digest)
    assert signal.reason_codes == ("ENGINE_EXIT_NONZERO",)


@pytest.mark.parametrize("kind", EnvelopeKind)
def test_an_envelope_reads_back_as_it_was(kind: EnvelopeKind) -> None:
    sent = envelope("a", kind)

    assert Envelope.from_bytes(sent.to_bytes()) == sent


@pytest.mark.parametrize("field", ["fact_digest", "message_id"])
def test_an_envelope_about_another_fact_is_none(field: str) -> None:
    document = parse_json(envelope("a").to_bytes())
    other = parse_json(envelope("b").to_bytes())

    with pytest.raises(ValueError, match="and carries"):
        Envelope.from_bytes(canonical_bytes(document | {field: other[field]}))


def test_what_is_told_again_is_what_the_run_ended_with() -> None:
    told = {
        (kind, state): signals_to_reemit(kind, state)
        for kind, state in itertools.product(ReemitKind, [None, *RunState])
    }

    assert {key for key, signals in told.items() if signals == ("ready",)} == {
        (ReemitKind.READY_ONLY, RunState.READY),
        (ReemitKind.BOTH, RunState.READY),
    }
    assert {key for key, signals in told.items() if signals == ("terminal",)} == {
        (kind, state)
        for kind in (ReemitKind.TERMINAL_ONLY, ReemitKind.BOTH)
        for state in (RunState.FAILED, RunState.QUARANTINED)
    }
    assert [reason.code.value for reason in mismatch(ReemitKind.BOTH, "r", RunState.WAITING)] == [
        "REEMIT_READY_ONLY_MISMATCH",
        "REEMIT_TERMINAL_ONLY_MISMATCH",
    ]


@pytest.mark.parametrize(("published", "wanted", "is_over"), [(0, 1, False), (1, 1, False), (2, 1, True), (1, 2, True)])
def test_the_limit(published: int, wanted: int, is_over: bool) -> None:
    assert (over_limit("r", [0] * published, wanted, 2, 60) is not None) == is_over
