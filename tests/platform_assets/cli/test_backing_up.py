"""`hashgate backup` and `hashgate restore`: figures, problems, exit codes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.installation import Installation


@pytest.fixture
def folder(seeded: Installation) -> Path:
    """A backup of the seeded installation."""
    folder = seeded.home.parent / "backup"
    assert seeded.hashgate("backup", str(folder)).code == 0
    return folder


def test_a_backup_says_how_much_and_how_fast(seeded: Installation, folder: Path) -> None:
    again = seeded.hashgate("backup", str(folder))
    assert again.code == 0
    assert re.fullmatch(
        r"backup 2 of \d+ files, \d+ files? copied and verified \(\S+ k?B\) in [\d.]+ s, \S+ [kM]?B/s\n", again.out
    ), again.out
    document = seeded.hashgate("backup", str(folder), "--json").json
    assert (document["number"], document["problems"], document["folder"]) == (3, [], str(folder))
    assert 0 <= document["copied"] < document["files"]


def test_a_restored_home_answers_the_same(
    seeded: Installation, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = [("status", "--json"), ("query", "SELECT * FROM orders ORDER BY id"), ("quarantine", "orders", "--json")]
    before = [seeded.hashgate(*arguments).out for arguments in asked]
    monkeypatch.setenv("HASHGATE_HOME", str(tmp_path / "new"))
    done = seeded.hashgate("restore", str(folder))
    assert (done.code, done.err) == (0, "")
    assert re.match(r"backup 1: \d+ files restored and verified \(\S+ kB\) in ", done.out)
    assert [seeded.hashgate(*arguments).out for arguments in asked] == before
    assert seeded.hashgate("verify").code == 0


def test_what_is_missing_is_named_and_ends_with_1(
    seeded: Installation, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lost = min(folder.glob("store/tables/orders/segments/*/*/valid.parquet"))
    lost.unlink()
    monkeypatch.setenv("HASHGATE_HOME", str(tmp_path / "new"))
    done = seeded.hashgate("restore", str(folder), "--json")
    assert done.code == 1
    assert any("valid.parquet is missing from the backup" in problem for problem in done.json["problems"])


@pytest.mark.parametrize(
    ("command", "said"),
    [
        pytest.param("restore", "is not empty: the store has ", id="into a home in use"),
        pytest.param("backup", "lie in each other", id="into the home itself"),
    ],
)
def test_the_wrong_place_is_refused(command: str, said: str, seeded: Installation, folder: Path) -> None:
    done = seeded.hashgate(command, str(folder if command == "restore" else seeded.home))
    assert done.code == 2
    assert said in done.err
