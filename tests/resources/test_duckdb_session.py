"""Sessions whose statements end when whoever waits for them is interrupted: a real signal, in the midst of a query."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from resources.duckdb_session import interruptibly, open_session, run_query
from resources.object_store import LocalObjectStore

ENDLESS = "SELECT count(*) FROM range(1_000_000_000_000) AS a(i) WHERE i * i % 7 = 3"
SOON_S = 5.0


class Cancelled(BaseException):
    """What the signal's handler raises, as Dagster's does."""


@pytest.fixture
def session() -> Iterator[duckdb.DuckDBPyConnection]:
    with open_session("gate") as opened:
        yield opened


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    deadline = time.monotonic() + SOON_S
    while time.monotonic() < deadline and [t for t in threading.enumerate() if t.name == "duckdb"]:
        time.sleep(0.01)
    assert [thread.name for thread in threading.enumerate() if thread.name == "duckdb"] == []


@contextmanager
def signalled_after(begun: threading.Event, times: int = 1) -> Iterator[None]:
    """A signal reaches this thread, `times` times, when the work has begun."""

    def cancel(*_: object) -> None:
        raise Cancelled

    def send() -> None:
        begun.wait()
        for _ in range(times):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
            time.sleep(0.05)

    before = signal.signal(signal.SIGUSR1, cancel)
    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        begun.set()
        sender.join()
        signal.signal(signal.SIGUSR1, before)


def counting(session: duckdb.DuckDBPyConnection, begun: threading.Event) -> Callable[[], object]:
    def work() -> object:
        begun.set()
        return session.execute(ENDLESS).fetchall()

    return work


def test_a_statement_gives_its_rows(session: duckdb.DuckDBPyConnection) -> None:
    assert run_query(session, "SELECT * FROM range(?) ORDER BY 1", [3]) == [(0,), (1,), (2,)]


def test_an_error_of_the_statement_is_its_own(session: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(duckdb.CatalogException, match="nowhere"):
        run_query(session, "SELECT * FROM nowhere")


def test_an_interruption_reaches_whoever_waits_and_ends_the_statement(session: duckdb.DuckDBPyConnection) -> None:
    begun = threading.Event()
    started = time.monotonic()
    with signalled_after(begun), pytest.raises(Cancelled):
        interruptibly(session, counting(session, begun))
    assert time.monotonic() - started < SOON_S
    assert run_query(session, "SELECT 1") == [(1,)], "the session is free again"


def test_a_second_interruption_does_not_leave_the_statement_behind(session: duckdb.DuckDBPyConnection) -> None:
    begun = threading.Event()
    with signalled_after(begun, times=3):
        try:
            interruptibly(session, counting(session, begun))
        except Cancelled:
            pass
        else:
            pytest.fail("nothing was interrupted")
        # whatever comes now is not of the statement's time any more
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
    assert run_query(session, "SELECT 1") == [(1,)]


def test_what_feeds_the_statement_hears_of_the_interruption(session: duckdb.DuckDBPyConnection) -> None:
    begun, stop = threading.Event(), threading.Event()

    def batches() -> Iterator[pa.RecordBatch]:
        while not stop.is_set():
            begun.set()
            yield pa.record_batch({"i": pa.array([1], pa.int64())})
        msg = "stopped"
        raise RuntimeError(msg)

    session.register("fed", pa.RecordBatchReader.from_batches(pa.schema([("i", pa.int64())]), batches()))
    with signalled_after(begun), pytest.raises(Cancelled):
        run_query(session, "SELECT count(*) FROM fed", stop=stop)
    assert stop.is_set()


def test_somebody_else_may_end_a_statement_too(session: duckdb.DuckDBPyConnection) -> None:
    begun, stop = threading.Event(), threading.Event()

    def end() -> None:
        begun.wait()
        stop.set()

    threading.Thread(target=end).start()
    with pytest.raises(duckdb.InterruptException):
        interruptibly(session, counting(session, begun), stop=stop)


def test_a_statement_that_runs_in_a_thread_of_somebody_is_ended_from_there(session: duckdb.DuckDBPyConnection) -> None:
    begun, stop = threading.Event(), threading.Event()
    seen: list[BaseException] = []

    def work() -> None:
        try:
            interruptibly(session, counting(session, begun), stop=stop)
        except duckdb.InterruptException as error:
            seen.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait()
    stop.set()
    thread.join(SOON_S)
    assert [type(error) for error in seen] == [duckdb.InterruptException]


def test_homes_that_come_and_go_do_not_add_up(tmp_path: Path) -> None:
    """Each database has threads of its own: a process that has seen a thousand homes must not have two thousand."""

    def look(number: int) -> None:
        with open_session("gate", store=LocalObjectStore(tmp_path / str(number))) as session:
            run_query(session, "SELECT sum(i) FROM range(100_000) AS a(i)")

    for number in range(20):
        look(number)
    before = len(list(Path("/proc/self/task").iterdir()))
    for number in range(20, 40):
        look(number)
    assert len(list(Path("/proc/self/task").iterdir())) <= before + 2


def test_a_session_outlives_its_database_being_let_go(tmp_path: Path) -> None:
    with open_session("gate", store=LocalObjectStore(tmp_path / "first")) as session:
        for number in range(20):
            with open_session("gate", store=LocalObjectStore(tmp_path / str(number))):
                pass
        assert run_query(session, "SELECT 1") == [(1,)]
