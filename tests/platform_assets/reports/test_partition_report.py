"""The report of one version, from real partitions: it says what the version is, once, the same each time."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from contracts.commits import Commit
from contracts.errors import DigestMismatchError, StoreError
from contracts.report_document import Report
from contracts.table_contract import Column
from platform_assets.reports import partition_report
from platform_assets.reports.partition_report import report_prefix, write_report, write_reports
from platform_assets.reports.report_page import render_page
from resources.publisher import Outcome
from resources.table_reader import segment_prefix
from tests.sales import DAY, HEADER, SALES, SalesHome, row


def reported(sales: SalesHome, commit: Commit) -> Report:
    return Report.from_bytes(Path(write_report(sales.workspace, sales.contract, commit).place).read_bytes())


def state_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.rglob("*") if p.is_file()}


def test_what_came_in_and_what_became_of_it(sales: SalesHome) -> None:
    sales.drop(HEADER + row(1) + row(2, shop="east") + row(3, amount="-1"), f"{DAY}-a.csv")
    sales.drop(HEADER + row(1, note="again") + row(4), f"{DAY}-b.csv")
    flow = reported(sales, sales.ingest().commit).flow
    assert (flow.drops, flow.records, flow.valid_rows, flow.quarantined_rows) == (2, 5, 2, 3)
    assert [(d.paths, d.records, d.valid_rows, d.quarantined_rows) for d in flow.drop_lines] == [
        ((f"sales/{DAY}-a.csv",), 3, 1, 2),
        ((f"sales/{DAY}-b.csv",), 2, 1, 1),
    ]
    sizes = [p.stat().st_size for p in sorted((sales.folder / "drops" / "sales").iterdir())]
    assert [d.size_bytes for d in flow.drop_lines] == sizes
    assert (flow.drop_bytes, flow.quarantine_budget) == (sum(sizes), 0.5)


def test_one_content_under_two_names_is_one_drop_with_both(sales: SalesHome) -> None:
    for name in ("a", "b"):
        sales.drop(HEADER + row(1), f"{DAY}-{name}.csv")
    flow = reported(sales, sales.ingest().commit).flow
    assert [d.paths for d in flow.drop_lines] == [(f"sales/{DAY}-a.csv", f"sales/{DAY}-b.csv")]
    assert flow.records == 1


def test_the_quarantine_by_reason_with_examples(sales: SalesHome) -> None:
    bad = "".join(row(number, shop="east") for number in range(10, 15))
    sales.drop(HEADER + "".join(row(n) for n in range(1, 10)) + bad + row(1, note="again") + row(20, amount="x"))
    report = reported(sales, sales.ingest().commit)
    found = [(g.code, g.column, g.rule, g.records, [e.record for e in g.examples]) for g in report.quarantine]
    assert found == [
        ("VALUE", "shop", None, 5, [10, 11, 12]),
        ("DUPLICATE_KEY", "id", None, 1, [15]),
        ("TYPE", "amount", None, 1, [16]),
    ]
    assert report.quarantine_reasons == 3
    example = report.quarantine[2].examples[0]
    assert example.raw is not None
    assert example.value is not None
    assert (example.raw.text, example.value.text) == (row(20, amount="x"), "x")
    content = (sales.folder / "drops" / "sales" / f"{DAY}.csv").read_bytes()
    assert content[example.byte_start : example.byte_end].decode() == row(20, amount="x")
    assert (report.quarantine[0].meaning, report.quarantine[0].fix[:17]) == (
        "the value is not one of the allowed ones",
        "Correct the value",
    )


def test_a_record_with_two_reasons_is_under_both_and_counted_once(sales: SalesHome) -> None:
    sales.drop(HEADER + row(1) + row(2, shop="east", amount="x") + row(3))
    report = reported(sales, sales.ingest().commit)
    assert {(g.code, g.records) for g in report.quarantine} == {("VALUE", 1), ("TYPE", 1)}
    assert report.flow.quarantined_rows == 1


def test_the_profile_is_of_what_readers_see(sales: SalesHome) -> None:
    sales.drop(
        HEADER
        + row(1, amount="2.00")
        + row(1, amount="9.00")
        + row(2, amount="4.00")
        + row(3, shop="east", amount="7.00")
    )
    profile = reported(sales, sales.ingest().commit).profile
    assert (profile.rows, [c.name for c in profile.columns]) == (2, ["id", "shop", "amount", "sold_at", "note"])
    amount = profile.columns[2]
    assert (amount.type, [(t.value.text, t.rows) for t in amount.top_values]) == (
        "DECIMAL(10,2)",
        [("2.00", 1), ("4.00", 1)],
    )
    assert len(sales.rows()) == profile.rows


def test_gates_lineage_and_contract_are_the_commits_own(sales: SalesHome) -> None:
    sales.drop(HEADER + row(1))
    first = sales.ingest().commit
    sales.drop(HEADER + row(1) + row(2))
    commit = sales.ingest().commit
    report = reported(sales, commit)
    assert report.gates == commit.receipts
    assert (report.state, report.version, report.committed_at) == ("published", 2, commit.committed_at)
    lineage, candidate = report.lineage, commit.candidate
    assert (lineage.commit, lineage.parent) == (commit.digest, first.digest)
    assert (lineage.view_key, lineage.snapshot, lineage.run_id) == (candidate.view_key, candidate.snapshot, "test")
    assert [s.content for s in lineage.segment_lines] == [s.content for s in candidate.segments]
    assert report.contract.digest == sales.contract.digest


def test_an_earlier_version_is_reported_as_it_was(sales: SalesHome) -> None:
    sales.drop(HEADER + row(1))
    first = sales.ingest().commit
    sales.drop(HEADER + row(1) + row(2) + row(3))
    sales.ingest()
    report = reported(sales, first)
    assert (report.version, report.profile.rows, report.flow.records) == (1, 1, 1)


def test_a_held_candidate_is_reported_and_says_so(sales: SalesHome) -> None:
    sales.drop(HEADER + row(1) + "garbage\n" * 5)
    result = sales.ingest()
    assert result.outcome is Outcome.HELD
    ref = write_report(sales.workspace, sales.contract, result.commit)
    report = Report.from_bytes(Path(ref.place).read_bytes())
    assert (report.state, report.version) == ("held", None)
    assert [g.gate for g in report.gates_not_passed] == ["quality"]
    assert "/held-" in ref.key
    page = render_page(report)
    assert (
        page.index("HELD") < page.index("Why it is held") < page.index("quarantine budget") < page.index("What came in")
    )
    assert ": held**" in ref.markdown
    assert "gate `quality` **FAIL**" in ref.markdown


def test_a_drop_without_records_is_reported(sales: SalesHome) -> None:
    contract = SALES.model_copy(update={"set_rules": ()})
    sales = sales.under(contract)
    sales.drop(HEADER)
    report = reported(sales, sales.ingest().commit)
    assert (report.flow.records, report.profile.rows) == (0, 0)
    assert [(c.nulls, c.distinct, c.minimum, c.histogram) for c in report.profile.columns] == [(0, 0, None, None)] * 5


def test_a_column_of_nulls_is_reported(sales: SalesHome) -> None:
    sales.drop(HEADER + row(1) + row(2))
    note = reported(sales, sales.ingest().commit).profile.columns[4]
    assert (note.name, note.nulls, note.distinct, note.top_values) == ("note", 2, 0, ())


def test_a_wide_table_is_reported(sales: SalesHome) -> None:
    names = [f"c{i}" for i in range(300)]
    wide = SALES.model_copy(
        update={"columns": tuple(Column(name=n, type="BIGINT") for n in names), "row_rules": (), "set_rules": ()}
    )
    sales = sales.under(wide)
    sales.drop(",".join(names) + "\n" + "".join(",".join(str(i * j) for i in range(300)) + "\n" for j in range(15)))
    report = reported(sales, sales.ingest().commit)
    assert [c.name for c in report.profile.columns] == names
    assert [c.maximum.text for c in report.profile.columns if c.maximum] == [str(i * 14) for i in range(300)]


def test_a_second_call_writes_nothing_and_opens_no_table(sales: SalesHome) -> None:
    sales.drop(HEADER + row(1))
    commit = sales.ingest().commit
    first = write_report(sales.workspace, sales.contract, commit)
    folder = Path(first.place).parent
    before = state_of(folder)
    shutil.rmtree(sales.workspace.store.path("tables/sales/segments"))
    assert write_report(sales.workspace, sales.contract, commit) == first
    assert state_of(folder) == before


def test_two_runs_give_the_same_bytes(sales: SalesHome) -> None:
    sales.drop(
        HEADER
        + "".join(row(n, shop="north" if n % 2 else "south", amount=f"{n / 4:.2f}") for n in range(1, 200))
        + row(1)
    )
    commit = sales.ingest().commit
    ref = write_report(sales.workspace, sales.contract, commit)
    before = [content for _, content in state_of(Path(ref.place).parent).values()]
    shutil.rmtree(Path(ref.place).parent)
    again = write_report(sales.workspace, sales.contract, commit)
    assert again == ref
    assert [content for _, content in state_of(Path(ref.place).parent).values()] == before


def test_a_report_that_was_lost_is_written_again(sales: SalesHome) -> None:
    sales.drop(HEADER + row(1))
    commit = sales.ingest().commit
    ref = write_report(sales.workspace, sales.contract, commit)
    before = Path(ref.place).read_bytes()
    Path(ref.place).unlink()
    assert write_report(sales.workspace, sales.contract, commit) == ref
    assert Path(ref.place).read_bytes() == before


def test_of_a_report_nothing_but_the_document_is_kept(sales: SalesHome) -> None:
    sales.drop(HEADER + row(1))
    ref = write_report(sales.workspace, sales.contract, sales.ingest().commit)
    assert [path.name for path in Path(ref.place).parent.iterdir()] == ["report.json"]


def test_the_report_of_another_version_is_not_taken_for_this_ones(sales: SalesHome) -> None:
    sales.drop(HEADER + row(1))
    first = sales.ingest().commit
    sales.drop(HEADER + row(1) + row(2))
    second = sales.ingest().commit
    refs = [write_report(sales.workspace, sales.contract, commit) for commit in (first, second)]
    Path(refs[1].place).write_bytes(Path(refs[0].place).read_bytes())
    with pytest.raises(DigestMismatchError) as raised:
        write_report(sales.workspace, sales.contract, second)
    assert raised.value.evidence["subject"] == refs[1].key
    assert (raised.value.evidence["expected"], raised.value.evidence["observed"]) == (second.digest, first.digest)


def test_a_large_partition_is_profiled_by_segment_to_the_same_exact_figures(
    sales: SalesHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [row(n, shop="north" if n % 3 else "south", amount=f"{n % 7}.25") for n in range(1, 300)]
    for number in range(40):  # enough for a cut between segments
        some = lines[7 * number : 7 * number + 7]
        sales.drop(HEADER + "".join(some) + (row(1) if number == 30 else ""), f"{DAY}-{number:02d}.csv")
    commit = sales.ingest().commit
    assert len(commit.candidate.segments) > 1
    assert commit.candidate.overlay is not None
    whole = reported(sales, commit)
    shutil.rmtree(sales.workspace.store.path("tables/sales/reports"))
    monkeypatch.setattr(partition_report, "LOADED_BYTES", 0)
    merged = reported(sales, commit)
    kept = sorted(path.name for path in sales.workspace.store.path("tables/sales/profiles").iterdir())
    assert len(kept) == len(commit.candidate.segments)
    assert [c.nulls for c in merged.profile.columns] == [c.nulls for c in whole.profile.columns]
    assert [c.minimum for c in merged.profile.columns] == [c.minimum for c in whole.profile.columns]
    assert [c.maximum for c in merged.profile.columns] == [c.maximum for c in whole.profile.columns]
    # few values: everything is exact; many: estimated, and said
    for at in (1, 2, 4):
        assert merged.profile.columns[at] == whole.profile.columns[at]
    assert {e.figure for e in merged.profile.columns[0].estimates} >= {"distinct", "quantiles"}
    assert not whole.profile.columns[0].estimates


def test_reports_of_many_come_in_the_order_asked_for(sales: SalesHome) -> None:
    commits = []
    for day in ("2024-03-01", "2024-03-02", "2024-03-03"):
        sales.drop(HEADER + row(int(day[-1])), f"{day}.csv")
        commits.append(sales.ingest(day).commit)
    write_report(sales.workspace, sales.contract, commits[1])
    refs = list(write_reports(sales.workspace, sales.contract, [commits[2], commits[1], commits[0]]))
    assert [r.key.split("/")[3] for r in refs] == ["2024-03-03", "2024-03-02", "2024-03-01"]
    assert all(Path(r.place).is_file() for r in refs)


def test_a_report_lies_beside_its_commit_under_its_name(sales: SalesHome) -> None:
    sales.drop(HEADER + row(1))
    commit = sales.ingest().commit
    ref = write_report(sales.workspace, sales.contract, commit)
    folder = f"tables/sales/reports/{DAY}/1-{commit.digest[7:19]}"
    assert (report_prefix(commit), ref.key) == (folder, f"{folder}/report.json")
    assert ref.page == f"http://127.0.0.1:3070/sales/{DAY}/1/"


def test_what_the_contract_says_now_about_columns_is_shown_but_no_budget_of_another_contract(sales: SalesHome) -> None:
    sales.drop(HEADER + row(1))
    commit = sales.ingest().commit
    columns = tuple(c.model_copy(update={"description": f"the  {c.name}\n"}) for c in SALES.columns)
    later = sales.under(SALES.model_copy(update={"quarantine_budget": 0.1, "columns": columns}))
    report = reported(later, commit)
    assert [c.description for c in report.profile.columns][:2] == ["the id", "the shop"]
    assert report.flow.quarantine_budget is None


@pytest.mark.parametrize("name", ["valid.parquet", "quarantine.parquet", "index.json"])
def test_an_altered_file_is_not_reported_on(sales: SalesHome, name: str) -> None:
    sales.drop(HEADER + row(1) + row(2, shop="east"))
    commit = sales.ingest().commit
    segment = commit.candidate.segments[0]
    path = sales.workspace.store.path(f"{segment_prefix('sales', segment.view_key, segment.content)}/{name}")
    path.write_bytes(path.read_bytes().replace(b'"records":2', b'"records":3').replace(b"PAR1", b"PAR2"))
    with pytest.raises(DigestMismatchError) as raised:
        write_report(sales.workspace, sales.contract, commit)
    assert name in raised.value.evidence["subject"]
    assert raised.value.evidence["expected"] != raised.value.evidence["observed"]
    assert not sales.workspace.store.exists(report_prefix(commit))


def test_a_missing_selection_is_said(sales: SalesHome) -> None:
    sales.drop(HEADER + row(1))
    commit = sales.ingest().commit
    key = f"tables/sales/selections/{DAY}/00000001.json"
    sales.workspace.store.path(key).unlink()
    with pytest.raises(StoreError, match=r"00000001\.json is missing\. Restore the store") as raised:
        write_report(sales.workspace, sales.contract, commit)
    assert raised.value.evidence["key"] == key


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"format": "hashgate/report/v2"}'], ids=repr)
def test_a_stored_report_that_is_none_any_more_is_said(sales: SalesHome, content: bytes) -> None:
    sales.drop(HEADER + row(1))
    commit = sales.ingest().commit
    ref = write_report(sales.workspace, sales.contract, commit)
    Path(ref.place).write_bytes(content)
    with pytest.raises(StoreError, match=r"is not a report any more\. Remove its folder") as raised:
        write_report(sales.workspace, sales.contract, commit)
    assert raised.value.evidence["key"] == ref.key
