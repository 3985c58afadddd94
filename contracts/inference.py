"""A draft contract from sample files, for a person to review.

Wherever the samples leave a doubt the draft says text and optional: it reads what the samples hold without losing a
digit, and comments in it say where to look. Then it is put to the test: the samples are read and judged under it, so
that the person sees what would have gone to quarantine.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise

import duckdb
import numpy as np
import pyarrow as pa

from contracts.canonical import canonical_bytes
from contracts.duckdb_syntax import literal, quoted
from contracts.errors import UsageError
from contracts.judgement import compile_judgement
from contracts.odcs_reader import parse_contract
from contracts.partitions import start_of_period
from contracts.records import Records, read_records
from contracts.refs import Digest, digest_json
from contracts.sniffing import Sample, Sniffed, plain_bytes, sniff
from contracts.table_contract import (
    LINEAGE_PREFIX,
    Cadence,
    Column,
    CsvFormat,
    FileFormat,
    ParquetFormat,
    Partitioning,
    Server,
    TableContract,
)

LOOKED_AT_RECORDS = 1_000
"""Of each sample."""

PREVIEW_ROWS = 20
_SHOWN_CHARACTERS = 60
_ENOUGH_VALUES = 20
"""Fewer values than this say nothing about a column being required or a key."""

_NULL_WORDS = ("NA", "N/A", "n/a", "NULL", "null", "None", "\\N", "-", "#N/A", "NaN", "nan")
_DATES = r"\d{4}-\d{2}-\d{2}"
_TIMES = r"\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?"
_DECIMAL_DIGITS = 17
"""As many as DOUBLE tells apart."""

_SHAPES: tuple[tuple[str, str, str], ...] = (
    ("boolean", r"true|false|True|False|TRUE|FALSE", "BOOLEAN"),
    ("integer", r"-?(0|[1-9][0-9]{0,17})", "BIGINT"),
    ("number", r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?", "DOUBLE"),
    ("date", _DATES, "DATE"),
    ("timestamp", rf"{_DATES}[ T]{_TIMES}", "TIMESTAMP"),
    ("moment", rf"{_DATES}[ T]{_TIMES}(Z|[+-]\d{{2}}(:?\d{{2}})?)", "TIMESTAMP WITH TIME ZONE"),
    ("time", _TIMES, "TIME"),
    ("object", r"(?s)\{.*\}", "JSON"),
    ("array", r"(?s)\[.*\]", "JSON"),
)
"""Logical type, what every value of it looks like (RE2), and the type it must also cast to."""

_OTHER_FORMATS = (
    "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%Y/%m/%d", "%d/%m/%y", "%m/%d/%y", "%d %b %Y", "%d-%b-%Y",
)  # fmt: skip
_CLOCKS = (" %H:%M:%S", " %H:%M")

_ARROW_TYPES: Mapping[str, tuple[str, str | None]] = {
    "bool": ("boolean", None), "int8": ("integer", "TINYINT"), "int16": ("integer", "SMALLINT"),
    "int32": ("integer", "INTEGER"), "int64": ("integer", None), "uint8": ("integer", "UTINYINT"),
    "uint16": ("integer", "USMALLINT"), "uint32": ("integer", "UINTEGER"), "uint64": ("integer", "UBIGINT"),
    "float": ("number", "FLOAT"), "double": ("number", None), "date32[day]": ("date", None),
}  # fmt: skip

_DATE_IN_NAME: tuple[tuple[Cadence, str], ...] = (
    (Cadence.HOURLY, r"(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})[-T_](?P<hour>\d{2})"),
    (Cadence.HOURLY, r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})[-T_]?(?P<hour>\d{2})"),
    (Cadence.DAILY, r"(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})"),
    (Cadence.DAILY, r"(?P<year>\d{4})_(?P<month>\d{2})_(?P<day>\d{2})"),
    (Cadence.DAILY, r"(?P<year>\d{4})\.(?P<month>\d{2})\.(?P<day>\d{2})"),
    (Cadence.DAILY, r"(?P<day>\d{2})-(?P<month>\d{2})-(?P<year>\d{4})"),
    (Cadence.DAILY, r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})"),
    (Cadence.WEEKLY, r"(?P<year>\d{4})-?W(?P<week>\d{2})"),
    (Cadence.MONTHLY, r"(?P<year>\d{4})-(?P<month>\d{2})"),
    (Cadence.MONTHLY, r"(?P<year>\d{4})_(?P<month>\d{2})"),
    (Cadence.MONTHLY, r"(?P<year>\d{4})(?P<month>\d{2})"),
)
"""Tried in order: the most particular first."""

_COMPRESSION_SUFFIX = re.compile(r"\.(?:gz|zst)$")
_YEARS = range(1900, 2101)


@dataclass(frozen=True)
class Trial:
    """What became of the sample records when they were judged under the draft."""

    records: int
    quarantined: int
    reasons: Mapping[str, int]
    """How often each reason and column was named, such as `TYPE casi_testati`."""


@dataclass(frozen=True)
class InferredContract:
    """A draft and what to know before using it."""

    yaml: str
    """The ODCS file: it loads as it is."""
    contract: TableContract
    preview: pa.Table
    """The first rows, typed as the draft says."""
    preview_digest: Digest
    schema_differences: tuple[str, ...]
    """How the sample files differ from each other, one sentence each."""
    trial: Trial


def infer_contract(table: str, samples: Sequence[Sample]) -> InferredContract:
    """Draft a contract for the table that these files belong to.

    Args:
        table: Its name.
        samples: At least one; in the order in which their columns should count.

    Raises:
        UsageError: There is no sample, they are of different formats, or one repeats a column.
        DropError: A sample is empty or cannot be decoded.
        ContractError: `table` cannot be the name of a table.
    """
    if not samples:
        msg = "there is no sample file. Name at least one."
        raise UsageError(msg)
    sniffed = [sniff(sample) for sample in samples]
    layout = _common_layout(samples, sniffed)
    columns = _merged_columns(samples, sniffed)
    texts = [_texts(table, sample, one, layout) for sample, one in zip(samples, sniffed, strict=True)]
    guesses, markers = _guesses(columns, sniffed, texts)
    calendar = _calendar([sample.name for sample in samples])
    draft = _Draft(table, layout, markers, tuple(guesses), calendar, _path(table, samples, calendar.prefix))
    text = draft.yaml(keep_undeclared=_has_undeclarable(columns))
    contract = parse_contract(text.encode(), source=f"draft of {table}")
    preview, trial = _try_out(contract, samples)
    return InferredContract(
        yaml=text,
        contract=contract,
        preview=preview,
        preview_digest=digest_json([[str(value) for value in row.values()] for row in preview.to_pylist()]),
        schema_differences=_differences(samples, sniffed, columns),
        trial=trial,
    )


# --- columns ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Found:
    """A column that files bring, and which of them do (by position)."""

    name: str
    files: tuple[int, ...]


@dataclass
class _Guess:
    """What a column seems to be."""

    name: str
    """As the table will call it."""
    alias: str | None
    """As files call it, where the table cannot."""
    logical_type: str
    physical_type: str | None = None
    formats: tuple[str, ...] = ()
    required: bool = False
    comments: list[str] = field(default_factory=list)


def _merged_columns(samples: Sequence[Sample], sniffed: Sequence[Sniffed]) -> list[_Found]:
    """All columns: the first file's in its order, each new one behind the one it follows in its file."""
    order: list[str] = []
    files: dict[str, list[int]] = {}
    for position, one in enumerate(sniffed):
        repeated = [name for name, count in Counter(one.columns).items() if count > 1]
        if repeated:
            path = samples[position].path
            msg = f"{path}: the column {repeated[0]!r} stands twice. Mend the file, or take another sample."
            raise UsageError(msg, path=path, column=repeated[0])
        before = -1
        for name in one.columns:
            if name in files:
                before = order.index(name)
            else:
                before += 1
                order.insert(before, name)
            files.setdefault(name, []).append(position)
    return [_Found(name, tuple(files[name])) for name in order]


