"""Sinks: the formats in which a version is published, and what its files are called.

Parquet always: it is what the gates judge and everything else is made from. The others are exports, each the whole
version once more for tools that want it so. How a file is written and checked is not said here.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-")


class Sink(StrEnum):
    """A format."""

    PARQUET = "parquet"
    CSV = "csv"
    DUCKDB = "duckdb"


def in_order(sinks: Iterable[Sink]) -> tuple[Sink, ...]:
    """Parquet and these, each once, in the order that identity knows."""
    named = {Sink.PARQUET, *sinks}
    return tuple(sink for sink in Sink if sink in named)


def artifact_name(*parts: str, sink: Sink) -> str:
    """A file's name for a table, or for one of its partitions.

    No two tables and no two partitions come to one name, also where upper and lower case are the same: what is no
    lower-case letter, digit, `_` or `-` stands as the `%xx` of its UTF-8 bytes, and the parts are joined by `.`.
    """
    return ".".join([*map(_escaped, parts), sink])


def _escaped(part: str) -> str:
    return "".join(sign if sign in _PLAIN else "".join(f"%{byte:02x}" for byte in sign.encode()) for sign in part)
