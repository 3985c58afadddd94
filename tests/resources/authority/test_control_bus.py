"""The control bus, in a folder and in Kinesis: everything comes, in order, at least once; what is broken is named."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config

from contracts.authority.envelopes import Envelope, EnvelopeKind
from contracts.authority.errors import BusError
from resources.authority.control_bus import ControlBus, FolderBus, open_bus
from resources.authority.kinesis_bus import KinesisBus, kinesis_client
from resources.settings import KinesisStream, Settings, parse_bus
from tests.engine_documents import envelope
from tests.servers.s3 import S3Server


def _client(moto: S3Server) -> Any:
    place = {"aws_access_key_id": moto.access_key, "aws_secret_access_key": moto.secret_key}
    config = Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 1, "mode": "standard"})
    return boto3.client("kinesis", endpoint_url=moto.endpoint, region_name="us-east-1", config=config, **place)


@pytest.fixture
def kinesis(moto: S3Server) -> Iterator[KinesisBus]:
    client, name = _client(moto), f"bus-{uuid4().hex}"
    client.create_stream(StreamName=name, ShardCount=2)
    client.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 20})
    yield KinesisBus(client, name)
    client.delete_stream(StreamName=name)


@pytest.fixture(params=["folder", "kinesis"])
def bus(request: pytest.FixtureRequest, tmp_path: Path) -> ControlBus:
    if request.param == "folder":
        return FolderBus(tmp_path / "bus")
    found: KinesisBus = request.getfixturevalue("kinesis")
    return found


def everything(bus: ControlBus, cursor: str = "", limit: int = 100) -> list[Envelope]:
    found: list[Envelope] = []
    for _ in range(50):
        delivery = bus.read(cursor, limit)
        found += delivery.envelopes
        if delivery.cursor == cursor:
            break
        cursor = delivery.cursor
    return found


def test_what_is_published_is_read_as_it_was(bus: ControlBus) -> None:
    sent = envelope("a")

    place = bus.publish(sent)

    assert everything(bus) == [sent]
    assert place.startswith(("file://", "kinesis://"))


def test_nothing_has_come_at_first(bus: ControlBus) -> None:
    assert everything(bus) == []


def test_a_reader_goes_on_where_it_was(bus: ControlBus) -> None:
    bus.publish(envelope("a"))
    first = bus.read("")
    bus.publish(envelope("b"))

    second = bus.read(first.cursor)

    assert [e.run_id for e in first.envelopes] == [envelope("a").run_id]
    assert [e.run_id for e in second.envelopes] == [envelope("b").run_id]
    assert bus.read(second.cursor).envelopes == ()


def test_the_envelopes_of_a_run_come_in_their_order(bus: ControlBus) -> None:
    sent = [envelope("a", kind) for kind in (EnvelopeKind.READY, *[EnvelopeKind.READY_REEMIT] * 4)]
    for one in sent:
        bus.publish(one)

    assert everything(bus, limit=2) == sent


def test_of_many_publishers_at_once_nobodys_envelope_is_lost(bus: ControlBus) -> None:
    start = threading.Barrier(8)

    def publish(number: int) -> None:
        start.wait()
        bus.publish(envelope(f"run-{number}"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(publish, range(8)))

    assert {e.run_id for e in everything(bus)} == {envelope(f"run-{n}").run_id for n in range(8)}


class TestFolder:
    """The bus of files."""

    BROKEN = ("", "{", "{}", '{"format":"hashgate/bus-envelope/v1"}')

    @pytest.mark.parametrize("text", BROKEN)
    def test_what_is_no_envelope_is_named_and_stops_no_other(self, tmp_path: Path, text: str) -> None:
        bus = FolderBus(tmp_path)
        bus.publish(envelope("a"))
        (tmp_path / "00000002.json").write_text(text)
        bus.publish(envelope("b"))

        delivery = bus.read("")

        assert len(delivery.envelopes) == 2
        assert delivery.unreadable[0].startswith("00000002.json: ")
        assert delivery.cursor == "3"

    def test_a_fact_that_was_altered_is_no_envelope(self, tmp_path: Path) -> None:
        bus = FolderBus(tmp_path)
        bus.publish(envelope("a"))
        path = tmp_path / "00000001.json"
        path.write_text(path.read_text().replace('"outputs":["numbers"]', '"outputs":["letters"]'))

        assert "carries blake3:" in bus.read("").unreadable[0]

    def test_a_folder_that_is_not_there_is_not_created_by_reading(self, tmp_path: Path) -> None:
        assert FolderBus(tmp_path / "bus").read("").envelopes == ()
        assert not (tmp_path / "bus").exists()

    def test_a_folder_that_cannot_be_written_is_an_error_that_says_so(self, tmp_path: Path) -> None:
        (tmp_path / "bus").write_text("a file")

        with pytest.raises(BusError, match="set HASHGATE_BUS"):
            FolderBus(tmp_path / "bus").publish(envelope("a"))


class TestKinesis:
    """The bus in a stream."""

    def test_a_stream_that_is_not_there_is_an_error_without_a_secret(self, moto: S3Server) -> None:
        bus = KinesisBus(_client(moto), "nowhere")

        for ask in (lambda: bus.publish(envelope("a")), lambda: bus.read("")):
            with pytest.raises(BusError, match=r"kinesis://nowhere: .* failed \(ResourceNotFoundException\)") as failed:
                ask()
            assert moto.secret_key not in str(failed.value)

    def test_a_server_that_is_away_is_an_error(self) -> None:
        client = boto3.client(
            "kinesis",
            endpoint_url="http://127.0.0.1:1",
            region_name="us-east-1",
            aws_access_key_id="a",
            aws_secret_access_key="hush",  # noqa: S106 - nobody's
            config=Config(connect_timeout=1, retries={"total_max_attempts": 1, "mode": "standard"}),
        )

        with pytest.raises(BusError, match="EndpointConnectionError") as failed:
            KinesisBus(client, "s").publish(envelope("a"))

        assert failed.value.__cause__ is None

    def test_what_others_put_there_is_named(self, kinesis: KinesisBus) -> None:
        kinesis._client.put_record(StreamName=kinesis._stream, Data=b"hello", PartitionKey="x")
        kinesis.publish(envelope("a"))

        delivery = kinesis.read("")

        assert len(delivery.envelopes) == 1
        assert delivery.unreadable[0].startswith("shardId-")

    def test_settings_without_a_region_are_an_error_that_names_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("AWS_DEFAULT_REGION", "AWS_REGION"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")

        with pytest.raises(BusError, match="AWS_DEFAULT_REGION"):
            kinesis_client()


class TestSetting:
    """HASHGATE_BUS."""

    def test_without_one_the_bus_is_in_the_home(self, home: Path) -> None:
        assert Settings.from_environment().bus == home / "bus"

    def test_a_folder_or_a_stream_may_be_named(self, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:  # noqa: ARG002
        monkeypatch.setenv("HASHGATE_BUS", "/somewhere/else")
        assert Settings.from_environment().bus == Path("/somewhere/else")
        monkeypatch.setenv("HASHGATE_BUS", "kinesis://control-bus")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        assert Settings.from_environment().bus == KinesisStream("control-bus")
        assert isinstance(open_bus(Settings.from_environment()), KinesisBus)

    @pytest.mark.parametrize("value", ["relative", "kinesis://", "kinesis://a b", "sqs://x", "kinesis:stream"])
    def test_anything_else_is_refused(self, value: str) -> None:
        with pytest.raises(Exception, match="HASHGATE_BUS: it is neither an absolute folder nor kinesis://"):
            parse_bus(value)
