"""Framing: frames tile whatever comes, and are what a byte-by-byte machine says they are."""

from __future__ import annotations

import csv as stdlib_csv
import io
import itertools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.framing import Flaw, FrameBatch, FrameKind, frame_csv, frame_lines
from contracts.table_contract import CsvFormat, JsonLinesFormat
from tests.contracts.reference_csv import reference_frames

Frame = tuple[str, bytes, str]


def dialect(**changes: object) -> CsvFormat:
    """A dialect, also one with limits too small for a contract."""
    return CsvFormat.model_construct(**CsvFormat().model_dump() | changes)


def lines_dialect(limit: int = 16 << 20) -> JsonLinesFormat:
    return JsonLinesFormat.model_construct(kind="jsonl", encoding="utf-8", max_record_bytes=limit)


def flat(batches: Iterator[FrameBatch]) -> list[Frame]:
    """All frames as (kind, bytes, flaw); checks on the way that batches fit together and frames tile them."""
    frames, offset = [], 0
    for batch in batches:
        assert batch.offset == offset
        assert batch.ends.dtype == np.int64
        assert batch.kinds.dtype == batch.flaws.dtype == np.uint8
        assert batch.ends[-1] == len(batch.text) > 0
        assert len(batch.starts) == len(batch.ends) == len(batch.kinds) == len(batch.flaws)
        for start, end, kind, flaw in zip(batch.starts, batch.ends, batch.kinds, batch.flaws, strict=True):
            assert start < end
            frames.append((FrameKind(kind).name, batch.text[start:end], Flaw(flaw).name))
        offset += len(batch.text)
    return frames


def cut(data: bytes, sizes: Sequence[int]) -> list[bytes]:
    """`data` in chunks of the given sizes, over and over."""
    chunks, position, cycle = [], 0, itertools.cycle(sizes)
    while position < len(data):
        size = next(cycle)
        chunks.append(data[position : position + size])
        position += size
    return chunks


@pytest.mark.parametrize(
    ("text", "frames"),
    [
        pytest.param(b"", [], id="an empty file"),
        pytest.param(b"\xef\xbb\xbf", [("BOM", b"\xef\xbb\xbf", "NONE")], id="nothing but a byte order mark"),
        pytest.param(b"\xef\xbb", [("HEADER", b"\xef\xbb", "NONE")], id="two thirds of a byte order mark"),
        pytest.param(
            b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n",
            [("BOM", b"\xef\xbb\xbf", "NONE"), ("HEADER", b"a\n", "NONE"), ("RECORD", b"\xef\xbb\xbfb\n", "NONE")],
            id="a second byte order mark is data",
        ),
        pytest.param(
            b"\n\r\n\ra\r\n\nb",
            [
                ("BLANK", b"\n", "NONE"),
                ("BLANK", b"\r\n", "NONE"),
                ("BLANK", b"\r", "NONE"),
                ("HEADER", b"a\r\n", "NONE"),
                ("BLANK", b"\n", "NONE"),
                ("RECORD", b"b", "NONE"),
            ],
            id="blank lines before the header and after, all line ends, none at the end",
        ),
        pytest.param(
            b'a\n"x\n\r\ny"\nb\n',
            [("HEADER", b"a\n", "NONE"), ("RECORD", b'"x\n\r\ny"\n', "NONE"), ("RECORD", b"b\n", "NONE")],
            id="line ends inside quotes",
        ),
        pytest.param(
            b'a\n"x""\n""y"\n',
            [("HEADER", b"a\n", "NONE"), ("RECORD", b'"x""\n""y"\n', "NONE")],
            id="doubled quotes beside a line end",
        ),
        pytest.param(
            b'a\nx"y\nb\n',
            [("HEADER", b"a\n", "NONE"), ("RECORD", b'x"y\n', "STRAY_QUOTE"), ("RECORD", b"b\n", "NONE")],
            id="a stray quote opens nothing",
        ),
        pytest.param(
            b'a\n"x"y\nb\n',
            [("HEADER", b"a\n", "NONE"), ("RECORD", b'"x"y\n', "TEXT_AFTER_QUOTE"), ("RECORD", b"b\n", "NONE")],
            id="text after a closing quote",
        ),
        pytest.param(
            b'a\n"x\nb\nc\n',
            [
                ("HEADER", b"a\n", "NONE"),
                ("RECORD", b'"x\n', "UNTERMINATED_QUOTE"),
                ("RECORD", b"b\n", "NONE"),
                ("RECORD", b"c\n", "NONE"),
            ],
            id="a lost quote costs one record",
        ),
        pytest.param(
            b'a\n"x',
            [("HEADER", b"a\n", "NONE"), ("RECORD", b'"x', "UNTERMINATED_QUOTE")],
            id="a quote open at the end",
        ),
        pytest.param(
            b'"a\nb"\n1\n', [("HEADER", b'"a\nb"\n', "NONE"), ("RECORD", b"1\n", "NONE")], id="a quoted header"
        ),
        pytest.param(b"a\n \n", [("HEADER", b"a\n", "NONE"), ("RECORD", b" \n", "NONE")], id="a space is not blank"),
        pytest.param(
            b'a\n""\n', [("HEADER", b"a\n", "NONE"), ("RECORD", b'""\n', "NONE")], id="an empty cell is not blank"
        ),
        pytest.param(b"a\n\0\n", [("HEADER", b"a\n", "NONE"), ("RECORD", b"\0\n", "NONE")], id="NUL is data"),
    ],
)
def test_frames_of(text: bytes, frames: list[Frame]) -> None:
    assert flat(frame_csv([text], dialect())) == frames


