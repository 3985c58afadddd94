"""The object store in a bucket: whatever goes wrong on the way, no answer is ever a false one.

The faults are made by a proxy before moto's server; what differs between servers is tried on Ceph's gateway too.
"""

from __future__ import annotations

import datetime as dt
import os
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import DigestMismatchError, HashgateError, StoreError, UnansweredError
from contracts.refs import digest_bytes
from resources import s3_store
from resources.object_store import probe
from resources.s3_client import s3_client
from resources.s3_store import LARGEST_PUT_BYTES, S3ObjectStore
from tests.servers.fault_proxy import LATE_S, Fault, FaultProxy
from tests.servers.s3 import BUCKET, PART_BYTES, S3Server

OURS, THEIRS = b"what this writer has", b"what was there before"
LARGE = bytes(range(256)) * (PART_BYTES // 256 + 1)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_store, "_PAUSES_S", (0.01, 0.01, 0.01))


@pytest.fixture
def store(moto: S3Server, tmp_path: Path) -> S3ObjectStore:
    """The plain way to a store."""
    return moto.store(tmp_path / "scratch")


@pytest.fixture
def beset(store: S3ObjectStore, faults: FaultProxy, tmp_path: Path) -> S3ObjectStore:
    """The same store, on the way on which things go wrong; nothing is tried again behind our back."""
    return reached(store, faults, tmp_path, max_attempts=1)


def reached(store: S3ObjectStore, faults: FaultProxy, tmp_path: Path, *, max_attempts: int) -> S3ObjectStore:
    _, _, prefix = store.uri("x").removesuffix("/x").partition(f"s3://{BUCKET}/")
    way = S3Server(faults.endpoint)
    return way.store(tmp_path / "beset", prefix, max_attempts=max_attempts, read_timeout_s=0.3)


def outcome(ask: Callable[[], Any]) -> Any:
    """What it returns, or what kind of error it raises."""
    try:
        return ask()
    except (KeyError, StoreError) as error:
        return type(error)


# ---- reading -------------------------------------------------------------------------------------------------------

READS: dict[str, Callable[[S3ObjectStore], Any]] = {
    "get": lambda store: store.get("folder/there"),
    "get of nothing": lambda store: store.get("folder/nothing"),
    "read_range": lambda store: store.read_range("folder/there", 5, 3),
    "open": lambda store: store.open("folder/there").read(),
    "open of nothing": lambda store: store.open("folder/nothing").read(),
    "exists": lambda store: store.exists("folder/there"),
    "exists of nothing": lambda store: store.exists("folder/nothing"),
    "exists of what is empty": lambda store: store.exists("folder/empty"),
    "size": lambda store: store.size("folder/there"),
    "digest": lambda store: store.digest("folder/there"),
    "stamp": lambda store: store.stamp("folder/there"),
    "modified": lambda store: store.modified("folder/there"),
    "now": lambda store: store.now() - store.now() < dt.timedelta(seconds=5),
    "keys": lambda store: store.keys("folder"),
    "keys of nothing": lambda store: store.keys("nowhere"),
    "walk": lambda store: list(store.walk("folder")),
    "walk of nothing": lambda store: list(store.walk("nowhere")),
    "sweep": lambda store: store.sweep(dt.datetime(2000, 1, 1, tzinfo=dt.UTC)),
}
READ_FAULTS = {
    "500": (Fault.REFUSED, 500),
    "503": (Fault.REFUSED, 503),
    "403": (Fault.REFUSED, 403),
    "hanging": (Fault.HANGING, 0),
    "answer lost": (Fault.ANSWER_LOST, 0),
    "cut": (Fault.CUT, 0),
    "a proxy's page": (Fault.PAGE, 200),
    "a proxy's 404": (Fault.PAGE, 404),
}


@pytest.mark.parametrize("fault", READ_FAULTS)
@pytest.mark.parametrize("read", READS)
def test_what_could_not_be_read_is_an_error_and_not_absence(
    store: S3ObjectStore, beset: S3ObjectStore, faults: FaultProxy, read: str, fault: str
) -> None:
    store.put_if_absent("folder/there", OURS)
    store.put_if_absent("folder/empty", b"")
    truth = outcome(lambda: READS[read](store))
    faults.fail(*READ_FAULTS[fault])
    assert outcome(lambda: READS[read](beset)) is StoreError
    assert faults.struck
    faults.heal()
    assert outcome(lambda: READS[read](beset)) == truth


@pytest.mark.parametrize("fault", ["500", "503", "hanging", "answer lost", "cut"])
def test_a_read_that_failed_once_is_tried_again(
    store: S3ObjectStore, faults: FaultProxy, tmp_path: Path, fault: str
) -> None:
    store.put_if_absent("folder/there", OURS)
    patient = reached(store, faults, tmp_path, max_attempts=2)
    faults.fail(*READ_FAULTS[fault], at=(1,))
    assert patient.get("folder/there") == OURS
    assert faults.struck == 1


@pytest.mark.parametrize("fault", [Fault.SHORTENED, Fault.RANGELESS])
@pytest.mark.parametrize("start", [0, 5])
def test_another_range_than_the_one_asked_for_is_an_error(
    store: S3ObjectStore, beset: S3ObjectStore, faults: FaultProxy, fault: Fault, start: int
) -> None:
    store.put_if_absent("a", OURS)
    faults.fail(fault, method="GET")
    with pytest.raises(StoreError, match=r"get_object got no answer \(IncompleteAnswer\)"):
        beset.read_range("a", start, 3)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (403, "get_object was refused (AccessDenied, HTTP 403). Give these credentials s3:GetObject"),
        (503, "get_object was refused (SlowDown, HTTP 503). The server is down or overloaded: run it again"),
        (400, "get_object was refused (BadRequest, HTTP 400). See the server's log for the reason."),
    ],
    ids=["denied", "overloaded", "bad"],
)
def test_a_refusal_says_what_and_where_and_how_to_mend_it(
    beset: S3ObjectStore, faults: FaultProxy, status: int, said: str
) -> None:
    faults.fail(Fault.REFUSED, status)
    with pytest.raises(StoreError) as refused:
        beset.get("a")
    assert str(refused.value).startswith(f"store object a: {said}")
    assert (refused.value.evidence["key"], refused.value.evidence["status"]) == ("a", status)


