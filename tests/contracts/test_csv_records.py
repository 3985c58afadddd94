"""Reading CSV: every record is a row with exactly the cells its bytes hold, or has a reason."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.csv_records import FieldSplitter
from contracts.records import read_records, records_schema
from contracts.table_contract import Column, CsvFormat, TableContract
from tests.contracts.reading import Outcome, outcome, text_contract, whole
from tests.contracts.reference_csv import reference_frames

ABC = ["a", "b", "c"]


def contract(columns: Any = ABC, undeclared: str = "quarantine", **dialect: Any) -> TableContract:
    return text_contract(CsvFormat(**dialect), columns, undeclared_columns=undeclared)


def cells(data: bytes, of: TableContract) -> dict[int, tuple[str | None, ...]]:
    return {number: tuple(row.values()) for number, row in whole(data, of).rows.items()}


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        pytest.param(b"", {}, id="an empty file"),
        pytest.param(b"\xef\xbb\xbf", {}, id="nothing but a byte order mark"),
        pytest.param(b"\n\r\n\r", {}, id="blank lines only"),
        pytest.param(b"a,b,c", {}, id="a header without a line end"),
        pytest.param(b"a,b,c\n", {}, id="a header only"),
        pytest.param(b"\xef\xbb\xbfa,b,c\r\n1,2,3", {1: ("1", "2", "3")}, id="BOM, CRLF, no final line end"),
        pytest.param(
            b"a,b,c\r1,2,3\r\r4,5,6\r", {1: ("1", "2", "3"), 2: ("4", "5", "6")}, id="lone CR and a blank line"
        ),
        pytest.param(
            b"a,b,c\r\n1,2,3\n4,5,6\r7,8,9",
            {1: ("1", "2", "3"), 2: ("4", "5", "6"), 3: ("7", "8", "9")},
            id="mixed line ends",
        ),
        pytest.param(
            b'a,b,c\n"x\r\ny","q""q","a,b"\n', {1: ("x\r\ny", 'q"q', "a,b")}, id="quoted line end, quote and delimiter"
        ),
        pytest.param(b'a,b,c\n"",,""""\n', {1: (None, None, '"')}, id="empty cells are NULL, quoted or not"),
        pytest.param(b"a,b,c\n , 1,NULL\n", {1: (" ", " 1", "NULL")}, id="nothing is trimmed, no other null marker"),
        pytest.param(b"a,b,c\n\0,x\0y,\0\0\n", {1: ("\0", "x\0y", "\0\0")}, id="NUL is data"),
        pytest.param(b"a,b,c\n\xef\xbb\xbf1,2,3\n", {1: ("\ufeff1", "2", "3")}, id="a BOM inside is data"),
        pytest.param(b'"a","b",c\n1,2,3\n', {1: ("1", "2", "3")}, id="a quoted header"),
        pytest.param(b"c,a,b\n3,1,2\n", {1: ("1", "2", "3")}, id="another order"),
        pytest.param(b"a,c\n1,3\n", {1: ("1", None, "3")}, id="an optional column is absent"),
        pytest.param("a,b,c\nŁódź,日本,🎈\n".encode(), {1: ("Łódź", "日本", "🎈")}, id="other alphabets"),
    ],
)
def test_rows_of(text: bytes, rows: dict[int, tuple[str | None, ...]]) -> None:
    result = cells(text, contract())
    assert result == rows


def test_the_table_has_the_contracts_columns_and_the_record_number() -> None:
    for undeclared, extra in (("quarantine", []), ("keep", ["_hg_extra"])):
        of = contract(undeclared=undeclared)
        run = next(iter(read_records([b"c,b,a\n1,2,3\n"], of)))
        assert run.table.schema == records_schema(of)
        assert run.table.column_names == ["a", "b", "c", *extra, "_hg_record"]


