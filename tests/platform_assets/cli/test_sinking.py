"""`hashgate sink`: the files of current versions, verified; copies of them; and what it says when one is not there."""

from __future__ import annotations

import csv
from pathlib import Path

import duckdb
import pytest

from contracts.refs import digest_bytes
from tests.installation import CONTRACT, Installation
from tests.servers.s3 import S3Server

WITH_SINKS = f"{CONTRACT}  - property: sinks\n    value: [csv, duckdb]\n"
REPEATED = b"id,item,amount\n1,pen,2.5\n1,cap,1\n2,ink,3\n"


@pytest.fixture
def exporting(installation: Installation) -> Installation:
    """Two days in every sink; of the first, one record repeats a key."""
    installation.write_contract(WITH_SINKS)
    installation.drop("2024-01-01", REPEATED)
    installation.drop("2024-01-02")
    installation.build()
    return installation


def test_every_file_is_named_with_its_digest(exporting: Installation) -> None:
    ran = exporting.hashgate("sink", "orders", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["table"] == "orders"
    assert ran.json["problems"] == []
    named = [(f["partition"], f["version"], f["sink"], f["rows"]) for f in ran.json["files"]]
    assert named == [
        ("2024-01-01", 1, "parquet", 3),
        ("2024-01-01", 1, "csv", 2),
        ("2024-01-01", 1, "duckdb", 2),
        ("2024-01-02", 1, "parquet", 2),
        ("2024-01-02", 1, "csv", 2),
        ("2024-01-02", 1, "duckdb", 2),
    ]
    for file in ran.json["files"]:
        content = Path(file["path"]).read_bytes()
        assert (digest_bytes(content), len(content)) == (file["digest"], file["size_bytes"])
        assert file["address"] == f"file://{file['path']}"
        assert file["copy"] is None


def test_a_parquet_file_that_holds_more_than_counts_names_what_leaves_it_out(exporting: Installation) -> None:
    first, second = (f for f in exporting.hashgate("sink", "orders", "--sink", "parquet", "--json").json["files"])
    (overlay,) = first["leaves_out"]
    assert second["leaves_out"] == []
    with duckdb.connect() as connection:
        left = connection.execute(
            f"SELECT id FROM '{first['path']}' ANTI JOIN '{overlay.removeprefix('file://')}' "
            "USING (_hg_source, _hg_record) ORDER BY 1"
        )
        assert left.fetchall() == [(1,), (2,)]
    said = exporting.hashgate("sink", "orders").out
    assert "parquet, in part" in said
    assert "some of its records do not count" in said


def test_one_partition_and_one_sink(exporting: Installation) -> None:
    ran = exporting.hashgate("sink", "orders", "--partition", "2024-01-02", "--sink", "csv")
    assert ran.code == 0
    head, names, line = ran.out.splitlines()
    assert head == "orders  1 partition"
    assert names.split() == ["partition", "version", "sink", "rows", "size", "file"]
    assert line.split()[:4] == ["2024-01-02", "1", "csv", "2"]
    with Path(line.split()[-1]).open(newline="") as file:
        assert list(csv.DictReader(file))[1]["item"] == "ink"


def test_copies_have_names_that_tell_them_apart_and_are_what_was_published(
    exporting: Installation, tmp_path: Path
) -> None:
    out = tmp_path / "not there" / "yet"
    ran = exporting.hashgate("sink", "orders", "--output", str(out), "--json")
    assert ran.code == 0
    assert {path.name for path in out.iterdir()} == {
        "orders.2024-01-01.csv",
        "orders.2024-01-01.duckdb",
        "orders.2024-01-02.csv",
        "orders.2024-01-02.duckdb",
    }
    for file in ran.json["files"]:
        assert digest_bytes(Path(file["copy"]).read_bytes()) == file["digest"]
    said = exporting.hashgate("sink", "orders", "--sink", "duckdb", "--output", str(tmp_path / "more"))
    assert "copied to" in said.out
    with duckdb.connect(str(tmp_path / "more" / "orders.2024-01-02.duckdb")) as mine:
        mine.execute("DELETE FROM orders")  # a copy is one's own
    assert exporting.hashgate("sink", "orders").code == 0


def test_nothing_is_overwritten(exporting: Installation, tmp_path: Path) -> None:
    mine = tmp_path / "orders.2024-01-01.csv"
    mine.write_text("mine")
    ran = exporting.hashgate("sink", "orders", "--sink", "csv", "--output", str(tmp_path))
    assert ran.code == 2
    assert f"{mine} exists already" in ran.err
    assert mine.read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_said_as_such(exporting: Installation, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = exporting.hashgate("sink", "orders", "--output", str(tmp_path / "file" / "folder"))
    assert ran.code == 2
    assert "Name a folder that is open to you" in ran.err


def test_parquet_is_not_copied_as_if_its_rows_were_all(exporting: Installation, tmp_path: Path) -> None:
    ran = exporting.hashgate("sink", "orders", "--sink", "parquet", "--output", str(tmp_path / "out"))
    assert ran.code == 2
    assert "--format parquet --output F" in ran.err
    assert not (tmp_path / "out").exists()


def test_a_table_in_parquet_alone(installation: Installation, tmp_path: Path) -> None:
    installation.drop("2024-01-01")
    installation.build()
    assert [f["sink"] for f in installation.hashgate("sink", "orders", "--json").json["files"]] == ["parquet"]
    ran = installation.hashgate("sink", "orders", "--output", str(tmp_path / "out"))
    assert ran.code == 2
    assert "no current version of orders has a CSV or DuckDB file. Name `sinks` in its contract" in ran.err
    missing = installation.hashgate("sink", "orders", "--sink", "csv", "--json")
    assert missing.code == 1
    (problem,) = missing.json["problems"]
    assert problem.startswith("orders[2024-01-01] version 1 has no csv file: its contract did not name that sink")


@pytest.mark.parametrize("sink", ["csv", "duckdb"])
def test_an_altered_file_is_not_named_and_hides_no_other(sink: str, exporting: Installation) -> None:
    files = exporting.hashgate("sink", "orders", "--json").json["files"]
    path = Path(next(f["path"] for f in files if f["sink"] == sink))
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    ran = exporting.hashgate("sink", "orders", "--json")
    assert ran.code == 1
    assert len(ran.json["files"]) == 5
    (problem,) = ran.json["problems"]
    assert path.name in problem
    assert "expected blake3:" in problem
    said = exporting.hashgate("sink", "orders")
    assert (said.code, said.err.count("error:")) == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(("sink", "orderz"), "there is nothing of a table 'orderz' in the store", id="no such table"),
        pytest.param(
            ("sink", "orders", "--partition", "2024-05-05"), "orders[2024-05-05] has no version", id="no such partition"
        ),
        pytest.param(("sink", "orders", "--sink", "excel"), "there is no --sink 'excel'", id="no such sink"),
        pytest.param(("sink",), "required: TABLE", id="no table"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], said: str, exporting: Installation) -> None:
    ran = exporting.hashgate(*arguments)
    assert ran.code == 2
    assert said in ran.err


def test_files_of_a_bucket_are_named_by_address_and_copied_verified(
    installation: Installation, moto: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {**moto.environment(), "HASHGATE_STORE": moto.setting}.items():
        monkeypatch.setenv(name, value)
    installation.write_contract(WITH_SINKS)
    installation.drop("2024-01-01", REPEATED)
    installation.build()
    ran = installation.hashgate("sink", "orders", "--json", "--output", str(tmp_path / "out"))
    assert ran.code == 0, ran.err
    for file in ran.json["files"]:
        assert file["address"].startswith("s3://")
        assert file["path"] is None
        assert digest_bytes(Path(file["copy"]).read_bytes()) == file["digest"]
    assert "s3://" in installation.hashgate("sink", "orders").out
