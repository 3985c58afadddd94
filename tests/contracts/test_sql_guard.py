"""What people's SQL may do, tried as somebody would who wants it to do more."""

import pickle

import duckdb
import pytest

from contracts.sql_guard import (
    MAX_SQL_CHARACTERS,
    UnsafeSqlError,
    check_reader_query,
    check_row_expression,
    check_set_query,
    columns_used,
    literals,
    tables_read,
)

COLUMNS = {
    "a": "BIGINT",
    "b": "BIGINT",
    "Name": "VARCHAR",
    "day": "DATE",
    "moment": "TIMESTAMP WITH TIME ZONE",
    "x": "DOUBLE",
    "doc": "JSON",
    "order": "INTEGER",
}
TABLES = ("flights", "Airports")

ROW_EXPRESSIONS = {
    "comparison": "a <= b",
    "comment at the end": "a <= b -- as the airline says",
    "block comment": "a /* arrival */ <= b",
    "names in any case": "NAME LIKE 'x%' AND A > 0",
    "reserved word quoted": '"order" > 0',
    "constant date": "day >= DATE '2013-01-01'",
    "part of a date": "extract(year FROM day) = 2013",
    "pattern": "regexp_full_match(name, '[A-Z]{3}')",
    "text with a bracket in it": "name <> ')'",
    "dollar quotes": "name <> $$)$$",
    "lambda": "list_sum(list_transform([a, b], lambda z: z + a)) > 1",
    "list comprehension": "[z FOR z IN [a, b] IF z > 0] = [1]",
    "case": "CASE WHEN a > 1 THEN b > 1 ELSE NULL END",
    "macro that is a function of its arguments": "nullif(a, b) IS NULL",
    "zone named": "moment AT TIME ZONE 'Europe/Rome' > TIMESTAMP '2013-01-01 00:00:00'",
    "json": "doc->>'kind' = 'x'",
    "method": "name.upper() = 'X'",
    "distinct from": "a IS NOT DISTINCT FROM b",
    "several lines": "a > 0\n  AND b > 0",
}


@pytest.mark.parametrize("expression", ROW_EXPRESSIONS.values(), ids=ROW_EXPRESSIONS)
def test_row_expressions_that_are_allowed(expression: str) -> None:
    check_row_expression(expression, COLUMNS)


