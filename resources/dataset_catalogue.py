"""The dataset catalogue: one entry a version of a table's contract, in the store, written once."""

from __future__ import annotations

from urllib.parse import quote

from contracts.canonical import canonical_bytes, parse_json
from contracts.datasets import DatasetEntry, SchemaConflictError
from contracts.table_contract import TableContract
from resources.object_store import LocalObjectStore
from resources.table_reader import table_prefix


def register_dataset(store: LocalObjectStore, contract: TableContract) -> DatasetEntry:
    """Catalogue a contract's schema; having it already is the same.

    Raises:
        SchemaConflictError: This version stands for another schema; nothing was changed.
    """
    wanted = DatasetEntry.of(contract)
    while (catalogued := catalogued_dataset(store, contract)) is None:
        if store.put_if_absent(_key(contract), canonical_bytes(wanted.model_dump(mode="json"))):
            return wanted
    if catalogued.schema_fingerprint != wanted.schema_fingerprint:
        raise SchemaConflictError(contract=contract.source or contract.table, wanted=wanted, catalogued=catalogued)
    return catalogued


def catalogued_dataset(store: LocalObjectStore, contract: TableContract) -> DatasetEntry | None:
    """The entry of a contract's version; None when it was never registered."""
    try:
        return DatasetEntry.model_validate(parse_json(store.get(_key(contract))))
    except KeyError:
        return None


def _key(contract: TableContract) -> str:
    return f"{table_prefix(contract.table)}/datasets/{quote(contract.version, safe='')}.json"
