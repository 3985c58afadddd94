"""Pins: the five values that say which of an engine's results is meant, and path templates over them.

A template is text of the interface pack such as `worlds/{manifest_fingerprint}/seed={seed}/cards/{segment}/*.parquet`.
Filled with pins it is a pattern for paths below a run root. Nothing here looks for a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from contracts.refs import Frozen

PinName = Literal["manifest_fingerprint", "parameter_hash", "seed", "scenario_id", "run_id"]

PIN_NAMES: tuple[PinName, ...] = ("manifest_fingerprint", "parameter_hash", "seed", "scenario_id", "run_id")
"""In the order in which they stand in the paths of receipts."""

INSTANCE_PINS = frozenset({"seed", "scenario_id", "parameter_hash", "run_id"})
"""A scope that names one of these is of an instance: another run may have other bytes under it."""

LARGEST_SEED = 2**53

_PIN = r"^[A-Za-z0-9_][A-Za-z0-9._=+-]{0,127}$"
_BLANK_IN_BRACES = re.compile(r"\{\s*([^{}]*?)\s*\}")
_BLANK_AT_SLASH = re.compile(r"\s*/\s*")
_HOLE = re.compile(r"\{([^{}]*)\}")
_HOLE_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")


class Pins(Frozen):
    """The values that a run is pinned to. Each is one name of a path: no `/`, no `..`, nothing that hides."""

    manifest_fingerprint: str = Field(pattern=_PIN)
    parameter_hash: str = Field(pattern=_PIN)
    seed: int = Field(ge=0, le=LARGEST_SEED)
    scenario_id: str = Field(pattern=_PIN)
    run_id: str | None = Field(default=None, pattern=_PIN)
    """As the engine knows the run; None where its results were found and nobody said."""

    def text(self, name: str) -> str | None:
        """A pin as it stands in a path; None when it is unknown."""
        value = getattr(self, name)
        return None if value is None else str(value)

    def within(self, scope: Sequence[str]) -> dict[PinName, str]:
        """The pins that a scope names and that are known, in their order, as they stand in paths."""
        found = {name: self.text(name) for name in PIN_NAMES if name in scope}
        return {name: text for name, text in found.items() if text is not None}

    def missing(self, scope: Sequence[str]) -> tuple[PinName, ...]:
        """The pins that a scope names and that are unknown."""
        return tuple(name for name in PIN_NAMES if name in scope and self.text(name) is None)


def in_pin_order(names: Sequence[str]) -> tuple[PinName, ...]:
    """Those of the names that are pins, each once, in the order of paths."""
    return tuple(name for name in PIN_NAMES if name in names)


def is_instance_scoped(scope: Sequence[str]) -> bool:
    """Whether something of that scope belongs to one instance (seed, scenario, parameters or run)."""
    return not INSTANCE_PINS.isdisjoint(scope)


@dataclass(frozen=True)
class PathTemplate:
    """A path below the run root with holes: `{pin}`, `{partition}`, and `*` or `**` for what is not known before."""

    text: str
    """Without stray whitespace."""

    @classmethod
    def parse(cls, text: str) -> PathTemplate:
        """Read a template; whitespace at its ends, in braces and beside slashes is an oversight and goes.

        Raises:
            ValueError: It could leave the run root, or a hole is not closed or has no name. The message says which.
        """
        clean = _BLANK_AT_SLASH.sub("/", _BLANK_IN_BRACES.sub(r"{\1}", text.strip()))
        problem = _template_problem(clean)
        if problem is not None:
            raise ValueError(problem)
        return cls(clean)

    @property
    def holes(self) -> tuple[str, ...]:
        """The names in braces, each once, in their order."""
        return tuple(dict.fromkeys(_HOLE.findall(self.text)))

    @property
    def is_open(self) -> bool:
        """Whether more than one file may be meant: a folder, or a pattern."""
        return self.text.endswith("/") or "*" in self.text

    def filled(self, values: Mapping[PinName, str]) -> PathPattern:
        """Put pins into the holes that they name; the other holes stay."""
        known: dict[str, str] = dict(values.items())
        return PathPattern(_HOLE.sub(lambda hole: known.get(hole[1], hole[0]), self.text))


@dataclass(frozen=True)
class PathPattern:
    """A template whose pins are known."""

    text: str

    @property
    def is_one_file(self) -> bool:
        """Whether exactly one path matches."""
        return not (self.text.endswith("/") or "*" in self.text or "{" in self.text)

    @property
    def folder(self) -> str:
        """The deepest folder that everything that matches lies in; empty for the run root itself."""
        fixed: list[str] = []
        for part in self.text.split("/")[:-1]:
            if "*" in part or "{" in part:
                break
            fixed.append(part)
        return "/".join(part for part in fixed if part != ".")

    @property
    def path(self) -> str:
        """The folder or file that is meant, without a slash at its end; empty for the run root itself."""
        return "/".join(part for part in self.text.split("/") if part not in {"", "."})

    def matched(self, path: str) -> dict[str, str] | None:
        """What stands in a path's open holes; None when it does not match."""
        found = self._expression.fullmatch(path)
        return None if found is None else found.groupdict()

    @property
    def _expression(self) -> re.Pattern[str]:
        return re.compile("".join(_expressed(self.text.removeprefix("./"))))


def _expressed(text: str) -> Iterator[str]:
    """A pattern as a regular expression: a hole or `*` stays within one name, `**` is any number of folders."""
    seen: set[str] = set()
    for piece in re.split(r"(\*\*/|\*|\{[^{}]*\})", text):
        if piece == "**/":
            yield "(?:[^/]+/)*"
        elif piece == "*":
            yield "[^/]*"
        elif piece.startswith("{"):
            name = piece[1:-1]
            yield f"(?P={name})" if name in seen else f"(?P<{name}>[^/]+)"
            seen.add(name)
        else:
            yield re.escape(piece)
    if text.endswith("/") or not text:
        yield ".+"


def _template_problem(text: str) -> str | None:
    parts = text.removesuffix("/").split("/")
    rest = _HOLE.sub("", text)
    if not text:
        return "it is empty"
    if _FORBIDDEN.search(text):
        return "it holds a control character or a backslash"
    if text.startswith("/") or "://" in text:
        return "it is absolute, and paths are below the run root"
    if ".." in parts:
        return "it leaves the run root by `..`"
    if text not in {".", "./"} and any(part in {"", "."} for part in parts):
        return "it has an empty name or `.` between slashes"
    if "{" in rest or "}" in rest:
        return "a brace is not closed"
    if any("**" in part and part != "**" for part in parts) or parts[-1] == "**":
        return "`**` stands for folders: write `**/` before a name"
    unnamed = [name for name in _HOLE.findall(text) if not _HOLE_NAME.fullmatch(name)]
    return f"{{{unnamed[0]}}} names nothing: use small letters, digits and _" if unnamed else None
