"""The run authority's documents, verified: what engine runs are remembered by, and the receipts of their instances.

A run root is not looked at: it belongs to the engine, and may be gone. What was captured from it is a drop like others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial

from contracts.authority.evidence import InstanceReceipt
from contracts.authority.instance_receipts import receipt_key
from contracts.errors import StoreError
from contracts.refs import Digest
from platform_assets.evidence.corruptions import AS_WRITTEN, RESTORE, Concern, Corruption
from platform_assets.evidence.object_evidence import stray
from resources.authority.run_documents import RUNS, RunDocuments
from resources.object_store import ObjectStore

ENGINE = "engine"
RECEIPTS = f"{ENGINE}/receipts"

_OF_A_RUN = re.compile(
    r"(?P<single>plan|facts|ready)\.json|(?P<chain>record|status)/[0-9]{8,}\.json|terminal-(?P<terminal>[0-9]{8,})\.json"
    r"|evidence/(?P<evidence>[0-9a-f]{64})\.json|attempts/[0-9a-f]{32}/[^/]+"
)


def look_at_engines(store: ObjectStore) -> Iterator[Corruption]:
    """Everything below `engine/` that is not what was written, or that nothing explains."""
    for key in store.walk(ENGINE):
        if not key.startswith((f"{RUNS}/", f"{RECEIPTS}/")):
            yield stray(None, None, key)
    for run_id in store.keys(RUNS):
        yield from _look_at_run(RunDocuments(store, run_id))
    for key in store.walk(RECEIPTS):
        yield from _look_at_receipt(store, key)


def _look_at_run(documents: RunDocuments) -> Iterator[Corruption]:
    chains: set[str] = set()
    for key in documents.store.walk(documents.prefix):
        found = _OF_A_RUN.fullmatch(key.removeprefix(f"{documents.prefix}/"))
        if found is None:
            yield stray(None, None, key)
        elif found["chain"]:
            chains.add(found["chain"])
        elif found["single"]:
            yield from _told(key, getattr(documents, found["single"]))
        elif found["terminal"]:
            yield from _told(key, partial(documents.terminal, int(found["terminal"])))
        elif found["evidence"]:
            yield from _told(key, partial(documents.evidence, Digest(f"blake3:{found['evidence']}")))
    for name in sorted(chains):
        yield from _told(documents.key(name), partial(_read_through, documents, name))


def _read_through(documents: RunDocuments, name: str) -> None:
    """Read a chain from its beginning; each link verifies the one before it."""
    for _ in (documents.record if name == "record" else documents.statuses).after(0):
        pass


def _look_at_receipt(store: ObjectStore, key: str) -> Iterator[Corruption]:
    try:
        receipt = InstanceReceipt.from_bytes(store.get(key))
    except ValueError as error:
        yield _corruption(key, str(error).partition("\n")[0])
        return
    if receipt_key(receipt) != key:
        yield _corruption(key, f"the receipt of {receipt_key(receipt)}")


def _told(key: str, read: Callable[[], object]) -> Iterator[Corruption]:
    try:
        read()
    except StoreError as error:
        yield _corruption(str(error.evidence.get("key", key)), str(error))


def _corruption(key: str, observed: str) -> Corruption:
    return Corruption(None, None, key, AS_WRITTEN, observed, RESTORE, Concern.EVIDENCE)
