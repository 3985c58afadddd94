"""What a person sees: nothing that data can use against a terminal, and everything aligned."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_assets.cli.terminal import (
    Colour,
    Terminal,
    counted,
    human_duration,
    human_size,
    neutralized,
    ranges,
    short_digest,
    shortened,
)


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def terminal(*, screen: bool = False, **environment: str) -> Terminal:
    kind = Screen if screen else io.StringIO
    return Terminal(kind(), kind(), environment)


def written(stream: object) -> str:
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("plain ünïcödé 漢字", "plain ünïcödé 漢字", id="text stays"),
        pytest.param("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m", id="colour"),
        pytest.param("\x1b]0;title\x07", r"\x1b]0;title\x07", id="window title"),
        pytest.param("a\nb\r\tc", r"a\nb\r\tc", id="line ends"),
        pytest.param("\x9b2J", r"\x9b2J", id="8-bit control sequence"),
        pytest.param("abc\u202edcba", r"abc\u202edcba", id="right-to-left override"),
        pytest.param("a\u2028b", r"a\u2028b", id="line separator"),
        pytest.param("\U000e0001", r"\U000e0001", id="tag character"),
        pytest.param("\ud800", r"\ud800", id="lone surrogate"),
    ],
)
def test_what_a_terminal_might_obey_is_spelled_out(text: str, shown: str) -> None:
    assert neutralized(text) == shown


@given(st.text())
def test_neutralized_text_is_printable_whatever_it_was(text: str) -> None:
    assert neutralized(text).isprintable()
    assert neutralized(neutralized(text)) == neutralized(text)


@given(st.text(min_size=1, max_size=200), st.integers(2, 50))
def test_shortened_text_fits_and_says_that_it_was_cut(text: str, columns: int) -> None:
    short = shortened(text, columns)
    assert len(short) <= columns
    assert short == neutralized(text) or short.endswith("…")


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_499, "999.5 kB"), (999_999, "1.0 MB"), (31_400_000, "31.4 MB")],
)
def test_sizes(size: int, shown: str) -> None:
    assert human_size(size) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.314, "0.31 s"), (9.999, "10.0 s"), (59.97, "1 min 00 s"), (125, "2 min 05 s"), (3720, "1 h 02 min")],
)
def test_durations(seconds: float, shown: str) -> None:
    assert human_duration(seconds) == shown


def test_counts_agree_with_their_noun() -> None:
    assert [counted(n, "file") for n in (0, 1, 1781)] == ["0 files", "1 file", "1,781 files"]
    assert counted(2, "index", "indexes") == "2 indexes"


def test_digests_are_short() -> None:
    assert short_digest("blake3:" + "0123456789abcdef" * 4) == "0123456789ab"
    assert short_digest(None) == "-"


@pytest.mark.parametrize(
    ("keys", "shown"),
    [
        pytest.param([], [], id="none"),
        pytest.param(["c"], ["c"], id="one"),
        pytest.param(["a", "b", "c"], ["a...c"], id="a run"),
        pytest.param(["d", "a", "b"], ["a...b", "d"], id="a gap, in any order"),
        pytest.param(["a", "c", "e"], ["a", "c", "e"], id="no neighbours"),
    ],
)
def test_neighbouring_partitions_are_told_as_ranges(keys: list[str], shown: list[str]) -> None:
    assert ranges(keys, ["a", "b", "c", "d", "e"]) == shown


def test_a_table_is_aligned_by_columns_of_the_screen() -> None:
    where = terminal()
    where.table([("name", "n", "note"), ("漢字", "1,000", "x"), ("é", "7", "\x1b[0m")], right=(1,))
    assert written(where.out).splitlines() == ["  name      n  note", "  漢字  1,000  x", "  é         7  \\x1b[0m"]


@pytest.mark.parametrize(
    ("screen", "environment", "coloured"),
    [
        pytest.param(True, {}, True, id="a terminal"),
        pytest.param(False, {}, False, id="a pipe"),
        pytest.param(True, {"NO_COLOR": "1"}, False, id="NO_COLOR"),
        pytest.param(True, {"NO_COLOR": ""}, True, id="empty NO_COLOR, which says nothing"),
        pytest.param(True, {"TERM": "dumb"}, False, id="a dumb terminal"),
    ],
)
def test_colour_is_for_terminals_that_want_it(screen: bool, environment: dict[str, str], coloured: bool) -> None:
    text = terminal(screen=screen, **environment).coloured("x", Colour.RED)
    assert text == ("\x1b[31mx\x1b[0m" if coloured else "x")


def test_an_error_is_one_line_whatever_its_text_holds() -> None:
    where = terminal()
    where.error("first\nsecond \x1b[2J")
    assert written(where.err) == "error: first second \\x1b[2J\n"


def test_progress_is_a_bar_on_a_terminal_that_leaves_nothing_behind() -> None:
    where = terminal(screen=True)
    with where.progress(3, "partition") as progress:
        for key in ("a", "b", "\x1b[2J"):
            progress.advance(key)
    shown = written(where.err)
    assert "100%  3 of 3 partitions" in shown
    assert "\\x1b[2J" in shown
    assert "\n" not in shown
    assert shown.endswith("\r\x1b[2K")
    assert written(where.out) == ""


def test_progress_is_plain_lines_elsewhere() -> None:
    where = terminal()
    with where.progress(2, "partition") as progress:
        progress.advance("a")
        progress.say("held: a")
        progress.advance("b")
    assert written(where.err) == "held: a\n2 of 2 partitions, last b\n"


def test_progress_of_nothing_is_silent() -> None:
    where = terminal(screen=True)
    with where.progress(0, "partition"):
        pass
    assert "%" not in written(where.err)
