"""Verifier receipts (E5): of an output that belongs to one instance, which bytes were seen under which pins.

A path can lie: an engine may write other bytes under the same seed and scenario. The receipt of the first run binds
them; whatever differs later is drift. There is no time in it, so that the same bytes give the same receipt, and no way
around it.
"""

from __future__ import annotations

from pydantic import ValidationError

from contracts.authority.evidence import InstanceReceipt, Sha256
from contracts.authority.pack import EngineOutput
from contracts.authority.pins import PIN_NAMES, Pins
from contracts.authority.reasons import Reason, ReasonCode


def instance_receipt(
    engine: str, output: EngineOutput, pins: Pins, *, path: str, content_digest: Sha256 | None
) -> InstanceReceipt | Reason:
    """The receipt of an instance-scoped output, or why there can be none.

    Args:
        engine: The engine's name.
        output: What the catalogue says of it.
        pins: The run's.
        path: The locator's.
        content_digest: The locator's; None when it has none.
    """
    missing = pins.missing(output.scope)
    if missing:
        hint = "Name it in the request: what belongs to one instance is bound to all pins of its scope."
        expected = f"a value for {', '.join(missing)}"
        return _reason(ReasonCode.INSTANCE_SCOPE_MISSING, output.id, expected, "none in the run's pins", hint)
    if content_digest is None:
        hint = "There is no way around it: let the locator be drawn up from the files."
        return _reason(ReasonCode.INSTANCE_DIGEST_MISSING, output.id, "a content digest", "none", hint)
    try:
        return InstanceReceipt(
            engine=engine,
            output_id=output.id,
            scope=pins.within(output.scope),
            path=path,
            content_digest=content_digest,
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        observed = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        hint = "See contracts/schemas/engine-instance-receipt.v1.json."
        expected = "a receipt that keeps its schema"
        return _reason(ReasonCode.INSTANCE_RECEIPT_SCHEMA_INVALID, output.id, expected, observed, hint)


def receipt_key(receipt: InstanceReceipt) -> str:
    """Where a receipt lies in the platform's own store: the scope's pins, in the order of E5."""
    scope = "/".join(f"{name}={receipt.scope[name]}" for name in PIN_NAMES if name in receipt.scope)
    return f"engine/receipts/{receipt.engine}/{receipt.output_id}/{scope}/receipt.json"


def _reason(code: ReasonCode, output_id: str, expected: str, observed: str, hint: str) -> Reason:
    return Reason(code=code, subject=output_id, expected=expected, observed=observed, hint=hint)
