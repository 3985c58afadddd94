"""Questions over published tables: what is seen, what is refused, and in which words it is answered."""

import csv
import io
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.errors import QueryError, UsageError
from resources.query_engine import (
    PublishedPart,
    PublishedTable,
    QueryEngine,
    plain_text,
    write_csv,
    write_json,
    write_parquet,
    write_table,
)

LINEAGE = {"_hg_source": "VARCHAR", "_hg_record": "BIGINT", "_hg_segment": "VARCHAR"}
COLUMNS = {"carrier": "VARCHAR", "delay": "BIGINT"} | LINEAGE


def part_of(
    folder: Path, rows: list[tuple[str | None, int | None]], *, source: str = "s", extra: dict[str, Any] | None = None
) -> PublishedPart:
    """One Parquet file of `carrier` and `delay`, records numbered from 1."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"valid-{source}.parquet"
    table = {
        "carrier": pa.array([row[0] for row in rows], pa.string()),
        "delay": pa.array([row[1] for row in rows], pa.int64()),
        **(extra or {}),
        "_hg_source": pa.array([source] * len(rows), pa.string()),
        "_hg_record": pa.array(range(1, len(rows) + 1), pa.int64()),
        "_hg_segment": pa.array([f"g-{source}"] * len(rows), pa.string()),
    }
    pq.write_table(pa.table(table), path)
    return PublishedPart((str(path),), COLUMNS)


@pytest.fixture
def flights(tmp_path: Path) -> PublishedTable:
    first = part_of(tmp_path / "carrier=YY", [("AA", 1), ("UA", 61), (None, None)], source="s1")
    second = part_of(tmp_path / "carrier=ZZ", [("AA", 2)], source="s2")
    return PublishedTable("flights", (first, second), COLUMNS)


@pytest.fixture
def engine() -> QueryEngine:
    return QueryEngine(memory_limit_bytes=256 << 20, threads=2)


def ask(engine: QueryEngine, sql: str, *tables: PublishedTable) -> list[tuple[Any, ...]]:
    with engine.run(sql, tables) as result:
        return list(result.rows())


# --- what is seen ----------------------------------------------------------------------------------------------------


def test_a_table_is_all_its_parts(engine: QueryEngine, flights: PublishedTable) -> None:
    rows = ask(engine, "SELECT carrier, delay, _hg_source, _hg_record FROM flights ORDER BY ALL", flights)
    assert rows == [("AA", 1, "s1", 1), ("AA", 2, "s2", 1), ("UA", 61, "s1", 2), (None, None, "s1", 3)]


def test_a_folder_with_an_equals_sign_adds_and_changes_no_column(engine: QueryEngine, flights: PublishedTable) -> None:
    with engine.run("FROM flights", [flights]) as result:
        assert [(column.name, column.type) for column in result.columns] == list(COLUMNS.items())


def test_names_are_compared_without_case(engine: QueryEngine, flights: PublishedTable) -> None:
    assert ask(engine, "SELECT count(*) FROM Flights", flights) == [(4,)]


def test_a_table_without_parts_is_empty_with_its_columns(engine: QueryEngine) -> None:
    nothing = PublishedTable("nothing", (), COLUMNS)
    with engine.run("FROM nothing", [nothing]) as result:
        assert [(column.name, column.type) for column in result.columns] == list(COLUMNS.items())
        assert list(result.rows()) == []
    no_files = PublishedTable("nothing", (PublishedPart((), COLUMNS),), COLUMNS)
    assert ask(engine, "SELECT count(*) FROM nothing", no_files) == [(0,)]


def test_older_parts_lack_new_columns_and_keep_dropped_ones_to_themselves(engine: QueryEngine, tmp_path: Path) -> None:
    old = part_of(tmp_path, [("AA", 1)], source="old", extra={"gate": pa.array(["B7"])})
    old = PublishedPart(old.files, {"carrier": "VARCHAR", "delay": "BIGINT", "gate": "VARCHAR"} | LINEAGE)
    new = part_of(tmp_path, [("UA", 2)], source="new", extra={"tail": pa.array(["N1"])})
    new = PublishedPart(new.files, {"carrier": "VARCHAR", "delay": "BIGINT", "tail": "VARCHAR"} | LINEAGE)
    table = PublishedTable(
        "flights", (old, new), {"tail": "VARCHAR", "delay": "INTEGER", "carrier": "VARCHAR"} | LINEAGE
    )
    rows = ask(engine, "SELECT * EXCLUDE (_hg_source, _hg_record, _hg_segment) FROM flights ORDER BY carrier", table)
    assert rows == [(None, 1, "AA"), ("N1", 2, "UA")]
    with pytest.raises(QueryError, match="gate"):
        ask(engine, "SELECT gate FROM flights", table)


def test_rows_in_the_overlay_are_left_out_of_their_part_alone(engine: QueryEngine, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.parquet"
    pq.write_table(pa.table({"_hg_source": ["s"], "_hg_record": pa.array([2], pa.int64())}), overlay)
    here = part_of(tmp_path / "one", [("AA", 1), ("UA", 2)])
    same_drop_elsewhere = part_of(tmp_path / "two", [("AA", 1), ("UA", 2)])
    with_overlay = PublishedPart(here.files, COLUMNS, (str(overlay),))
    table = PublishedTable("flights", (with_overlay, same_drop_elsewhere), COLUMNS)
    assert ask(engine, "SELECT carrier FROM flights ORDER BY carrier", table) == [("AA",), ("AA",), ("UA",)]


def test_only_the_tables_that_are_named_are_opened(engine: QueryEngine, flights: PublishedTable) -> None:
    broken = PublishedTable("trains", (PublishedPart(("/nowhere/x.parquet",), COLUMNS),), COLUMNS)
    assert ask(engine, "SELECT count(*) FROM flights", flights, broken) == [(4,)]
    assert ask(engine, "WITH trains AS (SELECT 1) SELECT count(*) FROM trains", flights, broken) == [(1,)]


def test_everything_broken_that_is_named_is_told_at_once(engine: QueryEngine, flights: PublishedTable) -> None:
    trains = PublishedTable("trains", (PublishedPart(("/nowhere/x.parquet",), COLUMNS),), COLUMNS)
    with pytest.raises(QueryError) as caught:
        engine.run("FROM flights, trains, ships", [flights, trains], {"ships": "its newest commit is damaged"})
    assert caught.value.evidence["tables"] == {
        "ships": "its newest commit is damaged",
        "trains": "its published files do not open; `hashgate verify trains` says which",
    }
    assert "nowhere" not in str(caught.value)
    assert ask(engine, "SELECT count(*) FROM flights", flights, trains) == [(4,)]


def test_describe_and_summarize(engine: QueryEngine, flights: PublishedTable) -> None:
    described = ask(engine, "DESCRIBE flights", flights)
    assert [(row[0], row[1]) for row in described] == list(COLUMNS.items())
    assert len(ask(engine, "SUMMARIZE flights", flights)) == len(COLUMNS)


def test_times_are_in_utc(engine: QueryEngine) -> None:
    assert ask(engine, "SELECT CAST(TIMESTAMPTZ '2013-07-01 12:00:00+02' AS VARCHAR)") == [("2013-07-01 10:00:00+00",)]


def test_times_are_in_utc_whatever_the_machine_says(engine: QueryEngine) -> None:
    with engine.run("SELECT TIMESTAMPTZ '2013-07-01 12:00:00+02' AS t", []) as result:
        assert result.schema.field("t").type.tz == "UTC"


def test_an_answer_is_read_as_it_is_made(engine: QueryEngine) -> None:
    with engine.run("SELECT * FROM range(50_000_000)", []) as result:
        started = time.monotonic()
        first = next(result.batches())
        assert 0 < first.num_rows == result.row_count < 1_000_000
        assert time.monotonic() - started < 5


def test_a_question_works_while_another_is_open(engine: QueryEngine, flights: PublishedTable) -> None:
    with engine.run("FROM flights", [flights]) as one, engine.run("FROM flights", [flights]) as two:
        assert len(list(one.rows())) == len(list(two.rows())) == 4


@pytest.mark.parametrize("count", [1781])
def test_thousands_of_parts_stay_quick(engine: QueryEngine, tmp_path: Path, count: int) -> None:
    one = Path(part_of(tmp_path, [("AA", 1)] * 21).files[0])
    data = one.read_bytes()
    files = [tmp_path / f"{number}.parquet" for number in range(count)]
    for file in files:
        file.write_bytes(data)
    table = PublishedTable("flights", tuple(PublishedPart((str(file),), COLUMNS) for file in files), COLUMNS)
    started = time.monotonic()
    assert ask(engine, "SELECT count(*), sum(delay) FROM flights", table) == [(21 * count, 21 * count)]
    assert time.monotonic() - started < 10, "half a second on two idle cores"


# --- what is refused -------------------------------------------------------------------------------------------------

HOSTILE = {
    "nothing": "",
    "two statements": "SELECT 1; SELECT 2",
    "drop view": "DROP VIEW flights",
    "create table": "CREATE TABLE t (a INT)",
    "create view": "CREATE VIEW v AS FROM read_csv('{secret}')",
    "create macro": "CREATE MACRO m() AS TABLE FROM read_text('{secret}')",
    "create secret": "CREATE SECRET s (TYPE s3)",
    "insert": "INSERT INTO flights VALUES (1)",
    "update": "UPDATE flights SET delay = 0",
    "delete": "DELETE FROM flights",
    "copy out": "COPY flights TO '{target}'",
    "copy over a published file": "COPY flights TO '{published}'",
    "copy in": "COPY flights FROM '{secret}'",
    "copy in a with": "WITH x AS (COPY flights TO '{target}') FROM x",
    "copy over a published file in a with": "WITH x AS (COPY (SELECT 1) TO '{published}') FROM x",
    "delete in a with": "WITH x AS (DELETE FROM flights RETURNING *) FROM x",
    "export": "EXPORT DATABASE '{target}'",
    "import": "IMPORT DATABASE '{target}'",
    "attach": "ATTACH '{target}' AS x",
    "attach a web address": "ATTACH 'https://example.org/x.db' AS x",
    "detach": "DETACH memory",
    "use": "USE temp",
    "install": "INSTALL httpfs",
    "load": "LOAD httpfs",
    "set": "SET enable_external_access = true",
    "set lock": "SET lock_configuration = false",
    "set in a with": "WITH x AS (SET threads = 1) FROM x",
    "reset": "RESET allowed_paths",
    "variable": "SET VARIABLE v = 1",
    "pragma": "PRAGMA database_list",
    "call": "CALL pragma_version()",
    "explain analyze": "EXPLAIN ANALYZE FROM flights",
    "prepare": "PREPARE p AS SELECT 1",
    "execute": "EXECUTE p",
    "begin": "BEGIN TRANSACTION",
    "checkpoint": "CHECKPOINT",
    "vacuum": "VACUUM",
    "analyze": "ANALYZE",
    "comment on": "COMMENT ON VIEW flights IS 'x'",
    "alter": "ALTER VIEW flights RENAME TO x",
    "show": "SHOW TABLES",
    "pivot that creates a type": "PIVOT flights ON carrier USING count(*)",
    "file": "FROM '{secret}'",
    "published file by its path": "FROM '{published}'",
    "published file by function": "FROM read_parquet('{published}')",
    "published file's metadata": "FROM parquet_metadata('{published}')",
    "read_csv": "FROM read_csv('{secret}')",
    "read_text": "FROM read_text('{secret}')",
    "read_blob": "SELECT (SELECT content FROM read_blob('{secret}'))",
    "read_json": "FROM flights, LATERAL (FROM read_json('{secret}'))",
    "glob": "FROM glob('/*')",
    "sniff": "FROM sniff_csv('{secret}')",
    "file in exists": "SELECT 1 WHERE EXISTS (FROM '{secret}')",
    "file as a quoted name": 'FROM "{secret}"',
    "file hidden by a with elsewhere": 'FROM (WITH "{secret}" AS (SELECT 1) FROM "{secret}"), "{secret}"',
    "query": "FROM query('FROM read_text(''{secret}'')')",
    "query_table": "FROM query_table('{secret}')",
    "serialized": "FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "settings": "FROM duckdb_settings()",
    "secrets": "FROM duckdb_secrets()",
    "views": "FROM duckdb_views()",
    "information schema": "FROM information_schema.tables",
    "catalogue": "FROM pg_catalog.pg_views",
    "master": "FROM sqlite_master",
    "environment": "SELECT getenv('HOME')",
    "setting": "SELECT current_setting('allowed_paths')",
    "own text": "SELECT current_query()",
    "sleep": "SELECT sleep_ms(100000)",
    "parameter": "SELECT $1",
    "python variable": "FROM local_frame",
    "python module": "FROM pa",
    "unknown column": "SELECT nothing FROM flights",
    "virtual column": "SELECT filename FROM flights",
    "row number in the file": "SELECT file_row_number FROM flights",
    "failing cast": "SELECT CAST(carrier AS INTEGER) FROM flights",
    "overflow": "SELECT CAST(300 AS TINYINT)",
    "deep": "SELECT " + "(" * 5_000 + "1" + ")" * 5_000,
}


@pytest.mark.parametrize("sql", HOSTILE.values(), ids=HOSTILE)
def test_hostile_questions(engine: QueryEngine, flights: PublishedTable, tmp_path: Path, sql: str) -> None:
    local_frame = pa.table({"a": [1]})
    secret = tmp_path / "secret-place.csv"
    secret.write_text("a\nhunter2\n")
    published = flights.parts[0].files[0]
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    paths = {"secret": secret, "published": published, "target": tmp_path / "target"}
    with pytest.raises(QueryError) as caught:
        ask(engine, re.sub(r"\{(\w+)\}", lambda found: str(paths[found[1]]), sql), flights)
    message = str(caught.value)
    assert caught.value.exit_code == 2
    assert len(message) > 40
    assert "hunter2" not in message
    assert "LINE 1" not in message
    assert str(tmp_path) not in message
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert local_frame.num_rows == 1


LOCKED = [
    "FROM read_text('{secret}')",
    "FROM '{secret}'",
    "COPY (SELECT 1) TO '{target}'",
    "ATTACH '{target}'",
    "SET enable_external_access = true",
    "SET allowed_paths = ['/']",
    "SET GLOBAL lock_configuration = false",
    "LOAD httpfs",
    "INSTALL httpfs",
    "FROM glob('/*')",
    "FROM local_frame",
    "CREATE PERSISTENT SECRET s (TYPE s3)",
]


@pytest.mark.parametrize("sql", LOCKED)
def test_the_lock_holds_even_without_the_guard(
    engine: QueryEngine, flights: PublishedTable, tmp_path: Path, sql: str
) -> None:
    """The second defence alone: what the parser would let through by mistake still reaches nothing."""
    local_frame = pa.table({"a": [1]})
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    connection = engine._connect([path for part in flights.parts for path in part.files])
    with pytest.raises(duckdb.Error):
        connection.execute(sql.format(secret=secret, target=tmp_path / "target")).fetchall()
    connection.close()
    assert not (tmp_path / "target").exists()
    assert local_frame.num_rows == 1


def test_an_error_repeats_no_constant_and_no_path(engine: QueryEngine, flights: PublishedTable) -> None:
    for sql in (
        "SELECT CAST('hunter2-secret' AS INTEGER)",
        "SELECT strptime('2013', 'hunter2-secret%Q')",
        "SELECT regexp_matches('x', 'hunter2-secret(')",
        "SELECT CAST(carrier || 'hunter2-secret' AS DATE) FROM flights",
        "SELECT error('hunter2-secret /etc/passwd')",
    ):
        with pytest.raises(QueryError) as caught:
            ask(engine, sql, flights)
        assert "hunter2" not in str(caught.value)
        assert "/etc" not in str(caught.value)
        assert str(caught.value).startswith("the query failed: ")


def test_a_file_that_vanishes_or_breaks_is_told_without_its_path(engine: QueryEngine, tmp_path: Path) -> None:
    parts = [part_of(tmp_path, [("AA", 1)] * 100, source=name) for name in ("a", "b")]
    table = PublishedTable("flights", tuple(parts), COLUMNS)
    Path(parts[1].files[0]).write_bytes(b"PAR1 not really PAR1")
    with pytest.raises(QueryError) as caught:
        ask(engine, "FROM flights", table)
    assert str(tmp_path) not in str(caught.value)
    Path(parts[1].files[0]).unlink()
    with pytest.raises(QueryError) as caught:
        ask(engine, "FROM flights", table)
    assert str(tmp_path) not in str(caught.value)
    assert "hashgate verify" in str(caught.value)


def test_a_failure_half_way_is_a_query_error(engine: QueryEngine) -> None:
    sql = "SELECT CASE WHEN i = 900_000 THEN error('boom') ELSE i END AS x FROM range(1_000_000) t(i)"
    with engine.run(sql, []) as result, pytest.raises(QueryError, match="the query failed"):
        list(result.batches())


def test_time_is_limited(flights: PublishedTable) -> None:
    engine = QueryEngine(timeout_s=0.3)
    started = time.monotonic()
    with pytest.raises(QueryError, match="maximum execution time"):
        ask(
            engine,
            "SELECT count(*) FROM range(10_000_000_000) a, range(1000) b WHERE a.range % 7 = b.range % 11",
            flights,
        )
    assert time.monotonic() - started < 10


def test_memory_is_limited(flights: PublishedTable) -> None:
    engine = QueryEngine(memory_limit_bytes=64 << 20)
    with pytest.raises(QueryError, match=r"[Mm]emory|allocate"):
        ask(engine, "SELECT count(DISTINCT repeat(CAST(i AS VARCHAR), 50)) FROM range(10_000_000) t(i)", flights)


def test_with_a_folder_to_spill_to_more_fits(tmp_path: Path) -> None:
    engine = QueryEngine(memory_limit_bytes=128 << 20, temporary_folder=str(tmp_path), threads=2)
    sql = "SELECT count(*) FROM (SELECT i FROM range(4_000_000) t(i) ORDER BY hash(i), repeat('x', 40) || i)"
    assert ask(engine, sql) == [(4_000_000,)]


# --- how it is answered ----------------------------------------------------------------------------------------------


def written(engine: QueryEngine, sql: str, write: Callable[..., None], *tables: PublishedTable, **options: Any) -> str:
    out = io.StringIO()
    with engine.run(sql, tables) as result:
        write(result, out, **options)
    return out.getvalue()


EVERYTHING = """
SELECT TRUE AS b, 1::TINYINT AS t, 9223372036854775807 AS i, sum(1)::HUGEINT AS h, 1.50::DECIMAL(9, 2) AS d,
  0.1::DOUBLE AS x, 'a "quote", a line\nand \x1b[31mred' AS s, '' AS e, NULL AS n, DATE '2013-11-23' AS day,
  TIME '17:45:00.5' AS clock, TIMESTAMP '2013-11-23 17:45:00' AS ts, TIMESTAMPTZ '2013-11-23 17:45:00+01' AS tz,
  [1, NULL] AS l, {'a': 1, 'b': 'x'} AS r, MAP {'k': 1.5} AS m, '{"j": 1}'::JSON AS j
