"""Whether a piece of SQL may run, decided by what it parses to and not by how it is spelled.

Three kinds of SQL come from people: a rule about one row, a rule about a whole partition, and a question at the
prompt. DuckDB's own parser turns each into a tree, and every node of the tree must be of a kind listed here: what
is not listed is refused, so that a new statement in a newer DuckDB (`WITH x AS (COPY ...)` already counts as a
SELECT) does not pass by default. The binder then checks names and types against an empty table.

This module runs nothing on data and knows no files. It is the first of two defences: whoever runs accepted SQL still
locks the connection down (no external access, no replacement scans, limits on time and memory).
"""

from __future__ import annotations

import re
import string
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import duckdb

from contracts.canonical import parse_json
from contracts.duckdb_syntax import quoted
from contracts.errors import HashgateError

MAX_SQL_CHARACTERS = 100_000

TABLE_PLACEHOLDER = "{table}"
"""What a set rule writes in the place of the partition's rows."""

PARTITION_RELATION = "_hg_partition"
"""The name that takes the placeholder's place when the rule is checked and when it runs."""

Tree = dict[str, Any]


class UnsafeSqlError(HashgateError):
    """SQL that is not what its place allows. The text of the SQL is not in the message: it may hold a secret."""

    exit_code = 2
    problem: str
    fix: str

    def __init__(self, *, problem: str, fix: str) -> None:
        super().__init__(f"{problem}. {fix}", problem=problem, fix=fix)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


QUERY_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE"})
"""Not listed, hence refused: COPY_, DELETE_, INSERT_, UPDATE_, MERGE_..._QUERY_NODE, which DuckDB takes inside WITH."""

TABLE_REFERENCES = frozenset(
    {"EMPTY", "BASE_TABLE", "SUBQUERY", "JOIN", "TABLE_FUNCTION", "EXPRESSION_LIST", "PIVOT", "SHOW_REF"}
)

MODIFIERS = frozenset(
    {
        "ORDER_MODIFIER",
        "LIMIT_MODIFIER",
        "DISTINCT_MODIFIER",
        "ORDER_DEFAULT",
        "ASCENDING",
        "DESCENDING",
    }
)

VALUE_CLASSES = frozenset(
    {
        "BETWEEN",
        "CASE",
        "CAST",
        "COLLATE",
        "COLUMN_REF",
        "COMPARISON",
        "CONJUNCTION",
        "CONSTANT",
        "FUNCTION",
        "LAMBDA",
        "OPERATOR",
        "TYPE",
    }
)
"""Expressions over the values of one row."""

QUERY_CLASSES = VALUE_CLASSES | {"STAR", "SUBQUERY", "WINDOW"}
"""Expressions inside a whole query. PARAMETER, POSITIONAL_REFERENCE and DEFAULT are nowhere allowed."""

ROW_TABLE_FUNCTIONS = frozenset({"range", "generate_series", "unnest"})
READER_TABLE_FUNCTIONS = ROW_TABLE_FUNCTIONS | {"json_each", "json_tree"}

EXPANDING_FUNCTIONS = frozenset({"unnest", "regexp_split_to_table", "generate_subscripts"})
"""They turn one row into many, so they are no functions of one row."""

CONSISTENT_MACROS = _words(
    """array_append array_pop_back array_pop_front array_prepend array_push_back array_push_front array_reverse
    array_to_string date_add days_in_month fdiv fmod geomean geometric_mean if json list_append list_avg list_bit_and
    list_bit_or list_bit_xor list_bool_and list_bool_or list_count list_max list_median list_min list_prepend
    list_product list_reverse list_stddev_pop list_stddev_samp list_sum list_var_pop list_var_samp
    map_contains_entry map_contains_value nullif split_part wavg weighted_avg"""
)
"""DuckDB gives macros no stability; these were read and depend on their arguments alone."""