def test_a_missing_bucket_is_not_an_empty_one(moto: S3Server, tmp_path: Path) -> None:
    nowhere = S3ObjectStore(moto.client(), "no-such-bucket", "p", tmp_path / "scratch")
    staged = tmp_path / "staged"
    staged.write_bytes(OURS)
    for ask in (
        lambda: nowhere.get("a"),
        lambda: nowhere.exists("a"),
        lambda: nowhere.keys("a"),
        lambda: list(nowhere.walk("")),
        lambda: nowhere.forget("a"),
        lambda: nowhere.put_if_absent("a", OURS),
        lambda: nowhere.adopt_file("a", staged),
    ):
        with pytest.raises(StoreError, match="The bucket does not exist: create it, or correct HASHGATE_STORE") as no:
            ask()
        assert (no.type, no.value.evidence["code"]) == (StoreError, "NoSuchBucket")


def test_an_object_that_was_exchanged_while_it_is_read_is_an_error(store: S3ObjectStore) -> None:
    store.put_if_absent("a", LARGE)
    with store.open("a") as file:
        assert file.read(10) == LARGE[:10]
        store.forget("a")
        with pytest.raises(StoreError, match="NoSuchKey"):
            file.seek(PART_BYTES) and file.read(10)
        store.put_if_absent("a", LARGE[::-1])
        with pytest.raises(StoreError, match="It changed while it was used"):
            file.seek(PART_BYTES) and file.read(10)


def test_reading_straight_on_asks_for_more_each_time(
    store: S3ObjectStore, beset: S3ObjectStore, faults: FaultProxy
) -> None:
    store.put_if_absent("a", LARGE * 5)
    with beset.open("a") as file:
        assert sum(len(chunk) for chunk in iter(lambda: file.read(100_000), b"")) == 5 * len(LARGE)
    assert len(faults.requests) < 10
    faults.requests.clear()
    with beset.open("a") as file:
        for start in (20_000_000, 3_000_000, 11_000_000):
            file.seek(start)
            file.read(1000)
    assert len(faults.requests) == 4  # one for the size


