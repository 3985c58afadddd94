"""The calendar of a table: which partition a file name belongs to, and which partitions there are.

Keys are spelled as Dagster spells them, so that the two calendars agree (a test compares them):

| cadence | key | Dagster's definition, with `start_date`, `timezone` and `end_offset=1` |
| --- | --- | --- |
| hourly | `2013-01-31-05:00` | `HourlyPartitionsDefinition` |
| daily | `2013-01-31` | `DailyPartitionsDefinition` |
| weekly | the Monday, `2013-01-28` | `WeeklyPartitionsDefinition(day_offset=1)` |
| monthly | the first, `2013-01-01` | `MonthlyPartitionsDefinition` |

The running period exists while it runs; later ones do not, nor any behind the calendar's end. When clocks go back, the
second of two equal hours carries its offset (`2013-11-03-01:00-0500`), and a file name, which cannot tell them apart,
means the first.

A table over an engine's output has no calendar: its partitions are runs, their keys the runs' ids, and which runs there
are is for the authority to say.

Everything here is arithmetic: "now" is an argument, and the calendar reads no clock.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contracts.errors import UsageError
from contracts.table_contract import Cadence, Partitioning

RANGE_SIGN = "..."
WEEK_DAY_OFFSET = 1
"""Dagster's `day_offset` of weekly partitions: weeks begin on Monday, as ISO 8601 has it."""

GROUPS: Mapping[Cadence, tuple[frozenset[str], ...]] = {
    Cadence.HOURLY: (frozenset({"year", "month", "day", "hour"}),),
    Cadence.DAILY: (frozenset({"year", "month", "day"}),),
    Cadence.WEEKLY: (frozenset({"year", "week"}), frozenset({"year", "month", "day"})),
    Cadence.MONTHLY: (frozenset({"year", "month"}),),
}
"""Sets of named groups, one of which a file-name pattern must have exactly."""

_HOUR = dt.timedelta(hours=1)
_HOURLY_KEY = re.compile(r"(?P<day>\d{4}-\d{2}-\d{2})-(?P<hour>\d{2}):00(?P<offset>[+-]\d{4})?", re.ASCII)
_RUN_KEY = re.compile(r"[0-9a-f]{32}")
_DATE_KEY = re.compile(r"(?P<day>\d{4}-\d{2}-\d{2})", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,4}")
_YEAR_DIGITS = 4
_YEARS = range(2, 9999)
"""Beyond these, time zones and next periods fall off Python's calendar."""


class NoKeyReason(StrEnum):
    """Why a file name has no partition."""

    NO_KEY = "NO_KEY"
    INVALID_DATE = "INVALID_DATE"
    OUTSIDE_CALENDAR = "OUTSIDE_CALENDAR"


@dataclass(frozen=True)
class NoKey:
    """A file name that belongs to no partition: a value, because one odd name must not stop a scan."""

    file_name: str
    reason: NoKeyReason
    problem: str
    fix: str

    @property
    def message(self) -> str:
        """What, where and how to fix it, on one line whatever the name holds."""
        return f"{self.file_name!r}: {self.problem}. {self.fix}"


@dataclass(frozen=True)
class Window:
    """The time that a partition covers: from `start` up to, but not including, `end`; both aware."""

    start: dt.datetime
    end: dt.datetime


def pattern_groups(pattern: str) -> tuple[str, ...]:
    """The named groups of a file-name pattern, in order.

    Raises:
        ValueError: RE2 refuses the pattern, or one of its groups has no name.
    """
    try:
        found = pc.extract_regex(pa.nulls(0, pa.string()), pattern=_anchored(pattern)).type
    except pa.ArrowInvalid as error:
        raise ValueError(str(error)) from None
    return tuple(found.field(index).name for index in range(found.num_fields))


def partition_key_of(file_name: str, partitioning: Partitioning, *, now: dt.datetime) -> str | NoKey:
    """The partition that one file name belongs to."""
    return partition_keys_of([file_name], partitioning, now=now)[0]


