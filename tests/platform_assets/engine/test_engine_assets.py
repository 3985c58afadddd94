"""An engine in Dagster: its assets, its gates as checks, and what a run comes to is what Dagster shows."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from contracts.authority.pack import EnginePack
from platform_assets.engine.engine_assets import engine_assets
from platform_assets.engine.engine_specs import ENGINE_RUN_TAG, STATE_TAG, EngineKeys, job_name
from platform_assets.engine.jobs import submit_engine_run
from platform_assets.engine.run_partitions import partitions_name
from platform_assets.engine.submitting import submit
from resources.dagster_resources import WorkspaceResource
from tests.engine_home import ENGINE, EngineHome, request, write_results

KEYS = EngineKeys(ENGINE)
NUMBERS = KEYS.output("numbers")


class Dagster:
    """A Dagster instance with the toy engine's assets."""

    def __init__(self, engine_home: EngineHome, instance: dg.DagsterInstance) -> None:
        self.home, self.instance = engine_home, instance

    @property
    def pack(self) -> EnginePack:
        return self.home.workspace.engine(ENGINE).pack

    @property
    def definitions(self) -> dg.Definitions:
        resources = dg.Definitions(resources={"workspace": WorkspaceResource()})
        return dg.Definitions.merge(engine_assets(self.pack), resources)

    def bring_forward(self, run_id: str) -> dg.ExecuteInProcessResult:
        self.instance.add_dynamic_partitions(partitions_name(ENGINE), [run_id])
        job = self.definitions.resolve_job_def(job_name(ENGINE))
        return job.execute_in_process(instance=self.instance, partition_key=run_id, raise_on_error=False)

    def materialized(self, run_id: str) -> set[str]:
        keys = self.definitions.resolve_asset_graph().get_all_asset_keys()
        records = {key: self.instance.get_materialized_partitions(key) for key in keys}
        return {key.path[-1] for key, partitions in records.items() if run_id in partitions}

    def check(self, name: str = "numbers_passed") -> dg.AssetCheckEvaluation:
        key = dg.AssetCheckKey(NUMBERS, name)
        (record,) = self.instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
        evaluation = record.event.dagster_event.asset_check_evaluation_data
        assert isinstance(evaluation, dg.AssetCheckEvaluation)
        return evaluation

    def tags(self, result: dg.ExecuteInProcessResult) -> dict[str, str]:
        run = self.instance.get_run_by_id(result.run_id)
        assert run is not None
        return dict(run.tags)

    def failure(self, result: dg.ExecuteInProcessResult) -> str:
        (failed,) = [event for event in result.all_events if event.is_step_failure]
        return str(failed.step_failure_data.user_failure_data.description)


@pytest.fixture
def dagster(engine_home: EngineHome, home: Path) -> Dagster:
    with dg.DagsterInstance.local_temp(str(home / "dagster")) as instance:
        return Dagster(engine_home, instance)


def submitted(dagster: Dagster, **about: str) -> str:
    workspace = dagster.home.workspace
    return submit(workspace, request(**about)).run_id


def test_the_graph_is_plan_outputs_facts_ready(dagster: Dagster) -> None:
    graph = dagster.definitions.resolve_asset_graph()

    edges = {
        key.path[-1]: {parent.path[-1] for parent in graph.get(key).parent_keys} for key in graph.get_all_asset_keys()
    }

    assert edges == {
        "plan": set(),
        "numbers": {"plan"},
        "notes": {"plan"},
        "facts": {"numbers", "notes"},
        "ready": {"facts"},
    }
    assert {key.path[0] for key in graph.get_all_asset_keys()} == {"engine"}


def test_every_asset_says_what_it_is(dagster: Dagster) -> None:
    for spec in dagster.definitions.resolve_all_asset_specs():
        assert spec.description
        assert spec.kinds
        assert spec.group_name == "engine_toy"
        assert spec.code_version == dagster.pack.policy_revision
        assert isinstance(spec.partitions_def, dg.DynamicPartitionsDefinition)


