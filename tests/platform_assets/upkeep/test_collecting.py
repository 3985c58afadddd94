"""Collection: what nothing names goes, in two phases; what anything names stays, whoever stops where."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.collection import DoomedList, EmptiedList, PurgedError
from contracts.errors import StoreError
from contracts.refs import digest_bytes
from contracts.retention import Retention
from contracts.selection import CapturedDrop
from platform_assets.decisions.holding import find_held, release
from platform_assets.upkeep.collecting import LEASE, collect
from resources.captures import blob_key, put_blob
from resources.doomed_lists import doomed_names, list_numbers
from resources.leases import LeaseHeldError, LeaseLostError
from resources.object_store import LocalObjectStore
from tests.kept_sales import NO_GRACE, A, B, KeptHome
from tests.sales import DAY, HEADER, row
from tests.versions import ANA

HELD = HEADER + row(1) + "x\n" * 9
HOUR = dt.timedelta(hours=1)


def leave_over(kept: KeptHome) -> dict[str, str]:
    """One thing of each kind that nothing names; why the collector says that it goes, by name."""
    store = kept.workspace.store
    blob = blob_key(put_blob(store, b"never logged").digest)
    segment, report = f"tables/sales/segments/{'ab' * 32}/{'cd' * 32}", f"tables/sales/reports/{DAY}/held-abcdefabcdef"
    for folder, files in ((segment, ("index.json", "valid.parquet")), (report, ("report.html", "report.json"))):
        for name in files:
            store.put_if_absent(f"{folder}/{name}", b"left over")
    return {blob: "blob nothing names", segment: "segment nothing names", report: "report nothing names"}


# ---- what stays ------------------------------------------------------------------------------------------------------


def test_of_a_home_in_use_nothing_goes(kept: KeptHome) -> None:
    """Published rows, quarantine, an overlay of repeated keys, a held candidate, reports of all."""
    kept.restate(HEADER + row(1) + row(1) + row(2) + row(3, shop="east"))
    kept.restate(HELD)
    before = kept.objects()
    kept.days_pass(1000)
    for _ in range(4):
        done = kept.collect()
        assert (done.listed, done.removed, done.problems) == ([], [], [])
        assert not done.expiry
    assert kept.objects() == before
    assert kept.problems() == []


def test_what_a_run_has_just_put_there_is_left_alone(kept: KeptHome) -> None:
    kept.restate(A)
    left = leave_over(kept)
    assert kept.collect(HOUR).listed == []
    kept.days_pass(1)
    assert {doomed.name for doomed in kept.collect(HOUR).listed} == set(left)


def test_going_back_and_forth_keeps_what_the_current_version_shares(kept: KeptHome) -> None:
    kept.restate(A)
    rows = kept.rows()
    kept.restate(B, A)
    kept.days_pass(1)
    assert [(v.number) for v in kept.collect().expiry.versions] == [1, 2]
    kept.collect()
    assert kept.rows() == rows
    assert kept.problems() == []
    kept.restate(B)
    assert len(kept.rows()) == 2
    assert kept.problems() == []


def held_documents(kept: KeptHome) -> list[str]:
    return kept.objects("held")


def test_what_was_published_after_all_is_held_no_more(kept: KeptHome) -> None:
    kept.restate(HELD)
    (key,) = held_documents(kept)
    document = kept.workspace.store.get(key)
    release(kept.workspace, find_held(kept.workspace, "sales", DAY), ANA)
    kept.workspace.store.put_if_absent(key, document)  # as if the release had died before it removed it
    assert [held.candidate.partition for held in kept.collect(dry_run=True).no_longer_held] == [DAY]
    assert held_documents(kept) == [key]
    assert len(kept.collect().no_longer_held) == 1
    assert held_documents(kept) == []
    assert (kept.collect().no_longer_held, kept.problems()) == ([], [])


def test_a_held_candidate_goes_when_what_superseded_it_is_old_enough(kept: KeptHome) -> None:
    kept = kept.keeping(Retention(age_s=10 * 86_400))
    kept.restate(HELD)
    kept.days_pass(100)
    assert kept.collect().no_longer_held == []
    kept.restate(A)
    assert kept.collect().no_longer_held == []
    kept.days_pass(11)
    assert len(kept.collect().no_longer_held) == 1
    gone = kept.collect().removed
    assert {doomed.why for doomed in gone} >= {"segment nothing names", "report nothing names"}
    assert (held_documents(kept), len(kept.rows()), kept.problems()) == ([], 1, [])


def test_a_retained_version_keeps_all_that_it_is_made_of(kept: KeptHome) -> None:
    keeping = kept.keeping(Retention())
    keeping.restate(A, B)
    before = keeping.objects()
    keeping.days_pass(59)
    for _ in range(3):
        assert not keeping.collect().expiry
    assert keeping.objects() == before
    keeping.days_pass(2)
    assert [v.number for v in keeping.collect().expiry.versions] == [1]


def test_what_is_captured_and_was_never_built_stays(kept: KeptHome) -> None:
    kept.drop(A)
    kept.take_in()
    kept.days_pass(1000)
    before = kept.objects("blobs")
    for _ in range(3):
        kept.collect()
    assert kept.objects("blobs") == before


def test_a_table_without_a_contract_is_not_touched_by_age(kept: KeptHome) -> None:
    kept.restate(A, B)
    kept.days_pass(1000)
    unknown = KeptHome(kept.folder, kept.contract.model_copy(update={"table": "others"}))
    for _ in range(3):
        done = unknown.collect()
        assert (bool(done.expiry), done.listed) == (False, [])


@pytest.mark.parametrize(
    "key",
    [
        "notes/today.txt",
        "blobs/README",
        "blobs/ab/cd/ab",
        "tables/sales/notes/x.csv",
        "tables/sales/commits.bak/1.json",
        "tables/sales/segments/x.csv",
        f"tables/sales/segments/{'ab' * 32}/x.csv",
        f"tables/sales/segments/{'ab' * 32}/folder/x.csv",
        "tables/sales/exports/x.csv",
        "tables/sales/reports/x.html",
        f"tables/sales/reports/{DAY}/x.html",
        "damaged/x",
    ],
)
def test_what_lies_where_nothing_of_ours_would_is_left_alone(kept: KeptHome, key: str) -> None:
    kept.restate(A)
    kept.workspace.store.put_if_absent(key, b"somebody's own")
    before = kept.objects()
    kept.days_pass(1000)
    for _ in range(3):
        kept.collect()
    assert kept.objects() == before


# ---- the phases ------------------------------------------------------------------------------------------------------


def test_what_nothing_names_is_listed_then_removed_then_its_list_is_retired(kept: KeptHome) -> None:
    kept.restate(A)
    before = kept.objects()
    left = leave_over(kept)
    store = kept.workspace.store

    listed = kept.collect().listed
    assert {doomed.name: doomed.why for doomed in listed} == left
    assert sum(doomed.size_bytes for doomed in listed) == len(b"never logged") + 4 * len(b"left over")
    assert doomed_names(store) == set(left)
    assert len(kept.objects()) == len(before) + 6, "nothing is removed yet, and the list has come"

    assert {doomed.name for doomed in kept.collect().removed} == set(left)
    assert kept.objects("blobs", "segments", "reports") == [
        key for key in before if {key.split("/")[0], key.split("/")[2]} & {"blobs", "segments", "reports"}
    ]

    kept.collect()
    assert doomed_names(store) == frozenset()
    assert kept.objects("doomed") == ["doomed/00000001.emptied.json"]


def test_nothing_is_removed_before_its_grace_is_over(kept: KeptHome) -> None:
    kept.restate(A)
    left = leave_over(kept)
    kept.days_pass(1)
    assert len(kept.collect(HOUR).listed) == 3
    done = kept.collect(HOUR)
    assert ({doomed.name for doomed in done.waiting}, done.removed) == (set(left), [])
    kept.days_pass(0.05)
    assert len(kept.collect(HOUR).removed) == 3
    assert len(list_numbers(kept.workspace.store)) == 1, "its names stay doomed for another grace"
    kept.days_pass(0.05)
    kept.collect(HOUR)
    assert list_numbers(kept.workspace.store) == []


def test_what_is_named_again_before_it_is_removed_stays(kept: KeptHome) -> None:
    kept.restate(A)
    blob = put_blob(kept.workspace.store, HEADER.encode())
    assert [doomed.name for doomed in kept.collect().listed] == [blob_key(blob.digest)]
    # by somebody who looked at the lists before there was this one
    drop = CapturedDrop(path="sales/2024-03-02.csv", partition="2024-03-02", digest=blob.digest, size_bytes=1)
    assert kept.workspace.capture_log.append("sales", 2, [drop], kept.workspace.now()) is not None
    done = kept.collect()
    assert (done.removed, done.kept) == ([], [blob_key(blob.digest)])
    kept.collect()
    assert doomed_names(kept.workspace.store) == frozenset()
    assert kept.workspace.store.get(blob_key(blob.digest)) == HEADER.encode()


def test_a_capture_that_meets_a_doomed_copy_makes_its_own(kept: KeptHome) -> None:
    kept.restate(A, B)
    kept.days_pass(1)
    kept.collect()
    old = blob_key(digest_bytes(A.encode()))
    assert old in doomed_names(kept.workspace.store)
    kept.restate(A)
    assert f"{old}.1" in kept.objects("blobs")
    for _ in range(4):
        kept.collect()
    assert len(kept.rows()) == 1
    assert kept.problems() == []


def test_a_note_tells_what_became_of_a_list(kept: KeptHome) -> None:
    kept.restate(A)
    leave_over(kept)
    kept.collect()
    listed = DoomedList.from_bytes((kept.store / "doomed/00000001.json").read_bytes())
    kept.collect()
    note = EmptiedList.from_bytes((kept.store / "doomed/00000001.emptied.json").read_bytes())
    assert (note.removed, note.removed_bytes) == (3, sum(doomed.size_bytes for doomed in listed.objects))


def test_a_dry_run_says_the_same_and_changes_nothing(kept: KeptHome) -> None:
    kept.restate(A, B)
    leave_over(kept)
    kept.days_pass(1)
    before = {key: (kept.store / key).stat().st_mtime_ns for key in kept.objects()}
    told = kept.collect(dry_run=True)
    assert {key: (kept.store / key).stat().st_mtime_ns for key in kept.objects()} == before
    done = kept.collect()
    assert (told.listed, told.expiry) == (done.listed, done.expiry)
    told = kept.collect(dry_run=True)
    assert told.removed == kept.collect().removed != []


# ---- what expires ----------------------------------------------------------------------------------------------------


def test_an_expired_version_leaves_its_path_time_and_digests(kept: KeptHome) -> None:
    kept.restate(A, B)
    kept.days_pass(1)
    expiry = kept.collect().expiry
    (version,), (drop,) = expiry.versions, expiry.drops
    first = kept.workspace.reader.commit("sales", DAY, 1)
    assert (version.commit, version.snapshot) == (first.digest, first.candidate.snapshot)
    assert (drop.digest, drop.size_bytes) == (digest_bytes(A.encode()), len(A))
    assert [(a.path, a.sequence) for a in drop.arrivals] == [(f"sales/{DAY}.csv", 1)]
    assert expiry.why == {("sales", DAY, 1): "superseded for more than 1s"}
    kept.collect()
    assert blob_key(drop.digest) not in kept.objects("blobs")
    assert kept.problems() == [], "what was removed on purpose is no corruption"


def test_who_reads_a_purged_version_is_told_so_and_not_that_it_was_lost(kept: KeptHome) -> None:
    kept.restate(A, B)
    first, second = (kept.workspace.reader.commit("sales", DAY, number) for number in (1, 2))
    kept.days_pass(1)
    for _ in range(2):
        kept.collect()
    with pytest.raises(PurgedError, match=r"sales\[2024-03-01\] version 1 was purged: removed by retention") as purged:
        kept.workspace.reader.open_commits([first])
    assert (purged.value.evidence["cause"], purged.value.evidence["number"]) == ("retention", 1)
    shutil.rmtree(kept.store / "tables/sales/segments")
    with pytest.raises(StoreError, match="is missing. Restore the store") as lost:
        kept.workspace.reader.open_commits([second])
    assert not isinstance(lost.value, PurgedError)


def test_what_expired_and_comes_again_counts_again(kept: KeptHome) -> None:
    kept.restate(A, B)
    kept.days_pass(1)
    for _ in range(3):
        kept.collect()
    kept.restate(A)
    for _ in range(3):
        kept.days_pass(1)
        kept.collect()
    assert len(kept.rows()) == 1
    assert kept.problems() == []


def test_a_second_time_nothing_expires(kept: KeptHome) -> None:
    kept.restate(A, B)
    kept.days_pass(1)
    assert kept.collect().expiry
    assert not kept.collect().expiry
    assert kept.objects("expired") == ["expired/00000001.json"]


# ---- what is put aside, and staging ----------------------------------------------------------------------------------


def test_damaged_things_are_kept_as_long_as_superseded_ones_are_by_default(kept: KeptHome) -> None:
    kept.restate(A)
    store = kept.workspace.store
    now = dt.datetime.now(dt.UTC)
    names = {days: f"damaged/{now - dt.timedelta(days=days):%Y%m%dT%H%M%S}Z-x" for days in (59, 61)}
    for name in (*names.values(), "damaged/unnamed"):
        store.put_if_absent(f"{name}/blobs/ab/cd/abcd", b"altered")
    assert [doomed.name for doomed in kept.collect().listed] == [names[61]]
    kept.collect()
    assert len(kept.objects("damaged")) == 2
    kept.days_pass(61)
    assert "damaged/unnamed" in {doomed.name for doomed in kept.collect().listed}


def test_staging_of_dead_runs_and_unfinished_files_go(kept: KeptHome) -> None:
    kept.restate(A)
    settings = kept.workspace.settings
    (settings.staging / "run-1" / "half").mkdir(parents=True)
    (settings.staging / "run-1" / "half" / "valid.parquet").write_bytes(b"12345")
    (kept.store / "incoming" / "never-finished").write_bytes(b"x")
    assert not kept.collect(HOUR).left
    told = kept.collect(dry_run=True)
    assert (settings.staging / "run-1").exists()
    done = kept.collect()
    assert told.left == done.left
    assert [(left.run_id, left.size_bytes) for left in done.left] == [("run-1", 5)]
    assert done.swept == 1
    assert list(settings.staging.iterdir()) == []


def test_what_dagster_is_working_on_elsewhere_stays(kept: KeptHome) -> None:
    folder = kept.workspace.settings.staging / "run-1" / "half"
    folder.mkdir(parents=True)
    done = collect(kept.workspace, NO_GRACE, is_active=lambda run_id: run_id == "run-1")
    assert done.left == []
    assert folder.exists()


# ---- what cannot be read ---------------------------------------------------------------------------------------------


def altered(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-20] + b"#" + data[-19:])


@pytest.mark.parametrize(
    ("document", "harm"),
    [
        pytest.param(f"tables/sales/commits/{DAY}/00000001.json", altered, id="an altered commit"),
        pytest.param(f"tables/sales/commits/{DAY}/00000001.json", Path.unlink, id="a missing commit"),
        pytest.param(f"tables/sales/selections/{DAY}/00000001.json", altered, id="an altered selection"),
        pytest.param("captures/sales/00000001.json", altered, id="an altered capture"),
        pytest.param("captures/sales/00000001.json", Path.unlink, id="a missing capture"),
        pytest.param(f"tables/sales/held/{DAY}/*.json", altered, id="an altered held candidate"),
        pytest.param("snapshot", altered, id="an altered snapshot"),
        pytest.param("snapshot", Path.unlink, id="a missing snapshot"),
    ],
)
def test_what_cannot_be_read_might_name_anything(kept: KeptHome, document: str, harm: Callable[[Path], object]) -> None:
    kept.restate(A, B, HELD)
    leave_over(kept)
    kept.days_pass(1)
    if document == "snapshot":
        commit = kept.workspace.reader.commit("sales", DAY, 2)
        document = blob_key(commit.candidate.snapshot)
    (path,) = kept.store.glob(document)
    harm(path)
    before = kept.objects("blobs", "segments", "reports")
    for _ in range(3):
        done = kept.collect()
        assert (done.listed, done.removed, bool(done.expiry)) == ([], [], False)
        assert len(done.problems) >= 1
    assert kept.objects("blobs", "segments", "reports") == before


def test_of_other_tables_segments_still_go(kept: KeptHome) -> None:
    kept.restate(A)
    altered(kept.store / f"tables/sales/commits/{DAY}/00000001.json")
    segment = f"tables/others/segments/{'ab' * 32}/{'cd' * 32}"
    kept.workspace.store.put_if_absent(f"{segment}/index.json", b"{}")
    assert [doomed.name for doomed in kept.collect().listed] == [segment]


def test_an_altered_record_of_what_expired_stops_everything(kept: KeptHome) -> None:
    kept.restate(A, B)
    kept.days_pass(1)
    kept.collect()
    altered(kept.store / "expired/00000001.json")
    before = kept.objects()
    with pytest.raises(Exception, match="expired/00000001.json"):
        kept.collect()
    assert kept.objects() == before


# ---- two collectors --------------------------------------------------------------------------------------------------


def test_one_collector_at_a_time(kept: KeptHome) -> None:
    kept.restate(A)
    left = leave_over(kept)
    lease = kept.workspace.leases.acquire(LEASE, "another", HOUR)
    with pytest.raises(LeaseHeldError, match="held by another"):
        kept.collect()
    assert doomed_names(kept.workspace.store) == frozenset()
    kept.workspace.leases.release(lease)
    assert len(kept.collect().listed) == len(left)


def test_a_collector_that_lost_its_lease_removes_nothing_more(kept: KeptHome) -> None:
    kept.restate(A)
    leave_over(kept)
    kept.collect()
    workspace = kept.workspace
    removed: list[str] = []
    store = workspace.store

    class Losing(LocalObjectStore):
        """Somebody takes the lease over when the first object was removed."""

        def forget(self, key: str) -> None:
            super().forget(key)
            removed.append(key)
            if len(removed) == 1:
                with workspace.database.writing() as connection:
                    connection.exec_driver_sql("UPDATE leases SET expires_ms = 0")
                workspace.leases.acquire(LEASE, "another", HOUR)

    assert isinstance(store, LocalObjectStore)
    workspace.__dict__["store"] = Losing(kept.store)
    with pytest.raises(LeaseLostError):
        collect(workspace, NO_GRACE)
    assert len(removed) == 1


# ---- stopped anywhere ------------------------------------------------------------------------------------------------


class Stopped(BaseException):
    """The process was killed."""


class StoppingStore(LocalObjectStore):
    """Stops its user before or after its nth change."""

    def __init__(self, root: Path, at: int, *, after: bool) -> None:
        super().__init__(root)
        self._left, self._after = at, after

    def _changing(self, change: Callable[[], Any]) -> Any:
        self._left -= 1
        if self._left == 0 and not self._after:
            raise Stopped
        result = change()
        if self._left == 0:
            raise Stopped
        return result

    def put_if_absent(self, key: str, data: bytes) -> bool:
        created: bool = self._changing(lambda: super(StoppingStore, self).put_if_absent(key, data))
        return created

    def forget(self, key: str) -> None:
        self._changing(lambda: super(StoppingStore, self).forget(key))


@pytest.fixture(scope="module")
def worn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with something for every phase: a list that is due, things to list, versions to expire."""
    folder = tmp_path_factory.mktemp("worn")
    (folder / "drops" / "sales").mkdir(parents=True)
    kept = KeptHome(folder)
    kept.restate(A)
    leave_over(kept)
    kept.collect()
    kept.restate(B, A, B)
    kept.workspace.store.put_if_absent("blobs/ab/cd/" + "ab" * 32, b"another")
    kept.days_pass(1)
    return folder


