"""Ingesting without servers: runs in this process, recorded in the installation's own Dagster instance."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from contracts.errors import ConfigurationError, UsageError
from platform_assets.ingest.ingesting import Ended, Ending
from platform_assets.ingest.runs import contiguous_ranges, open_instance, run_ingest
from tests.dagster_home import HALF_BAD
from tests.installation import Installation

DAYS = ("2024-03-01", "2024-03-02", "2024-03-03", "2024-03-05")


@pytest.fixture
def orders(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Installation:
    return Installation(home, monkeypatch, capsys)


def endings(ended: tuple[Ended, ...]) -> list[tuple[str, str]]:
    return [(one.partition, one.ending) for one in ended]


def test_neighbours_are_a_run_each_and_every_partition_is_heard_of(orders: Installation) -> None:
    orders.drop(DAYS[0])
    orders.drop(DAYS[1], HALF_BAD)
    orders.drop(DAYS[3])
    heard: list[Ended] = []

    done = run_ingest(orders.workspace, "orders", reversed(DAYS), on_ended=heard.append)

    assert endings(done.ended) == [
        (DAYS[0], "published"),
        (DAYS[1], "held"),
        (DAYS[2], "empty"),
        (DAYS[3], "published"),
    ]
    assert endings(tuple(heard)) == endings(done.ended)
    assert "gate quality FAIL" in done.ended[1].why
    assert "no file for it has come to orders/*.csv* (3 files are there)" in done.ended[2].why
    with open_instance(orders.workspace.settings) as instance:
        runs = [instance.get_run_by_id(run_id) for run_id in done.run_ids]
    assert [(run.job_name, run.status) for run in runs if run] == [
        ("orders_ingest", dg.DagsterRunStatus.FAILURE),
        ("orders_ingest", dg.DagsterRunStatus.SUCCESS),
    ]


def test_what_is_up_to_date_costs_no_run(orders: Installation) -> None:
    orders.drop(DAYS[0])
    run_ingest(orders.workspace, "orders", DAYS[:1])
    again = run_ingest(orders.workspace, "orders", DAYS[:1])
    assert endings(again.ended) == [(DAYS[0], "reused")]
    assert again.ended[0].commit is not None
    assert again.run_ids == ()


def test_force_runs_all_the_same(orders: Installation) -> None:
    orders.drop(DAYS[0])
    run_ingest(orders.workspace, "orders", DAYS[:1])
    again = run_ingest(orders.workspace, "orders", DAYS[:1], force=True)
    assert again.ended[0].segments_written == 1
    assert len(again.run_ids) == 1


def test_a_folder_that_is_gone_is_its_own_error(orders: Installation) -> None:
    (orders.drops / "orders").rmdir()
    with pytest.raises(ConfigurationError, match=r"drop folder .* does not exist"):
        run_ingest(orders.workspace, "orders", DAYS[:1])


@pytest.mark.parametrize("partition", ["2023-12-31", "2024-3-1", "yesterday", ""])
def test_a_partition_that_is_none_is_refused(orders: Installation, partition: str) -> None:
    with pytest.raises(UsageError, match="is not a partition of this daily calendar"):
        run_ingest(orders.workspace, "orders", [partition])


def test_a_table_that_is_none_is_refused(orders: Installation) -> None:
    with pytest.raises(UsageError, match="there is no table 'order'. Tables: orders"):
        run_ingest(orders.workspace, "order", DAYS)


def test_nothing_asked_for_is_nothing_done(orders: Installation) -> None:
    assert run_ingest(orders.workspace, "orders", []).run_ids == ()


def test_ranges_are_cut_at_every_gap(orders: Installation) -> None:
    partitioning = orders.workspace.contract("orders").partitioning
    assert contiguous_ranges(partitioning, [DAYS[3], DAYS[1], DAYS[0], DAYS[1]]) == [[DAYS[0], DAYS[1]], [DAYS[3]]]


def test_a_defect_in_a_partition_is_not_swallowed(orders: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    orders.drop(DAYS[0])

    def broken(*_: object, **__: object) -> object:
        msg = "nobody foresaw this"
        raise ZeroDivisionError(msg)

    monkeypatch.setattr("platform_assets.ingest.ingesting.build_partition", broken)
    with pytest.raises(RuntimeError, match="nobody foresaw this"):
        run_ingest(orders.workspace, "orders", DAYS[:1])


def test_one_partition_that_cannot_be_built_stops_no_other(orders: Installation) -> None:
    orders.drop(DAYS[0])
    orders.drop(DAYS[1], b"id,item,amount\n7,pad,1\n")
    run_ingest(orders.workspace, "orders", DAYS[:2])
    (blob,) = [
        p
        for p in (orders.home / "store" / "blobs").rglob("*")
        if p.is_file() and p.read_bytes().startswith(b"id,item,amount\n1,pen")
    ]
    blob.unlink()
    done = run_ingest(orders.workspace, "orders", DAYS[:2], force=True)
    assert endings(done.ended) == [(DAYS[0], Ending.FAILED), (DAYS[1], Ending.REUSED)]
    assert "is missing from the store. Drop the file again" in done.ended[0].why
    assert orders.workspace.reader.head("orders", DAYS[0]) is not None, "what was published stays"
