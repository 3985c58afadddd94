"""Strict YAML: what is read, where it stands, and what no two readers agree about."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from contracts.yaml_document import Node, Problems, Section, parse_yaml, shown

SCALARS: dict[str, tuple[str, Any]] = {
    "text": ("abc", "abc"),
    "text in quotes": ("'NO'", "NO"),
    "text in a block": ("|\n  on\n", "on\n"),
    "a date stays text": ("2013-01-31", "2013-01-31"),
    "a moment stays text": ("2013-01-31T17:00:00Z", "2013-01-31T17:00:00Z"),
    "a version stays text": ("1.2.3", "1.2.3"),
    "true": ("true", True),
    "false": ("False", False),
    "null": ("null", None),
    "nothing": ("", None),
    "a whole number": ("-12", -12),
    "a fraction": ("0.5", 0.5),
    "an exponent that both versions of YAML read": ("1.5e+3", 1500.0),
}


@pytest.mark.parametrize(("text", "value"), SCALARS.values(), ids=SCALARS.keys())
def test_scalars(text: str, value: Any) -> None:
    node, problems = parse_yaml(f"a: {text}\n".encode())
    assert problems == []
    assert node is not None
    assert node.plain == {"a": value}
    assert type(node.plain["a"]) is type(value)


@pytest.mark.parametrize(
    "text",
    ["yes", "No", "on", "OFF", "01", "0o17", "0x1F", "1_000", "17:30", "1e3", ".5", "5.", ".inf", ".nan", "=", "<<"],
)
def test_text_that_readers_disagree_about(text: str) -> None:
    _, problems = parse_yaml(f"- x\n- {text}\n".encode())
    assert [(one.line, one.path) for one in problems] == [(2, "[1]")]
    assert f"unquoted {text!r} means different things" in problems[0].problem
    assert "quotes" in problems[0].fix


def test_every_node_knows_its_place() -> None:
    root, _ = parse_yaml(b"a:\n  - name: x\n    b: 1\n  - c: 2\n")
    assert root is not None
    problems = Problems(root=root)
    assert [(problems.spoken_path(node.path), node.line) for node in root.walk()] == [
        ("", 1),
        ("a", 2),
        ("a[x]", 2),
        ("a[x].name", 2),
        ("a[x].b", 3),
        ("a[1]", 4),
        ("a[1].c", 4),
    ]


def test_a_section_reports_what_nobody_asked_for() -> None:
    root, _ = parse_yaml(b"colour: red\nsize: big\ncount: 1\n")
    assert root is not None
    problems = Problems(root=root)
    section = Section(root, problems)
    assert section.text("color") is None
    assert section.text("size", choices=("small", "large")) is None
    assert section.text("count") is None
    section.close()
    assert [(one.path, one.problem.split(",")[0]) for one in problems.found] == [
        ("size", "'big' is not known here"),
        ("count", "expected text"),
        ("colour", "this key is not known"),
    ]
    assert problems.found[2].fix == "Did you mean color?"


def test_what_is_shown_is_short_and_harmless() -> None:
    assert shown("a\x1b[31m\nb") == r"'a\x1b[31m\nb'"
    assert len(shown("x" * 10_000)) < 100


_TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-999, 999) | st.text(st.characters(codec="ascii", categories=["L", "N"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3),
    max_leaves=8,
)


@given(_TREES)
def test_what_is_accepted_means_what_other_readers_say(tree: Any) -> None:
    data = yaml.safe_dump(tree).encode()
    node, problems = parse_yaml(data)
    if not problems:
        assert isinstance(node, Node)
        assert node.plain == tree
