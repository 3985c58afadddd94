"""Which process this is, and what became of another one: for what is left behind by one that was killed.

A process id alone says little, since ids are used again: with it go the host, the run of its kernel, the namespace that
numbers its processes, and when the process began. What another host does, this one cannot tell.
"""

from __future__ import annotations

import os
import socket
from dataclasses import astuple, dataclass
from enum import Enum, auto
from pathlib import Path

_PROC = Path("/proc")
_DEAD_STATES = frozenset("ZX")
"""A zombie is dead, and only waits for its parent to hear of it."""


class Fate(Enum):
    """What became of a process."""

    ALIVE = auto()
    DEAD = auto()
    WENT_DOWN = auto()
    """Its host was started anew since then: whatever ended it, ended everything."""
    UNKNOWN = auto()
    """It is, or was, on another host."""


@dataclass(frozen=True, slots=True)
class ProcessMark:
    """A process, told from all others there are and were."""

    host: str
    boot: str
    """Of the kernel; empty where there is no such thing."""
    namespace: str
    pid: int
    started: int
    """In the kernel's ticks since it began; 0 where nobody can tell."""

    @property
    def text(self) -> str:
        """For places that keep texts: `host/boot/namespace/pid/started`."""
        return "/".join(map(str, astuple(self)))

    @classmethod
    def parse(cls, text: str) -> ProcessMark:
        """Read a mark's text, or raise ValueError."""
        host, boot, namespace, pid, started = text.split("/")
        return cls(host, boot, namespace, int(pid), int(started))

    @property
    def fate(self) -> Fate:
        """What became of it, as far as this process can see."""
        here = this_process()
        if self.host != here.host:
            return Fate.UNKNOWN
        if self.boot != here.boot:
            return Fate.WENT_DOWN
        if self.namespace != here.namespace:
            return Fate.UNKNOWN
        return Fate.ALIVE if _started(self.pid) == self.started else Fate.DEAD


def this_process() -> ProcessMark:
    """The mark of the process that asks."""
    return ProcessMark(socket.gethostname(), boot_id(), _namespace(), os.getpid(), _started(os.getpid()) or 0)


def boot_id() -> str:
    """What tells this run of this machine's kernel from all others; empty where there is no such thing."""
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return "".join(filter(str.isdecimal, str((_PROC / "self/ns/pid").readlink())))
    except OSError:
        return ""


def _started(pid: int) -> int | None:
    """When a process began; None when there is none that lives.

    Source: proc(5), /proc/[pid]/stat: the name, which may hold anything, ends with the last parenthesis.
    """
    if not _PROC.is_dir():
        return _exists(pid)
    try:
        fields = (_PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in _DEAD_STATES else int(fields[19])


def _exists(pid: int) -> int | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return 0
    return 0
