"""From an ODCS file to a `TableContract`.

Two rules. What the platform would not enforce is an error, never ignored: unknown keys at any depth, options that do
not fit a type, service levels nobody watches. And what is wrong is said all at once, each with its line, the problem
and the remedy. Fields that only describe (owner, business name, tags, links) are welcome and read by people.

The reader accepts what docs/contracts.md lists, which is less than ODCS; ODCS's own JSON Schema has the last word.
"""

from __future__ import annotations

import datetime as dt
import importlib.resources
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import jsonschema
from pydantic import ValidationError

from contracts.canonical import parse_json
from contracts.decoding import text_encoding
from contracts.duckdb_syntax import DuckSyntax, duck_syntax
from contracts.errors import ContractError
from contracts.judgement import compile_judgement
from contracts.odcs_columns import ColumnDefaults, DeclaredColumn, custom_section, read_columns
from contracts.odcs_quality import Rules, read_rules
from contracts.partitions import GROUPS, pattern_groups, start_problem, zone_problem
from contracts.retention import UNITS, Retention, limit_of
from contracts.sinks import Sink, in_order
from contracts.table_contract import (
    Cadence,
    CsvFormat,
    EngineSource,
    Expansion,
    FileFormat,
    Freshness,
    JsonLinesFormat,
    ParquetFormat,
    Partitioning,
    Server,
    TableContract,
)
from contracts.yaml_document import Node, Problem, Problems, Section, parse_yaml, shown

API_VERSIONS = ("v3.0.0", "v3.0.1", "v3.0.2", "v3.1.0", "v3.2.0")
_WITH_ENUMS = ("v3.2.0",)
STATUSES = ("proposed", "draft", "active", "deprecated")
PROSE = ("id", "name", "tenant", "dataProduct", "contractCreatedTs", "authoritativeDefinitions", "support", "price")
"""Said about the contract and promising nothing of its rows: read by people only."""

FORMATS = ("csv", "jsonl", "parquet")
SINK_MODES = ("append", "replace", "error")
_TABLE_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_SYSTEM_NAMES = ("duckdb_", "pg_", "sqlite_", "information_schema")
_FREQUENCY_UNITS = {
    Cadence.HOURLY: ("h", "hr", "hour", "hours"),
    Cadence.DAILY: ("d", "day", "days"),
    Cadence.WEEKLY: ("w", "week", "weeks"),
    Cadence.MONTHLY: ("mo", "month", "months"),
}
_LATENCY_SECONDS = {"s": 1, "second": 1, "seconds": 1, "minute": 60, "minutes": 60} | {
    unit: seconds
    for cadence, seconds in ((Cadence.HOURLY, 3600), (Cadence.DAILY, 86_400), (Cadence.WEEKLY, 604_800))
    for unit in _FREQUENCY_UNITS[cadence]
}
_DATED_DEFAULTS = {"dateFormats": ("date", "DATE"), "timestampFormats": ("timestamp", "TIMESTAMP")}
_MAX_PATH = 1024


def parse_contract(data: bytes, *, source: str) -> TableContract:
    """Read one ODCS file: one table.

    Args:
        data: The file's bytes.
        source: What to call the file in messages.

    Raises:
        ContractError: For the first problem in the file; it says how many more there are.

    Source: ODCS 3.1.0, https://bitol-io.github.io/open-data-contract-standard/v3.1.0/.
    """
    contract, problems = _read(data, source)
    if contract is None:
        first, more = problems[0], len(problems) - 1
        note = f" ({more} more {'problem' if more == 1 else 'problems'} in this file)" if more else ""
        raise ContractError(contract=source, where=first.where, problem=first.problem, fix=f"{first.fix}{note}")
    return contract


def lint_contract(data: bytes, *, source: str) -> list[Problem]:
    """Everything that is wrong with an ODCS file, in the file's order; empty when it would be accepted."""
    return _read(data, source)[1]


