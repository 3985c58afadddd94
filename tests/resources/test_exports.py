"""Exports: the same rows in every format, of any type and any text; what is not the same is in no version."""

from __future__ import annotations

import csv
import datetime as dt
import io
import shutil
import stat
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.duckdb_syntax import quoted
from contracts.errors import StoreError
from contracts.gates import GateReceipt, Verdict
from contracts.sinks import Sink
from resources import csv_sink, duckdb_sink, exports
from resources.csv_sink import as_text
from resources.duckdb_sink import attached
from resources.exports import Exported, judge_sinks
from resources.object_store import ObjectStore
from resources.table_reader import INDEX
from resources.version_rows import VersionRows
from tests.exporting import Made, file_of, made, parquet_rows, path_of

MIDNIGHT = "TIMESTAMPTZ '2024-03-31 02:30:00+02'"
CELLS = {
    "text": ["'plain'", "''", "NULL", "' '", "'NULL'", "'a,b'", "'say \"hi\"'", "'\"'", "'\"\"'", "E'two\\nlines'"],
    "more text": ["E'a\\r\\nb'", "E'\\r'", "E'tab\\t'", "'üñí 漢 😀'", "'a' || chr(0) || 'b'", "'#none'", "'=1+1'"],
    "whole numbers": ["9223372036854775807::BIGINT", "(-9223372036854775808)::BIGINT", "0::BIGINT", "NULL::BIGINT"],
    "huge whole numbers": [
        "99999999999999999999999999999999999999::DECIMAL(38,0)", "18446744073709551615::DECIMAL(38,0)",
        "(-1)::DECIMAL(38,0)",
    ],
    "unsigned": ["18446744073709551615::UBIGINT", "0::UBIGINT"],
    "small": ["(-128)::TINYINT", "127::TINYINT", "NULL::TINYINT"],
    "decimals": ["0.10::DECIMAL(12,2)", "-9999999999.99::DECIMAL(12,2)", "NULL::DECIMAL(12,2)", "0::DECIMAL(12,2)"],
    "doubles": [
        "0.1::DOUBLE", "(-0.0)::DOUBLE", "'nan'::DOUBLE", "'inf'::DOUBLE", "'-inf'::DOUBLE", "5e-324::DOUBLE",
        "1.7976931348623157e308::DOUBLE", "0.30000000000000004::DOUBLE",
    ],
    "floats": ["0.1::FLOAT", "16777217::FLOAT", "(-0.0)::FLOAT", "NULL::FLOAT"],
    "dates": ["DATE '0001-01-01'", "DATE '9999-12-31'", "DATE '2024-02-29'", "NULL::DATE", "'-infinity'::DATE"],
    "times": ["TIME '00:00:00'", "TIME '23:59:59.999999'"],
    "timestamps": ["TIMESTAMP '2024-03-31 02:30:00.000001'", "TIMESTAMP '1900-01-01'", "NULL::TIMESTAMP"],
    "moments": [MIDNIGHT, f"{MIDNIGHT} - INTERVAL 200 YEAR", "TIMESTAMPTZ '1969-12-31 23:59:59.999999+00'"],
    "true and false": ["true", "false", "NULL::BOOLEAN"],
    "JSON": ["'{\"a\": [1, null, \"x,y\"]}'::JSON", "'null'::JSON", "NULL::JSON"],
    "one row of nothing": ["NULL::VARCHAR"],
}  # fmt: skip


def rows_of_cells(cells: list[str]) -> str:
    return " UNION ALL ".join(f"SELECT {cell} AS x" for cell in cells)


