"""`hashgate engine lint`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from contracts.authority.pack_reader import PackProblem
from contracts.authority.policy import lint_policy, parse_policy
from contracts.errors import ConfigurationError, HashgateError, UsageError
from contracts.yaml_document import Problem
from platform_assets.cli.arguments import Arguments
from platform_assets.cli.asked import BROKEN_CONTRACT, say_json
from platform_assets.cli.terminal import Colour, Terminal, counted, neutralized
from resources.authority.pack_files import engine_folders, lint_pack, load_pack
from resources.settings import Settings

POLICY_FILE = "policy.yaml"


def lint(arguments: Arguments, terminal: Terminal) -> int:
    """Say everything that is wrong with engines' catalogues, gate maps and policies, references included."""
    searched = (Path(arguments.path),) if arguments.path else Settings.from_environment().engines
    if arguments.path and not searched[0].exists():
        msg = f"{arguments.path} does not exist. Name an engine's folder, or a folder of such folders."
        raise UsageError(msg, path=arguments.path)
    folders = [folder for place in searched for folder in engine_folders(place)]
    if not folders:
        places = ", ".join(map(str, searched))
        msg = f"there is no engine (a folder with catalogue.yaml and gates.yaml) in {places}. docs/engine.md shows one."
        raise ConfigurationError(msg, folders=[str(folder) for folder in searched])
    found = {folder: [*lint_pack(folder), *_policy_problems(folder)] for folder in folders}
    total = sum(map(len, found.values()))
    if arguments.json:
        problems = [_document(folder, problem) for folder, told in found.items() for problem in told]
        say_json(terminal, {"engines": [str(folder) for folder in folders], "problems": problems})
        return BROKEN_CONTRACT if total else 0
    for folder, told in found.items():
        verdict = terminal.coloured("broken", Colour.RED) if told else terminal.coloured("fine", Colour.GREEN)
        terminal.line(f"{neutralized(str(folder))}: {verdict}")
        for one in told:
            said = f"  {one.file}, {one.problem.where}: {one.problem.problem}. {one.problem.fix}"
            terminal.line(neutralized(said))
    terminal.line(f"{counted(len(folders), 'engine')}, {counted(total, 'problem')}")
    return BROKEN_CONTRACT if total else 0


def _policy_problems(folder: Path) -> list[PackProblem]:
    """What is wrong with a policy, if there is one: also the outputs that it lists and the catalogue does not have."""
    path = folder / POLICY_FILE
    if not path.exists():
        return []
    try:
        data = path.read_bytes()
    except OSError as error:
        msg = f"{path}: {error.strerror}. Give this user access to it."
        raise ConfigurationError(msg, path=str(path)) from error
    problems = lint_policy(data)
    if not problems:
        problems = _unknown_traffic(folder, parse_policy(data, str(path)).traffic_outputs)
    return [PackProblem(POLICY_FILE, problem) for problem in problems]


def _unknown_traffic(folder: Path, outputs: tuple[str, ...]) -> list[Problem]:
    try:
        known = load_pack(folder).outputs
    except HashgateError:  # its problems are told already
        return []
    fix = f"Correct it, or add it to catalogue.yaml. Known: {', '.join(known)}."
    return [
        Problem(0, "traffic_outputs", f"there is no output {name} in catalogue.yaml", fix)
        for name in outputs
        if name not in known
    ]


def _document(folder: Path, told: PackProblem) -> dict[str, Any]:
    problem = told.problem
    return {
        "engine": str(folder),
        "file": told.file,
        "line": problem.line,
        "where": problem.where,
        "problem": problem.problem,
        "fix": problem.fix,
    }
