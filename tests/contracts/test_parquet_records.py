"""Reading Parquet: every value as the text that reads back as the same value."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import json
import tracemalloc
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.decoding import UndecodableError
from contracts.parquet_records import read_through
from contracts.reasons import Reason
from contracts.records import count_frames, read_records, records_schema
from contracts.table_contract import Column, Expansion, ParquetFormat, Server, TableContract
from tests.contracts.reading import Outcome, outcome, seeded, text_contract, whole


def contract(columns: Any = ("v",), undeclared: str = "quarantine") -> TableContract:
    return text_contract(ParquetFormat(), columns, undeclared_columns=undeclared)


def parquet(table: pa.Table, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    return buffer.getvalue()


def texts(values: pa.Array) -> list[str | None]:
    rows = whole(parquet(pa.table({"v": values})), contract()).rows
    return [row["v"] for row in rows.values()]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param(pa.array([2**63 - 1, -(2**63), None]), [str(2**63 - 1), str(-(2**63)), None], id="bigint"),
        pytest.param(pa.array([2**64 - 1], pa.uint64()), ["18446744073709551615"], id="unsigned"),
        pytest.param(pa.array([0.1, 1e300, float("inf"), -0.0]), ["0.1", "1e+300", "inf", "-0"], id="double"),
        pytest.param(pa.array([0.1], pa.float32()), ["0.10000000149011612"], id="float, as the double it is"),
        pytest.param(pa.array([1.5], pa.float16()), ["1.5"], id="half"),
        pytest.param(
            pa.array([Decimal("0.0000001"), Decimal("-12.5"), None], pa.decimal128(18, 7)),
            ["0.0000001", "-12.5000000", None],
            id="decimal without exponent",
        ),
        pytest.param(pa.array([Decimal(10) ** 40], pa.decimal256(50, 2)), ["1" + "0" * 40 + ".00"], id="large decimal"),
        pytest.param(pa.array([True, False, None]), ["true", "false", None], id="boolean"),
        pytest.param(pa.array([dt.date(1, 1, 1), dt.date(9999, 12, 31)]), ["0001-01-01", "9999-12-31"], id="date"),
        pytest.param(pa.array([dt.time(1, 2, 3, 4)]), ["01:02:03.000004"], id="time"),
        pytest.param(pa.array([dt.datetime(2024, 2, 29, 1, 2, 3, 4)]), ["2024-02-29 01:02:03.000004"], id="timestamp"),
        pytest.param(
            pa.array([1], pa.timestamp("ns")), ["1970-01-01 00:00:00.000000001"], id="nanoseconds are not cut off"
        ),
        pytest.param(
            pa.array([0], pa.timestamp("us", "Asia/Tokyo")),
            ["1970-01-01 00:00:00.000000+00:00"],
            id="instants are in UTC, and say so",
        ),
        pytest.param(pa.array(["", "é\0\n", None]), ["", "é\0\n", None], id="text, empty is not NULL"),
        pytest.param(pa.array(["x", "x", None]).dictionary_encode(), ["x", "x", None], id="dictionary"),
        pytest.param(pa.array([b"text", None]), ["text", None], id="bytes that are text"),
        pytest.param(pa.array([b"ab"], pa.binary(2)), ["ab"], id="bytes of fixed size"),
        pytest.param(pa.array([[1, None], [], None]), ["[1,null]", "[]", None], id="list"),
        pytest.param(pa.array([{"k": "é", "d": dt.date(2024, 1, 2)}]), ['{"k":"é","d":"2024-01-02"}'], id="struct"),
        pytest.param(pa.array([None, None], pa.null()), [None, None], id="nothing"),
        pytest.param(pa.array([1500], pa.duration("us")), ["1500"], id="duration"),
    ],
)
def test_text_of_a_value(values: pa.Array, expected: list[str | None]) -> None:
    assert texts(values) == expected


ROUND_TRIPS: list[tuple[pa.DataType, str, st.SearchStrategy[Any]]] = [
    (pa.int64(), "BIGINT", st.integers(-(2**63), 2**63 - 1)),
    (pa.float64(), "DOUBLE", st.floats(allow_nan=False)),
    (pa.float32(), "FLOAT", st.floats(width=32, allow_nan=False)),
    (pa.decimal128(30, 10), "DECIMAL(30,10)", st.decimals(-(10**19), 10**19, places=10)),
    (pa.bool_(), "BOOLEAN", st.booleans()),
    (pa.date32(), "DATE", st.dates()),
    (pa.time64("us"), "TIME", st.times()),
    (pa.timestamp("us"), "TIMESTAMP", st.datetimes()),
    (pa.timestamp("us", "UTC"), "TIMESTAMP WITH TIME ZONE", st.datetimes(timezones=st.just(dt.UTC))),
]


@given(data=st.data())
@pytest.mark.parametrize(("kind", "sql", "values"), ROUND_TRIPS, ids=[sql for _, sql, _ in ROUND_TRIPS])
def test_text_reads_back_as_the_same_value(kind: pa.DataType, sql: str, values: Any, data: st.DataObject) -> None:
    array = pa.array(data.draw(st.lists(st.none() | values, min_size=1, max_size=5)), kind)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("written", pa.table({"t": pa.array(texts(array), pa.string()), "v": array}))
        back = connection.execute(f"SELECT t, v FROM written WHERE TRY_CAST(t AS {sql}) IS DISTINCT FROM v").fetchall()
    assert back == []


def test_columns_are_matched_as_everywhere() -> None:
    columns = [Column(name="a", type="VARCHAR", aliases=("x",)), "b"]
    data = parquet(pa.table({"b": ["2"], "z": [1.5], "x": ["1"]}))
    assert whole(data, contract(columns)).reasons == {1: [("COLUMN_UNDECLARED", "z")]}
    kept = whole(data, contract(columns, "keep"))
    assert kept.rows == {1: {"a": "1", "b": "2", "_hg_extra": '{"z":"1.5"}'}}
    assert json.loads(kept.raw[1]) == {"b": "2", "z": "1.5", "x": "1"}
    lacking = whole(
        parquet(pa.table({"b": ["2"] * 3})), contract([Column(name="a", type="VARCHAR", required=True)], "keep")
    )
    assert lacking.reasons == {n: [("COLUMN_ABSENT", "a")] for n in (1, 2, 3)}
    assert whole(parquet(pa.table([[1], [2]], ["a", "a"])), contract(["a"])).reasons == {1: [("COLUMN_REPEATED", "a")]}


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(pa.array([b"ok", b"\xff", None]), id="bytes"),
        pytest.param(pa.array([[1.5], [float("nan")], None]), id="a number JSON does not have"),
    ],
)
def test_a_value_without_text_spoils_its_record_only(values: pa.Array) -> None:
    result = whole(parquet(pa.table({"v": values, "w": ["1", "2", "3"]})), contract(["v", "w"]))
    assert list(result.rows) == [1, 3]
    assert result.reasons == {2: [("UNDECODABLE_TEXT", "v")]}
    assert result.messages[2] == ["the value cannot be written as text"]
    assert json.loads(result.raw[2])["w"] == "2"


def test_text_that_is_no_utf8_spoils_its_record_only() -> None:
    values = pa.StringArray.from_buffers(2, pa.array([0, 2, 4], pa.int32()).buffers()[1], pa.py_buffer(b"okx\xff"))
    result = whole(parquet(pa.table({"v": values})), contract())
    assert result.rows == {1: {"v": "ok"}}
    assert result.reasons == {2: [("UNDECODABLE_TEXT", "v")]}
    assert json.loads(result.raw[2]) == {"v": "x\\xff"}


def test_an_empty_file_of_rows_is_fine() -> None:
    assert whole(parquet(pa.table({"v": pa.array([], pa.string())})), contract()) == Outcome()


def test_only_some_records() -> None:
    table = pa.table({"v": [str(i) for i in range(1, 1001)]})
    for size in (7, 100, 5000):
        data = parquet(table, row_group_size=size)
        some = outcome([data], contract(), [1, 99, 100, 101, 1000])
        assert {n: row["v"] for n, row in some.rows.items()} == {n: str(n) for n in (1, 99, 100, 101, 1000)}
        assert whole(data, contract()).records == 1000


def test_wide_rows_come_in_short_runs() -> None:
    data = parquet(pa.table({"v": [str(i) * 10_000 for i in range(4000)]}), use_dictionary=False)
    runs = [run.count for run in read_records([data], contract())]
    assert sum(runs) == 4000
    assert max(runs) < 1000


def test_the_table_has_the_contracts_columns_and_the_record_number() -> None:
    for undeclared in ("quarantine", "keep"):
        of = contract(["a", "v"], undeclared)
        run = next(iter(read_records([parquet(pa.table({"v": [1]}))], of)))
        assert run.table.schema == records_schema(of)
        assert (run.starts[0], run.ends[0]) == (0, 1)
        with pytest.raises(IndexError, match="record 2 is not in this run of 1 records from 1"):
            run.raw(2)


@pytest.mark.parametrize(
    ("data", "where"),
    [
        pytest.param(b"", "footer", id="an empty file"),
        pytest.param(b"a,b\n1,2\n", "footer", id="CSV"),
        pytest.param(parquet(pa.table({"v": [1]}))[:-9], "footer", id="cut short"),
    ],
)
def test_what_is_not_parquet_is_refused_whole(data: bytes, where: str) -> None:
    for read in (lambda: list(read_records([data], contract())), lambda: count_frames([data], contract())):
        with pytest.raises(UndecodableError, match=f"NOT_PARQUET: {where}: ") as caught:
            read()
        assert caught.value.evidence["reason"] is Reason.NOT_PARQUET
        assert str(caught.value).endswith(Reason.NOT_PARQUET.fix)


def claiming(data: bytes, rows: int, claimed: int) -> bytes:
    """The same file, whose footer states another number of rows wherever it states that one."""
    size = int.from_bytes(data[-8:-4], "little")
    body, footer = data[: -8 - size], data[-8 - size : -8]
    changed = footer.replace(b"\x16" + varint(2 * rows), b"\x16" + varint(2 * claimed))
    assert changed != footer
    return body + changed + len(changed).to_bytes(4, "little") + b"PAR1"


def varint(number: int) -> bytes:
    """Source: Thrift's compact protocol; of an i64 twice the value, if that is not negative."""
    digits = [(number >> shift) & 0x7F for shift in range(0, max(1, number.bit_length()), 7)]
    return bytes([*(digit | 0x80 for digit in digits[:-1]), digits[-1]])


