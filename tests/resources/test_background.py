"""Work in the background: it is done in order, its results are whoever's asks, and it keeps nobody from leaving."""

from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError
from functools import partial

import pytest

from resources import background
from resources.background import Background


def test_what_is_submitted_is_done_in_order() -> None:
    seen: list[int] = []
    with Background("work") as work:
        last = [work.submit(partial(seen.append, number)) for number in range(50)][-1]
        last.result()
    assert seen == list(range(50))


def test_an_error_is_for_whoever_asks_for_the_result() -> None:
    with Background("work") as work:
        failed = work.submit(lambda: 1 // 0)
        fine = work.submit(lambda: 1)
        with pytest.raises(ZeroDivisionError):
            failed.result()
        assert fine.result() == 1


def test_leaving_calls_off_what_has_not_begun() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def first() -> str:
        begun.set()
        go_on.wait()
        return "done"

    with Background("work") as work:
        under_way, waiting = work.submit(first), work.submit(lambda: "never")
        begun.wait()
        threading.Timer(0.1, go_on.set).start()
    assert under_way.result() == "done"
    with pytest.raises(CancelledError):
        waiting.result()


def test_what_takes_long_can_hear_that_nobody_asks_any_more() -> None:
    with Background("work") as work:
        stopped = work.submit(work.stop.wait)
    assert stopped.result()


def test_nobody_waits_for_long_for_what_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "PATIENCE_S", 0.2)
    for_ever = threading.Event()
    started = time.monotonic()
    with Background("work") as work:
        work.submit(for_ever.wait)
    assert time.monotonic() - started < 5
    for_ever.set()


def test_several_threads_work_at_once() -> None:
    both = threading.Barrier(2)
    with Background("work", threads=2) as work:
        met = [work.submit(lambda: both.wait(10)) for _ in range(2)]
        assert sorted(one.result() for one in met) == [0, 1]


def test_no_thread_begins_without_work() -> None:
    before = threading.active_count()
    with Background("work", threads=4):
        assert threading.active_count() == before
