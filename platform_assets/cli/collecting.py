"""`hashgate gc`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from contracts.collection import DoomedObject
from contracts.durations import parse_duration, spoken_duration
from contracts.errors import UsageError
from platform_assets.cli.arguments import Arguments
from platform_assets.cli.asked import say_json
from platform_assets.cli.terminal import Terminal, counted, human_size, neutralized
from platform_assets.upkeep.active_runs import active_runs
from platform_assets.upkeep.collecting import Collection, collect
from resources.looking_only import LookingOnlyWorkspace
from resources.workspace import Workspace

NOT_ALL_READABLE = 1


def gc(arguments: Arguments, terminal: Terminal) -> int:
    """Remove what nothing needs any more, or say what that would be."""
    settings = Workspace.from_environment().settings
    workspace = LookingOnlyWorkspace(settings) if arguments.dry_run else Workspace(settings)
    try:
        grace = settings.grace if arguments.grace is None else parse_duration(arguments.grace)
    except ValueError as error:
        msg = f"--grace: {error}."
        raise UsageError(msg, grace=arguments.grace) from None
    with active_runs(settings) as is_active:
        done = collect(workspace, grace, is_active=is_active, dry_run=arguments.dry_run)
    if arguments.json:
        say_json(terminal, _document(done))
    else:
        _say(terminal, done)
    return NOT_ALL_READABLE if done.problems else 0


def _document(done: Collection) -> dict[str, Any]:
    return {
        "dry_run": done.dry_run,
        "grace_s": int(done.grace.total_seconds()),
        "left": [
            {"run_id": left.run_id, "path": str(left.path), "size_bytes": left.size_bytes, "why": left.why}
            for left in done.left
        ],
        "swept": done.swept,
        "expired": {
            "versions": [
                version.model_dump(mode="json")
                | {"why": done.expiry.why.get((version.table, version.partition, version.number), "")}
                for version in done.expiry.versions
            ],
            "selections": [selection.model_dump(mode="json") for selection in done.expiry.selections],
            "drops": [drop.model_dump(mode="json") for drop in done.expiry.drops],
        },
        "no_longer_held": [
            held.candidate.model_dump(mode="json", include={"table", "partition", "view_key"})
            for held in done.no_longer_held
        ],
        **{
            name: [doomed.model_dump(mode="json") for doomed in getattr(done, name)]
            for name in ("listed", "waiting", "removed")
        },
        "kept": done.kept,
        "problems": done.problems,
    }


def _say(terminal: Terminal, done: Collection) -> None:
    terminal.line("this would be done, and nothing was changed" if done.dry_run else "done")
    rows = [("what", "how many", "size", "")]
    rows += [
        row
        for row in (
            _row("staging of dead runs, removed", [left.size_bytes for left in done.left], ""),
            _row("files never finished, removed", [0] * done.swept, ""),
            _row("versions expired", [0] * len(done.expiry.versions), _why(done)),
            _row("selections expired", [0] * len(done.expiry.selections), ""),
            _row("drops expired", [drop.size_bytes for drop in done.expiry.drops], ""),
            _row("held candidates let go", [0] * len(done.no_longer_held), "published, or superseded long ago"),
            *_rows("doomed now", done.listed, f"removed after {spoken_duration(done.grace)}, if nothing names it"),
            *_rows("doomed before", done.waiting, "its grace is not over"),
            *_rows("removed", done.removed, ""),
            _row("doomed, kept", [0] * len(done.kept), "something names it again"),
        )
        if row is not None
    ]
    if len(rows) > 1:
        terminal.table(rows, right=(1, 2))
    else:
        terminal.line("  there is nothing to collect")
    for problem in done.problems:
        terminal.error(f"{problem} Until then nothing of its table, and no blob, is removed.")


def _rows(what: str, objects: Sequence[DoomedObject], note: str) -> list[tuple[str, str, str, str] | None]:
    kinds = Counter(doomed.why for doomed in objects)
    return [
        _row(f"{what}: {why}", [doomed.size_bytes for doomed in objects if doomed.why == why], note) for why in kinds
    ]


def _row(what: str, sizes: Sequence[int], note: str) -> tuple[str, str, str, str] | None:
    if not sizes:
        return None
    return what, f"{len(sizes):,}", human_size(sum(sizes)) if any(sizes) else "-", note


def _why(done: Collection) -> str:
    reasons = Counter(done.expiry.why.values())
    return "; ".join(f"{neutralized(why)} ({counted(number, 'version')})" for why, number in reasons.most_common(3))
