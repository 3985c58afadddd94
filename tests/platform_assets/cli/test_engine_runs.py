"""`hashgate engine ...` as a person types it: what it says, what it ends with."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from contracts.authority.record import EventKind
from platform_assets.cli.main import main
from tests.engine_home import PROGRAM, EngineHome, marked, request, request_text
from tests.installation import Ran

RUN = request().run_id


class Typed:
    """Commands in a home with the toy engine."""

    def __init__(self, home: EngineHome, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
        self.home, self._capsys, self._folder = home, capsys, folder

    def __call__(self, *arguments: str) -> Ran:
        self._capsys.readouterr()
        code = main(["engine", *arguments])
        said = self._capsys.readouterr()
        return Ran(code, said.out, said.err)

    def file(self, key: str = "k1", how: str = "behaves", **changed: Any) -> str:
        path = self._folder / f"{key}-{how}.json"
        path.write_text(request_text(request(key, how, **changed)))
        return str(path)


@pytest.fixture
def engine(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Typed:
    monkeypatch.setenv("NO_COLOR", "1")
    return Typed(EngineHome(home, monkeypatch), capsys, tmp_path)


def test_submit_names_the_run_and_brings_it_forward(engine: Typed) -> None:
    first, second = engine("submit", engine.file()), engine("submit", engine.file(), "--actor", "bob")

    assert (first.code, first.out) == (0, f"run {RUN}: READY\n")
    assert (second.code, second.out) == (first.code, first.out)


def test_submit_in_json(engine: Typed) -> None:
    said = engine("submit", engine.file(), "--json").json

    facts = engine.home.documents(RUN).readable_facts()
    assert facts is not None
    assert said == {"run_id": RUN, "state": "READY", "reasons": [], "facts_digest": facts.digest}


def test_submit_from_standard_input(engine: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(request_text(request()).encode())))

    assert engine("submit", "-", "--detach").out == f"run {RUN}: admitted\n"


def test_a_detached_run_is_brought_forward_by_wait(engine: Typed) -> None:
    assert engine("submit", engine.file(), "--detach").out == f"run {RUN}: admitted\n"
    assert engine("submit", engine.file(), "--detach", "--json").json == {"run_id": RUN, "state": "ADMITTED"}

    waited = engine("wait", RUN[:8])

    assert (waited.code, waited.out) == (0, f"run {RUN}: READY\n")
    assert engine("submit", engine.file(), "--detach").out == f"run {RUN}: known, and READY\n"


BAD_ENDS = {"exits": "FAILED\n  ENGINE_EXIT_NONZERO", "lies": "QUARANTINED\n  EVIDENCE_CONFLICT"}


@pytest.mark.parametrize(("how", "said"), BAD_ENDS.items(), ids=BAD_ENDS)
def test_a_bad_end_is_said_with_its_reason(engine: Typed, how: str, said: str) -> None:
    submitted = engine("submit", engine.file(how=how))

    assert submitted.code == 1
    assert submitted.out.startswith(f"run {RUN}: {said}")
    assert engine("wait", RUN).code == 1


def test_a_run_that_waits_is_no_failure_until_somebody_waits_for_it(engine: Typed) -> None:
    submitted = engine("submit", engine.file(how="forgets_flag"))
    waited = engine("wait", RUN, "--timeout", "0.1")

    assert submitted.code == 0
    assert submitted.out.startswith(f"run {RUN}: WAITING\n  EVIDENCE_MISSING: numbers_passed")
    assert waited.code == 1


def test_a_collision_changes_nothing_and_says_both_intents(engine: Typed) -> None:
    engine("submit", engine.file())

    refused = engine("submit", engine.file(how="exits"), "--json")

    assert refused.code == 1
    assert refused.error["evidence"]["code"] == "RUN_EQUIVALENCE_COLLISION"
    assert refused.error["evidence"]["bound_intent"] == request().intent


BROKEN = {
    "no such file": (None, "No such file or directory. Name a file with a run request."),
    "no request": ("engine: toy\n", "run_equivalence_key is missing"),
    "no YAML": ("{", "this is not YAML"),
    "a wrong type": ('{"engine": 3}', "expected text, found number (3). Put it in quotes."),
}


@pytest.mark.parametrize(("text", "said"), BROKEN.values(), ids=BROKEN)
def test_what_is_no_request_is_wrong_usage(engine: Typed, tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "broken.yaml"
    if text is not None:
        path.write_text(text)

    refused = engine("submit", str(path))

    assert refused.code == 2
    assert said in refused.err
    assert engine.home.workspace.store.keys("engine") == []


def test_runs_are_listed_and_chosen(engine: Typed) -> None:
    assert engine("runs").out == "no runs\n"
    engine("submit", engine.file())
    engine("submit", engine.file("k2", "exits"))

    listed, failed = engine("runs"), engine("runs", "--state", "FAILED", "--json")

    assert listed.code == 0
    assert f"{RUN}  toy     READY" in listed.out
    assert [(run["run_id"], run["reasons"]) for run in failed.json] == [(request("k2").run_id, ["ENGINE_EXIT_NONZERO"])]
    assert engine("runs", "--engine", "moon").out == "no runs\n"


def test_show_tells_of_gates_with_both_digests_and_of_the_record(engine: Typed) -> None:
    engine("submit", engine.file(how="lies"))

    shown = engine("show", RUN)

    assert shown.code == 0
    assert "numbers_passed  did not pass  000000000000" in shown.out
    assert "RUN_QUARANTINED" in shown.out
    assert "as the platform says" in shown.out


def test_show_in_json_has_every_document(engine: Typed) -> None:
    engine("submit", engine.file())

    said = engine("show", RUN[:6], "--json").json

    assert said.keys() == {"run_id", "state", "request", "plan", "statuses", "events", "evidence"}
    assert (said["state"], len(said["statuses"]), said["evidence"]["state"]) == ("READY", 3, "COMPLETE")


def test_looking_creates_nothing(engine: Typed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HASHGATE_HOME", str(tmp_path / "nowhere"))
    monkeypatch.delenv("HASHGATE_STORE", raising=False)

    assert engine("runs").out == "no runs\n"
    assert engine("show", "abc").code == 2
    assert not (tmp_path / "nowhere").exists()


def test_a_run_that_is_not_there_is_wrong_usage(engine: Typed) -> None:
    for command in (["show", "abc"], ["wait", ""], ["reemit", "abc", "--actor", "ann"]):
        refused = engine(*command)
        assert refused.code == 2
        assert "`hashgate engine runs` lists them" in refused.err


def test_reemit_publishes_again_or_says_what_it_would(engine: Typed) -> None:
    engine("submit", engine.file())
    message = engine.home.envelopes()[0].message_id

    dry, done = (engine("reemit", RUN, "--actor", "ann", *more) for more in (["--dry-run"], []))
    refused = engine("reemit", RUN, "--actor", "ann", "--terminal")

    assert (dry.code, dry.out) == (0, f"READY_REEMIT {message}: would be published\n")
    assert done.out.startswith(f"READY_REEMIT {message}: published at file://")
    assert refused.code == 1
    assert "REEMIT_TERMINAL_ONLY_MISMATCH" in refused.err


def test_quarantine_asks_first_and_shows_the_digest_at_stake(engine: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    engine("submit", engine.file())
    facts = engine.home.documents(RUN).readable_facts()
    assert facts is not None
    why = ("--actor", "ann", "--reason", "no")

    unasked = engine("quarantine", RUN, *why)
    monkeypatch.setattr(sys, "stdin", _Answering("n\n"))
    declined = engine("quarantine", RUN, *why)
    readable = engine.home.documents(RUN).readable_facts()
    done = engine("quarantine", RUN, *why, "--yes")

    assert unasked.code == 2
    assert "add --yes" in unasked.err
    assert declined.code == 1
    assert facts.digest in declined.err
    assert readable == facts
    assert done.code == 0
    assert done.out.startswith(f"run {RUN}: QUARANTINED\n  QUARANTINED_BY_ACTOR")


def test_supersede_names_the_run_that_takes_the_place(engine: Typed) -> None:
    engine("submit", engine.file())
    engine("submit", engine.file("k2"))
    why = ("--actor", "ann", "--reason", "restated", "--yes")

    done = engine("supersede", RUN, request("k2").run_id, *why)
    again = engine("supersede", request("k2").run_id, RUN, *why)

    assert done.code == 0
    assert f"{request('k2').run_id} takes its place: restated" in done.out
    assert again.code == 2
    assert "cannot take the place" in again.err


def test_a_decision_needs_a_reason(engine: Typed) -> None:
    engine("submit", engine.file())

    assert engine("quarantine", RUN, "--actor", "ann", "--reason", " ", "--yes").code == 2


@pytest.mark.parametrize("command", ["submit", "runs", "show", "wait", "reemit", "quarantine", "supersede"])
def test_every_command_has_help_with_an_example(engine: Typed, command: str) -> None:
    told = engine(command, "--help")

    assert told.code == 0
    assert f"hashgate engine {command}" in told.out.partition("example")[2]
    assert "--json" in told.out


def test_whoever_interrupts_hears_what_became_of_the_engine(engine: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("platform_assets.cli.engine_runs.brought_forward", interrupted)

    stopped = engine("submit", engine.file())

    assert stopped.code == 130
    assert "an engine that was running was ended" in stopped.err
    assert engine.home.kinds(RUN) == ["RUN_ADMITTED"]


def test_an_interrupt_ends_the_engine_and_whoever_comes_next_goes_on(engine: Typed) -> None:
    path = engine.file(how="sleeps")
    command = [sys.executable, "-m", "platform_assets.cli.main", "engine", "submit", path]
    with subprocess.Popen(command, cwd=Path(__file__).parents[3], stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 120
        while not (launched := engine.home.events(RUN, EventKind.ENGINE_ATTEMPT_LAUNCHED)):
            assert time.monotonic() < until
            time.sleep(0.1)
        while not marked(launched[0].details["mark"]):
            assert time.monotonic() < until
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=120)[1]

    assert process.returncode == 130
    assert "an engine that was running was ended" in said
    assert marked(launched[0].details["mark"]) == []
    (engine.home.folder / "toy.py").write_text(PROGRAM.replace('how == "sleeps"', "False"))
    assert engine("wait", RUN).out == f"run {RUN}: READY\n"
    outcomes = [e.details["outcome"] for e in engine.home.events(RUN, EventKind.ENGINE_ATTEMPT_FINISHED)]
    assert outcomes == ["ABANDONED", "SUCCEEDED"]


class _Answering(io.StringIO):
    def isatty(self) -> bool:
        return True
