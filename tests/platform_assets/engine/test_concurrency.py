"""Sixteen processes that want the same run at once: one leads, all hear of the same run, nothing is done twice."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from contracts.authority.errors import BusyError, CollisionError
from contracts.authority.record import EventKind
from contracts.authority.status import RunState
from platform_assets.engine.running import advance
from platform_assets.engine.submitting import submit
from platform_assets.engine.waiting import wait_for_end
from resources.workspace import Workspace
from tests.engine_home import EngineHome, request

AT_ONCE = 16


def test_of_many_at_once_one_leads_and_all_mean_the_same_run(engine_home: EngineHome) -> None:
    assert engine_home.workspace.database is not None  # the schema is there before the race
    start = threading.Barrier(AT_ONCE)

    def ask(number: int) -> tuple[str, str]:
        workspace = Workspace.from_environment()
        start.wait()
        run_id = submit(workspace, request(actor=f"actor-{number}")).run_id
        try:
            return run_id, advance(workspace, run_id).state.value
        except BusyError as busy:
            return run_id, busy.evidence["code"]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(ask, range(AT_ONCE)))

    run_id = request().run_id
    assert {run for run, _ in answers} == {run_id}
    assert "READY" in {said for _, said in answers}
    assert {said for _, said in answers} <= {"READY", "BUSY"}
    assert engine_home.states(run_id) == [RunState.PLANNED, RunState.EXECUTING, RunState.READY]
    assert len(engine_home.events(run_id, EventKind.RUN_ADMITTED)) == 1
    assert len(engine_home.events(run_id, EventKind.ENGINE_ATTEMPT_LAUNCHED)) == 1
    assert len({event.term for event in engine_home.documents(run_id).events() if event.term}) == 1
    assert len(engine_home.envelopes()) == 1


def test_of_two_intents_under_one_key_at_once_one_is_admitted(engine_home: EngineHome) -> None:
    assert engine_home.workspace.database is not None
    start = threading.Barrier(AT_ONCE)

    def ask(number: int) -> str:
        workspace = Workspace.from_environment()
        wanted = request(how="behaves" if number % 2 else "exits")
        start.wait()
        try:
            submit(workspace, wanted)
        except CollisionError:
            return "collision"
        return wanted.intent

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(ask, range(AT_ONCE)))

    assert answers.count("collision") == AT_ONCE // 2
    assert len(set(answers)) == 2
    (admitted,) = engine_home.events(request().run_id, EventKind.RUN_ADMITTED)
    assert admitted.details["intent"] in answers


def test_followers_wait_for_the_leader(engine_home: EngineHome) -> None:
    workspace = engine_home.workspace
    run_id = submit(workspace, request()).run_id
    with ThreadPoolExecutor(4) as pool:
        ends = list(pool.map(lambda _: wait_for_end(Workspace.from_environment(), run_id, 60), range(4)))

    assert [end.state for end in ends if end is not None] == [RunState.READY] * 4
    assert len(engine_home.events(run_id, EventKind.ENGINE_ATTEMPT_LAUNCHED)) == 1


def test_waiting_ends_when_time_is_over(engine_home: EngineHome) -> None:
    workspace = engine_home.workspace
    run_id = submit(workspace, request(how="forgets_flag")).run_id

    status = wait_for_end(workspace, run_id, 0.3)

    assert status is not None
    assert status.state is RunState.WAITING


@pytest.mark.parametrize("number", [1, 40])
def test_a_key_that_is_known_is_answered_however_often(engine_home: EngineHome, number: int) -> None:
    workspace = engine_home.workspace
    for _ in range(number):
        submit(workspace, request())

    assert engine_home.kinds(request().run_id) == [EventKind.RUN_ADMITTED]