def test_a_listing_of_many_pages_is_complete(moto: S3Server, store: S3ObjectStore, tmp_path: Path) -> None:
    prefix = store.uri("x").removesuffix("/x").removeprefix(f"s3://{BUCKET}/")
    client = moto.client()
    asked: list[dict[str, Any]] = []

    def page_by_two(params: dict[str, Any], **_: Any) -> None:
        asked.append(params)
        params["MaxKeys"] = 2

    client.meta.events.register("before-parameter-build.s3.ListObjectsV2", page_by_two)
    paged = S3ObjectStore(client, BUCKET, prefix, tmp_path / "paged")
    for number in range(7):
        store.put_if_absent(f"a/{number}", b"x")
        store.put_if_absent(f"b{number}/x", b"x")
    assert paged.keys("a") == [str(number) for number in range(7)]
    assert paged.keys("") == ["a", *(f"b{number}" for number in range(7))]
    assert list(paged.walk("")) == sorted([f"a/{n}" for n in range(7)] + [f"b{n}/x" for n in range(7)])
    assert len(asked) >= 4 + 4 + 7


def test_a_folder_that_a_console_drew_is_no_object(moto: S3Server, store: S3ObjectStore) -> None:
    place = store.uri("folder").removeprefix(f"s3://{BUCKET}/")
    moto.client().put_object(Bucket=BUCKET, Key=f"{place}/", Body=b"")
    store.put_if_absent("folder/file", b"x")
    assert store.keys("folder") == ["file"]
    assert list(store.walk("folder")) == list(store.walk("")) == ["folder/file"]


# ---- creating ------------------------------------------------------------------------------------------------------


def put(store: S3ObjectStore, _: Path) -> bool:
    return store.put_if_absent("key", OURS)


def adopt_small(store: S3ObjectStore, staged: Path) -> bool:
    staged.write_bytes(OURS)
    return store.adopt_file("key", staged)


def adopt_in_parts(store: S3ObjectStore, staged: Path) -> bool:
    staged.write_bytes(LARGE)
    return store.adopt_file("key", staged)


def adopt_folder(store: S3ObjectStore, staged: Path) -> bool:
    staged.mkdir(exist_ok=True)
    (staged / "valid.parquet").write_bytes(OURS)
    (staged / "index.json").write_bytes(OURS)
    return store.adopt_folder("key", staged)


Create = Callable[[S3ObjectStore, Path], bool]
CREATES: dict[str, tuple[Create, str, bytes, str, str]] = {
    "put_if_absent": (put, "key", OURS, "PUT", "key"),
    "adopt_file": (adopt_small, "key", OURS, "PUT", "key"),
    "adopt_file in parts": (adopt_in_parts, "key", LARGE, "POST", "uploadId="),
    "adopt_folder": (adopt_folder, "key/index.json", OURS, "PUT", "key/index.json"),
}
"""How to create, what key then is there, with what bytes, and which request it is that creates."""

CREATE_FAULTS: dict[str, tuple[Fault, int, Any]] = {
    "500": (Fault.REFUSED, 500, UnansweredError),
    "500, but done": (Fault.DONE_AND_REFUSED, 500, True),
    "503": (Fault.REFUSED, 503, UnansweredError),
    "503, but done": (Fault.DONE_AND_REFUSED, 503, True),
    "409": (Fault.REFUSED, 409, UnansweredError),
    "409, but done": (Fault.DONE_AND_REFUSED, 409, True),
    "412, though nothing was there": (Fault.REFUSED, 412, UnansweredError),
    "412 after the create was done": (Fault.DONE_AND_REFUSED, 412, True),
    "403": (Fault.REFUSED, 403, StoreError),
    "400": (Fault.REFUSED, 400, StoreError),
    "hanging": (Fault.HANGING, 0, UnansweredError),
    "answer lost": (Fault.ANSWER_LOST, 0, True),
    "late": (Fault.LATE, 0, UnansweredError),
    "a proxy's page": (Fault.PAGE, 200, UnansweredError),
}
"""What goes wrong with every request that creates, and what is the only truth then."""


@pytest.mark.parametrize("fault", CREATE_FAULTS)
@pytest.mark.parametrize("create", CREATES)
def test_a_create_that_went_wrong_says_neither_yes_nor_no_falsely(
    store: S3ObjectStore, beset: S3ObjectStore, faults: FaultProxy, tmp_path: Path, create: str, fault: str
) -> None:
    work, key, content, method, matching = CREATES[create]
    _ = beset._keeps_conditions_of_parts  # it asks the server once, and is not what is tried here
    kind, status, expected = CREATE_FAULTS[fault]
    faults.fail(kind, status, method=method, matching=matching)
    assert outcome(lambda: work(beset, tmp_path / "staged")) == expected
    faults.heal()
    if kind is Fault.LATE:
        time.sleep(LATE_S + 0.5)
    is_there = store.exists(key)
    assert is_there is (expected is True or kind is Fault.LATE)
    assert work(beset, tmp_path / "staged") is not is_there
    assert store.get(key) == content


