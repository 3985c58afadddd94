"""`hashgate report`."""

from __future__ import annotations

import os
import webbrowser
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from contracts.commits import Commit
from contracts.distribution_drift import ColumnDrift
from contracts.errors import ConfigurationError, UsageError
from contracts.overview_document import Overview
from contracts.partitions import keys_between, parse_range
from contracts.report_document import Report
from contracts.table_contract import TableContract
from platform_assets.cli.arguments import Arguments
from platform_assets.cli.asked import checked_partitions, say_json
from platform_assets.cli.terminal import Colour, Terminal, counted, human_size, neutralized, short_digest
from platform_assets.reports.links import listening_address
from platform_assets.reports.partition_context import Context, context_of
from platform_assets.reports.table_overview import (
    Standing,
    compute_overview,
    kept_overview,
    report_of,
    standing_of,
)
from resources.service_access import ServiceAccess
from resources.workspace import Workspace

SHOWN = 5


def report(arguments: Arguments, terminal: Terminal) -> int:
    """Show what a table or a partition is, as a page or in a few lines."""
    if arguments.serve:
        return _serve(arguments, terminal)
    if arguments.table is None:
        msg = "name a TABLE, or serve the reports of all with --serve. See `hashgate report --help`."
        raise UsageError(msg)
    workspace = Workspace.from_environment()
    contract = workspace.contract(arguments.table)
    standing = standing_of(workspace, contract)
    baseline = _baseline(contract, standing, arguments.baseline)
    if arguments.key is None:
        return _table(workspace, standing, baseline, arguments, terminal)
    return _partition(workspace, standing, baseline, arguments, terminal)


def _baseline(contract: TableContract, standing: Standing, asked: str | None) -> list[str] | None:
    """The published partitions of a range that was asked for."""
    if asked is None:
        return None
    first, last = parse_range(asked) if "..." in asked else (asked, asked)
    found = [key for key in keys_between(contract.partitioning, first, last) if key in standing.heads]
    if not found:
        msg = f"no partition of {contract.table} from {first} to {last} is published. Name others with --baseline."
        raise UsageError(msg, table=contract.table, baseline=asked)
    return found


def _table(
    workspace: Workspace, standing: Standing, baseline: Sequence[str] | None, arguments: Arguments, terminal: Terminal
) -> int:
    _refuse_version(arguments)
    is_usual = baseline is None
    overview = kept_overview(workspace, standing) if is_usual else compute_overview(workspace, standing, baseline)
    if arguments.output is not None:
        from platform_assets.reports.report_page import render_overview_page  # noqa: PLC0415 - it brings matplotlib

        _write_new(Path(arguments.output), render_overview_page(overview), terminal)
    if arguments.json:
        terminal.line(overview.to_bytes().decode())
    elif arguments.output is None:
        _say_overview(terminal, overview)
    return _opened(arguments, terminal, f"{standing.contract.table}/")


def _refuse_version(arguments: Arguments) -> None:
    if arguments.to is not None:
        msg = "--version is of a partition: name one behind the table."
        raise UsageError(msg)


def _partition(
    workspace: Workspace, standing: Standing, baseline: Sequence[str] | None, arguments: Arguments, terminal: Terminal
) -> int:
    contract, partition = standing.contract, arguments.key or ""
    checked_partitions(contract, [partition], workspace.now())
    commit = _commit(workspace, standing, partition, arguments.to)
    found = report_of(workspace, contract, commit)
    context = context_of(workspace, standing, commit, found, baseline)
    if arguments.output is not None:
        from platform_assets.reports.report_page import render_page  # noqa: PLC0415 - it brings matplotlib

        _write_new(Path(arguments.output), render_page(found, context), terminal)
    if arguments.json:
        say_json(terminal, _document(found, context))
    elif arguments.output is None:
        _say_report(terminal, found, context)
    version = "" if arguments.to is None else f"{arguments.to}/"
    return _opened(arguments, terminal, f"{contract.table}/{partition}/{version}")


def _commit(workspace: Workspace, standing: Standing, partition: str, version: int | None) -> Commit:
    table = standing.contract.table
    if version is not None:
        return workspace.reader.commit(table, partition, version)
    commit = standing.heads.get(partition) or standing.held.get(partition)
    if commit is None:
        why = standing.unreadable.get(partition)
        msg = why or f"{table}[{partition}] has no version and no held candidate. See `hashgate status {table}`."
        raise UsageError(msg, table=table, partition=partition)
    return commit


def _document(found: Report, context: Context) -> dict[str, Any]:
    compared = {"previous": context.previous, "baseline": context.baseline}
    return {
        "report": found.model_dump(mode="json") | {"digest": found.digest},
        "after_end_s": context.after_end_s,
        "drift": {name: None if other is None else other.document() for name, other in compared.items()},
    }


