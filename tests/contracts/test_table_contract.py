"""The three digests of a contract: what an edit redoes, and what it leaves alone."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from pydantic import ValidationError

from contracts.gates import GATES
from contracts.refs import digest_json
from contracts.sinks import Sink
from contracts.table_contract import (
    EXTRA_COLUMN,
    LINEAGE_COLUMNS,
    RATIO_FROM_BYTES,
    Cadence,
    Column,
    CsvFormat,
    Expansion,
    Freshness,
    JsonLinesFormat,
    Partitioning,
    RowRule,
    Server,
    SetRule,
    Severity,
    TableContract,
)

ID = Column(name="id", type="BIGINT", primary_key_position=1, required=True)
NAME = Column(name="name", type="VARCHAR", unique=True)
TRIPS = TableContract(
    table="trips",
    version="1.0.0",
    server=Server(path="trips/*.csv", format=CsvFormat()),
    columns=(ID, NAME),
    partitioning=Partitioning(
        cadence=Cadence.DAILY,
        start=dt.datetime(2013, 1, 1),
        file_name_pattern=r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)",
    ),
    row_rules=(RowRule(name="positive", expression="id > 0"),),
    set_rules=(SetRule(name="rows", query="SELECT count(*) FROM {table}", operator=">", threshold=(0,)),),
)


@pytest.mark.parametrize(
    ("size", "most"),
    [
        pytest.param(0, RATIO_FROM_BYTES, id="nothing"),
        pytest.param(1000, RATIO_FROM_BYTES, id="a small file"),
        pytest.param(RATIO_FROM_BYTES // 100, 2 * RATIO_FROM_BYTES, id="a file whose size counts"),
        pytest.param(1 << 40, 64 << 30, id="a file larger than may become of it"),
    ],
)
def test_what_may_become_of_a_compressed_drop(size: int, most: int) -> None:
    assert Expansion().most_bytes(size) // 1000 == most // 1000


def changed(**values: Any) -> TableContract:
    return TableContract.model_validate({name: getattr(TRIPS, name) for name in TableContract.model_fields} | values)


PROSE = {
    "the version": {"version": "2.0.0"},
    "the description": {"description": "x"},
    "the owners": {"owners": ("a@example.com",)},
    "the tags": {"tags": ("x",)},
    "the domain": {"domain": "x"},
    "the file": {"source": "elsewhere.yaml"},
    "freshness, which watches and judges nothing": {"freshness": Freshness(latency_s=1)},
    "a column's description": {"columns": (ID.model_copy(update={"description": "x"}), NAME)},
    "a row rule's description": {"row_rules": (RowRule(name="positive", expression="id > 0", description="x"),)},
}

JUDGES_ROWS = {
    "a column's name": {"columns": (ID, Column(name="nom", type="VARCHAR", unique=True))},
    "a column's type": {"columns": (ID, Column(name="name", type="JSON", unique=True))},
    "an alias": {"columns": (ID, NAME.model_copy(update={"aliases": ("nom",)}))},
    "a bound": {"columns": (ID.model_copy(update={"minimum": "1"}), NAME)},
    "another order of columns": {"columns": (NAME, ID)},
    "a row rule's expression": {"row_rules": (RowRule(name="positive", expression="id > 1"),)},
    "a row rule's severity": {"row_rules": (RowRule(name="positive", expression="id > 0", severity=Severity.WARNING),)},
    "the delimiter": {"server": Server(path="trips/*.csv", format=CsvFormat(delimiter=";"))},
    "the format": {"server": Server(path="trips/*.csv", format=JsonLinesFormat())},
    "undeclared columns": {"undeclared_columns": "keep"},
    "how far a drop may expand": {
        "server": TRIPS.server.model_copy(update={"decompression": Expansion(max_ratio=1000)})
    },
}

JUDGES_SETS = {
    "a set rule's threshold": {
        "set_rules": (SetRule(name="rows", query="SELECT count(*) FROM {table}", operator=">", threshold=(1,)),)
    },
    "the quarantine budget": {"quarantine_budget": 0.5},
    "the sink mode": {"sink_mode": "error"},
    "a sink more": {"sinks": (Sink.PARQUET, Sink.DUCKDB)},
    "a unique column": {"columns": (ID, NAME.model_copy(update={"unique": False}))},
    "columns that are unique together": {"unique_together": (("id", "name"),)},
}

WHERE_FROM = {
    "the path": {"server": Server(path="other/*.csv", format=CsvFormat())},
    "the calendar": {"partitioning": TRIPS.partitioning.model_copy(update={"cadence": Cadence.HOURLY})},
}


def test_a_contract_that_says_nothing_of_expansion_keeps_its_digest() -> None:
    """As it was before there was a limit: limits that are not stated came with the parser, not with the contract."""
    stated = changed(server=TRIPS.server.model_copy(update={"decompression": Expansion(max_bytes=64 << 30)}))
    assert stated.rows_digest == TRIPS.rows_digest
    assert "decompression" not in TRIPS._judging_rows()


@pytest.mark.parametrize("change", PROSE.values(), ids=PROSE.keys())
def test_prose_is_in_no_digest(change: dict[str, Any]) -> None:
    edited = changed(**change)
    assert edited != TRIPS
    assert (edited.rows_digest, edited.set_digest, edited.digest) == (TRIPS.rows_digest, TRIPS.set_digest, TRIPS.digest)


@pytest.mark.parametrize("change", JUDGES_ROWS.values(), ids=JUDGES_ROWS.keys())
def test_what_judges_a_row_parses_again(change: dict[str, Any]) -> None:
    edited = changed(**change)
    assert edited.rows_digest != TRIPS.rows_digest
    assert edited.digest != TRIPS.digest


@pytest.mark.parametrize("change", JUDGES_SETS.values(), ids=JUDGES_SETS.keys())
def test_what_judges_a_set_parses_nothing(change: dict[str, Any]) -> None:
    edited = changed(**change)
    assert edited.rows_digest == TRIPS.rows_digest
    assert edited.set_digest != TRIPS.set_digest
    assert edited.digest != TRIPS.digest


@pytest.mark.parametrize("change", WHERE_FROM.values(), ids=WHERE_FROM.keys())
def test_where_drops_come_from_judges_nothing(change: dict[str, Any]) -> None:
    edited = changed(**change)
    assert (edited.rows_digest, edited.set_digest) == (TRIPS.rows_digest, TRIPS.set_digest)
    assert edited.digest != TRIPS.digest


def test_parquet_alone_is_named_as_it_was_before_there_was_a_choice() -> None:
    before = {
        "unique_keys": TRIPS.unique_keys,
        "set_rules": [rule.model_dump(mode="json", exclude={"description"}) for rule in TRIPS.set_rules],
        "quarantine_budget": 1.0,
        "sink_mode": "replace",
    }
    assert TRIPS.set_digest == digest_json(before)
    assert TRIPS.output_target_key == digest_json(["trips", TRIPS.schema_fingerprint, "replace", "parquet"])
    assert (TRIPS.exports, TRIPS.gates) == ((), GATES)


def test_sinks_and_mode_are_part_of_where_the_rows_go() -> None:
    keys = {
        changed(sinks=sinks, sink_mode=mode).output_target_key
        for sinks in ((), (Sink.CSV,), (Sink.DUCKDB,), (Sink.CSV, Sink.DUCKDB))
        for mode in ("append", "replace", "error")
    }
    assert len(keys) == 12


def test_sinks_are_the_same_in_any_order_and_parquet_is_always_among_them() -> None:
    one, other = changed(sinks=(Sink.DUCKDB, Sink.CSV)), changed(sinks=(Sink.CSV, Sink.PARQUET, Sink.DUCKDB))
    assert one == other
    assert one.sinks == (Sink.PARQUET, Sink.CSV, Sink.DUCKDB)
    assert (one.exports, one.gates) == ((Sink.CSV, Sink.DUCKDB), (*GATES, "sinks"))


def test_the_dataset_id_is_the_names_on_any_machine() -> None:
    assert str(TRIPS.dataset_id) == "8c833036-3b86-520b-a82c-9c7b3a4f1b07"
    assert changed(columns=(NAME,), row_rules=()).dataset_id == TRIPS.dataset_id
    assert changed(table="trips2").dataset_id != TRIPS.dataset_id


def test_keys_in_their_order() -> None:
    both = changed(
        columns=(
            Column(name="a", type="BIGINT", primary_key_position=2),
            Column(name="b", type="BIGINT", primary_key_position=1),
            Column(name="c", type="BIGINT", unique=True),
        ),
        unique_together=(("a", "c"),),
        row_rules=(),
    )
    assert both.primary_key == ("b", "a")
    assert both.unique_keys == (("b", "a"), ("c",), ("a", "c"))
    assert changed(columns=(ID.model_copy(update={"unique": True}), NAME)).unique_keys == (("id",), ("name",))


def test_the_schema_that_readers_see_ends_with_lineage() -> None:
    assert list(TRIPS.table_schema) == ["id", "name", *LINEAGE_COLUMNS]
    assert list(changed(undeclared_columns="keep").table_schema) == ["id", "name", EXTRA_COLUMN, *LINEAGE_COLUMNS]


def test_the_fingerprint_is_names_and_types_in_order() -> None:
    assert (
        changed(columns=(ID.model_copy(update={"required": False}), NAME)).schema_fingerprint
        == TRIPS.schema_fingerprint
    )
    assert changed(columns=(NAME, ID)).schema_fingerprint != TRIPS.schema_fingerprint
    split = changed(columns=(Column(name="a", type="JSON"), Column(name="b", type="JSON")), row_rules=())
    joined = changed(columns=(Column(name='a","JSON"],["b', type="JSON"),), row_rules=())
    assert split.schema_fingerprint != joined.schema_fingerprint


def test_a_contract_survives_json() -> None:
    again = TableContract.model_validate_json(TRIPS.model_dump_json())
    assert again == TRIPS
    assert again.digest == TRIPS.digest


def test_a_copy_has_its_own_digests() -> None:
    known = TRIPS.digest
    copy = TRIPS.model_copy(update={"quarantine_budget": 0.5})
    assert copy.digest != known
    assert copy.digest == changed(quarantine_budget=0.5).digest


REFUSED: dict[str, dict[str, Any]] = {
    "a table name with capitals": {"table": "Trips"},
    "a table name with a path": {"table": "../x"},
    "a table name that is too long": {"table": "t" * 64},
    "no columns": {"columns": ()},
    "a budget above everything": {"quarantine_budget": 1.5},
    "an unknown sink mode": {"sink_mode": "merge"},
    "an unknown field": {"colour": "red"},
}


@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_contract(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        changed(**change)