def partition_keys_of(file_names: Sequence[str], partitioning: Partitioning, *, now: dt.datetime) -> list[str | NoKey]:
    """The partitions that file names (without folders) belong to.

    Args:
        file_names: Any text, also such with bytes that are no UTF-8 (surrogate escapes).
        partitioning: The contract's.
        now: Aware; the period it lies in is the last one there is, unless the calendar ends before it.

    Returns:
        One key, or one reason why there is none, for each name in order.

    Matching is RE2's, in time linear to the name. Arrow's form of it is used because it gives groups by name; DuckDB's
    `regexp_extract` numbers them, which goes wrong as soon as a pattern puts the day before the year.
    """
    if partitioning.cadence is Cadence.RUN:
        return [_of_a_run(name) for name in file_names]
    last = _running(partitioning, now)
    matches = pc.extract_regex(
        _texts([name if _is_text(name) else None for name in file_names]),
        pattern=_anchored(partitioning.file_name_pattern),
    ).to_pylist()
    known: dict[tuple[str, ...], str | NoKey] = {}
    keys: list[str | NoKey] = []
    for name, groups in zip(file_names, matches, strict=True):
        if groups is None:
            keys.append(_no_key(name, NoKeyReason.NO_KEY, partitioning))
            continue
        parts = tuple(groups.values())
        if parts not in known:
            known[parts] = _key_of_groups(name, groups, partitioning, last)
        key = known[parts]
        keys.append(key if isinstance(key, str) else NoKey(name, key.reason, key.problem, key.fix))
    return keys


def is_key(text: str, partitioning: Partitioning) -> bool:
    """Whether text is a key of the calendar, at any time from its start to its end."""
    if partitioning.cadence is Cadence.RUN:
        return _RUN_KEY.fullmatch(text) is not None
    start = _start_of_key(text, partitioning)
    return start is not None and _within(partitioning, start)


def check_key(partitioning: Partitioning, key: str) -> None:
    """UsageError when text is no key of a table's partitions."""
    if partitioning.cadence is Cadence.RUN:
        _check_run(key)
    else:
        _checked_start(key, partitioning)


def current_key(partitioning: Partitioning, now: dt.datetime) -> str | None:
    """The key of the period that is running; None before the calendar starts, and where there is none."""
    if partitioning.cadence is Cadence.RUN:
        return None
    running = _running(partitioning, now)
    return None if _instant(running) < _first(partitioning) else _key(partitioning, running)


def window_of(partitioning: Partitioning, key: str) -> Window:
    """The time that a partition covers.

    Raises:
        UsageError: `key` is no key of this calendar, or the id of a run, which covers no time.
    """
    if partitioning.cadence is Cadence.RUN:
        _check_run(key)
        message = f"{key} is a run of an engine and no period of time"
        raise UsageError(message, partition=key)
    start = _checked_start(key, partitioning)
    return Window(start, _after(partitioning, start))


def keys_between(partitioning: Partitioning, first: str, last: str) -> list[str]:
    """All keys from `first` to `last`, both included, in order. Nothing lies between two runs of an engine.

    Raises:
        UsageError: One of them is no key of this calendar, or `last` comes before `first`.
    """
    if partitioning.cadence is Cadence.RUN:
        for key in (first, last):
            _check_run(key)
        return sorted({first, last})
    here, end = _checked_start(first, partitioning), _checked_start(last, partitioning)
    if _instant(end) < _instant(here):
        message = f"the range {first}{RANGE_SIGN}{last} ends before it begins. Write {last}{RANGE_SIGN}{first}."
        raise UsageError(message, first=first, last=last)
    keys = []
    while _instant(here) <= _instant(end):
        keys.append(_key(partitioning, here))
        here = _after(partitioning, here)
    return keys


def parse_range(text: str) -> tuple[str, str]:
    """The two ends of `A...B`; one key alone is a range of itself.

    Raises:
        UsageError: There are not one or two keys.
    """
    ends = text.split(RANGE_SIGN)
    if len(ends) > 2 or not all(end.strip() for end in ends):
        message = (
            f"{text!r} is not a range of partitions. Write FIRST{RANGE_SIGN}LAST, such as 2013-01-01...2013-01-31."
        )
        raise UsageError(message, range=text)
    return ends[0].strip(), ends[-1].strip()


def start_problem(cadence: Cadence, start: dt.datetime) -> str | None:
    """Why a calendar cannot start there; None when a period begins at that very moment."""
    if _floor(cadence, start) == start:
        return None
    boundary = {
        Cadence.HOURLY: "on the full hour",
        Cadence.DAILY: "at midnight",
        Cadence.WEEKLY: "on a Monday at midnight",
        Cadence.MONTHLY: "on the first of a month at midnight",
    }[cadence]
    return f"a {cadence} calendar starts {boundary}, not at {start}"


