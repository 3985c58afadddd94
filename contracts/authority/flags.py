"""Passed flags: the digest that an engine states for a gate, as text or as JSON."""

from __future__ import annotations

import re

from contracts.authority.pack import FLAG_FIELD, Flag, FlagFormat
from contracts.canonical import parse_json

_SHA256 = re.compile(r"(?<![0-9a-fA-F])[0-9a-fA-F]{64}(?![0-9a-fA-F])")
_STATED = re.compile(r"(?:sha256:)?([0-9a-fA-F]{64})")


def stated_digest(data: bytes, flag: Flag) -> str:
    """The digest in a flag, in lower-case hex.

    A text flag may be the digest alone, a line of sha256sum, or `name = digest` lines; among several digests the one
    that is called by the flag's field, or `sha256_hex`, counts.

    Raises:
        ValueError: It states none, or several.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        msg = f"byte {error.start + 1} is not UTF-8"
        raise ValueError(msg) from None
    return _in_json(text, flag.field) if flag.format is FlagFormat.JSON else _in_text(text, flag.field)


def _in_json(text: str, field: str) -> str:
    document = parse_json(text)
    stated = document.get(field) if isinstance(document, dict) else None
    found = _STATED.fullmatch(stated.strip()) if isinstance(stated, str) else None
    if found is None:
        msg = f"it has no SHA-256 in hex under {field}"
        raise ValueError(msg)
    return found[1].lower()


def _in_text(text: str, field: str) -> str:
    for name in dict.fromkeys((field, FLAG_FIELD, "sha256_hex")):
        named = re.findall(rf"^\s*{re.escape(name)}\s*[=:]\s*(?:sha256:)?([0-9a-fA-F]{{64}})\s*$", text, re.MULTILINE)
        if named:
            return _only(named)
    return _only(_SHA256.findall(text))


def _only(found: list[str]) -> str:
    digests = {digest.lower() for digest in found}
    if len(digests) != 1:
        msg = f"it states {len(digests)} digests" if digests else "it states no SHA-256 in hex"
        raise ValueError(msg)
    return digests.pop()
