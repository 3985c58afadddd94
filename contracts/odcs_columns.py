"""Columns of a data contract: `schema[0].properties` of an ODCS file.

What a cell must be comes from `logicalType`, `physicalType`, `required`, `unique`, `primaryKey` and
`logicalTypeOptions`; names, formats and absence, for which ODCS has no word, from `customProperties`. What this
platform does not do to a cell (encrypt it, partition by it, look into nested objects) is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from contracts.duckdb_syntax import INTEGER_TYPES, DuckSyntax
from contracts.partitions import zone_problem
from contracts.table_contract import LINEAGE_PREFIX, Cadence, Column
from contracts.yaml_document import Node, Problems, Section, shown

PROSE = ("businessName", "tags", "examples", "authoritativeDefinitions", "classification", "criticalDataElement",
         "transformSourceObjects", "transformLogic", "transformDescription")  # fmt: skip
"""Said about a column and promising nothing of its values: read by people only."""

LOGICAL_TYPES: Mapping[str, str] = {
    "string": "VARCHAR",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "time": "TIME",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "object": "JSON",
    "array": "JSON",
}
"""DuckDB's type of a column that has no `physicalType`."""

_FITTING = {
    "string": r"VARCHAR",
    "date": r"DATE",
    "timestamp": r"TIMESTAMP( WITH TIME ZONE)?",
    "time": r"TIME",
    "integer": "|".join(sorted(INTEGER_TYPES)) + r"|DECIMAL\(\d+,0\)",
    "number": r"FLOAT|DOUBLE|DECIMAL\(\d+,\d+\)",
    "boolean": r"BOOLEAN",
    "object": r"JSON",
    "array": r"JSON",
}
_INTEGER_FORMATS = {
    "i8": "TINYINT",
    "i16": "SMALLINT",
    "i32": "INTEGER",
    "i64": "BIGINT",
    "u8": "UTINYINT",
    "u16": "USMALLINT",
    "u32": "UINTEGER",
    "u64": "UBIGINT",
}
_NUMBER_FORMATS = {"f32": "FLOAT", "f64": "DOUBLE"}
_BOUNDED = frozenset({"date", "timestamp", "time", "integer", "number"})
_DATED = frozenset({"date", "timestamp", "time"})
_INEXACT = frozenset({"FLOAT", "DOUBLE"})
_SIZED_TEXT = re.compile(r"(?:VAR)?CHAR(?:ACTER)?\s*\(\s*(\d+)\s*\)", re.IGNORECASE)
_MAX_NAME = 255
_JAVA_FORMAT = re.compile(r"'(?P<quoted>(?:[^']|'')*)'|(?P<letters>([A-Za-z])\3*)|(?P<other>[^A-Za-z'])")
_JAVA_LETTERS = {
    "yyyy": "%Y", "uuuu": "%Y", "yy": "%y", "MM": "%m", "M": "%-m", "MMM": "%b", "MMMM": "%B", "dd": "%d", "d": "%-d",
    "HH": "%H", "H": "%-H", "hh": "%I", "h": "%-I", "mm": "%M", "m": "%-M", "ss": "%S", "s": "%-S", "a": "%p",
    "SSS": "%g", "SSSSSS": "%f", "SSSSSSSSS": "%n", "XXX": "%z", "XX": "%z", "Z": "%z",
}  # fmt: skip
"""JDK DateTimeFormatter, which ODCS prescribes, to strptime, which DuckDB reads."""


