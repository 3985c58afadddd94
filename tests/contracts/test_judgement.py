"""The contract as SQL, against slow and obvious Python: the same verdict on every text, and no value but the text's."""

import csv
import datetime as dt
import json
import math
import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import ContractError
from contracts.judgement import ORDER_COLUMN, Judgement, compile_judgement, holds
from contracts.sql_guard import UnsafeSqlError, check_set_query
from contracts.table_contract import (
    Column,
    CsvFormat,
    Partitioning,
    RowRule,
    Server,
    SetRule,
    Severity,
    TableContract,
)

START = dt.datetime(2020, 1, 1)
Row = dict[str, str | None]
REJECTED = object()


def contract_of(*columns: Column, **parts: Any) -> TableContract:
    return TableContract(
        table="t",
        version="1.0.0",
        server=Server(path="t/*.csv", format=CsvFormat()),
        columns=columns,
        partitioning=Partitioning(cadence="daily", start=START, file_name_pattern="x"),
        **parts,
    )


@pytest.fixture(scope="module", params=["UTC", "Asia/Kolkata"])
def connection(request: pytest.FixtureRequest) -> Iterator[duckdb.DuckDBPyConnection]:
    """Under two zones of the session: neither may show."""
    with duckdb.connect(":memory:") as opened:
        opened.execute(f"SET TimeZone = '{request.param}'")
        yield opened


def texts(contract: TableContract, rows: Sequence[Row]) -> pa.Table:
    names = [name for name in contract.table_schema if not name.startswith("_hg_") or name == "_hg_extra"]
    columns = {name: pa.array([row.get(name) for row in rows], pa.string()) for name in names}
    lineage = {
        "_hg_source": pa.array(["blake3:drop"] * len(rows), pa.string()),
        "_hg_record": pa.array(range(1, len(rows) + 1), pa.int64()),
        "_hg_segment": pa.array(["blake3:segment"] * len(rows), pa.string()),
    }
    return pa.table(columns | lineage)


def judge(
    connection: duckdb.DuckDBPyConnection, judgement: Judgement, rows: Sequence[Row]
) -> tuple[pa.Table, dict[int, list[dict[str, Any]]]]:
    """The valid rows, and the reasons by record."""
    connection.register("source_texts", texts(judgement.contract, rows))
    try:
        valid = connection.sql(judgement.valid_query("source_texts")).to_arrow_table()
        refused = connection.execute(judgement.reasons_query("source_texts")).fetchall()
    finally:
        connection.unregister("source_texts")
    return valid, {record: reasons for _, record, reasons in refused}


def values_of(connection: duckdb.DuckDBPyConnection, judgement: Judgement, cells: Sequence[str]) -> list[Any]:
    """What each text becomes in a contract of one column `c`, as the text DuckDB prints; REJECTED when refused."""
    rows: list[Row] = [{"c": cell} for cell in cells]
    connection.register("source_texts", texts(judgement.contract, rows))
    kind = judgement.contract.columns[0].type
    shown = "timezone('UTC', c)" if kind == "TIMESTAMP WITH TIME ZONE" else "c"
    query = f"SELECT _hg_record, CAST({shown} AS VARCHAR) FROM ({judgement.valid_query('source_texts')})"
    valid = dict(connection.execute(query).fetchall())
    reasons = connection.execute(judgement.reasons_query("source_texts")).fetchall()
    connection.unregister("source_texts")
    assert {record for _, record, _ in reasons}.isdisjoint(valid)
    assert len(reasons) + len(valid) == len(cells)
    assert all([reason["code"] for reason in listed] == ["TYPE"] for _, _, listed in reasons)
    return [valid.get(record, REJECTED) for record in range(1, len(cells) + 1)]


# --- texts and types, one by one -------------------------------------------------------------------------------------

ACCEPTED = {
    "INTEGER": {"0": "0", "-0": "0", "+7": "7", "007": "7", "2147483647": "2147483647", "-2147483648": "-2147483648"},
    "UTINYINT": {"255": "255", "+0": "0", "-0": "0"},
    "UBIGINT": {"18446744073709551615": "18446744073709551615"},
    "DECIMAL(4,2)": {
        "1": "1.00",
        "1.5": "1.50",
        "-1.230000000000000000000000000000000000000000000": "-1.23",
        "0099.99": "99.99",
        ".5": "0.50",
        "5.": "5.00",
        "+1": "1.00",
    },
    "DECIMAL(38,0)": {"99999999999999999999999999999999999999": "99999999999999999999999999999999999999"},
    "DOUBLE": {
        "0.1": "0.1",
        "1e3": "1000.0",
        "-1.5E-3": "-0.0015",
        ".5": "0.5",
        "5.": "5.0",
        "+5": "5.0",
        "9007199254740993": "9007199254740992.0",
        "NaN": "nan",
        "-Infinity": "-inf",
        "inf": "inf",
        "1e-400": "0.0",
    },
    "FLOAT": {"0.1": "0.1", "16777217": "16777216.0", "nan": "nan"},
    "BOOLEAN": {"true": "true", "FALSE": "false", "True": "true", "1": "true", "0": "false"},
    "DATE": {
        "2013-11-23": "2013-11-23",
        "0001-01-01": "0001-01-01",
        "9999-12-31": "9999-12-31",
        "2024-02-29": "2024-02-29",
    },
    "TIME": {
        "17:45": "17:45:00",
        "17:45:01": "17:45:01",
        "17:45:01.5": "17:45:01.5",
        "00:00:00.1234560": "00:00:00.123456",
    },
    "TIMESTAMP": {
        "2013-11-23": "2013-11-23 00:00:00",
        "2013-11-23 17:45": "2013-11-23 17:45:00",
        "2013-11-23T17:45:00": "2013-11-23 17:45:00",
        "2013-11-23 17:45:00.123456": "2013-11-23 17:45:00.123456",
        "2013-11-23T17:45:00.123456000": "2013-11-23 17:45:00.123456",
    },
    "TIMESTAMP WITH TIME ZONE": {
        "2013-11-23T17:45:00Z": "2013-11-23 17:45:00",
        "2013-11-23 17:45:00+01": "2013-11-23 16:45:00",
        "2013-11-23T17:45+0530": "2013-11-23 12:15:00",
        "2013-11-23T17:45:00.5-03:30": "2013-11-23 21:15:00.5",
        "2013-11-23T17:45:00": "2013-11-23 17:45:00",
        "2013-11-23": "2013-11-23 00:00:00",
    },
    "JSON": {'{"a": [1, null]}': '{"a": [1, null]}', "1": "1", '"x"': '"x"', " {} ": " {} ", "null": "null"},
    "VARCHAR": {"": "", " a ": " a ", "NULL": "NULL", "\x1b[31m": "\x1b[31m", "\u00e9": "\u00e9", "e\u0301": "e\u0301"},
}