def _table_names(columns: Sequence[_Found]) -> dict[str, str]:
    """What the table calls each column that can be declared: most as the files do."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for column in columns:
        if not _is_declarable(column.name):
            continue
        name = _visible(column.name)
        while name.lower() in taken:
            name += "_2"
        taken.add(name.lower())
        names[column.name] = name
    return names


def _visible(name: str) -> str:
    return "".join(c if c.isprintable() else " " for c in name).strip()[:250]


def _is_declarable(name: str) -> bool:
    """Whether a file's column can be one of the table's, perhaps under another name."""
    return bool(_visible(name)) and not name.lower().startswith(LINEAGE_PREFIX)


def _has_undeclarable(columns: Sequence[_Found]) -> bool:
    return len(_table_names(columns)) < len(columns)


def _guesses(
    columns: Sequence[_Found], sniffed: Sequence[Sniffed], texts: Sequence[pa.Table]
) -> tuple[list[_Guess], tuple[str, ...]]:
    """Each column's type, and the words that mean NULL."""
    with duckdb.connect(":memory:", config={"enable_external_access": False, "threads": 2}) as connection:
        values = pa.concat_tables(texts, promote_options="default")
        connection.register("samples", values.rename_columns([f"c{n}" for n in range(values.num_columns)]))
        profiles = {name: _Profile(connection, f"c{n}") for n, name in enumerate(values.column_names)}
        markers = ("", *sorted({word for profile in profiles.values() for word in profile.null_words()}))
        names = _table_names(columns)
        guesses = [
            _guess(column, names[column.name], profiles[column.name], markers, sniffed)
            for column in columns
            if column.name in names and column.name in profiles
        ]
    return guesses, markers


