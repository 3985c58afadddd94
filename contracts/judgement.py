"""A table contract as SQL: which rows are sound, what is wrong with the others, which repeat a key.

Every cell arrives as text. A row is sound when every cell that is there is written exactly as its type wants, and
every constraint and every rule of error severity holds. `valid_query` and `reasons_query` are built from the same
list of checks, each of which is TRUE or FALSE and never NULL, so they part the rows without a gap and without overlap.

A published cell says what the file says, so nothing is rounded, cut, shifted or guessed:

- TINYINT ... UBIGINT: digits with an optional sign; leading zeros are fine.
- DECIMAL(p,s): digits with an optional sign and point; those beyond the scale must be zeros; no exponent.
- FLOAT, DOUBLE: a number as in JSON, also `.5`, `5.` and `+5`, taken to the nearest that the type has; not one that
  overflows it. Also `NaN`, `inf`, `Infinity`, with a sign, in any case.
- BOOLEAN: `true` and `false` in any case, `1`, `0`.
- DATE: `2013-11-23`, years 0001 to 9999.
- TIME: `17:45`, `17:45:00`, `17:45:00.123456`.
- TIMESTAMP: a date, a blank or `T`, a time. A date alone is midnight, because writers leave the time out of a column
  in which all are midnight. An offset is refused: it would be lost.
- TIMESTAMP WITH TIME ZONE: the same and `Z`, `+02`, `+0200` or `+02:00`. Without one it is in the column's zone: a time
  that the zone's clocks skip is refused, of one that they show twice it is the later.
- JSON: what DuckDB reads: RFC 8259 and, beyond it, `NaN`, `Infinity` and a trailing comma.
- VARCHAR: everything, as it is.

Fractions of a second have up to six digits, more only when they are zeros. With formats in the contract these are
tried in order and nothing else is accepted; the whole text must match, blanks around it are refused, and a part that
the type cannot hold (a time in a DATE) must be zero. No text takes white space around it, whatever the type.

The SQL does not depend on the session's time zone for reading text, but a rule's own casts may: run it under UTC.
This module runs nothing on data; it only asks DuckDB, in memory, whether what it compiled binds.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cached_property, lru_cache
from typing import Any

import duckdb

from contracts.duckdb_syntax import INTEGER_TYPES, DuckSyntax, duck_syntax, literal, quoted
from contracts.errors import ContractError
from contracts.reasons import Reason
from contracts.sql_guard import (
    PARTITION_RELATION,
    TABLE_PLACEHOLDER,
    check_row_expression,
    check_set_query,
    columns_used,
)
from contracts.table_contract import EXTRA_COLUMN, LINEAGE_COLUMNS, Column, RowRule, SetRule, Severity, TableContract

COMPILER_VERSION = 1
"""Raised whenever the same contract may judge the same text otherwise: part of a segment's transform."""

ORDER_COLUMN = "_hg_order"
"""BIGINT beside the valid rows where keys are compared: the position of the row's drop in the selection."""

SHOWN_CHARACTERS = 200
"""How much of an offending cell a reason quotes."""

REASON_TYPE = 'STRUCT(code VARCHAR, "column" VARCHAR, rule VARCHAR, message VARCHAR, value VARCHAR)'


@dataclass(frozen=True)
class Check:
    """One thing that must hold for a row, and what to say when it does not."""

    condition: str
    """SQL over the typed columns and their texts; TRUE or FALSE, never NULL."""
    code: Reason
    message: str
    value: str
    """SQL for the text to quote."""
    column: str | None = None
    rule: str | None = None
    readable: tuple[str, ...] = ()
    """Conditions that its columns could be read; where one is FALSE, TYPE says it all and this is not reported."""


