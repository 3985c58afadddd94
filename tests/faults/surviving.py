"""What must hold after anything went wrong: the judge of every crash and fault.

Readers see exactly the version before or exactly the one after, and everything that `verify` looks at is sound. A
writer that ended by itself told the truth. The same work, done again, finishes: then readers see the version after,
once, no record is lost or there twice, and when what was left is collected, the store holds what it would hold if
nothing had gone wrong: no more, no less, and nothing half-made.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic

from tests.faults.children import Answer
from tests.faults.fault import AnyTrouble, Fault
from tests.faults.homes import Home
from tests.faults.observing import Observed, observe
from tests.faults.scenarios import Claim, Said, Scenario, collect_later, collect_what_is_left
from tests.faults.zygote import Zygote

_LINES_SHOWN = 6

THE_END = "the end"
"""Of a run, as a point at which the power can be cut."""


class UnfitScenarioError(AssertionError):
    """A scenario does not do what it says even when nothing goes wrong: it could show nothing."""

    def __init__(self, scenario: Scenario, problem: str) -> None:
        super().__init__(f"{scenario}: {problem}")


@dataclass(frozen=True)
class Acted:
    """How the work of a scenario went."""

    answer: Answer
    killed: bool
    hung: bool
    struck: tuple[str, ...]
    """What went wrong, in words; empty when the run ended before it came to that point."""
    struck_paths: tuple[str, ...] = ()
    """What files it was about."""


@dataclass(frozen=True)
class Tried:
    """One trouble at one point, and what it showed."""

    fault: object
    struck: str
    said: str
    defects: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.fault} at {self.struck}: {'; '.join(self.defects)}. It said: {self.said}"


class Trial(ABC, Generic[AnyTrouble]):
    """A scenario, prepared once and acted out again for every fault from the same beginning."""

    def __init__(self, zygote: Zygote, scenario: Scenario, prepared: Home) -> None:
        self._zygote, self._scenario, self._prepared = zygote, scenario, prepared
        prepared.folder.mkdir(parents=True)
        zygote.value(scenario.prepare, prepared)
        home = prepared.copied("home")
        self._before = self._observe(home)
        self._sound = self._act(home, None)
        self._right_after = self._observe(home)
        zygote.value(collect_what_is_left, home)
        self._after = self._observe(home)
        self._check_that_it_shows_something()

    def __str__(self) -> str:
        return str(self._scenario)

    @abstractmethod
    def points(self, trouble: AnyTrouble) -> list[str]:
        """The events of the run in which nothing goes wrong to which a trouble can happen, in words."""

    @abstractmethod
    def _act(self, home: Home, fault: Fault[AnyTrouble] | None) -> Acted:
        """Do the scenario's work in a child, and let the fault happen."""

    def try_out(self, fault: Fault[AnyTrouble]) -> Tried:
        """Act from the beginning with a fault, and judge."""
        home = self._prepared.copied("home")
        acted = self._act(home, fault)
        defects = tuple(self._defects(home, fault, acted))
        struck = ", ".join(what.replace(f"{home.folder}/", "") for what in acted.struck[:2])
        return Tried(fault, struck, _in_words(acted.answer), defects)

    def _defects(self, home: Home, fault: Fault[AnyTrouble], acted: Acted) -> Iterator[str]:
        said = acted.answer.value if isinstance(acted.answer.value, Said) else None
        partly = said is not None and said.claim is Claim.PARTLY
        if acted.hung:
            yield "it hangs"
        if fault.trouble.kills and not acted.killed and acted.struck not in {(), (THE_END,)}:
            yield "it was not killed: the harness is broken"
        observed = self._observe(home)
        yield from observed.unsound
        if observed.seen not in {self._before.seen, self._after.seen} and not partly:
            yield f"readers see neither the version before nor the one after, but {observed.seen}"
        if not acted.killed:
            yield from self._lies(said, observed)
            yield from _left_behind(home, acted, observed)
        again = self._zygote.call(self._scenario.again or self._scenario.act, home)
        if not isinstance(again.value, Said) or again.value.claim is not Claim.DONE:
            yield f"doing it again does not finish: {_in_words(again)}"
        yield from self._wrong_in_the_end(home, partly=partly)

    def _lies(self, said: Said | None, observed: Observed) -> Iterator[str]:
        """What is wrong with what a writer said that ended by itself."""
        seen, after = observed.seen, self._after.seen
        if said is None:
            published = " when it had published" if seen == after != self._before.seen else ""
            yield f"it ended with an error that nobody foresaw{published}"
        elif said.claim is Claim.DONE and seen != after:
            yield "false success"
        elif said.claim is Claim.NOT_DONE and seen != self._before.seen:
            yield "false failure: the version is published"
        elif said.claim is Claim.PARTLY and not {*seen.rows, *seen.quarantined} <= {*after.rows, *after.quarantined}:
            yield "readers see what no drop has"

    def _wrong_in_the_end(self, home: Home, *, partly: bool) -> Iterator[str]:
        """What is wrong when the work was done again and what was left is collected."""
        collected = self._zygote.call(collect_later, home)
        if not isinstance(collected.value, Said) or collected.value.claim is not Claim.DONE:
            yield f"what was left cannot be collected: {_in_words(collected)}"
        finally_, after = self._observe(home), self._after
        yield from (f"in the end: {problem}" for problem in finally_.unsound)
        if finally_.seen != after.seen and not (partly and finally_.seen.content == after.seen.content):
            yield f"in the end readers see {finally_.seen}"
        if finally_.leftovers:
            yield f"never swept: {', '.join(finally_.leftovers)}"
        there, due = set(finally_.objects), set(after.objects)
        if due - there:
            yield f"lost: {', '.join(sorted(due - there))}"
        if there - due and not partly:
            yield f"never collected: {', '.join(sorted(there - due))}"

    def _observe(self, home: Home) -> Observed:
        """Look at a copy: what the writer left is for whoever does the work again."""
        observed = self._zygote.value(observe, home.copied("observed"))
        assert isinstance(observed, Observed)
        return observed

    def _check_that_it_shows_something(self) -> None:
        said, scenario = self._sound.answer.value, self._scenario
        if not isinstance(said, Said) or said.claim is not Claim.DONE:
            raise UnfitScenarioError(scenario, _in_words(self._sound.answer))
        rows = (len(self._before.seen.rows), len(self._after.seen.rows))
        changed = self._before.seen != self._after.seen or set(self._before.objects) > set(self._after.objects)
        if rows != scenario.rows or not changed:
            raise UnfitScenarioError(scenario, f"{rows} rows before and after, not as it says, or nothing changed")
        seen = (self._before, self._right_after, self._after)
        unsound = [problem for observed in seen for problem in (*observed.unsound, *observed.leftovers)]
        if unsound or self._right_after.seen != self._after.seen:
            raise UnfitScenarioError(scenario, f"{unsound}, {self._right_after.seen}, {self._after.seen}")


def _left_behind(home: Home, acted: Acted, observed: Observed) -> Iterator[str]:
    """What a writer that ended by itself did not remove, although nothing went wrong with the removal."""
    for leftover in observed.leftovers:
        path = str(home.home / leftover)
        if not any(other.startswith(path) or path.startswith(f"{other.rstrip('/')}/") for other in acted.struck_paths):
            yield f"it ended and left behind {leftover}"


def _in_words(answer: Answer) -> str:
    if isinstance(answer.value, Said):
        said = answer.value
        return f"{said.claim} ({said.how}{f': {said.message}' if said.message else ''})"
    return " | ".join((answer.error or "nothing").strip().splitlines()[-_LINES_SHOWN:])
