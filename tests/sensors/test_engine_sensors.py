"""Requests are submitted once, runs asked for until they end, and the bus tells Dagster what it does not know."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest

from contracts.authority.reemission import ReemitKind
from contracts.authority.status import RunState
from contracts.odcs_reader import parse_contract
from contracts.selection import Decision
from platform_assets.definitions import definitions
from platform_assets.engine.deciding import quarantine
from platform_assets.engine.engine_specs import ENGINE_RUN_TAG, STATE_TAG, job_name
from platform_assets.engine.reemitting import reemit, reemit_request
from platform_assets.engine.run_partitions import partitions_name
from platform_assets.engine.running import advance
from platform_assets.engine.submitting import submit
from platform_assets.ingest.asset_events import CONTRACT_TAG
from resources.dagster_resources import WorkspaceResource
from sensors.active_runs import PARTITION_TAG
from sensors.engine_bus import hear
from sensors.engine_requests import RequestsCursor, look_for_requests
from sensors.engine_runs import ATTEMPTS, RunsCursor, open_runs
from tests.engine_documents import AT, status
from tests.engine_home import ENGINE, EngineHome, request, request_text
from tests.installation import CONTRACT


@pytest.fixture
def engine_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> EngineHome:
    return EngineHome(home, monkeypatch)


@pytest.fixture
def folder(engine_home: EngineHome) -> Path:
    """The requests folder."""
    requests = engine_home.workspace.settings.requests
    requests.mkdir()
    return requests


class TestRequests:
    """The requests folder."""

    def test_a_request_is_submitted_once(self, engine_home: EngineHome, folder: Path) -> None:
        (folder / "one.json").write_text(request_text(request()))

        first = look_for_requests(engine_home.workspace, RequestsCursor())
        second = look_for_requests(engine_home.workspace, first.cursor)

        assert (first.runs, second.runs) == ((request().run_id,), ())
        assert first.problems == second.problems == ()

    def test_a_forgotten_cursor_changes_nothing(self, engine_home: EngineHome, folder: Path) -> None:
        (folder / "one.json").write_text(request_text(request()))
        look_for_requests(engine_home.workspace, RequestsCursor())
        before = engine_home.kinds(request().run_id)

        look_for_requests(engine_home.workspace, RequestsCursor.parse("no cursor"))

        assert engine_home.kinds(request().run_id) == before

    def test_what_is_no_request_is_named_and_stops_no_other(self, engine_home: EngineHome, folder: Path) -> None:
        (folder / "a.yaml").write_text("engine: toy\n")
        (folder / "b.json").write_text(request_text(request()))
        (folder / "c.yaml").write_text("")
        (folder / "notes.txt").write_text("not looked at")
        (folder / "d.yaml").mkdir()

        look = look_for_requests(engine_home.workspace, RequestsCursor())

        assert look.runs == (request().run_id,)
        assert [problem.partition(":")[0] for problem in look.problems] == ["a.yaml", "c.yaml"]
        assert "run_equivalence_key is missing" in look.problems[0]
        assert list(look.cursor.submitted) == ["b.json"]

    def test_a_collision_is_named_until_it_is_mended(self, engine_home: EngineHome, folder: Path) -> None:
        (folder / "a.json").write_text(request_text(request()))
        (folder / "b.json").write_text(request_text(request(how="exits")))
        first = look_for_requests(engine_home.workspace, RequestsCursor())
        second = look_for_requests(engine_home.workspace, first.cursor)
        (folder / "b.json").write_text(request_text(request("k2", how="exits")))

        third = look_for_requests(engine_home.workspace, second.cursor)

        assert "RUN_EQUIVALENCE_COLLISION" in first.problems[0]
        assert second.problems == first.problems
        assert (third.problems, third.runs) == ((), (request("k2").run_id,))

    def test_a_folder_that_is_not_there_holds_no_requests(self, engine_home: EngineHome) -> None:
        look = look_for_requests(engine_home.workspace, RequestsCursor())

        assert look.said == "0 requests in the folder, 0 submitted now"


class TestOpenRuns:
    """The runs that have not ended."""

    def test_runs_are_open_until_they_end_and_are_not_looked_at_again(self, engine_home: EngineHome) -> None:
        workspace = engine_home.workspace
        engine_home.run(request("ready"))
        engine_home.run(request("waits", how="forgets_flag", pins=_pins("m2", "forgets_flag")))
        submit(workspace, request("admitted"))

        found, cursor = open_runs(workspace, RunsCursor())

        assert {(run.run_id, run.state) for run in found} == {
            (request("admitted").run_id, "ADMITTED"),
            (request("waits").run_id, "WAITING"),
        }
        assert cursor.ended == (request("ready").run_id,)
        assert open_runs(workspace, cursor) == (found, cursor)

    def test_a_run_that_nobody_was_let_in_for_is_not_open(self, engine_home: EngineHome) -> None:
        engine_home.write_policy(submit_allow="[]")
        with pytest.raises(Exception, match="AUTH_DENIED"):
            submit(engine_home.workspace, request())

        assert open_runs(engine_home.workspace, RunsCursor()) == ([], RunsCursor())


LOOKS = {
    ("WAITING", 0): 0,
    ("WAITING", 29): 0,
    ("WAITING", 30): 1,
    ("WAITING", 300): 10,
    ("EXECUTING", 29): 0,
    ("EXECUTING", 30): 1,
    ("EXECUTING", 89): 1,
    ("EXECUTING", 90): 2,
    ("EXECUTING", 86_400): 11,
}


@pytest.mark.parametrize(("state", "waited_s"), LOOKS)
def test_a_run_is_looked_at_again_and_one_that_others_lead_ever_more_rarely(
    engine_home: EngineHome, monkeypatch: pytest.MonkeyPatch, state: str, waited_s: int
) -> None:
    workspace = engine_home.workspace
    submit(workspace, request())
    documents = engine_home.documents(request().run_id)
    documents.statuses.append(1, lambda _: status("k1", RunState[state]))
    monkeypatch.setattr(type(workspace), "now", lambda _: AT + dt.timedelta(seconds=waited_s))

    (found,), _ = open_runs(workspace, RunsCursor())

    assert (found.state, found.look) == (state, LOOKS[state, waited_s])


class TestRunSensor:
    """The sensor that asks for runs."""

    @pytest.fixture
    def instance(self, home: Path) -> dg.DagsterInstance:
        return dg.DagsterInstance.local_temp(str(home / "dagster"))

    @staticmethod
    def tick(instance: dg.DagsterInstance, cursor: str | None = None) -> dg.SensorResult:
        sensor = definitions().resolve_sensor_def("engine_runs")
        context = dg.build_sensor_context(
            instance=instance, cursor=cursor, resources={"workspace": WorkspaceResource()}, definitions=definitions()
        )
        result = sensor(context)
        assert isinstance(result, dg.SensorResult)
        return result

    def test_a_submitted_run_is_asked_for_with_its_partition(
        self, engine_home: EngineHome, instance: dg.DagsterInstance
    ) -> None:
        run_id = submit(engine_home.workspace, request()).run_id

        result = self.tick(instance)

        (asked,) = result.run_requests or ()
        (added,) = result.dynamic_partitions_requests or ()
        assert (asked.partition_key, asked.job_name) == (run_id, job_name(ENGINE))
        assert (added.partitions_def_name, added.partition_keys) == (partitions_name(ENGINE), [run_id])

    def test_one_that_is_in_work_is_not_asked_for(self, engine_home: EngineHome, instance: dg.DagsterInstance) -> None:
        run_id = submit(engine_home.workspace, request()).run_id
        _record_run(instance, dg.DagsterRunStatus.STARTED, {PARTITION_TAG: run_id})

        assert not self.tick(instance).run_requests

    def test_one_that_failed_is_asked_for_a_few_times(
        self, engine_home: EngineHome, instance: dg.DagsterInstance
    ) -> None:
        submit(engine_home.workspace, request())
        for _ in range(ATTEMPTS):
            (asked,) = self.tick(instance).run_requests or ()
            _record_run(instance, dg.DagsterRunStatus.FAILURE, {"dagster/run_key": str(asked.run_key)})

        assert not self.tick(instance).run_requests

    def test_one_that_a_person_cancelled_is_not_asked_for_again(
        self, engine_home: EngineHome, instance: dg.DagsterInstance
    ) -> None:
        submit(engine_home.workspace, request())
        (asked,) = self.tick(instance).run_requests or ()
        _record_run(instance, dg.DagsterRunStatus.CANCELED, {"dagster/run_key": str(asked.run_key)})

        assert not self.tick(instance).run_requests

    def test_nothing_is_asked_for_when_all_have_ended(
        self, engine_home: EngineHome, instance: dg.DagsterInstance
    ) -> None:
        engine_home.run(request())

        result = self.tick(instance)

        assert not result.run_requests
        assert str(result.skip_reason).find("0 runs have not ended") >= 0


class TestBus:
    """The sensor that hears the control bus."""

    def test_a_ready_run_is_shown(self, engine_home: EngineHome) -> None:
        engine_home.run(request())

        look = hear(engine_home.workspace, "", [ENGINE], {})

        (asked,) = look.requests
        assert (asked.partition_key, asked.job_name) == (request().run_id, job_name(ENGINE))
        assert asked.tags[ENGINE_RUN_TAG] == request().run_id
        assert look.runs == {ENGINE: (request().run_id,)}
        assert hear(engine_home.workspace, look.cursor, [ENGINE], {}).requests == ()

    def test_what_dagster_has_shown_is_not_shown_again(self, engine_home: EngineHome) -> None:
        engine_home.run(request())

        assert hear(engine_home.workspace, "", [ENGINE], {}, is_shown=lambda _: True).requests == ()

    def test_an_engine_that_has_no_assets_here_is_left_alone(self, engine_home: EngineHome) -> None:
        engine_home.run(request())

        look = hear(engine_home.workspace, "", [], {})

        assert (look.requests, look.cursor) == ((), "1")

    def test_a_message_that_somebody_published_again_asks_again(self, engine_home: EngineHome) -> None:
        engine_home.run(request())
        for _ in range(2):
            reemit(engine_home.workspace, reemit_request(request().run_id, ReemitKind.BOTH, "ann"))

        keys = [asked.run_key for asked in hear(engine_home.workspace, "", [ENGINE], {}).requests]

        assert len(set(keys)) == 3

    def test_what_is_no_envelope_is_named_and_stops_no_other(self, engine_home: EngineHome) -> None:
        (engine_home.home / "bus").mkdir()
        (engine_home.home / "bus" / "00000001.json").write_text("{}")
        engine_home.run(request())

        look = hear(engine_home.workspace, "", [ENGINE], {})

        assert len(look.requests) == 1
        assert "1 cannot be read (00000001.json: " in look.said
        assert look.cursor == "2"

    def test_a_ready_run_starts_each_table_downstream_once(self, engine_home: EngineHome) -> None:
        orders = parse_contract(CONTRACT.encode(), source="orders.odcs.yaml")
        engine_home.run(request())
        reemit(engine_home.workspace, reemit_request(request().run_id, ReemitKind.BOTH, "ann"))

        look = hear(engine_home.workspace, "", [ENGINE], {ENGINE: [orders]}, is_shown=lambda _: True)

        assert [(asked.job_name, asked.partition_key) for asked in look.requests] == [
            ("orders_ingest", request().run_id)
        ] * 2
        assert len({asked.run_key for asked in look.requests}) == 2  # the second: somebody asked for it again
        assert look.requests[0].tags[CONTRACT_TAG] == orders.digest

    @pytest.mark.parametrize("how", ["exits", "lies"])
    def test_a_bad_end_starts_no_table(self, engine_home: EngineHome, how: str) -> None:
        orders = parse_contract(CONTRACT.encode(), source="orders.odcs.yaml")
        engine_home.run(request(how=how))

        assert hear(engine_home.workspace, "", [ENGINE], {ENGINE: [orders]}, is_shown=lambda _: True).requests == ()

    def test_a_run_in_quarantine_by_now_is_shown_and_starts_nothing(self, engine_home: EngineHome) -> None:
        orders = parse_contract(CONTRACT.encode(), source="orders.odcs.yaml")
        engine_home.run(request())
        quarantine(engine_home.workspace, request().run_id, Decision(actor="ann", reason="no"))

        look = hear(engine_home.workspace, "", [ENGINE], {ENGINE: [orders]})

        assert {asked.job_name for asked in look.requests} == {job_name(ENGINE)}


def test_from_a_dropped_request_to_a_run_that_dagster_shows(engine_home: EngineHome, folder: Path) -> None:
    """All three sensors and the job, in the order in which a daemon would call them."""
    (folder / "one.json").write_text(request_text(request()))
    loaded = definitions()
    with dg.DagsterInstance.local_temp(str(engine_home.home / "dagster")) as instance:

        def tick(name: str, cursor: str | None = None) -> dg.SensorResult:
            context = dg.build_sensor_context(
                instance=instance, cursor=cursor, resources={"workspace": WorkspaceResource()}, definitions=loaded
            )
            result = loaded.resolve_sensor_def(name)(context)
            assert isinstance(result, dg.SensorResult)
            return result

        tick("engine_requests")
        (asked,) = tick("engine_runs").run_requests or ()
        instance.add_dynamic_partitions(partitions_name(ENGINE), [str(asked.partition_key)])
        job = loaded.resolve_job_def(str(asked.job_name))
        result = job.execute_in_process(
            instance=instance, partition_key=str(asked.partition_key), tags=dict(asked.tags)
        )
        assert result.success
        run = instance.get_run_by_id(result.run_id)
        assert run is not None
        assert run.tags[STATE_TAG] == RunState.READY.value
        assert not tick("engine_runs").run_requests
        assert not tick("engine_bus").run_requests  # Dagster has shown it already
    assert advance(engine_home.workspace, request().run_id).state is RunState.READY


def _pins(world: str, how: str) -> dict[str, object]:
    return {"manifest_fingerprint": world, "parameter_hash": "p1", "seed": 7, "scenario_id": how}


def _record_run(instance: dg.DagsterInstance, status: dg.DagsterRunStatus, tags: dict[str, str]) -> None:
    instance.add_run(dg.DagsterRun(job_name=job_name(ENGINE), run_id=str(uuid4()), status=status, tags=tags))