WHITE_SPACE = ["", " ", "\t", "\n"]
REFUSED = {
    "INTEGER": [
        "1.5",
        "1.0",
        "1.",
        "1e3",
        "1_000",
        "0x10",
        "0b1",
        "2147483648",
        "1 ",
        " 1",
        "\t1",
        "+-1",
        "--1",
        "-",
        "\u0663",
    ],
    "UTINYINT": ["-1", "256"],
    "DECIMAL(4,2)": ["1.234", "99.995", "100", "1e1", "1_0", " 1", "1 ", ".", "", "1,5", "NaN", "inf", "+-1"],
    "DECIMAL(38,0)": ["0.5", "100000000000000000000000000000000000000"],
    "DOUBLE": [
        "1e400",
        "-1e400",
        "1_000",
        " 1",
        "1\n",
        "+-1",
        "0x1p3",
        "1,5",
        "1'000",
        "1d",
        "nano",
        "infin",
        ".",
        "e5",
        "1e",
    ],
    "FLOAT": ["1e39", "-3.5e38"],
    "BOOLEAN": ["t", "f", "yes", "no", "y", "2", "-1", "on", "1.0", " true", "true "],
    "DATE": [
        "2013-1-1",
        "2013/11/23",
        "2013 11 23",
        "20131123",
        "2013-11-23 00:00:00",
        "2013-11-23T00:00",
        "2013-02-30",
        "23.11.2013",
        "0000-01-01",
        "10000-01-01",
        "-0001-01-01",
        "0001-01-01 (BC)",
        "infinity",
        "-infinity",
        "epoch",
        "now",
        "today",
        "2013-11-23 ",
        " 2013-11-23",
        "13-11-23",
    ],
    "TIME": [
        "24:00:00",
        "17:45:60",
        "1:2:3",
        "17",
        "5:45 PM",
        "17:45:00Z",
        "17:45:00+02",
        "17:45:00.",
        "17:45:00.1234567",
        " 17:45",
    ],
    "TIMESTAMP": [
        "2013-11-23 17:45:00Z",
        "2013-11-23 17:45:00+02",
        "2013-11-23 17:45:00 UTC",
        "2013-11-23 17:45:00 Europe/Rome",
        "2013-11-23 24:00:00",
        "2013-11-23 17:45:60",
        "2013-11-23 17:45:00.1234567",
        "2013-11-23 17:45:00.",
        "2013-11-23T",
        "2013-11-23  17:45:00",
        "2013-11-23 7:45:00",
        "2013-11-23 17:45:00,5",
        "2013-11-23t17:45:00",
        "2013-11-23 12:30:00 PM",
        "infinity",
        "epoch",
        "10000-01-01 00:00:00",
        "0000-12-31 00:00:00",
        "2013-11-23 ",
        " 2013-11-23 17:45:00",
    ],
    "TIMESTAMP WITH TIME ZONE": [
        "2013-11-23 17:45:00 Europe/Rome",
        "2013-11-23 17:45:00 UTC",
        "2013-11-23T17:45:00+99",
        "2013-11-23T17:45:00 +02:00",
        "2013-11-23T17:45:00z",
        "2013-11-23T17:45:00.1234567Z",
        "2013-11-23Z",
        "2013-11-23+02",
        "2013-11-23T24:00:00Z",
        "9999-12-31T23:59:59-01:00",
        "0001-01-01T00:00:00+01:00",
        "infinity",
        "2013-11-23T17:45:00+02:60",
    ],
    "JSON": ["{", "nul", "'a'", '{"a":1}x', "01", "\ufeff{}", "{a:1}"],
}


@pytest.mark.parametrize("kind", ACCEPTED)
def test_texts_that_are_a_value_of_their_type(connection: duckdb.DuckDBPyConnection, kind: str) -> None:
    judgement = compile_judgement(contract_of(Column(name="c", type=kind)))
    observed = values_of(connection, judgement, list(ACCEPTED[kind]))
    assert dict(zip(ACCEPTED[kind], observed, strict=True)) == ACCEPTED[kind]


@pytest.mark.parametrize("kind", REFUSED)
def test_texts_that_are_none(connection: duckdb.DuckDBPyConnection, kind: str) -> None:
    judgement = compile_judgement(contract_of(Column(name="c", type=kind)))
    cells = REFUSED[kind] + WHITE_SPACE
    observed = dict(zip(cells, values_of(connection, judgement, cells), strict=True))
    assert {cell: value for cell, value in observed.items() if value is not REJECTED} == {}


