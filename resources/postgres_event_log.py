"""Dagster's event log on PostgreSQL with connections that are kept.

Dagster's own storage connects anew for every event outside the webserver, and asks for the password each time. This one
keeps a few connections. It is chosen in deploy/dagster.yaml; the tables are the same, and naming Dagster's class there
is all it takes to go back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagster._serdes import ConfigurableClassData
from dagster_postgres.event_log.event_log import PostgresEventLogStorage
from dagster_postgres.utils import create_pg_engine, get_token_provider_from_config, pg_url_from_config

CONNECTIONS_KEPT = 2
_MORE_AT_ONCE = 20
_RECYCLE_S = 1800


class PooledPostgresEventLog(PostgresEventLogStorage):
    """The same tables in the same database; a connection is opened once, not once an event."""

    def __init__(self, postgres_url: str, should_autocreate_tables: bool = True, **more: Any) -> None:  # noqa: FBT001, FBT002 - Dagster's signature
        super().__init__(postgres_url, should_autocreate_tables, **more)
        self._engine = create_pg_engine(
            postgres_url,
            more.get("token_provider"),
            isolation_level="AUTOCOMMIT",
            pool_size=CONNECTIONS_KEPT,
            max_overflow=_MORE_AT_ONCE,
            pool_recycle=_RECYCLE_S,
            pool_pre_ping=True,
        )

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> PooledPostgresEventLog:
        """Made by Dagster from dagster.yaml."""
        return cls(
            pg_url_from_config(config_value),
            config_value.get("should_autocreate_tables", True),
            inst_data=inst_data,
            token_provider=get_token_provider_from_config(config_value),
        )

    def dispose(self) -> None:
        """Close what is kept."""
        super().dispose()
        self._engine.dispose()
