"""Packs: what is read, what lint says with its line, and what a run that needs a dangling part is told."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from contracts.authority.pack import EnginePack
from contracts.authority.pack_reader import PackProblem, parse_pack, read_pack
from contracts.authority.reasons import ReasonCode, ReasonError
from contracts.errors import ContractError
from tests.engine_bundles import BUNDLE, CONCAT, gate_document

SCHEMA = b'{"type": "object"}'
CATALOGUE: dict[str, Any] = {
    "format": "hashgate/engine-catalogue/v1",
    "engine": "e",
    "outputs": [
        {"id": "world", "path": "w/{manifest_fingerprint}.csv", "scope": ["manifest_fingerprint"]},
        {
            "id": "rows",
            "path": "r/{seed}/{segment}/*.csv",
            "scope": ["manifest_fingerprint", "seed"],
            "partitions": [{"name": "segment", "values": ["x", "y"]}],
            "read_requires_gates": ["audit"],
            "schema": "rows.schema.json",
            "dictionary": "dictionary.yaml#/rows",
        },
        {"id": "notes", "path": "n/", "scope": ["seed"], "availability": "optional"},
    ],
}
GATES: dict[str, Any] = {
    "format": "hashgate/engine-gates/v1",
    "gates": [
        gate_document("base", authorizes=["world"], root="w"),
        gate_document("rows", CONCAT, authorizes=["rows"], upstream=["base"], root="r/{seed}"),
        gate_document("audit", authorizes=["notes"], upstream=["rows"], root="a"),
    ],
}
OTHERS = {"rows.schema.json": SCHEMA, "dictionary.yaml": b"rows: {a: the first}\n"}


def files(
    change: Callable[[dict[str, Any], dict[str, Any]], Any] = lambda _catalogue, _gates: None,
) -> dict[str, bytes]:
    catalogue, gates = copy.deepcopy(CATALOGUE), copy.deepcopy(GATES)
    change(catalogue, gates)
    texts = {"catalogue.yaml": yaml.safe_dump(catalogue, sort_keys=False), "gates.yaml": yaml.safe_dump(gates)}
    return {**{name: text.encode() for name, text in texts.items()}, **OTHERS}


def pack(change: Callable[[dict[str, Any], dict[str, Any]], Any] = lambda _catalogue, _gates: None) -> EnginePack:
    return parse_pack("e", files(change), source="engines/e")


def told(problems: list[PackProblem]) -> list[str]:
    return [f"{p.file}: {p.problem.where}: {p.problem.problem}" for p in problems]


def test_a_sound_pack_has_no_problem() -> None:
    made, problems = read_pack("e", files())
    assert problems == []
    assert made is not None
    assert (made.name, list(made.outputs), list(made.gates)) == (
        "e",
        ["world", "rows", "notes"],
        ["base", "rows", "audit"],
    )
    assert made.references.keys() == OTHERS.keys()


def test_the_same_pack_in_json_is_the_same() -> None:
    as_json = {"catalogue.yaml": yaml.safe_dump(CATALOGUE, default_flow_style=True, width=9999).encode()}
    assert parse_pack("e", files() | as_json, source="e").policy_revision == pack().policy_revision


# --- closure ---


def test_the_gates_of_outputs_are_closed_over_upstream_and_what_readers_require() -> None:
    assert pack().gates_of("world") == ("base",)
    assert pack().gates_of("rows") == ("base", "rows", "audit")
    assert pack().required_gates(["notes", "world"]) == ("base", "rows", "audit")


def test_unknown_outputs_and_gates_are_reasons() -> None:
    with pytest.raises(ReasonError) as unknown:
        pack().required_gates(["world", "nope"])
    reason = unknown.value.evidence["reason"]
    assert (reason.code, reason.subject) == (ReasonCode.UNKNOWN_OUTPUT_ID, "nope")
    assert "UNKNOWN_OUTPUT_ID: nope: expected one of world, rows, notes" in str(unknown.value)


@pytest.mark.parametrize(
    ("change", "output", "gate"),
    [
        (lambda _, g: g["gates"][1].update(upstream=["gone"]), "rows", "gone"),
        (lambda c, _: c["outputs"][0].update(read_requires_gates=["gone"]), "world", "gone"),
        (lambda _, g: g["gates"][0].update(authorizes=["notes"]), "world", "world"),
    ],
    ids=["upstream", "required by readers", "none at all"],
)
def test_a_run_that_needs_a_gate_that_is_not_there_is_told_so_and_others_go_on(
    change: Callable[..., Any], output: str, gate: str
) -> None:
    broken = pack(change)
    with pytest.raises(ReasonError) as unknown:
        broken.gates_of(output)
    reason = unknown.value.evidence["reason"]
    assert (reason.code, reason.subject) == (ReasonCode.UNKNOWN_GATE_ID, gate)


def test_gates_in_a_circle_end() -> None:
    circle = pack(lambda _, g: g["gates"][0].update(upstream=["audit"]))
    assert set(circle.gates_of("world")) == {"base", "rows", "audit"}


# --- what lint says ---

REFERENCES: dict[str, tuple[Callable[..., Any], str]] = {
    "an output that a gate authorizes": (
        lambda _, g: g["gates"][0].update(authorizes=["world", "wrld"]),
        "there is no output wrld in catalogue.yaml",
    ),
    "an upstream gate": (lambda _, g: g["gates"][1].update(upstream=["bse"]), "there is no gate bse in gates.yaml"),
    "a gate for readers": (
        lambda c, _: c["outputs"][1].update(read_requires_gates=["adit"]),
        "there is no gate adit in gates.yaml",
    ),
    "a schema": (lambda c, _: c["outputs"][1].update(schema="x.json"), "there is no file 'x.json' in the pack"),
    "a dictionary": (lambda c, _: c["outputs"][1].update(dictionary="d.yaml"), "there is no file 'd.yaml'"),
    "a place in a dictionary": (
        lambda c, _: c["outputs"][1].update(dictionary="dictionary.yaml#/cols"),
        "dictionary.yaml has nothing at '/cols'",
    ),
    "a pointer that is none": (
        lambda c, _: c["outputs"][1].update(dictionary="dictionary.yaml#rows"),
        "dictionary.yaml has nothing at 'rows'",
    ),
    "an output that nothing authorizes": (
        lambda _, g: g["gates"][2].update(authorizes=["rows"]),
        "no gate authorizes notes",
    ),
    "a pin that the scope lacks": (
        lambda c, _: c["outputs"][0].update(path="w/{seed}.csv"),
        "{seed} is a pin that the scope does not name",
    ),
    "a hole that is nothing": (
        lambda c, _: c["outputs"][0].update(path="w/{manifest_fingerprint}/{day}.csv"),
        "{day} is neither a pin nor a partition",
    ),
    "a partition that is not in the path": (
        lambda c, _: c["outputs"][0].update(partitions=[{"name": "day"}]),
        "partition day is not one",
    ),
    "a gate's hole that is no pin": (
        lambda _, g: g["gates"][0].update(bundle_root="w/{day}"),
        "{day} is no pin",
    ),
    "a gate's path that is a pattern": (
        lambda _, g: g["gates"][0].update(bundle_root="w/*"),
        "a gate's path is no pattern",
    ),
    "a law without its index": (
        lambda _, g: g["gates"][0]["law"].update(name=CONCAT),
        "sha256_member_digest_concat needs an index",
    ),
    "an order without its index": (
        lambda _, g: g["gates"][0]["law"].update(ordering="index_order"),
        "ordering index_order needs an index",
    ),
    "a flag that states its own digest": (
        lambda _, g: g["gates"][0]["law"].update(exclude_filenames=["index.json"]),
        "_passed.flag, the flag, lies below the bundle root and would be a member",
    ),
    "a circle": (lambda _, g: g["gates"][0].update(upstream=["audit"]), "base is upstream of itself"),
    "another engine's name": (lambda c, _: c.update(engine="f"), "the folder is called e, and the engine f"),
    "a digest that is not its own": (
        lambda c, _: c.update(digest="blake3:" + "0" * 64),
        "it states blake3:0000",
    ),
}


@pytest.mark.parametrize(("change", "problem"), REFERENCES.values(), ids=REFERENCES.keys())
def test_lint_names_what_dangles_and_can_never_pass(change: Callable[..., Any], problem: str) -> None:
    made, problems = read_pack("e", files(change))
    assert made is not None
    assert any(problem in text for text in told(problems)), told(problems)
    assert all(p.problem.line > 0 and p.problem.fix for p in problems)


@pytest.mark.parametrize(
    ("other", "data", "problem"),
    [
        ("rows.schema.json", b"{", "rows.schema.json cannot be read"),
        ("rows.schema.json", b'{"type": "nonsense"}', "it is no JSON Schema of 2020-12"),
        ("rows.schema.json", b"[]", "it is no JSON Schema"),
        ("dictionary.yaml", b"rows: [", "dictionary.yaml cannot be read"),
        ("dictionary.yaml", b"- rows\n", "has nothing at '/rows'"),
    ],
)
def test_lint_looks_into_what_is_referred_to(other: str, data: bytes, problem: str) -> None:
    _, problems = read_pack("e", files() | {other: data})
    assert any(problem in text for text in told(problems)), told(problems)


BROKEN: dict[str, tuple[Callable[..., Any], str]] = {
    "an unknown key": (lambda c, _: c["outputs"][0].update(pth="x"), "this key is not known"),
    "no id": (lambda c, _: c["outputs"][0].pop("id"), "id is missing"),
    "no scope": (lambda c, _: c["outputs"][0].update(scope=[]), "it is empty"),
    "an unknown pin": (lambda c, _: c["outputs"][0].update(scope=["sed"]), "'sed' is not known here"),
    "a number for text": (lambda c, _: c["outputs"][0].update(id=7), "expected text, found number (7)"),
    "an unknown law": (lambda _, g: g["gates"][0]["law"].update(name="md5"), "'md5' is not known here"),
    "a gate for nothing": (lambda _, g: g["gates"][0].update(authorizes=[]), "it is empty"),
    "an id twice": (lambda c, _: c["outputs"][0].update(id="rows"), "rows stands 2 times"),
    "a path that leaves the root": (
        lambda c, _: c["outputs"][0].update(path="../x"),
        "is no path template: it leaves the run root",
    ),
    "an absolute flag": (
        lambda _, g: g["gates"][0]["flag"].update(path="/x"),
        "is no path template: it is absolute",
    ),
    "another format": (lambda c, _: c.update(format="hashgate/engine-catalogue/v9"), "is not known here"),
    "outputs as a mapping": (lambda c, _: c.update(outputs={}), "expected a list, found mapping"),
}


@pytest.mark.parametrize(("change", "problem"), BROKEN.values(), ids=BROKEN.keys())
def test_a_document_that_breaks_its_schema_gives_no_pack(change: Callable[..., Any], problem: str) -> None:
    broken = files(change)
    made, problems = read_pack("e", broken)
    assert made is None
    assert any(problem in text for text in told(problems)), told(problems)
    with pytest.raises(ContractError) as refused:
        parse_pack("e", broken, source="engines/e")
    assert refused.value.evidence["contract"] in {"engines/e/catalogue.yaml", "engines/e/gates.yaml"}


def test_a_near_miss_is_suggested() -> None:
    _, problems = read_pack("e", files(lambda c, _: c["outputs"][0].update(scope=["sed"])))
    assert problems[0].problem.fix == "Did you mean seed?"


def test_both_documents_problems_are_told_at_once_with_their_lines() -> None:
    _, problems = read_pack(
        "e", files(lambda c, g: (c["outputs"][0].pop("id"), g["gates"][0]["law"].update(name="md5")))
    )
    assert [(p.file, p.problem.line > 0) for p in problems] == [("catalogue.yaml", True), ("gates.yaml", True)]


@pytest.mark.parametrize("missing", ["catalogue.yaml", "gates.yaml"])
def test_a_missing_document_is_told(missing: str) -> None:
    there = {name: data for name, data in files().items() if name != missing}
    with pytest.raises(ContractError, match=f"engines/e/{missing}: the file: the file is missing"):
        parse_pack("e", there, source="engines/e")


# --- the revision ---


def test_a_revision_leaves_out_the_digest_that_a_document_states_of_itself() -> None:
    sound = pack()
    stated = files(lambda c, g: (c.update(digest=sound.catalogue.digest), g.update(digest=sound.gate_map.digest)))
    made, problems = read_pack("e", stated)
    assert problems == []
    assert made is not None
    assert made.policy_revision == sound.policy_revision


@pytest.mark.parametrize(
    "change",
    [
        lambda c, _: c["outputs"][0].update(availability="optional"),
        lambda _, g: g["gates"][0].update(upstream=["rows"]),
        lambda _, g: g["gates"][0].update(compatibility_notes=["it hashes twice"]),
    ],
)
def test_a_revision_changes_with_whatever_is_promised(change: Callable[..., Any]) -> None:
    assert pack(change).policy_revision != pack().policy_revision


def test_a_revision_changes_with_what_is_referred_to() -> None:
    other = files() | {"rows.schema.json": b'{"type": "array"}'}
    assert parse_pack("e", other, source="e").policy_revision != pack().policy_revision


def test_defaults_are_the_requirements() -> None:
    law = pack().gates["base"].law
    assert (law.name, law.ordering, law.path_base) == (BUNDLE, "ascii_lex", "bundle_root")
    assert law.exclude_filenames == ("_passed.flag", "index.json")
    assert pack().gates["base"].flag.field == "bundle_digest_sha256"
