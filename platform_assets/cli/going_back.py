"""`hashgate rollback` and `hashgate repair`: what readers see is changed by a commit that says who did it, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from contracts.commits import Commit, EmptyLink, Link
from platform_assets.cli.arguments import Arguments
from platform_assets.cli.asked import say_json
from platform_assets.cli.confirming import DECLINED, confirmed
from platform_assets.cli.holding import commit_document
from platform_assets.cli.terminal import Terminal, counted, neutralized, short_digest
from platform_assets.decisions.deciding import decided_by
from platform_assets.decisions.going_back import find_return, roll_back, versions
from platform_assets.decisions.repairing import RepairPlan, plan_repair
from platform_assets.decisions.repairing import repair as repair_chain
from resources.looking_only import LookingOnlyWorkspace
from resources.workspace import Workspace


def rollback(arguments: Arguments, terminal: Terminal) -> int:
    """Make an earlier version current again; without `--to`, show which there are."""
    table, partition = str(arguments.table), str(arguments.key)
    if arguments.to is None:
        _say_versions(terminal, arguments, versions(LookingOnlyWorkspace.from_environment(), table, partition))
        return 0
    workspace = Workspace.from_environment()
    decision = decided_by(arguments.actor or "", arguments.reason or "")
    to = find_return(workspace, table, partition, arguments.to)
    name = f"{table}[{partition}]"
    at_stake = [_described(name, "readers see", to.head), _described(name, "they would see", to.target)]
    question = f"Go back to version {to.target.number}? It stays so until a new drop or another contract comes."
    if not confirmed(terminal, arguments, at_stake, question):
        return DECLINED
    commit = roll_back(workspace, to, decision)
    if arguments.json:
        say_json(terminal, commit_document(commit))
        return 0
    rows = counted(commit.candidate.valid_rows, "row")
    terminal.line(
        f"{neutralized(name)} version {commit.number} is version {to.target.number} again: readers see {rows}"
    )
    terminal.line(
        f"  The way back: hashgate rollback {table} {partition} --to {to.head.number} --actor YOU --reason WHY"
    )
    return 0


def repair(arguments: Arguments, terminal: Terminal) -> int:
    """Record the damage in a chain, and make its newest whole version current."""
    workspace = Workspace.from_environment()
    decision = decided_by(arguments.actor, arguments.reason)
    plan = plan_repair(workspace, str(arguments.table), str(arguments.key))
    name = f"{plan.table}[{plan.partition}]"
    if not confirmed(terminal, arguments, _damage_lines(name, plan), "Put up with it?"):
        return DECLINED
    link = repair_chain(workspace, plan, decision)
    if arguments.json:
        say_json(terminal, _link_document(link))
        return 0
    for line in _damage_lines(name, plan):
        terminal.line(neutralized(line))
    if isinstance(link, Commit):
        rows = counted(link.candidate.valid_rows, "row")
        terminal.line(f"version {link.number} records it and can be read: {rows}")
    else:
        terminal.line(f"number {link.number} records it; build it anew: hashgate ingest {plan.table}")
    return 0


def _say_versions(terminal: Terminal, arguments: Arguments, history: Sequence[Commit]) -> None:
    if arguments.json:
        say_json(terminal, {"versions": [commit_document(commit) for commit in history]})
        return
    rows = [("version", "kind", "committed", "rows", "quarantined", "view", "")]
    rows += [
        (
            str(commit.number),
            commit.kind,
            commit.committed_at.strftime("%Y-%m-%d %H:%M:%SZ"),
            f"{commit.candidate.valid_rows:,}",
            f"{commit.candidate.quarantined_rows:,}",
            short_digest(commit.candidate.view_key),
            _decided(commit),
        )
        for commit in history
    ]
    terminal.table(rows, right=(0, 3, 4), indent=0)


def _decided(commit: Commit) -> str:
    decided = commit.decision or commit.waiver
    if decided is None:
        return ""
    back = f"to {commit.goes_back_to.number}, " if commit.goes_back_to else ""
    return f"{back}{decided.actor}: {decided.reason}"


def _described(name: str, seen: str, commit: Commit) -> str:
    rows = counted(commit.candidate.valid_rows, "row")
    committed = commit.committed_at.strftime("%Y-%m-%d %H:%M:%SZ")
    return f"{name}: {seen} version {commit.number} of {committed}, {rows}: {commit.digest}"


def _damage_lines(name: str, plan: RepairPlan) -> list[str]:
    found = [f"{name} version {d.number}: {d.problem} (found: {d.observed or 'nothing'})" for d in plan.damages]
    if plan.current is None:
        return [*found, f"{name}: no version is whole, so none would be current"]
    return [*found, _described(name, "newest whole is", plan.current)]


def _link_document(link: Link) -> dict[str, Any]:
    if isinstance(link, EmptyLink):
        return link.model_dump(mode="json") | {"digest": link.digest}
    return commit_document(link)
