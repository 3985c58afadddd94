"""What surrounds a version: its neighbours as they are now, and how it differs from those before and the baseline."""

from __future__ import annotations

import pytest

from platform_assets.reports import partition_context
from platform_assets.reports.partition_context import Context, context_of
from platform_assets.reports.partition_report import write_report
from platform_assets.reports.report_page import render_page
from platform_assets.reports.table_overview import report_of, standing_of
from tests.sales import HEADER, SalesHome, row


def rows(last: int, **changed: str) -> str:
    return HEADER + "".join(row(number, **changed) for number in range(1, last + 1))


@pytest.fixture
def week(sales: SalesHome) -> SalesHome:
    """Days 1, 2, 4 and 5 of March; 4 is held."""
    days = {"01": rows(40), "02": rows(40), "04": HEADER + "garbage\n" * 9, "05": rows(20, amount="9.00")}
    for day, content in days.items():
        sales.drop(content, f"2024-03-{day}.csv")
        write_report(sales.workspace, sales.contract, sales.ingest(f"2024-03-{day}").commit)
    return sales


def context(sales: SalesHome, partition: str, baseline: list[str] | None = None) -> Context:
    workspace = sales.workspace
    standing = standing_of(workspace, sales.contract)
    commit = standing.heads.get(partition) or standing.held[partition]
    return context_of(workspace, standing, commit, report_of(workspace, sales.contract, commit), baseline)


def test_the_neighbours_are_those_of_the_calendar(week: SalesHome) -> None:
    found = context(week, "2024-03-02")
    assert [(line.partition, line.valid_rows) for line in found.neighbours] == [
        ("2024-03-01", 40),
        ("2024-03-02", 40),
        ("2024-03-03", None),
        ("2024-03-04", None),
        ("2024-03-05", 20),
    ]
    assert (found.marked, found.before, found.after) == (1, "2024-03-01", "2024-03-04")


def test_only_so_many_neighbours_are_shown(week: SalesHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition_context, "AROUND", 1)
    found = context(week, "2024-03-02")
    assert [line.partition for line in found.neighbours] == ["2024-03-01", "2024-03-02", "2024-03-03"]
    assert found.marked == 1


def test_it_is_compared_with_the_published_partition_before_and_with_the_baseline(week: SalesHome) -> None:
    found = context(week, "2024-03-05")
    assert found.previous is not None
    assert found.baseline is not None
    assert (found.previous.label, found.previous.rows, list(found.previous.versions)) == (
        "2024-03-02",
        40,
        ["2024-03-02"],
    )
    assert found.previous.drifts["amount"].distance == 1.0
    assert (found.baseline.rows, len(found.baseline.versions)) == (100, 3)
    assert found.baseline.name == "the baseline, the first 3 partitions from 2024-03-01 to 2024-03-05"
    assert found.baseline.drifts["amount"].distance == pytest.approx(0.8)


def test_a_baseline_can_be_chosen(week: SalesHome) -> None:
    found = context(week, "2024-03-05", ["2024-03-01"])
    assert found.baseline is not None
    assert found.baseline.name == "the baseline, 2024-03-01"
    assert context(week, "2024-03-05", ["2024-03-05"]).baseline is None


def test_the_first_partition_has_none_before(week: SalesHome) -> None:
    found = context(week, "2024-03-01")
    assert (found.previous, found.before, found.after) == (None, None, "2024-03-02")


def test_a_held_candidate_is_shown_with_its_own_numbers(week: SalesHome) -> None:
    found = context(week, "2024-03-04")
    here = found.neighbours[found.marked]
    assert (here.partition, here.valid_rows, here.quarantined_rows, here.refused_share) == ("2024-03-04", 0, 9, 1.0)


def test_the_page_shows_them_and_where_to_go(week: SalesHome) -> None:
    workspace = week.workspace
    standing = standing_of(workspace, week.contract)
    commit = standing.heads["2024-03-05"]
    report = report_of(workspace, week.contract, commit)
    found = context_of(workspace, standing, commit, report)
    page = render_page(report, found, root="../")
    assert page == render_page(report, found, root="../")
    for said in ("Among its neighbours", "From 2024-03-02:", "From the baseline:", 'href="../2024-03-04/"', "modeled"):
        assert said in page
    alone = render_page(report, found)
    assert "<nav" not in alone
    assert 'href="../' not in alone
