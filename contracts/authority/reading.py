"""Documents that people write for the authority, YAML or JSON, as models: all problems with their line and remedy."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from contracts.authority.errors import RequestError
from contracts.authority.schema_problems import schema_problems
from contracts.document_schemas import schema_of_input
from contracts.yaml_document import Node, Problem, Problems, parse_yaml

ModelT = TypeVar("ModelT", bound=BaseModel)

_MOST_TOLD = 5


def read_model(data: bytes, source: str, model: type[ModelT]) -> ModelT:
    """Read one document.

    Raises:
        RequestError: It is no such document. The message names the first problems, each with its line.
    """
    found, problems = look_at_model(data, model)
    if found is None:
        told = "; ".join(f"{p.where}: {p.problem}" for p in problems[1:_MOST_TOLD])
        first = problems[0]
        more = f" Also: {told}." if told else ""
        raise RequestError(source=source, where=first.where, problem=first.problem, fix=f"{first.fix}{more}")
    return found


def look_at_model(data: bytes, model: type[ModelT]) -> tuple[ModelT | None, list[Problem]]:
    """The document, or everything that is wrong with it."""
    root, problems = parse_yaml(data)
    if root is None or problems:
        return None, problems
    if problems := schema_problems(root, _schema(model)):
        return None, problems
    try:
        return model.model_validate(root.plain), []
    except ValidationError as error:  # what the schema cannot say: rules that bind several fields
        noted = Problems(root=root)
        for wrong in error.errors(include_url=False):
            said = wrong["msg"].removeprefix("Value error, ")
            noted.add(_place(root, wrong["loc"]), said, "Mend it.")
        return None, noted.found


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return schema_of_input("document", model)


def _place(root: Node, location: tuple[int | str, ...]) -> Node:
    """The deepest node on the way."""
    node = root
    for step in location:
        try:
            node = node.value[step]
        except (KeyError, IndexError, TypeError):
            break
    return node
