"""A tracer: runs a function in a child process, counts its file system calls, and lets one of them go wrong.

The kernel reports the calls (ptrace(2), by a seccomp filter for the file calls only), so that those of DuckDB, SQLite
and every thread are among them, in the order in which they begin. strace can inject failures too, but counts each kind
of call of each thread by itself, and its short writes write nothing. Linux on x86-64 only.
"""

from __future__ import annotations

import os
import platform
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.children import Answer, Child, alarm
from tests.faults.disk import Disk
from tests.faults.fault import Fault
from tests.faults.kernel import (
    AT_FDCWD,
    CONTINUE,
    CONTINUE_TO_EXIT,
    EVENT_SECCOMP,
    EXIT_STOP,
    SEIZE,
    TRACE_EVERYTHING,
    Registers,
    descriptor_path,
    ptrace,
    stop_at,
    text_at,
)
from tests.faults.system_calls import (
    FILE_CALLS,
    OPENS,
    REMOVALS,
    SYNCS,
    WRITES,
    Call,
    Place,
    SystemCall,
    opens_for_change,
)
from tests.faults.troubles import Deed, Trouble

TIMEOUT_S = 120

_WALL = 0x40000000
"""Wait for threads, too."""


def untraceable_machine() -> str | None:
    """Why nothing can be traced on this machine, whatever the system allows."""
    if (sys.platform, platform.machine()) == ("linux", "x86_64"):
        return None
    return f"crashes are made by a tracer that knows Linux on x86-64 only; here: {sys.platform} {platform.machine()}"


@dataclass(frozen=True, slots=True)
class Traced:
    """How a traced run ended."""

    answer: Answer
    killed: bool
    """Whether the fault killed it."""
    hung: bool
    calls: list[Call]
    """The file calls it made within the scope, in order."""
    struck: list[Call]
    """Those that the fault struck."""
    numbers: frozenset[int]
    """The system calls that were reported, by number."""


class Tracer:
    """Runs functions in traced children. Only calls on paths within the scope count."""

    def __init__(
        self,
        scope: Sequence[Path],
        outside: Sequence[Path] = (),
        *,
        everything: bool = False,
        timeout_s: int = TIMEOUT_S,
    ) -> None:
        """Say what counts.

        Args:
            scope: Folders; the first one loses what is not synced when the power is cut.
            outside: Folders in them whose calls do not count.
            everything: Have every system call reported by its number, whatever it does; slower.
            timeout_s: What runs longer is ended.
        """
        self._scope, self._outside = tuple(scope), tuple(outside)
        self._everything = everything
        self._timeout_s = timeout_s

    def run(self, function: Callable[..., object], *arguments: object, fault: Fault[Trouble] | None = None) -> Traced:
        """Call the function in a child, and let `fault` happen.

        Raises:
            OSError: The kernel allows no tracing.
        """
        cuts_power = fault is not None and fault.trouble.cuts_power
        disk = Disk(self._scope[0]) if cuts_power else None
        child = Child(function, arguments, first=lambda: stop_at(None if self._everything else tuple(FILE_CALLS)))
        run = _Run(child, self, fault, disk)
        try:
            ptrace(SEIZE, child.process, TRACE_EVERYTHING)
            child.let_go()
            with alarm(self._timeout_s):
                run.follow()
        except TimeoutError:
            run.hung = True
            child.kill()
            run.follow()
        except OSError:
            child.kill()
            os.waitpid(child.process, _WALL)
            raise
        answer = child.answer(run.status)
        if disk is not None and fault is not None:
            disk.lose_what_is_not_synced(names_stay=fault.trouble is Trouble.POWER_CUT_NAMES_STAY)
        return Traced(answer, run.killed, run.hung, run.calls, run.struck, frozenset(run.numbers))

    def covers(self, path: str) -> bool:
        """Whether calls on the path count."""
        return _lies_below(path, self._scope) and not _lies_below(path, self._outside)


