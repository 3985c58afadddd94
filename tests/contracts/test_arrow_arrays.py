"""Arrays built from buffers are what `pa.array` would build, and need no pandas."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.arrow_arrays import constant_text, index_array, int64_array, text_array, text_records_array

PAIRS = pa.list_(pa.struct([("code", pa.string()), ("value", pa.string())]))
TEXTS = st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"])))
LISTS = st.one_of(st.none(), st.lists(st.fixed_dictionaries({"code": TEXTS, "value": TEXTS}), max_size=3))


@given(st.lists(TEXTS))
def test_texts(texts: list[str | None]) -> None:
    built = text_array(texts)
    built.validate(full=True)
    assert built.to_pylist() == texts


@given(st.lists(LISTS))
def test_lists_of_structs(rows: list[list[dict[str, str | None]] | None]) -> None:
    built = text_records_array(rows, PAIRS)
    built.validate(full=True)
    assert built.to_pylist() == rows


def test_a_constant_is_held_once() -> None:
    built = constant_text("segment", 3)
    assert built.to_pylist() == ["segment"] * 3
    assert len(built.dictionary) == 1


def test_a_negative_position_takes_nothing() -> None:
    table = pa.table({"id": int64_array(np.array([10, 11]))})
    assert table.take(index_array(np.array([1, -1, 0])))["id"].to_pylist() == [11, None, 10]


@pytest.mark.parametrize("call", ["text_array(['a', None])", "constant_text('a', 2)", "int64_array(np.array([1]))"])
def test_no_pandas(call: str) -> None:
    code = f"import sys, numpy as np; from contracts.arrow_arrays import *; {call}; assert 'pandas' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
