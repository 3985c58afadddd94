"""Where records begin and end: a total function from bytes to frames that tile them.

Whatever the bytes are, every one of them lies in exactly one frame and no input raises: that is what lets a gate say
later that nothing was lost. Framing knows quotes, delimiters and line ends; it knows no columns, no types and no text
encoding beyond ASCII-compatible bytes (transcoding comes before, parsing after).

Rules for CSV, as a byte-by-byte machine (tests hold a literal one against this module):

- A quote opens a field only as the field's first byte. Inside quotes a doubled quote is a literal one; with a separate
  escape character, that character makes the next byte literal, and doubling has no meaning.
- LF, CRLF and a lone CR end a frame outside quotes; so does the end of the file.
- A quoted field that is not closed within `max_record_bytes` (both quotes counted), or by the end of the file, ends
  with its first line end, and framing resumes there: one lost quote costs about one record. So does one that holds a
  line end and is closed by a quote with text behind it, since that quote opens a field of a later record.
- A frame longer than `max_record_bytes` is flawed but whole. One that grows `_longest_frame` bytes without a line end
  is cut there, so that a file without line ends needs bounded memory.

Each block is read at once in numpy: a line end is outside quotes when an even number of quotes stands before it, as
long as every quote stands where a clean one may. Only around a quote that does not, a loop goes record by record.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from contracts.table_contract import CsvFormat, JsonLinesFormat

BLOCK_BYTES = 2 << 20
"""How much is framed at once: large enough for numpy, small enough for the processor's cache."""

_LF, _CR = 0x0A, 0x0D
_BOM = b"\xef\xbb\xbf"

Int64s = NDArray[np.int64]
Uint8s = NDArray[np.uint8]


class FrameKind(IntEnum):
    """What a frame is."""

    BOM = 0
    HEADER = 1
    BLANK = 2
    RECORD = 3


class Flaw(IntEnum):
    """What is wrong with a frame's bytes; of several quoting flaws the first in the record counts."""

    NONE = 0
    STRAY_QUOTE = 1
    TEXT_AFTER_QUOTE = 2
    UNTERMINATED_QUOTE = 3
    RECORD_TOO_LONG = 4


@dataclass(frozen=True, eq=False)
class FrameBatch:
    """Consecutive frames and their bytes.

    Attributes:
        text: The bytes of exactly these frames.
        offset: Where `text` starts in the decoded file.
        ends: int64; where each frame ends, relative to `text`. Each begins where the one before ends, the first at 0.
        kinds: uint8 (`FrameKind`), one a frame.
        flaws: uint8 (`Flaw`), one a frame.
    """

    text: bytes
    offset: int
    ends: Int64s
    kinds: Uint8s
    flaws: Uint8s

    @property
    def starts(self) -> Int64s:
        """Where each frame begins, relative to `text`."""
        return np.concatenate((np.zeros(1, np.int64), self.ends[:-1])) if len(self.ends) else self.ends


def frame_csv(chunks: Iterable[bytes], csv: CsvFormat, *, block_bytes: int = BLOCK_BYTES) -> Iterator[FrameBatch]:
    """Cut CSV into frames, lazily; the frames do not depend on how `chunks` or blocks are cut.

    Args:
        chunks: The decoded file (UTF-8, or bytes that fail to be) in order.
        csv: The dialect; delimiter, quote and escape must be ASCII.
        block_bytes: How much to look at in one go.

    Raises:
        ValueError: The dialect's delimiter, quote or escape is not a single ASCII character, or is a line end, or the
            delimiter is one of the other two.
    """
    return _frames(chunks, _CsvScanner(csv), header=csv.header, block_bytes=block_bytes)


def frame_lines(
    chunks: Iterable[bytes], jsonl: JsonLinesFormat, *, block_bytes: int = BLOCK_BYTES
) -> Iterator[FrameBatch]:
    """Cut JSON Lines into frames at each LF, lazily; a CR before it belongs to the line end."""
    return _frames(chunks, _LineScanner(jsonl), header=False, block_bytes=block_bytes)


