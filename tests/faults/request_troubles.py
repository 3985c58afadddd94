"""What may go wrong at a request to a bucket's server: the writer dies, the server fails, or the way to it does."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum, auto

from tests.servers.fault_proxy import Fault as ProxyFault


class Death(Enum):
    """When the writer dies."""

    BEFORE = auto()
    """Its request is written and reaches nobody."""
    AFTER = auto()
    """The server has done it, and the answer reaches nobody."""


class RequestTrouble(StrEnum):
    """A kind of trouble."""

    KILLED_BEFORE = "killed before a request"
    KILLED_AFTER = "killed before the answer"
    INTERNAL = "500"
    OVERLOADED = "503"
    FORBIDDEN = "403"
    CONFLICT = "409 to a create"
    EXISTS = "412 to a create"
    HANGING = "no answer"
    ANSWER_LOST = "done, but the answer is lost"
    DONE_AND_REFUSED = "done, but 500"
    LATE = "connection lost, done later"
    CUT = "answer cut off"
    CORRUPTED = "answer with a wrong bit"
    GONE = "500 from then on"
    SILENT = "done from then on, but the answers are lost"

    @property
    def kills(self) -> bool:
        """Whether the process ends without a word."""
        return _SPECS[self].death is not None

    @property
    def death(self) -> Death | None:
        """When, if so."""
        return _SPECS[self].death

    @property
    def fault(self) -> ProxyFault | None:
        """What the proxy does, if the writer lives."""
        return _SPECS[self].fault

    @property
    def status(self) -> int:
        """What the proxy answers."""
        return _SPECS[self].status

    @property
    def lasts(self) -> bool:
        """Whether it also happens to every later request that it can happen to."""
        return self in {RequestTrouble.GONE, RequestTrouble.SILENT}

    @property
    def method(self) -> str:
        """Of which requests; any without one."""
        return _SPECS[self].method

    def can_happen_to(self, request: str) -> bool:
        """Whether it can happen to a request, given as method and path."""
        return request.startswith(self.method)


@dataclass(frozen=True, slots=True)
class _Spec:
    fault: ProxyFault | None = None
    status: int = 0
    method: str = ""
    death: Death | None = None


_SPECS = {
    RequestTrouble.KILLED_BEFORE: _Spec(death=Death.BEFORE),
    RequestTrouble.KILLED_AFTER: _Spec(death=Death.AFTER),
    RequestTrouble.INTERNAL: _Spec(ProxyFault.REFUSED, 500),
    RequestTrouble.OVERLOADED: _Spec(ProxyFault.REFUSED, 503),
    RequestTrouble.FORBIDDEN: _Spec(ProxyFault.REFUSED, 403),
    RequestTrouble.CONFLICT: _Spec(ProxyFault.REFUSED, 409, "PUT"),
    RequestTrouble.EXISTS: _Spec(ProxyFault.REFUSED, 412, "PUT"),
    RequestTrouble.HANGING: _Spec(ProxyFault.HANGING),
    RequestTrouble.ANSWER_LOST: _Spec(ProxyFault.ANSWER_LOST),
    RequestTrouble.DONE_AND_REFUSED: _Spec(ProxyFault.DONE_AND_REFUSED, 500),
    RequestTrouble.LATE: _Spec(ProxyFault.LATE),
    RequestTrouble.CUT: _Spec(ProxyFault.CUT, method="GET"),
    RequestTrouble.CORRUPTED: _Spec(ProxyFault.CORRUPTED, method="GET"),
    RequestTrouble.GONE: _Spec(ProxyFault.REFUSED, 500),
    RequestTrouble.SILENT: _Spec(ProxyFault.ANSWER_LOST),
}
