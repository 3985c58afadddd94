"""`hashgate rebuild` and `hashgate migrate`: the database anew from the store, and its schema's version."""

from __future__ import annotations

import dataclasses

from platform_assets.cli.arguments import Arguments
from platform_assets.cli.asked import say_json
from platform_assets.cli.confirming import confirmed
from platform_assets.cli.terminal import Colour, Terminal, counted, neutralized
from platform_assets.evidence.rebuilding import RebuildProblem, RebuildReport, known_tables
from platform_assets.evidence.rebuilding import rebuild as rebuild_database
from resources.database import Database
from resources.database_migrations import migrate as change_version
from resources.database_schema import SCHEMA_VERSION
from resources.workspace import Workspace

INCOMPLETE = 1
_SHOWN = 50


def rebuild(arguments: Arguments, terminal: Terminal) -> int:
    """Build the database anew from the store and put it in its place."""
    workspace = Workspace.from_environment()

    def trusts_store(problems: list[RebuildProblem]) -> bool:
        question = "Go by the store, and forget that there was more?"
        return arguments.trust_store and confirmed(terminal, arguments, [_spoken(p) for p in problems], question)

    total = sum(len(workspace.store.keys(f"tables/{table}/commits")) for table in known_tables(workspace))
    with terminal.progress(total + len(workspace.contracts.contracts), "place") as progress:
        report = rebuild_database(workspace, trusts_store=trusts_store, looked_at=progress.advance)
    name = _name(workspace)
    if arguments.json:
        say_json(terminal, {"database": name} | dataclasses.asdict(report))
    else:
        _say(terminal, name, report)
    return 0 if report.replaced and not report.problems else INCOMPLETE


def migrate(arguments: Arguments, terminal: Terminal) -> int:
    """Change the version of the database's schema, after a copy of what is there."""
    settings = Workspace.from_environment().settings
    settings.prepare()
    database = Database.connected(settings.database)
    done = change_version(database, SCHEMA_VERSION if arguments.to is None else arguments.to)
    if arguments.json:
        say_json(terminal, {"database": database.name} | dataclasses.asdict(done))
        return 0
    if done.before == done.after:
        terminal.line(f"{neutralized(database.name)} has schema version {done.after} already")
        return 0
    came = f"from version {done.before} " if done.before else ""
    terminal.line(f"{neutralized(database.name)} went {came}to schema version {done.after}")
    if done.backup is not None:
        terminal.line(f"  A copy of what was there: {neutralized(done.backup)}")
    return 0


def _name(workspace: Workspace) -> str:
    return Database.connected(workspace.settings.database).name


def _say(terminal: Terminal, name: str, report: RebuildReport) -> None:
    rows: list[tuple[str, ...]] = [
        ("table", "captures", "withdrawn", "partitions", "links", "held", "files", "in the store")
    ]
    for table in report.tables:
        counts = (table.drops, table.withdrawn, table.partitions, table.links, table.held, table.files)
        rows.append((table.table, *(f"{count:,}" for count in (*counts, table.files_in_store))))
    terminal.table(rows, right=range(1, 8), indent=0)
    if report.expired:
        terminal.line(f"{counted(report.expired, 'record')} of what was removed on purpose")
    terminal.line()
    for problem in report.problems[:_SHOWN]:
        terminal.line(neutralized(_spoken(problem)))
    if len(report.problems) > _SHOWN:
        terminal.line(f"and {len(report.problems) - _SHOWN:,} more: see them all with --json")
    if not report.replaced:
        terminal.line(terminal.coloured(f"{neutralized(name)} is as it was", Colour.RED))
        return
    terminal.line(terminal.coloured(f"{neutralized(name)} is built anew from the store", Colour.GREEN))
    if report.kept_aside is not None:
        terminal.line(f"  The one before, which could not be used, is kept: {neutralized(report.kept_aside)}")


def _spoken(problem: RebuildProblem) -> str:
    place = f"{problem.table or ''}[{problem.partition}]" if problem.partition else problem.table or ""
    return " ".join(f"{place}: {problem.problem}. {problem.fix}".removeprefix(": ").replace("..", ".").split())