def settled(folder: Path) -> tuple[list[str], list[str]]:
    """What is there when collectors have come to rest, and what is wrong with it."""
    kept = KeptHome(folder)
    while True:
        done = kept.collect()
        if not (done.expiry or done.listed or done.waiting or done.removed or done.kept):
            break
    return kept.objects("blobs", "segments", "reports", "captures", "commits", "selections"), kept.problems()


def is_stopped(kept: KeptHome, store: StoppingStore) -> bool:
    """Let collectors go through all phases; whether the store stopped one of them."""
    workspace = kept.workspace
    workspace.__dict__["store"] = store
    try:
        for _ in range(3):
            collect(workspace, NO_GRACE)
    except Stopped:
        with workspace.database.writing() as connection:
            connection.exec_driver_sql("UPDATE leases SET expires_ms = 0")  # time passes
        return True
    finally:
        workspace.database.close()
    return False


@pytest.mark.parametrize("after", [False, True], ids=["before it", "after it"])
def test_a_collector_stopped_at_any_change_loses_nothing_and_the_next_one_finishes(
    worn: Path, tmp_path: Path, after: bool
) -> None:
    shutil.copytree(worn, tmp_path / "whole")
    rest, problems = settled(tmp_path / "whole")
    assert problems == []
    stops = 0
    while True:
        stops += 1
        folder = tmp_path / f"stopped-{stops}"
        shutil.copytree(worn, folder)
        kept = KeptHome(folder)
        rows = kept.rows()
        if not is_stopped(kept, StoppingStore(kept.store, stops, after=after)):
            break
        assert kept.rows() == rows
        assert settled(folder) == (rest, [])
        shutil.rmtree(folder)
    assert stops > 15, "the scenario has something to stop at"
