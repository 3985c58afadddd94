"""A PostgreSQL server of the suite's own, from Debian's package: in a temporary folder, on a free port of loopback.

It runs as another user when the suite runs as root, without fsync, since nothing here outlives the suite. Every test
gets a database of its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from resources.settings import POSTGRESQL_DRIVER, sqlite_url
from tests.servers.installed import lacking

USER = "hashgate"
PASSWORD = "planted-p@ss/w:rd%41"  # noqa: S105 - a canary: wherever it shows up, a password leaked
"""With characters that a URL must escape."""
START_S = 60
STOP_S = 30
NOT_INSTALLED = "PostgreSQL is not installed (Debian: apt-get install postgresql)"


class PostgresServer:
    """One server, known by the id of its first process."""

    def __init__(self, programs: Path) -> None:
        """Take the folder of `initdb` and `postgres`; nothing is started yet."""
        self._programs = programs
        self._account = _another_user() if os.geteuid() == 0 else None
        # not below pytest's folder, which only its owner may enter
        self._folder = Path(tempfile.mkdtemp(prefix="hashgate-postgres-"))
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def create(self) -> None:
        """Make the cluster; a password is asked for, as it would be in a deployment."""
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        if self._account is not None:
            for path in (self._folder, secret):
                os.chown(path, self._account.pw_uid, self._account.pw_gid)
        options = ["--no-sync", "--encoding=UTF8", "--locale=C.UTF-8", "--auth=scram-sha-256", f"--pwfile={secret}"]
        made = subprocess.run(
            [self._programs / "initdb", f"--pgdata={self._data}", f"--username={USER}", *options],
            capture_output=True,
            check=False,
            text=True,
            **self._as_user(),
        )
        assert made.returncode == 0, made.stderr
        secret.unlink()

    def start(self) -> None:
        """Start it, on the port that it had before if it had one, and wait until it answers."""
        if not self.port:
            with socket.create_server(("127.0.0.1", 0)) as free:
                self.port = free.getsockname()[1]
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "max_connections": 100,
            "shared_buffers": "32MB",
        }
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._programs / "postgres",
                    f"-D{self._data}",
                    *(f"-c{name}={value}" for name, value in settings.items()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_the_suite,  # noqa: PLW1509 - it takes no lock that another thread could hold
                **self._as_user(),
            )
        deadline = time.monotonic() + START_S
        while True:
            try:
                self._execute("SELECT 1")
            except sa.exc.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"PostgreSQL did not start:\n{(self._folder / 'log').read_text()[-4000:]}")
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """End it, open connections or not; the data stays."""
        if self._process is None:
            return
        for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):  # fast, immediate, and then by force
            self._process.send_signal(how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_S)
                break
        self._process = None

    def remove(self) -> None:
        """Stop it and remove what it wrote."""
        self.stop()
        shutil.rmtree(self._folder)

    @contextlib.contextmanager
    def new_database(self) -> Iterator[sa.URL]:
        """A database of one's own, with its URL; dropped at the end."""
        name = f"test_{uuid4().hex}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE template0")
        try:
            yield self.url(name)
        finally:
            if self._process is not None:
                self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def url(self, database: str) -> sa.URL:
        """How to reach a database."""
        return sa.URL.create(POSTGRESQL_DRIVER, USER, PASSWORD, "127.0.0.1", self.port, database)

    def log(self) -> str:
        """What the server said."""
        return (self._folder / "log").read_text()

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _execute(self, statement: str) -> None:
        engine = sa.create_engine(self.url("postgres"), poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)

    def _as_user(self) -> dict[str, Any]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        where: dict[str, Any] = {"cwd": self._folder, "env": ours | {"LC_ALL": "C.UTF-8"}}
        if self._account is not None:
            where |= {"user": self._account.pw_uid, "group": self._account.pw_gid, "extra_groups": []}
        return where


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The session's server."""
    programs = _programs()
    if programs is None:
        lacking(NOT_INSTALLED)
    server = PostgresServer(programs)
    try:
        server.create()
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[sa.URL]:
    """A PostgreSQL database of one's own."""
    with postgres.new_database() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> sa.URL:
    """A database of one's own, which is not there yet: a file, and then one on the server."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "catalogue.db")
    url: sa.URL = request.getfixturevalue("postgres_url")
    return url


def written(url: sa.URL) -> str:
    """A URL as HASHGATE_DATABASE has it, the password included."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def _end_with_the_suite() -> None:
    """Have the kernel end this process when the suite's ends, however that comes: prctl(2), PR_SET_PDEATHSIG."""
    ctypes.CDLL(None).prctl(1, signal.SIGQUIT)


def _programs() -> Path | None:
    """The folder of the newest PostgreSQL there is."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).resolve().parent if on_path else None


def _another_user() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    pytest.fail("PostgreSQL does not run as root, and this machine has neither a user postgres nor nobody")
