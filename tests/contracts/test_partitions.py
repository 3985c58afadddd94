"""The calendar: file names to keys, and the same keys as Dagster's."""

# ruff: noqa: E501 - a table of names reads best with one name a line

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import UsageError
from contracts.partitions import (
    GROUPS,
    WEEK_DAY_OFFSET,
    NoKey,
    NoKeyReason,
    check_key,
    current_key,
    is_key,
    keys_between,
    parse_range,
    partition_key_of,
    partition_keys_of,
    pattern_groups,
    start_of_period,
    start_problem,
    window_of,
    zone_problem,
)
from contracts.table_contract import Cadence, Partitioning

PATTERNS = {
    Cadence.HOURLY: r"x-(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})T(?P<hour>\d{2})",
    Cadence.DAILY: r"x-(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})",
    Cadence.WEEKLY: r"x-(?P<year>\d{4})-W(?P<week>\d{2})",
    Cadence.MONTHLY: r"x-(?P<year>\d{4})-(?P<month>\d{2})",
}
NOW = dt.datetime(2013, 11, 23, 17, 45, tzinfo=dt.UTC)


def calendar(
    cadence: Cadence = Cadence.DAILY, start: str = "2013-01-01", zone: str = "UTC", pattern: str | None = None
) -> Partitioning:
    begin = dt.datetime.fromisoformat(start)
    return Partitioning(cadence=cadence, start=begin, time_zone=zone, file_name_pattern=pattern or PATTERNS[cadence])


def dagsters(partitioning: Partitioning) -> dg.TimeWindowPartitionsDefinition:
    """The definition that the table's docstring promises."""
    start, zone = partitioning.start, partitioning.time_zone
    if partitioning.cadence is Cadence.HOURLY:
        return dg.HourlyPartitionsDefinition(start_date=start, timezone=zone, end_offset=1)
    if partitioning.cadence is Cadence.DAILY:
        return dg.DailyPartitionsDefinition(start_date=start, timezone=zone, end_offset=1)
    if partitioning.cadence is Cadence.WEEKLY:
        return dg.WeeklyPartitionsDefinition(start_date=start, timezone=zone, end_offset=1, day_offset=WEEK_DAY_OFFSET)
    return dg.MonthlyPartitionsDefinition(start_date=start, timezone=zone, end_offset=1)


ZONES = ["UTC", "America/New_York", "Europe/Rome", "America/Sao_Paulo", "Asia/Kolkata", "America/Havana"]


