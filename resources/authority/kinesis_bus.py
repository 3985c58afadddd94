"""The control bus in a stream of Kinesis: one record an envelope, in the order of its run.

The cursor holds a sequence number a shard. Shards that close are read to their end, those that come are found at the
next look; after a split, what is in the parent may come after what is in its children: consumers look at truth anyway.
"""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from contracts.authority.envelopes import Envelope
from contracts.authority.errors import BusError
from contracts.canonical import canonical_bytes, parse_json
from resources.authority.control_bus import READ_AT_ONCE, Delivery

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 20.0
_ATTEMPTS = 3
_MAXIMUM_BYTES = 1 << 20
_EMPTY_READS = 5
"""A shard may answer with nothing and still hold something farther on."""


def kinesis_client() -> Any:
    """A boto3 client; where and who, the AWS_* variables say. Nothing waits for ever."""
    config = Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"},
    )
    try:
        return boto3.client("kinesis", config=config)
    except (BotoCoreError, ValueError) as error:
        msg = (
            f"the settings for Kinesis do not make sense ({type(error).__name__}). Check the AWS_* variables, "
            "AWS_DEFAULT_REGION among them."
        )
        raise BusError(msg) from None


class KinesisBus:
    """Envelopes in a stream."""

    def __init__(self, client: Any, stream: str) -> None:
        self._client, self._stream = client, stream

    def publish(self, envelope: Envelope) -> str:
        """Put a record; those of one run keep their order."""
        data = envelope.to_bytes()
        if len(data) > _MAXIMUM_BYTES:
            msg = f"envelope {envelope.message_id} has {len(data)} bytes, and a record of Kinesis {_MAXIMUM_BYTES}."
            raise BusError(msg, stream=self._stream)
        answer = self._asked("put_record", Data=data, PartitionKey=envelope.run_id)
        return f"kinesis://{self._stream}/{answer['ShardId']}/{answer['SequenceNumber']}"

    def read(self, cursor: str, limit: int = READ_AT_ONCE) -> Delivery:
        """What came after the cursor, shard by shard."""
        positions: dict[str, str] = parse_json(cursor) if cursor else {}
        envelopes: list[Envelope] = []
        unreadable: list[str] = []
        for shard in self._shards():
            room = limit - len(envelopes) - len(unreadable)
            if room > 0:
                positions |= self._read_shard(shard, positions.get(shard), room, envelopes, unreadable)
        return Delivery(tuple(envelopes), tuple(unreadable), canonical_bytes(positions).decode())

    def _read_shard(
        self, shard: str, after: str | None, room: int, envelopes: list[Envelope], unreadable: list[str]
    ) -> dict[str, str]:
        """Add what a shard has; returns its new position, if it has one."""
        begin: dict[str, Any] = {"ShardIteratorType": "TRIM_HORIZON"}
        if after is not None:
            begin = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": after}
        iterator = self._asked("get_shard_iterator", ShardId=shard, **begin)["ShardIterator"]
        empty = 0
        while iterator is not None and room > 0 and empty < _EMPTY_READS:
            answer = self._asked("get_records", of_stream=False, ShardIterator=iterator, Limit=room)
            for record in answer["Records"]:
                after = str(record["SequenceNumber"])
                room -= 1
                try:
                    envelopes.append(Envelope.from_bytes(record["Data"]))
                except ValueError as error:
                    unreadable.append(f"{shard}/{after}: {str(error).partition(chr(10))[0]}")
            empty = 0 if answer["Records"] else empty + 1
            iterator = answer.get("NextShardIterator") if answer.get("MillisBehindLatest") else None
        return {} if after is None else {shard: after}

    def _shards(self) -> list[str]:
        answer = self._asked("list_shards")
        found = [shard["ShardId"] for shard in answer["Shards"]]
        while token := answer.get("NextToken"):
            answer = self._asked("list_shards", of_stream=False, NextToken=token)
            found += [shard["ShardId"] for shard in answer["Shards"]]
        return found

    def _asked(self, operation: str, *, of_stream: bool = True, **about: Any) -> Any:
        named = {"StreamName": self._stream} if of_stream else {}
        try:
            return getattr(self._client, operation)(**named, **about)
        except ClientError as error:
            problem = str(error.response.get("Error", {}).get("Code", "refused"))
        except BotoCoreError as error:
            problem = type(error).__name__
        # raised here, so that the cause, whose text may quote an address, does not hang on to it
        msg = (
            f"control bus kinesis://{self._stream}: {operation} failed ({problem}). Check the stream and the AWS_* "
            "variables; `hashgate engine reemit` publishes what was missed."
        )
        raise BusError(msg, stream=self._stream, problem=problem)
