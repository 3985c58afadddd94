"""What an asset promises of the table it returns, and the recipe by which such a table is named.

A table that an asset returned has no drops: it is named by its content. Its promise is what the asset declares of its
columns; an asset that declares none promises the columns it returned, so that a later reader still sees a change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import field_validator

from contracts.commits import ContractStamp
from contracts.refs import BlobRef, Frozen, View, ViewRef, digest_json
from contracts.segments import StoredFile
from contracts.sinks import Sink, in_order
from contracts.table_contract import LINEAGE_COLUMNS, LINEAGE_PREFIX

SinkMode = Literal["append", "replace", "error"]

UNPARTITIONED = "all"
"""The partition of a table that has none."""


PRODUCED_PREFIX = "asset."
"""How the table of an asset begins; no contract's does."""


def produced_table(key: Sequence[str]) -> str:
    """Where the tables of an asset lie: `asset.` and the key's parts, with `.`, `/` and `%` in them escaped."""
    escaped = (part.replace("%", "%25").replace(".", "%2E").replace("/", "%2F") for part in key)
    return PRODUCED_PREFIX + ".".join(escaped)


def produced_asset(table: str) -> tuple[str, ...] | None:
    """The key of the asset whose tables lie there; None for a table that a contract declares."""
    prefix, _, escaped = table.partition(".")
    if prefix != "asset" or not escaped:
        return None
    parts = escaped.split(".")
    return tuple(part.replace("%2F", "/").replace("%2E", ".").replace("%25", "%") for part in parts)


class PromisedColumn(Frozen):
    """One column of a returned table."""

    name: str
    type: str
    """A DuckDB type."""
    nullable: bool = True
    unique: bool = False


class AssetPromise(Frozen):
    """What an asset promises of each table it returns."""

    key: tuple[str, ...]
    """The asset's."""
    code_version: str
    columns: tuple[PromisedColumn, ...] | None = None
    """None: nothing is declared."""
    sink_mode: SinkMode = "replace"
    """What a table means where one is published already: it comes instead (`replace`), beside (`append`: each content
    once, and all of it judged as a whole), or not at all (`error`)."""
    sinks: tuple[Sink, ...] = (Sink.PARQUET,)
    """What each version is published in: Parquet, and its exports after it."""

    _with_parquet = field_validator("sinks")(in_order)

    @property
    def exports(self) -> tuple[Sink, ...]:
        """The sinks beside Parquet."""
        return tuple(sink for sink in self.sinks if sink is not Sink.PARQUET)

    @property
    def asset(self) -> str:
        """The key as people write it."""
        return "/".join(self.key)

    @property
    def table(self) -> str:
        """The name of its place in the store. No contract's table is named so, and no other asset's key."""
        return produced_table(self.key)

    def stamp(self, schema: Sequence[tuple[str, str]]) -> ContractStamp:
        """What a commit keeps of the promise.

        Args:
            schema: Name and type of the columns, as declared or else as they were written.
        """
        fingerprint = digest_json([list(column) for column in schema])
        declared = digest_json([c.model_dump(mode="json") for c in self.columns or ()])
        return ContractStamp(
            version=self.code_version,
            digest=digest_json([self.key, self.code_version, declared]),
            rows_digest=digest_json(self.code_version),
            set_digest=declared,
            schema_fingerprint=fingerprint,
            table_schema=tuple(schema),
            sinks=self.exports,
        )


def reserved_columns(names: Sequence[str]) -> tuple[str, ...]:
    """The columns that may not be there: names with the reserved prefix, unless the whole lineage is handed on."""
    reserved = tuple(name for name in names if name.lower().startswith(LINEAGE_PREFIX))
    return () if set(reserved) == set(LINEAGE_COLUMNS) else reserved


def produced_segment_view(promise: AssetPromise, file: StoredFile) -> View:
    """The recipe "this very content, as this asset returned it"."""
    return View(
        transform="urn:hashgate:produced-segment:1",
        parameters={"asset": promise.key},
        inputs=(BlobRef(digest=file.digest, size_bytes=file.size_bytes),),
    )


def produced_view(promise: AssetPromise, segments: Sequence[ViewRef]) -> View:
    """The recipe of the version: those segments in the order in which they came, under that promise."""
    declared = None if promise.columns is None else [c.model_dump(mode="json") for c in promise.columns]
    return View(
        transform="urn:hashgate:produced:1",
        parameters={"asset": promise.key, "columns": declared},
        inputs=tuple(segments),
    )