# --- the same calendar as Dagster's ----------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    ("cadence", "start", "days"),
    [
        pytest.param(Cadence.HOURLY, "2013-03-01", 280, id="hours, over both changes of the clock"),
        pytest.param(Cadence.DAILY, "2011-09-01", 800, id="days"),
        pytest.param(Cadence.WEEKLY, "2013-01-28", 800, id="weeks"),
        pytest.param(Cadence.MONTHLY, "2013-01-01", 800, id="months"),
    ],
)
def test_keys_and_windows_are_dagsters(zone: str, cadence: Cadence, start: str, days: int) -> None:
    ours = calendar(cadence, start, zone)
    theirs = dagsters(ours)
    now = (ours.start + dt.timedelta(days=days, hours=7, minutes=13)).replace(tzinfo=ZoneInfo(zone))
    expected = list(theirs.get_partition_keys(current_time=now))
    last = current_key(ours, now)
    assert last == expected[-1]
    assert keys_between(ours, expected[0], last) == expected
    assert all(is_key(key, ours) for key in expected)
    for key in expected[:: max(1, len(expected) // 400)]:
        window, dagsters_window = window_of(ours, key), theirs.time_window_for_partition_key(key)
        assert window.start.timestamp() == dagsters_window.start.timestamp(), key
        assert window.end.timestamp() == dagsters_window.end.timestamp(), key


@given(
    zone=st.sampled_from(ZONES),
    cadence=st.sampled_from(sorted(GROUPS)),
    now=st.datetimes(dt.datetime(2013, 1, 29), dt.datetime(2013, 12, 31), timezones=st.just(dt.UTC)),
)
def test_the_running_period_is_the_last_one_and_dagsters(zone: str, cadence: Cadence, now: dt.datetime) -> None:
    ours = calendar(cadence, "2013-01-28" if cadence is Cadence.WEEKLY else "2013-01-01", zone)
    key = current_key(ours, now)
    assert key is not None
    assert key == dagsters(ours).get_partition_keys(current_time=now)[-1]
    window = window_of(ours, key)
    assert window.start <= now < window.end


def test_the_second_of_two_equal_hours_carries_its_offset() -> None:
    hours = calendar(Cadence.HOURLY, "2013-11-03", "America/New_York")
    keys = keys_between(hours, "2013-11-03-00:00", "2013-11-03-02:00")
    assert keys == ["2013-11-03-00:00", "2013-11-03-01:00", "2013-11-03-01:00-0500", "2013-11-03-02:00"]


def test_an_hour_that_clocks_skip_is_no_partition() -> None:
    hours = calendar(Cadence.HOURLY, "2013-03-10", "America/New_York")
    assert keys_between(hours, "2013-03-10-01:00", "2013-03-10-03:00") == ["2013-03-10-01:00", "2013-03-10-03:00"]
    assert not is_key("2013-03-10-02:00", hours)


def test_a_calendar_that_ends_has_no_key_behind_its_end() -> None:
    year = calendar().model_copy(update={"start": dt.datetime(2013, 1, 1), "end": dt.datetime(2014, 1, 1)})
    now = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)
    assert current_key(year, now) == "2013-12-31"
    assert current_key(year, dt.datetime(2013, 5, 5, tzinfo=dt.UTC)) == "2013-05-05"
    assert is_key("2013-12-31", year)
    assert not is_key("2014-01-01", year)
    with pytest.raises(UsageError, match="it ends before 2014-01-01 00:00:00"):
        keys_between(year, "2013-12-31", "2014-01-01")


def test_before_the_calendar_starts_nothing_runs() -> None:
    assert current_key(calendar(), dt.datetime(2012, 12, 31, 23, 59, tzinfo=dt.UTC)) is None
    assert current_key(calendar(), dt.datetime(2013, 1, 1, tzinfo=dt.UTC)) == "2013-01-01"


def test_the_day_is_the_zones_day() -> None:
    midnight_in_rome = dt.datetime(2013, 6, 30, 22, 0, tzinfo=dt.UTC)
    assert current_key(calendar(zone="Europe/Rome"), midnight_in_rome) == "2013-07-01"
    assert current_key(calendar(zone="UTC"), midnight_in_rome) == "2013-06-30"


def test_now_must_know_its_zone() -> None:
    with pytest.raises(ValueError, match="aware"):
        current_key(calendar(), dt.datetime(2013, 1, 1))


# --- file names ------------------------------------------------------------------------------------------------------


KEYED = {
    "a day": (Cadence.DAILY, None, "x-2013-01-31", "2013-01-31"),
    "the running day": (Cadence.DAILY, None, "x-2013-11-23", "2013-11-23"),
    "the first day": (Cadence.DAILY, None, "x-2013-01-01", "2013-01-01"),
    "the day before the year": (Cadence.DAILY, r"(?P<day>\d\d)(?P<month>\d\d)(?P<year>\d{4})\.csv", "31012013.csv", "2013-01-31"),
    "with an ending that may be there": (Cadence.DAILY, PATTERNS[Cadence.DAILY] + r"(?:\.gz)?", "x-2013-01-31.gz", "2013-01-31"),
    "an hour": (Cadence.HOURLY, None, "x-2013-01-31T05", "2013-01-31-05:00"),
    "a week": (Cadence.WEEKLY, None, "x-2013-W05", "2013-01-28"),
    "the first week, which begins in the year before": (Cadence.WEEKLY, None, "x-2013-W45", "2013-11-04"),
    "any day of a week": (Cadence.WEEKLY, PATTERNS[Cadence.DAILY], "x-2013-02-01", "2013-01-28"),
    "a month": (Cadence.MONTHLY, None, "x-2013-02", "2013-02-01"),
}  # fmt: skip


@pytest.mark.parametrize(("cadence", "pattern", "name", "key"), KEYED.values(), ids=KEYED.keys())
def test_names_with_a_key(cadence: Cadence, pattern: str | None, name: str, key: str) -> None:
    start = "2013-01-28" if cadence is Cadence.WEEKLY else "2013-01-01"
    assert partition_key_of(name, calendar(cadence, start, pattern=pattern), now=NOW) == key


def test_a_name_in_an_hour_that_comes_twice_means_the_first() -> None:
    hours = calendar(Cadence.HOURLY, zone="America/New_York")
    assert partition_key_of("x-2013-11-03T01", hours, now=NOW) == "2013-11-03-01:00"


UNKEYED = {
    "another name": (Cadence.DAILY, "readme.txt", NoKeyReason.NO_KEY, "does not match", "Rename"),
    "only the end matches": (Cadence.DAILY, "old-x-2013-01-31", NoKeyReason.NO_KEY, "does not match", "Rename"),
    "only the beginning matches": (Cadence.DAILY, "x-2013-01-31.tmp", NoKeyReason.NO_KEY, "does not match", "Rename"),
    "a line end at the end": (Cadence.DAILY, "x-2013-01-31\n", NoKeyReason.NO_KEY, "does not match", "Rename"),
    "no UTF-8": (Cadence.DAILY, "x-2013-01-31\udcff", NoKeyReason.NO_KEY, "does not match", "Rename"),
    "an empty name": (Cadence.DAILY, "", NoKeyReason.NO_KEY, "does not match", "Rename"),
    "month thirteen": (Cadence.DAILY, "x-2013-13-01", NoKeyReason.INVALID_DATE, "no such day: year '2013', month '13'", "Rename"),
    "a 30th of February": (Cadence.DAILY, "x-2013-02-30", NoKeyReason.INVALID_DATE, "no such day", "Rename"),
    "the year nought": (Cadence.DAILY, "x-0000-01-01", NoKeyReason.INVALID_DATE, "no such day", "Rename"),
    "hour 24": (Cadence.HOURLY, "x-2013-01-31T24", NoKeyReason.INVALID_DATE, "no such hour", "Rename"),
    "an hour that clocks skip": (Cadence.HOURLY, "x-2013-03-10T02", NoKeyReason.INVALID_DATE, "no such hour in America/New_York", "Rename"),
    "week 53 of a year of 52": (Cadence.WEEKLY, "x-2013-W53", NoKeyReason.INVALID_DATE, "no such week", "Rename"),
    "before the start": (Cadence.DAILY, "x-2012-12-31", NoKeyReason.OUTSIDE_CALENDAR, "from 2013-01-01 to 2013-11-23", "start"),
    "tomorrow": (Cadence.DAILY, "x-2013-11-24", NoKeyReason.OUTSIDE_CALENDAR, "2013-11-24 is outside", "Check the date"),
    "next month": (Cadence.MONTHLY, "x-2013-12", NoKeyReason.OUTSIDE_CALENDAR, "to 2013-11-01", "Check the date"),
    "the year 9999": (Cadence.DAILY, "x-9999-12-31", NoKeyReason.INVALID_DATE, "no such day", "Rename"),
}  # fmt: skip


@pytest.mark.parametrize(("cadence", "name", "reason", "problem", "fix"), UNKEYED.values(), ids=UNKEYED.keys())
def test_names_without_a_key(cadence: Cadence, name: str, reason: NoKeyReason, problem: str, fix: str) -> None:
    start = "2013-01-07" if cadence is Cadence.WEEKLY else "2013-01-01"
    zone = "America/New_York" if cadence is Cadence.HOURLY else "UTC"
    found = partition_key_of(name, calendar(cadence, start, zone), now=NOW)
    assert isinstance(found, NoKey)
    assert (found.file_name, found.reason) == (name, reason)
    assert problem in found.problem
    assert fix in found.fix
    assert "\n" not in found.message
    assert found.problem in found.message


def test_many_names_keep_their_order_and_do_not_share_a_reason() -> None:
    names = ["x-2013-01-02", "nope", "x-2013-01-01", "x-2013-02-30", "x-2013-02-30", "x-2013-01-02"]
    found = partition_keys_of(names, calendar(), now=NOW)
    keys = [key if isinstance(key, str) else key.reason for key in found]
    invalid = NoKeyReason.INVALID_DATE
    assert keys == ["2013-01-02", NoKeyReason.NO_KEY, "2013-01-01", invalid, invalid, "2013-01-02"]
    assert partition_keys_of([], calendar(), now=NOW) == []


def test_a_pattern_that_could_backtrack_forever_does_not() -> None:
    nasty = calendar(pattern=r"(?:a+)+(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)")
    found = partition_key_of("a" * 100_000, nasty, now=NOW)
    assert isinstance(found, NoKey)


def test_a_quarter_of_a_million_names_in_a_few_seconds() -> None:
    names = [f"x-2013-{n % 12 + 1:02}-{n % 28 + 1:02}" for n in range(250_000)]
    found = partition_keys_of(names, calendar(), now=dt.datetime(2014, 1, 1, tzinfo=dt.UTC))
    assert found == [name.removeprefix("x-") for name in names]


@given(day=st.dates(dt.date(2013, 1, 1), dt.date(2013, 11, 23)), noise=st.text(max_size=4))
def test_a_name_made_of_a_day_gives_that_day(day: dt.date, noise: str) -> None:
    assert partition_key_of(f"x-{day}", calendar(), now=NOW) == str(day)
    if noise:
        assert isinstance(partition_key_of(f"x-{day}{noise}", calendar(), now=NOW), NoKey)


def test_groups_of_a_pattern() -> None:
    assert pattern_groups(PATTERNS[Cadence.DAILY]) == ("year", "month", "day")
    assert pattern_groups("x") == ()
    with pytest.raises(ValueError, match="unnamed"):
        pattern_groups("(a)")
    with pytest.raises(ValueError, match="perl operator"):
        pattern_groups("(?=a)")


# --- keys and ranges -------------------------------------------------------------------------------------------------


NO_KEYS = ["", "2013-1-1", "2013-02-30", "2012-12-31", "2013-01-01 ", "20130101", "\uff12013-01-01", "9999-12-31", "x"]


@pytest.mark.parametrize("text", NO_KEYS)
def test_texts_that_are_no_key(text: str) -> None:
    assert not is_key(text, calendar())
    with pytest.raises(UsageError, match=r"is not a partition of this daily calendar. Its keys look like 2013-01-01"):
        window_of(calendar(), text)
    with pytest.raises(UsageError) as raised:
        keys_between(calendar(), text, "2013-01-05")
    assert raised.value.evidence == {"partition": text, "first": "2013-01-01"}


@pytest.mark.parametrize(
    ("cadence", "text"),
    [
        pytest.param(Cadence.WEEKLY, "2013-01-29", id="a Tuesday is no week"),
        pytest.param(Cadence.MONTHLY, "2013-01-02", id="a second is no month"),
        pytest.param(Cadence.MONTHLY, "2013-01", id="a month has its first day"),
        pytest.param(Cadence.HOURLY, "2013-01-31", id="a day is no hour"),
        pytest.param(Cadence.HOURLY, "2013-01-31-05:30", id="half past is no hour"),
        pytest.param(Cadence.HOURLY, "2013-01-31-24:00", id="hour 24"),
        pytest.param(Cadence.HOURLY, "2013-01-31-05:00+0000", id="an hour that does not come twice has no offset"),
    ],
)
def test_keys_of_another_cadence(cadence: Cadence, text: str) -> None:
    assert not is_key(text, calendar(cadence, "2013-01-28" if cadence is Cadence.WEEKLY else "2013-01-01"))


def test_ranges() -> None:
    assert parse_range("2013-01-01...2013-01-31") == ("2013-01-01", "2013-01-31")
    assert parse_range("2013-01-01") == ("2013-01-01", "2013-01-01")
    assert parse_range("2013-01-01-05:00...2013-01-02-05:00") == ("2013-01-01-05:00", "2013-01-02-05:00")


@pytest.mark.parametrize("text", ["", "...", "a...", "...b", "a...b...c", "   "])
def test_texts_that_are_no_range(text: str) -> None:
    with pytest.raises(UsageError, match=r"is not a range of partitions. Write FIRST...LAST") as raised:
        parse_range(text)
    assert raised.value.evidence == {"range": text}
    assert raised.value.exit_code == 2


def test_a_range_that_ends_before_it_begins() -> None:
    with pytest.raises(UsageError, match=r"ends before it begins. Write 2013-01-01...2013-01-02"):
        keys_between(calendar(), "2013-01-02", "2013-01-01")


def test_a_range_of_one() -> None:
    assert keys_between(calendar(), "2013-01-02", "2013-01-02") == ["2013-01-02"]


# --- where calendars can start ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cadence", "start", "problem"),
    [
        (Cadence.HOURLY, "2013-01-01T05:00", None),
        (Cadence.HOURLY, "2013-01-01T05:30", "on the full hour"),
        (Cadence.DAILY, "2013-01-01T05:00", "at midnight"),
        (Cadence.WEEKLY, "2013-01-28", None),
        (Cadence.WEEKLY, "2013-01-27", "on a Monday"),
        (Cadence.MONTHLY, "2013-01-02", "on the first of a month"),
    ],
)
def test_a_calendar_starts_where_a_period_begins(cadence: Cadence, start: str, problem: str | None) -> None:
    found = start_problem(cadence, dt.datetime.fromisoformat(start))
    assert found is None if problem is None else problem in str(found)
    begin = start_of_period(cadence, dt.datetime.fromisoformat(start))
    assert start_problem(cadence, begin) is None


