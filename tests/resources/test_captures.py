"""Capture: what is in the store is what lay in the folder, or nothing is."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import pytest

from contracts.errors import DigestMismatchError, DropError, StoreError
from contracts.refs import BlobRef, digest_bytes
from contracts.selection import CapturedDrop
from resources import captures
from resources.captures import CaptureLog, DropChangedError, blob_key, capture_file, check_blob, get_blob, put_blob
from resources.drop_folder import ListedFile
from resources.object_store import LocalObjectStore

NOON = dt.datetime(2020, 1, 1, 12, tzinfo=dt.UTC)


@pytest.fixture
def store(tmp_path: Path) -> LocalObjectStore:
    return LocalObjectStore(tmp_path / "store")


def dropped(tmp_path: Path, content: bytes) -> ListedFile:
    location = tmp_path / "drop.csv"
    location.write_bytes(content)
    return ListedFile("t/drop.csv", location, None)


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", os.urandom(9 << 20)], ids=["empty", "small", "several chunks"])
def test_a_captured_drop_is_the_file(store: LocalObjectStore, tmp_path: Path, content: bytes) -> None:
    captured = capture_file(store, dropped(tmp_path, content))
    assert captured.ref == BlobRef(digest=digest_bytes(content), size_bytes=len(content))
    assert store.get(blob_key(captured.ref.digest)) == content
    check_blob(store, captured.ref)
    assert store.keys("incoming") == []


def test_the_same_content_is_kept_once(store: LocalObjectStore, tmp_path: Path) -> None:
    first = capture_file(store, dropped(tmp_path, b"x"))
    assert capture_file(store, dropped(tmp_path, b"x")).ref == first.ref


def test_a_file_that_grows_while_it_is_captured_is_not_taken(
    store: LocalObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed, readv = dropped(tmp_path, b"a,b\n" * 1000), os.readv

    def readv_while_somebody_appends(descriptor: int, buffers: list[memoryview]) -> int:
        with listed.location.open("ab") as writer:
            writer.write(b"more\n")
        monkeypatch.setattr(captures.os, "readv", readv)
        return readv(descriptor, buffers)

    monkeypatch.setattr(captures.os, "readv", readv_while_somebody_appends)
    with pytest.raises(
        DropChangedError, match="changed while it was captured, so nothing was taken of it. It is taken when it rests"
    ):
        capture_file(store, listed)
    assert store.keys("blobs") == store.keys("incoming") == []


def test_a_file_that_went_away_says_so(store: LocalObjectStore, tmp_path: Path) -> None:
    with pytest.raises(DropError, match="t/gone.csv: No such file or directory"):
        capture_file(store, ListedFile("t/gone.csv", tmp_path / "gone.csv", None))


def test_an_altered_blob_is_never_handed_out(store: LocalObjectStore, tmp_path: Path) -> None:
    ref = capture_file(store, dropped(tmp_path, b"a,b\n1,2\n")).ref
    store.path(blob_key(ref.digest)).write_bytes(b"a,b\n1,3\n")
    with pytest.raises(DigestMismatchError) as altered:
        get_blob(store, ref.digest)
    assert (altered.value.evidence["expected"], altered.value.evidence["observed"]) == (
        ref.digest,
        digest_bytes(b"a,b\n1,3\n"),
    )
    with pytest.raises(DigestMismatchError):
        check_blob(store, ref)


def test_a_damaged_blob_is_healed_by_the_same_content_coming_again(store: LocalObjectStore, tmp_path: Path) -> None:
    ref = capture_file(store, dropped(tmp_path, b"a,b\n1,2\n")).ref
    store.path(blob_key(ref.digest)).write_bytes(b"a,b\n1,3\n")
    assert capture_file(store, dropped(tmp_path, b"a,b\n1,2\n")).ref == ref
    check_blob(store, ref)
    assert len(store.keys("damaged")) == 1


def test_a_missing_blob_says_how_to_get_it_back(store: LocalObjectStore) -> None:
    ref = BlobRef(digest=digest_bytes(b"x"), size_bytes=1)
    with pytest.raises(StoreError, match="is missing from the store. Drop the file again"):
        check_blob(store, ref)


def test_a_blob_of_bytes_goes_in_and_out(store: LocalObjectStore) -> None:
    assert get_blob(store, put_blob(store, b"snapshot").digest) == b"snapshot"


def drop(path: str) -> CapturedDrop:
    return CapturedDrop(path=path, partition="2020-01-01", digest=digest_bytes(path.encode()), size_bytes=1)


def test_the_log_numbers_batches_without_gaps_and_once(store: LocalObjectStore) -> None:
    log = CaptureLog(store)
    assert log.append("t", 1, [drop("a")], NOON) is not None
    assert log.append("t", 1, [drop("b")], NOON) is None
    assert log.append("t", 2, [drop("b")], NOON) is not None
    assert [[d.path for d in batch.drops] for batch in log.since("t", 0)] == [["a"], ["b"]]
    assert [batch.sequence for batch in log.since("t", 1)] == [2]
