"""What Dagster is told of a run: only what is true of it, its gates with both digests and the failing member."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg

from contracts.authority.evidence import EngineGateReceipt, Evidence, Locator
from contracts.authority.facts import ReadySignal, RunFacts
from contracts.authority.pack import EnginePack
from contracts.authority.plans import RunPlan
from contracts.authority.reasons import Reason
from contracts.authority.status import RunStatus
from platform_assets.engine.engine_specs import EngineKeys, gate_subject, plain_name
from platform_assets.ingest.asset_events import SIZE_BYTES, URI, inert, visible
from resources.authority.run_documents import RunDocuments

MEMBERS_SHOWN = 20
REASONS_SHOWN = 20

RunEvents = dg.MaterializeResult[Any] | dg.AssetCheckResult


def run_events(pack: EnginePack, documents: RunDocuments, status: RunStatus) -> Iterator[RunEvents]:
    """Everything that is true of a run now."""
    keys = EngineKeys(pack.name)
    plan, evidence, facts = documents.plan(), documents.last_evidence(), documents.readable_facts()
    if plan is not None:
        yield _plan_event(keys, plan, status)
    if facts is not None:
        for locator in facts.locators:
            yield _output_event(keys, locator, facts)
    if evidence is not None:
        yield from gate_events(pack, evidence)
    ready = documents.ready()
    if facts is not None and ready is not None:
        yield _facts_event(keys, facts, documents.store.uri(ready.facts_key))
        yield _ready_event(keys, ready)


def gate_events(pack: EnginePack, evidence: Evidence) -> Iterator[dg.AssetCheckResult]:
    """One result a gate that was looked at."""
    keys = EngineKeys(pack.name)
    for receipt in evidence.gate_receipts:
        gate = pack.gates.get(receipt.gate_id)
        if gate is None or gate_subject(gate) not in pack.outputs:
            continue
        yield dg.AssetCheckResult(
            passed=receipt.passed,
            asset_key=keys.output(gate_subject(gate)),
            check_name=plain_name(receipt.gate_id),
            description=inert(_verdict(receipt)),
            metadata=_gate_metadata(receipt),
        )


def reasons_metadata(status: RunStatus) -> dict[str, Any]:
    """Why a run is where it is."""
    columns = ("code", "subject", "expected", "observed", "member", "hint")
    rows = [[visible(str(getattr(reason, column) or "")) for column in columns] for reason in status.reasons]
    shown = _table(columns, rows[:REASONS_SHOWN])
    codes = ", ".join(reason.code.value for reason in status.reasons)
    return {"state": status.state.value, **({"reason_codes": codes, "reasons": shown} if rows else {})}


def spoken_reasons(reasons: tuple[Reason, ...]) -> str:
    """Reasons as a person reads them, one a line."""
    return "\n".join(visible(reason.sentence, 1000) for reason in reasons[:REASONS_SHOWN])


def _plan_event(keys: EngineKeys, plan: RunPlan, status: RunStatus) -> RunEvents:
    return dg.MaterializeResult(
        asset_key=keys.plan,
        metadata={
            "plan": plan.digest,
            "outputs": ", ".join(plan.outputs),
            "gates": ", ".join(plan.gates),
            "strategy": plan.strategy.value,
            "run_root": visible(plan.root.root),
            "run_root_said_by": plan.root.said_by,
            "policy_revision": plan.policy_revision,
            "pins": dg.MetadataValue.json(plan.pins.model_dump(mode="json")),
            **reasons_metadata(status),
        },
        data_version=dg.DataVersion(plan.digest),
    )


def _output_event(keys: EngineKeys, locator: Locator, facts: RunFacts) -> RunEvents:
    rows = [[visible(m.path), str(m.size_bytes), m.sha256] for m in locator.members[:MEMBERS_SHOWN]]
    return dg.MaterializeResult(
        asset_key=keys.output(locator.output_id),
        metadata={
            "path": visible(locator.path),
            "content_digest": f"{locator.content_digest.algo}:{locator.content_digest.hex}",
            "role": locator.role.value,
            "files": len(locator.members),
            SIZE_BYTES: sum(member.size_bytes for member in locator.members),
            "members": _table(("path", "size_bytes", "sha256"), rows),
            "gates": ", ".join(locator.gates),
            "facts": facts.digest,
            "attempt": facts.attempt_id or "reused",
        },
        data_version=dg.DataVersion(locator.content_digest.hex),
    )


def _facts_event(keys: EngineKeys, facts: RunFacts, uri: str) -> RunEvents:
    return dg.MaterializeResult(
        asset_key=keys.facts,
        metadata={
            "facts": facts.digest,
            "bundle_digest": facts.bundle_digest,
            "outputs": ", ".join(locator.output_id for locator in facts.locators),
            "missing_optional": ", ".join(facts.missing_optional),
            "oracle_pack": dg.MetadataValue.json(facts.oracle_pack_ref.model_dump(mode="json")),
            URI: dg.MetadataValue.url(uri),
        },
        data_version=dg.DataVersion(facts.digest),
    )


def _ready_event(keys: EngineKeys, ready: ReadySignal) -> RunEvents:
    return dg.MaterializeResult(
        asset_key=keys.ready,
        metadata={"message_id": ready.message_id, "facts": ready.facts_digest, "bundle_digest": ready.bundle_digest},
        data_version=dg.DataVersion(ready.message_id),
    )


def _verdict(receipt: EngineGateReceipt) -> str:
    if receipt.passed:
        return f"{len(receipt.members)} files have the digest that the flag states."
    at = f" at {visible(receipt.failing_member)}" if receipt.failing_member else ""
    return f"Did not pass{at}: {visible(receipt.problem or 'unknown')}"


def _gate_metadata(receipt: EngineGateReceipt) -> dict[str, Any]:
    rows = [[visible(m.path), str(m.size_bytes), m.sha256] for m in receipt.members[:MEMBERS_SHOWN]]
    return {
        "expected": receipt.expected or "nothing stated",
        "observed": receipt.observed or "not computed",
        "failing_member": visible(receipt.failing_member or "none"),
        "law": receipt.law,
        "bundle_root": visible(receipt.bundle_root),
        "members_total": len(receipt.members),
        **({"members": _table(("path", "size_bytes", "sha256"), rows)} if rows else {}),
    }


def _table(columns: tuple[str, ...], rows: list[list[str]]) -> dg.TableMetadataValue:
    records = [dg.TableRecord(dict(zip(columns, row, strict=True))) for row in rows]
    return dg.MetadataValue.table(records, schema=dg.TableSchema([dg.TableColumn(name) for name in columns]))
