"""Selections: the newest content of each path, in path order, whatever the order of arrival."""

from __future__ import annotations

import datetime as dt
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contracts.refs import digest_bytes
from contracts.selection import CaptureBatch, CapturedDrop, SelectionSnapshot, freeze, newest_by_path


def drop(path: str, content: str, partition: str = "2020-01-01") -> CapturedDrop:
    data = content.encode()
    return CapturedDrop(path=path, partition=partition, digest=digest_bytes(data), size_bytes=len(data))


def digests(drops: tuple[CapturedDrop, ...]) -> list[str]:
    return [d.digest for d in drops]


def test_paths_come_in_order_whatever_arrived_first() -> None:
    arrived = [(1, drop("c", "3")), (2, drop("a", "1")), (3, drop("b", "2"))]
    assert [d.path for d in newest_by_path(arrived, 3)] == ["a", "b", "c"]


def test_a_file_rewritten_in_place_counts_with_its_newest_content() -> None:
    arrived = [(1, drop("a", "old")), (2, drop("b", "x")), (3, drop("a", "new"))]
    assert digests(newest_by_path(arrived, 3)) == [digest_bytes(b"new"), digest_bytes(b"x")]


def test_what_came_after_the_cutoff_does_not_count() -> None:
    arrived = [(1, drop("a", "old")), (2, drop("a", "new"))]
    assert digests(newest_by_path(arrived, 1)) == [digest_bytes(b"old")]


def test_going_back_to_an_earlier_content_gives_the_earlier_snapshot() -> None:
    first, _ = freeze(newest_by_path([(1, drop("a", "A"))], 1))
    back, _ = freeze(newest_by_path([(1, drop("a", "A")), (2, drop("a", "B")), (3, drop("a", "A"))], 3))
    assert first.digest == back.digest


def test_the_same_content_under_two_paths_counts_once_and_is_recorded() -> None:
    snapshot, selected = freeze((drop("a", "same"), drop("b", "other"), drop("c", "same")))
    assert [ref.digest for ref in snapshot.inputs] == [digest_bytes(b"same"), digest_bytes(b"other")]
    assert [s.paths for s in selected] == [("a", "c"), ("b",)]


@given(st.permutations(range(6)))
def test_the_snapshot_does_not_depend_on_arrival(order: list[int]) -> None:
    drops = [drop(f"file-{i}", f"content {i}") for i in range(6)]
    arrived = [(n, drops[i]) for n, i in enumerate(order, start=1)]
    assert freeze(newest_by_path(arrived, 6))[0] == freeze(drops)[0]


def test_a_snapshot_holds_no_path_and_no_time() -> None:
    snapshot, _ = freeze((drop("secret/path.csv", "x"),))
    assert b"secret" not in snapshot.to_bytes()
    assert set(snapshot.model_dump()) == {"format", "selector", "inputs"}


def test_a_snapshot_survives_storage() -> None:
    snapshot, _ = freeze((drop("a", "1"), drop("b", "2")))
    assert SelectionSnapshot.from_bytes(snapshot.to_bytes()) == snapshot


@pytest.mark.parametrize(
    "data",
    [b"{}", b"[]", b"not json", b'{"format":"hashgate/selection/v2","selector":"x","inputs":[]}'],
    ids=["empty object", "a list", "no JSON", "another version"],
)
def test_what_is_no_snapshot_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        SelectionSnapshot.from_bytes(data)


def test_a_batch_of_nothing_is_refused() -> None:
    with pytest.raises(ValidationError):
        CaptureBatch(table="t", sequence=1, captured_at=dt.datetime.now(dt.UTC), drops=())


def test_every_order_of_two_versions_and_two_paths_keeps_the_later_version() -> None:
    events = [drop("a", "A1"), drop("a", "A2"), drop("b", "B1")]
    for order in itertools.permutations(events):
        last_a = [d for d in order if d.path == "a"][-1]
        selected = newest_by_path(list(enumerate(order, start=1)), 3)
        assert digests(selected) == [last_a.digest, digest_bytes(b"B1")]
