"""The table's assets in a real Dagster instance: what a run publishes, and what Dagster then knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.asset_daemon_cursor import AssetDaemonCursor
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest

from contracts.gates import GATES
from contracts.overview_document import Overview
from platform_assets.ingest.asset_events import inert, visible
from platform_assets.ingest.table_assets import FINGERPRINT_TAG
from tests.dagster_home import HALF_BAD, DagsterHome, failure_of
from tests.installation import CONTRACT, SOUND, Installation

DAYS = ("2024-03-01", "2024-03-02", "2024-03-03")
ASSETS = ("orders/selection", "orders/validated", "orders/quarantine", "orders/report")
MENDED = b"id,item,amount\n1,pen,2.5\n"


@pytest.fixture
def orders(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[DagsterHome]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield DagsterHome(Installation(home, monkeypatch, capsys), instance)


@pytest.fixture
def three_days(orders: DagsterHome) -> DagsterHome:
    """Three days, the middle one more than half bad."""
    orders.installation.drop(DAYS[0])
    orders.installation.drop(DAYS[1], HALF_BAD)
    orders.installation.drop(DAYS[2])
    return orders


def test_one_partition_is_recorded_once_with_what_it_is(orders: DagsterHome) -> None:
    orders.installation.drop(DAYS[0], SOUND + b"3,,1\n")

    assert orders.run(DAYS[0]).success

    assert {asset: orders.materializations(asset) for asset in ASSETS} == {a: Counter({DAYS[0]: 1}) for a in ASSETS}
    head = orders.installation.workspace.reader.head("orders", DAYS[0])
    assert head is not None
    validated = orders.latest("orders/validated", DAYS[0])
    assert validated.metadata["dagster/row_count"].value == validated.metadata["dagster/partition_row_count"].value == 2
    assert validated.metadata["quarantined_rows"].value == 1
    assert validated.metadata["records"].value == 3
    assert validated.metadata["commit"].value == head.digest
    assert validated.metadata["dagster/uri"].value.endswith(f"/tables/orders/commits/{DAYS[0]}/00000001.json")
    assert validated.tags is not None
    assert validated.tags["dagster/data_version"] == head.candidate.view_key
    assert orders.latest("orders/quarantine", DAYS[0]).metadata["dagster/row_count"].value == 1
    selection = orders.latest("orders/selection", DAYS[0])
    assert selection.metadata["snapshot"].value == head.candidate.snapshot
    assert selection.metadata["drops"].value.records[0].data["path"] == f"orders/orders-{DAYS[0]}.csv"
    assert Path(str(orders.latest("orders/report", DAYS[0]).metadata["report"].value)).is_file()


def test_a_report_has_a_link_and_says_how_else_to_see_it(orders: DagsterHome) -> None:
    orders.installation.drop(DAYS[0])
    orders.run(DAYS[0])
    told = orders.latest("orders/report", DAYS[0]).metadata
    assert told["page"] == dg.MetadataValue.url(f"http://127.0.0.1:3070/orders/{DAYS[0]}/1/")
    assert told["page_command"].value == f"hashgate report orders {DAYS[0]} --open"
    assert isinstance(told["summary"], dg.MarkdownMetadataValue)


def overview_of(orders: DagsterHome) -> dg.ExecuteInProcessResult:
    job = orders.definitions.resolve_implicit_global_asset_job_def()
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    selection = [dg.AssetKey(["orders", "overview"])]
    return job.execute_in_process(
        instance=orders.instance, asset_selection=selection, run_config=quiet, raise_on_error=False
    )


def test_the_overview_is_of_all_partitions(three_days: DagsterHome) -> None:
    three_days.run(DAYS[0], DAYS[2])
    assert overview_of(three_days).success
    event = three_days.instance.get_latest_materialization_event(dg.AssetKey(["orders", "overview"]))
    assert event is not None
    assert event.asset_materialization is not None
    told = event.asset_materialization.metadata
    assert (told["partitions"].value, told["held"].value, told["missing"].value) == (2, 1, 0)
    assert told["dagster/row_count"].value == 4
    assert told["page"] == dg.MetadataValue.url("http://127.0.0.1:3070/orders/")
    stored = Overview.from_bytes(Path(str(told["overview"].value)).read_bytes())
    assert event.asset_materialization.tags is not None
    assert event.asset_materialization.tags["dagster/data_version"] == stored.versions


def test_the_overview_follows_when_reports_came_and_not_again(orders: DagsterHome) -> None:
    key = dg.AssetKey(["orders", "overview"])

    def asked(cursor: AssetDaemonCursor | None) -> tuple[int, AssetDaemonCursor]:
        found = dg.evaluate_automation_conditions(defs=orders.definitions, instance=orders.instance, cursor=cursor)
        return found.get_num_requested(key), found.cursor

    nothing, cursor = asked(None)
    orders.installation.drop(DAYS[0])
    orders.run(DAYS[0])
    requested, cursor = asked(cursor)
    again, _ = asked(cursor)
    assert (nothing, requested, again) == (0, 1, 0)


def test_an_overview_of_nothing_says_what_to_do(orders: DagsterHome) -> None:
    result = overview_of(orders)
    assert not result.success
    assert "there is nothing to show. Run `hashgate ingest orders`." in failure_of(result)


def test_every_gate_is_seen_passed_for_its_partition(orders: DagsterHome) -> None:
    orders.installation.drop(DAYS[0])
    orders.run(DAYS[0])
    assert {gate: orders.gates(gate) for gate in GATES} == {gate: {DAYS[0]: ("SUCCEEDED", True)} for gate in GATES}


def with_sinks(contract: str) -> str:
    return f"{contract}  - property: sinks\n    value: [csv, duckdb]\n"


def test_a_table_with_sinks_has_a_gate_more_and_its_kinds(orders: DagsterHome) -> None:
    orders.installation.write_contract(with_sinks(CONTRACT))
    orders.installation.drop(DAYS[0])
    assert orders.run(DAYS[0]).success
    assert orders.contract.gates == (*GATES, "sinks")
    assert all(orders.gates(gate) == {DAYS[0]: ("SUCCEEDED", True)} for gate in orders.contract.gates)
    verdict = orders.verdict("sinks", DAYS[0])
    assert verdict.description == "2 exports read back, 2 right"
    told = orders.latest("orders/validated", DAYS[0]).metadata
    for sink in ("csv", "duckdb"):
        assert Path(str(told[f"{sink}_file"].value).removeprefix("file://")).name == f"orders.{sink}"
    spec = orders.definitions.resolve_asset_graph().get(dg.AssetKey(["orders", "validated"]))
    assert spec.kinds == {"parquet", "duckdb", "csv"}


def test_a_sink_that_comes_and_goes_leaves_no_gate_without_a_check(orders: DagsterHome) -> None:
    orders.installation.drop(DAYS[0])
    assert orders.run(DAYS[0]).success
    orders.installation.write_contract(with_sinks(CONTRACT))
    assert orders.run(DAYS[0]).success
    orders.installation.write_contract(CONTRACT)
    orders.installation.drop(DAYS[1])
    assert orders.run(DAYS[1]).success
    assert orders.run(DAYS[0]).success
    assert orders.gates("quality") == dict.fromkeys(DAYS[:2], ("SUCCEEDED", True))


def test_a_bad_partition_in_the_middle_of_a_range_is_held_and_the_others_are_there(three_days: DagsterHome) -> None:
    result = three_days.run(DAYS[0], DAYS[2])

    assert not result.success
    said = failure_of(result)
    assert "orders: 2 published, 1 held" in said
    assert f"{DAYS[1]} is held: gate quality FAIL" in said
    assert three_days.materializations("orders/validated") == Counter({DAYS[0]: 1, DAYS[2]: 1})
    assert three_days.materializations("orders/report") == Counter({DAYS[0]: 1, DAYS[2]: 1})
    assert three_days.gates("quality")[DAYS[0]] == ("SUCCEEDED", True)
    assert three_days.gates("quality")[DAYS[1]][0] == "FAILED"
    assert three_days.gates("quality")[DAYS[2]] == ("SUCCEEDED", True)


def test_a_red_gate_shows_expected_observed_and_the_first_offending_rows_as_inert_text(three_days: DagsterHome) -> None:
    three_days.run(DAYS[0], DAYS[2])
    verdict = three_days.verdict("quality", DAYS[1])
    assert not verdict.passed
    assert verdict.blocking
    assert "Held: nobody can read this candidate" in verdict.description
    assert "within 50.00%" in verdict.metadata["expected"].value
    assert "75.00%" in verdict.metadata["observed"].value
    rows = [record.data for record in verdict.metadata["first_offending_rows"].value.records]
    assert [record["record"] for record in rows] == [2, 3, 4]
    assert "\x1b" not in str(rows), "a terminal would obey it"
    assert r"\x1b[31mred" in rows[2]["raw"]


def test_a_range_that_ran_is_reused_and_said_once(three_days: DagsterHome) -> None:
    three_days.run(DAYS[0], DAYS[2])
    before = three_days.installation.workspace.reader.head("orders", DAYS[0])
    three_days.installation.drop(DAYS[1], MENDED)

    assert three_days.run(DAYS[0], DAYS[2]).success

    assert three_days.installation.workspace.reader.head("orders", DAYS[0]) == before
    assert three_days.materializations("orders/validated") == Counter(dict.fromkeys(DAYS, 1))
    assert three_days.gates("quality") == dict.fromkeys(DAYS, ("SUCCEEDED", True))


def test_a_backfill_is_told_of_what_it_asked_for_even_if_nothing_changed(orders: DagsterHome) -> None:
    orders.installation.drop(DAYS[0])
    orders.run(DAYS[0])
    assert orders.run(DAYS[0], tags={"dagster/backfill": "abc"}).success
    assert {asset: orders.materializations(asset) for asset in ASSETS} == {a: Counter({DAYS[0]: 2}) for a in ASSETS}
    assert orders.gates("integrity") == {DAYS[0]: ("SUCCEEDED", True)}


def test_force_builds_again_and_comes_to_the_same(orders: DagsterHome) -> None:
    orders.installation.drop(DAYS[0])
    orders.run(DAYS[0])
    assert orders.run(DAYS[0], force=True).success
    assert len(orders.installation.workspace.reader.history("orders", DAYS[0])) == 1


def test_a_run_carries_its_fingerprint(orders: DagsterHome) -> None:
    orders.installation.drop(DAYS[0])
    runs = [orders.run(DAYS[0]), orders.run(DAYS[0]), orders.run(DAYS[0], force=True)]
    tags = [orders.instance.get_run_by_id(run.run_id).tags[FINGERPRINT_TAG] for run in runs]
    assert tags[0] == tags[1] != tags[2]


def test_a_restated_day_is_recorded_again_with_another_data_version(orders: DagsterHome) -> None:
    orders.installation.drop(DAYS[0])
    orders.run(DAYS[0])
    first = orders.latest("orders/validated", DAYS[0])
    orders.installation.drop(DAYS[0], MENDED)
    orders.run(DAYS[0])
    second = orders.latest("orders/validated", DAYS[0])
    assert first.tags is not None
    assert second.tags is not None
    assert first.tags["dagster/data_version"] != second.tags["dagster/data_version"]
    assert orders.gates("contract") == {DAYS[0]: ("SUCCEEDED", True)}


def stale_causes(orders: DagsterHome, partition: str) -> dict[str, list[str]]:
    resolver = CachingStaleStatusResolver(
        orders.instance, orders.definitions.resolve_asset_graph(), LoadingContextForTest(orders.instance)
    )
    causes = {asset: resolver.get_stale_causes(dg.AssetKey(asset.split("/")), partition) for asset in ASSETS}
    return {asset: [cause.reason for cause in found] for asset, found in causes.items()}


def test_dagster_sees_what_is_up_to_date_and_why_it_is_not(orders: DagsterHome) -> None:
    orders.installation.drop(DAYS[0])
    orders.run(DAYS[0])
    assert stale_causes(orders, DAYS[0]) == {asset: [] for asset in ASSETS}
    orders.installation.write_contract(CONTRACT.replace("minimum: 0", "minimum: 1"))
    assert stale_causes(orders, DAYS[0])["orders/validated"] == ["has a new code version"]


def test_a_single_partition_without_a_drop_says_so(orders: DagsterHome) -> None:
    result = orders.run(DAYS[0])
    assert not result.success
    assert failure_of(result) == (
        f"orders[{DAYS[0]}] has nothing to ingest: no file for it has come to orders/*.csv* (0 files are there). "
        "Drop a file and run it again."
    )


def test_empty_partitions_of_a_range_are_left_out(orders: DagsterHome) -> None:
    orders.installation.drop(DAYS[1])
    assert orders.run(DAYS[0], DAYS[2]).success
    assert orders.materializations("orders/validated") == Counter({DAYS[1]: 1})


def test_a_drop_folder_that_is_gone_is_one_clear_sentence(orders: DagsterHome) -> None:
    (orders.installation.drops / "orders").rmdir()
    said = failure_of(orders.run(DAYS[0]))
    assert said.startswith(f"drop folder {orders.installation.drops / 'orders'} does not exist.")


def test_a_run_asked_for_under_another_contract_does_nothing(
    orders: DagsterHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders.installation.drop(DAYS[0])
    stale = orders.definitions.resolve_job_def("orders_ingest").get_job_snapshot()
    orders.installation.write_contract(CONTRACT.replace("minimum: 0", "minimum: 1"))
    # the run was created from the definitions of before, and its process has loaded those of now
    monkeypatch.setattr(orders.instance, "get_job_snapshot", lambda _: stale)

    said = failure_of(orders.run(DAYS[0]))

    assert said.startswith("This run was asked for under contract blake3:")
    assert "nothing was done. Reload the definitions and ask again." in said
    assert orders.installation.workspace.reader.head("orders", DAYS[0]) is None


def test_checks_alone_verify_what_is_published(orders: DagsterHome) -> None:
    orders.installation.drop(DAYS[0])
    orders.run(DAYS[0])
    head = orders.installation.workspace.reader.head("orders", DAYS[0])
    assert head is not None
    valid = Path(orders.installation.workspace.reader.open("orders", DAYS[0]).valid[0])
    valid.chmod(0o600)
    damaged = bytearray(valid.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    valid.write_bytes(damaged)

    checks = [dg.AssetCheckKey(dg.AssetKey(["orders", "validated"]), gate) for gate in GATES]
    job = orders.definitions.resolve_implicit_global_asset_job_def().get_subset(
        asset_selection=set(), asset_check_selection=set(checks)
    )
    job.execute_in_process(instance=orders.instance, partition_key=DAYS[0], raise_on_error=False)

    assert orders.gates("integrity")[DAYS[0]][0] == "FAILED"
    assert orders.materializations("orders/validated") == Counter({DAYS[0]: 1})


def test_one_broken_contract_hides_no_other(orders: DagsterHome) -> None:
    orders.installation.write_contract("schema: [", table="broken")
    graph = orders.definitions.resolve_asset_graph()
    (broken,) = [key for key in graph.get_all_asset_keys() if key.path[0] == "broken_contracts"]
    assert broken.path == ["broken_contracts", "broken_1"]
    assert "broken.odcs.yaml" in (graph.get(broken).description or "")
    assert graph.has(dg.AssetKey(["orders", "validated"]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("<script>alert(1)</script>", r"\<script\>alert(1)\</script\>", id="HTML"),
        pytest.param("[click](http://e.example)", r"\[click\](http\://e.example)", id="a link"),
        pytest.param(
            "see http://e.example or www.e.example", r"see http\://e.example or www\.e.example", id="bare links"
        ),
        pytest.param("**bold** `code` _it_", r"\*\*bold\*\* \`code\` \_it\_", id="emphasis"),
        pytest.param("\x1b[2J", r"\\x1b\[2J", id="a terminal escape"),
        pytest.param("a\u202eb", r"a\\u202eb", id="text that turns its direction"),
        pytest.param("| a | b |", r"\| a \| b \|", id="a table"),
    ],
)
def test_text_of_strangers_stays_text_in_markdown(text: str, expected: str) -> None:
    assert inert(text) == expected


def test_long_text_is_cut_where_it_is_shown() -> None:
    assert visible("x" * 600) == "x" * 500 + "…"
