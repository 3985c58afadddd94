"""Exports in upkeep: what a version names stays, is backed up and forgotten with it; everything else goes."""

from __future__ import annotations

import datetime as dt
from functools import partial
from pathlib import Path

import pytest

from contracts.refs import hex_of
from contracts.sinks import Sink, in_order
from platform_assets.upkeep.backing_up import back_up
from platform_assets.upkeep.expiring import version_ages
from platform_assets.upkeep.forgetting import find_stakes, forget
from platform_assets.upkeep.restoring import restore
from platform_assets.upkeep.table_documents import read_documents
from resources.expirations import Expirations
from resources.publisher import Outcome
from tests.kept_sales import AT_ONCE, A, B, KeptHome
from tests.platform_assets.upkeep.test_forgetting import ANN, PATH, rebuild
from tests.sales import DAY, HEADER, SALES, row

SECRET = HEADER + row(1, note="alice@example.org") + row(2)
HELD = HEADER + row(1) + "x\n" * 9
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def exporting(kept: KeptHome) -> KeptHome:
    sinks = in_order([Sink.CSV, Sink.DUCKDB])
    return KeptHome(kept.folder, SALES.model_copy(update={"sinks": sinks, "retention": AT_ONCE}))


def exports_of(kept: KeptHome) -> set[str]:
    """The contents of the exports that lie in the store."""
    return {key.split("/")[4] for key in kept.objects("exports")}


def named_exports(kept: KeptHome) -> set[str]:
    """Those that the current version names."""
    head = kept.workspace.reader.head("sales", DAY)
    return set() if head is None else {hex_of(export.content) for export in head.candidate.exports}


def file_of(kept: KeptHome, sink: Sink) -> Path:
    head = kept.workspace.reader.head("sales", DAY)
    assert head is not None
    ((_, path),) = kept.workspace.reader.open_exports([head], sink)
    return Path(path)


# ---- collection ------------------------------------------------------------------------------------------------------


def test_exports_of_what_is_current_and_of_what_is_held_stay(exporting: KeptHome) -> None:
    exporting.restate(A, HELD)
    assert exporting.ingest(DAY).outcome is Outcome.HELD
    before = exporting.objects("exports")
    assert len({key.split("/")[4] for key in before}) == 4
    exporting.days_pass(1000)
    for _ in range(3):
        assert exporting.collect().listed == []
    assert exporting.objects("exports") == before
    assert exporting.problems() == []


def test_exports_of_what_was_superseded_go_with_it(exporting: KeptHome) -> None:
    exporting.restate(A, B)
    assert len(exports_of(exporting)) == 4
    exporting.days_pass(1)
    done = exporting.collect()
    assert {d.why for d in done.listed if "/exports/" in d.name} == {"export nothing names"}
    exporting.collect()
    assert exports_of(exporting) == named_exports(exporting)
    assert len(named_exports(exporting)) == 2
    assert exporting.problems() == []


def test_what_a_writer_placed_and_never_committed_goes_after_a_grace(exporting: KeptHome) -> None:
    exporting.restate(A)
    left = f"tables/sales/exports/{'ab' * 32}/{'cd' * 32}"
    for name in ("index.json", "sales.csv"):
        exporting.workspace.store.put_if_absent(f"{left}/{name}", b"left over")
    assert exporting.collect(HOUR).listed == []
    exporting.days_pass(1)
    assert [d.name for d in exporting.collect(HOUR).listed] == [left]
    exporting.days_pass(1)
    exporting.collect(HOUR)
    assert exports_of(exporting) == named_exports(exporting)


def test_a_writer_that_needs_what_is_doomed_writes_it_anew(exporting: KeptHome) -> None:
    exporting.restate(A, B)
    exporting.days_pass(1)
    exporting.collect()
    doomed = exports_of(exporting) - named_exports(exporting)
    exporting.restate(A)
    again = named_exports(exporting) & doomed
    assert again, "the CSV of the same rows has the same content"
    exporting.collect()
    assert exporting.problems() == []
    assert exporting.rows()
    for sink in (Sink.CSV, Sink.DUCKDB):
        assert file_of(exporting, sink).is_file()


