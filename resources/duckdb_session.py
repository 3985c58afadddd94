"""DuckDB sessions of the platform's own: in memory, in UTC, within limits, and without the network.

A database costs milliseconds to create, a session on it microseconds, so each role keeps one database a process. The
writer's and the gates' are two: what a gate reads comes from disk, not from something the writer left in a cache.
People's SQL has a stricter session, in `query_engine`.

A statement that may take long runs in a thread of its own (`run_query`, `interruptibly`), because a signal reaches only
the main thread, and only between two steps of Python: in the midst of a statement DuckDB would turn a cancel into an
error like any other, which whoever handles errors takes for a failed partition.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

import duckdb

from contracts.duckdb_syntax import literal
from resources.object_store import ObjectStore
from resources.segment_places import is_remote, verified_files

Role = Literal["writer", "gate", "reader"]

MEMORY_LIMIT = "512MB"
"""What a database may buffer before it spills; small enough that a writer of any size stays below 1 GiB."""

Result = TypeVar("Result")

_LOOK_S = 0.25
"""How often the waiting thread looks whether somebody wants it to stop."""
_END_S = 0.05

_KEPT = 8
"""Databases a process keeps, the last ones used: each has threads and some megabytes. More than one home has roles."""

_databases: OrderedDict[tuple[int, Role, str], duckdb.DuckDBPyConnection] = OrderedDict()
_creating = threading.Lock()


@contextmanager
def open_session(role: Role = "reader", *, store: ObjectStore | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a session; what it registers and creates is its own, and gone when it closes.

    Args:
        role: Whose database.
        store: Where to spill, and what may be read; without one, what does not fit in memory fails.
    """
    database = _database(role, "" if store is None else os.fspath(store.spill_folder))
    if store is not None and is_remote(store.url("any")):
        verified_files().attach(database)
    session = database.cursor()
    try:
        session.execute("SET TimeZone = 'UTC'")
        yield session
    finally:
        session.close()


def run_query(
    session: duckdb.DuckDBPyConnection,
    query: str,
    parameters: Sequence[Any] = (),
    *,
    stop: threading.Event | None = None,
) -> list[tuple[Any, ...]]:
    """Run a statement that may take long, and fetch all its rows; see `interruptibly`."""
    return interruptibly(session, lambda: session.execute(query, parameters).fetchall(), stop=stop)


def interruptibly(
    session: duckdb.DuckDBPyConnection, work: Callable[[], Result], *, stop: threading.Event | None = None
) -> Result:
    """Do something with a session that ends, at the latest some moments later, when the waiting thread is interrupted.

    Args:
        session: What `work` uses, and nobody else meanwhile.
        work: Done in another thread.
        stop: Set it to end the work from elsewhere. It is set when the waiting thread is interrupted, for whatever else
            takes part in the work (what it reads from, for one).

    Raises:
        BaseException: What interrupted the waiting thread (a cancel), when the work is over; or what `work` raises.
    """
    outcome: Future[Result] = Future()
    over = threading.Event()  # not `Thread.join`: in Python 3.11 an interrupted one takes the thread for ended
    thread = threading.Thread(target=_settle, args=(outcome, over, work), name="duckdb", daemon=True)
    try:
        thread.start()
        while not over.wait(_LOOK_S):
            if stop is not None and stop.is_set():
                session.interrupt()
    except BaseException:
        if stop is not None:
            stop.set()
        if thread.ident is not None:
            _end(session, over)
        raise
    return outcome.result()


def _settle(outcome: Future[Result], over: threading.Event, work: Callable[[], Result]) -> None:
    try:
        outcome.set_result(work())
    except BaseException as error:  # noqa: BLE001 - it is the waiting thread's to handle, and reaches it
        outcome.set_exception(error)
    finally:
        over.set()


def _end(session: duckdb.DuckDBPyConnection, over: threading.Event) -> None:
    """Interrupt until it helps: what comes between two statements is forgotten with the next one."""
    while not over.is_set():
        try:
            session.interrupt()
            over.wait(_END_S)
        except BaseException:  # noqa: BLE001, S112 - a second Ctrl-C: the first is on its way, and waits for the thread
            continue


def session_config(spill_to: str) -> dict[str, Any]:
    """How a database of the platform's own is set up; `spill_to` is a folder, or empty for none."""
    return {
        "memory_limit": MEMORY_LIMIT,
        "threads": str(max(2, os.cpu_count() or 2)),
        "temp_directory": spill_to,
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "enable_external_file_cache": "false",
        "python_enable_replacements": "false",
    }


def parquet_source(sources: Sequence[str | Path]) -> str:
    """A relation over Parquet files that takes nothing from their paths (`env=prod/` would become a column)."""
    names = ", ".join(literal(os.fspath(source)) for source in sources)
    return f"read_parquet([{names}], hive_partitioning=false)"


def _database(role: Role, spill_to: str) -> duckdb.DuckDBPyConnection:
    key = (os.getpid(), role, spill_to)  # a forked child must not share its parent's threads
    with _creating:
        if key not in _databases:
            _databases[key] = duckdb.connect(config=session_config(spill_to))
        _databases.move_to_end(key)
        while len(_databases) > _KEPT:
            _databases.popitem(last=False)  # not closed: it is gone with the last session on it
        return _databases[key]