@dataclass(frozen=True)
class ColumnDefaults:
    """What the contract says once for all its columns."""

    time_zone: str = "UTC"
    formats: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Accepted strptime formats by logical type."""


@dataclass(frozen=True)
class DeclaredColumn:
    """A column and the place that declares it, so that later checks can point there."""

    column: Column
    section: Section


def read_columns(
    schema: Section, defaults: ColumnDefaults, duck: DuckSyntax, problems: Problems, *, enums: bool
) -> list[DeclaredColumn]:
    """Read every property; what is wrong with one does not keep the others from being read."""
    reader = _ColumnReader(defaults, duck, problems, enums=enums)
    declared = [one for section in schema.sections("properties") if (one := reader.read(section)) is not None]
    _check_names(declared)
    return _with_key_positions(declared)


class _ColumnReader:
    def __init__(self, defaults: ColumnDefaults, duck: DuckSyntax, problems: Problems, *, enums: bool) -> None:
        self._defaults, self._duck, self._problems, self._enums = defaults, duck, problems, enums

    def read(self, section: Section) -> DeclaredColumn | None:
        before = len(self._problems.found)
        values = self._identity(section)
        logical = section.text("logicalType", choices=tuple(LOGICAL_TYPES))
        section.require("logicalType", f"Add one of {', '.join(LOGICAL_TYPES)}.")
        self._refuse_unenforced(section)
        values |= self._flags(section)
        custom = custom_section(section, self._problems)
        values["aliases"] = custom.texts("aliases") or ()
        values["absent"] = self._absence(custom, required=values["required"])
        if values["name"] is None or logical is None:
            custom.close()
            return None
        options = section.section("logicalTypeOptions")
        values |= self._typing(section, logical, options, custom)
        values["allowed_values"] = self._enum(section, values["type"])
        section.get("quality")  # read later, when all columns are known
        section.close()
        custom.close()
        failed = len(self._problems.found) > before
        return None if failed and not values["type"] else DeclaredColumn(Column.model_validate(values), section)

    def _identity(self, section: Section) -> dict[str, Any]:
        section.require("name", "Give the column the name it has in the files.")
        name = section.text("name")
        if name is not None:
            self._check_name(section, name)
        physical = section.text("physicalName")
        if physical is not None and physical != name:
            fix = f"Remove it; if files call the column {shown(physical)}, add that to customProperties aliases."
            section.complain("physicalName differs from name, and a column has one name here", fix, "physicalName")
        section.text("id")
        for key in PROSE:
            section.get(key)
        return {"name": name, "description": section.text("description") or ""}

    def _check_name(self, section: Section, name: str) -> None:
        if name.lower().startswith(LINEAGE_PREFIX):
            fix = f"Names that begin with {LINEAGE_PREFIX} are kept for lineage: choose another."
            section.complain(f"the column name {shown(name)} is reserved", fix, "name")
        elif not 0 < len(name) <= _MAX_NAME or name != name.strip() or not name.isprintable():
            fix = (
                f"Use 1 to {_MAX_NAME} visible characters without spaces around; an odd name in files can be an alias."
            )
            section.complain(f"{shown(name)} cannot be the name of a column", fix, "name")

    def _refuse_unenforced(self, section: Section) -> None:
        nested = "Remove it; a rule may look into the JSON, such as json_array_length(...) > 0."
        for key in ("properties", "items", "map"):
            section.refuse(key, "the inside of objects and arrays is kept as JSON and not checked", nested)
        section.refuse("encryptedName", "the platform encrypts nothing", "Remove it.")
        section.refuse("relationships", "foreign keys are not enforced by this version", "Remove it.")
        partitions = "Partitions come from file names: remove it, and see customProperties partitioning."
        if section.flag("partitioned"):
            section.complain("tables are not partitioned by a column", partitions, "partitioned")
        if section.whole_number("partitionKeyPosition") not in (None, -1):
            section.complain("tables are not partitioned by a column", partitions, "partitionKeyPosition")

    def _flags(self, section: Section) -> dict[str, Any]:
        is_key = section.flag("primaryKey") or False
        position = section.whole_number("primaryKeyPosition")
        if not is_key and position not in (None, -1):
            section.complain(
                "primaryKeyPosition without primaryKey: true", "Add it, or remove both.", "primaryKeyPosition"
            )
        required = section.flag("required")
        if is_key and required is False:
            section.complain("a column of the primary key cannot be optional", "Write required: true.", "required")
        return {
            "required": bool(required) or is_key,
            "unique": section.flag("unique") or False,
            "primary_key_position": (position if position not in (None, -1) else 0) if is_key else None,
        }

    def _absence(self, custom: Section, *, required: bool) -> str:
        absent = custom.text("absent", choices=("null", "quarantine"))
        if required and absent == "null":
            custom.complain(
                "a required column cannot be null when it is absent", "Remove absent, or required.", "absent"
            )
        return "quarantine" if required else absent or "null"

    def _typing(self, section: Section, logical: str, options: Section | None, custom: Section) -> dict[str, Any]:
        column_type, max_length = self._physical_type(section, logical)
        column_type = self._type_from_options(options, logical, column_type, stated=section.has("physicalType"))
        values: dict[str, Any] = {"type": column_type or ""}
        if max_length is not None:
            values["max_length"] = max_length
        if options is not None:
            values |= self._options(options, logical, values["type"], values)
        if logical in _DATED:
            values["formats"] = self._formats(options, custom, logical, values["type"])
        else:
            custom.refuse("formats", f"{logical} has no formats", "Remove it; formats are for dates and times.")
        if options is not None:
            options.close()
        return values

    def _physical_type(self, section: Section, logical: str) -> tuple[str | None, int | None]:
        physical = section.text("physicalType")
        if physical is None:
            return LOGICAL_TYPES[logical], None
        column_type = self._duck.canonical_type(physical)
        if column_type is None:
            fix = (
                f"Use a DuckDB type such as {LOGICAL_TYPES[logical]} or DECIMAL(18,3); for wide integers DECIMAL(38,0)."
            )
            section.complain(f"{shown(physical)} is no type that a table can have", fix, "physicalType")
        elif not re.fullmatch(_FITTING[logical], column_type):
            fix = f"Remove it, or change one of the two; {logical} is {LOGICAL_TYPES[logical]} by itself."
            section.complain(f"physicalType {column_type} does not hold a {logical}", fix, "physicalType")
            return None, None
        sized = _SIZED_TEXT.fullmatch(physical)
        return column_type, int(sized[1]) if sized and column_type == "VARCHAR" else None

    def _type_from_options(
        self, options: Section | None, logical: str, column_type: str | None, *, stated: bool
    ) -> str | None:
        if options is None:
            return column_type
        if logical == "timestamp":
            zoned = options.flag("timezone")
            wanted = "TIMESTAMP WITH TIME ZONE" if zoned else "TIMESTAMP"
            if zoned is None or column_type is None:
                return column_type
        elif logical in ("integer", "number") and options.stated("format"):
            formats = _INTEGER_FORMATS if logical == "integer" else _NUMBER_FORMATS
            named = options.text("format", choices=tuple(formats))
            if named is None or column_type is None:
                return column_type
            wanted = formats[named]
        else:
            return column_type
        if stated and wanted != column_type:
            options.complain(f"it means {wanted}, but physicalType says {column_type}", "Remove one of the two.")
        return wanted

    def _options(self, options: Section, logical: str, column_type: str, known: Mapping[str, Any]) -> dict[str, Any]:
        if logical == "string":
            return self._text_options(options, known)
        values: dict[str, Any] = {}
        if logical in _BOUNDED:
            values |= self._bounds(options, logical, column_type)
        if logical in ("integer", "number"):
            values |= self._multiple(options, column_type)
        if logical == "timestamp":
            values |= self._time_zone(options, column_type)
        if logical == "time":
            options.refuse("timezone", "a time of day has no zone here", "Remove it.")
            options.refuse("defaultTimezone", "a time of day has no zone here", "Remove it.")
        nested = "the inside of objects and arrays is kept as JSON and not checked"
        for key in ("minProperties", "maxProperties", "required", "minItems", "maxItems", "uniqueItems"):
            if logical in ("object", "array"):
                options.refuse(key, nested, "Remove it, or write a rule such as json_array_length(...) > 0.")
        return values

    def _text_options(self, options: Section, known: Mapping[str, Any]) -> dict[str, Any]:
        low, high = options.whole_number("minLength"), options.whole_number("maxLength")
        for key, length in (("minLength", low), ("maxLength", high)):
            if length is not None and length < 0:
                options.complain("a length is not negative", "Write 0 or more.", key)
        sized = known.get("max_length")
        if high is not None and sized is not None and high != sized:
            options.complain(
                f"maxLength {high} differs from physicalType's {sized}", "Remove one of the two.", "maxLength"
            )
        if low is not None and high is not None and low > high:
            options.complain(f"minLength {low} is above maxLength {high}: no text fits", "Swap them.", "minLength")
        pattern = options.text("pattern")
        refusal = None if pattern is None else self._duck.pattern_problem(pattern)
        if refusal is not None:
            fix = "Patterns are RE2's: no look-around, no back-references, at most 1,000 repetitions."
            options.complain(f"RE2 refuses the pattern: {refusal}", fix, "pattern")
        options.refuse("format", "a text's format is not checked by its name", "Write it as a pattern.")
        return {"min_length": low, "max_length": high if high is not None else sized, "pattern": pattern}

    def _bounds(self, options: Section, logical: str, column_type: str) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for side, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
            stated = options.stated(side, exclusive)
            if len(stated) == 2:
                options.complain(f"{side} and {exclusive} both stand here", "Keep the stricter one.", exclusive)
            for key in stated:
                text = self._bound(options, key, logical, column_type)
                values[side] = text
                values[f"exclusive_{side}"] = key == exclusive
        low, high = values.get("minimum"), values.get("maximum")
        strictly = bool(values.get("exclusive_minimum") or values.get("exclusive_maximum"))
        if (
            low is not None
            and high is not None
            and not self._duck.is_ordered(low, high, column_type, strictly=strictly)
        ):
            options.complain(f"no value lies between {low} and {high}", "Swap or widen the bounds.")
        return values

    def _bound(self, options: Section, key: str, logical: str, column_type: str) -> str | None:
        value = options.text(key) if logical in _DATED else options.number(key)
        if value is None:
            return None
        if not column_type or self._duck.is_value(str(value), column_type):
            return str(value)
        fix = "Write dates as '2013-01-31' and times as '2013-01-31T17:00:00'." if logical in _DATED else "Write one."
        options.complain(f"{shown(value)} is no value of type {column_type}", fix, key)
        return None

    def _multiple(self, options: Section, column_type: str) -> dict[str, Any]:
        number = options.number("multipleOf")
        if number is None:
            return {}
        if number <= 0:
            options.complain(f"{number} has no multiples to check", "Write a number above 0.", "multipleOf")
        elif column_type in _INEXACT and not float(number).is_integer():
            fix = "Set physicalType to DECIMAL(p,s), or multipleOf to a whole number."
            options.complain(f"multiples of {number} are not exact in {column_type}", fix, "multipleOf")
        elif column_type and not self._duck.is_value(str(number), column_type):
            options.complain(f"{number} is no value of type {column_type}", "Write one.", "multipleOf")
        return {"multiple_of": str(number)}

    def _time_zone(self, options: Section, column_type: str) -> dict[str, Any]:
        zone = options.text("defaultTimezone")
        if column_type != "TIMESTAMP WITH TIME ZONE":
            if zone is not None:
                fix = "Add timezone: true to turn times into moments, or remove it to keep them as they are published."
                options.complain("defaultTimezone has no effect on a TIMESTAMP without zone", fix, "defaultTimezone")
            return {}
        if zone is None:
            return {"time_zone": self._defaults.time_zone}
        problem = zone_problem(Cadence.DAILY, zone)
        if problem is not None:
            options.complain(problem, "Write a name such as Europe/Rome or UTC.", "defaultTimezone")
        return {"time_zone": zone}

    def _formats(self, options: Section | None, custom: Section, logical: str, column_type: str) -> tuple[str, ...]:
        formats = custom.texts("formats")
        java = options.text("format") if options is not None else None
        if java is not None and formats is not None:
            custom.complain("logicalTypeOptions format and formats both stand here", "Keep one of them.", "formats")
        if java is not None and options is not None:
            translated = _strptime_format(java)
            if translated is None:
                fix = "Use yyyy, MM, dd, HH, mm, ss and quoted text, or strptime's words in customProperties formats."
                options.complain(f"the format {shown(java)} has letters that are not read", fix, "format")
                return ()
            formats = (translated,)
        for one in formats or ():
            problem = self._duck.format_problem(one, column_type) if column_type else None
            if problem is not None:
                fix = "Use strptime's words, such as %d/%m/%Y %H:%M, and leave no part of the date out."
                where, key = (options, "format") if java is not None and options is not None else (custom, "formats")
                where.complain(f"the format {shown(one)} cannot be used: {problem}", fix, key)
        return formats if formats is not None else self._defaults.formats.get(logical, ())

    def _enum(self, section: Section, column_type: str) -> tuple[str, ...] | None:
        if not self._enums:
            fix = "Write apiVersion: v3.2.0, or a quality check with metric invalidValues and validValues."
            section.refuse("enum", "ODCS knows enum from v3.2.0 on", fix)
            return None
        if not section.has("enum"):
            return None
        values = []
        for entry in section.sections("enum"):
            for key in ("label", "id", "description", "tags", "authoritativeDefinitions"):
                entry.get(key)
            entry.require("value", "Write the allowed value.")
            node = entry.get("value")
            values += [text for text in [value_text(node, column_type, self._duck, self._problems)] if text is not None]
            entry.close()
        return tuple(values)


def value_text(node: Node | None, column_type: str, duck: DuckSyntax, problems: Problems) -> str | None:
    """A constant of a column's type as text; None, with a problem noted, when it is none."""
    if node is None:
        return None
    text = {True: "true", False: "false"}[node.value] if isinstance(node.value, bool) else str(node.value)
    if node.kind in ("mapping", "list") or (column_type and not duck.is_value(text, column_type)):
        problems.add(node, f"{shown(node.plain)} is no value of type {column_type}", "Write one.")
        return None
    if column_type == "VARCHAR" and not isinstance(node.value, str):
        problems.add(node, f"{text} is compared with text", "Put it in quotes, as it stands in the files.")
        return None
    return text


