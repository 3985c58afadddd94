"""The asset graph of the shipped contracts, as a snapshot: keys and edges first, then what each asset says."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import dagster as dg
import pytest

from contracts.gates import GATES
from contracts.partitions import current_key, keys_between
from platform_assets.definitions import definitions
from platform_assets.ingest.partition_calendars import partitions_of
from platform_assets.shadowing import refuse_shadowing
from resources.workspace import Workspace

ROOT = Path(__file__).parents[2]
EDGES = {
    "flights/selection": set(),
    "flights/validated": {"flights/selection"},
    "flights/quarantine": {"flights/selection"},
    "flights/report": {"flights/validated", "flights/quarantine"},
    "flights/overview": {"flights/report"},
    "carrier_delays": {"flights/validated"},
}
KINDS = {
    "flights/selection": {"csv"},
    "flights/validated": {"parquet", "duckdb"},
    "flights/quarantine": {"parquet", "duckdb"},
    "flights/report": {"html"},
    "flights/overview": {"html"},
    "carrier_delays": {"parquet", "duckdb"},
}


@pytest.fixture
def loaded(home: Path, monkeypatch: pytest.MonkeyPatch) -> dg.Definitions:  # noqa: ARG001 - sets the environment
    monkeypatch.setenv("HASHGATE_CONTRACTS", str(ROOT / "contracts" / "odcs"))
    return definitions()


def test_the_graph_has_these_assets_and_edges(loaded: dg.Definitions) -> None:
    graph = loaded.resolve_asset_graph()
    edges = {
        key.to_user_string(): {parent.to_user_string() for parent in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
    }
    assert edges == EDGES


@pytest.mark.parametrize("asset", EDGES)
def test_every_asset_says_what_it_is(loaded: dg.Definitions, asset: str) -> None:
    spec = loaded.resolve_asset_graph().get(dg.AssetKey(asset.split("/")))
    assert spec.description
    assert spec.owners == ["team:aviation-data", "flights@example.com"]
    assert spec.group_name == "aviation"
    assert spec.code_version
    assert spec.kinds == KINDS[asset]
    if asset == "flights/overview":
        assert spec.partitions_def is None
        assert spec.automation_condition is not None
        return
    assert isinstance(spec.partitions_def, dg.TimeWindowPartitionsDefinition)
    assert spec.backfill_policy == dg.BackfillPolicy.single_run()


def test_every_column_is_described_lineage_too(loaded: dg.Definitions) -> None:
    metadata = loaded.resolve_asset_graph().get(dg.AssetKey(["flights", "validated"])).metadata
    columns = metadata["dagster/column_schema"].columns
    contract = Workspace.from_environment().contract("flights")
    assert [(c.name, c.type) for c in columns] == list(contract.table_schema.items())
    assert [c.name for c in columns if not c.description] == []


def test_the_gates_are_blocking_partitioned_checks_of_the_validated_rows(loaded: dg.Definitions) -> None:
    graph = loaded.resolve_asset_graph()
    validated = dg.AssetKey(["flights", "validated"])
    assert {(key.asset_key, key.name) for key in graph.asset_check_keys} == {(validated, gate) for gate in GATES}
    for key in graph.asset_check_keys:
        check = graph.get(key)
        assert check.blocking
        assert check.partitions_def == graph.get(validated).partitions_def
        assert check.description


def test_there_is_a_job_a_table_and_sensors_that_are_on(loaded: dg.Definitions) -> None:
    repository = loaded.get_repository_def()
    assert {job.name for job in repository.get_all_jobs()} == {
        "__ASSET_JOB",
        "flights_ingest",
        "release_held",
        "discard_held",
        "roll_back_partition",
        "collect_garbage",
    }
    assert {s.name: s.default_status for s in repository.schedule_defs} == {"janitor": dg.DefaultScheduleStatus.RUNNING}
    assert {s.name: s.default_status for s in repository.sensor_defs} == dict.fromkeys(
        ("flights_drops", "contracts", "reconcile", "automation"), dg.DefaultSensorStatus.RUNNING
    )


@pytest.mark.parametrize(
    ("cadence", "start"),
    [("hourly", "2013-03-01T00:00"), ("daily", "2013-01-01"), ("weekly", "2013-01-07"), ("monthly", "2013-01-01")],
)
@pytest.mark.parametrize(
    "end", [None, "2014-07-01", "2999-07-01"], ids=["no end", "an end behind us", "an end to come"]
)
@pytest.mark.usefixtures("loaded")
def test_dagsters_calendar_has_the_contracts_keys(cadence: str, start: str, end: str | None) -> None:
    if cadence == "weekly" and end is not None:
        end = "2014-06-30" if end < "2026" else "2999-07-01"  # both are Mondays
    partitioning = Workspace.from_environment().contract("flights").partitioning
    changed = type(partitioning).model_validate(
        partitioning.model_dump() | {"cadence": cadence, "start": start, "end": end}
    )
    theirs = list(partitions_of(changed).get_partition_keys())
    assert current_key(changed, dt.datetime.now(dt.UTC)) == theirs[-1]
    assert keys_between(changed, theirs[0], theirs[-1])[-2000:] == theirs[-2000:]


def test_a_package_that_shadows_one_of_ours_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImportError, match="hashgate's package `contracts` should come from") as caught:
        refuse_shadowing(tmp_path, ("contracts",))
    assert "Uninstall or rename the other one" in str(caught.value)
    with pytest.raises(ImportError, match="none with an __init__"):
        refuse_shadowing(tmp_path, ("no_such_package",))


def test_our_own_packages_are_where_they_should_be() -> None:
    refuse_shadowing(ROOT)
