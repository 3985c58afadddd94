"""The overview of a table: all its current versions together, as a document.

It is drawn from the reports of the versions that it names, and reads no clock: the same versions, and the same
candidates held beside them, give the same bytes. Numbers are measured, but for those that say they are modeled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import AwareDatetime, Field

from contracts.distribution_drift import ColumnDrift, Method, NotCompared
from contracts.refs import Digest, Frozen
from contracts.report_document import ContractFacts, Profile
from contracts.sealing import Sealed

REASONS_SHOWN = 50
BASELINE_PARTITIONS = 28
"""The first ones of a table are what all are compared with, unless somebody names others."""


class Baseline(Frozen):
    """The versions that every partition is compared with, as one."""

    chosen: Literal["first-partitions", "by-hand"]
    partitions: tuple[str, ...]
    versions: Digest
    """Over the digests of their commits."""
    rows: int = Field(ge=0)


class PartitionLine(Frozen):
    """One partition of the calendar between the first and the last that has anything."""

    partition: str
    state: Literal["published", "held", "missing", "purged", "unreadable"]
    """`held`: no version is published, and a candidate is held. `missing`: neither. `purged`: the rows of the current
    version were removed on purpose."""
    held: bool
    """Whether a candidate is held that was selected later than the current version."""
    version: int | None = None
    commit: Digest | None = None
    """Of the current version; of the held candidate when there is none."""
    committed_at: AwareDatetime | None = None
    after_end_s: float | None = None
    """How long after its period ended it was committed, in seconds; negative when before."""
    waived: bool = False
    gates_not_passed: tuple[str, ...] = ()
    warnings: int = Field(default=0, ge=0)
    drops: int = Field(default=0, ge=0)
    drop_bytes: int = Field(default=0, ge=0)
    records: int = Field(default=0, ge=0)
    valid_rows: int = Field(default=0, ge=0)
    quarantined_rows: int = Field(default=0, ge=0)


class ReasonLine(Frozen):
    """Records refused for one reason in all current versions; one with several reasons is in several lines."""

    code: str
    column: str | None
    rule: str | None
    meaning: str
    records: int = Field(ge=1)
    partitions: int = Field(ge=1)
    first: str
    last: str
    example: str | None
    """What was found in the first of them."""


class GateLine(Frozen):
    """One gate over all current versions and held candidates."""

    gate: str
    passed: int = Field(ge=0)
    not_passed: tuple[str, ...]
    """The partitions whose current version, or held candidate, it did not pass."""
    warnings: int = Field(ge=0)


class DriftSeries(Frozen):
    """`ColumnDrift`s of the published partitions in order, measure by measure; None where one could not be taken."""

    basis: Literal["measured"] = "measured"
    """All but `psi_by_chance`, which is modeled."""
    method: tuple[Method | None, ...]
    why: tuple[NotCompared, ...]
    nulls_change: tuple[float | None, ...]
    psi: tuple[float | None, ...]
    psi_by_chance: tuple[float | None, ...]
    distance: tuple[float | None, ...]
    distance_error: tuple[float | None, ...]

    @classmethod
    def of(cls, drifts: Sequence[ColumnDrift]) -> DriftSeries:
        """Turn rows into columns: names are written once."""
        return cls(**{name: tuple(getattr(drift, name) for drift in drifts) for name in _MEASURES})

    def at(self, index: int) -> ColumnDrift:
        """Of one partition."""
        return ColumnDrift(**{name: getattr(self, name)[index] for name in _MEASURES})


_MEASURES = ("method", "why", "nulls_change", "psi", "psi_by_chance", "distance", "distance_error")


class ColumnSeries(Frozen):
    """One column through the published partitions, in order; None where it has no value, or no such column."""

    name: str
    null_share: tuple[float | None, ...]
    distinct: tuple[int | None, ...]
    low: tuple[float | None, ...]
    """Position (see `Histogram.unit`) of the 5 % quantile; empty where the type has no scale."""
    median: tuple[float | None, ...]
    high: tuple[float | None, ...]
    """Of the 95 % quantile."""
    unit: Literal["value", "epoch_s", "second_of_day"] | None
    against_previous: DriftSeries
    """Against the published partition before."""
    against_baseline: DriftSeries


class Totals(Frozen):
    """All current versions together: `records` = `valid_rows` + `quarantined_rows`."""

    partitions: int = Field(ge=0)
    """In the calendar from the first to the last that has anything."""
    published: int = Field(ge=0)
    held: int = Field(ge=0)
    missing: int = Field(ge=0)
    drops: int = Field(ge=0)
    drop_bytes: int = Field(ge=0)
    records: int = Field(ge=0)
    valid_rows: int = Field(ge=0)
    quarantined_rows: int = Field(ge=0)
    segments: int = Field(ge=0)
    reasons: int = Field(ge=0)


class Overview(Sealed):
    """`overview.json`."""

    format: Literal["hashgate/overview/v1"] = "hashgate/overview/v1"
    basis: Literal["measured"] = "measured"
    table: str
    description: str
    cadence: Literal["hourly", "daily", "weekly", "monthly", "run"]
    """`run`: partitions are runs of an engine, and stand in the order in which they were committed."""
    contract: ContractFacts | None
    """Of the last published partition."""
    versions: Digest
    """Over the digests of all commits and held candidates in it, by which it is named."""
    totals: Totals
    partitions: tuple[PartitionLine, ...]
    reasons: tuple[ReasonLine, ...]
    """Most records first, at most the first 50 of `totals.reasons`."""
    gates: tuple[GateLine, ...]
    profile: Profile
    """Merged from the profiles of the published partitions; what is not exact says so."""
    series: tuple[ColumnSeries, ...]
    """As the columns of `profile`, a value for each published partition."""
    baseline: Baseline | None

    @property
    def published(self) -> tuple[PartitionLine, ...]:
        """The lines with a current version, as the series have them."""
        return tuple(line for line in self.partitions if line.state == "published")
