"""The model of a disk that loses its power: what was synced is there, what was not is gone."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.disk import Disk


def _content(root: Path) -> dict[str, str | None]:
    """Every file's text by its path; None for a folder."""
    return {str(p.relative_to(root)): p.read_text() if p.is_file() else None for p in sorted(root.rglob("*"))}


def _write_only(root: Path, _disk: Disk) -> None:
    (root / "new").write_text("new")
    (root / "old").write_text("changed")


def _sync_the_file_alone(root: Path, disk: Disk) -> None:
    (root / "new").write_text("new")
    disk.synced(root / "new")


def _sync_the_folder_alone(root: Path, disk: Disk) -> None:
    (root / "new").write_text("new")
    disk.synced(root)


def _sync_both_and_go_on(root: Path, disk: Disk) -> None:
    (root / "new").write_text("new")
    disk.synced(root / "new")
    disk.synced(root)
    (root / "new").write_text("more")


def _link_as_the_store_does(root: Path, disk: Disk) -> None:
    (root / "staged").write_text("whole")
    disk.synced(root / "staged")
    (root / "sub" / "linked").hardlink_to(root / "staged")
    disk.synced(root / "sub")
    (root / "staged").unlink()


def _rename_a_folder(root: Path, disk: Disk) -> None:
    (root / "work").mkdir()
    (root / "work" / "file").write_text("whole")
    disk.synced(root / "work" / "file")
    disk.synced(root / "work")
    (root / "work").rename(root / "sub" / "adopted")
    disk.synced(root / "sub")


def _remove(root: Path, disk: Disk) -> None:
    disk.removing(root / "old")
    (root / "old").unlink()
    (root / "another").write_text("in its inode, perhaps")


def _remove_and_sync(root: Path, disk: Disk) -> None:
    _remove(root, disk)
    disk.synced(root)


BEFORE = {"old": "old", "sub": None}

CASES: dict[str, tuple[Callable[[Path, Disk], None], dict[str, str | None], dict[str, str | None]]] = {
    "nothing synced": (_write_only, BEFORE, BEFORE | {"new": ""}),
    "the file synced, not its name": (_sync_the_file_alone, BEFORE, BEFORE | {"new": "new"}),
    "the name synced, not the file": (_sync_the_folder_alone, BEFORE | {"new": ""}, BEFORE | {"new": ""}),
    "both synced, then written again": (_sync_both_and_go_on, BEFORE | {"new": "new"}, BEFORE | {"new": "new"}),
    "staged, synced, linked, synced": (
        _link_as_the_store_does, BEFORE | {"sub/linked": "whole"}, BEFORE | {"sub/linked": "whole"},
    ),
    "a synced folder renamed, its new parent synced": (
        _rename_a_folder,
        BEFORE | {"sub/adopted": None, "sub/adopted/file": "whole"},
        BEFORE | {"sub/adopted": None, "sub/adopted/file": "whole"},
    ),
    "removed, not synced": (_remove, BEFORE, {"another": "", "sub": None}),
    "removed and synced": (_remove_and_sync, {"another": "", "sub": None}, {"another": "", "sub": None}),
}  # fmt: skip


@pytest.mark.parametrize("names_stay", [False, True], ids=["names go", "names stay"])
@pytest.mark.parametrize(("work", "lost", "names_kept"), CASES.values(), ids=CASES.keys())
def test_only_what_was_synced_is_there_after_a_power_cut(
    tmp_path: Path,
    work: Callable[[Path, Disk], None],
    lost: dict[str, str | None],
    names_kept: dict[str, str | None],
    names_stay: bool,
) -> None:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "old").write_text("old")
    disk = Disk(root)
    work(root, disk)
    disk.lose_what_is_not_synced(names_stay=names_stay)
    assert _content(root) == (names_kept if names_stay else lost)


def test_a_file_with_two_names_is_one_file_afterwards(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "one").write_text("x")
    (root / "two").hardlink_to(root / "one")
    Disk(root).lose_what_is_not_synced(names_stay=False)
    assert os.path.samefile(root / "one", root / "two")  # noqa: PTH121 - of two names
