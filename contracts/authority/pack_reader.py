"""From the files of a pack's folder to an `EnginePack`, with everything that is wrong said at once.

Two kinds of problems. A file that breaks its schema gives no pack. A reference that leads nowhere, or a law that can
never be met, gives a pack that lint complains about: a run that needs that part fails, the others go on.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from contracts.authority.document_schemas import ENGINE_INPUTS
from contracts.authority.pack import (
    EngineCatalogue,
    EngineGate,
    EngineOutput,
    EnginePack,
    GateMap,
    LawName,
    Ordering,
)
from contracts.authority.pins import PIN_NAMES, PathTemplate
from contracts.authority.schema_problems import node_at, schema_problems
from contracts.canonical import parse_json
from contracts.document_schemas import schema_of_input
from contracts.errors import ContractError
from contracts.refs import Digest, digest_bytes
from contracts.yaml_document import Node, Problem, Problems, parse_yaml, shown

CATALOGUE_FILE = "catalogue.yaml"
GATES_FILE = "gates.yaml"

PartT = TypeVar("PartT", EngineCatalogue, GateMap)


@dataclass(frozen=True)
class PackProblem:
    """Something wrong in one of a pack's files."""

    file: str
    problem: Problem


def parse_pack(name: str, files: Mapping[str, bytes], *, source: str) -> EnginePack:
    """Make a pack of a folder's files, dangling references and all.

    Args:
        name: The folder's name, which is the engine's.
        files: By path in the folder: both documents, and every schema and dictionary.
        source: What to call the folder in messages.

    Raises:
        ContractError: A document is missing or breaks its schema.
    """
    pack, found = read_pack(name, files)
    if pack is None:
        first, more = found[0], len(found) - 1
        note = f" ({more} more {'problem' if more == 1 else 'problems'})" if more else ""
        problem = first.problem
        raise ContractError(
            contract=f"{source}/{first.file}", where=problem.where, problem=problem.problem, fix=f"{problem.fix}{note}"
        )
    return pack


def read_pack(name: str, files: Mapping[str, bytes]) -> tuple[EnginePack | None, list[PackProblem]]:
    """The pack (None when a document breaks its schema), and everything that is wrong with its files."""
    catalogue, catalogue_problems = _read_part(files, CATALOGUE_FILE, "engine-catalogue", EngineCatalogue)
    gate_map, gates_problems = _read_part(files, GATES_FILE, "engine-gates", GateMap)
    structural = [*catalogue_problems, *gates_problems]
    if catalogue is None or gate_map is None:
        return None, structural
    lint = _Lint(name, files, catalogue, gate_map)
    pack = EnginePack(catalogue=catalogue.part, gate_map=gate_map.part, references=lint.references)
    return pack, lint.found


@dataclass(frozen=True)
class _Part:
    """A document that keeps its schema, with the places of its parts."""

    part: Any
    root: Node


def _read_part(
    files: Mapping[str, bytes], file: str, name: str, model: type[PartT]
) -> tuple[_Part | None, list[PackProblem]]:
    if file not in files:
        fix = "A pack has both catalogue.yaml and gates.yaml; docs/engine.md shows them."
        return None, [PackProblem(file, Problem(0, "", "the file is missing", fix))]
    root, found = parse_yaml(files[file])
    if root is not None and not found:
        found = schema_problems(root, _schema(name)) or _template_problems(root)
    if root is None or found:
        return None, [PackProblem(file, problem) for problem in found]
    return _Part(model.model_validate(root.plain), root), []


@cache
def _schema(name: str) -> dict[str, Any]:
    return schema_of_input(name, ENGINE_INPUTS[name])


_TEMPLATES = (
    ("outputs", ("path",)),
    ("gates", ("bundle_root",)),
    ("gates", ("flag", "path")),
    ("gates", ("law", "index")),
)


def _template_problems(root: Node) -> list[Problem]:
    """What a schema cannot say of templates. They must be readable before anything else can be said."""
    problems = Problems(root=root)
    for key, steps in _TEMPLATES:
        for item in root.value[key].value if key in root.value else ():
            node = _below(item, steps)
            if node is None or node.value is None:
                continue
            try:
                PathTemplate.parse(node.value)
            except ValueError as error:
                fix = "Write a path below the run root, such as worlds/{manifest_fingerprint}/cards.parquet."
                problems.add(node, f"{shown(node.value)} is no path template: {error}", fix)
    problems.found += _repeated(root)
    return sorted(problems.found, key=lambda problem: problem.line)


def _repeated(root: Node) -> list[Problem]:
    problems = Problems(root=root)
    for key in ("outputs", "gates"):
        items = root.value[key].value if key in root.value else []
        counts = Counter(item.value["id"].value for item in items)
        for item in items:
            node = item.value["id"]
            if counts[node.value] > 1:
                problems.add(node, f"{node.value} stands {counts[node.value]} times", "Give each an id of its own.")
    return problems.found


