"""A report as people see it: one self-contained page, and a short preview in Markdown.

Both are pure functions of the document. Whatever came from outside is escaped where it is put, and characters that
would not show, or would make others show differently (controls, direction marks), are made visible first. The page
loads nothing and runs nothing; its own policy forbids both, should an escape ever be missing.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup, escape

from contracts.report_document import ColumnProfile, Excerpt, Histogram, Report
from contracts.report_document import QuarantineExample as Example

_INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_NAMED = {0: "NUL", 8: "BS", 9: "TAB", 10: "LF", 13: "CR", 27: "ESC", 127: "DEL"}
_LINE_END = re.compile(r"(\r\n|\n|\r)\Z")
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_DIGEST = re.compile(r"(blake3:[0-9a-f]{64})")
_COMMAND = re.compile(r"`([^`]+)`")
_BACKTICKS = re.compile("`+")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
PLOT_WIDTH, PLOT_HEIGHT = 240.0, 54.0
MARKDOWN_REASONS = 5


def render_page(report: Report) -> str:
    """The whole page, `report.html`."""
    return _environment().get_template("report_page.html.jinja").render(report=report)


def render_markdown(report: Report) -> str:
    """A few lines for a metadata field; every value is a code span, in which nothing is markup."""
    flow = report.flow
    title = "held" if report.state == "held" else f"published, version {report.version}"
    came = f"{_count(flow.drops)} ({_size(flow.drop_bytes)})"
    refused = f"{_count(flow.quarantined_rows)} ({_share(flow.quarantined_rows, flow.records)})"
    lines = [
        f"**{_code(report.table)} {_code(report.partition)}: {title}**",
        "",
        "| drops | records | valid rows | quarantined |",
        "| ---: | ---: | ---: | ---: |",
        f"| {came} | {_count(flow.records)} | {_count(flow.valid_rows)} | {refused} |",
        "",
    ]
    for gate in report.gates_not_passed:
        found = "; ".join(
            f"{_code(f.subject)}: expected {_code(f.expected)}, observed {_code(f.observed)}" for f in gate.findings[:3]
        )
        lines.append(f"- gate {_code(gate.gate)} **{gate.verdict}**: {found or _code(gate.observed)}")
    if not report.gates_not_passed:
        lines.append(f"- all {len(report.gates)} gates passed")
    for group in report.quarantine[:MARKDOWN_REASONS]:
        about = "".join(
            f" {what} {_code(name)}" for what, name in (("column", group.column), ("rule", group.rule)) if name
        )
        lines.append(f"- {_count(group.records)} x {_code(group.code)}{about}")
    if report.quarantine_reasons > MARKDOWN_REASONS:
        lines.append(f"- and {report.quarantine_reasons - MARKDOWN_REASONS} more reasons")
    return "\n".join(lines) + "\n"


def visible(text: str) -> str:
    """Show what would not show (controls, direction marks, other invisibles) by name or number, between angle quotes.

    Their own pictures in Unicode are missing from many fonts.
    """
    return _INVISIBLE.sub(_sign, text)


def _sign(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\u2039{_NAMED.get(code, f'U+{code:04X}')}\u203a"


def _code(text: str) -> str:
    """A Markdown code span around any text: its fence is longer than any run of backticks inside."""
    shown = visible(text) or " "
    fence = "`" * (max((len(run) for run in _BACKTICKS.findall(shown)), default=0) + 1)
    padding = " " if shown[0] in "` " or shown[-1] in "` " else ""
    return f"{fence}{padding}{shown}{padding}{fence}"


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("platform_assets.reports", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        count=_count,
        size=_size,
        moment=_moment,
        digests=_digests,
        commands=_commands,
        short=_short,
        cut=_cut,
        record=_record,
        place=_place,
    )
    environment.globals.update(share=_share, share_width=_share_width, plot=_plot)
    return environment


def _finalize(value: Any) -> Any:
    """Every printed text goes through here, so that none is forgotten; markup made by the template itself is done."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _count(number: int) -> str:
    return f"{number:,}"


def _size(size_bytes: int) -> str:
    size, unit = float(size_bytes), 0
    while size >= 999.5 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size_bytes} B" if unit == 0 else f"{size:.3g} {_UNITS[unit]}"


