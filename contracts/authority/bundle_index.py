"""The index of a bundle: which files it lists, and which digests it states, in whichever shape the engine writes it.

A JSON list, or an object with the list under `files`, `entries`, `items` or `members`. An item is a path, or an object
with a path and, perhaps, a digest and a size.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from contracts.canonical import parse_json

SHAPES = ("files", "entries", "items", "members")
PATH_FIELDS = ("path", "relative_path", "file", "name")
DIGEST_FIELDS = ("sha256_hex", "sha256", "sha256_digest", "digest")
SIZE_FIELDS = ("size_bytes", "size", "bytes")

_SHA256 = re.compile(r"(?:sha256:)?([0-9a-fA-F]{64})")


@dataclass(frozen=True)
class IndexItem:
    """A file that the index lists."""

    path: str
    """As it stands there, but for `./` before it."""
    digest_text: str | None
    """As it stands there."""
    sha256: str | None
    """The digest in lower-case hex."""
    size_bytes: int | None


def parse_index(data: bytes) -> list[IndexItem]:
    """Read an index.

    Raises:
        ValueError: It is none; the message says why.
    """
    document = parse_json(data)
    if isinstance(document, dict):
        shapes = [shape for shape in SHAPES if shape in document]
        if len(shapes) != 1:
            said = f"{' and '.join(shapes)} stand side by side" if shapes else f"none of {', '.join(SHAPES)} is there"
            msg = f"it is an object with one list of files, but {said}"
            raise ValueError(msg)
        document = document[shapes[0]]
    if not isinstance(document, list):
        msg = f"its files are a JSON {type(document).__name__}, not a list"
        raise ValueError(msg)  # noqa: TRY004 - for whoever reads an index, one kind of error
    if not document:
        msg = "it lists no file, and a gate over nothing shows nothing"
        raise ValueError(msg)
    return [_item(at, item) for at, item in enumerate(document)]


def _item(at: int, item: Any) -> IndexItem:
    fields = {"path": item} if isinstance(item, str) else item
    if not isinstance(fields, dict):
        msg = f"item {at} is neither a path nor an object"
        raise ValueError(msg)  # noqa: TRY004 - as above
    path, digest, size = (_first(fields, names) for names in (PATH_FIELDS, DIGEST_FIELDS, SIZE_FIELDS))
    if not isinstance(path, str) or not path:
        msg = f"item {at} has no path (under {', '.join(PATH_FIELDS)})"
        raise ValueError(msg)
    try:
        path.encode()
    except UnicodeEncodeError:
        msg = f"item {at}: its path is no text"
        raise ValueError(msg) from None
    found = _SHA256.fullmatch(digest) if isinstance(digest, str) else None
    if digest is not None and found is None:
        msg = f"item {at}, {path}: what it states is no SHA-256 in hex"
        raise ValueError(msg)
    is_size = isinstance(size, int) and not isinstance(size, bool)
    return IndexItem(path.removeprefix("./"), digest, found[1].lower() if found else None, size if is_size else None)


def _first(fields: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((fields[name] for name in names if name in fields), None)
