"""From an ODCS file to a table contract: what is understood, and what is refused with line, problem and remedy."""

# ruff: noqa: E501 - the table of refusals reads best with one refusal a line

from __future__ import annotations

import copy
import csv
import datetime as dt
import io
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import ContractError
from contracts.odcs_reader import lint_contract, parse_contract
from contracts.retention import Retention
from contracts.sinks import Sink
from contracts.table_contract import (
    Cadence,
    CsvFormat,
    EngineSource,
    Freshness,
    JsonLinesFormat,
    ParquetFormat,
    Partitioning,
    RowRule,
    SetRule,
    Severity,
    TableContract,
)
from contracts.yaml_document import MAX_BYTES, Problem

ROOT = Path(__file__).parents[2]
FLIGHTS = ROOT / "contracts/odcs/flights.odcs.yaml"
PCM = ROOT / "examples/pcm-regioni/pcm_regioni.odcs.yaml"
OUR_CONTRACTS = sorted({*(ROOT / "contracts/odcs").rglob("*.odcs.yaml"), *(ROOT / "examples").rglob("*.odcs.yaml")})

Document = dict[str, Any]

SMALLEST: Document = {
    "apiVersion": "v3.1.0",
    "kind": "DataContract",
    "id": "trips",
    "version": "1.0.0",
    "status": "active",
    "servers": [{"server": "drops", "type": "local", "path": "trips/*.csv", "format": "csv"}],
    "schema": [{"name": "trips", "properties": [{"name": "id", "logicalType": "integer"}]}],
    "customProperties": [
        {
            "property": "partitioning",
            "value": {
                "cadence": "daily",
                "start": "2013-01-01",
                "fileNamePattern": r"trips-(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})\.csv",
            },
        }
    ],
}


def document(change: Callable[[Document], object] = lambda _: None) -> bytes:
    """The smallest contract, changed."""
    contract = copy.deepcopy(SMALLEST)
    change(contract)
    return yaml.safe_dump(contract, sort_keys=False, allow_unicode=True).encode()


def parsed(change: Callable[[Document], object] = lambda _: None) -> TableContract:
    return parse_contract(document(change), source="trips.odcs.yaml")


def problems(change: Callable[[Document], object] = lambda _: None) -> list[Problem]:
    return lint_contract(document(change), source="trips.odcs.yaml")


def table(contract: Document) -> Document:
    found: Document = contract["schema"][0]
    return found


def custom(name: str, value: Any) -> Callable[[Document], object]:
    return lambda contract: contract["customProperties"].append({"property": name, "value": value})


def partitioning(**values: Any) -> Callable[[Document], object]:
    return lambda contract: contract["customProperties"][0]["value"].update(values)


def column(**values: Any) -> Callable[[Document], object]:
    """One column beside `id`."""
    return lambda contract: table(contract)["properties"].append({"name": "x", "logicalType": "string"} | values)


def table_check(**values: Any) -> Callable[[Document], object]:
    return lambda contract: table(contract).update(quality=[{"name": "rule"} | values])


def column_check(logical_type: str = "string", **values: Any) -> Callable[[Document], object]:
    return column(logicalType=logical_type, quality=[{"name": "rule"} | values])


# --- our own contracts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", OUR_CONTRACTS, ids=lambda path: path.name)
def test_our_contracts_load(path: Path) -> None:
    assert lint_contract(path.read_bytes(), source=path.name) == []
    assert parse_contract(path.read_bytes(), source=path.name).table == path.name.partition(".")[0]


@pytest.mark.parametrize("path", OUR_CONTRACTS, ids=lambda path: path.name)
def test_datacontract_cli_finds_nothing_wrong_with_our_contracts(path: Path) -> None:
    if find_spec("datacontract") is None:
        pytest.skip("datacontract-cli is not installed; it is a development dependency: see requirements-dev.lock")
    command = [sys.executable, "-c", "from datacontract.cli import app; app()", "lint", str(path)]
    lint = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert lint.returncode == 0, lint.stdout + lint.stderr
    assert "valid" in lint.stdout


def test_flights_say_what_the_demo_promises() -> None:
    flights = parse_contract(FLIGHTS.read_bytes(), source="flights")
    assert len(flights.columns) == 19
    assert flights.primary_key == ("carrier", "flight", "origin", "time_hour")
    assert flights.table_schema["time_hour"] == "TIMESTAMP WITH TIME ZONE"
    assert flights.table_schema["tailnum"] == "VARCHAR"
    assert flights.quarantine_budget == 0.05
    assert flights.partitioning.start == dt.datetime(2013, 1, 1)
    assert flights.owners == ("team:aviation-data", "flights@example.com")


def test_pcm_reads_both_header_versions_and_keeps_the_zeros() -> None:
    pcm = parse_contract(PCM.read_bytes(), source="pcm")
    assert len(pcm.columns) == 30
    by_name = {column.name: column for column in pcm.columns}
    assert by_name["codice_regione"].type == "VARCHAR"
    assert by_name["data"].type == "TIMESTAMP"
    assert by_name["totale_positivi"].aliases == ("totale_attualmente_positivi",)
    assert by_name["lat"].aliases == ("latitudine",)
    late = ("ingressi_terapia_intensiva", "totale_positivi_test_molecolare", "codice_nuts_1", "codice_nuts_2")
    assert all(by_name[name].absent == "null" and not by_name[name].required for name in late)
    assert pcm.undeclared_columns == "keep"


BROKEN_BY_PUBLISHED_ROWS = {
    "codice_regione_is_current": (0, 578),
    "nuovi_positivi_is_known": (0, 2646),
    "denominazione_has_no_blanks_around": (0, 29),
    "coordinates_are_in_italy": (0, 21),
    "hospital_figures_add_up": (0, 5),
    "positive_figures_add_up": (1, 5),
    "case_figures_add_up": (15, 5),
    "cases_by_test_add_up": (10, 2),
    "new_cases_are_not_negative": (14, 43),
    "admissions_are_not_negative": (5, 45),
    "tested_people_are_at_most_swabs": (2, 33),
    "nuts_codes_belong_to_the_region": (0, 384),
}
"""Rows of the final files, and of the 821 earlier versions, that break each warning."""


def test_the_published_rows_break_exactly_the_rules_that_the_example_says(corpora: Path) -> None:
    pcm = parse_contract(PCM.read_bytes(), source="pcm")
    final, earlier = (_pcm_rows(corpora, folder, pcm) for folder in ("daily", "as-published"))
    readme = (PCM.parent / "README.md").read_text("utf-8")
    broken = {
        rule.name: (_count_broken(final, rule), _count_broken(earlier, rule))
        for rule in pcm.row_rules
        if rule.severity is Severity.WARNING
    }
    assert broken == BROKEN_BY_PUBLISHED_ROWS
    for name, counts in broken.items():
        assert re.search(rf"`{name}` \| .*\| {counts[0]:,} \| {counts[1]:,} \|", readme), name


def test_no_final_row_breaks_an_error_of_the_example(corpora: Path) -> None:
    pcm = parse_contract(PCM.read_bytes(), source="pcm")
    rows = _pcm_rows(corpora, "daily", pcm)
    assert rows.num_rows == 37_401
    assert [rule.name for rule in pcm.row_rules if rule.severity is Severity.ERROR and _count_broken(rows, rule)] == []
    with duckdb.connect(":memory:") as connection:
        connection.register("rows", rows)
        keys = connection.execute(f"SELECT count(DISTINCT ({', '.join(pcm.primary_key)})) FROM rows").fetchall()
        missing = [
            one.name
            for one in pcm.columns
            if one.required
            and connection.execute(f'SELECT count(*) FROM rows WHERE "{one.name}" IS NULL').fetchall() != [(0,)]
        ]
    assert keys == [(37_401,)]
    assert missing == []


def _pcm_rows(corpora: Path, folder: str, contract: TableContract) -> pa.Table:
    """All rows with as many fields as their header has, typed; read by Python's own CSV reader."""
    names = {alias: one.name for one in contract.columns for alias in (one.name, *one.aliases)}
    rows: dict[str, list[str | None]] = {one.name: [] for one in contract.columns}
    for path in sorted((corpora / "pcm-regioni" / folder).iterdir()):
        reader = csv.reader(io.StringIO(path.read_text("utf-8-sig"), newline=""))
        header = [names.get(name) for name in next(reader)]
        if "data" not in header:
            continue  # the file with semicolons
        for record in reader:
            if not record:
                continue
            cells = dict(zip(header, record, strict=False))
            for name, cells_so_far in rows.items():
                cells_so_far.append(cells.get(name) or None)
    with duckdb.connect(":memory:") as connection:
        connection.register("texts", pa.table({name: pa.array(cells, pa.string()) for name, cells in rows.items()}))
        typed = ", ".join(f'TRY_CAST("{one.name}" AS {one.type}) AS "{one.name}"' for one in contract.columns)
        return connection.sql(f"SELECT {typed} FROM texts").to_arrow_table()


