"""JSON as text that keeps what it was: numbers with all their digits, objects with all their pairs.

Reads one value strictly by RFC 8259 and writes it compactly, without a float or a dict in between; also writes whole
columns of texts as JSON strings and objects, for `_hg_extra`. Canonical JSON for digests is `contracts.canonical`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.compute as pc

_NEEDS_ESCAPE = r'["\\\x00-\x1f]'


MAX_DEPTH = 128
"""Deeper nesting is refused: parsers recurse, and how far differs between versions of Python."""


class Literal(str):
    """A number, as it is written."""

    __slots__ = ()


class Pairs(list[tuple[str, Any]]):
    """An object as its pairs, in order, repeated names and all."""

    __slots__ = ()


def parse_json_text(text: str) -> Any:
    """Read one JSON value: str, Literal, bool, None, list, Pairs.

    Raises:
        ValueError: It is not JSON, or nested more deeply than can be read.

    Source: RFC 8259; NaN and Infinity, which Python would read, are not in it.
    """
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        msg = f"it is nested more than {MAX_DEPTH} deep"
        raise ValueError(msg)
    return _DECODER.decode(text)


def parse_json_list(texts: Iterable[str]) -> list[Any]:
    """Read many JSON values at once, numbers as Python's.

    Raises:
        ValueError: At least one of them is not JSON.
    """
    values: list[Any] = _CHECKER.decode(f"[{','.join(texts)}]")
    return values


def compact_json(value: Any) -> str:
    """Write what `parse_json_text` gave, without white space; numbers as they were written."""
    if isinstance(value, Literal):
        return str(value)
    if isinstance(value, str):
        return json_string(value)
    if isinstance(value, Pairs):
        return "{" + ",".join(f"{json_string(name)}:{compact_json(inner)}" for name, inner in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(compact_json, value)) + "]"
    return _WORDS[value]


def json_string(text: str) -> str:
    """One text as a JSON string, other alphabets as they are."""
    return _ENCODER.encode(text)


def json_strings(texts: pa.StringArray) -> pa.StringArray:
    """Each text as a JSON string, NULL as NULL."""
    quoted = pc.binary_join_element_wise('"', texts, '"', "")
    special = pc.fill_null(pc.match_substring_regex(texts, _NEEDS_ESCAPE), fill_value=False)
    if pc.any(special).as_py():
        escaped = [json_string(text) for text in texts.filter(special).to_pylist()]
        quoted = pc.replace_with_mask(quoted, special, pa.array(escaped, pa.string()))
    return quoted


def json_objects(names: Sequence[str], values: Sequence[pa.StringArray]) -> pa.StringArray:
    """One object a row.

    Args:
        names: The objects' names, in order; at least one.
        values: JSON texts, one array a name, all of one length; NULL becomes `null`.
    """
    parts: list[str | pa.StringArray] = []
    for i, (name, value) in enumerate(zip(names, values, strict=True)):
        parts += [("," if i else "{") + json_string(name) + ":", pc.fill_null(value, "null")]
    return pc.binary_join_element_wise(*parts, "}", "")


def _depth(text: str) -> int:
    deepest = depth = 0
    for bracket in _BRACKET_OR_STRING.findall(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(bracket, 0)
        deepest = max(deepest, depth)
    return deepest


def _refuse_constant(word: str) -> NoReturn:
    msg = f"JSON has no {word}"
    raise ValueError(msg)


_BRACKET_OR_STRING = re.compile(r'"(?:[^"\\]|\\.)*"?|[][{}]', re.DOTALL)

_WORDS = {True: "true", False: "false", None: "null"}

_ENCODER = json.JSONEncoder(ensure_ascii=False)

_CHECKER = json.JSONDecoder(parse_constant=_refuse_constant)

_DECODER = json.JSONDecoder(
    object_pairs_hook=Pairs, parse_int=Literal, parse_float=Literal, parse_constant=_refuse_constant, strict=True
)