@pytest.mark.parametrize(
    ("dialect", "text", "row"),
    [
        pytest.param({"delimiter": ";"}, b"a;b;c\n1,5;x;\n", ("1,5", "x", None), id="semicolon"),
        pytest.param(
            {"delimiter": "\t", "quote": None}, b'a\tb\tc\n"x\ty"\t\n', ('"x', 'y"', None), id="tab, no quotes"
        ),
        pytest.param({"quote": "'"}, b"a,b,c\n'x''y',\"z,'\n'\n", ("x'y", '"z', "\n"), id="single quotes"),
        pytest.param({"escape": "\\"}, b'a,b,c\n"x\\"y\\\\","\\n",\\n\n', ('x"y\\', "n", "\\n"), id="escape character"),
        pytest.param({"escape": '"'}, b'a,b,c\n"x""y",,\n', ('x"y', None, None), id="the quote as escape is doubling"),
        pytest.param({"header": False}, b"1,2,3\n", ("1", "2", "3"), id="no header"),
        pytest.param({"null_markers": ("NA", "-")}, b'a,b,c\n"NA",-,\n', (None, None, ""), id="other null markers"),
        pytest.param({"null_markers": ()}, b'a,b,c\n"",,x\n', ("", "", "x"), id="no null marker"),
        pytest.param({"null_markers": ("",)}, b"a,b,c\nNULL,nan,#N/A\n", ("NULL", "nan", "#N/A"), id="no other ones"),
        pytest.param({"encoding": "cp1252"}, b"a,b,c\n\x80,\xe9,\x93\n", ("€", "é", "“"), id="cp1252"),
        pytest.param({"encoding": "utf-16"}, "a,b,c\n1,é,3\n".encode("utf-16"), ("1", "é", "3"), id="utf-16"),
    ],
)
def test_dialects(dialect: dict[str, Any], text: bytes, row: tuple[str | None, ...]) -> None:
    assert cells(text, contract(**dialect)) == {1: row}


@pytest.mark.parametrize(
    ("record", "reason", "message"),
    [
        pytest.param(b"1,2", "FIELD_COUNT", "expected 3 fields, found 2", id="a field too few"),
        pytest.param(b"1,2,3,", "FIELD_COUNT", "expected 3 fields, found 4", id="an empty field too many"),
        pytest.param(b'1,"2,3\n",4,5', "FIELD_COUNT", "expected 3 fields, found 4", id="too many, with a line end"),
        pytest.param(b'1,"2"x,3', "TEXT_AFTER_QUOTE", "text follows the quote", id="text after a quote"),
        pytest.param(b'1,2"x,3', "STRAY_QUOTE", "a quote stands inside a field", id="a stray quote"),
        pytest.param(b"1,\xff,3", "UNDECODABLE_TEXT", "no text in the declared encoding", id="no UTF-8"),
        pytest.param(b"1,\xed\xa0\x80,3", "UNDECODABLE_TEXT", "no text", id="half a surrogate pair"),
        pytest.param(b"1,\xc3", "UNDECODABLE_TEXT", "no text", id="bad text in too few fields"),
    ],
)
def test_a_bad_record_leaves_its_neighbours_alone(record: bytes, reason: str, message: str) -> None:
    data = b"a,b,c\nx,y,z\n" + record + b"\n7,8,9\n"
    result = whole(data, contract())
    assert result.rows == {1: {"a": "x", "b": "y", "c": "z"}, 3: {"a": "7", "b": "8", "c": "9"}}
    assert result.reasons == {2: [(reason, None)]}
    assert message in result.messages[2][0]
    assert result.raw[2] == record + b"\n"


def test_an_unclosed_quote_costs_one_record() -> None:
    result = whole(b'a,b,c\n1,2,"3\n4,5,6\n7,8,9\n', contract())
    assert result.reasons == {1: [("UNTERMINATED_QUOTE", None)]}
    assert [row["a"] for row in result.rows.values()] == ["4", "7"]


def test_a_record_too_long_is_refused() -> None:
    result = whole(b"a,b,c\n1,2," + b"x" * 2000 + b"\n4,5,6\n", contract(max_record_bytes=1024))
    assert result.reasons == {1: [("RECORD_TOO_LONG", None)]}
    assert list(result.rows) == [2]


def test_bad_text_in_utf16_spoils_its_record_only() -> None:
    lines = ["a,b,c\n", "1,2,3\n", "4,\ud800,6\n", "7,8,9\n"]
    data = "".join(lines).encode("utf-16-le", "surrogatepass")
    result = whole(data, contract(encoding="utf-16-le"))
    assert result.reasons == {2: [("UNDECODABLE_TEXT", None)]}
    assert list(result.rows) == [1, 3]


NEEDED = [Column(name="a", type="BIGINT", required=True), Column(name="b", type="VARCHAR", aliases=("bee", "B")), "c"]
STRICT = [Column(name="a", type="VARCHAR", absent="quarantine"), "b", "c"]


