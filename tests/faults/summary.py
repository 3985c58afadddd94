"""What the closing summary of a test run says about crashes, faults, cancels and races: how many of how many were
tried, and how long it took.

A test says it with `record_property("told", ...)`, which also comes through from the processes of pytest-xdist.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from _pytest.terminal import TerminalReporter

PROPERTY = "told"
EVERY = "HASHGATE_EVERY_FAULT"
"""The variable that asks for all of them."""


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Say it, if any of those tests ran."""
    told = sorted(_told(terminalreporter))
    if told:
        terminalreporter.section("crashes, faults, cancels and races")
        for line in told:
            terminalreporter.write_line(line)
        if not os.environ.get(EVERY):
            terminalreporter.write_line(f"All points, and races of all rounds: {EVERY}=1")


def _told(terminalreporter: TerminalReporter) -> Iterator[str]:
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "call":
                yield from (str(value) for name, value in report.user_properties if name == PROPERTY)
