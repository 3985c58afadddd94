"""What expired: known for good, told from what is lost, and never mistaken for what came again later."""

from __future__ import annotations

import datetime as dt
from functools import partial

import pytest

from contracts.collection import Arrival, ExpiredDrop, ExpiredRecord, ExpiredSelection, ExpiredVersion, PurgedError
from contracts.refs import Digest, digest_bytes
from contracts.sealing import ChainError
from contracts.selection import Decision
from resources.expirations import Expirations, record_expired
from resources.object_store import ObjectStore

NOON = dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)
A, B = digest_bytes(b"a"), digest_bytes(b"b")


def version(number: int) -> ExpiredVersion:
    return ExpiredVersion(table="t", partition="p", number=number, commit=A, view_key=A, snapshot=A, committed_at=NOON)


def drop(digest: Digest, *sequences: int) -> ExpiredDrop:
    arrivals = tuple(Arrival(path="t/a.csv", partition="p", sequence=n, captured_at=NOON) for n in sequences)
    return ExpiredDrop(table="t", digest=digest, size_bytes=3, arrivals=arrivals)


def put(store: ObjectStore, **parts: object) -> ExpiredRecord:
    def record(number: int, parent: Digest | None) -> ExpiredRecord:
        values = {"expired_at": NOON, "cause": "retention"} | parts
        return ExpiredRecord.model_validate({"number": number, "parent": parent, **values})

    return record_expired(store, record)


def test_without_records_nothing_has_expired(any_store: ObjectStore) -> None:
    expirations = Expirations.read(any_store)
    expirations.check_version("t", "p", 1)
    expirations.check_drop("t", A)
    assert not expirations.holds_drop("t", A, 1)


def test_records_are_numbered_one_after_the_other_and_add_up(any_store: ObjectStore) -> None:
    first = put(any_store, versions=(version(1),))
    second = put(any_store, versions=(version(2),), drops=(drop(A, 1, 4),))
    assert (first.number, second.number, second.parent) == (1, 2, first.digest)
    expirations = Expirations.read(any_store)
    assert expirations.versions == {("t", "p", 1): first, ("t", "p", 2): second}
    assert [expirations.holds_drop("t", A, n) for n in (1, 4, 5)] == [True, True, False]
    assert not expirations.holds_drop("t", B, 1)
    assert not expirations.holds_drop("u", A, 1)


def test_what_was_removed_is_purged_and_says_by_whom(any_store: ObjectStore) -> None:
    decision = Decision(actor="ann", reason="asked to")
    put(any_store, cause="forgotten", decision=decision, versions=(version(1),), drops=(drop(A, 1),))
    expirations = Expirations.read(any_store)
    with pytest.raises(PurgedError, match=r"t\[p\] version 1 was purged: forgotten by ann on 2024-01-01"):
        expirations.check_version("t", "p", 1)
    with pytest.raises(PurgedError, match=f"drop {A} of t was purged") as purged:
        expirations.check_drop("t", A)
    assert purged.value.evidence == {"subject": f"drop {A} of t", "number": 1, "cause": "forgotten"}
    expirations.check_version("t", "p", 2)
    expirations.check_drop("t", B)


def test_what_is_about_to_be_written_counts_as_if_it_were(any_store: ObjectStore) -> None:
    selection = ExpiredSelection(table="t", partition="p", number=3, snapshot=A)
    planned = ExpiredRecord(number=1, expired_at=NOON, cause="retention", selections=(selection,))
    before = Expirations.read(any_store)
    assert before.with_records([planned]).selections == {("t", "p", 3): planned}
    assert before.selections == {}


def test_two_who_record_at_once_take_two_numbers(any_store: ObjectStore) -> None:
    made: list[int] = []

    def slow(number: int, parent: Digest | None) -> ExpiredRecord:
        made.append(number)
        if len(made) == 1:
            put(any_store, versions=(version(9),))
        return ExpiredRecord(number=number, parent=parent, expired_at=NOON, cause="retention", versions=(version(1),))

    assert record_expired(any_store, partial(slow)).number == 2
    assert made == [1, 2]
    assert set(Expirations.read(any_store).versions) == {("t", "p", 1), ("t", "p", 9)}


def test_an_altered_record_is_an_error_and_not_an_empty_one(any_store: ObjectStore) -> None:
    put(any_store, versions=(version(1),))
    data = any_store.get("expired/00000001.json")
    any_store.forget("expired/00000001.json")
    any_store.put_if_absent("expired/00000001.json", data.replace(b'"number":1,"partition"', b'"number":2,"partition"'))
    with pytest.raises(ChainError, match=r"expired/00000001.json: .* what is missing counts as lost"):
        Expirations.read(any_store)