"""


def test_json(engine: QueryEngine) -> None:
    text = written(engine, EVERYTHING, write_json)
    document = json.loads(text, parse_float=str)
    assert document["row_count"] == 1
    assert document["columns"][:5] == [
        {"name": "b", "type": "BOOLEAN"},
        {"name": "t", "type": "TINYINT"},
        {"name": "i", "type": "BIGINT"},
        {"name": "h", "type": "HUGEINT"},
        {"name": "d", "type": "DECIMAL(9,2)"},
    ]
    assert document["rows"] == [
        [
            True, 1, 9223372036854775807, 1, "1.50", "0.1", 'a "quote", a line\nand \x1b[31mred', "", None,
            "2013-11-23",
            "17:45:00.500000", "2013-11-23T17:45:00", "2013-11-23T16:45:00+00:00", [1, None], {"a": 1, "b": "x"},
            [["k", "1.5"]], '{"j": 1}',
        ]
    ]  # fmt: skip
    assert "\x1b" not in text


def test_json_of_nothing_and_of_many(engine: QueryEngine) -> None:
    assert json.loads(written(engine, "SELECT 1 AS a WHERE FALSE", write_json)) == {
        "columns": [{"name": "a", "type": "INTEGER"}],
        "rows": [],
        "row_count": 0,
    }
    many = json.loads(written(engine, "SELECT i FROM range(25_000) t(i) ORDER BY i", write_json))
    assert many["rows"] == [[i] for i in range(25_000)]
    assert many["row_count"] == 25_000


UNENCODABLE = {
    "not a number": "SELECT 'NaN'::DOUBLE AS x",
    "infinity": "SELECT '-inf'::FLOAT AS x",
    "not a number in a list": "SELECT ['NaN'::DOUBLE] AS x",
    "bytes": "SELECT 'a'::BLOB AS x",
    "date without end": "SELECT 'infinity'::DATE AS x",
    "date after 9999": "SELECT DATE '10000-01-01' AS x",
}
INEXACT = {
    "zone on a time": "SELECT '12:00:00+02'::TIMETZ AS x",
    "nanoseconds": "SELECT TIME_NS '10:00:00.123456789' AS x",
    "nanoseconds in a struct": "SELECT {'a': [TIME_NS '10:00:00.123456789']} AS x",
    "nanoseconds in a map": "SELECT MAP {1: TIME_NS '10:00:00.123456789'} AS x",
    "unsigned huge": "SELECT 340282366920938463463374607431768211455::UHUGEINT AS x",
    "bits": "SELECT '101'::BIT AS x",
    "interval": "SELECT INTERVAL 1 MONTH AS x",
    "union": "SELECT union_value(k := 1) AS x",
    "variant": "SELECT 1::VARIANT AS x",
}


@pytest.mark.parametrize("sql", (UNENCODABLE | INEXACT).values(), ids=UNENCODABLE | INEXACT)
def test_what_json_cannot_say_is_an_error(engine: QueryEngine, sql: str) -> None:
    with pytest.raises(
        QueryError, match=r'column "x" cannot be handed over: .* Write CAST\(... AS VARCHAR\)'
    ) as caught:
        written(engine, sql, write_json)
    assert caught.value.evidence["column"] == "x"
    as_text = json.loads(
        written(engine, sql.replace("SELECT ", "SELECT CAST(").replace(" AS x", " AS VARCHAR) AS x"), write_json)
    )
    assert as_text["row_count"] == 1


@pytest.mark.parametrize("sql", INEXACT.values(), ids=INEXACT)
def test_what_arrow_would_change_is_refused_in_every_format(engine: QueryEngine, sql: str) -> None:
    with pytest.raises(QueryError, match="cannot be handed over: its type"):
        engine.run(sql, [])


def test_csv(engine: QueryEngine) -> None:
    text = written(engine, EVERYTHING, write_csv)
    [header, row] = list(csv.reader(io.StringIO(text)))
    assert header[:3] == ["b", "t", "i"]
    assert row == [
        "true", "1", "9223372036854775807", "1", "1.50", "0.1", 'a "quote", a line\nand \x1b[31mred', "", "",
        "2013-11-23",
        "17:45:00.500000", "2013-11-23 17:45:00", "2013-11-23 16:45:00+00:00", "[1,null]", '{"a":1,"b":"x"}',
        '[["k",1.5]]', '{"j": 1}',
    ]  # fmt: skip


def test_csv_tells_empty_text_from_null(engine: QueryEngine) -> None:
    assert written(engine, "SELECT NULL AS a, '' AS b, 'NaN'::DOUBLE AS c", write_csv) == 'a,b,c\n,"",nan\n'
    with pytest.raises(QueryError, match="bytes"):
        written(engine, "SELECT 'a'::BLOB AS x", write_csv)


def test_table(engine: QueryEngine) -> None:
    sql = "SELECT * FROM (VALUES (1, 'short', NULL), (20, repeat('x', 70), '\u65e5\u672c')) AS v(n, \"a b\", c)"
    long = "x" * 59 + "\u2026"
    assert written(engine, sql, write_table).splitlines() == [
        "n   a b" + " " * 57 + "  c",
        "--  " + "-" * 60 + "  ----",
        "1   short" + " " * 55 + "  NULL",
        f"20  {long}  \u65e5\u672c",
        "(2 rows)",
    ]


def test_a_table_shows_the_first_rows_and_counts_all(engine: QueryEngine) -> None:
    lines = written(engine, "SELECT i FROM range(25_000) t(i) ORDER BY i", write_table, shown_rows=3).splitlines()
    assert lines == ["i", "-", "0", "1", "2", "(25,000 rows, the first 3 shown)"]
    assert written(engine, "SELECT 1 AS i", write_table).splitlines()[-1] == "(1 row)"


def test_a_terminal_obeys_no_value_and_no_name(engine: QueryEngine) -> None:
    sql = "SELECT chr(27) || ']0;owned' || chr(7) || chr(10) || '\u202eevil' AS \"na\x1b[2Jme\""
    text = written(engine, sql, write_table)
    assert "na\\x1b[2Jme" in text
    assert "\\x1b]0;owned\\x07\\n\\u202eevil" in text
    assert all(character.isprintable() or character == "\n" for character in text)


@given(st.text())
def test_plain_text_is_printable(text: str) -> None:
    assert plain_text(text).isprintable()


def test_parquet(engine: QueryEngine, flights: PublishedTable, tmp_path: Path) -> None:
    path = tmp_path / "answer.parquet"
    with engine.run(
        "SELECT carrier, delay, TIMESTAMPTZ '2013-01-01 00:00:00Z' AS at_utc FROM flights ORDER BY ALL", [flights]
    ) as r:
        write_parquet(r, path)
    with duckdb.connect() as connection:
        rows = connection.execute(f"SELECT carrier, delay, epoch(at_utc) FROM '{path}'").fetchall()
    assert [row[:2] for row in rows] == [("AA", 1), ("AA", 2), ("UA", 61), (None, None)]
    assert rows[0][2] == 1356998400


def test_parquet_replaces_nothing_and_leaves_nothing_half_written(engine: QueryEngine, tmp_path: Path) -> None:
    path = tmp_path / "answer.parquet"
    path.write_bytes(b"mine")
    with engine.run("SELECT 1 AS a", []) as result, pytest.raises(UsageError, match="exists already"):
        write_parquet(result, path)
    assert path.read_bytes() == b"mine"
    failing = "SELECT CASE WHEN i = 900_000 THEN error('boom') ELSE i END AS x FROM range(1_000_000) t(i)"
    with engine.run(failing, []) as result, pytest.raises(QueryError):
        write_parquet(result, tmp_path / "half.parquet")
    assert not (tmp_path / "half.parquet").exists()
    with engine.run("SELECT 1 AS a", []) as result, pytest.raises(UsageError, match="cannot be created"):
        write_parquet(result, tmp_path / "missing" / "answer.parquet")
    with engine.run("SELECT 1 AS a, 2 AS a", []) as result, pytest.raises(QueryError, match="same name"):
        write_parquet(result, tmp_path / "twice.parquet")
    assert not (tmp_path / "twice.parquet").exists()


@pytest.fixture(scope="module")
def shared_engine() -> QueryEngine:
    return QueryEngine(memory_limit_bytes=128 << 20, threads=1)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(st.none() | st.text(st.characters(codec="utf-8")), st.none() | st.integers(-(2**63), 2**63 - 1))
    )
)
def test_json_and_csv_say_what_is_in_the_files(
    shared_engine: QueryEngine, tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str | None, int | None]]
) -> None:
    table = PublishedTable("flights", (part_of(tmp_path_factory.mktemp("p"), rows),), COLUMNS)
    sql = "SELECT carrier, delay FROM flights ORDER BY _hg_record"
    document = json.loads(written(shared_engine, sql, write_json, table))
    assert [tuple(row) for row in document["rows"]] == rows
    text = io.StringIO(written(shared_engine, sql, write_csv, table), newline="")
    expected = [["" if cell is None else str(cell) for cell in row] for row in rows]
    assert list(csv.reader(text))[1:] == expected
