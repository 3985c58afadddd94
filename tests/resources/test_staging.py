"""Staging: a folder goes with its owner, and what a dead one left is told from what a living one is working on."""

from __future__ import annotations

import datetime as dt
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from contracts.canonical import canonical_bytes
from contracts.errors import StoreError
from resources import staging as module
from resources.staging import OWNER_SUFFIX, LeftFolder, left_folders, remove_left, staged

ROOT = Path(__file__).parents[2]
LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
IN_AN_HOUR = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)

WORK = """
import sys, time
from pathlib import Path
from resources.staging import staged
with staged(Path(sys.argv[1]), "run-1") as folder:
    (folder / "valid.parquet").write_bytes(b"half")
    print(folder, flush=True)
    time.sleep(60)
"""


def nobody(_: str) -> bool:
    return False


def left(folder: Path, before: dt.datetime = LONG_AGO) -> list[LeftFolder]:
    return list(left_folders(folder, before, nobody))


@contextmanager
def working(folder: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Another process that stages, and the folder it stages in."""
    command = [sys.executable, "-c", WORK, str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()


def test_a_staged_folder_is_private_and_gone_at_the_end(tmp_path: Path) -> None:
    with staged(tmp_path / "staging", "run-1") as folder:
        (folder / "valid.parquet").write_bytes(b"x")
        assert folder.parent == tmp_path / "staging" / "run-1"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(folder.with_name(folder.name + OWNER_SUFFIX).stat().st_mode) == 0o600
    assert list((tmp_path / "staging").iterdir()) == []


def test_several_candidates_of_a_run_do_not_disturb_each_other(tmp_path: Path) -> None:
    with staged(tmp_path, "run-1") as first:
        with staged(tmp_path, "run-1") as second:
            assert first != second
        assert first.is_dir()
        assert not second.exists()
    assert list(tmp_path.iterdir()) == []


def stage_and_fail(staging: Path) -> None:
    with staged(staging, "run-1") as folder:
        (folder / "half").write_bytes(b"x")
        raise ZeroDivisionError


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        stage_and_fail(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_a_living_process_works_on_is_not_left_over_however_old_it_is(tmp_path: Path) -> None:
    with working(tmp_path) as (_, folder):
        os.utime(folder, (0, 0))
        os.utime(folder / "valid.parquet", (0, 0))
        assert left(tmp_path, IN_AN_HOUR) == []


def test_what_a_killed_process_was_working_on_is_left_over_at_once(tmp_path: Path) -> None:
    with working(tmp_path) as (process, folder):
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert left(tmp_path) == [LeftFolder("run-1", folder, 4, "its process is dead")]
        remove_left(left(tmp_path)[0])
    assert list(tmp_path.iterdir()) == []
    assert tmp_path.is_dir()


@pytest.mark.parametrize(
    "owner",
    [
        pytest.param({"host": "elsewhere", "boot": "another", "pid": 1}, id="another host"),
        pytest.param({}, id="nobody says"),
        pytest.param(None, id="no owner's file"),
    ],
)
def test_what_nobody_can_tell_goes_by_its_age(tmp_path: Path, owner: dict[str, object] | None) -> None:
    folder = tmp_path / "run-1" / "folder"
    folder.mkdir(parents=True)
    (folder / "half").write_bytes(b"12345")
    if owner is not None:
        folder.with_name(f"folder{OWNER_SUFFIX}").write_bytes(canonical_bytes(owner))
    assert left(tmp_path) == []
    (found,) = left(tmp_path, IN_AN_HOUR)
    assert (found.run_id, found.path, found.size_bytes) == ("run-1", folder, 5)
    assert found.why.startswith("nobody has written to it since ")
    assert list(left_folders(tmp_path, IN_AN_HOUR, lambda run_id: run_id == "run-1")) == [], "its run is active"
    remove_left(found)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_written_lately_keeps_the_whole_folder(tmp_path: Path) -> None:
    folder = tmp_path / "run-1" / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "file").write_bytes(b"x")
    for path in (folder, folder / "deep", folder.parent):
        os.utime(path, (0, 0))
    assert left(tmp_path, dt.datetime.now(dt.UTC) - dt.timedelta(minutes=1)) == []


def test_a_machine_that_was_started_anew_knows_its_own_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with working(tmp_path) as (process, _):
        process.kill()
        process.wait()
        monkeypatch.setattr(module, "_boot", lambda: "the next one")
        assert [found.why for found in left(tmp_path)] == ["its process is dead"]
        monkeypatch.setattr(module.socket, "gethostname", lambda: "another")
        assert left(tmp_path) == []


def test_an_empty_run_folder_goes_by_its_age_and_staging_itself_stays(tmp_path: Path) -> None:
    (tmp_path / "run-1").mkdir()
    assert left(tmp_path) == []
    for found in left(tmp_path, IN_AN_HOUR):
        remove_left(found)
    assert list(tmp_path.iterdir()) == []
    assert tmp_path.is_dir()


def test_no_staging_folder_has_nothing_left(tmp_path: Path) -> None:
    assert left(tmp_path / "none", IN_AN_HOUR) == []


def test_what_is_gone_already_is_removed_without_a_word(tmp_path: Path) -> None:
    remove_left(LeftFolder("run-1", tmp_path / "run-1" / "gone", 0, ""))


def test_what_cannot_be_removed_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run-1" / "folder"
    folder.mkdir(parents=True)

    def refuse(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module.shutil, "rmtree", refuse)
    with pytest.raises(StoreError, match="Permission denied. Give this user access to it, or remove it by hand"):
        remove_left(LeftFolder("run-1", folder, 0, ""))


def test_a_link_in_place_of_a_folder_is_removed_and_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_bytes(b"x")
    (tmp_path / "staging" / "run-1").mkdir(parents=True)
    link = tmp_path / "staging" / "run-1" / "folder"
    link.symlink_to(elsewhere)
    remove_left(LeftFolder("run-1", link, 0, ""))
    assert not link.is_symlink()
    assert (elsewhere / "precious").exists()


def test_candidates_come_and_go_while_somebody_sweeps(tmp_path: Path) -> None:
    """The run's folder vanishes under one candidate when the other is done."""
    ends = time.monotonic() + 1.0
    with working(tmp_path) as (_, folder):
        while time.monotonic() < ends:
            with staged(tmp_path, "run-1") as mine, staged(tmp_path, "run-2") as other:
                assert left(tmp_path, IN_AN_HOUR) == []
                assert mine.is_dir()
                assert other.is_dir()
        assert folder.is_dir()
