"""Reading JSON Lines: text that keeps what was written, and one reason per line that is no record."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.records import read_records, records_schema
from contracts.table_contract import Column, JsonLinesFormat, TableContract
from tests.contracts.reading import Outcome, outcome, text_contract, whole

ABC = ["a", "b"]


def contract(columns: Any = ABC, undeclared: str = "quarantine", **layout: Any) -> TableContract:
    return text_contract(JsonLinesFormat(**layout), columns, undeclared_columns=undeclared)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param('"x"', "x", id="a string"),
        pytest.param('""', "", id="an empty string is not NULL"),
        pytest.param('"null"', "null", id="a string that says null"),
        pytest.param("null", None, id="null"),
        pytest.param("true", "true", id="true"),
        pytest.param("false", "false", id="false"),
        pytest.param("0", "0", id="zero"),
        pytest.param("-0", "-0", id="minus zero"),
        pytest.param("1.10", "1.10", id="a trailing zero is kept"),
        pytest.param("1E+2", "1E+2", id="an exponent is kept"),
        pytest.param(
            "0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827", id="every digit is kept"
        ),
        pytest.param("9" * 5000, "9" * 5000, id="more digits than Python likes"),
        pytest.param(r'"a\n\"\\\/\u00e9\ud83c\udf88\u0000"', 'a\n"\\/é🎈\0', id="escapes"),
        pytest.param('"{,}:[ ]"', "{,}:[ ]", id="brackets in a string"),
        pytest.param('"é日本"', "é日本", id="other alphabets"),
        pytest.param("[]", "[]", id="an empty array"),
        pytest.param(
            '[1, 2.50, {"x" : "\\u00e9 y", "x":null}]', '[1,2.50,{"x":"é y","x":null}]', id="a nested value, compact"
        ),
        pytest.param('{"k":[true,"[{"]}', '{"k":[true,"[{"]}', id="a nested value that is compact already"),
        pytest.param("[" * 127 + "]" * 127, "[" * 127 + "]" * 127, id="deep nesting"),
    ],
)
def test_text_of_a_value(value: str, text: str | None) -> None:
    lines = [
        f'{{"a":{value},"b":"after"}}',
        f'{{ "b": "after", "a": {value} }}',
        f'\t{{"b"\t:\t"after"   ,   "a"  :   {value}  }}  ',
        f'{{"\\u0061":{value},"b":"after"}}',
    ]
    for end in ("\n", "\r\n"):
        result = whole(end.join(lines).encode(), contract())
        assert result.reasons == {}
        assert list(result.rows.values()) == [{"a": text, "b": "after"}] * 4


@pytest.mark.parametrize(
    ("line", "reasons", "message"),
    [
        pytest.param(b"nope", [("NOT_JSON", None)], "the line is not JSON: Expecting value", id="no JSON"),
        pytest.param(b" ", [("NOT_JSON", None)], "Expecting value", id="a blank"),
        pytest.param(b'{"a":1', [("NOT_JSON", None)], "Expecting ',' delimiter", id="cut short"),
        pytest.param(b'{"a":"x', [("NOT_JSON", None)], "Unterminated string", id="cut short in a string"),
        pytest.param(b'{"a":1}}', [("NOT_JSON", None)], "Extra data", id="a bracket too many"),
        pytest.param(b'{"a":1}{"a":2}', [("NOT_JSON", None)], "Extra data", id="two objects"),
        pytest.param(b'{"a":1,}', [("NOT_JSON", None)], "property name", id="a trailing comma"),
        pytest.param(b'{"a":[1,]}', [("NOT_JSON", None)], "Expecting value", id="a trailing comma inside"),
        pytest.param(b'{"a":[1}', [("NOT_JSON", None)], "Expecting ',' delimiter", id="the wrong bracket"),
        pytest.param(b'{"a":[1}]', [("NOT_JSON", None)], "Expecting ',' delimiter", id="brackets crossed"),
        pytest.param(b"{'a':1}", [("NOT_JSON", None)], "property name", id="single quotes"),
        pytest.param(b"{a:1}", [("NOT_JSON", None)], "property name", id="a bare name"),
        pytest.param(b"{1:1}", [("NOT_JSON", None)], "property name", id="a number as a name"),
        pytest.param(b'{"a":01}', [("NOT_JSON", None)], "delimiter", id="a leading zero"),
        pytest.param(b'{"a":.5}', [("NOT_JSON", None)], "Expecting value", id="no digit before the point"),
        pytest.param(b'{"a":5.}', [("NOT_JSON", None)], "delimiter", id="no digit after the point"),
        pytest.param(b'{"a":+5}', [("NOT_JSON", None)], "Expecting value", id="a plus sign"),
        pytest.param(b'{"a":0x1F}', [("NOT_JSON", None)], "delimiter", id="hexadecimal"),
        pytest.param('{"a":٣}'.encode(), [("NOT_JSON", None)], "Expecting value", id="an Arabic digit"),
        pytest.param(b'{"a":NaN}', [("NOT_JSON", None)], "JSON has no NaN", id="NaN"),
        pytest.param(b'{"a":-Infinity}', [("NOT_JSON", None)], "JSON has no -Infinity", id="infinity"),
        pytest.param(b'{"a":[NaN]}', [("NOT_JSON", None)], "JSON has no NaN", id="NaN inside"),
        pytest.param(b'{"a":True}', [("NOT_JSON", None)], "Expecting value", id="Python's True"),
        pytest.param(b'{"a":tru}', [("NOT_JSON", None)], "Expecting value", id="half a word"),
        pytest.param(b'{"a":1 2}', [("NOT_JSON", None)], "delimiter", id="two values"),
        pytest.param(b'{"a":"x" "y"}', [("NOT_JSON", None)], "delimiter", id="two strings"),
        pytest.param(b'{"a" 1}', [("NOT_JSON", None)], "Expecting ':'", id="no colon"),
        pytest.param(b'{"a"::1}', [("NOT_JSON", None)], "Expecting value", id="two colons"),
        pytest.param(b'{"a":1,,"b":2}', [("NOT_JSON", None)], "property name", id="two commas"),
        pytest.param(b'{"a":}', [("NOT_JSON", None)], "Expecting value", id="no value"),
        pytest.param(b'{"a":"\\x"}', [("NOT_JSON", None)], "Invalid \\escape", id="an unknown escape"),
        pytest.param(b'{"a":"\\u12"}', [("NOT_JSON", None)], "Invalid \\u", id="half an escape"),
        pytest.param(b'{"a":"x\ty"}', [("NOT_JSON", None)], "Invalid control character", id="a tab in a string"),
        pytest.param(b'{"a":"x\ry"}', [("NOT_JSON", None)], "Invalid control character", id="a return in a string"),
        pytest.param(b'{"a":"x\0y"}', [("NOT_JSON", None)], "Invalid control character", id="NUL in a string"),
        pytest.param(b"\xef\xbb\xbf{}", [("NOT_JSON", None)], "Expecting value", id="a byte order mark inside"),
        pytest.param(
            b"[" * 200 + b"]" * 200, [("NOT_JSON", None)], "nested more than 128 deep", id="nesting beyond reason"
        ),
        pytest.param(
            b'{"a":' + b"[" * 5000 + b"}", [("NOT_JSON", None)], "nested more than", id="nesting that never closes"
        ),
        pytest.param(b"[1]", [("NOT_AN_OBJECT", None)], "JSON but not an object", id="an array"),
        pytest.param(b'"x"', [("NOT_AN_OBJECT", None)], "JSON but not an object", id="a string"),
        pytest.param(b"7", [("NOT_AN_OBJECT", None)], "JSON but not an object", id="a number"),
        pytest.param(b"null", [("NOT_AN_OBJECT", None)], "JSON but not an object", id="null"),
        pytest.param(b'{"a":"\xff"}', [("UNDECODABLE_TEXT", None)], "no text", id="no UTF-8"),
        pytest.param(b'{"a":"\\ud800"}', [("UNDECODABLE_TEXT", None)], "half of a surrogate pair", id="half a pair"),
        pytest.param(
            b'{"a":["\\udc00x"]}', [("UNDECODABLE_TEXT", None)], "half of a surrogate pair", id="half a pair inside"
        ),
        pytest.param(b'{"a":1,"a":1}', [("COLUMN_REPEATED", "a")], "the record has more than once", id="a name twice"),
        pytest.param(b'{"a":1,"b":1,"a":null}', [("COLUMN_REPEATED", "a")], "'a'", id="a name twice, not in a row"),
        pytest.param(b'{"a":1,"x":1}', [("COLUMN_UNDECLARED", "x")], "the record has, the column 'x'", id="undeclared"),
        pytest.param(
            b'{"x":1,"x":1}', [("COLUMN_UNDECLARED", "x"), ("COLUMN_REPEATED", "x")], "'x'", id="undeclared twice"
        ),
        pytest.param(b'{"_hg_record":1}', [("COLUMN_RESERVED", "_hg_record")], "reserved", id="reserved"),
        pytest.param(b'{"\\ud800":1}', [("COLUMN_UNDECLARED", "\\ud800")], "ud800", id="half a pair as a name"),
    ],
)
def test_a_bad_line_leaves_its_neighbours_alone(
    line: bytes, reasons: list[tuple[str, str | None]], message: str
) -> None:
    good = b'{"a":"1","b":"2"}'
    result = whole(b"\n".join([good, line, b"", good]), contract())
    assert result.rows == {1: {"a": "1", "b": "2"}, 3: {"a": "1", "b": "2"}}
    assert result.reasons == {2: reasons}
    assert message in " ".join(result.messages[2])
    assert result.raw[2] == line + b"\n"


def test_missing_names_are_null_unless_they_may_not_be() -> None:
    columns = [
        Column(name="a", type="VARCHAR", required=True),
        Column(name="b", type="VARCHAR", absent="quarantine"),
        "c",
    ]
    result = whole(b'{"a":"1","b":null}\n{"b":"2"}\n{"a":"3","c":"4"}\n{}\n', contract(columns))
    assert result.rows == {1: {"a": "1", "b": None, "c": None}}
    assert result.reasons == {2: [("COLUMN_ABSENT", "a")], 3: [("COLUMN_ABSENT", "b")], 4: [("COLUMN_ABSENT", None)]}
    assert result.messages[4] == ["the record lacks the columns 'a', 'b'"]


def test_an_alias_brings_the_column() -> None:
    columns = [Column(name="a", type="VARCHAR", aliases=("b", "x")), "b"]
    result = whole(b'{"x":"1","b":"2"}\n{"a":"1","x":"2"}\n', contract(columns))
    assert result.rows == {1: {"a": "1", "b": "2"}}
    assert result.reasons == {2: [("COLUMN_REPEATED", "x")]}


def test_undeclared_members_are_kept_as_json() -> None:
    lines = [
        '{"z":"1","a":"x","q\\"":1.50}',
        '{"a":"x"}',
        '{"z":null,"m":[1, {"k":"v"}],"é":"a\\nb"}',
        '{"m":true,"a":null,"z":"null"}',
        '\t{"m":1E2,"a":null,"z":"\\u00e9\\""}',
        '{"_hg_x":1}',
        '{"y":1,"y":1}',
    ]
    result = whole("\n".join(lines).encode(), contract(["a"], "keep"))
    assert [row["_hg_extra"] for row in result.rows.values()] == [
        '{"q\\"":1.50,"z":"1"}',
        None,
        '{"m":[1,{"k":"v"}],"z":null,"é":"a\\nb"}',
        '{"m":true,"z":"null"}',
        '{"m":1E2,"z":"é\\""}',
    ]
    assert result.reasons == {6: [("COLUMN_RESERVED", "_hg_x")], 7: [("COLUMN_REPEATED", "y")]}


def test_very_many_undeclared_names_are_kept_too() -> None:
    lines = [json.dumps({"a": str(i), f"n{i}": i}) for i in range(500)]
    result = whole("\n".join(lines).encode(), contract(["a"], "keep"))
    assert [row["_hg_extra"] for row in result.rows.values()] == [f'{{"n{i}":{i}}}' for i in range(500)]


def test_the_table_has_the_contracts_columns_and_the_record_number() -> None:
    for data in (b'{"b":"1"}', b'\t{"b":"1"}', b"nope", b'{"b":"1"}\n\t{"b":"1"}\n7'):
        of = contract(undeclared="keep")
        assert next(iter(read_records([data], of))).table.schema == records_schema(of)


@pytest.mark.parametrize("data", [b"", b"\n\r\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"], ids=repr)
def test_a_file_without_records_is_fine(data: bytes) -> None:
    assert whole(data, contract()) == Outcome()


def test_encodings_and_limits() -> None:
    line = '{"a":"é","b":"2"}\n'
    assert whole(f"\ufeff{line}".encode(), contract()).rows == {1: {"a": "é", "b": "2"}}
    assert whole((line * 2).encode("utf-16"), contract(encoding="utf-16")).records == 2
    result = whole(line.encode() + b" " * 3000 + b"\n" + line.encode(), contract(max_record_bytes=1024))
    assert result.reasons == {2: [("RECORD_TOO_LONG", None)]}
    assert list(result.rows) == [1, 3]


NAMES = st.sampled_from(["a", "b", "B", "x", 'q"', "é", "_hg_x", ""])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=6),
    st.sampled_from(["null", "1", "{", "}", ",", '"', "\\", "\ud800", "é", " "]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
OBJECTS = st.builds(
    lambda pairs, comma, colon, ascii_only: (
        "{"
        + comma.join(
            f"{json.dumps(n, ensure_ascii=True)}{colon}{json.dumps(v, ensure_ascii=ascii_only)}" for n, v in pairs
        )
        + "}"
    ),
    st.lists(st.tuples(NAMES, VALUES), max_size=4),
    st.sampled_from([",", ", ", " ,", "\t,", ",   "]),
    st.sampled_from([":", ": ", " : "]),
    st.booleans(),
)
TOKENS = st.lists(
    st.sampled_from([*'{}[]:,"\\ \t0123.-+eE', "true", "null", "nan", '"a"', '"b":1', "\\u00", "\r"]), max_size=12
).map("".join)


def spoilt(line: str, places: list[tuple[int, str]]) -> str:
    """The line with characters inserted or, for an empty one, taken out."""
    for place, character in places:
        at = place % (len(line) + 1)
        line = line[:at] + character + line[at + (not character) :]
    return line


SPOILT = st.builds(
    spoilt,
    OBJECTS,
    st.lists(st.tuples(st.integers(0, 200), st.sampled_from(["", "", *'{}[]:,"\\ \t1-e.'])), max_size=2),
)
TEXTS = st.lists(st.one_of(OBJECTS, SPOILT, TOKENS), max_size=8)


def reference(line: bytes, of: TableContract) -> dict[str, str | None] | None:  # noqa: C901 - plain steps, one after the other
    """The row in one JSON line by Python's own reader; None when there is none."""

    def pairs(items: list[tuple[str, Any]]) -> list[tuple[str, Any]] | dict[str, Any]:
        return {"pairs": items}

    class Number(str):
        __slots__ = ()

    def refuse(word: str) -> Any:
        raise ValueError(word)

    def compact(value: Any) -> str:
        if isinstance(value, Number):
            return value
        if isinstance(value, dict):
            return "{" + ",".join(f"{compact(n)}:{compact(v)}" for n, v in value["pairs"]) + "}"
        if isinstance(value, list):
            return "[" + ",".join(map(compact, value)) + "]"
        return json.dumps(value, ensure_ascii=False)

    try:
        value = json.loads(
            line.decode(), object_pairs_hook=pairs, parse_int=Number, parse_float=Number, parse_constant=refuse
        )
    except ValueError:
        return None
    if not isinstance(value, dict):
        return None
    row: dict[str, str | None] = {column.name: None for column in of.columns}
    aliases = {alias: column.name for column in of.columns for alias in column.aliases}
    names = [aliases.get(name, name) for name, _ in value["pairs"]]
    if len(set(names)) < len(names) or any(name.startswith("_hg_") for name in names):
        return None
    extras = {}
    for name, (_, inner) in zip(names, value["pairs"], strict=True):
        if name not in row:
            extras[name] = inner
        elif inner is not None:
            row[name] = str(inner) if isinstance(inner, str) else compact(inner)
    if extras and of.undeclared_columns == "quarantine":
        return None
    if of.undeclared_columns == "keep":
        row["_hg_extra"] = compact({"pairs": sorted(extras.items())}) if extras else None
    try:
        "".join(text or "" for text in row.values()).encode()
    except UnicodeEncodeError:
        return None
    return row


