"""Plots for pages, by matplotlib: static SVG that takes its colours from the page around it, light or dark.

The same numbers give the same bytes: the salt of the identifiers is fixed, and no date is written. Importing
matplotlib takes as long as ingesting several partitions, so only what draws pages imports this module.
Each plot says in words what it shows, for those who do not see it; the numbers themselves stand in tables.
"""

from __future__ import annotations

import datetime as dt
import io
import math
import re
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import matplotlib as mpl
import numpy as np
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from contracts.report_document import Histogram
from platform_assets.reports.wording import point, visible

INK, SOFT, LINE, VALID, QUARANTINE, FAIL, FAINT, CARD = (f"#{n:02x}{n:02x}{n:02x}" for n in range(1, 9))
_VARIABLES = dict(
    zip(
        (INK, SOFT, LINE, VALID, QUARANTINE, FAIL, FAINT, CARD),
        ("ink", "soft", "line", "valid", "quarantine", "fail", "faint", "card"),
        strict=True,
    )
)
"""Colours that matplotlib writes and no plot has, and the variables of the page's style that take their place."""
_HEAT = "#d2781a"
"""Of a raster image, which no style reaches: seen on light and on dark ground."""

SHOWN_CELLS = 1830
"""Of a calendar: five years of days."""

_STYLE = {
    "svg.hashsalt": "hashgate",
    "svg.fonttype": "none",
    "path.simplify": False,
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": SOFT,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
}
# Clip paths go, too: nothing here is drawn beyond its axes, and their ids would stand twice in a page of many plots.
_DROPPED = re.compile(
    r"<\?xml.*?\?>|<!DOCTYPE[^>]*>|<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>"
    r"|<defs>(?:\s*<clipPath.*?</clipPath>)*\s*</defs>",
    re.DOTALL,
)
_DROPPED_IN_TAGS = re.compile(
    r" xmlns(?::xlink)?=\"[^\"]*\"| (?:width|height)=\"[\d.]+pt\"| version=\"1.1\"| transform=\"rotate\(-0 [^)]*\)\""
    r"| id=\"(?:figure|axes|patch|text|line2d|xtick|ytick|image|PolyCollection|FillBetweenPolyCollection|LineCollection"
    r"|matplotlib\.axis)[\w.]*\"| clip-path=\"[^\"]*\"|font-family: [^;\"]*(?:; )?"
)
_TAG = re.compile(r"<[^>]*>")
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_COLOUR = re.compile("|".join(_VARIABLES))
_NAMED = re.compile(r'<g id="cell-(\d+)">')
_BLANK = re.compile(r"\s*\n\s*")
_drawing = threading.Lock()
"""matplotlib's settings are those of the whole process."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A partition in a calendar."""

    partition: str
    strength: float | None
    """0 to 1; None: there is nothing."""
    is_held: bool
    title: str


@dataclass(frozen=True, slots=True)
class Through:
    """Numbers through partitions, in order; NaN where there is none."""

    partitions: Sequence[str]
    values: Sequence[float]

    @property
    def numbers(self) -> np.ndarray:
        """As an array."""
        return np.asarray(self.values, dtype=np.float64)


@contextmanager
def _figure(width: float, height: float) -> Iterator[Figure]:
    """A figure in the style of the pages; its size is in points."""
    with _drawing, mpl.rc_context(), warnings.catch_warnings():
        # a sign that our font lacks is drawn by the reader's browser in one of its own
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        mpl.rcdefaults()
        cast("Any", mpl.rcParams).update(_STYLE)  # its type lists each name with its own
        figure = Figure(figsize=(width / 72, height / 72))
        FigureCanvasSVG(figure)
        figure.patch.set_visible(False)
        yield figure


def _svg(figure: Figure, words: str, titles: Sequence[str] = ()) -> Markup:
    written = io.StringIO()
    figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None, "Type": None, "Format": None})
    text = _TAG.sub(lambda tag: _clean_tag(tag[0]), _DROPPED.sub("", written.getvalue()))
    text = _NAMED.sub(lambda cell: f"<g><title>{escape(visible(titles[int(cell[1])]))}</title>", text)
    text = _BLANK.sub("\n", text).strip()
    return Markup(text.replace("<svg", f'<svg role="img" aria-label="{escape(visible(words))}"', 1))  # noqa: S704


