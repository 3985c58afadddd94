"""Strict YAML: one document in, nodes with their line and path out, every doubt a problem with a remedy.

YAML readers disagree about unquoted text such as `NO`, `01`, `12:30` or `1e3`. A contract must mean the same to each of
them, so text that YAML 1.1 and 1.2 read differently is refused. So are duplicate keys (readers keep the last),
anchors and aliases (a small file may expand without end) and tags (they name code). Dates stay text.

This module knows nothing of data contracts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal, NoReturn

import yaml

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
_MAX_NUMBER_LENGTH = 40
_MAX_SHOWN = 80

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][-+][0-9]+)?")
_NUMBER_IN_YAML_1_2 = re.compile(
    r"[-+]?(?:[0-9]+|\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|0o[0-7]+|0x[0-9a-fA-F]+|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_RESOLVERS_OF_YAML_1_1: Mapping[str, Sequence[tuple[str, re.Pattern[str]]]] = yaml.SafeLoader.yaml_implicit_resolvers
_TIMESTAMP = "tag:yaml.org,2002:timestamp"

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a document: where, what, and how to fix it."""

    line: int
    """1-based; 0 when the whole document is meant."""
    path: str
    problem: str
    fix: str

    @property
    def where(self) -> str:
        """Line and path as a person looks them up."""
        place = f"line {self.line}" if self.line else ""
        return ", ".join(part for part in (place, self.path) if part) or "the file"


@dataclass(frozen=True)
class Node:
    """A value with its place. Mappings and sequences hold nodes; scalars are None, bool, int, float or str."""

    value: Any
    line: int
    path: Path = ()

    @property
    def kind(self) -> Literal["mapping", "list", "text", "true or false", "number", "nothing"]:
        """The value's kind in the words that messages use."""
        if isinstance(self.value, dict):
            return "mapping"
        if isinstance(self.value, list):
            return "list"
        if isinstance(self.value, str):
            return "text"
        if isinstance(self.value, bool):
            return "true or false"
        return "nothing" if self.value is None else "number"

    @property
    def plain(self) -> Any:
        """The value without places, as JSON knows it."""
        if isinstance(self.value, dict):
            return {key: node.plain for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain for node in self.value]
        return self.value

    def walk(self) -> Iterator[Node]:
        """This node and everything below it, in the document's order."""
        yield self
        children = self.value.values() if isinstance(self.value, dict) else self.value
        for child in children if isinstance(self.value, (dict, list)) else ():
            yield from child.walk()


@dataclass
class Problems:
    """Collects problems while reading goes on, so that a person sees all of them at once."""

    found: list[Problem] = field(default_factory=list)
    root: Node | None = None
    """Once known, paths name list items (`properties[dep_time]`) in place of counting them."""

    def add(self, node: Node, problem: str, fix: str) -> None:
        """Note what is wrong with `node`."""
        self.found.append(Problem(node.line, self.spoken_path(node.path), problem, fix))

    def spoken_path(self, path: Path) -> str:
        """`schema[0].properties[dep_time].logicalType`."""
        text, here = "", self.root
        for step in path:
            here = _child(here, step)
            text += f"[{_item_name(here, step)}]" if isinstance(step, int) else f".{step}" if text else step
        return text


def _child(node: Node | None, step: str | int) -> Node | None:
    if node is None:
        return None
    if isinstance(node.value, dict):
        return node.value.get(step)
    return (
        node.value[step] if isinstance(node.value, list) and isinstance(step, int) and step < len(node.value) else None
    )


def _item_name(node: Node | None, index: int) -> str:
    if node is not None and isinstance(node.value, dict) and node.path[:-1] != ("schema",):
        for key in ("name", "property"):
            named = node.value.get(key)
            if named is not None and isinstance(named.value, str):
                return named.value
    return str(index)


def parse_yaml(data: bytes) -> tuple[Node | None, list[Problem]]:
    """Read one YAML document.

    Returns:
        The root and no problem, or what could be read (None when nothing could) and all problems found.
    """
    if len(data) > MAX_BYTES:
        fix = f"A contract holds at most {MAX_BYTES} bytes: is this the right file?"
        return None, [Problem(0, "", f"the file has {len(data)} bytes", fix)]
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return None, [Problem(line, "", f"byte {error.start + 1} is not UTF-8", "Save the file as UTF-8.")]
    composer = _Composer(text)
    return composer.root(), composer.problems.found


def shown(value: Any) -> str:
    """A value for a message: on one line, without control characters, not long."""
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


class _UnreadableError(Exception):
    """Nothing after this place can be read; the problem is noted. It never leaves this module."""


