"""dagster-aws's S3 resource: what is configured in it is what the store's requests are sent with."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
from dagster import build_op_context, op

from platform_assets.definitions import installation
from resources.dagster_resources import WorkspaceResource
from resources.s3_resource import LimitedS3Resource, S3WorkspaceResource
from resources.s3_store import S3ObjectStore
from tests.servers.s3 import BUCKET, S3Server


def test_dagsters_resource_gives_the_same_client_and_shows_no_secret(moto: S3Server, tmp_path: Path) -> None:
    resource = LimitedS3Resource(
        endpoint_url=moto.endpoint,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="planted-secret",  # noqa: S106 - a canary
        aws_session_token="planted-token",  # noqa: S106
        read_timeout_s=7,
    )
    assert "planted" not in f"{resource!r} {resource}"

    @op(required_resource_keys={"s3"})
    def use_it(context) -> bool:  # type: ignore[no-untyped-def] # noqa: ANN001 - Dagster's own signature
        assert context.resources.s3.meta.config.read_timeout == 7
        return S3ObjectStore(context.resources.s3, BUCKET, "op", tmp_path / "scratch").exists("a")

    assert use_it(build_op_context(resources={"s3": resource})) is False


def test_the_store_of_an_installation_is_asked_through_it(
    moto: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")  # nobody: the resource says where
    place = {"home": str(tmp_path / "home"), "store": moto.setting}

    @dg.asset
    def kept(workspace: WorkspaceResource) -> None:
        assert workspace.open().store.put_if_absent("a", b"through the resource")

    s3 = LimitedS3Resource(
        endpoint_url=moto.endpoint,
        region_name="us-east-1",
        aws_access_key_id=moto.access_key,
        aws_secret_access_key=moto.secret_key,
    )
    assert dg.materialize([kept], resources={"workspace": S3WorkspaceResource(s3=s3, **place)}).success
    assert S3WorkspaceResource(s3=s3, **place).open().store.get("a") == b"through the resource"


def test_the_code_location_wires_it_when_the_store_is_a_bucket(
    moto: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HASHGATE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HASHGATE_STORE", raising=False)
    assert type(installation()) is WorkspaceResource
    for name, value in (moto.environment() | {"HASHGATE_STORE": moto.setting}).items():
        monkeypatch.setenv(name, value)
    bucket = installation()
    assert isinstance(bucket, S3WorkspaceResource)
    assert bucket.open().store.put_if_absent("a", b"")
