"""Names of copies: a doomed one is never the place for anything, and its content's name is never lost."""

from __future__ import annotations

import datetime as dt
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.collection import (
    ExpiredRecord,
    PurgedError,
    base_name,
    free_place,
    generation,
    generation_number,
    in_order,
)
from contracts.selection import Decision

NAME = "blobs/ab/cd/abcd"
NOON = dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)


@given(st.integers(0, 1000))
def test_a_copy_knows_its_name_and_number(number: int) -> None:
    copy = generation(NAME, number)
    assert (base_name(copy), generation_number(copy)) == (NAME, number)


@pytest.mark.parametrize("name", ["a.0", "a.01", "a.x", "a.1/b", "valid.parquet"])
def test_what_only_looks_like_a_copy_is_a_name_of_its_own(name: str) -> None:
    assert (base_name(name), generation_number(name)) == (name, 0)


@pytest.mark.parametrize(
    ("doomed", "place"),
    [
        pytest.param([], NAME, id="nothing is doomed"),
        pytest.param(["blobs/ab/cd/other"], NAME, id="another one is"),
        pytest.param([NAME], f"{NAME}.1", id="the first copy is"),
        pytest.param([f"{NAME}.1"], NAME, id="the second copy is"),
        pytest.param([NAME, f"{NAME}.1", f"{NAME}.3"], f"{NAME}.2", id="one between is free"),
    ],
)
def test_the_place_for_a_content_is_the_first_copy_that_is_not_doomed(doomed: list[str], place: str) -> None:
    assert free_place(NAME, doomed) == place


def test_copies_come_in_the_order_of_their_numbers() -> None:
    there = ["ab.10", "ab.2", "abc", "ab", "ab.1.tmp", "ab.1"]
    assert in_order("ab", there) == ["ab", "ab.1", "ab.2", "ab.10"]


@pytest.mark.parametrize(
    ("decision", "by"),
    [(None, "removed by retention"), (Decision(actor="ann", reason="asked to"), "forgotten by ann")],
    ids=["retention", "a person"],
)
def test_purged_says_by_whom_when_and_what_is_left(decision: Decision | None, by: str) -> None:
    cause = "retention" if decision is None else "forgotten"
    record = ExpiredRecord(number=7, expired_at=NOON, cause=cause, decision=decision)
    error = pickle.loads(pickle.dumps(PurgedError(subject="sales[2024-01-01] version 3", record=record)))
    assert str(error) == (
        f"sales[2024-01-01] version 3 was purged: {by} on 2024-01-01 (expired/00000007.json). Its digests are still "
        "known, its content is not: restore it from a backup, if one has it."
    )
    assert (error.subject, error.number, error.cause) == ("sales[2024-01-01] version 3", 7, cause)
