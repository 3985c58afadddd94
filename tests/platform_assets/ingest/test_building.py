"""One partition from its drops to its current version: what is valid, what is not, and what is done again."""

from __future__ import annotations

import errno
import gzip
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import duckdb
import pytest

from contracts.commits import Commit
from contracts.errors import CommitError, DigestMismatchError, NotPublishedError, StoreError, UsageError
from contracts.gates import GateReceipt
from contracts.records import Records
from contracts.table_contract import Column, RowRule, SetRule, Severity, TableContract
from platform_assets.ingest import building
from platform_assets.ingest.building import build_partition
from resources import segment_writer
from resources.publisher import Outcome
from resources.table_reader import segment_prefix
from tests.sales import DAY, HEADER, SALES, SalesHome, row


def reasons(sales: SalesHome) -> list[list[str]]:
    return [[r["code"] for r in q["reasons"]] for q in sales.quarantined()]


def segments_of(commit: Commit) -> list[str]:
    return [segment.content for segment in commit.candidate.segments]


def test_good_rows_are_published_with_their_lineage(sales: SalesHome) -> None:
    sales.drop(HEADER + row(1) + row(2, note='"a, b\nc"'))
    result = sales.ingest()
    assert result.outcome is Outcome.PUBLISHED
    source = result.commit.candidate.segments[0]
    assert sales.rows(columns="id, note, _hg_record, _hg_segment") == [
        (1, None, 1, source.view_key),
        (2, "a, b\nc", 2, source.view_key),
    ]


def test_a_bad_row_goes_to_quarantine_with_its_text_its_place_and_all_its_reasons(sales: SalesHome) -> None:
    bad = row(2, shop="east", amount="many")
    sales.drop(HEADER + row(1) + bad + row(3))
    assert sales.ingest().outcome is Outcome.PUBLISHED
    (quarantined,) = sales.quarantined()
    start = len(HEADER + row(1))
    assert (quarantined["_hg_record"], quarantined["byte_start"], quarantined["byte_end"]) == (
        2,
        start,
        start + len(bad),
    )
    assert quarantined["raw"] == bad
    assert {(r["code"], r["column"], r["value"]) for r in quarantined["reasons"]} == {
        ("TYPE", "amount", "many"),
        ("VALUE", "shop", "east"),
    }
    assert [r[0] for r in sales.rows(columns="id")] == [1, 3]


def test_a_record_with_a_lost_quote_costs_itself_only(sales: SalesHome) -> None:
    sales.drop(HEADER + row(1) + row(2, note='"open') + row(3) + row(4))
    sales.ingest()
    assert reasons(sales) == [["UNTERMINATED_QUOTE"]]
    assert [r[0] for r in sales.rows(columns="id")] == [1, 3, 4]


def test_a_repeated_key_stays_once_the_first_in_path_order(sales: SalesHome) -> None:
    sales.drop(HEADER + row(7, note="late path"), f"{DAY}-b.csv")
    sales.drop(HEADER + row(7, note="early path") + row(8), f"{DAY}-a.csv")
    result = sales.ingest()
    assert sales.rows(columns="id, note") == [(7, "early path"), (8, None)]
    (quarantined,) = sales.quarantined()
    assert quarantined["raw"] == row(7, note="late path")
    assert quarantined["reasons"][0]["code"] == "DUPLICATE_KEY"
    assert quarantined["reasons"][0]["message"].startswith("record 1 of drop blake3:")
    assert (result.commit.candidate.valid_rows, result.commit.candidate.quarantined_rows) == (2, 1)


def test_a_rule_over_two_columns_sends_its_rows_to_quarantine(sales: SalesHome) -> None:
    sales.drop(HEADER + row(1, shop="north", amount="0") + row(2, shop="north"))
    sales.ingest()
    (quarantined,) = sales.quarantined()
    assert (quarantined["reasons"][0]["code"], quarantined["reasons"][0]["rule"]) == ("RULE", "north is never free")


def test_warnings_are_counted_and_stop_nothing(sales: SalesHome) -> None:
    sales.drop(HEADER + row(1) + row(2) + row(3, note="x"))
    quality = sales.ingest().receipts[3]
    assert [(w.subject, w.observed) for w in quality.warnings] == [("rule has a note", "2 rows break it")]


def test_a_partition_over_its_budget_is_held_and_the_last_good_version_stays(sales: SalesHome) -> None:
    sales.drop(HEADER + row(1))
    sales.ingest()
    sales.drop(HEADER + row(1, amount="x") + row(2, amount="y") + row(3))
    result = sales.ingest()
    assert result.outcome is Outcome.HELD
    finding = result.receipts[3].findings[0]
    assert (finding.subject, finding.observed) == ("quarantine budget", "66.67% (2 of 3)")
    assert [r[0] for r in sales.rows(columns="id")] == [1]


