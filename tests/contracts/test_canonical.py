"""Canonical JSON: RFC 8785's own vectors, then what it refuses."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.canonical import canonical_bytes, parse_json

VECTORS = ["arrays", "french", "structures", "unicode", "values", "weird"]
SAFE = 2**53

# Beyond 2**53 every float is whole and may be written without exponent; it then reads back as an integer of that size,
# which is refused.
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-SAFE, SAFE) | st.floats(-SAFE, SAFE) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


@pytest.mark.parametrize("name", VECTORS)
def test_the_standards_documents(corpora: Path, name: str) -> None:
    given_bytes = (corpora / "jcs/input" / f"{name}.json").read_bytes()
    expected = (corpora / "jcs/output" / f"{name}.json").read_bytes()
    in_hex = bytes.fromhex((corpora / "jcs/outhex" / f"{name}.txt").read_text())
    assert canonical_bytes(parse_json(given_bytes)) == expected == in_hex


def test_the_standards_ten_thousand_numbers(corpora: Path) -> None:
    lines = (corpora / "jcs/es6_first10000.txt").read_text().splitlines()
    assert len(lines) == 10_000
    wrong = [
        (line, written)
        for line in lines
        for bits, expected in [line.split(",")]
        for written in [canonical_bytes(struct.unpack(">d", bytes.fromhex(bits.rjust(16, "0")))[0]).decode()]
        if written != expected
    ]
    assert wrong == []


NUMBERS = {
    "zero": (0.0, "0"),
    "minus zero": (-0.0, "0"),
    "the smallest": (5e-324, "5e-324"),
    "the largest": (1.7976931348623157e308, "1.7976931348623157e+308"),
    "the last without exponent": (1e20, "100000000000000000000"),
    "the first with exponent": (1e21, "1e+21"),
    "the last small one without exponent": (1e-6, "0.000001"),
    "the first small one with exponent": (1e-7, "1e-7"),
    "a whole number that is a float": (10.0, "10"),
    "a negative fraction": (-1.5, "-1.5"),
}
"""RFC 8785, appendix B."""


@pytest.mark.parametrize(("number", "text"), NUMBERS.values(), ids=NUMBERS.keys())
def test_numbers_at_the_edges(number: float, text: str) -> None:
    assert canonical_bytes(number) == text.encode()


def test_names_are_sorted_by_utf_16_units() -> None:
    # U+1F600 is a surrogate pair (D83D...), which sorts before U+FB33 although its code point is higher.
    assert canonical_bytes({"\ufb33": 1, "\U0001f600": 2, "\u20ac": 3, "1": 4, "\r": 5}) == (
        '{"\\r":5,"1":4,"\u20ac":3,"\U0001f600":2,"\ufb33":1}'.encode()
    )


REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "not a number": (math.nan, ValueError, "JSON has no nan"),
    "infinity": ([math.inf], ValueError, "JSON has no inf"),
    "a number that readers would round": (SAFE + 1, ValueError, "write it as a string"),
    "the same below zero": (-SAFE - 1, ValueError, "beyond 2\\*\\*53"),
    "a lone surrogate": ("\ud800", ValueError, "surrogates not allowed"),
    "a name with a lone surrogate": ({"\ud800": 1}, ValueError, "surrogates not allowed"),
    "a name that is no string": ({1: 2}, TypeError, "names that are strings, not int"),
    "bytes": (b"x", TypeError, "canonical JSON has no bytes"),
    "a set": ({1}, TypeError, "canonical JSON has no set"),
}


@pytest.mark.parametrize(("value", "error", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_json_has_no_word_for(value: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        canonical_bytes(value)


@pytest.mark.parametrize(
    "text", ['{"a":1,"a":2}', '{"x":{"a":1,"a":2}}', "NaN", "[Infinity]", "-Infinity", "{", "", "[" * 100_000]
)
def test_json_is_read_strictly(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_json(text)


@given(JSON_VALUES)
def test_what_is_written_reads_back_and_writes_the_same(value: Any) -> None:
    data = canonical_bytes(value)
    assert canonical_bytes(parse_json(data)) == data
    assert json.loads(data) == value


@given(st.dictionaries(st.text(), st.integers(-SAFE, SAFE), min_size=2))
def test_the_order_of_names_does_not_show(value: dict[str, int]) -> None:
    assert canonical_bytes(dict(reversed(value.items()))) == canonical_bytes(value)
