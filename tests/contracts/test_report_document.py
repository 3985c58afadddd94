"""The report as a document: what is written is read again, and nothing else is taken for one."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from pydantic import ValidationError

from contracts.canonical import canonical_bytes
from contracts.gates import Verdict, receipt, unknown
from contracts.refs import digest_bytes, digest_json
from contracts.report_document import (
    ColumnProfile,
    ContractFacts,
    Excerpt,
    Flow,
    Histogram,
    Lineage,
    Profile,
    Quantile,
    Report,
)

D = digest_bytes(b"any")


def column(**changed: Any) -> ColumnProfile:
    facts: dict[str, Any] = {
        "name": "x",
        "type": "DOUBLE",
        "description": "",
        "nulls": 1,
        "distinct": 2,
        "distinct_is_approximate": False,
        "minimum": Excerpt(text="1", characters=1),
        "maximum": Excerpt(text="2", characters=1),
        "quantiles": (Quantile(share=0.5, value="1"),),
        "quantile_sample": None,
        "top_values": (),
        "histogram": Histogram(unit="value", start=-0.5, width=0.1, rows=(1, 0, 1), not_binned=0),
    }
    return ColumnProfile(**(facts | changed))


def report(**changed: Any) -> Report:
    facts: dict[str, Any] = {
        "table": "sales",
        "partition": "2024-03-01",
        "state": "published",
        "version": 1,
        "committed_at": dt.datetime(2024, 3, 2, tzinfo=dt.UTC),
        "description": "",
        "contract": ContractFacts(version="1", digest=D, rows_digest=D, set_digest=D, schema_fingerprint=D),
        "flow": Flow(
            drops=0, drop_bytes=0, records=0, valid_rows=0, quarantined_rows=0, quarantine_budget=None, drop_lines=()
        ),
        "quarantine_reasons": 0,
        "quarantine": (),
        "gates": (receipt("integrity", expected="so", observed="so", findings=()),),
        "profile": Profile(rows=3, columns=(column(),)),
        "lineage": Lineage(
            commit=D,
            parent=None,
            view_key=D,
            snapshot=D,
            selection_number=1,
            cutoff=1,
            materialization_key=D,
            run_id="r",
            segments=0,
            segment_lines=(),
            overlay=None,
        ),
    }
    return Report(**(facts | changed))


def test_a_written_report_is_read_again_and_written_alike() -> None:
    data = report().to_bytes()
    assert Report.from_bytes(data) == report()
    assert Report.from_bytes(data).to_bytes() == data


def test_a_report_is_canonical_and_sealed() -> None:
    body = report().model_dump(mode="json")
    assert report().to_bytes() == canonical_bytes(body | {"digest": digest_json(body)})
    assert b'"start":-0.5,"unit":"value","width":0.1' in report().to_bytes()


def test_a_report_of_before_there_were_seals_is_read_as_it_is() -> None:
    body = report(format="hashgate/report/v1").model_dump(mode="json", exclude={"page"})
    data = canonical_bytes(body)
    assert Report.from_bytes(data).page is None
    assert Report.from_bytes(data).to_bytes() == data


def test_a_report_that_names_its_page_is_read_as_it_is() -> None:
    body = report(format="hashgate/report/v2", page=D).model_dump(mode="json")
    assert "summary" not in body["profile"]["columns"][0]
    data = canonical_bytes(body | {"digest": digest_json(body)})
    assert Report.from_bytes(data).page == D
    assert Report.from_bytes(data).to_bytes() == data


def test_a_report_names_no_page_any_more() -> None:
    assert b'"page"' not in report().to_bytes()


def test_any_changed_byte_is_noticed() -> None:
    data = report().to_bytes()
    for at in range(len(data)):
        with pytest.raises(ValueError, match=r"."):
            Report.from_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])


def test_only_what_says_pass_has_passed() -> None:
    gates = (receipt("a", expected="", observed="", findings=()), unknown("b", "no disk"))
    assert [(g.gate, g.verdict) for g in report(gates=gates).gates_not_passed] == [("b", Verdict.UNKNOWN)]


def test_an_excerpt_says_how_much_is_left_out() -> None:
    assert Excerpt(text="ab", characters=5).left_out == 3
    assert Excerpt(text="ab", characters=2).left_out == 0


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"state": "draft"}, "state"),
        ({"committed_at": dt.datetime(2024, 3, 2)}, "committed_at"),
        ({"format": "hashgate/report/v4"}, "format"),
        ({"author": "me"}, "author"),
        ({"quarantine_reasons": -1}, "quarantine_reasons"),
    ],
    ids=["an unknown state", "a time without a zone", "another version", "an unknown field", "a negative count"],
)
def test_what_is_no_report_is_refused(change: dict[str, Any], where: str) -> None:
    with pytest.raises(ValidationError, match=where):
        report(**change)


@pytest.mark.parametrize(
    "change",
    [{"nulls": -1}, {"histogram": {"unit": "furlong", "start": 0, "width": 1, "rows": [1], "not_binned": 0}}],
    ids=["negative nulls", "an unknown unit"],
)
def test_what_is_no_profile_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        column(**change)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"a": 1, "a": 2}', b"\xff"], ids=repr)
def test_bytes_that_are_no_report_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Report.from_bytes(data)
