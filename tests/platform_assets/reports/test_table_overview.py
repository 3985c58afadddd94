"""The overview: what the current versions say together, merged, the same each time, and kept under their name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from contracts.errors import StoreError, UsageError
from contracts.overview_document import Overview
from contracts.selection import Decision
from contracts.table_contract import Cadence
from platform_assets.decisions.holding import discard, find_held
from platform_assets.reports import table_overview
from platform_assets.reports.partition_context import context_of
from platform_assets.reports.partition_report import write_report
from platform_assets.reports.report_page import render_overview_page
from platform_assets.reports.table_overview import (
    compute_overview,
    kept_overview,
    report_of,
    standing_of,
    write_overview,
)
from platform_assets.upkeep.forgetting import find_stakes, forget
from tests.kept_sales import KeptHome
from tests.sales import HEADER, SALES, SalesHome, row

GARBAGE = HEADER + row(1) + "garbage\n" * 9


def publish(sales: SalesHome, days: dict[str, str]) -> None:
    for day, content in days.items():
        sales.drop(content, f"{day}.csv")
        write_report(sales.workspace, sales.contract, sales.ingest(day).commit)


def rows(first: int, last: int, **changed: str) -> str:
    return "".join(row(number, **changed) for number in range(first, last))


@pytest.fixture
def month(sales: SalesHome) -> SalesHome:
    """Four days between the first and the last of which one is missing and one is held."""
    publish(
        sales,
        {
            "2024-03-01": HEADER + rows(1, 40),
            "2024-03-02": HEADER + rows(1, 40) + row(50, shop="east") + row(51, amount="x"),
            "2024-03-04": GARBAGE,
            "2024-03-05": HEADER + rows(1, 21, amount="9.00") + row(60, shop="west"),
        },
    )
    return sales


def overview(sales: SalesHome) -> Overview:
    return write_overview(sales.workspace, sales.contract).overview


def test_the_calendar_has_every_partition_and_what_became_of_it(month: SalesHome) -> None:
    found = overview(month)
    assert [(line.partition, line.state, line.valid_rows, line.quarantined_rows) for line in found.partitions] == [
        ("2024-03-01", "published", 39, 0),
        ("2024-03-02", "published", 39, 2),
        ("2024-03-03", "missing", 0, 0),
        ("2024-03-04", "held", 1, 9),
        ("2024-03-05", "published", 20, 1),
    ]
    assert found.partitions[3].gates_not_passed == ("quality",)
    totals = found.totals
    assert (totals.partitions, totals.published, totals.held, totals.missing) == (5, 3, 1, 1)
    assert (totals.drops, totals.records, totals.valid_rows, totals.quarantined_rows) == (3, 101, 98, 3)


def test_freshness_counts_from_the_end_of_the_period(month: SalesHome) -> None:
    line = overview(month).partitions[0]
    assert line.committed_at is not None
    assert line.after_end_s == pytest.approx(line.committed_at.timestamp() - 1_709_337_600, abs=0.001)


def test_the_quarantine_by_reason_over_all_partitions(month: SalesHome) -> None:
    found = [(r.code, r.column, r.records, r.partitions, r.first, r.last, r.example) for r in overview(month).reasons]
    assert found == [
        ("VALUE", "shop", 2, 2, "2024-03-02", "2024-03-05", "east"),
        ("TYPE", "amount", 1, 1, "2024-03-02", "2024-03-02", "x"),
    ]


def test_each_gate_says_where_it_did_not_pass(month: SalesHome) -> None:
    gates = {gate.gate: (gate.passed, gate.not_passed) for gate in overview(month).gates}
    assert gates == {
        "integrity": (4, ()),
        "conservation": (4, ()),
        "contract": (4, ()),
        "quality": (3, ("2024-03-04",)),
    }


def test_the_profile_is_that_of_all_rows(month: SalesHome) -> None:
    profile = overview(month).profile
    amount = next(column for column in profile.columns if column.name == "amount")
    assert (profile.rows, amount.distinct, amount.nulls) == (98, 2, 0)
    assert [(top.value.text, top.rows) for top in amount.top_values] == [("1.50", 78), ("9.00", 20)]
    assert amount.estimates == ()


def test_drift_is_told_from_the_partition_before_and_from_the_baseline(month: SalesHome) -> None:
    found = overview(month)
    amount = next(series for series in found.series if series.name == "amount")
    assert [amount.against_previous.at(i).distance for i in range(3)] == [None, 0.0, 1.0]
    assert [amount.against_previous.at(i).level for i in range(3)] == ["none", "little", "strong"]
    assert amount.median == (1.5, 1.5, 9.0)
    assert found.baseline is not None
    assert (found.baseline.chosen, found.baseline.rows) == ("first-partitions", 98)
    assert amount.against_baseline.at(2).distance == pytest.approx(78 / 98, abs=1e-6)


def test_a_baseline_can_be_chosen(month: SalesHome) -> None:
    workspace = month.workspace
    found = compute_overview(workspace, standing_of(workspace, month.contract), ["2024-03-05"])
    assert found.baseline is not None
    assert (found.baseline.chosen, found.baseline.partitions) == ("by-hand", ("2024-03-05",))
    amount = next(series for series in found.series if series.name == "amount")
    assert [amount.against_baseline.at(i).distance for i in range(3)] == [1.0, 1.0, 0.0]


def test_runs_of_an_engine_stand_in_the_order_of_their_commits(month: SalesHome) -> None:
    by_run = month.contract.partitioning.model_copy(update={"cadence": Cadence.RUN})
    contract = month.contract.model_copy(update={"partitioning": by_run})
    month.drop(HEADER + rows(1, 60), "2024-03-01.csv")
    month.ingest("2024-03-01")
    standing = standing_of(month.workspace, contract)
    assert list(standing.heads) == ["2024-03-02", "2024-03-05", "2024-03-01"]
    assert standing.partitions == ["2024-03-02", "2024-03-04", "2024-03-05", "2024-03-01"]
    assert standing.between("2024-03-02", "2024-03-05") == standing.partitions[:3]
    commit = standing.heads["2024-03-01"]
    found = context_of(month.workspace, standing, commit, report_of(month.workspace, contract, commit))
    assert found.previous is not None
    assert (found.previous.label, found.before, found.after) == ("2024-03-05", "2024-03-05", None)


def test_two_runs_give_the_same_bytes(month: SalesHome) -> None:
    first = Path(write_overview(month.workspace, month.contract).place)
    before = first.read_bytes()
    shutil.rmtree(first.parent)
    again = write_overview(month.workspace, month.contract)
    assert (again.place, Path(again.place).read_bytes()) == (str(first), before)
    assert render_overview_page(again.overview) == render_overview_page(Overview.from_bytes(before))


def test_what_is_kept_is_found_and_nothing_is_read(month: SalesHome, monkeypatch: pytest.MonkeyPatch) -> None:
    first = overview(month)

    def refuse(*_: object) -> None:
        pytest.fail("it was computed again")

    monkeypatch.setattr(table_overview, "compute_overview", refuse)
    assert overview(month) == first


def test_versions_without_a_report_are_read_and_none_is_written(month: SalesHome) -> None:
    first = overview(month)
    for folder in ("reports", "overviews"):
        shutil.rmtree(month.workspace.store.path(f"tables/sales/{folder}"))
    assert overview(month) == first
    assert not month.workspace.store.exists("tables/sales/reports")


def test_a_new_version_makes_a_new_overview(month: SalesHome) -> None:
    first = write_overview(month.workspace, month.contract)
    publish(month, {"2024-03-03": HEADER + rows(1, 9)})
    second = write_overview(month.workspace, month.contract)
    assert second.key != first.key
    assert second.overview.totals.missing == 0


def test_what_was_discarded_is_held_no_more(tmp_path: Path) -> None:
    (tmp_path / "drops" / "sales").mkdir(parents=True)
    kept = KeptHome(tmp_path)
    publish(kept, {"2024-03-01": HEADER + row(1), "2024-03-02": GARBAGE})
    assert overview(kept).totals.held == 1
    discard(kept.workspace, find_held(kept.workspace, "sales", "2024-03-02"), Decision(actor="ann", reason="no sales"))
    assert overview(kept).totals.held == 0


def test_with_nothing_there_it_says_so(sales: SalesHome) -> None:
    with pytest.raises(UsageError, match=r"sales has no version and no held candidate.*hashgate ingest sales"):
        write_overview(sales.workspace, sales.contract)


def test_a_table_of_nothing_but_a_held_candidate_has_an_overview(sales: SalesHome) -> None:
    publish(sales, {"2024-03-04": GARBAGE})
    found = overview(sales)
    assert (found.totals.published, found.totals.held, found.profile.rows, found.baseline) == (0, 1, 0, None)
    assert "0 OF 1 PUBLISHED" in render_overview_page(found)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff"], ids=repr)
def test_a_kept_overview_that_is_none_any_more_is_said(month: SalesHome, content: bytes) -> None:
    ref = write_overview(month.workspace, month.contract)
    Path(ref.place).write_bytes(content)
    with pytest.raises(StoreError, match=r"is not an overview any more\. Remove its folder") as raised:
        kept_overview(month.workspace, standing_of(month.workspace, month.contract))
    assert raised.value.evidence["key"] == ref.key


def test_purged_versions_are_left_out_and_named(tmp_path: Path) -> None:
    (tmp_path / "drops" / "sales").mkdir(parents=True)
    kept = KeptHome(tmp_path, SALES)
    publish(kept, {"2024-03-01": HEADER + row(1), "2024-03-02": HEADER + row(2)})
    before = Path(write_overview(kept.workspace, kept.contract).place)
    workspace = kept.workspace
    stakes = find_stakes(workspace, "sales/2024-03-02.csv")
    forget(workspace, stakes, Decision(actor="ann", reason="private"), lambda _, __: [], at_once=True)
    assert not before.exists()
    found = overview(kept)
    assert [(line.partition, line.state) for line in found.partitions] == [
        ("2024-03-01", "published"),
        ("2024-03-02", "purged"),
    ]
    assert found.profile.rows == 1


def test_the_collector_keeps_the_overview_of_what_is_current_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "drops" / "sales").mkdir(parents=True)
    kept = KeptHome(tmp_path)
    publish(kept, {"2024-03-01": HEADER + row(1), "2024-03-02": GARBAGE})
    old = Path(write_overview(kept.workspace, kept.contract).place)
    publish(kept, {"2024-03-03": HEADER + row(3)})
    new = Path(write_overview(kept.workspace, kept.contract).place)
    kept.days_pass(1)
    kept.collect()
    kept.collect()
    assert (old.exists(), new.exists()) == (False, True)
