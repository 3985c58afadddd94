"""The entry point: arguments in, one exit code out, and no traceback unless asked for.

| code | meaning |
| --- | --- |
| 0 | done |
| 1 | something is held, failed a gate or cannot be taken; or the store said no |
| 2 | wrong usage, contract or configuration |
| 70 | a defect of hashgate itself |
| 130 | interrupted (Ctrl-C) |

A command's module is imported when the command is called and not before: `--help` imports nothing, `status` and
`query` do not import Dagster.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Protocol

from contracts.canonical import canonical_bytes
from contracts.errors import HashgateError, StoreError
from platform_assets.cli.arguments import Arguments, command_parser, wants_json
from platform_assets.cli.terminal import Terminal

DEFECT = 70
INTERRUPTED = 130
BROKEN_PIPE = 141
"""What the shell reports for a program that SIGPIPE ended; in `hashgate status | head` nobody looks at it."""


class Command(Protocol):
    """What a command's module has under the command's name: does the work, says it, gives the exit code."""

    def __call__(self, arguments: Arguments, terminal: Terminal) -> int:
        """Run."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the return value is the process's exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    terminal = Terminal()
    shows_traceback = "--traceback" in given or bool(os.environ.get("HASHGATE_TRACEBACK"))
    try:
        arguments = command_parser().parse_args(given, Arguments())
        code = _command(arguments)(arguments, terminal)
        terminal.out.flush()
    except SystemExit as end:  # argparse after --help and --version
        return int(end.code or 0)
    except KeyboardInterrupt as stopped:
        # where it met a commit, the commit's writer has noted which came first
        said = " ".join(getattr(stopped, "__notes__", [])) or interruption(given)
        _say(terminal, given, "Interrupted", said, INTERRUPTED)
        return INTERRUPTED
    except BrokenPipeError:
        # Python flushes standard output once more when it ends; give it a place where that works
        os.dup2(os.open(os.devnull, os.O_WRONLY), terminal.out.fileno())
        return BROKEN_PIPE
    except HashgateError as error:
        if shows_traceback:
            terminal.err.write(traceback.format_exc())
        _say(terminal, given, type(error).__name__, str(error), error.exit_code, error.evidence)
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - the outermost boundary: a person gets one message, not a stack
        if shows_traceback:
            terminal.err.write(traceback.format_exc())
        if _is_full_disk(error):
            said = f"{error}. Free some space and run it again: what was published stays readable."
            _say(terminal, given, "StoreError", said, StoreError.exit_code)
            return StoreError.exit_code
        what_to_do = "This is a defect of hashgate: run it again with --traceback and report what it shows."
        said = f"{type(error).__name__}: {error}. {what_to_do}"
        _say(terminal, given, "Defect", said, DEFECT)
        return DEFECT
    return code


def interruption(given: Sequence[str]) -> str:
    """What an interrupted command leaves behind, in words."""
    if "ingest" in given[:1]:
        return (
            "interrupted. Partitions that were committed stay published, the others are as they were, and nothing is "
            "half visible. Run the same command again: it skips what is done."
        )
    if given[:1] and given[0] in {"gc", "forget", "backup", "restore"}:
        return "interrupted. What was done stays done. Run the same command again: it goes on from there."
    if given[:1] == ["engine"]:
        return (
            "interrupted. What is on record stays, and an engine that was running was ended. Run the same command "
            "again: it goes on from there."
        )
    return "interrupted. Nothing was changed."


def _is_full_disk(error: Exception) -> bool:
    """Whether a library (mostly SQLite under Dagster) met a full disk; the platform's own writers say it themselves."""
    full = isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}
    return full or "database or disk is full" in str(error)


def _command(arguments: Arguments) -> Command:
    module = import_module(f"platform_assets.cli.{arguments.module}")
    command: Command = getattr(module, arguments.function)
    return command


def _say(
    terminal: Terminal,
    given: Sequence[str],
    kind: str,
    message: str,
    exit_code: int,
    evidence: dict[str, Any] | None = None,
) -> None:
    if not wants_json(given):
        terminal.error(message)
        return
    error = {"kind": kind, "message": message, "exit_code": exit_code, "evidence": _plain(evidence or {})}
    terminal.note(canonical_bytes({"error": error}).decode())


def _plain(value: Any) -> Any:
    """Evidence as JSON has it; what it has no word for, as text."""
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(part) for part in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


if __name__ == "__main__":
    sys.exit(main())