@pytest.mark.parametrize(
    ("header", "columns", "undeclared", "reasons", "message"),
    [
        pytest.param(b"a,b,c,d", ABC, "quarantine", [("COLUMN_UNDECLARED", "d")], "the column 'd'", id="undeclared"),
        pytest.param(b"a,b,c,", ABC, "quarantine", [("COLUMN_UNDECLARED", "")], "the column ''", id="a trailing comma"),
        pytest.param(b"a, b,c", ABC, "quarantine", [("COLUMN_UNDECLARED", " b")], "' b'", id="a blank before a name"),
        pytest.param(
            b"a,B,c", ABC, "quarantine", [("COLUMN_UNDECLARED", "B")], "'B'", id="another case is another name"
        ),
        pytest.param(
            b"a,b,x,y", ABC, "quarantine", [("COLUMN_UNDECLARED", None)], "the columns 'x', 'y'", id="two undeclared"
        ),
        pytest.param(
            b"b,c",
            NEEDED,
            "keep",
            [("COLUMN_ABSENT", "a")],
            "the file lacks the column 'a'",
            id="a required column is absent",
        ),
        pytest.param(
            b"b,c", STRICT, "keep", [("COLUMN_ABSENT", "a")], "lacks the column 'a'", id="one that may not be absent"
        ),
        pytest.param(
            b"a,b,_hg_source", ABC, "keep", [("COLUMN_RESERVED", "_hg_source")], "'_hg_source'", id="a reserved name"
        ),
        pytest.param(b"a,b,a", ABC, "keep", [("COLUMN_REPEATED", "a")], "more than once", id="the same name twice"),
        pytest.param(b"a,bee,B", NEEDED, "keep", [("COLUMN_REPEATED", "B")], "alias", id="two aliases of one column"),
        pytest.param(b"a,b,bee", NEEDED, "keep", [("COLUMN_REPEATED", "bee")], "alias", id="name and alias"),
        pytest.param(b"a,x,x", ABC, "keep", [("COLUMN_REPEATED", "x")], "'x'", id="an undeclared name twice"),
        pytest.param(b'a,b"x,c', ABC, "keep", [("STRAY_QUOTE", None)], "the header cannot be read", id="a stray quote"),
        pytest.param(
            b"a,\xff,c", ABC, "keep", [("UNDECODABLE_TEXT", None)], "the header cannot be read", id="no UTF-8"
        ),
        pytest.param(
            b"a;b;c",
            NEEDED,
            "quarantine",
            [("COLUMN_ABSENT", "a"), ("COLUMN_UNDECLARED", "a;b;c")],
            "'a'",
            id="another delimiter",
        ),
    ],
)
def test_a_header_that_breaks_the_contract_refuses_each_record(
    header: bytes, columns: Any, undeclared: str, reasons: list[tuple[str, str | None]], message: str
) -> None:
    result = whole(header + b'\n1,2,3\n4,5\n7,"8"x,9\n', contract(columns, undeclared))
    assert result.rows == {}
    assert result.reasons == {1: reasons, 2: reasons, 3: [("TEXT_AFTER_QUOTE", None), *reasons]}
    assert message in result.messages[1][0]


def test_an_alias_brings_the_column_and_a_real_name_wins_over_an_alias() -> None:
    columns = [Column(name="a", type="VARCHAR", aliases=("b",)), "b"]
    assert cells(b"a,b\n1,2\n", contract(columns)) == {1: ("1", "2")}
    assert cells(b"c,b\n1,2\n", contract([Column(name="a", type="VARCHAR", aliases=("c",)), "b"])) == {1: ("1", "2")}


def test_names_of_any_length_and_alphabet_fit_into_a_message() -> None:
    header = b",".join([b"a", b"x" * 5000, *(b"n%d" % i for i in range(30))])
    result = whole(header + b"\n" + b"," * 31 + b"\n", contract())
    assert len(result.messages[1][0]) < 500
    assert "and 23 more" in result.messages[1][0]


def test_undeclared_columns_are_kept_as_one_json_object() -> None:
    data = 'z,a,"q""\n",é\n1,2,"say ""hi""\\\n\t\x01",\n,5,ü,x\n'.encode()
    rows = whole(data, contract(["a", "b"], "keep")).rows
    assert [(row["a"], row["b"]) for row in rows.values()] == [("2", None), ("5", None)]
    extras = [row["_hg_extra"] for row in rows.values()]
    assert [json.loads(extra or "") for extra in extras] == [
        {'q"\n': 'say "hi"\\\n\t\x01', "z": "1", "é": None},
        {'q"\n': "ü", "z": None, "é": "x"},
    ]
    assert extras[1] == '{"q\\"\\n":"ü","z":null,"é":"x"}'


def test_nothing_undeclared_means_no_object() -> None:
    assert whole(b"a\n1\n", contract(["a"], "keep")).rows == {1: {"a": "1", "_hg_extra": None}}