def _guess(column: _Found, name: str, profile: _Profile, markers: Sequence[str], sniffed: Sequence[Sniffed]) -> _Guess:
    stated = _stated_type(column, sniffed)
    logical, formats = profile.type_without(markers)
    guess = _Guess(name, None if name == column.name else column.name, logical, formats=formats)
    if stated is not None:
        guess.logical_type, guess.physical_type, guess.formats = stated[0], stated[1], ()
    values = profile.count_without(markers)
    everywhere = len(column.files) == len(sniffed)
    guess.required = everywhere and values == profile.rows and values >= _ENOUGH_VALUES
    if not values:
        guess.comments.append("no value in the samples: text until one shows what it is")
    elif logical == "string" and profile.ambiguous_dates(markers):
        guess.comments.append("a date, but day and month cannot be told apart: see customProperties formats")
    elif logical == "string" and profile.is_zero_padded(markers):
        guess.comments.append("digits that a number would not keep as they are: a code, kept as text")
    if not everywhere:
        guess.comments.append(f"in {len(column.files)} of {len(sniffed)} sample files")
    if guess.required and profile.is_distinct():
        guess.comments.append("no two sample rows share a value: part of the key? then add primaryKey: true")
    return guess


def _stated_type(column: _Found, sniffed: Sequence[Sniffed]) -> tuple[str, str | None] | None:
    """The type that Parquet files state, where they agree; None for text and for what has no guess."""
    stated = set()
    for position in column.files:
        types = sniffed[position].types
        if types is not None:
            stated.add(types[sniffed[position].columns.index(column.name)])
    if len(stated) != 1:
        return None
    arrow = stated.pop()
    decimal = re.fullmatch(r"decimal(?:32|64|128)\((\d+), (\d+)\)", arrow)
    if decimal is not None:
        return "number", f"DECIMAL({decimal[1]},{decimal[2]})"
    return _ARROW_TYPES.get(arrow)


