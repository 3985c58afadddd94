"""`hashgate verify`."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence

from contracts.errors import UsageError
from contracts.table_contract import TableContract
from platform_assets.cli.arguments import Arguments
from platform_assets.cli.asked import BROKEN_CONTRACT, asked_contracts, broken_contracts, checked_partitions, say_json
from platform_assets.cli.terminal import Colour, Terminal, counted, human_duration, human_size, neutralized
from platform_assets.evidence.verifying import VerificationReport, verifiable_partitions, verify_table
from resources.workspace import Workspace

CORRUPT = 1
_SHOWN = 50


def verify(arguments: Arguments, terminal: Terminal) -> int:
    """Read everything again and compare it with what was published."""
    workspace = Workspace.from_environment()
    broken = broken_contracts(workspace, arguments.table)
    reports: list[tuple[VerificationReport, float]] = []
    for contract in asked_contracts(workspace, arguments.table):
        partitions = _verifiable(workspace, contract, arguments.partition)
        started = time.monotonic()
        total = len(verifiable_partitions(workspace, contract.table)) if partitions is None else len(partitions)
        with terminal.progress(total, "partition") as progress:
            report = verify_table(workspace, contract, partitions, verified=progress.advance)
        reports.append((report, time.monotonic() - started))
    if arguments.json:
        documents = [dataclasses.asdict(report) | {"sound": report.sound} for report, _ in reports]
        say_json(terminal, {"tables": documents, "errors": [str(problem) for problem in broken]})
    else:
        for report, seconds in reports:
            _say(terminal, report, seconds)
        for problem in broken:
            terminal.error(str(problem))
    if any(not report.sound for report, _ in reports):
        return CORRUPT
    return BROKEN_CONTRACT if broken else 0


def _verifiable(workspace: Workspace, contract: TableContract, keys: Sequence[str] | None) -> list[str] | None:
    wanted = checked_partitions(contract, keys, workspace.now())
    there = verifiable_partitions(workspace, contract.table)
    for key in wanted or ():
        if key not in there:
            known = f"Those with one go from {there[0]} to {there[-1]}." if there else "No partition has one yet."
            msg = f"{contract.table}[{key}] has no version to verify. {known} See `hashgate status {contract.table}`."
            raise UsageError(msg, table=contract.table, partition=key)
    return wanted


def _say(terminal: Terminal, report: VerificationReport, seconds: float) -> None:
    speed = f" in {human_duration(seconds)}"
    terminal.line(f"{terminal.coloured(report.table, Colour.BOLD)}  {counted(report.partitions, 'partition')}{speed}")
    rows = [
        ("checked", "how many"),
        ("versions in their chains", f"{report.versions:,}"),
        ("receipts of gates", f"{report.receipts:,}"),
        ("segments, with their indexes", f"{report.segments:,}"),
        ("files hashed", f"{report.files:,}"),
        ("captured drops hashed", f"{report.drops:,}"),
        ("bytes hashed", human_size(report.hashed_bytes)),
        ("records framed again", f"{report.records:,}"),
        ("gates run again", f"{report.gates:,}"),
    ]
    terminal.table(
        [*rows, *([("drops in the capture log", f"{report.captures:,}")] if report.captures else [])], right=(1,)
    )
    if report.not_judged:
        some = ", ".join(report.not_judged[:3]) + (" and more" if len(report.not_judged) > 3 else "")
        number = counted(len(report.not_judged), "partition")
        terminal.line(f"  {number} hashed but not judged again: the contract changed ({some})")
    if report.sound:
        terminal.line(terminal.coloured("  everything is as it was published", Colour.GREEN))
        return
    terminal.line(terminal.coloured(f"  {counted(len(report.corruptions), 'object')} not as published", Colour.RED))
    for corruption in report.corruptions[:_SHOWN]:
        place = f"[{corruption.partition}] " if corruption.partition else ""
        terminal.line(neutralized(f"  {place}{corruption.subject}: {corruption.problem}. {corruption.fix}"))
    if len(report.corruptions) > _SHOWN:
        terminal.line(f"  and {len(report.corruptions) - _SHOWN:,} more: see them all with --json")
