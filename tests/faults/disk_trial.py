"""Trials in which a file system call goes wrong, of any thread, DuckDB's and SQLite's included."""

from __future__ import annotations

from tests.faults.fault import Fault
from tests.faults.homes import Home
from tests.faults.scenarios import Scenario
from tests.faults.surviving import THE_END, Acted, Trial
from tests.faults.system_calls import Call
from tests.faults.tracer import Tracer
from tests.faults.troubles import Trouble
from tests.faults.zygote import Zygote


class DiskTrial(Trial[Trouble]):
    """A scenario in a home whose files are looked after by the tracer."""

    def __init__(self, zygote: Zygote, scenario: Scenario, prepared: Home) -> None:
        self._calls: list[Call] = []
        super().__init__(zygote, scenario, prepared)

    def points(self, trouble: Trouble) -> list[str]:
        """The calls that it can happen to; the power can also be cut when the writer has ended."""
        calls = [str(call) for call in self._calls if trouble.can_happen_to(call)]
        return [*calls, THE_END] if trouble.cuts_power else calls

    def _act(self, home: Home, fault: Fault[Trouble] | None) -> Acted:
        tracer = Tracer((home.home, home.drops), (home.settings.dagster_home,))
        traced = self._zygote.trace(tracer, self._scenario.act, home, fault=fault)
        if fault is None:
            self._calls = traced.calls
        ended = fault is not None and fault.trouble.cuts_power and not traced.struck
        struck = (THE_END,) if ended else tuple(map(str, traced.struck))
        paths = tuple(path for call in traced.struck for path in call.paths)
        return Acted(traced.answer, traced.killed, traced.hung, struck, paths)
