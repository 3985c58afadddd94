"""The published tables as a DuckDB connection, for people's own assets and scripts.

`dagster_duckdb`'s resource, whose connection has the DuckDB files of the current versions attached: a table reads like
any other, in SQL of any kind, also while it is being ingested.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of a resource's fields as they stand.

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager

import dagster as dg
import duckdb
from dagster_duckdb import DuckDBResource
from pydantic import Field

from resources.dagster_resources import WorkspaceResource
from resources.export_cache import CACHE_BYTES, ExportCache
from resources.published_databases import attached_tables


class PublishedDuckDB(DuckDBResource):
    """Connects to published tables that have the sink `duckdb`."""

    workspace: dg.ResourceDependency[WorkspaceResource]
    database: str = Field(default=":memory:", description="One's own database, beside what is attached for reading.")
    tables: list[str] = Field(default=[], description="What is attached when `get_connection` is given no tables.")
    cache_bytes: int = Field(
        default=CACHE_BYTES, description="How much of a store in S3 is kept on the local disk, at HASHGATE_HOME/cache."
    )

    @classmethod
    def _is_dagster_maintained(cls) -> bool:
        return False

    @contextmanager
    def get_connection(
        self, *tables: str, partitions: Mapping[str, Sequence[str]] | None = None
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection in UTC on which each table is a view over its current versions.

        Args:
            tables: Which; by default those of the field `tables`.
            partitions: By table the partitions that are meant; of a table that is not named there, all.

        Raises:
            UsageError: There is no such table or partition.
            NotExportedError: A current version has no DuckDB file.
            DigestMismatchError, StoreError: A file is not what was published.
        """
        workspace = self.workspace.open()
        cache = ExportCache(workspace.settings.home / "cache", workspace.catalogue, self.cache_bytes)
        with super().get_connection() as opened, closing(opened) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            with attached_tables(connection, workspace, tables or self.tables, cache, partitions):
                yield connection