MISLABELLED_FUNCTIONS = _words(
    """age aggregate array_aggr array_aggregate combine current_localtime current_localtimestamp finalize index_key
    invoke json_deserialize_sql json_serialize_plan json_serialize_sql list_aggr list_aggregate to_aggregate_state
    version"""
)
"""Called CONSISTENT by DuckDB, yet they read the clock (`age` with one argument, `current_local...`), the program's
version, another query's plan, or take the name of any aggregate, a sampling one too, as text."""

ORDER_DEPENDENT_AGGREGATES = _words(
    """any_value approx_quantile approx_top_k arbitrary arg_max arg_max_null arg_max_nulls_last arg_min arg_min_null
    arg_min_nulls_last argmax argmin first last lttb max_by min_by mode reservoir_quantile"""
)
"""Their result depends on the order in which rows come, with ties also when they are given an ORDER BY."""

ORDERED_AGGREGATES = frozenset({"array_agg", "group_concat", "list", "listagg", "string_agg"})
"""Fine with an ORDER BY inside."""

READER_DENIED_FUNCTIONS = _words(
    """current_query current_setting currval getenv getvariable in_search_path index_key json_serialize_plan nextval
    setseed setval sleep_ms stats vector_type write_log"""
)
"""What a question at the prompt has no business with: settings, sequences, logs, sleeping, other queries' plans."""

READER_DENIED_MACRO_PREFIXES = ("pg_", "has_", "inet_", "duckdb_", "current_query")

SPECIAL_NAMES = _words(
    """current_catalog current_date current_role current_schema current_time current_timestamp current_user
    localtime localtimestamp rowid session_user user"""
)
"""Written without brackets they look like columns; when no column has the name, they read the clock or the session."""

ORDERING_WINDOWS = _words(
    """cume_dist dense_rank fill first first_value lag last last_value lead nth_value ntile percent_rank rank
    rank_dense row_number"""
)

NUMBER_TYPES = re.compile(r"U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|FLOAT|DOUBLE|DECIMAL\(.*|BOOLEAN")

_ASCII_FOLD = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def check_row_expression(expression: str, columns: Mapping[str, str]) -> None:
    """Refuse anything but one boolean expression over the columns of one row that always gives the same answer.

    Args:
        expression: What stands between the brackets of a WHERE.
        columns: Name to DuckDB type of the columns it may use.

    Raises:
        UnsafeSqlError: It is more or less than one expression; it uses a subquery, aggregate, window, table function,
            a function that is not a function of its arguments alone, or a name that is no column; it is not BOOLEAN.
    """
    fix = "A row rule is one true-or-false expression over the columns of one row, such as `a <= b`."
    trees = [_select_of(expression, "SELECT ", fix), _select_of(f"{expression}\n)", "SELECT (", fix)]
    if any(len(tree["select_list"]) != 1 for tree in trees) or _bare(trees[0]) != _bare(trees[1]):
        raise UnsafeSqlError(problem="this is not one expression", fix=fix)
    _check_plain_select(trees[0], fix)
    known = {_fold(name): name for name in columns}
    for visit in _walk(trees[0]["select_list"]):
        _check_kinds(visit, VALUE_CLASSES, fix)
        _check_row_function(visit, fix)
        _check_column(visit, known)
    _check_boolean(expression, columns, fix)


def columns_used(expression: str, columns: Collection[str]) -> frozenset[str]:
    """The columns that a row expression mentions, as `columns` spells them."""
    spelled = {_fold(name): name for name in columns}
    visits = _walk(_query_of(expression, "Write one expression.", "SELECT "))
    mentioned = {
        _fold(visit.item["column_names"][0])
        for visit in visits
        if visit.item.get("class") == "COLUMN_REF" and _fold(visit.item["column_names"][0]) not in visit.parameters
    }
    return frozenset(spelled[name] for name in mentioned if name in spelled)