BAD_ROW_EXPRESSIONS = {
    "empty": ("", "does not parse"),
    "only a comment": ("-- a > b", "does not parse"),
    "unknown column": ("a <= c", 'no column "c"'),
    "qualified name": ("a.b > 1", "qualified"),
    "unclosed comment": ("a > b /*", "unterminated /* comment at line 1, column 7"),
    "place in several lines": ("a\n > b c", "line 2, column 6"),
    "two expressions": ("a > 0, b > 0", "not one expression"),
    "semicolon": ("a > b;", "does not parse"),
    "second statement": ("a > b; DROP TABLE t", "2 statements"),
    "bracket that closes ours": ("a > 0) OR (TRUE", "does not parse"),
    "whole query": ("a > b FROM t", "does not parse"),
    "order by": ("a > b ORDER BY 1", "does not parse"),
    "union": ("TRUE UNION SELECT TRUE", "whole query"),
    "name for the result": ("a > b AS c", "does not parse"),
    "subquery": ("a = (SELECT 1)", "a subquery"),
    "exists": ("EXISTS (SELECT 1)", "a subquery"),
    "file in a subquery": ("a IN (SELECT 1 FROM read_csv('/etc/passwd'))", "a subquery"),
    "aggregate": ("sum(a) > 1", '"sum" is an aggregate'),
    "window": ("row_number() OVER () = 1", "a window function"),
    "star": ("*", "a star"),
    "columns expression": ("COLUMNS('a') > 1", "a star"),
    "parameter": ("a > $1", "a parameter"),
    "column by position": ("#1 > 0", "a column by position"),
    "default": ("DEFAULT", "DEFAULT is not allowed"),
    "chance": ("random() > 0.5", '"random" is not allowed in a rule'),
    "chance in capitals": ("RANDOM() > 0.5", '"random" is not allowed in a rule'),
    "clock": ("moment < now()", '"now" is not allowed'),
    "clock without brackets": ("day < current_date", 'no column "current_date"'),
    "clock behind JSON's arrow": ("(current_date -> '$') IS NOT NULL", 'no column "current_date"'),
    "clock called consistent": ("current_localtimestamp() > moment", '"current_localtimestamp" is not allowed'),
    "clock inside age": ("age(day) > INTERVAL 1 DAY", '"age" is not allowed'),
    "macro over the clock": ("ago(INTERVAL 1 DAY) < moment", '"ago" is not allowed'),
    "setting": ("current_setting('threads') = '1'", '"current_setting" is not allowed'),
    "variable": ("getvariable('v') = 1", '"getvariable" is not allowed'),
    "sequence": ("nextval('s') > 0", '"nextval" is not allowed'),
    "version": ("version() = 'v2'", '"version" is not allowed'),
    "environment": ("getenv('HOME') = 'x'", 'no function "getenv"'),
    "file": ("read_text('/etc/passwd') = 'x'", 'no function "read_text"'),
    "aggregate by name": ("list_aggregate([a], 'reservoir_quantile') > 1", '"list_aggregate" is not allowed'),
    "many rows": ("unnest([TRUE])", '"unnest" is not allowed'),
    "sleeping": ("pg_sleep(9) IS NULL", '"pg_sleep" is not allowed'),
    "number": ("a + b", "BIGINT and not BOOLEAN"),
    "text": ("name", "VARCHAR and not BOOLEAN"),
    "wrong types": ("name.no_such_function()", 'no function "no_such_function"'),
    "old arrow lambda": ("list_filter([a], z -> z > 0) = []", 'no column "z"'),
    "lambda's name outside it": ("list_sum(list_transform([a], lambda z: z)) > z", 'no column "z"'),
    "NUL": ("a > 0\0", "NUL"),
    "half a surrogate pair": ("name = '\ud800'", "not valid Unicode"),
    "too long": ("a > 0 AND " * 20_000 + "TRUE", f"longer than {MAX_SQL_CHARACTERS:,}"),
    "too deep for the parser": ("NOT " * 5_000 + "TRUE", "depth"),
    "too deep for us": ("a" + " + 1" * 900 + " > 0", "nested too deeply"),
}


@pytest.mark.parametrize(("expression", "says"), BAD_ROW_EXPRESSIONS.values(), ids=BAD_ROW_EXPRESSIONS)
def test_row_expressions_that_are_refused(expression: str, says: str) -> None:
    with pytest.raises(UnsafeSqlError) as caught:
        check_row_expression(expression, COLUMNS)
    assert says in caught.value.problem
    assert caught.value.fix
    assert caught.value.exit_code == 2
    assert str(caught.value) == f"{caught.value.problem}. {caught.value.fix}"


def test_an_unknown_column_is_answered_with_the_columns() -> None:
    with pytest.raises(UnsafeSqlError, match=r'there is no column "c"\. The columns are: a, b, Name'):
        check_row_expression("c > 0", COLUMNS)


def test_a_column_may_have_the_name_of_the_clock() -> None:
    check_row_expression("current_date > 0", {"current_date": "INTEGER"})


def test_an_allowed_expression_fits_where_it_will_stand() -> None:
    """Whatever is allowed can be put between brackets on lines of its own and still means the same."""
    with duckdb.connect() as connection:
        declared = ", ".join(f'"{name}" {kind}' for name, kind in COLUMNS.items())
        connection.execute(f"CREATE TABLE t ({declared})")
        for expression in ROW_EXPRESSIONS.values():
            connection.execute(f"SELECT coalesce(TRY((\n{expression}\n)), FALSE) FROM t").fetchall()


def test_columns_used_are_the_rows_own() -> None:
    expression = "list_sum(list_transform([a], lambda B: B + x)) > 0 AND NAME = 'b'"
    assert columns_used(expression, list(COLUMNS)) == {"a", "x", "Name"}