def _below(node: Node, steps: Sequence[str]) -> Node | None:
    for step in steps:
        if step not in node.value:
            return None
        node = node.value[step]
    return node


class _Lint:
    """Goes through both documents together and notes what does not fit."""

    def __init__(self, name: str, files: Mapping[str, bytes], catalogue: _Part, gate_map: _Part) -> None:
        self._name, self._files = name, files
        self._catalogue: EngineCatalogue = catalogue.part
        self._gate_map: GateMap = gate_map.part
        self._outputs = {output.id for output in self._catalogue.outputs}
        self._gates = {gate.id: gate for gate in self._gate_map.gates}
        self._in_catalogue, self._in_gates = Problems(root=catalogue.root), Problems(root=gate_map.root)
        self.references: dict[str, Digest] = {}
        self._check_heads()
        for at, output in enumerate(self._catalogue.outputs):
            self._check_output(at, output)
        for at, gate in enumerate(self._gate_map.gates):
            self._check_gate(at, gate)
        self._check_circles()

    @property
    def found(self) -> list[PackProblem]:
        """All problems, by file and line."""
        both = ((CATALOGUE_FILE, self._in_catalogue), (GATES_FILE, self._in_gates))
        return [
            PackProblem(file, problem) for file, told in both for problem in sorted(told.found, key=lambda p: p.line)
        ]

    def _check_heads(self) -> None:
        if self._catalogue.engine != self._name:
            problem = f"the folder is called {self._name}, and the engine {self._catalogue.engine}"
            self._note_output(("engine",), problem, "Call both the same.")
        for note, document in ((self._note_output, self._catalogue), (self._note_gate, self._gate_map)):
            if document.stated_digest not in {None, document.digest}:
                problem = f"it states {document.stated_digest}, and has {document.digest}"
                note(("digest",), problem, "Correct it, or leave it out: the platform computes it.")

    def _check_output(self, at: int, output: EngineOutput) -> None:
        place = ("outputs", at)
        partitions = [partition.name for partition in output.partitions]
        holes = output.template.holes
        for hole in holes:
            if hole in PIN_NAMES and hole not in output.scope:
                fix = f"Add {hole} to the scope, or take it out of the path."
                self._note_output((*place, "path"), f"{{{hole}}} is a pin that the scope does not name", fix)
            elif hole not in PIN_NAMES and hole not in partitions:
                fix = f"Pins are {', '.join(PIN_NAMES)}; anything else in braces is declared under partitions."
                self._note_output((*place, "path"), f"{{{hole}}} is neither a pin nor a partition", fix)
        for index, name in enumerate(partitions):
            if name in PIN_NAMES or name not in holes or partitions.count(name) > 1:
                fix = "A partition has a name of its own, no pin's, and stands in the path in braces."
                self._note_output((*place, "partitions", index), f"partition {name} is not one", fix)
        self._check_references(place, output)

    def _check_references(self, place: tuple[str | int, ...], output: EngineOutput) -> None:
        for index, gate_id in enumerate(output.read_requires_gates):
            if gate_id not in self._gates:
                self._dangles(self._note_output, (*place, "read_requires_gates", index), "gate", gate_id)
        if not any(output.id in gate.authorizes for gate in self._gates.values()):
            fix = f"Name {output.id} under `authorizes` of a gate: nobody reads what no gate let through."
            self._note_output((*place, "id"), f"no gate authorizes {output.id}", fix)
        if output.row_schema is not None:
            self._resolve((*place, "schema"), output.row_schema, _json_schema_problem)
        if output.dictionary is not None:
            self._resolve((*place, "dictionary"), output.dictionary, lambda _: None)

    def _check_gate(self, at: int, gate: EngineGate) -> None:
        place = ("gates", at)
        for index, output_id in enumerate(gate.authorizes):
            if output_id not in self._outputs:
                self._dangles(self._note_gate, (*place, "authorizes", index), "output", output_id)
        for index, gate_id in enumerate(gate.upstream):
            if gate_id not in self._gates:
                self._dangles(self._note_gate, (*place, "upstream", index), "gate", gate_id)
        law = gate.law
        templates = {"bundle_root": gate.root_template, "flag": gate.flag.template, "law": law.index_template}
        for key, template in templates.items():
            for hole in template.holes if template else ():
                if hole not in PIN_NAMES:
                    fix = f"A gate's paths name pins only: {', '.join(PIN_NAMES)}."
                    self._note_gate((*place, key), f"{{{hole}}} is no pin", fix)
            if template is not None and "*" in template.text:
                self._note_gate((*place, key), "a gate's path is no pattern", "Write the one folder or file out.")
        if law.index is None and (law.name is not LawName.BUNDLE or law.ordering is Ordering.INDEX_ORDER):
            needs = law.name if law.name is not LawName.BUNDLE else f"ordering {law.ordering}"
            self._note_gate((*place, "law"), f"{needs} needs an index", "Write `index:` with the path of it.")
        self._check_members(place, gate)

    def _check_members(self, place: tuple[str | int, ...], gate: EngineGate) -> None:
        """A flag that is a member of what it states the digest of can never be right."""
        law = gate.law
        if law.name is not LawName.BUNDLE and not law.covers_folder:
            return
        root = gate.root_template.text.removesuffix("/")
        for what, template in (("flag", gate.flag.template), ("index", law.index_template)):
            base = posixpath.basename(template.text) if template else ""
            lies_below = template is not None and (root == "." or template.text.startswith(f"{root}/"))
            must_be_excluded = what == "flag" or law.index is not None
            if lies_below and must_be_excluded and base not in law.exclude_filenames:
                problem = f"{base}, the {what}, lies below the bundle root and would be a member"
                self._note_gate((*place, "law"), problem, f"Add {base} to exclude_filenames, or it can never pass.")

    def _check_circles(self) -> None:
        for at, gate in enumerate(self._gate_map.gates):
            if gate.id in self._upstream_of(gate.id):
                fix = "Take one of them out of `upstream`."
                self._note_gate(("gates", at, "upstream"), f"{gate.id} is upstream of itself", fix)

    def _upstream_of(self, gate_id: str) -> set[str]:
        seen: set[str] = set()
        waiting = [gate_id]
        while waiting:
            gate = self._gates.get(waiting.pop())
            more = set(gate.upstream) - seen if gate else set()
            seen |= more
            waiting += more
        return seen

    def _resolve(self, place: tuple[str | int, ...], reference: str, problem_of: Callable[[Any], str | None]) -> None:
        path, _, pointer = reference.strip().partition("#")
        if path not in self._files:
            self._note_output(place, f"there is no file {shown(path)} in the pack", "Add it, or correct the name.")
            return
        self.references[path] = digest_bytes(self._files[path])
        try:
            found = _at_pointer(_parsed(path, self._files[path]), pointer)
        except LookupError:
            self._note_output(
                place, f"{path} has nothing at {shown(pointer)}", "Write a JSON pointer that leads there."
            )
        except ValueError as error:
            self._note_output(place, f"{path} cannot be read: {error}", "Mend that file.")
        else:
            problem = problem_of(found)
            if problem is not None:
                self._note_output(place, f"{reference}: {problem}", "Mend that file.")

    def _dangles(
        self,
        note: Callable[[tuple[str | int, ...], str, str], None],
        place: tuple[str | int, ...],
        kind: str,
        name: str,
    ) -> None:
        known = sorted(self._outputs if kind == "output" else self._gates)
        file = CATALOGUE_FILE if kind == "output" else GATES_FILE
        note(place, f"there is no {kind} {name} in {file}", f"Correct it, or add it there. Known: {', '.join(known)}.")

    def _note_output(self, path: tuple[str | int, ...], problem: str, fix: str) -> None:
        self._in_catalogue.add(_nearest(self._in_catalogue.root, path), problem, fix)

    def _note_gate(self, path: tuple[str | int, ...], problem: str, fix: str) -> None:
        self._in_gates.add(_nearest(self._in_gates.root, path), problem, fix)