def _count_broken(rows: pa.Table, rule: RowRule) -> int:
    with duckdb.connect(":memory:") as connection:
        connection.register("rows", rows)
        found = connection.execute(f"SELECT count(*) FROM rows WHERE ({rule.expression}) IS NOT TRUE").fetchall()
        return int(found[0][0])


# --- what is understood ----------------------------------------------------------------------------------------------


def test_the_smallest_contract_has_careful_defaults() -> None:
    trips = parsed()
    assert trips.table == "trips"
    assert trips.server.format == CsvFormat()
    assert trips.server.compression == "auto"
    assert trips.undeclared_columns == "quarantine"
    assert trips.sink_mode == "replace"
    assert trips.quarantine_budget == 1.0
    assert trips.partitioning.cadence is Cadence.DAILY
    assert trips.partitioning.time_zone == "UTC"
    assert trips.freshness is None
    assert trips.source == "trips.odcs.yaml"


@pytest.mark.parametrize("version", ["v3.0.0", "v3.0.1", "v3.0.2", "v3.1.0", "v3.2.0"])
def test_versions_of_odcs_that_are_read(version: str) -> None:
    assert parsed(lambda contract: contract.update(apiVersion=version)).table == "trips"


TYPES = {
    "integers are wide by default": ("integer", {}, "BIGINT"),
    "an integer of eight bits": ("integer", {"logicalTypeOptions": {"format": "i8"}}, "TINYINT"),
    "an unsigned integer": ("integer", {"logicalTypeOptions": {"format": "u32"}}, "UINTEGER"),
    "an integer by its SQL name": ("integer", {"physicalType": "int4"}, "INTEGER"),
    "a wide integer": ("integer", {"physicalType": "decimal(38,0)"}, "DECIMAL(38,0)"),
    "numbers are double by default": ("number", {}, "DOUBLE"),
    "an exact number": ("number", {"physicalType": "numeric( 18 , 3 )"}, "DECIMAL(18,3)"),
    "a number of 32 bits": ("number", {"logicalTypeOptions": {"format": "f32"}}, "FLOAT"),
    "text": ("string", {}, "VARCHAR"),
    "text by another name": ("string", {"physicalType": "text"}, "VARCHAR"),
    "a date": ("date", {}, "DATE"),
    "a time of day": ("time", {}, "TIME"),
    "a wall clock's time": ("timestamp", {}, "TIMESTAMP"),
    "a moment": ("timestamp", {"logicalTypeOptions": {"timezone": True}}, "TIMESTAMP WITH TIME ZONE"),
    "a moment by its SQL name": ("timestamp", {"physicalType": "timestamptz"}, "TIMESTAMP WITH TIME ZONE"),
    "true or false": ("boolean", {}, "BOOLEAN"),
    "an object": ("object", {}, "JSON"),
    "an array": ("array", {}, "JSON"),
}


@pytest.mark.parametrize(("logical", "more", "expected"), TYPES.values(), ids=TYPES.keys())
def test_types(logical: str, more: Document, expected: str) -> None:
    assert parsed(column(logicalType=logical, **more)).columns[1].type == expected


def test_what_a_text_must_be() -> None:
    options = {"minLength": 2, "maxLength": 9, "pattern": "(a+)+$"}
    x = parsed(column(required=True, unique=True, logicalTypeOptions=options)).columns[1]
    assert (x.min_length, x.max_length, x.pattern, x.required, x.unique) == (2, 9, "(a+)+$", True, True)
    assert x.absent == "quarantine"


def test_a_sized_text_type_is_enforced_although_duckdb_drops_the_size() -> None:
    assert parsed(column(physicalType="VARCHAR(2)")).columns[1].max_length == 2


def test_bounds_are_kept_as_text_and_exclusive_ones_are_marked() -> None:
    x = parsed(column(logicalType="number", logicalTypeOptions={"exclusiveMinimum": 0, "maximum": 1.5})).columns[1]
    assert (x.minimum, x.exclusive_minimum, x.maximum, x.exclusive_maximum) == ("0", True, "1.5", False)
    y = parsed(column(logicalType="date", logicalTypeOptions={"minimum": "2013-01-01"})).columns[1]
    assert y.minimum == "2013-01-01"


def test_a_key_in_the_order_that_is_stated() -> None:
    def change(contract: Document) -> None:
        table(contract)["properties"] = [
            {"name": "a", "logicalType": "string", "primaryKey": True, "primaryKeyPosition": 2},
            {"name": "b", "logicalType": "string", "primaryKey": True, "primaryKeyPosition": 1},
        ]

    trips = parsed(change)
    assert trips.primary_key == ("b", "a")
    assert all(one.required for one in trips.columns)


def test_a_key_in_the_order_of_the_columns() -> None:
    def change(contract: Document) -> None:
        table(contract)["properties"] = [{"name": n, "logicalType": "string", "primaryKey": True} for n in "abc"]

    assert parsed(change).primary_key == ("a", "b", "c")


def test_aliases_and_absence() -> None:
    properties = [{"property": "aliases", "value": ["X", "old x"]}, {"property": "absent", "value": "quarantine"}]
    x = parsed(column(customProperties=properties)).columns[1]
    assert (x.aliases, x.absent) == (("X", "old x"), "quarantine")


FORMATS = {
    "in strptime's words": ({"customProperties": [{"property": "formats", "value": ["%d/%m/%Y", "%Y-%m-%d"]}]}, ("%d/%m/%Y", "%Y-%m-%d")),
    "in ODCS's words": ({"logicalTypeOptions": {"format": "dd/MM/yyyy"}}, ("%d/%m/%Y",)),
    "with quoted text": ({"logicalTypeOptions": {"format": "yyyy'Y'-MM-dd"}}, ("%YY-%m-%d",)),
    "none is ISO 8601": ({}, ()),
}  # fmt: skip


@pytest.mark.parametrize(("more", "expected"), FORMATS.values(), ids=FORMATS.keys())
def test_formats_of_dates(more: Document, expected: tuple[str, ...]) -> None:
    assert parsed(column(logicalType="date", **more)).columns[1].formats == expected


def test_a_contracts_formats_and_zone_count_where_a_column_has_none() -> None:
    def change(contract: Document) -> None:
        custom("dateFormats", ["%d.%m.%Y"])(contract)
        custom("timeZone", "Europe/Rome")(contract)
        column(name="d", logicalType="date")(contract)
        column(name="e", logicalType="date", customProperties=[{"property": "formats", "value": ["%Y%m%d"]}])(contract)
        column(name="m", logicalType="timestamp", logicalTypeOptions={"timezone": True})(contract)
        options = {"timezone": True, "defaultTimezone": "America/New_York"}
        column(name="n", logicalType="timestamp", logicalTypeOptions=options)(contract)

    trips = parsed(change)
    by_name = {one.name: one for one in trips.columns}
    assert by_name["d"].formats == ("%d.%m.%Y",)
    assert by_name["e"].formats == ("%Y%m%d",)
    assert by_name["m"].time_zone == "Europe/Rome"
    assert by_name["n"].time_zone == "America/New_York"
    assert trips.partitioning.time_zone == "Europe/Rome"


