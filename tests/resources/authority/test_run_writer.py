"""Writing truth: each event once, each status forward, each document as it was first written, all under a lease."""

from __future__ import annotations

import datetime as dt
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from contracts.authority.errors import AuthorityError, BusyError
from contracts.authority.facts import ready_signal
from contracts.authority.identities import run_id_of
from contracts.authority.record import EventKind
from contracts.authority.status import RunState
from contracts.errors import StoreError
from contracts.sealing import ChainError
from resources.authority.leadership import Leadership, leading, reemitting
from resources.authority.observers import Observers
from resources.authority.run_documents import (
    ImmutableError,
    RunDocuments,
    check_schema,
    known_runs,
    put_once,
)
from resources.authority.run_writer import RunRecorder, RunWriter
from resources.leases import LeaseLostError
from resources.workspace import Workspace
from tests.engine_documents import AT, PLAN, REVISION, facts, pins

RUN = run_id_of("a")


@pytest.fixture
def workspace(home: Path) -> Workspace:  # noqa: ARG001 - sets the environment
    return Workspace.from_environment()


@pytest.fixture
def documents(workspace: Workspace) -> RunDocuments:
    return RunDocuments(workspace.store, RUN)


@pytest.fixture
def leadership(workspace: Workspace) -> Iterator[Leadership]:
    with leading(workspace.leases, RUN, "us") as led:
        yield led


def recorder_of(documents: RunDocuments) -> RunRecorder:
    return RunRecorder(documents, lambda: AT, "ann", pins(RUN), REVISION)


@pytest.fixture
def writer(documents: RunDocuments, leadership: Leadership) -> RunWriter:
    return RunWriter(recorder_of(documents), leadership, lambda: AT)


def advance(writer: RunWriter, state: RunState) -> None:
    writer.advance(state, engine="toy", plan_digest=PLAN)


class TestRecord:
    """The record."""

    def test_an_event_stands_there_once(self, documents: RunDocuments) -> None:
        recorder = recorder_of(documents)
        first = recorder.tell(EventKind.PLAN_COMMITTED, "x", {"a": 1})
        again = recorder.tell(EventKind.PLAN_COMMITTED, "x", {"a": 2})
        other = recorder_of(documents).tell(EventKind.PLAN_COMMITTED, "x", {"a": 3})

        assert first == again == other
        assert list(documents.events()) == [first]

    def test_what_is_about_something_else_is_another(self, documents: RunDocuments) -> None:
        recorder = recorder_of(documents)
        for kind, about in itertools.product((EventKind.PUBLISHED, EventKind.PUBLISH_FAILED), "xy"):
            recorder.tell(kind, about, {})

        assert len({event.event_id for event in documents.events()}) == 4
        assert [event.number for event in documents.events()] == [1, 2, 3, 4]

    def test_writers_at_once_lose_nothing_and_tell_nothing_twice(self, documents: RunDocuments) -> None:
        start = threading.Barrier(8)

        def tell(number: int) -> None:
            recorder = recorder_of(RunDocuments(documents.store, RUN))
            start.wait()
            recorder.tell(EventKind.REEMIT_REQUESTED, str(number), {"n": number})
            recorder.tell(EventKind.RUN_ADMITTED, "all", {})

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(tell, range(8)))

        events = list(documents.events())
        assert len(events) == 9
        assert {event.details.get("n") for event in events} == {None, *range(8)}

    def test_events_carry_pins_and_revision(self, documents: RunDocuments) -> None:
        event = recorder_of(documents).tell(EventKind.RUN_ADMITTED, "x", {})

        assert (event.pins, event.policy_revision, event.actor) == (pins(RUN), REVISION, "ann")

    def test_a_record_that_was_altered_is_not_read(self, documents: RunDocuments) -> None:
        recorder_of(documents).tell(EventKind.RUN_ADMITTED, "x", {})
        key = documents.record.key(1)
        data = documents.store.get(key)
        documents.store.forget(key)
        documents.store.put_if_absent(key, data.replace(b"ann", b"eve"))

        with pytest.raises(ChainError, match="its self-digest is"):
            list(documents.events())

    def test_one_that_was_taken_out_is_missed(self, documents: RunDocuments) -> None:
        recorder = recorder_of(documents)
        for about in "xyz":
            recorder.tell(EventKind.RUN_ADMITTED, about, {})
        documents.store.forget(documents.record.key(2))

        with pytest.raises(ChainError, match="it is missing from its chain, and there are later ones"):
            list(documents.events())


