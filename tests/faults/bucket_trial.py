"""Trials in which a request to the bucket's server goes wrong, or its writer dies over it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tests.faults.fault import Fault
from tests.faults.homes import Home
from tests.faults.request_troubles import Death, RequestTrouble
from tests.faults.scenarios import Scenario
from tests.faults.surviving import Acted, Trial
from tests.faults.zygote import Zygote
from tests.servers.fault_proxy import FaultProxy, _Answer, _Handler

KILLED = "ended by SIGKILL"
MANY = 10_000
"""More requests than any scenario makes."""
_FORWARDING_S = 30


class DeadlyProxy(FaultProxy):
    """A way to a server on which a writer can also die."""

    def __init__(self, upstream: str, kill: Callable[[], None]) -> None:
        super().__init__(upstream)
        self._server.RequestHandlerClass = _DeadlyHandler
        self.kill = kill
        self.killed = False
        self._death: Death | None = None
        self._at = self._arrived = self._under_way = 0
        self._idle = threading.Condition()

    def let_die(self, death: Death, at: int) -> None:
        """Kill the writer over its `at`-th request."""
        self._death, self._at, self._arrived = death, at, 0

    def death_over_this(self) -> Death | None:
        """Whether and how the request that has just arrived is the last one of its writer."""
        with self._idle:
            self._arrived += 1
            self._under_way += 1
            return self._death if self._arrived == self._at else None

    def over(self) -> None:
        """A request is done with."""
        with self._idle:
            self._under_way -= 1
            self._idle.notify_all()

    def strike_dead(self) -> None:
        """End the writer."""
        self.killed = True
        self.kill()

    def wait_until_idle(self) -> None:
        """Until the server has done all that has arrived."""
        with self._idle:
            assert self._idle.wait_for(lambda: not self._under_way, _FORWARDING_S)


class _DeadlyHandler(_Handler):
    def _handle(self) -> None:
        proxy = self.server.proxy
        assert isinstance(proxy, DeadlyProxy)
        self._death = proxy.death_over_this()
        try:
            if self._death is Death.BEFORE:
                proxy.strike_dead()
                self.close_connection = True
                return
            super()._handle()
        finally:
            proxy.over()

    def _forward(self, body: bytes) -> _Answer:
        answer = super()._forward(body)
        if self._death is Death.AFTER:
            self.server.proxy.strike_dead()
        return answer

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _handle  # noqa: N815 - named by http.server


class BucketTrial(Trial[RequestTrouble]):
    """A scenario in a home whose store is in a bucket."""

    def __init__(self, zygote: Zygote, scenario: Scenario, prepared: Home) -> None:
        self._requests: list[str] = []
        super().__init__(zygote, scenario, prepared)

    def points(self, trouble: RequestTrouble) -> list[str]:
        """The requests that it can happen to."""
        return [request for request in self._requests if trouble.can_happen_to(request)]

    def _act(self, home: Home, fault: Fault[RequestTrouble] | None) -> Acted:
        assert home.place is not None
        with DeadlyProxy(home.place.server.endpoint, self._zygote.kill_child) as proxy:
            if fault is not None:
                _plan(proxy, fault)
            answer = self._zygote.call(self._scenario.act, home.reached_by(proxy.endpoint))
            proxy.closing.set()  # what hangs may go
            proxy.wait_until_idle()
        if fault is None:
            self._requests = [request.replace(home.place.prefix, "") for request in proxy.requests]
            return Acted(answer, killed=False, hung=False, struck=())
        killed = proxy.killed and answer.error == KILLED
        happened = proxy.killed or proxy.struck
        points = self.points(fault.trouble)
        struck = (points[fault.at - 1],) if happened and fault.at <= len(points) else ()
        return Acted(answer, killed, hung=answer.error == KILLED and not killed, struck=struck)


def _plan(proxy: DeadlyProxy, fault: Fault[RequestTrouble]) -> None:
    trouble = fault.trouble
    if trouble.death is not None:
        proxy.let_die(trouble.death, fault.at)
    elif trouble.fault is not None:
        at = range(fault.at, MANY) if trouble.lasts else (fault.at,)
        proxy.fail(trouble.fault, trouble.status, method=trouble.method, at=at)