class _Profile:
    """Questions about one column of text."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, name: str) -> None:
        self._connection, self._name = connection, name
        self.rows: int = connection.execute("SELECT count(*) FROM samples").fetchall()[0][0]

    def type_without(self, markers: Sequence[str]) -> tuple[str, tuple[str, ...]]:
        """The narrowest logical type that takes every value, and the formats it needs; text when in doubt."""
        if not self.count_without(markers):
            return "string", ()
        for logical, shape, column_type in _SHAPES:
            fits = f"regexp_full_match(v, {literal(shape)}) AND TRY_CAST(v AS {column_type}) IS NOT NULL"
            if self._all(fits, markers):
                exact = f"length(regexp_replace(v, '[eE].*|[^0-9]', '', 'g')) <= {_DECIMAL_DIGITS}"
                return ("string", ()) if logical == "number" and not self._all(exact, markers) else (logical, ())
        fitting = self._formats(markers)
        if len(fitting) != 1:
            return "string", ()
        return ("timestamp" if "%H" in fitting[0] else "date"), (fitting[0],)

    def null_words(self) -> list[str]:
        """Words that mean NULL here: without them the column has a type, with them it is text."""
        found = [word for word in _NULL_WORDS if self._count(f"v = {literal(word)}")]
        if not found or self.type_without(("", *found))[0] == "string":
            return []
        return found if self.type_without(("",))[0] == "string" else []

    def ambiguous_dates(self, markers: Sequence[str]) -> bool:
        """Whether several formats read every value."""
        return len(self._formats(markers)) > 1

    def is_zero_padded(self, markers: Sequence[str]) -> bool:
        """Whether all values are digits, which for a column of text means that some begin with a zero."""
        return self._all("regexp_full_match(v, '[0-9]+')", markers)

    def is_distinct(self) -> bool:
        """Whether no value stands twice."""
        rows = self._connection.execute(f"SELECT count({self._name}) = count(DISTINCT {self._name}) FROM samples")
        return bool(rows.fetchall()[0][0])

    def count_without(self, markers: Sequence[str]) -> int:
        """How many values there are that mean something."""
        return self._count(f"v NOT IN ({', '.join(map(literal, markers))})")

    def _formats(self, markers: Sequence[str]) -> list[str]:
        candidates = [f"{date}{clock}" for date in _OTHER_FORMATS for clock in ("", *_CLOCKS)]
        tried = ", ".join(
            f"bool_and(coalesce(year(try_strptime(v, {literal(one)})) BETWEEN 1900 AND 2100, FALSE))"
            for one in candidates
        )
        where = f"v NOT IN ({', '.join(map(literal, markers))})"
        query = f"SELECT {tried} FROM (SELECT {self._name} AS v FROM samples) WHERE v IS NOT NULL AND {where}"
        return [
            one for one, fits in zip(candidates, self._connection.execute(query).fetchall()[0], strict=True) if fits
        ]

    def _all(self, condition: str, markers: Sequence[str]) -> bool:
        others = f"v NOT IN ({', '.join(map(literal, markers))})"
        return self._count(f"{others} AND NOT coalesce({condition}, FALSE)") == 0

    def _count(self, condition: str) -> int:
        query = f"SELECT count(*) FROM (SELECT {self._name} AS v FROM samples) WHERE v IS NOT NULL AND {condition}"
        return int(self._connection.execute(query).fetchall()[0][0])


# --- reading the samples ---------------------------------------------------------------------------------------------


def _common_layout(samples: Sequence[Sample], sniffed: Sequence[Sniffed]) -> FileFormat:
    """The way most samples are written."""
    kinds = {one.format.kind for one in sniffed}
    if len(kinds) > 1:
        listed = ", ".join(f"{sample.path} ({one.format.kind})" for sample, one in zip(samples, sniffed, strict=True))
        msg = f"the samples are of different formats: {listed}. Give files of one table."
        raise UsageError(msg, formats=sorted(kinds))
    return Counter(one.format for one in sniffed).most_common(1)[0][0]


def _texts(table: str, sample: Sample, sniffed: Sniffed, layout: FileFormat) -> pa.Table:
    """The first records of a sample as text, read as its own columns say and as the common layout says."""
    columns = [Column(name=name, type="VARCHAR") for name in sniffed.columns if _is_declarable(name)]
    provisional = TableContract(
        table="draft",
        version="0",
        server=Server(path="draft", format=_without_markers(layout)),
        columns=tuple(columns),
        undeclared_columns="keep",
        partitioning=Partitioning(cadence=Cadence.DAILY, start=dt.datetime(2000, 1, 1), file_name_pattern=table),  # noqa: DTZ001 - a calendar's clock
    )
    names = [column.name for column in columns]
    found = [run.table.select(names) for run in _first_runs(sample, provisional)]
    return pa.concat_tables(found) if found else pa.table({name: pa.array([], pa.string()) for name in names})


def _without_markers(layout: FileFormat) -> FileFormat:
    return layout.model_copy(update={"null_markers": ()}) if isinstance(layout, CsvFormat) else layout


def _first_runs(sample: Sample, contract: TableContract) -> Iterator[Records]:
    """Runs of records of the sample up to the limit; a head that was cut ends where it was cut."""
    data = sample.head if isinstance(contract.server.format, ParquetFormat) else plain_bytes(sample)
    if not sample.complete:
        data = data[: data.rfind(b"\n") + 1]
    numbers = np.arange(1, LOOKED_AT_RECORDS + 1)
    yield from read_records([data], contract, only=numbers)


def _try_out(contract: TableContract, samples: Sequence[Sample]) -> tuple[pa.Table, Trial]:
    """Judge the samples under the draft."""
    judgement = compile_judgement(contract)
    reasons: Counter[str] = Counter()
    records, quarantined, preview = 0, 0, None
    with duckdb.connect(":memory:", config={"enable_external_access": False, "threads": 2}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for sample in samples:
            runs = list(_first_runs(sample, contract))
            refused = [refusal for run in runs for refusal in run.refused]
            reasons.update(_reason(refusal.reason, refusal.column) for refusal in refused)
            if not runs:
                continue
            table = pa.concat_tables([run.table for run in runs])
            for name in ("_hg_source", "_hg_segment"):
                table = table.append_column(name, pa.array([""] * table.num_rows, pa.string()))
            connection.register("texts", table)
            bad = connection.execute(judgement.reasons_query("texts")).fetchall()
            reasons.update(_reason(one["code"], one["column"] or one["rule"]) for row in bad for one in row[2])
            unread = len({refusal.record for refusal in refused})
            records, quarantined = records + table.num_rows + unread, quarantined + len(bad) + unread
            if preview is None and table.num_rows:
                shown = ", ".join(quoted(column.name) for column in contract.columns)
                query = (
                    f"SELECT {shown} FROM ({judgement.valid_query('texts')}) ORDER BY _hg_record LIMIT {PREVIEW_ROWS}"
                )
                preview = connection.sql(query).to_arrow_table()
    empty = pa.table({column.name: pa.array([], pa.string()) for column in contract.columns})
    return preview if preview is not None else empty, Trial(records, quarantined, dict(reasons.most_common()))


def _reason(code: str, subject: str | None) -> str:
    return f"{code} {subject[:_SHOWN_CHARACTERS]}" if subject else str(code)


def _differences(samples: Sequence[Sample], sniffed: Sequence[Sniffed], columns: Sequence[_Found]) -> tuple[str, ...]:
    """How files differ in columns and in the way they are written."""
    said = []
    partly = [column for column in columns if len(column.files) < len(samples)]
    together: dict[tuple[int, ...], list[str]] = {}
    for column in partly:
        together.setdefault(column.files, []).append(column.name)
    for files, names in together.items():
        missing = [samples[n].name for n in range(len(samples)) if n not in files]
        said.append(f"in {len(files)} of {len(samples)} files, and not in {_listed(missing)}: {', '.join(names)}")
    for one, other in combinations(partly, 2):
        apart = not set(one.files) & set(other.files) and len(one.files) + len(other.files) == len(samples)
        places = [sniffed[column.files[0]].columns.index(column.name) for column in (one, other)]
        if apart and places[0] == places[1]:
            said.append(f"{one.name!r} and {other.name!r} take turns in one place: a column renamed? then use aliases")
    usual = Counter(one.format for one in sniffed).most_common(1)[0][0]
    odd = [sample.name for sample, one in zip(samples, sniffed, strict=True) if one.format != usual]
    if odd:
        said.append(f"{_listed(odd)} look as if they were written otherwise (delimiter, quote, header or encoding)")
    return tuple(said)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


# --- names of files --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Calendar:
    """What the files' names say about partitions."""

    cadence: Cadence
    start: dt.datetime
    pattern: str
    prefix: str
    """What all names begin with, up to the date."""
    sure: bool