def _read(data: bytes, source: str) -> tuple[TableContract | None, list[Problem]]:
    root, found = parse_yaml(data)
    if root is None:
        return None, found
    problems = Problems(found, root)
    section = Section.of(root, problems)
    if section is None:
        return None, problems.found
    with duck_syntax() as duck:
        values = _Reader(section, problems, duck).read()
    problems.found = _in_order(problems.found) or _against_the_standard(root, problems)
    if problems.found:
        return None, problems.found
    try:
        contract = TableContract.model_validate({**values, "source": source})
        compile_judgement(contract)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        return None, [Problem(0, place, first["msg"], "Correct the value that this is made of.")]
    except ContractError as error:
        return None, [Problem(0, *(error.evidence[key] for key in ("where", "problem", "fix")))]
    return contract, []


def _in_order(found: Sequence[Problem]) -> list[Problem]:
    """By line, and one problem only for one value: the first says why, the others would follow from it."""
    firsts: dict[tuple[int, str], Problem] = {}
    for problem in found:
        firsts.setdefault((problem.line, problem.path), problem)
    return sorted(firsts.values(), key=lambda problem: problem.line)


def _against_the_standard(root: Node, problems: Problems) -> list[Problem]:
    """What ODCS's JSON Schema says, asked last: its words name rules of the schema, ours name remedies."""
    for error in _standard().iter_errors(root.plain):
        node = root
        for step in error.absolute_path:
            node = node.value[step]
        problems.add(
            node, f"ODCS's schema refuses this: {shown(error.message)}", "See the ODCS documentation of this key."
        )
    return problems.found


@cache
def _standard() -> jsonschema.protocols.Validator:
    """ODCS's JSON Schema as its Python package ships it; it covers every version this reader accepts."""
    text = importlib.resources.files("open_data_contract_standard").joinpath("schema.json").read_bytes()
    return jsonschema.Draft201909Validator(parse_json(text))


