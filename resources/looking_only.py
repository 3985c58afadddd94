"""An installation opened for looking only: nothing is created, changed or remembered, not even the home folder.

`plan` and `status` use it, so that asking costs nothing and works for people who may not write. It does not keep the
results of verification either: what is to be read row by row is opened through the real workspace.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from contracts.errors import StoreError
from resources.file_catalogue import FileCatalogue
from resources.object_store import LocalObjectStore
from resources.workspace import Workspace


class ReadOnlyStore(LocalObjectStore):
    """The store's objects for reading; it need not exist, and every write is refused."""

    def __init__(self, root: Path) -> None:  # the parent's would create the folder
        self._root, self._incoming = root, root / "incoming"

    def put_if_absent(self, key: str, data: bytes) -> bool:  # noqa: ARG002 - refused whatever it is
        """Refused."""
        raise _refused(key)

    def adopt_file(self, key: str, staged: Path) -> bool:  # noqa: ARG002
        """Refused."""
        raise _refused(key)

    def adopt_folder(self, prefix: str, staged: Path) -> bool:  # noqa: ARG002
        """Refused."""
        raise _refused(prefix)

    def forget(self, key: str) -> None:
        """Refused."""
        raise _refused(key)

    def put_aside(self, prefix: str) -> None:
        """Refused."""
        raise _refused(prefix)


class LookingOnlyWorkspace(Workspace):
    """The same installation over a copy of the catalogue in memory and a store that refuses writes."""

    @cached_property
    def store(self) -> LocalObjectStore:
        """Blobs, tables, commits; for reading."""
        return ReadOnlyStore(self.settings.store)

    @cached_property
    def catalogue(self) -> FileCatalogue:
        """What is known of files and captures, with what this look adds to it; gone when it ends."""
        return FileCatalogue.copied(self.settings.database)


def _refused(key: str) -> StoreError:
    return StoreError(
        f"store object {key}: the store is open for looking only. Use `hashgate ingest` to change it.", key=key
    )
