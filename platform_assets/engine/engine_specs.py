"""What the assets and checks of an engine say of themselves: keys, kinds, descriptions, versions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import dagster as dg

from contracts.authority.pack import EngineGate, EngineOutput, EnginePack
from platform_assets.engine.run_partitions import run_partitions
from platform_assets.ingest.asset_events import inert

ENGINE_TAG = "hashgate/engine"
STATE_TAG = "hashgate/engine_state"
ENGINE_RUN_TAG = "hashgate/engine_run"

_RESERVED = frozenset({"plan", "facts", "ready"})


@dataclass(frozen=True)
class EngineKeys:
    """The asset keys and check names of one engine."""

    engine: str

    @property
    def plan(self) -> dg.AssetKey:
        """What a run is to bring about."""
        return dg.AssetKey(["engine", self.engine, "plan"])

    @property
    def facts(self) -> dg.AssetKey:
        """What it brought about."""
        return dg.AssetKey(["engine", self.engine, "facts"])

    @property
    def ready(self) -> dg.AssetKey:
        """The signal that it may be read."""
        return dg.AssetKey(["engine", self.engine, "ready"])

    def output(self, output_id: str) -> dg.AssetKey:
        """An output of the catalogue."""
        name = plain_name(output_id)
        return dg.AssetKey(["engine", self.engine, f"{name}_output" if name in _RESERVED else name])


def plain_name(identifier: str) -> str:
    """An id of a pack as Dagster takes it."""
    return re.sub(r"\W", "_", identifier)


def job_name(engine: str) -> str:
    """The job that brings an engine's runs forward."""
    return f"engine_{plain_name(engine)}_run"


def engine_specs(pack: EnginePack) -> list[dg.AssetSpec]:
    """Plan, outputs, facts, ready: each after those it depends on."""
    keys = EngineKeys(pack.name)
    outputs = [_output_spec(pack, output) for output in pack.outputs.values()]
    return [
        _spec(pack, keys.plan, f"What each run of `{pack.name}` is to bring about: hashed, and never changed."),
        *outputs,
        _spec(
            pack,
            keys.facts,
            "run_facts_view: every output of a READY run, of which bytes it is made, and what let it through.",
            deps=[output.key for output in outputs],
        ),
        _spec(pack, keys.ready, "The signal that a run may be read; the control bus carries it.", deps=[keys.facts]),
    ]


def gate_check_specs(pack: EnginePack) -> list[dg.AssetCheckSpec]:
    """Each gate as a blocking check of the first output that it authorizes."""
    keys, partitions = EngineKeys(pack.name), run_partitions(pack.name)
    return [
        dg.AssetCheckSpec(
            plain_name(gate.id),
            asset=keys.output(gate_subject(gate)),
            description=_said_of(gate),
            blocking=True,
            partitions_def=partitions,
        )
        for gate in pack.gates.values()
        if gate_subject(gate) in pack.outputs
    ]


def gate_subject(gate: EngineGate) -> str:
    """The output that a gate is a check of."""
    return gate.authorizes[0]


def _output_spec(pack: EnginePack, output: EngineOutput) -> dg.AssetSpec:
    suffix = output.path.rpartition(".")[2].lower()
    return _spec(
        pack,
        EngineKeys(pack.name).output(output.id),
        output.description or f"Output {output.id}.",
        deps=[EngineKeys(pack.name).plan],
        kinds={suffix if suffix in {"parquet", "csv", "json"} else "file"},
        metadata={"path": output.path, "availability": output.availability.value, "scope": ", ".join(output.scope)},
    )


def _spec(pack: EnginePack, key: dg.AssetKey, what: str, **more: Any) -> dg.AssetSpec:
    return dg.AssetSpec(
        key,
        description=inert(what).replace("\\`", "`"),
        partitions_def=run_partitions(pack.name),
        group_name=f"engine_{plain_name(pack.name)}",
        code_version=pack.policy_revision,
        tags={ENGINE_TAG: pack.name},
        skippable=True,
        **({"kinds": {"json"}} | more),
    )


def _said_of(gate: EngineGate) -> str:
    covered = ", ".join(gate.authorizes)
    notes = " ".join(gate.compatibility_notes)
    return inert(f"{gate.description} Authorizes {covered}; law {gate.law.name}. {notes}".strip())
