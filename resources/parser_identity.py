"""Who parses: the digest of the code that frames, parses, judges and writes, and of the libraries under it."""

from __future__ import annotations

import functools
import importlib.util
import platform
from importlib import metadata
from pathlib import Path

from contracts.refs import digest_bytes, digest_json
from contracts.segments import ParserIdentity

_VERSION = 1
_MODULES = (
    "contracts.decoding",
    "contracts.framing",
    "contracts.judgement",
    "contracts.reasons",
    "contracts.records",
    "contracts.segments",
    "resources.segment_writer",
)
_LIBRARIES = ("duckdb", "numpy", "pyarrow")


@functools.cache
def parser_identity() -> ParserIdentity:
    """The identity of this installation's parser. Byte equality of segments is promised within one."""
    return ParserIdentity(
        version=_VERSION,
        artifact=digest_json({name: digest_bytes(_source(name)) for name in _MODULES}),
        environment=digest_json(
            {name: metadata.version(name) for name in _LIBRARIES} | {"machine": platform.machine()}
        ),
    )


def _source(module: str) -> bytes:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        msg = f"module {module} has no source"
        raise ModuleNotFoundError(msg)
    return Path(spec.origin).read_bytes()
