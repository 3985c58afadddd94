"""Opening the store that the settings name; what a setting may say is the business of `settings`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from contracts.errors import StoreError
from resources.object_store import LocalObjectStore, probe
from resources.s3_store import S3ObjectStore
from resources.settings import S3Location, Settings
from resources.store_setting import open_store
from tests.servers.s3 import BUCKET, S3Server


def settings(home: Path, place: Path | S3Location | None = None) -> Settings:
    return Settings(home=home, drops=home / "drops", contracts=(), store_location=place)


def test_a_folder_is_a_local_store(tmp_path: Path) -> None:
    for place, folder in ((None, tmp_path / "home/store"), (tmp_path / "elsewhere", tmp_path / "elsewhere")):
        store = open_store(settings(tmp_path / "home", place))
        assert isinstance(store, LocalObjectStore)
        assert store.url("a") == str(folder / "a")
        assert store.scratch.is_relative_to(folder)


@pytest.mark.parametrize("prefix", ["", "one", "one/two"], ids=["whole bucket", "one", "two"])
def test_an_s3_address_is_a_place_in_a_bucket(
    moto: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    for name, value in moto.environment().items():
        monkeypatch.setenv(name, value)
    store = open_store(settings(tmp_path, S3Location(BUCKET, prefix)))
    assert isinstance(store, S3ObjectStore)
    assert store.uri("a/b") == "/".join(part for part in ("s3:/", BUCKET, prefix, "a/b") if part)
    assert store.url("a/b").startswith("hashgate://")
    assert store.url("a/b").endswith("/a/b")
    assert store.scratch.is_relative_to(tmp_path)
    probe(store)


@pytest.mark.parametrize("prefix", ["a//b", "a/../b", "a/./b", "a\nb"], ids=["empty name", "up", "dot", "newline"])
def test_a_prefix_is_checked_as_a_key_is(moto: S3Server, tmp_path: Path, prefix: str) -> None:
    with pytest.raises(StoreError, match="is not a key"):
        open_store(settings(tmp_path, S3Location(BUCKET, prefix)), client=moto.client())


def test_a_prefix_counts_towards_the_length_of_keys(moto: S3Server, tmp_path: Path) -> None:
    store = open_store(settings(tmp_path, S3Location(BUCKET, "p" * 500)), client=moto.client())
    assert store.put_if_absent("k" * 523, b"x")
    with pytest.raises(StoreError, match="at most 1024 bytes") as refused:
        store.put_if_absent("k" * 524, b"x")
    assert refused.value.evidence["key"].endswith("k" * 524)


def test_neither_store_imports_dagster_and_a_local_one_not_even_boto3(tmp_path: Path) -> None:
    script = f"""
import sys
from pathlib import Path
from resources.settings import S3Location, Settings
from resources.store_setting import open_store

def opened(place):
    open_store(Settings(home=Path({str(tmp_path)!r}), drops=Path("."), contracts=(), store_location=place))

opened(Path({str(tmp_path / "store")!r}))
assert not {{"boto3", "botocore", "dagster", "fsspec"}} & set(sys.modules), "local"
opened(S3Location("bucket", "prefix"))
assert "botocore" in sys.modules and "dagster" not in sys.modules, "s3"
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[2], timeout=60)
