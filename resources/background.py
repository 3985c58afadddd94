"""Work beside the main thread that never keeps a process from ending.

The standard library's executor waits for its threads when it closes, and once more when the process ends. Here whoever
leaves waits a moment only: a thread that a silent server keeps waiting is left to itself, and ends with the process.
Its results count no more: who cancelled does not look at them.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Self, TypeVar

PATIENCE_S = 2.0
"""How long the end waits for what is under way."""

Result = TypeVar("Result")


class Background:
    """Some threads that do what is submitted, in order. Leaving the context calls off what has not begun."""

    def __init__(self, name: str, threads: int = 1) -> None:
        """Start no thread yet: each one comes with the work for it."""
        self.stop = threading.Event()
        """Set when nobody wants the results any more: what takes long looks at it."""
        self._name, self._most = name, threads
        self._waiting: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._over: list[threading.Event] = []
        """One a thread. `Thread.join` would not do: in Python 3.11 an interrupted one takes the thread for ended."""

    def submit(self, work: Callable[[], Result]) -> Future[Result]:
        """Do this when a thread is free."""
        outcome: Future[Result] = Future()

        def run() -> None:
            if self.stop.is_set() or not outcome.set_running_or_notify_cancel():
                outcome.cancel()
                return
            try:
                outcome.set_result(work())
            except BaseException as error:  # noqa: BLE001 - it is for whoever asks for the result, and reaches it
                outcome.set_exception(error)

        self._waiting.put(run)
        if len(self._over) < self._most:
            self._over.append(over := threading.Event())
            threading.Thread(target=self._serve, args=(over,), name=self._name, daemon=True).start()
        return outcome

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.stop.set()
        for _ in self._over:
            self._waiting.put(None)
        deadline = time.monotonic() + PATIENCE_S
        for over in self._over:
            over.wait(max(0.0, deadline - time.monotonic()))

    def _serve(self, over: threading.Event) -> None:
        while (run := self._waiting.get()) is not None:
            run()
        over.set()