SET_QUERIES = {
    "count": "SELECT count(*) FROM {table}",
    "share": "SELECT sum(a) / count(*) FROM {table} WHERE b > 1",
    "from first": "FROM {table} SELECT avg(x)",
    "with": "WITH n AS (SELECT a, count(*) AS c FROM {table} GROUP BY a) SELECT count(*) FROM n WHERE c > 1",
    "one row of one row": "SELECT n FROM (SELECT count(*) AS n FROM {table})",
    "difference of two": "SELECT p.n - q.n FROM (SELECT count(*) n FROM {table}) p, (SELECT max(a) n FROM {table}) q",
    "scalar subqueries": "SELECT (SELECT count(*) FROM {table}) - (SELECT count(DISTINCT a) FROM {table})",
    "one row by WITH": "WITH n AS (SELECT count(*) AS c FROM {table}) SELECT c FROM n",
    "boolean": "SELECT bool_and(a > 0) FROM {table}",
    "decimal": "SELECT CAST(sum(a) AS DECIMAL(18, 2)) FROM {table}",
    "self join": "SELECT count(*) FROM {table} JOIN {table} AS other USING (a)",
    "ordered aggregate": "SELECT length(string_agg(name, ',' ORDER BY name)) FROM {table}",
    "ordered window": "SELECT max(n) FROM (SELECT row_number() OVER (PARTITION BY b ORDER BY a) AS n FROM {table})",
    "unordered whole window": "SELECT max(n) FROM (SELECT sum(a) OVER (PARTITION BY b) AS n FROM {table})",
    "ordered limit": "SELECT sum(a) FROM (SELECT a FROM {table} ORDER BY a LIMIT 3)",
    "calendar": "SELECT count(*) FROM range(24) AS hours(h) ANTI JOIN {table} ON hours.h = a",
    "recursion": "WITH RECURSIVE r AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM r WHERE i < 3) "
    "SELECT count(*) FROM r, {table}",
}


@pytest.mark.parametrize("query", SET_QUERIES.values(), ids=SET_QUERIES)
def test_set_queries_that_are_allowed(query: str) -> None:
    check_set_query(query, COLUMNS)