def test_without_header_the_first_line_is_a_record() -> None:
    assert flat(frame_csv([b"\na\n"], dialect(header=False))) == [("BLANK", b"\n", "NONE"), ("RECORD", b"a\n", "NONE")]


def test_without_quote_character_quotes_are_text() -> None:
    frames = flat(frame_csv([b'a\n"x\n'], dialect(quote=None)))
    assert frames == [("HEADER", b"a\n", "NONE"), ("RECORD", b'"x\n', "NONE")]


def test_an_escape_character_counts_inside_quotes_only() -> None:
    csv = dialect(escape="\\", header=False)
    assert flat(frame_csv([b'"a\\"\n\\\\"\nb\\\n'], csv)) == [
        ("RECORD", b'"a\\"\n\\\\"\n', "NONE"),
        ("RECORD", b"b\\\n", "NONE"),
    ]
    assert flat(frame_csv([b'"a""b"\n'], csv)) == [("RECORD", b'"a""b"\n', "TEXT_AFTER_QUOTE")]
    assert flat(frame_csv([b'a\\"b\n'], csv)) == [("RECORD", b'a\\"b\n', "STRAY_QUOTE")]


def test_a_long_record_is_flawed_but_keeps_its_end() -> None:
    csv = dialect(max_record_bytes=4, header=False)
    assert flat(frame_csv([b"abcdefgh\nabc\nabcd\n"], csv)) == [
        ("RECORD", b"abcdefgh\n", "RECORD_TOO_LONG"),
        ("RECORD", b"abc\n", "NONE"),
        ("RECORD", b"abcd\n", "RECORD_TOO_LONG"),
    ]