@dataclass(frozen=True)
class Judgement:
    """The compiled contract. A `source` or `valid` below is what may stand after FROM: a name, or `(SELECT ...)`."""

    contract: TableContract

    def valid_query(self, source: str) -> str:
        """The sound rows of a relation of texts, typed, in the order of `contract.table_schema`.

        Args:
            source: Columns named as the contract's (VARCHAR), `_hg_extra` when the contract keeps undeclared columns,
                `_hg_source`, `_hg_segment` (VARCHAR) and `_hg_record` (BIGINT).
        """
        names = ", ".join(quoted(name) for name in self.contract.table_schema)
        return f"SELECT {names} FROM ({self._judged(self._typed(source))}) WHERE _hg_sound"

    def reasons_query(self, source: str) -> str:
        """The other rows: `_hg_source`, `_hg_record`, and `reasons`, a list of everything that is wrong with each.

        A rule is not reported as broken where a cell it reads could not be read: TYPE has said so. In no particular
        order, unless the connection preserves that of `source`.

        Args:
            source: As for `valid_query`.
        """
        return f"SELECT _hg_source, _hg_record, _hg_reasons AS reasons FROM ({self._reasoned(source, 'NOT _hg_sound')})"

    def quarantine_query(self, source: str) -> str:
        """The same rows as quarantine keeps them, and with them those that come with reasons of their own.

        Args:
            source: As for `valid_query`, and `_hg_place` (STRUCT of `byte_start`, `byte_end` and `raw`, to be handed
                on) and `_hg_given` (`REASON_TYPE[]`): reasons that were found before; where there are any, they
                stand instead of the judgement.
        """
        wrong = "_hg_given IS NOT NULL OR NOT _hg_sound"
        judged = self._reasoned(source, wrong, passing=("_hg_place", "_hg_given"))
        reasons = "coalesce(_hg_given, _hg_reasons) AS reasons"
        return f"SELECT _hg_source, _hg_record, _hg_segment, unnest(_hg_place), {reasons} FROM ({judged})"

    def warnings_query(self, valid: str) -> str | None:
        """How many sound rows break each rule of warning severity: rows of `rule` and `rows_broken`, zeros included.

        Args:
            valid: The typed rows.

        Returns:
            None when the contract has no such rule.
        """
        rules = [rule for rule in self.contract.row_rules if rule.severity is Severity.WARNING]
        if not rules:
            return None
        counts = ", ".join(
            f"{{'rule': {literal(rule.name)}, 'rows_broken': count(*) FILTER (WHERE NOT {_rule_holds(rule)})}}"
            for rule in rules
        )
        return f"SELECT unnest([{counts}], recursive := true) FROM {valid}"

    def duplicates_query(self, valid: str, key: Sequence[str]) -> str:
        """The rows whose key an earlier row has: `_hg_source`, `_hg_record`, `_hg_order`, and who was first.

        Earlier is lower in (`_hg_order`, `_hg_record`). As in SQL, NULL equals nothing: a row with a NULL in its key
        repeats nothing. Only the rows of repeated keys are sorted, so a clean table costs one grouping.

        Args:
            valid: The typed rows with `_hg_order`.
            key: Columns of the contract, at least one.

        Returns:
            SQL giving the three above and `first_source`, `first_record`: the row that stays.
        """
        names = self._key(key)
        whole = " AND ".join(f"{name} IS NOT NULL" for name in names)
        columns = ", ".join(names)
        repeated = f"SELECT {columns} FROM {valid} WHERE {whole} GROUP BY {columns} HAVING count(*) > 1"
        lineage = "_hg_source, _hg_record, _hg_order"
        window = f"(PARTITION BY {columns} ORDER BY _hg_order, _hg_record)"
        ranked = (
            f"SELECT {lineage}, row_number() OVER {window} AS _hg_position, first(_hg_source) OVER {window} "
            f"AS first_source, first(_hg_record) OVER {window} AS first_record FROM {valid} SEMI JOIN ({repeated}) "
            f"USING ({columns})"
        )
        return (
            f"SELECT {lineage}, first_source, first_record FROM ({ranked}) WHERE _hg_position > 1 "
            "ORDER BY _hg_order, _hg_record"
        )

    def has_duplicates_query(self, valid: str, key: Sequence[str]) -> str:
        """Whether `duplicates_query` may give a row: one BOOLEAN, FALSE only when it gives none.

        It counts 64-bit hashes of the keys and not the keys, so that its memory does not grow with their length;
        when two keys share a hash (about once in 400,000 tables of ten million rows) the answer is TRUE for nothing.
        """
        names = self._key(key)
        whole = " AND ".join(f"{name} IS NOT NULL" for name in names)
        hashes = f"SELECT hash({', '.join(names)}) AS _hg_key FROM {valid} WHERE {whole}"
        return f"SELECT count(*) <> count(DISTINCT _hg_key) FROM ({hashes})"

    def set_rule_query(self, rule: SetRule, table_sql: str) -> str:
        """A set rule's SELECT over the given rows; it should give one row of one number, see `holds`.

        Args:
            rule: Of this contract.
            table_sql: The partition's valid rows.
        """
        query = rule.query.replace(TABLE_PLACEHOLDER, PARTITION_RELATION)
        rows = f"WITH {PARTITION_RELATION} AS NOT MATERIALIZED (SELECT * FROM {table_sql})"
        return f"{rows} SELECT * FROM (\n{query}\n)"

    @cached_property
    def checks(self) -> tuple[Check, ...]:
        """Every check of a row, columns first, in the contract's order."""
        columns = [check for number, column in enumerate(self.contract.columns) for check in self._of(number, column)]
        errors = [rule for rule in self.contract.row_rules if rule.severity is Severity.ERROR]
        return (*columns, *(self._rule_check(rule) for rule in errors))

    def _of(self, number: int, column: Column) -> Iterator[Check]:
        cell = _Cell(column, quoted(column.name), _text(number))
        shown = f"left({cell.text}, {SHOWN_CHARACTERS})"
        required = column.required or column.primary_key_position is not None
        if required:
            condition = f"({cell.text} IS NOT NULL)"
            yield Check(condition, Reason.REQUIRED, "expected a value, found none", shown, column.name)
        if column.type != "VARCHAR":
            yield Check(_typed_exactly(cell), Reason.TYPE, f"expected {_spelling(column)}", shown, column.name)
        for condition, code, message in _constraints(cell):
            readable = (_typed_exactly(cell),) if column.type != "VARCHAR" else ()
            yield Check(condition, code, message, shown, column.name, readable=readable)

    def _rule_check(self, rule: RowRule) -> Check:
        used = columns_used(rule.expression, [column.name for column in self.contract.columns])
        numbered = [(number, column) for number, column in enumerate(self.contract.columns) if column.name in used]
        cells = [_Cell(column, quoted(column.name), _text(number)) for number, column in numbered]
        parts = ", ".join(f"{literal(cell.column.name + '=')} || coalesce({cell.text}, 'NULL')" for cell in cells)
        value = f"left(concat_ws(', ', {parts}), {SHOWN_CHARACTERS})" if parts else "CAST(NULL AS VARCHAR)"
        readable = tuple(_typed_exactly(cell) for cell in cells if cell.column.type != "VARCHAR")
        message = rule.description or f"expected {rule.expression}"
        return Check(_rule_holds(rule), Reason.RULE, message, value, rule=rule.name, readable=readable)

    def _reasoned(self, source: str, where: str, passing: Sequence[str] = ()) -> str:
        """The rows of `source` that are so, with all that is wrong with them."""
        judged = self._judged(self._emptied(self._typed(source, passing)))
        cases = ",\n".join(_reason_case(check) for check in self.checks)
        reasons = f"list_filter(CAST([{cases}] AS {REASON_TYPE}[]), lambda reason: reason IS NOT NULL)"
        return f"SELECT *, {reasons} AS _hg_reasons FROM ({judged}) WHERE {where}"

    def _typed(self, source: str, passing: Sequence[str] = ()) -> str:
        """Every column cast, beside its text: a cast that is not exact is still here, and the checks see to it."""
        parts = []
        for number, column in enumerate(self.contract.columns):
            raw = f"_hg_raw.{quoted(column.name)}"
            parts += [f"{raw} AS {_text(number)}", f"{_value(column, raw)} AS {quoted(column.name)}"]
        extra = (EXTRA_COLUMN,) if self.contract.undeclared_columns == "keep" else ()
        parts += [f"_hg_raw.{name}" for name in (*extra, *LINEAGE_COLUMNS, *passing)]
        return f"SELECT {', '.join(parts)} FROM {source} AS _hg_raw"

    def _emptied(self, typed: str) -> str:
        """Casts that are not exact made NULL, so that what is reported about a cell is about its text."""
        cells = [
            _Cell(column, quoted(column.name), _text(number)) for number, column in enumerate(self.contract.columns)
        ]
        exact = ", ".join(
            f"CASE WHEN {_typed_exactly(cell)} THEN {cell.value} END AS {cell.value}"
            for cell in cells
            if cell.column.type != "VARCHAR"
        )
        return f"SELECT * REPLACE ({exact}) FROM ({typed})" if exact else typed

    def _judged(self, typed: str) -> str:
        """`typed` with `_hg_sound`.

        The volatile `random() >= 0`, always true, keeps DuckDB from pushing the filter on `_hg_sound` below the
        casts, where it would evaluate each of them a second time (7 % of a COPY's wall time on 500,000 x 18 cells).
        """
        sound = " AND ".join(check.condition for check in self.checks) or "TRUE"
        return f"SELECT *, {sound} AND random() >= 0 AS _hg_sound FROM ({typed})"

    def _key(self, key: Sequence[str]) -> list[str]:
        known = {column.name for column in self.contract.columns}
        if not key or not set(key) <= known:
            msg = f"a key is made of columns of {self.contract.table}, not of {list(key)!r}"
            raise ValueError(msg)
        return [quoted(name) for name in key]


