"""Verification finds every object that is not what was published, names it, and says the way back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from platform_assets.evidence.verifying import VerificationReport, verify_table
from tests.installation import CONTRACT, Installation

BAD = b"id,item,amount\n1,pen,2.5\n1,ink,3\n3,cap,x\n4,a,1\n5,b,1\n"
"""Two sound records, one that repeats a key (in the overlay), one that is no number (in quarantine)."""


@pytest.fixture
def installation(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Installation:
    made = Installation(home, monkeypatch, capsys)
    made.drop("2024-01-01", BAD)
    made.drop("2024-01-02")
    made.build()
    made.drop("2024-01-01", BAD + b"6,c,1\n")
    made.build()
    return made


def verified(installation: Installation, *partitions: str) -> VerificationReport:
    workspace = installation.workspace
    return verify_table(workspace, workspace.contract("orders"), partitions or None)


def only(installation: Installation, pattern: str, at: int = 0) -> Path:
    return sorted((installation.home / "store").glob(pattern))[at]


def flip(path: Path, at: int = 30) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


def test_a_sound_table_is_told_with_how_much_was_checked(installation: Installation) -> None:
    report = verified(installation)
    assert report.sound, report.corruptions
    assert (report.partitions, report.versions, report.captures) == (2, 3, 3)
    assert (report.drops, report.records) == (3, 6 + 2)
    assert (report.receipts, report.gates) == (12, 8)
    assert report.segments == 3 + 2
    assert report.hashed_bytes > 0
    assert report.not_judged == []


def cut_chain(installation: Installation) -> Path:
    path = only(installation, "tables/orders/commits/2024-01-01/00000001.json")
    path.unlink()
    return path


def flipped(pattern: str, at: int = 0) -> Callable[[Installation], Path]:
    def damage(installation: Installation) -> Path:
        path = only(installation, pattern, at)
        flip(path)
        return path

    return damage


def gone(pattern: str) -> Callable[[Installation], Path]:
    def damage(installation: Installation) -> Path:
        path = only(installation, pattern)
        path.unlink()
        return path

    return damage


def broken_batch(installation: Installation) -> Path:
    path = only(installation, "captures/orders/00000001.json")
    path.write_bytes(path.read_bytes()[:-1])
    return path


def added(installation: Installation) -> Path:
    path = only(installation, "tables/orders/segments/*/*").joinpath("more.parquet")
    path.write_bytes(b"")
    return path


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(flipped("tables/orders/commits/2024-01-01/00000002.json"), id="a flipped bit in the head"),
        pytest.param(flipped("tables/orders/commits/2024-01-01/00000001.json"), id="a flipped bit in an old version"),
        pytest.param(cut_chain, id="a version missing from the chain"),
        pytest.param(flipped("tables/orders/segments/*/*/valid.parquet"), id="a flipped bit in valid rows"),
        pytest.param(flipped("tables/orders/segments/*/*/quarantine.parquet"), id="a flipped bit in the quarantine"),
        pytest.param(flipped("tables/orders/segments/*/*/index.json"), id="a flipped bit in an index"),
        pytest.param(gone("tables/orders/segments/*/*/valid.parquet"), id="valid rows gone"),
        pytest.param(gone("tables/orders/segments/*/*/index.json"), id="an index gone"),
        pytest.param(added, id="a file that no index names"),
        pytest.param(broken_batch, id="the capture log cut short"),
        pytest.param(gone("captures/orders/00000001.json"), id="a batch missing from the capture log"),
        pytest.param(gone("tables/orders/selections/2024-01-01/00000001.json"), id="a selection gone"),
    ],
)
def test_every_damage_is_found_by_name_with_the_way_back(
    damage: Callable[[Installation], Path], installation: Installation
) -> None:
    path = damage(installation)
    report = verified(installation)
    assert not report.sound
    key = path.relative_to(installation.home / "store").as_posix()
    assert key in {c.subject for c in report.corruptions}
    assert all(c.fix.endswith(".") for c in report.corruptions)


def test_every_blob_is_looked_at(installation: Installation) -> None:
    blobs = sorted((installation.home / "store" / "blobs").glob("*/*/*"))
    assert len(blobs) == 3 + 3
    for blob in blobs:
        flip(blob, 10)
        found = {c.subject for c in verified(installation).corruptions}
        flip(blob, 10)
        assert blob.relative_to(installation.home / "store").as_posix() in found


def test_a_version_whose_claims_were_rewritten_with_all_their_digests_is_caught_by_the_gates(
    installation: Installation,
) -> None:
    """The chain is whole and every digest fits: only framing the drop again can tell."""
    reader = installation.workspace.reader
    head = reader.head("orders", "2024-01-02")
    assert head is not None
    forged = head.model_copy(update={"candidate": head.candidate.model_copy(update={"records": 3, "valid_rows": 3})})
    only(installation, "tables/orders/commits/2024-01-02/*.json").write_bytes(forged.to_bytes())
    report = verified(installation)
    assert {c.subject for c in report.corruptions} >= {
        "gate conservation",
        "tables/orders/commits/2024-01-02/00000001.json",
    }
    assert "it said PASS, and says FAIL" in report.corruptions[0].problem


def test_one_partition_alone(installation: Installation) -> None:
    flip(only(installation, "tables/orders/commits/2024-01-01/00000002.json"))
    assert verified(installation, "2024-01-02").sound
    assert not verified(installation, "2024-01-01").sound


def test_content_shared_by_two_partitions_is_reported_for_both(installation: Installation) -> None:
    installation.drop("2024-01-03")
    installation.build()
    head = installation.workspace.reader.head("orders", "2024-01-03")
    assert head is not None
    (segment,) = head.candidate.segments
    flip(only(installation, f"tables/orders/segments/*/{segment.content.partition(':')[2]}/valid.parquet"))
    assert {c.partition for c in verified(installation).corruptions} == {"2024-01-02", "2024-01-03"}


def test_a_changed_contract_is_no_corruption_but_said(installation: Installation) -> None:
    installation.write_contract(CONTRACT.replace("minimum: 0", "minimum: 1"))
    report = verified(installation)
    assert report.sound
    assert report.not_judged == ["2024-01-01", "2024-01-02"]
    assert report.gates == 0


def test_the_command_ends_with_1_and_names_the_object(installation: Installation) -> None:
    path = only(installation, "tables/orders/segments/*/*/valid.parquet")
    assert installation.hashgate("verify", "orders").code == 0
    flip(path)
    ran = installation.hashgate("verify", "orders")
    assert ran.code == 1
    assert path.relative_to(installation.home / "store").as_posix() in ran.out
    assert "estore the object from a backup" in ran.out
    assert installation.hashgate("verify", "--json").json["tables"][0]["sound"] is False


def test_the_way_back_leads_back(installation: Installation) -> None:
    head = installation.workspace.reader.head("orders", "2024-01-02")
    assert head is not None
    (segment,) = head.candidate.segments
    flip(only(installation, f"tables/orders/segments/*/{segment.content.partition(':')[2]}/valid.parquet"))
    (found,) = verified(installation).corruptions
    assert found.fix == "Restore the object from a backup, or ingest the partition again with --force."
    installation.build(force=True)
    assert verified(installation).sound


def test_damage_to_an_older_version_is_told_from_damage_to_what_readers_see(installation: Installation) -> None:
    first = installation.workspace.reader.commit("orders", "2024-01-01", 1)
    (segment,) = first.candidate.segments
    flip(only(installation, f"tables/orders/segments/*/{segment.content.partition(':')[2]}/valid.parquet"))
    (found,) = verified(installation).corruptions
    assert found.fix.startswith("Only an older version needs it, and readers do not")
    assert installation.hashgate("query", "SELECT count(*) FROM orders").code == 0