FORMATS: dict[str, tuple[str, tuple[str, ...], dict[str, Any]]] = {
    "day first": (
        "DATE",
        ("%d/%m/%Y",),
        {
            "01/02/2013": "2013-02-01",
            "1/2/2013": "2013-02-01",
            "2013-02-01": REJECTED,
            "31/02/2013": REJECTED,
            "01/02/2013 ": REJECTED,
            " 01/02/2013": REJECTED,
            "01/02/2013x": REJECTED,
            "01/02/2013 10:00": REJECTED,
            "infinity": REJECTED,
            "epoch": REJECTED,
        },
    ),
    "two in order": (
        "DATE",
        ("%d/%m/%Y", "%m/%d/%Y"),
        {"01/02/2013": "2013-02-01", "01/31/2013": "2013-01-31", "13/13/2013": REJECTED},
    ),
    "a time that a date would lose": (
        "DATE",
        ("%Y-%m-%dT%H:%M:%S",),
        {"2020-02-24T00:00:00": "2020-02-24", "2020-02-24T18:00:00": REJECTED},
    ),
    "a date that a time would lose": (
        "TIME",
        ("%H.%M", "%Y-%m-%d %H:%M"),
        {"17.45": "17:45:00", "2020-02-24 17:45": REJECTED},
    ),
    "timestamp": (
        "TIMESTAMP",
        ("%Y-%m-%dT%H:%M:%S", "%d.%m.%Y %H:%M"),
        {
            "2020-02-24T18:00:00": "2020-02-24 18:00:00",
            "24.02.2020 18:00": "2020-02-24 18:00:00",
            "2020-02-24 18:00:00": REJECTED,
            "2020-02-24T18:00:00Z": REJECTED,
        },
    ),
    "microseconds": (
        "TIMESTAMP",
        ("%Y-%m-%d %H:%M:%S.%f",),
        {"2020-02-24 18:00:00.5": "2020-02-24 18:00:00.5", "2020-02-24 18:00:00.1234567": REJECTED},
    ),
    "nanoseconds that a timestamp would lose": (
        "TIMESTAMP",
        ("%Y-%m-%d %H:%M:%S.%n",),
        {
            "2020-02-24 18:00:00.123456000": "2020-02-24 18:00:00.123456",
            "2020-02-24 18:00:00.123456789": REJECTED,
        },
    ),
    "offset in a format": (
        "TIMESTAMP WITH TIME ZONE",
        ("%Y-%m-%d %H:%M:%S %z",),
        {"2020-02-24 18:00:00 +0100": "2020-02-24 17:00:00", "2020-02-24 18:00:00": REJECTED},
    ),
    "offset into a timestamp is UTC": (
        "TIMESTAMP",
        ("%Y-%m-%d %H:%M:%S %z",),
        {"2020-02-24 18:00:00 +0100": "2020-02-24 17:00:00"},
    ),
    "percent before a z": ("DATE", ("%Y%%z%m%d",), {"2020%z0224": "2020-02-24"}),
}


@pytest.mark.parametrize(("kind", "formats", "cases"), FORMATS.values(), ids=FORMATS)
def test_formats_are_the_only_spelling(
    connection: duckdb.DuckDBPyConnection, kind: str, formats: tuple[str, ...], cases: dict[str, Any]
) -> None:
    judgement = compile_judgement(contract_of(Column(name="c", type=kind, formats=formats)))
    assert dict(zip(cases, values_of(connection, judgement, list(cases)), strict=True)) == cases