def check_set_query(query: str, columns: Mapping[str, str]) -> None:
    """Refuse anything but one SELECT over `{table}` that gives one number, the same for the same rows in any order.

    Args:
        query: A SELECT in which `{table}` stands for the partition's rows.
        columns: Name to DuckDB type of what `{table}` has.

    Raises:
        UnsafeSqlError: It is not one SELECT, does not read `{table}`, reads anything else, could give no row or
            several, is not numeric or boolean, or depends on time, chance, settings or the order of rows.
    """
    fix = f"A set rule is one SELECT over {TABLE_PLACEHOLDER} that gives one number."
    relation = PARTITION_RELATION
    text = query.replace(TABLE_PLACEHOLDER, relation)
    node = _query_of(text, fix)
    names: set[str] = set()
    for visit in _walk(node):
        _check_kinds(visit, QUERY_CLASSES, fix)
        names |= _check_table(visit, {relation}, f"A set rule reads {TABLE_PLACEHOLDER} and nothing else.")
        _check_table_function(visit, ROW_TABLE_FUNCTIONS)
        _check_set_function(visit, fix)
        _check_order(visit)
        if visit.item.get("type") == "SHOW_REF":
            raise UnsafeSqlError(problem="DESCRIBE and SUMMARIZE are no numbers", fix=fix)
        _check_special_name(visit, columns)
    if relation not in names:
        raise UnsafeSqlError(problem=f"the query does not read {TABLE_PLACEHOLDER}", fix=fix)
    if not _gives_one_row(node, {}):
        more = "Make its outermost SELECT an aggregate without GROUP BY, HAVING, LIMIT, such as `SELECT count(*) ...`."
        raise UnsafeSqlError(problem="the query may give no row, or more than one", fix=more)
    _check_number(text, relation, columns, fix)


def check_reader_query(query: str, tables: Collection[str]) -> None:
    """Refuse anything but one SELECT that reads the given tables and nothing else.

    Time and chance are fine here; DESCRIBE and SUMMARIZE of a table or a SELECT too, since they parse as SELECT.

    Args:
        query: What somebody typed.
        tables: The names that FROM may mention, beside the query's own WITH.

    Raises:
        UnsafeSqlError: It is anything else, with what it is and what to write instead.
    """
    tables_read(query, tables)


def tables_read(query: str, tables: Collection[str]) -> frozenset[str]:
    """Check a query as `check_reader_query` does and tell which of the tables it reads, as `tables` spells them."""
    listed = ", ".join(sorted(tables)) or "none yet"
    fix = f"Write one SELECT over the published tables ({listed})."
    spelled = {_fold(name): name for name in tables}
    names: set[str] = set()
    for visit in _walk(_query_of(query, fix)):
        _check_kinds(visit, QUERY_CLASSES, fix)
        names |= _check_table(visit, spelled, f"The tables are: {listed}.")
        _check_table_function(visit, READER_TABLE_FUNCTIONS)
        _check_reader_function(visit)
        _check_show(visit, listed)
    return frozenset(spelled[name] for name in names)


def literals(query: str) -> frozenset[str]:
    """The string constants of a query that parses, for whoever has to keep them out of a message or a log."""
    found = set()
    for visit in _walk(_query_of(query, "Write one SELECT.")):
        literal = visit.item.get("literal")
        if visit.item.get("class") == "CONSTANT" and literal and literal["kind"] == "STRING":
            found.add(literal["text"])
    return frozenset(found)


# --- parsing ---------------------------------------------------------------------------------------------------------


@cache
def _database() -> duckdb.DuckDBPyConnection:
    """One empty database for parsing and binding, without files, settings or the variables of Python."""
    settings: dict[str, Any] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "enable_external_access": False,
        "python_enable_replacements": False,
        "memory_limit": "512MB",
        "threads": 1,
    }
    database = duckdb.connect(":memory:", config=settings)
    database.execute("SET GLOBAL TimeZone = 'UTC'")
    database.execute("SET GLOBAL lock_configuration = true")
    return database


