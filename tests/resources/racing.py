"""Processes that do the same thing at the same time, for tests of what is shared between them.

What they run stands here and not in the tests, so that a child imports little and starts fast.
"""

from __future__ import annotations

import datetime as dt
import multiprocessing
import random
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from contracts.refs import digest_bytes
from resources.database import Database
from resources.database_migrations import migrate, open_database
from resources.database_schema import metadata
from resources.drop_folder import FileStamp, ListedFile
from resources.file_catalogue import FileCatalogue, stamp_text
from resources.leases import Lease, LeaseHeldError, LeaseLostError, Leases
from resources.run_equivalence import RunEquivalences

TIMEOUT_S = 120
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__])


def race(work: Callable[..., Any], processes: int, *arguments: Any) -> list[Any]:
    """Run `work(number, *arguments)` in several processes that begin together, and collect what each returns."""
    start, done = _context.Barrier(processes), _context.Queue()
    running = [
        _context.Process(target=_take_part, args=(start, done, work, number, arguments)) for number in range(processes)
    ]
    for process in running:
        process.start()
    results = [done.get(timeout=TIMEOUT_S) for _ in running]
    for process in running:
        process.join()
    for result in results:
        if isinstance(result, Exception):
            raise result
    return results


def in_background(work: Callable[..., Any], *arguments: Any) -> BaseProcess:
    """Run `work` in a process of its own; the caller ends it."""
    process = _context.Process(target=work, args=arguments)
    process.start()
    return process


def migrate_and_count(_number: int, url: sa.URL) -> tuple[int, int, int]:
    """Bring a database up to date: the versions before and after, and how many captures it has then."""
    database = Database.connected(url)
    migration = migrate(database)
    with database.reading() as connection:
        captures = sa.select(sa.func.count()).select_from(metadata.tables["captures"])
        counted = connection.execute(captures).scalar_one()
    database.close()
    return migration.before, migration.after, counted


def take_turns(number: int, url: sa.URL, rounds: int) -> list[tuple[int, int, int]]:
    """Hold one lease again and again: (fencing token, milliseconds when it was held, and when no longer)."""
    database = open_database(url)
    leases = Leases(database)
    turns: list[tuple[int, int, int]] = []
    while len(turns) < rounds:
        try:
            lease = leases.acquire("turn", f"process {number}", dt.timedelta(seconds=30))
        except LeaseHeldError:
            time.sleep(0.001)
            continue
        began = _database_ms(database)
        leases.check(lease)
        turns.append((lease.fencing_token, began, _database_ms(database)))
        leases.release(lease)
    database.close()
    return turns


def acquire_once(number: int, url: sa.URL) -> int | None:
    """One attempt: the fencing token, or None when somebody else was first."""
    database = open_database(url)
    try:
        return Leases(database).acquire("leader", f"process {number}", dt.timedelta(minutes=1)).fencing_token
    except LeaseHeldError:
        return None
    finally:
        database.close()


def outlive_short_leases(number: int, url: sa.URL, seconds: float) -> list[tuple[int, bool]]:
    """Take leases and let half of them end by themselves: each token, and whether a renewal after it was refused."""
    database = open_database(url)
    leases = Leases(database)
    taken: list[tuple[int, bool]] = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            lease = leases.acquire("short", f"process {number}", dt.timedelta(milliseconds=20))
        except LeaseHeldError:
            time.sleep(0.002)
            continue
        if len(taken) % 2:
            taken.append((lease.fencing_token, not leases.release(lease)))
        else:
            time.sleep(0.03)
            taken.append((lease.fencing_token, _is_lost(leases, lease)))
    database.close()
    return taken


def hold_for_ever(url: sa.URL, name: str, ttl: dt.timedelta) -> None:
    """Take a lease and do nothing more, until the process is killed."""
    Leases(open_database(url)).acquire(name, "the one that was killed", ttl)
    while True:
        time.sleep(60)


def bind_one_key(number: int, url: sa.URL) -> tuple[str, str]:
    """Ask for a run under a key that all ask for: what the key is bound to."""
    database = open_database(url)
    binding = RunEquivalences(database).bind("key", f"run {number}", digest_bytes(str(number).encode()))
    database.close()
    return binding.run_id, binding.intent


def scan_in_any_order(number: int, url: sa.URL, files: int) -> int:
    """Look at the same files in an order of one's own, each time changed: how many are known then."""
    catalogue = FileCatalogue(open_database(url))
    order = random.Random(number)  # noqa: S311 - an order, not a secret
    for turn in range(6):
        stamp = FileStamp(number, turn, turn, turn)
        listed = [ListedFile(f"file {n}", Path("/nowhere"), stamp) for n in order.sample(range(files), files)]
        catalogue.observe("t", listed, lambda names: [("key", None)] * len(names), dt.datetime.now(dt.UTC))
        catalogue.mark_captured("t", [(file.path, stamp_text(stamp)) for file in listed])
        catalogue.remember_verified([(file.path, str(turn), "digest") for file in listed])
    known = len(catalogue.files("t"))
    catalogue.close()
    return known


def _take_part(start: Any, done: Any, work: Callable[..., Any], number: int, arguments: tuple[Any, ...]) -> None:
    start.wait(TIMEOUT_S)
    try:
        result = work(number, *arguments)
    except Exception as error:  # noqa: BLE001 - whatever it is, the test is to show it instead of waiting
        result = error
    done.put(result)


def _is_lost(leases: Leases, lease: Lease) -> bool:
    try:
        leases.renew(lease, dt.timedelta(seconds=1))
    except LeaseLostError:
        return True
    return False


def _database_ms(database: Database) -> int:
    clock = (
        "SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
        if database.is_sqlite
        else "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
    )
    with database.reading() as connection:
        return int(connection.exec_driver_sql(clock).scalar_one())
