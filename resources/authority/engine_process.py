"""Running an engine: a child process without a shell, in a cleaned environment, that ends when its time is over.

What it starts ends with it: its process group, whatever descends from it, and whatever carries the attempt's mark in
its environment, so that a daemon it forked does not write on while evidence is looked at. What it prints goes to
files. Nothing here knows what a run is.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MARK_VARIABLE = "HASHGATE_ATTEMPT"
"""By which a process that left its group is still known."""

GRACE_S = 3.0
"""Between the request to end and the end."""

_POLL_S = 0.05
_ATTEND_EVERY_S = 1.0
_PROC = Path("/proc")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class CommandNotStartedError(Exception):
    """There is no such program, or this user may not run it. It never leaves the package."""


@dataclass(frozen=True, slots=True)
class EngineEnd:
    """How a child process ended."""

    exit_code: int | None
    """Negative: by that signal. None: its time was over."""
    duration_s: float

    @property
    def timed_out(self) -> bool:
        """Whether it was ended because its time was over."""
        return self.exit_code is None


def cleaned_environment(
    given: Mapping[str, str], passed: Sequence[str], folder: Path, own: Mapping[str, str]
) -> dict[str, str]:
    """The environment of an engine.

    Args:
        given: This process's.
        passed: Names of variables that the engine gets from it.
        folder: The engine's home and place for temporary files.
        own: What the platform tells it.
    """
    base = {"PATH": _PATH, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    named = {name: given[name] for name in passed if name in given}
    return {**base, "HOME": str(folder), "TMPDIR": str(folder), **named, **own}


def run_engine(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: Path,
    mark: str,
    timeout_s: float,
    attend: Callable[[], None] = lambda: None,
) -> EngineEnd:
    """Run a command to its end.

    Args:
        command: The program and its arguments.
        environment: All of its variables but the mark.
        folder: Where it runs; `stdout` and `stderr` are written there.
        mark: What tells its processes from others.
        timeout_s: After so long it is ended.
        attend: Called about every second while it runs; what it raises ends the engine and is raised here.

    Raises:
        CommandNotStartedError: The program cannot be run.
    """
    started = time.monotonic()
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        try:
            process = subprocess.Popen(
                list(command),
                env=dict(environment) | {MARK_VARIABLE: mark},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            said = getattr(error, "strerror", None) or str(error)
            msg = f"{command[0]}: {said}"
            raise CommandNotStartedError(msg) from error
        try:
            exit_code = _wait(process, started + timeout_s, attend)
        finally:
            _end_all(process, mark)
    return EngineEnd(exit_code, time.monotonic() - started)


def end_marked(mark: str) -> None:
    """End what still runs on this host of an attempt whose leader is gone."""
    for pid in _belonging(None, mark):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _wait(process: subprocess.Popen[bytes], until: float, attend: Callable[[], None]) -> int | None:
    attended = time.monotonic()
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(_POLL_S)
        now = time.monotonic()
        if now >= until:
            return None
        if now - attended >= _ATTEND_EVERY_S:
            attend()
            attended = now


def _end_all(process: subprocess.Popen[bytes], mark: str) -> None:
    """Ask everything that belongs to the engine to end, and end what does not."""
    if process.poll() is not None and not _is_any_left(process.pid, mark):
        return
    until = time.monotonic() + GRACE_S
    _signal(process, mark, signal.SIGTERM)
    while time.monotonic() < until and (process.poll() is None or any(_belonging(process.pid, mark))):
        time.sleep(_POLL_S)
    _signal(process, mark, signal.SIGKILL)
    process.wait()


def _is_any_left(group: int, mark: str) -> bool:
    """Look twice: a process that is just becoming another program shows no environment for a moment."""
    if any(_belonging(group, mark)):
        return True
    time.sleep(_POLL_S)
    return any(_belonging(group, mark))


def _signal(process: subprocess.Popen[bytes], mark: str, sent: signal.Signals) -> None:
    members = list(_belonging(process.pid, mark))
    if process.poll() is None:  # else the group's number may be somebody else's by now
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, sent)
    for pid in members:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, sent)


def _belonging(group: int | None, mark: str) -> Iterator[int]:
    """Processes that live, other than zombies, of the group or with the mark. Source: proc(5)."""
    wanted = f"{MARK_VARIABLE}={mark}".encode()
    for name in os.listdir(_PROC) if _PROC.is_dir() else ():  # noqa: PTH208 - names only
        if not name.isdecimal() or int(name) == os.getpid():
            continue
        try:
            fields = _read(f"/proc/{name}/stat").rpartition(b")")[2].split()
            if fields[0] in b"ZX":
                continue
            if int(fields[2]) == group or wanted in _read(f"/proc/{name}/environ").split(b"\0"):
                yield int(name)
        except OSError:
            continue


def _read(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - hundreds of them, and pathlib takes a third of the time
        return file.read()