def _query_of(sql: str, fix: str, prefix: str = "") -> Tree:
    """The tree of the one SELECT that `prefix + sql` is; places in messages count from the start of `sql`."""
    if len(sql) > MAX_SQL_CHARACTERS:
        raise UnsafeSqlError(problem=f"the SQL is longer than {MAX_SQL_CHARACTERS:,} characters", fix=fix)
    if "\0" in sql:
        raise UnsafeSqlError(problem="the SQL holds a NUL character", fix=fix)
    if not sql.isascii() and any("\ud800" <= character <= "\udfff" for character in sql):
        raise UnsafeSqlError(problem="the SQL holds text that is not valid Unicode", fix=fix)
    cursor = _database().cursor()
    try:
        [(text,)] = cursor.execute("SELECT json_serialize_sql(?::VARCHAR)", [prefix + sql]).fetchall()
        document: Tree = parse_json(text)
        if document.get("error_type") == "parser":
            problem = f"the SQL does not parse: {_complaint(document, prefix, sql)}"
            raise UnsafeSqlError(problem=problem, fix=fix)
        _check_statements([statement.type.name for statement in cursor.extract_statements(prefix + sql)], fix)
    except duckdb.Error as error:
        raise UnsafeSqlError(problem=f"the SQL does not parse: {_first_line(error)}", fix=fix) from None
    except ValueError:
        raise UnsafeSqlError(problem="the SQL is nested too deeply", fix=fix) from None
    finally:
        cursor.close()
    if document["error"]:
        raise UnsafeSqlError(problem=f"the SQL cannot be read: {document['error_message']}", fix=fix)
    [statement] = document["statements"]
    node: Tree = statement["node"]
    return node


def _select_of(expression: str, prefix: str, fix: str) -> Tree:
    node = _query_of(expression, fix, prefix)
    if node["type"] != "SELECT_NODE":
        raise UnsafeSqlError(problem="this is a whole query and not one expression", fix=fix)
    return node


def _check_statements(kinds: list[str], fix: str) -> None:
    if not kinds:
        raise UnsafeSqlError(problem="there is no SQL", fix=fix)
    if len(kinds) > 1:
        raise UnsafeSqlError(problem=f"these are {len(kinds)} statements", fix=fix)
    if kinds[0] == "MULTI":
        more = "Name the values: PIVOT ... ON column IN (...); without them it creates a type first."
        raise UnsafeSqlError(problem="this PIVOT is several statements", fix=more)
    if kinds[0] != "SELECT":
        raise UnsafeSqlError(problem=f"the statement is {kinds[0]} and not SELECT", fix=fix)


def _complaint(document: Tree, prefix: str, sql: str) -> str:
    """What the parser complains about and where, without the text it stands at."""
    message = re.sub(r" at or near .*", "", document["error_message"], flags=re.DOTALL)
    if "position" not in document:
        return message
    offset_bytes = max(int(document["position"]) - len(prefix), 0)
    before = sql.encode()[:offset_bytes].decode(errors="replace").split("\n")
    return f"{message} at line {len(before)}, column {len(before[-1]) + 1}"


def _first_line(error: duckdb.Error) -> str:
    """DuckDB's message without its kind and without the excerpt of the SQL that it appends."""
    return str(error).partition("\n")[0].partition(" Error: ")[2].rstrip(".")


def _fold(name: str) -> str:
    """Lower case as DuckDB compares names: ASCII only, so that no Unicode look-alike becomes a known table."""
    return name.translate(_ASCII_FOLD)


def _bare(tree: Any) -> Any:
    """The tree without positions."""
    if isinstance(tree, dict):
        return {key: _bare(value) for key, value in tree.items() if not key.startswith("query_location")}
    return [_bare(value) for value in tree] if isinstance(tree, list) else tree


# --- walking ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Visit:
    """One node of the tree with the names that its place knows."""

    item: Tree
    ctes: frozenset[str]
    parameters: frozenset[str]
    """Of the lambdas around it."""


