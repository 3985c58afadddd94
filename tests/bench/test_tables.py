"""The bench's files: the same bytes everywhere, sound where they say so and bad where they say so."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from bench.tables import BAD_EVERY, NARROW, TABLES, WIDE, Table
from contracts.refs import digest_bytes

ROWS = 2_000
DIGESTS = {
    ("wide", False): "blake3:bd429425d844f1c2661fa04a43556d9cd8cb005c60840a682876f8efd72a6def",
    ("wide", True): "blake3:3993fc22089d374102be9b0ed9ec23e0636ec0a6bc8aa5c0eba667a904ea4e72",
    ("narrow", False): "blake3:977ec1669593ff6691ab1fdfde323ea4a3af4087228e29d72c9aa8b974428b92",
    ("narrow", True): "blake3:c97c1da1473cce270448f3999ebd4eaf09b96d7974895a060c5b10fa39a3872b",
}


def read(table: Table, path: Path) -> str:
    return (
        f"read_csv('{path}', columns = {table.types}, auto_detect = false, header = true, quote = '\"', escape = '\"')"
    )


@pytest.mark.parametrize(("name", "bad"), DIGESTS, ids=str)
def test_the_bytes_never_change(tmp_path: Path, name: str, bad: bool) -> None:
    path = tmp_path / "drop.csv"
    TABLES[name].write(path, ROWS, bad=bad)
    assert digest_bytes(path.read_bytes()) == DIGESTS[name, bad]


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_a_clean_file_has_its_types_and_breaks_no_rule(tmp_path: Path, table: Table) -> None:
    path = tmp_path / "drop.csv"
    table.write(path, ROWS)
    judged = ", ".join(f"count(*) FILTER (WHERE ({rule}) IS NOT TRUE)" for rule in table.rules.values())
    with duckdb.connect() as connection:
        count, *broken = connection.execute(f"SELECT count(*), {judged} FROM {read(table, path)}").fetchall()[0]
    assert count == ROWS
    assert broken == [0] * len(table.rules)


def test_one_column_of_the_wide_table_holds_quoted_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "drop.csv"
    WIDE.write(path, ROWS)
    with duckdb.connect() as connection:
        query = f"SELECT count(*) FILTER (WHERE contains(note, chr(10))) FROM {read(WIDE, path)}"
        multiline = connection.execute(query).fetchall()[0][0]
    assert ROWS / 5 < multiline < ROWS / 3
    assert len(WIDE.rules) == 10
    assert len(WIDE.fields) == 18


def test_one_record_in_a_hundred_is_bad_in_five_ways(tmp_path: Path) -> None:
    clean, bad = tmp_path / "clean.csv", tmp_path / "bad.csv"
    NARROW.write(clean, ROWS)
    NARROW.write(bad, ROWS, bad=True)
    pairs = list(zip(clean.read_text().splitlines(), bad.read_text().splitlines(), strict=True))
    spoiled = [(sound, broken) for sound, broken in pairs if sound != broken]
    assert len(spoiled) == ROWS / BAD_EVERY
    ways = [
        lambda sound: sound.partition(",")[2],
        lambda sound: sound + ",surplus",
        lambda sound: "number " + sound,
        lambda sound: "-" + sound,
        lambda sound: '"1" ' + sound,
    ]
    for turn, (sound, broken) in enumerate(spoiled):
        assert broken == ways[turn % 5](sound)