def test_times_without_offset_are_in_the_columns_zone(connection: duckdb.DuckDBPyConnection) -> None:
    column = Column(name="c", type="TIMESTAMP WITH TIME ZONE", time_zone="Europe/Rome")
    cases = {
        "2024-01-01 12:00:00": "2024-01-01 11:00:00",
        "2024-07-01 12:00:00": "2024-07-01 10:00:00",
        "2024-07-01 12:00:00Z": "2024-07-01 12:00:00",
        "2024-03-31 02:30:00": REJECTED,
        "2024-10-27 02:30:00": "2024-10-27 01:30:00",
    }
    for formats in ((), ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%SZ%z")):
        judgement = compile_judgement(contract_of(column.model_copy(update={"formats": formats})))
        local = {cell: value for cell, value in cases.items() if not (formats and cell.endswith("Z"))}
        assert dict(zip(local, values_of(connection, judgement, list(local)), strict=True)) == local


# --- texts and types, any --------------------------------------------------------------------------------------------


def number_or_rejected(pattern: str, cell: str) -> Fraction | object:
    return Fraction(cell) if re.fullmatch(pattern, cell, re.ASCII) else REJECTED


def expect_integer(kind: str, cell: str) -> Any:
    low, high = {"BIGINT": (-(2**63), 2**63 - 1), "USMALLINT": (0, 2**16 - 1)}[kind]
    sound = re.fullmatch(r"[+-]?[0-9]+", cell) and low <= int(cell) <= high
    return str(int(cell)) if sound else REJECTED


def expect_decimal(_kind: str, cell: str) -> Any:
    if not re.fullmatch(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)", cell):
        return REJECTED
    cents = Fraction(Decimal(cell)) * 10_000
    if cents.denominator != 1 or abs(cents) >= 10**9:
        return REJECTED
    return str((Decimal(int(cents)) / 10_000).quantize(Decimal("0.0001")) + 0)


def expect_double(_kind: str, cell: str) -> Any:
    if re.fullmatch(r"[+-]?(nan|inf|infinity)", cell, re.IGNORECASE):
        return repr(float(cell))
    if not re.fullmatch(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?", cell):
        return REJECTED
    return REJECTED if math.isinf(float(cell)) else repr(float(cell))


def expect_date(_kind: str, cell: str) -> Any:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", cell):
        return REJECTED
    try:
        return dt.date.fromisoformat(cell).isoformat()
    except ValueError:
        return REJECTED


CLOCK = r"(?P<h>[01][0-9]|2[0-3]):(?P<m>[0-5][0-9])(:(?P<s>[0-5][0-9])(\.(?P<f>[0-9]{1,6})0*)?)?"


def clock_of(match: re.Match[str]) -> dt.time:
    fraction = (match["f"] or "").ljust(6, "0")
    return dt.time(int(match["h"] or 0), int(match["m"] or 0), int(match["s"] or 0), int(fraction or 0))


def printed(moment: dt.datetime | dt.time) -> str:
    text = moment.isoformat(" ") if isinstance(moment, dt.datetime) else moment.isoformat()
    return text.rstrip("0") if "." in text else text


def expect_time(_kind: str, cell: str) -> Any:
    match = re.fullmatch(CLOCK, cell, re.ASCII)
    return printed(clock_of(match)) if match else REJECTED


def local_moment(cell: str) -> dt.datetime | None:
    match = re.fullmatch(rf"(?P<d>[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})([ T]{CLOCK})?", cell, re.ASCII)
    try:
        return dt.datetime.combine(dt.date.fromisoformat(match["d"]), clock_of(match)) if match else None
    except ValueError:
        return None


def expect_timestamp(_kind: str, cell: str) -> Any:
    moment = local_moment(cell)
    return printed(moment) if moment else REJECTED


ROME = ZoneInfo("Europe/Rome")


def expect_moment(_kind: str, cell: str) -> Any:
    match = re.fullmatch(
        r"(?P<local>.*:.*?)(?P<zone>Z|(?P<sign>[+-])(?P<h>[01][0-9]|2[0-3])(:?(?P<m>[0-5][0-9]))?)", cell
    )
    local = local_moment(match["local"] if match else cell)
    if local is None:
        return REJECTED
    try:
        if match:
            offset = dt.timedelta(hours=int(match["h"] or 0), minutes=int(match["m"] or 0))
            return printed(local - offset if match["sign"] != "-" else local + offset)
        moment = local.replace(tzinfo=ROME, fold=1).astimezone(dt.UTC)
        exists = moment.astimezone(ROME).replace(tzinfo=None) == local
        return printed(moment.replace(tzinfo=None)) if exists else REJECTED
    except OverflowError:
        return REJECTED


def expect_boolean(_kind: str, cell: str) -> Any:
    return {"true": "true", "false": "false", "1": "true", "0": "false"}.get(
        cell.lower() if cell.isascii() else "", REJECTED
    )


ORACLES = {
    "BIGINT": expect_integer,
    "USMALLINT": expect_integer,
    "DECIMAL(9,4)": expect_decimal,
    "DOUBLE": expect_double,
    "BOOLEAN": expect_boolean,
    "DATE": expect_date,
    "TIME": expect_time,
    "TIMESTAMP": expect_timestamp,
    "TIMESTAMP WITH TIME ZONE": expect_moment,
}

DATES = st.dates().map(dt.date.isoformat)
TIMES = st.times().map(dt.time.isoformat) | st.times().map(lambda t: t.isoformat("minutes"))
MOMENTS = st.builds(lambda day, blank, time: f"{day}{blank}{time}", DATES, st.sampled_from(["T", " "]), TIMES)
OFFSETS = st.sampled_from(["", "Z", "+01", "-0330", "+05:30", "+23:59", "+24:00"])
SEEDS = {
    "BIGINT": st.integers(-(2**64), 2**64).map(str),
    "USMALLINT": st.integers(-5, 2**17).map(str),
    "DECIMAL(9,4)": st.decimals(-(10**6), 10**6, places=4).map(str) | st.decimals(allow_nan=True).map(str),
    "DOUBLE": st.floats().map(repr) | st.decimals().map(str),
    "BOOLEAN": st.sampled_from(["true", "false", "1", "0", "TRUE", "False"]),
    "DATE": DATES,
    "TIME": TIMES,
    "TIMESTAMP": DATES | MOMENTS,
    "TIMESTAMP WITH TIME ZONE": st.builds("{}{}".format, DATES | MOMENTS, OFFSETS)
    | st.builds("2024-03-31 {}".format, TIMES)
    | st.builds("2024-10-27 {}".format, TIMES),
}
NOISE = st.text(alphabet="0123456789+-.eE_ \tTZ:/xinfatruNyslé\u0663", max_size=12)


@st.composite
def cells_near(draw: st.DrawFn, seeds: st.SearchStrategy[str]) -> str:
    """A text of the type, or one with a few characters put in, taken out or doubled."""
    cell = draw(seeds)
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(cell)))
        kept = draw(st.integers(0, 1))
        cell = cell[:place] + draw(NOISE.map(lambda noise: noise[:1])) + cell[place + kept :]
    return cell


@pytest.fixture(scope="module")
def compiled() -> dict[str, Judgement]:
    return {
        kind: compile_judgement(contract_of(Column(name="c", type=kind, time_zone="Europe/Rome"))) for kind in ORACLES
    }


@pytest.mark.parametrize("kind", ORACLES)
@given(data=st.data())
def test_any_text_is_read_as_python_reads_it(
    connection: duckdb.DuckDBPyConnection, compiled: dict[str, Judgement], kind: str, data: st.DataObject
) -> None:
    cells = data.draw(st.lists(cells_near(SEEDS[kind]) | NOISE, min_size=1, max_size=60))
    expected = [ORACLES[kind](kind, cell) for cell in cells]
    observed = values_of(connection, compiled[kind], cells)
    if kind == "DOUBLE":
        observed = [value if value is REJECTED else repr(float(value)) for value in observed]
    differing = [(c, e, o) for c, e, o in zip(cells, expected, observed, strict=True) if e != o]
    assert differing == []