def test_a_partition_that_never_passed_cannot_be_read(sales: SalesHome) -> None:
    sales.drop(HEADER + row(1, amount="x"))
    assert sales.ingest().outcome is Outcome.HELD
    with pytest.raises(NotPublishedError, match=r"sales\[2024-03-01\] cannot be read: its state is held"):
        sales.rows()


def test_a_rule_that_cannot_be_evaluated_holds_the_partition(sales: SalesHome) -> None:
    rule = SetRule(
        name="breaks", query="SELECT 1 // (count(*) - count(*)) FROM {table}", operator=">", threshold=(0.0,)
    )
    broken = sales.under(SALES.model_copy(update={"set_rules": (rule,)}))
    broken.drop(HEADER + row(1))
    result = broken.ingest()
    assert result.outcome is Outcome.HELD
    assert result.receipts[3].findings[0].subject == "rule breaks"


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, None], ids=["broken", "full", "for a reason of its own"])
def test_a_disk_that_fails_under_duckdb_is_an_error_of_the_store(
    sales: SalesHome, monkeypatch: pytest.MonkeyPatch, code: int | None
) -> None:
    said = os.strerror(code) if code else "the file is shut"

    def fail(*_: object, **__: object) -> None:
        msg = f'IO Error: Could not write to file "valid.parquet": {said}'
        raise duckdb.IOException(msg)

    sales.drop(HEADER + row(1))
    monkeypatch.setattr(building, "write_segment", fail)
    with pytest.raises(StoreError, match=said) as refused:
        sales.ingest()
    assert refused.value.evidence["errno"] == code
    assert "run it again: nothing was published" in str(refused.value)


def test_running_again_does_nothing(sales: SalesHome, monkeypatch: pytest.MonkeyPatch) -> None:
    sales.drop(HEADER + row(1))
    first = sales.ingest()
    monkeypatch.setattr(segment_writer, "read_records", None)  # whoever parses now, fails
    again = sales.ingest()
    assert (again.outcome, again.segments_written, again.commit) == (Outcome.REUSED, 0, first.commit)


def test_mending_the_drop_publishes_what_was_held(sales: SalesHome) -> None:
    sales.drop(HEADER + row(1, amount="x"))
    assert sales.ingest().outcome is Outcome.HELD
    sales.drop(HEADER + row(1))
    assert sales.ingest().outcome is Outcome.PUBLISHED


def test_mending_the_contract_publishes_what_was_held(sales: SalesHome) -> None:
    sales.drop(HEADER + row(1, amount="x") + row(2))
    strict = sales.under(SALES.model_copy(update={"quarantine_budget": 0.1}))
    assert strict.ingest().outcome is Outcome.HELD
    lenient = strict.under(SALES.model_copy(update={"quarantine_budget": 0.9}))
    result = lenient.ingest()
    assert (result.outcome, result.segments_written) == (Outcome.PUBLISHED, 0)


def test_there_and_back_is_a_third_version_with_the_first_ones_segments(sales: SalesHome) -> None:
    a, b = HEADER + row(1), HEADER + row(2)
    commits = []
    for content in (a, b, a):
        sales.drop(content)
        commits.append(sales.ingest().commit)
    assert [c.number for c in commits] == [1, 2, 3]
    assert commits[0].candidate.view_key == commits[2].candidate.view_key
    assert segments_of(commits[0]) == segments_of(commits[2]) != segments_of(commits[1])
    assert [c.digest for c in sales.workspace.reader.history("sales", DAY)] == [c.digest for c in commits]


def test_a_deleted_file_stays_captured(sales: SalesHome) -> None:
    path = sales.drop(HEADER + row(1))
    sales.ingest()
    path.unlink()
    assert sales.ingest().outcome is Outcome.REUSED
    assert len(sales.rows()) == 1


def test_new_content_under_the_same_size_and_mtime_is_new(sales: SalesHome) -> None:
    path = sales.drop(HEADER + row(1))
    sales.ingest()
    before = path.stat()
    sales.drop(HEADER + row(2))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert sales.ingest().outcome is Outcome.PUBLISHED
    assert [r[0] for r in sales.rows(columns="id")] == [2]