BAD_SET_QUERIES = {
    "empty": ("", "no SQL"),
    "reads nothing": ("SELECT 1", "does not read {table}"),
    "shadows the table": ("WITH {table} AS (SELECT 1 AS a) SELECT count(*) FROM {table}", "does not read {table}"),
    "reads another table": ("SELECT count(*) FROM {table}, flights", 'no table "flights"'),
    "reads a file": ("SELECT count(*) FROM {table}, 'x.csv'", 'no table "x.csv"'),
    "reads a file by function": ("SELECT count(*) FROM {table}, read_csv('x')", '"read_csv" is not allowed'),
    "reads the catalogue": ("SELECT count(*) FROM {table}, duckdb_settings()", '"duckdb_settings" is not allowed'),
    "reads a schema": ("SELECT count(*) FROM {table}, information_schema.tables", "qualified name"),
    "two statements": ("SELECT count(*) FROM {table}; SELECT 1", "2 statements"),
    "no select": ("DELETE FROM {table}", "DELETE and not SELECT"),
    "write inside WITH": ("WITH x AS (COPY {table} TO 'f') SELECT count(*) FROM {table}", "COPY is not allowed"),
    "any row": ("SELECT a FROM {table}", "may give no row, or more than one"),
    "group by": ("SELECT count(*) FROM {table} GROUP BY a", "may give no row, or more than one"),
    "group by all": ("SELECT count(*) FROM {table} GROUP BY ALL", "may give no row, or more than one"),
    "grouping sets": ("SELECT count(*) FROM {table} GROUP BY GROUPING SETS ((), (a))", "may give no row"),
    "having": ("SELECT count(*) FROM {table} HAVING count(*) > 1", "may give no row, or more than one"),
    "limit": ("SELECT count(*) FROM {table} ORDER BY 1 LIMIT 0", "may give no row, or more than one"),
    "union": ("SELECT count(*) FROM {table} UNION ALL SELECT 1", "may give no row, or more than one"),
    "where on one row": ("SELECT n FROM (SELECT count(*) AS n FROM {table}) WHERE n > 5", "may give no row"),
    "unnest beside the aggregate": ("SELECT count(*) + unnest([1, 2]) FROM {table}", "may give no row, or more"),
    "aggregate over a window": ("SELECT sum(a) OVER () FROM {table}", "may give no row, or more than one"),
    "aggregate only in a subquery": ("SELECT (SELECT max(a) FROM {table}) FROM {table}", "may give no row"),
    "two columns": ("SELECT count(*), max(a) FROM {table}", "2 columns"),
    "text": ("SELECT max(name) FROM {table}", "VARCHAR and not a number"),
    "list of numbers": ("SELECT list(a ORDER BY a) FROM {table}", "BIGINT[] and not a number"),
    "unknown column": ("SELECT max(gate) FROM {table}", "gate"),
    "clock": ("SELECT count(*) FILTER (moment < now()) FROM {table}", '"now" is not allowed'),
    "clock without brackets": ("SELECT count(*) FILTER (day = current_date) FROM {table}", "reads the clock"),
    "chance": ("SELECT count(*) FILTER (random() > 0.5) FROM {table}", '"random" is not allowed'),
    "setting": ("SELECT length(current_setting('threads')) FROM {table}", '"current_setting" is not allowed'),
    "first": ("SELECT first(a) FROM {table}", "depends on the order"),
    "any_value": ("SELECT any_value(a) FROM {table}", "depends on the order"),
    "arg_max": ("SELECT arg_max(a, b) FROM {table}", "depends on the order"),
    "max_by": ("SELECT max_by(a, b) FROM {table}", "depends on the order"),
    "mode": ("SELECT mode(a) FROM {table}", "depends on the order"),
    "quantile of a sample": ("SELECT reservoir_quantile(a, 0.5) FROM {table}", "depends on the order"),
    "list": ("SELECT list(a)[1] FROM {table}", "depends on the order"),
    "string_agg": ("SELECT length(string_agg(name)) FROM {table}", "depends on the order"),
    "row_number": ("SELECT max(n) FROM (SELECT row_number() OVER () AS n FROM {table})", "without ORDER BY"),
    "lag": ("SELECT max(n) FROM (SELECT lag(a) OVER (PARTITION BY b) AS n FROM {table})", "without ORDER BY"),
    "running sum": (
        "SELECT max(n) FROM (SELECT sum(a) OVER (ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS n FROM {table})",
        "without ORDER BY",
    ),
    "unordered limit": ("SELECT count(*) FROM (FROM {table} LIMIT 3)", "LIMIT without ORDER BY"),
    "unordered distinct on": ("SELECT count(*) FROM (SELECT DISTINCT ON (a) b FROM {table})", "DISTINCT ON"),
    "sample": ("SELECT count(*) FROM {table} USING SAMPLE 3", "sample"),
    "table sample": ("SELECT count(*) FROM {table} TABLESAMPLE 10%", "sample"),
    "positional join": ("SELECT count(*) FROM {table} POSITIONAL JOIN {table} AS o", "POSITIONAL join"),
    "row id": ("SELECT max(rowid) FROM {table}", "reads the clock, the session or the order of rows"),
    "describe": ("SELECT count(*) FROM (DESCRIBE {table})", "DESCRIBE and SUMMARIZE"),
    "parameter": ("SELECT count(*) + $1 FROM {table}", "a parameter"),
}


@pytest.mark.parametrize(("query", "says"), BAD_SET_QUERIES.values(), ids=BAD_SET_QUERIES)
def test_set_queries_that_are_refused(query: str, says: str) -> None:
    with pytest.raises(UnsafeSqlError) as caught:
        check_set_query(query, COLUMNS)
    assert says in caught.value.problem
    assert caught.value.fix