class _Reader:
    """Reads the parts of one contract; each part notes its own problems and gives values for the model."""

    def __init__(self, root: Section, problems: Problems, duck: DuckSyntax) -> None:
        self._root, self._problems, self._duck = root, problems, duck
        self._custom = custom_section(root, problems)

    def read(self) -> dict[str, Any]:
        values = self._head()
        schema = self._schema()
        values["partitioning"] = partitioning = self._partitioning()
        values["server"] = self._server(partitioning)
        values |= self._policies()
        defaults = self._defaults()
        if schema is not None:
            values |= self._table(schema, defaults)
        values |= self._service_levels(values.get("table"), partitioning)
        self._root.close()
        self._custom.close()
        return values

    # --- who and what ---

    def _head(self) -> dict[str, Any]:
        root = self._root
        root.require("apiVersion", "Write apiVersion: v3.1.0.")
        root.text("apiVersion", choices=API_VERSIONS)
        root.require("kind", "Write kind: DataContract.")
        root.text("kind", choices=("DataContract",))
        for key, example in (("id", "a unique text, such as the table's name"), ("version", "version: 1.0.0")):
            root.require(key, f"Add {example}.")
        root.require("status", "Write status: active.")
        self._status()
        for key in PROSE:
            self._prose(root, key)
        root.refuse("roles", "access rights are not enforced by this version", "Remove them.")
        root.refuse(
            "slaDefaultElement", "ODCS gave it up in 3.1", "Name the element in each of slaProperties, or none."
        )
        return {
            "version": root.text("version") or "",
            "domain": root.text("domain"),
            "tags": root.texts("tags") or (),
            "description": self._description(),
            "owners": self._owners(),
        }

    def _status(self) -> None:
        if self._root.has("status") and self._root.node.value["status"].value == "retired":
            fix = "Move the file out of the contracts folder, or write status: deprecated."
            self._root.complain("a retired contract would still be ingested", fix, "status")
            self._root.get("status")
            return
        self._root.text("status", choices=STATUSES)

    def _prose(self, section: Section, key: str) -> None:
        """Accept a descriptive value as it is, but no custom property inside: nobody would read it."""
        node = section.get(key)
        for part in node.walk() if node is not None else ():
            if part.path[-1] == "customProperties":
                self._problems.add(part, "custom properties here are read by nobody", "Remove them.")

    def _description(self) -> str:
        section = self._root.section("description")
        if section is None:
            return ""
        self._prose(section, "authoritativeDefinitions")
        parts = [section.text(key) for key in ("purpose", "usage", "limitations")]
        section.close()
        return "\n\n".join(part.strip() for part in parts if part)

    def _owners(self) -> tuple[str, ...]:
        """The team, and its members whose role is owner; where nobody's is, all who have not left."""
        node = self._root.get("team")
        if node is None:
            return ()
        self._prose(self._root, "team")
        team = Section.of(node, self._problems) if node.kind != "list" else None
        members = self._root.sections("team") if node.kind == "list" else team.sections("members") if team else []
        present = [member for member in members if not member.has("dateOut")]
        owning = [member for member in present if (member.text("role") or "").lower() == "owner"]
        names = [member.text("username") for member in owning or present]
        name = team.text("name") if team is not None else None
        return (*([f"team:{name}"] if name else []), *(name for name in names if name))

    # --- when ---

    def _partitioning(self) -> Partitioning | None:
        if self._custom.has("engineOutput"):
            self._custom.refuse("partitioning", "an engine's output is partitioned by its runs", "Remove it.")
            return Partitioning.by_run()
        example = "{cadence: daily, start: '2013-01-01', fileNamePattern: '...'}"
        self._custom.require("partitioning", f"Add the custom property partitioning with the value {example}.")
        section = self._custom.section("partitioning")
        if section is None:
            return None
        for key in ("cadence", "start", "fileNamePattern"):
            section.require(key, f"It looks like {example}.")
        named = section.text("cadence", choices=tuple(GROUPS))
        zone = section.text("timeZone") or self._time_zone()
        start, end = self._moment(section, "start"), self._moment(section, "end")
        pattern = section.text("fileNamePattern")
        section.close()
        if named is None or start is None or pattern is None:
            return None
        cadence = Cadence(named)
        problems = (
            ("timeZone", zone_problem(cadence, zone), "Write a name such as Europe/Rome or UTC."),
            ("start", start_problem(cadence, start), "Move it to where a period begins."),
            ("end", None if end is None else start_problem(cadence, end), "Move it to where a period begins."),
            ("end", f"it does not come after {start}" if end and end <= start else None, "Move it behind the start."),
            ("fileNamePattern", _pattern_problem(cadence, pattern), _pattern_fix(cadence)),
        )
        for key, problem, fix in problems:
            if problem is not None:
                section.complain(problem, fix, key)
        if any(problem for _, problem, _ in problems):
            return None
        return Partitioning(cadence=cadence, start=start, end=end, time_zone=zone, file_name_pattern=pattern)

    def _moment(self, section: Section, key: str) -> dt.datetime | None:
        text = section.text(key)
        if text is None:
            return None
        try:
            moment = dt.datetime.fromisoformat(text)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is not None:
            fix = "Write a date such as 2013-01-01, or 2013-01-01T05:00 for hours, on the clock of timeZone."
            section.complain(f"{shown(text)} is no date here", fix, key)
            return None
        return moment

    def _time_zone(self) -> str:
        zone = self._custom.text("timeZone")
        if zone is None:
            return "UTC"
        problem = zone_problem(Cadence.DAILY, zone)
        if problem is not None:
            self._custom.complain(problem, "Write a name such as Europe/Rome or UTC.", "timeZone")
            return "UTC"
        return zone

    # --- where from ---

    def _server(self, partitioning: Partitioning | None) -> Server | None:
        self._root.require("servers", "Add one server of type local with path and format.")
        servers = self._root.sections("servers")
        if len(servers) != 1:
            if self._root.has("servers"):
                fix = "Keep exactly one; another place for the same table is another contract."
                self._root.complain(f"{len(servers)} servers stand here", fix, "servers")
            return None
        section = servers[0]
        for key in ("id", "server", "environment", "description"):
            section.text(key)
        if self._custom.has("engineOutput"):
            return self._engine_server(section)
        for key in ("server", "type", "path", "format"):
            section.require(key, "A server has server (its name), type: local, path and format.")
        section.refuse("roles", "access rights are not enforced by this version", "Remove them.")
        section.refuse("customProperties", "custom properties stand at the contract", "Move them to its end.")
        self._local(section)
        path = self._path(section, partitioning)
        file_format = self._format(section)
        section.close()
        compression = self._custom.text("compression", choices=("auto", "none", "gzip", "zstd")) or "auto"
        decompression = self._decompression()
        if path is None or file_format is None:
            return None
        if isinstance(file_format, ParquetFormat) and self._custom.has("compression"):
            self._custom.complain("Parquet is compressed inside", "Remove it.", "compression")
        return Server(path=path, format=file_format, compression=compression, decompression=decompression)

    def _engine_server(self, section: Section) -> Server | None:
        """An output of an engine in place of a folder."""
        for key in ("server", "type", "format"):
            section.require(key, "Over an engine's output a server has server (its name), type: custom and format.")
        section.refuse("path", "the engine's catalogue says where its outputs lie", "Remove it.")
        section.refuse("roles", "access rights are not enforced by this version", "Remove them.")
        section.refuse("customProperties", "custom properties stand at the contract", "Move them to its end.")
        if section.text("type") not in {None, "custom"}:
            section.complain("an engine's output is no folder of drops", "Write type: custom.", "type")
        file_format = self._format(section)
        section.close()
        compression = self._custom.text("compression", choices=("auto", "none", "gzip", "zstd")) or "auto"
        decompression = self._decompression()
        source = self._engine_source()
        if source is None or file_format is None:
            return None
        return Server(
            path=f"engine/{source.engine}/{source.output}",
            format=file_format,
            compression=compression,
            decompression=decompression,
            engine_source=source,
        )

    def _engine_source(self) -> EngineSource | None:
        section = self._custom.section("engineOutput")
        if section is None:
            return None
        for key in ("engine", "output"):
            section.require(key, "Write {engine: cards, output: transactions}, as the engine's catalogue has it.")
        engine, output = section.text("engine"), section.text("output")
        section.close()
        return EngineSource(engine=engine, output=output) if engine and output else None

    def _local(self, section: Section) -> None:
        kind = section.text("type")
        if kind is not None and kind != "local":
            fix = "Write type: local and a path below the drop folder."
            section.complain(f"servers of type {shown(kind)} are not read by this version", fix, "type")

    def _path(self, section: Section, partitioning: Partitioning | None) -> str | None:
        path = section.text("path")
        if path is None:
            return None
        problem = _path_problem(path)
        if problem is not None:
            fix = "Write a path below the drop folder, such as flights/*.csv: * and ? within a name, ** for folders."
            section.complain(problem, fix, "path")
            return None
        name = path.rpartition("/")[2]
        if (
            partitioning is not None
            and not set(name) & set("*?")
            and not _matches(partitioning.file_name_pattern, name)
        ):
            problem = f"no file can match: {name} is not a name that fileNamePattern accepts"
            section.complain(problem, "Write a wildcard into the path, or mend the pattern.", "path")
        return path.removeprefix("./")

    def _format(self, section: Section) -> FileFormat | None:
        name = section.text("format")
        if name is None:
            return None
        if name not in FORMATS:
            fix = f"Use one of {', '.join(FORMATS)}; jsonl (also called ndjson) is one JSON object a line."
            section.complain(f"files of format {shown(name)} are not read by this version", fix, "format")
            return None
        for other in ("csv", "jsonl"):
            if other != name:
                self._custom.refuse(other, f"the server's format is {name}", "Remove it, or change the format.")
        if name == "csv":
            return self._csv()
        return self._json_lines() if name == "jsonl" else ParquetFormat()

    def _csv(self) -> CsvFormat | None:
        section = self._custom.section("csv")
        if section is None:
            return CsvFormat()
        before = len(self._problems.found)
        delimiter = section.text("delimiter")
        has_quote = not section.is_null("quote")
        quote = section.text("quote") if has_quote else None
        escape = section.text("escape")
        values: dict[str, Any] = {
            "delimiter": delimiter,
            "quote": quote if has_quote else None,
            "escape": None if escape == (quote or '"') else escape,
            "encoding": self._encoding(section),
            "header": section.flag("header"),
            "null_markers": section.texts("nullMarkers"),
            "max_record_bytes": self._max_record_bytes(section),
        }
        self._check_dialect(section, delimiter or ",", (quote or '"') if has_quote else None, values["escape"])
        section.close()
        if len(self._problems.found) > before:
            return None
        stated = {key: value for key, value in values.items() if value is not None}
        return CsvFormat.model_validate(stated if has_quote else stated | {"quote": None})

    def _check_dialect(self, section: Section, delimiter: str, quote: str | None, escape: str | None) -> None:
        signs = [("delimiter", delimiter), ("quote", quote), ("escape", escape)]
        for key, sign in signs:
            if sign is not None and (len(sign) != 1 or not sign.isascii() or sign in "\r\n\0"):
                fix = 'Write one ASCII character other than a line end; a tab is "\\t" in double quotes.'
                section.complain(f"{shown(sign)} cannot be the {key}", fix, key)
        stated = [sign for _, sign in signs if sign is not None]
        if len(set(stated)) != len(stated):
            section.complain(
                "delimiter, quote and escape must differ", "A quote doubled inside quotes needs no escape."
            )
        if quote is None and escape is not None:
            section.complain("escape has no effect without a quote", "Remove it.", "escape")

    def _json_lines(self) -> JsonLinesFormat | None:
        section = self._custom.section("jsonl")
        if section is None:
            return JsonLinesFormat()
        before = len(self._problems.found)
        values = {"encoding": self._encoding(section), "max_record_bytes": self._max_record_bytes(section)}
        section.close()
        if len(self._problems.found) > before:
            return None
        return JsonLinesFormat.model_validate({key: value for key, value in values.items() if value is not None})

    def _encoding(self, section: Section) -> str | None:
        name = section.text("encoding")
        if name is None:
            return None
        try:
            return text_encoding(name)
        except ValueError:
            fix = "Use a name such as utf-8, utf-16, cp1252 or iso8859-1."
            section.complain(f"{shown(name)} is no encoding of text that is read here", fix, "encoding")
            return None

    def _max_record_bytes(self, section: Section) -> int | None:
        size = section.whole_number("maxRecordBytes")
        if size is not None and not 1024 <= size <= 1 << 30:
            section.complain(f"{size} is out of range", "Write 1024 to 1073741824.", "maxRecordBytes")
        return size

    def _decompression(self) -> Expansion:
        section = self._custom.section("decompression")
        if section is None:
            return Expansion()
        values = {"max_bytes": section.whole_number("maxBytes"), "max_ratio": section.whole_number("maxRatio")}
        for key, value in zip(("maxBytes", "maxRatio"), values.values(), strict=True):
            if value is not None and not 1 <= value <= 1 << 50:
                section.complain(f"{value} is out of range", "Write 1 or more.", key)
                return Expansion()
        section.close()
        return Expansion.model_validate({name: value for name, value in values.items() if value is not None})

    # --- what ---

    def _policies(self) -> dict[str, Any]:
        budget = self._custom.number("quarantineBudget")
        if budget is not None and not 0 <= budget <= 1:
            fix = "Write the share of records that may be quarantined before the partition is held: 0.05 for 5 %."
            self._custom.complain(f"{budget} is no share", fix, "quarantineBudget")
        return {
            "undeclared_columns": self._custom.text("undeclaredColumns", choices=("keep", "quarantine"))
            or "quarantine",
            "quarantine_budget": 1.0 if budget is None else float(budget),
            "sink_mode": self._custom.text("sinkMode", choices=SINK_MODES) or "replace",
            "sinks": self._sinks(),
        }

    def _sinks(self) -> tuple[Sink, ...]:
        """Parquet, and what stands there. Each honours every mode."""
        named = self._custom.texts("sinks")
        known = [name for name in named or () if name in tuple(Sink)]
        for name in sorted(set(named or ()) - set(known)):
            fix = f"Known are: {', '.join(Sink)}."
            self._custom.complain(f"{shown(name)} is no sink", fix, "sinks")
        if len(set(known)) < len(known):
            self._custom.complain("a sink stands there twice", "Name each once.", "sinks")
        if named == ():
            fix = "Name parquet, which there always is, csv or duckdb; or remove it for Parquet alone."
            self._custom.complain("no sink is named", fix, "sinks")
        return in_order(map(Sink, known))

    def _defaults(self) -> ColumnDefaults:
        formats = {}
        for key, (logical, column_type) in _DATED_DEFAULTS.items():
            stated = self._custom.texts(key)
            for one in stated or ():
                problem = self._duck.format_problem(one, column_type)
                if problem is not None:
                    fix = "Use strptime's words, such as %d/%m/%Y, and leave no part of the date out."
                    self._custom.complain(f"the format {shown(one)} cannot be used: {problem}", fix, key)
            if stated is not None:
                formats[logical] = stated
        return ColumnDefaults(time_zone=self._time_zone(), formats=formats)

    def _schema(self) -> Section | None:
        self._root.require("schema", "Add the table: schema, with name and properties.")
        objects = self._root.sections("schema")
        if len(objects) != 1:
            if self._root.has("schema"):
                fix = "Keep one table in one contract file."
                self._root.complain(f"{len(objects)} tables stand here", fix, "schema")
            return None
        return objects[0]

    def _table(self, schema: Section, defaults: ColumnDefaults) -> dict[str, Any]:
        table = self._table_name(schema)
        for key in ("id", "logicalType", "physicalType", "businessName", "dataGranularityDescription", "tags"):
            schema.get(key)
        self._prose(schema, "authoritativeDefinitions")
        schema.refuse("relationships", "foreign keys are not enforced by this version", "Remove them.")
        schema.refuse("customProperties", "custom properties stand at the contract", "Move them to its end.")
        description = schema.text("description")
        schema.require("properties", "Add the table's columns.")
        enums = self._root.node.value.get("apiVersion")
        allowed = enums is not None and enums.value in _WITH_ENUMS
        declared = read_columns(schema, defaults, self._duck, self._problems, enums=allowed)
        if schema.has("properties") and not schema.items("properties"):
            schema.complain("the table has no columns", "Add at least one.", "properties")
        rules = read_rules(schema, declared, self._duck, self._problems)
        schema.close()
        self._check_defaults_used(declared)
        return _table_values(table, declared, rules) | ({"description": description} if description else {})

    def _table_name(self, schema: Section) -> str | None:
        schema.require("name", "Name the table.")
        name = schema.text("name")
        physical = schema.text("physicalName")
        key = "physicalName" if physical is not None else "name"
        table = physical or name
        if table is None:
            return None
        if not _TABLE_NAME.fullmatch(table) or table.startswith(_SYSTEM_NAMES):
            fix = "Use a lower-case letter, then up to 62 lower-case letters, digits and _; no system's prefix."
            schema.complain(f"{shown(table)} cannot be the name of a table", fix, key)
        elif self._duck.is_reserved(table):
            schema.complain(f"{table} is a word of SQL, so every query would need quotes", "Choose another name.", key)
        return table

    def _check_defaults_used(self, declared: Sequence[DeclaredColumn]) -> None:
        types = {one.column.type for one in declared}
        for key, wanted in (("dateFormats", {"DATE"}), ("timestampFormats", {"TIMESTAMP", "TIMESTAMP WITH TIME ZONE"})):
            if self._custom.has(key) and not types & wanted:
                self._custom.complain("no column has such values", "Remove it.", key)

    # --- how late, and how long ---

    def _service_levels(self, table: str | None, partitioning: Partitioning | None) -> dict[str, Any]:
        freshness = None
        retention = Retention()
        limits: set[str] = set()
        for section in self._root.sections("slaProperties"):
            section.require("property", "Write property: latency, property: frequency or property: retention.")
            section.require("value", "Write a number.")
            name = section.text("property")
            for key in ("id", "description", "driver"):
                section.text(key)
            element = section.text("element")
            if element is not None and element != table:
                section.complain(
                    f"{shown(element)} is not this table", "Remove element: it is about the table.", "element"
                )
            for key in ("schedule", "scheduler", "valueExt", "customProperties"):
                section.refuse(key, "this is not enforced", "Remove it.")
            if name in {"latency", "frequency"}:
                freshness = self._in_time(section, name, partitioning) or freshness
            elif name == "retention":
                retention = self._retention(section, retention, limits)
            elif name is not None:
                fix = "Known are latency, frequency and retention: remove this one."
                section.complain(f"the service level {shown(name)} is not enforced by this version", fix, "property")
                continue
            section.close()
        return {"freshness": freshness, "retention": retention}

    def _retention(self, section: Section, before: Retention, limits: set[str]) -> Retention:
        value, unit = section.number("value"), section.text("unit", choices=UNITS)
        section.require("unit", "Write unit: d (or w, y), versions, latest, MB or GB.")
        if value is None or unit is None:
            return before
        if limit_of(unit) in limits:
            section.complain(f"a second limit in {unit}", "Keep one limit of a kind.", "unit")
        limits.add(limit_of(unit))
        try:
            return before.with_level(value, unit)
        except (ValueError, OverflowError):
            fix = "Write a number above 0; of versions a whole one."
            section.complain(f"{value} {unit} is no limit", fix, "value")
            return before

    def _in_time(self, section: Section, name: str, partitioning: Partitioning | None) -> Freshness | None:
        if partitioning == Partitioning.by_run():
            section.stated("value", "unit")
            section.complain(f"runs of an engine have no {name}", "Remove this service level.", "property")
            return None
        if name == "latency":
            return self._latency(section)
        self._frequency(section, partitioning)
        return None

    def _latency(self, section: Section) -> Freshness | None:
        value, unit = section.number("value"), section.text("unit", choices=tuple(_LATENCY_SECONDS))
        section.require("unit", "Write unit: h (or d, minutes, s).")
        if value is None or unit is None:
            return None
        seconds = round(value * _LATENCY_SECONDS[unit])
        if seconds < 1:
            section.complain("a latency is longer than nothing", "Write a number above 0.", "value")
            return None
        return Freshness(latency_s=seconds)

    def _frequency(self, section: Section, partitioning: Partitioning | None) -> None:
        value, unit = section.number("value"), section.text("unit")
        section.require("unit", "Write unit: d for daily.")
        if partitioning is None or value is None or unit is None:
            return
        units = _FREQUENCY_UNITS[partitioning.cadence]
        if value != 1 or unit not in units:
            fix = f"Write value: 1 and unit: {units[0]}, or change the cadence."
            section.complain(f"every {value} {unit} is not the {partitioning.cadence} cadence of partitioning", fix)


