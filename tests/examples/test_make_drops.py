"""The demo's drops: every flight, the same bytes each time, and damage exactly where the list says it is."""

from __future__ import annotations

import gzip
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from examples.flights.make_drops import DAMAGES, Damage, main, make_drops, read_flights, table

ROOT = Path(__file__).parents[2]
ALL_DAYS = [date(2013, 1, 1) + timedelta(days=n) for n in range(365)]
BOM = b"\xef\xbb\xbf"


@pytest.fixture(scope="module")
def source() -> dict[date, list[bytes]]:
    by_day: dict[date, list[bytes]] = {}
    for record in read_flights().splitlines()[1:]:
        year, month, day = (int(field) for field in record.split(b",", 3)[:3])
        by_day.setdefault(date(year, month, day), []).append(record)
    return by_day


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("drops")
    yielded = list(make_drops(out))
    assert sorted((out / "flights").iterdir()) == sorted(yielded)
    assert [path for path in out.iterdir() if path.name != "flights"] == [], "a half-written file stayed behind"
    return out / "flights"


def content(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".gz":
        return gzip.decompress(data)
    if path.suffix == ".zst":
        return bytes(pa.CompressedInputStream(pa.BufferReader(data), "zstd").read())
    return data


def records(landing: Path, day: date) -> list[bytes]:
    files = sorted(landing.glob(f"flights-{day}*"))
    return [record for path in files for record in content(path).removeprefix(BOM).splitlines()[1:]]


def test_the_source_is_all_flights_of_2013(source: dict[date, list[bytes]]) -> None:
    assert sum(map(len, source.values())) == 336_776
    assert sorted(source) == ALL_DAYS


def test_every_day_but_the_damaged_ones_is_one_file_with_the_source_s_records_in_order(
    landing: Path, source: dict[date, list[bytes]]
) -> None:
    header = read_flights().splitlines()[0]
    for day in sorted(set(ALL_DAYS) - {damage.day for damage in DAMAGES}):
        assert (landing / f"flights-{day}.csv").read_bytes() == b"\n".join([header, *source[day]]) + b"\n"
    assert len(list(landing.iterdir())) == 366, "365 days, one of them in two files"


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_a_damaged_day_differs_from_the_source_in_as_many_records_as_it_says(
    landing: Path, source: dict[date, list[bytes]], damage: Damage
) -> None:
    dropped = Counter(records(landing, damage.day))
    foreign = (dropped - Counter(source[damage.day])).total()
    if damage.quarantined is None:
        assert damage.held
        assert foreign > len(source[damage.day]) / 2
    else:
        assert not damage.held
        assert foreign == damage.quarantined


@pytest.mark.parametrize(
    ("day", "marks"),
    [
        pytest.param("2013-01-19", {"bom": True, "crlf": True, "final_line_end": False}, id="saved by a spreadsheet"),
        pytest.param("2013-01-18", {"bom": False, "crlf": False, "final_line_end": True}, id="a sound day"),
    ],
)
def test_harmless_differences_are_in_the_bytes(landing: Path, day: str, marks: dict[str, bool]) -> None:
    data = (landing / f"flights-{day}.csv").read_bytes()
    assert {"bom": data.startswith(BOM), "crlf": b"\r\n" in data, "final_line_end": data.endswith(b"\n")} == marks


def test_a_latin_1_byte_is_no_utf_8(landing: Path) -> None:
    with pytest.raises(UnicodeDecodeError):
        (landing / "flights-2013-06-20.csv").read_bytes().decode()


def test_a_second_call_touches_nothing(landing: Path) -> None:
    before = {path: path.stat() for path in landing.iterdir()}
    list(make_drops(landing.parent))
    assert {path: path.stat().st_mtime_ns for path in landing.iterdir()} == {
        path: stat.st_mtime_ns for path, stat in before.items()
    }


def test_another_folder_gets_the_same_bytes(landing: Path, tmp_path: Path) -> None:
    for path in make_drops(tmp_path, days=31):
        assert path.read_bytes() == (landing / path.name).read_bytes()


def test_a_changed_drop_is_written_anew(tmp_path: Path) -> None:
    (first,) = make_drops(tmp_path, days=1)
    sound = first.read_bytes()
    first.write_bytes(b"not a flight\n")
    list(make_drops(tmp_path, days=1))
    assert first.read_bytes() == sound


def test_days_are_taken_in_the_calendar_s_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--out", str(tmp_path), "--days", "3"])
    assert sorted(path.name for path in (tmp_path / "flights").iterdir()) == [
        f"flights-2013-01-0{n}.csv" for n in (1, 2, 3)
    ]
    assert capsys.readouterr().out == f"3 drops of flights in {tmp_path / 'flights'}\n"


@pytest.mark.parametrize("days", ["0", "366", "all"])
def test_an_impossible_number_of_days_is_refused(tmp_path: Path, days: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["--out", str(tmp_path), "--days", days])
    assert refused.value.code == 2
    assert "--days" in capsys.readouterr().err


def test_the_documentation_shows_exactly_the_list_of_damages() -> None:
    lines = (ROOT / "docs" / "demo.md").read_text().splitlines()
    shown = [line for line in lines if line.startswith("| 2013-")]
    assert shown == table()
