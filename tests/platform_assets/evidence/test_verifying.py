"""Verification finds every object that is not what was published, names it, and says the way back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.refs import digest_bytes
from platform_assets.evidence.corruptions import Concern, Depth, TableReport
from platform_assets.evidence.verifying import verify, verify_partitions
from resources.captures import blob_key
from resources.database_schema import metadata
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


def verified(installation: Installation, *partitions: str, depth: Depth = Depth.JUDGED) -> TableReport:
    if partitions:
        return verify_partitions(installation.workspace, "orders", partitions, depth=depth)
    return verify(installation.workspace, ["orders"], depth=depth).tables[0]


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
    assert (report.folders, report.files) == (3 + 2, 3 + 2 + 2)
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


def forget_anchors(installation: Installation) -> None:
    with installation.workspace.database.writing() as connection:
        connection.execute(metadata.tables["anchors"].delete())


def test_a_version_that_was_rewritten_with_all_its_digests_is_caught_by_its_anchor(installation: Installation) -> None:
    head = installation.workspace.reader.head("orders", "2024-01-02")
    assert head is not None
    forged = head.model_copy(update={"candidate": head.candidate.model_copy(update={"records": 3, "valid_rows": 3})})
    path = only(installation, "tables/orders/commits/2024-01-02/*.json")
    path.write_bytes(forged.to_bytes())
    (found,) = verified(installation, depth=Depth.QUICK).corruptions
    assert (found.subject, found.concern) == ("tables/orders/commits/2024-01-02/00000001.json", Concern.READERS)
    assert f"{head.digest} was seen under this number, and this is {forged.digest}" in found.problem

    forget_anchors(installation)
    assert verified(installation, depth=Depth.DEEP).sound, "the chain is whole and every digest fits"
    told = {found.subject: found.problem for found in verified(installation).corruptions}
    assert "expected PASS, observed FAIL" in told["gate conservation"]
    assert told["tables/orders/commits/2024-01-02/00000001.json"] == (
        "expected 2 records, as its drops have, observed 3 records and 3 rows"
    )


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


@pytest.mark.parametrize("depth", Depth)
def test_a_table_without_a_contract_is_looked_at_and_not_judged(installation: Installation, depth: Depth) -> None:
    (installation.contracts / "orders.odcs.yaml").unlink()
    report = verify(installation.workspace, depth=depth).tables[0]
    assert (report.table, report.sound, report.versions) == ("orders", True, 3)
    assert report.not_judged == (["2024-01-01", "2024-01-02"] if depth is Depth.JUDGED else [])
    flip(only(installation, "tables/orders/segments/*/*/valid.parquet"))
    assert not verify(installation.workspace, depth=depth).sound


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
    for depth in ([], ["--deep"], ["--judge"]):
        ran = installation.hashgate("verify", "orders", *depth)
        assert ran.code == 1
        assert path.relative_to(installation.home / "store").as_posix() in ran.out
        assert "estore the object from a backup" in ran.out
    said = installation.hashgate("verify", "--json").json
    assert (said["sound"], said["tables"][0]["sound"], said["depth"]) == (False, False, "quick")
    (found,) = said["tables"][0]["corruptions"]
    assert found.keys() == {"table", "partition", "subject", "expected", "observed", "fix", "concern"}


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
    assert found.concern is Concern.HISTORY
    assert found.fix.startswith("Only an older version needs it, and readers do not")
    assert installation.hashgate("query", "SELECT count(*) FROM orders").code == 0


# ---- a quick look ----------------------------------------------------------------------------------------------------


def test_a_quick_look_hashes_what_nobody_has_read_yet_and_then_what_somebody_touched(
    installation: Installation,
) -> None:
    first = verified(installation, depth=Depth.QUICK)
    assert (first.sound, first.hashed_bytes > 0) == (True, True)
    assert verified(installation, depth=Depth.QUICK).hashed_bytes == 0
    path = only(installation, "tables/orders/segments/*/*/valid.parquet")
    path.touch()
    again = verified(installation, depth=Depth.QUICK)
    assert (again.sound, again.hashed_bytes) == (True, path.stat().st_size)


def test_a_quick_look_reads_no_drop_but_misses_none(installation: Installation) -> None:
    blob = next(p for p in (installation.home / "store" / "blobs").glob("*/*/*") if p.read_bytes()[:3] == b"id,")
    flip(blob, 3)
    assert verified(installation, depth=Depth.QUICK).sound
    assert not verified(installation, depth=Depth.DEEP).sound
    blob.write_bytes(blob.read_bytes()[:-1])
    (found, *_) = verified(installation, depth=Depth.QUICK).corruptions
    assert found.observed.endswith("bytes in place of " + f"{blob.stat().st_size + 1:,}")
    blob.unlink()
    assert verified(installation, depth=Depth.QUICK).corruptions[0].observed == "nothing"


def test_rot_that_no_time_stamp_shows_is_found_by_reading_and_is_not_read_afterwards(
    installation: Installation,
) -> None:
    """What was hashed once is trusted while nothing seems to touch it; a disk that rots touches nothing."""
    path = only(installation, "tables/orders/segments/*/*/valid.parquet")
    key, workspace = path.relative_to(installation.home / "store").as_posix(), installation.workspace
    assert installation.hashgate("query", "SELECT count(*) FROM orders").code == 0
    _, digest = workspace.catalogue.verified()[key]
    flip(path)
    workspace.catalogue.remember_verified([(key, workspace.store.stamp(key), digest)])

    assert verified(installation, depth=Depth.QUICK).sound
    assert {found.subject for found in verified(installation, depth=Depth.DEEP).corruptions} == {key}
    assert key not in workspace.catalogue.verified()
    assert {found.subject for found in verified(installation, depth=Depth.QUICK).corruptions} == {key}


# ---- what lies there beside ------------------------------------------------------------------------------------------


def everything(installation: Installation) -> dict[str, Concern]:
    found = verify(installation.workspace, depth=Depth.DEEP).corruptions
    return {corruption.subject: corruption.concern for corruption in found}


@pytest.mark.parametrize(
    "key",
    [
        "notes.txt",
        "blobs/ab/cd/" + "0" * 64,
        "blobs/00/00/" + "0" * 64 + ".0",
        "captures/orders/1.json",
        "captures/others/file",
        "doomed/1.json",
        "expired/list",
        "tables/orders/notes/a/b",
        "tables/orders/commits/2024-01-01/000000001.json",
        "tables/orders/commits/2024-01-01/00000003.json.part",
        "tables/orders/held/2024-01-01/candidate.json",
        "tables/orders/selections/2024-01-01/latest",
        "tables/orders/datasets/1 0.json",
        "tables/orders/reports/2024-01-01/2/report.json",
        "tables/orders/segments/a/b/valid.parquet",
    ],
)
def test_what_nothing_explains_is_named(key: str, installation: Installation) -> None:
    path = installation.home / "store" / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    found = everything(installation)
    assert found == {key if "reports" not in key else key.rpartition("/")[0]: Concern.STRAY}


def test_leavings_that_the_collector_removes_are_counted_and_no_corruption(installation: Installation) -> None:
    store = installation.home / "store"
    for left in (b"left", b"over"):
        path = store / blob_key(digest_bytes(left))
        path.parent.mkdir(parents=True)
        path.write_bytes(left)
    verification = verify(installation.workspace, depth=Depth.DEEP)
    assert verification.store is not None
    assert (verification.sound, verification.store.unneeded, verification.store.unneeded_bytes) == (True, 2, 8)
    assert "2 objects that nothing names (8 B): `hashgate gc` removes them" in installation.hashgate("verify").out


def test_one_table_alone_says_nothing_of_the_rest(installation: Installation) -> None:
    (installation.home / "store" / "notes.txt").write_bytes(b"x")
    verification = verify(installation.workspace, ["orders"], depth=Depth.DEEP)
    assert (verification.sound, verification.store) == (True, None)


# ---- what others remember --------------------------------------------------------------------------------------------


def test_a_capture_log_whose_tail_was_cut_off_is_seen_by_the_database_and_by_selections(
    installation: Installation,
) -> None:
    only(installation, "captures/orders/00000002.json").unlink()
    (by_database,) = verified(installation, depth=Depth.QUICK).corruptions
    assert by_database.subject == "captures/orders/00000002.json"
    assert by_database.problem == "expected 1 drops that the database has seen in it, observed nothing"
    with installation.workspace.database.writing() as connection:
        connection.execute(metadata.tables["captures"].delete())
    (by_selection,) = verified(installation, depth=Depth.QUICK).corruptions
    assert by_selection.subject == "captures/orders/00000002.json"
    assert "which partition 2024-01-01 has looked at" in by_selection.problem


def test_a_chain_that_vanished_is_missed_by_the_database(installation: Installation) -> None:
    shutil.rmtree(installation.home / "store" / "tables")
    shutil.rmtree(installation.home / "store" / "captures")
    (installation.contracts / "orders.odcs.yaml").unlink()
    found = everything(installation)
    assert {"tables/orders/commits/2024-01-01/00000002.json", "captures/orders/00000001.json"} <= found.keys()


def test_a_partition_that_cannot_be_read_hides_no_other(installation: Installation) -> None:
    folder = installation.home / "store" / "tables" / "orders" / "commits" / "2024-01-01"
    shutil.rmtree(folder)
    folder.write_bytes(b"a file")
    report = verified(installation, depth=Depth.DEEP)
    assert [found.partition for found in report.corruptions] == ["2024-01-01"]
    assert "cannot be read" in report.corruptions[0].problem
    assert report.partitions == 2


def test_asking_for_a_partition_needs_its_table(installation: Installation) -> None:
    assert installation.hashgate("verify", "--partition", "2024-01-01").code == 2
    ran = installation.hashgate("verify", "orders", "--partition", "2024-01-09")
    assert ran.code == 2
    assert "has no version to verify. Those with one go from 2024-01-01 to 2024-01-02." in ran.err
