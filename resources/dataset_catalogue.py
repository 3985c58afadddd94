"""The dataset catalogue: one entry a version of a table's contract, in the store, written once."""

from __future__ import annotations

from urllib.parse import quote

from contracts.datasets import DatasetEntry, SchemaConflictError
from contracts.errors import StoreError
from contracts.table_contract import TableContract
from resources.object_store import ObjectStore
from resources.table_reader import table_prefix


def register_dataset(store: ObjectStore, contract: TableContract) -> DatasetEntry:
    """Catalogue a contract's schema; having it already is the same.

    Raises:
        SchemaConflictError: This version stands for another schema; nothing was changed.
        StoreError: The entry is not what was written.
    """
    wanted = DatasetEntry.of(contract)
    while (catalogued := catalogued_dataset(store, contract)) is None:
        if store.put_if_absent(_key(contract), wanted.to_bytes()):
            return wanted
    if catalogued.schema_fingerprint != wanted.schema_fingerprint:
        raise SchemaConflictError(contract=contract.source or contract.table, wanted=wanted, catalogued=catalogued)
    return catalogued


def catalogued_dataset(store: ObjectStore, contract: TableContract) -> DatasetEntry | None:
    """The entry of a contract's version; None when it was never registered.

    Raises:
        StoreError: It is not what was written.
    """
    key = _key(contract)
    try:
        entry = DatasetEntry.from_bytes(store.get(key))
    except KeyError:
        return None
    except ValueError as error:
        raise _altered(key, str(error).partition("\n")[0]) from error
    if (entry.table, entry.version) != (contract.table, contract.version):
        raise _altered(key, f"it belongs to {entry.table} {entry.version}")
    return entry


def _altered(key: str, problem: str) -> StoreError:
    fix = "Restore the object from a backup, or raise the contract's version."
    return StoreError(f"{key}: {problem}. {fix}", key=key)


def _key(contract: TableContract) -> str:
    return f"{table_prefix(contract.table)}/datasets/{quote(contract.version, safe='')}.json"