@settings(max_examples=300)
@given(texts=TEXTS, keep=st.booleans(), needed=st.booleans(), only=st.sets(st.integers(1, 9)))
def test_any_lines_read_as_the_reference_reads_them(texts: list[str], keep: bool, needed: bool, only: set[int]) -> None:
    columns = [Column(name="a", type="VARCHAR", required=needed), Column(name="b", type="VARCHAR", aliases=("B",))]
    of = contract(columns, "keep" if keep else "quarantine")
    data = "\n".join(texts).encode("utf-8", "surrogatepass")
    result = whole(data, of)
    for number, line in result.raw.items():
        expected = reference(line, of)
        if needed and b'"a"' not in line and expected is not None and expected["a"] is None:
            expected = None
        assert result.rows.get(number) == expected, line
    some = outcome([data], of, sorted(only))
    assert some.rows == {number: row for number, row in result.rows.items() if number in only}
    assert some.messages == {number: messages for number, messages in result.messages.items() if number in only}


def place_free(messages: list[str]) -> list[str]:
    """Messages without the position that an added tab shifts by one."""
    return [re.sub(r": line 1 column \d+ \(char \d+\)", "", message) for message in messages]


@settings(max_examples=300)
@given(texts=TEXTS, keep=st.booleans())
def test_reading_together_and_reading_one_by_one_agree(texts: list[str], keep: bool) -> None:
    """A tab before a line is white space to JSON, and sends the line to the strict parser."""
    of = contract(ABC, "keep" if keep else "quarantine")
    lines = [line for text in texts for line in text.split("\n") if line.strip("\r")]
    together = whole("\n".join(lines).encode("utf-8", "surrogatepass"), of)
    singly = whole("\n".join("\t" + line for line in lines).encode("utf-8", "surrogatepass"), of)
    assert together.rows == singly.rows
    assert together.reasons == singly.reasons
    assert [place_free(m) for m in together.messages.values()] == [place_free(m) for m in singly.messages.values()]
