"""A HyperLogLog sketch as text: how many different values there are, roughly, and of several sets together, too.

Merging sketches gives the very sketch of the union. Pure: the hashes come from elsewhere.

Source: P. Flajolet et al., "HyperLogLog: the analysis of a near-optimal cardinality estimation algorithm", 2007.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from contracts.report_document import REGISTERS

STANDARD_ERROR = round(1.04 / math.sqrt(REGISTERS), 4)
"""Relative."""

_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_VALUE = {digit: value for value, digit in enumerate(_DIGITS)}
_BITS = REGISTERS.bit_length() - 1
_PER_REGISTER = 3
"""Digits of a register that is written with its number."""
_GUARD = np.uint64(1 << (64 - _BITS - 1))
_ALPHA = 0.7213 / (1 + 1.079 / REGISTERS)

Registers = NDArray[np.int8]


def registers_of(hashes: NDArray[np.uint64]) -> Registers:
    """The sketch of values by their hashes (64 evenly spread bits each; a value's is always the same)."""
    registers = np.zeros(REGISTERS, dtype=np.int8)
    rest = (hashes >> np.uint64(_BITS)) | _GUARD
    lowest = rest & (~rest + np.uint64(1))
    ranks = np.log2(lowest.astype(np.float64)).astype(np.int8) + np.int8(1)
    np.maximum.at(registers, (hashes & np.uint64(REGISTERS - 1)).astype(np.int64), ranks)
    return registers


def merged(parts: Iterable[Registers]) -> Registers:
    """The sketch of the union."""
    registers = np.zeros(REGISTERS, dtype=np.int8)
    for part in parts:
        np.maximum(registers, part, out=registers)
    return registers


def distinct_values(registers: Registers) -> int:
    """How many different values a sketch has seen, with a relative standard error of `STANDARD_ERROR`."""
    empty = int(np.count_nonzero(registers == 0))
    estimate = _ALPHA * REGISTERS**2 / math.fsum(2.0 ** -registers.astype(np.float64))
    if estimate <= 2.5 * REGISTERS and empty:
        estimate = REGISTERS * math.log(REGISTERS / empty)
    return round(estimate)


def to_text(registers: Registers) -> str:
    """As it stands in documents: every register a digit, or of few non-zero ones each with its number before it."""
    used = np.flatnonzero(registers)
    if len(used) * _PER_REGISTER < REGISTERS:
        return "".join(_DIGITS[i >> 6] + _DIGITS[i & 63] + _DIGITS[registers[i]] for i in used.tolist())
    return "".join(_DIGITS[rank] for rank in registers.tolist())


def from_text(text: str) -> Registers:
    """Read a sketch.

    Raises:
        ValueError: It is none.
    """
    try:
        digits = [_VALUE[digit] for digit in text]
    except KeyError:
        digits = [0]
    if len(digits) == REGISTERS:
        return np.array(digits, dtype=np.int8)
    registers = np.zeros(REGISTERS, dtype=np.int8)
    places = [64 * high + low for high, low in zip(digits[::3], digits[1::3], strict=False)]
    if len(digits) % _PER_REGISTER or (places and max(places) >= REGISTERS):
        msg = "it is no sketch of distinct values"
        raise ValueError(msg)
    registers[places] = digits[2::3]
    return registers
