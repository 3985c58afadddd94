"""Prefetching: same items, same order, and no thread that outlives its consumer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from contracts.prefetching import StoppedError, prefetch


class Source:
    """Counts up to `stop`, raises at `fail`, and remembers how far it came and whether it was closed."""

    def __init__(self, stop: int, fail: int | None = None) -> None:
        self.stop, self.fail = stop, fail
        self.made = 0
        self.closed = False

    def items(self) -> Iterator[int]:
        try:
            for number in range(self.stop):
                if number == self.fail:
                    raise RuntimeError(number)
                self.made += 1
                yield number
        finally:
            self.closed = True


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name == "prefetch"] == []


@pytest.mark.parametrize("depth", [1, 2, 7])
@pytest.mark.parametrize("count", [0, 1, 2, 100])
def test_the_same_items_in_the_same_order(count: int, depth: int) -> None:
    source = Source(count)
    assert list(prefetch(source.items(), depth)) == list(range(count))
    assert source.closed


def test_none_is_an_item() -> None:
    assert list(prefetch(iter([None, None]))) == [None, None]


def test_an_error_comes_after_the_items_before_it() -> None:
    source = Source(10, fail=3)
    ahead = prefetch(source.items())
    assert [next(ahead) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(RuntimeError, match="3"):
        next(ahead)
    assert source.closed


def test_the_producer_stays_only_a_little_ahead() -> None:
    source = Source(10**9)
    ahead = prefetch(source.items(), depth=2)
    assert next(ahead) == 0
    ahead.close()
    assert source.made <= 5
    assert source.closed


def test_nothing_runs_before_the_first_item_is_asked_for() -> None:
    source = Source(10)
    prefetch(source.items())
    assert source.made == 0


def fail_at(number: int, items: Iterator[int]) -> None:
    for item in items:
        if item == number:
            raise KeyError(item)


def test_a_consumer_that_fails_ends_the_thread() -> None:
    source = Source(10**9)
    with pytest.raises(KeyError):
        fail_at(5, prefetch(source.items()))
    assert source.made < 20


def test_a_stop_ends_the_items() -> None:
    stop = threading.Event()
    ahead = prefetch(Source(10**9).items(), stop=stop)
    assert next(ahead) == 0
    stop.set()
    with pytest.raises(StoppedError):
        next(ahead)


def test_a_stop_is_heard_while_the_next_item_is_waited_for() -> None:
    stop, go_on = threading.Event(), threading.Event()

    def slow() -> Iterator[int]:
        yield 0
        go_on.wait()

    ahead = prefetch(slow(), stop=stop)
    assert next(ahead) == 0
    threading.Timer(0.1, stop.set).start()
    threading.Timer(0.6, go_on.set).start()
    with pytest.raises(StoppedError):
        next(ahead)


def test_a_producer_that_hangs_is_left_behind_when_all_is_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contracts.prefetching.PATIENCE_S", 0.2)
    stop, silent = threading.Event(), threading.Event()

    def hanging() -> Iterator[int]:
        yield 0
        silent.wait()

    ahead = prefetch(hanging(), stop=stop)
    assert next(ahead) == 0
    stop.set()
    with pytest.raises(StoppedError):
        next(ahead)
    silent.set()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and any(thread.name == "prefetch" for thread in threading.enumerate()):
        time.sleep(0.01)