def _walk(tree: Any) -> Iterator[_Visit]:
    """Every object of the tree. A WITH is known to what comes after it and to its own query, and nowhere else."""
    stack: list[tuple[Any, frozenset[str], frozenset[str]]] = [(tree, frozenset(), frozenset())]
    while stack:
        item, ctes, parameters = stack.pop()
        if isinstance(item, list):
            stack.extend((child, ctes, parameters) for child in item)
        if not isinstance(item, dict):
            continue
        yield _Visit(item, ctes, parameters)
        special: set[str] = set()
        if "cte_map" in item:
            special.add("cte_map")
            for entry in item["cte_map"]["map"]:
                stack.append((entry["value"], ctes, parameters))
                ctes |= {_fold(entry["key"])}
        if item.get("type") == "RECURSIVE_CTE_NODE":
            # Only the right side sees itself: on the left the same name means something outside.
            special.add("right")
            stack.append((item["right"], ctes | {_fold(item["cte_name"])}, parameters))
        if item.get("class") == "LAMBDA" and item["syntax_type"] == "LAMBDA_KEYWORD":
            # `a -> b` is JSON's arrow outside a lambda function: there `current_date -> '$'` reads the clock.
            parameters |= _lambda_parameters(item)
        stack.extend((value, ctes, parameters) for key, value in item.items() if key not in special)


def _lambda_parameters(item: Tree) -> set[str]:
    sides = [item["lhs"], *(argument["expression"] for argument in item["lhs"].get("arguments", []))]
    return {_fold(side["column_names"][0]) for side in sides if side.get("column_names")}


def _check_kinds(visit: _Visit, classes: frozenset[str], fix: str) -> None:
    """Refuse a node of a kind that is not listed."""
    kind, expression = visit.item.get("type"), visit.item.get("class")
    if expression is not None and expression not in classes:
        raise UnsafeSqlError(problem=f"{_SPOKEN.get(expression, expression)} is not allowed here", fix=fix)
    if expression is None and isinstance(kind, str) and kind not in QUERY_NODES | TABLE_REFERENCES | MODIFIERS:
        spoken = kind.removesuffix("_NODE").removesuffix("_QUERY")
        raise UnsafeSqlError(problem=f"{spoken} is not allowed here", fix=fix)
    if kind == "PIVOT" and any(pivot.get("pivot_enum") for pivot in visit.item["pivots"]):
        raise UnsafeSqlError(problem="a PIVOT over a type is not allowed here", fix="Name the values with IN (...).")


_SPOKEN = {
    "SUBQUERY": "a subquery",
    "WINDOW": "a window function (OVER)",
    "STAR": "a star (*)",
    "PARAMETER": "a parameter ($1, ?)",
    "POSITIONAL_REFERENCE": "a column by position (#1)",
    "DEFAULT": "DEFAULT",
}


def _check_table(visit: _Visit, tables: Collection[str], fix: str) -> set[str]:
    """The folded name of the table that a node reads, if it reads one; refuse any other name."""
    if visit.item.get("type") != "BASE_TABLE" or "class" in visit.item:
        return set()
    path = visit.item["qualified_name"]["path"]
    name = _fold(path[-1])
    if len(path) != 1:
        raise UnsafeSqlError(problem=f"{_shown('.'.join(path))} is a qualified name", fix=fix)
    if visit.item["at_clause"] is not None:
        raise UnsafeSqlError(problem=f"{_shown(name)} is asked for AT another version", fix=fix)
    if name in visit.ctes:
        return set()
    if name not in tables:
        raise UnsafeSqlError(problem=f"there is no table {_shown(path[0])}", fix=fix)
    return {name}


def _shown(name: str) -> str:
    """A name for a message: printable and short, and nothing that may be a path or an address with a password."""
    if any(character in name for character in "/\\:@?="):
        return '"..."'
    plain = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in name)
    return f'"{plain[:80]}"' + ("..." if len(plain) > 80 else "")


