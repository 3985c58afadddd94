"""Backup and restore: what comes back is what was there, and what does not come back is named."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from contracts.backup_manifest import BackupError, BackupManifest
from contracts.sealing import ChainError
from platform_assets.upkeep.backing_up import BackupReport, back_up
from platform_assets.upkeep.restoring import RestoreReport, restore
from tests.kept_sales import A, B, KeptHome
from tests.sales import DAY, HEADER, row

ROOT = Path(__file__).parents[3]
HELD = HEADER + row(1) + "x\n" * 9


def backed_up(kept: KeptHome) -> BackupReport:
    return back_up(kept.workspace, kept.folder / "backup")


def restored(kept: KeptHome, into: str = "restored") -> tuple[KeptHome, RestoreReport]:
    """A new home, filled from the backup; its drops are where they were."""
    other = KeptHome(kept.folder / into, kept.contract)
    (other.folder / "drops" / "sales").mkdir(parents=True)
    return other, restore(other.workspace, kept.folder / "backup")


def store_of(kept: KeptHome) -> dict[str, bytes]:
    """What the store holds, but for the collector's own notes."""
    return {
        key: (kept.store / key).read_bytes() for key in kept.objects() if not key.startswith(("doomed/", "damaged/"))
    }


def add_dagster(kept: KeptHome) -> sqlite3.Connection:
    """A database with an open transaction, and a log, in Dagster's home."""
    folder = kept.workspace.settings.dagster_home / "history"
    folder.mkdir(parents=True)
    (folder / "compute.log").write_text("42\n")
    connection = sqlite3.connect(folder / "runs.db")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE runs (id INTEGER)")
    connection.executemany("INSERT INTO runs VALUES (?)", [(n,) for n in range(1000)])
    connection.commit()
    connection.execute("INSERT INTO runs VALUES (-1)")
    return connection


# ---- there and back --------------------------------------------------------------------------------------------------


def test_what_is_restored_is_what_was_there(kept: KeptHome) -> None:
    kept.restate(A, HEADER + row(1) + row(1) + row(2), HELD)
    kept.restate(B, day="2024-03-02")
    report = backed_up(kept)
    assert (report.problems, report.number, report.copied) == ([], 1, report.files)
    other, back = restored(kept)
    assert (back.problems, back.files) == ([], report.files)
    assert store_of(other) == store_of(kept)
    assert other.rows() == kept.rows()
    assert other.rows("2024-03-02") == kept.rows("2024-03-02")
    assert other.problems() == []


def test_a_restored_home_goes_on_where_the_other_was(kept: KeptHome) -> None:
    kept.restate(A)
    backed_up(kept)
    other, _ = restored(kept)
    other.restate(A)
    assert [c.number for c in other.workspace.reader.history("sales", DAY)] == [1], "it knows what was captured"
    other.restate(B)
    assert len(other.rows()) == 2
    assert other.problems() == []
    assert other.collect().problems == []


def test_dagsters_databases_are_copied_as_of_one_moment(kept: KeptHome) -> None:
    kept.restate(A)
    with closing(add_dagster(kept)) as writer:
        assert backed_up(kept).problems == []
        writer.execute("INSERT INTO runs VALUES (-2)")
        writer.commit()
    other, back = restored(kept)
    assert back.problems == []
    folder = other.workspace.settings.dagster_home / "history"
    assert (folder / "compute.log").read_text() == "42\n"
    with closing(sqlite3.connect(folder / "runs.db")) as database:
        assert database.execute("SELECT count(*), min(id) FROM runs").fetchone() == (1000, 0)
    assert sorted(path.name for path in folder.iterdir()) == ["compute.log", "runs.db"]


def test_what_expired_stays_known_and_is_no_loss(kept: KeptHome) -> None:
    kept.restate(A, B)
    kept.days_pass(1)
    for _ in range(3):
        kept.collect()
    assert backed_up(kept).problems == []
    other, back = restored(kept)
    assert back.problems == []
    assert other.problems() == []
    assert other.objects("expired") == ["expired/00000001.json"]