def _clean_tag(tag: str) -> str:
    """Nothing but tags is changed: in texts stand values from outside."""
    tag = _DROPPED_IN_TAGS.sub("", tag).replace("xlink:href", "href")
    tag = _LONG_NUMBER.sub(lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), tag)
    return _COLOUR.sub(lambda colour: f"var(--{_VARIABLES[colour[0]]})", tag)


def _axes(figure: Figure, left: float, bottom: float, right: float, top: float) -> Axes:
    """Axes whose margins are in points."""
    width, height = (72 * side for side in figure.get_size_inches())
    axes = figure.add_axes((left / width, bottom / height, 1 - (left + right) / width, 1 - (bottom + top) / height))
    axes.patch.set_visible(False)
    axes.tick_params(length=0, pad=3)
    return axes


def histogram(words: str, found: Histogram, reference: Sequence[float] | None = None) -> Markup:
    """How values spread.

    Args:
        words: What it shows.
        found: Its bins.
        reference: For each bin, how many values there would be if they spread as in the reference; drawn as a line.
    """
    edges = found.start + found.width * np.arange(len(found.rows) + 1)
    with _figure(260, 60) as figure:
        axes = _axes(figure, 0, 1, 0, 2)
        axes.set_axis_off()
        axes.stairs(found.rows, edges, fill=True, color=VALID)
        if reference is not None:
            axes.stairs(reference, edges, color=INK, linewidth=1.1, alpha=0.75)
        axes.axhline(0, color=LINE, linewidth=0.8)
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylim(0, max(1.0, *found.rows, *(reference or ())) * 1.02)
        return _svg(figure, words)


def shares(words: str, names: Sequence[str], values: Sequence[float], reference: Sequence[float] | None) -> Markup:
    """Shares of a column's most frequent values, as bars; those of the reference as marks on them."""
    height = 17.0 * len(names) + 2
    with _figure(260, height) as figure:
        axes = _axes(figure, 96, 1, 34, 1)
        axes.set_axis_off()
        places = np.arange(len(names))
        axes.barh(places, values, height=0.62, color=VALID)
        if reference is not None:
            axes.vlines(reference, places - 0.42, places + 0.42, color=INK, linewidth=1.4, alpha=0.75)
        widest = max(1e-9, *values, *(reference or ()))
        axes.set_xlim(0, widest)
        axes.set_ylim(len(names) - 0.5, -0.5)
        for place, (name, value) in enumerate(zip(names, values, strict=True)):
            shown = visible(name) if name else "(empty)"
            shown = shown if len(shown) <= 17 else shown[:16] + "\u2026"
            axes.annotate(shown, (0, place), (-6, 0), textcoords="offset points", ha="right", va="center_baseline")
            axes.annotate(
                _percent(value),
                (widest, place),
                (32, 0),
                textcoords="offset points",
                ha="right",
                va="center_baseline",
                color=SOFT,
            )
        return _svg(figure, words)


def calendar(words: str, cadence: str, cells: Sequence[Cell], *, bad: bool = False) -> Markup:
    """Partitions as squares where a wall calendar has them.

    Args:
        words: What it shows.
        cadence: Of the table.
        cells: In order; the last `SHOWN_CELLS` are drawn.
        bad: Whether strength is nothing to be glad about.
    """
    shown = cells[-SHOWN_CELLS:]
    grid = _Grid.of(cadence, [cell.partition for cell in shown])
    with _figure(max(grid.columns * 13.0 + 58, 300), grid.height) as figure:
        axes = _axes(figure, 0, 0, 0, 0)
        axes.set_axis_off()
        axes.set_xlim(0, 72 * figure.get_size_inches()[0])
        axes.set_ylim(grid.height, 0)
        for x, y, label, align in grid.labels:
            axes.text(x, y, label, color=SOFT, fontsize=9, ha=align, va="center")
        for index, (cell, (x, y)) in enumerate(zip(shown, grid.places, strict=True)):
            axes.add_patch(_square(cell, x, y, QUARANTINE if bad else VALID, index))
        return _svg(figure, words, [cell.title for cell in shown])


