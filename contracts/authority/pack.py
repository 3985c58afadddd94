"""The interface pack of an engine: which outputs it has, which gates let a reader at them, and how to check a gate.

Two documents that people write, an output catalogue and a gate map, and the schemas and dictionaries that they name. A
pack may have references that lead nowhere: lint names them, and a run that needs one fails with its reason code.
`pack_reader` makes a pack of files; here are its values and what follows from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from contracts.authority.evidence import ID_PATTERN
from contracts.authority.pins import PathTemplate, PinName, in_pin_order, is_instance_scoped
from contracts.authority.reasons import Reason, ReasonCode, ReasonError
from contracts.refs import Digest, Frozen, digest_json

NAME_PATTERN = r"^[a-z][a-z0-9_-]{0,62}$"
FLAG_FIELD = "bundle_digest_sha256"
EXCLUDED_BY_DEFAULT = ("_passed.flag", "index.json")

Id = Annotated[str, Field(pattern=ID_PATTERN)]
PartitionName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
PartitionValue = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._=+-]{0,127}$")]
Text = Annotated[str, Field(min_length=1)]


class Availability(StrEnum):
    """Whether a run without the output is whole."""

    REQUIRED = "required"
    OPTIONAL = "optional"


class LawName(StrEnum):
    """How a gate's digest is computed."""

    BUNDLE = "sha256_bundle_digest"
    """SHA-256 over the bytes of all files below the bundle root, one after another."""
    MEMBER_DIGESTS = "sha256_member_digest_concat"
    """SHA-256 over the digest strings that the index states, one after another."""
    RAW_BYTES = "sha256_index_json_ascii_lex_raw_bytes"
    """SHA-256 over the bytes of the files that the index lists, one after another."""


class Ordering(StrEnum):
    """One after another in which order."""

    ASCII_LEX = "ascii_lex"
    INDEX_ORDER = "index_order"


class PathBase(StrEnum):
    """What the paths in an index start from."""

    BUNDLE_ROOT = "bundle_root"
    RUN_ROOT = "run_root"


class FlagFormat(StrEnum):
    """How a passed flag is written."""

    TEXT = "text"
    JSON = "json"


class _Written(Frozen):
    """A part of a document that people write: JSON has lists where the model has tuples."""

    model_config = ConfigDict(populate_by_name=True)


class Partition(_Written):
    """A hole in an output's path that is no pin; the files show what stands there."""

    name: PartitionName
    values: tuple[PartitionValue, ...] = ()
    """What must be there; empty: whatever is."""


class EngineOutput(_Written):
    """Something that an engine writes."""

    id: Id
    description: str = ""
    path: Text
    """A template: a file, a folder (`/` at its end) or a pattern."""
    scope: tuple[PinName, ...] = Field(min_length=1)
    partitions: tuple[Partition, ...] = ()
    availability: Availability = Availability.REQUIRED
    read_requires_gates: tuple[Id, ...] = ()
    """Gates beyond those that authorize the output."""
    row_schema: str | None = Field(default=None, alias="schema")
    """A JSON Schema of its rows: a file of the pack."""
    dictionary: str | None = None
    """What its columns mean: a file of the pack, and behind `#` a JSON pointer into it."""

    @property
    def template(self) -> PathTemplate:
        """The path's template."""
        return PathTemplate.parse(self.path)

    @property
    def is_instance_scoped(self) -> bool:
        """Whether a verifier receipt must bind its bytes to the pins (E5)."""
        return is_instance_scoped(self.scope)


class Flag(_Written):
    """Where an engine says that a gate passed."""

    path: Text
    format: FlagFormat = FlagFormat.TEXT
    field: Text = FLAG_FIELD
    """In a JSON flag, where the digest stands."""

    @property
    def template(self) -> PathTemplate:
        """The path's template."""
        return PathTemplate.parse(self.path)


class DigestLaw(_Written):
    """How a gate's digest is computed."""

    name: LawName
    index: Text | None = None
    """A template; without one the files below the bundle root are the members."""
    ordering: Ordering = Ordering.ASCII_LEX
    path_base: PathBase = PathBase.BUNDLE_ROOT
    exclude_filenames: tuple[Text, ...] = EXCLUDED_BY_DEFAULT
    """Base names that are no members, wherever they lie."""
    covers_folder: bool = False
    """Whether a file below the bundle root that the index does not list is a contradiction."""

    @property
    def index_template(self) -> PathTemplate | None:
        """The index's template."""
        return None if self.index is None else PathTemplate.parse(self.index)


class EngineGate(_Written):
    """A gate of the engine: which outputs it authorizes, what it rests on, and how its flag is checked."""

    id: Id
    description: str = ""
    authorizes: tuple[Id, ...] = Field(min_length=1)
    upstream: tuple[Id, ...] = ()
    bundle_root: Text
    flag: Flag
    law: DigestLaw
    compatibility_notes: tuple[Text, ...] = ()
    """Where the engine does otherwise than it says; what it does is what stands here."""

    @property
    def root_template(self) -> PathTemplate:
        """The bundle root's template."""
        return PathTemplate.parse(self.bundle_root)

    @property
    def scope(self) -> tuple[PinName, ...]:
        """The pins that its paths name."""
        index = self.law.index_template
        templates = [self.root_template, self.flag.template, *([index] if index else [])]
        return in_pin_order([hole for template in templates for hole in template.holes])