def _check_table_function(visit: _Visit, allowed: frozenset[str]) -> None:
    if visit.item.get("type") != "TABLE_FUNCTION":
        return
    function = visit.item["function"]
    name = _fold(function.get("function_name", ""))
    if name not in allowed or len(function["qualified_name"]["path"]) != 1:
        fix = f"Of functions, FROM takes only {', '.join(sorted(allowed))}; files and settings are not readable."
        raise UnsafeSqlError(problem=f"the table function {_shown(name)} is not allowed", fix=fix)


def _check_show(visit: _Visit, listed: str) -> None:
    if visit.item.get("type") == "SHOW_REF" and visit.item["show_type"] not in {"DESCRIBE", "SUMMARY"}:
        fix = f"The tables are: {listed}. DESCRIBE a table to see its columns."
        raise UnsafeSqlError(problem="SHOW is not allowed here", fix=fix)


# --- functions -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Functions:
    """DuckDB's own catalogue of functions, by what matters here."""

    aggregates: frozenset[str]
    windows: frozenset[str]
    consistent: frozenset[str]
    scalars: frozenset[str]
    macros: frozenset[str]

    @property
    def known(self) -> frozenset[str]:
        return self.aggregates | self.windows | self.scalars | self.macros | EXPANDING_FUNCTIONS


@cache
def _functions() -> _Functions:
    cursor = _database().cursor()
    rows = cursor.execute("SELECT lower(function_name), function_type, stability FROM duckdb_functions()").fetchall()
    cursor.close()
    names = {kind: frozenset(row[0] for row in rows if row[1] == kind) for kind in {row[1] for row in rows}}
    unstable = {name for name, kind, stability in rows if kind == "scalar" and stability != "CONSISTENT"}
    internal = {name for name in names["scalar"] if name.startswith("__internal")}
    return _Functions(
        aggregates=names["aggregate"],
        windows=names["window"],
        consistent=(names["scalar"] - unstable - internal - MISLABELLED_FUNCTIONS) | CONSISTENT_MACROS,
        scalars=names["scalar"] - internal,
        macros=names["macro"],
    )


def _called(visit: _Visit) -> str | None:
    """The name of the function that a node calls. `column.f()` counts as f: the binder reads it so."""
    if visit.item.get("class") not in {"FUNCTION", "WINDOW"}:
        return None
    return _fold(visit.item["function_name"])


def _check_row_function(visit: _Visit, fix: str) -> None:
    name = _called(visit)
    functions = _functions()
    if name is None or (name in functions.consistent and name not in EXPANDING_FUNCTIONS):
        return
    if name in functions.aggregates:
        more = "Use a set rule for what concerns several rows."
        raise UnsafeSqlError(problem=f"{_shown(name)} is an aggregate, and a row rule sees one row", fix=more)
    _refuse_function(name, fix)


def _refuse_function(name: str, fix: str) -> None:
    if name in _functions().known:
        more = "Use only functions whose result depends on their arguments alone, not on time, chance or settings."
        raise UnsafeSqlError(problem=f"the function {_shown(name)} is not allowed in a rule", fix=more)
    raise UnsafeSqlError(problem=f"there is no function {_shown(name)} here", fix=fix)


def _check_set_function(visit: _Visit, fix: str) -> None:
    name = _called(visit)
    if name is None:
        return
    functions = _functions()
    ordered = bool(visit.item.get("orders") or visit.item.get("order_bys", {}).get("orders"))
    by_order = name in ORDER_DEPENDENT_AGGREGATES and visit.item["class"] == "FUNCTION"
    if by_order or (name in ORDERED_AGGREGATES and not (ordered or visit.item.get("arg_orders"))):
        more = "Use min, max, count, or give string_agg and list an ORDER BY: rows come in no particular order."
        raise UnsafeSqlError(problem=f"the result of {_shown(name)} depends on the order of rows", fix=more)
    if visit.item["class"] == "WINDOW":
        _check_window(visit.item, name, ordered=ordered)
    if name not in functions.consistent | functions.aggregates | functions.windows | ROW_TABLE_FUNCTIONS:
        _refuse_function(name, fix)