@pytest.mark.parametrize("zone", ["Mars/Base", "", "../../etc/passwd", "/etc/localtime", "a\0b"])
def test_names_that_are_no_zone(zone: str) -> None:
    assert "no time zone" in str(zone_problem(Cadence.DAILY, zone))


def test_hours_need_a_zone_whose_clocks_change_by_whole_hours() -> None:
    assert "less than an hour" in str(zone_problem(Cadence.HOURLY, "Australia/Lord_Howe"))
    assert zone_problem(Cadence.DAILY, "Australia/Lord_Howe") is None
    assert zone_problem(Cadence.HOURLY, "Asia/Kolkata") is None


# --- runs of an engine ---

RUN, OTHER = "0f" * 16, "a0" * 16


def test_a_run_s_id_is_a_key_and_nothing_else_is() -> None:
    runs = Partitioning.by_run()
    check_key(runs, RUN)
    assert is_key(RUN, runs)
    for text in ("2013-01-01", RUN[:-1], RUN + "0", RUN.upper(), "../" + RUN, ""):
        assert not is_key(text, runs)
        with pytest.raises(UsageError, match="is no partition here: they are runs"):
            check_key(runs, text)


def test_runs_have_no_calendar() -> None:
    runs = Partitioning.by_run()
    assert current_key(runs, dt.datetime.now(dt.UTC)) is None
    with pytest.raises(UsageError, match="no period of time"):
        window_of(runs, RUN)
    with pytest.raises(UsageError, match="they are runs"):
        window_of(runs, "2013-01-01")


def test_nothing_lies_between_two_runs() -> None:
    runs = Partitioning.by_run()
    assert keys_between(runs, RUN, RUN) == [RUN]
    assert keys_between(runs, OTHER, RUN) == [RUN, OTHER]
    with pytest.raises(UsageError):
        keys_between(runs, RUN, "2013-01-01")


def test_no_file_name_is_a_run_s() -> None:
    (found,) = partition_keys_of([RUN], Partitioning.by_run(), now=dt.datetime.now(dt.UTC))
    assert isinstance(found, NoKey)
    assert "partitions of this table are runs of an engine" in found.message