class EngineCatalogue(_Written):
    """The outputs of an engine."""

    format: Literal["hashgate/engine-catalogue/v1"] = "hashgate/engine-catalogue/v1"
    engine: str = Field(pattern=NAME_PATTERN)
    description: str = ""
    outputs: tuple[EngineOutput, ...] = Field(min_length=1)
    stated_digest: Digest | None = Field(default=None, alias="digest", exclude=True)
    """The document's digest, where its writer states it: over everything but this."""

    @property
    def digest(self) -> Digest:
        """Over everything but the digest that may be stated."""
        return digest_json(self.model_dump(mode="json", by_alias=True))


class GateMap(_Written):
    """The gates of an engine."""

    format: Literal["hashgate/engine-gates/v1"] = "hashgate/engine-gates/v1"
    gates: tuple[EngineGate, ...] = Field(min_length=1)
    stated_digest: Digest | None = Field(default=None, alias="digest", exclude=True)
    """The document's digest, where its writer states it: over everything but this."""

    @property
    def digest(self) -> Digest:
        """Over everything but the digest that may be stated."""
        return digest_json(self.model_dump(mode="json", by_alias=True))


class EnginePack(Frozen):
    """Catalogue, gate map, and the digests of the files that they name."""

    catalogue: EngineCatalogue
    gate_map: GateMap
    references: Mapping[str, Digest] = Field(default_factory=dict)
    """Schemas and dictionaries by their path in the pack's folder."""

    @property
    def name(self) -> str:
        """The engine's name."""
        return self.catalogue.engine

    @cached_property
    def outputs(self) -> Mapping[str, EngineOutput]:
        """By id, in the catalogue's order."""
        return {output.id: output for output in self.catalogue.outputs}

    @cached_property
    def gates(self) -> Mapping[str, EngineGate]:
        """By id, in the gate map's order."""
        return {gate.id: gate for gate in self.gate_map.gates}

    @cached_property
    def policy_revision(self) -> Digest:
        """What the pack says, under one name; the digests that its documents state about themselves are no part."""
        return digest_json(
            {
                "catalogue": self.catalogue.digest,
                "gates": self.gate_map.digest,
                "references": dict(self.references),
            }
        )

    def output(self, output_id: str) -> EngineOutput:
        """An output of the catalogue.

        Raises:
            ReasonError: UNKNOWN_OUTPUT_ID.
        """
        if output_id not in self.outputs:
            known = f"one of {', '.join(self.outputs)}"
            hint = f"Ask for outputs that the catalogue of engine {self.name} has, or add this one to it."
            raise ReasonError(_unknown(ReasonCode.UNKNOWN_OUTPUT_ID, output_id, known, hint))
        return self.outputs[output_id]

    def gates_of(self, output_id: str) -> tuple[str, ...]:
        """The gates of one output: those that authorize it, those its readers require, and all upstream of them.

        Returns:
            Ids, upstream ones first.

        Raises:
            ReasonError: UNKNOWN_OUTPUT_ID, or UNKNOWN_GATE_ID: a gate that is named nowhere, or none at all.
        """
        output = self.output(output_id)
        direct = [gate.id for gate in self.gate_map.gates if output_id in gate.authorizes]
        wanted = list(dict.fromkeys([*direct, *output.read_requires_gates]))
        if not wanted:
            hint = "Nobody reads what no gate let through: add a gate that authorizes it to gates.yaml."
            raise ReasonError(_unknown(ReasonCode.UNKNOWN_GATE_ID, output_id, "a gate that authorizes it", hint))
        return tuple(self._closure(wanted))

    def required_gates(self, output_ids: Iterable[str]) -> tuple[str, ...]:
        """The gates of several outputs, each once, upstream ones first; raises as `gates_of`."""
        return tuple(dict.fromkeys(gate for output_id in output_ids for gate in self.gates_of(output_id)))

    def _closure(self, wanted: Sequence[str]) -> Iterator[str]:
        """Depth first; a circle, which lint refuses, ends where it closes."""
        seen: set[str] = set()

        def visit(gate_id: str, needed_by: str) -> Iterator[str]:
            if gate_id in seen:
                return
            seen.add(gate_id)
            if gate_id not in self.gates:
                hint = f"{needed_by} names it: correct the name, or add the gate to gates.yaml."
                known = f"one of {', '.join(self.gates)}"
                raise ReasonError(_unknown(ReasonCode.UNKNOWN_GATE_ID, gate_id, known, hint))
            for upstream in self.gates[gate_id].upstream:
                yield from visit(upstream, f"Gate {gate_id}")
            yield gate_id

        for gate_id in wanted:
            yield from visit(gate_id, "The output's read_requires_gates")


def _unknown(code: ReasonCode, subject: str, expected: str, hint: str) -> Reason:
    return Reason(code=code, subject=subject, expected=expected, observed="nothing of that name", hint=hint)
