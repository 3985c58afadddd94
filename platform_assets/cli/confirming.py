"""Asking before something is superseded or dropped: what is at stake is shown by its digest, and no is the default."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from contracts.errors import UsageError
from platform_assets.cli.arguments import Arguments
from platform_assets.cli.terminal import Terminal, is_terminal, neutralized

DECLINED = 1
"""The exit code when somebody said no."""


def confirmed(terminal: Terminal, arguments: Arguments, at_stake: Sequence[str], question: str) -> bool:
    """Show what is at stake and ask, unless `--yes` has answered.

    Args:
        terminal: Where the person sits; the question goes to standard error.
        arguments: What was asked for.
        at_stake: Lines that say what would change, with digests in full.
        question: To be answered with yes or no.

    Raises:
        UsageError: Nobody is there to ask, and there is no `--yes`.
    """
    if arguments.yes:
        return True
    if not is_terminal(sys.stdin):
        msg = f"{question} There is no terminal to ask at: add --yes if this is what you want."
        raise UsageError(msg, at_stake=list(at_stake))
    for line in at_stake:
        terminal.note(neutralized(line))
    terminal.err.write(f"{neutralized(question)} [y/N] ")
    terminal.err.flush()
    if sys.stdin.readline().strip().lower() in {"y", "yes"}:
        return True
    terminal.note("nothing was changed")
    return False
