"""Capture: what is in the store is what lay in the folder, or nothing is."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import os
from pathlib import Path

import pytest

from contracts.collection import DoomedList, DoomedObject
from contracts.errors import DigestMismatchError, DropError, StoreError
from contracts.refs import BlobRef, Digest, digest_bytes
from contracts.sealing import ChainError
from contracts.selection import CaptureBatch, CapturedDrop, Decision
from resources import captures
from resources.captures import (
    CaptureLog,
    DropChangedError,
    StatedDigestError,
    WithdrawnError,
    blob_key,
    capture_file,
    capture_stream,
    check_blob,
    find_blob,
    get_blob,
    open_blob,
    put_blob,
    secure_blob,
)
from resources.doomed_lists import list_key
from resources.drop_folder import ListedFile
from resources.object_store import LocalObjectStore, ObjectStore

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


def test_a_damaged_blob_of_bytes_is_healed_by_putting_it_again(store: LocalObjectStore) -> None:
    ref = put_blob(store, b"snapshot")
    store.path(blob_key(ref.digest)).write_bytes(b"snapshoT")
    assert put_blob(store, b"snapshot") == ref
    assert get_blob(store, ref.digest) == b"snapshot"


# ---- beside a collector ----------------------------------------------------------------------------------------------


def doom(store: ObjectStore, *names: str) -> None:
    number = 1 + len(store.keys("doomed"))
    objects = tuple(DoomedObject(name=name, size_bytes=1, why="test") for name in names)
    store.put_if_absent(list_key(number), DoomedList(number=number, objects=objects).to_bytes())


@pytest.mark.parametrize("there", [True, False], ids=["what lies there", "a place where nothing lies"])
def test_what_is_doomed_is_neither_relied_on_nor_put_there(any_store: ObjectStore, tmp_path: Path, there: bool) -> None:
    key = blob_key(digest_bytes(b"a,b\n1,2\n"))
    if there:
        any_store.put_if_absent(key, b"a,b\n1,2\n")
    doom(any_store, key)
    captured = capture_file(any_store, dropped(tmp_path, b"a,b\n1,2\n"))
    assert captured.key == f"{key}.1"
    any_store.forget(key)  # as the collector does in the end
    assert find_blob(any_store, captured.ref.digest) == f"{key}.1"
    assert get_blob(any_store, captured.ref.digest) == b"a,b\n1,2\n"
    check_blob(any_store, captured.ref)


def test_a_snapshot_goes_to_the_next_copy_when_its_place_is_doomed(any_store: ObjectStore) -> None:
    ref = put_blob(any_store, b"snapshot")
    doom(any_store, blob_key(ref.digest), f"{blob_key(ref.digest)}.1")
    assert put_blob(any_store, b"snapshot") == ref
    assert any_store.get(f"{blob_key(ref.digest)}.2") == b"snapshot"


def test_readers_take_the_first_copy_of_a_blob(any_store: ObjectStore) -> None:
    digest = digest_bytes(b"x")
    with pytest.raises(StoreError, match="is missing from the store"):
        open_blob(any_store, digest)
    for key in (f"{blob_key(digest)}.2", f"{blob_key(digest)}.1"):
        any_store.put_if_absent(key, b"x")
    assert find_blob(any_store, digest) == f"{blob_key(digest)}.1"
    with open_blob(any_store, digest) as file:
        assert file.read() == b"x"


def test_a_blob_that_is_about_to_be_removed_is_secured_elsewhere(any_store: ObjectStore) -> None:
    ref = put_blob(any_store, b"x")
    secure_blob(any_store, ref.digest)
    assert any_store.keys(blob_key(ref.digest).rpartition("/")[0]) == [blob_key(ref.digest).rpartition("/")[2]]
    doom(any_store, blob_key(ref.digest))
    secure_blob(any_store, ref.digest)
    any_store.forget(blob_key(ref.digest))
    assert get_blob(any_store, ref.digest) == b"x"


def test_what_is_damaged_or_missing_cannot_be_secured(store: LocalObjectStore) -> None:
    ref = put_blob(store, b"x")
    doom(store, blob_key(ref.digest))
    store.path(blob_key(ref.digest)).write_bytes(b"y")
    with pytest.raises(DigestMismatchError):
        secure_blob(store, ref.digest)
    store.forget(blob_key(ref.digest))
    with pytest.raises(StoreError, match="is missing from the store"):
        secure_blob(store, ref.digest)
    assert store.keys("incoming") == []


def test_content_that_somebody_withdrew_is_not_taken(store: LocalObjectStore, tmp_path: Path) -> None:
    digest = digest_bytes(b"a,b\n1,2\n")
    with pytest.raises(WithdrawnError, match=r"t/drop.csv holds content that was withdrawn.*--undo") as refused:
        capture_file(store, dropped(tmp_path, b"a,b\n1,2\n"), withdrawn={digest})
    assert refused.value.evidence == {"path": "t/drop.csv", "digest": digest}
    assert store.keys("blobs") == store.keys("incoming") == []


# ---- the log ---------------------------------------------------------------------------------------------------------


def drop(path: str) -> CapturedDrop:
    return CapturedDrop(path=path, partition="2020-01-01", digest=digest_bytes(path.encode()), size_bytes=1)


def test_the_log_numbers_batches_without_gaps_and_once(store: LocalObjectStore) -> None:
    log = CaptureLog(store)
    assert log.append("t", 1, [drop("a")], NOON) is not None
    assert log.append("t", 1, [drop("b")], NOON) is None
    assert log.append("t", 2, [drop("b")], NOON) is not None
    assert [[d.path for d in batch.drops] for batch in log.since("t", 0)] == [["a"], ["b"]]
    assert [batch.sequence for batch in log.since("t", 1)] == [2]


def test_the_log_is_a_chain_of_sealed_batches(store: LocalObjectStore) -> None:
    log = CaptureLog(store)
    first = log.append("t", 1, [drop("a")], NOON)
    second = log.append("t", 2, [drop("b")], NOON)
    assert first is not None
    assert second is not None
    assert (first.parent, second.parent) == (None, first.digest)


def test_a_log_from_before_there_were_seals_is_read_and_goes_on(store: LocalObjectStore) -> None:
    digest = digest_bytes(b"a")
    early = (
        '{"captured_at":"2020-01-01T12:00:00Z","drops":[{"digest":"%s","partition":"2020-01-01","path":"a",'
        '"size_bytes":1}],"format":"hashgate/captures/v1","sequence":1,"table":"t"}'
    )
    store.put_if_absent("captures/t/00000001.json", (early % digest).encode())
    log = CaptureLog(store)
    assert log.append("t", 2, [drop("b")], NOON) is not None
    first, second = log.since("t", 0)
    assert (first.drops[0].digest, first.drops[0].withdrawn) == (digest, False)
    assert second.parent == first.digest
    store.forget("captures/t/00000001.json")
    store.put_if_absent("captures/t/00000001.json", (early % digest).replace('"a",', '"A",').encode())
    with pytest.raises(ChainError, match="00000002.json: its parent should be"):
        list(log.since("t", 0))


def test_an_altered_log_says_that_it_is_the_record_of_what_arrived(store: LocalObjectStore) -> None:
    log = CaptureLog(store)
    log.append("t", 1, [drop("a")], NOON)
    path = store.path("captures/t/00000001.json")
    path.write_bytes(path.read_bytes().replace(b'"a"', b'"b"'))
    with pytest.raises(ChainError, match=r"captures/t/00000001.json: its self-digest .* the record of what arrived"):
        list(log.since("t", 0))
    with pytest.raises(ChainError):
        log.append("t", 2, [drop("b")], NOON)


def test_a_withdrawal_is_a_batch_with_somebody_s_decision(store: LocalObjectStore) -> None:
    log, decision = CaptureLog(store), Decision(actor="ann", reason="asked to")
    log.append("t", 1, [drop("a")], NOON)
    gone = drop("a").model_copy(update={"withdrawn": True})
    batch = log.append("t", 2, [gone], NOON, decision)
    assert batch is not None
    assert (batch.withdraws, batch.decision) == (True, decision)
    assert [b.withdraws for b in log.since("t", 0)] == [False, True]


def test_every_byte_of_a_log_is_guarded(store: LocalObjectStore) -> None:
    log = CaptureLog(store)
    for number, name in enumerate(("a", "b"), start=1):
        log.append("t", number, [drop(name)], NOON)
    unseen: list[tuple[int, int]] = []
    for number in (1, 2):
        path = store.path(f"captures/t/{number:08d}.json")
        whole = path.read_bytes()
        for position in range(len(whole)):
            path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
            try:
                list(log.since("t", 0))
            except ChainError:
                continue
            unseen.append((number, position))
        path.write_bytes(whole)
    assert unseen == []


def test_batches_hold_what_their_digest_says(store: LocalObjectStore) -> None:
    batch = CaptureLog(store).append("t", 1, [drop("a")], NOON)
    assert batch is not None
    stored = CaptureBatch.from_bytes(store.get("captures/t/00000001.json"))
    assert stored == batch
    assert Digest(stored.digest) == batch.digest


# --- content with a digest stated before ---


def taken(store: ObjectStore, content: bytes, sha256: str, withdrawn: frozenset[Digest] = frozenset()) -> BlobRef:
    source = io.BytesIO(content)
    ref, key = capture_stream(store, "run/a", source, sha256=sha256, doomed=(), withdrawn=withdrawn)
    assert store.get(key) == content
    return ref


@pytest.mark.parametrize("content", [b"", b"x", b"x" * 9_000_000], ids=["nothing", "a byte", "more than a chunk"])
def test_content_that_is_what_was_stated_is_a_blob(any_store: ObjectStore, content: bytes) -> None:
    ref = taken(any_store, content, hashlib.sha256(content).hexdigest())
    assert ref == BlobRef(digest=digest_bytes(content), size_bytes=len(content))
    assert taken(any_store, content, hashlib.sha256(content).hexdigest()) == ref, "having it already is the same"


def test_content_that_is_not_what_was_stated_is_not_taken(store: LocalObjectStore) -> None:
    stated = hashlib.sha256(b"what the gates saw").hexdigest()
    with pytest.raises(StatedDigestError) as refused:
        taken(store, b"something else", stated)
    assert refused.value.evidence["expected"] == stated
    assert refused.value.evidence["observed"] == hashlib.sha256(b"something else").hexdigest()
    assert list(store.walk("")) == []
    assert list(store.scratch.iterdir()) == []


def test_withdrawn_content_is_not_taken_however_it_comes(store: LocalObjectStore) -> None:
    withdrawn = frozenset({digest_bytes(b"x")})
    with pytest.raises(WithdrawnError):
        taken(store, b"x", hashlib.sha256(b"x").hexdigest(), withdrawn)
    assert list(store.walk("")) == []
