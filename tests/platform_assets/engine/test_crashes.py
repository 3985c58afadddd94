"""A leader that dies before or after any write, or loses its lease there: the next one finishes, and truth is whole."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from contracts.authority.envelopes import Envelope
from contracts.authority.record import EventKind
from contracts.authority.requests import RunRequest
from contracts.authority.status import RunState
from platform_assets.engine.running import advance, is_told
from platform_assets.engine.submitting import submit
from resources.authority.control_bus import Delivery
from resources.database_schema import leases
from resources.leases import LeaseLostError
from resources.workspace import Workspace
from tests.engine_home import EngineHome, request, write_results


class Killed(BaseException):
    """The process is gone."""


class HookedStore:
    """A store that tells of each create, before it and after it."""

    def __init__(self, store: Any, hook: Callable[[str], None]) -> None:
        self._store, self._hook = store, hook

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        self._hook(f"before {key}")
        created: bool = self._store.put_if_absent(key, data)
        self._hook(f"after {key}")
        return created


class HookedBus:
    """A bus that tells of each publication."""

    def __init__(self, bus: Any, hook: Callable[[str], None]) -> None:
        self._bus, self._hook = bus, hook

    def publish(self, envelope: Envelope) -> str:
        self._hook("before bus")
        place: str = self._bus.publish(envelope)
        self._hook("after bus")
        return place

    def read(self, cursor: str, limit: int = 100) -> Delivery:
        delivery: Delivery = self._bus.read(cursor, limit)
        return delivery


def hooked(engine_home: EngineHome, hook: Callable[[str], None]) -> Workspace:
    """The installation, with a hook at each write."""
    workspace = engine_home.workspace
    workspace.__dict__["store"] = HookedStore(workspace.store, hook)
    workspace.__dict__["bus"] = HookedBus(workspace.bus, hook)
    return workspace


def writes_of(engine_home: EngineHome, wanted: RunRequest) -> list[str]:
    """Every point at which a leader of such a run may die."""
    points: list[str] = []
    workspace = hooked(engine_home, points.append)
    advance(workspace, submit(workspace, wanted).run_id)
    return points


class At:
    """A hook that does something at the n-th point, and notes them all."""

    def __init__(self, number: int, act: Callable[[], None]) -> None:
        self.points: list[str] = []
        self._number, self._act = number, act

    def __call__(self, point: str) -> None:
        self.points.append(point)
        if len(self.points) == self._number + 1:
            self._act()


def die() -> None:
    raise Killed


def check_whole(engine_home: EngineHome, run_id: str, state: RunState) -> None:
    """A run that came to its end is whole, whatever happened on the way."""
    documents = engine_home.documents(run_id)
    status = documents.status()
    assert status is not None
    assert status.state is state
    assert is_told(documents, status)
    events = list(documents.events())
    assert len({event.event_id for event in events}) == len(events)
    assert [event.kind for event in events].count(EventKind.PUBLISHED) == 1
    messages = {envelope.message_id for envelope in engine_home.envelopes()}
    assert len(messages) == 1  # at least once, and always the same
    if state is RunState.READY:
        facts, ready = documents.readable_facts(), documents.ready()
        assert facts is not None
        assert ready is not None
        assert (ready.facts_digest, {ready.message_id}) == (facts.digest, messages)
    else:
        assert documents.readable_facts() is None
        assert documents.terminal(status.number) is not None


ENDS = {"behaves": RunState.READY, "lies": RunState.QUARANTINED, "exits": RunState.FAILED}


@pytest.mark.parametrize(("how", "state"), ENDS.items(), ids=ENDS)
def test_whoever_comes_after_a_crash_finishes(engine_home: EngineHome, how: str, state: RunState) -> None:
    points = writes_of(engine_home, request("rehearsed", how, pins=_pins("rehearsed", how)))
    # up to the end of the attempt all three are the same
    alike = next(number for number, point in enumerate(points) if "/record/00000004" in point)
    for number in range(0 if how == "behaves" else alike, len(points)):
        wanted = request(f"k{number}", how, pins=_pins(f"m{number}", how))
        _forget_bus(engine_home)
        workspace = hooked(engine_home, At(number, die))
        with pytest.raises(Killed):
            advance(workspace, submit(workspace, wanted).run_id)

        later = engine_home.workspace
        advance(later, submit(later, wanted).run_id)

        check_whole(engine_home, wanted.run_id, state)


def test_a_leader_that_loses_its_lease_anywhere_begins_no_other_write(engine_home: EngineHome) -> None:
    points = writes_of(engine_home, request("rehearsed", pins=_pins("rehearsed")))
    for number in range(len(points) - 2):
        wanted = request(f"k{number}", pins=_pins(f"m{number}"))
        _forget_bus(engine_home)
        submit(engine_home.workspace, wanted)
        hook = At(number, partial(_take_over, engine_home, wanted.run_id))
        with suppress(LeaseLostError):
            advance(hooked(engine_home, hook), wanted.run_id)

        assert [point for point in hook.points[number + 1 :] if point.startswith("before")] == []

        _end_leases(engine_home)
        assert advance(engine_home.workspace, wanted.run_id).state is RunState.READY
        check_whole(engine_home, wanted.run_id, RunState.READY)


def test_a_leader_of_an_earlier_term_cannot_pass_for_the_present_one(engine_home: EngineHome) -> None:
    wanted = request()
    engine_home.run(request("other", pins=_pins("other")))
    submit(engine_home.workspace, wanted)
    reached: list[str] = []

    def overtaken(point: str) -> None:
        if "EXECUTING" not in reached and point.startswith("before") and "/status/" in point and len(reached) > 3:
            reached.append("EXECUTING")
            _end_leases(engine_home)
            advance(engine_home.workspace, wanted.run_id)
        reached.append(point)

    with pytest.raises(LeaseLostError):
        advance(hooked(engine_home, overtaken), wanted.run_id)

    terms = [status.term for status in engine_home.documents(wanted.run_id).statuses.after(0)]
    assert terms == sorted(terms)
    assert len(set(terms)) > 1
    _end_leases(engine_home)
    assert advance(engine_home.workspace, wanted.run_id).state is RunState.READY


def test_attempts_that_nobody_ended_count_and_are_limited(engine_home: EngineHome) -> None:
    engine_home.write_policy(attempt_limit=2)
    wanted = request()
    for _ in range(2):
        workspace = hooked(engine_home, _dies_at("attempts/"))
        with pytest.raises(Killed):
            advance(workspace, submit(workspace, wanted).run_id)

    status = advance(engine_home.workspace, wanted.run_id)

    outcomes = [e.details["outcome"] for e in engine_home.events(wanted.run_id, EventKind.ENGINE_ATTEMPT_FINISHED)]
    assert (status.state, status.reasons[0].code.value) == (RunState.FAILED, "ATTEMPT_LIMIT_EXCEEDED")
    assert outcomes == ["ABANDONED", "ABANDONED", "ATTEMPT_LIMIT_EXCEEDED"]


def test_facts_that_are_written_are_not_judged_anew(engine_home: EngineHome, tmp_path: Any) -> None:
    bundle = write_results(tmp_path / "results")
    wanted = request(strategy="reuse", engine_run_root=str(tmp_path / "results"))
    workspace = hooked(engine_home, _dies_at("status/00000002", "before"))
    with pytest.raises(Killed):
        advance(workspace, submit(workspace, wanted).run_id)
    facts = engine_home.documents(wanted.run_id).facts()
    (bundle / "part-0.txt").write_text("altered since")

    assert engine_home.documents(wanted.run_id).readable_facts() is None
    assert advance(engine_home.workspace, wanted.run_id).state is RunState.READY
    assert engine_home.documents(wanted.run_id).readable_facts() == facts


def _pins(world: str, how: str = "behaves") -> dict[str, Any]:
    return {"manifest_fingerprint": world, "parameter_hash": "p1", "seed": 7, "scenario_id": how}


def _dies_at(part: str, when: str = "before") -> Callable[[str], None]:
    def hook(point: str) -> None:
        if point.startswith(when) and part in point:
            raise Killed

    return hook


def _forget_bus(engine_home: EngineHome) -> None:
    for path in (engine_home.home / "bus").glob("*.json"):
        path.unlink()


def _take_over(engine_home: EngineHome, run_id: str) -> None:
    """Somebody else leads from now on, as if this leader's time had been over."""
    database = engine_home.workspace.database
    taken = leases.update().where(leases.c.name == f"engine-run/{run_id}")
    with database.writing() as connection:
        later = {"fencing_token": leases.c.fencing_token + 1, "secret_digest": "another's"}
        connection.execute(taken.values(later))


def _end_leases(engine_home: EngineHome) -> None:
    with engine_home.workspace.database.writing() as connection:
        connection.execute(sa.update(leases).values(expires_ms=0))