def start_of_period(cadence: Cadence, moment: dt.datetime) -> dt.datetime:
    """Where the period that a moment lies in begins, on the same clock."""
    return _floor(cadence, moment)


def zone_problem(cadence: Cadence, time_zone: str) -> str | None:
    """Why a calendar cannot run in a zone; None when it can."""
    try:
        zone = _zone(time_zone)
    except (KeyError, ValueError, OSError):
        return f"{time_zone!r} is no time zone of the IANA database"
    offsets = [dt.datetime(2024, month, 1, tzinfo=zone).utcoffset() or dt.timedelta() for month in (1, 7)]
    if cadence is Cadence.HOURLY and (offsets[0] - offsets[1]) % _HOUR:
        return f"clocks in {time_zone} change by less than an hour, which full hours cannot follow"
    return None


def _check_run(key: str) -> None:
    if not _RUN_KEY.fullmatch(key):
        message = f"{key!r} is no partition here: they are runs, by their 32 digits. See `hashgate engine runs`."
        raise UsageError(message, partition=key)


def _of_a_run(name: str) -> NoKey:
    problem, fix = "partitions of this table are runs of an engine", "No file name says which: submit a run."
    return NoKey(name, NoKeyReason.NO_KEY, problem, fix)


def _anchored(pattern: str) -> str:
    return rf"\A(?:{pattern})\z"


def _texts(names: Sequence[str | None]) -> pa.StringArray:
    """An Arrow array, made by hand: `pa.array` would import pandas to ask whether it was given a pandas object.

    That takes longer than everything else a `hashgate status` does.
    """
    encoded = [b"" if name is None else name.encode() for name in names]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    there = np.packbits(np.array([name is not None for name in names], dtype=bool), bitorder="little")
    return pa.StringArray.from_buffers(
        len(names), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded)), pa.py_buffer(there)
    )


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _key_of_groups(name: str, groups: Mapping[str, str], partitioning: Partitioning, last: dt.datetime) -> str | NoKey:
    start = _start_of_groups(groups, partitioning)
    if start is None:
        return _no_key(name, NoKeyReason.INVALID_DATE, partitioning, ", ".join(f"{k} {v!r}" for k, v in groups.items()))
    key = _key(partitioning, start)
    if not _first(partitioning) <= _instant(start) <= _instant(last):
        return _no_key(name, NoKeyReason.OUTSIDE_CALENDAR, partitioning, key, _key(partitioning, last))
    return key


def _no_key(name: str, reason: NoKeyReason, partitioning: Partitioning, found: str = "", last: str = "") -> NoKey:
    if reason is NoKeyReason.NO_KEY:
        problem = f"the name does not match the contract's fileNamePattern {partitioning.file_name_pattern!r}"
        return NoKey(name, reason, problem, "Rename the file, or mend the pattern.")
    if reason is NoKeyReason.INVALID_DATE:
        zone = f" in {partitioning.time_zone}" if partitioning.cadence is Cadence.HOURLY else ""
        return NoKey(
            name, reason, f"there is no such {_PERIOD[partitioning.cadence]}{zone}: {found}", "Rename the file."
        )
    first = _first_key(partitioning)
    problem = f"partition {found} is outside the calendar, which goes from {first} to {last}"
    return NoKey(name, reason, problem, "Check the date in the name, or move the contract's partitioning start.")


_PERIOD = {Cadence.HOURLY: "hour", Cadence.DAILY: "day", Cadence.WEEKLY: "week", Cadence.MONTHLY: "month"}


def _start_of_groups(groups: Mapping[str, str], partitioning: Partitioning) -> dt.datetime | None:
    if not all(_NUMBER.fullmatch(text) for text in groups.values()) or len(groups["year"]) != _YEAR_DIGITS:
        return None
    numbers = {name: int(text) for name, text in groups.items()}
    try:
        if "week" in numbers:
            day = dt.date.fromisocalendar(numbers["year"], numbers["week"], 1)
        else:
            day = dt.date(numbers["year"], numbers["month"], numbers.get("day", 1))
        moment = dt.datetime.combine(day, dt.time(numbers.get("hour", 0)))
    except ValueError:
        return None
    return _localized(_floor(partitioning.cadence, moment), partitioning) if moment.year in _YEARS else None


