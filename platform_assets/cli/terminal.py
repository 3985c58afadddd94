"""What a person sees: aligned tables, short digests, sizes and durations in units, colour where it is welcome.

Values that come from data, file names included, are neutralized before they reach a terminal: whatever is not
printable (escape sequences, line ends, characters that turn the direction of text) is shown escaped.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Self, TextIO

DIGEST_DIGITS = 12
_MAXIMUM_CELL = 60
_BAR_WIDTH = 24
_PLAIN_EVERY_S = 5.0
_REDRAW_S = 0.1


class Colour(StrEnum):
    """Select graphic rendition, ECMA-48 8.3.117."""

    GREEN = "32"
    YELLOW = "33"
    RED = "31"
    DIM = "2"
    BOLD = "1"


def neutralized(text: str) -> str:
    r"""Text of unknown origin on one line, with everything a terminal might obey written as `\xNN` or `\uNNNN`."""
    return "".join(sign if sign.isprintable() else _escaped(sign) for sign in text)


def _escaped(sign: str) -> str:
    known = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
    code = ord(sign)
    return known.get(sign) or (
        f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    )


def shortened(text: str, columns: int = _MAXIMUM_CELL) -> str:
    """At most `columns` characters of neutralized text, the cut marked."""
    clean = neutralized(text)
    return clean if len(clean) <= columns else clean[: columns - 1] + "…"


def short_digest(digest: str | None) -> str:
    """The first hex digits, enough to tell digests apart by eye."""
    return "-" if digest is None else digest.rpartition(":")[2][:DIGEST_DIGITS]


def human_size(size_bytes: int) -> str:
    """`0 B`, `999 B`, `1.2 kB`, `31.4 MB`: decimal units."""
    size = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 999.5 or unit == "TB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError


def human_duration(seconds: float) -> str:
    """`0.31 s`, `12.5 s`, `2 min 05 s`, `1 h 02 min`."""
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """`1 file`, `1,781 files`."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def ranges(keys: Sequence[str], calendar: Sequence[str]) -> list[str]:
    """Runs of neighbouring keys as `FIRST...LAST`; neighbours are so in `calendar`, which holds all keys in order."""
    position = {key: at for at, key in enumerate(calendar)}
    ordered = sorted(keys, key=position.__getitem__)
    starts = [key for before, key in pairwise(["", *ordered]) if not before or position[key] - position[before] > 1]
    ends = [key for key, after in pairwise([*ordered, ""]) if not after or position[after] - position[key] > 1]
    return [first if first == last else f"{first}...{last}" for first, last in zip(starts, ends, strict=True)]


@dataclass
class Terminal:
    """Standard output and error of one command."""

    out: TextIO = field(default_factory=lambda: sys.stdout)
    err: TextIO = field(default_factory=lambda: sys.stderr)
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def __post_init__(self) -> None:
        for stream in (self.out, self.err):
            if isinstance(stream, io.TextIOWrapper):
                with contextlib.suppress(OSError, ValueError):
                    stream.reconfigure(errors="backslashreplace")

    def line(self, text: str = "") -> None:
        """One line of output. The caller has neutralized what came from data."""
        print(text, file=self.out)

    def note(self, text: str) -> None:
        """One line beside the output: progress, warnings."""
        print(text, file=self.err)

    def error(self, text: str) -> None:
        """`error: ...`, on one line whatever the text holds."""
        self.note(self.coloured("error: ", Colour.RED, self.err) + neutralized(" ".join(text.split("\n"))))

    def warning(self, text: str) -> None:
        """`warning: ...`, on one line whatever the text holds."""
        self.note(self.coloured("warning: ", Colour.YELLOW, self.err) + neutralized(" ".join(text.split("\n"))))

    def coloured(self, text: str, colour: Colour, stream: TextIO | None = None) -> str:
        """The text in a colour, if `stream` (default: the output) is a terminal and NO_COLOR is unset or empty."""
        where = self.out if stream is None else stream
        plain = self.environment.get("NO_COLOR") or self.environment.get("TERM") == "dumb"
        return text if plain or not is_terminal(where) else f"\x1b[{colour}m{text}\x1b[0m"

    def table(self, rows: Iterable[Sequence[str]], *, right: Sequence[int] = (), indent: int = 2) -> None:
        """Rows aligned in columns, numbers (`right`: column positions) flush right; the first row is the header.

        Cells are neutralized; the last column is as long as it is.
        """
        cells = [[neutralized(cell) for cell in row] for row in rows]
        widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
        for number, row in enumerate(cells):
            parts = [_padded(cell, widths[at], flush_right=at in right) for at, cell in enumerate(row)]
            line = (" " * indent + "  ".join(parts)).rstrip()
            self.line(self.coloured(line, Colour.DIM) if number == 0 else line)

    def progress(self, total: int, unit: str) -> Progress:
        """A progress bar on a terminal, a line now and then elsewhere."""
        return Progress(self, total, unit)


def is_terminal(stream: TextIO) -> bool:
    """Whether a person sits behind the stream; a closed one has nobody."""
    try:
        return stream.isatty()
    except ValueError:
        return False


def _width(text: str) -> int:
    """Columns that a terminal gives to the text: two for wide signs, none for combining ones. Source: UAX #11."""
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in {"W", "F"} else 1
        for sign in text
    )


def _padded(text: str, width: int, *, flush_right: bool) -> str:
    space = " " * (width - _width(text))
    return space + text if flush_right else text + space


class Progress:
    """How far a long piece of work is. Used as a context: the bar is wiped at its end, whatever happened."""

    def __init__(self, terminal: Terminal, total: int, unit: str) -> None:
        self._terminal, self._unit = terminal, unit
        self.total, self.done = total, 0
        self._started = self._shown_at = time.monotonic()
        self._draws = is_terminal(terminal.err) and terminal.environment.get("TERM") != "dumb"

    def __enter__(self) -> Self:
        self._draw("")
        return self

    def __exit__(self, *_: object) -> None:
        self._wipe()

    def advance(self, label: str, *, by: int = 1) -> None:
        """`by` more units are done; `label` says which was the last."""
        self.done += by
        now = time.monotonic()
        if self._draws:
            if now - self._shown_at >= _REDRAW_S or self.done >= self.total:
                self._shown_at = now
                self._draw(label)
        elif now - self._shown_at >= _PLAIN_EVERY_S or self.done == self.total:
            self._shown_at = now
            self._terminal.note(f"{self.done:,} of {counted(self.total, self._unit)}, last {neutralized(label)}")

    def say(self, text: str) -> None:
        """A line that stays, above the bar."""
        self._wipe()
        self._terminal.note(text)
        self._draw("")

    def _draw(self, label: str) -> None:
        if not self._draws or not self.total:
            return
        share = min(1.0, self.done / self.total)
        bar = "█" * round(share * _BAR_WIDTH)
        spent = time.monotonic() - self._started
        left = f"  {human_duration(spent / share - spent)} left" if 0 < share < 1 else ""
        done = f"{self.done:,} of {counted(self.total, self._unit)}"
        text = f"{bar:░<{_BAR_WIDTH}} {share:4.0%}  {done}{left}  {shortened(label, 24)}"
        self._terminal.err.write(f"\r\x1b[2K{text}")
        self._terminal.err.flush()

    def _wipe(self) -> None:
        if self._draws:
            self._terminal.err.write("\r\x1b[2K")
            self._terminal.err.flush()
