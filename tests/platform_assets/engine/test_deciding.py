"""Quarantine and supersession: recorded, for good, and nobody reads what was taken away."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.authority.errors import AuthorityError, BusyError, DeniedError
from contracts.authority.record import EventKind
from contracts.authority.status import RunState
from contracts.errors import UsageError
from contracts.selection import Decision
from platform_assets.engine.deciding import quarantine, supersede
from platform_assets.engine.looking import run_lines, run_view
from platform_assets.engine.running import advance
from platform_assets.engine.submitting import submit
from resources.authority.leadership import leading
from resources.authority.run_documents import RunNotFoundError
from tests.engine_home import EngineHome, request

WHY = Decision(actor="ann", reason="a wrong parameter file")
ONE, TWO = request().run_id, request("k2").run_id


@pytest.mark.parametrize("how", ["behaves", "forgets_flag", "exits"], ids=["READY", "WAITING", "FAILED"])
def test_a_run_may_be_put_into_quarantine(engine_home: EngineHome, how: str) -> None:
    before = engine_home.run(request(how=how))

    status = quarantine(engine_home.workspace, ONE, WHY)

    told = engine_home.events(ONE, EventKind.RUN_QUARANTINED)
    assert (status.state, status.before, status.decision) == (RunState.QUARANTINED, before.state, WHY)
    assert status.reasons[0].sentence.startswith(f"QUARANTINED_BY_ACTOR: {ONE}: observed a wrong parameter file. ann")
    assert told[0].details["decision"] == {"actor": "ann", "reason": "a wrong parameter file"}
    assert engine_home.documents(ONE).readable_facts() is None
    assert engine_home.envelopes()[-1].fact.state == "QUARANTINED"
    assert advance(engine_home.workspace, ONE) == status


def test_facts_of_a_run_in_quarantine_stay_for_whoever_inspects_it(engine_home: EngineHome) -> None:
    engine_home.run(request())
    facts = engine_home.documents(ONE).facts()

    status = quarantine(engine_home.workspace, ONE, WHY)

    view = run_view(engine_home.workspace, ONE)
    assert engine_home.documents(ONE).facts() == facts
    assert facts is not None
    assert status.facts_digest == facts.digest
    assert view.state == "QUARANTINED"
    assert view.evidence is not None
    assert [line.run_id for line in run_lines(engine_home.workspace, state="QUARANTINED")] == [ONE]


def test_quarantine_is_for_good(engine_home: EngineHome) -> None:
    engine_home.run(request(how="lies"))

    with pytest.raises(AuthorityError, match="is QUARANTINED and cannot become QUARANTINED. Status only goes forward"):
        quarantine(engine_home.workspace, ONE, WHY)


def test_a_run_that_takes_anothers_place_is_named_there(engine_home: EngineHome) -> None:
    engine_home.run(request())
    engine_home.run(request("k2"))

    status = supersede(engine_home.workspace, ONE, TWO, WHY)

    assert (status.state, status.superseded_by) == (RunState.SUPERSEDED, TWO)
    assert engine_home.documents(ONE).readable_facts() is None
    assert engine_home.documents(TWO).readable_facts() is not None
    assert len(engine_home.envelopes()) == 2  # the successor's READY was told, and this is no end of its own


@pytest.mark.parametrize("decide", ["quarantine", "supersede"])
def test_what_was_taken_away_comes_back_under_a_new_key_with_the_same_digests(
    engine_home: EngineHome, decide: str
) -> None:
    engine_home.run(request())
    engine_home.run(request("k2"))
    before, plan = engine_home.documents(ONE).readable_facts(), engine_home.documents(ONE).plan()
    assert before is not None
    assert plan is not None
    if decide == "quarantine":
        quarantine(engine_home.workspace, ONE, WHY)
    else:
        supersede(engine_home.workspace, ONE, TWO, WHY)

    again = request("k3", strategy="reuse", engine_run_root=plan.root.root)
    engine_home.run(again)

    after = engine_home.documents(again.run_id).readable_facts()
    assert after is not None
    assert after.bundle_digest == before.bundle_digest
    assert after.locators == before.locators


def test_what_is_superseded_comes_no_further(engine_home: EngineHome) -> None:
    engine_home.run(request(how="forgets_flag"))
    engine_home.run(request("k2", pins=request(how="behaves").pins.model_dump() | {"manifest_fingerprint": "m2"}))
    supersede(engine_home.workspace, ONE, TWO, WHY)

    assert advance(engine_home.workspace, ONE).state is RunState.SUPERSEDED
    with pytest.raises(AuthorityError, match="cannot become QUARANTINED"):
        quarantine(engine_home.workspace, ONE, WHY)


@pytest.mark.parametrize("how", ["lies", "forgets_flag", "exits"])
def test_only_a_ready_run_takes_anothers_place(engine_home: EngineHome, how: str) -> None:
    engine_home.run(request())
    pins = request(how=how).pins.model_dump() | {"manifest_fingerprint": "m2"}
    engine_home.run(request("k2", pins=pins))

    with pytest.raises(UsageError, match="that is READY"):
        supersede(engine_home.workspace, ONE, TWO, WHY)

    assert engine_home.documents(ONE).readable_facts() is not None


def test_a_run_does_not_take_its_own_place(engine_home: EngineHome) -> None:
    engine_home.run(request())

    with pytest.raises(UsageError, match="another run of engine toy"):
        supersede(engine_home.workspace, ONE, ONE, WHY)


def test_what_is_not_there_is_not_decided_about(engine_home: EngineHome) -> None:
    with pytest.raises(RunNotFoundError):
        quarantine(engine_home.workspace, ONE, WHY)
    with pytest.raises(RunNotFoundError):
        supersede(engine_home.workspace, ONE, TWO, WHY)


def test_nobody_decides_about_a_run_that_is_being_led(engine_home: EngineHome) -> None:
    workspace = engine_home.workspace
    submit(workspace, request())
    with leading(workspace.leases, ONE, "somebody"), pytest.raises(BusyError, match="is being worked on by somebody"):
        quarantine(workspace, ONE, WHY)


def test_whoever_may_not_submit_may_not_decide(engine_home: EngineHome) -> None:
    engine_home.write_policy(submit_allow="[bob]")
    engine_home.run(request(actor="bob"))

    with pytest.raises(DeniedError):
        quarantine(engine_home.workspace, ONE, WHY)

    assert engine_home.kinds(ONE)[-1] is EventKind.AUTH_DENIED
    assert engine_home.states(ONE)[-1] is RunState.READY


def test_a_run_whose_documents_are_damaged_is_listed_as_such(engine_home: EngineHome) -> None:
    engine_home.run(request())
    store = engine_home.workspace.store
    key = f"engine/runs/{ONE}/status/00000003.json"
    store.forget(key)
    store.put_if_absent(key, b"{}")

    (line,) = run_lines(engine_home.workspace)

    assert line.state == "UNREADABLE"
    assert line.problem is not None
    assert key in line.problem


def test_results_stay_where_the_engine_wrote_them(engine_home: EngineHome) -> None:
    engine_home.run(request())
    plan = engine_home.documents(ONE).plan()
    assert plan is not None

    quarantine(engine_home.workspace, ONE, WHY)

    assert len(list(Path(plan.root.root).rglob("part-*.txt"))) == 3
