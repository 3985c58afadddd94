"""A faulty way to an S3 server: an HTTP proxy on loopback that lets chosen requests go wrong in chosen ways.

It knows nothing of S3 but the look of its errors. It is what stands between a client and its server in the worst
case: a broken network, an overloaded server, a proxy with ideas of its own.
"""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

_HOP_BY_HOP = frozenset({"connection", "expect", "keep-alive", "transfer-encoding"})
_CODES = {
    400: "BadRequest",
    403: "AccessDenied",
    404: "NoSuchKey",
    409: "ConditionalRequestConflict",
    412: "PreconditionFailed",
    500: "InternalError",
    503: "SlowDown",
}
LATE_S = 1.5


class Fault(StrEnum):
    """What goes wrong with a request."""

    REFUSED = "refused"
    """It is answered with a status, and does not reach the server."""
    DONE_AND_REFUSED = "done and refused"
    """The server does it, but the answer is a status of failure."""
    HANGING = "hanging"
    """Nothing answers, and it does not reach the server."""
    ANSWER_LOST = "answer lost"
    """The server does it, and the connection breaks before the answer."""
    LATE = "late"
    """The connection breaks, and the server does it a while after."""
    CORRUPTED = "corrupted"
    """One bit of the answer's body is another."""
    CUT = "cut"
    """The connection breaks in the middle of the answer's body."""
    SHORTENED = "shortened"
    """The answer's body is half of itself, and the answer says that this is all."""
    RANGELESS = "rangeless"
    """The range is left out on the way: the whole object comes."""
    UNCONDITIONAL = "unconditional"
    """The condition If-None-Match is left out on the way."""
    PAGE = "page"
    """A proxy answers with a page of its own, with the status given or successfully."""


_LEFT_OUT = {Fault.UNCONDITIONAL: "If-None-Match", Fault.RANGELESS: "Range"}


@dataclass
class _Plan:
    fault: Fault
    status: int
    method: str
    matching: str
    at: frozenset[int]
    seen: int = 0

    def strikes(self, method: str, path: str) -> bool:
        if self.method not in {"", method} or self.matching not in unquote(path):
            return False
        self.seen += 1
        return not self.at or self.seen in self.at


class FaultProxy:
    """The proxy; `endpoint` is where clients go."""

    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.requests: list[str] = []
        """What has arrived so far: method and path."""
        self.struck = 0
        """How many requests went wrong."""
        self.closing = threading.Event()
        self._plans: list[_Plan] = []
        self._lock = threading.Lock()
        self._server = _Server(self)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def fail(
        self, fault: Fault, status: int = 0, *, method: str = "", matching: str = "", at: Iterable[int] = ()
    ) -> None:
        """Let requests go wrong from now on.

        Args:
            fault: How.
            status: The status that a refusal or a page has.
            method: Of which method; any without one.
            matching: What their path and query, unquoted, contain.
            at: Which of those, counted from 1; all without any.
        """
        with self._lock:
            self._plans.append(_Plan(fault, status, method, matching, frozenset(at)))

    def heal(self) -> None:
        """From now on everything goes well."""
        with self._lock:
            self._plans.clear()

    def plan_for(self, method: str, path: str) -> _Plan | None:
        """What is to happen to a request that has just arrived."""
        with self._lock:
            self.requests.append(f"{method} {unquote(path)}")
            struck = [plan for plan in self._plans if plan.strikes(method, path)]
            self.struck += bool(struck)
            return struck[0] if struck else None

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, proxy: FaultProxy) -> None:
        self.proxy = proxy
        super().__init__(("127.0.0.1", 0), _Handler)


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        plan = self.server.proxy.plan_for(self.command, self.path)
        if plan is None:
            self._send(self._forward(body))
        elif plan.fault in {Fault.HANGING, Fault.ANSWER_LOST, Fault.LATE, Fault.CUT}:
            self._break(plan.fault, body)
            self.close_connection = True
        else:
            self._send(self._wrong(plan, body))

    def _break(self, fault: Fault, body: bytes) -> None:
        """Leave the client without a whole answer."""
        if fault is Fault.HANGING:
            self.server.proxy.closing.wait(60)
        elif fault is Fault.ANSWER_LOST:
            self._forward(body)
        elif fault is Fault.LATE:
            self.connection.shutdown(socket.SHUT_RDWR)
            time.sleep(LATE_S)
            self._forward(body)
        else:
            self._send(self._forward(body), keep=0.5)

    def _wrong(self, plan: _Plan, body: bytes) -> _Answer:
        """An answer, but not the one that the server would give to what the client asked."""
        if plan.fault is Fault.REFUSED:
            return _refusal(plan.status)
        if plan.fault is Fault.PAGE:
            page = b"<html><body>Welcome to this network.</body></html>"
            return _Answer(plan.status or 200, [("Content-Type", "text/html")], page)
        for fault, header in _LEFT_OUT.items():
            if plan.fault is fault:
                del self.headers[header]
        answer = self._forward(body)
        if plan.fault is Fault.DONE_AND_REFUSED:
            return _refusal(plan.status)
        if plan.fault is Fault.SHORTENED:
            return replace(answer, body=answer.body[: len(answer.body) // 2])
        return replace(answer, body=_flipped(answer.body)) if plan.fault is Fault.CORRUPTED else answer

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _handle  # noqa: N815 - named by http.server

    def _forward(self, body: bytes) -> _Answer:
        upstream = http.client.HTTPConnection(self.server.proxy.upstream, timeout=60)
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in _HOP_BY_HOP:
                upstream.putheader(name, value)
        upstream.endheaders(body)
        answer = upstream.getresponse()
        headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP]
        received = _Answer(answer.status, headers, answer.read())
        upstream.close()
        return received

    def _send(self, answer: _Answer, keep: float = 1) -> None:
        self.send_response_only(answer.status)
        lengths = [value for name, value in answer.headers if name.lower() == "content-length"]
        for name, value in answer.headers:
            if name.lower() != "content-length":
                self.send_header(name, value)
        # the answer to a HEAD tells the length of a body that it does not have
        self.send_header("Content-Length", lengths[0] if self.command == "HEAD" and lengths else str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body[: int(len(answer.body) * keep)])

    def handle(self) -> None:
        # a client that lost patience
        with suppress(OSError):
            super().handle()

    def log_message(self, *_: object) -> None:
        pass


def _flipped(body: bytes) -> bytes:
    middle = len(body) // 2
    return body[:middle] + bytes(byte ^ 1 for byte in body[middle : middle + 1]) + body[middle + 1 :]


def _refusal(status: int) -> _Answer:
    code = _CODES[status]
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>by the proxy</Message></Error>'
    return _Answer(status, [("Content-Type", "application/xml")], body.encode())