def exported_rows(of: Made, exported: Exported, sink: Sink) -> list[tuple[Any, ...]]:
    """What is in an export, in the order of its records: of a CSV, its cells cast to the columns' types."""
    names = ", ".join(quoted(name) for name, _ in of.candidate.contract.table_schema)
    path = file_of(exported, sink)
    if sink is Sink.DUCKDB:
        with attached(path) as connection:
            return connection.execute(f"SELECT {names} FROM hg_export.t ORDER BY _hg_record").fetchall()
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        schema = dict(of.candidate.contract.table_schema)
        connection.register("cells", as_text(path, schema, 64 << 20))
        typed = ", ".join(f"CAST({quoted(name)} AS {kind}) AS {quoted(name)}" for name, kind in schema.items())
        return connection.execute(f"SELECT {typed} FROM cells ORDER BY _hg_record").fetchall()


def told(exported: Exported) -> GateReceipt:
    (receipt,) = exported.receipts
    return receipt


def comparable(rows: list[tuple[Any, ...]]) -> list[str]:
    """Rows as text, because NaN is not equal to itself and -0.0 is to 0.0."""
    return [repr(row) for row in rows]


# ---- the same rows ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cells", CELLS.values(), ids=CELLS.keys())
def test_every_type_comes_back_as_it_was(cells: list[str], tmp_path: Path) -> None:
    of = made(tmp_path, rows_of_cells(cells))
    exported = of.exported()
    assert told(exported).verdict is Verdict.PASS, told(exported).findings
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("rows", parquet_rows(of))
        expected = connection.execute("SELECT * FROM rows ORDER BY _hg_record").fetchall()
    for sink in (Sink.CSV, Sink.DUCKDB):
        assert comparable(exported_rows(of, exported, sink)) == comparable(expected), sink
    with attached(file_of(exported, Sink.DUCKDB)) as connection:
        described = connection.execute("DESCRIBE hg_export.t").fetchall()
    assert [(name, kind) for name, kind, *_ in described] == list(of.candidate.contract.table_schema)