READER_QUERIES = {
    "select": ("SELECT count(*) FROM flights", {"flights"}),
    "from first": ("FROM flights", {"flights"}),
    "table": ("TABLE flights", {"flights"}),
    "values": ("VALUES (1), (2)", set()),
    "no table": ("SELECT now(), random(), current_date", set()),
    "any case": ("FROM FLIGHTS JOIN airports USING (origin)", {"flights", "Airports"}),
    "quoted": ('SELECT f."dep time" FROM "flights" AS f', {"flights"}),
    "trailing semicolon and comment": ("FROM flights; -- all of them", {"flights"}),
    "union": ("FROM flights UNION ALL FROM airports", {"flights", "Airports"}),
    "with": ("WITH late AS (FROM flights WHERE delay > 60) SELECT * FROM late", {"flights"}),
    "with of a table's own name": ("WITH flights AS (FROM flights) FROM flights", {"flights"}),
    "with that hides a table": ("WITH flights AS (SELECT 1) FROM flights", set()),
    "subquery": ("FROM flights WHERE carrier IN (SELECT carrier FROM airports)", {"flights", "Airports"}),
    "lateral": ("FROM flights AS f, LATERAL (SELECT f.delay + 1 AS more)", {"flights"}),
    "recursive": ("WITH RECURSIVE r AS (SELECT 1 i UNION ALL SELECT i + 1 FROM r WHERE i < 3) FROM r", set()),
    "pivot with values": ("PIVOT flights ON carrier IN ('AA', 'UA') USING count(*)", {"flights"}),
    "unpivot": ("UNPIVOT flights ON dep_delay, arr_delay", {"flights"}),
    "window": ("SELECT row_number() OVER () FROM flights QUALIFY row_number() OVER () = 1", {"flights"}),
    "sample": ("FROM flights USING SAMPLE 10%", {"flights"}),
    "columns by lambda": ("SELECT COLUMNS(lambda c: c LIKE '%delay') FROM flights", {"flights"}),
    "star with changes": ("SELECT * EXCLUDE (a) REPLACE (b + 1 AS b) RENAME (c AS d) FROM flights", {"flights"}),
    "describe": ("DESCRIBE flights", {"flights"}),
    "describe a query": ("DESCRIBE SELECT 1 AS one", set()),
    "summarize": ("SUMMARIZE flights", {"flights"}),
    "range": ("FROM range(3)", set()),
    "unnest": ("SELECT unnest([1, 2])", set()),
    "json": ("SELECT e.key FROM flights, json_each(doc) AS e", {"flights"}),
    "limit": ("FROM flights LIMIT 10", {"flights"}),
}


@pytest.mark.parametrize(("query", "read"), READER_QUERIES.values(), ids=READER_QUERIES)
def test_reader_queries_that_are_allowed(query: str, read: set[str]) -> None:
    check_reader_query(query, TABLES)
    assert tables_read(query, TABLES) == read