def test_a_file_without_line_ends_is_cut() -> None:
    frames = flat(frame_csv([b"x" * 150], dialect(max_record_bytes=4, header=False), block_bytes=7))
    assert [len(raw) for _, raw, _ in frames] == [64, 64, 22]
    assert {flaw for _, _, flaw in frames} == {"RECORD_TOO_LONG"}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        pytest.param(
            {"delimiter": "§"}, "a CSV delimiter must be one ASCII character and no line end, not '§'", id="delimiter"
        ),
        pytest.param({"quote": "”"}, "a CSV quote must be one ASCII character and no line end, not '”'", id="quote"),
        pytest.param({"escape": "é"}, "a CSV escape must be one ASCII character and no line end, not 'é'", id="escape"),
        pytest.param({"delimiter": "\n"}, r"no line end, not '\\n'", id="a line end"),
        pytest.param({"delimiter": '"'}, "must not be the quote or escape character as well", id="delimiter and quote"),
        pytest.param({"delimiter": "/", "escape": "/"}, "must not be the quote or escape", id="delimiter and escape"),
    ],
)
def test_a_dialect_that_cannot_be_framed_is_refused(bad: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        frame_csv([], dialect(**bad))


@pytest.mark.parametrize(
    ("text", "frames"),
    [
        pytest.param(b"", [], id="an empty file"),
        pytest.param(b"\xef\xbb\xbf{}", [("BOM", b"\xef\xbb\xbf", "NONE"), ("RECORD", b"{}", "NONE")], id="a BOM"),
        pytest.param(
            b'{"a":"\r"}\r\n\r\n\n1\r2',
            [
                ("RECORD", b'{"a":"\r"}\r\n', "NONE"),
                ("BLANK", b"\r\n", "NONE"),
                ("BLANK", b"\n", "NONE"),
                ("RECORD", b"1\r2", "NONE"),
            ],
            id="only LF ends a line",
        ),
        pytest.param(
            b"x" * 70 + b"\n" + b"{}\n",
            [
                ("RECORD", b"x" * 64, "RECORD_TOO_LONG"),
                ("RECORD", b"x" * 6 + b"\n", "RECORD_TOO_LONG"),
                ("RECORD", b"{}\n", "NONE"),
            ],
            id="an endless line is cut",
        ),
    ],
)
def test_lines_of(text: bytes, frames: list[Frame]) -> None:
    for block in (1, 5, 1000):
        assert flat(frame_lines([text], lines_dialect(4 if b"x" in text else 100), block_bytes=block)) == frames


ALPHABET = [b'"', b",", b"\r", b"\n", b"\r\n", b"a", b"\\", b"\0", "é".encode(), b'""', b"\xff", b"'"]

DIALECTS = st.builds(
    dialect,
    quote=st.sampled_from(['"', '"', "'", None]),
    escape=st.sampled_from([None, None, "\\", '"']),
    header=st.booleans(),
    max_record_bytes=st.sampled_from([1, 2, 3, 5, 8, 20, 1000]),
)

BYTES = st.lists(st.sampled_from(ALPHABET), max_size=60).map(b"".join)


@settings(max_examples=800)
@given(
    data=st.one_of(BYTES, BYTES.map(lambda data: b"\xef\xbb\xbf" + data), st.binary(max_size=40)),
    csv=DIALECTS,
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    block=st.sampled_from([1, 2, 3, 7, 1000]),
)
def test_frames_are_those_of_the_reference_however_the_input_is_cut(
    data: bytes, csv: CsvFormat, sizes: list[int], block: int
) -> None:
    expected = [(frame.kind, frame.raw, frame.flaw) for frame in reference_frames(data, csv)]
    assert b"".join(raw for _, raw, _ in expected) == data
    assert flat(frame_csv(cut(data, sizes), csv, block_bytes=block)) == expected


@settings(max_examples=300)
@given(
    data=st.lists(st.sampled_from([b"\n", b"\r", b"a", b"bc", b"\xef\xbb\xbf"]), max_size=40).map(b"".join),
    limit=st.integers(1, 6),
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    block=st.sampled_from([1, 2, 7]),
)
def test_lines_do_not_depend_on_how_the_input_is_cut(data: bytes, limit: int, sizes: list[int], block: int) -> None:
    whole = flat(frame_lines([data], lines_dialect(limit)))
    assert b"".join(raw for _, raw, _ in whole) == data
    assert flat(frame_lines(cut(data, sizes), lines_dialect(limit), block_bytes=block)) == whole
    assert all((flaw == "RECORD_TOO_LONG") == (len(raw) > limit) for kind, raw, flaw in whole if kind == "RECORD")


@pytest.mark.parametrize("folder", ["daily", "as-published"])
def test_real_files_have_the_records_that_the_csv_module_finds(corpora: Path, folder: str) -> None:
    files = sorted((corpora / "pcm-regioni" / folder).glob("*.csv"))
    assert len(files) > 800
    for file in files:
        data = file.read_bytes()
        frames = flat(frame_csv([data], dialect()))
        rows = [row for row in stdlib_csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")) if row]
        records = [raw for kind, raw, _ in frames if kind == "RECORD"]
        assert len(records) == len(rows) - 1, file.name
        assert {flaw for _, _, flaw in frames} == {"NONE"}, file.name


@pytest.mark.parametrize(
    "piece",
    [
        pytest.param(b'"a\n', id="a quote that is never closed on every line"),
        pytest.param(b'a"\n', id="a stray quote on every line"),
        pytest.param(b'"aaaa\n' + b"bbbbb\n" * 200_000, id="a quote without its partner in a megabyte"),
        pytest.param(b"x" * 1000, id="no line end"),
        pytest.param(b'"' + b"x" * 1000, id="no line end, and quotes"),
        pytest.param(b'""', id="quotes only"),
        pytest.param(b"\r", id="returns only"),
        pytest.param(b'"x\n,', id="quotes that open again behind every comma"),
    ],
)
def test_time_grows_with_size_and_not_with_its_square(piece: bytes) -> None:
    def seconds(size: int) -> float:
        data = piece * max(1, size // len(piece))
        batches = frame_csv(cut(data, [1 << 16]), dialect(header=False), block_bytes=1 << 18)
        started = time.process_time()
        assert sum(len(batch.text) for batch in batches) == len(data)
        return time.process_time() - started

    small, large = seconds(1 << 19), seconds(1 << 21)
    assert large < 0.2 + 10 * small, f"four times the bytes took {large / small:.0f} times as long"


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_a_lost_quote_does_not_swallow_the_records_up_to_the_next_quoted_field(line_end: bytes) -> None:
    lines = [b'1,"lost', *[b"%d,plain" % n for n in range(2, 400)], b'400,"quoted, well"', b"401,plain"]
    data = line_end.join(lines)
    batches = list(frame_csv([data], CsvFormat(header=False)))
    ends = np.concatenate([b.ends + b.offset for b in batches])
    flaws = np.concatenate([b.flaws for b in batches])
    assert len(ends) == len(lines)
    assert flaws.tolist() == [Flaw.UNTERMINATED_QUOTE, *[Flaw.NONE] * 400]