class _Scanner(Protocol):
    def scan(self, text: bytes, start: int, *, final: bool) -> tuple[Int64s, Uint8s]:
        """Ends and flaws of the frames that `text[start:]` decides; the undecided rest is left for the next call."""

    @property
    def line_ends(self) -> Sequence[int]:
        """The bytes that end a line alone."""


def _frames(chunks: Iterable[bytes], scanner: _Scanner, *, header: bool, block_bytes: int) -> Iterator[FrameBatch]:
    blocks = _Blocks(chunks)
    offset, rest, header_due = 0, memoryview(b""), header
    while not blocks.exhausted:
        # At least doubling an undecided rest keeps re-reading it linear in total.
        text = blocks.read(rest, max(block_bytes, len(rest)))
        if offset == 0 and len(text) < len(_BOM) and not blocks.exhausted:
            rest = memoryview(text)
            continue
        bom = len(_BOM) if offset == 0 and text.startswith(_BOM) else 0
        ends, flaws = scanner.scan(text, bom, final=blocks.exhausted)
        kinds = _kinds(text, bom, ends, scanner)
        if header_due and (records := np.flatnonzero(kinds == FrameKind.RECORD)).size:
            kinds[records[0]], header_due = FrameKind.HEADER, False
        if bom:
            ends, flaws = np.insert(ends, 0, bom), np.insert(flaws, 0, Flaw.NONE)
            kinds = np.insert(kinds, 0, FrameKind.BOM)
        size = int(ends[-1]) if len(ends) else 0
        if size:
            yield FrameBatch(text[:size], offset, ends, kinds, flaws)
        offset, rest = offset + size, memoryview(text)[size:]