def test_the_size_of_a_version_counts_its_exports(exporting: KeptHome) -> None:
    exporting.restate(A, B)
    documents = read_documents(exporting.workspace, "sales")
    ages = version_ages(documents, Expirations())
    for age in ages:
        (version,) = (c for c in documents.versions[DAY] if c.number == age.number)
        assert age.size_bytes >= sum(export.file.size_bytes for export in version.candidate.exports)


# ---- forgetting ------------------------------------------------------------------------------------------------------


def texts_with(kept: KeptHome, text: str) -> list[str]:
    folder = kept.folder / "home" / "store"
    return [str(p) for p in folder.rglob("*") if p.is_file() and text.encode() in p.read_bytes()]


@pytest.mark.parametrize("left_over", [False, True], ids=["named", "left over by a writer that was killed"])
def test_nothing_of_a_forgotten_drop_stays_in_an_export(left_over: bool, exporting: KeptHome) -> None:
    exporting.restate(SECRET)
    path = file_of(exporting, Sink.CSV)
    if left_over:
        folder = f"tables/sales/exports/{'ab' * 32}/{'cd' * 32}"
        exporting.workspace.store.put_if_absent(f"{folder}/sales.csv", path.read_bytes())
    assert any(name.endswith(".csv") for name in texts_with(exporting, "alice@example.org"))
    workspace = exporting.workspace
    forget(workspace, find_stakes(workspace, PATH), ANN, partial(rebuild, exporting, ANN), at_once=True)
    assert texts_with(exporting, "alice@example.org") == []
    head = workspace.reader.head("sales", DAY)
    assert head is not None
    assert head.candidate.valid_rows == 0
    assert file_of(exporting, Sink.CSV).read_bytes().count(b"\r\n") == 1


# ---- backup ----------------------------------------------------------------------------------------------------------


def restored(kept: KeptHome) -> tuple[KeptHome, list[str]]:
    other = KeptHome(kept.folder / "restored", kept.contract)
    (other.folder / "drops" / "sales").mkdir(parents=True)
    return other, restore(other.workspace, kept.folder / "backup").problems


def test_a_backup_carries_exports(exporting: KeptHome) -> None:
    exporting.restate(A, B)
    report = back_up(exporting.workspace, exporting.folder / "backup")
    assert report.problems == []
    other, problems = restored(exporting)
    assert problems == []
    assert exports_of(other) == exports_of(exporting)
    assert file_of(other, Sink.DUCKDB).read_bytes() == file_of(exporting, Sink.DUCKDB).read_bytes()
    assert other.problems() == []


def test_an_export_that_was_lost_before_the_backup_is_named(exporting: KeptHome) -> None:
    exporting.restate(A)
    file_of(exporting, Sink.CSV).unlink()
    report = back_up(exporting.workspace, exporting.folder / "backup")
    assert any("/exports/" in problem for problem in report.problems), report.problems


def test_an_altered_export_is_not_taken_into_a_backup(exporting: KeptHome) -> None:
    exporting.restate(A)
    path = file_of(exporting, Sink.CSV)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b"1.50", b"1.51"))
    report = back_up(exporting.workspace, exporting.folder / "backup")
    assert any("sales.csv" in problem and "expected blake3:" in problem for problem in report.problems)


@pytest.mark.parametrize("damage", [b"no JSON", b""], ids=["no JSON", "nothing left"])
def test_an_altered_index_is_named_and_keeps_nothing_else_from_the_backup(damage: bytes, exporting: KeptHome) -> None:
    exporting.restate(A)
    file_of(exporting, Sink.CSV).with_name("index.json").write_bytes(damage)
    report = back_up(exporting.workspace, exporting.folder / "backup")
    assert [problem.partition(":")[0].rpartition("/")[2] for problem in report.problems] == ["index.json"]
    other, _ = restored(exporting)
    assert other.rows() == exporting.rows()


def test_a_restore_names_the_sink_that_cannot_be_read(exporting: KeptHome) -> None:
    exporting.restate(A)
    back_up(exporting.workspace, exporting.folder / "backup")
    (copy,) = (exporting.folder / "backup").rglob("*.duckdb")
    copy.chmod(0o600)
    copy.write_bytes(b"damaged")
    other, problems = restored(exporting)
    assert f"sales[{DAY}] version 1 cannot be read as duckdb. Ingest the partition again with --force." in problems
    assert other.rows() == exporting.rows()
