"""The published schemas: as generated, valid themselves, and true of everything a real store holds."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from contracts.authority.document_schemas import engine_schema_texts
from contracts.canonical import parse_json
from contracts.commits import EmptyLink
from contracts.document_schemas import DOCUMENTS, schema_of, schema_text, written_version
from contracts.selection import Decision
from platform_assets.decisions.holding import discard, find_held
from platform_assets.reports.segment_profiles import segment_profiles
from platform_assets.reports.table_overview import write_overview
from platform_assets.reports.write_schemas import SCHEMAS, schema_path
from platform_assets.upkeep.backing_up import back_up
from resources.captures import put_blob
from resources.duckdb_session import open_session
from resources.table_reader import numbered_key
from tests.kept_sales import KeptHome
from tests.sales import DAY, HEADER, row


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_committed_schema_is_the_generated_one(name: str) -> None:
    assert schema_path(name).read_text(encoding="utf-8") == schema_text(name), (
        "a document changed: run python -m platform_assets.reports.write_schemas, "
        "and raise its format version if it was released"
    )


EARLIER = {f"{name}.v1.json" for name in ("captures", "selection-envelope", "dataset", "commit", "report")} | {
    "report.v2.json"
}
"""Of formats that are read, and not written any more."""


def test_there_is_no_schema_of_nothing() -> None:
    drawn = {schema_path(name).name for name in DOCUMENTS} | engine_schema_texts().keys()
    assert {p.name for p in SCHEMAS.glob("*.json")} == drawn | EARLIER


@pytest.mark.parametrize("name", sorted(EARLIER))
def test_the_schema_of_an_earlier_format_stays_beside_that_of_the_present_one(name: str) -> None:
    document, version, _ = name.split(".")
    assert written_version(document) > int(version.removeprefix("v"))
    assert schema_of(document) != parse_json((SCHEMAS / name).read_bytes())


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_schema_is_one_of_draft_2020_12_and_needs_no_other_file(name: str) -> None:
    schema = schema_of(name)
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    references = {value for key, value in _members(schema) if key == "$ref"}
    assert all(reference.removeprefix("#/$defs/") in schema["$defs"] for reference in references)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_format_names_the_schema(name: str) -> None:
    assert schema_of(name)["properties"]["format"]["const"] == f"hashgate/{name}/v{written_version(name)}"
    assert "format" in schema_of(name)["required"]


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Any]:
    """Every JSON document of a store in which everything has happened once, and of its backup."""
    folder = tmp_path_factory.mktemp("store")
    (folder / "drops" / "sales").mkdir(parents=True)
    kept = KeptHome(folder)
    kept.restate(HEADER + row(1), HEADER + row(1) + row(1) + row(2) + row(3, shop="east"), HEADER + row(1) + "x\n" * 9)
    decision = Decision(actor="ann", reason="no flights")
    discard(kept.workspace, find_held(kept.workspace, "sales", DAY), decision)
    _occupy_the_next_number(kept)
    write_overview(kept.workspace, kept.contract)
    _profile_by_segment(kept)
    put_blob(kept.workspace.store, b"never logged")
    kept.days_pass(1)
    kept.collect()
    kept.restate(HEADER + row(1) + "x\n" * 10)
    kept.collect()
    back_up(kept.workspace, folder / "backup")
    found = {}
    for path in (*kept.store.rglob("*"), *(folder / "backup" / "manifests").iterdir()):
        if path.is_file() and (path.suffix == ".json" or path.read_bytes()[:1] == b"{"):
            found[path.relative_to(folder)] = parse_json(path.read_bytes())
    return found


def _profile_by_segment(kept: KeptHome) -> None:
    """As of a partition that does not fit into memory."""
    files = kept.workspace.reader.open("sales", DAY)
    columns = dict(files.commit.candidate.contract.table_schema)
    with open_session(store=kept.workspace.store) as session:
        assert list(segment_profiles(session, kept.workspace.store, files, columns))


def _occupy_the_next_number(kept: KeptHome) -> None:
    """As a writer does whose create was never answered."""
    standing = kept.workspace.reader.standing("sales", DAY)
    void = EmptyLink(
        number=standing.next_number,
        parent=standing.parent,
        committed_at=kept.workspace.now(),
        writer="w",
        table="sales",
        partition=DAY,
    )
    kept.workspace.store.put_if_absent(numbered_key("sales", "commits", DAY, void.number), void.to_bytes())


def test_every_stored_document_keeps_its_schema(documents: dict[Path, Any]) -> None:
    kinds: Counter[str] = Counter()
    for path, document in documents.items():
        name = document["format"].split("/")[1]
        assert list(Draft202012Validator(schema_of(name)).iter_errors(document)) == [], path
        kinds[name] += 1
    assert kinds.keys() == DOCUMENTS.keys()
    assert kinds["commit"] >= 3
    assert kinds["report"] >= 2


def test_no_stored_json_is_without_a_schema(documents: dict[Path, Any]) -> None:
    assert [
        path for path, document in documents.items() if not str(document.get("format", "")).startswith("hashgate/")
    ] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_that_lacks_or_adds_a_field_breaks_its_schema(documents: dict[Path, Any], name: str) -> None:
    validator = Draft202012Validator(schema_of(name))
    document = next(d for d in documents.values() if d["format"].startswith(f"hashgate/{name}/v"))
    assert not validator.is_valid(document | {"more": 1})
    for field in document:
        assert not validator.is_valid({k: v for k, v in document.items() if k != field}), field


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("captures", ("drops", 0, "digest")),
        ("selection", ("inputs", 0, "digest")),
        ("selection-envelope", ("snapshot",)),
        ("segment", ("view", "key")),
        ("commit", ("digest",)),
        ("commit", ("candidate", "contract", "rows_digest")),
        ("report", ("lineage", "commit")),
    ],
    ids=lambda part: part if isinstance(part, str) else ".".join(map(str, part)),
)
@pytest.mark.parametrize("wrong", ["", "blake3:abc", "BLAKE3:" + "0" * 64, "blake3:" + "0" * 63 + "G", 7])
def test_what_is_no_digest_breaks_the_schema(
    documents: dict[Path, Any], name: str, where: tuple[str | int, ...], wrong: object
) -> None:
    document = copy.deepcopy(next(d for d in documents.values() if d["format"].startswith(f"hashgate/{name}/v")))
    part = document
    for step in where[:-1]:
        part = part[step]
    part[where[-1]] = wrong
    assert not Draft202012Validator(schema_of(name)).is_valid(document)


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inside in value.items():
            yield key, inside
            yield from _members(inside)
    elif isinstance(value, list):
        for inside in value:
            yield from _members(inside)