def _calendar(names: Sequence[str]) -> _Calendar:
    """Cadence, first period and pattern of names; a made-up daily one, marked so, when the names have no date."""
    plain = [_COMPRESSION_SUFFIX.sub("", name) for name in names]
    for cadence, date in _DATE_IN_NAME:
        found = [_only_date(date, name) for name in plain]
        starts = [_period(match, cadence) if match is not None else None for match in found]
        if all(start is not None for start in starts):
            moments = sorted({start for start in starts if start is not None})
            cadence_found = _cadence(cadence, moments)
            around = [(m.string[: m.start()], m.string[m.end() :]) for m in found if m is not None]
            prefix = _common([before for before, _ in around])
            start = start_of_period(cadence_found, moments[0])
            return _Calendar(cadence_found, start, _pattern(date, around), prefix, sure=True)
    suffix = _common([name[::-1] for name in plain])[::-1]
    pattern = rf".*(?P<year>\d{{4}})-(?P<month>\d{{2}})-(?P<day>\d{{2}}){_escaped(suffix)}(?:\.gz|\.zst)?"
    return _Calendar(Cadence.DAILY, dt.datetime(2000, 1, 1), pattern, "", sure=False)  # noqa: DTZ001 - a calendar's clock


def _only_date(date: str, name: str) -> re.Match[str] | None:
    """Where the name's date stands: digits before or behind would make it another number."""
    return re.search(rf"(?<!\d){date}(?!\d)", name)


