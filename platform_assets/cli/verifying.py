"""`hashgate verify`."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from contracts.errors import UsageError
from platform_assets.cli.arguments import Arguments
from platform_assets.cli.asked import BROKEN_CONTRACT, broken_contracts, checked_partitions, say_json
from platform_assets.cli.terminal import (
    Colour,
    Progress,
    Terminal,
    counted,
    human_duration,
    human_size,
    is_terminal,
    neutralized,
)
from platform_assets.decisions.deciding import stored_table, stored_tables
from platform_assets.evidence.corruptions import Corruption, Depth, StoreReport, TableReport, Verification
from platform_assets.evidence.memories import remembered
from platform_assets.evidence.partition_evidence import partitions_of
from platform_assets.evidence.verifying import OnProgress, Told, known_tables
from platform_assets.evidence.verifying import verify as look_again
from resources.workspace import Workspace

CORRUPT = 1
_SHOWN = 50
_MANY = 100
_HOW = {
    Depth.QUICK: "looked through",
    Depth.DEEP: "every byte read",
    Depth.JUDGED: "every byte read, and judged again",
}


def verify(arguments: Arguments, terminal: Terminal) -> int:
    """Look again at what lies in the store, and compare it with what was published."""
    workspace = Workspace.from_environment()
    broken = broken_contracts(workspace, arguments.table)
    tables = _tables(workspace, arguments.table)
    partitions = _verifiable(workspace, arguments.table, arguments.partition)
    depth = Depth.JUDGED if arguments.judge else Depth.DEEP if arguments.deep else Depth.QUICK
    started = time.monotonic()
    told = _told(workspace, tables or known_tables(workspace), terminal)
    with _shown(terminal) as progress:
        done = look_again(
            workspace, tables, partitions, depth=depth, told=told, put_aside=arguments.put_aside, progress=progress
        )
    if arguments.json:
        document = dataclasses.asdict(done)
        for table, report in zip(document["tables"], done.tables, strict=True):
            table["sound"] = report.sound
        errors = [str(problem) for problem in broken]
        say_json(terminal, document | {"sound": done.sound, "errors": errors})
    else:
        _say(terminal, done, time.monotonic() - started)
        for problem in broken:
            terminal.error(str(problem))
    if not done.sound:
        return CORRUPT
    return BROKEN_CONTRACT if broken else 0


def _tables(workspace: Workspace, table: str | None) -> list[str] | None:
    """The table that was asked for, be it a contract's or one that only lies in the store; None for all."""
    if table is None:
        return None
    if table in workspace.contracts.contracts:
        return [table]
    return [stored_table(workspace, table) if table in stored_tables(workspace) else workspace.contract(table).table]


def _verifiable(workspace: Workspace, table: str | None, keys: Sequence[str] | None) -> list[str] | None:
    if not keys:
        return None
    if table is None:
        msg = "--partition says which of a table's partitions to verify: name the table, too."
        raise UsageError(msg, partition=list(keys))
    contract = workspace.contracts.contracts.get(table)
    wanted = list(dict.fromkeys(keys)) if contract is None else checked_partitions(contract, keys, workspace.now())
    there = partitions_of(workspace, table, remembered(workspace.catalogue, table, log=False))
    for key in wanted or ():
        if key not in there:
            known = f"Those with one go from {there[0]} to {there[-1]}." if there else "No partition has one yet."
            msg = f"{table}[{key}] has no version to verify. {known} See `hashgate status {table}`."
            raise UsageError(msg, table=table, partition=key)
    return wanted


def _told(workspace: Workspace, tables: Sequence[str], terminal: Terminal) -> Told | None:
    """What Dagster remembers of tables; None where it has no instance, or cannot be asked."""
    home = workspace.settings.dagster_home
    if not ((home / "history").is_dir() or (home / "dagster.yaml").is_file()):
        return None
    # imported here because Dagster takes seconds, which an installation without it need not wait for
    from dagster import DagsterError  # noqa: PLC0415
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    from platform_assets.evidence.dagster_memory import told_table  # noqa: PLC0415
    from platform_assets.ingest.runs import open_instance  # noqa: PLC0415

    try:
        with open_instance(workspace.settings) as instance:
            return {name: told_table(instance, name) for name in tables}
    except (DagsterError, SQLAlchemyError, OSError) as error:
        terminal.warning(f"Dagster could not be asked what it remembers: {str(error).partition(chr(10))[0]}")
        return None