@pytest.mark.parametrize("fault", CREATE_FAULTS)
@pytest.mark.parametrize("create", CREATES)
def test_a_create_that_went_wrong_never_claims_what_somebody_else_created(
    store: S3ObjectStore, beset: S3ObjectStore, faults: FaultProxy, tmp_path: Path, create: str, fault: str
) -> None:
    work, key, _, method, matching = CREATES[create]
    _ = beset._keeps_conditions_of_parts
    store.put_if_absent(key, THEIRS)
    kind, status, _ = CREATE_FAULTS[fault]
    faults.fail(kind, status, method=method, matching=matching)
    assert outcome(lambda: work(beset, tmp_path / "staged")) in {False, StoreError}
    assert store.get(key) == THEIRS


@pytest.mark.parametrize("fault", ["500, but done", "503, but done", "answer lost"])
@pytest.mark.parametrize("create", CREATES)
def test_a_repetition_that_finds_its_own_object_says_yes(
    store: S3ObjectStore, faults: FaultProxy, tmp_path: Path, create: str, fault: str
) -> None:
    work, key, content, method, matching = CREATES[create]
    patient = reached(store, faults, tmp_path, max_attempts=2)
    _ = patient._keeps_conditions_of_parts
    kind, status, _ = CREATE_FAULTS[fault]
    faults.fail(kind, status, method=method, matching=matching, at=(1,))
    before = len(faults.requests)
    assert work(patient, tmp_path / "staged") is True
    assert store.get(key) == content
    sent = [request for request in faults.requests[before:] if request.startswith(method) and matching in request]
    assert len(sent) == 2


@pytest.mark.parametrize("status", [403, 404], ids=["denied", "no such upload"])
@pytest.mark.parametrize("create", CREATES)
def test_what_a_repetition_is_refused_says_nothing_of_the_first(
    store: S3ObjectStore, faults: FaultProxy, tmp_path: Path, create: str, status: int
) -> None:
    work, key, content, method, matching = CREATES[create]
    patient = reached(store, faults, tmp_path, max_attempts=2)
    _ = patient._keeps_conditions_of_parts
    faults.fail(Fault.ANSWER_LOST, method=method, matching=matching, at=(1,))
    faults.fail(Fault.REFUSED, status, method=method, matching=matching, at=(2,))
    assert work(patient, tmp_path / "staged") is True
    assert store.get(key) == content
    faults.heal()
    store.forget(key)
    faults.fail(Fault.HANGING, method=method, matching=matching, at=(1,))
    faults.fail(Fault.REFUSED, status, method=method, matching=matching, at=(2,))
    with pytest.raises(UnansweredError):
        work(patient, tmp_path / "staged")


def test_a_repetition_that_finds_somebody_elses_equal_object_says_no(
    store: S3ObjectStore, faults: FaultProxy, tmp_path: Path
) -> None:
    patient = reached(store, faults, tmp_path, max_attempts=2)
    store.put_if_absent("key", OURS)
    faults.fail(Fault.ANSWER_LOST, method="PUT", at=(1,))
    assert patient.put_if_absent("key", OURS) is False


def test_a_server_that_keeps_no_metadata_is_answered_by_the_bytes(
    moto: S3Server, store: S3ObjectStore, beset: S3ObjectStore, faults: FaultProxy
) -> None:
    place = {"Bucket": BUCKET, "Key": store.uri("key").removeprefix(f"s3://{BUCKET}/")}
    faults.fail(Fault.REFUSED, 500, method="PUT")
    moto.client().put_object(**place, Body=OURS)
    assert beset.put_if_absent("key", OURS) is True
    moto.client().put_object(**place, Body=THEIRS)
    assert beset.put_if_absent("key", OURS) is False