def test_a_footer_that_claims_what_no_memory_holds_is_refused_at_once() -> None:
    liar = claiming(parquet(pa.table({"v": list(range(12_345))})), 12_345, 1 << 40)
    tracemalloc.start()
    for read in (lambda: list(read_records([liar], contract())), lambda: count_frames([liar], contract())):
        with pytest.raises(UndecodableError, match="DECOMPRESSED_TOO_LARGE: footer: decompressed it is larger than"):
            read()
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()


def test_a_footer_that_claims_rows_that_are_not_there_is_believed_by_nobody_who_reads() -> None:
    liar = claiming(parquet(pa.table({"v": list(range(12_345))})), 12_345, 200_000_000)
    assert count_frames([liar], contract()).records == 200_000_000
    tracemalloc.start()
    for read in (
        lambda: list(read_records([liar], contract())),
        lambda: list(read_records([liar], contract(), only=np.array([7]))),
        lambda: read_through(io.BytesIO(liar), Expansion()),
    ):
        with pytest.raises(UndecodableError, match="NOT_PARQUET: row group 1: "):
            read()
    assert tracemalloc.get_traced_memory()[1] < 50 << 20
    tracemalloc.stop()


def test_reading_through_counts_what_is_there() -> None:
    data = parquet(pa.table({"v": list(range(900))}), row_group_size=300)
    assert read_through(io.BytesIO(data), Expansion()) == 900


def test_equal_rows_beyond_the_limit_are_refused_in_however_few_bytes_they_are_stored() -> None:
    data = parquet(pa.table({"v": pa.nulls(1_000_000, pa.int8())}))
    strict = contract().model_copy(
        update={"server": Server(path="x", format=ParquetFormat(), decompression=Expansion(max_bytes=999_999))}
    )
    with pytest.raises(UndecodableError, match="maxBytes is 999,999"):
        list(read_records([data], strict))


def test_flipped_bits_lose_no_record_or_refuse_the_file() -> None:
    table = pa.table({"v": list(range(900)), "w": [str(i) * 3 for i in range(900)]})
    data, chance, whole_files = parquet(table, row_group_size=300), seeded("flipped bits"), 0
    for _ in range(300):
        spoilt = bytearray(data)
        for _ in range(chance.choice([1, 1, 4])):
            spoilt[chance.randrange(len(spoilt))] ^= 1 << chance.randrange(8)
        with contextlib.suppress(UndecodableError):
            result = whole(bytes(spoilt), contract(["v", "w"]))
            whole_files += 1
            assert result.records == len(result.rows) + len(result.reasons) == 900
    assert 0 < whole_files < 300
