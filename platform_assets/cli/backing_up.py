"""`hashgate backup` and `hashgate restore`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from platform_assets.cli.arguments import Arguments
from platform_assets.cli.asked import say_json
from platform_assets.cli.terminal import Terminal, counted, human_duration, human_size, neutralized
from platform_assets.upkeep.backing_up import back_up
from platform_assets.upkeep.restoring import restore as restore_backup
from resources.workspace import Workspace

INCOMPLETE = 1


def backup(arguments: Arguments, terminal: Terminal) -> int:
    """Copy the installation into a folder."""
    workspace = Workspace.from_environment()
    with terminal.progress(0, "file") as progress:
        done = back_up(workspace, Path(arguments.folder), copied=progress.advance)
    document = {
        "folder": str(done.folder),
        "number": done.number,
        "files": done.files,
        "copied": done.copied,
        "copied_bytes": done.copied_bytes,
    }
    speed = f"{human_size(int(done.bytes_per_second))}/s"
    new = f"{counted(done.copied, 'file')} copied and verified ({human_size(done.copied_bytes)})"
    said = f"backup {done.number} of {counted(done.files, 'file')}, {new} in {human_duration(done.seconds)}, {speed}"
    return _say(arguments, terminal, document, said, done.problems)


def restore(arguments: Arguments, terminal: Terminal) -> int:
    """Bring a backup back into an empty home."""
    workspace = Workspace.from_environment()
    with terminal.progress(0, "file") as progress:
        done = restore_backup(workspace, Path(arguments.folder), restored=progress.advance)
    document = {"number": done.number, "files": done.files, "restored_bytes": done.restored_bytes}
    speed = f"{human_size(int(done.bytes_per_second))}/s"
    size = f"{counted(done.files, 'file')} restored and verified ({human_size(done.restored_bytes)})"
    said = f"backup {done.number}: {size} in {human_duration(done.seconds)}, {speed}"
    return _say(arguments, terminal, document, said, done.problems)


def _say(arguments: Arguments, terminal: Terminal, document: dict[str, Any], said: str, problems: list[str]) -> int:
    if arguments.json:
        say_json(terminal, {**document, "problems": problems})
    else:
        terminal.line(neutralized(said))
        for problem in problems:
            terminal.error(problem)
    return INCOMPLETE if problems else 0