@contextmanager
def _shown(terminal: Terminal) -> Iterator[OnProgress]:
    """A progress bar for each kind of thing that is gone through; where nobody watches, only of many."""
    bars: list[tuple[str, Progress]] = []
    is_watched = is_terminal(terminal.err)

    def advance(unit: str, label: str, done: int, total: int) -> None:
        if total < _MANY and not is_watched:
            return
        if not bars or bars[-1][0] != unit:
            end()
            bars.append((unit, terminal.progress(total, unit).__enter__()))
        bar = bars[-1][1]
        bar.advance(label, by=done - bar.done)

    def end() -> None:
        for _, bar in bars:
            bar.__exit__()
        bars.clear()

    try:
        yield advance
    finally:
        end()


def _say(terminal: Terminal, done: Verification, seconds: float) -> None:
    spent = human_duration(seconds)
    for report in done.tables:
        title = terminal.coloured(neutralized(report.table), Colour.BOLD)
        terminal.line(f"{title}  {counted(report.partitions, 'partition')}, {_HOW[done.depth]}")
        terminal.table([("checked", "how many"), *_rows(report, done.depth)], right=(1,))
        if report.not_judged:
            some = ", ".join(report.not_judged[:3]) + (" and more" if len(report.not_judged) > 3 else "")
            number = counted(len(report.not_judged), "partition")
            terminal.line(f"  {number} hashed but not judged again: the contract changed, or there is none ({some})")
    if done.store is not None:
        _say_rest(terminal, done.store)
    corruptions = list(done.corruptions)
    asked = "the database's and Dagster's" if done.asked_dagster else "the database's"
    terminal.line(f"heads compared with {asked} memory; {spent}")
    for name in done.moved:
        terminal.line(neutralized(f"put aside: {name}"))
    if not corruptions:
        terminal.line(terminal.coloured("everything is as it was published", Colour.GREEN))
        return
    terminal.line(terminal.coloured(f"{counted(len(corruptions), 'object')} not as published", Colour.RED))
    for corruption in corruptions[:_SHOWN]:
        terminal.line(
            neutralized(f"  {_place(corruption)}{corruption.subject}: {corruption.problem}. {corruption.fix}")
        )
    if len(corruptions) > _SHOWN:
        terminal.line(f"  and {len(corruptions) - _SHOWN:,} more: see them all with --json")


def _rows(report: TableReport, depth: Depth) -> Iterator[tuple[str, str]]:
    hashed = "bytes hashed" if depth is not Depth.QUICK else "bytes hashed, of files that changed or nobody had read"
    numbers = (
        ("versions in their chains", report.versions, True),
        ("receipts of gates", report.receipts, True),
        ("versions removed on purpose", report.purged, False),
        ("held candidates", report.held, False),
        ("selections", report.selections, True),
        ("drops in the capture log", report.captures, False),
        ("segments and exports, with their indexes", report.folders, True),
        ("files in them", report.files, True),
        ("captured drops", report.drops, True),
        ("reports", report.reports, False),
        ("records framed again", report.records, depth is Depth.JUDGED),
        ("gates run again", report.gates, depth is Depth.JUDGED),
    )
    yield from ((name, f"{number:,}") for name, number, is_always_told in numbers if number or is_always_told)
    yield hashed, human_size(report.hashed_bytes)


def _say_rest(terminal: Terminal, rest: StoreReport) -> None:
    if rest.expired:
        terminal.line(f"{counted(rest.expired, 'record')} of what was removed on purpose")
    if rest.put_aside:
        terminal.line(f"{counted(rest.put_aside, 'damaged thing')} put aside before, in damaged/")
    if rest.unneeded:
        size = human_size(rest.unneeded_bytes)
        terminal.line(f"{counted(rest.unneeded, 'object')} that nothing names ({size}): `hashgate gc` removes them")


def _place(corruption: Corruption) -> str:
    if corruption.partition is None:
        return f"{corruption.table} " if corruption.table else ""
    return f"{corruption.table}[{corruption.partition}] "
