"""The protocol of collection as a model: every interleaving of writers, collectors and the clock, one step at a time.

It shows that the argument in `collecting` needs each of its parts: leave one out, and there is an interleaving in which
a document names what was removed. The steps are those of the platform, in the platform's order; `free_place` is its
own. A step that would break one of the assumptions about time (a writer that sleeps for longer than a grace between its
last look and its document) is not taken. Ages count up to the grace and no further, and there are only so many copies:
so all states are reached.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from contracts.collection import free_place

GRACE = 2
"""Ticks of the clock."""
X = "x"


@dataclass(frozen=True)
class Rules:
    """The protocol; each flag leaves a part of it out."""

    writer_looks_at_lists: bool = True
    writer_looks_again: bool = True
    writer_is_quick: bool = True
    collector_waits: bool = True
    roots_are_looked_at_again: bool = True
    names_stay_doomed_for_another_grace: bool = True
    removal_follows_its_check_quickly: bool = True


@dataclass(frozen=True, order=True)
class Listed:
    """A list of the collector's."""

    name: str
    age: int = 0
    emptied: int = -1
    """How long ago it was gone through; -1: it was not."""


@dataclass(frozen=True, order=True)
class Writer:
    """Wants to write a document that names the content."""

    step: str = "look"
    place: str = ""
    age: int = 0
    """Of its last look."""


@dataclass(frozen=True, order=True)
class Collector:
    """Between two of its steps: what it has decided to remove, and how long ago it checked that it may."""

    removing: str = ""
    age: int = 0


@dataclass(frozen=True)
class State:
    """Everything at one moment; who is who among writers, collectors and lists does not matter."""

    writers: tuple[Writer, ...]
    collectors: tuple[Collector, ...]
    there: frozenset[str] = frozenset({X})
    lists: tuple[Listed, ...] = ()
    is_named: bool = False
    """Whether a document names the content."""

    @property
    def doomed(self) -> frozenset[str]:
        return frozenset(listed.name for listed in self.lists)

    @property
    def is_sound(self) -> bool:
        """Where a document names the content, a reader finds a copy of it."""
        return not self.is_named or bool(self.there)


def following(state: State, rules: Rules) -> Iterator[State]:
    """Every state that one step of anybody leads to."""
    if not _would_break_an_assumption(state, rules):
        yield replace(
            state,
            writers=tuple(replace(w, age=min(w.age + 1, GRACE)) for w in state.writers),
            collectors=tuple(replace(c, age=min(c.age + 1, GRACE)) for c in state.collectors),
            lists=tuple(_older(listed) for listed in state.lists),
        )
    for number, writer in enumerate(state.writers):
        for stepped, moved in _written(state, writer, rules):
            yield replace(stepped, writers=tuple(sorted(_with(state.writers, number, moved))))
    for number, collector in enumerate(state.collectors):
        for stepped, gone_on in _collected(state, collector, rules):
            yield replace(stepped, collectors=tuple(sorted(_with(state.collectors, number, gone_on))))


def _older(listed: Listed) -> Listed:
    emptied = listed.emptied if listed.emptied < 0 else min(listed.emptied + 1, GRACE)
    return replace(listed, age=min(listed.age + 1, GRACE), emptied=emptied)


def _would_break_an_assumption(state: State, rules: Rules) -> bool:
    """Whether somebody will have taken a grace when another tick has passed."""
    is_slow = any(w.step == "write" and w.age + 1 >= GRACE for w in state.writers)
    is_stalled = any(c.removing and c.age + 1 >= GRACE for c in state.collectors)
    return (rules.writer_is_quick and is_slow) or (rules.removal_follows_its_check_quickly and is_stalled)


def _written(state: State, writer: Writer, rules: Rules) -> Iterator[tuple[State, Writer]]:
    doomed = state.doomed if rules.writer_looks_at_lists else frozenset[str]()
    if writer.step == "look":
        yield state, Writer("put", free_place(X, doomed))
    elif writer.step == "put":
        last = "look again" if rules.writer_looks_again else "write"
        yield replace(state, there=state.there | {writer.place}), Writer(last, writer.place)
    elif writer.step == "look again":
        is_good = writer.place not in doomed and writer.place in state.there
        yield state, Writer("write", writer.place) if is_good else Writer()
    elif writer.step == "write":
        yield replace(state, is_named=True), Writer("done")


def _collected(state: State, collector: Collector, rules: Rules) -> Iterator[tuple[State, Collector]]:
    if collector.removing:
        emptied = tuple(_emptied(listed, collector.removing) for listed in state.lists)
        yield replace(state, there=state.there - {collector.removing}, lists=tuple(sorted(emptied))), Collector()
        return
    for number, listed in enumerate(state.lists):
        if listed.emptied < 0 and listed.age >= (GRACE if rules.collector_waits else 0):
            if state.is_named and rules.roots_are_looked_at_again:
                kept = _with(state.lists, number, replace(listed, emptied=0))
                yield replace(state, lists=tuple(sorted(kept))), collector
            else:
                yield state, Collector(listed.name)
        if listed.emptied >= (GRACE if rules.names_stay_doomed_for_another_grace else 0):
            yield replace(state, lists=state.lists[:number] + state.lists[number + 1 :]), collector
    for name in [] if state.is_named else sorted(state.there - state.doomed):
        yield replace(state, lists=tuple(sorted((*state.lists, Listed(name))))), collector


def _emptied(listed: Listed, name: str) -> Listed:
    return replace(listed, emptied=0) if listed.name == name and listed.emptied < 0 else listed


def _with(items: tuple, number: int, item: object) -> tuple:
    return (*items[:number], item, *items[number + 1 :])


def first_unsound(rules: Rules, *, writers: int, collectors: int, copies: int = 2) -> State | None:
    """A state in which a document names what was removed; None when none can be reached."""
    start = State((Writer(),) * writers, (Collector(),) * collectors)
    seen, waiting = {start}, [start]
    while waiting:
        state = waiting.pop()
        if not state.is_sound:
            return state
        for new in following(state, rules):
            if new not in seen and len(new.there | new.doomed) <= copies:
                seen.add(new)
                waiting.append(new)
    assert len(seen) > 10_000, "the model was explored"
    return None


@pytest.mark.parametrize(("writers", "collectors"), [(1, 2), (2, 1)])
def test_no_interleaving_removes_what_a_document_names(writers: int, collectors: int) -> None:
    assert first_unsound(Rules(), writers=writers, collectors=collectors) is None


def test_nor_does_one_with_a_third_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "GRACE", 1)
    assert first_unsound(Rules(), writers=1, collectors=2, copies=3) is None


@pytest.mark.parametrize("part", Rules.__dataclass_fields__)
def test_without_any_one_part_of_it_there_is_one_that_does(part: str) -> None:
    assert first_unsound(replace(Rules(), **{part: False}), writers=1, collectors=2) is not None
