"""An installation opened for looking only: nothing is created, changed or remembered, not even the home folder.

`plan` and `status` use it, so that asking costs nothing and works for people who may not write. It does not keep the
results of verification either: what is to be read row by row is opened through the real workspace.
"""

from __future__ import annotations

import datetime as dt
from functools import cached_property
from pathlib import Path

from contracts.errors import StoreError
from resources.database import Database
from resources.database_migrations import open_copy
from resources.object_store import INCOMING, LocalObjectStore, ObjectStore
from resources.settings import Settings
from resources.workspace import Workspace


class _RefusesWrites:
    """What every store does, refused."""

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

    def sweep(self, before: dt.datetime) -> int:  # noqa: ARG002
        """Refused."""
        raise _refused(INCOMING)


class ReadOnlyStore(_RefusesWrites, LocalObjectStore):
    """A local store's objects for reading; it need not exist, and every write is refused."""

    def __init__(self, root: Path) -> None:  # the parent's would create the folder
        self._root, self._incoming = root, root / INCOMING


def _read_only(settings: Settings) -> ObjectStore:
    if isinstance(settings.store, Path):
        return ReadOnlyStore(settings.store)
    # imported here because boto3 takes 0.2 s, which a local store need not wait for
    from resources.s3_client import s3_client  # noqa: PLC0415
    from resources.s3_store import S3ObjectStore  # noqa: PLC0415

    class ReadOnlyBucket(_RefusesWrites, S3ObjectStore):
        """A bucket's objects for reading."""

    return ReadOnlyBucket(s3_client(), settings.store.bucket, settings.store.prefix, settings.incoming)


class LookingOnlyWorkspace(Workspace):
    """The same installation over a copy of the catalogue in memory and a store that refuses writes."""

    @cached_property
    def store(self) -> ObjectStore:
        """Blobs, tables, commits; for reading."""
        return _read_only(self.settings)

    @cached_property
    def database(self) -> Database:
        """What is known of files and captures, with what this look adds to it; gone when it ends."""
        return open_copy(self.settings.database)


def _refused(key: str) -> StoreError:
    return StoreError(
        f"store object {key}: the store is open for looking only. Use `hashgate ingest` to change it.", key=key
    )
