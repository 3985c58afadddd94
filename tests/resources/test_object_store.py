"""The object store, whichever it is: one creator a key, nothing half-visible, only "not found" is absence."""

from __future__ import annotations

import datetime as dt
import os
import random
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import StoreError
from contracts.refs import digest_bytes
from resources.object_store import MAXIMUM_KEY_BYTES, ObjectStore, check_key, probe
from tests.resources.racing import race
from tests.resources.store_races import Place, adopt_alike, adopt_large, create_each
from tests.servers.s3 import PART_BYTES, S3Server

LARGE = random.Random(3).randbytes(PART_BYTES + 1_000_001)  # noqa: S311 - any bytes; on S3 they go in two parts


@pytest.fixture
def store(any_store: ObjectStore) -> ObjectStore:
    return any_store


@pytest.fixture(params=["local", "moto", "ceph"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A new store for processes to open."""
    if request.param == "local":
        return str(tmp_path / "store"), {}, tmp_path / "scratch"
    server: S3Server = request.getfixturevalue(request.param)
    return server.setting, server.environment(), tmp_path / "scratch"


def stage(store: ObjectStore, content: bytes, name: str = "staged") -> Path:
    path = store.scratch / name
    path.write_bytes(content)
    return path


def stage_folder(store: ObjectStore, name: str, **files: bytes) -> Path:
    folder = store.scratch / name
    folder.mkdir()
    for file, content in {"index.json": name.encode(), **files}.items():
        (folder / file).write_bytes(content)
    return folder


BAD_KEYS = {
    "empty": "",
    "absolute": "/a",
    "empty name": "a//b",
    "trailing": "a/",
    "up": "../a",
    "up inside": "a/../b",
    "dot": "a/./b",
    "newline": "a\nb",
    "NUL": "a\x00b",
    "backslash": "a\\b",
    "DEL": "a\x7f",
    "no Unicode": "a\udcff",
    "long": "é" * MAXIMUM_KEY_BYTES,
}


@pytest.mark.parametrize("key", BAD_KEYS.values(), ids=BAD_KEYS)
def test_keys_that_could_leave_the_store_are_refused(store: ObjectStore, key: str) -> None:
    staged = stage(store, b"x")
    asked: list[Callable[[], Any]] = [
        lambda: store.put_if_absent(key, b"x"),
        lambda: store.adopt_file(key, staged),
        lambda: store.adopt_folder(key, staged),
        lambda: store.get(key),
        lambda: store.open(key),
        lambda: store.read_range(key, 0, 1),
        lambda: store.exists(key),
        lambda: store.size(key),
        lambda: store.forget(key),
        lambda: store.put_aside(key),
        lambda: store.uri(key),
        lambda: store.url(key),
    ]
    if key:
        asked += [lambda: store.keys(key), lambda: list(store.walk(key))]
    for ask in asked:
        with pytest.raises(StoreError, match="is not a key") as refused:
            ask()
        assert refused.value.evidence["key"].endswith(key)


def test_a_usual_key_is_a_key() -> None:
    assert check_key("tables/flights/commits/2013-01-01-05:00/00000001.json")


NAMES = {
    "space": "a b",
    "accent": "é",
    "combining": "e\u0301",
    "beyond 16 bits": "𝄞",
    "percent": "a%41",
    "plus": "a+b",
    "query": "a=b&c",
    "colon": "a:b",
    "fragment": "?x#y",
    "pattern": "*[x]",
    "hidden": ".hidden",
    "dots": "a..b",
    "quotes": "'\"<>",
    "long": "x" * 250,
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_any_name_goes_in_and_comes_out_as_it_was(store: ObjectStore, name: str) -> None:
    assert store.put_if_absent(f"folder/{name}/{name}", name.encode())
    assert store.get(f"folder/{name}/{name}") == name.encode()
    assert store.keys("folder") == [name]
    assert list(store.walk("folder")) == [f"folder/{name}/{name}"]
    store.put_aside(f"folder/{name}")
    assert [key.partition("/")[2].partition("/")[2] for key in store.walk("damaged")] == [f"folder/{name}/{name}"]


def test_the_first_to_create_a_key_wins_and_the_second_changes_nothing(store: ObjectStore) -> None:
    assert store.put_if_absent("a/b/c", b"first")
    assert not store.put_if_absent("a/b/c", b"second")
    assert not store.put_if_absent("a/b/c", b"first")
    assert store.get("a/b/c") == b"first"


def test_an_empty_object_is_one(store: ObjectStore) -> None:
    assert store.put_if_absent("a", b"")
    assert not store.put_if_absent("a", b"x")
    assert (store.get("a"), store.size("a"), store.exists("a")) == (b"", 0, True)
    assert store.open("a").read() == store.read_range("a", 0, 10) == b""
    assert store.digest("a") == digest_bytes(b"")


def test_of_eight_racing_threads_one_wins(store: ObjectStore) -> None:
    for attempt in range(5):
        start, won = threading.Barrier(8), []

        def work(number: int, key: str = f"race/{attempt}") -> None:
            start.wait()  # noqa: B023 - joined below, before the next round
            if store.put_if_absent(key, str(number).encode()):
                won.append(number)  # noqa: B023

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert store.get(f"race/{attempt}") == str(won[0]).encode()


@pytest.mark.parametrize("alike", [False, True], ids=["each with its own bytes", "all with the same bytes"])
def test_of_eight_racing_processes_one_wins(place: Place, alike: bool) -> None:
    rounds = 10
    results = race(partial(create_each, alike=alike), 8, place, rounds)
    assert [sum(won) for won in zip(*results, strict=True)] == [1] * rounds


def test_of_eight_processes_that_adopt_a_large_file_one_wins(place: Place) -> None:
    assert sorted(race(adopt_large, 8, place, (16 << 20) + 1)) == [False] * 7 + [True]


def test_of_eight_processes_that_adopt_the_same_folder_one_wins(place: Place) -> None:
    assert sorted(race(adopt_alike, 8, place)) == [False] * 7 + [True]


def test_nothing_stays_behind_where_writers_stage(store: ObjectStore) -> None:
    store.put_if_absent("a", b"x")
    store.put_if_absent("a", b"y")
    assert store.keys("incoming") == []
    assert list(store.scratch.iterdir()) == []


def test_a_missing_object_is_a_key_error_and_not_there(store: ObjectStore) -> None:
    store.put_if_absent("nowhere/near", b"x")
    assert not store.exists("nowhere/at/all")
    assert store.keys("not/here") == list(store.walk("not/here")) == []
    for ask in (store.get, store.open, store.size, store.digest, store.stamp, store.modified):
        with pytest.raises(KeyError, match="nowhere/at/all"):
            ask("nowhere/at/all")
    with pytest.raises(KeyError, match="nowhere/at/all"):
        store.read_range("nowhere/at/all", 0, 1)


@pytest.mark.parametrize("content", [b"", b"small", LARGE], ids=["empty", "small", "in parts"])
def test_an_adopted_file_is_the_object(store: ObjectStore, content: bytes) -> None:
    staged = stage(store, content)
    assert store.adopt_file("a/file", staged)
    assert store.get("a/file") == content
    assert store.size("a/file") == len(content)
    assert store.digest("a/file") == digest_bytes(content)
    assert staged.read_bytes() == content


@pytest.mark.parametrize("content", [b"other", LARGE[::-1]], ids=["small", "in parts"])
def test_a_file_is_not_adopted_where_something_is(store: ObjectStore, content: bytes) -> None:
    store.put_if_absent("a/file", b"first")
    assert not store.adopt_file("a/file", stage(store, content))
    assert store.get("a/file") == b"first"


def test_a_staged_file_that_is_missing_is_a_refusal(store: ObjectStore) -> None:
    with pytest.raises(StoreError, match="store object a: No such file or directory"):
        store.adopt_file("a", store.scratch / "nothing")
    with pytest.raises(StoreError, match="No such file or directory"):
        store.adopt_folder("folder", store.scratch / "nothing")
    assert list(store.walk("")) == []


def test_a_folder_is_adopted_whole_or_not_at_all(store: ObjectStore) -> None:
    assert store.adopt_folder("segments/x/y", stage_folder(store, "one", **{"valid.parquet": LARGE}))
    assert not store.adopt_folder("segments/x/y", stage_folder(store, "two", **{"other.parquet": b"2"}))
    assert store.keys("segments/x/y") == ["index.json", "valid.parquet"]
    assert store.get("segments/x/y/index.json") == b"one"
    assert store.digest("segments/x/y/valid.parquet") == digest_bytes(LARGE)


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [(0, 3, b"012"), (3, 4, b"3456"), (9, 1, b"9"), (8, 100, b"89"), (10, 5, b""), (11, 1, b""), (4, 0, b"")],
    ids=["start", "middle", "last byte", "over the end", "at the end", "beyond the end", "nothing"],
)
def test_a_range_is_exactly_that(store: ObjectStore, start: int, length: int, expected: bytes) -> None:
    store.put_if_absent("a", b"0123456789")
    assert store.read_range("a", start, length) == expected


def test_an_open_object_can_be_read_anywhere(store: ObjectStore) -> None:
    store.adopt_file("a", stage(store, LARGE))
    dice = random.Random(7)  # noqa: S311
    with store.open("a") as file:
        assert file.read() == LARGE
        assert file.read(1) == b""
        for _ in range(30):
            start, length = dice.randrange(len(LARGE)), dice.choice([1, 10, 70_000, 3_000_000])
            assert file.seek(start) == start
            assert file.read(length) == LARGE[start : start + length]
            assert file.tell() == min(start + length, len(LARGE))
        assert file.seek(-3, os.SEEK_END) == len(LARGE) - 3
        assert file.read(10) == LARGE[-3:]
        assert file.seek(len(LARGE) + 5)
        assert file.read(5) == b""
        with pytest.raises((ValueError, OSError)):
            file.seek(-1)


def test_an_open_object_reads_line_by_line(store: ObjectStore) -> None:
    store.put_if_absent("a", b"one\ntwo\n" * 100_000)
    with store.open("a") as file:
        assert sum(line in {b"one\n", b"two\n"} for line in file) == 200_000


LISTED = ["a-b", "a/b", "a/b-c", "a/b/c", "a.b", "ab", "a/é", "a/Z", "a0/x", "é"]


def test_listings_are_complete_and_in_order(store: ObjectStore) -> None:
    names = [name for name in LISTED if name != "a/b"]  # on disk a name is a file or a folder
    for name in reversed(names):
        store.put_if_absent(f"top/{name}", name.encode())
    expected = sorted((f"top/{name}" for name in names), key=str.encode)
    assert list(store.walk("top")) == list(store.walk("")) == expected
    assert [found.key for found in store.objects("top")] == expected
    assert [found.size_bytes for found in store.objects("top")] == [len(key.encode()) - 4 for key in expected]
    assert store.keys("top") == ["a", "a-b", "a.b", "a0", "ab", "é"]
    assert store.keys("") == ["top"]
    assert store.keys("top/a") == ["Z", "b", "b-c", "é"]
    assert store.keys("to") == store.keys("top/a/b-") == []


def test_a_forgotten_object_is_gone_and_can_be_created_again(store: ObjectStore) -> None:
    store.put_if_absent("a", b"x")
    store.forget("a")
    store.forget("a")
    assert not store.exists("a")
    assert store.put_if_absent("a", b"y")
    assert store.get("a") == b"y"


def test_a_damaged_folder_is_put_aside_and_kept(store: ObjectStore) -> None:
    store.adopt_folder("segments/x", stage_folder(store, "one", file=b"rotten"))
    store.put_if_absent("segments/xy", b"sound")
    store.put_aside("segments/x")
    assert not store.exists("segments/x/file")
    assert store.keys("segments") == ["xy"]
    (aside,) = store.keys("damaged")
    assert store.get(f"damaged/{aside}/segments/x/file") == b"rotten"
    assert store.adopt_folder("segments/x", stage_folder(store, "new", file=b"sound"))


def test_a_damaged_object_is_put_aside_and_kept(store: ObjectStore) -> None:
    store.put_if_absent("blobs/x", b"rotten")
    store.put_if_absent("blobs/xy", b"sound")
    store.put_aside("blobs/x")
    assert store.keys("blobs") == ["xy"]
    assert [store.get(key) for key in store.walk("damaged")] == [b"rotten"]


def test_what_is_not_there_cannot_be_put_aside(store: ObjectStore) -> None:
    with pytest.raises(StoreError, match="store object nothing/here"):
        store.put_aside("nothing/here")
    assert list(store.walk("")) == []


def test_a_stamp_stays_until_somebody_touches_the_object(store: ObjectStore) -> None:
    store.put_if_absent("a", b"first")
    stamp = store.stamp("a")
    store.put_if_absent("a", b"other")
    assert (store.get("a"), store.stamp("a")) == (b"first", stamp)
    store.forget("a")
    store.put_if_absent("a", b"other")
    assert store.stamp("a") != stamp


def test_ages_are_by_the_clock_of_the_store(store: ObjectStore) -> None:
    before = store.now()
    store.put_if_absent("a", b"x")
    second = dt.timedelta(seconds=1)  # S3's clocks show whole ones
    assert before - second <= store.modified("a") <= store.now() + second
    assert before.utcoffset() == store.modified("a").utcoffset() == dt.timedelta(0)
    assert [abs(found.modified - store.modified("a")) < second for found in store.objects("")] == [True]
    assert abs(dt.datetime.now(dt.UTC) - before) < dt.timedelta(minutes=1)


def test_a_sound_store_passes_its_probe_and_keeps_nothing_of_it(store: ObjectStore) -> None:
    probe(store)
    assert list(store.walk("")) == store.keys("incoming") == []
    assert list(store.scratch.iterdir()) == []


def test_a_sweep_removes_what_was_staged_before_and_nothing_else(store: ObjectStore) -> None:
    old, young = stage(store, b"old", "old"), stage(store, b"young", "young")
    os.utime(old, (0, 0))
    store.put_if_absent("a", b"x")
    assert store.sweep(dt.datetime(2000, 1, 1, tzinfo=dt.UTC)) == 1
    assert (old.exists(), young.exists(), list(store.walk(""))) == (False, True, ["a"])
    assert store.sweep(store.now() + dt.timedelta(minutes=1)) == 1
    assert list(store.walk("")) == ["a"]


def test_scratch_is_a_local_folder_that_only_its_user_enters(store: ObjectStore) -> None:
    for folder in (store.scratch, store.spill_folder):
        assert folder.is_dir()
        assert folder.stat().st_mode & 0o077 == 0
