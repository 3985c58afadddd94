"""Where things are: the platform's settings, all from the environment, all with defaults."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from contracts.errors import ConfigurationError


@dataclass(frozen=True)
class Settings:
    """Absolute folders of one installation."""

    home: Path
    """`HASHGATE_HOME` (`./.hashgate`): store, catalogue, staging and Dagster's instance."""
    drops: Path
    """`HASHGATE_DROPS` (`$HASHGATE_HOME/drops`): what contracts' relative paths start from."""
    contracts: tuple[Path, ...]
    """`HASHGATE_CONTRACTS` (`contracts/odcs`): one or more folders, separated like `PATH`."""

    @classmethod
    def from_environment(cls, environment: dict[str, str] | None = None) -> Settings:
        """Read the three variables; an empty one counts as unset."""
        env = os.environ if environment is None else environment
        home = Path(env.get("HASHGATE_HOME") or ".hashgate").absolute()
        drops = Path(env.get("HASHGATE_DROPS") or home / "drops").absolute()
        folders = (env.get("HASHGATE_CONTRACTS") or "contracts/odcs").split(os.pathsep)
        return cls(home=home, drops=drops, contracts=tuple(Path(f).absolute() for f in folders if f))

    @property
    def store(self) -> Path:
        """The object store's root."""
        return self.home / "store"

    @property
    def staging(self) -> Path:
        """Where candidates are written, a folder a run; always local."""
        return self.home / "staging"

    @property
    def database(self) -> Path:
        """The catalogue: an index of what folder and store hold."""
        return self.home / "catalogue.db"

    @property
    def dagster_home(self) -> Path:
        """Dagster's instance."""
        return self.home / "dagster"

    def prepare(self) -> None:
        """Create the home's folders, private to the user; ConfigurationError when that cannot be done."""
        try:
            for folder in (self.home, self.store, self.staging, self.dagster_home):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            msg = f"{self.home}: {error.strerror}. Set HASHGATE_HOME to a folder that can be written."
            raise ConfigurationError(msg, path=str(self.home)) from error