@lru_cache(maxsize=64)
def compile_judgement(contract: TableContract) -> Judgement:
    """Turn a contract into SQL, and make sure that DuckDB takes all of it. Kept: a segment asks for it anew each time.

    Raises:
        ContractError: A bound, allowed value, pattern, format or time zone is not one.
        UnsafeSqlError: A rule is not what `contracts.sql_guard` allows.
    """
    names = {column.name: column.type for column in contract.columns}
    for rule in contract.row_rules:
        check_row_expression(rule.expression, names)
    for set_rule in contract.set_rules:
        check_set_query(set_rule.query, contract.table_schema)
    judgement = Judgement(contract)
    with duck_syntax() as syntax:
        for column in contract.columns:
            _check_type(contract, column, syntax)
            _check_literals(contract, column, syntax.connection)
        _check_binds(judgement, syntax.connection)
    return judgement


def holds(rule: SetRule, value: object) -> bool:
    """Whether what a set rule's SELECT gave is what it must be. Nothing, or no number, is not."""
    if isinstance(value, bool):
        value = int(value)
    if not isinstance(value, int | float | Decimal) or value != value:  # noqa: PLR0124 - only NaN differs from itself
        return False
    low, high = rule.threshold[0], rule.threshold[-1]
    if rule.operator in {"between", "not between"}:
        return (low <= value <= high) is (rule.operator == "between")
    return bool(_COMPARISONS[rule.operator](value, low))