HOSTILE_QUERIES = {
    # Statements
    "nothing": ("", "no SQL"),
    "only a comment": ("-- hello", "no SQL"),
    "two selects": ("SELECT 1; SELECT 2", "2 statements"),
    "select and drop": ("SELECT 1; DROP TABLE flights", "2 statements"),
    "drop": ("DROP VIEW flights", "DROP and not SELECT"),
    "create": ("CREATE TABLE t AS FROM flights", "CREATE and not SELECT"),
    "create macro": ("CREATE MACRO m() AS TABLE FROM read_csv('x')", "CREATE and not SELECT"),
    "create secret": ("CREATE SECRET (TYPE s3, KEY_ID 'k', SECRET 's')", "not SELECT"),
    "insert": ("INSERT INTO flights VALUES (1)", "INSERT and not SELECT"),
    "update": ("UPDATE flights SET a = 1", "UPDATE and not SELECT"),
    "delete": ("DELETE FROM flights", "DELETE and not SELECT"),
    "truncate": ("TRUNCATE flights", "DELETE and not SELECT"),
    "merge": ("MERGE INTO flights USING airports ON TRUE WHEN MATCHED THEN DELETE", "not SELECT"),
    "copy out": ("COPY flights TO '/tmp/x.csv'", "COPY and not SELECT"),
    "copy a query out": ("COPY (SELECT 1) TO '/tmp/x.csv'", "COPY and not SELECT"),
    "copy in": ("COPY flights FROM '/etc/passwd'", "COPY and not SELECT"),
    "export": ("EXPORT DATABASE '/tmp/x'", "EXPORT and not SELECT"),
    "import": ("IMPORT DATABASE '/tmp/x'", "not SELECT"),
    "attach": ("ATTACH '/tmp/x.db' AS x", "ATTACH and not SELECT"),
    "detach": ("DETACH memory", "DETACH and not SELECT"),
    "use": ("USE memory.main", "not SELECT"),
    "install": ("INSTALL httpfs", "LOAD and not SELECT"),
    "load": ("LOAD '/tmp/evil.duckdb_extension'", "LOAD and not SELECT"),
    "set": ("SET enable_external_access = true", "SET and not SELECT"),
    "set variable": ("SET VARIABLE v = 1", "SET and not SELECT"),
    "reset": ("RESET memory_limit", "not SELECT"),
    "pragma": ("PRAGMA database_list", "PRAGMA and not SELECT"),
    "pragma as a function": ("PRAGMA table_info('flights')", "PRAGMA and not SELECT"),
    "call": ("CALL duckdb_secrets()", "CALL and not SELECT"),
    "execute": ("EXECUTE x", "EXECUTE and not SELECT"),
    "prepare": ("PREPARE x AS SELECT 1", "PREPARE and not SELECT"),
    "explain analyze": ("EXPLAIN ANALYZE SELECT 1", "EXPLAIN and not SELECT"),
    "begin": ("BEGIN", "TRANSACTION and not SELECT"),
    "checkpoint": ("CHECKPOINT", "not SELECT"),
    "vacuum": ("VACUUM", "VACUUM and not SELECT"),
    "show tables": ("SHOW TABLES", "SHOW is not allowed"),
    "show settings": ("SHOW ALL TABLES", "SHOW is not allowed"),
    "pivot without values": ("PIVOT flights ON carrier USING count(*)", "several statements"),
    # Statements inside a SELECT
    "copy inside with": ("WITH x AS (COPY flights TO '/tmp/x') FROM x", "COPY is not allowed here"),
    "copy inside with in a subquery": ("FROM (WITH x AS (COPY flights TO '/tmp/x') FROM x)", "COPY is not allowed"),
    "delete inside with": ("WITH x AS (DELETE FROM flights RETURNING *) FROM x", "DELETE is not allowed here"),
    "insert inside with": ("WITH x AS (INSERT INTO flights VALUES (1) RETURNING *) FROM x", "INSERT is not allowed"),
    "update inside with": ("WITH x AS (UPDATE flights SET a = 1 RETURNING *) FROM x", "UPDATE is not allowed"),
    "copy as a table": ("SELECT * FROM (COPY flights TO '/tmp/x')", "does not parse"),
    # Tables
    "unknown table": ("FROM trains", 'no table "trains"'),
    "file": ("FROM 'data.csv'", 'no table "data.csv"'),
    "file in double quotes": ('FROM "/etc/passwd"', 'no table "..."'),
    "file with a quote in its name": ('FROM "a"".parquet"', 'no table "a".parquet"'),
    "glob": ("FROM '/data/*.parquet'", "no table"),
    "address": ("FROM 'https://me:hunter2@example.org/x.parquet'", 'no table "..."'),
    "describe a file": ("DESCRIBE 'data.csv'", 'no table "data.csv"'),
    "summarize a file": ("SUMMARIZE 'data.csv'", 'no table "data.csv"'),
    "file in a join": ("FROM flights JOIN 'x.csv' USING (a)", 'no table "x.csv"'),
    "file in exists": ("SELECT 1 WHERE EXISTS (FROM 'x.csv')", 'no table "x.csv"'),
    "file in order by": ("FROM flights ORDER BY (SELECT 1 FROM 'x.csv')", 'no table "x.csv"'),
    "file in limit": ("FROM flights LIMIT (SELECT 1 FROM 'x.csv')", 'no table "x.csv"'),
    "file in a filter": ("SELECT count(*) FILTER (a IN (FROM 'x.csv')) FROM flights", 'no table "x.csv"'),
    "file in a window": ("SELECT sum(a) OVER (ORDER BY (FROM 'x.csv')) FROM flights", 'no table "x.csv"'),
    "file in a lambda": ("SELECT list_transform([1], lambda z: (FROM 'x.csv')) FROM flights", 'no table "x.csv"'),
    "file in pivot": ("PIVOT (FROM 'x.csv') ON a IN (1) USING count(*)", 'no table "x.csv"'),
    "file in values": ("VALUES ((FROM 'x.csv'))", 'no table "x.csv"'),
    "file in a union": ("FROM flights UNION FROM 'x.csv'", 'no table "x.csv"'),
    "file in grouping": ("SELECT 1 FROM flights GROUP BY (FROM 'x.csv')", 'no table "x.csv"'),
    "file in replace": ("SELECT * REPLACE ((FROM 'x.csv') AS a) FROM flights", 'no table "x.csv"'),
    "with of the file's name": ('WITH "x.csv" AS (FROM "x.csv") FROM "x.csv"', 'no table "x.csv"'),
    "with used before it is made": ('WITH a AS (FROM "x.csv"), "x.csv" AS (SELECT 1) FROM a', 'no table "x.csv"'),
    "with used outside of its query": ('FROM (WITH "x.csv" AS (SELECT 1) FROM "x.csv"), "x.csv"', 'no table "x.csv"'),
    "recursion that begins with the file": (
        'WITH RECURSIVE "x.csv" AS (FROM "x.csv" UNION ALL FROM "x.csv") FROM "x.csv"',
        'no table "x.csv"',
    ),
    "recursion without recursion": ('WITH RECURSIVE "x.csv" AS (FROM "x.csv") FROM "x.csv"', 'no table "x.csv"'),
    "invisible letter": ('FROM "flights\u200b"', "no table"),
    "qualified table": ("FROM main.flights", '"main.flights" is a qualified name'),
    "catalogue": ("FROM information_schema.tables", "qualified name"),
    "internal catalogue": ("FROM system.main.duckdb_settings", "qualified name"),
    "sqlite's catalogue": ("FROM sqlite_master", "no table"),
    "postgres's catalogue": ("FROM pg_catalog.pg_class", "qualified name"),
    "another version": ("FROM flights AT (VERSION => 1)", "AT another version"),
    "python variable": ("FROM COLUMNS", "no table"),
    # Table functions
    "read_csv": ("FROM read_csv('/etc/passwd')", '"read_csv" is not allowed'),
    "read_csv in capitals": ("FROM READ_CSV('/etc/passwd')", '"read_csv" is not allowed'),
    "read_csv quoted": ("FROM \"read_csv\"('/etc/passwd')", '"read_csv" is not allowed'),
    "read_csv qualified": ("FROM main.read_csv('/etc/passwd')", '"read_csv" is not allowed'),
    "range qualified": ("FROM other.range(3)", '"range" is not allowed'),
    "read_text": ("FROM read_text('/etc/passwd')", '"read_text" is not allowed'),
    "read_blob in exists": ("SELECT EXISTS (FROM read_blob('/etc/passwd'))", '"read_blob" is not allowed'),
    "read_parquet lateral": ("FROM flights, LATERAL read_parquet(path)", '"read_parquet" is not allowed'),
    "glob function": ("FROM glob('/*')", '"glob" is not allowed'),
    "query": ("FROM query('DROP TABLE x')", '"query" is not allowed'),
    "query_table": ("FROM query_table('x.csv')", '"query_table" is not allowed'),
    "serialized sql": ("FROM json_execute_serialized_sql('{}')", '"json_execute_serialized_sql" is not allowed'),
    "secrets": ("FROM duckdb_secrets()", '"duckdb_secrets" is not allowed'),
    "settings": ("FROM duckdb_settings()", '"duckdb_settings" is not allowed'),
    "logging on": ("FROM enable_logging()", '"enable_logging" is not allowed'),
    "checkpoint by function": ("FROM force_checkpoint()", '"force_checkpoint" is not allowed'),
    "python scan": ("FROM python_arrow_scan(1, 2, 3)", '"python_arrow_scan" is not allowed'),
    "metadata": ("FROM parquet_metadata('x.parquet')", '"parquet_metadata" is not allowed'),
    "sniffer": ("FROM sniff_csv('x.csv')", '"sniff_csv" is not allowed'),
    # Functions
    "environment": ("SELECT getenv('HOME')", '"getenv" is not allowed'),
    "setting as a value": ("SELECT current_setting('temp_directory')", '"current_setting" is not allowed'),
    "variable": ("SELECT getvariable('v')", '"getvariable" is not allowed'),
    "sleep": ("SELECT pg_sleep(1000)", '"pg_sleep" is not allowed'),
    "sleep in a lambda": ("SELECT list_transform([1], lambda z: sleep_ms(z))", '"sleep_ms" is not allowed'),
    "log": ("SELECT write_log('x')", '"write_log" is not allowed'),
    "plan of another query": ("SELECT json_serialize_plan('FROM read_csv(1)')", '"json_serialize_plan" is not'),
    "sequence": ("SELECT nextval('s')", '"nextval" is not allowed'),
    "this query": ("SELECT current_query()", '"current_query" is not allowed'),
    "seed": ("SELECT setseed(0.5)", '"setseed" is not allowed'),
    "by method": ("SELECT 'HOME'.getenv()", '"getenv" is not allowed'),
    "hidden by a comment": ("SELECT get/**/env('HOME')", "does not parse"),
    "unknown function": ("SELECT no_such_function()", '"no_such_function" is not allowed'),
    "internal function": ("SELECT __internal_decompress_string(1)", "is not allowed"),
    # Shapes
    "parameter": ("SELECT $1", "a parameter"),
    "question mark": ("SELECT ?", "a parameter"),
    "named parameter": ("SELECT $secret", "a parameter"),
    "column by position": ("SELECT #1 FROM flights", "a column by position"),
    "does not parse": ("SELEC 1", "syntax error at line 1, column 1"),
    "unclosed text": ("SELECT 'abc", "unterminated"),
    "NUL": ("SELECT 1\0; DROP TABLE x", "NUL"),
    "surrogate": ("SELECT '\udc80'", "not valid Unicode"),
    "very long": ("SELECT " + "1," * 60_000 + "1", "longer than"),
    "very deep brackets": ("SELECT " + "(" * 20_000 + "1" + ")" * 20_000, "depth"),
    "very deep subqueries": ("FROM " + "(FROM " * 8_000 + "flights" + ")" * 8_000, "nested too deeply"),
    "very long chain": ("SELECT 1" + "+1" * 900, "nested too deeply"),
}


