"""The object store on local disk: what the disk does wrong is told truly, and nobody else may look."""

from __future__ import annotations

import errno
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import StoreError, UnansweredError
from resources.object_store import LocalObjectStore, probe


@pytest.fixture
def store(tmp_path: Path) -> LocalObjectStore:
    return LocalObjectStore(tmp_path / "store")


def refusing(number: int) -> Callable[..., Any]:
    def refuse(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


def stage_folder(store: LocalObjectStore) -> Path:
    folder = store.scratch / "staged"
    folder.mkdir()
    (folder / "index.json").write_bytes(b"x")
    return folder


def test_a_refusal_by_the_disk_is_not_absence(store: LocalObjectStore, tmp_path: Path) -> None:
    (tmp_path / "store" / "loop").symlink_to("loop")
    for ask in (store.get, store.open, store.exists, store.keys, store.size, store.digest, store.stamp, store.modified):
        with pytest.raises(StoreError) as refused:
            ask("loop/x")
        assert refused.value.evidence["errno"] == errno.ELOOP


def test_a_listing_that_the_disk_refuses_is_not_empty(store: LocalObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put_if_absent("a/b", b"x")
    monkeypatch.setattr(os, "scandir", refusing(errno.EIO))
    with pytest.raises(StoreError, match="store object a: Input/output error"):
        list(store.walk("a"))


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "No space left on device. Free some space and run it again: nothing was published"),
        (errno.EIO, "Input/output error. Mend the disk and run it again: nothing was published"),
    ],
    ids=["full", "broken"],
)
def test_what_could_not_be_written_leaves_no_object(
    store: LocalObjectStore, monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    monkeypatch.setattr(os, "fsync", refusing(number))
    with pytest.raises(StoreError, match=said) as refused:
        store.put_if_absent("a", b"x")
    monkeypatch.undo()
    assert refused.type is StoreError
    assert not store.exists("a")
    assert store.keys("incoming") == []


def test_an_object_whose_place_was_not_confirmed_is_unknown(
    store: LocalObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, calls = os.fsync, iter(range(100))

    def fail_the_second(descriptor: int) -> None:
        if next(calls) == 1:  # the first is the file's, this one its folder's
            refusing(errno.EIO)()
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail_the_second)
    with pytest.raises(UnansweredError, match="the disk did not confirm it .Input/output error") as unknown:
        store.put_if_absent("a", b"x")
    assert "Run the same command again" in str(unknown.value)
    assert unknown.value.evidence["key"] == "a"
    assert str(pickle.loads(pickle.dumps(unknown.value))) == str(unknown.value)
    assert store.get("a") == b"x"


def test_a_folder_whose_place_was_not_confirmed_is_unknown(
    store: LocalObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = stage_folder(store)
    monkeypatch.setattr(os, "fsync", refusing(errno.EIO))
    with pytest.raises(UnansweredError):
        store.adopt_folder("segment", folder)
    assert store.get("segment/index.json") == b"x"


def test_a_link_whose_answer_was_lost_has_still_succeeded(
    store: LocalObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def lose_the_answer(source: str, target: str) -> None:
        link(source, target)
        raise OSError(errno.EIO, "lost")

    monkeypatch.setattr(os, "link", lose_the_answer)
    assert store.put_if_absent("a", b"x")
    assert store.get("a") == b"x"


def test_a_rename_whose_answer_was_lost_has_still_succeeded(
    store: LocalObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, folder = os.rename, stage_folder(store)

    def lose_the_answer(source: str, target: str) -> None:
        rename(source, target)
        raise OSError(errno.EIO, "lost")

    monkeypatch.setattr(os, "rename", lose_the_answer)
    assert store.adopt_folder("segment", folder)
    assert store.get("segment/index.json") == b"x"


def test_a_folder_that_was_never_staged_is_not_taken_for_adopted(store: LocalObjectStore) -> None:
    store.adopt_folder("segment", stage_folder(store))
    with pytest.raises(StoreError, match="No such file or directory"):
        store.adopt_folder("segment", store.scratch / "nothing")


@pytest.mark.parametrize("number", [errno.EPERM, errno.EMLINK], ids=["not allowed", "too many"])
def test_the_probe_refuses_a_file_system_without_hard_links(
    store: LocalObjectStore, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(os, "link", refusing(number))
    with pytest.raises(StoreError, match="This file system does not allow"):
        probe(store)
    monkeypatch.undo()
    assert store.keys("incoming") == []


def test_the_probe_refuses_a_store_that_lets_a_second_writer_in(
    store: LocalObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", os.replace)
    with pytest.raises(StoreError, match="let a second writer create an object that was there already") as refused:
        probe(store)
    monkeypatch.undo()
    assert refused.value.evidence["created_again"] is True
    assert store.keys("incoming") == []


def test_what_is_stored_is_private_to_the_user(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = LocalObjectStore(tmp_path / "store")
        store.put_if_absent("a/b", b"x")
    finally:
        os.umask(before)
    for path in (tmp_path / "store", store.scratch, store.path("a"), store.path("a/b")):
        assert path.stat().st_mode & 0o077 == 0, path


def test_addresses_are_the_file(store: LocalObjectStore, tmp_path: Path) -> None:
    assert store.url("a/b c") == str(tmp_path / "store/a/b c")
    assert store.uri("a/b c") == (tmp_path / "store/a/b c").as_uri()
