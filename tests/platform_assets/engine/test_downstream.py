"""A table over an engine's output: only what a READY run's facts name, and only as the gates saw it."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest

from contracts.authority.status import RunState
from contracts.selection import Decision
from contracts.table_contract import TableContract
from platform_assets.engine.deciding import quarantine, supersede
from platform_assets.engine.downstream import tables_of
from platform_assets.evidence.verifying import Depth, verify
from platform_assets.ingest.engine_outputs import NotReadyError, take_output
from platform_assets.ingest.ingesting import Ending
from platform_assets.ingest.planning import PartitionState, partition_statuses
from platform_assets.ingest.runs import Ingestion, contiguous_ranges, run_ingest
from platform_assets.ingest.selecting import capture, scan, select
from platform_assets.upkeep.backing_up import back_up
from resources.authority.run_documents import RunNotFoundError
from resources.captures import StatedDigestError
from tests.engine_home import EngineHome, request, write_receipt, write_results
from tests.servers.s3 import BUCKET, S3Server

CONTRACT = """
apiVersion: v3.1.0
kind: DataContract
id: numbers
version: 1.0.0
status: active
servers:
  - {server: toy, type: custom, format: csv}
schema:
  - name: numbers
    properties:
      - {name: n, logicalType: integer, required: true}
customProperties:
  - property: engineOutput
    value: {engine: toy, output: OUTPUT}
  - property: csv
    value: {header: false}
