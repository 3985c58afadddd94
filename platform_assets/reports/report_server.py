"""A small server for reports: Dagster's cannot show files, and browsers follow no link from its pages to one.

It has no files to serve. An address names a table, a partition and a version; the documents of these are read from the
store, their seals checked against the chain of commits, and the page is drawn. So nothing outside a table's reports can
be asked for, and nothing altered is shown. What it shows loads nothing and runs nothing, and says so to the browser.
"""

from __future__ import annotations

import re
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv6Address, ip_address
from socket import AF_INET6
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from contracts.commits import Commit
from contracts.errors import ContractError, HashgateError, UsageError
from contracts.partitions import check_key
from contracts.refs import Digest
from contracts.table_contract import TableContract
from platform_assets.reports.links import public_name
from platform_assets.reports.partition_context import context_of
from platform_assets.reports.report_page import POLICY, render_index_page, render_overview_page, render_page
from platform_assets.reports.table_overview import kept_overview, report_of, standing_of
from resources.service_access import ServiceAccess
from resources.workspace import Workspace

KEPT_PAGES = 64
"""Drawn pages are kept in memory, by what they were drawn from."""
LONGEST_PATH = 1024
TIMEOUT_S = 30.0
"""For a request to arrive: a client that says nothing keeps no thread."""

