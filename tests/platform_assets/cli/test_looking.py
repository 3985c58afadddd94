"""`scan` and `status`: what is there, and where everything stands."""

from __future__ import annotations

import pytest

from tests.installation import CONTRACT, Installation


def test_scan_counts_what_it_sees_and_remembers_it(installation: Installation) -> None:
    installation.drop("2024-01-01")
    first = installation.hashgate("scan", "orders", "--json")
    assert first.code == 0
    counts = {"changed": 0, "listed": 1, "missing": 0, "new": 1, "table": "orders", "unchanged": 0}
    assert first.json == {"errors": [], "problems": [], "tables": [counts]}
    again = installation.hashgate("scan", "orders", "--json").json["tables"][0]
    assert (again["new"], again["unchanged"]) == (0, 1)


def test_scan_of_all_tables_is_not_stopped_by_a_broken_contract_or_a_missing_folder(installation: Installation) -> None:
    installation.drop("2024-01-01")
    installation.write_contract("kind: [", "broken")
    installation.write_contract(CONTRACT.replace("orders", "parcels"), "parcels")
    ran = installation.hashgate("scan")
    assert ran.code == 2
    assert "orders  " in ran.out
    assert "broken.odcs.yaml" in ran.err
    assert "drop folder" in ran.err
    assert ran.err.count("error: ") == 2


def test_scan_names_the_files_that_cannot_be_taken_and_ends_with_1(installation: Installation) -> None:
    (installation.drops / "orders" / "readme.csv").touch()
    ran = installation.hashgate("scan")
    assert ran.code == 1
    assert "1 file cannot be taken" in ran.out
    assert "orders/readme.csv: the name does not match the contract's fileNamePattern" in ran.out


def test_status_in_json_lists_every_partition_and_its_state(seeded: Installation) -> None:
    seeded.drop("2024-01-06")
    ran = seeded.hashgate("status", "orders", "--json")
    assert ran.code == 1
    by_key = {p["key"]: p for p in ran.json["partitions"]}
    assert {key: p["state"] for key, p in by_key.items()} == {
        "2024-01-01": "published",
        "2024-01-02": "published",
        "2024-01-03": "empty",
        "2024-01-04": "published",
        "2024-01-05": "held",
        "2024-01-06": "pending",
    }
    assert (by_key["2024-01-04"]["valid_rows"], by_key["2024-01-04"]["quarantined_rows"]) == (3, 3)
    assert by_key["2024-01-01"]["inputs"] == 1
    assert by_key["2024-01-01"]["view_key"].startswith("blake3:")
    assert by_key["2024-01-01"]["committed_at"].endswith("+00:00")
    assert by_key["2024-01-05"]["view_key"] is None
    assert "quarantine budget" in by_key["2024-01-05"]["why"]


def test_status_for_people_is_ranges_and_reasons_not_a_line_a_partition(seeded: Installation) -> None:
    ran = seeded.hashgate("status")
    assert ran.code == 1
    lines = ran.out.splitlines()
    assert lines[0] == "orders  5 partitions, 2024-01-01 to 2024-01-05"
    published = next(line.split() for line in lines if line.startswith("  published"))
    assert published == ["published", "3", "7", "3", "2024-01-01...2024-01-02,", "2024-01-04"]
    assert "hashgate quarantine orders --partition 2024-01-05" in ran.out
    assert len(lines) < 15


def test_status_all_is_a_line_a_partition(seeded: Installation) -> None:
    said = seeded.hashgate("status", "--all").out
    assert all(f"  2024-01-0{day}  " in said for day in range(1, 6))


def test_status_explains_what_is_pending(seeded: Installation) -> None:
    seeded.drop("2024-01-01", b"id,item,amount\n7,new,1\n")
    plain = seeded.hashgate("status")
    assert "orders-2024-01-01.csv" not in plain.out
    explained = seeded.hashgate("status", "--explain")
    assert "2024-01-01  1 new or changed file: orders/orders-2024-01-01.csv" in explained.out


def test_status_of_one_partition_that_is_empty(installation: Installation) -> None:
    ran = installation.hashgate("status", "orders", "--partition", "2024-02-01", "--json")
    assert (ran.code, [p["state"] for p in ran.json["partitions"]]) == (0, ["empty"])


@pytest.mark.parametrize("command", [["status"], ["status", "--json", "--explain"], ["plan"], ["plan", "--json"]])
def test_looking_changes_nothing_not_even_where_there_is_nothing(command: list[str], seeded: Installation) -> None:
    seeded.drop("2024-01-07")
    before = seeded.tree()
    assert seeded.hashgate(*command).code == (1 if "status" in command else 0)
    assert seeded.tree() == before


@pytest.mark.parametrize("command", ["status", "plan"])
def test_looking_does_not_create_the_home(
    command: str, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.drop("2024-01-01")
    elsewhere = installation.home.parent / "elsewhere"
    monkeypatch.setenv("HASHGATE_HOME", str(elsewhere))
    ran = installation.hashgate(command, "--json")
    assert ran.code == 0
    assert not elsewhere.exists()


def test_status_finds_what_was_captured_even_when_the_catalogue_is_lost(seeded: Installation) -> None:
    for path in seeded.home.glob("catalogue.db*"):
        path.unlink()
    states = {p["key"]: p["state"] for p in seeded.hashgate("status", "--json").json["partitions"]}
    assert set(states) == {f"2024-01-0{day}" for day in range(1, 6)}
    assert states["2024-01-03"] == "empty"


def test_status_while_the_drop_folder_is_away_says_so_and_shows_the_rest(seeded: Installation) -> None:
    (seeded.drops / "orders").rename(seeded.drops / "away")
    ran = seeded.hashgate("status")
    assert ran.code == 2
    assert "published" in ran.out
    assert f"drop folder {seeded.drops / 'orders'} does not exist" in ran.err