def _share(part: int, whole: int) -> str:
    """A percentage that is 0 % only for nothing and 100 % only for all."""
    if whole == 0 or part in {0, whole}:
        return "100 %" if part else "0 %"
    percent = 100 * part / whole
    if percent < 0.01:
        return "< 0.01 %"
    if percent > 99.99:
        return "> 99.99 %"
    return f"{percent:.2f} %" if percent < 10 or percent > 99 else f"{percent:.1f} %"


def _share_width(part: int, whole: int) -> str:
    """The same as a length; what is there at all can be seen."""
    return "0" if not part or not whole else f"max(3px, {100 * part / whole:.3f}%)"


def _moment(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _short(digest: str) -> str:
    return digest.removeprefix("blake3:")[:12]


def _digests(text: str) -> Markup:
    """A text in which each digest is shortened; the whole one shows on hovering."""
    short = (
        Markup('<code title="{}">{}</code>').format(part, _short(part)) if at % 2 else escape(visible(part))
        for at, part in enumerate(_DIGEST.split(text))
    )
    return Markup().join(short)


def _commands(text: str) -> Markup:
    """A remedy, in which what stands between backticks is a command."""
    parts = (
        Markup("<code>{}</code>").format(visible(part)) if at % 2 else escape(visible(part))
        for at, part in enumerate(_COMMAND.split(text))
    )
    return Markup().join(parts)


def _cut(excerpt: Excerpt) -> str:
    return f"{excerpt.text}\u2026 ({_count(excerpt.left_out)} characters more)" if excerpt.left_out else excerpt.text


def _record(raw: Excerpt) -> str:
    """A record without the line end that every record has."""
    return _cut(raw) if raw.left_out else _LINE_END.sub("", raw.text)


def _place(example: Example) -> str:
    return f"record {_count(example.record)}, bytes {_count(example.byte_start)} to {_count(example.byte_end)}"


@dataclass(frozen=True, slots=True)
class _Bar:
    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True, slots=True)
class _Plot:
    """A histogram as rectangles, and what it shows in words."""

    bars: Sequence[_Bar]
    words: str


def _plot(column: ColumnProfile, histogram: Histogram) -> _Plot:
    most = max(histogram.rows)
    step = PLOT_WIDTH / len(histogram.rows)
    bars = []
    for index, rows in enumerate(histogram.rows):
        if rows:
            height = max(1.0, round(PLOT_HEIGHT * rows / most, 2))
            title = f"{_between(histogram, index)}: {_count(rows)}"
            bars.append(_Bar(round(index * step, 2), round(PLOT_HEIGHT - height, 2), round(step - 1, 2), height, title))
    fullest = histogram.rows.index(most)
    words = (
        f"Histogram of {column.name} in {len(histogram.rows)} bins. "
        f"The fullest holds {_count(most)} rows: {_between(histogram, fullest)}."
    )
    return _Plot(bars, words)


def _between(histogram: Histogram, index: int) -> str:
    low = histogram.start + index * histogram.width
    if histogram.unit == "value" and histogram.width == 1 and low.is_integer():
        return _point(histogram, low)
    if histogram.unit == "epoch_s" and histogram.width == 86_400:
        return _point(histogram, low)
    return f"{_point(histogram, low)} to {_point(histogram, low + histogram.width)}"


def _point(histogram: Histogram, position: float) -> str:
    if histogram.unit == "value":
        return f"{position:,.0f}" if position.is_integer() and abs(position) < 1e15 else f"{position:.6g}"
    if histogram.unit == "second_of_day":
        minutes, seconds = divmod(position, 60)
        return f"{int(minutes // 60):02}:{int(minutes % 60):02}" + (
            "" if histogram.width % 60 == 0 else f":{seconds:06.3f}"
        )
    try:
        moment = _EPOCH + dt.timedelta(seconds=position)
    except OverflowError:
        return f"{position:.6g} s"
    if histogram.width % 86_400 == 0:
        return moment.strftime("%Y-%m-%d")
    return moment.strftime("%Y-%m-%d %H:%M" if histogram.width % 60 == 0 else "%Y-%m-%d %H:%M:%S")
