"""The report of one partition version, as a document: what came in, what became of it, and what is in it now.

It says nothing that the commit, the selection and the published files do not say themselves, and it holds no clock of
its own, so the same commit gives the same bytes. It is sealed: it cannot be altered unnoticed. Pages are drawn from it
when somebody asks, and are no part of it. Values of cells and records stand in it as they are, unescaped: whoever shows
them escapes them. How a version differs from others is not in it, since those may change: `Overview` says that.
"""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar, Literal

from pydantic import AwareDatetime, Field

from contracts.gates import GateReceipt, Verdict
from contracts.refs import Digest, Frozen
from contracts.sealing import Sealed
from contracts.weighted_positions import NOTHING, Weighted

EXCERPT_CHARACTERS = 120
"""Of a value; longer ones are cut, and say so."""
RAW_CHARACTERS = 400
"""Of a quarantined record."""
TOP_VALUES = 10
DROPS_SHOWN = 200
SEGMENTS_SHOWN = 200
QUARANTINE_GROUPS_SHOWN = 50
EXAMPLES_SHOWN = 3
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SUMMARY_VALUES = 32
REGISTERS = 1024
"""Of a summary's HyperLogLog sketch; its standard error is 1.04 / sqrt(REGISTERS), 3.25 %."""


def _is_none(value: object) -> bool:
    return value is None


def _is_empty(value: tuple[object, ...]) -> bool:
    return not value


class Excerpt(Frozen):
    """A text, or the beginning of a long one."""

    text: str
    characters: int = Field(ge=0)
    """Of the whole text."""

    @property
    def left_out(self) -> int:
        """How many characters of it are not here."""
        return self.characters - len(self.text)


class ContractFacts(Frozen):
    """Under which promise the version was made."""

    version: str
    digest: Digest
    rows_digest: Digest
    set_digest: Digest
    schema_fingerprint: Digest


class DropLine(Frozen):
    """One drop: under which names it came and what became of its records."""

    digest: Digest
    paths: tuple[str, ...]
    size_bytes: int = Field(ge=0)
    records: int = Field(ge=0)
    valid_rows: int = Field(ge=0)
    quarantined_rows: int = Field(ge=0)


class Flow(Frozen):
    """From drops to rows: `records` = `valid_rows` + `quarantined_rows`."""

    drops: int = Field(ge=0)
    drop_bytes: int = Field(ge=0)
    records: int = Field(ge=0)
    valid_rows: int = Field(ge=0)
    quarantined_rows: int = Field(ge=0)
    quarantine_budget: float | None
    """Share of the records above which the version is held; None when the contract has changed since."""
    drop_lines: tuple[DropLine, ...]
    """In selection order, at most the first 200."""


class QuarantineExample(Frozen):
    """One record that was refused."""

    source: Digest
    record: int = Field(ge=1)
    byte_start: int = Field(ge=0)
    byte_end: int = Field(ge=0)
    raw: Excerpt | None
    value: Excerpt | None
    """The cell at fault, when one is."""
    message: str


class QuarantineGroup(Frozen):
    """The records that were refused for one reason. A record with several reasons is in several groups."""

    code: str
    column: str | None
    rule: str | None
    meaning: str
    fix: str
    records: int = Field(ge=1)
    examples: tuple[QuarantineExample, ...]
    """The first three, in selection and record order."""


class TopValue(Frozen):
    """A value and on how many rows it stands."""

    value: Excerpt
    rows: int = Field(ge=1)


class Quantile(Frozen):
    """The smallest value that `share` of the values do not exceed."""

    share: float = Field(ge=0, le=1)
    value: str


class Sample(Frozen):
    """What a figure was computed on when not on all rows.

    `record-hash`: rows whose hash of (drop, record, `seed`) `every_record` divides. `every-nth-record`, which earlier
    formats have: those whose number in their drop it divides, without a seed.
    """

    method: Literal["every-nth-record", "record-hash"] = "every-nth-record"
    every_record: int = Field(ge=2)
    fraction: float = Field(gt=0, lt=1)
    """Of the rows."""
    seed: int | None = Field(default=None, exclude_if=_is_none)
    """From the version's view key, so that the same version is sampled alike."""


class Estimate(Frozen):
    """A figure that was not counted, how it was found, and how far it may be off."""

    figure: Literal["distinct", "quantiles", "histogram", "top_values"]
    method: Literal["hyperloglog", "largest-part", "merged-ladders", "merged-values", "sampled"]
    error: float | None = Field(ge=0)
    """`hyperloglog`: the standard error, relative. `largest-part`: there are at least so many. `merged-ladders`: at
    most so far from the share that a quantile is of. `merged-values`: at most so many rows too few. None: unknown."""