_COMPARISONS: Mapping[str, Callable[[Any, float], object]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


# --- text to value ---------------------------------------------------------------------------------------------------

_DIGITS = "[+-]?[0-9]+"
_NUMBER = r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?"
_NO_NUMBER = "(?i)[+-]?(nan|inf|infinity)"
_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = r"([01][0-9]|2[0-3]):[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6}0*)?)?"
_OFFSET = "(Z|[+-]([01][0-9]|2[0-3])(:?[0-5][0-9])?)"
_TRIMMED = r"(?s)(\S.*)?[0-9](.*\S)?"
"""strptime skips white space around the text and takes `epoch` and `infinity`; this does not."""

_FIRST, _LAST = "0001-01-01", "9999-12-31"


@dataclass(frozen=True)
class _Cell:
    """A column in the typed relation: SQL for its value and for its text."""

    column: Column
    value: str
    text: str


def _text(number: int) -> str:
    """The name under which a column's text stands beside its value."""
    return f"_hg_text_{number}"


def _matches(text: str, pattern: str) -> str:
    return f"regexp_full_match({text}, {literal(pattern)})"


def _value(column: Column, text: str) -> str:
    """SQL that reads a text as the column's type. It never fails; where it is not exact, `_exact` says so."""
    if column.type == "VARCHAR":
        return text
    if column.formats:
        readings = [_formatted(column, text, each) for each in column.formats]
        return f"CASE WHEN {_matches(text, _TRIMMED)} THEN coalesce({', '.join(readings)}) END"
    if column.type == "TIMESTAMP WITH TIME ZONE":
        return _zoned_value(column, text)
    return f"TRY_CAST({text} AS {column.type})"


def _zoned_value(column: Column, text: str) -> str:
    with_offset = _matches(text, f"{_DATE}[ T]{_TIME}{_OFFSET}")
    without = _matches(text, f"{_DATE}([ T]{_TIME})?")
    local = _in_zone(column, f"TRY_CAST({text} AS TIMESTAMP)")
    return f"CASE WHEN {with_offset} THEN TRY_CAST({text} AS TIMESTAMPTZ) WHEN {without} THEN {local} END"


def _in_zone(column: Column, local: str) -> str:
    """A wall clock's time as a moment; NULL for a time that the zone's clocks skip."""
    zone = literal(column.time_zone)
    moment = f"TRY(timezone({zone}, {local}))"
    if column.time_zone == "UTC":
        return moment
    return f"CASE WHEN TRY(timezone({zone}, {moment})) = {local} THEN {moment} END"


def _formatted(column: Column, text: str, strptime_format: str) -> str:
    """SQL that reads a text by one strptime format, NULL where it says more than the type holds."""
    directives = set(re.findall(r"%-?(.)", strptime_format))
    parsed = f"try_strptime({text}, {literal(strptime_format)})"
    if directives & {"z", "Z"}:
        if column.type == "TIMESTAMP WITH TIME ZONE":
            return parsed
        parsed = f"timezone('UTC', {parsed})"
    if "n" in directives:
        micros = f"CAST({parsed} AS TIMESTAMP)"
        parsed = f"CASE WHEN CAST({micros} AS TIMESTAMP_NS) = {parsed} THEN {micros} END"
    if column.type == "TIMESTAMP WITH TIME ZONE":
        return _in_zone(column, parsed)
    if column.type == "DATE":
        return f"CASE WHEN date_trunc('day', {parsed}) = {parsed} THEN CAST({parsed} AS DATE) END"
    if column.type == "TIME":
        return f"CASE WHEN CAST({parsed} AS DATE) = DATE '1900-01-01' THEN CAST({parsed} AS TIME) END"
    return parsed


def _typed_exactly(cell: _Cell) -> str:
    """SQL: the cell is NULL, or its text is written exactly as the type wants. Never NULL itself."""
    return f"({cell.text} IS NULL OR {_exact(cell)})"


def _exact(cell: _Cell) -> str:
    """SQL: TRUE when the value is what the text says, FALSE when it is not or there is none.

    Casting back and comparing is cheaper than a regular expression and true of nearly every cell; CASE, unlike OR,
    leaves the expression to the few others.
    """
    kind, value, text = cell.column.type, cell.value, cell.text
    read = f"{value} IS NOT NULL"
    same = f"CAST({value} AS VARCHAR) = {text}"
    if kind in INTEGER_TYPES:
        return f"CASE WHEN {same} THEN TRUE ELSE {read} AND {_matches(text, _DIGITS)} END"
    if kind.startswith("DECIMAL"):
        return f"CASE WHEN {same} THEN TRUE ELSE {read} AND {_matches(text, _decimal(kind))} END"
    if kind in {"FLOAT", "DOUBLE"}:
        finite = f"isfinite({value}) AND {_matches(text, _NUMBER)}"
        return f"CASE WHEN {finite} THEN TRUE ELSE {read} AND {_matches(text, _NO_NUMBER)} END"
    if kind == "BOOLEAN":
        return f"lower({text}) IN ('true', 'false', '1', '0')"
    if kind == "JSON":
        return f"({read})"
    return f"coalesce({_in_calendar(kind, value)}, FALSE)" + _iso(cell, same)


def _iso(cell: _Cell, same: str) -> str:
    """For what has no formats: the text is ISO 8601."""
    kind = cell.column.type
    if cell.column.formats or kind == "TIMESTAMP WITH TIME ZONE":
        return ""
    if kind == "DATE":
        return f" AND coalesce({same}, FALSE)"
    if kind == "TIME":
        return f" AND CASE WHEN {same} THEN TRUE ELSE {_matches(cell.text, _TIME)} END"
    with_t = f"CAST({cell.value} AS VARCHAR) = replace({cell.text}, 'T', ' ')"
    written = _matches(cell.text, f"{_DATE}([ T]{_TIME})?")
    return f" AND CASE WHEN {same} THEN TRUE WHEN {with_t} THEN TRUE ELSE {written} END"


def _in_calendar(kind: str, value: str) -> str:
    """SQL: the value is one that has four digits of year, and a day of less than 24 hours; not `infinity`."""
    if kind == "TIME":
        return f"{value} < TIME '24:00:00'"
    if kind == "DATE":
        return f"{value} BETWEEN DATE '{_FIRST}' AND DATE '{_LAST}'"
    zone = "+00" if kind == "TIMESTAMP WITH TIME ZONE" else ""
    first, last = f"{kind} '{_FIRST} 00:00:00{zone}'", f"{kind} '{_LAST} 23:59:59.999999{zone}'"
    return f"{value} BETWEEN {first} AND {last}"


def _decimal(kind: str) -> str:
    scale = kind.removesuffix(")").rpartition(",")[2].strip()
    return rf"[+-]?([0-9]+(\.[0-9]{{0,{scale}}}0*)?|\.[0-9]{{0,{scale}}}0*)"


def _spelling(column: Column) -> str:
    """What a text of the column looks like, for a person."""
    kind = column.type
    if column.formats:
        return f"{kind} written as {' or '.join(column.formats)}"
    if kind in INTEGER_TYPES:
        return f"{kind}: digits with an optional sign, in its range"
    if kind.startswith("DECIMAL"):
        return f"{kind}: a number without exponent that loses no digit"
    return f"{kind}: {_SPELLINGS[kind]}"


_SPELLINGS = {
    "FLOAT": "a number such as -1.5e3, in its range",
    "DOUBLE": "a number such as -1.5e3, in its range",
    "BOOLEAN": "true, false, 1 or 0",
    "DATE": "such as 2013-11-23",
    "TIME": "such as 17:45:00, up to microseconds",
    "TIMESTAMP": "such as 2013-11-23 17:45:00, without offset, up to microseconds",
    "TIMESTAMP WITH TIME ZONE": "such as 2013-11-23T17:45:00+01:00, up to microseconds",
    "JSON": "one JSON value",
}


# --- constraints and rules -------------------------------------------------------------------------------------------


def _constraints(cell: _Cell) -> Iterator[tuple[str, Reason, str]]:
    """Condition, code and message of everything the contract asks of a cell that is there."""
    column, text = cell.column, cell.text
    if column.min_length is not None or column.max_length is not None:
        yield _length(cell)
    if column.pattern is not None:
        yield (
            f"coalesce({_matches(text, column.pattern)}, TRUE)",
            Reason.PATTERN,
            f"expected text like {column.pattern}",
        )
    if column.minimum is not None or column.maximum is not None:
        yield _range(cell)
    if column.multiple_of is not None:
        yield _multiple(cell, column.multiple_of)
    if column.allowed_values is not None:
        listed = ", ".join(_bound(column, value) for value in column.allowed_values)
        spoken = ", ".join(column.allowed_values)
        yield f"coalesce({cell.value} IN ({listed}), TRUE)", Reason.VALUE, f"expected one of {spoken}"


def _length(cell: _Cell) -> tuple[str, Reason, str]:
    low, high = cell.column.min_length or 0, cell.column.max_length
    if high is None:
        bounds, spoken = f">= {low}", f"at least {low}"
    else:
        bounds, spoken = f"BETWEEN {low} AND {high}", f"{low} to {high}" if low else f"at most {high}"
    return f"coalesce(length({cell.text}) {bounds}, TRUE)", Reason.LENGTH, f"expected {spoken} characters"


def _range(cell: _Cell) -> tuple[str, Reason, str]:
    column = cell.column
    parts, spoken = [], []
    if column.minimum is not None:
        sign = ">" if column.exclusive_minimum else ">="
        parts.append(f"{cell.value} {sign} {_bound(column, column.minimum)}")
        spoken.append(f"{sign} {column.minimum}")
    if column.maximum is not None:
        sign = "<" if column.exclusive_maximum else "<="
        parts.append(f"{cell.value} {sign} {_bound(column, column.maximum)}")
        spoken.append(f"{sign} {column.maximum}")
    return f"coalesce({' AND '.join(parts)}, TRUE)", Reason.RANGE, f"expected {' and '.join(spoken)}"


def _bound(column: Column, text: str) -> str:
    """A constant of the contract as a value of the column's type, written in ISO 8601 whatever the column's formats."""
    return _value(column.model_copy(update={"formats": ()}), literal(text))


def _multiple(cell: _Cell, multiple: str) -> tuple[str, Reason, str]:
    """Decimal arithmetic, because 0.3 is no multiple of 0.1 in binary; a text finer than 15 places is none."""
    kind, value = cell.column.type, cell.value
    divisor = f"CAST({literal(multiple)} AS {_decimal_type(multiple)})"
    if kind in {"FLOAT", "DOUBLE"}:
        exact = f"TRY_CAST({cell.text} AS DECIMAL(38,15))"
        divides = f"{exact} % {divisor} = 0 AND CAST({exact} AS {kind}) = {value}"
    else:
        divides = f"{value} % {divisor} = 0"
    condition = f"({value} IS NULL OR coalesce(TRY({divides}), FALSE))"
    return condition, Reason.MULTIPLE_OF, f"expected a multiple of {multiple}"


def _decimal_type(number: str) -> str:
    """The smallest DECIMAL that holds a number."""
    _, digits, exponent = Decimal(number).as_tuple()
    scale = max(-int(exponent), 0)
    return f"DECIMAL({max(len(digits) + max(int(exponent), 0), scale + 1)},{scale})"


def _rule_holds(rule: RowRule) -> str:
    """SQL: the rule is TRUE for the row. NULL or a failure (an overflow, say) means that it is not."""
    return f"coalesce(TRY((\n{rule.expression}\n)), FALSE)"


def _reason_case(check: Check) -> str:
    column = literal(check.column) if check.column is not None else "NULL"
    rule = literal(check.rule) if check.rule is not None else "NULL"
    broken = " AND ".join((f"NOT {check.condition}", *check.readable))
    fields = f"{literal(check.code)}, {column}, {rule}, {literal(check.message)}, {check.value}"
    return f"CASE WHEN {broken} THEN ROW({fields}) END"


# --- what a contract may get wrong -----------------------------------------------------------------------------------


def _check_type(contract: TableContract, column: Column, syntax: DuckSyntax) -> None:
    """Refuse a type of which this module knows no spelling, and DuckDB's other names for one."""
    if syntax.canonical_type(column.type) != column.type:
        problem = f"{column.type!r} is no type that a column may have"
        raise _refusal(contract, column, problem, "Write DuckDB's own name of a type, such as INTEGER or DECIMAL(9,2).")


def _check_literals(contract: TableContract, column: Column, connection: duckdb.DuckDBPyConnection) -> None:
    """Refuse a constant that is none: compared with NULL it would let everything pass."""
    plain = column.model_copy(update={"formats": ()})
    constants = [("minimum", column.minimum), ("maximum", column.maximum)]
    constants += [("allowed value", value) for value in column.allowed_values or ()]
    for word, text in constants:
        if text is None or column.type == "VARCHAR":
            continue
        cell = _Cell(plain, _bound(column, text), literal(text))
        if connection.execute(f"SELECT {_exact(cell)}").fetchall() != [(True,)]:
            problem = f"the {word} {text!r} is not {_spelling(plain)}"
            raise _refusal(contract, column, problem, "Write it as a value of the column's type.")
    if column.multiple_of is not None and not _is_positive(column.multiple_of):
        problem = f"multipleOf {column.multiple_of!r} is no number above zero"
        raise _refusal(contract, column, problem, "Write a number above zero.")
    try:
        connection.execute(f"SELECT timezone({literal(column.time_zone)}, TIMESTAMP '2000-01-01')").fetchall()
    except duckdb.Error:
        problem = f"{column.time_zone!r} is no time zone"
        raise _refusal(contract, column, problem, "Write a name such as Europe/Rome.") from None


def _refusal(contract: TableContract, column: Column, problem: str, fix: str) -> ContractError:
    where = f"column {column.name}"
    return ContractError(contract=contract.source or contract.table, where=where, problem=problem, fix=fix)


def _is_positive(number: str) -> bool:
    try:
        return Decimal(number) > 0 and Decimal(number).is_finite()
    except InvalidOperation:
        return False


def _check_binds(judgement: Judgement, connection: duckdb.DuckDBPyConnection) -> None:
    """Refuse what DuckDB cannot compile: a pattern, a format, a time zone."""
    contract = judgement.contract
    texts = [f"{quoted(name)} VARCHAR" for name in contract.table_schema if name != "_hg_record"]
    connection.execute(f"CREATE TABLE _hg_texts ({', '.join(texts)}, _hg_record BIGINT)")
    try:
        for query in (judgement.valid_query("_hg_texts"), judgement.reasons_query("_hg_texts")):
            connection.execute(query).fetchall()
    except duckdb.Error as error:
        raise ContractError(
            contract=contract.source or contract.table,
            where="columns",
            problem=str(error).partition("\n")[0],
            fix="Correct the pattern, format or time zone that DuckDB names.",
        ) from None
