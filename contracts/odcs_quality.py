"""Rules of a data contract: `quality` of an ODCS file, at its columns and at the table.

A check that allows no offending row becomes a row rule: the offenders go to quarantine and the rest is published. A
check that allows some becomes a set rule over the partition's rows: when it breaks, the partition is held. With
severity `warning` both are counted and stop nothing. Checks that nobody would run (`text`, other engines, schedules)
are refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from contracts.duckdb_syntax import DuckSyntax, literal, quoted
from contracts.odcs_columns import DeclaredColumn, value_text
from contracts.sql_guard import TABLE_PLACEHOLDER, UnsafeSqlError, check_row_expression, check_set_query
from contracts.table_contract import Column, RowRule, SetRule, Severity
from contracts.yaml_document import Problems, Section, shown

PROSE = ("id", "dimension", "businessImpact", "tags", "authoritativeDefinitions")
"""Said about a check and promising nothing more: read by people only."""

ENGINE = "hashgate"
"""The `engine` of a custom check whose `implementation` is an SQL expression over one row."""

Operator = Literal["=", "!=", ">", ">=", "<", "<=", "between", "not between"]

OPERATORS: Mapping[str, Operator] = {
    "mustBe": "=",
    "mustNotBe": "!=",
    "mustBeGreaterThan": ">",
    "mustBeGreaterOrEqualTo": ">=",
    "mustBeLessThan": "<",
    "mustBeLessOrEqualTo": "<=",
    "mustBeBetween": "between",
    "mustNotBeBetween": "not between",
}
METRICS = ("nullValues", "missingValues", "invalidValues", "duplicateValues", "rowCount")

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_TABLE_WORDS = re.compile(r"\$?\{(?:table|object)\}")
_COLUMN_WORDS = re.compile(r"\$?\{(?:property|column)\}")
_OTHER_WORD = re.compile(r"\$\{\w*\}")


@dataclass(frozen=True)
class Threshold:
    """What a measured number must be."""

    operator: Operator
    values: tuple[float, ...]

    @property
    def allows_none(self) -> bool:
        """Whether not one offender is allowed."""
        return self.operator in ("=", "<=") and self.values == (0.0,)


@dataclass
class Rules:
    """Everything that `quality` asks for."""

    row_rules: list[RowRule] = field(default_factory=list)
    set_rules: list[SetRule] = field(default_factory=list)
    unique_sets: list[tuple[str, ...]] = field(default_factory=list)
    """Sets of columns that may not repeat in a partition; one column or several."""


def read_rules(schema: Section, declared: Sequence[DeclaredColumn], duck: DuckSyntax, problems: Problems) -> Rules:
    """Read the checks of every column and of the table."""
    reader = _RuleReader(declared, duck, problems)
    for one in declared:
        for check in one.section.sections("quality"):
            reader.read(check, one.column)
    for check in schema.sections("quality"):
        reader.read(check, None)
    return reader.rules


class _RuleReader:
    def __init__(self, declared: Sequence[DeclaredColumn], duck: DuckSyntax, problems: Problems) -> None:
        self.rules = Rules()
        self._types = {one.column.name: one.column.type for one in declared}
        self._duck, self._problems = duck, problems
        self._names: set[str] = set()

    def read(self, check: Section, column: Column | None) -> None:
        before = len(self._problems.found)
        name = self._name(check, column)
        severity = Severity(check.text("severity", choices=tuple(Severity)) or Severity.ERROR)
        about = {"name": name or "unnamed", "severity": severity, "description": check.text("description") or ""}
        self._set_aside(check)
        kind = check.text("type", choices=("library", "sql", "custom", "text")) if check.has("type") else "library"
        readers: dict[str, Callable[..., None]] = {"sql": self._sql, "custom": self._custom, "library": self._library}
        if kind == "text":
            check.complain("a check in words is not enforced", "Move it to description, or write it as a rule.", "type")
            return
        if kind is not None:
            readers[kind](check, column, about, before)
            check.close()

    def _name(self, check: Section, column: Column | None) -> str | None:
        name = check.text("name")
        if name is None:
            parts = [
                column.name if column else "table",
                check.node.value["metric"].plain if check.has("metric") else "rule",
            ]
            check.require("name", f"Receipts show it: add name: {_spoken(' '.join(map(str, parts)))}.")
        elif not _NAME.fullmatch(name):
            fix = f"Use lower case, digits and _, such as {_spoken(name)}; the words can go to description."
            check.complain(f"{shown(name)} cannot be the name of a rule", fix, "name")
        elif name in self._names:
            check.complain(f"two rules are named {name}", "Give each its own name.", "name")
        else:
            self._names.add(name)
        return name

    def _set_aside(self, check: Section) -> None:
        for key in PROSE:
            check.get(key)
        always = "Remove it: every check runs at every ingest."
        check.refuse("schedule", "checks have no schedule of their own", always)
        check.refuse("scheduler", "checks have no scheduler of their own", always)
        check.refuse("method", "a method is not enforced", "Remove it, or say it in description.")
        check.refuse("rule", "ODCS calls this metric since v3.1", "Rename the key to metric.")
        check.refuse("customProperties", "a check has no custom properties here", "Remove them.")

    def _sql(self, check: Section, column: Column | None, about: dict[str, Any], before: int) -> None:
        check.require("query", f"Write one SELECT over {TABLE_PLACEHOLDER} that gives one number.")
        threshold = self._threshold(check)
        check.refuse("unit", "the query's number has no unit", "Let the query compute what is compared, and remove it.")
        query = self._filled_in(check, "query", column)
        if query is None:
            return
        self._guarded(check, "query", lambda: check_set_query(query, self._types))
        if threshold is not None and len(self._problems.found) == before:
            self._add_set_rule(query, threshold, about)

    def _custom(self, check: Section, column: Column | None, about: dict[str, Any], before: int) -> None:
        check.text("engine", choices=(ENGINE,))
        check.require("engine", f"Write engine: {ENGINE}.")
        check.require("implementation", "Write a true-or-false SQL expression over one row, such as a <= b.")
        expression = self._filled_in(check, "implementation", column)
        if expression is None:
            return
        self._guarded(check, "implementation", lambda: check_row_expression(expression, self._types))
        if len(self._problems.found) == before:
            self.rules.row_rules.append(RowRule(expression=expression, **about))

    def _library(self, check: Section, column: Column | None, about: dict[str, Any], before: int) -> None:
        metric = check.text("metric", choices=METRICS)
        check.require("metric", f"Write one of {', '.join(METRICS)}.")
        threshold = self._threshold(check)
        unit = check.text("unit", choices=("rows", "percent")) or "rows"
        arguments = check.section("arguments")
        if metric is None:
            return
        measured = self._measured(check, metric, arguments, column)
        if arguments is not None:
            arguments.close()
        if threshold is None or measured is None or len(self._problems.found) > before:
            return
        if metric == "rowCount" and unit == "percent":
            check.complain("a number of rows is not a percentage", "Remove unit.", "unit")
        elif isinstance(measured, tuple):
            self._add_uniqueness(measured, threshold, unit, about)
        elif threshold.allows_none and metric != "rowCount":
            self.rules.row_rules.append(RowRule(expression=measured, **about))
        else:
            count = "count(*)" if metric == "rowCount" else f"count(*) FILTER (WHERE ({measured}) IS NOT TRUE)"
            self._add_set_rule(_measure(count, unit), threshold, about)

    def _measured(
        self, check: Section, metric: str, arguments: Section | None, column: Column | None
    ) -> str | tuple[str, ...] | None:
        """What a good row satisfies, as SQL; for duplicates, the columns that count."""
        if metric == "rowCount":
            if column is not None:
                check.complain("rows are counted at the table", "Move it to the table's quality.", "metric")
            return "TRUE"
        if metric == "duplicateValues":
            return self._distinct_columns(check, arguments, column)
        if column is None:
            check.complain(f"{metric} is measured at a column", "Move it to that column's quality.", "metric")
            return None
        if metric == "nullValues":
            return f"{quoted(column.name)} IS NOT NULL"
        if metric == "missingValues":
            return self._not_missing(check, arguments, column)
        return self._valid(check, arguments, column)

    def _distinct_columns(
        self, check: Section, arguments: Section | None, column: Column | None
    ) -> tuple[str, ...] | None:
        if column is not None:
            return (column.name,)
        names = arguments.texts("properties") if arguments is not None else None
        if not names:
            fix = "Write arguments: {properties: [a, b]}."
            check.complain("duplicateValues at the table needs the columns that count", fix, "metric")
            return None
        unknown = [name for name in names if name not in self._types]
        if unknown or len(set(names)) != len(names):
            problem = f"{', '.join(unknown)} is no column" if unknown else "a column stands twice"
            check.complain(problem, f"The columns are {', '.join(self._types)}.", "arguments")
            return None
        return names

    def _not_missing(self, check: Section, arguments: Section | None, column: Column) -> str | None:
        nodes = arguments.items("missingValues") if arguments is not None else []
        if not nodes:
            fix = "Write arguments: {missingValues: [null, 'N/A']}; for NULL alone use nullValues."
            check.complain("missingValues needs the values that count as missing", fix, "metric")
            return None
        texts = [value_text(node, column.type, self._duck, self._problems) for node in nodes if node.value is not None]
        if any(text is None for text in texts):
            return None
        name, listed = quoted(column.name), _typed_list([text for text in texts if text is not None], column.type)
        with_null = len(texts) < len(nodes)
        if not texts:
            return f"{name} IS NOT NULL"
        return (
            f"{name} IS NOT NULL AND {name} NOT IN ({listed})"
            if with_null
            else f"{name} IS NULL OR {name} NOT IN ({listed})"
        )

    def _valid(self, check: Section, arguments: Section | None, column: Column) -> str | None:
        nodes = arguments.items("validValues") if arguments is not None else []
        pattern = arguments.text("pattern") if arguments is not None else None
        if bool(nodes) == (pattern is not None):
            fix = "Write arguments: {validValues: ['a', 'b']} or arguments: {pattern: '...'}."
            check.complain("invalidValues needs either validValues or pattern", fix, "metric")
            return None
        name = quoted(column.name)
        if pattern is not None:
            return self._matching(check, pattern, column)
        texts = [value_text(node, column.type, self._duck, self._problems) for node in nodes]
        if any(text is None for text in texts):
            return None
        return f"{name} IS NULL OR {name} IN ({_typed_list([text for text in texts if text is not None], column.type)})"

    def _matching(self, check: Section, pattern: str, column: Column) -> str | None:
        refusal = self._duck.pattern_problem(pattern)
        if refusal is not None:
            fix = "Patterns are RE2's: no look-around, no back-references, at most 1,000 repetitions."
            check.complain(f"RE2 refuses the pattern: {refusal}", fix, "arguments")
            return None
        if column.type != "VARCHAR":
            check.complain(f"a pattern needs text, and {column.name} is {column.type}", "Use validValues.", "arguments")
            return None
        return f"{quoted(column.name)} IS NULL OR regexp_full_match({quoted(column.name)}, {literal(pattern)})"

    def _add_uniqueness(self, names: tuple[str, ...], threshold: Threshold, unit: str, about: dict[str, Any]) -> None:
        if threshold.allows_none and about["severity"] is Severity.ERROR:
            self.rules.unique_sets.append(names)
            return
        listed = ", ".join(map(quoted, names))
        present = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in names)
        key = f"({listed})" if len(names) > 1 else listed
        count = f"count(*) FILTER (WHERE {present}) - count(DISTINCT {key}) FILTER (WHERE {present})"
        self._add_set_rule(_measure(count, unit), threshold, about)

    def _add_set_rule(self, query: str, threshold: Threshold, about: dict[str, Any]) -> None:
        rule = SetRule(query=query, operator=threshold.operator, threshold=threshold.values, **about)
        self.rules.set_rules.append(rule)

    def _threshold(self, check: Section) -> Threshold | None:
        stated = check.stated(*OPERATORS)
        if len(stated) != 1:
            problem = f"{' and '.join(stated)} both stand here" if stated else "it does not say what the number must be"
            check.complain(problem, f"Write one of {', '.join(OPERATORS)}.")
            return None
        key = stated[0]
        numbers = check.items(key) if "Between" in key else [node for node in [check.get(key)] if node is not None]
        if not numbers or any(node.kind != "number" for node in numbers):
            check.complain(
                f"{key} compares numbers", "Write a number, or [low, high] for Between, without quotes.", key
            )
            return None
        values = tuple(float(node.value) for node in numbers)
        if "Between" in key and (len(values) != 2 or values[0] >= values[1]):
            check.complain(f"{key} needs two numbers, the smaller first", "Write [low, high].", key)
            return None
        return Threshold(OPERATORS[key], values)

    def _filled_in(self, check: Section, key: str, column: Column | None) -> str | None:
        """The SQL with ODCS's placeholders replaced: the table's by `{table}`, the column's by its quoted name."""
        sql = check.text(key)
        if sql is None:
            return None
        sql = _TABLE_WORDS.sub(TABLE_PLACEHOLDER, sql.strip().removesuffix(";"))
        if column is not None:
            sql = _COLUMN_WORDS.sub(lambda _: quoted(column.name), sql)
        left = _COLUMN_WORDS.search(sql) or _OTHER_WORD.search(sql)
        if left is not None:
            fix = f"Known are {TABLE_PLACEHOLDER} and, at a column, {{property}}."
            check.complain(f"{left[0]} stands for nothing here", fix, key)
            return None
        return sql

    def _guarded(self, check: Section, key: str, ask: Callable[[], None]) -> None:
        """Ask the SQL guard, unless a column without type would make it blame the rule."""
        if not all(self._types.values()):
            return
        try:
            ask()
        except UnsafeSqlError as error:
            check.complain(error.evidence["problem"], error.evidence["fix"], key)


def _measure(count: str, unit: str) -> str:
    if unit == "percent":
        return f"SELECT coalesce(100.0 * ({count}) / nullif(count(*), 0), 0) FROM {TABLE_PLACEHOLDER}"
    return f"SELECT {count} FROM {TABLE_PLACEHOLDER}"


def _typed_list(texts: Sequence[str], column_type: str) -> str:
    if column_type == "VARCHAR":
        return ", ".join(map(literal, texts))
    return ", ".join(f"CAST({literal(text)} AS {column_type})" for text in texts)


def _spoken(text: str) -> str:
    """A rule's name made of other words."""
    words = re.sub(r"([a-z])([A-Z])", r"\1_\2", text).lower()
    name = re.sub(r"[^a-z0-9]+", "_", words).strip("_")
    return name[:63] if name[:1].isalpha() else f"rule_{name}"[:63]
