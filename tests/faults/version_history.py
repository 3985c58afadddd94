"""Was it linearizable? A checker for recorded histories of one partition: a register whose values have numbers.

Each operation has a span of time and a place in the order that the numbers give: a publication makes number n, and
whatever saw n (a read, a refusal, a reuse) comes after it and before n + 1. A history is linearizable when every
operation can be given one moment within its span such that the moments are in that order. Moments exist exactly when no
operation ended before one began that has its place before it: then the latest beginning among all operations up to
one's place is such a moment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

Value = frozenset[str]
"""What a version holds."""

Apply = Callable[[Value, Value], Value]
"""What a publication makes of the version before and its own content."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of one process, by a clock that all processes share."""

    process: int
    begun: int
    ended: int
    number: int
    """The version it made or saw; 0: there was none."""
    made: Value | None = None
    """Its own content, when it made the version."""
    seen: Value | None = None
    """What it found in the version, when it looked."""

    @property
    def place(self) -> tuple[int, bool]:
        """Where it stands in the order of the versions."""
        return self.number, self.made is None


def replaced(_before: Value, own: Value) -> Value:
    """What a publication makes in the mode `replace`, and in the mode `error` of nothing."""
    return own


def appended(before: Value, own: Value) -> Value:
    """What a publication makes in the mode `append`."""
    return before | own


def anomalies(history: Iterable[Operation], apply: Apply) -> list[str]:
    """What keeps a history from being linearizable; empty when nothing does."""
    ordered = sorted(history, key=lambda operation: operation.place)
    return [*_wrong_winners(ordered), *_wrong_values(ordered, apply), *_wrong_order(ordered)]


def _wrong_winners(ordered: Sequence[Operation]) -> list[str]:
    """Each number from 1 on has one maker."""
    makers = Counter(operation.number for operation in ordered if operation.made is not None)
    highest = max((operation.number for operation in ordered), default=0)
    return [f"version {n} was made by {makers[n]}" for n in range(1, highest + 1) if makers[n] != 1] + [
        f"version {n} was made, which cannot be" for n in makers if n < 1
    ]


def _wrong_values(ordered: Sequence[Operation], apply: Apply) -> list[str]:
    """Whoever looked saw what the publications up to that number make of nothing."""
    value: Value = frozenset()
    values = {0: value}
    for operation in ordered:
        if operation.made is not None:
            value = values[operation.number] = apply(value, operation.made)
    return [
        f"process {o.process} saw {sorted(o.seen)} in version {o.number}, which holds {sorted(values[o.number])}"
        for o in ordered
        if o.seen is not None and o.number in values and o.seen != values[o.number]
    ]


def _wrong_order(ordered: Sequence[Operation]) -> list[str]:
    """Nobody ended before somebody began whose place is before his."""
    wrong = []
    latest: Operation | None = None
    for _, same in groupby(ordered, key=lambda operation: operation.place):
        for operation in (together := list(same)):
            if latest is not None and operation.ended < latest.begun:
                wrong.append(
                    f"process {latest.process} began at {latest.begun} and came to version {latest.number}, "
                    f"but process {operation.process} was done with version {operation.number} at {operation.ended}"
                )
        latest = max([*together, *([latest] if latest else [])], key=lambda operation: operation.begun)
    return wrong