def test_each_gate_is_a_blocking_partitioned_check_of_an_output(dagster: Dagster) -> None:
    graph = dagster.definitions.resolve_asset_graph()

    (key,) = graph.asset_check_keys

    assert (key.asset_key, key.name) == (NUMBERS, "numbers_passed")
    assert graph.get(key).blocking
    assert graph.get(key).partitions_def == graph.get(NUMBERS).partitions_def


def test_a_run_that_becomes_ready_is_shown_whole(dagster: Dagster) -> None:
    run_id = submitted(dagster)

    result = dagster.bring_forward(run_id)

    assert result.success
    assert dagster.materialized(run_id) == {"plan", "numbers", "facts", "ready"}  # notes are optional, and not there
    check = dagster.check()
    assert check.passed
    assert check.partition == run_id
    assert check.metadata["expected"].value == check.metadata["observed"].value
    assert dagster.tags(result)[STATE_TAG] == "READY"
    assert dagster.tags(result)[ENGINE_RUN_TAG] == run_id


def test_what_is_shown_names_digests_of_the_facts(dagster: Dagster) -> None:
    run_id = submitted(dagster)
    dagster.bring_forward(run_id)
    facts = dagster.home.documents(run_id).readable_facts()
    assert facts is not None

    event = dagster.instance.get_latest_materialization_event(NUMBERS)

    assert event is not None
    metadata = event.asset_materialization.metadata
    assert metadata["content_digest"].value == f"sha256:{facts.locators[0].content_digest.hex}"
    assert metadata["facts"].value == facts.digest
    assert (event.asset_materialization.tags or {})["dagster/data_version"] == facts.locators[0].content_digest.hex


def test_a_run_in_quarantine_fails_with_both_digests_and_shows_no_output(dagster: Dagster) -> None:
    run_id = submitted(dagster, how="lies")

    result = dagster.bring_forward(run_id)

    assert not result.success
    assert dagster.materialized(run_id) == {"plan"}
    check = dagster.check()
    assert not check.passed
    assert check.metadata["expected"].value == "0" * 64
    assert check.metadata["observed"].value not in {"0" * 64, "not computed"}
    assert dagster.failure(result).startswith(f"QUARANTINED: run {run_id} of engine toy\nEVIDENCE_CONFLICT: ")
    assert dagster.tags(result)[STATE_TAG] == "QUARANTINED"


def test_a_run_that_failed_fails_with_its_code(dagster: Dagster) -> None:
    run_id = submitted(dagster, how="exits")

    result = dagster.bring_forward(run_id)

    assert dagster.failure(result).startswith(f"FAILED: run {run_id} of engine toy\nENGINE_EXIT_NONZERO: ")
    assert dagster.materialized(run_id) == {"plan"}
    assert dagster.tags(result)[STATE_TAG] == "FAILED"


def test_a_run_that_waits_is_no_failure_and_says_what_it_waits_for(dagster: Dagster, tmp_path: Path) -> None:
    workspace = dagster.home.workspace
    root = str(tmp_path / "results")
    run_id = submit(workspace, request(strategy="reuse", engine_run_root=root)).run_id

    waiting = dagster.bring_forward(run_id)
    observed = dagster.instance.fetch_observations(KEYS.ready, limit=1).records
    write_results(tmp_path / "results")
    ready = dagster.bring_forward(run_id)

    assert waiting.success
    assert dagster.tags(waiting)[STATE_TAG] == "WAITING"
    assert observed[0].asset_observation.metadata["reason_codes"].value.startswith("EVIDENCE_MISSING")
    assert ready.success
    assert dagster.tags(ready)[STATE_TAG] == "READY"
    assert dagster.materialized(run_id) == {"plan", "numbers", "facts", "ready"}


def test_a_partition_that_is_no_run_fails_and_says_so(dagster: Dagster) -> None:
    result = dagster.bring_forward("0" * 32)

    assert dagster.failure(result).startswith("there is no run '00000000000000000000000000000000'")


