"""A guess at how a sample file is written: format, encoding, CSV dialect, names of columns.

For drafting a contract that a person reviews, and for nothing else: at run time files are read as the contract says,
and a file that looks otherwise is quarantined. A guess may be wrong; it is never an error.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from contracts.canonical import parse_json
from contracts.decoding import UndecodableError, decode_chunks
from contracts.errors import DropError
from contracts.table_contract import CsvFormat, Expansion, FileFormat, JsonLinesFormat, ParquetFormat

DELIMITERS = ",;\t|"
_FIELD_IN_APOSTROPHES = re.compile(r"(?m)(?:^|[,;\t|])'[^'\n]*'(?=[,;\t|]|$)")
_LOOKED_AT_RECORDS = 1_000
_LOOKED_AT_CHARACTERS = 1 << 20
_PARQUET_MAGIC = b"PAR1"
_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Sample:
    """The beginning of a file, or all of it."""

    path: str
    """As a drop is called: relative to the drop folder, with `/`."""
    head: bytes
    """As it lies on disk, compressed or not."""
    complete: bool = True
    """Whether `head` is the whole file. Parquet needs it whole: its description is at its end."""

    @property
    def name(self) -> str:
        """The file's name without folders."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class Sniffed:
    """How a file seems to be written."""

    format: FileFormat
    columns: tuple[str, ...]
    """Names the file brings, in its order; made up where it brings none."""
    types: tuple[str, ...] | None = None
    """Arrow's types, for a file that states them."""


def sniff(sample: Sample) -> Sniffed:
    """Guess how a sample is written.

    Raises:
        DropError: It is empty, cannot be decompressed, or is Parquet cut short.
    """
    if sample.head.startswith(_PARQUET_MAGIC):
        return _parquet(sample)
    data = plain_bytes(sample)
    if not data.strip():
        msg = f"{sample.path}: the sample is empty. Give one that has records."
        raise DropError(msg, path=sample.path)
    encoding = _encoding(data, complete=sample.complete)
    text = data.decode(encoding, errors="replace").removeprefix("\ufeff")[:_LOOKED_AT_CHARACTERS]
    names = _names_of_objects(text)
    if names:
        return Sniffed(JsonLinesFormat(encoding=encoding), names)
    return _csv(text, encoding)


def plain_bytes(sample: Sample) -> bytes:
    """The sample without its compression, as far as it goes."""
    pieces = []
    try:
        size = len(sample.head)
        for piece in decode_chunks([sample.head], "auto", "utf-8", limit=Expansion(), size_bytes=size):
            pieces.append(piece)  # noqa: PERF402 - what came before the cut is kept
    except UndecodableError as error:
        if sample.complete or not pieces:
            msg = f"{sample.path}: {error}"
            raise DropError(msg, path=sample.path) from None
    return b"".join(pieces)


def _parquet(sample: Sample) -> Sniffed:
    try:
        schema = pq.ParquetFile(io.BytesIO(sample.head)).schema_arrow
    except (pa.ArrowInvalid, OSError) as error:
        msg = f"{sample.path}: this is no whole Parquet file ({error}). Give the file in full."
        raise DropError(msg, path=sample.path) from None
    return Sniffed(ParquetFormat(), tuple(schema.names), tuple(str(field.type) for field in schema))


def _encoding(data: bytes, *, complete: bool) -> str:
    """UTF-16 by its mark, UTF-8 when every byte fits, else cp1252, which is what most other files are."""
    if data.startswith(_UTF_16_MARKS):
        return "utf-16"
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        cut_off = not complete and error.start >= len(data) - 3
        return "utf-8" if cut_off else "cp1252"
    return "utf-8"


def _names_of_objects(text: str) -> tuple[str, ...]:
    """The names in the first lines when these are JSON objects; nothing otherwise."""
    names: dict[str, None] = {}
    for line in text.split("\n")[:_LOOKED_AT_RECORDS]:
        if not line.strip():
            continue
        if not line.lstrip().startswith("{"):
            return ()
        try:
            value = parse_json(line)
        except ValueError:
            continue  # the last line may be cut; a bad one is for quarantine, not for a draft
        if isinstance(value, dict):
            names |= dict.fromkeys(value)
    return tuple(names)


def _csv(text: str, encoding: str) -> Sniffed:
    quote = _quote(text)
    guesses = [(delimiter, _records(text, delimiter, quote)) for delimiter in DELIMITERS]
    delimiter, records = max(guesses, key=lambda guess: _regularity(guess[1]))
    escaped = re.search(rf"\\{quote}[^{re.escape(delimiter)}\r\n]", text)
    escape = "\\" if escaped and quote * 2 not in text else None
    header = _is_header(records[0])
    names = tuple(records[0]) if header else tuple(f"column_{n}" for n in range(1, len(records[0]) + 1))
    layout = CsvFormat(delimiter=delimiter, quote=quote, escape=escape, encoding=encoding, header=header)
    return Sniffed(layout, names)


def _quote(text: str) -> str:
    """An apostrophe quotes only where whole fields stand between two of them, and no double quote is there."""
    return "'" if '"' not in text and _FIELD_IN_APOSTROPHES.search(text) else '"'


def _records(text: str, delimiter: str, quote: str) -> list[list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quotechar=quote)
    records: list[list[str]] = []
    try:
        for record in reader:
            if record:
                records.append(record)
            if len(records) == _LOOKED_AT_RECORDS:
                break
    except csv.Error:
        pass  # a field beyond the reader's limit; what came before it tells enough
    return records or [[""]]


def _regularity(records: Sequence[Sequence[str]]) -> tuple[float, int]:
    """How much a way of splitting looks like a table: share of records with the usual width, then that width."""
    usual, count = Counter(map(len, records)).most_common(1)[0]
    return (round(count / len(records), 2), usual) if usual > 1 else (0.0, 0)


def _is_header(first: Sequence[str]) -> bool:
    """Whether the first record names columns: no two alike, and none a number."""
    named = [name for name in first if name.strip()]
    return bool(named) and len(set(named)) == len(named) and not any(map(_is_number, named))


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True
