"""Opening the object store that the settings name: on local disk, or in S3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from resources.object_store import LocalObjectStore, ObjectStore
from resources.settings import Settings


def open_store(settings: Settings, *, client: Any = None) -> ObjectStore:
    """Open the store of an installation; a bucket's server is not asked anything yet (`object_store.probe` does that).

    Args:
        settings: Where it is, and for a bucket where to stage. A local store stages on its own file system.
        client: boto3's for S3; without one, the AWS_* variables say where and who.

    Raises:
        StoreError: Its folder cannot be made.
    """
    place = settings.store
    if isinstance(place, Path):
        return LocalObjectStore(place)
    # imported here because boto3 takes 0.2 s, which a local store need not wait for
    from resources.s3_client import s3_client  # noqa: PLC0415
    from resources.s3_store import S3ObjectStore  # noqa: PLC0415

    client = s3_client() if client is None else client
    return S3ObjectStore(client, place.bucket, place.prefix, settings.incoming)
