"""Work ahead of the consumer: an iterator that runs in a thread of its own, a few items in advance.

Worth it where producer and consumer both let go of Python's lock (Arrow parsing on one side, DuckDB reading on the
other). Nothing is lost silently: an error of the producer reaches the consumer in its place, and a consumer that stops
early, by closing or by error, ends the thread and closes the producer before it goes on.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")

_JOIN_S = 0.05
"""How long to wait for the thread between two looks at what it may be blocked on."""


def prefetch(items: Iterator[Item], depth: int = 8) -> Generator[Item, None, None]:
    """The same items in the same order, at most `depth` of them waiting; the thread starts with the first `next`.

    Raises:
        BaseException: Whatever `items` raises, after the items before it.
    """
    producer = _Producer(items, depth)
    producer.start()
    try:
        while not isinstance(turn := producer.turns.get(), _End):
            yield turn
        if turn.error is not None:
            raise turn.error
    finally:
        producer.stop()


class _End:
    """What follows the last item: nothing, or the error that ended the items."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class _Producer(Generic[Item]):
    def __init__(self, items: Iterator[Item], depth: int) -> None:
        self.turns: queue.Queue[Item | _End] = queue.Queue(depth)
        self._items = items
        self._unwanted = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prefetch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread, wherever it is; wait until it and the items are closed."""
        self._unwanted.set()
        while self._thread.is_alive():
            while not self.turns.empty():
                self.turns.get_nowait()
            self._thread.join(_JOIN_S)

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            for item in self._items:
                self.turns.put(item)
                if self._unwanted.is_set():
                    break
        except BaseException as raised:  # noqa: BLE001 - it is the consumer's to handle, and reaches it
            error = raised
        finally:
            if isinstance(self._items, Generator):
                self._items.close()
        self.turns.put(_End(error))
