"""What a table promises, as the platform understands it: the checked, frozen form of one ODCS file.

`contracts.odcs` reads the file into this; nothing here knows YAML. The model holds only what is enforced. Its parts
fall into three digests, so that an edit redoes exactly what it touches: `rows_digest` covers what reads and judges
one row, `set_digest` what judges a whole partition, and prose (owner, descriptions) is in neither.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property
from typing import Any, Literal, Self
from uuid import UUID, uuid5

from pydantic import Field, field_validator

from contracts.gates import GATES, SINKS_GATE
from contracts.refs import Digest, Frozen, digest_json
from contracts.retention import Retention
from contracts.sinks import Sink, in_order

LINEAGE_PREFIX = "_hg_"
"""Reserved: no contract and no input may name a column so."""

LINEAGE_COLUMNS = {"_hg_source": "VARCHAR", "_hg_record": "BIGINT", "_hg_segment": "VARCHAR"}
"""On every row, all three: digest of the drop, 1-based record in it, key of the segment's view."""

EXTRA_COLUMN = "_hg_extra"
"""Undeclared columns of the input as one JSON object (text), present when the contract says `keep`."""

DATASET_NAMESPACE = UUID("6a0ddf5c-2f5b-5f0e-9f39-6d5c0a4b7a11")


class Severity(StrEnum):
    """What a broken rule does: an `error` puts rows into quarantine or holds the partition, a `warning` is counted."""

    ERROR = "error"
    WARNING = "warning"


class CsvFormat(Frozen):
    """How a CSV file is read. Never sniffed: a file that looks otherwise is quarantined, not guessed at."""

    kind: Literal["csv"] = "csv"
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    quote: str | None = Field(default='"', min_length=1, max_length=1)
    escape: str | None = Field(default=None, min_length=1, max_length=1)
    """None: a quote inside quotes is doubled."""
    encoding: str = "utf-8"
    header: bool = True
    """False: columns come in the contract's order."""
    null_markers: tuple[str, ...] = ("",)
    """A cell equal to one of these, quotes taken off, is NULL."""
    max_record_bytes: int = Field(default=1 << 20, ge=1024)


class JsonLinesFormat(Frozen):
    """One JSON object a line (LF). `encoding` applies after decompression."""

    kind: Literal["jsonl"] = "jsonl"
    encoding: str = "utf-8"
    max_record_bytes: int = Field(default=16 << 20, ge=1024)


class ParquetFormat(Frozen):
    """Apache Parquet; one row is one record."""

    kind: Literal["parquet"] = "parquet"


FileFormat = CsvFormat | JsonLinesFormat | ParquetFormat


class Column(Frozen):
    """One column: its type and what a single cell must be."""

    name: str
    type: str
    """A DuckDB type: VARCHAR, BOOLEAN, TINYINT...HUGEINT, FLOAT, DOUBLE, DECIMAL(p,s), DATE, TIME, TIMESTAMP,
    TIMESTAMP WITH TIME ZONE, JSON."""
    aliases: tuple[str, ...] = ()
    """Other names under which files bring this column."""
    required: bool = False
    unique: bool = False
    primary_key_position: int | None = None
    absent: Literal["null", "quarantine"] = "null"
    """What a file without this column means. A required column is always `quarantine`."""
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    """RE2, must match the whole text."""
    minimum: str | None = None
    maximum: str | None = None
    """Bounds as text, cast to the column's type when compiled."""
    exclusive_minimum: bool = False
    exclusive_maximum: bool = False
    multiple_of: str | None = None
    allowed_values: tuple[str, ...] | None = None
    formats: tuple[str, ...] = ()
    """For dates and times: accepted strptime formats, in order of trial; empty means ISO 8601."""
    time_zone: str = "UTC"
    """For TIMESTAMP WITH TIME ZONE: the zone of values that carry none."""
    description: str = ""


class RowRule(Frozen):
    """A boolean SQL expression over the typed columns of one row; not TRUE (so FALSE or NULL) breaks it."""

    name: str
    expression: str
    severity: Severity = Severity.ERROR
    description: str = ""


