"""`quarantine`: every refused record, where it stands, and why."""

from __future__ import annotations

from tests.installation import Installation


def test_every_record_with_its_place_and_all_its_reasons(seeded: Installation) -> None:
    ran = seeded.hashgate("quarantine", "orders", "--partition", "2024-01-04", "--json")
    assert (ran.code, ran.json["total"]) == (0, 3)
    by_record = {r["record"]: r for r in ran.json["records"]}
    assert sorted(by_record) == [2, 3, 4]
    assert by_record[2]["paths"] == ["orders/orders-2024-01-04.csv"]
    assert (by_record[2]["byte_start"], by_record[2]["byte_end"]) == (25, 36)
    assert by_record[2]["raw"].rstrip("\n") == "2,ink,many"
    assert [(r["code"], r["column"], r["value"]) for r in by_record[2]["reasons"]] == [("TYPE", "amount", "many")]
    assert [r["code"] for r in by_record[3]["reasons"]] == ["DUPLICATE_KEY"]
    assert [r["code"] for r in by_record[4]["reasons"]] == ["RANGE"]
    assert not by_record[2]["held"]


def test_records_of_a_held_partition_are_shown_and_marked(seeded: Installation) -> None:
    ran = seeded.hashgate("quarantine", "orders")
    assert ran.code == 0
    assert "2024-01-05  held, nobody reads it" in ran.out
    assert "COLUMN_ABSENT column item" in ran.out
    assert r"| 4,\x1b[31mred\x1b[0m,-1" in ran.out
    assert "\x1b" not in ran.out


def test_the_same_content_in_two_partitions_is_told_for_both(installation: Installation) -> None:
    for day in ("2024-01-01", "2024-01-02"):
        installation.drop(day, b"id,item,amount\n1,pen,x\n2,ink,1\n")
    installation.build()
    records = installation.hashgate("quarantine", "orders", "--json").json["records"]
    assert [(r["partition"], r["paths"]) for r in records] == [
        ("2024-01-01", ["orders/orders-2024-01-01.csv"]),
        ("2024-01-02", ["orders/orders-2024-01-02.csv"]),
    ]


def test_the_summary_counts_by_reason_and_by_partition(seeded: Installation) -> None:
    ran = seeded.hashgate("quarantine", "orders", "--summary", "--json")
    counts = {(r["code"], r["column"]): (r["records"], r["partitions"]) for r in ran.json["reasons"]}
    assert ran.json["records"] == 4
    assert counts == {
        ("TYPE", "amount"): (1, 1),
        ("DUPLICATE_KEY", "id"): (1, 1),
        ("RANGE", "amount"): (1, 1),
        ("COLUMN_ABSENT", "item"): (1, 1),
        ("COLUMN_UNDECLARED", "thing"): (1, 1),
    }
    said = seeded.hashgate("quarantine", "orders", "--summary").out
    assert "orders: 4 records of 2 partitions in quarantine" in said
    assert "TYPE: the value is not of the column's type. Correct the value" in said


def test_a_long_list_is_cut_and_says_so(seeded: Installation) -> None:
    ran = seeded.hashgate("quarantine", "orders", "--limit", "1")
    assert "and 3 more records: --limit 0 shows all" in ran.out
    assert len(seeded.hashgate("quarantine", "orders", "--limit", "0", "--json").json["records"]) == 4


def test_an_empty_quarantine(installation: Installation) -> None:
    ran = installation.hashgate("quarantine", "orders")
    assert (ran.code, ran.out) == (0, "orders: nothing is in quarantine\n")
    assert installation.hashgate("quarantine", "orders", "--summary").code == 0
