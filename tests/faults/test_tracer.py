"""The tracer: it sees every call of every thread and process, and each trouble does what its name says."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path

import pytest

from tests.faults import tracer as tracing
from tests.faults.fault import Fault
from tests.faults.homes import Home
from tests.faults.scenarios import SCENARIOS, ingest_what_is_new
from tests.faults.system_calls import FILE_CALLS, TOUCHES_NO_FILE
from tests.faults.tracer import Tracer
from tests.faults.troubles import Trouble
from tests.faults.zygote import Zygote


def write_in_threads(folder: Path) -> list[int]:
    written: list[int] = []
    for number in range(3):
        thread = threading.Thread(target=lambda name=f"file-{number}": written.append(write(folder / name)))
        thread.start()
        thread.join()
    return written


def write(path: Path) -> int:
    with path.open("wb", buffering=0) as file:
        count = file.write(b"abcdefgh")
        os.fsync(file.fileno())
    return count


def write_in_a_child(folder: Path) -> None:
    child = os.fork()
    if child == 0:
        write(folder / "of-a-child")
        os._exit(0)
    os.waitpid(child, 0)


def write_and_say(folder: Path) -> str:
    """Writes, renames; what went wrong, if anything did."""
    try:
        write(folder / "file")
        (folder / "file").rename(folder / "renamed")
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "nothing"


def write_elsewhere_and_look(folder: Path) -> None:
    write(folder.parent / "elsewhere")
    write(folder / "apart" / "file")
    (folder / "none").exists()


def fail(_folder: Path) -> None:
    msg = "as it should"
    raise ValueError(msg)


def sleep(_folder: Path) -> None:
    time.sleep(60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "scope"
    path.mkdir()
    return path


def test_the_calls_of_every_thread_are_counted_together(zygote: Zygote, folder: Path) -> None:
    run = zygote.trace(Tracer((folder,)), write_in_threads, folder)
    assert run.answer.value == [8, 8, 8]
    assert [str(call) for call in run.calls if call.changes] == [
        said
        for number in range(3)
        for said in (
            f"openat {folder}/file-{number}",
            f"write {folder}/file-{number} (8 bytes)",
            f"fsync {folder}/file-{number}",
        )
    ]


def test_the_calls_of_child_processes_are_counted(zygote: Zygote, folder: Path) -> None:
    run = zygote.trace(Tracer((folder,)), write_in_a_child, folder)
    assert [call.name for call in run.calls if call.changes] == ["openat", "write", "fsync"]


def test_only_calls_within_the_scope_are_counted(zygote: Zygote, folder: Path) -> None:
    (folder / "apart").mkdir()
    run = zygote.trace(Tracer((folder,), (folder / "apart",)), write_elsewhere_and_look, folder)
    assert run.answer.error is None
    assert {path for call in run.calls for path in call.paths} == {str(folder / "none")}
    assert not any(call.changes for call in run.calls)


AFTERWARDS: dict[str, tuple[Fault, str | None, dict[str, int]]] = {
    "killed after the open": (Fault(Trouble.KILLED, 1), None, {"file": 0}),
    "killed after the write": (Fault(Trouble.KILLED, 2), None, {"file": 8}),
    "killed after the rename": (Fault(Trouble.KILLED, 4), None, {"renamed": 8}),
    "killed in the middle of the write": (Fault(Trouble.TORN, 1), None, {"file": 4}),
    "the open is refused": (Fault(Trouble.FORBIDDEN, 1), "EACCES", {}),
    "the write fails": (Fault(Trouble.FULL, 2), "ENOSPC", {"file": 0}),
    "the fsync fails": (Fault(Trouble.UNSYNCED, 1), "EIO", {"file": 8}),
    "half is written": (Fault(Trouble.SHORT, 1), "nothing", {"renamed": 4}),
    "the answer of the rename is lost": (Fault(Trouble.ANSWER_LOST, 1), "EIO", {"renamed": 8}),
    "the disk is full once, at the rename": (Fault(Trouble.FULL_ONCE, 3), "ENOSPC", {"file": 8}),
    "a point beyond the last": (Fault(Trouble.KILLED, 5), "nothing", {"renamed": 8}),
}


@pytest.mark.parametrize(("fault", "said", "there"), AFTERWARDS.values(), ids=AFTERWARDS.keys())
def test_a_trouble_does_what_its_name_says(
    zygote: Zygote, folder: Path, fault: Fault, said: str | None, there: dict[str, int]
) -> None:
    run = zygote.trace(Tracer((folder,)), write_and_say, folder, fault=fault)
    assert run.answer.value == said
    assert run.killed == (said is None)
    assert bool(run.struck) == (fault.at < 5)
    assert {path.name: path.stat().st_size for path in folder.iterdir()} == there


def test_a_full_disk_stays_full(zygote: Zygote, folder: Path) -> None:
    run = zygote.trace(Tracer((folder,)), write_in_threads, folder, fault=Fault(Trouble.FULL, 1))
    assert run.answer.value == []
    assert [call.name for call in run.struck] == ["openat"] * 3
    assert list(folder.iterdir()) == []


def test_an_exception_comes_back_as_its_traceback(zygote: Zygote, folder: Path) -> None:
    run = zygote.trace(Tracer((folder,)), fail, folder)
    assert run.answer.value is None
    assert not run.killed
    assert run.answer.error is not None
    assert run.answer.error.endswith("ValueError: as it should\n")
    with pytest.raises(RuntimeError, match="as it should"):
        zygote.value(fail, folder)


def test_what_hangs_is_ended_and_said(zygote: Zygote, folder: Path) -> None:
    run = zygote.trace(Tracer((folder,), timeout_s=1), sleep, folder)
    assert run.hung
    assert run.answer.error == "ended by SIGKILL"


def test_a_writer_makes_no_call_that_the_tracer_does_not_know(zygote: Zygote, tmp_path: Path) -> None:
    home = Home(tmp_path)
    zygote.value(SCENARIOS[0].prepare, home)
    tracer = Tracer((home.home,), everything=True)
    run = zygote.trace(tracer, ingest_what_is_new, home)
    known = set(FILE_CALLS) | set(TOUCHES_NO_FILE.values())
    assert set(run.numbers) - known == set()
    assert {FILE_CALLS[number].name for number in run.numbers if number in FILE_CALLS} >= {"link", "fsync", "pwrite64"}


def test_the_lists_of_calls_do_not_contradict_each_other() -> None:
    assert set(FILE_CALLS).isdisjoint(TOUCHES_NO_FILE.values())
    assert len(set(TOUCHES_NO_FILE.values())) == len(TOUCHES_NO_FILE)


def test_a_machine_that_cannot_be_traced_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing.platform, "machine", lambda: "riscv64")
    assert (
        tracing.untraceable_machine()
        == "crashes are made by a tracer that knows Linux on x86-64 only; here: linux riscv64"
    )