@pytest.mark.parametrize(("query", "says"), HOSTILE_QUERIES.values(), ids=HOSTILE_QUERIES)
def test_reader_queries_that_are_refused(query: str, says: str) -> None:
    with pytest.raises(UnsafeSqlError) as caught:
        check_reader_query(query, TABLES)
    assert says in caught.value.problem
    assert caught.value.fix
    assert len(str(caught.value)) < 600


def test_a_refusal_names_the_tables_there_are() -> None:
    with pytest.raises(UnsafeSqlError, match="The tables are: Airports, flights"):
        check_reader_query("FROM trains", TABLES)
    with pytest.raises(UnsafeSqlError, match="The tables are: none yet"):
        check_reader_query("FROM trains", ())


def test_a_refusal_does_not_repeat_the_sql() -> None:
    for query in (
        "SELECT 'hunter2' FROM FROM",
        "ATTACH 'postgres://me:hunter2@db' AS x",
        "SELECT 'hunter2",
        "FROM 's3://hunter2'",
    ):
        with pytest.raises(UnsafeSqlError) as caught:
            check_reader_query(query, TABLES)
        assert "hunter2" not in str(caught.value)


def test_a_refused_name_comes_back_without_control_characters() -> None:
    with pytest.raises(UnsafeSqlError) as caught:
        check_reader_query('FROM "\x1b[31mred\u202e"', TABLES)
    assert caught.value.problem == 'there is no table "\ufffd[31mred\ufffd"'


