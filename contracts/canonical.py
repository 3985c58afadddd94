"""Canonical JSON (RFC 8785): one value, one sequence of bytes, so that a digest over it means something.

Only what JSON has goes in: None, bool, str, int, float, list or tuple, and dict with str keys. Integers beyond
2**53 are refused, because a JSON reader elsewhere would round them; write such numbers as strings.
"""

from __future__ import annotations

import json
import math
from json.encoder import encode_basestring
from typing import Any

_SAFE_INTEGER = 2**53


def canonical_bytes(value: Any) -> bytes:
    """Serialize `value` as RFC 8785 says.

    Raises:
        ValueError: NaN, infinity, an integer beyond 2**53, a lone surrogate.
        TypeError: Anything JSON has no word for.

    Source: RFC 8785, sections 3.2.2 (primitives) and 3.2.3 (sorting by UTF-16 code units).
    """
    return _serialize(value).encode("utf-8")


def parse_json(data: bytes | str) -> Any:
    """Read JSON strictly: duplicate names and NaN, which RFC 8785 excludes, are errors (ValueError).

    So is nesting that Python cannot follow: whoever reads a stranger's document must not die of it.
    """
    try:
        return json.loads(data, object_pairs_hook=_unique_pairs, parse_constant=_refuse_constant)
    except RecursionError:
        msg = "it is nested too deeply to be read"
    raise ValueError(msg)


def _serialize(value: Any) -> str:
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_serialize, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{_string(k)}:{_serialize(value[k])}" for k in sorted(value, key=_utf16_units)) + "}"
    msg = f"canonical JSON has no {type(value).__name__}"
    raise TypeError(msg)


def _utf16_units(name: str) -> bytes:
    if not isinstance(name, str):
        msg = f"canonical JSON wants names that are strings, not {type(name).__name__}"
        raise TypeError(msg)
    return name.encode("utf-16-be", "surrogatepass")


def _string(text: str) -> str:
    text.encode("utf-8")  # a lone surrogate is no text: UnicodeEncodeError is a ValueError
    return encode_basestring(text)


def _integer(number: int) -> str:
    if abs(number) > _SAFE_INTEGER:
        msg = f"{number} is beyond 2**53 and would be rounded by other readers of JSON: write it as a string"
        raise ValueError(msg)
    return str(number)


def _number(number: float) -> str:
    """ECMAScript's Number::toString: the shortest digits that round-trip, laid out by exponent.

    Source: ECMA-262, "Number::toString"; RFC 8785, section 3.2.2.3.
    """
    if not math.isfinite(number):
        msg = f"JSON has no {number}"
        raise ValueError(msg)
    if number == 0:
        return "0"
    mantissa, _, exponent = f"{abs(number)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    count = len(digits)
    if count <= point <= 21:
        text = digits + "0" * (point - count)
    elif 0 < point <= 21:
        text = f"{digits[:point]}.{digits[point:]}"
    elif -6 < point <= 0:
        text = "0." + "0" * -point + digits
    else:
        rest = f".{digits[1:]}" if count > 1 else ""
        text = f"{digits[0]}{rest}e{point - 1:+d}"
    return f"-{text}" if number < 0 else text


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        msg = "the same name stands twice in one object"
        raise ValueError(msg)
    return result


def _refuse_constant(name: str) -> Any:
    msg = f"JSON has no {name}"
    raise ValueError(msg)