def test_one_new_file_among_a_thousand_parses_its_own_segment_only(
    sales: SalesHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1000):
        sales.drop(HEADER + row(number), f"{DAY}-{number:04}.csv")
    first = sales.ingest()
    assert first.commit.candidate.valid_rows == 1000
    parsed: list[BinaryIO] = []
    read = segment_writer.read_records

    def counting(source: BinaryIO, contract: TableContract, **only: Any) -> Iterator[Records]:
        parsed.append(source)
        return read(source, contract, **only)

    monkeypatch.setattr(segment_writer, "read_records", counting)
    sales.drop(HEADER + row(5000), f"{DAY}-0500b.csv")
    second = sales.ingest()
    assert second.commit.candidate.valid_rows == 1001
    assert len(parsed) <= 64
    assert len(set(segments_of(second.commit)) - set(segments_of(first.commit))) <= 2


def test_the_order_of_arrival_never_shows(sales: SalesHome, tmp_path: Path) -> None:
    names = [f"{DAY}-{n:02}.csv" for n in range(30)]
    other = SalesHome(tmp_path / "other")
    for home, order in ((sales, names), (other, names[::-1])):
        for start in range(0, 30, 10):
            for name in order[start : start + 10]:
                home.drop(HEADER + row(int(name[-6:-4])), name)
            home.ingest()
    one, two = (home.workspace.reader.head("sales", DAY) for home in (sales, other))
    assert one is not None
    assert two is not None
    assert (one.candidate.view_key, segments_of(one)) == (two.candidate.view_key, segments_of(two))


