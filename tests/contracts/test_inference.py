"""A draft from sample files: careful types, honest comments, and a contract that loads as it is."""

# ruff: noqa: E501 - a table of names reads best with one case a line

from __future__ import annotations

import datetime as dt
import gzip
import io
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import ContractError, DropError, UsageError
from contracts.inference import LOOKED_AT_RECORDS, PREVIEW_ROWS, InferredContract, infer_contract
from contracts.odcs_reader import lint_contract
from contracts.sniffing import Sample
from contracts.table_contract import Cadence, Column, CsvFormat, JsonLinesFormat, ParquetFormat

NAME = "trips-2013-01-31.csv"


def infer(*files: tuple[str, bytes] | bytes | str) -> InferredContract:
    samples = []
    for file in files:
        name, data = file if isinstance(file, tuple) else (NAME, file)
        samples.append(Sample(name, data if isinstance(data, bytes) else data.encode()))
    return infer_contract("trips", samples)


def column_of(values: list[str], header: str = "x") -> Column:
    """What one column of these values is drafted as."""
    lines = [f"n,{header}", *(f"{n},{value}" for n, value in enumerate(values))]
    return infer("\n".join(lines).encode()).contract.columns[1]


# --- real data -------------------------------------------------------------------------------------------------------


def test_pcm_files_of_both_headers(corpora: Path) -> None:
    days = ["20200224", "20201030", "20220101"]
    paths = [corpora / "pcm-regioni/daily" / f"dpc-covid19-ita-regioni-{day}.csv" for day in days]
    draft = infer_contract("regioni", [Sample(f"pcm/{path.name}", path.read_bytes()) for path in paths])
    types = {column.name: column.type for column in draft.contract.columns}
    assert len(types) == 30
    assert types["data"] == "TIMESTAMP"
    assert types["codice_regione"] == "VARCHAR"
    assert types["lat"] == "DOUBLE"
    assert types["deceduti"] == "BIGINT"
    assert draft.contract.server.path == "pcm/dpc-covid19-ita-regioni-*.csv*"
    assert draft.contract.partitioning.cadence is Cadence.DAILY
    assert draft.contract.partitioning.start == dt.datetime(2020, 2, 24)
    assert draft.trial.records == 63
    assert draft.trial.quarantined == 0
    late = next(column for column in draft.contract.columns if column.name == "codice_nuts_1")
    assert not late.required
    assert draft.schema_differences[0].startswith("in 1 of 3 files, and not in")
    assert "codice_nuts_1" in draft.schema_differences[0]


def test_pcm_incidents_are_named(corpora: Path) -> None:
    names = ["0139_20200224.csv", "0140_20200225.csv", "0175_20200331.csv", "0280_20200511.csv"]
    folder = corpora / "pcm-regioni/as-published"
    draft = infer_contract("regioni", [Sample(name, (folder / name).read_bytes()) for name in names])
    said = "\n".join(draft.schema_differences)
    assert "'latitudine' and 'lat' take turns in one place" in said
    assert "0280_20200511.csv look as if they were written otherwise" in said
    assert draft.trial.quarantined == 21


# --- types -----------------------------------------------------------------------------------------------------------


TYPES: dict[str, tuple[list[str], str, tuple[str, ...]]] = {
    "whole numbers": (["1", "-2", "0"], "BIGINT", ()),
    "whole numbers and fractions": (["1", "2.5"], "DOUBLE", ()),
    "numbers with exponents": (["1e3", "2.5E-7"], "DOUBLE", ()),
    "codes with zeros": (["01", "10"], "VARCHAR", ()),
    "numbers that a machine rounds": (["12345678901234567890"], "VARCHAR", ()),
    "fractions that a machine rounds": (["0.12345678901234567890"], "VARCHAR", ()),
    "numbers and words": (["1", "one"], "VARCHAR", ()),
    "numbers with thousands": (['"1,000"'], "VARCHAR", ()),
    "true and false": (["true", "False"], "BOOLEAN", ()),
    "noughts and ones stay numbers": (["0", "1"], "BIGINT", ()),
    "dates": (["2013-01-31", "2013-02-28"], "DATE", ()),
    "a day that does not exist": (["2013-02-30"], "VARCHAR", ()),
    "times": (["2013-01-31T17:00:00", "2013-01-31 17:00"], "TIMESTAMP", ()),
    "moments": (["2013-01-31T17:00:00Z", "2013-01-31T17:00:00+01:00"], "TIMESTAMP WITH TIME ZONE", ()),
    "moments and times": (["2013-01-31T17:00:00Z", "2013-01-31T17:00:00"], "VARCHAR", ()),
    "times of day": (["17:00", "08:30:15"], "TIME", ()),
    "dates of which only one reading is possible": (["31/01/2013", "01/02/2013"], "DATE", ("%d/%m/%Y",)),
    "dates with a clock": (["31/01/2013 17:00"], "TIMESTAMP", ("%d/%m/%Y %H:%M",)),
    "dates of which two readings are possible": (["01/02/2013", "03/04/2013"], "VARCHAR", ()),
    "dates in German": (["31.01.2013"], "DATE", ("%d.%m.%Y",)),
    "nothing": (["", ""], "VARCHAR", ()),
    "blanks around": ([" 1", "2"], "VARCHAR", ()),
    "objects": (['"{""a"": 1}"'], "JSON", ()),
}