def _period(match: re.Match[str], cadence: Cadence) -> dt.datetime | None:
    parts = {name: int(text) for name, text in match.groupdict().items()}
    if parts["year"] not in _YEARS:
        return None
    try:
        if cadence is Cadence.WEEKLY:
            day = dt.date.fromisocalendar(parts["year"], parts["week"], 1)
        else:
            day = dt.date(parts["year"], parts["month"], parts.get("day", 1))
        return dt.datetime.combine(day, dt.time(parts.get("hour", 0)))
    except ValueError:
        return None


def _cadence(cadence: Cadence, moments: Sequence[dt.datetime]) -> Cadence:
    """Weekly when several daily names are always whole weeks apart."""
    steps = {(later - earlier).days for earlier, later in pairwise(moments)}
    weekly = cadence is Cadence.DAILY and len(moments) > 2 and all(step % 7 == 0 for step in steps)
    return Cadence.WEEKLY if weekly else cadence


def _pattern(date: str, around: Sequence[tuple[str, str]]) -> str:
    """What stands around the date: as it is where it is always the same, else anything."""
    before, after = ({pair[side] for pair in around} for side in (0, 1))
    prefix = _escaped(before.pop()) if len(before) == 1 else f"{_escaped(_common(sorted(before)))}.*"
    tails = sorted(after)
    suffix = _common([tail[::-1] for tail in tails])[::-1]
    behind = _escaped(suffix) if len(tails) == 1 else f".*{_escaped(suffix)}"
    return rf"{prefix}{date}{behind}(?:\.gz|\.zst)?"


def _common(texts: Sequence[str]) -> str:
    shortest, longest = min(texts), max(texts)
    same = next((n for n, (a, b) in enumerate(zip(shortest, longest, strict=False)) if a != b), min(map(len, texts)))
    return shortest[:same]


def _escaped(text: str) -> str:
    return re.sub(r"([.+*?^$()\[\]{}|\\])", r"\\\1", text)


def _path(table: str, samples: Sequence[Sample], prefix: str) -> str:
    """A glob that takes all samples and their like; in a folder named as the table where they lie in none."""
    folders = {sample.path.rpartition("/")[0].strip("/") for sample in samples}
    folder = folders.pop() if len(folders) == 1 else ""
    usable = re.fullmatch(r"[\w .=-]+(/[\w .=-]+)*", folder) and not {".", ".."} & set(folder.split("/"))
    plain = [_COMPRESSION_SUFFIX.sub("", sample.name) for sample in samples]
    ending = re.search(r"\.[A-Za-z]+$", plain[0])
    suffix = f"{ending[0]}*" if ending and all(name.endswith(ending[0]) for name in plain) else ""
    plain_prefix = prefix if re.fullmatch(r"[\w .=-]*", prefix) else ""
    return f"{folder if usable else table}/{plain_prefix}*{suffix}"


