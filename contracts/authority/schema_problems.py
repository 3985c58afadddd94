"""What a JSON Schema says about a YAML document, in words for people: the line, the problem, what to write instead.

For documents that people write (catalogues, gate maps, policies, requests). What the schema cannot say, references
between parts for one, is the business of whoever reads the document.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from contracts.yaml_document import Node, Problem, Problems, shown

_KINDS = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing",
}


def schema_problems(root: Node, schema: Mapping[str, Any]) -> list[Problem]:
    """Everything that a document's schema does not allow in it, in the document's order."""
    problems = Problems(root=root)
    for error in Draft202012Validator(schema).iter_errors(root.plain):
        for leaf in _leaves(error):
            node = node_at(root, leaf.absolute_path)
            for problem_node, problem, fix in _said(leaf, node):
                problems.add(problem_node, problem, fix)
    return sorted(problems.found, key=lambda problem: problem.line)


def node_at(root: Node, path: Sequence[str | int]) -> Node:
    """The part of a document that a path leads to."""
    node = root
    for step in path:
        node = node.value[step]
    return node


def _leaves(error: ValidationError) -> Iterator[ValidationError]:
    """Of several allowed forms, what is wrong under the one that fits best: the one whose kind is right, if any."""
    if error.validator not in {"anyOf", "oneOf"} or not error.context:
        yield error
        return
    forms: dict[Any, list[ValidationError]] = {}
    for part in error.context:
        forms.setdefault(part.schema_path[0], []).append(part)
    fitting = [form for form in forms.values() if not any(e.validator == "type" and not e.path for e in form)]
    if not fitting:
        yield error
        return
    for part in min(fitting, key=len):
        yield from _leaves(part)


def _said(error: ValidationError, node: Node) -> Iterator[tuple[Node, str, str]]:
    """Node, problem and fix; a rule about an object's keys may have several."""
    rule: Any = error.validator
    value: Any = error.validator_value
    schema: Any = error.schema
    if rule == "additionalProperties":
        known = sorted(schema.get("properties", {}))
        for name in sorted(set(node.value) - set(known), key=list(node.value).index):
            yield node.value[name], "this key is not known, and an unknown key is never ignored", _near(name, known)
    elif rule == "required":
        name = next(name for name in value if name not in node.value and f"'{name}'" in error.message)
        yield node, f"{name} is missing", f"Add {name}."
    elif rule in {"type", "anyOf", "oneOf"}:
        allowed = [value] if isinstance(value, str) else value
        kinds = [part if isinstance(part, str) else part.get("type", "") for part in allowed]
        wanted = " or ".join(dict.fromkeys(_KINDS[kind] for kind in kinds if kind in _KINDS and kind != "null"))
        fix = "Put it in quotes." if "string" in kinds and node.kind in {"number", "true or false"} else "Write that."
        yield node, f"expected {wanted or 'another value'}, found {_found(node)}", fix
    elif rule in {"enum", "const"}:
        known = [str(one) for one in (value if rule == "enum" else [value])]
        yield node, f"{shown(node.plain)} is not known here", _near(str(node.plain), known)
    else:
        yield node, *_bounded(rule, value, node)


def _bounded(rule: str, value: Any, node: Node) -> tuple[str, str]:
    """Problem and fix of a value that has the right kind."""
    found = shown(node.plain)
    if rule == "pattern":
        return f"{found} does not match {value}", "Write a name of those characters."
    if rule in {"minItems", "minProperties", "minLength"}:
        return "it is empty" if value == 1 else f"it has fewer than {value} parts", "Write something there."
    if rule in {"maxItems", "maxLength", "maxProperties"}:
        return f"it is longer than {value}", "Shorten it."
    if rule in {"minimum", "exclusiveMinimum"}:
        return f"{found} is too small", f"Write {value} or more." if rule == "minimum" else f"Write more than {value}."
    if rule in {"maximum", "exclusiveMaximum"}:
        return f"{found} is too large", f"Write {value} at most." if rule == "maximum" else f"Write less than {value}."
    return f"{found} is not allowed by `{rule}: {shown(value)}`", "Correct the value."


def _near(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, 1)
    return f"Did you mean {near[0]}?" if near else f"Known here are: {', '.join(known)}."


def _found(node: Node) -> str:
    return (
        node.kind
        if isinstance(node.value, (dict, list)) or node.value is None
        else f"{node.kind} ({shown(node.value)})"
    )