def _square(cell: Cell, x: float, y: float, colour: str, index: int) -> Rectangle:
    strength = cell.strength
    if strength is None:
        square = Rectangle((x + 0.6, y + 0.6), 9.8, 9.8, facecolor="none", edgecolor=FAIL if cell.is_held else LINE)
        square.set_linewidth(1.4 if cell.is_held else 1.0)
    else:
        empty = strength <= 0
        square = Rectangle((x, y), 11, 11, facecolor=FAINT if empty else colour, linewidth=0)
        square.set_alpha(None if empty else 0.18 + 0.82 * min(1.0, strength))
        if cell.is_held:
            square.set_edgecolor(FAIL)
            square.set_linewidth(1.4)
    square.set_gid(f"cell-{index}")
    return square


@dataclass(frozen=True, slots=True)
class _Grid:
    """Where the squares of a calendar are, in points from the upper left corner."""

    places: Sequence[tuple[float, float]]
    labels: Sequence[tuple[float, float, str, str]]
    columns: int
    height: float

    @classmethod
    def of(cls, cadence: str, partitions: Sequence[str]) -> _Grid:
        """Lay partitions out."""
        if cadence == "run":
            return cls._runs(len(partitions))
        moments = [_moment(partition) for partition in partitions]
        if cadence == "hourly":
            return cls._hours(moments)
        if cadence == "daily":
            return cls._days(moments)
        return cls._years(moments, weekly=cadence == "weekly")

    @classmethod
    def _runs(cls, count: int) -> _Grid:
        """Runs of an engine have no calendar: row by row, in the order in which they come."""
        places = [(44 + 13.0 * (at % 53), 18 + 13.0 * (at // 53)) for at in range(count)]
        return cls(places, (), 53, 13.0 * (1 + count // 53) + 22)

    @classmethod
    def _days(cls, moments: Sequence[dt.datetime]) -> _Grid:
        """A block a year: a column a week, Monday on top."""
        years = sorted({moment.year for moment in moments})
        block, top = 7 * 13 + 30, {year: 18 + i * (7 * 13 + 30) for i, year in enumerate(years)}
        first = {year: dt.date(year, 1, 1).weekday() for year in years}
        places = []
        months: dict[tuple[int, int], float] = {}
        for moment in moments:
            week = (moment.timetuple().tm_yday - 1 + first[moment.year]) // 7
            places.append((44 + 13.0 * week, top[moment.year] + 13.0 * moment.weekday()))
            if moment.day == 1 or not places[1:]:  # a month that begins earlier has no room for its name
                months.setdefault((moment.year, moment.month), 44 + 13.0 * week)
        labels: list[tuple[float, float, str, str]] = [
            (x, top[year] - 8.0, f"{dt.date(year, month, 1):%b}", "left") for (year, month), x in months.items()
        ]
        labels += [(38, top[year] + 13 * 3 + 5.5, str(year), "right") for year in years]
        return cls(places, labels, 54, len(years) * block + 4)

    @classmethod
    def _hours(cls, moments: Sequence[dt.datetime]) -> _Grid:
        """A column a day, midnight on top."""
        days = sorted({moment.date() for moment in moments})
        column = {day: i for i, day in enumerate(days)}
        places = [(44 + 13.0 * column[m.date()], 18 + 13.0 * m.hour) for m in moments]
        labels = [(38.0, 18 + 13.0 * hour + 5.5, f"{hour:02d}:00", "right") for hour in range(0, 24, 6)]
        labels += [(44 + 13.0 * column[day], 10.0, f"{day:%b %d}", "left") for day in days[::7]]
        return cls(places, labels, len(days), 24 * 13 + 22)

    @classmethod
    def _years(cls, moments: Sequence[dt.datetime], *, weekly: bool) -> _Grid:
        """A row a year: a column a week, or a month."""
        years = sorted({moment.year for moment in moments})
        row = {year: 18 + 13.0 * i for i, year in enumerate(years)}
        places = []
        for m in moments:
            column = (m.timetuple().tm_yday - 1) // 7 if weekly else m.month - 1
            places.append((44 + 13.0 * column, row[m.year]))
        labels = [(38.0, row[year] + 5.5, str(year), "right") for year in years]
        labels += [
            (
                44 + 13.0 * ((dt.date(2001, month, 1).timetuple().tm_yday - 1) // 7 if weekly else month - 1),
                10.0,
                name,
                "left",
            )
            for month, name in ((1, "Jan"), (4, "Apr"), (7, "Jul"), (10, "Oct"))
        ]
        return cls(places, labels, 54 if weekly else 12, 18 + 13.0 * len(years) + 4)


def _moment(partition: str) -> dt.datetime:
    """When the period of a key begins, by its digits: `2013-01`, `2013-01-05`, `2013-01-05-13:00`."""
    numbers = [int(digits) for digits in re.findall(r"\d+", partition)][:4]
    year, month, day, hour = (numbers + [1, 1, 1, 0][len(numbers) :])[:4]
    return dt.datetime(year, month, day, hour)  # noqa: DTZ001 - a place in a calendar, and no point in time


def history(words: str, rows: Through, refused: Through, marked: int | None = None) -> Markup:
    """How many rows each partition has, and below, which share of its records was refused.

    Args:
        words: What it shows.
        rows: Of each partition.
        refused: Shares of its records, 0 to 1.
        marked: The number of the one that this is about.
    """
    edges = np.arange(len(rows.values) + 1) - 0.5
    with _figure(1040, 210) as figure:
        upper, lower = _axes(figure, 62, 92, 8, 8), _axes(figure, 62, 22, 8, 134)
        upper.stairs(np.nan_to_num(rows.numbers), edges, fill=True, color=VALID, alpha=1.0 if marked is None else 0.42)
        lower.stairs(np.nan_to_num(refused.numbers), edges, fill=True, color=QUARANTINE)
        if marked is not None:
            at = edges[marked : marked + 2]
            upper.stairs(np.nan_to_num(rows.numbers[marked : marked + 1]), at, fill=True, color=VALID)
        for missing in np.flatnonzero(np.isnan(rows.numbers)).tolist():
            upper.axvspan(missing - 0.5, missing + 0.5, color=FAIL, alpha=0.16, linewidth=0)
        for axes, most, form in ((upper, rows, _compact), (lower, refused, _percent)):
            highest = float(np.nanmax(np.append(most.numbers, 0.0)))
            axes.set_xlim(edges[0], edges[-1])
            axes.set_ylim(0, highest * 1.06 or 1.0)
            axes.yaxis.set_major_locator(MaxNLocator(3 if axes is upper else 2))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _, form=form: form(value)))
            axes.grid(axis="y", color=LINE, linewidth=0.6)
            axes.set_axisbelow(True)
            axes.spines["left"].set_visible(False)
            axes.set_xticks([])
        _name_partitions(lower, rows.partitions)
        return _svg(figure, words)


def freshness(words: str, days: Through) -> Markup:
    """How many days after its period ended each partition's current version was committed."""
    with _figure(1040, 120) as figure:
        axes = _axes(figure, 62, 22, 8, 8)
        found = days.numbers
        axes.plot(
            np.arange(len(found)), found, color=VALID, marker="o", markersize=2.6, linewidth=0.8, markeredgewidth=0
        )
        known = found[np.isfinite(found)]
        lowest, highest = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
        axes.set_ylim(min(0.0, lowest * 1.1), highest * 1.12 or 1.0)
        axes.set_xlim(-0.5, len(found) - 0.5)
        axes.yaxis.set_major_locator(MaxNLocator(3))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{_compact(value)} d"))
        axes.grid(axis="y", color=LINE, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines["left"].set_visible(False)
        _name_partitions(axes, days.partitions)
        return _svg(figure, words)


def _name_partitions(axes: Axes, partitions: Sequence[str]) -> None:
    """A few keys below the plot, the first and the last among them."""
    last = len(partitions) - 1
    at = sorted({round(i * last / 6) for i in range(7)}) if last else [0]
    axes.set_xticks(at, [partitions[i] for i in at])
    for label, place in zip(axes.get_xticklabels(), at, strict=True):
        label.set_horizontalalignment("left" if place == 0 else "right" if place == last else "center")


def band(words: str, unit: str | None, low: Through, median: Through, high: Through) -> Markup:
    """A column through time: its median, and the middle nine tenths of its values around it."""
    with _figure(260, 60) as figure:
        axes = _axes(figure, 34, 3, 2, 3)
        at = np.arange(len(median.values))
        axes.fill_between(at, low.numbers, high.numbers, color=VALID, alpha=0.3, linewidth=0)
        axes.plot(at, median.numbers, color=VALID, linewidth=1.2)
        axes.set_xlim(0, max(1, len(at) - 1))
        axes.set_xticks([])
        axes.yaxis.set_major_locator(MaxNLocator(2))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(unit, value)))
        axes.tick_params(labelsize=7.5)
        axes.spines["left"].set_visible(False)
        return _svg(figure, words)


def trend(words: str, values: Through) -> Markup:
    """One number through time, from zero on."""
    with _figure(260, 36) as figure:
        axes = _axes(figure, 34, 3, 2, 3)
        found = values.numbers
        axes.stairs(np.nan_to_num(found), np.arange(len(found) + 1), fill=True, color=VALID, alpha=0.75)
        axes.set_xlim(0, len(found))
        axes.set_ylim(0, float(np.nanmax(np.append(found, 0.0))) * 1.06 or 1.0)
        axes.set_xticks([])
        axes.yaxis.set_major_locator(MaxNLocator(2, integer=True))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _compact(value)))
        axes.tick_params(labelsize=7.5)
        axes.spines["left"].set_visible(False)
        return _svg(figure, words)


def heat(words: str, partitions: Sequence[str], names: Sequence[str], strengths: Sequence[Sequence[float]]) -> Markup:
    """A row a column, a stripe a partition: the darker, the stronger.

    Args:
        words: What it shows.
        partitions: From left to right.
        names: From top to bottom.
        strengths: 0 to 1 for each name and partition; NaN: unknown.
    """
    image = np.zeros((len(names), len(partitions), 4))
    image[..., :3] = to_rgba(_HEAT)[:3]
    image[..., 3] = np.nan_to_num(np.asarray(strengths, dtype=np.float64)).clip(0, 1)
    with _figure(1040, 16.0 * len(names) + 28) as figure:
        axes = _axes(figure, 132, 22, 8, 2)
        axes.imshow(image, aspect="auto", interpolation="none", origin="upper")
        axes.set_yticks(range(len(names)), [_cut(name) for name in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        for place in range(len(names) + 1):
            axes.axhline(place - 0.5, color=LINE, linewidth=0.5)
        axes.spines["left"].set_visible(False)
        axes.spines["bottom"].set_visible(False)
        axes.tick_params(axis="y", labelcolor=INK)
        _name_partitions(axes, partitions)
        return _svg(figure, words)


def _cut(name: str) -> str:
    shown = visible(name)
    return shown if len(shown) <= 22 else shown[:21] + "\u2026"


def _compact(value: float) -> str:
    """A tick's number in few characters."""
    for power, letter in ((9, "G"), (6, "M"), (3, "k")):
        if abs(value) >= 10.0**power:
            return f"{value / 10.0**power:.3g}{letter}"
    return f"{value:.3g}"


def _percent(value: float) -> str:
    percent = 100 * value
    return f"{percent:.0f} %" if percent >= 10 or percent == 0 else f"{percent:.2g} %"


def _tick(unit: str | None, value: float) -> str:
    if unit == "value":
        return _compact(value)
    if not math.isfinite(value):
        return ""
    shown = point(unit, value, 60.0)
    return shown[2:10] if unit == "epoch_s" else shown