def _start_of_key(key: str, partitioning: Partitioning) -> dt.datetime | None:
    hourly = partitioning.cadence is Cadence.HOURLY
    parts = (_HOURLY_KEY if hourly else _DATE_KEY).fullmatch(key)
    if parts is None:
        return None
    try:
        moment = dt.datetime.combine(dt.date.fromisoformat(parts["day"]), dt.time(int(parts["hour"]) if hourly else 0))
    except ValueError:
        return None
    if moment.year not in _YEARS or _floor(partitioning.cadence, moment) != moment:
        return None
    start = _localized(moment, partitioning, fold=1 if hourly and parts["offset"] else 0)
    return start if start is not None and _key(partitioning, start) == key else None


def _checked_start(key: str, partitioning: Partitioning) -> dt.datetime:
    start = _start_of_key(key, partitioning)
    if start is None or not _within(partitioning, start):
        example = _first_key(partitioning)
        end = f"; it ends before {partitioning.end}" if partitioning.end else ""
        message = (
            f"{key!r} is not a partition of this {partitioning.cadence} calendar. "
            f"Its keys look like {example}, which is the first{end}."
        )
        raise UsageError(message, partition=key, first=example)
    return start


def _key(partitioning: Partitioning, start: dt.datetime) -> str:
    if partitioning.cadence is not Cadence.HOURLY:
        return start.date().isoformat()
    key = f"{start.date().isoformat()}-{start.hour:02}:{start.minute:02}"
    return f"{key}{start:%z}" if start.fold and start.utcoffset() != start.replace(fold=0).utcoffset() else key


def _first_key(partitioning: Partitioning) -> str:
    return _key(partitioning, _first(partitioning).astimezone(_zone(partitioning.time_zone)))


def _first(partitioning: Partitioning) -> dt.datetime:
    return _instant(partitioning.start.replace(tzinfo=_zone(partitioning.time_zone)))


def _end(partitioning: Partitioning) -> dt.datetime | None:
    return None if partitioning.end is None else partitioning.end.replace(tzinfo=_zone(partitioning.time_zone))


def _within(partitioning: Partitioning, start: dt.datetime) -> bool:
    end = _end(partitioning)
    return _first(partitioning) <= _instant(start) and (end is None or _instant(start) < _instant(end))


def _instant(moment: dt.datetime) -> dt.datetime:
    """For comparing: two datetimes of one zone compare by their wall clocks, which repeat an hour in autumn."""
    return moment.astimezone(dt.UTC)


def _running(partitioning: Partitioning, now: dt.datetime) -> dt.datetime:
    if now.tzinfo is None:
        msg = "`now` must be aware of its time zone"
        raise ValueError(msg)
    end = _end(partitioning)
    moment = now if end is None else min(now, end - dt.timedelta(microseconds=1), key=_instant)
    return _floor(partitioning.cadence, moment.astimezone(_zone(partitioning.time_zone)))


def _after(partitioning: Partitioning, start: dt.datetime) -> dt.datetime:
    """The start of the next period; hours are counted in UTC, days and longer on the wall's calendar."""
    if partitioning.cadence is Cadence.HOURLY:
        return (start.astimezone(dt.UTC) + _HOUR).astimezone(_zone(partitioning.time_zone))
    days = {Cadence.DAILY: 1, Cadence.WEEKLY: 7, Cadence.MONTHLY: 32}[partitioning.cadence]
    return _floor(partitioning.cadence, start + dt.timedelta(days=days))


def _floor(cadence: Cadence, moment: dt.datetime) -> dt.datetime:
    """The start of the period that a moment lies in, on the same clock."""
    if cadence is Cadence.HOURLY:
        return moment.replace(minute=0, second=0, microsecond=0)
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if cadence is Cadence.WEEKLY:
        return midnight - dt.timedelta(days=midnight.weekday())
    return midnight.replace(day=1) if cadence is Cadence.MONTHLY else midnight


def _localized(moment: dt.datetime, partitioning: Partitioning, *, fold: int = 0) -> dt.datetime | None:
    """A wall clock's time in the calendar's zone; None for an hour that clocks skip."""
    local = moment.replace(tzinfo=_zone(partitioning.time_zone), fold=fold)
    if partitioning.cadence is not Cadence.HOURLY:
        return local
    there_and_back = local.astimezone(dt.UTC).astimezone(local.tzinfo)
    return local if there_and_back.replace(tzinfo=None, fold=0) == moment else None


@cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
