"""S3 servers for tests: moto's always, Ceph's gateway where it is installed, and a faulty way to one of them.

Each is started once a test run, when the first test asks for it, and ended by its process id.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from resources.object_store import LocalObjectStore, ObjectStore
from resources.s3_client import s3_client
from resources.s3_store import S3ObjectStore
from tests.servers.ceph import ACCESS_KEY, PACKAGE, PROGRAMS, SECRET_KEY, ceph_gateway
from tests.servers.fault_proxy import FaultProxy
from tests.servers.installed import require_programs
from tests.servers.processes import ServerProcess, answers, free_port

BUCKET = "hashgate-tests"
PART_BYTES = 5 << 20
"""The smallest parts that S3 allows, so that the tests' uploads in parts stay small."""


@dataclass(frozen=True)
class S3Server:
    """A running server with a bucket for tests."""

    endpoint: str
    access_key: str = ACCESS_KEY
    secret_key: str = SECRET_KEY

    def client(self, **changed: Any) -> Any:
        """The platform's client, but impatient."""
        place: dict[str, Any] = {
            "endpoint_url": self.endpoint,
            "aws_access_key_id": self.access_key,
            "aws_secret_access_key": self.secret_key,
            "region_name": "us-east-1",
            "connect_timeout_s": 2.0,
            "read_timeout_s": 30.0,
            "max_attempts": 2,
        }
        return s3_client(**(place | changed))

    def store(self, scratch: Path, prefix: str | None = None, **changed: Any) -> S3ObjectStore:
        """A store of its own below a prefix that nobody else has."""
        place = f"tests/{uuid4().hex}" if prefix is None else prefix
        return S3ObjectStore(_shared_client(self, **changed), BUCKET, place, scratch, part_bytes=PART_BYTES)

    @property
    def setting(self) -> str:
        """A place of its own, as HASHGATE_STORE has it."""
        return f"s3://{BUCKET}/tests/{uuid4().hex}"

    def environment(self) -> dict[str, str]:
        """What a process of its own needs in its environment."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
        }


@contextmanager
def moto_server(folder: Path) -> Iterator[str]:
    """Run moto's server in a process of its own and give its address."""
    port = free_port()
    command = [sys.executable, "-m", "tests.servers.moto_in_turn", str(port)]
    server = ServerProcess(command, folder / "moto.log")
    try:
        server.wait_for(lambda: answers(port))
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop()


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with moto_server(tmp_path_factory.mktemp("moto")) as endpoint:
        yield _with_bucket(S3Server(endpoint))


@pytest.fixture(scope="session")
def ceph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    require_programs(*PROGRAMS, package=PACKAGE)
    with ceph_gateway(tmp_path_factory.mktemp("ceph")) as endpoint:
        yield _with_bucket(S3Server(endpoint))


@pytest.fixture(params=["local", "moto", "ceph"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """A store of each kind, empty: what holds for one has to hold for all."""
    if request.param == "local":
        return LocalObjectStore(tmp_path / "store")
    server: S3Server = request.getfixturevalue(request.param)
    return server.store(tmp_path / "scratch")


@pytest.fixture(scope="session")
def _way(moto: S3Server) -> Iterator[FaultProxy]:
    with FaultProxy(moto.endpoint) as proxy:
        yield proxy


@pytest.fixture
def faults(_way: FaultProxy) -> Iterator[FaultProxy]:
    """A way to moto's server on which anything may go wrong; its `endpoint` takes the place of the server's."""
    _way.requests.clear()
    _way.struck = 0
    yield _way
    _way.heal()


@cache
def _shared_client(server: S3Server, **changed: Any) -> Any:
    """A client takes 0.2 s to make."""
    return server.client(**changed)


def _with_bucket(server: S3Server) -> S3Server:
    server.client().create_bucket(Bucket=BUCKET)
    return server