def _check_window(window: Tree, name: str, *, ordered: bool) -> None:
    """A window without ORDER BY is fine only for an aggregate over its whole partition."""
    whole = {window["start"], window["end"]} <= {"UNBOUNDED_PRECEDING", "UNBOUNDED_FOLLOWING", "CURRENT_ROW_RANGE"}
    if ordered or (whole and name not in ORDERING_WINDOWS | ORDER_DEPENDENT_AGGREGATES):
        return
    fix = "Give the window an ORDER BY: rows come in no particular order."
    raise UnsafeSqlError(problem=f"{_shown(name)} OVER a window without ORDER BY depends on the order of rows", fix=fix)


def _check_order(visit: _Visit) -> None:
    """Refuse what picks or pairs rows by the order in which they happen to come."""
    item = visit.item
    fix = "Rows come in no particular order: add an ORDER BY, or count instead."
    kinds = {modifier["type"] for modifier in item.get("modifiers", [])}
    if "LIMIT_MODIFIER" in kinds and "ORDER_MODIFIER" not in kinds:
        raise UnsafeSqlError(problem="LIMIT without ORDER BY picks rows by chance", fix=fix)
    picks = any(modifier.get("distinct_on_targets") for modifier in item.get("modifiers", []))
    if picks and "ORDER_MODIFIER" not in kinds:
        raise UnsafeSqlError(problem="DISTINCT ON without ORDER BY picks rows by chance", fix=fix)
    if item.get("sample") is not None:
        raise UnsafeSqlError(problem="a sample picks rows by chance", fix=fix)
    if item.get("ref_type") in {"POSITIONAL", "ASOF"}:
        raise UnsafeSqlError(problem=f"a {item['ref_type']} join pairs rows by their order", fix=fix)


def _check_reader_function(visit: _Visit) -> None:
    name = _called(visit)
    if name is None:
        return
    functions = _functions()
    denied = name in READER_DENIED_FUNCTIONS or (
        name in functions.macros and name.startswith(READER_DENIED_MACRO_PREFIXES)
    )
    if denied or name not in functions.known | READER_TABLE_FUNCTIONS:
        fix = "Functions of values are allowed; those that read files, settings, secrets or the session are not."
        raise UnsafeSqlError(problem=f"the function {_shown(name)} is not allowed here", fix=fix)


# --- columns and types -----------------------------------------------------------------------------------------------


def _check_plain_select(node: Tree, fix: str) -> None:
    """Refuse a row rule that brings along FROM, WHERE, ORDER BY and the like, or a name for its result."""
    clauses = ("where_clause", "having", "qualify", "sample", "group_expressions", "group_sets", "modifiers")
    if node["from_table"]["type"] != "EMPTY" or node["cte_map"]["map"] or any(node[clause] for clause in clauses):
        raise UnsafeSqlError(problem="this is a whole query and not one expression", fix=fix)
    if node["select_list"][0].get("alias"):
        raise UnsafeSqlError(problem="the expression is given a name", fix=fix)


def _check_column(visit: _Visit, known: Mapping[str, str]) -> None:
    if visit.item.get("class") != "COLUMN_REF":
        return
    path = visit.item["column_names"]
    name = _fold(path[0])
    if name in visit.parameters or (len(path) == 1 and name in known):
        return
    fix = f"The columns are: {', '.join(known.values())}."
    if len(path) > 1:
        raise UnsafeSqlError(problem=f"{_shown('.'.join(path))} is qualified, and a row has only columns", fix=fix)
    raise UnsafeSqlError(problem=f"there is no column {_shown(path[0])}", fix=fix)