@given(cells=st.lists(cells_near(st.floats(width=32).map(repr)), min_size=1, max_size=40))
def test_a_float_is_the_nearest_there_is(connection: duckdb.DuckDBPyConnection, cells: list[str]) -> None:
    observed = values_of(connection, Judgement(contract_of(Column(name="c", type="FLOAT"))), cells)
    for cell, value in zip(cells, observed, strict=True):
        # with an exponent of three digits at most: an exact fraction of 1e-99999999 takes longer than anybody waits
        finite = re.fullmatch(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", cell)
        if value is REJECTED or not finite:
            continue
        near = np.float32(value)
        rivals = [np.nextafter(near, np.float32(math.inf)), np.nextafter(near, np.float32(-math.inf))]
        error = abs(Fraction(float(near)) - Fraction(cell))
        assert all(error <= abs(Fraction(float(rival)) - Fraction(cell)) for rival in rivals if np.isfinite(rival))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=3), children, max_size=3),
    max_leaves=8,
)


@given(
    documents=st.lists(JSON_VALUES.map(lambda value: json.dumps(value, ensure_ascii=False)), min_size=1, max_size=20)
)
def test_json_stays_as_it_was_written(connection: duckdb.DuckDBPyConnection, documents: list[str]) -> None:
    judgement = Judgement(contract_of(Column(name="c", type="JSON")))
    assert values_of(connection, judgement, documents) == documents


# --- constraints -----------------------------------------------------------------------------------------------------

CONSTRAINTS: dict[str, tuple[Column, dict[str | None, list[str]]]] = {
    "required": (Column(name="c", type="VARCHAR", required=True), {None: ["REQUIRED"], "": []}),
    "key": (Column(name="c", type="BIGINT", primary_key_position=1), {None: ["REQUIRED"], "1": []}),
    "required number": (Column(name="c", type="BIGINT", required=True), {"x": ["TYPE"], None: ["REQUIRED"]}),
    "length": (
        Column(name="c", type="VARCHAR", min_length=2, max_length=3),
        {"a": ["LENGTH"], "ab": [], "\u00e4\u00f6\u00fc": [], "abcd": ["LENGTH"], None: []},
    ),
    "least length": (Column(name="c", type="VARCHAR", min_length=1), {"": ["LENGTH"], "a": []}),
    "pattern": (
        Column(name="c", type="VARCHAR", pattern="[A-Z]{2}"),
        {"AA": [], "AAA": ["PATTERN"], "xAAx": ["PATTERN"], "AA\n": ["PATTERN"], "": ["PATTERN"], None: []},
    ),
    "pattern with quotes": (
        Column(name="c", type="VARCHAR", pattern='it\'s "x"'),
        {'it\'s "x"': [], "its": ["PATTERN"]},
    ),
    "range": (
        Column(name="c", type="INTEGER", minimum="0", maximum="10"),
        {"0": [], "10": [], "-1": ["RANGE"], "11": ["RANGE"], "99999999999": ["TYPE"], "1.5": ["TYPE"], None: []},
    ),
    "open range": (
        Column(name="c", type="DOUBLE", minimum="0", maximum="1", exclusive_minimum=True, exclusive_maximum=True),
        {"0": ["RANGE"], "-0.0": ["RANGE"], "1e-300": [], "1": ["RANGE"], "NaN": ["RANGE"], "-inf": ["RANGE"]},
    ),
    "range of dates": (
        Column(name="c", type="DATE", minimum="2013-01-01", formats=("%d.%m.%Y",)),
        {"31.12.2012": ["RANGE"], "01.01.2013": [], "2013-01-01": ["TYPE"]},
    ),
    "range of moments in the column's zone": (
        Column(name="c", type="TIMESTAMP WITH TIME ZONE", minimum="2013-07-01 00:00:00", time_zone="Europe/Rome"),
        {"2013-06-30T22:00:00Z": [], "2013-06-30T21:59:59Z": ["RANGE"]},
    ),
    "multiple of an integer": (
        Column(name="c", type="BIGINT", multiple_of="5"),
        {"10": [], "-5": [], "0": [], "7": ["MULTIPLE_OF"], "-9223372036854775808": ["MULTIPLE_OF"]},
    ),
    "multiple of a fraction": (
        Column(name="c", type="DOUBLE", multiple_of="0.1"),
        {"0.3": [], "0.30": [], "3e-1": [], "0.35": ["MULTIPLE_OF"], "1e-20": ["MULTIPLE_OF"], "NaN": ["MULTIPLE_OF"]},
    ),
    "multiple in decimals": (
        Column(name="c", type="DECIMAL(38,10)", multiple_of="0.25"),
        {"1.75": [], "1.3": ["MULTIPLE_OF"], "9999999999999999999999999999.25": []},
    ),
    "allowed values": (
        Column(name="c", type="VARCHAR", allowed_values=("a", "it's", "")),
        {"a": [], "it's": [], "": [], "A": ["VALUE"], None: []},
    ),
    "allowed numbers are compared as numbers": (
        Column(name="c", type="INTEGER", allowed_values=("1", "2")),
        {"01": [], "3": ["VALUE"], "1.0": ["TYPE"]},
    ),
    "everything at once": (
        Column(name="c", type="VARCHAR", min_length=3, pattern="[a-z]*", allowed_values=("abc",)),
        {"A": ["LENGTH", "PATTERN", "VALUE"], "abd": ["VALUE"], "abc": []},
    ),
}


@pytest.mark.parametrize(("column", "cases"), CONSTRAINTS.values(), ids=CONSTRAINTS)
def test_constraints(connection: duckdb.DuckDBPyConnection, column: Column, cases: dict[str | None, list[str]]) -> None:
    judgement = compile_judgement(contract_of(column))
    valid, reasons = judge(connection, judgement, [{"c": cell} for cell in cases])
    observed = {cell: [reason["code"] for reason in reasons.get(n, [])] for n, cell in enumerate(cases, start=1)}
    assert observed == cases
    assert valid["_hg_record"].to_pylist() == [n for n, codes in enumerate(cases.values(), start=1) if not codes]


