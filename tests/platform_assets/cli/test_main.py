"""The entry point: exit codes, one clear message, no traceback, no import that is not needed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from contracts.canonical import parse_json
from platform_assets.cli import main as entry
from platform_assets.cli.arguments import command_parser
from platform_assets.cli.main import BROKEN_PIPE, DEFECT, INTERRUPTED, main
from tests.installation import Installation

ROOT = Path(__file__).parents[3]
COMMANDS = (
    "scan",
    "plan",
    "ingest",
    "status",
    "query",
    "quarantine",
    "held",
    "release",
    "discard",
    "rollback",
    "repair",
    "verify",
    "rebuild",
    "migrate",
    "gc",
    "forget",
    "backup",
    "restore",
    "contract lint",
    "contract infer",
)


def process(*arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "platform_assets.cli.main", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example_and_answers_in_json(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command.split(), "--help"]) == 0
    said = capsys.readouterr().out
    assert f"hashgate {command} " in said.partition("example")[2] + " "
    assert "--json" in said


def test_help_names_every_command_setting_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    for word in (
        *{c.split()[0] for c in COMMANDS},
        "HASHGATE_HOME",
        "HASHGATE_DROPS",
        "HASHGATE_CONTRACTS",
        "HASHGATE_STORE",
        "HASHGATE_DATABASE",
        "exit codes",
    ):
        assert word in said


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"hashgate (\d+\.\d+\.\d+|from a checkout that is not installed)\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param([], "the following arguments are required: COMMAND", id="no command"),
        pytest.param(["ingst", "x"], "there is no command 'ingst'. Did you mean ingest?", id="a command misspelt"),
        pytest.param(["ingest"], "the following arguments are required: TABLE", id="no table"),
        pytest.param(["status", "--exlain"], "unrecognized arguments: --exlain", id="an option misspelt"),
        pytest.param(["status", "--expl"], "unrecognized arguments: --expl", id="an option abbreviated"),
        pytest.param(
            ["query", "SELECT 1", "--format", "xml"], "There are: table, csv, json, parquet", id="no such format"
        ),
        pytest.param(["quarantine", "t", "--limit", "few"], "'few' is not a whole number", id="no number"),
        pytest.param(["ingest", "t", "--new", "--partition", "x"], "not allowed with argument", id="two selections"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_where_help_is(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1
    assert said in shown.err
    assert "--help`." in shown.err


def test_errors_are_json_when_asked_for(installation: Installation) -> None:
    ran = installation.hashgate("status", "ordes", "--json")
    assert ran.code == 2
    assert ran.out == ""
    assert ran.error["kind"] == "UsageError"
    assert ran.error["exit_code"] == 2
    assert ran.error["evidence"] == {"table": "ordes", "tables": ["orders"]}


def test_a_defect_is_one_line_and_a_traceback_only_when_asked_for(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> int:
        message = "by accident\x1b[2J"
        raise ZeroDivisionError(message)

    monkeypatch.setattr(entry, "_command", lambda _: broken)
    quiet = installation.hashgate("status")
    assert quiet.code == DEFECT
    assert quiet.err.startswith("error: ZeroDivisionError: by accident\\x1b[2J. This is a defect of hashgate")
    assert "Traceback" not in quiet.err
    assert "Traceback" in installation.hashgate("status", "--traceback").err
    monkeypatch.setenv("HASHGATE_TRACEBACK", "1")
    assert "Traceback" in installation.hashgate("status").err


@pytest.mark.parametrize(("command", "said"), [("ingest", "stay published"), ("verify", "Nothing was changed")])
def test_an_interruption_says_what_state_things_are_in(
    command: str, said: str, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(entry, "_command", lambda _: interrupted)
    ran = installation.hashgate(command, "orders")
    assert ran.code == INTERRUPTED
    assert said in ran.err
    assert "Traceback" not in ran.err


def test_a_reader_that_goes_away_ends_the_command_quietly(installation: Installation) -> None:
    for day in range(1, 29):
        installation.drop(f"2024-01-{day:02d}")
    running = process("status", "--all")
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.close()
    said = running.stderr.read()
    assert (running.wait(60), said) == (BROKEN_PIPE, b"")


def test_help_imports_nothing_and_answers_at_once() -> None:
    code = (
        "import sys; from platform_assets.cli.main import main; main(['--help']);"
        "heavy = {'dagster', 'duckdb', 'pyarrow', 'pandas', 'pydantic', 'sqlalchemy', 'numpy'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, timeout=60).stdout
    assert said.decode().splitlines()[-1] == "[]"
    times = []
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "platform_assets.cli.main", "--help"], cwd=ROOT, capture_output=True, check=True
        )
        times.append(time.perf_counter() - started)
    assert min(times) < 0.3


def test_status_needs_neither_dagster_nor_pandas(installation: Installation) -> None:
    installation.drop("2024-01-01")
    code = (
        "import sys; from platform_assets.cli.main import main; main(['status']);"
        "print(sorted({'dagster', 'pandas', 'polars'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, timeout=60)
    assert ran.stdout.decode().splitlines()[-1] == "[]"


@pytest.mark.usefixtures("installation")
def test_as_a_process_it_ends_with_the_exit_code_and_says_it_on_standard_error() -> None:
    running = process("status", "ordes", "--json")
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (2, b"")
    assert parse_json(err)["error"]["kind"] == "UsageError"


def test_the_grammar_builds_without_a_clash() -> None:
    assert command_parser().prog == "hashgate"
