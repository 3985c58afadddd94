"""Observability of runs: told what happens, best effort. A sink that raises changes nothing, and is told of no secret.

The truth of a run is its record. A sink is for dashboards and logs; what it misses is not lost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Sink = Callable[[str, Mapping[str, Any]], None]
"""Told an event's name and what it is about."""

_log = logging.getLogger("hashgate.engine")


def log_event(name: str, about: Mapping[str, Any]) -> None:
    """The sink of every installation: Python's log."""
    _log.info("%s %s", name, " ".join(f"{key}={value}" for key, value in sorted(about.items())))


class Observers:
    """Some sinks, none of which can stop a run."""

    def __init__(self, sinks: Sequence[Sink] = (log_event,)) -> None:
        self._sinks = tuple(sinks)

    def tell(self, name: str, **about: Any) -> None:
        """Tell all sinks."""
        for sink in self._sinks:
            try:
                sink(name, about)
            except Exception as error:  # noqa: BLE001 - whatever a sink meets, truth goes on
                _log.warning("an observer raised %s at %s; the run goes on", type(error).__name__, name)
