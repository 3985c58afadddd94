"""JSON as text: what is read and written again is what was there, without the white space."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.json_texts import (
    MAX_DEPTH,
    Pairs,
    compact_json,
    json_objects,
    json_string,
    json_strings,
    parse_json_list,
    parse_json_text,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.mark.parametrize(
    ("text", "compact"),
    [
        pytest.param(" [ 1 , 2.50 , -0 , 1E+2 ] ", "[1,2.50,-0,1E+2]", id="numbers as they are written"),
        pytest.param('{ "b" : 1 , "a" : 2 , "b" : 3 }', '{"b":1,"a":2,"b":3}', id="pairs in order, repeated or not"),
        pytest.param(r'"\u00e9\/\n"', r'"é/\n"', id="escapes where they are needed"),
        pytest.param("[true,false,null]", "[true,false,null]", id="words"),
        pytest.param('"1"', '"1"', id="a string of digits is no number"),
    ],
)
def test_compact(text: str, compact: str) -> None:
    assert compact_json(parse_json_text(text)) == compact


def test_depth_is_counted_in_brackets_that_count() -> None:
    deep = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert compact_json(parse_json_text(deep)) == deep
    assert parse_json_text(f'["{"[" * 1000}\\"["]') == ["[" * 1000 + '"[']
    assert parse_json_text("[" + ",".join(["[]"] * 500) + "]") == [[]] * 500
    for text in (f"[{deep}]", '{"a":' * 100_000):
        with pytest.raises(ValueError, match=f"nested more than {MAX_DEPTH} deep"):
            parse_json_text(text)


@pytest.mark.parametrize("text", ["", "NaN", "[Infinity]", "1,2", "'a'", "{1:1}", "01", '"\n"', "\ufeff1"])
def test_what_is_not_json_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json_text(text)
    with pytest.raises(ValueError, match=r"."):
        parse_json_list([f"[{text or ','}]", "{"])


def test_an_object_is_its_pairs() -> None:
    value = parse_json_text('{"a":{"b":1},"a":[]}')
    assert value == [("a", [("b", "1")]), ("a", [])]
    assert isinstance(value, Pairs)
    assert isinstance(value[0][1], Pairs)
    assert not isinstance(value[1][1], Pairs)


@given(texts=st.lists(st.none() | TEXT | st.sampled_from(['"', "\\", "\x00", "\x1f", "\x7f", "é\n"])))
def test_columns_of_strings_are_what_each_string_is_alone(texts: list[str | None]) -> None:
    written = json_strings(pa.array(texts, pa.string())).to_pylist()
    assert written == [None if text is None else json_string(text) for text in texts]
    assert [None if text is None else json.loads(text) for text in written] == texts


@given(rows=st.lists(st.tuples(st.none() | TEXT, st.none() | TEXT)), names=st.tuples(TEXT, TEXT))
def test_columns_of_objects(rows: list[tuple[str | None, str | None]], names: tuple[str, str]) -> None:
    columns = [json_strings(pa.array([row[i] for row in rows], pa.string())) for i in (0, 1)]
    written = json_objects(names, columns).to_pylist()
    pairs = [json.loads(text, object_pairs_hook=list) for text in written]
    assert pairs == [list(zip(names, row, strict=True)) for row in rows]
