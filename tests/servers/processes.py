"""Servers as child processes: started on free ports of the loopback interface, ended by their process ids."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PATIENCE_S = 60.0


class ServerDiedError(RuntimeError):
    """A server ended before it answered, or never did; the message has the end of its log."""


class ServerProcess:
    """One server, and its log in a file."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self._log = log
        with log.open("ab") as said:
            self._process = subprocess.Popen(
                [*_dying_with_us(), *command],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env=environment,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_for(self, ready: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
        """Wait until it is ready."""
        patience = time.monotonic() + patience_s
        while not ready():
            if self._process.poll() is not None or time.monotonic() > patience:
                tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])
                msg = f"{self._process.args!r} is not ready:\n{tail}"
                raise ServerDiedError(msg)
            time.sleep(0.05)

    def stop(self) -> None:
        """End it: politely, then not."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _dying_with_us() -> list[str]:
    """What lets the kernel end a server when the test run was killed and cannot; from util-linux, so on any Linux."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens now."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port: int = trial.getsockname()[1]
        return port


def answers(port: int) -> bool:
    """Whether somebody listens on that port of 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