def test_a_letter_that_unicode_folds_to_a_known_one_is_another_letter() -> None:
    check_reader_query("FROM TRACKS", ["tracks"])
    with pytest.raises(UnsafeSqlError, match="there is no table"):
        check_reader_query("FROM trac\N{KELVIN SIGN}s", ["tracks"])


def test_literals_are_found_wherever_they_stand() -> None:
    query = "WITH x AS (SELECT 'one') SELECT 'two' || $$three$$ FROM x WHERE 'four' IN (SELECT 'five')"
    assert literals(query) == {"one", "two", "three", "four", "five"}


def test_the_error_crosses_processes() -> None:
    with pytest.raises(UnsafeSqlError) as caught:
        check_reader_query("DROP TABLE x", TABLES)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.problem, copy.fix, str(copy)) == (caught.value.problem, caught.value.fix, str(caught.value))


def test_functions_of_a_newer_duckdb_are_not_allowed_by_default() -> None:
    """The lists in the module name only what this DuckDB has, and everything volatile in it is refused in rules."""
    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type = 'scalar' "
            "AND stability <> 'CONSISTENT' AND function_name SIMILAR TO '[a-z_0-9]+'"
        ).fetchall()
    assert len(rows) > 20
    for (name,) in rows:
        with pytest.raises(UnsafeSqlError, match="not allowed in a rule"):
            check_row_expression(f"{name}() IS NULL", COLUMNS)