class ColumnSummary(Frozen):
    """What a column's profile is merged from: profiles of parts give that of the whole without reading a row again."""

    values: tuple[tuple[str, int], ...] = ()
    """Values and on how many rows each stands, at most 32: all of them in order, or else the most frequent ones."""
    complete: bool
    """Whether these are all."""
    positions: tuple[float, ...] = ()
    """Of `values`, where the type has a scale; see `Histogram.unit`."""
    unit: Literal["value", "epoch_s", "second_of_day"] | None = None
    ladder: tuple[float, ...] = ()
    """Positions of the values at the ranks 0, 1/64, 2/64 ... 1 of those that have a finite position."""
    finite: int = Field(default=0, ge=0)
    """How many have one."""
    rank_error: float = Field(default=0, ge=0)
    """By how much a rung's rank may be off, beside the width of a step."""
    hashing: str
    """Whose hashes: sketches over those of different programs cannot be merged."""
    registers: str
    """HyperLogLog over 64-bit hashes: a base-64 digit a register, or of few the number of each (two digits) before it.
    """

    @property
    def lists_all(self) -> bool:
        """Whether every value stands here with its position."""
        return self.complete and len(self.positions) == len(self.values)

    @cached_property
    def weighted(self) -> Weighted:
        """Where the values lie: all of them, or else what the ladder tells."""
        if self.lists_all:
            return Weighted.of_counts(self.positions, [rows for _, rows in self.values])
        return Weighted.of_ladder(self.ladder, self.finite, self.rank_error) if self.ladder else NOTHING


class Histogram(Frozen):
    """Values in bins of equal width: bin i holds `start` + i x `width` up to, not including, the next bin's start."""

    unit: Literal["value", "epoch_s", "second_of_day"]
    """`epoch_s`: seconds since 1970-01-01 UTC; a timestamp without a zone is taken as UTC."""
    start: float
    width: float = Field(gt=0)
    rows: tuple[int, ...] = Field(min_length=1)
    not_binned: int = Field(ge=0)
    """Infinities and NaN."""


class ColumnProfile(Frozen):
    """What is in one column of the valid rows. Measured, on every row unless `quantile_sample` says otherwise.

    Exact, but for what `estimates` names.
    """

    name: str
    type: str
    description: str
    nulls: int = Field(ge=0)
    distinct: int = Field(ge=0)
    distinct_is_approximate: bool
    """HyperLogLog, typically within a few percent."""
    minimum: Excerpt | None
    maximum: Excerpt | None
    quantiles: tuple[Quantile, ...]
    """Of numbers, dates and times."""
    quantile_sample: Sample | None
    top_values: tuple[TopValue, ...]
    """The most frequent ones, at most ten; empty where a histogram says more, where every value is different, and where
    there are more values than are counted one by one."""
    histogram: Histogram | None
    estimates: tuple[Estimate, ...] = Field(default=(), exclude_if=_is_empty)
    """What of this was estimated; earlier formats say so of distinct values only."""
    summary: ColumnSummary | None = Field(default=None, exclude_if=_is_none)
    """None in earlier formats."""

    def estimate(self, figure: str) -> Estimate | None:
        """How a figure was estimated; None when it is exact."""
        return next((estimate for estimate in self.estimates if estimate.figure == figure), None)


class Profile(Frozen):
    """The valid rows as readers see them."""

    basis: Literal["measured"] = "measured"
    rows: int = Field(ge=0)
    columns: tuple[ColumnProfile, ...]


class SegmentLine(Frozen):
    """One segment, or the overlay of repeated keys."""

    view_key: Digest
    content: Digest
    records: int = Field(ge=0)
    valid_rows: int = Field(ge=0)
    quarantined_rows: int = Field(ge=0)
    size_bytes: int = Field(ge=0)


class SegmentProfile(Sealed):
    """The profile of one segment's valid rows, kept so that a version that shares the segment need not read it."""

    format: Literal["hashgate/profile/v1"] = "hashgate/profile/v1"
    table: str
    segment: Digest
    """Content of the segment."""
    overlay: Digest | None
    """Content of the overlay whose records are left out."""
    profile: Profile


class Lineage(Frozen):
    """What the version rests on, by name of content."""

    commit: Digest
    parent: Digest | None
    view_key: Digest
    snapshot: Digest
    selection_number: int
    cutoff: int
    """The highest capture sequence that was looked at."""
    materialization_key: Digest
    run_id: str
    segments: int = Field(ge=0)
    segment_lines: tuple[SegmentLine, ...]
    """In order, at most the first 200."""
    overlay: SegmentLine | None


class Report(Sealed):
    """`report.json`."""

    UNSEALED: ClassVar[frozenset[str]] = frozenset({"hashgate/report/v1"})

    format: Literal["hashgate/report/v1", "hashgate/report/v2", "hashgate/report/v3"] = "hashgate/report/v3"
    table: str
    partition: str
    state: Literal["published", "held"]
    version: int | None
    """The commit's number; a held candidate has none."""
    committed_at: AwareDatetime
    """Of a held candidate: when it was held."""
    description: str
    contract: ContractFacts
    flow: Flow
    quarantine_reasons: int = Field(ge=0)
    quarantine: tuple[QuarantineGroup, ...]
    """Most records first, at most the first 50 of `quarantine_reasons`."""
    gates: tuple[GateReceipt, ...]
    profile: Profile
    lineage: Lineage
    page: Digest | None = Field(default=None, exclude_if=_is_none)
    """Of the page beside it, which reports of the format v2 have."""

    @property
    def gates_not_passed(self) -> tuple[GateReceipt, ...]:
        """The receipts that say anything but PASS."""
        return tuple(r for r in self.gates if r.verdict is not Verdict.PASS)
