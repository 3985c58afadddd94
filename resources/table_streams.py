"""Tables as people hold them in Python (Arrow, DuckDB, pandas, polars), to and from one stream of Arrow batches.

pandas and polars are not imported here unless somebody hands one in or asks for one.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import duckdb
import pyarrow as pa

from contracts.errors import UsageError

KINDS = (
    "pyarrow.Table, pyarrow.RecordBatchReader, duckdb.DuckDBPyRelation, pandas.DataFrame, polars.DataFrame or "
    "polars.LazyFrame"
)
_ROWS_A_BATCH = 122_880
"""DuckDB's own row group."""


def stream_of(table: Any, what: str) -> pa.RecordBatchReader:
    """The rows of a table, lazily where it allows that.

    Args:
        table: Any of `KINDS`.
        what: Whose table, for the message.

    Raises:
        UsageError: It is something else.
    """
    if isinstance(table, pa.RecordBatchReader):
        return table
    if isinstance(table, (pa.Table, pa.RecordBatch)):
        whole = pa.Table.from_batches([table]) if isinstance(table, pa.RecordBatch) else table
        return whole.to_reader()
    if isinstance(table, duckdb.DuckDBPyRelation):
        return table.to_arrow_reader(_ROWS_A_BATCH)
    kind = f"{type(table).__module__.partition('.')[0]}.{type(table).__name__}"
    if kind == "pandas.DataFrame":
        named = [name for name in table.index.names if name is not None]
        frame = table.reset_index(level=named) if named else table
        return pa.Table.from_pandas(frame, preserve_index=False).to_reader()
    if kind == "polars.LazyFrame":
        table = table.collect()
    if kind in {"polars.LazyFrame", "polars.DataFrame"}:
        return table.to_arrow().to_reader()
    msg = f"{what} returned {kind}. Return one of {KINDS}; for several partitions, a dict of them by partition key."
    raise UsageError(msg, kind=kind)


def taker_of(annotation: Any) -> Callable[[duckdb.DuckDBPyRelation], Any] | None:
    """How to turn a relation into what an input is annotated as; None when it is no table.

    Args:
        annotation: The type; without one (`Any`) a `pyarrow.Table` is given.
    """
    name = f"{getattr(annotation, '__module__', '').partition('.')[0]}.{getattr(annotation, '__name__', annotation)}"
    takers: dict[str, Callable[[duckdb.DuckDBPyRelation], Any]] = {
        "pyarrow.Table": lambda relation: relation.to_arrow_table(),
        "pyarrow.RecordBatchReader": lambda relation: relation.to_arrow_reader(_ROWS_A_BATCH),
        "pandas.DataFrame": lambda relation: relation.df(),
        "polars.DataFrame": lambda relation: importlib.import_module("polars").from_arrow(relation.to_arrow_table()),
        "polars.LazyFrame": lambda relation: (
            importlib.import_module("polars").from_arrow(relation.to_arrow_table()).lazy()
        ),
    }
    if annotation is duckdb.DuckDBPyRelation:
        return lambda relation: relation
    if annotation in {Any, None, object}:
        return takers["pyarrow.Table"]
    return takers.get(name)
