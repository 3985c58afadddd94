"""`plan`: what would run, what not and why, drift, permissions."""

from __future__ import annotations

from typing import Any

from tests.installation import CONTRACT, Installation


def plan_of(installation: Installation, code: int = 0) -> Any:
    ran = installation.hashgate("plan", "orders", "--json")
    assert ran.code == code, ran.err
    return ran.json["tables"][0]


def test_each_partition_is_built_or_skipped_with_the_reason(seeded: Installation) -> None:
    seeded.drop("2024-01-02", b"id,item,amount\n7,new,1\n")
    seeded.drop("2024-01-06")
    partitions = {p["key"]: p for p in plan_of(seeded)["partitions"]}
    actions = {key: (p["action"], p["version"], p["next_version"]) for key, p in partitions.items()}
    assert actions == {
        "2024-01-01": ("skip", 1, None),
        "2024-01-02": ("build", 1, 2),
        "2024-01-03": ("skip", None, None),
        "2024-01-04": ("skip", 1, None),
        "2024-01-05": ("skip", None, None),
        "2024-01-06": ("build", None, 1),
    }
    assert partitions["2024-01-01"]["why"] == "its current version is built from what is there now"
    assert partitions["2024-01-03"]["why"] == "no drop has come for it"
    assert partitions["2024-01-05"]["why"].startswith("a gate stopped this very content (gate quality FAIL")


def test_expected_outputs_are_named_with_every_sink_and_the_mode(installation: Installation) -> None:
    installation.write_contract(
        f"{CONTRACT}  - property: sinks\n    value: [duckdb, csv]\n  - property: sinkMode\n    value: append\n"
    )
    outputs = plan_of(installation)["outputs"]
    assert [(o["asset"], o["sink"], o["mode"]) for o in outputs] == [
        ("orders/validated", "parquet", "append"),
        ("orders/validated", "csv", "append"),
        ("orders/validated", "duckdb", "append"),
        ("orders/quarantine", "parquet", "append"),
    ]
    said = installation.hashgate("plan").out
    assert "orders/validated  DuckDB in " in said
    assert "orders/validated  CSV in " in said


def test_expected_outputs_are_named_with_the_default_sink_spelled_out(installation: Installation) -> None:
    outputs = plan_of(installation)["outputs"]
    assert [(o["asset"], o["sink"], o["mode"]) for o in outputs] == [
        ("orders/validated", "parquet", "replace"),
        ("orders/quarantine", "parquet", "replace"),
    ]
    assert outputs[0]["schema_fingerprint"].startswith("blake3:")


def test_after_a_change_of_the_contract_everything_is_built_anew_for_the_reason_given(seeded: Installation) -> None:
    seeded.write_contract(CONTRACT.replace("minimum: 0", "minimum: 1"))
    partitions = plan_of(seeded)["partitions"]
    assert partitions[0]["action"] == "build"
    assert partitions[0]["why"] == "the contract's rules for rows changed: its drops are parsed again"


def test_drift_columns_that_come_and_go_and_look_renamed(installation: Installation) -> None:
    installation.drop("2024-01-01", b"\xef\xbb\xbfid,Item,amount\r\n1,a,1\r\n")
    (drift,) = plan_of(installation)["drift"]
    assert drift["path"] == "orders/orders-2024-01-01.csv"
    assert (drift["missing"], drift["undeclared"], drift["likely"]) == (["item"], ["Item"], [["Item", "item"]])
    assert [c.partition(":")[0] for c in drift["consequences"]] == ["COLUMN_ABSENT", "COLUMN_UNDECLARED"]


def test_drift_a_declared_alias_is_told_and_harmless(installation: Installation) -> None:
    alias = "      - name: item\n        customProperties:\n          - {property: aliases, value: [thing]}\n"
    installation.write_contract(CONTRACT.replace("      - name: item\n", alias))
    installation.drop("2024-01-01", b"id,thing,amount\n1,a,1\n")
    (drift,) = plan_of(installation)["drift"]
    assert (drift["renamed"], drift["missing"], drift["consequences"]) == ([["thing", "item"]], [], [])


def test_drift_an_unreadable_head_and_none_in_an_empty_file(installation: Installation) -> None:
    installation.drop("2024-01-01", b"\x1f\x8bno gzip at all", ".csv.gz")
    installation.drop("2024-01-02", b"")
    (drift,) = plan_of(installation)["drift"]
    assert drift["path"] == "orders/orders-2024-01-01.csv.gz"
    assert "UNDECODABLE_COMPRESSION" in drift["unreadable"]


def test_files_that_differ_alike_are_told_together(installation: Installation) -> None:
    for day in range(1, 10):
        installation.drop(f"2024-01-{day:02d}", b"id,thing,amount\n1,a,1\n")
    said = installation.hashgate("plan").out
    assert "orders/orders-2024-01-01.csv and 8 more files" in said
    assert said.count("undeclared: thing") == 1


def test_permissions_are_looked_at_where_a_run_would_need_them(installation: Installation) -> None:
    ran = installation.hashgate("plan", "--json")
    assert [(p["what"], p["granted"]) for p in ran.json["permissions"]] == [
        ("store can be written", True),
        ("staging can be written", True),
        ("drops can be read", True),
    ]


def test_a_plan_that_could_not_be_carried_out_ends_with_2(installation: Installation) -> None:
    (installation.drops / "orders").rmdir()
    installation.drops.rmdir()
    ran = installation.hashgate("plan")
    assert ran.code == 2
    assert "drops can be read: NO" in ran.out
    assert "does not exist. Create it, or set HASHGATE_DROPS" in ran.err
