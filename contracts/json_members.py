"""Names and values of many JSON lines at once, as positions in their bytes.

A line is `sound` when this module can vouch for it: UTF-8, one object, the grammar of RFC 8259 kept. What is left out
is not necessarily wrong, only unusual (tabs between tokens, escapes in names, many spaces in a row): for such lines
the caller asks a strict parser. Nothing here knows columns.

How: quotes that no escape precedes tell inside from outside; outside, the brackets, commas and colons are tokens and
so is each string. A nested value counts as one token. A line is a flat object exactly when every two neighbouring
tokens, with or without a bare word (number, true, false, null) between them, may be neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from contracts.framing import Uint8s, after_odd_run
from contracts.json_texts import MAX_DEPTH, compact_json, json_strings, parse_json_list, parse_json_text
from contracts.record_runs import Bools, Int64s, Slices

_LF, _CR, _SPACE, _QUOTE, _BACKSLASH = b'\n\r "\\'

_WORD = r"^(?:-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|true|false|null)$"

_END, _OPEN, _CLOSE, _COLON, _COMMA, _NAME, _STRING, _NESTED, _OTHER = range(9)
"""Tokens: end of line, `{`, `}`, `:`, `,`, a string that is a name, one that is a value, a nested value, `[` or `]`."""

_CODES = np.full(256, _OTHER, np.uint8)
_CODES[[_LF, *b"{}:,", _QUOTE]] = [_END, _OPEN, _CLOSE, _COLON, _COMMA, _STRING]

_DEPTHS = np.zeros(256, np.int64)
_DEPTHS[[*b"{[}]"]] = [1, 1, -1, -1]

_NEIGHBOURS = np.zeros((9, 9, 2), bool)
for _left, _right, _word in (
    (_END, _OPEN, 0),
    (_OPEN, _NAME, 0),
    (_OPEN, _CLOSE, 0),
    (_NAME, _COLON, 0),
    (_COLON, _STRING, 0),
    (_COLON, _NESTED, 0),
    (_COLON, _COMMA, 1),
    (_COLON, _CLOSE, 1),
    (_STRING, _COMMA, 0),
    (_STRING, _CLOSE, 0),
    (_NESTED, _COMMA, 0),
    (_NESTED, _CLOSE, 0),
    (_COMMA, _NAME, 0),
    (_CLOSE, _END, 0),
):
    _NEIGHBOURS[_left, _right, _word] = True


@dataclass(frozen=True)
class _Lines:
    """Lines as one block of bytes that ends with LF, and where each ends in it."""

    data: bytes
    bytes_: Uint8s
    ends: Int64s
    quotes: Int64s

    @classmethod
    def of(cls, records: Slices) -> _Lines:
        data = bytes(records.joined())
        ends = np.cumsum(records.ends - records.starts)
        if data and not data.endswith(b"\n"):
            data += b"\n"
            ends[-1] += 1
        values = np.frombuffer(data, np.uint8)
        quotes = np.flatnonzero(values == _QUOTE)
        if b"\\" in data:
            quotes = quotes[~after_odd_run(values, quotes, _BACKSLASH)]
        return cls(data, values, ends, quotes)

    @property
    def starts(self) -> Int64s:
        """Where each line begins in the block."""
        return np.concatenate((np.zeros(1, np.int64), self.ends[:-1]))

    def irregular(self, records: Slices) -> Bools:
        """Lines that would mislead their neighbours, or that no later step looks at closely enough."""
        mask: Bools = np.diff(np.searchsorted(self.quotes, self.ends), prepend=0) & 1 == 1
        controls = np.flatnonzero(self.bytes_ < _SPACE)
        if len(controls) > len(self.ends):
            last_two = self.bytes_[np.minimum(controls + 1, len(self.bytes_) - 1)]
            odd = (self.bytes_[controls] != _LF) & ~((self.bytes_[controls] == _CR) & (last_two == _LF))
            mask[np.searchsorted(self.ends, controls[odd], "right")] = True
        return mask | records.undecodable()


@dataclass(frozen=True)
class _Tokens:
    """Tokens of all lines in order: what each is, where it lies, its line."""

    codes: Uint8s
    starts: Int64s
    ends: Int64s
    lines: Int64s

    def where(self, chosen: Bools) -> _Tokens:
        return _Tokens(self.codes[chosen], self.starts[chosen], self.ends[chosen], self.lines[chosen])


@dataclass(frozen=True)
class _Words:
    """Start and end of what stands between each token and the next, spaces around it trimmed off."""

    starts: Int64s
    ends: Int64s

    def where(self, chosen: Bools) -> _Words:
        return _Words(self.starts[chosen], self.ends[chosen])


@dataclass(frozen=True)
class _Found:
    """Members as positions: line, name without quotes, value (strings without quotes), code of the value.

    The code is `_STRING`, `_NESTED` or, for a bare word, `_OTHER`.
    """

    lines: Int64s
    name_starts: Int64s
    name_ends: Int64s
    starts: Int64s
    ends: Int64s
    codes: Uint8s

    def where(self, chosen: Bools) -> _Found:
        return _Found(*(column[chosen] for column in self._columns()))

    def _columns(self) -> tuple[NDArray[Any], ...]:
        return self.lines, self.name_starts, self.name_ends, self.starts, self.ends, self.codes


@dataclass(frozen=True, eq=False)
class Members:
    """The names and values of sound lines.

    Attributes:
        sound: One a line: whether its members are here and vouched for.
        lines: One a member, ascending: the index of its line.
        names: The different names.
        name_codes: One a member: index into `names`.
    """

    sound: Bools
    lines: Int64s
    names: Sequence[str]
    name_codes: Int64s
    _values: pa.StringArray
    _codes: Uint8s
    _rewritten: Mapping[int, str]

    @classmethod
    def of(cls, records: Slices) -> Members:
        """Take lines apart; they must be sound frames, in order."""
        lines, regular = _Lines.of(records), np.ones(len(records), bool)
        if len(records):
            regular = ~lines.irregular(records)
            if not regular.all():
                lines = _Lines.of(records.where(regular))
        sound = np.ones(len(lines.ends), bool)
        tokens = _flat(_tokens(lines), sound)
        words = _words(lines, tokens)
        _check_neighbours(lines, tokens, words, sound)
        if not sound.all():
            kept = sound[tokens.lines]
            tokens, words = tokens.where(kept), words.where(kept)
        found = _members(tokens, words)
        found, rewritten = _checked(lines, found, sound)
        names = _between(lines.data, found.name_starts, found.name_ends).dictionary_encode()
        of_all = np.zeros(len(records), bool)
        of_all[np.flatnonzero(regular)[sound]] = True
        return cls(
            sound=of_all,
            lines=np.flatnonzero(regular)[found.lines],
            names=names.dictionary.to_pylist(),
            name_codes=np.asarray(names.indices).astype(np.int64),
            _values=_between(lines.data, found.starts, found.ends),
            _codes=found.codes,
            _rewritten=rewritten,
        )

    def texts(self, index: Int64s) -> pa.StringArray:
        """Values of the members at `index` (at most one a line), one a line: strings as content, null as NULL."""
        values, nulls = self._by_line(index), index[self._is_null[index]]
        return pc.if_else(self._mask(nulls), pa.scalar(None, pa.string()), values) if len(nulls) else values

    def json(self, index: Int64s) -> pa.StringArray:
        """The same values as JSON texts; NULL only where a line has no such member."""
        values, strings = self._by_line(index), index[self._codes[index] == _STRING]
        return pc.if_else(self._mask(strings), json_strings(values), values) if len(strings) else values

    @cached_property
    def _is_null(self) -> Bools:
        nulls: Bools = self._codes == _OTHER
        words = np.flatnonzero(nulls)
        nulls[words] = np.asarray(pc.equal(self._values.take(pa.array(words)), "null"))
        return nulls

    @cached_property
    def _is_rewritten(self) -> Bools:
        mask = np.zeros(len(self.lines), bool)
        mask[list(self._rewritten)] = True
        return mask

    def _by_line(self, index: Int64s) -> pa.StringArray:
        if len(index) == len(self.sound):
            values = self._values.take(pa.array(index))
        else:
            source, absent = np.zeros(len(self.sound), np.int64), np.ones(len(self.sound), bool)
            source[self.lines[index]], absent[self.lines[index]] = index, False
            values = self._values.take(pa.array(source, mask=absent))
        if self._rewritten:
            changed = index[self._is_rewritten[index]]
            texts = pa.array([self._rewritten[i] for i in changed.tolist()], pa.string())
            values = pc.replace_with_mask(values, self._mask(changed), texts) if len(changed) else values
        return values

    def _mask(self, index: Int64s) -> pa.BooleanArray:
        mask = np.zeros(len(self.sound), bool)
        mask[self.lines[index]] = True
        return pa.array(mask)


def _tokens(lines: _Lines) -> _Tokens:
    values = lines.bytes_
    folded = values | 0x20  # [ and { alike, ] and } alike
    marks = (folded == 0x7B) | (folded == 0x7D) | (values == 0x2C) | (values == 0x3A)
    marks[lines.quotes] = True
    marks[lines.ends - 1] = True
    starts = np.flatnonzero(marks)
    codes = values[starts]
    is_quote = codes == _QUOTE
    # After an opening quote the count is odd, after a closing one even: what opens stays, and what is outside.
    starts = starts[np.cumsum(is_quote) & 1 == is_quote]
    codes = values[starts]
    ends = starts + 1
    ends[codes == _QUOTE] = lines.quotes[1::2] + 1
    is_end = codes == _LF
    return _Tokens(codes, starts, ends, np.cumsum(is_end) - is_end)


def _flat(tokens: _Tokens, sound: Bools) -> _Tokens:
    """Codes in place of bytes, and each nested value as one token; unbalanced lines are left out, and unsound."""
    steps = _DEPTHS[tokens.codes]
    depths, is_end = np.cumsum(steps), tokens.codes == _LF
    depths -= np.concatenate((np.zeros(1, np.int64), depths[is_end]))[tokens.lines]
    sound[tokens.lines[(depths > MAX_DEPTH) | (is_end & (depths != 0))]] = False
    if not sound.all():
        balanced = sound[tokens.lines]
        tokens, depths, steps = tokens.where(balanced), depths[balanced], steps[balanced]
    codes, ends = _CODES[tokens.codes], tokens.ends
    if depths.max(initial=0) > 1:
        begins, finishes = (depths == 2) & (steps > 0), (depths == 1) & (steps < 0)
        ends[begins], codes[begins] = ends[finishes], _NESTED
        outer = begins | ~((depths >= 2) | finishes)
        tokens, codes, ends = tokens.where(outer), codes[outer], ends[outer]
    before_name = (codes == _OPEN) | (codes == _COMMA)
    codes[1:][before_name[:-1] & (codes[1:] == _STRING)] = _NAME
    return _Tokens(codes, tokens.starts, ends, tokens.lines)


def _words(lines: _Lines, tokens: _Tokens) -> _Words:
    values = lines.bytes_
    starts, ends = tokens.ends.copy(), np.concatenate((tokens.starts[1:], tokens.ends[-1:]))
    # What follows the end of a line begins with the next line that has tokens here: others may lie between.
    line_ends = np.flatnonzero(tokens.codes == _END)
    starts[line_ends[:-1]] = lines.starts[tokens.lines[line_ends[:-1] + 1]]
    gaps = np.flatnonzero(ends > starts)
    for _ in range(2):
        blank = values[starts[gaps]] <= _SPACE
        starts[gaps[blank]] += 1
        gaps = gaps[ends[gaps] > starts[gaps]]
        blank = values[ends[gaps] - 1] <= _SPACE
        ends[gaps[blank]] -= 1
        gaps = gaps[ends[gaps] > starts[gaps]]
    return _Words(starts, ends)


def _check_neighbours(lines: _Lines, tokens: _Tokens, words: _Words, sound: Bools) -> None:
    if not len(tokens.codes):
        return
    left, word = np.empty_like(tokens.codes), np.empty_like(tokens.codes)
    left[0], left[1:] = _END, tokens.codes[:-1]
    word[0], word[1:] = tokens.starts[0] > lines.starts[tokens.lines[0]], words.ends[:-1] > words.starts[:-1]
    fits = _NEIGHBOURS.reshape(-1)[left * np.uint8(18) + tokens.codes * np.uint8(2) + word]
    if not fits.all():
        sound[tokens.lines[~fits]] = False


def _members(tokens: _Tokens, words: _Words) -> _Found:
    """Members of sound lines: after a name comes its colon, after that a string, a nested value or a word."""
    names = np.flatnonzero(tokens.codes == _NAME)
    values = names + 2
    codes = tokens.codes[values]
    codes[(codes == _COMMA) | (codes == _CLOSE)] = _OTHER
    quotes = (codes == _STRING).astype(np.int64)
    is_word = codes == _OTHER
    return _Found(
        lines=tokens.lines[names],
        name_starts=tokens.starts[names] + 1,
        name_ends=tokens.ends[names] - 1,
        starts=np.where(is_word, words.starts[names + 1], tokens.starts[values] + quotes),
        ends=np.where(is_word, words.ends[names + 1], tokens.ends[values] - quotes),
        codes=codes,
    )


def _checked(lines: _Lines, found: _Found, sound: Bools) -> tuple[_Found, dict[int, str]]:
    """Members of lines whose every part is right, and the texts of values that differ from their bytes."""
    escaped_names = escaped_strings = np.zeros(len(found.lines), bool)
    if b"\\" in lines.data:
        escapes = np.flatnonzero(lines.bytes_ == _BACKSLASH)
        escaped_names = _contains(escapes, found.name_starts, found.name_ends)
        escaped_strings = _contains(escapes, found.starts, found.ends) & (found.codes == _STRING)
    wrong = escaped_names | ~_are_words(lines.data, found)
    texts: dict[int, str] = {}
    for index, convert in (
        (np.flatnonzero(escaped_strings), _unescaped),
        (np.flatnonzero(found.codes == _NESTED), _compacted),
    ):
        pieces = _between(lines.data, found.starts[index], found.ends[index]).to_pylist()
        for member, text in zip(index.tolist(), convert(pieces), strict=True):
            if text is None:
                wrong[member] = True
            else:
                texts[member] = text
    sound[found.lines[wrong]] = False
    kept = sound[found.lines]
    if kept.all():
        return found, texts
    places = np.cumsum(kept) - 1
    return found.where(kept), {int(places[m]): text for m, text in texts.items() if kept[m]}


def _contains(positions: Int64s, starts: Int64s, ends: Int64s) -> Bools:
    """Which of the ascending ranges hold any of the positions."""
    mask = np.zeros(len(starts), bool)
    ranges = np.searchsorted(starts, positions, "right") - 1
    ranges = ranges[(ranges >= 0) & (positions < ends[np.maximum(ranges, 0)])] if len(starts) else ranges[:0]
    mask[ranges] = True
    return mask


def _are_words(data: bytes, found: _Found) -> Bools:
    """Whether each bare word is a number, true, false or null; True for other values."""
    right: Bools = found.codes != _OTHER
    index = np.flatnonzero(~right)
    words = _between(data, found.starts[index], found.ends[index])
    right[index] = np.asarray(pc.match_substring_regex(words, _WORD))
    return right


def _unescaped(contents: Sequence[str]) -> Sequence[str | None]:
    """Contents of strings, escapes resolved; None for one that is not JSON, or no Unicode text."""
    strings = [f'"{content}"' for content in contents]
    try:
        texts: list[str] = parse_json_list(strings)
        "".join(texts).encode()
    except ValueError:
        return [_rewritten(string) for string in strings]
    return texts


def _compacted(pieces: Sequence[str]) -> Sequence[str | None]:
    """Nested values without white space; None for one that is not JSON, or no Unicode text."""
    texts = [None if " " in piece or "\\" in piece else piece for piece in pieces]
    try:
        parse_json_list(text for text in texts if text is not None)
    except ValueError:
        texts = [None] * len(pieces)
    return [_rewritten(piece) if text is None else text for piece, text in zip(pieces, texts, strict=True)]


def _rewritten(piece: str) -> str | None:
    try:
        value = parse_json_text(piece)
        text = value if isinstance(value, str) else compact_json(value)
        text.encode()
    except ValueError:
        return None
    return text


def _between(data: bytes, starts: Int64s, ends: Int64s) -> pa.StringArray:
    """The texts at ascending positions that do not overlap, cut out by Arrow: they and the gaps alternate."""
    if not len(starts):
        return pa.array([], pa.string())
    offsets = np.stack((starts, ends), axis=1).reshape(-1).astype(np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    both = pa.StringArray.from_buffers(len(offsets) - 1, buffers[1], buffers[2])
    return both.take(pa.array(np.arange(0, len(offsets) - 1, 2)))
