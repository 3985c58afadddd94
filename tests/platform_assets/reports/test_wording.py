"""Words for numbers and times: rounded as people read them, and never to nothing or to all."""

from __future__ import annotations

import pytest

from contracts.report_document import Excerpt
from platform_assets.reports.wording import counted, cut, duration, point, share, size


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [
        (0, 0, "0 %"),
        (0, 9, "0 %"),
        (9, 9, "100 %"),
        (1, 1_000_000, "< 0.01 %"),
        (999_999, 1_000_000, "> 99.99 %"),
        (1, 3, "33.3 %"),
        (1, 60, "1.67 %"),
    ],
)
def test_a_share_is_nothing_only_of_nothing_and_all_only_of_all(part: int, whole: int, said: str) -> None:
    assert share(part, whole) == said


@pytest.mark.parametrize(
    ("size_bytes", "said"), [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (999_499, "999 kB"), (12_345_678, "12.3 MB")]
)
def test_sizes(size_bytes: int, said: str) -> None:
    assert size(size_bytes) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 seconds"),
        (90, "90 seconds"),
        (120, "2 minutes"),
        (5400, "90 minutes"),
        (86_400 * 30, "30 days"),
        (86_400 * 365.2425 * 13.5, "13.5 years"),
        (-7200, "-2 hours"),
    ],
)
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("unit", "position", "width", "said"),
    [
        ("value", 1234.0, 0, "1,234"),
        ("value", 0.125, 0, "0.125"),
        ("value", 1e16, 0, "1e+16"),
        ("second_of_day", 3660.0, 60, "01:01"),
        ("second_of_day", 3661.5, 1, "01:01:01.500"),
        ("epoch_s", 0.0, 86_400, "1970-01-01"),
        ("epoch_s", 3600.0, 60, "1970-01-01 01:00"),
        ("epoch_s", 1.0, 1, "1970-01-01 00:00:01"),
        ("epoch_s", 1e18, 1, "1e+18 s"),
    ],
)
def test_positions(unit: str, position: float, width: float, said: str) -> None:
    assert point(unit, position, width) == said


def test_counts_and_excerpts() -> None:
    assert [counted(1, "row"), counted(1234, "row")] == ["1 row", "1,234 rows"]
    assert cut(Excerpt(text="ab", characters=5)) == "ab\u2026 (3 characters more)"
