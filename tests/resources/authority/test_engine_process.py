"""An engine as a child process: how it ends, what ends with it, and that no shell and no secret comes near it."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from uuid import uuid4

import pytest

from resources.authority.engine_process import (
    CommandNotStartedError,
    EngineEnd,
    cleaned_environment,
    end_marked,
    run_engine,
)
from tests.engine_home import marked

PYTHON = (sys.executable, "-I", "-S", "-c")


def run(folder: Path, *command: str, timeout_s: float = 20, mark: str = "", **more: object) -> EngineEnd:
    environment = cleaned_environment(os.environ, (), folder, {})
    return run_engine(
        command,
        environment=environment,
        folder=folder,
        mark=mark or uuid4().hex,
        timeout_s=timeout_s,
        **more,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("code", [0, 1, 3, 255])
def test_the_exit_code_is_the_engines(tmp_path: Path, code: int) -> None:
    assert run(tmp_path, *PYTHON, f"raise SystemExit({code})").exit_code == code


def test_a_signal_is_a_negative_exit_code(tmp_path: Path) -> None:
    assert run(tmp_path, *PYTHON, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)").exit_code == -9


def test_what_it_prints_goes_to_files(tmp_path: Path) -> None:
    run(tmp_path, *PYTHON, "import sys; print('out'); print('err', file=sys.stderr)")

    assert (tmp_path / "stdout").read_bytes() == b"out\n"
    assert (tmp_path / "stderr").read_bytes() == b"err\n"


def test_it_has_nothing_to_read_and_runs_in_its_folder(tmp_path: Path) -> None:
    run(tmp_path, *PYTHON, "import os, sys; print(repr(sys.stdin.read()), os.getcwd())")

    assert (tmp_path / "stdout").read_text() == f"'' {tmp_path}\n"


@pytest.mark.parametrize("command", ["/nowhere/engine", "no-such-program-anywhere", "", "a\0b"])
def test_a_program_that_is_not_there_is_not_started(tmp_path: Path, command: str) -> None:
    with pytest.raises(CommandNotStartedError):
        run(tmp_path, command)


def test_a_file_that_may_not_be_run_is_not_started(tmp_path: Path) -> None:
    (tmp_path / "engine").write_text("#!/bin/sh\n")

    with pytest.raises(CommandNotStartedError, match="Permission denied"):
        run(tmp_path, str(tmp_path / "engine"))


def test_no_shell_reads_the_command(tmp_path: Path) -> None:
    run(tmp_path, *PYTHON, "import sys; print(sys.argv[1:])", "$(id)", "`id`", "a;b", "*", "${HOME}")

    assert (tmp_path / "stdout").read_text() == "['$(id)', '`id`', 'a;b', '*', '${HOME}']\n"


def test_when_its_time_is_over_it_ends(tmp_path: Path) -> None:
    end = run(tmp_path, *PYTHON, "import time; time.sleep(60)", timeout_s=0.2)

    assert end.timed_out
    assert end.exit_code is None
    assert end.duration_s < 10


DAEMON = """
import os, subprocess, sys, time
{how}
subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; {child}; time.sleep(60)"], start_new_session=True)
{then}
"""
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
ESCAPES = {
    "a child in a session of its own": DAEMON.format(how="", child="pass", then="time.sleep(60)"),
    "one that outlives its parent": DAEMON.format(how="", child="pass", then=""),
    "one whose parent went to the background": DAEMON.format(how="if os.fork(): os._exit(0)", child="pass", then=""),
    "one that does not hear SIGTERM": DAEMON.format(how="", child=STUBBORN, then="time.sleep(60)"),
}


@pytest.mark.parametrize("program", ESCAPES.values(), ids=ESCAPES)
def test_what_it_started_ends_with_it(tmp_path: Path, program: str) -> None:
    mark = uuid4().hex
    run(tmp_path, *PYTHON, program, timeout_s=0.5, mark=mark)

    assert marked(mark) == []


def test_what_a_dead_leader_left_is_ended_by_its_mark(tmp_path: Path) -> None:
    mark = uuid4().hex
    leader = os.fork()
    if leader == 0:  # a leader that dies while its engine runs
        run_engine(
            [*PYTHON, "import time; time.sleep(60)"],
            environment=dict(os.environ),
            folder=tmp_path,
            mark=mark,
            timeout_s=60,
            attend=lambda: os._exit(9),
        )
    os.waitpid(leader, 0)
    assert len(marked(mark)) == 1

    end_marked(mark)

    until = time.monotonic() + 5
    while marked(mark) and time.monotonic() < until:
        time.sleep(0.05)
    assert marked(mark) == []


def test_whoever_attends_may_stop_it(tmp_path: Path) -> None:
    def attend() -> None:
        raise InterruptedError

    mark = uuid4().hex
    with pytest.raises(InterruptedError):
        run(tmp_path, *PYTHON, "import time; time.sleep(60)", mark=mark, attend=attend)

    assert marked(mark) == []


def test_the_environment_is_ours_alone(tmp_path: Path) -> None:
    given = {
        "AWS_SECRET_ACCESS_KEY": "hush",
        "PYTHONPATH": "/x",
        "LD_PRELOAD": "/x.so",
        "NAMED": "yes",
        "HOME": "/root",
    }

    made = cleaned_environment(given, ("NAMED", "NOT_SET"), tmp_path, {"OWN": "1"})

    assert made.keys() == {"PATH", "LANG", "LC_ALL", "TZ", "HOME", "TMPDIR", "NAMED", "OWN"}
    assert (made["HOME"], made["NAMED"], made["OWN"]) == (str(tmp_path), "yes", "1")
