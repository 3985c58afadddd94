"""Retention: how long what no reader sees any more is kept, and what of it is too old.

Superseded versions go by age, by number and by size; drops that nothing names any more, by age. What is current never
goes, nor do the latest versions of a partition, whatever their age. This says only what may go: who names what, and
how it is removed without harm, is the collector's part.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic import Field

from contracts.durations import spoken_duration
from contracts.refs import Frozen

DAY_S = 86_400

AGE_UNITS = {
    **dict.fromkeys(("d", "day", "days"), DAY_S),
    **dict.fromkeys(("w", "week", "weeks"), 7 * DAY_S),
    **dict.fromkeys(("y", "yr", "years"), 365 * DAY_S),
    **dict.fromkeys(("h", "hours"), 3600),
}
"""Seconds a unit; ODCS's own words for days and years, and weeks and hours after their pattern."""

SIZE_UNITS = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
UNITS = (*AGE_UNITS, *SIZE_UNITS, "versions", "latest")
"""What a contract may write behind `retention` and a number."""


class Retention(Frozen):
    """How long superseded versions are kept. Each limit counts by itself; None is no limit."""

    age_s: int | None = Field(default=60 * DAY_S, ge=1)
    """Seconds since another version took their place."""
    versions: int | None = Field(default=None, ge=0)
    """Superseded versions of one partition."""
    size_bytes: int | None = Field(default=None, ge=0)
    """Of all superseded versions of the table together, counting nothing that a newer version needs, too."""
    latest: int = Field(default=1, ge=1)
    """The newest versions of a partition that always stay, the current one among them."""

    def with_level(self, value: float, unit: str) -> Retention:
        """With one limit as a contract writes it.

        Raises:
            ValueError, OverflowError: The number is none of the unit's.
        """
        limit = limit_of(unit)
        whole = round(value * {**AGE_UNITS, **SIZE_UNITS}.get(unit, 1))
        if limit in {"versions", "latest"} and whole != value:
            msg = f"{value} is no whole number of versions"
            raise ValueError(msg)
        return Retention.model_validate({**self.model_dump(), limit: whole})


def limit_of(unit: str) -> str:
    """The limit that a unit belongs to."""
    return "age_s" if unit in AGE_UNITS else "size_bytes" if unit in SIZE_UNITS else unit


KEPT_FOR_EVER = Retention(age_s=None)
"""For tables whose contract cannot be read: when unsure, nothing goes."""


@dataclass(frozen=True, slots=True)
class VersionAge:
    """A version of a partition, as far as its age is concerned."""

    partition: str
    number: int
    superseded_at: dt.datetime | None
    """When another one took its place, by the store's clock; None: it is current."""
    size_bytes: int
    """What goes with it: nothing that a newer version needs, too."""


def too_old(retention: Retention, versions: Sequence[VersionAge], now: dt.datetime) -> dict[tuple[str, int], str]:
    """The versions of one table that are to go, by (partition, number), each with the limit it broke.

    Args:
        retention: The table's.
        versions: All that are there, in any order.
        now: By the clock that `superseded_at` is of.
    """
    found: dict[tuple[str, int], str] = {}
    ranks = _ranks(versions)
    total = 0
    for version in sorted((v for v in versions if v.superseded_at is not None), key=_newest_first):
        total += version.size_bytes
        rank = ranks[version.partition, version.number]
        if rank < retention.latest:
            continue
        why = _broken_limit(retention, version, rank, total, now)
        if why is not None:
            found[version.partition, version.number] = why
    return found


def is_past(retention: Retention, since: dt.datetime, now: dt.datetime) -> bool:
    """Whether what has been of no use `since` then is too old."""
    return retention.age_s is not None and (now - since).total_seconds() > retention.age_s


def _broken_limit(
    retention: Retention, version: VersionAge, rank: int, total_bytes: int, now: dt.datetime
) -> str | None:
    if version.superseded_at is not None and is_past(retention, version.superseded_at, now):
        return f"superseded for more than {spoken_duration(dt.timedelta(seconds=retention.age_s or 0))}"
    if retention.versions is not None and rank > retention.versions:
        return f"more than {retention.versions} superseded versions of its partition"
    if retention.size_bytes is not None and total_bytes > retention.size_bytes:
        return f"superseded versions of the table have more than {retention.size_bytes:,} bytes"
    return None


def _ranks(versions: Iterable[VersionAge]) -> dict[tuple[str, int], int]:
    """Per version how many of its partition are newer."""
    by_partition: dict[str, list[int]] = {}
    for version in versions:
        by_partition.setdefault(version.partition, []).append(version.number)
    return {
        (partition, number): rank
        for partition, numbers in by_partition.items()
        for rank, number in enumerate(sorted(numbers, reverse=True))
    }


def _newest_first(version: VersionAge) -> tuple[float, str, int]:
    since = version.superseded_at.timestamp() if version.superseded_at is not None else 0.0
    return (-since, version.partition, -version.number)