class _Composer:
    """Turns YAML events into nodes."""

    def __init__(self, text: str) -> None:
        self.problems = Problems()
        self._events = yaml.parse(text, Loader=yaml.CSafeLoader)

    def root(self) -> Node | None:
        try:
            return self._document()
        except _UnreadableError:
            return None
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
            said = " ".join(part for part in (error.context, error.problem) if part)
            self._stop(line, f"this is not YAML at column {column}: {said}", _fix_for_syntax(said))
        except yaml.reader.ReaderError as error:
            self._stop(0, f"character {error.position + 1} of the file is not allowed in YAML", "Remove it.")
        return None

    def _document(self) -> Node:
        next(self._events)  # the stream's start
        if isinstance(next(self._events), yaml.StreamEndEvent):
            self._refuse(0, "", "the file is empty", "Write a data contract into it; docs/contracts.md shows one.")
        root = self._node(next(self._events), ())
        next(self._events)  # the document's end
        following = next(self._events)
        if not isinstance(following, yaml.StreamEndEvent):
            line = _line(following)
            self._refuse(line, "", "a second document begins", "Keep one contract in one file.")
        return root

    def _node(self, event: yaml.Event, path: Path) -> Node:
        line = _line(event)
        spoken = self.problems.spoken_path(path)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            self._refuse(line, spoken, "anchors (&) and aliases (*) are not read", "Write the value out at each place.")
        tag = getattr(event, "tag", None)
        if tag:
            self._refuse(line, spoken, f"the tag {tag} is not read", "Remove it; quote what must be text.")
        if len(path) >= MAX_DEPTH:
            self._refuse(line, spoken, f"nesting is deeper than {MAX_DEPTH} levels", "A contract needs far fewer.")
        if isinstance(event, yaml.MappingStartEvent):
            return Node(self._mapping(path), line, path)
        if isinstance(event, yaml.SequenceStartEvent):
            return Node(self._sequence(path), line, path)
        if not isinstance(event, yaml.ScalarEvent):
            self._refuse(line, spoken, "a value is missing", "Write one.")
        return Node(self._scalar(event, path), line, path)

    def _mapping(self, path: Path) -> dict[str, Node]:
        result: dict[str, Node] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                spoken = self.problems.spoken_path(path)
                self._refuse(
                    _line(event), spoken, "a key is not text but more", "Write `key: value`; quote text with braces."
                )
            key = self._node(event, path)
            name = key.value if isinstance(key.value, str) else str(key.plain)
            if not isinstance(key.value, str):
                self._note(key.line, path, f"the key {shown(name)} is not text but {key.kind}", "Put it in quotes.")
            value = self._node(next(self._events), (*path, name))
            if name in result:
                lines = f"lines {result[name].line} and {key.line}"
                self._note(key.line, (*path, name), f"the key stands twice ({lines})", "Remove one of them.")
            else:
                result[name] = value
        return result

    def _sequence(self, path: Path) -> list[Node]:
        result: list[Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            result.append(self._node(event, (*path, len(result))))
        return result

    def _scalar(self, event: yaml.ScalarEvent, path: Path) -> Any:
        text = event.value
        if "\0" in text:
            self._note(_line(event), path, "the text holds a NUL character", "Remove it.")
        if not event.implicit[0]:  # quoted, or a block: text, whatever it looks like
            return text
        if text in _NULLS:
            return None
        if text in _BOOLEANS:
            return _BOOLEANS[text]
        if len(text) <= _MAX_NUMBER_LENGTH and _INTEGER.fullmatch(text):
            return int(text)
        if len(text) <= _MAX_NUMBER_LENGTH and _FLOAT.fullmatch(text) and abs(float(text)) != float("inf"):
            return float(text)
        if _is_read_differently(text):
            fix = "Put it in quotes if it is text; else write true, false or a plain decimal number."
            problem = f"unquoted {shown(text)} means different things to YAML readers"
            self._note(_line(event), path, problem, fix)
        return text

    def _note(self, line: int, path: Path, problem: str, fix: str) -> None:
        self.problems.found.append(Problem(line, self.problems.spoken_path(path), problem, fix))

    def _refuse(self, line: int, path: str, problem: str, fix: str) -> NoReturn:
        self._stop(line, problem, fix, path)
        raise _UnreadableError

    def _stop(self, line: int, problem: str, fix: str, path: str = "") -> None:
        self.problems.found.append(Problem(line, path, problem, fix))


def _line(event: yaml.Event) -> int:
    mark = event.start_mark
    return mark.line + 1 if mark is not None else 0


def _described(node: Node) -> str:
    return node.kind if isinstance(node.value, (dict, list)) else f"{node.kind} ({shown(node.value)})"


def _is_read_differently(text: str) -> bool:
    """Whether YAML 1.1 or 1.2 sees more than text in an unquoted scalar that is no plain null, boolean or number."""
    candidates = (*_RESOLVERS_OF_YAML_1_1.get(text[:1], ()), *_RESOLVERS_OF_YAML_1_1.get(None, ()))  # type: ignore[call-overload]
    in_yaml_1_1 = any(pattern.match(text) for tag, pattern in candidates if tag != _TIMESTAMP)
    return in_yaml_1_1 or _NUMBER_IN_YAML_1_2.fullmatch(text) is not None


def _fix_for_syntax(said: str) -> str:
    if "tab" in said or "cannot start any token" in said:
        return "Indent with spaces, not tabs, and quote text that begins with a special character."
    return "Check indentation, colons and quotes there; text with ': ', '#', braces or brackets needs quotes."


@dataclass
class Section:
    """A mapping that is being read: every key must be asked for, and `close` reports those nobody knows."""

    node: Node
    problems: Problems
    _asked: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, node: Node, problems: Problems) -> Section | None:
        """Open a node that must be a mapping; None, with a problem noted, when it is not."""
        if isinstance(node.value, dict):
            return cls(node, problems)
        problems.add(node, f"expected a mapping, found {node.kind}", "Write `key: value` lines under it.")
        return None

    def get(self, key: str) -> Node | None:
        """The node under `key`; a key with nothing after its colon counts as absent, with a problem noted."""
        self._asked.add(key)
        node: Node | None = self.node.value.get(key)
        if node is not None and node.value is None:
            self.problems.add(node, "there is no value", "Write one, or remove the key.")
            return None
        return node

    def has(self, key: str) -> bool:
        """Whether the key stands there, with or without a value."""
        return key in self.node.value

    def stated(self, *keys: str) -> list[str]:
        """Those of `keys` that stand there; all of them count as asked for."""
        self._asked.update(keys)
        return [key for key in keys if self.has(key)]

    def is_null(self, key: str) -> bool:
        """Whether the key stands there with null, where null means something."""
        self._asked.add(key)
        return self.has(key) and self.node.value[key].value is None

    def text(self, key: str, *, choices: Sequence[str] = ()) -> str | None:
        """Text, one of `choices` if there are any."""
        node = self._typed(key, "text", f"Put it in quotes: {key}: '...'.")
        if node is None:
            return None
        value: str = node.value
        if choices and value not in choices:
            near = get_close_matches(value, choices, 1)
            hint = f"Did you mean {near[0]}? " if near else ""
            self.problems.add(node, f"{shown(value)} is not known here", f"{hint}Known are: {', '.join(choices)}.")
            return None
        return value

    def flag(self, key: str) -> bool | None:
        """True or false."""
        node = self._typed(key, "true or false", "Write true or false, without quotes.")
        return None if node is None else node.value

    def whole_number(self, key: str) -> int | None:
        """A number without fraction."""
        node = self._typed(key, "number", "Write a whole number, without quotes.")
        if node is not None and not isinstance(node.value, int):
            self.problems.add(node, f"{node.value} is not a whole number", "Write it without a decimal point.")
            return None
        return None if node is None else node.value

    def number(self, key: str) -> int | float | None:
        """A number."""
        node = self._typed(key, "number", "Write a number, without quotes.")
        return None if node is None else node.value

    def items(self, key: str) -> list[Node]:
        """The list's items; empty when the key is absent."""
        node = self._typed(key, "list", "Write a list: lines that begin with `- `.")
        return [] if node is None else node.value

    def texts(self, key: str) -> tuple[str, ...] | None:
        """A list of text; None when the key is absent or an item is not text."""
        node = self._typed(key, "list", "Write a list of text: ['...', '...'].")
        if node is None:
            return None
        wrong = [item for item in node.value if not isinstance(item.value, str)]
        for item in wrong:
            self.problems.add(item, f"expected text, found {_described(item)}", "Put it in quotes.")
        return None if wrong else tuple(item.value for item in node.value)

    def section(self, key: str) -> Section | None:
        """The mapping under `key`."""
        node = self.get(key)
        return None if node is None else Section.of(node, self.problems)

    def sections(self, key: str) -> list[Section]:
        """The list of mappings under `key`; items that are no mapping are noted and left out."""
        return [section for item in self.items(key) if (section := Section.of(item, self.problems)) is not None]

    def require(self, key: str, fix: str) -> None:
        """Note a problem unless `key` stands there."""
        if not self.has(key):
            self.problems.add(self.node, f"{key} is missing", fix)

    def refuse(self, key: str, problem: str, fix: str) -> None:
        """Note a problem if `key` stands there."""
        self._asked.add(key)
        if self.has(key):
            self.problems.add(self.node.value[key], problem, fix)

    def complain(self, problem: str, fix: str, key: str | None = None) -> None:
        """Note a problem with the section, or with the value of one of its keys."""
        self.problems.add(self.node if key is None or not self.has(key) else self.node.value[key], problem, fix)

    def close(self) -> None:
        """Note every key that nobody asked for."""
        for name, node in self.node.value.items():
            if name not in self._asked:
                near = get_close_matches(name, sorted(self._asked), 1)
                known = f"Known here are: {', '.join(sorted(self._asked))}." if self._asked else "Remove it."
                fix = f"Did you mean {near[0]}?" if near else known
                self.problems.add(node, "this key is not known, and an unknown key is never ignored", fix)

    def _typed(self, key: str, kind: str, fix: str) -> Node | None:
        node = self.get(key)
        if node is not None and node.kind != kind:
            self.problems.add(node, f"expected {kind}, found {_described(node)}", fix)
            return None
        return node
