"""Contracts that come, go or change while Dagster runs: loaded again, or said what to press."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from contracts.errors import ConfigurationError
from resources.dagster_resources import WorkspaceResource
from sensors.contract_files import contract_digests, contract_sensor, differences, reload_definitions
from tests.engine_home import GATES, EngineHome
from tests.installation import CONTRACT, Installation


@pytest.fixture
def orders(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Installation:
    return Installation(home, monkeypatch, capsys)


def said(sensor: dg.SensorDefinition) -> str:
    with dg.DagsterInstance.ephemeral() as instance:
        answer = sensor(dg.build_sensor_context(instance), workspace=WorkspaceResource())
    assert isinstance(answer, dg.SkipReason)
    return str(answer.skip_message)


def test_nothing_changed(orders: Installation) -> None:
    assert said(contract_sensor([orders.contracts])) == "1 contract files, as loaded."


def test_what_came_went_and_changed_is_said_with_what_to_do(orders: Installation) -> None:
    orders.write_contract("gone: soon", table="gone")
    sensor = contract_sensor([orders.contracts])
    (orders.contracts / "gone.odcs.yaml").unlink()
    orders.write_contract(CONTRACT + "\n")
    orders.write_contract(CONTRACT.replace("orders", "returns"), table="returns")
    assert said(sensor) == (
        "gone.odcs.yaml is gone, orders.odcs.yaml changed, returns.odcs.yaml is new. "
        "Press `Reload definitions`, or set HASHGATE_WEBSERVER to the webserver's host:port."
    )


def test_an_engine_that_came_or_changed_is_said(orders: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = EngineHome(orders.home, monkeypatch)
    monkeypatch.setenv("HASHGATE_CONTRACTS", str(orders.contracts))
    sensor = contract_sensor([orders.contracts], [engine.engines])
    assert said(sensor) == "3 contract files, as loaded."
    engine.write_policy(timeout_s=9)  # read when a run needs it: no asset is made of it
    assert said(sensor) == "3 contract files, as loaded."
    (engine.folder / "gates.yaml").write_text(GATES.replace("law:", "description: new\n    law:"))
    assert said(sensor).startswith("gates.yaml changed. Press `Reload definitions`")


def test_a_webserver_that_does_not_answer_is_said(orders: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    sensor = contract_sensor([orders.contracts])
    orders.write_contract(CONTRACT + "\n")
    monkeypatch.setenv("HASHGATE_WEBSERVER", "127.0.0.1:9")
    assert "orders.odcs.yaml changed. The webserver at 127.0.0.1:9 could not be asked" in said(sensor)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.1:http", ":", ""])
def test_an_address_that_is_none_is_said(address: str) -> None:
    assert f"The webserver at {address} could not be asked" in reload_definitions(address)


def test_a_folder_that_is_gone_is_said(orders: Installation, tmp_path: Path) -> None:
    sensor = contract_sensor([orders.contracts])
    for path in orders.contracts.iterdir():
        path.unlink()
    orders.contracts.rmdir()
    assert said(sensor).startswith(f"contract folder {orders.contracts} does not exist.")
    with pytest.raises(ConfigurationError):
        contract_digests([tmp_path / "nowhere"])


def test_the_same_content_under_another_time_is_no_change(orders: Installation) -> None:
    before = contract_digests([orders.contracts])
    orders.write_contract(CONTRACT)
    assert differences(before, contract_digests([orders.contracts])) == []
