"""`hashgate scan` and `hashgate status`."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

from contracts.errors import ConfigurationError, HashgateError
from contracts.table_contract import TableContract
from platform_assets.cli.arguments import Arguments
from platform_assets.cli.asked import BROKEN_CONTRACT, asked_contracts, broken_contracts, checked_partitions, say_json
from platform_assets.cli.problem_files import problem_document
from platform_assets.cli.terminal import Colour, Terminal, counted, neutralized, ranges, short_digest
from platform_assets.ingest.planning import PartitionState, PartitionStatus, partition_statuses
from platform_assets.ingest.selecting import scan as scan_table
from resources.file_catalogue import KnownFile, ScanReport
from resources.looking_only import LookingOnlyWorkspace
from resources.workspace import Workspace

NEEDS_A_PERSON = 1
_SHOWN = 20
_NEEDING_A_PERSON = {PartitionState.HELD, PartitionState.UNREADABLE}
_COLOURS = {
    PartitionState.PUBLISHED: Colour.GREEN,
    PartitionState.HELD: Colour.RED,
    PartitionState.PENDING: Colour.YELLOW,
    PartitionState.DECLINED: Colour.YELLOW,
    PartitionState.UNREADABLE: Colour.RED,
    PartitionState.EMPTY: Colour.DIM,
}


def scan(arguments: Arguments, terminal: Terminal) -> int:
    """Look at the drop folder and remember what is there."""
    workspace = Workspace.from_environment()
    documents: list[dict[str, Any]] = []
    errors: list[HashgateError] = list(broken_contracts(workspace, arguments.table))
    rows: list[tuple[str, ...]] = [("table", "files", "new", "changed", "unchanged", "missing", "problems")]
    problems: list[dict[str, str]] = []
    for contract in asked_contracts(workspace, arguments.table):
        try:
            report = scan_table(workspace, contract)
        except ConfigurationError as error:
            if arguments.table is not None:
                raise
            errors.append(error)
            continue
        found = [problem_document(contract, file, workspace.now()) for file in report.problems]
        problems += found
        counts = (report.listed, report.new, report.changed, report.unchanged, report.missing)
        rows.append((report.table, *(f"{count:,}" for count in counts), f"{len(found):,}"))
        documents.append(_scan_document(report))
    if arguments.json:
        say_json(terminal, {"tables": documents, "problems": problems, "errors": [str(error) for error in errors]})
    elif len(rows) > 1:
        terminal.table(rows, right=range(1, len(rows[0])), indent=0)
        say_problems(terminal, problems)
    return _ended(terminal, arguments, errors, found=bool(problems))


def status(arguments: Arguments, terminal: Terminal) -> int:
    """Where every partition stands; looks at the drop folder, and remembers nothing."""
    workspace = LookingOnlyWorkspace.from_environment()
    errors: list[HashgateError] = list(broken_contracts(workspace, arguments.table))
    documents: list[dict[str, Any]] = []
    problems: list[dict[str, str]] = []
    held = False
    contracts = asked_contracts(workspace, arguments.table)
    for contract in contracts:
        wanted = checked_partitions(contract, arguments.partition, workspace.now())
        problem_files, unseen = look(workspace, contract)
        errors += [unseen] if unseen else []
        statuses = [s for s in partition_statuses(workspace, contract) if wanted is None or s.key in wanted]
        statuses += [
            PartitionStatus(contract.table, key, PartitionState.EMPTY, why="no drop has come for it")
            for key in wanted or ()
            if key not in {s.key for s in statuses}
        ]
        found = [problem_document(contract, f, workspace.now()) for f in problem_files if wanted is None]
        held = held or any(s.state in _NEEDING_A_PERSON for s in statuses)
        problems += found
        if arguments.json:
            documents += [status_document(s) for s in statuses]
        else:
            _say_status(terminal, contract, statuses, found, arguments)
            if contract is not contracts[-1]:
                terminal.line()
    if arguments.json:
        said = [str(error) for error in errors]
        say_json(terminal, {"partitions": documents, "problems": problems, "errors": said})
    return _ended(terminal, arguments, errors, found=held or bool(problems))


def look(workspace: Workspace, contract: TableContract) -> tuple[Sequence[KnownFile], ConfigurationError | None]:
    """Bring a looking-only workspace up to date with capture log and drop folder.

    Returns:
        The files that cannot be taken, and why the drop folder could not be looked at, if so.
    """
    try:
        return scan_table(workspace, contract).problems, None
    except ConfigurationError as error:
        return (), error


def say_problems(terminal: Terminal, problems: Sequence[dict[str, str]]) -> None:
    """The files that cannot be taken, each with the way out."""
    if not problems:
        return
    terminal.line()
    terminal.line(terminal.coloured(f"{counted(len(problems), 'file')} cannot be taken", Colour.YELLOW))
    for problem in problems[:_SHOWN]:
        terminal.line(
            f"  {neutralized(problem['path'])}: {neutralized(problem['problem'])}. {neutralized(problem['fix'])}"
        )
    _say_more(terminal, len(problems) - _SHOWN, "see them all with --json")


def status_document(status: PartitionStatus) -> dict[str, Any]:
    """A partition's standing for machines."""
    document = dataclasses.asdict(status)
    document["committed_at"] = status.committed_at.isoformat() if status.committed_at else None
    document["state"] = str(status.state)
    return document


def _scan_document(report: ScanReport) -> dict[str, Any]:
    document = dataclasses.asdict(report)
    del document["problems"]
    return document


