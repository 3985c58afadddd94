"""`hashgate forget`, and taking it back."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from contracts.commits import Commit
from contracts.durations import spoken_duration
from platform_assets.cli.arguments import Arguments
from platform_assets.cli.asked import say_json
from platform_assets.cli.confirming import DECLINED, confirmed
from platform_assets.cli.terminal import Terminal, counted, human_size, neutralized
from platform_assets.decisions.deciding import decided_by
from platform_assets.upkeep.building_anew import build_anew
from platform_assets.upkeep.forgetting import Forgotten, Stake, find_stakes, take_back
from platform_assets.upkeep.forgetting import forget as forget_drops
from resources.workspace import Workspace

INCOMPLETE = 1
_SHOWN = 20


def forget(arguments: Arguments, terminal: Terminal) -> int:
    """Erase a captured drop and everything made of it, or take that back."""
    workspace = Workspace.from_environment()
    decision = decided_by(arguments.actor, arguments.reason)
    stakes = find_stakes(workspace, arguments.drop)
    question = "Let it count again?" if arguments.undo else f"Forget it{' for good' if arguments.now else ''}?"
    if not confirmed(terminal, arguments, _at_stake(stakes), question):
        return DECLINED
    rebuild = partial(build_anew, workspace.settings, decision)
    if arguments.undo:
        problems = take_back(workspace, stakes, decision, rebuild)
        return _say_taken_back(arguments, terminal, stakes, problems)
    done = forget_drops(workspace, stakes, decision, rebuild, at_once=arguments.now)
    if arguments.json:
        say_json(terminal, _document(stakes, done))
    else:
        _say(terminal, arguments, workspace, stakes, done)
    return INCOMPLETE if done.problems else 0


def _at_stake(stakes: Sequence[Stake]) -> list[str]:
    lines: list[str] = []
    for stake in stakes:
        lines += [f"{stake.table}: {drop.path}: {drop.digest}" for drop in stake.drops[:_SHOWN]]
        made = [*stake.versions, *stake.held]
        lines += [f"  {_named(commit)}: {commit.digest}" for commit in made[:_SHOWN]]
        rest = max(0, len(stake.drops) - _SHOWN) + max(0, len(made) - _SHOWN)
        lines += [f"  and {rest} more"] if rest else []
    return lines


def _named(commit: Commit) -> str:
    kind = "held candidate" if commit.is_held else f"version {commit.number}"
    return f"{commit.candidate.table}[{commit.candidate.partition}] {kind}"


def _document(stakes: Sequence[Stake], done: Forgotten) -> dict[str, Any]:
    return {
        "tables": _tables(stakes),
        "versions": done.versions,
        "doomed": [doomed.model_dump(mode="json") for doomed in done.doomed],
        "erased": done.erased,
        "runs": done.runs,
        "problems": done.problems,
    }


def _tables(stakes: Sequence[Stake]) -> list[dict[str, Any]]:
    return [
        {
            "table": stake.table,
            "drops": [{"path": drop.path, "digest": drop.digest} for drop in stake.drops],
            "partitions": list(stake.partitions),
        }
        for stake in stakes
    ]


def _say(
    terminal: Terminal, arguments: Arguments, workspace: Workspace, stakes: Sequence[Stake], done: Forgotten
) -> None:
    for stake in stakes:
        keys = ", ".join(stake.partitions[:3]) + (" and more" if len(stake.partitions) > 3 else "")
        terminal.line(f"{stake.table}: forgotten, and {keys} built anew without it")
    size = human_size(sum(doomed.size_bytes for doomed in done.doomed))
    what = f"{counted(done.versions, 'version')}, {counted(len(done.doomed), 'object')} ({size})"
    if done.erased:
        terminal.line(f"  {what}: erased")
    else:
        grace = spoken_duration(workspace.settings.grace)
        terminal.line(f"  {what}: erased by the first `hashgate gc` after {grace}")
        terminal.line(f"  The way back until then: hashgate forget {neutralized(arguments.drop)} --undo")
    for run in done.runs[:_SHOWN]:
        terminal.line(f"  Dagster's log may show samples of its refused records: dagster run delete {run}")
    for stake in stakes:
        for drop in stake.drops[:_SHOWN]:
            if (workspace.settings.drops / drop.path).exists():
                terminal.line(
                    f"  The file is still in the drop folder, and is not taken again: {neutralized(drop.path)}"
                )
    for problem in done.problems:
        terminal.error(problem)


def _say_taken_back(arguments: Arguments, terminal: Terminal, stakes: Sequence[Stake], problems: Sequence[str]) -> int:
    if arguments.json:
        say_json(terminal, {"tables": _tables(stakes), "problems": list(problems)})
    else:
        for stake in stakes:
            terminal.line(f"{stake.table}: it counts again, and {', '.join(stake.partitions[:3])} built anew with it")
        for problem in problems:
            terminal.error(problem)
    return INCOMPLETE if problems else 0
