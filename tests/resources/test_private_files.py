"""What a process creates is for its user alone, from the moment it opens an installation."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from resources.private_files import keep_private
from resources.settings import Settings


@pytest.fixture(autouse=True)
def generous() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    (folder / "new").mkdir()
    (folder / "new" / "file").write_text("x")
    return {name: stat.S_IMODE((folder / name).stat().st_mode) for name in ("new", "new/file")}


def test_before_it_others_may_read(tmp_path: Path) -> None:
    assert modes(tmp_path) == {"new": 0o755, "new/file": 0o644}


def test_after_it_nobody_else_may_do_anything(tmp_path: Path) -> None:
    keep_private()
    keep_private()
    assert modes(tmp_path) == {"new": 0o700, "new/file": 0o600}


def test_what_was_refused_already_stays_refused() -> None:
    os.umask(0o200)
    keep_private()
    assert os.umask(0o022) == 0o277


def test_opening_an_installation_does_it(tmp_path: Path) -> None:
    Settings(home=tmp_path / "home", drops=tmp_path / "drops", contracts=()).prepare()
    assert modes(tmp_path) == {"new": 0o700, "new/file": 0o600}
    for path in (tmp_path / "home").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