class TestStatus:
    """The status."""

    def test_it_goes_forward(self, documents: RunDocuments, writer: RunWriter) -> None:
        for state in (RunState.PLANNED, RunState.EXECUTING, RunState.READY):
            advance(writer, state)

        assert [status.state for status in documents.statuses.after(0)][-1] is RunState.READY
        assert [status.before for status in documents.statuses.after(0)] == [None, "PLANNED", "EXECUTING"]

    def test_and_not_back(self, writer: RunWriter) -> None:
        advance(writer, RunState.READY)

        with pytest.raises(AuthorityError, match="is READY and cannot become WAITING. Status only goes forward"):
            advance(writer, RunState.WAITING)

    def test_two_that_follow_the_same_are_not_both_written(
        self, documents: RunDocuments, leadership: Leadership, writer: RunWriter
    ) -> None:
        other = RunWriter(recorder_of(documents), leadership, lambda: AT)
        advance(writer, RunState.READY)

        with pytest.raises(LeaseLostError):
            advance(other, RunState.FAILED)

    def test_one_whose_answer_was_lost_is_ones_own(
        self, documents: RunDocuments, leadership: Leadership, writer: RunWriter
    ) -> None:
        other = RunWriter(recorder_of(documents), leadership, lambda: AT)
        advance(writer, RunState.READY)

        advance(other, RunState.READY)

        assert len(list(documents.statuses.after(0))) == 1


class TestLease:
    """Writing under a lease."""

    def test_a_second_leader_hears_who_leads(self, workspace: Workspace, leadership: Leadership) -> None:
        assert leadership.term > 0
        with (
            pytest.raises(BusyError, match=f"BUSY: run {RUN} is being worked on by us, for ") as busy,
            leading(workspace.leases, RUN, "them"),
        ):
            raise AssertionError
        assert busy.value.evidence["holder"] == "us"

    def test_each_leader_has_a_later_term(self, workspace: Workspace) -> None:
        terms = []
        for _ in range(3):
            with leading(workspace.leases, RUN, "us") as led:
                terms.append(led.term)
        assert terms == sorted(set(terms))

    def test_a_lease_that_is_used_does_not_end(self, workspace: Workspace) -> None:
        with leading(workspace.leases, RUN, "us", dt.timedelta(milliseconds=400)) as led:
            for _ in range(4):
                time.sleep(0.2)
                led.confirm()

    WRITES: tuple[Callable[[RunWriter], object], ...] = (
        lambda writer: writer.tell(EventKind.RUN_READY, "x", {}),
        lambda writer: writer.put_once("facts.json", facts("a")),
        lambda writer: writer.advance(RunState.READY, engine="toy", plan_digest=PLAN),
        lambda writer: writer.confirm(),
    )

    @pytest.mark.parametrize("write", WRITES, ids=["event", "document", "status", "nothing"])
    def test_a_leader_whose_time_is_over_writes_nothing(
        self, workspace: Workspace, documents: RunDocuments, write: Callable[[RunWriter], object]
    ) -> None:
        with leading(workspace.leases, RUN, "us", dt.timedelta(milliseconds=1)) as led:
            writer = RunWriter(recorder_of(documents), led, lambda: AT)
            time.sleep(0.05)
            with pytest.raises(LeaseLostError, match="Nothing may be written under it"):
                write(writer)

        assert known_runs(workspace.store) == []

    def test_an_earlier_leader_tells_nothing_after_a_later_one(self, documents: RunDocuments) -> None:
        recorder = recorder_of(documents)
        recorder.tell(EventKind.PLAN_COMMITTED, "x", {}, term=5)

        with pytest.raises(LeaseLostError):
            recorder.tell(EventKind.RUN_READY, "x", {}, term=4)
        assert recorder.tell(EventKind.REEMIT_REQUESTED, "x", {}).number == 2  # whoever leads nothing may tell

    def test_no_secret_of_a_lease_is_in_a_document(self, documents: RunDocuments, writer: RunWriter) -> None:
        secret = writer._leadership._lease.secret
        advance(writer, RunState.READY)
        writer.tell(EventKind.RUN_READY, "x", {})

        for key in documents.store.walk("engine"):
            assert secret.encode() not in documents.store.get(key)
        assert secret not in repr(writer._leadership._lease)

    def test_two_kinds_of_reemits_do_not_meet(self, workspace: Workspace) -> None:
        with reemitting(workspace.leases, RUN, "ready", "us"), reemitting(workspace.leases, RUN, "terminal", "them"):
            pass


