"""The server of reports, over real connections: pages and nothing else, to those who may see them."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from contracts.overview_document import Overview
from contracts.report_document import Report
from platform_assets.reports.links import REPORTS_VARIABLE
from platform_assets.reports.partition_report import write_report
from platform_assets.reports.report_page import POLICY
from platform_assets.reports.report_server import ReportServer, ReportSite
from platform_assets.reports.table_overview import write_overview
from resources.service_access import ServiceAccess
from tests.kept_sales import KeptHome
from tests.sales import HEADER, SALES, row

TOKEN = "t" * 24


@dataclass(frozen=True)
class Answered:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Ask:
    """Asks a server on this machine."""

    port: int

    def __call__(self, path: str, method: str = "GET", **headers: str) -> Answered:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        sent = {"Host": f"127.0.0.1:{self.port}"} | {name.replace("_", "-"): text for name, text in headers.items()}
        connection.putrequest(method, path, skip_host=True)
        for name, value in sent.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        found = Answered(answer.status, dict(answer.getheaders()), answer.read())
        connection.close()
        return found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> KeptHome:
    """Two versions of a day, a held day, and a day with a name's worth of markup in a value."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "drops" / "sales").mkdir(parents=True)
    kept = KeptHome(folder, SALES)
    for day, content in (
        ("2024-03-01", HEADER + row(1)),
        ("2024-03-01", HEADER + row(1) + row(2, note="<script>alert(1)</script>")),
        ("2024-03-02", HEADER + "garbage\n" * 9),
    ):
        kept.drop(content, f"{day}.csv")
        write_report(kept.workspace, kept.contract, kept.ingest(day).commit)
    return kept


