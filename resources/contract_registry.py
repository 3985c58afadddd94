"""The contracts of one installation: every ODCS file in the contract folders, read and checked.

A broken file hides no other: its problem is kept beside the contracts that are sound.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contracts.errors import ConfigurationError, ContractError, UsageError
from contracts.odcs_reader import parse_contract
from contracts.table_contract import TableContract

SUFFIXES = (".odcs.yaml", ".odcs.yml")


@dataclass(frozen=True)
class ContractRegistry:
    """Tables by name, and the contracts that could not be read."""

    contracts: dict[str, TableContract]
    problems: tuple[ContractError, ...]
    folders: tuple[Path, ...]

    @classmethod
    def load(cls, folders: Sequence[Path]) -> ContractRegistry:
        """Read every contract below `folders`; ConfigurationError when a folder is missing or unreadable."""
        contracts: dict[str, TableContract] = {}
        problems: list[ContractError] = []
        for path in (path for folder in folders for path in contract_files(folder)):
            try:
                contract = parse_contract(_bytes_of(path), source=str(path))
            except ContractError as error:
                problems.append(error)
                continue
            if contract.table in contracts:
                problems.append(_declared_twice(contract, contracts[contract.table]))
                continue
            contracts[contract.table] = contract
        return cls(dict(sorted(contracts.items())), tuple(problems), tuple(folders))

    def table(self, name: str) -> TableContract:
        """The contract of a table.

        Raises:
            ContractError: It is broken. (Only what was asked for fails.)
            UsageError: There is none of that name.
        """
        if name in self.contracts:
            return self.contracts[name]
        for problem in self.problems:
            if Path(problem.evidence["contract"]).name.partition(".")[0] == name:
                raise problem
        there = ", ".join(self.contracts) or "none"
        folders = ", ".join(map(str, self.folders))
        msg = f"there is no table {name!r}. Tables: {there}. Contracts are read from {folders}."
        if self.problems:
            msg += f" {len(self.problems)} contracts there are broken: see `hashgate contract lint`."
        raise UsageError(msg, table=name, tables=list(self.contracts))


def contract_files(folder: Path) -> list[Path]:
    """The ODCS files below a folder, or the file itself when it is one."""
    try:
        if folder.is_file():
            return [folder]
        if folder.is_dir():
            os.scandir(folder).close()  # a glob takes a folder that cannot be read for an empty one
            return sorted(path for path in folder.rglob("*") if path.name.endswith(SUFFIXES) and path.is_file())
    except OSError as error:
        msg = f"contract folder {folder}: {error.strerror}. Give this user access to it, or set HASHGATE_CONTRACTS."
        raise ConfigurationError(msg, path=str(folder)) from error
    msg = f"contract folder {folder} does not exist. Create it, or set HASHGATE_CONTRACTS."
    raise ConfigurationError(msg, path=str(folder))


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        problem, fix = f"it cannot be read: {error.strerror}", "Give this user access to it."
        raise ContractError(contract=str(path), where="the file", problem=problem, fix=fix) from error


def _declared_twice(second: TableContract, first: TableContract) -> ContractError:
    return ContractError(
        contract=second.source,
        where="schema",
        problem=f"table {second.table} is declared in {first.source} too",
        fix="Keep one of the two files, or rename a table.",
    )
