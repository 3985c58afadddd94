"""Selections: what each rule chooses, in path order, whatever the order of arrival; and the chain that they form."""

from __future__ import annotations

import datetime as dt
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contracts.refs import digest_bytes
from contracts.selection import (
    CaptureBatch,
    CapturedDrop,
    Decision,
    Selection,
    SelectionSnapshot,
    Selector,
    choose,
    freeze,
)

NOON = dt.datetime(2020, 1, 1, 12, tzinfo=dt.UTC)
NEWEST, EVERY = Selector.NEWEST_BY_PATH, Selector.EVERY_CONTENT


def drop(path: str, content: str, partition: str = "2020-01-01") -> CapturedDrop:
    data = content.encode()
    return CapturedDrop(path=path, partition=partition, digest=digest_bytes(data), size_bytes=len(data))


def withdrawn(path: str, content: str) -> CapturedDrop:
    return drop(path, content).model_copy(update={"withdrawn": True})


def digests(drops: tuple[CapturedDrop, ...]) -> list[str]:
    return [d.digest for d in drops]


def test_paths_come_in_order_whatever_arrived_first() -> None:
    arrived = [(1, drop("c", "3")), (2, drop("a", "1")), (3, drop("b", "2"))]
    assert [d.path for d in choose(NEWEST, arrived, 3)] == ["a", "b", "c"]


def test_a_file_rewritten_in_place_counts_with_its_newest_content() -> None:
    arrived = [(1, drop("a", "old")), (2, drop("b", "x")), (3, drop("a", "new"))]
    assert digests(choose(NEWEST, arrived, 3)) == [digest_bytes(b"new"), digest_bytes(b"x")]


def test_what_came_after_the_cutoff_does_not_count() -> None:
    arrived = [(1, drop("a", "old")), (2, drop("a", "new"))]
    assert digests(choose(NEWEST, arrived, 1)) == [digest_bytes(b"old")]


def test_going_back_to_an_earlier_content_gives_the_earlier_snapshot() -> None:
    first, _ = freeze(choose(NEWEST, [(1, drop("a", "A"))], 1))
    back, _ = freeze(choose(NEWEST, [(1, drop("a", "A")), (2, drop("a", "B")), (3, drop("a", "A"))], 3))
    assert first.digest == back.digest


def test_the_same_content_under_two_paths_counts_once_and_is_recorded() -> None:
    snapshot, selected = freeze((drop("a", "same"), drop("b", "other"), drop("c", "same")))
    assert [ref.digest for ref in snapshot.inputs] == [digest_bytes(b"same"), digest_bytes(b"other")]
    assert [s.paths for s in selected] == [("a", "c"), ("b",)]


@given(st.permutations(range(6)))
def test_the_snapshot_does_not_depend_on_arrival(order: list[int]) -> None:
    drops = [drop(f"file-{i}", f"content {i}") for i in range(6)]
    arrived = [(n, drops[i]) for n, i in enumerate(order, start=1)]
    assert freeze(choose(NEWEST, arrived, 6))[0] == freeze(drops)[0]


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