TEXTS = st.one_of(
    st.none(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.text(',"\r\n\t\0 \\', max_size=6),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(rows=st.lists(st.tuples(TEXTS, TEXTS, st.integers(-(10**38) + 1, 10**38 - 1)), min_size=1, max_size=6))
def test_any_text_comes_back_through_csv(rows: list[tuple[str | None, str | None, int]], tmp_path: Path) -> None:
    source = tmp_path / "rows.parquet"
    with duckdb.connect() as connection:
        connection.execute('CREATE TABLE r (a VARCHAR, "b, ""c""" VARCHAR, n DECIMAL(38,0))')
        for a, b, number in rows:
            connection.execute("INSERT INTO r VALUES (?, ?, CAST(? AS DECIMAL(38,0)))", [a, b, str(number)])
        connection.execute(f"COPY r TO '{source}' (FORMAT parquet)")
    of = made(tmp_path, f"FROM read_parquet('{source}')", sinks=(Sink.CSV,))
    exported = of.exported()
    assert told(exported).verdict is Verdict.PASS, told(exported).findings
    found = exported_rows(of, exported, Sink.CSV)
    assert [(a, b, int(n)) for a, b, n, *_ in found] == rows
    # and by a reader that has nothing to do with either writer or gate; it takes NULL for empty text
    text = file_of(exported, Sink.CSV).read_bytes().decode()
    if "\0" not in text:
        read = list(csv.reader(io.StringIO(text, newline=""), strict=True))
        assert read[0][:3] == ["a", 'b, "c"', "n"]
        assert [(a, b, int(n)) for a, b, n, *_ in read[1:]] == [(a or "", b or "", n) for a, b, n in rows]


def test_a_csv_is_rfc_4180_with_null_and_empty_text_apart(tmp_path: Path) -> None:
    query = "SELECT 1 AS n, NULL AS a, '' AS b, 'x' AS c UNION ALL SELECT 2, 'q\"', E'l\\nm', ','"
    path = file_of(made(tmp_path, query, sinks=(Sink.CSV,)).exported(), Sink.CSV)
    lines = path.read_bytes().replace(b"blake3:", b"").split(b"\r\n")
    assert lines == [
        b"n,a,b,c,_hg_source,_hg_record,_hg_segment",
        b'1,,"",x,a,1,b',
        b'2,"q""","l\nm",",",a,2,b',
        b"",
    ]


def test_postgresql_reads_a_csv_as_the_documentation_says(postgres_url: sa.URL, tmp_path: Path) -> None:
    query = (
        f"SELECT 1 AS n, NULL AS a, '' AS b, {MIDNIGHT} AS t, 0.10::DECIMAL(9,2) AS d, true AS f, "
        "DATE '0001-01-01' AS y UNION ALL SELECT 2, 'say \"hi\", ok', E'two\\nlines\\r\\n', NULL, -1.5, false, NULL"
    )
    path = file_of(made(tmp_path, query, sinks=(Sink.CSV,), lineage=False).exported(), Sink.CSV)
    engine = sa.create_engine(postgres_url)
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        cursor.execute("CREATE TEMP TABLE r (n int, a text, b text, t timestamptz, d numeric(9,2), f boolean, y date)")
        with path.open(newline="") as file:
            cursor.copy_expert("COPY r FROM STDIN (FORMAT csv, HEADER)", file)
        cursor.execute("SELECT n, a, b, t AT TIME ZONE 'UTC', d, f, y FROM r ORDER BY n")
        found = cursor.fetchall()
    finally:
        connection.close()
        engine.dispose()
    assert found == [
        (1, None, "", dt.datetime(2024, 3, 31, 0, 30), Decimal("0.10"), True, dt.date(1, 1, 1)),
        (2, 'say "hi", ok', "two\nlines\r\n", None, Decimal("-1.50"), False, None),
    ]


def test_a_record_longer_than_a_block_of_the_parser_comes_back(tmp_path: Path) -> None:
    query = "SELECT repeat(E'\"x,\\n', 2000000) AS x UNION ALL SELECT 'y'"
    of = made(tmp_path, query, sinks=(Sink.CSV,))
    exported = of.exported()
    assert told(exported).verdict is Verdict.PASS, told(exported).findings
    assert [len(x) for x, *_ in exported_rows(of, exported, Sink.CSV)] == [8_000_000, 1]


def test_a_version_without_rows_has_exports_without_rows(tmp_path: Path) -> None:
    of = made(tmp_path, "SELECT 1 AS x WHERE false")
    exported = of.exported()
    assert told(exported).verdict is Verdict.PASS
    assert told(exported).measures["rows"] == 0
    assert exported_rows(of, exported, Sink.DUCKDB) == exported_rows(of, exported, Sink.CSV) == []
    assert file_of(exported, Sink.CSV).read_bytes() == b"x,_hg_source,_hg_record,_hg_segment\r\n"


def test_a_version_whose_every_drop_was_withdrawn_has_exports_without_rows(tmp_path: Path) -> None:
    of = made(tmp_path, "SELECT 1 AS x")
    empty = of.candidate.model_copy(update={"segments": (), "records": 0, "valid_rows": 0})
    exported = Made(empty, {}, of.folder, of.store).exported()
    assert told(exported).verdict is Verdict.PASS
    assert file_of(exported, Sink.CSV).read_bytes() == b"x,_hg_source,_hg_record,_hg_segment\r\n"


def test_columns_of_an_asset_need_no_lineage_and_one_column_of_nothing_is_a_row(tmp_path: Path) -> None:
    of = made(tmp_path, "SELECT NULL::VARCHAR AS only UNION ALL SELECT ''", lineage=False)
    exported = of.exported()
    assert told(exported).verdict is Verdict.PASS, told(exported).findings
    assert file_of(exported, Sink.CSV).read_bytes() == b'only\r\n\r\n""\r\n'


NESTED = {
    "a list": "[1, NULL, 3]",
    "a list of texts": "['a, b', '', NULL, '[x]', '\"']",
    "a struct": "{'a': 1, 'b': 'x, y'}",
    "a map": "MAP {'k, 1': 2}",
    "bytes": "'\\x00\\xFFab'::BLOB",
    "an interval": "INTERVAL '1 month 2 days 3 seconds'",
    "a UUID": "'00000000-0000-0000-0000-000000000001'::UUID",
    "an enum": "'b'::ENUM('a', 'b')",
}


@pytest.mark.parametrize("value", NESTED.values(), ids=NESTED.keys())
def test_what_an_asset_may_return_beside_what_contracts_know_comes_back_too(value: str, tmp_path: Path) -> None:
    of = made(tmp_path, f"SELECT {value} AS x")
    exported = of.exported()
    assert told(exported).verdict is Verdict.PASS, told(exported).findings
    from_csv, from_duckdb = (exported_rows(of, exported, sink) for sink in (Sink.CSV, Sink.DUCKDB))
    assert comparable(from_csv) == comparable(from_duckdb)


# ---- what is written -------------------------------------------------------------------------------------------------


def test_an_export_is_one_closed_file_for_reading_beside_its_index(tmp_path: Path) -> None:
    exported = made(tmp_path, "SELECT range AS n FROM range(5000)").exported()
    for export, name in zip(exported.candidate.exports, ("t.csv", "t.duckdb"), strict=True):
        path = path_of(exported.places, export)
        assert path.name == name
        assert {there.name for there in path.parent.iterdir()} == {INDEX, name}
        assert stat.S_IMODE(path.stat().st_mode) == 0o400
        assert (export.file.rows, export.file.size_bytes) == (5000, path.stat().st_size)


def test_a_database_says_whose_rows_it_has(tmp_path: Path) -> None:
    of = made(tmp_path, "SELECT 1 AS x", partition="2020-02-02")
    stamp = of.candidate.contract
    with attached(file_of(of.exported(), Sink.DUCKDB)) as connection:
        said = connection.execute("FROM hg_export._hg_version").fetchall()
    assert said == [("t", "2020-02-02", of.candidate.view_key, stamp.version, stamp.digest, 1)]


@pytest.mark.parametrize("rows", [duckdb_sink.SMALL_ROWS, duckdb_sink.SMALL_ROWS + 1])
def test_few_rows_take_little_room(rows: int, tmp_path: Path) -> None:
    exported = made(tmp_path, f"SELECT range AS n FROM range({rows})", sinks=(Sink.DUCKDB,)).exported()
    size = file_of(exported, Sink.DUCKDB).stat().st_size
    assert (size < 200_000) == (rows == duckdb_sink.SMALL_ROWS)


def test_where_parquet_is_all_nothing_is_exported_and_no_gate_speaks(tmp_path: Path) -> None:
    of = made(tmp_path, "SELECT 1 AS x", sinks=())
    exported = of.exported()
    assert (exported.candidate, exported.places, exported.receipts) == (of.candidate, of.places, ())


def test_what_another_gate_stops_is_exported_too_since_a_person_may_let_it_through(tmp_path: Path) -> None:
    # exporting knows nothing of other gates: a candidate is exported as it stands
    assert len(made(tmp_path, "SELECT 1 AS x").exported().candidate.exports) == 2


# ---- a writer that is wrong ------------------------------------------------------------------------------------------

Wrong = Callable[[str], str]
LIES: dict[str, Wrong] = {
    "a row lost": lambda query: f"SELECT * FROM ({query}) WHERE _hg_record <> 2",
    "a row twice": lambda query: f"SELECT * FROM ({query}) UNION ALL (SELECT * FROM ({query}) LIMIT 1)",
    "a row instead of another": lambda query: (
        f"SELECT * FROM ({query}) WHERE _hg_record <> 2 UNION ALL SELECT * FROM ({query}) WHERE _hg_record = 3"
    ),
    "a value changed": lambda query: f"SELECT * REPLACE (x + (_hg_record = 3)::BIGINT AS x) FROM ({query})",
    "NULL instead of a value": lambda query: f"SELECT * REPLACE (nullif(x, 2) AS x) FROM ({query})",
    "empty text instead of NULL": lambda query: f"SELECT * REPLACE (coalesce(y, '') AS y) FROM ({query})",
    "nothing at all": lambda query: f"SELECT * FROM ({query}) WHERE false",
    "a column too few": lambda query: f"SELECT * EXCLUDE (y) FROM ({query})",
    "columns in another order": lambda query: f"SELECT y, x, * EXCLUDE (x, y) FROM ({query})",
    "another source": lambda query: f"SELECT * REPLACE ('blake3:c' AS _hg_source) FROM ({query})",
}
THREE = "SELECT range AS x, nullif('t' || range, 't1') AS y FROM range(3)"


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
@pytest.mark.parametrize("sink", [Sink.CSV, Sink.DUCKDB])
def test_a_wrong_export_is_found_and_none_is_kept(
    sink: Sink, lie: Wrong, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_to_the_rows = exports._write_rows

    def write(store: ObjectStore, candidate: Any, rows: VersionRows, to: Sink, path: Path) -> None:
        wrong = VersionRows(rows.columns, lie(rows.query), rows.sources)
        true_to_the_rows(store, candidate, wrong if to is sink else rows, to, path)

    monkeypatch.setattr(exports, "_write_rows", write)
    of = made(tmp_path, THREE)
    exported = of.exported()
    receipt = told(exported)
    assert receipt.verdict is Verdict.FAIL
    assert exported.candidate.exports == ()
    assert exported.candidate == of.candidate
    assert [finding.subject for finding in receipt.findings] == [f"{sink} export"]
    assert "--force" in receipt.findings[0].fix
    assert receipt.findings[0].expected != receipt.findings[0].observed


def test_a_writer_that_gives_up_stops_the_version_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def give_up(*_: object) -> None:
        msg = "Conversion Error: no such thing"
        raise duckdb.ConversionException(msg)

    monkeypatch.setattr(exports, "_write_rows", give_up)
    exported = made(tmp_path, THREE).exported()
    assert told(exported).verdict is Verdict.FAIL
    assert exported.candidate.exports == ()
    assert told(exported).findings[0].observed == "ConversionException: Conversion Error: no such thing"


def test_a_full_disk_is_the_disks_fault_and_holds_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(*_: object) -> None:
        msg = 'IO Error: Could not write all bytes to file "x": wanted=4096 wrote=0: No space left on device'
        raise duckdb.IOException(msg)

    monkeypatch.setattr(exports, "_write_rows", fill)
    with pytest.raises(StoreError, match="Free some space and run it again: nothing was published"):
        made(tmp_path, THREE).exported()


def test_a_cancel_is_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cancelled(*_: object) -> None:
        msg = "INTERRUPT Error: Interrupted!"
        raise duckdb.InterruptException(msg)

    monkeypatch.setattr(exports, "_write_rows", cancelled)
    with pytest.raises(duckdb.InterruptException):
        made(tmp_path, THREE).exported()


# ---- an export that was altered --------------------------------------------------------------------------------------


@pytest.fixture
def whole(tmp_path: Path) -> tuple[Made, Exported]:
    of = made(tmp_path, THREE)
    return of, of.exported()


def altered_places(exported: Exported) -> Iterator[Path]:
    for export in exported.candidate.exports:
        path = path_of(exported.places, export)
        path.chmod(0o600)
        yield path


ALTERED: dict[str, Callable[[Path], object]] = {
    "one bit": lambda path: path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]),
    "its last byte": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "nothing left": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
    "a file more": lambda path: path.with_name("more").write_bytes(b""),
    "a log beside it": lambda path: path.with_name(f"{path.name}.wal").write_bytes(b""),
    "its index": lambda path: path.with_name(INDEX).write_bytes(path.with_name(INDEX).read_bytes() + b" "),
}


@pytest.mark.parametrize("alter", ALTERED.values(), ids=ALTERED.keys())
def test_an_altered_export_is_found(alter: Callable[[Path], object], whole: tuple[Made, Exported]) -> None:
    of, exported = whole
    assert [r.verdict for r in judge_sinks(exported.candidate, exported.places, of.store)] == [Verdict.PASS]
    for path in altered_places(exported):
        alter(path)
    (receipt,) = judge_sinks(exported.candidate, exported.places, of.store)
    assert receipt.verdict is Verdict.FAIL
    assert [finding.subject for finding in receipt.findings] == ["csv export", "duckdb export"]


def test_every_bit_of_a_csv_export_counts(whole: tuple[Made, Exported]) -> None:
    of, exported = whole
    path = file_of(exported, Sink.CSV)
    path.chmod(0o600)
    data = path.read_bytes()
    for position in range(len(data)):
        path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        (receipt,) = judge_sinks(exported.candidate, exported.places, of.store)
        assert receipt.verdict is Verdict.FAIL, position


def test_the_database_of_another_partition_is_found_though_it_has_the_same_rows(tmp_path: Path) -> None:
    of = made(tmp_path, THREE)
    other = made(tmp_path / "other", THREE, view_key=of.candidate.view_key, partition="2020-01-02")
    exported, others = of.exported(), other.exported()
    mine, theirs = exported.candidate.exports, others.candidate.exports
    swapped = exported.candidate.model_copy(update={"exports": (mine[0], theirs[1])})
    (receipt,) = judge_sinks(swapped, {**exported.places, **others.places}, of.store)
    assert receipt.verdict is Verdict.FAIL
    assert "it says that it holds" in receipt.findings[0].observed


def test_a_database_with_a_table_more_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = duckdb_sink.write_database

    def write_more(store: ObjectStore, candidate: Any, rows: VersionRows, path: Path) -> None:
        write(store, candidate, rows, path)
        with duckdb.connect(str(path)) as connection:
            connection.execute("CREATE TABLE surplus AS SELECT 1 AS x")

    monkeypatch.setattr(duckdb_sink, "write_database", write_more)
    receipt = told(made(tmp_path, THREE).exported())
    assert receipt.verdict is Verdict.FAIL
    assert "it has the tables _hg_version, surplus, t" in receipt.findings[0].observed


def test_a_csv_that_is_cut_in_a_quoted_field_does_not_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = csv_sink.write_csv

    def cut(store: ObjectStore, rows: VersionRows, path: Path) -> None:
        write(store, rows, path)
        path.write_bytes(path.read_bytes().rpartition(b'"')[0])

    monkeypatch.setattr(exports, "write_csv", cut)
    receipt = told(made(tmp_path, "SELECT 'a,b' AS x").exported())
    assert receipt.verdict is Verdict.FAIL
    assert receipt.findings[0].subject == "csv export"


def test_a_promised_export_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    of = made(tmp_path, THREE)
    (receipt,) = judge_sinks(of.candidate, of.places, of.store)
    assert receipt.verdict is Verdict.FAIL
    assert [(f.subject, f.observed) for f in receipt.findings] == [
        ("csv export", "no file"),
        ("duckdb export", "no file"),
    ]


def test_segments_that_cannot_be_read_give_no_verdict(whole: tuple[Made, Exported]) -> None:
    of, exported = whole
    (entry,) = of.candidate.segments
    shutil.rmtree(Path(of.places[entry.content].source("valid.parquet")).parent)
    (receipt,) = judge_sinks(exported.candidate, exported.places, of.store)
    assert receipt.verdict is Verdict.UNKNOWN


def test_what_python_makes_of_the_values_is_what_was_meant(tmp_path: Path) -> None:
    query = f"SELECT {MIDNIGHT} AS moment, 0.10::DECIMAL(12,2) AS amount, DATE '2024-02-29' AS day"
    of = made(tmp_path, query)
    exported = of.exported()
    for sink in (Sink.CSV, Sink.DUCKDB):
        ((moment, amount, day, *_),) = exported_rows(of, exported, sink)
        assert moment.astimezone(dt.UTC) == dt.datetime(2024, 3, 31, 0, 30, tzinfo=dt.UTC)
        assert (amount, day) == (Decimal("0.10"), dt.date(2024, 2, 29))
