"""Dagster's event log on SQLite with connections that are kept.

Dagster's own storage opens an engine and a connection for every event, which costs more than writing it: a range over a
year of days is thousands of events. This one keeps the newest few open. It is chosen in dagster.yaml; the files are the
same, and taking the lines out of dagster.yaml is all it takes to go back.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg
import sqlalchemy as sa
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._serdes import ConfigurableClassData
from sqlalchemy.pool import StaticPool

from resources.private_files import keep_private
from resources.settings import Settings

CONNECTIONS_KEPT = 8
"""The index, and the runs that are being written or watched."""


class KeptConnectionEventLog(SqliteEventLogStorage):
    """The same tables in the same files; a connection is opened once, not once an event."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: OrderedDict[str, sa.Engine] = OrderedDict()
        super().__init__(base_dir, inst_data)

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """`base_dir` may be left out: the instance's folder, then."""
        return {"base_dir": dg.Field(dg.StringSource, is_required=False)}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> KeptConnectionEventLog:
        """Made by Dagster from dagster.yaml, in each of its processes."""
        keep_private()
        home = os.environ.get("DAGSTER_HOME") or str(Settings.from_environment().dagster_home)
        return cls(config_value.get("base_dir") or os.path.join(home, "history", "runs"), inst_data)  # noqa: PTH118

    @contextmanager
    def _connect(self, shard: str) -> Iterator[sa.Connection]:
        with self._db_lock, self._engine(shard).connect() as connection, connection.begin():
            yield connection

    def dispose(self) -> None:
        """Close what is kept."""
        with self._db_lock:
            for engine in self._engines.values():
                engine.dispose()
            self._engines.clear()
        super().dispose()

    def _engine(self, shard: str) -> sa.Engine:
        """The shard's engine; called under the lock, which also makes one connection enough for all threads."""
        if shard in self._engines:
            self._engines.move_to_end(shard)
            return self._engines[shard]
        engine = sa.create_engine(
            self.conn_string_for_shard(shard),
            poolclass=StaticPool,
            connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
        )
        sa.event.listen(engine, "connect", _tune)
        if shard not in self._initialized_dbs:
            self._initdb(engine)
            self._initialized_dbs.add(shard)
        self._engines[shard] = engine
        if len(self._engines) > CONNECTIONS_KEPT:
            _, oldest = self._engines.popitem(last=False)
            oldest.dispose()
        return engine


def _tune(connection: Any, _record: object) -> None:
    """With the write-ahead log, NORMAL loses at most the newest events in a power cut, never the database."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()
