"""Plots: static, the same bytes each time, in the page's colours, and what comes from outside stays text."""

from __future__ import annotations

import datetime as dt
import math
import re
import subprocess
import sys
from collections.abc import Callable
from xml.etree import ElementTree as ET

import pytest

from contracts.report_document import Histogram
from platform_assets.reports import plots
from platform_assets.reports.plots import Cell, Through

DAYS = [(dt.date(2023, 12, 20) + dt.timedelta(days=i)).isoformat() for i in range(40)]
HOSTILE = "<script>\"&' $x_1$ #040404 3.14159265 \u202e\n"
SHOWN = "<script>\"&' $x_1$ #040404 3.14159265 \u2039U+202E\u203a\u2039LF\u203a"
ROWS = Through(DAYS, [float(i) if i % 7 else math.nan for i in range(40)])
SHARES = Through(DAYS, [0.01 * (i % 3) for i in range(40)])
HISTOGRAM = Histogram(unit="value", start=-0.5, width=0.1, rows=(1, 0, 7), not_binned=0)


def cells(partitions: list[str]) -> list[Cell]:
    strengths: list[float | None] = [0.0, 0.5, 1.0, None]
    return [Cell(p, strengths[i % 4], i % 5 == 0, f"{p} {HOSTILE}") for i, p in enumerate(partitions)]


def tags_of(svg: str) -> str:
    """Its tags, without pictures and without what it says in words."""
    return re.sub(r"data:image/png;base64,[^\"]*|aria-label=\"[^\"]*\"", "", "".join(re.findall(r"<[^>]*>", svg)))


PLOTS: dict[str, Callable[[], str]] = {
    "histogram": lambda: plots.histogram(HOSTILE, HISTOGRAM),
    "histogram with a reference": lambda: plots.histogram(HOSTILE, HISTOGRAM, [1.0, 2.0, 3.0]),
    "shares": lambda: plots.shares(HOSTILE, ["a", "", HOSTILE, "x" * 99], [0.5, 0.3, 0.1, 0.0], [0.1, 0.2, 0.3, 0.4]),
    "history": lambda: plots.history(HOSTILE, ROWS, SHARES),
    "history of one": lambda: plots.history(HOSTILE, Through(["a"], [3.0]), Through(["a"], [0.0]), 0),
    "history of nothing": lambda: plots.history(HOSTILE, Through(["a"], [math.nan]), Through(["a"], [math.nan])),
    "freshness": lambda: plots.freshness(HOSTILE, ROWS),
    "freshness of nothing": lambda: plots.freshness(HOSTILE, Through(["a"], [math.nan])),
    "band": lambda: plots.band(HOSTILE, "value", ROWS, ROWS, ROWS),
    "band of times": lambda: plots.band(HOSTILE, "epoch_s", SHARES, SHARES, SHARES),
    "trend": lambda: plots.trend(HOSTILE, ROWS),
    "heat": lambda: plots.heat(HOSTILE, DAYS, ["a", HOSTILE], [[0.1] * 40, [math.nan, 1.0] * 20]),
    "days": lambda: plots.calendar(HOSTILE, "daily", cells(DAYS)),
    "hours": lambda: plots.calendar(HOSTILE, "hourly", cells([f"2024-03-01-{h:02d}:00" for h in range(24)])),
    "weeks": lambda: plots.calendar(HOSTILE, "weekly", cells(DAYS[::7]), bad=True),
    "runs": lambda: plots.calendar(HOSTILE, "run", cells([f"{n:032x}" for n in range(60)])),
    "months": lambda: plots.calendar(HOSTILE, "monthly", cells(["2023-11-01", "2023-12-01", "2024-01-01"])),
}


@pytest.mark.parametrize("draw", PLOTS.values(), ids=PLOTS.keys())
def test_a_plot_is_the_same_bytes_each_time(draw: Callable[[], str]) -> None:
    assert draw() == draw()


@pytest.mark.parametrize("draw", PLOTS.values(), ids=PLOTS.keys())
def test_a_plot_is_whole_says_what_it_shows_and_needs_nothing(draw: Callable[[], str]) -> None:
    found = draw()
    svg = ET.fromstring(found)  # noqa: S314 - our own
    assert (svg.tag, svg.get("role"), svg.get("aria-label")) == ("svg", "img", SHOWN)
    tags = tags_of(found)
    assert not re.search(r"https?:|url\(|script|font-family|20[0-9]{2}-[0-9]{2}-[0-9]{2}T|#0[0-9]0", tags)


@pytest.mark.parametrize("draw", PLOTS.values(), ids=PLOTS.keys())
def test_a_plot_has_the_colours_of_the_page(draw: Callable[[], str]) -> None:
    tags = tags_of(draw())
    variables = {"ink", "soft", "line", "valid", "quarantine", "fail", "faint", "card"}
    assert set(re.findall(r"var\(--([a-z]+)\)", tags)) <= variables
    assert re.findall(r"#[0-9a-f]{6}\b", tags) == []


def test_texts_stay_as_they_are() -> None:
    svg = ET.fromstring(plots.shares("", ["$x_1$ 3.14159"], [1.0], None))  # noqa: S314 - our own
    assert [text.text for text in svg.iter("text")] == ["$x_1$ 3.14159", "100 %"]


def test_a_partition_of_a_calendar_is_named_where_it_stands() -> None:
    titles = [t.text for t in ET.fromstring(PLOTS["days"]()).iter("title")]  # noqa: S314 - our own
    assert titles == [f"{day} {SHOWN}" for day in DAYS]


def test_a_sign_that_our_font_lacks_is_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    assert "\u65e5\u672c" in plots.shares("", ["\u65e5\u672c"], [1.0], None)
    assert [str(warning.message) for warning in recwarn] == []


@pytest.mark.parametrize("module", ["platform_assets.definitions", "platform_assets.cli.main", "sensors.reconciling"])
def test_what_draws_no_page_does_not_load_the_plotting_library(module: str) -> None:
    code = f"import sys, {module}; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
