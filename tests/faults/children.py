"""A function called in a forked child, and what it leaves: a value, or why there is none.

The parent must have one thread and no database open, because a fork takes over neither.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call ended."""

    value: Any
    """What the function returned; None when it did not get that far."""
    error: str | None
    """Why there is no value: the traceback, or the signal."""


class Child:
    """A forked process that waits to be let go, then calls the function and ends."""

    def __init__(
        self, function: Callable[..., object], arguments: Sequence[object], *, first: Callable[[], None] | None = None
    ) -> None:
        """Fork.

        Args:
            function: What to call.
            arguments: With what.
            first: What to do before, in the child.
        """
        self._said = os.memfd_create("said")
        gate, self._opener = os.pipe()
        self.process = os.fork()
        if self.process == 0:
            os.close(self._opener)
            os.read(gate, 1)
            _work(self._said, function, arguments, first)
        os.close(gate)

    def let_go(self) -> None:
        """Let it begin."""
        os.write(self._opener, b"!")

    def answer(self, status: int) -> Answer:
        """What it left, when it has ended with this status."""
        os.close(self._opener)
        with os.fdopen(self._said, "rb") as file:
            file.seek(0)
            data = file.read()
        if os.WIFSIGNALED(status):
            return Answer(None, f"ended by {signal.Signals(os.WTERMSIG(status)).name}")
        return Answer(*pickle.loads(data)) if data else Answer(None, "ended without a word")

    def kill(self) -> None:
        """End it, all its threads and what it started."""
        for process in (self.process, *descendants(self.process)):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


def descendants(process: int) -> list[int]:
    """The children of a process, and theirs."""
    found = [process]
    for known in found:
        for listed in Path("/proc", str(known), "task").glob("*/children"):
            with suppress(OSError):
                found += [int(word) for word in listed.read_text().split()]
    return found[1:]


def call(function: Callable[..., object], arguments: Sequence[object], timeout_s: int) -> Answer:
    """Call a function in a child and wait for it."""
    child = Child(function, arguments)
    child.let_go()
    try:
        with alarm(timeout_s):
            _, status = os.waitpid(child.process, 0)
    except TimeoutError:
        child.kill()
        _, status = os.waitpid(child.process, 0)
    return child.answer(status)


@contextmanager
def alarm(seconds: int) -> Iterator[None]:
    """Raise TimeoutError in the context when it takes longer."""

    def ring(_number: int, _frame: object) -> NoReturn:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _work(
    said: int, function: Callable[..., object], arguments: Sequence[object], first: Callable[[], None] | None
) -> NoReturn:
    """In the child: call, say how it went, and leave nothing to the parent's clean-up."""
    try:
        if first is not None:
            first()
        answer: tuple[object, str | None] = (function(*arguments), None)
        gc.collect()  # a process that ends closes what it holds; so must this one
    except BaseException:  # noqa: BLE001 - whatever it was, the harness judges it
        answer = (None, traceback.format_exc())
    try:
        os.write(said, pickle.dumps(answer))
    finally:
        os._exit(0)
