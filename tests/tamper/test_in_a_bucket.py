"""The same in a bucket: a bit of an object is turned, or the object dropped, through S3's own API."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from contracts.errors import HashgateError
from platform_assets.evidence.corruptions import Depth
from resources.object_store import ObjectStore
from resources.publisher import Outcome
from tests.damaging import remove, replace
from tests.faults.homes import DAY, TABLE, Home, Place
from tests.servers.s3 import S3Server
from tests.tamper.published import CURRENT, Published, build, by_query, publish_all

pytestmark = pytest.mark.embedded

KINDS = (
    "blobs/",
    "captures/",
    "doomed/",
    "expired/",
    "tables/orders/commits/",
    "tables/orders/datasets/",
    "tables/orders/discarded/",
    "tables/orders/exports/.*/index.json",
    "tables/orders/exports/.*/orders.csv",
    "tables/orders/held/",
    "tables/orders/reports/.*/report.json",
    "tables/orders/segments/.*/index.json",
    "tables/orders/segments/.*/valid.parquet",
    "tables/orders/segments/.*/quarantine.parquet",
    "tables/orders/selections/",
)


class PatientPlace(Place):
    """A store whose server may take its time."""

    @property
    def client(self) -> Any:
        return self.server.client()


@pytest.fixture(scope="module")
def in_bucket(moto: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Published:
    place = PatientPlace(moto, f"tamper/{uuid4().hex}")
    made = publish_all(Home(tmp_path_factory.mktemp("bucket"), place=place))
    assert list(made.verified().corruptions) == []
    assert made.misread() == []
    return made


@pytest.fixture
def store(in_bucket: Published) -> ObjectStore:
    return in_bucket.workspace.store


def of_kind(store: ObjectStore, kind: str) -> str:
    """The last object of a kind: of chains the newest link."""
    return [key for key in store.walk("") if re.match(kind, key)][-1]


def head_files(published: Published) -> Iterator[str]:
    """What the current version's rows lie in."""
    head = published.workspace.reader.head(TABLE, DAY)
    assert head is not None
    for entry in head.candidate.entries:
        yield published.workspace.reader.segment_place(TABLE, entry).prefix


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :]


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_in_an_object_is_found_and_never_read(
    kind: str, in_bucket: Published, store: ObjectStore
) -> None:
    key = of_kind(store, kind)
    data = store.get(key)
    try:
        replace(store, key, flipped(data, len(data) // 3))
        assert key in {found.subject for found in in_bucket.verified().corruptions}
        assert in_bucket.misread() == []
    finally:
        replace(store, key, data)


def test_every_sixteenth_of_what_readers_read_is_found_when_it_is_flipped(
    in_bucket: Published, store: ObjectStore
) -> None:
    tried = 0
    for folder in head_files(in_bucket):
        for name in store.keys(folder):
            key = f"{folder}/{name}"
            data = store.get(key)
            for at in range(0, len(data), len(data) // 16 + 1):
                tried += 1
                replace(store, key, flipped(data, at))
                assert in_bucket.misread() == [], f"byte {at} of {key}"
                replace(store, key, data)
    assert tried >= 60
    assert in_bucket.verified().sound


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in {"doomed/", "expired/"}])
def test_a_dropped_object_is_found_and_nothing_else_is_read(
    kind: str, in_bucket: Published, store: ObjectStore
) -> None:
    key = next(k for k in reversed([*store.walk("")]) if re.match(kind, k) and _is_missed(k, in_bucket, store))
    data = store.get(key)
    remove(store, key)
    try:
        assert not in_bucket.verified(Depth.QUICK).sound
        assert in_bucket.misread() == []
    finally:
        assert store.put_if_absent(key, data)


def _is_missed(key: str, published: Published, store: ObjectStore) -> bool:
    """Whether something names it: what is left over may go."""
    if "/segments/" in key or "/exports/" in key:
        return any(key.startswith(folder) for folder in (*head_files(published), *_exports(published)))
    if "/reports/" in key:
        return "/2-" in key
    return not key.startswith("blobs/") or store.get(key) == CURRENT.encode()


def _exports(published: Published) -> Iterator[str]:
    head = published.workspace.reader.head(TABLE, DAY)
    assert head is not None
    for export in head.candidate.exports:
        yield published.workspace.reader.export_place(head.candidate, export).prefix


def test_a_damaged_segment_in_a_bucket_is_put_aside_and_the_same_drop_heals_it(
    moto: S3Server, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = Home(tmp_path_factory.mktemp("healed"), place=PatientPlace(moto, f"tamper/{uuid4().hex}"))
    home.found()
    own = CURRENT.replace("pen", "quill")  # not what another test read: a verified block may come from memory
    home.drop(own)
    assert build(home) is Outcome.PUBLISHED
    published = Published(home, {}, home.workspace.contracts)
    store = home.workspace.store
    (folder, _) = head_files(published)
    key = f"{folder}/valid.parquet"
    replace(store, key, flipped(store.get(key), 40))
    with pytest.raises(HashgateError, match="hashgate verify orders|block 0 of"):
        by_query(home.workspace)
    done = published.verified(put_aside=True)
    assert (done.moved, done.sound) == ([folder], False)
    assert store.keys(folder) == []

    home.drop(own)
    assert build(home) is Outcome.REUSED
    assert by_query(home.workspace) == [(1, "quill"), (3, "cap")]
    assert published.verified().sound