@pytest.mark.parametrize(
    ("drops", "decision", "said"),
    [
        pytest.param((), None, "at least 1 item", id="nothing"),
        pytest.param((withdrawn("a", "1"),), None, "by somebody's recorded decision", id="a withdrawal by nobody"),
        pytest.param(
            (drop("a", "1"), withdrawn("b", "2")),
            Decision(actor="ann", reason="asked to"),
            "all of its drops",
            id="an arrival and a withdrawal",
        ),
    ],
)
def test_a_batch_that_makes_no_sense_is_refused(
    drops: tuple[CapturedDrop, ...], decision: Decision | None, said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        CaptureBatch(table="t", sequence=1, captured_at=NOON, drops=drops, decision=decision)


@pytest.mark.parametrize(("actor", "reason"), [("", "why"), ("ann", "")], ids=["nobody", "no reason"])
def test_a_decision_is_somebody_s_and_has_a_reason(actor: str, reason: str) -> None:
    with pytest.raises(ValidationError):
        Decision(actor=actor, reason=reason)


# ---- every content ---------------------------------------------------------------------------------------------------


def test_the_rule_follows_the_sink_mode() -> None:
    assert [Selector.of(mode) for mode in ("replace", "error", "append")] == [NEWEST, NEWEST, EVERY]


def test_every_content_of_a_path_counts_in_the_order_it_came() -> None:
    arrived = [(1, drop("b", "B1")), (2, drop("a", "A1")), (3, drop("a", "A2")), (4, drop("b", "B2"))]
    assert digests(choose(EVERY, arrived, 4)) == [digest_bytes(c) for c in (b"A1", b"A2", b"B1", b"B2")]


def test_a_content_that_comes_back_counts_once_at_its_first_place() -> None:
    arrived = [(1, drop("a", "A")), (2, drop("a", "B")), (3, drop("a", "A"))]
    assert digests(choose(EVERY, arrived, 3)) == [digest_bytes(b"A"), digest_bytes(b"B")]


def test_of_what_came_after_the_cutoff_nothing_counts() -> None:
    arrived = [(1, drop("a", "A")), (2, drop("a", "B"))]
    assert digests(choose(EVERY, arrived, 1)) == [digest_bytes(b"A")]


def test_the_same_inputs_under_another_rule_are_another_snapshot() -> None:
    drops = (drop("a", "A"),)
    newest, every = freeze(drops)[0], freeze(drops, EVERY)[0]
    assert every.inputs == newest.inputs
    assert every.digest != newest.digest


# ---- withdrawals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("selector", "events", "counts"),
    [
        pytest.param(NEWEST, [drop("a", "1"), withdrawn("a", "1")], [], id="a path without its only content"),
        pytest.param(
            NEWEST, [drop("a", "1"), drop("a", "2"), withdrawn("a", "2")], [], id="what it replaced does not come back"
        ),
        pytest.param(
            NEWEST, [drop("a", "1"), drop("a", "2"), withdrawn("a", "1")], ["2"], id="of what was replaced already"
        ),
        pytest.param(
            NEWEST, [drop("a", "1"), withdrawn("a", "1"), drop("a", "3")], ["3"], id="another content comes after it"
        ),
        pytest.param(NEWEST, [drop("a", "1"), withdrawn("a", "1"), drop("a", "1")], ["1"], id="it was taken back"),
        pytest.param(NEWEST, [drop("a", "1"), drop("b", "1"), withdrawn("a", "1")], ["1"], id="under one of two paths"),
        pytest.param(EVERY, [drop("a", "1"), drop("a", "2"), withdrawn("a", "1")], ["2"], id="one of every content"),
        pytest.param(
            EVERY,
            [drop("a", "1"), drop("a", "2"), withdrawn("a", "1"), drop("a", "1")],
            ["2", "1"],
            id="one of every content, taken back",
        ),
    ],
)
def test_a_withdrawn_content_does_not_count(selector: Selector, events: list[CapturedDrop], counts: list[str]) -> None:
    chosen = choose(selector, list(enumerate(events, start=1)), len(events))
    assert digests(chosen) == [digest_bytes(content.encode()) for content in counts]


def test_a_selection_from_before_a_withdrawal_still_has_the_drop() -> None:
    events = [(1, drop("a", "1")), (2, withdrawn("a", "1"))]
    assert digests(choose(NEWEST, events, 1)) == [digest_bytes(b"1")]


# ---- documents of earlier formats ------------------------------------------------------------------------------------

FIRST_BATCH = (
    b'{"captured_at":"2020-01-01T12:00:00Z","drops":[{"digest":"blake3:'
    + b"0" * 64
    + b'","partition":"2020-01-01","path":"t/a.csv","size_bytes":3}],"format":"hashgate/captures/v1","sequence":1,'
    b'"table":"t"}'
)
FIRST_SELECTION = (
    b'{"cutoff":1,"drops":[{"digest":"blake3:'
    + b"0" * 64
    + b'","paths":["t/a.csv"]}],"format":"hashgate/selection-envelope/v1","frozen_at":"2020-01-01T12:00:00Z",'
    b'"number":1,"partition":"2020-01-01","snapshot":"blake3:' + b"1" * 64 + b'","table":"t"}'
)


@pytest.mark.parametrize(
    ("kind", "stored"), [(CaptureBatch, FIRST_BATCH), (Selection, FIRST_SELECTION)], ids=["captures", "a selection"]
)
def test_a_document_from_before_there_were_seals_loads_and_keeps_its_bytes(
    kind: type[CaptureBatch | Selection], stored: bytes
) -> None:
    document = kind.from_bytes(stored)
    assert document.to_bytes() == stored
    assert document.digest == digest_bytes(stored)
    assert document.problem_after(None) is None


def test_what_follows_an_early_document_names_it() -> None:
    first = CaptureBatch.from_bytes(FIRST_BATCH)
    second = CaptureBatch(table="t", sequence=2, parent=first.digest, captured_at=NOON, drops=(drop("a", "1"),))
    assert second.problem_after(first) is None
    altered = CaptureBatch.from_bytes(FIRST_BATCH.replace(b"a.csv", b"b.csv"))
    assert second.problem_after(altered) == f"its parent should be {altered.digest}, but is {first.digest}"


def test_every_order_of_two_versions_and_two_paths_keeps_the_later_version() -> None:
    events = [drop("a", "A1"), drop("a", "A2"), drop("b", "B1")]
    for order in itertools.permutations(events):
        last_a = [d for d in order if d.path == "a"][-1]
        selected = choose(NEWEST, list(enumerate(order, start=1)), 3)
        assert digests(selected) == [last_a.digest, digest_bytes(b"B1")]