def test_many_blocks_are_one_file() -> None:
    count = 60_000
    lines = [f'{i},"{"x" * 90}\n{i}",{i % 7}\n' for i in range(1, count + 1)]
    for bad in (1, 2, 25_000, 25_001, 25_002, count):
        lines[bad - 1] = f'{bad},"{"y" * 90}"oops,\n'
    lines[30_000] = "\n" + lines[30_000]
    data = ("a,b,c\n" + "".join(lines)).encode()
    runs = list(read_records([data], contract()))
    assert len(runs) > 1
    assert sum(run.count for run in runs) == count
    numbers = np.concatenate([run.table["_hg_record"].to_numpy() for run in runs])
    assert len(numbers) == count - 6
    assert [refusal.record for run in runs for refusal in run.refused] == [1, 2, 25_000, 25_001, 25_002, count]
    for run in runs:
        assert run.table["a"].to_pylist() == [str(n) for n in run.table["_hg_record"].to_pylist()]
        for number in (run.first, run.first + run.count - 1):
            start, end = run.starts[number - run.first], run.ends[number - run.first]
            assert run.raw(number) == data[start:end]
        for outside in (run.first - 1, run.first + run.count):
            with pytest.raises(IndexError, match=f"record {outside} is not in this run"):
                run.raw(outside)


def test_reading_is_lazy() -> None:
    def chunks() -> Any:
        yield b"a,b,c\n" + b"1,2,3\n" * 1_000_000
        pytest.fail("nobody asked for this chunk")

    assert next(iter(read_records(chunks(), contract()))).first == 1


FIELDS = st.sampled_from([b"", b"a", b"xy", b"NA", "é".encode(), b"\xff", b"\xc3", b"\0", b"\\", b"\\,", b'\\"', b" "])
QUOTED = st.lists(
    st.sampled_from([b"a", b",", b"\n", b"\r", b'""', b"\\\\", b'\\"', "é".encode(), b"\xa9", b"\xc3\\"])
).map(lambda parts: b'"' + b"".join(parts) + b'"')
LINES = st.lists(st.one_of(FIELDS, QUOTED), min_size=1, max_size=4).map(b",".join)
NOISE = st.sampled_from([b'"', b"\r", b"\n", b",", b"\\", b"\xef\xbb\xbf", b"\xff"])
FILES = st.lists(
    st.tuples(st.one_of(LINES, LINES, LINES, NOISE), st.sampled_from([b"\n", b"\r\n", b"\r", b""])), max_size=12
).map(lambda lines: b"".join(itertools.chain.from_iterable(lines)))


def reference(data: bytes, of: TableContract) -> Outcome:
    """What the byte-by-byte parser makes of a file whose header is just the contract's columns."""
    csv, result, width = of.server.format, Outcome(), len(of.columns)
    assert isinstance(csv, CsvFormat)
    for frame in reference_frames(data, csv):
        if frame.kind != "RECORD":
            continue
        result.records += 1
        number = result.records
        result.raw[number] = frame.raw
        if frame.flaw != "NONE":
            result.reasons[number] = [(frame.flaw, None)]
        elif not _is_text(frame.raw):
            result.reasons[number] = [("UNDECODABLE_TEXT", None)]
        elif len(frame.fields) != width:
            result.reasons[number] = [("FIELD_COUNT", None)]
        else:
            texts = [cell.decode() for cell in frame.fields]
            values = [None if text in csv.null_markers else text for text in texts]
            result.rows[number] = dict(zip((column.name for column in of.columns), values, strict=True))
    return result


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def same(left: Outcome, right: Outcome) -> None:
    assert left.records == right.records
    assert left.reasons == right.reasons
    assert left.rows == right.rows
    assert left.raw == right.raw


@settings(max_examples=600)
@given(
    body=FILES,
    width=st.integers(1, 3),
    escape=st.sampled_from([None, None, "\\"]),
    header=st.booleans(),
    markers=st.sampled_from([("",), (), ("NA", "é", "")]),
    only=st.sets(st.integers(1, 14)),
)
def test_any_file_reads_as_the_reference_reads_it(
    body: bytes, width: int, escape: str | None, header: bool, markers: tuple[str, ...], only: set[int]
) -> None:
    of = contract(ABC[:width], escape=escape, header=header, null_markers=markers)
    data = (",".join(ABC[:width]) + "\n").encode() + body if header else body
    result = whole(data, of)
    same(result, reference(data, of))
    some = outcome([data], of, sorted(only))
    asked = {number for number in only if number <= result.records}
    assert some.rows == {n: row for n, row in result.rows.items() if n in asked}
    assert some.reasons == {n: reasons for n, reasons in result.reasons.items() if n in asked}
    assert some.messages == {n: messages for n, messages in result.messages.items() if n in asked}
    assert some.raw == {n: raw for n, raw in result.raw.items() if n in asked}


@given(record=LINES, escape=st.sampled_from([None, "\\"]))
def test_the_splitter_finds_the_fields_of_the_reference(record: bytes, escape: str | None) -> None:
    csv = CsvFormat(escape=escape, header=False)
    frames = reference_frames(record, csv)
    if len(frames) == 1 and frames[0].flaw == "NONE":
        assert FieldSplitter(csv).fields(record) == frames[0].fields