def test_a_copy_under_a_later_generation_comes_back_under_its_name(kept: KeptHome) -> None:
    kept.restate(A, B)
    kept.days_pass(1)
    kept.collect()
    kept.restate(A)
    kept.collect()
    kept.collect()
    assert any(key.endswith(".1") for key in kept.objects("blobs"))
    assert backed_up(kept).problems == []
    other, back = restored(kept)
    assert back.problems == []
    assert not any(key.endswith(".1") for key in other.objects("blobs"))
    assert other.rows() == kept.rows()
    assert other.problems() == []


# ---- the next backup -------------------------------------------------------------------------------------------------


def test_the_next_backup_copies_only_what_is_new(kept: KeptHome) -> None:
    kept.restate(A)
    first = backed_up(kept)
    again = backed_up(kept)
    assert (again.number, again.files, again.copied) == (2, first.files, 0)
    kept.restate(B)
    third = backed_up(kept)
    assert third.copied == third.files - first.files > 0
    assert store_of(restored(kept)[0]) == store_of(kept)


def test_a_backup_is_what_its_newest_manifest_names(kept: KeptHome) -> None:
    kept.restate(A, B)
    backed_up(kept)
    kept.days_pass(1)
    for _ in range(3):
        kept.collect()
    backed_up(kept)
    other, _ = restored(kept)
    assert store_of(other) == store_of(kept), "what expired meanwhile does not come back"


