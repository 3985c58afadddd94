"""The object store: one creator a key, nothing half-visible, only "not found" is absence."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from contracts.errors import StoreError
from resources.object_store import MAXIMUM_KEY_BYTES, LocalObjectStore, check_key


@pytest.fixture
def store(tmp_path: Path) -> LocalObjectStore:
    return LocalObjectStore(tmp_path / "store")


@pytest.mark.parametrize(
    "key",
    ["", "/a", "a//b", "a/", "../a", "a/../b", "a/./b", "a\nb", "a\x00b", "a\\b", "a\x7f", "é" * MAXIMUM_KEY_BYTES],
    ids=[
        "empty",
        "absolute",
        "empty name",
        "trailing",
        "up",
        "up inside",
        "dot",
        "newline",
        "NUL",
        "backslash",
        "DEL",
        "long",
    ],
)
def test_keys_that_could_leave_the_store_are_refused(store: LocalObjectStore, key: str) -> None:
    with pytest.raises(StoreError, match="is not a key") as refused:
        store.put_if_absent(key, b"x")
    assert refused.value.evidence["key"] == key


def test_a_usual_key_is_a_key() -> None:
    assert check_key("tables/flights/commits/2013-01-01-05:00/00000001.json")


def test_the_first_to_create_a_key_wins_and_the_second_changes_nothing(store: LocalObjectStore) -> None:
    assert store.put_if_absent("a/b/c", b"first")
    assert not store.put_if_absent("a/b/c", b"second")
    assert store.get("a/b/c") == b"first"


def test_of_eight_racing_creators_one_wins(store: LocalObjectStore) -> None:
    for attempt in range(20):
        start, won = threading.Barrier(8), []

        def race(number: int, key: str = f"race/{attempt}") -> None:
            start.wait()  # noqa: B023 - joined below, before the next round
            if store.put_if_absent(key, str(number).encode()):
                won.append(number)  # noqa: B023

        threads = [threading.Thread(target=race, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert store.get(f"race/{attempt}") == str(won[0]).encode()


def test_nothing_stays_behind_in_the_incoming_folder(store: LocalObjectStore) -> None:
    store.put_if_absent("a", b"x")
    store.put_if_absent("a", b"y")
    assert store.keys("incoming") == []


def test_a_missing_object_is_a_key_error_and_not_there(store: LocalObjectStore) -> None:
    assert not store.exists("nowhere/at/all")
    assert store.keys("nowhere") == []
    with pytest.raises(KeyError):
        store.get("nowhere/at/all")


def test_a_refusal_by_the_disk_is_not_absence(store: LocalObjectStore, tmp_path: Path) -> None:
    (tmp_path / "store" / "loop").symlink_to("loop")
    for ask in (store.get, store.exists, store.keys):
        with pytest.raises(StoreError) as refused:
            ask("loop/x")
        assert refused.value.evidence["errno"] == errno.ELOOP


def test_a_full_disk_says_so_and_leaves_no_object(store: LocalObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        StoreError, match="No space left on device. Free some space and run it again: nothing was published"
    ):
        store.put_if_absent("a", b"x")
    monkeypatch.undo()
    assert not store.exists("a")


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


def test_a_folder_is_adopted_whole_or_not_at_all(store: LocalObjectStore, tmp_path: Path) -> None:
    for name in ("one", "two"):
        folder = tmp_path / "store" / "incoming" / name
        folder.mkdir()
        (folder / "file").write_text(name)
        assert store.adopt_folder("segments/x/y", folder) is (name == "one")
    assert store.get("segments/x/y/file") == b"one"


def test_what_is_stored_is_private_to_the_user(store: LocalObjectStore) -> None:
    store.put_if_absent("a/b", b"x")
    assert store.path("a").stat().st_mode & 0o077 == 0


def test_a_damaged_folder_is_put_aside_and_kept(store: LocalObjectStore) -> None:
    store.put_if_absent("segments/x/file", b"rotten")
    store.put_aside("segments/x")
    assert not store.exists("segments/x")
    (aside,) = store.keys("damaged")
    assert store.get(f"damaged/{aside}/segments/x/file") == b"rotten"
