"""The JSON Schemas (2020-12) of the run authority's documents: those that it writes, and those that people write.

As with the platform's other documents (`contracts.document_schemas`), the files in `contracts/schemas/` are drawn from
the models and never edited.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pydantic import BaseModel

from contracts.authority.envelopes import Envelope
from contracts.authority.evidence import EngineGateReceipt, InstanceReceipt, Locator
from contracts.authority.facts import ReadySignal, RunFacts, TerminalSignal
from contracts.authority.invocations import Invocation
from contracts.authority.pack import EngineCatalogue, GateMap
from contracts.authority.plans import RunPlan
from contracts.authority.policy import EnginePolicy
from contracts.authority.record import RunEvent
from contracts.authority.reemission import ReemitRequest
from contracts.authority.requests import RunRequest
from contracts.authority.status import RunStatus
from contracts.document_schemas import schema_of_input, schema_of_model, text_of, version_of

ENGINE_DOCUMENTS: Mapping[str, type[BaseModel]] = MappingProxyType(
    {
        "engine-locator": Locator,
        "engine-gate-receipt": EngineGateReceipt,
        "engine-instance-receipt": InstanceReceipt,
        "engine-invocation": Invocation,
        "run-plan": RunPlan,
        "run-event": RunEvent,
        "run-status": RunStatus,
        "run-facts": RunFacts,
        "run-ready": ReadySignal,
        "run-terminal": TerminalSignal,
        "bus-envelope": Envelope,
        "reemit-request": ReemitRequest,
    }
)
"""Written by the platform, by the name in their `format`."""

ENGINE_INPUTS: Mapping[str, type[BaseModel]] = MappingProxyType(
    {
        "engine-catalogue": EngineCatalogue,
        "engine-gates": GateMap,
        "engine-policy": EnginePolicy,
        "engine-request": RunRequest,
    }
)
"""Written by people."""


def engine_schema_texts() -> dict[str, str]:
    """The files of `contracts/schemas/` that this module draws, by name."""
    written = {name: schema_of_model(name, model) for name, model in ENGINE_DOCUMENTS.items()}
    asked = {name: schema_of_input(name, model) for name, model in ENGINE_INPUTS.items()}
    models = {**ENGINE_DOCUMENTS, **ENGINE_INPUTS}
    return {
        f"{name}.v{version_of(models[name])}.json": text_of(schema) for name, schema in {**written, **asked}.items()
    }