# --- writing it down -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Draft:
    """Everything that goes into the YAML."""

    table: str
    layout: FileFormat
    markers: tuple[str, ...]
    columns: tuple[_Guess, ...]
    calendar: _Calendar
    path: str

    def yaml(self, *, keep_undeclared: bool) -> str:
        """The ODCS file."""
        parts = [self._head(), self._servers(), self._schema(), self._custom(keep_undeclared=keep_undeclared)]
        return "\n".join(parts)

    def _head(self) -> str:
        return (
            "# A draft from sample files. Lines that begin with `# LOOK` name what the samples cannot tell.\n"
            "# `hashgate contract lint` checks it; docs/contracts.md explains every key.\n"
            "apiVersion: v3.1.0\nkind: DataContract\n"
            f"id: {_scalar(self.table)}\nname: {_scalar(self.table)}\nversion: 0.1.0\nstatus: draft\n"
            "# LOOK: who answers for this table?\n"
            "# team:\n#   members:\n#     - username: name@example.com\n#       role: owner\n"
        )

    def _servers(self) -> str:
        return (
            "servers:\n  - server: drops\n    type: local\n"
            "    # LOOK: relative to the drop folder.\n"
            f"    path: {_scalar(self.path)}\n    format: {self.layout.kind}\n"
        )

    def _schema(self) -> str:
        lines = ["schema:", f"  - name: {_scalar(self.table)}", "    physicalType: table"]
        if any(column.required for column in self.columns):
            lines.append("    # LOOK: required stands where no sample record lacked a value. Is that a promise?")
        if not any("key" in comment for column in self.columns for comment in column.comments):
            lines.append("    # LOOK: no single column is a key. Columns that make one together get primaryKey: true.")
        lines.append("    properties:")
        for column in self.columns:
            lines += self._column(column)
        return "\n".join(lines) + "\n"

    def _column(self, column: _Guess) -> Iterator[str]:
        yield from (f"      # LOOK: {comment}" for comment in column.comments)
        yield f"      - name: {_scalar(column.name)}"
        yield f"        logicalType: {'timestamp' if column.logical_type == 'moment' else column.logical_type}"
        if column.physical_type is not None:
            yield f"        physicalType: {column.physical_type}"
        if column.logical_type == "moment":
            yield "        logicalTypeOptions: {timezone: true, defaultTimezone: UTC}"
        if column.required:
            yield "        required: true"
        custom = [("aliases", [column.alias])] if column.alias is not None else []
        custom += [("formats", list(column.formats))] if column.formats else []
        if custom:
            yield "        customProperties:"
        for name, values in custom:
            yield f"          - property: {name}"
            yield f"            value: [{', '.join(map(_scalar, values))}]"

    def _custom(self, *, keep_undeclared: bool) -> str:
        calendar = self.calendar
        start = (
            f"{calendar.start:%Y-%m-%dT%H:%M}" if calendar.cadence is Cadence.HOURLY else f"{calendar.start:%Y-%m-%d}"
        )
        lines = ["customProperties:"]
        if not calendar.sure:
            lines.append("  # LOOK: the samples' names have no date, and a file's partition comes from its name.")
        lines += [
            "  - property: partitioning",
            "    value:",
            f"      cadence: {calendar.cadence}",
            "      # LOOK: the first period there will ever be a file for.",
            f"      start: '{start}'",
            "      # LOOK: whose midnight ends a period?",
            "      timeZone: UTC",
            f"      fileNamePattern: {_scalar(calendar.pattern)}",
            *self._dialect(),
            "  # LOOK: `quarantine` refuses files with undeclared columns, `keep` keeps these beside the row.",
            "  - property: undeclaredColumns",
            f"    value: {'keep' if keep_undeclared else 'quarantine'}",
            "  # LOOK: the share of bad records above which a partition is held.",
            "  - property: quarantineBudget",
            "    value: 0.1",
        ]
        return "\n".join(lines) + "\n"

    def _dialect(self) -> list[str]:
        plain = {"csv": CsvFormat()}.get(self.layout.kind)
        if isinstance(self.layout, ParquetFormat):
            return []
        stated = {"encoding": _scalar(self.layout.encoding)} if self.layout.encoding != "utf-8" else {}
        if isinstance(self.layout, CsvFormat) and plain is not None:
            for key in ("delimiter", "quote", "escape"):
                sign = getattr(self.layout, key)
                stated |= {key: _scalar(sign)} if sign != getattr(plain, key) else {}
            stated |= {} if self.layout.header else {"header": "false"}
            stated |= {"nullMarkers": f"[{', '.join(map(_scalar, self.markers))}]"} if self.markers != ("",) else {}
        if not stated:
            return []
        return [
            f"  - property: {self.layout.kind}",
            "    value:",
            *(f"      {key}: {text}" for key, text in stated.items()),
        ]


def _scalar(text: str | None) -> str:
    """A YAML scalar that is text to every reader."""
    if text is None:
        return "null"
    if re.fullmatch(r"[A-Za-z]([A-Za-z0-9_./-]*[A-Za-z0-9_])?", text) and text.lower() not in _YAML_WORDS:
        return text
    if text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    return canonical_bytes(text).decode()


_YAML_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n", "nan", "inf"})