def _table_values(table: str | None, declared: Sequence[DeclaredColumn], rules: Rules) -> dict[str, Any]:
    single = {names[0] for names in rules.unique_sets if len(names) == 1}
    columns = [
        one.column.model_copy(update={"unique": True}) if one.column.name in single else one.column for one in declared
    ]
    return {
        "table": table,
        "columns": tuple(columns),
        "unique_together": tuple(names for names in rules.unique_sets if len(names) > 1),
        "row_rules": tuple(rules.row_rules),
        "set_rules": tuple(rules.set_rules),
    }


def _pattern_problem(cadence: Cadence, pattern: str) -> str | None:
    try:
        groups = pattern_groups(pattern)
    except ValueError as error:
        return f"RE2 refuses the pattern: {str(error).splitlines()[0]}"
    if len(set(groups)) == len(groups) and frozenset(groups) in GROUPS[cadence]:
        return None
    return f"a {cadence} pattern with the groups ({', '.join(groups) or 'none'}) does not say which partition a file is"


def _pattern_fix(cadence: Cadence) -> str:
    wanted = " or ".join(", ".join(sorted(names, key="year week month day hour".index)) for names in GROUPS[cadence])
    return f"Name exactly these groups, as in (?P<year>\\d{{4}}): {wanted}; other brackets are (?:...)."


def _path_problem(path: str) -> str | None:
    parts = path.removeprefix("./").split("/")
    if len(path) > _MAX_PATH or not path.isprintable():
        return f"the path is longer than {_MAX_PATH} characters or holds invisible ones"
    if path.startswith(("/", "~")) or re.match(r"[A-Za-z]:|[A-Za-z][A-Za-z0-9+.-]*://", path):
        return f"{shown(path)} is absolute"
    if ".." in parts:
        return f"{shown(path)} leaves the drop folder"
    if "\\" in path or set(path) & set("[]{}"):
        return f"{shown(path)} has signs with no meaning here"
    if not parts[-1]:
        return f"{shown(path)} names a folder, not files"
    if "" in parts or "." in parts:
        return f"{shown(path)} has an empty step"
    if any("**" in part and part != "**" for part in parts) or parts[-1] == "**":
        return f"** stands for whole folders, not inside {shown(path)}"
    return None


def _matches(pattern: str, name: str) -> bool:
    with duck_syntax() as duck:
        return duck.matches(pattern, name)
