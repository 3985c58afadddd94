"""The drop folder: every file is listed, none is trusted, and no odd one stops the others."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from contracts.errors import ConfigurationError, DropError
from resources.drop_folder import FileStamp, ListedFile, is_being_written, list_drops, open_drop


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "drops"
    (folder / "flights" / "deep" / "er").mkdir(parents=True)
    for name in ("flights/a.csv", "flights/b.csv", "flights/b.txt", "flights/deep/c.csv", "flights/deep/er/d.csv"):
        (folder / name).write_text(name)
    return folder


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("flights/*.csv", ["flights/a.csv", "flights/b.csv"]),
        ("flights/?.csv", ["flights/a.csv", "flights/b.csv"]),
        ("flights/b.*", ["flights/b.csv", "flights/b.txt"]),
        ("flights/**/*.csv", ["flights/a.csv", "flights/b.csv", "flights/deep/c.csv", "flights/deep/er/d.csv"]),
        ("**/d.csv", ["flights/deep/er/d.csv"]),
        ("flights/*/*.csv", ["flights/deep/c.csv"]),
        ("flights/none*.csv", []),
    ],
    ids=["one folder", "one letter", "any ending", "any depth", "from the root", "one below", "no match"],
)
def test_a_glob_names_what_a_person_expects(root: Path, pattern: str, expected: list[str]) -> None:
    assert sorted(f.path for f in list_drops(root, pattern)) == expected


def test_a_glob_full_of_stars_takes_no_time(root: Path) -> None:
    (root / "flights" / ("a" * 200)).write_text("")
    assert list(list_drops(root, "flights/" + "*a" * 60 + "b")) == []


def test_a_missing_folder_says_how_to_go_on(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not exist. Create it, or set HASHGATE_DROPS"):
        list(list_drops(tmp_path, "nowhere/*.csv"))


def problems(root: Path) -> dict[str, str | None]:
    return {f.path: f.problem for f in list_drops(root, "flights/*") if f.path.startswith("flights/odd")}


def test_odd_files_are_named_and_stop_no_other(root: Path, tmp_path: Path) -> None:
    odd = root / "flights"
    (tmp_path / "outside.csv").write_text("secret")
    (odd / "odd-out").symlink_to(tmp_path / "outside.csv")
    (odd / "odd-in").symlink_to(odd / "a.csv")
    (odd / "odd-broken").symlink_to(odd / "nothing")
    (odd / "odd-loop").symlink_to(odd / "odd-loop")
    os.mkfifo(odd / "odd-fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(odd / "odd-socket"))
        found = problems(root)
    assert found == {
        "flights/odd-out": "LINK_LEAVES_FOLDER",
        "flights/odd-in": None,
        "flights/odd-broken": "BROKEN_LINK",
        "flights/odd-loop": "BROKEN_LINK",
        "flights/odd-fifo": "NOT_A_FILE",
        "flights/odd-socket": "NOT_A_FILE",
    }
    assert "flights/a.csv" in {f.path for f in list_drops(root, "flights/*.csv")}


def test_a_name_that_is_no_utf8_is_shown_by_its_bytes(root: Path) -> None:
    (root / "flights" / os.fsdecode(b"odd-\xff.csv")).write_text("x")
    assert problems(root) == {"flights/odd-\\xff.csv": "NAME_NOT_UTF8"}


def test_a_file_swapped_for_a_fifo_is_not_opened(root: Path) -> None:
    location = root / "flights" / "a.csv"
    location.unlink()
    os.mkfifo(location)
    with pytest.raises(DropError, match="is no regular file any more. Drop a plain file."):
        open_drop(ListedFile("flights/a.csv", location, None))


def test_a_file_somebody_writes_to_is_seen(root: Path) -> None:
    location = root / "flights" / "a.csv"
    assert is_being_written(location) is False
    with location.open("a"):
        assert is_being_written(location) is True
    assert is_being_written(location) is False


def test_new_content_of_the_same_size_and_mtime_has_another_stamp(root: Path) -> None:
    location = root / "flights" / "a.csv"
    before = location.stat()
    location.write_text("flights/A.CSV")
    os.utime(location, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = location.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert FileStamp.of(after) != FileStamp.of(before)
