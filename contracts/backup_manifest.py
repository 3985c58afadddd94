"""The manifest of a backup: every file that belongs to it, by digest. A backup is what its newest manifest names."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, Field

from contracts.errors import HashgateError
from contracts.refs import Digest, Frozen
from contracts.sealing import Linked

STORE, DAGSTER = "store", "dagster"
"""What a file's name begins with: an object of the store by its key, a file of Dagster's home by its path."""


class BackedUpFile(Frozen):
    """One file of a backup."""

    name: str
    size_bytes: int = Field(ge=0)
    digest: Digest


class BackupManifest(Linked):
    """One finished backup. The next one into the same folder adds to the files and names all that count then."""

    format: Literal["hashgate/backup/v1"] = "hashgate/backup/v1"
    number: int = Field(ge=1)
    made_at: AwareDatetime
    files: tuple[BackedUpFile, ...]
    problems: tuple[str, ...] = ()
    """What could not be read when it was made, and is not in it."""

    @property
    def place(self) -> int:
        """The number in the chain."""
        return self.number


class BackupError(HashgateError):
    """A folder is no backup, or not one of this home; or a home is not empty."""

    exit_code = 2