def test_bringing_a_ready_run_forward_again_shows_the_same(dagster: Dagster) -> None:
    run_id = submitted(dagster)
    dagster.bring_forward(run_id)

    assert dagster.bring_forward(run_id).success
    assert len(dagster.home.envelopes()) == 1


class TestChecksAlone:
    """Executing the checks without the assets reads the run root again."""

    @staticmethod
    def check_again(dagster: Dagster, run_id: str) -> dg.AssetCheckEvaluation:
        checks = {dg.AssetCheckKey(NUMBERS, "numbers_passed")}
        job = dagster.definitions.resolve_job_def(job_name(ENGINE)).get_subset(
            asset_selection=set(), asset_check_selection=checks
        )
        result = job.execute_in_process(instance=dagster.instance, partition_key=run_id, raise_on_error=False)
        (evaluation,) = result.get_asset_check_evaluations()
        return evaluation

    @pytest.fixture
    def ready(self, dagster: Dagster) -> Path:
        """The bundle of a run that is READY."""
        run_id = submitted(dagster)
        dagster.bring_forward(run_id)
        plan = dagster.home.documents(run_id).plan()
        assert plan is not None
        return Path(plan.root.root) / "m1" / "seed=7" / "numbers"

    def test_what_is_as_it_was_passes_again(self, dagster: Dagster, ready: Path) -> None:
        assert ready.is_dir()
        assert self.check_again(dagster, request().run_id).passed

    def test_what_was_altered_since_does_not_and_the_run_stays_as_it_was(self, dagster: Dagster, ready: Path) -> None:
        (ready / "part-1.txt").write_text("altered")
        before = dagster.home.kinds(request().run_id)

        again = self.check_again(dagster, request().run_id)

        assert not again.passed
        assert again.metadata["expected"].value != again.metadata["observed"].value
        assert dagster.home.kinds(request().run_id) == before
        assert dagster.home.documents(request().run_id).readable_facts() is not None

    def test_what_is_gone_is_not_passed(self, dagster: Dagster, ready: Path) -> None:
        (ready / "_passed.flag").unlink()

        again = self.check_again(dagster, request().run_id)

        assert not again.passed


LAUNCHED = {
    "engine": ENGINE,
    "run_equivalence_key": "k1",
    "manifest_fingerprint": "m1",
    "parameter_hash": "p1",
    "seed": 7,
    "scenario_id": "behaves",
    "actor": "ann",
}


def _launch(dagster: Dagster, config: dict[str, object]) -> dg.ExecuteInProcessResult:
    return submit_engine_run.execute_in_process(
        run_config={"ops": {"submit_run_request": {"config": config}}},
        resources={"workspace": WorkspaceResource()},
        instance=dagster.instance,
        raise_on_error=False,
    )


def test_a_run_that_is_submitted_from_the_launchpad_is_that_of_the_same_request_in_a_file(dagster: Dagster) -> None:
    result = _launch(dagster, dict(LAUNCHED))

    run_id = request().run_id
    assert result.success
    assert dagster.tags(result)[ENGINE_RUN_TAG] == run_id
    assert dagster.instance.has_dynamic_partition(partitions_name(ENGINE), run_id)
    assert submit(dagster.home.workspace, request()).run_id == run_id  # no collision: the same intent


REFUSED = {
    "no scenario": ({"scenario_id": ""}, "exactly one of scenario_id and scenario_set"),
    "an unknown engine": ({"engine": "moon"}, "there is no engine 'moon'"),
    "a bad pin": ({"manifest_fingerprint": "../up"}, "pins.manifest_fingerprint"),
    "half a window": ({"window_start": "2026-01-01T00:00:00Z"}, "end is missing"),
}


@pytest.mark.parametrize(("changed", "said"), REFUSED.values(), ids=REFUSED)
def test_what_the_launchpad_cannot_submit_fails_with_the_reason(
    dagster: Dagster, changed: dict[str, object], said: str
) -> None:
    result = _launch(dagster, {**LAUNCHED, **changed})

    assert said in dagster.failure(result)
    assert dagster.home.workspace.store.keys("engine") == []
