"""The documentation says what there is, and what it shows is what happens.

In a block of kind `console`, a line that begins with `$ ` is run by bash, in order, one working folder a page, with
contracts in `contracts/odcs`, engines in `contracts/engine` and six days of flights in `.hashgate/drops/flights`. It
must end with 0, or N if ` # exit N` ends the line. What follows is the output it must have, up to digests, ids, times
and the width of columns; a line `...` stands for any number of lines. Commands other than those of `RUNNABLE` are not
run.

`HASHGATE_WRITE_DOCS=1 pytest tests/test_docs.py` writes the output into the pages.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import contracts
import platform_assets
import resources
import sensors
from contracts.errors import HashgateError
from contracts.partitions import NoKeyReason
from contracts.reasons import Reason
from platform_assets.cli.arguments import command_parser

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CLI_PAGE = ROOT / "docs" / "cli.md"
RUNNABLE = ("hashgate", "sed", "printf")
SHOWN_FOLDER = "/srv/hashgate"
WRITES = os.environ.get("HASHGATE_WRITE_DOCS")

CONTRACTS = {
    "cli": [ROOT / "contracts" / "odcs" / "flights.odcs.yaml"],
    "engine": [ROOT / "examples" / "engine" / "card_transactions.odcs.yaml"],
}
"""Of a page's working folder; of another page as of the command line's."""

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_EXIT = re.compile(r"\s+# exit (\d+)$")
_VARYING = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "RUN"),
    (re.compile(r"[0-9a-f]{64}"), "DIGEST"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "ID"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "DIGEST"),
    (re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(\.\d+)?(Z|\+00:00)"), "TIME"),
    (re.compile(r"\b(\d+ h \d{2} min|\d+ min \d{2} s|[\d.]+ s)\b"), "DURATION"),
    (re.compile(r"\b[\d.]+ (B|kB|MB|GB)\b"), "SIZE"),
    (re.compile(r"[ \t]+"), " "),
)
_PROGRESS = re.compile(r"[\d,]+ of [\d,]+ \w+, last .*")

HEADER = (
    "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,flight,tailnum,origin,"
    "dest,air_time,distance,hour,minute,time_hour"
)
FLIGHTS = (
    "517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15",
    "533,529,4,850,830,20,UA,1714,N24211,LGA,IAH,227,1416,5,29",
    "542,540,2,923,850,33,AA,1141,N619AA,JFK,MIA,160,1089,5,40",
    "554,600,-6,812,837,-25,DL,461,N668DN,LGA,ATL,116,762,6,0",
    ",630,,,1015,,B6,79,,JFK,BQN,,1576,6,30",
)

WORDS = ("late", "+5 min", "#N/A")


def write_drops(folder: Path) -> None:
    """Six days of sixty flights; 2013-01-05 has three more, with words for a delay; 2013-01-06 is an error page."""
    for day in range(1, 7):
        rows = [flight(day, line, again * 10_000) for again in range(12) for line in FLIGHTS]
        if day == 5:
            rows += [
                flight(day, FLIGHTS[0].replace("515,2,", f"515,{word},"), 1_000_000 + n) for n, word in enumerate(WORDS)
            ]
        if day == 6:
            rows = [*rows[:1], *(f"<p>503 Service Unavailable, line {n}</p>" for n in range(40))]
        (folder / f"flights-2013-01-{day:02d}.csv").write_text("\n".join([HEADER, *rows, ""]))


def flight(day: int, line: str, number: int) -> str:
    """One flight of a day; `number` is added to its own, so that keys differ."""
    fields = line.split(",")
    fields[7] = str(int(fields[7]) + number)
    return f"2013,1,{day},{','.join(fields)},2013-01-{day:02d}T{int(fields[-2]) + 5:02d}:00:00Z"


@pytest.fixture(scope="module")
def page_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


def working_folder(page: Path, above: Path) -> Path:
    folder = above / page.stem
    (folder / "contracts").mkdir(parents=True)
    (folder / "contracts" / "odcs").mkdir()
    for contract in CONTRACTS.get(page.stem, CONTRACTS["cli"]):
        (folder / "contracts" / "odcs" / contract.name).symlink_to(contract)
    (folder / "contracts" / "engine").symlink_to(ROOT / "examples" / "engine")
    drops = folder / ".hashgate" / "drops" / "flights"
    drops.mkdir(parents=True)
    write_drops(drops)
    tools = folder / ".tools"
    tools.mkdir()
    (tools / "hashgate").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m platform_assets.cli.main "$@"\n')
    (tools / "hashgate").chmod(0o755)
    return folder


def run(command: str, folder: Path) -> tuple[int, list[str]]:
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("HASHGATE_", "DAGSTER_"))}
    settings |= {"PYTHONPATH": str(ROOT), "DAGSTER_DISABLE_TELEMETRY": "yes", "PWD": str(folder), "LC_ALL": "C.UTF-8"}
    settings["PATH"] = f"{folder / '.tools'}:{settings.get('PATH', '')}"
    ran = subprocess.run(
        ["/bin/bash", "-c", command],
        cwd=folder,
        env=settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=300,
        check=False,
    )
    lines = ran.stdout.replace(str(folder), SHOWN_FOLDER).splitlines()
    return ran.returncode, [line for line in lines if not _PROGRESS.fullmatch(line)]


def steps(block: str) -> Iterator[tuple[str, list[str]]]:
    """Command lines with the output that follows each."""
    lines = block.splitlines()
    starts = [n for n, line in enumerate(lines) if line.startswith("$ ")]
    assert starts[:1] == [0], f"a console block begins with a command: {lines[:1]}"
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        yield lines[start], lines[start + 1 : end]


def comparable(line: str) -> str:
    for varying, name in _VARYING:
        line = varying.sub(name, line)
    return line.strip()


def matches(shown: list[str], said: list[str]) -> bool:
    pattern = "".join(".*" if line == "..." else re.escape(comparable(line)) + "\n" for line in shown)
    return re.fullmatch(pattern, "".join(comparable(line) + "\n" for line in said), re.DOTALL) is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_shows_is_what_happens(page: Path, page_folder: Path) -> None:
    text = page.read_text()
    folder = working_folder(page, page_folder) if _BLOCK.search(text) else page_folder
    for block in _BLOCK.finditer(text):
        written = []
        for line, shown in steps(block[1]):
            command = _EXIT.sub("", line.removeprefix("$ "))
            expected = int(found[1]) if (found := _EXIT.search(line)) else 0
            if command.split()[0] not in RUNNABLE:
                written += [line, *shown]
                continue
            code, said = run(command, folder)
            assert code == expected, f"{page.name}: `{command}` ended with {code}:\n" + "\n".join(said)
            written += [line, *(shown if matches(shown, said) else said)]
            if not WRITES:
                assert matches(shown, said), f"{page.name}: `{command}` says\n" + "\n".join(said)
        if WRITES:
            text = text.replace(block[0], "```console\n" + "\n".join(written) + "\n```", 1)
    if WRITES:
        page.write_text(text)


def commands(
    parser: argparse.ArgumentParser, words: tuple[str, ...] = ()
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield " ".join(words), parser
    for action in below:
        for name, child in action.choices.items():
            yield from commands(child, (*words, name))


COMMANDS = dict(commands(command_parser()))


def section(command: str) -> str:
    found = re.search(rf"^## hashgate {command}$(.*?)(?=^## |\Z)", CLI_PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert found, f"docs/cli.md has no section `## hashgate {command}`"
    return found[1]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_section_with_an_example_and_all_its_options(command: str) -> None:
    text = section(command)
    assert re.search(rf"^\$ hashgate {command}\b", text, re.MULTILINE), "it shows no example that is run"
    everywhere = {"--help", "--json", "--traceback"}
    options = {o for a in COMMANDS[command]._actions for o in a.option_strings if o.startswith("--")} - everywhere
    missing = sorted(option for option in options if option not in text)
    assert not missing, f"not explained: {missing}"


def test_the_pages_show_no_command_or_option_that_there_is_not() -> None:
    for page in PAGES:
        for shown in re.findall(
            r"(?:^\$ |`)hashgate ((?:contract |engine )?[a-z]+)([^`\n]*)", page.read_text(), re.MULTILINE
        ):
            assert shown[0] in {*COMMANDS, "contract", "engine"}, f"{page.name}: hashgate {shown[0]}"
            parser = COMMANDS.get(shown[0])
            options = {o for a in parser._actions for o in a.option_strings} if parser else set()
            named = set(re.findall(r"(?<![\w-])--[a-z-]+", shown[1]))
            assert named <= options, f"{page.name}: hashgate {shown[0]} {named - options}"


def error_classes() -> Iterator[type[HashgateError]]:
    """Every class of error in the platform, that of modules nobody imported yet included."""
    for package in (contracts, resources, platform_assets, sensors):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name != "platform_assets.definitions":
                importlib.import_module(module.name)
    waiting = [HashgateError]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind.__module__.partition(".")[0] in {"contracts", "resources", "platform_assets", "sensors"}:
            yield kind


def test_every_error_is_in_the_table_of_errors_with_its_exit_code() -> None:
    rows = dict(re.findall(r"^\| `(\w+Error)` \|.*\| (\d+) \|$", CLI_PAGE.read_text(), re.MULTILINE))
    there = {kind.__name__: str(kind.exit_code) for kind in error_classes() if kind is not HashgateError}
    assert rows == there


def test_every_setting_is_explained_and_every_explained_setting_exists() -> None:
    sources = [
        p for name in ("contracts", "resources", "platform_assets", "sensors") for p in (ROOT / name).rglob("*.py")
    ]
    used = {name for path in sources for name in re.findall(r"HASHGATE_[A-Z]+(?:_[A-Z]+)*", path.read_text())}
    table = set(re.findall(r"^\| `(HASHGATE_[A-Z_]+)` \|", CLI_PAGE.read_text(), re.MULTILINE))
    assert table == used
    shown = {name for page in PAGES for name in re.findall(r"HASHGATE_[A-Z]+(?:_[A-Z]+)*", page.read_text())}
    for_tests = {
        name for path in (ROOT / "tests").rglob("*.py") for name in re.findall(r"HASHGATE_[A-Z_]+", path.read_text())
    }
    assert shown <= used | for_tests


def test_every_reason_and_every_problem_of_a_file_is_explained() -> None:
    text = CLI_PAGE.read_text()
    for reason in Reason:
        assert f"| `{reason}` | {reason.meaning} | {reason.fix} |" in text
    for problem in (
        *NoKeyReason,
        "LINK_LEAVES_FOLDER",
        "BROKEN_LINK",
        "NOT_A_FILE",
        "NAME_NOT_UTF8",
        "UNREADABLE",
        "PATH_TOO_LONG",
    ):
        assert f"`{problem}`" in text


def test_every_target_of_make_that_a_page_shows_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        shown = set(re.findall(r"(?:^\$ |`)make ([a-z-]+)", page.read_text(), re.MULTILINE))
        assert shown <= targets, page.name


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            assert "://" in target or (page.parent / target).exists(), f"{page.name} -> {target}"


def test_every_test_that_a_page_names_exists_and_is_linked_to_where_it_stands() -> None:
    named = 0
    for page in PAGES:
        text = page.read_text()
        for name, target in re.findall(r"\[(test_\w+)\]\(([^)]+)\)", text):
            assert f"\ndef {name}(" in (page.parent / target).read_text(), f"{page.name}: {name} is not in {target}"
            named += 1
    assert named


def test_every_reason_code_of_engine_runs_is_explained() -> None:
    explained = set(re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs" / "engine.md").read_text(), re.MULTILINE))
    sources = [p for name in ("contracts", "resources", "platform_assets") for p in (ROOT / name).rglob("*.py")]
    used = {code for path in sources for code in re.findall(r"ReasonCode\.([A-Z_]+)", path.read_text())}
    refused = {"RUN_EQUIVALENCE_COLLISION", "AUTH_DENIED", "POLICY_CHANGED"}
    assert explained == used | refused
