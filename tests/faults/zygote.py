"""A process that has imported everything and done nothing yet, and forks a child for each thing to do.

A child starts in milliseconds where a new interpreter takes a second. The process has one thread and no database open,
because a fork takes over neither well; what the children import lazily it learns from a first child and imports ahead.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.faults.children import Answer, call, descendants
from tests.faults.fault import Fault
from tests.faults.tracer import Traced, Tracer
from tests.faults.troubles import Trouble

ROOT = Path(__file__).parents[2]

_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
"""What else would start threads when it is imported."""

TIMEOUT_S = 600
"""What a child that nobody traces may take."""


class Zygote:
    """The harness's end: starts the process, hands it tasks one by one, ends it."""

    def __init__(self, log: Path) -> None:
        ours, theirs = socket.socketpair()
        with log.open("wb") as said, theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.zygote", str(theirs.fileno())],
                cwd=ROOT,
                env=os.environ | _ONE_THREAD,
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
        self._connection = Connection(ours.detach())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._connection.close()
        self._process.wait(timeout=60)

    def trace(
        self, tracer: Tracer, function: Callable[..., object], *arguments: object, fault: Fault[Trouble] | None = None
    ) -> Traced:
        """Call a function of a module in a traced child.

        Raises:
            EOFError: The process is gone; its log says why.
        """
        self._connection.send((tracer, fault, function, arguments))
        traced: Traced = self._connection.recv()
        return traced

    def call(self, function: Callable[..., object], *arguments: object) -> Answer:
        """Call a function of a module in a child that nothing happens to."""
        self._connection.send((None, None, function, arguments))
        answer: Answer = self._connection.recv()
        return answer

    def value(self, function: Callable[..., object], *arguments: object) -> object:
        """What a function returns in a child that nothing happens to; RuntimeError when it fails."""
        answer = self.call(function, *arguments)
        if answer.error is not None:
            raise RuntimeError(answer.error)
        return answer.value

    def kill_child(self) -> None:
        """End the child that is at work, and what it started: for another thread, while this one waits for it."""
        for child in descendants(self._process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    def warm_up(self, function: Callable[..., object], *arguments: object) -> None:
        """Learn what a function imports, and have it imported from now on."""
        self.value(_prepare_to, self.value(_modules_after, function, *arguments))


def _modules_after(function: Callable[..., object], *arguments: object) -> list[str]:
    before = set(sys.modules)
    function(*arguments)
    return [name for name in sys.modules if name not in before]


def _prepare_to(_modules: Sequence[str]) -> None:
    """Marks a task that is for the zygote itself."""


def _import(modules: Sequence[str]) -> None:
    for name in modules:
        with contextlib.suppress(ImportError):
            import_module(name)
    import_module("pytz").timezone("Etc/UTC")  # looks at every file of its database, once a process


def main(descriptor: int) -> None:
    """Do tasks until nobody has any more."""
    connection = Connection(descriptor)
    while True:
        try:
            tracer, fault, function, arguments = connection.recv()
        except EOFError:
            return
        if function is _prepare_to:
            _import(*arguments)
        if tracer is None:
            connection.send(call(function, arguments, TIMEOUT_S))
        else:
            connection.send(tracer.run(function, *arguments, fault=fault))


if __name__ == "__main__":
    from tests.faults import zygote

    zygote.main(int(sys.argv[1]))  # not this module's: what is pickled names the imported one