ROW_RULES = {
    "no NULL": (
        column_check(metric="nullValues", mustBe=0),
        '"x" IS NOT NULL',
    ),
    "one of these": (
        column_check(metric="invalidValues", arguments={"validValues": ["a", "it's"]}, mustBe=0),
        "\"x\" IS NULL OR \"x\" IN ('a', 'it''s')",
    ),
    "one of these numbers": (
        column_check("integer", metric="invalidValues", arguments={"validValues": [1, 2]}, mustBe=0),
        "\"x\" IS NULL OR \"x\" IN (CAST('1' AS BIGINT), CAST('2' AS BIGINT))",
    ),
    "like this": (
        column_check(metric="invalidValues", arguments={"pattern": "[A-Z]{2}"}, mustBeLessOrEqualTo=0),
        "\"x\" IS NULL OR regexp_full_match(\"x\", '[A-Z]{2}')",
    ),
    "not missing, NULL being missing": (
        column_check(metric="missingValues", arguments={"missingValues": [None, "N/A"]}, mustBe=0),
        "\"x\" IS NOT NULL AND \"x\" NOT IN ('N/A')",
    ),
    "not missing, NULL being fine": (
        column_check(metric="missingValues", arguments={"missingValues": ["N/A"]}, mustBe=0, unit="percent"),
        "\"x\" IS NULL OR \"x\" NOT IN ('N/A')",
    ),
    "a rule in SQL": (
        table_check(type="custom", engine="hashgate", implementation="id > 0"),
        "id > 0",
    ),
    "a rule in SQL at a column": (
        column_check(type="custom", engine="hashgate", implementation="length({property}) < length(${column} || '-')"),
        "length(\"x\") < length(\"x\" || '-')",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "expression"), ROW_RULES.values(), ids=ROW_RULES.keys())
def test_checks_that_allow_no_offender_quarantine_rows(change: Callable[[Document], object], expression: str) -> None:
    trips = parsed(change)
    assert trips.row_rules == (RowRule(name="rule", expression=expression),)
    assert trips.set_rules == ()


SET_RULES = {
    "rows": (
        table_check(metric="rowCount", mustBeBetween=[10, 20]),
        ("SELECT count(*) FROM {table}", "between", (10.0, 20.0)),
    ),
    "no row at all": (
        table_check(metric="rowCount", mustBe=0),
        ("SELECT count(*) FROM {table}", "=", (0.0,)),
    ),
    "some NULLs": (
        column_check(metric="nullValues", mustBeLessThan=5),
        ('SELECT count(*) FILTER (WHERE ("x" IS NOT NULL) IS NOT TRUE) FROM {table}', "<", (5.0,)),
    ),
    "a share of NULLs": (
        column_check(metric="nullValues", mustBeLessOrEqualTo=1, unit="percent"),
        (
            (
                'SELECT coalesce(100.0 * (count(*) FILTER (WHERE ("x" IS NOT NULL) IS NOT TRUE)) / nullif(count(*), 0), 0)'
                " FROM {table}"
            ),
            "<=",
            (1.0,),
        ),
    ),
    "some duplicates": (
        column_check(metric="duplicateValues", mustNotBeBetween=[3, 4]),
        (
            (
                'SELECT count(*) FILTER (WHERE "x" IS NOT NULL) - count(DISTINCT "x") FILTER (WHERE "x" IS NOT NULL)'
                " FROM {table}"
            ),
            "not between",
            (3.0, 4.0),
        ),
    ),
    "a query": (
        table_check(type="sql", query="SELECT max(id) FROM ${object};", mustNotBe=7),
        ("SELECT max(id) FROM {table}", "!=", (7.0,)),
    ),
    "a query at a column": (
        column_check("integer", type="sql", query="SELECT sum(${property}) FROM {object}", mustBeGreaterOrEqualTo=0),
        ('SELECT sum("x") FROM {table}', ">=", (0.0,)),
    ),
}


@pytest.mark.parametrize(("change", "expected"), SET_RULES.values(), ids=SET_RULES.keys())
def test_checks_that_allow_some_hold_the_partition(
    change: Callable[[Document], object], expected: tuple[str, str, tuple[float, ...]]
) -> None:
    trips = parsed(change)
    query, operator, threshold = expected
    assert trips.set_rules == (SetRule(name="rule", query=query, operator=operator, threshold=threshold),)
    assert trips.row_rules == ()


@pytest.mark.parametrize(
    ("change", "unique"),
    [
        pytest.param(column_check(metric="duplicateValues", mustBe=0), (("x",),), id="one column"),
        pytest.param(
            table_check(metric="duplicateValues", arguments={"properties": ["id", "x"]}, mustBe=0),
            (("id", "x"),),
            id="two columns together",
        ),
    ],
)
def test_no_duplicates_allowed_is_a_key(
    change: Callable[[Document], object], unique: tuple[tuple[str, ...], ...]
) -> None:
    def both(contract: Document) -> None:
        change(contract)
        if len(table(contract)["properties"]) == 1:
            column()(contract)

    assert parsed(both).unique_keys == unique


def test_a_warning_stops_nothing_and_duplicates_are_then_counted() -> None:
    trips = parsed(column_check(metric="duplicateValues", mustBe=0, severity="warning"))
    assert trips.unique_keys == ()
    assert [rule.severity for rule in trips.set_rules] == [Severity.WARNING]


def test_percent_of_an_empty_partition_is_nothing() -> None:
    rule = parsed(column_check(metric="nullValues", mustBeLessThan=1, unit="percent")).set_rules[0]
    with duckdb.connect(":memory:") as connection:
        connection.execute("CREATE TABLE t (x VARCHAR)")
        assert connection.execute(rule.query.replace("{table}", "t")).fetchall() == [(0.0,)]


def test_how_csv_is_read() -> None:
    value = {
        "delimiter": ";",
        "quote": "'",
        "escape": "\\",
        "encoding": "latin-1",
        "header": False,
        "nullMarkers": ["", "NA"],
        "maxRecordBytes": 4096,
    }
    assert parsed(custom("csv", value)).server.format == CsvFormat(
        delimiter=";",
        quote="'",
        escape="\\",
        encoding="iso8859-1",
        header=False,
        null_markers=("", "NA"),
        max_record_bytes=4096,
    )


def test_csv_without_quotes_and_a_quote_that_escapes_itself() -> None:
    layout = parsed(custom("csv", {"quote": None})).server.format
    assert isinstance(layout, CsvFormat)
    assert layout.quote is None
    assert parsed(custom("csv", {"escape": '"'})).server.format == CsvFormat()


def test_other_formats() -> None:
    def lines(contract: Document) -> None:
        contract["servers"][0]["format"] = "jsonl"
        custom("jsonl", {"encoding": "UTF8", "maxRecordBytes": 2048})(contract)

    assert parsed(lines).server.format == JsonLinesFormat(max_record_bytes=2048)
    assert parsed(lambda c: c["servers"][0].update(format="parquet")).server.format == ParquetFormat()


def test_policies() -> None:
    def change(contract: Document) -> None:
        custom("undeclaredColumns", "keep")(contract)
        custom("quarantineBudget", 0)(contract)
        custom("sinkMode", "error")(contract)
        custom("compression", "gzip")(contract)

    trips = parsed(change)
    assert (trips.undeclared_columns, trips.quarantine_budget, trips.sink_mode) == ("keep", 0.0, "error")
    assert trips.server.compression == "gzip"


@pytest.mark.parametrize("mode", ["append", "replace", "error"])
@pytest.mark.parametrize(
    ("named", "sinks"),
    [
        pytest.param(["parquet"], (Sink.PARQUET,), id="Parquet"),
        pytest.param(["duckdb"], (Sink.PARQUET, Sink.DUCKDB), id="DuckDB"),
        pytest.param(["duckdb", "csv", "parquet"], (Sink.PARQUET, Sink.CSV, Sink.DUCKDB), id="all"),
    ],
)
def test_every_sink_takes_every_mode(named: list[str], sinks: tuple[Sink, ...], mode: str) -> None:
    def change(contract: Document) -> None:
        custom("sinks", named)(contract)
        custom("sinkMode", mode)(contract)

    trips = parsed(change)
    assert (trips.sinks, trips.sink_mode) == (sinks, mode)


def test_without_a_word_about_it_there_is_parquet_alone() -> None:
    assert (parsed().sinks, parsed().exports) == ((Sink.PARQUET,), ())


def test_service_levels() -> None:
    levels = [{"property": "latency", "value": 1.5, "unit": "h"}, {"property": "frequency", "value": 1, "unit": "day"}]
    assert parsed(lambda contract: contract.update(slaProperties=levels)).freshness == Freshness(latency_s=5400)


def test_retention_by_age_number_and_size() -> None:
    written = [(90, "d"), (1, "versions"), (2.5, "GB"), (3, "latest")]
    levels = [{"property": "retention", "value": value, "unit": unit} for value, unit in written]
    kept = parsed(lambda contract: contract.update(slaProperties=levels))
    assert kept.retention == Retention(age_s=90 * 86_400, versions=1, size_bytes=2_500_000_000, latest=3)
    assert kept.digest == parsed().digest, "how long something is kept changes nothing of what it is"