@pytest.mark.parametrize(("values", "column_type", "formats"), TYPES.values(), ids=TYPES.keys())
def test_types_fall_back_to_text_when_unsure(values: list[str], column_type: str, formats: tuple[str, ...]) -> None:
    column = column_of(values)
    assert (column.type, column.formats) == (column_type, formats)


def test_doubts_are_written_beside_the_column() -> None:
    text = infer(b"a,b,c\n01,01/02/2013,\n02,03/04/2013,\n").yaml
    assert re.search(r"# LOOK: digits that a number would not keep.*\n\s+- name: a", text)
    assert re.search(r"# LOOK: a date, but day and month cannot be told apart.*\n\s+- name: b", text)
    assert re.search(r"# LOOK: no value in the samples.*\n\s+- name: c", text)


def test_words_for_null_are_found_where_a_column_has_a_type_without_them() -> None:
    rows = "\n".join(["n,state", *(f"{n if n % 7 else 'NA'},NA" for n in range(30))])
    draft = infer(rows)
    layout = draft.contract.server.format
    assert isinstance(layout, CsvFormat)
    assert layout.null_markers == ("", "NA")
    assert [column.type for column in draft.contract.columns] == ["BIGINT", "VARCHAR"]
    assert not draft.contract.columns[0].required


def test_required_needs_enough_values_and_none_missing() -> None:
    many = "\n".join(["a,b,c", *(f"{n},{n or ''},x" for n in range(30))])
    columns = infer(many).contract.columns
    assert [column.required for column in columns] == [True, False, True]
    assert "no two sample rows share a value" in infer(many).yaml
    assert [column.required for column in infer(b"a,b\n1,2\n").contract.columns] == [False, False]


# --- formats ---------------------------------------------------------------------------------------------------------


DIALECTS = {
    "semicolons": (b"a;b\n1;2,5\n", CsvFormat(delimiter=";")),
    "tabs": (b"a\tb\n1\t2\n", CsvFormat(delimiter="\t")),
    "pipes and quotes": (b'a|b\n"1|1"|2\n', CsvFormat(delimiter="|")),
    "apostrophes around fields": (b"a,b\n'x,y',2\n'z',3\n", CsvFormat(quote="'")),
    "apostrophes inside text": (b"a,b\nValle d'Aosta,2\n", CsvFormat()),
    "no header": (b"1,2\n3,4\n", CsvFormat(header=False)),
    "line ends inside quotes": (b'a,b\n"x\ny",2\n', CsvFormat()),
    "cp1252": (b"a,b\ncaf\xe9,2\n", CsvFormat(encoding="cp1252")),
    "a byte order mark": (b"\xef\xbb\xbfa,b\n1,2\n", CsvFormat()),
    "UTF-16": ("\ufeffa,b\r\n1,2\r\n".encode("utf-16-le"), CsvFormat(encoding="utf-16")),
    "one column": (b"a\n1\n2\n", CsvFormat()),
    "an escape": (b'a,b\n"x \\" y",2\n', CsvFormat(escape="\\")),
}


@pytest.mark.parametrize(("data", "layout"), DIALECTS.values(), ids=DIALECTS.keys())
def test_how_csv_is_written(data: bytes, layout: CsvFormat) -> None:
    draft = infer(data)
    assert draft.contract.server.format == layout
    assert draft.trial.quarantined == 0
    assert draft.trial.records >= 1


def test_columns_without_header_are_numbered() -> None:
    assert [column.name for column in infer(b"1,x\n2,y\n").contract.columns] == ["column_1", "column_2"]


def test_compressed_samples() -> None:
    draft = infer(("trips-2013-01-31.csv.gz", gzip.compress(b"a,b\n1,2\n")))
    assert [column.type for column in draft.contract.columns] == ["BIGINT", "BIGINT"]
    assert draft.contract.server.path == "trips/trips-*.csv*"


