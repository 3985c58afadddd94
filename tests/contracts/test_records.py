"""Reading whole drops: real files, mutilated files, any cut, any compression; nothing lost, nothing made up."""

from __future__ import annotations

import csv as stdlib_csv
import gzip
import io
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.decoding import UndecodableError, decode_chunks
from contracts.framing import FrameBatch
from contracts.records import _tiles, count_frames, read_records
from contracts.table_contract import CsvFormat, JsonLinesFormat, ParquetFormat, TableContract
from tests.contracts.reading import Outcome, outcome, seeded, text_contract, whole
from tests.contracts.reference_csv import reference_frames

VARIANTS = 560


def rows_of(data: bytes) -> list[list[str]]:
    """What Python's own reader sees."""
    return [row for row in stdlib_csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")) if row]


@pytest.mark.parametrize("folder", ["daily", "as-published"])
def test_real_files_read_as_the_csv_module_reads_them(corpora: Path, folder: str) -> None:
    ragged = 0
    for file in sorted((corpora / "pcm-regioni" / folder).glob("*.csv")):
        header, *rows = rows_of(file.read_bytes())
        names = [name for name in header if name]
        of = text_contract(CsvFormat(), list(dict.fromkeys(names)), undeclared_columns="keep")
        result = whole(file.read_bytes(), of)
        assert result.records == len(rows), file.name
        for number, row in enumerate(rows, 1):
            if len(row) == len(header):
                expected = {name: cell or None for name, cell in zip(header, row, strict=True) if name}
                read = {name: cell for name, cell in result.rows[number].items() if name != "_hg_extra"}
                assert read == expected, file.name
            else:
                ragged += 1
                assert result.reasons[number] == [("FIELD_COUNT", None)], file.name
    assert ragged == (0 if folder == "daily" else 2)


def made_up_file(chance: random.Random) -> bytes:
    """A file such as people export: codes with zeros, numbers, dates, notes with everything in them."""
    notes = ["", "ok", '"a, b"', '"says ""no"""', '"two\nlines"', "perché", '"ü;\r\n"', "N/A", '""']
    end = chance.choice(["\n", "\r\n"])
    lines = ["code,day,amount,note,name"]
    for i in range(chance.randrange(3, 40)):
        day = f"2024-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02}T17:00:00"
        lines.append(f"{i:04},{day},{chance.random() * 1000:.3f},{chance.choice(notes)},name {i}")
    return ("\ufeff" * chance.randrange(2) + end.join(lines) + end * chance.randrange(2)).encode()


@pytest.fixture(scope="module")
def originals(request: pytest.FixtureRequest) -> list[bytes]:
    """Real files where there are any; made-up ones in any case."""
    chance = seeded("originals")
    files = [made_up_file(chance) for _ in range(40)]
    try:
        corpora: Path = request.getfixturevalue("corpora")
    except pytest.skip.Exception:
        return files
    found = sorted((corpora / "pcm-regioni").glob("*/*.csv"))
    return files + [file.read_bytes() for file in chance.sample(found, 120)]


def truncate(data: bytes, chance: random.Random, _: bytes) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def behead(data: bytes, chance: random.Random, _: bytes) -> bytes:
    return data[chance.randrange(len(data) + 1) :]


def splice(data: bytes, chance: random.Random, other: bytes) -> bytes:
    return truncate(data, chance, other) + behead(other, chance, data)


def concatenate(data: bytes, _: random.Random, other: bytes) -> bytes:
    return data + other


def flip_bits(data: bytes, chance: random.Random, _: bytes) -> bytes:
    spoilt = bytearray(data)
    for _flip in range(chance.choice([1, 1, 2, 20])):
        spoilt[chance.randrange(len(spoilt))] ^= 1 << chance.randrange(8)
    return bytes(spoilt)


def replace_some(old: bytes, new: bytes) -> Callable[[bytes, random.Random, bytes], bytes]:
    def replaced(data: bytes, chance: random.Random, _: bytes) -> bytes:
        head, *tail = data.split(old)
        rate = chance.choice([0.02, 0.3, 1])
        return head + b"".join((new if chance.random() < rate else old) + piece for piece in tail)

    return replaced


def insert(*what: bytes) -> Callable[[bytes, random.Random, bytes], bytes]:
    def inserted(data: bytes, chance: random.Random, _: bytes) -> bytes:
        for _insertion in range(chance.choice([1, 1, 3, 30])):
            at = chance.randrange(len(data) + 1)
            data = data[:at] + chance.choice(what) + data[at:]
        return data

    return inserted


def reencode_some(data: bytes, chance: random.Random, _: bytes) -> bytes:
    lines = data.decode("utf-8", "replace").splitlines(keepends=True)
    encodings = ["utf-8", "utf-8", "cp1252", "utf-16-le", "cp037"]
    return b"".join(line.encode(chance.choice(encodings), "replace") for line in lines)


def reorder_lines(data: bytes, chance: random.Random, _: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    chance.shuffle(lines)
    return b"".join(lines)


MUTILATIONS: dict[str, Callable[[bytes, random.Random, bytes], bytes]] = {
    "truncated": truncate,
    "beheaded": behead,
    "spliced": splice,
    "concatenated": concatenate,
    "bits flipped": flip_bits,
    "quotes removed": replace_some(b'"', b""),
    "quotes added": insert(b'"', b'""', b'"""', b',"', b'",', b'\n"'),
    "fields quoted": replace_some(b",", b'","'),
    "NULs": insert(b"\0", b"\0\0\0", b",\0,"),
    "line ends changed": replace_some(b"\n", b"\r"),
    "line ends doubled": replace_some(b"\n", b"\r\r\n\n"),
    "line ends lost": replace_some(b"\n", b""),
    "line ends added": insert(b"\n", b"\r", b"\r\n"),
    "fields surplus": insert(b",", b",,", b",x"),
    "fields missing": replace_some(b",", b""),
    "encodings mixed": reencode_some,
    "bytes that are no text": insert(b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf"),
    "lines reordered": reorder_lines,
}


def expected_outcome(data: bytes, of: TableContract) -> Outcome:
    """By the byte-by-byte parser, for a contract that keeps undeclared columns and requires none."""
    csv, result = of.server.format, Outcome()
    assert isinstance(csv, CsvFormat)
    frames = reference_frames(data, csv)
    header = next((frame for frame in frames if frame.kind == "HEADER"), None)
    names = header_names(header.raw, header.fields, header.flaw) if header else None
    for frame in (frame for frame in frames if frame.kind == "RECORD"):
        result.records += 1
        number = result.records
        result.raw[number] = frame.raw
        if frame.flaw != "NONE":
            result.reasons[number] = [(frame.flaw, None)]
        elif names is None:
            result.reasons[number] = [("HEADER", None)]
        elif text_or_none(frame.raw) is None:
            result.reasons[number] = [("UNDECODABLE_TEXT", None)]
        elif len(frame.fields) != len(names):
            result.reasons[number] = [("FIELD_COUNT", None)]
        else:
            cells = dict(zip(names, (cell.decode() or None for cell in frame.fields), strict=True))
            row = {column.name: cells.pop(column.name, None) for column in of.columns}
            result.rows[number] = row | {"_hg_extra": json.dumps(cells, sort_keys=True) if cells else None}
    return result


def header_names(raw: bytes, fields: list[bytes], flaw: str) -> list[str] | None:
    """The header's names, or None when it refuses every record."""
    if flaw != "NONE" or text_or_none(raw) is None:
        return None
    names = [cell.decode() for cell in fields]
    return None if len(set(names)) < len(names) or any(name.startswith("_hg_") for name in names) else names


def text_or_none(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def hold_against_reference(data: bytes, of: TableContract, label: str) -> Counter[str]:
    """Every record once; every cell what the reference says; every reason too, header problems aside."""
    chance = seeded(label)
    sizes = [chance.randrange(1, 1 + max(1, len(data) // 3)) for _ in range(5)]
    result = outcome(cut(data, sizes), of)
    framing = count_frames([data], of)
    layout = of.server.format
    assert isinstance(layout, CsvFormat)
    decoded = b"".join(decode_chunks([data], "auto", layout.encoding))
    expected = expected_outcome(decoded, of)
    assert framing.tiled, label
    assert framing.size_bytes == len(decoded), label
    assert framing.records == result.records == expected.records == len(result.rows) + len(result.reasons), label
    assert result.raw == expected.raw, label
    for row in result.rows.values():
        extra = row["_hg_extra"]
        row["_hg_extra"] = None if extra is None else json.dumps(json.loads(extra), sort_keys=True)
    assert result.rows == expected.rows, label
    for number, reasons in expected.reasons.items():
        assert reasons == [("HEADER", None)] or result.reasons[number][0] == reasons[0], label
    return Counter(reasons[0][0] for reasons in result.reasons.values())


def cut(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    position = turn = 0
    while position < len(data):
        size = sizes[turn % len(sizes)]
        yield data[position : position + size]
        position, turn = position + size, turn + 1


def columns_of(data: bytes) -> list[str]:
    return [name for name in rows_of(data)[0] if name]


def test_mutilated_files_lose_nothing_and_make_up_nothing(originals: list[bytes]) -> None:
    seen: Counter[str] = Counter()
    for variant in range(VARIANTS):
        chance = seeded(f"variant {variant}")
        data, other = chance.choice(originals), chance.choice(originals)
        of = text_contract(CsvFormat(max_record_bytes=1 << 15), columns_of(data), undeclared_columns="keep")
        labels = [
            list(MUTILATIONS)[variant % len(MUTILATIONS)],
            *chance.choices(list(MUTILATIONS), k=chance.randrange(3)),
        ]
        for label in labels:
            data = MUTILATIONS[label](data, chance, other) or b"\n"
        seen += hold_against_reference(data, of, f"variant {variant}: {', '.join(labels)}")
    assert {"STRAY_QUOTE", "TEXT_AFTER_QUOTE", "UNTERMINATED_QUOTE", "FIELD_COUNT", "UNDECODABLE_TEXT"} <= {*seen}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "cp1252", "utf-32"])
def test_mutilated_files_in_other_encodings(originals: list[bytes], encoding: str) -> None:
    for variant in range(30):
        chance = seeded(f"{encoding} {variant}")
        text = chance.choice(originals).decode("utf-8-sig")
        of = text_contract(CsvFormat(encoding=encoding), columns_of(text.encode()), undeclared_columns="keep")
        data = MUTILATIONS[chance.choice(["bits flipped", "truncated", "NULs", "quotes removed"])](
            text.encode(encoding, "replace"), chance, b""
        )
        hold_against_reference(data, of, f"{encoding} variant {variant}")


LONG = 10 << 20


@pytest.mark.parametrize(
    ("field", "limit", "reasons"),
    [
        pytest.param(b"x" * LONG, 1 << 20, ["RECORD_TOO_LONG"], id="unquoted"),
        pytest.param(b'"' + b"x" * LONG + b'"', 1 << 20, ["UNTERMINATED_QUOTE"], id="quoted"),
        pytest.param(b'"' + (b"x" * 1023 + b"\n") * (LONG >> 10) + b'"', 1 << 20, None, id="quoted, with line ends"),
        pytest.param(b'"' + b'""x' * (LONG // 3) + b'"', 16 << 20, [], id="quoted, allowed, full of quotes"),
        pytest.param(b"x" * LONG, 16 << 20, [], id="unquoted, allowed"),
        pytest.param(b'"' + b"x" * LONG, 16 << 20, ["UNTERMINATED_QUOTE"], id="quoted, allowed, not closed"),
    ],
)
def test_fields_of_ten_megabytes(field: bytes, limit: int, reasons: list[str] | None) -> None:
    of = text_contract(CsvFormat(max_record_bytes=limit), ["a", "b"], undeclared_columns="keep")
    data = b"a,b\n1,2\n" + field + b",2\n3,4\n"
    seen = hold_against_reference(data, of, str(len(field)))
    if reasons is not None:
        assert seen == Counter(reasons)


TEXT = b'a,b\n1,"x\ny"\n2,z\n3\n'
ROWS = {1: {"a": "1", "b": "x\ny"}, 2: {"a": "2", "b": "z"}}


def drop(kind: str) -> tuple[bytes, TableContract]:
    """The same three records, the last one without b, as a drop of some kind."""
    if kind == "parquet":
        buffer = io.BytesIO()
        pq.write_table(pa.table({"a": ["1", "2"], "b": ["x\ny", "z"]}), buffer)
        return buffer.getvalue(), text_contract(ParquetFormat(), ["a", "b"])
    if kind == "jsonl":
        lines = [json.dumps(row) for row in ROWS.values()]
        return "\n".join([*lines, "3"]).encode(), text_contract(JsonLinesFormat(), ["a", "b"])
    packed = {"csv": TEXT, "csv.gz": gzip.compress(TEXT), "csv.zst": pa.compress(TEXT, codec="zstd", asbytes=True)}
    return packed[kind], text_contract(CsvFormat(), ["a", "b"])


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "csv.zst", "jsonl", "parquet"])
def test_a_drop_is_chunks_or_an_open_file(kind: str, tmp_path: Path) -> None:
    data, of = drop(kind)
    path = tmp_path / "drop"
    path.write_bytes(data)
    expected = whole(data, of)
    assert expected.rows == ROWS
    assert outcome((data[i : i + 1] for i in range(len(data))), of).rows == ROWS
    with path.open("rb") as file:
        assert outcome(file, of).messages == expected.messages
    with path.open("rb") as file:
        assert count_frames(file, of) == count_frames([data], of)
        assert not file.closed


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_only_some_records_are_read_as_among_all(kind: str) -> None:
    data, of = drop(kind)
    everything = whole(data, of)
    for only in ([], [1], [2], [1, 3], [1, 2, 3], [99]):
        some = outcome([data], of, only)
        assert some.rows == {n: row for n, row in everything.rows.items() if n in only}
        assert some.messages == {n: texts for n, texts in everything.messages.items() if n in only}


def test_a_second_pass_over_few_records_meets_only_their_runs() -> None:
    data = b"a,b\n" + b"".join(b"%d,%s\n" % (i, b"x" * 100) for i in range(1, 200_001))
    of = text_contract(CsvFormat(), ["a", "b"])
    runs = list(read_records([data], of, only=np.array([5, 199_999])))
    assert [run.table["a"].to_pylist() for run in runs] == [["5"], ["199999"]]
    assert [run.table["_hg_record"].to_pylist() for run in runs] == [[5], [199_999]]
    assert runs[1].raw(199_999) == b"199999," + b"x" * 100 + b"\n"


def test_counting_measures_the_decoded_file() -> None:
    data, of = drop("csv.gz")
    framing = count_frames([data], of)
    assert (framing.size_bytes, framing.tiled, framing.records, framing.flawed_records) == (len(TEXT), True, 3, 0)
    flawed = count_frames([b'a,b\n1,2"\n3,4\n'], of)
    assert (flawed.records, flawed.flawed_records) == (2, 1)
    parquet, of = drop("parquet")
    framing = count_frames([parquet], of)
    assert (framing.size_bytes, framing.tiled, framing.records) == (len(parquet), True, 2)


@pytest.mark.parametrize(
    ("ends", "tiles"),
    [
        pytest.param([1, 3], True, id="whole"),
        pytest.param([1, 2], False, id="a byte is left over"),
        pytest.param([1, 1, 3], False, id="an empty frame"),
        pytest.param([2, 1, 3], False, id="frames that overlap"),
        pytest.param([1, 4], False, id="a frame beyond the text"),
    ],
)
def test_counting_sees_frames_that_do_not_tile(ends: list[int], tiles: bool) -> None:
    kinds = np.zeros(len(ends), np.uint8)
    assert _tiles(FrameBatch(b"a\nb", 0, np.array(ends, np.int64), kinds, kinds)) is tiles


def test_broken_compression_is_an_error_after_the_records_before_it() -> None:
    lines = b"".join(b"%d,%d\n" % (i, i * 7919 % 10_007) for i in range(2_000_000))
    broken = gzip.compress(b"a,b\n" + lines, compresslevel=1)[:-20]
    of = text_contract(CsvFormat(), ["a", "b"])
    runs = read_records([broken], of)
    assert next(runs).table.num_rows > 1000
    with pytest.raises(UndecodableError, match="UNDECODABLE_COMPRESSION: gzip data"):
        list(runs)
    with pytest.raises(UndecodableError, match="the file ends inside compressed member 1"):
        count_frames([broken], of)


@pytest.mark.parametrize(
    "layout", [CsvFormat(encoding="utf-ate"), JsonLinesFormat(encoding="idna")], ids=["csv", "jsonl"]
)
def test_an_encoding_that_is_none_is_refused_at_once(layout: CsvFormat | JsonLinesFormat) -> None:
    with pytest.raises(ValueError, match="is no text encoding this platform reads"):
        read_records([], text_contract(layout, ["a"]))