class TestOnce:
    """Documents that are written once."""

    def test_the_same_again_is_no_matter(self, documents: RunDocuments) -> None:
        key = documents.key("facts.json")

        assert put_once(documents.store, key, facts("a"))
        assert not put_once(documents.store, key, facts("a"))

    def test_another_is_refused_and_changes_nothing(self, documents: RunDocuments) -> None:
        key = documents.key("facts.json")
        put_once(documents.store, key, facts("a"))

        with pytest.raises(ImmutableError, match="It is never changed") as refused:
            put_once(documents.store, key, facts("a").model_copy(update={"attempt_id": "other"}))

        assert refused.value.evidence["key"] == key
        assert documents.facts() == facts("a")

    def test_what_breaks_its_schema_is_not_written(self, documents: RunDocuments) -> None:
        broken = ready_signal(facts("a"), "k").model_copy(update={"message_id": "short"})

        with pytest.raises(ValueError, match="hashgate/run-ready does not keep its schema at message_id"):
            put_once(documents.store, documents.key("ready.json"), broken)

        assert known_runs(documents.store) == []

    @pytest.mark.parametrize("name", ["plan.json", "facts.json", "ready.json"])
    @pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"format":"hashgate/run-facts/v1"}'])
    def test_what_is_none_is_damage_and_not_absence(self, documents: RunDocuments, name: str, data: bytes) -> None:
        documents.store.put_if_absent(documents.key(name), data)
        reader = {"plan.json": documents.plan, "facts.json": documents.facts, "ready.json": documents.ready}[name]

        with pytest.raises(StoreError, match="Restore it from a backup of the store"):
            reader()

    def test_schemas_are_held_against_documents(self) -> None:
        with pytest.raises(ValueError, match="hashgate/reemit-request does not keep its schema"):
            check_schema("reemit-request", {"format": "hashgate/reemit-request/v1"})

    def test_facts_are_readable_only_when_the_commit_came_to_its_end(
        self, documents: RunDocuments, writer: RunWriter
    ) -> None:
        told = facts("a")
        writer.put_once("facts.json", told)
        before_status = documents.readable_facts()
        writer.advance(RunState.READY, engine="toy", plan_digest=PLAN, facts_digest=told.digest)
        before_ready = documents.readable_facts()
        writer.put_once("ready.json", ready_signal(told, documents.key("facts.json")))

        assert (before_status, before_ready, documents.readable_facts()) == (None, None, told)

    def test_facts_other_than_those_of_the_status_are_not_readable(
        self, documents: RunDocuments, writer: RunWriter
    ) -> None:
        writer.put_once("facts.json", facts("a"))
        writer.advance(RunState.READY, engine="toy", plan_digest=PLAN, facts_digest=PLAN)
        writer.put_once("ready.json", ready_signal(facts("a"), "k"))

        assert documents.readable_facts() is None


class TestObservers:
    """Sinks that hear of runs."""

    def test_a_sink_that_raises_changes_nothing_and_stops_no_other(self) -> None:
        heard: list[tuple[str, object]] = []

        def broken(name: str, about: object) -> None:
            raise RuntimeError(name, about)

        Observers([broken, lambda name, about: heard.append((name, dict(about))), broken]).tell("ended", run_id="r")

        assert heard == [("ended", {"run_id": "r"})]
