"""The checker itself: it says of every small history what trying out all orders says."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.faults.version_history import Apply, Operation, Value, anomalies, appended, replaced


def made(process: int, begun: int, ended: int, number: int, *values: str) -> Operation:
    return Operation(process, begun, ended, number, made=frozenset(values))


def saw(process: int, begun: int, ended: int, number: int, *values: str) -> Operation:
    return Operation(process, begun, ended, number, seen=frozenset(values))


LINEARIZABLE = {
    "nothing": [],
    "a read of nothing, during the first publication": [made(1, 0, 10, 1, "a"), saw(2, 5, 6, 0)],
    "a read that sees a publication before it ends": [made(1, 0, 10, 1, "a"), saw(2, 5, 6, 1, "a")],
    "two publications at once, the later number ends first": [made(1, 0, 10, 1, "a"), made(2, 0, 5, 2, "b")],
    "overlapping reads that see old after new": [
        made(1, 0, 2, 1, "a"), made(1, 3, 9, 2, "b"), saw(2, 4, 8, 2, "b"), saw(3, 5, 7, 1, "a"),
    ],
}  # fmt: skip

NOT_LINEARIZABLE = {
    "a stale read": (
        [made(1, 0, 1, 1, "a"), saw(2, 2, 3, 0)],
        "process 2 began at 2 and came to version 0, but process 1 was done with version 1 at 1",
    ),
    "a read from the future": (
        [saw(2, 0, 1, 1, "a"), made(1, 2, 3, 1, "a")],
        "process 1 began at 2 and came to version 1, but process 2 was done with version 1 at 1",
    ),
    "a read that goes back": (
        [made(1, 0, 9, 1, "a"), saw(2, 1, 2, 1, "a"), saw(2, 3, 4, 0)],
        "process 2 began at 3 and came to version 0, but process 2 was done with version 1 at 2",
    ),
    "two winners": ([made(1, 0, 1, 1, "a"), made(2, 0, 1, 1, "b")], "version 1 was made by 2"),
    "a lost update": ([made(1, 0, 1, 2, "b")], "version 1 was made by 0"),
    "a later number that ended before": (
        [made(1, 0, 1, 2, "b"), made(2, 2, 3, 1, "a")],
        "process 2 began at 2 and came to version 1, but process 1 was done with version 2 at 1",
    ),
    "other content": ([made(1, 0, 1, 1, "a"), saw(2, 2, 3, 1, "b")], "saw ['b'] in version 1, which holds ['a']"),
    "a refusal by a version that came later": (
        [Operation(2, 0, 1, 1), made(1, 2, 3, 1, "a")],
        "process 1 began at 2 and came to version 1, but process 2 was done with version 1 at 1",
    ),
    "number 0 made": ([made(1, 0, 1, 0, "a")], "version 0 was made, which cannot be"),
}


@pytest.mark.parametrize("history", LINEARIZABLE.values(), ids=LINEARIZABLE.keys())
def test_a_linearizable_history_has_no_anomaly(history: list[Operation]) -> None:
    assert anomalies(history, replaced) == []


@pytest.mark.parametrize(("history", "anomaly"), NOT_LINEARIZABLE.values(), ids=NOT_LINEARIZABLE.keys())
def test_an_anomaly_is_named(history: list[Operation], anomaly: str) -> None:
    assert any(anomaly in said for said in anomalies(history, replaced)), anomalies(history, replaced)


def test_appending_keeps_what_was_there() -> None:
    history = [made(1, 0, 1, 1, "a"), made(2, 2, 3, 2, "b")]
    assert anomalies([*history, saw(3, 4, 5, 2, "a", "b")], appended) == []
    assert anomalies([*history, saw(3, 4, 5, 2, "b")], appended) == [
        "process 3 saw ['b'] in version 2, which holds ['a', 'b']"
    ]


def can_be_ordered(history: Sequence[Operation], apply: Apply) -> bool:
    """Whether some order of the operations respects time and is what a register does: all orders are tried."""
    return any(_respects_time(order) and _is_a_register(order, apply) for order in permutations(history))


def _respects_time(order: Sequence[Operation]) -> bool:
    return not any(later.ended < earlier.begun for at, earlier in enumerate(order) for later in order[at + 1 :])


def _is_a_register(order: Sequence[Operation], apply: Apply) -> bool:
    number, value = 0, Value()
    for operation in order:
        if operation.made is not None:
            number, value = number + 1, apply(value, operation.made)
        if operation.number != number or (operation.seen is not None and operation.seen != value):
            return False
    return True


@st.composite
def histories(draw: st.DrawFn) -> list[Operation]:
    found = []
    for process in range(draw(st.integers(0, 5))):
        begun = draw(st.integers(0, 8))
        ended = begun + draw(st.integers(0, 5))
        number = draw(st.integers(0, 3))
        values = frozenset(draw(st.sampled_from(["", "a", "ab"])))
        publishes = draw(st.booleans()) and number > 0
        own = frozenset(str(process)) if publishes else None
        found.append(Operation(process, begun, ended, number, made=own, seen=None if draw(st.booleans()) else values))
    return found


@st.composite
def likely_histories(draw: st.DrawFn) -> list[Operation]:
    """Histories in which every number has one maker: what is in doubt is their time."""
    numbers = draw(st.permutations(range(1, draw(st.integers(1, 4)) + 1)))
    found = []
    for process, number in enumerate([*numbers, *draw(st.lists(st.integers(0, len(numbers)), max_size=2))]):
        begun = draw(st.integers(0, 8))
        own = frozenset("abcd"[number - 1]) if process < len(numbers) else None
        found.append(Operation(process, begun, begun + draw(st.integers(0, 6)), number, made=own))
    return found


@given(st.one_of(histories(), likely_histories()), st.sampled_from([replaced, appended]))
def test_the_verdict_is_that_of_trying_all_orders(history: list[Operation], apply: Apply) -> None:
    assert (anomalies(history, apply) == []) == can_be_ordered(history, apply)