def test_a_reason_says_what_was_expected_and_what_was_found(connection: duckdb.DuckDBPyConnection) -> None:
    columns = [
        Column(name="n", type="INTEGER", maximum="10"),
        Column(name='say "it\'s"', type="DATE", formats=("%d.%m.%Y",)),
    ]
    rules = (RowRule(name="small", expression="n < 5", description="Few are many."),)
    judgement = compile_judgement(contract_of(*columns, row_rules=rules))
    _, reasons = judge(connection, judgement, [{"n": "11", 'say "it\'s"': "x" * 300}])
    assert reasons[1] == [
        {"code": "RANGE", "column": "n", "rule": None, "message": "expected <= 10", "value": "11"},
        {
            "code": "TYPE",
            "column": 'say "it\'s"',
            "rule": None,
            "message": "expected DATE written as %d.%m.%Y",
            "value": "x" * 200,
        },
        {"code": "RULE", "column": None, "rule": "small", "message": "Few are many.", "value": "n=11"},
    ]


# --- rules -----------------------------------------------------------------------------------------------------------


def test_a_rule_that_is_false_null_or_fails_is_broken(connection: duckdb.DuckDBPyConnection) -> None:
    columns = [Column(name="a", type="BIGINT"), Column(name="b", type="BIGINT")]
    rules = (
        RowRule(name="order", expression="a <= b -- never later"),
        RowRule(name="product", expression="a * b < 10"),
        RowRule(name="parsed", expression="CAST(a AS UTINYINT) >= 0"),
    )
    judgement = compile_judgement(contract_of(*columns, row_rules=rules))
    rows: list[Row] = [
        {"a": "1", "b": "2"},
        {"a": "2", "b": "1"},
        {"a": "1"},
        {"a": "4000000000000000000", "b": "4000000000000000000"},
        {"a": "1.5", "b": "0"},
    ]
    valid, reasons = judge(connection, judgement, rows)
    assert valid["_hg_record"].to_pylist() == [1]
    named = {record: [reason["rule"] or reason["code"] for reason in listed] for record, listed in reasons.items()}
    assert named == {2: ["order"], 3: ["order", "product"], 4: ["product", "parsed"], 5: ["TYPE"]}
    assert reasons[3][0]["value"] == "a=1, b=NULL"


def test_a_rule_reads_the_typed_values(connection: duckdb.DuckDBPyConnection) -> None:
    columns = [Column(name="a", type="VARCHAR"), Column(name="b", type="BIGINT")]
    rules = (RowRule(name="typed", expression="b + 1 > 9 AND a >= '9'"),)
    valid, _ = judge(connection, compile_judgement(contract_of(*columns, row_rules=rules)), [{"a": "9", "b": "10"}])
    assert valid.num_rows == 1


def test_a_rule_over_no_column(connection: duckdb.DuckDBPyConnection) -> None:
    judgement = compile_judgement(
        contract_of(Column(name="a", type="BIGINT"), row_rules=(RowRule(name="no", expression="1 > 2"),))
    )
    _, reasons = judge(connection, judgement, [{"a": "1"}])
    assert [(reason["rule"], reason["value"]) for reason in reasons[1]] == [("no", None)]


def test_warnings_are_counted_per_rule_and_refuse_nothing(connection: duckdb.DuckDBPyConnection) -> None:
    rules = (
        RowRule(name="it's odd", expression="a % 2 = 1", severity=Severity.WARNING),
        RowRule(name="small", expression="a < 1000", severity=Severity.WARNING),
        RowRule(name="positive", expression="a > 0"),
    )
    judgement = compile_judgement(contract_of(Column(name="a", type="BIGINT"), row_rules=rules))
    valid, _ = judge(connection, judgement, [{"a": str(number)} for number in range(-1, 5)])
    connection.register("valid_rows", valid)
    query = judgement.warnings_query("valid_rows")
    assert query is not None
    assert connection.execute(query).fetchall() == [("it's odd", 2), ("small", 0)]
    connection.unregister("valid_rows")
    assert compile_judgement(contract_of(Column(name="a", type="BIGINT"))).warnings_query("x") is None


# --- the whole -------------------------------------------------------------------------------------------------------

WIDE = contract_of(
    Column(name="n", type="INTEGER", minimum="0", required=True),
    Column(name="m", type="SMALLINT", maximum="100"),
    Column(name="d", type="DECIMAL(6,2)", multiple_of="0.5"),
    Column(name="x", type="DOUBLE"),
    Column(name="day", type="DATE"),
    Column(name="s", type="VARCHAR", pattern="[a-z]*", max_length=4),
    row_rules=(
        RowRule(name="n_m", expression="n <= m"),
        RowRule(name="ratio", expression="n / x < 100"),
        RowRule(name="length", expression="length(s) <= n", severity=Severity.WARNING),
    ),
    undeclared_columns="keep",
)
WIDE_CELLS = (
    st.none() | NOISE | st.integers(-3, 120).map(str) | DATES | st.sampled_from(["", "1.5", "0.25", "abc", "abcde"])
)


@settings(max_examples=50)
@given(rows=st.lists(st.fixed_dictionaries(dict.fromkeys(("n", "m", "d", "x", "day", "s"), WIDE_CELLS)), max_size=40))
def test_every_row_is_valid_or_has_a_reason_and_never_both(
    connection: duckdb.DuckDBPyConnection, rows: list[Row]
) -> None:
    judgement = Judgement(WIDE)
    valid, reasons = judge(connection, judgement, rows)
    kept = valid["_hg_record"].to_pylist()
    assert sorted(kept + list(reasons)) == list(range(1, len(rows) + 1))
    assert all(listed for listed in reasons.values())
    assert valid.schema.names == list(WIDE.table_schema)