def _nearest(root: Node | None, path: Sequence[str | int]) -> Node:
    """The node at a path, or the deepest one on the way to a part that the document leaves out."""
    if root is None:
        msg = "a document that is linted has been read"
        raise AssertionError(msg)
    for length in range(len(path), -1, -1):
        try:
            return node_at(root, path[:length])
        except (LookupError, TypeError):
            continue
    return root


def _parsed(path: str, data: bytes) -> Any:
    if path.endswith(".json"):
        return parse_json(data)
    root, problems = parse_yaml(data)
    if root is None or problems:
        first = problems[0]
        msg = f"{first.where}: {first.problem}"
        raise ValueError(msg)
    return root.plain


def _at_pointer(document: Any, pointer: str) -> Any:
    """The part of a document that a JSON pointer leads to (RFC 6901); LookupError when there is none."""
    for step in _steps(pointer):
        if isinstance(document, list) and step.isdigit():
            document = document[int(step)]
        else:
            document = (document if isinstance(document, dict) else {})[step]
    return document


def _steps(pointer: str) -> Iterator[str]:
    if pointer and not pointer.startswith("/"):
        raise LookupError(pointer)
    for step in pointer.split("/")[1:]:
        yield step.replace("~1", "/").replace("~0", "~")


def _json_schema_problem(document: Any) -> str | None:
    try:
        Draft202012Validator.check_schema(document)
    except SchemaError as error:
        return f"it is no JSON Schema of 2020-12: {shown(error.message)}"
    return None if isinstance(document, dict) else "it is no JSON Schema: an object is expected"