def _check_special_name(visit: _Visit, columns: Mapping[str, str]) -> None:
    if visit.item.get("class") != "COLUMN_REF":
        return
    name = _fold(visit.item["column_names"][-1])
    if name in SPECIAL_NAMES and name not in {_fold(column) for column in columns}:
        fix = "Compare with a constant or a column: the same rows must always give the same answer."
        raise UnsafeSqlError(problem=f"{_shown(name)} reads the clock, the session or the order of rows", fix=fix)


def _gives_one_row(node: Tree, ctes: Mapping[str, bool]) -> bool:
    """Whether a query gives exactly one row whatever the data: proved from its shape, never by running it."""
    known = dict(ctes)
    for entry in node["cte_map"]["map"]:
        known[_fold(entry["key"])] = _gives_one_row(entry["value"]["query_node"], known)
    if node["type"] != "SELECT_NODE" or node["aggregate_handling"] != "STANDARD_HANDLING":
        return False
    if node["group_expressions"] or node["group_sets"] or node["having"] or node["qualify"]:
        return False
    if any(modifier["type"] == "LIMIT_MODIFIER" for modifier in node["modifiers"]):
        return False
    called = {_called(visit) for expression in node["select_list"] for visit in _walk_outside_subqueries(expression)}
    if called & EXPANDING_FUNCTIONS:
        return False
    if called & _functions().aggregates:
        return True
    return node["where_clause"] is None and _reference_gives_one_row(node["from_table"], known)


def _reference_gives_one_row(reference: Tree, ctes: Mapping[str, bool]) -> bool:
    kind = reference["type"]
    if kind == "SUBQUERY":
        return _gives_one_row(reference["subquery"]["node"], ctes)
    if kind == "BASE_TABLE":
        return ctes.get(_fold(reference["table_name"]), False)
    if kind == "JOIN" and reference["ref_type"] == "CROSS":
        return all(_reference_gives_one_row(reference[side], ctes) for side in ("left", "right"))
    return bool(kind == "EMPTY")


def _walk_outside_subqueries(expression: Tree) -> Iterator[_Visit]:
    """The expression's own nodes: an aggregate in a subquery, or over a window, does not make one row of many."""
    stack: list[Any] = [expression]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, dict) and item.get("class") not in {"SUBQUERY", "WINDOW"}:
            yield _Visit(item, frozenset(), frozenset())
            stack.extend(item.values())


def _check_boolean(expression: str, columns: Mapping[str, str], fix: str) -> None:
    kinds = _bound_types(f"SELECT (\n{expression}\n) FROM _hg_rows", "_hg_rows", columns, fix)
    if kinds != ["BOOLEAN"]:
        raise UnsafeSqlError(problem=f"the expression is {kinds[0]} and not BOOLEAN", fix=fix)


def _check_number(query: str, relation: str, columns: Mapping[str, str], fix: str) -> None:
    kinds = _bound_types(query, relation, columns, fix)
    if len(kinds) != 1:
        raise UnsafeSqlError(problem=f"the query gives {len(kinds)} columns", fix=fix)
    if not NUMBER_TYPES.fullmatch(kinds[0]):
        raise UnsafeSqlError(problem=f"the query gives {kinds[0]} and not a number", fix=fix)


def _bound_types(query: str, relation: str, columns: Mapping[str, str], fix: str) -> list[str]:
    """The types of a query's columns, found by binding it to an empty table; nothing is evaluated over rows."""
    cursor = _database().cursor()
    try:
        declared = ", ".join(f"{quoted(name)} {kind}" for name, kind in columns.items())
        cursor.execute(f"CREATE TEMP TABLE {relation} ({declared})")
        cursor.execute(f"SELECT * FROM (\n{query}\n) LIMIT 0")
        described = cursor.description or []
        cursor.fetchall()
    except duckdb.Error as error:
        listed = f" The columns are: {', '.join(columns)}." if isinstance(error, duckdb.BinderException) else ""
        raise UnsafeSqlError(problem=f"the SQL cannot be used: {_first_line(error)}", fix=fix + listed) from None
    finally:
        cursor.close()
    return [str(column[1]) for column in described]