class SetRule(Frozen):
    """One SELECT over the partition (named `{table}` in the text) that gives one number, and what it must be."""

    name: str
    query: str
    operator: Literal["=", "!=", ">", ">=", "<", "<=", "between", "not between"]
    threshold: tuple[float, ...] = Field(min_length=1, max_length=2)
    severity: Severity = Severity.ERROR
    description: str = ""


class Cadence(StrEnum):
    """How time is cut into partitions."""

    HOURLY = "hourly"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    RUN = "run"
    """Not by time: a partition is a run of an engine, and its key the run's id."""


class Partitioning(Frozen):
    """Which partition a file belongs to, by its name alone."""

    cadence: Cadence
    start: dt.datetime
    """Naive, in `time_zone`."""
    end: dt.datetime | None = None
    """Where the calendar stops, itself excluded; naive, in `time_zone`. None: it goes on with time."""
    time_zone: str = "UTC"
    file_name_pattern: str
    """RE2 with the named groups year, month, day, hour (or week with year, ISO), matched with the whole file name."""

    @classmethod
    def by_run(cls) -> Partitioning:
        """A partition for each run of an engine; no calendar, and no file name means anything."""
        return cls(cadence=Cadence.RUN, start=dt.datetime(2000, 1, 1), file_name_pattern="")  # noqa: DTZ001 - never looked at


RATIO_FROM_BYTES = 256 << 20
"""Below it, no ratio is suspicious: a few constant columns are, too, a thousand times smaller when compressed."""


class Expansion(Frozen):
    """How large a compressed drop may be when it is decompressed: a small file must not fill memory, disk and days."""

    max_bytes: int = Field(default=64 << 30, ge=1)
    max_ratio: int = Field(default=200, ge=1)
    """To its compressed size; not asked of what stays below `RATIO_FROM_BYTES`."""

    def most_bytes(self, size_bytes: int) -> int:
        """What a drop of a size may become."""
        return min(self.max_bytes, max(RATIO_FROM_BYTES, self.max_ratio * size_bytes))


class EngineSource(Frozen):
    """An output of an engine, whose runs are the partitions of a table."""

    engine: str
    output: str


class Server(Frozen):
    """Where drops arrive, relative to the drop folder; or which output of an engine takes their place."""

    path: str
    """A glob: `*` and `?` within one name, `**` for any depth. Of an engine's output `engine/<engine>/<output>`."""
    format: FileFormat = Field(discriminator="kind")
    compression: Literal["auto", "none", "gzip", "zstd"] = "auto"
    """`auto` goes by the content's magic number, because content is all that identity knows."""
    decompression: Expansion = Expansion()
    engine_source: EngineSource | None = None
    """None: files arrive in the drop folder. Else only what a READY run's facts name is read."""


class Freshness(Frozen):
    """How late the newest closed partition may be."""

    latency_s: int = Field(gt=0)


