"""The worked example on a few real-looking days of flights, from drops to its own gated table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest

from contracts.produced import produced_table
from platform_assets.definitions import definitions
from platform_assets.ingest.runs import run_ingest
from resources.workspace import Workspace

ROOT = Path(__file__).parents[3]
DAYS = ("2013-01-01", "2013-01-02")
HEADER = (
    "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,flight,tailnum,"
    "origin,dest,air_time,distance,hour,minute,time_hour\n"
)
FLIGHTS = {
    "2013-01-01": "2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z\n"
    "2013,1,1,533,529,4,850,830,20,UA,1714,N24211,LGA,IAH,227,1416,5,29,2013-01-01T10:00:00Z\n"
    "2013,1,1,,630,,,815,,B6,4308,N18120,EWR,RDU,,416,6,30,2013-01-01T11:00:00Z\n",
    "2013-01-02": "2013,1,2,517,515,2,830,819,-5,AA,11,N14228,JFK,MIA,150,1089,5,15,2013-01-02T10:00:00Z\n",
}


@pytest.fixture
def instance(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("HASHGATE_CONTRACTS", str(ROOT / "contracts" / "odcs"))
    (home / "drops" / "flights").mkdir()
    for day, rows in FLIGHTS.items():
        (home / "drops" / "flights" / f"flights-{day}.csv").write_text(HEADER + rows)
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened


def test_delays_follow_the_published_days_by_themselves(instance: dg.DagsterInstance) -> None:
    loaded = definitions()
    key = dg.AssetKey("carrier_delays")
    before = dg.evaluate_automation_conditions(defs=loaded, instance=instance)
    assert before.get_requested_partitions(key) == set()

    workspace = Workspace.from_environment()
    run_ingest(workspace, "flights", DAYS, instance=instance)
    after = dg.evaluate_automation_conditions(defs=loaded, instance=instance, cursor=before.cursor)

    assert after.get_requested_partitions(key) == set(DAYS)


def test_no_held_day_starts_anything(instance: dg.DagsterInstance, home: Path) -> None:
    (home / "drops" / "flights" / f"flights-{DAYS[1]}.csv").write_text(HEADER + "not a flight\n" * 3)
    loaded = definitions()
    run_ingest(Workspace.from_environment(), "flights", DAYS, instance=instance)
    result = dg.evaluate_automation_conditions(defs=loaded, instance=instance)
    assert result.get_requested_partitions(dg.AssetKey("carrier_delays")) == {DAYS[0]}


def test_delays_by_carrier_and_day_are_published(instance: dg.DagsterInstance) -> None:
    workspace = Workspace.from_environment()
    run_ingest(workspace, "flights", DAYS, instance=instance)
    result = (
        definitions()
        .resolve_implicit_global_asset_job_def()
        .execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey("carrier_delays")],
            tags={"dagster/asset_partition_range_start": DAYS[0], "dagster/asset_partition_range_end": DAYS[1]},
        )
    )
    assert result.success
    rows = [
        row
        for day in DAYS
        for path in workspace.reader.open(produced_table(["carrier_delays"]), day).valid
        for row in pq.read_table(path, partitioning=None).to_pylist()
    ]
    assert [
        (str(r["day"]), r["carrier"], r["flights"], r["cancelled"], r["mean_arrival_delay"], r["late"]) for r in rows
    ] == [
        (DAYS[0], "B6", 1, 1, None, 0),
        (DAYS[0], "UA", 2, 0, 15.5, 1),
        (DAYS[1], "AA", 1, 0, -5.0, 0),
    ]
