"""`rebuild` and `migrate`: what they say, how they end; and every command when the server is away."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import quote

import pytest
import sqlalchemy as sa

from tests.installation import Installation
from tests.servers.postgres import PASSWORD, written

EVERY_COMMAND = [
    ["scan"],
    ["plan"],
    ["status"],
    ["query", "SELECT 1 FROM orders"],
    ["quarantine", "orders"],
    ["ingest", "orders"],
    ["rebuild"],
    ["migrate"],
]


@pytest.fixture
def on_server(seeded: Installation, postgres_url: sa.URL, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """Moved to a server, by building its database anew there."""
    monkeypatch.setenv("HASHGATE_DATABASE", written(postgres_url))
    assert seeded.hashgate("rebuild").code == 0
    return seeded


def test_what_was_found_is_told_to_people(seeded: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASHGATE_DATABASE", f"sqlite:///{seeded.home / 'other.db'}")
    ran = seeded.hashgate("rebuild")
    assert ran.code == 0
    lines = [line.split() for line in ran.out.splitlines()]
    assert lines[0] == ["table", "captures", "withdrawn", "partitions", "links", "held", "files", "in", "the", "store"]
    assert lines[1] == ["orders", "4", "0", "3", "3", "1", "4", "4"]
    assert ran.out.endswith(f"{seeded.home / 'other.db'} is built anew from the store\n")


def test_and_to_machines(on_server: Installation, postgres_url: sa.URL) -> None:
    ran = on_server.hashgate("rebuild", "--json")
    assert ran.code == 0
    assert ran.json["database"] == f"postgresql://hashgate:***@127.0.0.1:{postgres_url.port}/{postgres_url.database}"
    assert (ran.json["replaced"], ran.json["kept_aside"], ran.json["problems"]) == (True, None, [])
    assert ran.json["tables"][0]["links"] == 3


def test_the_same_installation_on_a_server_says_the_same(
    seeded: Installation, postgres_url: sa.URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = (["status", "--json"], ["query", "SELECT * FROM orders ORDER BY ALL", "--json"], ["scan", "--json"])
    before = [seeded.hashgate(*command).json for command in commands]
    monkeypatch.setenv("HASHGATE_DATABASE", written(postgres_url))
    assert seeded.hashgate("rebuild").code == 0
    assert [seeded.hashgate(*command).json for command in commands] == before
    assert seeded.hashgate("ingest", "orders").code == 1, "a day is held, and nothing else is to be done"
    assert [seeded.hashgate(*command).json for command in commands] == before


def test_there_and_back(on_server: Installation) -> None:
    back = on_server.hashgate("migrate", "--to", "1")
    assert back.code == 0
    assert "went from version 2 to schema version 1" in back.out
    assert "A copy of what was there: hashgate_v2" in back.out
    assert "has schema version 1 already" in on_server.hashgate("migrate", "--to", "1").out
    forward = on_server.hashgate("migrate", "--json")
    assert (forward.json["before"], forward.json["after"], forward.json["backup"]) == (1, 2, "hashgate_v1")
    assert on_server.hashgate("status").code == 1, "a day is held"


def test_there_is_no_such_version(seeded: Installation) -> None:
    ran = seeded.hashgate("migrate", "--to", "7")
    assert ran.code == 2
    assert "there is no schema version 7. There are: 1, 2." in ran.err


@pytest.mark.parametrize("command", EVERY_COMMAND, ids=lambda command: command[0])
def test_a_server_that_is_away_is_one_message_without_a_password(
    command: list[str], seeded: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"postgresql://hashgate:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/hashgate"
    monkeypatch.setenv("HASHGATE_DATABASE", url)
    ran = seeded.hashgate(*command)
    code = 2 if command[0] == "query" else 1  # a query names each table that cannot be read, and has none left
    assert ran.code == code, ran.out + ran.err
    assert "Connection refused. Start it, or mend HASHGATE_DATABASE." in ran.err
    assert "Traceback" not in ran.err
    in_full = seeded.hashgate(*command, "--json", "--traceback")
    assert in_full.code == code
    for secret in (PASSWORD, quote(PASSWORD, safe="")):
        assert secret not in ran.out + ran.err + in_full.out + in_full.err


@pytest.mark.embedded
def test_a_password_is_in_nothing_that_was_written(on_server: Installation) -> None:
    on_server.drop("2024-01-06")
    for command in EVERY_COMMAND:
        ran = on_server.hashgate(*command, "--traceback")
        for secret in (PASSWORD, quote(PASSWORD, safe="")):
            assert secret not in ran.out + ran.err
    written_files = [path for path in Path(on_server.home).rglob("*") if path.is_file()]
    assert any("history" in str(path) for path in written_files), "Dagster wrote of the run, too"
    for path in written_files:
        content = path.read_bytes()
        assert PASSWORD.encode() not in content, path
        assert quote(PASSWORD, safe="").encode() not in content, path