def _write_new(path: Path, page: str, terminal: Terminal) -> None:
    """A new file, complete or not at all."""
    data = page.encode()
    try:
        with path.open("xb") as file:
            try:
                file.write(data)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
    except FileExistsError:
        msg = f"{path} exists. Name another file, or remove this one first: nothing is overwritten."
        raise UsageError(msg, path=str(path)) from None
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror}. Name a new file in a folder that exists and is open to you."
        raise UsageError(msg, path=str(path)) from None
    terminal.note(f"{human_size(len(data))} written to {neutralized(os.fspath(path))}: open it in a browser")


def _opened(arguments: Arguments, terminal: Terminal, path: str) -> int:
    """Show a page in the browser, served from here for as long as somebody looks at it."""
    if not arguments.open:
        return 0
    return _serving(ServiceAccess.of("127.0.0.1:0"), terminal, path)


def _serve(arguments: Arguments, terminal: Terminal) -> int:
    asked = [name for name in ("table", "key", "output", "baseline", "to") if getattr(arguments, name) is not None]
    if asked or arguments.open:
        msg = "--serve shows all reports: it takes no table, and no other option but --address."
        raise UsageError(msg)
    return _serving(ServiceAccess.of(arguments.address or listening_address()), terminal, None)


def _serving(access: ServiceAccess, terminal: Terminal, path: str | None) -> int:
    from platform_assets.reports.report_server import ReportServer, ReportSite  # noqa: PLC0415 - brings matplotlib

    try:
        server = ReportServer(access, ReportSite(Workspace.from_environment))
    except OSError as error:
        msg = f"{access.host}:{access.port}: {error.strerror}. Name another one with --address."
        raise ConfigurationError(msg, address=f"{access.host}:{access.port}") from None
    with server, suppress(KeyboardInterrupt):
        terminal.note(f"Reports: {server.url}/{path or ''}  (Ctrl-C ends it)")
        if path is not None:
            webbrowser.open(f"{server.url}/{path}")
        server.serve_forever(poll_interval=0.2)
    return 0


def _say_overview(terminal: Terminal, overview: Overview) -> None:
    totals = overview.totals
    title = terminal.coloured(overview.table, Colour.BOLD)
    bounds = f"{overview.partitions[0].partition} to {overview.partitions[-1].partition}"
    terminal.line(f"{title}  {totals.published:,} of {counted(totals.partitions, 'partition')} published, {bounds}")
    rows = [("drops", "records", "valid rows", "quarantined", "held", "missing")]
    numbers = (totals.drops, totals.records, totals.valid_rows, totals.quarantined_rows, totals.held, totals.missing)
    terminal.table([*rows, tuple(f"{number:,}" for number in numbers)], right=range(6))
    if overview.reasons:
        terminal.line()
        about = [("records", "partitions", "reason", "column", "rule", "first")]
        about += [
            (f"{r.records:,}", f"{r.partitions:,}", r.code, r.column or "-", r.rule or "-", r.first)
            for r in overview.reasons[:SHOWN]
        ]
        terminal.table(about, right=(0, 1))
    terminal.line()
    terminal.line(f"  a page of it: hashgate report {overview.table} --output {overview.table}.html, or with --open")


def _say_report(terminal: Terminal, found: Report, context: Context) -> None:
    flow = found.flow
    title = terminal.coloured(f"{found.table} {found.partition}", Colour.BOLD)
    state = "held" if found.state == "held" else f"version {found.version}"
    terminal.line(f"{title}  {state}, commit {short_digest(found.lineage.commit)}")
    rows = [("drops", "records", "valid rows", "quarantined", "gates passed")]
    passed = f"{len(found.gates) - len(found.gates_not_passed)} of {len(found.gates)}"
    numbers = (flow.drops, flow.records, flow.valid_rows, flow.quarantined_rows)
    terminal.table([*rows, (*(f"{number:,}" for number in numbers), passed)], right=range(5))
    for other in (context.previous, context.baseline):
        if other is not None:
            terminal.line(f"  drift from {other.name}: {_drifted(other.drifts)}")
    key = f"{found.table} {found.partition}"
    terminal.line(
        f"  a page of it: hashgate report {key} --output {found.table}-{found.partition}.html, or with --open"
    )


def _drifted(drifts: dict[str, ColumnDrift] | Any) -> str:
    """The columns that differ most, with their index."""
    notable = [(drift.psi or 0.0, name) for name, drift in drifts.items() if drift.level in {"notable", "strong"}]
    if not notable:
        return "little in any column"
    notable.sort(key=lambda found: (-found[0], found[1]))
    shown = ", ".join(f"{neutralized(name)} (PSI {psi:.2f})" for psi, name in notable[:SHOWN])
    return shown + (f" and {len(notable) - SHOWN} more" if len(notable) > SHOWN else "")