HTML, JSON, TEXT = "text/html; charset=utf-8", "application/json", "text/plain; charset=utf-8"
_NOT_THERE = "there is no such page."
_VERSION = re.compile(r"held|[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent."""

    body: bytes
    media_type: str = HTML
    status: HTTPStatus = HTTPStatus.OK
    location: str | None = None


class ReportSite:
    """What there is at which address; knows nothing of connections."""

    def __init__(self, open_workspace: Callable[[], Workspace]) -> None:
        """Open an installation anew for each request, so that what is shown is what is current."""
        self._open = open_workspace
        self._pages: OrderedDict[tuple[object, ...], bytes] = OrderedDict()
        self._working = threading.Lock()
        """One page after the other: drawing two at once takes as long."""

    def answer(self, path: str) -> Answer:
        """The answer to a path, without its query."""
        parts = [unquote(part, errors="strict") for part in path.split("/")[1:]]
        with self._working:
            return self._answer(parts)

    def _answer(self, parts: list[str]) -> Answer:
        workspace = self._open()
        if parts == [""]:
            return self._index(workspace)
        contract = workspace.contract(parts[0])
        match parts[1:]:
            case []:
                return _moved(parts[0])
            case [""]:
                return self._overview(workspace, contract, as_json=False)
            case ["overview.json"]:
                return self._overview(workspace, contract, as_json=True)
            case [partition, *rest] if partition:
                return self._partition(workspace, contract, partition, rest)
        raise _not_there()

    def _index(self, workspace: Workspace) -> Answer:
        contracts = workspace.contracts.contracts
        counts = {table: len(workspace.reader.partitions(table)) for table in contracts}
        said = {table: (" ".join(contract.description.split()), counts[table]) for table, contract in contracts.items()}
        return Answer(render_index_page(said).encode())

    def _overview(self, workspace: Workspace, contract: TableContract, *, as_json: bool) -> Answer:
        standing = standing_of(workspace, contract)
        key = ("overview", contract.table, standing.versions)
        if not as_json and key in self._pages:
            return Answer(self._pages[key])
        overview = kept_overview(workspace, standing)
        if as_json:
            return Answer(overview.to_bytes(), JSON)
        return Answer(self._kept(key, lambda: render_overview_page(overview, linked=True)))

    def _partition(self, workspace: Workspace, contract: TableContract, partition: str, rest: list[str]) -> Answer:
        check_key(contract.partitioning, partition)  # no other text gets near the store
        version = rest.pop(0) if rest and _VERSION.fullmatch(rest[0]) else None
        if rest not in ([], [""], ["report.json"]):
            raise _not_there()
        standing = standing_of(workspace, contract)
        commit = _commit(workspace, contract.table, partition, version)
        report = report_of(workspace, contract, commit)
        if rest == ["report.json"]:
            return Answer(report.to_bytes(), JSON)
        if not rest:
            return _moved(contract.table, partition, *([version] if version else []))
        key: tuple[str, Digest, Digest] = ("partition", report.digest, standing.versions)
        root = "../" if version is None else "../../"
        context = context_of(workspace, standing, commit, report)
        return Answer(self._kept((*key, root), lambda: render_page(report, context, root=root)))

    def _kept(self, key: tuple[object, ...], draw: Callable[[], str]) -> bytes:
        if key not in self._pages:
            self._pages[key] = draw().encode()
            while len(self._pages) > KEPT_PAGES:
                self._pages.popitem(last=False)
        return self._pages[key]


def _not_there() -> UsageError:
    return UsageError(_NOT_THERE)


def _moved(*parts: str) -> Answer:
    """There is a slash behind it, without which relative links lead elsewhere."""
    place = "/".join(quote(part, safe="") for part in parts)
    return Answer(b"", status=HTTPStatus.PERMANENT_REDIRECT, location=f"/{place}/")


def _commit(workspace: Workspace, table: str, partition: str, version: str | None) -> Commit:
    """The version that an address names: by its number, the held candidate, or else what is current."""
    if version is not None and version != "held":
        return workspace.reader.commit(table, partition, int(version))
    head = workspace.reader.head(table, partition) if version is None else None
    held = workspace.reader.held_candidates(table, partition)
    if head is None and not held:
        msg = f"{table}[{partition}] has no version and no held candidate."
        raise UsageError(msg, table=table, partition=partition)
    return held[-1] if head is None else head


class ReportServer(ThreadingHTTPServer):
    """Serves a `ReportSite` to those who may see it."""

    daemon_threads = True

    def __init__(self, access: ServiceAccess, site: ReportSite) -> None:
        """Bind; `serve_forever` begins to answer."""
        self.access, self.site = access, site
        if isinstance(ip_address(access.host), IPv6Address):
            self.address_family = AF_INET6
        super().__init__((access.host, access.port), _Handler)

    @property
    def url(self) -> str:
        """Where it answers."""
        host, port = self.server_address[:2]
        return f"http://[{host!s}]:{port}" if self.address_family == AF_INET6 else f"http://{host!s}:{port}"

    @property
    def own_names(self) -> frozenset[str]:
        """What a browser on this machine, or behind the proxy, calls it.

        Under another name, a page from elsewhere asks (DNS rebinding).
        """
        port = self.server_address[1]
        mine = {f"{host}:{port}" for host in ("127.0.0.1", "localhost", "[::1]", self.access.host)}
        return frozenset({*mine, *filter(None, [public_name()])})

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever hangs up is no error of ours; the rest is said as usual."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: ReportServer
    server_version, sys_version = "hashgate", ""
    protocol_version = "HTTP/1.1"
    timeout = TIMEOUT_S

    def do_GET(self) -> None:
        """Answer with the body."""
        self._respond(with_body=True)

    def do_HEAD(self) -> None:
        """Answer without."""
        self._respond(with_body=False)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parent's signature
        """Say nothing: addresses name tables and partitions."""

    def _respond(self, *, with_body: bool) -> None:
        try:
            answer = self._answer()
        except UnicodeDecodeError:
            answer = _said(HTTPStatus.NOT_FOUND, _NOT_THERE)
        except (UsageError, ContractError) as error:
            answer = _said(HTTPStatus.NOT_FOUND, str(error))
        except HashgateError as error:  # altered, missing, or out of reach: nothing of it is shown
            answer = _said(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
        self._send(answer, with_body=with_body)

    def _answer(self) -> Answer:
        access = self.server.access
        path = urlsplit(self.path).path
        if path == "/health":
            return Answer(b"ok\n", TEXT)
        if not access.admits(str(self.client_address[0])):
            return _said(HTTPStatus.FORBIDDEN, "this address is not on the allow-list.")
        if access.is_loopback and self.headers.get("Host", "") not in self.server.own_names:
            return _said(HTTPStatus.MISDIRECTED_REQUEST, "this server answers under its own address only.")
        if not access.authorizes(self.headers.get("Authorization")):
            return _said(HTTPStatus.UNAUTHORIZED, "a token is needed: as the password, or as a bearer token.")
        if len(path) > LONGEST_PATH or not path.startswith("/"):
            return _said(HTTPStatus.NOT_FOUND, _NOT_THERE)
        return self.server.site.answer(path)

    def _send(self, answer: Answer, *, with_body: bool) -> None:
        self.send_response(answer.status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", answer.media_type)
        self.send_header("Content-Length", str(len(answer.body)))
        if answer.location is not None:
            self.send_header("Location", answer.location)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", 'Basic realm="hashgate", charset="UTF-8"')
        self.end_headers()
        if with_body:
            self.wfile.write(answer.body)


_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def _said(status: HTTPStatus, text: str) -> Answer:
    """A refusal as plain text: nothing in it is markup."""
    return Answer(f"{text}\n".encode(), TEXT, status)