@pytest.mark.parametrize("status", [409, 412], ids=["conflict", "failed condition"])
@pytest.mark.parametrize("create", CREATES)
def test_a_create_that_the_server_could_not_decide_is_sent_again(
    store: S3ObjectStore, beset: S3ObjectStore, faults: FaultProxy, tmp_path: Path, create: str, status: int
) -> None:
    work, key, content, method, matching = CREATES[create]
    _ = beset._keeps_conditions_of_parts
    faults.fail(Fault.REFUSED, status, method=method, matching=matching, at=(1, 2))
    assert work(beset, tmp_path / "staged") is True
    assert store.get(key) == content


@pytest.mark.parametrize("create", CREATES)
def test_when_nothing_answers_the_outcome_is_unknown(
    beset: S3ObjectStore, faults: FaultProxy, tmp_path: Path, create: str
) -> None:
    work, key, _, method, matching = CREATES[create]
    _ = beset._keeps_conditions_of_parts
    faults.fail(Fault.ANSWER_LOST, method=method, matching=matching)
    # the last look for what is there: in parts and for a folder, one was made before
    looks_before = 1 if create in {"adopt_file in parts", "adopt_folder"} else 0
    faults.fail(Fault.REFUSED, 503, method="GET", matching=key, at=range(looks_before + 1, 99))
    with pytest.raises(UnansweredError, match="Whether it was created is unknown, and it may still appear") as unknown:
        work(beset, tmp_path / "staged")
    assert "looking for it failed too" in str(unknown.value)
    assert unknown.value.evidence["key"] == key


@pytest.mark.parametrize("matching", ["uploads", "partNumber=1"], ids=["beginning", "first part"])
def test_a_proxys_page_is_no_upload(
    store: S3ObjectStore, beset: S3ObjectStore, faults: FaultProxy, tmp_path: Path, matching: str
) -> None:
    _ = beset._keeps_conditions_of_parts
    faults.fail(Fault.PAGE, matching=matching)
    with pytest.raises(StoreError, match=r"got no answer \(IncompleteAnswer\)") as refused:
        adopt_in_parts(beset, tmp_path / "staged")
    assert refused.type is StoreError
    assert not store.exists("key")


@pytest.mark.parametrize("then", [403, 400], ids=["denied", "bad"])
def test_a_refusal_does_not_settle_what_is_still_under_way(
    store: S3ObjectStore, faults: FaultProxy, tmp_path: Path, then: int
) -> None:
    patient = reached(store, faults, tmp_path, max_attempts=2)
    faults.fail(Fault.LATE, method="PUT", at=(1,))
    faults.fail(Fault.REFUSED, 409, method="PUT", at=(2,))
    faults.fail(Fault.REFUSED, then, method="PUT")
    with pytest.raises(UnansweredError, match="put_object was refused .ConditionalRequestConflict, HTTP 409."):
        patient.put_if_absent("key", OURS)
    time.sleep(LATE_S + 0.5)
    assert store.get("key") == OURS


@pytest.mark.parametrize("create", [adopt_small, adopt_in_parts, adopt_folder], ids=lambda create: create.__name__)
def test_what_arrived_is_read_back_and_must_be_what_was_sent(
    beset: S3ObjectStore, faults: FaultProxy, tmp_path: Path, create: Create
) -> None:
    _ = beset._keeps_conditions_of_parts
    faults.fail(Fault.CORRUPTED, method="GET", matching="key", at=range(2, 99))
    with pytest.raises(DigestMismatchError) as altered:
        create(beset, tmp_path / "staged")
    assert altered.value.evidence["expected"] == digest_bytes(LARGE if create is adopt_in_parts else OURS)
    assert altered.value.evidence["observed"] not in {"", altered.value.evidence["expected"]}


def test_a_part_that_cannot_be_sent_creates_nothing_and_leaves_nothing(
    moto: S3Server, store: S3ObjectStore, beset: S3ObjectStore, faults: FaultProxy, tmp_path: Path
) -> None:
    faults.fail(Fault.REFUSED, 503, method="PUT", matching="partNumber=2")
    with pytest.raises(StoreError, match=r"upload_part was refused \(SlowDown, HTTP 503\)") as refused:
        adopt_in_parts(beset, tmp_path / "staged")
    assert refused.type is StoreError
    assert not store.exists("key")
    assert uploads_below(moto, store) == []


