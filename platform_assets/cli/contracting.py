"""`hashgate contract lint` and `hashgate contract infer`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from contracts.errors import ConfigurationError, UsageError
from contracts.inference import InferredContract, infer_contract
from contracts.odcs_reader import lint_contract
from contracts.sniffing import Sample
from platform_assets.cli.arguments import Arguments
from platform_assets.cli.asked import BROKEN_CONTRACT, say_json
from platform_assets.cli.terminal import Colour, Terminal, counted, neutralized, short_digest, shortened
from resources.contract_registry import ContractRegistry, contract_files
from resources.settings import Settings

_HEAD_BYTES = 4 << 20
_PARQUET_MAGIC = b"PAR1"


def lint(arguments: Arguments, terminal: Terminal) -> int:
    """Say everything that is wrong with contracts."""
    folders = (Path(arguments.path),) if arguments.path else Settings.from_environment().contracts
    if arguments.path and not folders[0].exists():
        msg = f"{arguments.path} does not exist. Name a contract file, or a folder with *.odcs.yaml files."
        raise UsageError(msg, path=arguments.path)
    paths = [path for folder in folders for path in contract_files(folder)]
    if not paths:
        places = ", ".join(map(str, folders))
        msg = f"there is no contract (*.odcs.yaml) in {places}. Write one, or draft one with `hashgate contract infer`."
        raise ConfigurationError(msg, folders=[str(folder) for folder in folders])
    found = [
        {"contract": str(path), "line": p.line, "where": p.where, "problem": p.problem, "fix": p.fix}
        for path in paths
        for p in lint_contract(_bytes_of(path), source=str(path))
    ]
    twice = [p for p in ContractRegistry.load(folders).problems if p.evidence["where"] == "schema" and " too" in str(p)]
    found += [{"line": 0, **problem.evidence} for problem in twice]
    if arguments.json:
        say_json(terminal, {"contracts": [str(path) for path in paths], "problems": found})
        return BROKEN_CONTRACT if found else 0
    broken = {problem["contract"] for problem in found}
    for path in paths:
        sound = str(path) not in broken
        verdict = terminal.coloured("fine", Colour.GREEN) if sound else terminal.coloured("broken", Colour.RED)
        terminal.line(f"{neutralized(str(path))}: {verdict}")
        for problem in found:
            if problem["contract"] == str(path):
                terminal.line(neutralized(f"  {problem['where']}: {problem['problem']}. {problem['fix']}"))
    terminal.line(f"{counted(len(paths), 'contract')}, {counted(len(found), 'problem')}")
    return BROKEN_CONTRACT if found else 0


def infer(arguments: Arguments, terminal: Terminal) -> int:
    """Draft a contract from sample files: YAML to the output, everything a person should look at beside it."""
    drops = Settings.from_environment().drops
    output = None if arguments.output is None else new_output(arguments.output)
    draft = infer_contract(str(arguments.table), [_sample(Path(file), drops) for file in arguments.files])
    if output is not None:
        write_new(output, draft.yaml.encode())
    if arguments.json:
        say_json(terminal, _document(draft))
        return 0
    if output is None:
        terminal.line(draft.yaml.rstrip("\n"))
    for line in _remarks(draft):
        terminal.note(neutralized(line))
    if output is not None:
        terminal.line(
            f"written: {neutralized(str(output))}. Look at its lines with `# LOOK`, then: hashgate contract lint"
        )
    return 0


def new_output(name: str) -> Path:
    """A file that is to be written; UsageError when something is there already, or its folder is not."""
    path = Path(name)
    if path.exists():
        msg = f"{name} exists. Name another file, or remove this one first: nothing is overwritten."
        raise UsageError(msg, path=name)
    if not path.absolute().parent.is_dir():
        msg = f"{name}: the folder {path.absolute().parent} does not exist. Create it, or name another one."
        raise UsageError(msg, path=name)
    return path


def write_new(path: Path, data: bytes) -> None:
    """Write a file complete or not at all; ConfigurationError when it cannot be written."""
    try:
        with path.open("xb") as file:
            file.write(data)
    except OSError as error:
        if not isinstance(error, FileExistsError):
            path.unlink(missing_ok=True)
        msg = f"{path}: {error.strerror}. Name a place that can be written."
        raise ConfigurationError(msg, path=str(path)) from error


def _sample(path: Path, drops: Path) -> Sample:
    """The beginning of a file; all of a Parquet file, whose description is at its end."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            if head.startswith(_PARQUET_MAGIC):
                head += file.read()
            complete = not file.read(1)
    except OSError as error:
        msg = f"{path}: {error.strerror}. Name files that this user can read."
        raise UsageError(msg, path=str(path)) from error
    absolute = path.absolute()
    name = absolute.relative_to(drops) if absolute.is_relative_to(drops) else Path(path.name)
    return Sample(name.as_posix(), head, complete=complete)


def _remarks(draft: InferredContract) -> list[str]:
    said = [f"schema difference: {difference}" for difference in draft.schema_differences]
    judged = counted(draft.trial.records, "sample record")
    said.append(f"{judged} judged under the draft, {draft.trial.quarantined:,} to quarantine")
    said += [f"  {count:,} x {reason}" for reason, count in draft.trial.reasons.items()]
    said.append(f"preview, {counted(draft.preview.num_rows, 'row')}, digest {short_digest(draft.preview_digest)}")
    names = draft.preview.column_names
    for row in draft.preview.to_pylist():
        said.append("  " + ", ".join(f"{name}={shortened(str(row[name]), 24)}" for name in names))
    return said


def _document(draft: InferredContract) -> dict[str, Any]:
    rows = [[None if value is None else str(value) for value in row.values()] for row in draft.preview.to_pylist()]
    return {
        "yaml": draft.yaml,
        "preview": {"columns": draft.preview.column_names, "rows": rows, "digest": draft.preview_digest},
        "schema_differences": list(draft.schema_differences),
        "trial": dataclasses.asdict(draft.trial),
    }


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        msg = f"contract {path}: {error.strerror}. Give this user access to it."
        raise ConfigurationError(msg, path=str(path)) from error