class TableContract(Frozen):
    """One table's promise."""

    table: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")
    version: str
    description: str = ""
    owners: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    domain: str | None = None
    server: Server
    columns: tuple[Column, ...] = Field(min_length=1)
    undeclared_columns: Literal["keep", "quarantine"] = "quarantine"
    partitioning: Partitioning
    unique_together: tuple[tuple[str, ...], ...] = ()
    """Further sets of columns whose values may stand in a partition only once."""
    row_rules: tuple[RowRule, ...] = ()
    set_rules: tuple[SetRule, ...] = ()
    quarantine_budget: float = Field(default=1.0, ge=0, le=1)
    """Share of a partition's records above which it is held."""
    sink_mode: Literal["append", "replace", "error"] = "replace"
    """What a drop means whose path is known: its content comes beside the earlier ones (`append`: a partition grows),
    instead of them (`replace`), or not at all once the partition is published (`error`)."""
    sinks: tuple[Sink, ...] = (Sink.PARQUET,)
    """What each version is published in: Parquet, and its exports after it."""
    freshness: Freshness | None = None
    retention: Retention = Retention()
    """Of what is not current any more. It judges nothing, so it is in no digest."""
    source: str = ""
    """The file it came from, for messages; in no digest."""

    _with_parquet = field_validator("sinks")(in_order)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy as pydantic does, but let the copy work out its own digests: it would keep the cached ones."""
        copied = super().model_copy(update=update, deep=deep)
        for derived in set(copied.__dict__) - set(type(self).model_fields):
            del copied.__dict__[derived]
        return copied

    @property
    def dataset_id(self) -> UUID:
        """The same on any machine: UUIDv5 of the table's name."""
        return uuid5(DATASET_NAMESPACE, self.table)

    @cached_property
    def primary_key(self) -> tuple[str, ...]:
        """The key's columns in key order; empty when the contract has no key."""
        keyed = [c for c in self.columns if c.primary_key_position is not None]
        return tuple(c.name for c in sorted(keyed, key=lambda c: c.primary_key_position or 0))

    @cached_property
    def unique_keys(self) -> tuple[tuple[str, ...], ...]:
        """Every set of columns whose values may stand in a partition only once; the primary key first."""
        singles = tuple((c.name,) for c in self.columns if c.unique and (c.name,) != self.primary_key)
        return ((self.primary_key,) if self.primary_key else ()) + singles + self.unique_together

    @property
    def exports(self) -> tuple[Sink, ...]:
        """The sinks beside Parquet."""
        return tuple(sink for sink in self.sinks if sink is not Sink.PARQUET)

    @property
    def gates(self) -> tuple[str, ...]:
        """What every version of the table passes, in order."""
        return (*GATES, *([SINKS_GATE] if self.exports else []))

    @cached_property
    def table_schema(self) -> Mapping[str, str]:
        """Name to DuckDB type of everything a reader sees, lineage last."""
        extra = {EXTRA_COLUMN: "VARCHAR"} if self.undeclared_columns == "keep" else {}
        return {c.name: c.type for c in self.columns} | extra | LINEAGE_COLUMNS

    @cached_property
    def schema_fingerprint(self) -> Digest:
        """Over (name, type) in order; canonical JSON keeps the separators from colliding. Nullability is left out."""
        return digest_json([[c.name, c.type] for c in self.columns])

    @cached_property
    def rows_digest(self) -> Digest:
        """What reads and judges one row: a change here parses the drops again."""
        return digest_json(self._judging_rows())

    @cached_property
    def set_digest(self) -> Digest:
        """What judges a partition as a whole: a change here judges segments that exist, and parses nothing."""
        return digest_json(
            {
                "unique_keys": self.unique_keys,
                "set_rules": [_without_prose(r) for r in self.set_rules],
                "quarantine_budget": self.quarantine_budget,
                "sink_mode": self.sink_mode,
                # Parquet alone stays what it was called before there was a choice
                **({"sinks": self.sinks} if self.exports else {}),
            }
        )

    @cached_property
    def output_target_key(self) -> Digest:
        """Where the rows go, in which shape, formats and mode."""
        return digest_json([self.table, self.schema_fingerprint, self.sink_mode, "+".join(self.sinks)])

    @cached_property
    def digest(self) -> Digest:
        """Everything that is enforced: the two digests above and where the drops come from."""
        return digest_json(
            {
                "table": self.table,
                "rows": self.rows_digest,
                "set": self.set_digest,
                "path": self.server.path,
                "partitioning": self.partitioning.model_dump(mode="json"),
            }
        )

    def _judging_rows(self) -> dict[str, Any]:
        columns = [_without_prose(c) for c in self.columns]
        for column in columns:
            del column["unique"], column["primary_key_position"]
        # left out where a contract says nothing, so that the digests of contracts from before it are what they were
        said = self.server.decompression != Expansion()
        limits = {"decompression": self.server.decompression.model_dump(mode="json")} if said else {}
        return limits | {
            "format": self.server.format.model_dump(mode="json"),
            "compression": self.server.compression,
            "columns": columns,
            "undeclared_columns": self.undeclared_columns,
            "row_rules": [_without_prose(r) for r in self.row_rules],
        }


def _without_prose(part: Frozen) -> dict[str, Any]:
    return part.model_dump(mode="json", exclude={"description"})