def uploads_below(server: S3Server, store: S3ObjectStore) -> list[str]:
    prefix = store.uri("x").removesuffix("x").removeprefix(f"s3://{BUCKET}/")
    listed = server.client().list_multipart_uploads(Bucket=BUCKET, Prefix=prefix)
    return [upload["Key"].removeprefix(prefix) for upload in listed.get("Uploads", [])]


def test_a_store_that_is_only_looked_at_makes_no_folder(moto: S3Server, tmp_path: Path) -> None:
    store = moto.store(tmp_path / "home" / "scratch")
    assert (store.exists("a"), list(store.walk(""))) == (False, [])
    assert not (tmp_path / "home").exists()


# ---- folders -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop_at", [1, 2, 3], ids=["at the first file", "at the second", "at the index"])
def test_a_folder_whose_writer_stopped_is_not_there_and_the_next_writer_completes_it(
    store: S3ObjectStore, beset: S3ObjectStore, faults: FaultProxy, tmp_path: Path, stop_at: int
) -> None:
    staged = tmp_path / "folder"
    staged.mkdir()
    for name in ("a.parquet", "b.parquet", "index.json"):
        (staged / name).write_bytes(name.encode())
    faults.fail(Fault.REFUSED, 403, method="PUT", at=range(stop_at, 99))
    with pytest.raises(StoreError):
        beset.adopt_folder("folder", staged)
    assert not store.exists("folder/index.json")
    assert len(store.keys("folder")) == stop_at - 1
    faults.heal()
    assert beset.adopt_folder("folder", staged)
    assert {name: store.get(f"folder/{name}") for name in store.keys("folder")} == {
        name: name.encode() for name in ("a.parquet", "b.parquet", "index.json")
    }
    assert store.keys("damaged") == []


def test_what_a_stopped_writer_left_damaged_is_put_aside(store: S3ObjectStore, tmp_path: Path) -> None:
    store.put_if_absent("key/valid.parquet", b"rotten")
    assert adopt_folder(store, tmp_path / "staged")
    assert store.get("key/valid.parquet") == OURS
    assert [store.get(key) for key in store.walk("damaged")] == [b"rotten"]


@pytest.mark.parametrize("at", [(), (1,), (2,), (3,), (4,), (5,), (6,)], ids=lambda at: f"request {at or 'any'}")
@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault.REFUSED, 500),
        (Fault.REFUSED, 403),
        (Fault.DONE_AND_REFUSED, 500),
        (Fault.ANSWER_LOST, 0),
        (Fault.PAGE, 200),
    ],
    ids=["500", "403", "500, but done", "answer lost", "a proxy's page"],
)
def test_what_is_put_aside_is_never_lost_on_the_way(
    store: S3ObjectStore, beset: S3ObjectStore, faults: FaultProxy, fault: Fault, status: int, at: tuple[int, ...]
) -> None:
    for name in ("file", "index.json"):
        store.put_if_absent(f"folder/{name}", name.encode())
    faults.fail(fault, status, at=at)
    asked = outcome(lambda: beset.put_aside("folder"))
    assert asked in {None, StoreError}
    if asked is None:
        assert store.keys("folder") == []
    found = [store.get(key) for folder in ("folder", "damaged") for key in store.walk(folder)]
    assert {b"file", b"index.json"} <= set(found)
    if store.keys("folder"):
        assert "index.json" in store.keys("folder")
        faults.heal()
        beset.put_aside("folder")
    assert store.keys("folder") == []


@pytest.mark.parametrize("fault", ["500", "403", "hanging", "a proxy's page", "a proxy's 404"])
def test_a_removal_that_did_not_happen_is_an_error(
    store: S3ObjectStore, beset: S3ObjectStore, faults: FaultProxy, fault: str
) -> None:
    store.put_if_absent("a", OURS)
    faults.fail(*READ_FAULTS[fault], method="DELETE")
    with pytest.raises(StoreError, match="store object a: delete_object"):
        beset.forget("a")
    assert store.get("a") == OURS


# ---- servers that are not what they should be -----------------------------------------------------------------------


def test_the_probe_refuses_a_way_that_drops_the_condition(
    store: S3ObjectStore, beset: S3ObjectStore, faults: FaultProxy
) -> None:
    faults.fail(Fault.UNCONDITIONAL, method="PUT")
    with pytest.raises(StoreError, match="let a second writer create an object that was there already") as refused:
        probe(beset)
    assert "honours PUT with If-None-Match" in str(refused.value)
    assert (refused.value.evidence["created"], refused.value.evidence["created_again"]) == (True, True)
    assert store.keys("incoming") == []