def test_the_verdict_does_not_depend_on_threads() -> None:
    judgement = compile_judgement(WIDE)
    rows: list[Row] = [
        {"n": str(i % 150), "m": str(i % 97), "d": f"{i / 4}", "x": "1", "s": "ab"} for i in range(30_000)
    ]
    results = []
    for threads in (1, 4):
        with duckdb.connect(config={"threads": threads}) as opened:
            results.append(judge(opened, judgement, rows))
    assert results[0][0].equals(results[1][0])
    assert results[0][1] == results[1][1]
    assert 0 < results[0][0].num_rows < len(rows)


def test_the_types_are_the_contracts(connection: duckdb.DuckDBPyConnection) -> None:
    kinds = [
        "TINYINT",
        "UBIGINT",
        "FLOAT",
        "DECIMAL(9,3)",
        "TIME",
        "TIMESTAMP",
        "TIMESTAMP WITH TIME ZONE",
        "JSON",
        "VARCHAR",
    ]
    contract = contract_of(
        *(Column(name=f"c{n}", type=kind) for n, kind in enumerate(kinds)), undeclared_columns="keep"
    )
    judgement = compile_judgement(contract)
    connection.register("source_texts", texts(contract, [{}]))
    described = connection.execute(f"DESCRIBE {judgement.valid_query('source_texts')}").fetchall()
    connection.unregister("source_texts")
    assert {name: kind for name, kind, *_ in described} == contract.table_schema
    assert [name for name, *_ in described] == list(contract.table_schema)


def test_a_source_may_be_a_query(connection: duckdb.DuckDBPyConnection) -> None:
    contract = contract_of(Column(name="a", type="BIGINT"))
    source = "(SELECT '7' AS a, 's' AS _hg_source, 1::BIGINT AS _hg_record, 'g' AS _hg_segment)"
    assert connection.execute(compile_judgement(contract).valid_query(source)).fetchall() == [(7, "s", 1, "g")]


def test_hostile_names_stay_names(connection: duckdb.DuckDBPyConnection) -> None:
    names = ['a"; DROP TABLE x; --', "select", "a b", "\u00e9", "'", "current_date"]
    contract = contract_of(*(Column(name=name, type="BIGINT", maximum="5") for name in names))
    valid, reasons = judge(
        connection, compile_judgement(contract), [dict.fromkeys(names, "1"), dict.fromkeys(names, "9")]
    )
    assert valid.select(names).to_pylist() == [dict.fromkeys(names, 1)]
    assert [reason["column"] for reason in reasons[2]] == names


def test_real_days_are_read_to_the_last_digit(connection: duckdb.DuckDBPyConnection, corpora: Path) -> None:
    kinds = {"data": "TIMESTAMP", "lat": "DOUBLE", "long": "DOUBLE", "codice_regione": "VARCHAR", "note": "VARCHAR"}
    for file in sorted((corpora / "pcm-regioni" / "daily").glob("*.csv"))[::100]:
        with file.open(newline="", encoding="utf-8") as opened:
            rows = [{name: cell or None for name, cell in row.items()} for row in csv.DictReader(opened)]
        kept = [name for name in rows[0] if name in kinds]
        contract = contract_of(*(Column(name=name, type=kinds[name]) for name in kept))
        valid, reasons = judge(connection, compile_judgement(contract), rows)
        assert valid.num_rows + len(reasons) == len(rows)
        for record, row in zip(valid["_hg_record"].to_pylist(), valid.to_pylist(), strict=True):
            text = rows[record - 1]
            assert row["codice_regione"] == text["codice_regione"]
            assert row["data"] == dt.datetime.fromisoformat(text["data"] or "")
            assert row["lat"] == (float(text["lat"]) if text["lat"] else None)


# --- keys ------------------------------------------------------------------------------------------------------------

KEYED = contract_of(Column(name="k", type="BIGINT"), Column(name="s", type="VARCHAR"))
KEY_ROWS = st.lists(
    st.tuples(st.none() | st.integers(0, 3), st.none() | st.sampled_from(["a", "b", ""]), st.integers(0, 3)),
    max_size=30,
)


@given(rows=KEY_ROWS, key=st.sampled_from([("k",), ("s",), ("k", "s"), ("s", "k")]))
def test_later_rows_of_a_key_are_duplicates(
    connection: duckdb.DuckDBPyConnection, rows: list[tuple[int | None, str | None, int]], key: tuple[str, ...]
) -> None:
    numbered = [(k, s, f"drop{order}", order, record) for record, (k, s, order) in enumerate(rows, start=1)]
    first: dict[tuple[Any, ...], tuple[str, int]] = {}
    expected = []
    for k, s, source, order, record in sorted(numbered, key=lambda row: row[3:]):
        value: tuple[Any, ...] = tuple({"k": k, "s": s}[name] for name in key)
        if None in value:
            continue
        if value in first:
            expected.append((source, record, order, *first[value]))
        else:
            first[value] = (source, record)
    judgement = Judgement(KEYED)
    schema = {
        "k": pa.int64(),
        "s": pa.string(),
        "_hg_source": pa.string(),
        ORDER_COLUMN: pa.int64(),
        "_hg_record": pa.int64(),
    }
    columns = zip(*numbered, strict=True) if numbered else [()] * len(schema)
    arrays = [pa.array(column, kind) for column, kind in zip(columns, schema.values(), strict=True)]
    connection.register("valid_rows", pa.table(arrays, names=list(schema)))
    assert connection.execute(judgement.duplicates_query("valid_rows", key)).fetchall() == expected
    assert connection.execute(judgement.has_duplicates_query("valid_rows", key)).fetchall() == [(bool(expected),)]
    connection.unregister("valid_rows")


def test_a_key_of_other_columns_is_refused() -> None:
    for key in ((), ("k", "no"), ("_hg_record",)):
        with pytest.raises(ValueError, match="a key is made of columns of t"):
            Judgement(KEYED).duplicates_query("valid", key)