def _say_status(
    terminal: Terminal,
    contract: TableContract,
    statuses: Sequence[PartitionStatus],
    problems: Sequence[dict[str, str]],
    arguments: Arguments,
) -> None:
    bounds = f", {statuses[0].key} to {statuses[-1].key}" if len(statuses) > 1 else ""
    title = terminal.coloured(contract.table, Colour.BOLD)
    terminal.line(
        f"{title}  {counted(len(statuses), 'partition')}{bounds}" if statuses else f"{title}  no drop has come yet"
    )
    if arguments.all or arguments.partition:
        _say_each(terminal, statuses)
    else:
        _say_summary(terminal, statuses)
    explained = [PartitionState.UNREADABLE, PartitionState.HELD, PartitionState.DECLINED]
    for state in [*explained, *([PartitionState.PENDING] if arguments.explain else [])]:
        _say_why(terminal, [s for s in statuses if s.state is state], state)
    _say_waived(terminal, [s for s in statuses if s.waived])
    if arguments.explain:
        _say_outdated(terminal, [s for s in statuses if s.outdated], statuses)
    say_problems(terminal, problems)


def _say_summary(terminal: Terminal, statuses: Sequence[PartitionStatus]) -> None:
    calendar = [s.key for s in statuses]
    counts = Counter(s.state for s in statuses)
    rows = [("state", "partitions", "rows", "quarantined", "which")]
    for state in PartitionState:
        some = [s for s in statuses if s.state is state]
        if some:
            which = ranges([s.key for s in some], calendar)
            more = f" and {len(which) - 3:,} more ranges" if len(which) > 3 else ""
            rows.append(
                (
                    str(state),
                    f"{counts[state]:,}",
                    _sum(s.valid_rows for s in some),
                    _sum(s.quarantined_rows for s in some),
                    ", ".join(which[:3]) + more,
                )
            )
    if len(rows) > 1:
        terminal.table(rows, right=(1, 2, 3))


def _say_each(terminal: Terminal, statuses: Sequence[PartitionStatus]) -> None:
    rows = [("partition", "state", "version", "view", "inputs", "rows", "quarantined", "committed")]
    rows += [
        (
            s.key,
            _state_of(s),
            "-" if s.version is None else str(s.version),
            short_digest(s.view_key),
            f"{s.inputs:,}",
            _sum([s.valid_rows]),
            _sum([s.quarantined_rows]),
            s.committed_at.strftime("%Y-%m-%d %H:%M:%SZ") if s.committed_at else "-",
        )
        for s in statuses
    ]
    terminal.table(rows, right=(2, 4, 5, 6))


def _state_of(status: PartitionStatus) -> str:
    """The state, and what a reader of the current version should know of it."""
    known = {"waived": status.waived, "rolled back": status.kind == "rollback", "outdated": status.outdated}
    said = [name for name, is_so in known.items() if is_so]
    return f"{status.state} ({', '.join(said)})" if said else str(status.state)


def _say_waived(terminal: Terminal, some: Sequence[PartitionStatus]) -> None:
    """The versions that readers see although a gate had stopped them."""
    if not some:
        return
    terminal.line()
    terminal.line(terminal.coloured("let through", Colour.YELLOW))
    for status in some[:_SHOWN]:
        by = f"version {status.version}, by {status.decided_by} ({status.because})"
        terminal.line(f"  {status.key}  {neutralized(by)}")
    _say_more(terminal, len(some) - _SHOWN, "see them all with --json")


def _say_why(terminal: Terminal, some: Sequence[PartitionStatus], state: PartitionState) -> None:
    if not some:
        return
    terminal.line()
    terminal.line(terminal.coloured(str(state), _COLOURS[state]))
    for status in some[:_SHOWN]:
        stays = status.version and state in {PartitionState.HELD, PartitionState.DECLINED}
        last = f" (version {status.version} stays readable)" if stays else ""
        terminal.line(f"  {status.key}  {neutralized(status.why)}{last}")
    _say_more(terminal, len(some) - _SHOWN, "see them all with --json")
    if state is PartitionState.HELD:
        table = some[0].table
        terminal.line(f"  Look: hashgate quarantine {table} --partition {some[0].key}. Mend the drop or the contract,")
        terminal.line(f"  then: hashgate ingest {table} --partition {some[0].key}. Or decide: hashgate held {table}.")


def _say_outdated(terminal: Terminal, some: Sequence[PartitionStatus], statuses: Sequence[PartitionStatus]) -> None:
    if not some:
        return
    which = ranges([s.key for s in some], [s.key for s in statuses])
    more = f" and {len(which) - 3:,} more ranges" if len(which) > 3 else ""
    terminal.line()
    terminal.line(f"outdated  {counted(len(some), 'partition')} ({', '.join(which[:3])}{more}): {some[0].why}.")
    terminal.line("  They are current all the same; `hashgate ingest TABLE --range A...B --force` builds them anew.")


def _say_more(terminal: Terminal, more: int, how: str) -> None:
    if more > 0:
        terminal.line(f"  and {more:,} more: {how}")


def _sum(numbers: Any) -> str:
    known = [number for number in numbers if number is not None]
    return f"{sum(known):,}" if known else "-"


def _ended(terminal: Terminal, arguments: Arguments, errors: Sequence[HashgateError], *, found: bool) -> int:
    for error in errors:
        if not arguments.json:
            terminal.error(str(error))
    if errors:
        return BROKEN_CONTRACT
    return NEEDS_A_PERSON if found else 0
