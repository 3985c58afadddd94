"""Work ahead of the consumer: an iterator that runs in a thread of its own, a few items in advance.

Worth it where producer and consumer both let go of Python's lock (Arrow parsing on one side, DuckDB reading on the
other). Nothing is lost silently: an error of the producer reaches the consumer in its place, and a consumer that stops
early, by closing or by error, ends the thread and closes the producer before it goes on. Only a producer that makes no
step at all (it waits for a server that says nothing) is left behind, when somebody wants all of it to stop.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")

PATIENCE_S = 2.0
"""How long a producer that is to stop at once may take for the step it is in."""

_DRAIN_S = 0.05
"""How long to wait for the thread between two looks at what it may be blocked on."""
_LOOK_S = 0.25


class StoppedError(RuntimeError):
    """Somebody called it off: there are no more items."""


def prefetch(
    items: Iterator[Item], depth: int = 8, *, stop: threading.Event | None = None
) -> Generator[Item, None, None]:
    """The same items in the same order, at most `depth` of them waiting; the thread starts with the first `next`.

    Args:
        items: What to run ahead of.
        depth: How far.
        stop: Set by whoever wants it to end, from any thread, also while the next item is waited for.

    Raises:
        StoppedError: `stop` was set.
        BaseException: Whatever `items` raises, after the items before it.
    """
    producer = _Producer(items, depth, stop or threading.Event())
    producer.start()
    try:
        while not isinstance(turn := producer.next(), _End):
            yield turn
        if turn.error is not None:
            raise turn.error
    finally:
        producer.end()


class _End:
    """What follows the last item: nothing, or the error that ended the items."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class _Producer(Generic[Item]):
    def __init__(self, items: Iterator[Item], depth: int, stop: threading.Event) -> None:
        self._turns: queue.Queue[Item | _End] = queue.Queue(depth)
        self._items = items
        self._stop = stop
        self._unwanted = threading.Event()
        self._over = threading.Event()
        """Not `Thread.join`: in Python 3.11 one that is interrupted takes the thread for ended."""

    def start(self) -> None:
        threading.Thread(target=self._run, name="prefetch", daemon=True).start()

    def next(self) -> Item | _End:
        while not self._stop.is_set():
            try:
                return self._turns.get(timeout=_LOOK_S)
            except queue.Empty:
                continue
        raise StoppedError

    def end(self) -> None:
        """End the thread, wherever it is; wait until it and the items are closed."""
        self._unwanted.set()
        waited = 0.0
        while not self._over.wait(_DRAIN_S) and not (self._stop.is_set() and waited > PATIENCE_S):
            waited += _DRAIN_S
            while not self._turns.empty():
                self._turns.get_nowait()

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            for item in self._items:
                self._turns.put(item)
                if self._unwanted.is_set():
                    break
        except BaseException as raised:  # noqa: BLE001 - it is the consumer's to handle, and reaches it
            error = raised
        finally:
            if isinstance(self._items, Generator):
                self._items.close()
        self._turns.put(_End(error))
        self._over.set()