def test_a_compressed_file_that_breaks_in_its_middle_is_refused_whole(sales: SalesHome) -> None:
    content = gzip.compress((HEADER + "".join(row(n, note="x" * (n % 50)) for n in range(20_000))).encode())
    sales.drop(content[: len(content) // 2], f"{DAY}-broken.csv.gz")
    sales.drop(HEADER + row(1) + row(2), f"{DAY}-good.csv")
    result = sales.ingest()
    assert result.outcome is Outcome.PUBLISHED
    (quarantined,) = sales.quarantined()
    assert [r["code"] for r in quarantined["reasons"]] == ["UNDECODABLE_COMPRESSION"]
    assert (quarantined["byte_start"], quarantined["byte_end"]) == (0, len(content) // 2)
    assert result.commit.candidate.records == 3


@pytest.mark.parametrize(
    "content", ["", HEADER, "\ufeff" + HEADER, "\n\n"], ids=["no byte", "a header", "BOM and header", "blank lines"]
)
def test_a_file_without_records_is_no_error(sales: SalesHome, content: str) -> None:
    lenient = sales.under(SALES.model_copy(update={"set_rules": ()}))
    lenient.drop(content)
    result = lenient.ingest()
    assert (result.outcome, result.commit.candidate.records) == (Outcome.PUBLISHED, 0)
    assert lenient.rows() == []


def test_columns_that_were_not_declared_are_kept_as_json_when_the_contract_says_so(sales: SalesHome) -> None:
    keeping = sales.under(SALES.model_copy(update={"undeclared_columns": "keep"}))
    keeping.drop("id,shop,amount,sold_at,note,colour\n1,south,1,2024-03-01,,red\n")
    keeping.ingest()
    assert keeping.rows(columns="id, _hg_extra") == [(1, '{"colour":"red"}')]


def test_a_contract_change_redoes_exactly_what_it_touches(sales: SalesHome) -> None:
    sales.drop(HEADER + row(1) + row(2))
    sales.ingest()
    prose = sales.under(SALES.model_copy(update={"description": "told better"}))
    assert prose.ingest().outcome is Outcome.REUSED
    rule = SetRule(name="two", query="SELECT count(*) FROM {table}", operator="=", threshold=(2.0,))
    judged = prose.under(SALES.model_copy(update={"set_rules": (rule,)})).ingest()
    assert (judged.outcome, judged.segments_written) == (Outcome.PUBLISHED, 0)
    narrower = SALES.model_copy(update={"row_rules": (RowRule(name="first only", expression="id = 1"),)})
    parsed = prose.under(narrower).ingest()
    assert (parsed.outcome, parsed.segments_written) == (Outcome.PUBLISHED, 1)


def test_a_renamed_column_is_the_same_column(sales: SalesHome) -> None:
    columns = tuple(c.model_copy(update={"aliases": ("ident",)}) if c.name == "id" else c for c in SALES.columns)
    aliased = sales.under(SALES.model_copy(update={"columns": columns}))
    aliased.drop(HEADER.replace("id,", "ident,", 1) + row(9))
    aliased.ingest()
    assert aliased.rows(columns="id") == [(9,)]


def test_the_sink_mode_error_lets_no_second_version_through(sales: SalesHome) -> None:
    once = sales.under(SALES.model_copy(update={"sink_mode": "error"}))
    once.drop(HEADER + row(1))
    once.ingest()
    assert once.ingest().outcome is Outcome.REUSED
    once.drop(HEADER + row(2))
    with pytest.raises(CommitError, match="its contract's sink mode is `error`: nothing was changed"):
        once.ingest()
    assert [r[0] for r in once.rows(columns="id")] == [1]


def test_a_late_writer_does_not_undo_a_newer_selection(sales: SalesHome, monkeypatch: pytest.MonkeyPatch) -> None:
    sales.drop(HEADER + row(1))
    sales.take_in()
    judge = building.judge

    def slowly(*args: Any) -> tuple[GateReceipt, ...]:
        monkeypatch.setattr(building, "judge", judge)
        sales.drop(HEADER + row(2))
        assert sales.ingest().outcome is Outcome.PUBLISHED
        return judge(*args)

    monkeypatch.setattr(building, "judge", slowly)
    late = build_partition(sales.workspace, SALES, DAY, run_id="late")
    assert late.outcome is Outcome.SUPERSEDED
    assert [r[0] for r in sales.rows(columns="id")] == [2]


def test_a_partition_that_was_never_selected_says_what_to_do(sales: SalesHome) -> None:
    with pytest.raises(UsageError, match="has no selection yet. Materialize sales/selection for it first"):
        build_partition(sales.workspace, SALES, DAY, run_id="test")


def test_an_altered_file_is_not_read_and_force_heals_it(sales: SalesHome) -> None:
    sales.drop(HEADER + row(1))
    entry = sales.ingest().commit.candidate.segments[0]
    path = sales.workspace.store.path(segment_prefix("sales", entry.view_key, entry.content)) / "valid.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(DigestMismatchError, match="expected blake3:"):
        sales.rows()
    assert sales.ingest(force=True).outcome is Outcome.REUSED
    assert [r[0] for r in sales.rows(columns="id")] == [1]


def test_nothing_is_left_in_staging(sales: SalesHome) -> None:
    sales.drop(HEADER + row(1) + row(1) + row(2, amount="x"))
    sales.ingest()
    assert [p for p in sales.workspace.settings.staging.rglob("*") if p.is_file()] == []
    assert sales.workspace.store.keys("incoming") == []


def test_two_homes_arrive_at_the_same_segments(sales: SalesHome, tmp_path: Path) -> None:
    other = SalesHome(tmp_path / "other")
    contents = []
    for home in (sales, other):
        home.drop(HEADER + row(1) + row(1) + row(2, amount="x") + row(3))
        contents.append(home.ingest().commit.candidate)
    assert contents[0].segments == contents[1].segments
    assert contents[0].overlay == contents[1].overlay
    assert contents[0].overlay is not None


def test_an_optional_column_may_be_absent(sales: SalesHome) -> None:
    sales.drop("id,shop\n1,south\n")
    sales.ingest()
    assert sales.rows(columns="id, amount, note") == [(1, None, None)]


def test_a_column_of_every_type_arrives_as_written(sales: SalesHome) -> None:
    types = {"b": "BOOLEAN", "d": "DATE", "t": "TIME", "z": "TIMESTAMP WITH TIME ZONE", "f": "DOUBLE", "j": "JSON"}
    columns = (SALES.columns[0], *(Column(name=name, type=kind) for name, kind in types.items()))
    wide = sales.under(SALES.model_copy(update={"columns": columns, "row_rules": (), "set_rules": ()}))
    wide.drop('id,b,d,t,z,f,j\n1,true,2024-02-29,23:59:59,2024-03-01T00:00:00+02:00,0.1,"{""a"":1}"\n')
    assert wide.ingest().outcome is Outcome.PUBLISHED
    texts = ", ".join(f"CAST({name} AS VARCHAR)" for name in types)
    assert wide.rows(columns=texts) == [("true", "2024-02-29", "23:59:59", "2024-02-29 22:00:00+00", "0.1", '{"a":1}')]


def test_severity_decides_between_quarantine_and_count(sales: SalesHome) -> None:
    rules = tuple(RowRule(name=s.value, expression="id < 2", severity=s) for s in Severity)
    both = sales.under(SALES.model_copy(update={"row_rules": rules, "quarantine_budget": 1.0}))
    both.drop(HEADER + row(1) + row(2))
    result = both.ingest()
    assert result.commit.candidate.quarantined_rows == 1
    assert result.receipts[3].warnings == ()