def custom_section(section: Section, problems: Problems) -> Section:
    """ODCS's list of {property, value} as one mapping, so that it reads and reports like the rest."""
    merged: dict[str, Node] = {}
    for entry in section.sections("customProperties"):
        entry.require("property", "Name it.")
        entry.require("value", "Write its value.")
        for key in ("id", "description"):
            entry.text(key)
        name, value = entry.text("property"), entry.get("value")
        entry.close()
        if name is None or value is None:
            continue
        if name in merged:
            entry.complain(f"the custom property {name} stands twice", "Remove one of them.")
        merged.setdefault(name, value)
    return Section(Node(merged, section.node.line, (*section.node.path, "customProperties")), problems)


def _strptime_format(java: str) -> str | None:
    """A JDK DateTimeFormatter pattern in strptime's words; None when a letter has no counterpart."""
    result, position = "", 0
    while position < len(java):
        token = _JAVA_FORMAT.match(java, position)
        if token is None:
            return None
        if token["letters"]:
            if token["letters"] not in _JAVA_LETTERS:
                return None
            result += _JAVA_LETTERS[token["letters"]]
        else:
            text = token["other"] or token["quoted"].replace("''", "'") or "'"
            result += text.replace("%", "%%")
        position = token.end()
    return result


def _check_names(declared: Sequence[DeclaredColumn]) -> None:
    """Two columns must not answer to one name. In a table DuckDB does not tell upper from lower case; files do."""
    names: dict[str, str] = {}
    for one in declared:
        name = one.column.name
        if name.lower() in names:
            problem = f"the column {shown(name)} stands twice, as {shown(names[name.lower()])} before"
            fix = "Remove or rename one: names differ by more than upper and lower case."
            one.section.complain(problem, fix, "name")
        names.setdefault(name.lower(), name)
    owners = {name: name for name in names.values()}
    for one in declared:
        for alias in one.column.aliases:
            owner = owners.setdefault(alias, one.column.name)
            if owner != one.column.name:
                problem = f"the alias {shown(alias)} of {one.column.name} also means {owner}"
                one.section.complain(problem, "Give each name in the files to one column.")
            elif alias.lower().startswith(LINEAGE_PREFIX):
                one.section.complain(f"the alias {shown(alias)} is reserved", "No input may use this prefix.")


def _with_key_positions(declared: list[DeclaredColumn]) -> list[DeclaredColumn]:
    """Number the primary key's columns 1, 2, ... as stated, or in the order they stand in."""
    keyed = [one for one in declared if one.column.primary_key_position is not None]
    stated = [one.column.primary_key_position for one in keyed]
    if any(stated) and sorted(p or 0 for p in stated) != list(range(1, len(keyed) + 1)):
        fix = f"Number all {len(keyed)} of them 1, 2, ..., or none."
        keyed[0].section.complain(f"the primary key's positions are {stated}", fix, "primaryKeyPosition")
        return declared
    if any(stated):
        return declared
    order = {one.column.name: position for position, one in enumerate(keyed, 1)}
    return [
        DeclaredColumn(one.column.model_copy(update={"primary_key_position": order[one.column.name]}), one.section)
        if one.column.name in order
        else one
        for one in declared
    ]
