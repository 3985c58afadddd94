"""`hashgate report`: a table, a partition or a version, as a page, in a few lines, or as a document."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from contracts.canonical import parse_json
from platform_assets.reports.write_schemas import schema_path
from tests.installation import Installation


def test_a_table_in_a_few_lines(seeded: Installation) -> None:
    ran = seeded.hashgate("report", "orders")
    assert (ran.code, ran.err) == (0, "")
    assert "orders  3 of 5 partitions published, 2024-01-01 to 2024-01-05" in ran.out
    assert re.search(r"^ +3 +10 +7 +3 +1 +1$", ran.out, re.MULTILINE)
    assert "DUPLICATE_KEY" in ran.out
    assert "hashgate report orders --output orders.html" in ran.out


def test_a_partition_in_a_few_lines(seeded: Installation) -> None:
    ran = seeded.hashgate("report", "orders", "2024-01-04")
    assert (ran.code, ran.err) == (0, "")
    assert re.search(r"^orders 2024-01-04  version 1, commit [0-9a-f]{12}$", ran.out, re.MULTILINE)
    assert "drift from 2024-01-02, the partition before: little in any column" in ran.out
    assert "4 of 4" in ran.out


def test_a_held_partition_says_so(seeded: Installation) -> None:
    ran = seeded.hashgate("report", "orders", "2024-01-05")
    assert ran.code == 0
    assert "orders 2024-01-05  held" in ran.out


@pytest.mark.parametrize("what", [("orders",), ("orders", "2024-01-04")], ids=["a table", "a partition"])
def test_a_page_is_one_new_file_and_the_same_each_time(
    seeded: Installation, tmp_path: Path, what: tuple[str, ...]
) -> None:
    first, second = tmp_path / "1.html", tmp_path / "2.html"
    for path in (first, second):
        ran = seeded.hashgate("report", *what, "--output", str(path))
        assert (ran.code, ran.out) == (0, "")
        assert f"written to {path}: open it in a browser" in ran.err
    assert first.read_bytes() == second.read_bytes()
    assert first.read_text().startswith("<!DOCTYPE html>")
    assert "<svg" in first.read_text()


def test_nothing_is_overwritten(seeded: Installation, tmp_path: Path) -> None:
    path = tmp_path / "there.html"
    path.write_text("mine")
    ran = seeded.hashgate("report", "orders", "--output", str(path))
    assert (ran.code, path.read_text()) == (2, "mine")
    assert "exists. Name another file" in ran.err


def test_a_file_where_none_can_be_is_refused(seeded: Installation, tmp_path: Path) -> None:
    ran = seeded.hashgate("report", "orders", "--output", str(tmp_path / "no" / "page.html"))
    assert (ran.code, "cannot be written: No such file or directory" in ran.err) == (2, True)


def test_the_overview_as_a_document_keeps_its_schema(seeded: Installation) -> None:
    ran = seeded.hashgate("report", "orders", "--json")
    schema = parse_json(schema_path("overview").read_bytes())
    assert list(Draft202012Validator(schema).iter_errors(ran.json)) == []
    assert ran.json["totals"]["valid_rows"] == 7
    assert ran.out == seeded.hashgate("report", "orders", "--json").out


def test_a_report_as_a_document_keeps_its_schema_and_has_the_drift_beside_it(seeded: Installation) -> None:
    ran = seeded.hashgate("report", "orders", "2024-01-02", "--json")
    schema = parse_json(schema_path("report").read_bytes())
    assert list(Draft202012Validator(schema).iter_errors(ran.json["report"])) == []
    previous, baseline = ran.json["drift"]["previous"], ran.json["drift"]["baseline"]
    assert list(previous["versions"]) == ["2024-01-01"]
    assert previous["columns"]["amount"]["psi"] == 0.0
    assert baseline["rows"] == 7


def test_an_earlier_version_has_its_own_report(seeded: Installation) -> None:
    seeded.drop("2024-01-01", b"id,item,amount\n1,pen,2.5\n", suffix="-b.csv")
    seeded.build()
    said = [seeded.hashgate("report", "orders", "2024-01-01", *more).out for more in ((), ("--version", "1"))]
    assert ["version 2" in text for text in said] == [True, False]
    assert "version 1" in said[1]


def test_a_baseline_can_be_chosen(seeded: Installation) -> None:
    ran = seeded.hashgate("report", "orders", "2024-01-04", "--baseline", "2024-01-01...2024-01-02")
    assert "the baseline, 2 partitions from 2024-01-01 to 2024-01-02" in ran.out
    assert seeded.hashgate("report", "orders", "--baseline", "2024-01-02", "--json").json["baseline"]["partitions"] == [
        "2024-01-02"
    ]


WRONG = {
    "no table": ((), "name a TABLE"),
    "an unknown table": (("nope",), "there is no table 'nope'"),
    "a partition with nothing": (("orders", "2024-01-03"), "has no version and no held candidate"),
    "no partition": (("orders", "soon"), "'soon' is not a partition"),
    "a version that is not there": (("orders", "2024-01-01", "--version", "9"), "version 9"),
    "a version of a table": (("orders", "--version", "1"), "--version is of a partition"),
    "a baseline of nothing": (("orders", "--baseline", "2024-01-03"), "is published"),
    "a baseline that is none": (("orders", "--baseline", "x...y"), "is not a partition"),
    "a table to serve": (("orders", "--serve"), "--serve shows all reports"),
    "an address to others": (("--serve", "--address", "0.0.0.0:1"), "open to other machines"),
    "no address": (("--serve", "--address", "here"), "is no address"),
}


@pytest.mark.parametrize(("arguments", "said"), WRONG.values(), ids=WRONG.keys())
def test_wrong_usage_says_what_is_right(seeded: Installation, arguments: tuple[str, ...], said: str) -> None:
    ran = seeded.hashgate("report", *arguments)
    assert ran.out == ""
    assert (ran.code, said in ran.err) in {(2, True), (1, True)}, ran.err


def test_it_serves_until_ctrl_c(seeded: Installation) -> None:
    command = [sys.executable, "-m", "platform_assets.cli.main", "report", "--serve", "--address", "127.0.0.1:0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"Reports: (http://127\.0\.0\.1:\d+/)  \(Ctrl-C ends it\)", line)
        assert found, line
        with urllib.request.urlopen(f"{found[1]}orders/2024-01-01/", timeout=60) as answer:  # noqa: S310
            assert b"2024-01-01" in answer.read()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert seeded.home.exists()
