"""Verifier receipts in the platform's own store: written once each, compared with whatever comes later."""

from __future__ import annotations

from contracts.authority.evidence import Evidence, InstanceReceipt
from contracts.authority.instance_receipts import receipt_key
from contracts.authority.reasons import Reason, ReasonCode
from resources.object_store import ObjectStore


def commit_instance_receipts(store: ObjectStore, evidence: Evidence) -> tuple[Reason, ...]:
    """Keep the receipts of complete evidence; those that are there already stay as they are.

    Returns:
        Nothing when all are kept; else why the run fails: somebody else bound other bytes to the same pins meanwhile.
    """
    late = [r for r in evidence.instance_receipts if not store.put_if_absent(receipt_key(r), r.to_bytes())]
    return tuple(reason for reason in (drift(store, receipt) for receipt in late) if reason is not None)


def drift(store: ObjectStore, receipt: InstanceReceipt) -> Reason | None:
    """Why a receipt cannot stand beside the one that is kept; None when it can, or none is kept."""
    key = receipt_key(receipt)
    try:
        data = store.get(key)
    except KeyError:
        return None
    try:
        kept = InstanceReceipt.from_bytes(data)
    except ValueError as error:
        return Reason(
            code=ReasonCode.INSTANCE_RECEIPT_SCHEMA_INVALID,
            subject=receipt.output_id,
            expected="the receipt that was written there",
            observed=str(error).partition("\n")[0],
            member=key,
            hint="It was altered in the store: restore it from a backup.",
        )
    if kept == receipt:
        return None
    return Reason(
        code=ReasonCode.INSTANCE_RECEIPT_DRIFT,
        subject=receipt.output_id,
        expected=f"{kept.content_digest.hex} at {kept.path}",
        observed=f"{receipt.content_digest.hex} at {receipt.path}",
        member=key,
        hint="The same pins stand for other bytes than before: find out what changed, and use pins of its own for it.",
    )
