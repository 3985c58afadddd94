"""The engines of one installation: every folder that has a catalogue and a gate map, read and checked.

An engine is a folder by its name: `<name>/catalogue.yaml` and `<name>/gates.yaml`, with the schemas and
dictionaries that they name. A broken pack hides no other: its problem is kept beside the packs that are sound.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from contracts.authority.pack import EnginePack
from contracts.authority.pack_reader import CATALOGUE_FILE, GATES_FILE, PackProblem, parse_pack, read_pack
from contracts.errors import ConfigurationError, ContractError, UsageError
from contracts.yaml_document import MAX_BYTES

SUFFIXES = (".yaml", ".yml", ".json")
"""Of the files that a pack may refer to."""


@dataclass(frozen=True)
class EngineRegistry:
    """Packs and their folders by engine, and the packs that could not be read."""

    packs: Mapping[str, EnginePack]
    folders: Mapping[str, Path]
    problems: tuple[ContractError, ...]
    searched: tuple[Path, ...]

    @classmethod
    def load(cls, folders: Sequence[Path]) -> EngineRegistry:
        """Read every pack in `folders`; a folder that does not exist has none."""
        packs: dict[str, EnginePack] = {}
        places: dict[str, Path] = {}
        problems: list[ContractError] = []
        for folder in [engine for place in folders for engine in engine_folders(place)]:
            try:
                pack = load_pack(folder)
            except ContractError as error:
                problems.append(error)
                continue
            if pack.name in packs:
                problems.append(_declared_twice(folder, places[pack.name]))
                continue
            packs[pack.name], places[pack.name] = pack, folder
        return cls(dict(sorted(packs.items())), places, tuple(problems), tuple(folders))

    def pack(self, name: str) -> EnginePack:
        """The pack of an engine.

        Raises:
            ContractError: It is broken. (Only what was asked for fails.)
            UsageError: There is none of that name.
        """
        if name in self.packs:
            return self.packs[name]
        for problem in self.problems:
            if Path(problem.evidence["contract"]).parent.name == name:
                raise problem
        there = ", ".join(self.packs) or "none"
        folders = ", ".join(map(str, self.searched))
        msg = f"there is no engine {name!r}. Engines: {there}. They are read from {folders} (HASHGATE_ENGINES)."
        if self.problems:
            msg += f" {len(self.problems)} packs there are broken: see `hashgate engine lint`."
        raise UsageError(msg, engine=name, engines=list(self.packs))


def load_pack(folder: Path) -> EnginePack:
    """Read an engine's pack; a reference that leads nowhere does not keep it from being read.

    Raises:
        ContractError: A document is missing, cannot be read, breaks its schema, or is another engine's.
    """
    pack = parse_pack(folder.name, _files_of(folder), source=str(folder))
    if pack.name != folder.name:
        raise ContractError(
            contract=str(folder / CATALOGUE_FILE),
            where="engine",
            problem=f"the folder is called {folder.name}, and the engine {pack.name}",
            fix="Call both the same.",
        )
    return pack


def lint_pack(folder: Path) -> list[PackProblem]:
    """Everything that is wrong with a pack's documents and what they refer to; ContractError as `load_pack`."""
    return read_pack(folder.name, _files_of(folder))[1]


def engine_folders(folder: Path) -> list[Path]:
    """The engines in a folder, or the folder itself when it is one; none when it does not exist.

    Raises:
        ConfigurationError: It cannot be read.
    """
    try:
        if _is_engine(folder):
            return [folder]
        return sorted(path for path in folder.iterdir() if path.is_dir() and _is_engine(path))
    except FileNotFoundError:
        return []
    except OSError as error:
        msg = f"engine folder {folder}: {error.strerror}. Give this user access to it, or set HASHGATE_ENGINES."
        raise ConfigurationError(msg, path=str(folder)) from error


def _is_engine(folder: Path) -> bool:
    return (folder / CATALOGUE_FILE).exists() or (folder / GATES_FILE).exists()


def _files_of(folder: Path) -> dict[str, bytes]:
    """What a pack may consist of: small YAML and JSON files, by their path in the folder."""
    found: dict[str, bytes] = {}
    path = folder
    try:
        for parent, _, names in os.walk(folder):
            for name in names:
                path = Path(parent) / name
                if name.endswith(SUFFIXES) and path.stat().st_size <= MAX_BYTES:
                    found[path.relative_to(folder).as_posix()] = path.read_bytes()
    except OSError as error:
        problem, fix = f"it cannot be read: {error.strerror}", "Give this user access to it."
        raise ContractError(contract=str(path), where="the file", problem=problem, fix=fix) from error
    return found


def _declared_twice(second: Path, first: Path) -> ContractError:
    return ContractError(
        contract=str(second / CATALOGUE_FILE),
        where="engine",
        problem=f"engine {second.name} is declared in {first} too",
        fix="Keep one of the two folders, or rename an engine.",
    )
