"""A CSV framer and parser that takes one byte after the other: slow, short, and what the fast ones are held against.

It follows the rules in the docstring of `contracts.framing` literally and shares no code with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from contracts.table_contract import CsvFormat

FIELD_START, UNQUOTED, QUOTED, QUOTE_IN_QUOTED, ESCAPED = range(5)

CR, LF = ord("\r"), ord("\n")


@dataclass
class ReferenceFrame:
    """One frame: its bytes, what it is, what is wrong with it, and the fields it holds."""

    kind: str
    raw: bytes
    flaw: str = "NONE"
    fields: list[bytes] = field(default_factory=list)


def reference_frames(data: bytes, csv: CsvFormat) -> list[ReferenceFrame]:
    """Every frame of the file; they tile it."""
    frames = []
    position = 0
    header_due = csv.header
    if data.startswith(b"\xef\xbb\xbf"):
        frames.append(ReferenceFrame("BOM", data[:3]))
        position = 3
    while position < len(data):
        frame = _next_frame(data, position, csv)
        if frame.raw in {b"\n", b"\r", b"\r\n"}:
            frame.kind = "BLANK"
        elif header_due:
            frame.kind, header_due = "HEADER", False
        frames.append(frame)
        position += len(frame.raw)
    return frames


def _next_frame(data: bytes, start: int, csv: CsvFormat) -> ReferenceFrame:  # noqa: C901, PLR0912, PLR0915 - one machine, one piece
    delimiter = ord(csv.delimiter)
    quote = ord(csv.quote) if csv.quote else None
    escape = ord(csv.escape) if csv.escape and csv.escape != csv.quote else None
    limit = csv.max_record_bytes
    longest = max(limit, min(16 * limit, 64 * 1024 * 1024))
    state, flaw, cells = FIELD_START, "NONE", [bytearray()]
    position, opening = start, start

    def ended(end: int) -> ReferenceFrame:
        too_long = flaw == "NONE" and end - start > limit
        return ReferenceFrame(
            "RECORD", data[start:end], "RECORD_TOO_LONG" if too_long else flaw, list(map(bytes, cells))
        )

    def given_up() -> ReferenceFrame:
        end, horizon = opening + 1, min(start + longest, len(data))
        while end < horizon and data[end] not in {CR, LF}:
            end += 1
        if end < horizon:
            end += 2 if data[end : end + 2] == b"\r\n" else 1
        return ReferenceFrame("RECORD", data[start:end], "UNTERMINATED_QUOTE" if flaw == "NONE" else flaw)

    while True:
        if state in {QUOTED, ESCAPED} and (position == len(data) or position - opening >= limit):
            return given_up()
        if position == len(data):
            return ended(position)
        if state in {FIELD_START, UNQUOTED} and position - start >= longest:
            flaw = "RECORD_TOO_LONG" if flaw == "NONE" else flaw
            return ended(position)
        byte = data[position]
        position += 1
        if state == ESCAPED:
            cells[-1].append(byte)
            state = QUOTED
        elif state == QUOTED:
            if byte == escape:
                state = ESCAPED
            elif byte == quote:
                state = QUOTE_IN_QUOTED
            else:
                cells[-1].append(byte)
        elif state == QUOTE_IN_QUOTED and byte == quote and escape is None:
            cells[-1].append(byte)
            state = QUOTED
        elif byte in {CR, LF}:
            if byte == CR and data[position : position + 1] == b"\n":
                position += 1
            return ended(position)
        elif byte == delimiter:
            cells.append(bytearray())
            state = FIELD_START
        elif state == FIELD_START and byte == quote:
            state, opening = QUOTED, position - 1
        else:
            if state == QUOTE_IN_QUOTED:
                if any(end in data[opening + 1 : position - 2] for end in (CR, LF)):
                    return given_up()
                flaw = "TEXT_AFTER_QUOTE" if flaw == "NONE" else flaw
            elif byte == quote:
                flaw = "STRAY_QUOTE" if flaw == "NONE" else flaw
            cells[-1].append(byte)
            state = UNQUOTED
