"""An engine as a run meets it: its interface pack, its policy, and the revision that both make."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from contracts.authority.errors import RequestError
from contracts.authority.pack import EnginePack
from contracts.authority.policy import EnginePolicy, parse_policy, policy_revision_of
from contracts.refs import Digest
from resources.authority.pack_files import EngineRegistry

POLICY_FILE = "policy.yaml"


@dataclass(frozen=True)
class Engine:
    """What is promised of an engine, and what was decided about it."""

    pack: EnginePack
    policy: EnginePolicy
    folder: Path
    """Where its files are."""

    @property
    def name(self) -> str:
        """Its name."""
        return self.pack.name

    @property
    def revision(self) -> Digest:
        """What runs are pinned to."""
        return policy_revision_of(self.pack.policy_revision, self.policy)


def engine_of(registry: EngineRegistry, name: str) -> Engine:
    """An engine by its name.

    Raises:
        UsageError: There is none of that name.
        ContractError, RequestError: One of its files is broken.
    """
    pack = registry.pack(name)
    folder = registry.folders[name]
    return Engine(pack, _policy(folder / POLICY_FILE), folder)


def _policy(path: Path) -> EnginePolicy:
    """The policy, or the defaults where there is no file."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return EnginePolicy()
    except OSError as error:
        problem = f"it cannot be read: {error.strerror}"
        fix = "Give this user access to it."
        raise RequestError(source=str(path), where="the file", problem=problem, fix=fix) from error
    return parse_policy(data, str(path))
