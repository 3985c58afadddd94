"""The cache of local copies: bounded, shared, and never in the way of who reads."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.refs import digest_bytes, hex_of
from resources.block_digests import digests_of_file
from resources.database_migrations import open_database
from resources.export_cache import ExportCache, Wanted
from resources.file_catalogue import FileCatalogue
from resources.object_store import LocalObjectStore
from resources.segment_places import verified_files
from resources.settings import sqlite_url
from tests.resources.racing import race

Remote = Callable[[bytes], Wanted]


def catalogue_of(folder: Path) -> FileCatalogue:
    return FileCatalogue(open_database(sqlite_url(folder / "catalogue.db")))


def cache_of(folder: Path, limit_bytes: int = 1 << 30) -> ExportCache:
    return ExportCache(folder / "cache", catalogue_of(folder), limit_bytes)


def registered(folder: Path, content: bytes) -> Wanted:
    """A file that is read block by block and verified, as one of a bucket is."""
    store = LocalObjectStore(folder / "store")
    digest = digest_bytes(content)
    key = f"exports/{hex_of(digest)}"
    store.put_if_absent(key, content)
    _, blocks = digests_of_file(store.path(key))
    return Wanted(verified_files().register(store, key, len(content), blocks), digest)


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return lambda content: registered(tmp_path, content)


def copies(folder: Path) -> set[bytes]:
    return {path.read_bytes() for path in (folder / "cache").iterdir() if len(path.name) == 64}


def test_what_lies_on_the_local_disk_is_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"here")
    with cache_of(tmp_path).local([Wanted(str(path), digest_bytes(b"here"))]) as paths:
        assert paths == [path]
    assert not (tmp_path / "cache").exists()


def test_a_copy_is_made_once_and_used_again(remote: Remote, tmp_path: Path) -> None:
    wanted = remote(b"content")
    with cache_of(tmp_path).local([wanted]) as (path,):
        assert path.read_bytes() == b"content"
        first = path.stat()
    with cache_of(tmp_path).local([wanted]) as (path,):
        assert (path.stat().st_ino, path.stat().st_ctime_ns) == (first.st_ino, first.st_ctime_ns)


@pytest.mark.parametrize("damaged", [b"", b"contenT", b"content and more"], ids=["empty", "altered", "longer"])
def test_a_damaged_copy_is_made_again(damaged: bytes, remote: Remote, tmp_path: Path) -> None:
    wanted = remote(b"content")
    with cache_of(tmp_path).local([wanted]) as (path,):
        pass
    path.write_bytes(damaged)
    with cache_of(tmp_path).local([wanted]) as (path,):
        assert path.read_bytes() == b"content"


def test_what_was_not_used_for_longest_goes_when_there_is_too_much(remote: Remote, tmp_path: Path) -> None:
    cache = cache_of(tmp_path, limit_bytes=25)
    for number in range(3):
        with cache.local([remote(bytes([number]) * 10)]):
            pass
        time.sleep(0.02)
    assert copies(tmp_path) == {b"\1" * 10, b"\2" * 10}
    with cache.local([remote(b"\1" * 10)]):
        pass
    time.sleep(0.02)
    with cache.local([remote(b"\3" * 10)]):
        assert copies(tmp_path) == {b"\1" * 10, b"\3" * 10}


def test_what_is_in_use_stays_whatever_the_bound(remote: Remote, tmp_path: Path) -> None:
    cache, other = cache_of(tmp_path, limit_bytes=1), cache_of(tmp_path, limit_bytes=1)
    with cache.local([remote(b"one"), remote(b"two")]) as (one, two), other.local([remote(b"three")]) as (three,):
        assert copies(tmp_path) == {b"one", b"two", b"three"}
        assert [path.read_bytes() for path in (one, two, three)] == [b"one", b"two", b"three"]
    with cache_of(tmp_path, limit_bytes=1).local([remote(b"four")]):
        assert copies(tmp_path) == {b"four"}
    assert {path.suffix for path in (tmp_path / "cache").iterdir()} <= {"", ".used"}


def test_copies_that_nobody_finished_are_swept_when_they_are_old(remote: Remote, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    old, new = (tmp_path / "cache" / f"{'0' * 64}.{name}.part" for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    with cache_of(tmp_path).local([remote(b"content")]):
        assert (old.exists(), new.exists()) == (False, True)


def test_processes_that_read_and_sweep_at_once_all_read_what_they_asked_for(tmp_path: Path) -> None:
    catalogue_of(tmp_path).close()
    assert race(keep_reading, 4, tmp_path) == [30, 30, 30, 30]


def keep_reading(number: int, folder: Path) -> int:
    """Read files that others' sweeps remove as soon as nobody uses them: how many came out right."""
    cache, right = cache_of(folder, limit_bytes=1), 0
    for turn in range(30):
        content = f"content {(turn + number) % 3}".encode()
        with cache.local([registered(folder, content)]) as (path,):
            right += path.read_bytes() == content
    return right