@dataclass
class _Run:
    """One child under way."""

    child: Child
    tracer: Tracer
    fault: Fault[Trouble] | None
    disk: Disk | None
    """Kept when the power is to be cut."""
    status: int = 0
    calls: list[Call] = field(default_factory=list)
    struck: list[Call] = field(default_factory=list)
    numbers: set[int] = field(default_factory=set)
    killed: bool = False
    hung: bool = False
    _seen: int = 0
    """Calls to which the fault could have happened."""
    _leaving: dict[int, tuple[Call, Deed | None]] = field(default_factory=dict)
    """Threads within a call that matters when it is done, and what is done then."""

    def follow(self) -> None:
        """Handle what the kernel reports until the child, its threads and its children are gone."""
        while True:
            try:
                thread, status = os.waitpid(-1, _WALL)
            except ChildProcessError:
                return
            if os.WIFSTOPPED(status):
                with _unless_gone():
                    self._stopped(thread, status)
            elif thread == self.child.process:
                self.status = status

    def _stopped(self, thread: int, status: int) -> None:
        number, event = os.WSTOPSIG(status), status >> 16
        if event == EVENT_SECCOMP:
            self._entering(thread)
        elif number == EXIT_STOP:
            self._left(thread)
        else:
            ptrace(CONTINUE, thread, None if event or number == signal.SIGTRAP else number)

    def _entering(self, thread: int) -> None:
        registers = Registers.of(thread)
        self.numbers.add(registers.number)
        kind = FILE_CALLS.get(registers.number)
        call = None if kind is None else _describe(thread, kind, registers)
        if call is None or not any(map(self.tracer.covers, call.paths)):
            ptrace(CONTINUE, thread)
            return
        self.calls.append(call)
        if self.disk is not None and call.name in REMOVALS:
            self.disk.removing(Path(call.paths[0]))
        if self.fault is not None and self._strikes(call, self.fault):
            self.struck.append(call)
            self._strike(thread, call, registers, self.fault.trouble)
        elif self.disk is not None and call.name in SYNCS:
            self._leaving[thread] = (call, None)
            ptrace(CONTINUE_TO_EXIT, thread)
        else:
            ptrace(CONTINUE, thread)

    def _strikes(self, call: Call, fault: Fault[Trouble]) -> bool:
        if not fault.trouble.can_happen_to(call):
            return False
        self._seen += 1
        return self._seen == fault.at or (self._seen > fault.at and fault.trouble.lasts)

    def _strike(self, thread: int, call: Call, registers: Registers, trouble: Trouble) -> None:
        if trouble.deed is Deed.REFUSE:
            registers.refuse(trouble.errno)
        elif trouble.deed in {Deed.HALVE, Deed.KILL_MIDWAY}:
            registers.halve()
        registers.write_to(thread)
        if trouble.deed in {Deed.REFUSE, Deed.HALVE}:
            ptrace(CONTINUE, thread)
        else:
            self._leaving[thread] = (call, trouble.deed)
            ptrace(CONTINUE_TO_EXIT, thread)

    def _left(self, thread: int) -> None:
        call, deed = self._leaving.pop(thread)
        registers = Registers.of(thread)
        if self.disk is not None and call.name in SYNCS and not registers.failed:
            self.disk.synced(Path(call.paths[0]))
        if deed is Deed.DENY and self.fault is not None:
            registers.deny(self.fault.trouble.errno)
            registers.write_to(thread)
        elif deed is not None:
            self.killed = True
            self.child.kill()
        ptrace(CONTINUE, thread)


def _describe(thread: int, kind: SystemCall, registers: Registers) -> Call:
    position, place = kind.files[0]
    paths = tuple(_path(thread, registers, *file) for file in kind.files)
    flags = 0
    if kind.name in OPENS:
        after_path = position + (2 if place is Place.BELOW else 1)
        flags = os.O_CREAT | os.O_WRONLY if kind.name == "creat" else registers.argument(after_path)
    return Call(
        name=kind.name,
        paths=paths,
        by_descriptor=place is Place.DESCRIPTOR,
        changes=kind.changes or opens_for_change(flags),
        length=registers.argument(2) if kind.name in WRITES else 0,
        creates=bool(flags & os.O_CREAT),
    )


def _path(thread: int, registers: Registers, position: int, place: Place) -> str:
    """The absolute path that a call's argument means."""
    if place is Place.DESCRIPTOR:
        return descriptor_path(thread, registers.argument(position))
    at_folder = place is Place.BELOW
    text = text_at(thread, registers.argument(position + at_folder))
    if text.startswith("/"):
        return text
    folder = descriptor_path(thread, registers.argument(position) if at_folder else AT_FDCWD)
    return f"{folder}/{text}" if text else folder


def _lies_below(path: str, folders: Sequence[Path]) -> bool:
    return any(path == os.fspath(folder) or path.startswith(f"{folder}/") for folder in folders)


@contextmanager
def _unless_gone() -> Iterator[None]:
    """A thread that was killed while it was looked at is no error; its end is reported."""
    try:
        yield
    except ProcessLookupError:  # ESRCH
        return
