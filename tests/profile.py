"""In which profile the suite runs: embedded (local disk, SQLite), or grown (S3, PostgreSQL) with the same tests.

`HASHGATE_TEST_PROFILE=grown` gives every home of a test a place of its own in a bucket and a database of its own on a
server; the suite starts both servers. Tests that look at files of a local store are marked `embedded` and belong to
the other profile alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from contracts.refs import digest_bytes, hex_of
from resources.settings import DATABASE_VARIABLE, STORE_VARIABLE, S3Location, Settings
from tests.servers.postgres import PostgresServer, written
from tests.servers.s3 import BUCKET, S3Server

GROWN = os.environ.get("HASHGATE_TEST_PROFILE", "embedded") == "grown"


class _Servers:
    """The servers of the session, and the databases that its homes have been given."""

    def __init__(self, s3: S3Server, postgres: PostgresServer, ending: ExitStack) -> None:
        self.s3, self._postgres, self._ending = s3, postgres, ending
        self._databases: dict[Path, sa.URL] = {}

    def database(self, home: Path) -> sa.URL:
        if home not in self._databases:
            self._databases[home] = self._ending.enter_context(self._postgres.new_database())
        return self._databases[home]


_servers: list[_Servers] = []


@pytest.fixture(scope="session", autouse=GROWN)
def grown_servers(request: pytest.FixtureRequest) -> Iterator[None]:
    """Both servers, as long as the session lasts; child processes find the bucket's by their environment."""
    with ExitStack() as ending, pytest.MonkeyPatch.context() as environment:
        servers = _Servers(request.getfixturevalue("moto"), request.getfixturevalue("postgres"), ending)
        for name, value in servers.s3.environment().items():
            environment.setenv(name, value)
        _servers.append(servers)
        yield
        _servers.clear()


def in_profile(settings: Settings) -> Settings:
    """The same installation, where the profile keeps such things."""
    if not GROWN:
        return settings
    return replace(settings, store_location=_place(settings.home), database_url=_servers[0].database(settings.home))


def set_profile(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Set in the environment where the profile keeps the store and the database of a home."""
    if GROWN:
        monkeypatch.setenv(STORE_VARIABLE, str(_place(home)))
        monkeypatch.setenv(DATABASE_VARIABLE, written(_servers[0].database(home)))


def _place(home: Path) -> S3Location:
    return S3Location(BUCKET, f"homes/{hex_of(digest_bytes(os.fsencode(home)))[:16]}")
