"""Access: what the platform writes is for its user alone, and what it knows from the environment it writes nowhere."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.installation import CONTRACT, SOUND

ROOT = Path(__file__).parents[3]
BAD = b"id,item,amount\n1,pen,2.5\n2,,-1\n3,,x\n4,ink,red\n"

PASSWORD = "planted/p@ssword"  # noqa: S105 - planted, to be looked for
SECRETS = {
    "AWS_ACCESS_KEY_ID": "PLANTEDKEYID",
    "AWS_SECRET_ACCESS_KEY": "planted-aws-secret",
    "AWS_SESSION_TOKEN": "planted-aws-token",
    "GITHUB_TOKEN": "planted-github-token",
    "SOME_PASSWORD": "planted-some-password",
}
LOOKED_FOR = (*SECRETS.values(), PASSWORD, quote(PASSWORD, safe=""))

UNREACHABLE = "127.0.0.1:9"
"""Nothing listens on the discard port."""


class Planted:
    """An installation run in processes of its own, as people do, with secrets in the environment."""

    def __init__(self, folder: Path) -> None:
        self.home, self.drops, contracts = folder / "home", folder / "drops", folder / "contracts"
        (self.drops / "orders").mkdir(parents=True)
        contracts.mkdir()
        (contracts / "orders.odcs.yaml").write_text(CONTRACT)
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        self.environment: Mapping[str, str] = {
            **kept,
            **SECRETS,
            "HASHGATE_HOME": str(self.home),
            "HASHGATE_DROPS": str(self.drops),
            "HASHGATE_CONTRACTS": str(contracts),
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
        }
        self.said = b""

    def drop(self, day: str, content: bytes) -> None:
        (self.drops / "orders" / f"orders-{day}.csv").write_bytes(content)

    def hashgate(self, *arguments: str, **changed: str) -> int:
        """Run a command as somebody who lets others read his files."""
        command = [sys.executable, "-m", "platform_assets.cli.main", *arguments, "--traceback"]
        done = subprocess.run(
            command,
            env={**self.environment, **changed},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            umask=0o022,
            timeout=300,
        )
        self.said += done.stdout
        return done.returncode

    def written(self) -> dict[str, bytes]:
        """Every file of the home, and all that was said."""
        files = {str(p.relative_to(self.home)): p.read_bytes() for p in self.home.rglob("*") if p.is_file()}
        return files | {"what was said": self.said}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """A day that is published, one that is held, a backup and a gc; then a database and a store that are away."""
    planted = Planted(tmp_path_factory.mktemp("planted"))
    planted.drop("2024-01-01", SOUND)
    planted.drop("2024-01-02", BAD)
    assert planted.hashgate("ingest", "orders") == 1, planted.said.decode()
    assert planted.hashgate("query", "SELECT count(*) FROM orders") == 0
    assert planted.hashgate("gc") == 0
    assert planted.hashgate("backup", str(planted.home.parent / "backup")) == 0
    planted.drop("2024-01-03", SOUND)
    dsn = f"postgresql://hashgate:{quote(PASSWORD, safe='')}@{UNREACHABLE}/hashgate"
    assert planted.hashgate("ingest", "orders", HASHGATE_DATABASE=dsn) != 0
    place = {"HASHGATE_STORE": "s3://bucket/prefix", "AWS_ENDPOINT_URL_S3": f"http://{UNREACHABLE}"}
    assert planted.hashgate("ingest", "orders", AWS_MAX_ATTEMPTS="1", **place) != 0
    return planted


def test_nobody_else_may_read_or_enter_anything(planted: Planted) -> None:
    backup = planted.home.parent / "backup"
    open_to_others = {
        str(path): oct(stat.S_IMODE(path.lstat().st_mode))
        for folder in (planted.home, backup)
        for path in (folder, *folder.rglob("*"))
        if not path.is_symlink() and path.lstat().st_mode & 0o077
    }
    assert open_to_others == {}
    assert sum(1 for _ in planted.home.rglob("*")) > 50, "there was something to look at"


@pytest.mark.parametrize("secret", LOOKED_FOR)
def test_a_secret_stands_nowhere(planted: Planted, secret: str) -> None:
    assert [name for name, data in planted.written().items() if secret.encode() in data] == []


def test_the_failures_were_told(planted: Planted) -> None:
    """Else there would have been nothing to hide."""
    said = planted.said.decode()
    assert f"@{UNREACHABLE}/hashgate" in said
    assert "Traceback" in said
    assert any(name.startswith("dagster/history/") for name in planted.written())