class _Blocks:
    """Chunks of any size, read as blocks of about the size that is asked for."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._chunk = memoryview(b"")
        self.exhausted = False

    def read(self, rest: memoryview, size: int) -> bytes:
        """`rest` and the next `size` bytes in one; fewer only when the chunks are `exhausted`."""
        parts = [rest]
        while size and not self.exhausted:
            if not self._chunk:
                chunk = next(self._chunks, None)
                self.exhausted = chunk is None
                self._chunk = memoryview(chunk or b"")
            parts.append(self._chunk[:size])
            self._chunk = self._chunk[size:]
            size -= len(parts[-1])
        return b"".join(parts)


def _kinds(text: bytes, start: int, ends: Int64s, scanner: _Scanner) -> Uint8s:
    """BLANK for frames that are nothing but a line end, RECORD for all others."""
    values, sizes = np.frombuffer(text, np.uint8), np.diff(ends, prepend=start)
    lasts, firsts = values[ends - 1], values[ends - sizes]
    blank = (sizes == 1) & np.isin(lasts, scanner.line_ends)
    blank |= (sizes == 2) & (firsts == _CR) & (lasts == _LF)
    return np.where(blank, np.uint8(FrameKind.BLANK), np.uint8(FrameKind.RECORD))


def _longest_frame(limit: int) -> int:
    """Where a frame without a line end is cut, in bytes: well above the limit, so that most keep their real end."""
    return max(limit, min(16 * limit, 64 << 20))


class _LineScanner:
    """Frames end at LF and nowhere else."""

    line_ends = (_LF,)

    def __init__(self, jsonl: JsonLinesFormat) -> None:
        self._limit = jsonl.max_record_bytes
        self._longest = _longest_frame(self._limit)

    def scan(self, text: bytes, start: int, *, final: bool) -> tuple[Int64s, Uint8s]:
        ends = np.flatnonzero(np.frombuffer(text, np.uint8)[start:] == _LF) + (start + 1)
        last = int(ends[-1]) if len(ends) else start
        if last < len(text) and (final or len(text) - last > self._longest):
            ends = np.append(ends, len(text))
        sizes = np.diff(ends, prepend=start)
        for index in np.flatnonzero(sizes > self._longest)[::-1]:
            cuts = np.arange(ends[index] - sizes[index] + self._longest, ends[index], self._longest)
            ends = np.insert(ends, index, cuts)
        if len(ends) and ends[-1] == len(text) and text[-1] != _LF and not final:
            ends = ends[:-1]  # the piece after the last cut may go on
        flaws = np.where(np.diff(ends, prepend=start) > self._limit, np.uint8(Flaw.RECORD_TOO_LONG), np.uint8(0))
        return ends, flaws


@dataclass(frozen=True)
class _Lane:
    """One way to read a block: which quotes open and which close follows from the first one's role.

    Attributes:
        ends: Where frames end if every quote is clean.
        doubts: Positions of what a clean file does not have: unclean quotes, and starts of frames beyond the limit.
    """

    ends: Int64s
    doubts: Int64s


class _Marks:
    """Positions of quotes and line ends in a block, and the two lanes they allow."""

    def __init__(self, text: bytes, scanner: _CsvScanner, *, final: bool) -> None:
        self._bytes = np.frombuffer(text, np.uint8)
        self._scanner = scanner
        self._line_ends = self._find_line_ends(text, final=final)
        self.quotes, self._escaped = self._find_quotes(text)

    def lane(self, position: int) -> _Lane:
        """The lane in which `position` stands outside quotes."""
        return self._odd if np.searchsorted(self.quotes, position) & 1 else self._even

    @cached_property
    def _even(self) -> _Lane:
        return self._lane_where_openers_are(0)

    @cached_property
    def _odd(self) -> _Lane:
        return self._lane_where_openers_are(1)

    @cached_property
    def _quotes_before_line_ends(self) -> Int64s:
        return np.searchsorted(self.quotes, self._line_ends)

    @cached_property
    def _clean_before_and_after(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """For each quote, whether it may open by the byte before it, and close by the byte after it."""
        size, allowed = len(self._bytes), self._scanner.beside_quote
        before = allowed[self._bytes[self.quotes - 1]] | (self.quotes == 0)
        after = allowed[self._bytes[np.minimum(self.quotes + 1, size - 1)]] | (self.quotes == size - 1)
        return before, after

    def _lane_where_openers_are(self, parity: int) -> _Lane:
        ends = self._line_ends if not len(self.quotes) else self._line_ends[self._quotes_before_line_ends & 1 == parity]
        ends = ends + 1
        doubts = []
        if len(self.quotes):
            before, after = self._clean_before_and_after
            openers, closers = slice(parity, None, 2), slice(1 - parity, None, 2)
            doubts += [self.quotes[openers][~before[openers]], self.quotes[closers][~after[closers]]]
        if len(self._escaped):
            outside = np.searchsorted(self.quotes, self._escaped) & 1 == parity
            doubts.append(self._escaped[outside])
        if len(ends):
            starts = np.concatenate((np.zeros(1, np.int64), ends[:-1]))
            doubts.append(starts[ends - starts > self._scanner.limit])
        return _Lane(ends, np.sort(np.concatenate(doubts)) if doubts else np.empty(0, np.int64))

    def _find_line_ends(self, text: bytes, *, final: bool) -> Int64s:
        """The last byte of each line end: LF, or a CR that no LF follows; a CR at an open end is undecided."""
        line_ends = np.flatnonzero(self._bytes == _LF)
        if _CR not in text:
            return line_ends
        returns = np.flatnonzero(self._bytes == _CR)
        follows = self._bytes[np.minimum(returns + 1, len(text) - 1)]
        lone = returns[np.where(returns == len(text) - 1, final, follows != _LF)]
        return np.sort(np.concatenate((line_ends, lone)))

    def _find_quotes(self, text: bytes) -> tuple[Int64s, Int64s]:
        """Quotes that open or close, and quotes that an escape makes literal (if they stand inside quotes at all)."""
        none = np.empty(0, np.int64)
        if self._scanner.quote is None or self._scanner.quote not in text:
            return none, none
        quotes = np.flatnonzero(self._bytes == self._scanner.quote)
        if self._scanner.escape is None or self._scanner.escape not in text:
            return quotes, none
        escaped = after_odd_run(self._bytes, quotes, self._scanner.escape)
        return quotes[~escaped], quotes[escaped]


def after_odd_run(text: Uint8s, positions: Int64s, escape: int) -> NDArray[np.bool_]:
    """Which of the ascending `positions` directly follow an odd number of escape characters."""
    after: NDArray[np.bool_] = (text[positions - 1] == escape) & (positions > 0)
    candidates = np.flatnonzero(after)
    if len(candidates):
        escapes = np.flatnonzero(text == escape)
        run_starts = escapes[np.concatenate((np.ones(1, bool), np.diff(escapes) != 1))]
        places = positions[candidates]
        run_lengths = places - run_starts[np.searchsorted(run_starts, places) - 1]
        after[candidates] = run_lengths & 1 == 1
    return after


class _CsvScanner:
    """Frames of one CSV dialect: in bulk where quotes are clean, one by one where they are not."""

    line_ends = (_LF, _CR)

    def __init__(self, csv: CsvFormat) -> None:
        self.delimiter = _ascii("delimiter", csv.delimiter)
        self.quote = None if csv.quote is None else _ascii("quote", csv.quote)
        self.escape = None if csv.escape in {None, csv.quote} else _ascii("escape", csv.escape)
        if self.delimiter in {self.quote, self.escape}:
            msg = f"a CSV delimiter must not be the quote or escape character as well: {csv.delimiter!r} is"
            raise ValueError(msg)
        self.limit = csv.max_record_bytes
        self.longest = _longest_frame(self.limit)
        self.beside_quote = np.zeros(256, bool)
        self.beside_quote[[self.delimiter, _LF, _CR]] = True
        if self.quote is not None and self.escape is None:
            self.beside_quote[self.quote] = True
        self._line_end = re.compile(rb"[\r\n]")
        self._event, self._inside = _patterns(self.quote, self.escape)

    def scan(self, text: bytes, start: int, *, final: bool) -> tuple[Int64s, Uint8s]:
        marks = _Marks(text, self, final=final)
        runs: list[Int64s] = []
        flaws: list[Uint8s] = []
        position, patience = start, 1
        while position < len(text):
            run = self._clean_run(marks, position, len(text))
            if len(run):
                runs.append(run)
                flaws.append(np.zeros(len(run), np.uint8))
                position, patience = int(run[-1]), 1
            singles = self._singles(text, position, patience, final=final)
            if not singles:
                break
            runs.append(np.array([end for end, _ in singles], np.int64))
            flaws.append(np.array([flaw for _, flaw in singles], np.uint8))
            # Where unclean records crowd, looking for a clean run after each would cost more than it saves.
            position, patience = singles[-1][0], min(2 * patience, 1024)
        if not runs:
            return np.empty(0, np.int64), np.empty(0, np.uint8)
        return np.concatenate(runs), np.concatenate(flaws)

    def _clean_run(self, marks: _Marks, position: int, size: int) -> Int64s:
        """Ends of the frames from `position` up to the first doubt."""
        lane = marks.lane(position)
        first = np.searchsorted(lane.ends, position, "right")
        doubt = np.searchsorted(lane.doubts, position)
        stop = lane.doubts[doubt] if doubt < len(lane.doubts) else size
        run = lane.ends[first : np.searchsorted(lane.ends, stop, "right")]
        if len(run) and run[0] - position > self.limit:
            return run[:0]  # `position` need not be where the lane begins a frame, so its first length is checked here
        return run

    def _singles(self, text: bytes, position: int, count: int, *, final: bool) -> list[tuple[int, Flaw]]:
        """Up to `count` frames, one after the other; fewer when the text ends or leaves one undecided."""
        frames: list[tuple[int, Flaw]] = []
        if not final and len(text) - position <= self.limit and self._line_end.search(text, position) is None:
            return frames  # nothing can be decided: spare the walk through the quotes
        while position < len(text) and len(frames) < count:
            frame = self._single(text, position, final=final)
            if frame is None:
                break
            frames.append(frame)
            position = frame[0]
        return frames

    def _single(self, text: bytes, start: int, *, final: bool) -> tuple[int, Flaw] | None:
        """Walk one record from event to event: its end and flaw, or None when more bytes are needed to tell."""
        cut, flaw = start + self.longest, Flaw.NONE
        position, at_field = start, True
        while True:
            if at_field and position < min(cut, len(text)) and text[position] == self.quote:
                close = self._closing_quote(text, position, final=final)
                if close is None:
                    return None
                if close < 0 or self._is_lost(text, position, close):
                    return self._give_up(text, position, cut, flaw, final=final)
                position, at_field = close + 1, False
                if position < len(text) and text[position] == self.delimiter:
                    position, at_field = position + 1, True
                    continue
                if position == len(text) or text[position] in (_LF, _CR):
                    return self._finish(text, start, position, flaw, final=final)
                flaw, position = flaw or Flaw.TEXT_AFTER_QUOTE, position + 1
            edge = max(position, cut)
            match = self._event.search(text, position, edge + 1)
            event = match.start() if match else len(text)
            if event >= edge and edge < len(text):
                return edge, flaw or Flaw.RECORD_TOO_LONG
            if match is None or text[event] != self.quote:
                return self._finish(text, start, event, flaw, final=final)
            at_field = event > position and text[event - 1] == self.delimiter
            if not at_field:
                flaw = flaw or Flaw.STRAY_QUOTE
            position = event if at_field else event + 1

    def _finish(self, text: bytes, start: int, event: int, flaw: Flaw, *, final: bool) -> tuple[int, Flaw] | None:
        """End the record with the line end at `event`, or with the text when `event` is its end."""
        end = _after_line_end(text, event, final=final)
        if end is None:
            return None
        return end, flaw or (Flaw.RECORD_TOO_LONG if end - start > self.limit else Flaw.NONE)

    def _give_up(self, text: bytes, opening: int, cut: int, flaw: Flaw, *, final: bool) -> tuple[int, Flaw] | None:
        """End a record whose quote at `opening` is never closed: with its first line end, or at the cut."""
        match = self._line_end.search(text, opening + 1, cut)
        if match is None and cut < len(text):
            end: int | None = cut
        else:
            end = _after_line_end(text, match.start() if match else len(text), final=final)
        return None if end is None else (end, flaw or Flaw.UNTERMINATED_QUOTE)

    def _is_lost(self, text: bytes, opening: int, close: int) -> bool:
        """Whether the quote at `close` belongs to a later record: text follows it, and a line end stands before it."""
        followed = close + 1 < len(text) and text[close + 1] not in (self.delimiter, _LF, _CR)
        return followed and self._line_end.search(text, opening + 1, close) is not None

    def _closing_quote(self, text: bytes, opening: int, *, final: bool) -> int | None:
        """Where the field opened at `opening` is closed; -1 if it is not; None when more bytes are needed to tell."""
        horizon, doubling = opening + self.limit, self.escape is None
        # A doubled quote may straddle the limit, so runs are looked at one byte beyond it.
        for match in self._inside.finditer(text, opening + 1, horizon + 1 if doubling else horizon):
            close = match.end() - 1
            if text[close] != self.quote or (not doubling and len(match[0]) > 1):
                continue
            if close + 1 == len(text) and not final:
                return None
            if close >= horizon:
                return -1
            if not doubling or len(match[0]) & 1:
                return close
        return -1 if final or len(text) >= horizon else None


def _after_line_end(text: bytes, event: int, *, final: bool) -> int | None:
    """Where the frame ends whose line end begins at `event`; None when what follows a CR is not known yet."""
    if event == len(text):
        return event if final else None
    if text[event] == _CR:
        if event + 1 == len(text):
            return event + 1 if final else None
        return event + 1 + (text[event + 1] == _LF)
    return event + 1


def _patterns(quote: int | None, escape: int | None) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """What matters outside quotes (quotes and line ends), and inside (runs of quotes, or escapes and quotes)."""
    if quote is None:
        return re.compile(rb"[\r\n]"), re.compile(rb"(?!)")
    mark = re.escape(bytes([quote]))
    inside = mark + b"+" if escape is None else re.escape(bytes([escape])) + b".|" + mark
    return re.compile(rb"[\r\n" + mark + rb"]"), re.compile(inside, re.DOTALL)


def _ascii(what: str, character: str | None) -> int:
    if character is None or len(character) != 1 or not character.isascii() or character in "\r\n":
        msg = f"a CSV {what} must be one ASCII character and no line end, not {character!r}"
        raise ValueError(msg)
    return ord(character)