def test_a_head_that_was_cut_anywhere() -> None:
    whole = b"a,b\n" + b"".join(b"%d,caf\xc3\xa9 %d\n" % (n, n) for n in range(5000))
    for size in (1000, 1001, 1007, 1009, 2003):
        draft = infer_contract("trips", [Sample(NAME, whole[:size], complete=False)])
        assert [column.type for column in draft.contract.columns] == ["BIGINT", "VARCHAR"]
        assert draft.trial.quarantined == 0
    packed = gzip.compress(whole)
    draft = infer_contract("trips", [Sample(NAME + ".gz", packed[: len(packed) // 2], complete=False)])
    assert draft.trial.quarantined == 0
    assert draft.trial.records == LOOKED_AT_RECORDS


def test_json_lines() -> None:
    draft = infer(("trips-2013-01-31.jsonl", b'{"id": 1, "tags": ["a"]}\n{"id": 2, "at": "2013-01-31"}\n{"id"'))
    assert draft.contract.server.format == JsonLinesFormat()
    assert {column.name: column.type for column in draft.contract.columns} == {
        "id": "BIGINT",
        "tags": "JSON",
        "at": "DATE",
    }


def test_parquet_states_its_types() -> None:
    table = pa.table(
        {
            "small": pa.array([1, 2], pa.int16()),
            "money": pa.array([None, None], pa.decimal128(12, 2)),
            "code": pa.array(["01", "02"]),
            "at": pa.array([dt.datetime(2013, 1, 31, 17)] * 2, pa.timestamp("us")),
        }
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    draft = infer(("trips-2013-01-31.parquet", buffer.getvalue()))
    assert draft.contract.server.format == ParquetFormat()
    types = {column.name: column.type for column in draft.contract.columns}
    assert types == {"small": "SMALLINT", "money": "DECIMAL(12,2)", "code": "VARCHAR", "at": "TIMESTAMP"}
    assert draft.trial.quarantined == 0


# --- names of files --------------------------------------------------------------------------------------------------


CALENDARS: dict[str, tuple[list[str], Cadence, str, str]] = {
    "a day": (["a-2013-01-31.csv"], Cadence.DAILY, "2013-01-31", "a-(?P<year>"),
    "a day without dashes": (["20130131_a.csv"], Cadence.DAILY, "2013-01-31", r"_a\.csv"),
    "the first of several": (["a-2013-01-31.csv", "a-2013-01-02.csv"], Cadence.DAILY, "2013-01-02", "a-"),
    "names that differ otherwise": (["am-2013-01-31.csv", "ap-2013-01-31.csv"], Cadence.DAILY, "2013-01-31", "a.*(?P<year>"),
    "a day written backwards": (["a-31-01-2013.csv"], Cadence.DAILY, "2013-01-31", "(?P<day>"),
    "an hour": (["a-2013-01-31T05.csv"], Cadence.HOURLY, "2013-01-31T05:00", "(?P<hour>"),
    "a month": (["a-2013-02.csv"], Cadence.MONTHLY, "2013-02-01", "(?P<month>"),
    "a week": (["a-2013-W05.csv"], Cadence.WEEKLY, "2013-01-28", "(?P<week>"),
    "days that are weeks apart": (["a-20130101.csv", "a-20130108.csv", "a-20130122.csv"], Cadence.WEEKLY, "2012-12-31", "(?P<day>"),
    "a number that is no date": (["a-99999999.csv"], Cadence.DAILY, "2000-01-01", ".*(?P<year>"),
    "no date": (["a.csv"], Cadence.DAILY, "2000-01-01", ".*(?P<year>"),
    "signs that mean something to patterns": (["a+(b)-2013-01-31.csv"], Cadence.DAILY, "2013-01-31", r"a\+\(b\)-"),
}  # fmt: skip


@pytest.mark.parametrize(("names", "cadence", "start", "part"), CALENDARS.values(), ids=CALENDARS.keys())
def test_what_names_say_about_partitions(names: list[str], cadence: Cadence, start: str, part: str) -> None:
    draft = infer(*((name, b"a,b\n1,2\n") for name in names))
    partitioning = draft.contract.partitioning
    assert partitioning.cadence is cadence
    assert partitioning.start == dt.datetime.fromisoformat(start)
    assert part in partitioning.file_name_pattern
    sure = start != "2000-01-01"
    assert ("names have no date" in draft.yaml) is not sure
    if sure:
        assert all(re.fullmatch(partitioning.file_name_pattern, name) for name in names)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("in/x/a-2013-01-31.csv", "in/x/a-*.csv*"),
        ("a-2013-01-31.csv", "trips/a-*.csv*"),
        ("../x/a-2013-01-31.csv", "trips/a-*.csv*"),
        ("/abs/[x]/a-2013-01-31.csv", "trips/a-*.csv*"),
        ("x/[a]-2013-01-31.csv", "x/*.csv*"),
    ],
)
def test_where_files_arrive(path: str, expected: str) -> None:
    assert infer((path, b"a,b\n1,2\n")).contract.server.path == expected


# --- columns that are not as one would wish --------------------------------------------------------------------------


def test_names_that_a_table_cannot_have_become_aliases() -> None:
    draft = infer(b"a , a,_hg_x,\n1,2,3,4\n")
    assert [(column.name, column.aliases) for column in draft.contract.columns] == [("a", ("a ",)), ("a_2", (" a",))]
    assert draft.contract.undeclared_columns == "keep"


def test_names_that_differ_only_in_case_are_told_apart() -> None:
    draft = infer(b"a,A\n1,x\n2,y\n")
    types = [(column.name, column.aliases, column.type) for column in draft.contract.columns]
    assert types == [("a", (), "BIGINT"), ("A_2", ("A",), "VARCHAR")]


def test_columns_that_come_and_go_are_optional() -> None:
    rows = b"".join(b"%d,%d\n" % (n, n) for n in range(30))
    draft = infer(("a-2013-01-01.csv", b"id,old\n" + rows), ("a-2013-01-02.csv", b"id,new\n" + rows))
    assert [(column.name, column.required) for column in draft.contract.columns] == [
        ("id", True),
        ("new", False),
        ("old", False),
    ]
    assert "'new' and 'old' take turns in one place: a column renamed? then use aliases" in draft.schema_differences


def test_the_preview_is_typed_and_short_and_has_a_digest() -> None:
    data = ("a,b\n" + "".join(f"{n},x\n" for n in range(50))).encode()
    draft = infer(data)
    assert draft.preview.num_rows == PREVIEW_ROWS
    assert draft.preview.column("a").to_pylist() == list(range(PREVIEW_ROWS))
    assert draft.preview_digest == infer(data).preview_digest
    assert draft.preview_digest != infer(data.replace(b"3,x", b"3,y")).preview_digest
    assert infer(data).yaml == draft.yaml


REFUSED: dict[str, tuple[list[Any], type[Exception], str]] = {
    "no sample": ([], UsageError, "there is no sample file"),
    "an empty file": ([b""], DropError, "the sample is empty"),
    "only blank lines": ([b"\n\n"], DropError, "the sample is empty"),
    "two formats": ([b"a,b\n1,2\n", b'{"a": 1}\n'], UsageError, "different formats"),
    "a column twice": ([b"a,a,1\n1,2,3\n", b"a,b\n1,2\n"], UsageError, "stands twice"),
    "broken compression": ([b"\x1f\x8b\x08\x00broken"], DropError, "compress"),
    "half a Parquet file": ([b"PAR1abc"], DropError, "no whole Parquet file"),
}


@pytest.mark.parametrize(("files", "error", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_samples_that_cannot_be_read(files: list[bytes], error: type[Exception], message: str) -> None:
    if "twice" in message:
        files = [b'{"a": 1}\n']
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), buffer)
        files = [buffer.getvalue()]
    with pytest.raises(error, match=message):
        infer(*files)


def test_a_table_name_that_cannot_be() -> None:
    with pytest.raises(ContractError, match="'Trips' cannot be the name of a table"):
        infer_contract("Trips", [Sample(NAME, b"a,b\n1,2\n")])


_CELLS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"], exclude_characters='\r\n,"\0'), max_size=6)


@settings(max_examples=25)
@given(
    header=st.lists(st.text("abcxyz", min_size=1, max_size=4), min_size=2, max_size=4, unique=True),
    rows=st.lists(st.lists(_CELLS, min_size=4, max_size=4), min_size=1, max_size=8),
)
def test_whatever_the_samples_hold_the_draft_loads_and_reads_them(header: list[str], rows: list[list[str]]) -> None:
    lines = [header, *(row[: len(header)] for row in rows)]
    data = "\n".join(",".join(f'"{cell}"' for cell in line) for line in lines).encode()
    draft = infer(data)
    assert lint_contract(draft.yaml.encode(), source="draft") == []
    assert draft.trial.quarantined == 0, draft.trial.reasons
