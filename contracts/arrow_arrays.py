"""Arrow arrays built from their buffers.

`pa.array` imports pandas to look for its types, a third of a second in a process that needs it for nothing else; and
numpy's memory can become Arrow's without a copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def int64_array(numbers: NDArray[np.int64]) -> pa.Int64Array:
    """The same numbers, sharing the memory."""
    return pa.Array.from_buffers(pa.int64(), len(numbers), [None, pa.py_buffer(np.ascontiguousarray(numbers))])


def index_array(positions: NDArray[np.int64]) -> pa.Int64Array:
    """Positions to `take` by; a negative one is NULL, which takes NULLs."""
    there = _bitmap(positions >= 0)
    return pa.Array.from_buffers(pa.int64(), len(positions), [there, pa.py_buffer(np.ascontiguousarray(positions))])


def text_array(texts: Sequence[str | None]) -> pa.StringArray:
    """Texts, at most 2 GiB of them; None is NULL."""
    encoded = [b"" if text is None else text.encode() for text in texts]
    offsets = np.zeros(len(encoded) + 1, np.int32)
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    buffers = [_bitmap(np.array([text is not None for text in texts], bool)), pa.py_buffer(offsets)]
    return pa.Array.from_buffers(pa.string(), len(encoded), [*buffers, pa.py_buffer(b"".join(encoded))])


def constant_text(text: str, rows: int) -> pa.DictionaryArray:
    """The same text on every row, held once."""
    codes = pa.Array.from_buffers(pa.int8(), rows, [None, pa.py_buffer(bytes(rows))])
    return pa.DictionaryArray.from_arrays(codes, text_array([text]))


def text_records_array(rows: Sequence[Sequence[Mapping[str, str | None]] | None], kind: pa.ListType) -> pa.ListArray:
    """Lists of structs of texts; None is NULL.

    Args:
        rows: Each row's list, its structs as mappings from field name.
        kind: A list of structs whose fields are all strings.
    """
    flat = [record for row in rows for record in row or ()]
    names = [kind.value_type.field(i).name for i in range(kind.value_type.num_fields)]
    columns = [text_array([record[name] for record in flat]) for name in names]
    structs = pa.StructArray.from_arrays(columns, fields=list(kind.value_type))
    offsets = np.zeros(len(rows) + 1, np.int32)
    np.cumsum([len(row or ()) for row in rows], out=offsets[1:])
    there = _bitmap(np.array([row is not None for row in rows], bool))
    return pa.Array.from_buffers(kind, len(rows), [there, pa.py_buffer(offsets)], children=[structs])


def _bitmap(there: NDArray[np.bool_]) -> pa.Buffer | None:
    """Arrow's word on which values are not NULL; None when all are."""
    return None if there.all() else pa.py_buffer(np.packbits(there, bitorder="little"))