def test_the_probe_tells_a_server_that_does_not_answer(beset: S3ObjectStore, faults: FaultProxy) -> None:
    faults.fail(Fault.REFUSED, 403)
    with pytest.raises(StoreError, match="AccessDenied"):
        probe(beset)


def test_moto_keeps_the_condition_of_an_upload_in_parts(store: S3ObjectStore) -> None:
    assert store._keeps_conditions_of_parts
    assert store.keys("incoming") == []


def test_on_a_server_that_ignores_the_condition_of_parts_no_parts_are_used(ceph: S3Server, tmp_path: Path) -> None:
    with FaultProxy(ceph.endpoint) as way:
        store = S3Server(way.endpoint).store(tmp_path / "scratch")
        assert not store._keeps_conditions_of_parts
        way.requests.clear()
        assert adopt_in_parts(store, tmp_path / "staged")
        assert not [request for request in way.requests if "uploads" in request]
        assert store.keys("incoming") == []


def test_a_file_that_such_a_server_cannot_take_is_refused(
    beset: S3ObjectStore, faults: FaultProxy, tmp_path: Path
) -> None:
    staged = tmp_path / "huge"
    staged.touch()
    os.truncate(staged, LARGEST_PUT_BYTES + 1)
    faults.fail(Fault.UNCONDITIONAL, method="POST")
    with pytest.raises(StoreError, match="5,368,709,121 bytes are too many") as refused:
        beset._upload("key", staged, digest_bytes(b""))
    assert refused.value.evidence["size_bytes"] == LARGEST_PUT_BYTES + 1
    assert not [request for request in faults.requests if "/key" in request and not request.startswith("GET")]


# ---- what a killed writer leaves -------------------------------------------------------------------------------------


def test_a_sweep_ends_the_uploads_of_writers_that_were_killed(ceph: S3Server, tmp_path: Path) -> None:
    store = ceph.store(tmp_path / "scratch")
    key = store.uri("tables/x").removeprefix(f"s3://{BUCKET}/")
    ceph.client().create_multipart_upload(Bucket=BUCKET, Key=key)
    store.put_if_absent("incoming/probe-of-somebody", b"x")
    assert store.sweep(store.now() - dt.timedelta(minutes=1)) == 0
    assert uploads_below(ceph, store) == ["tables/x"]
    assert store.sweep(store.now() + dt.timedelta(minutes=1)) == 2
    assert uploads_below(ceph, store) == store.keys("incoming") == []


# ---- secrets ---------------------------------------------------------------------------------------------------------

SECRET, TOKEN, PASSWORD = "planted/secret+key", "planted-session-token", "planted-password"


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "PLANTEDACCESSKEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)


def whole_text(error: BaseException) -> str:
    said = "".join(traceback.format_exception(error))
    return f"{said}{error!r}{error.__dict__}{error.__context__!r}{error.__cause__!r}"


@pytest.mark.parametrize("server", ["ceph", "nobody", "odd token", "proxy"])
@pytest.mark.usefixtures("planted")
def test_no_error_and_no_repr_shows_a_secret(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    server: str,
) -> None:
    endpoint = "http://127.0.0.1:9"
    if server == "ceph":
        endpoint = request.getfixturevalue("ceph").endpoint
    elif server == "odd token":
        monkeypatch.setenv("AWS_SESSION_TOKEN", f"{TOKEN}\nand more")
    elif server == "proxy":
        monkeypatch.setenv("HTTP_PROXY", f"http://me:{PASSWORD}@127.0.0.1:9")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    store = S3ObjectStore(s3_client(max_attempts=1, connect_timeout_s=1), BUCKET, "p", tmp_path / "scratch")
    staged = tmp_path / "staged"
    staged.write_bytes(LARGE)
    for ask in (
        lambda: store.get("a"),
        lambda: store.put_if_absent("a", OURS),
        lambda: store.adopt_file("a", staged),
        lambda: store.keys("a"),
        lambda: store.forget("a"),
        lambda: probe(store),
    ):
        with pytest.raises(HashgateError) as refused:
            ask()
        text = whole_text(refused.value) + repr(store) + repr(vars(store)) + caplog.text
        for secret in (SECRET, TOKEN, PASSWORD):
            assert secret not in text
