"""The dataset catalogue: the same again is nothing new, another schema under one version is a conflict."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.datasets import DatasetEntry, SchemaConflictError
from contracts.errors import StoreError
from contracts.table_contract import TableContract
from resources.dataset_catalogue import catalogued_dataset, register_dataset
from resources.object_store import LocalObjectStore
from tests.sales import DAY, HEADER, SALES, SalesHome, row


@pytest.fixture
def store(tmp_path: Path) -> LocalObjectStore:
    return LocalObjectStore(tmp_path / "store")


def with_types(**types: str) -> TableContract:
    columns = tuple(c.model_copy(update={"type": types.get(c.name, c.type)}) for c in SALES.columns)
    return SALES.model_copy(update={"columns": columns})


def test_registering_the_same_again_is_nothing_new(store: LocalObjectStore) -> None:
    assert register_dataset(store, SALES) == register_dataset(store, SALES) == catalogued_dataset(store, SALES)


def test_a_table_has_the_same_id_on_any_machine(store: LocalObjectStore) -> None:
    assert str(register_dataset(store, SALES).dataset_id) == "31eecf3d-273d-525e-bcec-6bb8a7a29144"


def test_nullability_is_no_part_of_a_schema(store: LocalObjectStore) -> None:
    register_dataset(store, SALES)
    columns = tuple(c.model_copy(update={"required": False}) for c in SALES.columns)
    register_dataset(store, SALES.model_copy(update={"columns": columns}))


def test_another_schema_under_the_same_version_is_a_conflict_that_changes_nothing(store: LocalObjectStore) -> None:
    before = register_dataset(store, SALES)
    with pytest.raises(SchemaConflictError) as conflict:
        register_dataset(store, with_types(id="VARCHAR"))
    assert "sales 1.0.0 is catalogued with another schema: id was BIGINT and is VARCHAR" in str(conflict.value)
    assert "Raise the contract's version" in str(conflict.value)
    assert catalogued_dataset(store, SALES) == before


def test_names_and_types_cannot_collide() -> None:
    one = with_types(shop="VARCHAR").schema_fingerprint
    swapped = SALES.model_copy(update={"columns": (SALES.columns[1], SALES.columns[0], *SALES.columns[2:])})
    assert one != swapped.schema_fingerprint


def test_ingest_refuses_a_changed_schema_until_the_version_is_raised(tmp_path: Path) -> None:
    home = SalesHome(tmp_path)
    home.drop(HEADER + row(1))
    home.ingest()
    changed = with_types(note="JSON")
    with pytest.raises(SchemaConflictError):
        home.under(changed).ingest()
    assert len(home.rows(DAY)) == 1
    home.under(changed.model_copy(update={"version": "2.0.0"})).ingest()
    assert [c.number for c in home.workspace.reader.history("sales", DAY)] == [1, 2]


def test_a_contract_of_any_version_text_has_a_place(store: LocalObjectStore) -> None:
    odd = SALES.model_copy(update={"version": "v1/../é 2"})
    assert register_dataset(store, odd) == catalogued_dataset(store, odd)


KEY = "tables/sales/datasets/1.0.0.json"


def test_every_byte_of_an_entry_is_guarded(store: LocalObjectStore) -> None:
    register_dataset(store, SALES)
    path = store.path(KEY)
    whole = path.read_bytes()
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        with pytest.raises(StoreError, match=f"{KEY}: .*Restore the object from a backup, or raise the contract"):
            register_dataset(store, SALES)


def test_an_entry_of_another_version_in_its_place_is_refused(store: LocalObjectStore) -> None:
    register_dataset(store, SALES)
    other = SALES.model_copy(update={"version": "2.0.0"})
    store.put_if_absent("tables/sales/datasets/2.0.0.json", store.get(KEY))
    with pytest.raises(StoreError, match="2.0.0.json: it belongs to sales 1.0.0") as moved:
        register_dataset(store, other)
    assert moved.value.evidence["key"] == "tables/sales/datasets/2.0.0.json"


def test_an_entry_from_before_there_were_seals_still_counts(store: LocalObjectStore) -> None:
    early = DatasetEntry.of(SALES).model_copy(update={"format": "hashgate/dataset/v1"})
    early.model_fields_set.update(type(early).model_fields)
    store.put_if_absent(KEY, early.to_bytes())
    assert b"digest" not in store.get(KEY)
    assert register_dataset(store, SALES).format == "hashgate/dataset/v1"
    with pytest.raises(SchemaConflictError):
        register_dataset(store, with_types(id="VARCHAR"))
