"""`hashgate plan`: what `ingest` would do. It creates and changes nothing, not even the home folder."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.errors import HashgateError
from contracts.sinks import Sink
from contracts.table_contract import TableContract
from platform_assets.cli.arguments import Arguments
from platform_assets.cli.asked import BROKEN_CONTRACT, asked_contracts, broken_contracts, say_json
from platform_assets.cli.looking import NEEDS_A_PERSON, look, say_problems
from platform_assets.cli.problem_files import problem_document
from platform_assets.cli.terminal import Colour, Terminal, counted, neutralized, ranges, short_digest
from platform_assets.ingest.drift import Drift, drift_of
from platform_assets.ingest.planning import PartitionState, PartitionStatus, partition_statuses
from resources.drop_folder import ListedFile
from resources.looking_only import LookingOnlyWorkspace
from resources.settings import S3Location
from resources.workspace import Workspace

_SHOWN = 10
_SPOKEN_SINKS = {Sink.PARQUET: "Parquet", Sink.CSV: "CSV", Sink.DUCKDB: "DuckDB"}


@dataclass(frozen=True, slots=True)
class Permission:
    """Whether this user may do what a run needs."""

    what: str
    path: str
    granted: bool


@dataclass(frozen=True, slots=True)
class _TablePlan:
    contract: TableContract
    statuses: Sequence[PartitionStatus]
    files: int
    """New and changed ones."""
    drift: Sequence[Drift]
    problems: Sequence[dict[str, str]]
    unseen: HashgateError | None


def plan(arguments: Arguments, terminal: Terminal) -> int:
    """Show what would run, what is skipped and why, drift and permissions."""
    workspace = LookingOnlyWorkspace.from_environment()
    broken = broken_contracts(workspace, arguments.table)
    plans = [_plan(workspace, contract) for contract in asked_contracts(workspace, arguments.table)]
    permissions = _permissions(workspace)
    unseen = [str(p.unseen) for p in plans if p.unseen]
    if arguments.json:
        document = {
            "tables": [_document(p) for p in plans],
            "permissions": [dataclasses.asdict(permission) for permission in permissions],
            "errors": [*(str(problem) for problem in broken), *unseen],
        }
        say_json(terminal, document)
    else:
        for table in plans:
            _say(terminal, workspace, table, every=arguments.all)
        _say_permissions(terminal, permissions)
        for said in [*(str(problem) for problem in broken), *unseen]:
            terminal.error(said)
    if broken or unseen or not all(permission.granted for permission in permissions):
        return BROKEN_CONTRACT
    return NEEDS_A_PERSON if any(p.problems for p in plans) else 0


def _plan(workspace: Workspace, contract: TableContract) -> _TablePlan:
    problem_files, unseen = look(workspace, contract)
    waiting = workspace.catalogue.files(contract.table, to_capture=True)
    drift = drift_of(contract, [ListedFile(f.path, workspace.settings.drops / f.path, None) for f in waiting])
    problems = [problem_document(contract, file, workspace.now()) for file in problem_files]
    return _TablePlan(contract, partition_statuses(workspace, contract), len(waiting), drift, problems, unseen)


def _runs(status: PartitionStatus) -> bool:
    return status.state is PartitionState.PENDING


def _why(status: PartitionStatus) -> str:
    if status.state is PartitionState.PUBLISHED:
        return status.why or "its current version is built from what is there now"
    if status.state is PartitionState.HELD:
        return f"a gate stopped this very content ({status.why})"
    return status.why


def _document(table: _TablePlan) -> dict[str, Any]:
    contract = table.contract
    return {
        "table": contract.table,
        "contract": {"version": contract.version, "digest": contract.digest},
        "outputs": _outputs(contract),
        "partitions": [
            {
                "key": s.key,
                "action": "build" if _runs(s) else "skip",
                "why": _why(s),
                "state": str(s.state),
                "version": s.version,
                "next_version": (s.version or 0) + 1 if _runs(s) else None,
                "view_key": s.view_key,
            }
            for s in table.statuses
        ],
        "new_or_changed_files": table.files,
        "drift": [dataclasses.asdict(drift) for drift in table.drift],
        "problems": list(table.problems),
    }


def _outputs(contract: TableContract) -> list[dict[str, str]]:
    validated = {"asset": f"{contract.table}/validated", "schema_fingerprint": contract.schema_fingerprint}
    quarantine = {"asset": f"{contract.table}/quarantine", "sink": str(Sink.PARQUET), "mode": contract.sink_mode}
    return [*({**validated, "sink": str(sink), "mode": contract.sink_mode} for sink in contract.sinks), quarantine]


def _say(terminal: Terminal, workspace: Workspace, table: _TablePlan, *, every: bool) -> None:
    contract = table.contract
    running = [s for s in table.statuses if _runs(s)]
    title = terminal.coloured(contract.table, Colour.BOLD)
    stamp = f"contract {contract.version} ({short_digest(contract.digest)})"
    files = counted(table.files, "new or changed file")
    terminal.line(f"{title}  {stamp}, {files}, {counted(len(running), 'partition')} to build")
    place = workspace.settings.store
    store = neutralized(os.path.relpath(place) if isinstance(place, Path) else str(place))
    for output in _outputs(contract):
        sink = _SPOKEN_SINKS[Sink(output["sink"])]
        terminal.line(f"  {output['asset']}  {sink} in {store}/tables/{contract.table}, sink mode {output['mode']}")
    if every:
        rows = [("partition", "action", "version", "why")]
        rows += [(s.key, "build" if _runs(s) else "skip", _versions(s), _why(s)) for s in table.statuses]
        terminal.table(rows)
    else:
        _say_groups(terminal, table.statuses)
    _say_drift(terminal, table.drift)
    say_problems(terminal, table.problems)
    terminal.line()


def _versions(status: PartitionStatus) -> str:
    if not _runs(status):
        return "-" if status.version is None else str(status.version)
    return f"{status.version} -> {status.version + 1}" if status.version else "-> 1"


def _say_groups(terminal: Terminal, statuses: Sequence[PartitionStatus]) -> None:
    """Partitions by what would happen to them, as ranges."""
    calendar = [s.key for s in statuses]
    groups: dict[tuple[str, str, str], list[str]] = {}
    for s in statuses:
        # the names of the files differ from partition to partition; a group is about the reason
        why = _why(s) if s.state is not PartitionState.PENDING else s.why.partition(":")[0]
        groups.setdefault(("build" if _runs(s) else "skip", _versions(s) if _runs(s) else "", why), []).append(s.key)
    rows = [("action", "version", "partitions", "which", "why")]
    for (action, version, why), keys in sorted(groups.items()):
        which = ranges(keys, calendar)
        more = f" and {len(which) - 2:,} more ranges" if len(which) > 2 else ""
        rows.append((action, version or "-", f"{len(keys):,}", ", ".join(which[:2]) + more, why))
    if len(rows) > 1:
        terminal.table(rows, right=(2,))


def _say_drift(terminal: Terminal, drift: Sequence[Drift]) -> None:
    """Files that differ in the same way are told together."""
    groups: dict[Drift, list[str]] = {}
    for one in drift:
        groups.setdefault(dataclasses.replace(one, path=""), []).append(one.path)
    if groups:
        terminal.line()
        terminal.line(terminal.coloured("drift against the contract", Colour.YELLOW))
    for one, paths in list(groups.items())[:_SHOWN]:
        more = f" and {counted(len(paths) - 1, 'more file')}" if len(paths) > 1 else ""
        terminal.line(f"  {neutralized(paths[0])}{more}")
        for said in _spoken(one):
            terminal.line(f"    {neutralized(said)}")
    if len(groups) > _SHOWN:
        terminal.line(f"  and {counted(len(groups) - _SHOWN, 'more kind')} of drift: see them all with --json")


def _spoken(drift: Drift) -> list[str]:
    said = [f"comes as {name}: {column} (a declared alias)" for name, column in drift.renamed]
    said += [f"missing: {', '.join(drift.missing)}"] if drift.missing else []
    said += [f"undeclared: {', '.join(drift.undeclared)}"] if drift.undeclared else []
    said += [f"perhaps {name} is {column} renamed: if so, declare it as an alias" for name, column in drift.likely]
    said += [f"all its records would go to quarantine: {consequence}" for consequence in drift.consequences]
    return said + ([f"its head cannot be read: {drift.unreadable}"] if drift.unreadable else [])


def _store_permissions(store: Path | S3Location) -> list[Permission]:
    """Of a bucket nothing can be said without writing to it; whoever writes finds out."""
    if isinstance(store, S3Location):
        return []
    return [Permission("store can be written", str(store), os.access(_nearest(store), os.W_OK | os.X_OK))]


def _permissions(workspace: Workspace) -> list[Permission]:
    settings = workspace.settings
    return [
        *_store_permissions(settings.store),
        Permission(
            "staging can be written", str(settings.staging), os.access(_nearest(settings.staging), os.W_OK | os.X_OK)
        ),
        Permission("drops can be read", str(settings.drops), os.access(settings.drops, os.R_OK | os.X_OK)),
    ]


def _nearest(folder: Path) -> Path:
    """The folder, or the one it would be created in."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def _say_permissions(terminal: Terminal, permissions: Sequence[Permission]) -> None:
    for permission in permissions:
        verdict = terminal.coloured("yes", Colour.GREEN) if permission.granted else terminal.coloured("NO", Colour.RED)
        terminal.line(f"{permission.what}: {verdict}  {neutralized(permission.path)}")
