"""The JSON Schemas (2020-12) of the documents that the platform writes, drawn from the models that write them.

They are published in `contracts/schemas/`, so that a reader in any language can check what it was given. Generated,
never edited: a test compares the files with this module, and `platform_assets.reports.write_schemas` writes them. The
schemas of formats that are read but not written any more stay beside them as they were.
A schema says what a document looks like; that digests fit what they name is for `hashgate verify`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from contracts.backup_manifest import BackupManifest
from contracts.collection import DoomedList, EmptiedList, ExpiredRecord
from contracts.commits import Commit, EmptyLink
from contracts.datasets import DatasetEntry
from contracts.decisions import Discard
from contracts.overview_document import Overview
from contracts.refs import Digest
from contracts.report_document import Report, SegmentProfile
from contracts.sealing import Sealed
from contracts.segments import SegmentIndex
from contracts.selection import CaptureBatch, Selection, SelectionSnapshot

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DIGEST_PATTERN = "^blake3:[0-9a-f]{64}$"

DOCUMENTS: Mapping[str, type[BaseModel]] = MappingProxyType(
    {
        "captures": CaptureBatch,
        "selection": SelectionSnapshot,
        "selection-envelope": Selection,
        "segment": SegmentIndex,
        "commit": Commit,
        "empty-link": EmptyLink,
        "discard": Discard,
        "dataset": DatasetEntry,
        "report": Report,
        "profile": SegmentProfile,
        "overview": Overview,
        "doomed": DoomedList,
        "emptied": EmptiedList,
        "expired": ExpiredRecord,
        "backup": BackupManifest,
    }
)
"""By the name in their `format`, `hashgate/<name>/v<version>`."""


def written_version(name: str) -> int:
    """The version of a document that is written now."""
    return version_of(DOCUMENTS[name])


def version_of(model: type[BaseModel]) -> int:
    """The version in a model's `format`."""
    return int(_written_format(model).rpartition("/v")[2])


def schema_of(name: str) -> dict[str, Any]:
    """The schema of a document: an object with `$schema` and `$id` that needs no other file."""
    return schema_of_model(name, DOCUMENTS[name])


def schema_of_model(name: str, model: type[BaseModel]) -> dict[str, Any]:
    """The schema of a document that `DOCUMENTS` does not have."""
    schema = model.model_json_schema(mode="serialization", schema_generator=_AsWritten)
    parts = {part.__name__: part for part in _parts(model)}
    for part, described in [*schema.get("$defs", {}).items(), (model.__name__, schema)]:
        if part in parts:
            _say_what_digests_look_like(parts[part], described)
    if issubclass(model, Sealed):
        # the stored document carries its own digest, which the model computes and checks
        schema["properties"]["digest"] = {"title": "Digest", "type": "string", "pattern": DIGEST_PATTERN}
        schema["required"].append("digest")
    written = _written_format(model)
    schema["properties"]["format"] = {"const": written, "default": written, "title": "Format", "type": "string"}
    return {"$schema": DIALECT, "$id": f"urn:hashgate:schema:{name}:{version_of(model)}", **schema}


def schema_of_input(name: str, model: type[BaseModel]) -> dict[str, Any]:
    """The schema of a document that people write: what has a default may be left out."""
    schema = model.model_json_schema(mode="validation")
    return {"$schema": DIALECT, "$id": f"urn:hashgate:schema:{name}:{version_of(model)}", **schema}


def schema_text(name: str) -> str:
    """The schema as it stands in `contracts/schemas/`."""
    return text_of(schema_of(name))


def text_of(schema: Mapping[str, Any]) -> str:
    """A schema as a file: for people to read, so neither canonical nor digested."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"  # noqa: TID251


class _AsWritten(GenerateJsonSchema):
    """Every field is written, also one that has a default, so it is required; but for what is left out when empty."""

    def field_is_required(self, field: Any, total: bool) -> bool:  # noqa: ARG002, FBT001 - pydantic's signature
        return "serialization_exclude_if" not in field


def _written_format(model: type[BaseModel]) -> str:
    return str(model.model_fields["format"].default)


def _parts(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A model and all models inside it."""
    yield model
    for field in model.model_fields.values():
        for found in _leaves(field.annotation):
            if isinstance(found, type) and issubclass(found, BaseModel):
                yield from _parts(found)


def _leaves(annotation: Any) -> Iterator[Any]:
    inside = get_args(annotation)
    yield from (leaf for part in inside for leaf in _leaves(part)) if inside else [annotation]


def _say_what_digests_look_like(model: type[BaseModel], described: dict[str, Any]) -> None:
    """A `pattern` binds strings only, so it may stand beside `null`."""
    for name, field in model.model_fields.items():
        if Digest in _leaves(field.annotation):
            described["properties"][name]["pattern"] = DIGEST_PATTERN