def test_a_backup_that_was_interrupted_is_finished_by_the_next(kept: KeptHome) -> None:
    kept.restate(A)

    def stop(name: str) -> None:
        if name.endswith(".parquet"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        back_up(kept.workspace, kept.folder / "backup", copied=stop)
    with pytest.raises(BackupError, match="holds no finished backup|is no backup"):
        restored(kept)
    shutil.rmtree(kept.folder / "restored", ignore_errors=True)
    assert backed_up(kept).problems == []
    assert store_of(restored(kept)[0]) == store_of(kept)


def test_a_restored_home_may_go_on_with_its_backup(kept: KeptHome) -> None:
    kept.restate(A)
    backed_up(kept)
    other, _ = restored(kept)
    other.restate(B)
    assert back_up(other.workspace, kept.folder / "backup").number == 2


def test_homes_do_not_share_a_backup(kept: KeptHome) -> None:
    kept.restate(A)
    backed_up(kept)
    other = KeptHome(kept.folder / "another")
    (other.folder / "drops" / "sales").mkdir(parents=True)
    other.restate(B)
    with pytest.raises(BackupError, match="is a backup of another home: .* Name another folder") as refused:
        back_up(other.workspace, kept.folder / "backup")
    assert refused.value.evidence["key"].startswith("captures/sales/")
    assert BackupManifest.from_bytes((kept.folder / "backup/manifests/00000001.json").read_bytes()).number == 1


@pytest.mark.parametrize(
    ("place", "said"),
    [
        pytest.param("home/backup", "lie in each other", id="inside the home"),
        pytest.param(".", "lie in each other", id="around the home"),
        pytest.param("full", "is not empty and no backup", id="a folder with something else"),
        pytest.param("full/file", "Name a folder that this user can write to", id="a file"),
    ],
)
def test_not_every_folder_is_a_place_for_a_backup(kept: KeptHome, place: str, said: str) -> None:
    kept.restate(A)
    (kept.folder / "full").mkdir()
    (kept.folder / "full" / "file").write_text("x")
    with pytest.raises(BackupError, match=said):
        back_up(kept.workspace, kept.folder / place)


# ---- what is wrong ---------------------------------------------------------------------------------------------------


def altered(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("pattern", "harm", "said"),
    [
        pytest.param("segments/*/*/valid.parquet", altered, "valid.parquet: expected blake3:", id="altered rows"),
        pytest.param("segments/*/*/valid.parquet", Path.unlink, "is missing, and a document", id="missing rows"),
        pytest.param(f"commits/{DAY}/00000001.json", altered, "version 1: its self-digest", id="an altered commit"),
    ],
)
def test_what_is_wrong_with_the_home_is_not_backed_up_in_silence(
    kept: KeptHome, pattern: str, harm: Callable[[Path], None], said: str
) -> None:
    kept.restate(A)
    (path,) = (kept.store / "tables/sales").glob(pattern)
    harm(path)
    if harm is Path.unlink:
        (path.parent / "index.json").unlink()
    report = backed_up(kept)
    assert any(said in problem for problem in report.problems), report.problems
    _, back = restored(kept)
    assert any(problem.startswith("when it was made: ") for problem in back.problems)


@pytest.mark.parametrize("harm", [altered, Path.unlink], ids=["altered", "missing"])
@pytest.mark.parametrize(
    ("pattern", "unreadable"),
    [
        pytest.param("store/tables/sales/segments/*/*/valid.parquet", True, id="rows"),
        pytest.param("store/tables/sales/segments/*/*/index.json", True, id="an index"),
        pytest.param("store/blobs/*/*/*", False, id="a drop or a snapshot"),
        pytest.param("store/captures/sales/00000001.json", False, id="captures"),
    ],
)
def test_what_is_wrong_with_a_backup_is_named_and_the_rest_restored(
    kept: KeptHome, pattern: str, harm: Callable[[Path], None], unreadable: bool
) -> None:
    kept.restate(A)
    kept.restate(B, day="2024-03-02")
    backed_up(kept)
    path = min((kept.folder / "backup").glob(pattern))
    harm(path)
    other, back = restored(kept)
    name = path.relative_to(kept.folder / "backup").as_posix()
    (said,) = [problem for problem in back.problems if problem.startswith(name)]
    assert ("is missing from the backup" in said) == (harm is Path.unlink)
    assert said.endswith("It is not restored: take it from another backup.")
    cannot = [problem for problem in back.problems if "cannot be read. Ingest the partition again" in problem]
    assert len(cannot) == (1 if unreadable else 0)
    readable = [day for day in (DAY, "2024-03-02") if not any(f"[{day}]" in problem for problem in cannot)]
    for day in readable:
        assert other.rows(day) == kept.rows(day)


def test_an_altered_manifest_is_not_trusted(kept: KeptHome) -> None:
    kept.restate(A)
    backed_up(kept)
    altered(kept.folder / "backup/manifests/00000001.json")
    with pytest.raises(ChainError, match="manifests/00000001.json: .*The backup cannot be trusted"):
        restored(kept)
    with pytest.raises(ChainError):
        backed_up(kept)


def test_only_an_empty_home_is_filled(kept: KeptHome) -> None:
    kept.restate(A)
    backed_up(kept)
    before = store_of(kept)
    with pytest.raises(BackupError, match=r"is not empty: the store has .*; there is a database .*catalogue\.db"):
        restore(kept.workspace, kept.folder / "backup")
    assert store_of(kept) == before


@pytest.mark.parametrize("folder", ["nothing", "drops"], ids=["no folder", "another folder"])
def test_what_is_no_backup_is_refused(kept: KeptHome, folder: str) -> None:
    with pytest.raises(BackupError, match=r"is no backup: .*Name the folder that `hashgate backup` made"):
        restore(kept.workspace, kept.folder / folder)
    assert not (kept.folder / "home" / "catalogue.db").exists()


# ---- beside runs -----------------------------------------------------------------------------------------------------

RUN = """
import sys, time
from pathlib import Path
from tests.kept_sales import A, B, KeptHome
kept = KeptHome(Path(sys.argv[1]))
ends = time.monotonic() + 6
number = 0
while time.monotonic() < ends:
    number += 1
    kept.drop((A, B)[number % 2] + "%d,south,1,,\\n" % (number + 10))
    kept.ingest()
"""


def test_a_backup_beside_running_ingests_is_one_moment(kept: KeptHome) -> None:
    kept.restate(A)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", RUN, str(kept.folder)]
    made = 0
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as run:
        while run.poll() is None:
            report = backed_up(kept)
            assert report.problems == []
            other, back = restored(kept, f"restored-{report.number}")
            assert back.problems == []
            assert other.problems() == []
            assert other.rows()
            made += 1
            time.sleep(0.2)
        assert run.stderr is not None
        assert run.returncode == 0, run.stderr.read()
    assert made >= 2
