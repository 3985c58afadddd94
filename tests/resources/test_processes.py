"""What became of a process: real ones, alive, killed, not yet buried."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from resources.processes import Fate, ProcessMark, this_process


def mark_of(pid: int) -> ProcessMark:
    """The mark that a child would give itself."""
    started = int(Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[19])
    return replace(this_process(), pid=pid, started=started)


@pytest.fixture
def child() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)


def test_this_process_is_alive() -> None:
    assert this_process().fate is Fate.ALIVE
    assert this_process().pid == os.getpid()
    assert this_process().started > 0


def test_a_child_lives_until_it_is_killed(child: subprocess.Popen[bytes]) -> None:
    mark = mark_of(child.pid)
    fates = [mark.fate]
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    fates.append(mark.fate)
    child.wait()
    fates.append(mark.fate)
    assert fates == [Fate.ALIVE, Fate.DEAD, Fate.DEAD], "a zombie is dead"


def test_another_process_of_the_same_number_is_another_one() -> None:
    assert replace(this_process(), started=this_process().started - 1).fate is Fate.DEAD


@pytest.mark.parametrize(
    ("changed", "fate"),
    [
        pytest.param({"host": "another"}, Fate.UNKNOWN, id="on another host"),
        pytest.param({"boot": "earlier"}, Fate.WENT_DOWN, id="before the host was started anew"),
        pytest.param({"namespace": "1"}, Fate.UNKNOWN, id="in another container"),
        pytest.param({"pid": 2**22 + 1}, Fate.DEAD, id="of a number that no process has"),
    ],
)
def test_the_fate_of_processes_elsewhere(changed: dict[str, str | int], fate: Fate) -> None:
    assert replace(this_process(), **changed).fate is fate  # type: ignore[arg-type]


def test_a_mark_reads_back_from_its_text() -> None:
    assert ProcessMark.parse(this_process().text) == this_process()


@pytest.mark.parametrize("text", ["", "host", "host/boot/1/x/1", "host/boot/1/2/3/4"])
def test_what_is_no_mark_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="unpack|invalid literal"):
        ProcessMark.parse(text)