"""


@pytest.fixture
def downstream(engine_home: EngineHome) -> EngineHome:
    """The toy engine, and a table over its output."""
    write_contract(engine_home)
    return engine_home


def write_contract(home: EngineHome, output: str = "numbers") -> None:
    (home.home.parent / "contracts" / "numbers.odcs.yaml").write_text(CONTRACT.replace("OUTPUT", output))


def ready(home: EngineHome, key: str = "k1", seed: int = 7) -> str:
    wanted = request(key, pins=request(key).pins.model_dump() | {"seed": seed})
    assert home.run(wanted).state is RunState.READY
    return wanted.run_id


def contract(home: EngineHome) -> TableContract:
    return home.workspace.contract("numbers")


def parts(home: EngineHome, run_id: str) -> list[Path]:
    """Where the run's files lie, in the locator's order."""
    facts = home.documents(run_id).facts()
    assert facts is not None
    root = Path(facts.oracle_pack_ref.engine_run_root)
    return [root / member.path for member in facts.locators[0].members]


def ingest(home: EngineHome, *run_ids: str) -> Ingestion:
    with dg.DagsterInstance.ephemeral() as instance:
        return run_ingest(home.workspace, "numbers", run_ids, instance=instance)


def test_a_ready_run_is_a_partition_with_its_rows(downstream: EngineHome) -> None:
    first, second = ready(downstream), ready(downstream, "k2", seed=8)
    (pending,) = (s for s in partition_statuses(downstream.workspace, contract(downstream)) if s.key == first)
    assert (pending.state, pending.why[:23]) == (PartitionState.PENDING, "3 new or changed files:")

    done = ingest(downstream, first, second)

    assert {ended.partition: ended.ending for ended in done.ended} == dict.fromkeys([first, second], Ending.PUBLISHED)
    states = {s.key: s.state for s in partition_statuses(downstream.workspace, contract(downstream))}
    assert states == dict.fromkeys([first, second], PartitionState.PUBLISHED)
    reader = downstream.workspace.reader
    head = reader.head("numbers", second)
    assert head is not None
    assert head.candidate.valid_rows == 3


def test_a_run_that_is_done_costs_nothing_the_next_time(downstream: EngineHome) -> None:
    run_id = ready(downstream)
    ingest(downstream, run_id)
    for part in parts(downstream, run_id):
        part.unlink()  # what is captured is not read again
    (again,) = ingest(downstream, run_id).ended
    assert again.ending is Ending.REUSED
    scanned = scan(downstream.workspace, contract(downstream))
    assert (scanned.listed, scanned.new, scanned.unchanged) == (3, 0, 3)


def test_the_drops_are_the_members_that_the_facts_name_and_nothing_beside_them(downstream: EngineHome) -> None:
    run_id = ready(downstream)
    (parts(downstream, run_id)[0].parent / "part-9.txt").write_text("99\n")
    workspace = downstream.workspace
    assert capture(workspace, contract(downstream), [run_id]).captured == 3
    selection = select(workspace, contract(downstream), [run_id])[run_id]
    assert [drop.paths[0].rpartition("/")[2] for drop in selection.drops] == ["part-0.txt", "part-1.txt", "part-2.txt"]
    assert all(drop.paths[0].startswith(f"{run_id}/") for drop in selection.drops)


def test_what_is_not_what_the_gates_saw_is_not_taken_not_even_its_neighbours(downstream: EngineHome) -> None:
    run_id = ready(downstream)
    parts(downstream, run_id)[1].write_text("8\n")  # the same size
    report = capture(downstream.workspace, contract(downstream), [run_id])
    assert report.captured == 0
    (error,) = report.failed
    assert isinstance(error, StatedDigestError)
    assert error.evidence["path"].endswith("part-1.txt")
    assert error.evidence["expected"] != error.evidence["observed"]
    assert "its gates saw SHA-256" in str(error)
    (ended,) = ingest(downstream, run_id).ended
    assert ended.ending is Ending.EMPTY
    assert "its gates saw SHA-256" in ended.why
    assert downstream.workspace.reader.partitions("numbers") == []


def test_a_member_that_is_gone_is_told(downstream: EngineHome) -> None:
    run_id = ready(downstream)
    parts(downstream, run_id)[2].unlink()
    with pytest.raises(NotReadyError, match="part-2.txt is gone from"):
        take_output(downstream.workspace, contract(downstream), run_id, frozenset())


def test_a_member_that_became_a_link_is_refused(downstream: EngineHome) -> None:
    run_id = ready(downstream)
    part = parts(downstream, run_id)[0]
    part.rename(part.with_name("moved"))
    part.symlink_to("moved")
    report = capture(downstream.workspace, contract(downstream), [run_id])
    assert report.captured == 0
    assert "symbolic link" in str(report.failed[0])


@pytest.mark.parametrize("how", ["lies", "exits", "forgets_flag"])
def test_nothing_of_a_run_that_is_not_ready_is_taken(downstream: EngineHome, how: str) -> None:
    wanted = request(how=how)
    status = downstream.run(wanted)
    assert status.state is not RunState.READY
    report = capture(downstream.workspace, contract(downstream), [wanted.run_id])
    assert report.captured == 0
    assert f"it is {status.state}, not READY, so nothing of it was taken" in str(report.failed[0])
    assert partition_statuses(downstream.workspace, contract(downstream)) == []
    assert scan(downstream.workspace, contract(downstream)).listed == 0


def test_a_run_that_is_put_into_quarantine_is_not_taken_any_more(downstream: EngineHome) -> None:
    run_id = ready(downstream)
    quarantine(downstream.workspace, run_id, Decision(actor="ann", reason="wrong parameters"))
    report = capture(downstream.workspace, contract(downstream), [run_id])
    assert "it is QUARANTINED, not READY" in str(report.failed[0])


def test_a_run_that_is_superseded_is_not_taken_any_more(downstream: EngineHome) -> None:
    first, second = ready(downstream), ready(downstream, "k2", seed=8)
    supersede(downstream.workspace, first, second, Decision(actor="ann", reason="a better one"))
    assert {s.key for s in partition_statuses(downstream.workspace, contract(downstream))} == {second}
    assert "not READY" in str(capture(downstream.workspace, contract(downstream), [first]).failed[0])


def test_a_run_nobody_knows_is_refused_before_anything_is_done(downstream: EngineHome) -> None:
    with pytest.raises(RunNotFoundError, match="there is no run"):
        ingest(downstream, "0" * 32)


def test_an_output_that_the_run_has_not_is_told(downstream: EngineHome) -> None:
    run_id = ready(downstream)
    write_contract(downstream, "notes")
    report = capture(downstream.workspace, contract(downstream), [run_id])
    assert "its facts name no output notes" in str(report.failed[0])


def test_which_tables_an_engine_flows_into(downstream: EngineHome) -> None:
    contracts = downstream.workspace.contracts.contracts.values()
    assert [table.table for table in tables_of(contracts, "toy")] == ["numbers"]
    assert tables_of(contracts, "other") == []


def test_each_run_is_a_range_of_its_own(downstream: EngineHome) -> None:
    keys = [f"{n:032x}" for n in (3, 1, 2)]
    assert contiguous_ranges(contract(downstream).partitioning, keys) == [[key] for key in sorted(keys)]


def test_results_in_a_bucket_are_reused_and_flow_into_the_table(
    downstream: EngineHome, moto: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in moto.environment().items():
        monkeypatch.setenv(name, value)
    write_results(tmp_path)
    write_receipt(tmp_path)
    prefix, client = f"engine/{uuid4().hex}", moto.client()
    for path in (path for path in tmp_path.rglob("*") if path.is_file() and not path.is_relative_to(downstream.home)):
        client.put_object(Bucket=BUCKET, Key=f"{prefix}/{path.relative_to(tmp_path)}", Body=path.read_bytes())
    wanted = request(strategy="reuse", engine_run_root=f"s3://{BUCKET}/{prefix}")
    assert downstream.run(wanted).state is RunState.READY
    (ended,) = ingest(downstream, wanted.run_id).ended
    assert ended.ending is Ending.PUBLISHED
    part = f"{prefix}/m1/seed=7/numbers/part-1.txt"
    client.put_object(Bucket=BUCKET, Key=part, Body=b"8\n")
    other = request("k2", strategy="reuse", engine_run_root=f"s3://{BUCKET}/{prefix}")
    assert downstream.run(other).state is RunState.QUARANTINED


# --- what is remembered of it is verified ---


def test_a_store_with_runs_verifies(downstream: EngineHome) -> None:
    ingest(downstream, ready(downstream))
    assert list(verify(downstream.workspace, depth=Depth.DEEP).corruptions) == []


def test_a_changed_contract_is_pending_for_runs_that_are_captured(downstream: EngineHome) -> None:
    run_id = ready(downstream)
    ingest(downstream, run_id)
    path = downstream.home.parent / "contracts" / "numbers.odcs.yaml"
    path.write_text(path.read_text().replace("logicalType: integer", "logicalType: number"))
    (status,) = partition_statuses(downstream.workspace, contract(downstream))
    assert (status.key, status.state) == (run_id, PartitionState.PENDING)


def test_a_backup_has_the_truth_of_runs(downstream: EngineHome, tmp_path: Path) -> None:
    run_id = ready(downstream)
    ingest(downstream, run_id)
    back_up(downstream.workspace, tmp_path / "backup")
    store = downstream.workspace.store
    kept = tmp_path / "backup" / "store"
    there = list(store.walk("engine"))
    assert f"engine/runs/{run_id}/facts.json" in there
    assert [(kept / key).read_bytes() for key in there] == [store.get(key) for key in there]


@pytest.mark.embedded
@pytest.mark.parametrize(
    "name", ["plan.json", "facts.json", "ready.json", "record/00000001.json", "status/00000002.json"]
)
def test_an_altered_document_of_a_run_is_found(downstream: EngineHome, name: str) -> None:
    run_id = ready(downstream)
    path = downstream.home / "store" / "engine" / "runs" / run_id / name
    path.write_bytes(path.read_bytes().replace(b"ann", b"bob") + b" ")
    found = list(verify(downstream.workspace, depth=Depth.QUICK).corruptions)
    assert [corruption.subject for corruption in found] == [f"engine/runs/{run_id}/{name}"]


@pytest.mark.embedded
def test_an_altered_receipt_and_a_stray_object_are_found(downstream: EngineHome) -> None:
    ready(downstream)
    engine = downstream.home / "store" / "engine"
    (receipt,) = (engine / "receipts").rglob("receipt.json")
    receipt.write_bytes(receipt.read_bytes().replace(b"numbers", b"nombres"))
    (engine / "what.json").write_text("{}")
    (engine / "runs" / "x").mkdir()
    (engine / "runs" / "x" / "more.txt").write_text("")
    found = {corruption.subject for corruption in verify(downstream.workspace, depth=Depth.QUICK).corruptions}
    assert found == {
        receipt.relative_to(downstream.home / "store").as_posix(),
        "engine/what.json",
        "engine/runs/x/more.txt",
    }
