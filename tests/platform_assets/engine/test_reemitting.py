"""Publishing a run's end again: the same fact, the same id, nothing changed, everything on record; and who may not."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar

import pytest

from contracts.authority.envelopes import EnvelopeKind
from contracts.authority.errors import BusError, BusyError, DeniedError
from contracts.authority.reasons import ReasonCode
from contracts.authority.record import EventKind
from contracts.authority.reemission import ReemitKind
from contracts.authority.status import RunState
from contracts.selection import Decision
from platform_assets.engine.deciding import quarantine, supersede
from platform_assets.engine.reemitting import ReemitRefusedError, Reemitted, reemit, reemit_request
from platform_assets.engine.submitting import submit
from resources.authority.leadership import reemitting
from resources.authority.run_documents import RunNotFoundError
from tests.engine_home import EngineHome, request

READY_ONLY, TERMINAL_ONLY, BOTH = ReemitKind.READY_ONLY, ReemitKind.TERMINAL_ONLY, ReemitKind.BOTH


def again(engine_home: EngineHome, kind: ReemitKind = BOTH, actor: str = "ann", *, dry_run: bool = False) -> Reemitted:
    asked = reemit_request(request().run_id, kind, actor, dry_run=dry_run)
    return reemit(engine_home.workspace, asked)


def truth(engine_home: EngineHome) -> dict[str, bytes]:
    """Every document of the run but its record."""
    store = engine_home.workspace.store
    return {key: store.get(key) for key in store.walk("engine") if "/record/" not in key}


@pytest.mark.parametrize("kind", [READY_ONLY, BOTH])
def test_a_ready_run_is_told_again_under_the_same_id(engine_home: EngineHome, kind: ReemitKind) -> None:
    engine_home.run(request())
    before = truth(engine_home)

    done = again(engine_home, kind)

    first, second = engine_home.envelopes()
    assert (second.kind, second.message_id, second.fact) == (EnvelopeKind.READY_REEMIT, first.message_id, first.fact)
    assert done.envelopes == (second,)
    assert truth(engine_home) == before


@pytest.mark.parametrize("kind", [TERMINAL_ONLY, BOTH])
@pytest.mark.parametrize("how", ["exits", "lies"])
def test_a_bad_end_is_told_again_under_the_same_id(engine_home: EngineHome, kind: ReemitKind, how: str) -> None:
    engine_home.run(request(how=how))
    before = truth(engine_home)

    again(engine_home, kind)

    first, second = engine_home.envelopes()
    assert (second.kind, second.message_id, second.fact) == (EnvelopeKind.TERMINAL_REEMIT, first.message_id, first.fact)
    assert truth(engine_home) == before


def test_the_same_pack_is_named_again(engine_home: EngineHome) -> None:
    engine_home.run(request())

    again(engine_home)

    first, second = engine_home.envelopes()
    assert second.fact.oracle_pack_ref == first.fact.oracle_pack_ref


def test_all_of_it_is_on_record(engine_home: EngineHome) -> None:
    engine_home.run(request())
    before = len(engine_home.kinds(request().run_id))

    again(engine_home, actor="bob")

    events = list(engine_home.documents(request().run_id).events())[before:]
    assert [event.kind for event in events] == [EventKind.REEMIT_REQUESTED, EventKind.REEMIT_PUBLISHED]
    assert {event.actor for event in events} == {"bob"}
    assert events[1].details["message_id"] == engine_home.envelopes()[0].message_id


def test_a_dry_run_says_what_it_would_publish_and_publishes_nothing(engine_home: EngineHome) -> None:
    engine_home.run(request())

    done = again(engine_home, dry_run=True)

    assert (len(done.envelopes), done.places) == (1, ())
    assert len(engine_home.envelopes()) == 1
    assert engine_home.kinds(request().run_id)[-1] is EventKind.REEMIT_WOULD_PUBLISH


MISMATCHES: dict[str, tuple[str, ReemitKind, str, str]] = {
    "a failed run has no READY": ("exits", READY_ONLY, "REEMIT_READY_ONLY_MISMATCH", "FAILED"),
    "one in quarantine neither": ("lies", READY_ONLY, "REEMIT_READY_ONLY_MISMATCH", "QUARANTINED"),
    "a waiting run neither": ("forgets_flag", READY_ONLY, "REEMIT_READY_ONLY_MISMATCH", "WAITING"),
    "a READY run has no bad end": ("behaves", TERMINAL_ONLY, "REEMIT_TERMINAL_ONLY_MISMATCH", "READY"),
    "a waiting run has none": ("forgets_flag", TERMINAL_ONLY, "REEMIT_TERMINAL_ONLY_MISMATCH", "WAITING"),
    "nor both": ("forgets_flag", BOTH, "REEMIT_READY_ONLY_MISMATCH", "WAITING"),
}


@pytest.mark.parametrize(("how", "kind", "code", "state"), MISMATCHES.values(), ids=MISMATCHES)
def test_what_a_run_did_not_end_with_is_refused_and_the_refusal_recorded(
    engine_home: EngineHome, how: str, kind: ReemitKind, code: str, state: str
) -> None:
    engine_home.run(request(how=how))
    sent = len(engine_home.envelopes())

    with pytest.raises(ReemitRefusedError, match=code) as refused:
        again(engine_home, kind)

    assert refused.value.evidence["reasons"][0].observed == state
    assert engine_home.kinds(request().run_id)[-1] is EventKind.REEMIT_REFUSED
    assert len(engine_home.envelopes()) == sent


def test_a_run_that_nobody_began_with_has_nothing_to_tell(engine_home: EngineHome) -> None:
    submit(engine_home.workspace, request())

    with pytest.raises(ReemitRefusedError, match="observed no status"):
        again(engine_home)


def test_a_run_that_is_not_there_is_not_told(engine_home: EngineHome) -> None:
    with pytest.raises(RunNotFoundError):
        again(engine_home)


def test_a_ready_run_whose_facts_are_gone_is_not_told(engine_home: EngineHome) -> None:
    engine_home.run(request())
    engine_home.workspace.store.forget(f"engine/runs/{request().run_id}/facts.json")

    with pytest.raises(ReemitRefusedError) as refused:
        again(engine_home)

    assert refused.value.evidence["reasons"][0].code is ReasonCode.FACTS_VIEW_MISSING


def test_what_was_superseded_or_put_into_quarantine_is_not_told_as_ready(engine_home: EngineHome) -> None:
    engine_home.run(request())
    quarantine(engine_home.workspace, request().run_id, Decision(actor="ann", reason="no"))

    with pytest.raises(ReemitRefusedError, match="REEMIT_READY_ONLY_MISMATCH"):
        again(engine_home, READY_ONLY)

    assert again(engine_home, BOTH).envelopes[0].kind is EnvelopeKind.TERMINAL_REEMIT


def test_a_superseded_run_has_nothing_to_tell(engine_home: EngineHome) -> None:
    engine_home.run(request())
    engine_home.run(request("k2"))
    supersede(engine_home.workspace, request().run_id, request("k2").run_id, Decision(actor="ann", reason="better"))

    with pytest.raises(ReemitRefusedError, match="observed SUPERSEDED"):
        again(engine_home, BOTH)


class TestRateLimit:
    """Not too often."""

    def test_so_many_are_published_and_no_more(self, engine_home: EngineHome) -> None:
        engine_home.write_policy(reemit_limit=2)
        engine_home.run(request())
        again(engine_home)
        again(engine_home)

        with pytest.raises(ReemitRefusedError, match="REEMIT_RATE_LIMIT") as refused:
            again(engine_home)

        assert refused.value.evidence["reasons"][0].observed == "2 published, 1 more wanted"
        assert len(engine_home.envelopes()) == 3

    def test_only_published_ones_count(self, engine_home: EngineHome) -> None:
        engine_home.write_policy(reemit_limit=1)
        engine_home.run(request())
        for _ in range(3):
            again(engine_home, dry_run=True)
            with pytest.raises(ReemitRefusedError):
                again(engine_home, TERMINAL_ONLY)

        assert len(again(engine_home).envelopes) == 1

    def test_the_window_passes(self, engine_home: EngineHome, monkeypatch: pytest.MonkeyPatch) -> None:
        engine_home.write_policy(reemit_limit=1, reemit_window_s=600)
        engine_home.run(request())
        again(engine_home)
        workspace = engine_home.workspace
        later = workspace.now() + dt.timedelta(seconds=601)
        monkeypatch.setattr(type(workspace), "now", lambda _: later)

        assert len(again(engine_home).envelopes) == 1


class TestAllowLists:
    """Who may publish again."""

    POLICIES: ClassVar[dict[str, tuple[dict[str, Any], bool]]] = {
        "nobody is named": ({}, True),
        "the list for submitting counts": ({"submit_allow": "[ann]"}, False),
        "unless there is one for this": ({"submit_allow": "[ann]", "reemit_allow": "[bob]"}, True),
        "which counts alone": ({"submit_allow": "[ann, bob]", "reemit_allow": "[ann]"}, False),
    }

    @pytest.mark.parametrize(("changed", "is_allowed"), POLICIES.values(), ids=POLICIES)
    def test_bob(self, engine_home: EngineHome, changed: dict[str, Any], is_allowed: bool) -> None:
        engine_home.write_policy(**changed)
        engine_home.run(request())
        if is_allowed:
            assert again(engine_home, actor="bob").places
            return

        with pytest.raises(DeniedError, match="AUTH_DENIED: bob may not reemit"):
            again(engine_home, actor="bob")

        last = list(engine_home.documents(request().run_id).events())[-1]
        assert (last.kind, last.actor, last.details["action"]) == (EventKind.AUTH_DENIED, "bob", "reemit")
        assert len(engine_home.envelopes()) == 1
        assert engine_home.states(request().run_id)[-1] is RunState.READY


def test_of_two_at_once_one_is_busy(engine_home: EngineHome) -> None:
    engine_home.run(request())
    workspace = engine_home.workspace
    with reemitting(workspace.leases, request().run_id, "ready", "somebody"):
        for kind in (READY_ONLY, BOTH):
            with pytest.raises(BusyError, match="BUSY: re-emit ready of run .* by somebody"):
                again(engine_home, kind)
        with pytest.raises(ReemitRefusedError):  # another kind is another lease
            again(engine_home, TERMINAL_ONLY)

    assert again(engine_home).places


def test_a_bus_that_is_away_is_on_record_and_the_next_time_repairs_it(engine_home: EngineHome) -> None:
    bus = engine_home.home / "bus"
    bus.write_text("no folder")
    engine_home.run(request())
    with pytest.raises(BusError, match="HASHGATE_BUS"):
        again(engine_home)
    assert engine_home.kinds(request().run_id)[-1] is EventKind.REEMIT_FAILED
    bus.unlink()

    again(engine_home)

    ready = engine_home.documents(request().run_id).ready()
    assert ready is not None
    assert [envelope.message_id for envelope in engine_home.envelopes()] == [ready.message_id]