def test_without_a_word_about_it_what_is_superseded_is_kept_for_sixty_days() -> None:
    assert parsed().retention == Retention(age_s=60 * 86_400, versions=None, size_bytes=None, latest=1)


TEAMS = {
    "owners among members": (
        {"name": "air", "members": [{"username": "a@x.org", "role": "Owner"}, {"username": "b@x.org"}]},
        ("team:air", "a@x.org"),
    ),
    "all members where nobody is the owner": (
        {"members": [{"username": "a@x.org"}, {"username": "b@x.org", "dateOut": "2020-01-01"}]},
        ("a@x.org",),
    ),
    "the older list": ([{"username": "a@x.org"}], ("a@x.org",)),
}


@pytest.mark.parametrize(("team", "owners"), TEAMS.values(), ids=TEAMS.keys())
def test_who_owns_the_table(team: Any, owners: tuple[str, ...]) -> None:
    assert parsed(lambda contract: contract.update(team=team)).owners == owners


def test_prose_is_welcome_and_in_no_digest() -> None:
    def prose(contract: Document) -> None:
        contract.update(
            name="Trips",
            tenant="acme",
            dataProduct="rides",
            domain="mobility",
            tags=["a"],
            description={"purpose": "Why.", "usage": "How.", "limitations": "But."},
            support=[{"channel": "#rides", "url": "https://example.com"}],
            price={"priceAmount": 1.5, "priceCurrency": "EUR", "priceUnit": "GB"},
            authoritativeDefinitions=[{"url": "https://example.com", "type": "tutorial"}],
            contractCreatedTs="2020-01-01T00:00:00Z",
            team={"name": "rides"},
        )
        table(contract).update(businessName="Trips", dataGranularityDescription="one row a trip", tags=["b"])
        table(contract)["properties"][0].update(
            description="Number.", businessName="Number", tags=["c"], examples=[1], classification="public",
            criticalDataElement=True, transformLogic="x", authoritativeDefinitions=[{"url": "u", "type": "t"}],
        )  # fmt: skip

    assert parsed(prose).description == "Why.\n\nHow.\n\nBut."
    assert parsed(prose).digest == parsed().digest


def test_enum_is_odcs_3_2() -> None:
    def change(contract: Document) -> None:
        contract["apiVersion"] = "v3.2.0"
        column(enum=[{"value": "a", "label": "A"}, {"value": "b"}])(contract)

    assert parsed(change).columns[1].allowed_values == ("a", "b")


# --- what is refused -------------------------------------------------------------------------------------------------


Refusal = tuple[Callable[[Document], object], str, str, str]


def server(**values: Any) -> Callable[[Document], object]:
    return lambda contract: contract["servers"][0].update(values)


def options(logical_type: str, **values: Any) -> Callable[[Document], object]:
    return column(logicalType=logical_type, logicalTypeOptions=values)


def column_custom(name: str, value: Any, **more: Any) -> Callable[[Document], object]:
    return column(customProperties=[{"property": name, "value": value}], **more)


def level(**values: Any) -> Callable[[Document], object]:
    return lambda contract: contract.update(slaProperties=[values])


def top(**values: Any) -> Callable[[Document], object]:
    return lambda contract: contract.update(values)


def rules(*checks: Document) -> Callable[[Document], object]:
    return lambda contract: table(contract).update(quality=list(checks))


X = "schema[0].properties[x]"
RULE = "schema[0].quality[rule]"
X_RULE = f"{X}.quality[rule]"
PARTITIONS = "customProperties[partitioning].value"