@contextmanager
def serving(home: KeptHome, address: str = "127.0.0.1:0", **environment: str) -> Iterator[Ask]:
    access = ServiceAccess.of(address, environment)
    with ReportServer(access, ReportSite(lambda: home.workspace)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield Ask(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def ask(home: KeptHome) -> Iterator[Ask]:
    with serving(home) as ask:
        yield ask


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/", 'href="sales/"'),
        ("/sales/", "1 OF 2 PUBLISHED"),
        ("/sales/2024-03-01/", "version 2"),
        ("/sales/2024-03-01/1/", "version 1"),
        ("/sales/2024-03-01/1/", 'href="../../2024-03-02/"'),
        ("/sales/2024-03-02/", 'href="../2024-03-01/"'),
        ("/sales/2024-03-01/2/", "version 2"),
        ("/sales/2024-03-02/", "HELD"),
        ("/sales/2024-03-02/held/", "HELD"),
    ],
)
def test_there_is_a_page_of_everything(ask: Ask, path: str, said: str) -> None:
    found = ask(path)
    assert (found.status, found.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert said in found.body.decode()
    assert ask(path).body == found.body


def test_the_documents_are_there_as_they_are_stored(ask: Ask, home: KeptHome) -> None:
    found = ask("/sales/2024-03-01/report.json")
    assert (found.status, found.headers["Content-Type"]) == (200, "application/json")
    assert Report.from_bytes(found.body).version == 2
    overview = ask("/sales/overview.json").body
    assert Overview.from_bytes(overview) == write_overview(home.workspace, home.contract).overview


@pytest.mark.parametrize("path", ["/", "/sales/", "/health", "/nope/", "/sales"])
def test_every_answer_says_what_the_browser_may_not_do(ask: Ask, path: str) -> None:
    headers = ask(path).headers
    assert headers["Content-Security-Policy"] == POLICY
    assert "default-src 'none'" in POLICY
    assert "frame-ancestors 'none'" in POLICY
    wanted = {
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
    assert {name: headers[name] for name in wanted} == wanted
    assert headers["Server"].strip() == "hashgate"


@pytest.mark.parametrize(
    ("path", "to"),
    [(path, f"{path}/") for path in ("/sales", "/sales/2024-03-01", "/sales/2024-03-01/1")],
)
def test_a_path_without_its_last_slash_leads_there(ask: Ask, path: str, to: str) -> None:
    found = ask(path)
    assert (found.status, found.headers["Location"]) == (308, to)


NOT_THERE = [
    "/nope/",
    "/sales/2024-03-09/",
    "/sales/2024-13-01/",
    "/sales/report.json",
    "/sales/2024-03-01/9x/",
    "/sales/2024-03-01/0/",
    "/sales/2024-03-01/1/2/",
    "/sales/2024-03-01/1/report.html",
    "/../../../etc/passwd",
    "/sales/../../captures/sales/",
    "/sales/2024-03-01/../../commits/",
    "/sales/%2e%2e/",
    "/sales/..%2f..%2f..%2fetc%2fpasswd/",
    "/sales/2024-03-01%00/",
    "/sales/2024-03-01/..%2f..%2fcommits%2f2024-03-01%2f00000001.json",
    "/blobs/",
    "/%ff/",
    "/sales//",
    "/" + "a" * 2000,
]


@pytest.mark.parametrize("path", NOT_THERE, ids=lambda path: path[:60])
def test_there_is_nothing_else(ask: Ask, path: str) -> None:
    found = ask(path)
    assert (found.status, found.headers["Content-Type"]) == (404, "text/plain; charset=utf-8")
    assert b"root:" not in found.body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
def test_nothing_can_be_changed(ask: Ask, method: str) -> None:
    assert ask("/sales/", method).status == 501


def test_a_head_has_the_length_and_no_body(ask: Ask) -> None:
    found = ask("/sales/2024-03-01/", "HEAD")
    assert (found.status, found.body) == (200, b"")
    assert int(found.headers["Content-Length"]) == len(ask("/sales/2024-03-01/").body)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", ""], ids=repr)
def test_a_page_from_elsewhere_cannot_ask_under_its_own_name(ask: Ask, host: str) -> None:
    found = ask("/sales/", Host=host)
    assert (found.status, b"own address" in found.body) == (421, True)


def test_behind_a_proxy_it_answers_under_the_proxys_name(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask("/sales/", Host="reports.example").status == 421
    monkeypatch.setenv(REPORTS_VARIABLE, "https://reports.example/")
    assert ask("/sales/", Host="reports.example").status == 200


def test_whoever_hangs_up_is_no_error(home: KeptHome, capfd: pytest.CaptureFixture[str]) -> None:
    with serving(home) as ask:
        with socket.create_connection(("127.0.0.1", ask.port)) as asking:
            asking.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close with a reset
            asking.sendall(f"GET /sales/ HTTP/1.1\r\nHost: 127.0.0.1:{ask.port}\r\n\r\n".encode())
        assert ask("/sales/").status == 200
    assert capfd.readouterr().err == ""


def test_what_a_value_says_stays_text(ask: Ask) -> None:
    page = ask("/sales/2024-03-01/").body.decode()
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_without_a_token_nobody_sees_anything_where_one_is_asked_for(home: KeptHome) -> None:
    with serving(home, HASHGATE_TOKENS=TOKEN) as ask:
        refused = ask("/sales/")
        assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, 'Basic realm="hashgate", charset="UTF-8"')
        assert b"OF 2" not in refused.body
        assert ask("/sales/", Authorization=f"Bearer {TOKEN}x").status == 401
        assert ask("/sales/", Authorization=f"Bearer {TOKEN}").status == 200
        assert ask("/health").status == 200


def test_addresses_that_are_not_on_the_list_are_refused(home: KeptHome) -> None:
    with serving(home, HASHGATE_ALLOW="10.0.0.0/8") as ask:
        assert ask("/sales/").status == 403
        assert ask("/health").status == 200


@pytest.mark.parametrize("altered", ["report.json", "00000001.json"])
def test_what_was_altered_is_not_shown(tmp_path: Path, altered: str) -> None:
    (tmp_path / "drops" / "sales").mkdir(parents=True)
    kept = KeptHome(tmp_path, SALES)
    kept.drop(HEADER + row(1), "2024-03-01.csv")
    write_report(kept.workspace, kept.contract, kept.ingest("2024-03-01").commit)
    folder = "reports" if altered == "report.json" else "commits"
    (path,) = kept.workspace.store.path(f"tables/sales/{folder}").rglob(altered)
    path.write_bytes(path.read_bytes().replace(b'"valid_rows":1', b'"valid_rows":7'))
    with serving(kept) as ask:
        found = ask("/sales/2024-03-01/")
    assert (found.status, found.headers["Content-Type"]) == (500, "text/plain; charset=utf-8")
    assert altered in found.body.decode()
