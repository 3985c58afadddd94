"""How numbers, times and texts from outside are put into words, alike in pages and previews.

Characters that would not show, or would make others show differently (controls, direction marks), are made visible.
Escaping for HTML is not done here, but where a text is put into a page.
"""

from __future__ import annotations

import datetime as dt
import re

from contracts.report_document import Excerpt

_INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_NAMED = {0: "NUL", 8: "BS", 9: "TAB", 10: "LF", 13: "CR", 27: "ESC", 127: "DEL"}
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_BACKTICKS = re.compile("`+")
_DURATIONS = ((86_400 * 365.2425, "years"), (86_400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds"))
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def visible(text: str) -> str:
    """Show what would not show (controls, direction marks, other invisibles) by name or number, between angle quotes.

    Their own pictures in Unicode are missing from many fonts.
    """
    return _INVISIBLE.sub(_sign, text)


def _sign(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\u2039{_NAMED.get(code, f'U+{code:04X}')}\u203a"


def code_span(text: str) -> str:
    """A Markdown code span around any text: its fence is longer than any run of backticks inside."""
    shown = visible(text) or " "
    fence = "`" * (max((len(run) for run in _BACKTICKS.findall(shown)), default=0) + 1)
    padding = " " if shown[0] in "` " or shown[-1] in "` " else ""
    return f"{fence}{padding}{shown}{padding}{fence}"


def count(number: int) -> str:
    """With commas."""
    return f"{number:,}"


def counted(number: int, noun: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size(size_bytes: int) -> str:
    """In units of a thousand."""
    value, unit = float(size_bytes), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{size_bytes} B" if unit == 0 else f"{value:.3g} {_UNITS[unit]}"


def share(part: int, whole: int) -> str:
    """A percentage that is 0 % only for nothing and 100 % only for all."""
    if whole == 0 or part in {0, whole}:
        return "100 %" if part else "0 %"
    percent = 100 * part / whole
    if percent < 0.01:
        return "< 0.01 %"
    if percent > 99.99:
        return "> 99.99 %"
    return f"{percent:.2f} %" if percent < 10 or percent > 99 else f"{percent:.1f} %"


def percent(fraction: float) -> str:
    """A share that is known as a number."""
    return f"{100 * fraction:.3g} %"


def moment(time: dt.datetime) -> str:
    """To the second, in UTC."""
    return time.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def duration(seconds: float) -> str:
    """In the largest unit of which there are at least two, or in seconds."""
    for length, unit in _DURATIONS:
        if abs(seconds) >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} seconds"


def short(digest: str) -> str:
    """The first digits of a digest."""
    return digest.removeprefix("blake3:")[:12]


def cut(excerpt: Excerpt) -> str:
    """An excerpt, saying what is left out."""
    return f"{excerpt.text}\u2026 ({count(excerpt.left_out)} characters more)" if excerpt.left_out else excerpt.text


def point(unit: str | None, position: float, width: float = 0.0) -> str:
    """A position on a column's scale; `width` is the distance of two that are to be told apart."""
    if unit == "value" or unit is None:
        return f"{position:,.0f}" if position.is_integer() and abs(position) < 1e15 else f"{position:.6g}"
    if unit == "second_of_day":
        minutes, seconds = divmod(position, 60)
        return f"{int(minutes // 60):02}:{int(minutes % 60):02}" + ("" if width % 60 == 0 else f":{seconds:06.3f}")
    try:
        time = _EPOCH + dt.timedelta(seconds=position)
    except OverflowError:
        return f"{position:.6g} s"
    if width and width % 86_400 == 0:
        return time.strftime("%Y-%m-%d")
    return time.strftime("%Y-%m-%d %H:%M" if width % 60 == 0 else "%Y-%m-%d %H:%M:%S")