REFUSALS: dict[str, Refusal] = {
    # the head
    "an unknown key": (top(ownr="me"), "ownr", "not known", "Known here are"),
    "a misspelt key": (top(serverz=[]), "serverz", "not known", "Did you mean servers?"),
    "an unknown version of ODCS": (top(apiVersion="v2.2.2"), "apiVersion", "'v2.2.2' is not known", "v3.1.0"),
    "another kind of document": (top(kind="DataProduct"), "kind", "not known", "DataContract"),
    "no version": (lambda c: c.pop("version"), "", "version is missing", "version: 1.0.0"),
    "a version that YAML reads as a number": (top(version=1.1), "version", "found number (1.1)", "in quotes"),
    "a key without value": (top(domain=None), "domain", "there is no value", "remove the key"),
    "a retired contract": (top(status="retired"), "status", "still be ingested", "deprecated"),
    "an unknown status": (top(status="activ"), "status", "'activ' is not known", "Did you mean active?"),
    "roles": (top(roles=[{"role": "reader"}]), "roles", "access rights are not enforced", "Remove"),
    "a default element": (top(slaDefaultElement="x"), "slaDefaultElement", "gave it up", "slaProperties"),
    "an unknown custom property": (custom("partitoning", 1), "customProperties[partitoning].value", "not known", "Did you mean partitioning?"),
    "a custom property twice": (custom("partitioning", {}), "customProperties[partitioning]", "stands twice", "Remove"),
    "custom properties hidden in prose": (top(support=[{"channel": "c", "customProperties": []}]), "support[0].customProperties", "read by nobody", "Remove"),
    "a text where a list belongs": (top(tags="a"), "tags", "expected list, found text ('a')", "Write a list of text"),
    "a number where text belongs": (top(tags=[1]), "tags[0]", "expected text, found number (1)", "quotes"),
    "prose that ODCS does not know": (top(support=[{"chanel": "c"}]), "support[0]", "ODCS's schema refuses", "ODCS documentation"),
    # servers
    "no server": (lambda c: c.pop("servers"), "", "servers is missing", "type local"),
    "two servers": (lambda c: c["servers"].append(dict(c["servers"][0])), "servers", "2 servers", "exactly one"),
    "a server elsewhere": (server(type="s3"), "servers[0].type", "'s3' are not read by this version", "local"),
    "an unknown key of a server": (server(pth="x"), "servers[0].pth", "not known", "Did you mean path?"),
    "a server for some only": (server(roles=[]), "servers[0].roles", "not enforced", "Remove"),
    "an absolute path": (server(path="/data/*.csv"), "servers[0].path", "absolute", "below the drop folder"),
    "a home path": (server(path="~/x/*.csv"), "servers[0].path", "absolute", "below the drop folder"),
    "a drive": (server(path="C:/x/*.csv"), "servers[0].path", "absolute", "below the drop folder"),
    "a URL": (server(path="s3://x/*.csv"), "servers[0].path", "absolute", "below the drop folder"),
    "a path that climbs out": (server(path="trips/../../etc/*"), "servers[0].path", "leaves the drop folder", "below"),
    "a path to a folder": (server(path="trips/"), "servers[0].path", "names a folder", "*.csv"),
    "a path with brackets": (server(path="trips/[ab].csv"), "servers[0].path", "no meaning", "* and ?"),
    "a path with backslashes": (server(path="trips\\a.csv"), "servers[0].path", "no meaning", "* and ?"),
    "a path with an empty step": (server(path="trips//a.csv"), "servers[0].path", "empty step", "below"),
    "stars inside a name": (server(path="trips/**.csv"), "servers[0].path", "whole folders", "**"),
    "an invisible character in a path": (server(path="trips/\u200b*.csv"), "servers[0].path", "invisible", "below"),
    "a path that no file can match": (server(path="trips/all.csv"), "servers[0].path", "no file can match", "wildcard"),
    "an unknown format": (server(format="xlsx"), "servers[0].format", "'xlsx' are not read", "csv, jsonl, parquet"),
    "json, which is not lines": (server(format="json"), "servers[0].format", "'json' are not read", "one JSON object a line"),
    # reading
    "csv options for another format": (lambda c: (server(format="parquet")(c), custom("csv", {})(c)), "customProperties[csv].value", "format is parquet", "Remove"),
    "compression of Parquet": (lambda c: (server(format="parquet")(c), custom("compression", "gzip")(c)), "customProperties[compression].value", "compressed inside", "Remove"),
    "an unknown csv option": (custom("csv", {"delimeter": ";"}), "customProperties[csv].value.delimeter", "not known", "Did you mean delimiter?"),
    "a delimiter of two characters": (custom("csv", {"delimiter": "||"}), "customProperties[csv].value.delimiter", "'||' cannot be the delimiter", "one ASCII character"),
    "a delimiter that is no ASCII": (custom("csv", {"delimiter": "§"}), "customProperties[csv].value.delimiter", "cannot be the delimiter", "one ASCII"),
    "a delimiter that ends lines": (custom("csv", {"delimiter": "\n"}), "customProperties[csv].value.delimiter", "cannot be the delimiter", "line end"),
    "a quote that is the delimiter": (custom("csv", {"quote": ","}), "customProperties[csv].value", "must differ", "doubled"),
    "an escape without quotes": (custom("csv", {"quote": None, "escape": "\\"}), "customProperties[csv].value.escape", "no effect", "Remove"),
    "an unknown encoding": (custom("csv", {"encoding": "utf-9"}), "customProperties[csv].value.encoding", "no encoding", "utf-8"),
    "an encoding of bytes": (custom("csv", {"encoding": "base64"}), "customProperties[csv].value.encoding", "no encoding", "utf-8"),
    "a null marker that is null": (custom("csv", {"nullMarkers": [None]}), "customProperties[csv].value.nullMarkers[0]", "found nothing", "quotes"),
    "records of no size": (custom("csv", {"maxRecordBytes": 10}), "customProperties[csv].value.maxRecordBytes", "out of range", "1024"),
    "an unknown compression": (custom("compression", "lz4"), "customProperties[compression].value", "'lz4'", "zstd"),
    # partitions
    "no partitioning": (top(customProperties=[]), "customProperties", "partitioning is missing", "cadence"),
    "an unknown cadence": (partitioning(cadence="dayly"), f"{PARTITIONS}.cadence", "'dayly'", "Did you mean daily?"),
    "an unknown key of partitioning": (partitioning(zone="UTC"), f"{PARTITIONS}.zone", "not known", "Known here are"),
    "a start that is no date": (partitioning(start="2013-02-30"), f"{PARTITIONS}.start", "no date", "2013-01-01"),
    "a start with an offset": (partitioning(start="2013-01-01T00:00+01:00"), f"{PARTITIONS}.start", "no date", "timeZone"),
    "a day that starts at noon": (partitioning(start="2013-01-01T12:00"), f"{PARTITIONS}.start", "at midnight", "where a period begins"),
    "a week that starts on Tuesday": (
        partitioning(cadence="weekly", fileNamePattern=r"(?P<year>\d{4})W(?P<week>\d\d)"),
        f"{PARTITIONS}.start", "on a Monday", "where a period begins",
    ),
    "a month that starts on the second": (
        partitioning(cadence="monthly", start="2013-01-02", fileNamePattern=r"(?P<year>\d{4})(?P<month>\d\d)"),
        f"{PARTITIONS}.start", "first of a month", "where a period begins",
    ),
    "an unknown time zone": (partitioning(timeZone="Europe/Rom"), f"{PARTITIONS}.timeZone", "no time zone", "Europe/Rome"),
    "a time zone that climbs out": (partitioning(timeZone="../../etc/passwd"), f"{PARTITIONS}.timeZone", "no time zone", "Europe/Rome"),
    "hours where clocks change by half of one": (
        partitioning(cadence="hourly", timeZone="Australia/Lord_Howe", fileNamePattern=r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)(?P<hour>\d\d)"),
        f"{PARTITIONS}.timeZone", "less than an hour", "UTC",
    ),
    "a pattern that RE2 refuses": (partitioning(fileNamePattern="(?=a)"), f"{PARTITIONS}.fileNamePattern", "RE2 refuses", "(?P<year>"),
    "a pattern without groups": (partitioning(fileNamePattern="trips.csv"), f"{PARTITIONS}.fileNamePattern", "groups (none)", "year, month, day"),
    "a pattern without the day": (partitioning(fileNamePattern=r"(?P<year>\d{4})-(?P<month>\d\d)"), f"{PARTITIONS}.fileNamePattern", "(year, month)", "year, month, day"),
    "a pattern with a nameless group": (
        partitioning(fileNamePattern=r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)(\.gz)?"),
        f"{PARTITIONS}.fileNamePattern", "unnamed", "(?:...)",
    ),
    "a pattern with a group too many": (
        partitioning(fileNamePattern=r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)(?P<shift>a|b)"),
        f"{PARTITIONS}.fileNamePattern", "shift", "exactly these groups",
    ),
    # policies
    "a budget above everything": (custom("quarantineBudget", 5), "customProperties[quarantineBudget].value", "5 is no share", "0.05"),
    "a budget in words": (custom("quarantineBudget", "5 %"), "customProperties[quarantineBudget].value", "expected number", "quotes"),
    "an unknown sink mode": (custom("sinkMode", "merge"), "customProperties[sinkMode].value", "'merge'", "append, replace, error"),
    "an unknown sink": (custom("sinks", ["duckdb", "excel"]), "customProperties[sinks].value", "'excel' is no sink", "parquet, csv, duckdb"),
    "a sink twice": (custom("sinks", ["csv", "csv"]), "customProperties[sinks].value", "twice", "each once"),
    "no sink": (custom("sinks", []), "customProperties[sinks].value", "no sink is named", "remove it for Parquet alone"),
    "a sink that is no list": (custom("sinks", "csv"), "customProperties[sinks].value", "expected list", "list of text"),
    "sinks that are no names": (custom("sinks", [1]), "customProperties[sinks].value[0]", "expected text", "quotes"),
    "an unknown policy": (custom("undeclaredColumns", "drop"), "customProperties[undeclaredColumns].value", "'drop'", "keep"),
    "formats that no column uses": (custom("dateFormats", ["%Y%m%d"]), "customProperties[dateFormats].value", "no column has such values", "Remove"),
    # the table
    "no table": (lambda c: c.pop("schema"), "", "schema is missing", "Add the table"),
    "two tables": (lambda c: c["schema"].append({"name": "other"}), "schema", "2 tables", "one contract file"),
    "no columns": (lambda c: table(c).update(properties=[]), "schema[0].properties", "no columns", "at least one"),
    "a table name with capitals": (lambda c: table(c).update(name="Trips"), "schema[0].name", "'Trips' cannot be", "lower-case"),
    "a table name with a path": (lambda c: table(c).update(physicalName="../x"), "schema[0].physicalName", "cannot be", "lower-case"),
    "a table name of the system": (lambda c: table(c).update(name="duckdb_tables"), "schema[0].name", "cannot be", "prefix"),
    "a table name that is SQL": (lambda c: table(c).update(name="order"), "schema[0].name", "a word of SQL", "another name"),
    "foreign keys of the table": (lambda c: table(c).update(relationships=[]), "schema[0].relationships", "not enforced", "Remove"),
    "an unknown key of the table": (lambda c: table(c).update(propertes=[]), "schema[0].propertes", "not known", "Did you mean properties?"),
    # columns
    "a reserved name": (column(name="_hg_x"), "schema[0].properties[_hg_x].name", "reserved", "lineage"),
    "a reserved name in capitals": (column(name="_HG_x"), "schema[0].properties[_HG_x].name", "reserved", "lineage"),
    "a reserved alias": (column_custom("aliases", ["_hg_a"]), X, "'_hg_a' is reserved", "prefix"),
    "a name with blanks around": (column(name=" y"), "schema[0].properties[ y].name", "cannot be the name", "visible"),
    "a name with a line end": (column(name="a\nb"), "schema[0].properties[a\nb].name", "cannot be the name", "visible"),
    "a column twice": (column(name="id"), "schema[0].properties[id].name", "stands twice", "Remove or rename"),
    "a column twice but for case": (column(name="ID"), "schema[0].properties[ID].name", "stands twice, as 'id'", "upper and lower"),
    "an alias that is a column": (column_custom("aliases", ["id"]), X, "also means id", "one column"),
    "no logical type": (lambda c: table(c)["properties"].append({"name": "x"}), X, "logicalType is missing", "string"),
    "an unknown logical type": (column(logicalType="text"), f"{X}.logicalType", "'text' is not known", "string"),
    "an unknown physical type": (column(physicalType="STRNG"), f"{X}.physicalType", "no type", "VARCHAR"),
    "a physical type with SQL in it": (column(physicalType="INT); DROP TABLE x; --"), f"{X}.physicalType", "no type", "VARCHAR"),
    "a type that Parquet would round": (column(logicalType="integer", physicalType="HUGEINT"), f"{X}.physicalType", "no type", "DECIMAL(38,0)"),
    "types that do not fit": (column(logicalType="date", physicalType="INTEGER"), f"{X}.physicalType", "INTEGER does not hold a date", "DATE"),
    "two types": (column(logicalType="integer", physicalType="BIGINT", logicalTypeOptions={"format": "i8"}), f"{X}.logicalTypeOptions", "TINYINT, but physicalType says BIGINT", "Remove one"),
    "another name in the files": (column(physicalName="y"), f"{X}.physicalName", "differs from name", "aliases"),
    "a column that is encrypted": (column(encryptedName="y"), f"{X}.encryptedName", "encrypts nothing", "Remove"),
    "a column to partition by": (column(partitioned=True), f"{X}.partitioned", "not partitioned by a column", "file names"),
    "a foreign key": (column(relationships=[]), f"{X}.relationships", "not enforced", "Remove"),
    "the inside of an object": (column(logicalType="object", properties=[]), f"{X}.properties", "kept as JSON", "a rule"),
    "the inside of an array": (column(logicalType="array", items={}), f"{X}.items", "kept as JSON", "a rule"),
    "an enum before its time": (column(enum=[{"value": "a"}]), f"{X}.enum", "v3.2.0", "invalidValues"),
    "an unknown key of a column": (column(requird=True), f"{X}.requird", "not known", "Did you mean required?"),
    "required as text": (column(required="NO"), f"{X}.required", "expected true or false, found text ('NO')", "true or false"),
    "a key position without key": (column(primaryKeyPosition=1), f"{X}.primaryKeyPosition", "without primaryKey", "Add it"),
    "a key that starts at two": (column(primaryKey=True, primaryKeyPosition=2), f"{X}.primaryKeyPosition", "positions are [2]", "1, 2"),
    "an optional key": (column(primaryKey=True, required=False), f"{X}.required", "cannot be optional", "true"),
    "a required column that may be absent": (column_custom("absent", "null", required=True), f"{X}.customProperties[absent].value", "cannot be null", "Remove"),
    "an unknown custom property of a column": (column_custom("alias", []), f"{X}.customProperties[alias].value", "not known", "Did you mean aliases?"),
    "formats of text": (column_custom("formats", ["%Y"]), f"{X}.customProperties[formats].value", "string has no formats", "dates"),
    # options
    "a length of a number": (options("integer", minLength=1), f"{X}.logicalTypeOptions.minLength", "not known", "exclusiveMaximum, exclusiveMinimum, format, maximum, minimum, multipleOf"),
    "a bound of a text": (options("string", minimum=1), f"{X}.logicalTypeOptions.minimum", "not known", "maxLength, minLength"),
    "a bound of a truth": (options("boolean", minimum=1), f"{X}.logicalTypeOptions.minimum", "not known", "Remove"),
    "a negative length": (options("string", minLength=-1), f"{X}.logicalTypeOptions.minLength", "not negative", "0"),
    "lengths that no text has": (options("string", minLength=3, maxLength=2), f"{X}.logicalTypeOptions.minLength", "no text fits", "Swap"),
    "a length in quotes": (options("string", minLength="2"), f"{X}.logicalTypeOptions.minLength", "expected number, found text", "without quotes"),
    "a length with a fraction": (options("string", minLength=2.5), f"{X}.logicalTypeOptions.minLength", "not a whole number", "decimal point"),
    "a pattern with look-ahead": (options("string", pattern="(?!a)b"), f"{X}.logicalTypeOptions.pattern", "RE2 refuses", "look-around"),
    "a pattern with a back-reference": (options("string", pattern=r"(a)\1"), f"{X}.logicalTypeOptions.pattern", "RE2 refuses", "back-references"),
    "a pattern that is not closed": (options("string", pattern="(a"), f"{X}.logicalTypeOptions.pattern", "missing )", "RE2"),
    "a format of text by name": (options("string", format="email"), f"{X}.logicalTypeOptions.format", "not checked", "pattern"),
    "a bound that is no integer": (options("integer", minimum=1.5), f"{X}.logicalTypeOptions.minimum", "1.5 is no value of type BIGINT", "Write one"),
    "a bound out of the type": (column(logicalType="integer", physicalType="TINYINT", logicalTypeOptions={"maximum": 300}), f"{X}.logicalTypeOptions.maximum", "300 is no value of type TINYINT", "Write one"),
    "a bound finer than the type": (column(logicalType="number", physicalType="DECIMAL(4,1)", logicalTypeOptions={"maximum": 1.25}), f"{X}.logicalTypeOptions.maximum", "no value of type DECIMAL(4,1)", "Write one"),
    "a bound that is no date": (options("date", minimum="2013-02-30"), f"{X}.logicalTypeOptions.minimum", "no value of type DATE", "2013-01-31"),
    "bounds that nothing lies between": (options("integer", minimum=2, maximum=1), f"{X}.logicalTypeOptions", "between 2 and 1", "Swap"),
    "exclusive bounds that nothing lies between": (options("integer", exclusiveMinimum=1, maximum=1), f"{X}.logicalTypeOptions", "between 1 and 1", "widen"),
    "two lower bounds": (options("integer", minimum=1, exclusiveMinimum=0), f"{X}.logicalTypeOptions.exclusiveMinimum", "both stand", "stricter"),
    "multiples of nothing": (options("integer", multipleOf=0), f"{X}.logicalTypeOptions.multipleOf", "no multiples", "above 0"),
    "multiples that a double cannot tell": (options("number", multipleOf=0.1), f"{X}.logicalTypeOptions.multipleOf", "not exact in DOUBLE", "DECIMAL"),
    "a zone without moments": (options("timestamp", defaultTimezone="UTC"), f"{X}.logicalTypeOptions.defaultTimezone", "no effect", "timezone: true"),
    "a zone of a time of day": (options("time", timezone=True), f"{X}.logicalTypeOptions.timezone", "no zone", "Remove"),
    "an unknown zone": (options("timestamp", timezone=True, defaultTimezone="Mars/Base"), f"{X}.logicalTypeOptions.defaultTimezone", "no time zone", "Europe/Rome"),
    "a format that forgets the year": (column_custom("formats", ["%d.%m."], logicalType="date"), f"{X}.customProperties[formats].value", "cannot be used", "leave no part"),
    "a format with an unknown letter": (column_custom("formats", ["%Q"], logicalType="date"), f"{X}.customProperties[formats].value", "cannot be used", "strptime"),
    "an hour that may be morning or evening": (column_custom("formats", ["%Y-%m-%d %I:%M"], logicalType="timestamp"), f"{X}.customProperties[formats].value", "cannot be used", "strptime"),
    "a Java format that is not read": (options("date", format="EEE yyyy-MM-dd"), f"{X}.logicalTypeOptions.format", "letters", "yyyy"),
    "formats in both words": (column(logicalType="date", logicalTypeOptions={"format": "yyyy-MM-dd"}, customProperties=[{"property": "formats", "value": ["%Y"]}]), f"{X}.customProperties[formats].value", "both stand", "Keep one"),
    "the size of an array": (options("array", minItems=1), f"{X}.logicalTypeOptions.minItems", "kept as JSON", "json_array_length"),
    # rules
    "a rule without name": (lambda c: table(c).update(quality=[{"metric": "rowCount", "mustBe": 1}]), "schema[0].quality[0]", "name is missing", "name: table_row_count"),
    "a name with blanks": (rules({"name": "Row Count!", "metric": "rowCount", "mustBe": 1}), "schema[0].quality[Row Count!].name", "cannot be the name of a rule", "row_count"),
    "two rules of one name": (rules({"name": "rule", "metric": "rowCount", "mustBe": 1}, {"name": "rule", "metric": "rowCount", "mustBe": 1}), f"{RULE}.name", "two rules", "its own name"),
    "a check in words": (table_check(type="text", description="be good"), f"{RULE}.type", "not enforced", "as a rule"),
    "an unknown type of check": (table_check(type="sqll", query="SELECT 1"), f"{RULE}.type", "'sqll'", "Did you mean sql?"),
    "another engine": (table_check(type="custom", engine="soda", implementation="x"), f"{RULE}.engine", "'soda'", "hashgate"),
    "an unknown metric": (table_check(metric="rowCnt", mustBe=1), f"{RULE}.metric", "'rowCnt'", "Did you mean rowCount?"),
    "the older word for metric": (table_check(rule="rowCount", metric="rowCount", mustBe=1), f"{RULE}.rule", "calls this metric", "Rename"),
    "a check without threshold": (table_check(metric="rowCount"), RULE, "does not say what", "mustBe"),
    "two thresholds": (table_check(metric="rowCount", mustBe=1, mustNotBe=2), RULE, "both stand", "Write one"),
    "a threshold in words": (table_check(metric="rowCount", mustBe="many"), f"{RULE}.mustBe", "compares numbers", "without quotes"),
    "a range upside down": (table_check(metric="rowCount", mustBeBetween=[2, 1]), f"{RULE}.mustBeBetween", "smaller first", "[low, high]"),
    "an unknown severity": (table_check(metric="rowCount", mustBe=1, severity="info"), f"{RULE}.severity", "'info'", "warning"),
    "an unknown unit": (table_check(metric="rowCount", mustBe=1, unit="%"), f"{RULE}.unit", "'%'", "percent"),
    "rows in percent": (table_check(metric="rowCount", mustBe=1, unit="percent"), f"{RULE}.unit", "not a percentage", "Remove"),
    "rows of a column": (column_check(metric="rowCount", mustBe=1), f"{X_RULE}.metric", "counted at the table", "Move"),
    "NULLs of a table": (table_check(metric="nullValues", mustBe=0), f"{RULE}.metric", "at a column", "Move"),
    "duplicates of what": (table_check(metric="duplicateValues", mustBe=0), f"{RULE}.metric", "needs the columns", "properties"),
    "duplicates of an unknown column": (table_check(metric="duplicateValues", mustBe=0, arguments={"properties": ["y"]}), f"{RULE}.arguments", "y is no column", "id"),
    "valid values that are not said": (column_check(metric="invalidValues", mustBe=0), f"{X_RULE}.metric", "validValues or pattern", "arguments"),
    "valid values of another type": (column_check("integer", metric="invalidValues", mustBe=0, arguments={"validValues": ["a"]}), f"{X_RULE}.arguments.validValues[0]", "no value of type BIGINT", "Write one"),
    "valid values without quotes": (column_check(metric="invalidValues", mustBe=0, arguments={"validValues": [1]}), f"{X_RULE}.arguments.validValues[0]", "compared with text", "quotes"),
    "a pattern for numbers": (column_check("integer", metric="invalidValues", mustBe=0, arguments={"pattern": "1"}), f"{X_RULE}.arguments", "needs text", "validValues"),
    "a broken pattern": (column_check(metric="invalidValues", mustBe=0, arguments={"pattern": "("}), f"{X_RULE}.arguments", "RE2 refuses", "look-around"),
    "an unknown argument": (column_check(metric="invalidValues", mustBe=0, arguments={"validValue": ["a"], "validValues": ["a"]}), f"{X_RULE}.arguments.validValue", "not known", "Did you mean validValues?"),
    "a schedule": (table_check(metric="rowCount", mustBe=1, schedule="0 0 * * *"), f"{RULE}.schedule", "no schedule", "every ingest"),
    "a row rule that is no SQL": (table_check(type="custom", engine="hashgate", implementation="id >"), f"{RULE}.implementation", "does not parse", "true-or-false"),
    "a row rule on an unknown column": (table_check(type="custom", engine="hashgate", implementation="nope > 1"), f"{RULE}.implementation", 'no column "nope"', "The columns are: id"),
    "a row rule that is no truth": (table_check(type="custom", engine="hashgate", implementation="id + 1"), f"{RULE}.implementation", "BIGINT and not BOOLEAN", "true-or-false"),
    "a row rule that looks at the clock": (table_check(type="custom", engine="hashgate", implementation="now() > TIMESTAMP '2020-01-01'"), f"{RULE}.implementation", 'function "now"', "arguments alone"),
    "a row rule that reads a file": (table_check(type="custom", engine="hashgate", implementation="(SELECT count(*) FROM 'x.csv') > id"), f"{RULE}.implementation", "subquery", "of one row"),
    "a query that does not read the table": (table_check(type="sql", query="SELECT 1", mustBe=1), f"{RULE}.query", "does not read {table}", "one SELECT"),
    "a query that writes": (table_check(type="sql", query="DELETE FROM {table}", mustBe=1), f"{RULE}.query", "DELETE and not SELECT", "one SELECT"),
    "two queries": (table_check(type="sql", query="SELECT count(*) FROM {table}; SELECT 1", mustBe=1), f"{RULE}.query", "2 statements", "one SELECT"),
    "a query of another table": (table_check(type="sql", query="SELECT count(*) FROM {table}, other", mustBe=1), f"{RULE}.query", 'no table "other"', "nothing else"),
    "a placeholder for nothing": (table_check(type="sql", query="SELECT sum({property}) FROM {table}", mustBe=1), f"{RULE}.query", "{property} stands for nothing", "at a column"),
    "an unknown placeholder": (table_check(type="sql", query="SELECT count(*) FROM ${model}", mustBe=1), f"{RULE}.query", "${model} stands for nothing", "{table}"),
    "an unknown key of a check": (table_check(metric="rowCount", mustBe=1, mustbe=2), f"{RULE}.mustbe", "not known", "Did you mean mustBe?"),
    # service levels
    "a service level that nobody watches": (level(property="availability", value=3, unit="y"), "slaProperties[availability].property", "'availability' is not enforced", "latency, frequency and retention"),
    "a retention of nothing": (level(property="retention", value=0, unit="d"), "slaProperties[retention].value", "0 d is no limit", "above 0"),
    "a retention of half a version": (level(property="retention", value=1.5, unit="versions"), "slaProperties[retention].value", "1.5 versions", "whole"),
    "a retention without the latest": (level(property="retention", value=0, unit="latest"), "slaProperties[retention].value", "0 latest", "above 0"),
    "a retention in an unclear unit": (level(property="retention", value=3, unit="m"), "slaProperties[retention].unit", "'m'", "y"),
    "a retention without unit": (level(property="retention", value=3), "slaProperties[retention]", "unit is missing", "versions"),
    "two retentions of a kind": (top(slaProperties=[{"property": "retention", "value": 3, "unit": "d"}, {"property": "retention", "value": 1, "unit": "y"}]), "slaProperties[retention].unit", "a second limit in y", "one limit"),
    "a frequency that is not the cadence": (level(property="frequency", value=1, unit="h"), "slaProperties[frequency]", "not the daily cadence", "unit: d"),
    "a latency in an unclear unit": (level(property="latency", value=1, unit="m"), "slaProperties[latency].unit", "'m'", "minutes"),
    "a latency without unit": (level(property="latency", value=1), "slaProperties[latency]", "unit is missing", "h"),
    "a latency of nothing": (level(property="latency", value=0, unit="h"), "slaProperties[latency].value", "longer than nothing", "above 0"),
    "a schedule of a level": (level(property="latency", value=1, unit="h", schedule="x"), "slaProperties[latency].schedule", "not enforced", "Remove"),
    "a level of another table": (level(property="latency", value=1, unit="h", element="other"), "slaProperties[latency].element", "'other' is not this table", "Remove"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "path", "problem", "fix"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_would_not_be_enforced_is_refused(
    change: Callable[[Document], object], path: str, problem: str, fix: str
) -> None:
    found = problems(change)
    there = [one for one in found if one.path == path and problem in one.problem and fix in one.fix]
    assert there, [(one.path, one.problem, one.fix) for one in found]
    with pytest.raises(ContractError) as raised:
        parsed(change)
    first = found[0]
    assert raised.value.evidence["contract"] == "trips.odcs.yaml"
    assert raised.value.evidence["where"] == first.where
    assert raised.value.evidence["problem"] == first.problem
    assert first.problem in str(raised.value)
    assert first.fix in str(raised.value)
    assert raised.value.exit_code == 2


YAML_TRAPS = {
    "an unquoted NO": ("- {name: x, logicalType: string, examples: [NO]}", "unquoted 'NO'", "quotes"),
    "an unquoted on as a key": ("- {name: x, logicalType: string, on: 1}", "unquoted 'on'", "quotes"),
    "a code that loses its zero": ("- {name: x, logicalType: string, examples: [01]}", "unquoted '01'", "quotes"),
    "a time that becomes seconds": (
        "- {name: x, logicalType: string, examples: [17:30]}",
        "unquoted '17:30'",
        "quotes",
    ),
    "a key that is a number": ("- {name: x, logicalType: string, 1: 2}", "the key '1' is not text", "quotes"),
    "a duplicate key": ("- {name: x, logicalType: string, name: y}", "the key stands twice", "Remove one"),
    "an anchor": ("- &a {name: x, logicalType: string}", "anchors", "Write the value out"),
    "a tag": ("- !!python/object:os.system {name: x}", "the tag", "Remove it"),
    "a tab": ("\t- name: x", "not YAML at column", "spaces"),
    "an open bracket": ("- {name: x", "not YAML at column", "brackets"),
    "a key that is a mapping": ("- {? {a: b} : c}", "a key is not text", "quote"),
    "a second document": ("- {name: x, logicalType: string}\n---\na: b", "a second document", "one file"),
    "a NUL": ('- {name: "a\\0", logicalType: string}', "NUL", "Remove"),
}


@pytest.mark.parametrize(("lines", "problem", "fix"), YAML_TRAPS.values(), ids=YAML_TRAPS.keys())
def test_yaml_traps_are_named_with_their_line(lines: str, problem: str, fix: str) -> None:
    text = document().decode().replace("- name: id\n    logicalType: integer", lines)
    line = text.splitlines().index(f"  {lines.splitlines()[0]}") + 1
    found = lint_contract(text.encode(), source="t")
    there = [one for one in found if problem in one.problem and fix in one.fix]
    assert there, found
    assert line <= there[0].line <= line + 2


WHOLE_FILES = {
    "nothing": (b"", "the file is empty", 0),
    "a comment": (b"# hello\n", "the file is empty", 0),
    "a list": (b"- a\n", "expected a mapping, found list", 1),
    "no UTF-8": (b"a: b\nc: \xff\n", "is not UTF-8", 2),
    "a control character": (b"a: \x01", "not allowed in YAML", 0),
    "too much": (b"#" * (MAX_BYTES + 1), "bytes", 0),
    "lists without end": (b"[" * 5000, "nesting", 1),
    "mappings without end": (b"{" * 5000, "a key is not text", 1),
    "a billion laughs": (b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "anchors", 1),
}


@pytest.mark.parametrize(("data", "problem", "line"), WHOLE_FILES.values(), ids=WHOLE_FILES.keys())
def test_files_that_are_no_contract(data: bytes, problem: str, line: int) -> None:
    found = lint_contract(data, source="t")
    assert problem in found[0].problem
    assert found[0].line == line
    with pytest.raises(ContractError, match=re.escape(problem)):
        parse_contract(data, source="t")


def test_a_byte_order_mark_is_fine() -> None:
    assert parse_contract(b"\xef\xbb\xbf" + document(), source="t").table == "trips"


def test_all_problems_are_said_at_once_in_the_files_order() -> None:
    def change(contract: Document) -> None:
        contract["colour"] = "red"
        contract["servers"][0]["path"] = "/abs"
        column(logicalType="strng")(contract)
        column(name="y", physicalType="nope")(contract)

    found = problems(change)
    assert [one.path for one in found] == [
        "servers[0].path",
        f"{X}.logicalType",
        "schema[0].properties[y].physicalType",
        "colour",
    ]
    assert [one.line for one in found] == sorted(one.line for one in found)
    with pytest.raises(ContractError, match=r"\(3 more problems in this file\)"):
        parsed(change)


def test_a_problem_names_line_and_path() -> None:
    with pytest.raises(ContractError) as raised:
        parsed(column(logicalType="strng"))
    assert raised.value.evidence["where"].startswith("line ")
    assert raised.value.evidence["where"].endswith("schema[0].properties[x].logicalType")
    assert pickle.loads(pickle.dumps(raised.value)).evidence == raised.value.evidence


@given(st.binary(max_size=200))
def test_no_bytes_are_an_exception(data: bytes) -> None:
    assert lint_contract(data, source="t")


_KEYS = st.sampled_from(["name", "logicalType", "quality", "primaryKey", "logicalTypeOptions", "customProperties", "x"])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=50)
@given(where=st.lists(st.integers(0, 30), min_size=1, max_size=5), value=_VALUES)
def test_a_value_in_a_wrong_place_is_a_problem_and_never_an_exception(where: list[int], value: Any) -> None:
    contract = yaml.safe_load(FLIGHTS.read_bytes())
    here: Any = contract
    for step in where[:-1]:
        if isinstance(here, (dict, list)) and here:
            inner = list(here.values()) if isinstance(here, dict) else here
            here = inner[step % len(inner)] if isinstance(inner[step % len(inner)], (dict, list)) else here
    if isinstance(here, dict):
        here[list(here)[where[-1] % len(here)] if here else "x"] = value
    elif here:
        here[where[-1] % len(here)] = value
    data = yaml.safe_dump(contract, allow_unicode=True).encode()
    found = lint_contract(data, source="t")
    assert all(one.problem and one.fix for one in found)
    if not found:
        assert parse_contract(data, source="t").table_schema


# --- over an engine's output -----------------------------------------------------------------------------------------


def over_an_engine(contract: Document) -> None:
    contract["servers"] = [{"server": "cards", "type": "custom", "format": "parquet"}]
    output = {"engine": "cards", "output": "transactions"}
    contract["customProperties"] = [{"property": "engineOutput", "value": output}]


def engine_and(change: Callable[[Document], object]) -> Callable[[Document], object]:
    def both(contract: Document) -> None:
        over_an_engine(contract)
        change(contract)

    return both


def test_an_output_of_an_engine_takes_the_place_of_a_drop_folder() -> None:
    contract = parsed(over_an_engine)
    assert contract.server.engine_source == EngineSource(engine="cards", output="transactions")
    assert contract.server.path == "engine/cards/transactions"
    assert contract.server.format == ParquetFormat()
    assert contract.partitioning == Partitioning.by_run()


def test_another_output_is_another_contract() -> None:
    other = parsed(engine_and(lambda c: c["customProperties"][0]["value"].update(output="cases")))
    assert other.digest != parsed(over_an_engine).digest


def test_a_drop_folder_is_no_output_of_an_engine() -> None:
    assert parsed().server.engine_source is None


OVER_AN_ENGINE: dict[str, tuple[Callable[[Document], object], str]] = {
    "a path": (
        lambda c: c["servers"][0].update(path="x/*.parquet"),
        "the engine's catalogue says where its outputs lie",
    ),
    "a folder": (lambda c: c["servers"][0].update(type="local"), "an engine's output is no folder of drops"),
    "no format": (lambda c: c["servers"][0].pop("format"), "format is missing"),
    "no output": (lambda c: c["customProperties"][0]["value"].pop("output"), "output is missing"),
    "something more": (lambda c: c["customProperties"][0]["value"].update(run="newest"), "this key is not known"),
    "a calendar": (
        lambda c: c["customProperties"].append(SMALLEST["customProperties"][0]),
        "an engine's output is partitioned by its runs",
    ),
    "a latency": (
        lambda c: c.update(slaProperties=[{"property": "latency", "value": 1, "unit": "d"}]),
        "runs of an engine have no latency",
    ),
    "a frequency": (
        lambda c: c.update(slaProperties=[{"property": "frequency", "value": 1, "unit": "d"}]),
        "runs of an engine have no frequency",
    ),
}


@pytest.mark.parametrize(("change", "problem"), OVER_AN_ENGINE.values(), ids=OVER_AN_ENGINE.keys())
def test_what_makes_no_sense_over_an_engine_is_refused(change: Callable[[Document], object], problem: str) -> None:
    found = problems(engine_and(change))
    assert any(problem in one.problem and one.fix for one in found), found


def test_runs_are_no_cadence_that_a_folder_could_have() -> None:
    (found,) = problems(partitioning(cadence="run"))
    assert "'run' is not known here" in found.problem


# --- the documentation -----------------------------------------------------------------------------------------------

DOCS = (ROOT / "docs/contracts.md").read_text("utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", DOCS, re.DOTALL)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_every_example_in_the_documentation_loads(number: int) -> None:
    assert lint_contract(EXAMPLES[number].encode(), source="docs/contracts.md") == []


def test_the_documentation_has_examples_and_names_every_custom_property() -> None:
    assert len(EXAMPLES) >= 2
    with pytest.raises(ContractError) as raised:
        parsed(custom("nonsense", 1))
    known = re.search(r"Known here are: (.*)\.", raised.value.evidence["fix"])
    assert known is not None
    for name in known[1].split(", "):
        assert f"`{name}`" in DOCS, name
