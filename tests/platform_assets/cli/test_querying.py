"""`query`: exactly the rows of current, passed versions, in every format, and nothing else."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.installation import CONTRACT, Installation


def test_a_question_sees_exactly_the_rows_of_current_versions(seeded: Installation) -> None:
    ran = seeded.hashgate("query", "SELECT id, item, amount FROM orders ORDER BY id, item", "--json")
    assert ran.code == 0
    assert ran.json["columns"] == [
        {"name": "id", "type": "BIGINT"},
        {"name": "item", "type": "VARCHAR"},
        {"name": "amount", "type": "DOUBLE"},
    ]
    assert ran.json["row_count"] == 7
    assert [row[1] for row in ran.json["rows"]] == ["pen", "pen", "pen", "ink", "ink", "b", "v"]


def test_a_published_table_without_any_version_has_no_rows(installation: Installation) -> None:
    ran = installation.hashgate("query", "SELECT * FROM orders", "--json")
    assert (ran.code, ran.json["rows"]) == (0, [])
    assert [c["name"] for c in ran.json["columns"]][:3] == ["id", "item", "amount"]


def test_people_get_an_aligned_table(seeded: Installation) -> None:
    ran = seeded.hashgate("query", "SELECT item, count(*) AS n FROM orders GROUP BY ALL ORDER BY n DESC, item LIMIT 2")
    assert ran.out.splitlines() == ["item  n", "----  -", "pen   3", "ink   2", "(2 rows)"]


def test_sql_may_come_from_standard_input(seeded: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("SELECT count(*) AS n FROM orders"))
    assert seeded.hashgate("query", "-", "--format", "csv").out == "n\n7\n"


@pytest.mark.parametrize("suffix", ["csv", "json", "parquet", "txt"])
def test_the_format_of_a_file_follows_from_its_suffix(suffix: str, seeded: Installation, tmp_path: Path) -> None:
    path = tmp_path / f"answer.{suffix}"
    ran = seeded.hashgate("query", "SELECT id FROM orders ORDER BY id", "--output", str(path))
    assert (ran.code, ran.out) == (0, "")
    assert f"7 rows written to {path}" in ran.err
    if suffix == "parquet":
        assert pq.read_table(path)["id"].to_pylist() == [1, 1, 1, 2, 2, 9, 10]
    else:
        assert "10" in path.read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["SELECT 1", "--format", "parquet"], "Name a file with --output", id="parquet on the terminal"),
        pytest.param(["SELECT 1", "--output", "x.xlsx"], "no format is known for this suffix", id="unknown suffix"),
        pytest.param(["SELECT 1", "--output", "/"], "no format is known", id="a folder"),
        pytest.param(["SELECT 1", "--output", "no/such/x.csv"], "cannot be created", id="no folder"),
    ],
)
def test_outputs_that_make_no_sense(arguments: list[str], said: str, seeded: Installation) -> None:
    ran = seeded.hashgate("query", *arguments)
    assert ran.code == 2
    assert said in ran.err


def test_an_output_is_never_overwritten_and_never_half_there(seeded: Installation, tmp_path: Path) -> None:
    there = tmp_path / "there.csv"
    there.write_text("mine")
    ran = seeded.hashgate("query", "SELECT 1", "--output", str(there))
    assert (ran.code, there.read_text()) == (2, "mine")
    assert "nothing is overwritten" in ran.err
    torn = tmp_path / "torn.json"
    failing = "SELECT CASE WHEN id = 10 THEN 'NaN'::DOUBLE ELSE 1 END FROM orders ORDER BY id"
    assert seeded.hashgate("query", failing, "--output", str(torn)).code == 2
    assert not torn.exists()


def test_a_broken_table_hides_no_other(seeded: Installation) -> None:
    seeded.write_contract(CONTRACT.replace("orders", "parcels"), "parcels")
    for path in seeded.home.glob("store/tables/orders/commits/2024-01-01/*.json"):
        path.write_bytes(path.read_bytes().replace(b'"valid_rows":2', b'"valid_rows":3'))
    assert seeded.hashgate("query", "SELECT count(*) FROM parcels").code == 0
    ran = seeded.hashgate("query", "SELECT count(*) FROM orders")
    assert ran.code == 2
    assert "orders[2024-01-01] version 1" in ran.err


def test_a_published_file_that_was_altered_is_refused(seeded: Installation) -> None:
    head = seeded.workspace.reader.head("orders", "2024-01-01")
    assert head is not None
    content = head.candidate.segments[0].content.partition(":")[2]
    (path,) = seeded.home.glob(f"store/tables/orders/segments/*/{content}/valid.parquet")
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(bytes(data))
    ran = seeded.hashgate("query", "SELECT count(*) FROM orders")
    assert ran.code == 2
    assert "expected blake3:" in ran.err


def test_a_table_whose_contract_is_broken_is_refused_with_the_reason(seeded: Installation) -> None:
    seeded.write_contract("kind: [", "parcels")
    ran = seeded.hashgate("query", "SELECT count(*) FROM parcels")
    assert ran.code == 2
    assert "parcels.odcs.yaml" in ran.err
    assert seeded.hashgate("query", "SELECT count(*) FROM orders").code == 0


def test_terminal_escapes_in_values_are_shown_and_not_obeyed(installation: Installation) -> None:
    installation.drop("2024-01-01", b"id,item,amount\n1,\x1b[2Jpen,1\n")
    installation.build()
    ran = installation.hashgate("query", "SELECT item FROM orders")
    assert "\x1b" not in ran.out
    assert r"\x1b[2Jpen" in ran.out


def test_nothing_is_left_in_the_staging_folder(seeded: Installation) -> None:
    seeded.hashgate("query", "SELECT 1")
    seeded.hashgate("query", "SELECT no FROM orders")
    assert not list((seeded.home / "staging").glob("query-*"))