# --- rules over the set ----------------------------------------------------------------------------------------------


def test_a_set_rule_runs_over_the_rows_it_is_given(connection: duckdb.DuckDBPyConnection) -> None:
    query = "SELECT count(*) FROM {table} JOIN {table} AS other USING (k) WHERE {table}.s = other.s -- all"
    rule = SetRule(name="pairs", query=query, operator="=", threshold=(2,))
    contract = contract_of(*KEYED.columns, set_rules=(rule,))
    check_set_query(query, contract.table_schema)
    rows = "(VALUES (1, 'a'), (2, 'b'), (3, NULL)) AS v(k, s)"
    for source in (rows, f"(SELECT * FROM {rows})"):
        [(value,)] = connection.execute(compile_judgement(contract).set_rule_query(rule, source)).fetchall()
        assert holds(rule, value)


HOLDS = {
    "equal": ("=", (3.0,), [3, 3.0, Decimal(3)], [2, Decimal("3.0000001")]),
    "not equal": ("!=", (3.0,), [2], [3]),
    "greater": (">", (3.0,), [4, math.inf], [3]),
    "at least": (">=", (3.0,), [3], [2.999999]),
    "less": ("<", (3.0,), [2], [3]),
    "at most": ("<=", (3.0,), [3, -math.inf], [4]),
    "between": ("between", (1.0, 3.0), [1, 2, 3], [0, 4]),
    "not between": ("not between", (1.0, 3.0), [0, 4], [1, 2, 3]),
    "boolean": ("=", (1.0,), [True], [False]),
    "big integers exactly": ("=", (9007199254740992.0,), [9007199254740992], [9007199254740993]),
}


@pytest.mark.parametrize(("operator", "threshold", "good", "bad"), HOLDS.values(), ids=HOLDS)
def test_thresholds(operator: Any, threshold: tuple[float, ...], good: list[Any], bad: list[Any]) -> None:
    rule = SetRule(name="r", query="SELECT count(*) FROM {table}", operator=operator, threshold=threshold)
    assert all(holds(rule, value) for value in good)
    assert not any(holds(rule, value) for value in bad)


@pytest.mark.parametrize("operator", ["=", "!=", ">", ">=", "<", "<=", "between", "not between"])
def test_what_was_not_evaluated_does_not_hold(operator: Any) -> None:
    rule = SetRule(name="r", query="SELECT count(*) FROM {table}", operator=operator, threshold=(0.0, 0.0))
    not_numbers: list[Any] = [None, math.nan, Decimal("NaN"), "0", [], dt.date(2020, 1, 1)]
    assert not any(holds(rule, value) for value in not_numbers)


# --- contracts that cannot be compiled -------------------------------------------------------------------------------

BROKEN = {
    "minimum": (Column(name="c", type="INTEGER", minimum="1.5"), "column c", "the minimum '1.5' is not INTEGER"),
    "maximum": (
        Column(name="c", type="DATE", maximum="31.12.2013"),
        "column c",
        "the maximum '31.12.2013' is not DATE",
    ),
    "allowed value": (Column(name="c", type="INTEGER", allowed_values=("1", "x")), "column c", "the allowed value 'x'"),
    "multiple of nothing": (Column(name="c", type="INTEGER", multiple_of="0"), "column c", "no number above zero"),
    "multiple of text": (Column(name="c", type="INTEGER", multiple_of="x"), "column c", "no number above zero"),
    "time zone": (Column(name="c", type="TIMESTAMP WITH TIME ZONE", time_zone="Mars/Base"), "column c", "no time zone"),
    "pattern": (Column(name="c", type="VARCHAR", pattern="(a"), "columns", "missing )"),
    "pattern that looks around": (
        Column(name="c", type="VARCHAR", pattern="(?=a)"),
        "columns",
        "invalid perl operator",
    ),
    "format": (Column(name="c", type="DATE", formats=("%Q",)), "columns", "%Q"),
    "type": (Column(name="c", type="NO_TYPE"), "column c", "'NO_TYPE' is no type"),
    "another name of a type": (Column(name="c", type="INT"), "column c", "'INT' is no type"),
    "type that Parquet rounds": (Column(name="c", type="HUGEINT"), "column c", "'HUGEINT' is no type"),
    "type with a tail": (Column(name="c", type="INTEGER) --"), "column c", "is no type"),
}


@pytest.mark.parametrize(("column", "where", "problem"), BROKEN.values(), ids=BROKEN)
def test_a_contract_that_duckdb_cannot_run_is_refused(column: Column, where: str, problem: str) -> None:
    with pytest.raises(ContractError) as caught:
        compile_judgement(contract_of(column, source="odcs/t.yaml"))
    assert caught.value.evidence["contract"] == "odcs/t.yaml"
    assert caught.value.evidence["where"] == where
    assert problem in caught.value.evidence["problem"]
    assert caught.value.exit_code == 2


def test_rules_are_guarded() -> None:
    column = Column(name="c", type="INTEGER")
    with pytest.raises(UnsafeSqlError, match="random"):
        compile_judgement(contract_of(column, row_rules=(RowRule(name="r", expression="random() > 0.5"),)))
    bad = SetRule(name="r", query="SELECT first(c) FROM {table}", operator=">", threshold=(0,))
    with pytest.raises(UnsafeSqlError, match="depends on the order"):
        compile_judgement(contract_of(column, set_rules=(bad,)))


def test_a_pattern_cannot_run_forever() -> None:
    judgement = compile_judgement(contract_of(Column(name="c", type="VARCHAR", pattern="(a*)*(a*)*b")))
    with duckdb.connect() as opened:
        _, reasons = judge(opened, judgement, [{"c": "a" * 50_000}])
    assert [reason["code"] for reason in reasons[1]] == ["PATTERN"]
