"""The client for S3: the standard settings of AWS, limits on everything, and no secret in sight."""

from __future__ import annotations

import time
import traceback
from pathlib import Path

import pytest

from contracts.errors import ConfigurationError
from resources.s3_client import CONNECT_TIMEOUT_S, MAX_ATTEMPTS, READ_TIMEOUT_S, s3_client
from resources.s3_store import S3ObjectStore
from tests.servers.fault_proxy import Fault, FaultProxy
from tests.servers.s3 import BUCKET

ENDPOINT = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def _no_settings_of_ones_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_MAX_ATTEMPTS", "AWS_RETRY_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-secret")


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_the_standard_variables_say_where_the_server_is(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, ENDPOINT)
    assert s3_client().meta.endpoint_url == ENDPOINT


def test_every_limit_is_set() -> None:
    config = s3_client().meta.config
    assert (config.connect_timeout, config.read_timeout) == (CONNECT_TIMEOUT_S, READ_TIMEOUT_S)
    assert config.retries == {"total_max_attempts": MAX_ATTEMPTS, "mode": "standard"}


def test_addresses_are_path_style_unless_the_configuration_says_otherwise(tmp_path: Path) -> None:
    assert s3_client().meta.config.s3["addressing_style"] == "path"
    (tmp_path / "config").write_text("[default]\ns3 =\n    addressing_style = virtual\n")
    assert s3_client().meta.config.s3["addressing_style"] == "virtual"


def test_a_server_that_hangs_is_given_up_on_in_time(faults: FaultProxy, tmp_path: Path) -> None:
    faults.fail(Fault.HANGING)
    client = s3_client(endpoint_url=faults.endpoint, max_attempts=2, read_timeout_s=0.3, region_name="us-east-1")
    store = S3ObjectStore(client, BUCKET, "p", tmp_path / "scratch")
    began = time.monotonic()
    with pytest.raises(Exception, match="ReadTimeoutError"):
        store.exists("a")
    assert time.monotonic() - began < 10
    assert len(faults.requests) == 2


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"AWS_ENDPOINT_URL_S3": "http://me:planted-secret@127.0.0.1:9"}, "holds a user name or password"),
        ({"AWS_ENDPOINT_URL_S3": "planted-secret not an address"}, "do not make sense (ValueError)"),
        ({"AWS_PROFILE": "planted-secret"}, "do not make sense (ProfileNotFound)"),
    ],
    ids=["password in the address", "no address", "unknown profile"],
)
def test_settings_without_sense_are_told_without_repeating_them(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], said: str
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as refused:
        s3_client()
    assert said in str(refused.value)
    error = refused.value
    text = f"{''.join(traceback.format_exception(error))} {error!r} {error.__context__!r} {vars(error)}"
    assert "planted-secret" not in text.replace(str(settings), "")
