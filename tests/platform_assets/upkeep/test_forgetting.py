"""Forgetting: nothing of a drop is left for readers, its bytes go, and until then it can be taken back."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from contracts.collection import PurgedError
from contracts.errors import DropError, UsageError
from contracts.refs import digest_bytes
from contracts.selection import Decision
from platform_assets.decisions.holding import find_held, release
from platform_assets.ingest.building import build_partition
from platform_assets.ingest.planning import PartitionState, partition_statuses
from platform_assets.ingest.selecting import capture, scan, select
from platform_assets.upkeep.forgetting import Forgotten, find_stakes, forget, take_back
from resources.captures import WithdrawnError, blob_key
from resources.expirations import Expirations
from resources.publisher import Outcome
from tests.kept_sales import A, B, KeptHome
from tests.sales import DAY, HEADER, row

ANN = Decision(actor="ann", reason="asked to")
BOB = Decision(actor="bob", reason="the wrong day")
PATH = f"sales/{DAY}.csv"
OTHER = HEADER + row(7, note="other")
SECRET = HEADER + row(1, note="alice@example.org") + row(2)
NO_SET_RULES = {"set_rules": ()}


def rebuild(kept: KeptHome, decision: Decision, table: str, partitions: Sequence[str]) -> list[str]:
    """As `build_anew` does, without Dagster."""
    assert table == "sales"
    workspace = kept.workspace
    scan(workspace, kept.contract)
    capture(workspace, kept.contract)
    for partition in select(workspace, kept.contract, partitions):
        result = build_partition(workspace, kept.contract, partition, run_id="rebuild")
        if result.outcome is Outcome.HELD:
            release(workspace, find_held(workspace, table, partition), decision)
    return []


def forgotten(kept: KeptHome, drop: str = PATH, *, at_once: bool = False) -> Forgotten:
    workspace = kept.workspace
    return forget(workspace, find_stakes(workspace, drop), ANN, partial(rebuild, kept, ANN), at_once=at_once)


def taken_back(kept: KeptHome, drop: str = PATH) -> list[str]:
    workspace = kept.workspace
    return take_back(workspace, find_stakes(workspace, drop), BOB, partial(rebuild, kept, BOB))


def holding(folder: Path, text: str) -> list[str]:
    """The files below a folder in which a text stands; Parquet is not compressed so well that a note would vanish."""
    return [str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and text.encode() in p.read_bytes()]


def rows(kept: KeptHome, day: str = DAY) -> list[object]:
    files = kept.workspace.reader.open("sales", day)
    return [found[0] for found in kept.rows(day, "id")] if files.valid else []


@pytest.fixture
def two_files(kept: KeptHome) -> KeptHome:
    """A day of two files, one of which is to be forgotten."""
    kept.drop(SECRET)
    kept.drop(OTHER, f"{DAY}-b.csv")
    kept.restate(SECRET)
    return kept


# ---- what is at stake ------------------------------------------------------------------------------------------------


def test_a_path_stands_for_all_that_came_under_it_and_every_path_of_its_contents(kept: KeptHome) -> None:
    kept.restate(A, B)
    kept.drop(B, f"{DAY}-again.csv")
    kept.ingest()
    (stake,) = find_stakes(kept.workspace, PATH)
    assert [(d.path, d.digest) for d in stake.drops] == [
        (PATH, digest_bytes(A.encode())),
        (PATH, digest_bytes(B.encode())),
        (f"sales/{DAY}-again.csv", digest_bytes(B.encode())),
    ]
    assert [commit.number for commit in stake.versions] == [1, 2]
    assert (stake.partitions, stake.withdrawn) == ((DAY,), False)


@pytest.mark.parametrize("named", ["digest", "absolute path"])
def test_a_drop_has_several_names(kept: KeptHome, named: str) -> None:
    kept.restate(A)
    name = digest_bytes(A.encode()) if named == "digest" else str(kept.folder / "drops" / PATH)
    (stake,) = find_stakes(kept.workspace, name)
    assert [d.path for d in stake.drops] == [PATH]


@pytest.mark.parametrize("name", ["sales/never.csv", "blake3:" + "0" * 64, "", "/etc/passwd"])
def test_what_was_never_captured_cannot_be_forgotten(kept: KeptHome, name: str) -> None:
    kept.restate(A)
    with pytest.raises(UsageError, match="nothing was captured as"):
        find_stakes(kept.workspace, name)


# ---- forgetting ------------------------------------------------------------------------------------------------------


def test_readers_see_the_rest_at_once(two_files: KeptHome) -> None:
    assert rows(two_files) == [1, 2, 7]
    done = forgotten(two_files)
    assert (done.problems, done.versions, done.erased) == ([], 1, False)
    assert rows(two_files) == [7]
    assert two_files.problems() == []


def test_its_bytes_go_with_everything_made_of_it_when_the_grace_is_over(two_files: KeptHome) -> None:
    assert len(holding(two_files.store, "alice@example.org")) > 2
    done = forgotten(two_files)
    for _ in range(3):
        two_files.collect()
    assert holding(two_files.store, "alice@example.org") == []
    assert blob_key(digest_bytes(SECRET.encode())) in {doomed.name for doomed in done.doomed}
    assert two_files.problems() == []
    assert rows(two_files) == [7]


def test_at_once_means_at_once(two_files: KeptHome) -> None:
    two_files.drop(SECRET.replace("south", "narnia"), f"{DAY}-c.csv")
    two_files.restate(SECRET)
    done = forgotten(two_files, at_once=True)
    forgotten(two_files, f"sales/{DAY}-c.csv", at_once=True)
    assert done.erased
    assert holding(two_files.folder / "home", "alice@example.org") == []
    assert rows(two_files) == [7]
    assert two_files.problems() == []


def test_a_held_candidate_goes_too(kept: KeptHome) -> None:
    kept.restate(A)
    kept.restate(HEADER + row(1, note="alice@example.org") + "x\n" * 9)
    assert len(kept.objects("held")) == 1
    assert len(holding(kept.store, "alice@example.org")) > 1
    forgotten(kept, at_once=True)
    assert kept.objects("held") == []
    assert holding(kept.store, "alice@example.org") == []


def test_leftovers_of_it_go_too(two_files: KeptHome) -> None:
    """Of a run that was killed before its commit, and of what was damaged and put aside."""
    head = two_files.workspace.reader.head("sales", DAY)
    assert head is not None
    segments = [key for key in two_files.objects("segments") if key.endswith("index.json")]
    aside = [key for key in segments if b"alice" in (two_files.store / key).with_name("valid.parquet").read_bytes()]
    two_files.workspace.store.put_aside(aside[0].rpartition("/")[0])
    for key in two_files.objects("commits"):
        (two_files.store / key).unlink()
    two_files.workspace.database.close()
    (two_files.folder / "home" / "catalogue.db").unlink()
    two_files.ingest(force=True)
    assert any(key.startswith("damaged/") for key in holding(two_files.store, "alice@example.org"))
    forgotten(two_files, at_once=True)
    assert holding(two_files.store, "alice@example.org") == []


def test_a_partition_of_nothing_else_is_empty_then(kept: KeptHome) -> None:
    lenient = KeptHome(kept.folder, kept.contract.model_copy(update=NO_SET_RULES))
    lenient.restate(SECRET)
    forgotten(lenient)
    head = lenient.workspace.reader.head("sales", DAY)
    assert head is not None
    assert (head.number, head.kind, head.candidate.valid_rows, head.candidate.segments) == (2, "publish", 0, ())
    assert rows(lenient) == []
    (status,) = partition_statuses(lenient.workspace, lenient.contract)
    assert status.state is PartitionState.PUBLISHED
    assert lenient.problems() == []


def test_what_a_gate_stops_is_let_through_by_the_same_decision(kept: KeptHome) -> None:
    """Its contract wants some rows a day."""
    kept.restate(SECRET)
    forgotten(kept)
    head = kept.workspace.reader.head("sales", DAY)
    assert head is not None
    assert (head.kind, head.candidate.valid_rows) == ("release", 0)
    assert head.waiver is not None
    assert (head.waiver.actor, head.waiver.reason) == ("ann", "asked to")
    assert rows(kept) == []


def test_what_it_replaced_does_not_come_back(kept: KeptHome) -> None:
    kept.restate(A, SECRET)
    forgotten(kept, digest_bytes(SECRET.encode()))
    assert rows(kept) == []


def test_of_what_was_replaced_already_the_current_version_stays_as_it_is(kept: KeptHome) -> None:
    kept.restate(SECRET, B)
    before = kept.workspace.reader.head("sales", DAY)
    forgotten(kept, digest_bytes(SECRET.encode()), at_once=True)
    assert kept.workspace.reader.head("sales", DAY) == before
    assert holding(kept.store, "alice@example.org") == []
    assert rows(kept) == [1, 2]


def test_a_content_that_two_days_have_goes_from_both(kept: KeptHome) -> None:
    kept.restate(SECRET)
    kept.restate(SECRET, day="2024-03-02")
    done = forgotten(kept, at_once=True)
    assert done.versions == 2
    assert (rows(kept), rows(kept, "2024-03-02")) == ([], [])
    assert holding(kept.store, "alice@example.org") == []


def test_it_is_recorded_by_whom_and_why_and_what_it_was(kept: KeptHome) -> None:
    kept.restate(SECRET)
    forgotten(kept, at_once=True)
    expirations = Expirations.read(kept.workspace.store)
    record = expirations.versions["sales", DAY, 1]
    assert (record.cause, record.decision) == ("forgotten", ANN)
    with pytest.raises(PurgedError, match=r"sales\[2024-03-01\] version 1 was purged: forgotten by ann"):
        expirations.check_version("sales", DAY, 1)
    (drop,) = record.drops
    assert (drop.digest, [a.path for a in drop.arrivals]) == (digest_bytes(SECRET.encode()), [PATH])


def test_a_second_time_there_is_nothing_to_do(two_files: KeptHome) -> None:
    forgotten(two_files)
    (stake,) = find_stakes(two_files.workspace, PATH)
    assert (stake.withdrawn, stake.versions) == (True, ())
    captures = two_files.objects("captures")
    assert forgotten(two_files).versions == 0
    assert two_files.objects("captures") == captures
    assert two_files.objects("expired") == ["expired/00000001.json"]


# ---- the same content again ------------------------------------------------------------------------------------------


def test_the_same_content_is_not_taken_again(kept: KeptHome) -> None:
    kept.restate(SECRET)
    forgotten(kept)
    for name in (f"{DAY}.csv", f"{DAY}-renamed.csv"):
        kept.drop(SECRET, name)
    workspace = kept.workspace
    scan(workspace, kept.contract)
    report = capture(workspace, kept.contract)
    assert report.captured == 0
    assert {type(error) for error in report.failed} == {WithdrawnError}
    assert all(isinstance(error, DropError) for error in report.failed)
    kept.take_in()
    assert rows(kept) == []


def test_another_content_under_the_same_path_is_taken(kept: KeptHome) -> None:
    kept.restate(SECRET)
    forgotten(kept)
    kept.restate(B)
    assert rows(kept) == [1, 2]


# ---- a late run ------------------------------------------------------------------------------------------------------


def test_a_run_that_started_before_cannot_bring_it_back(two_files: KeptHome) -> None:
    """It froze its selection, was slow, and wants to publish when the drop is forgotten."""
    late = two_files.workspace.reader.selection("sales", DAY)
    assert late is not None
    forgotten(two_files)

    class Late(type(two_files.workspace.reader)):  # type: ignore[misc]
        def selection(self, table: str, partition: str) -> object:
            assert (table, partition) == ("sales", DAY)
            return late

    workspace = two_files.workspace
    workspace.__dict__["reader"] = Late(workspace.store, workspace.catalogue)
    result = build_partition(workspace, two_files.contract, DAY, run_id="late", force=True)
    assert result.outcome is Outcome.SUPERSEDED
    assert rows(two_files) == [7]


def test_what_slips_in_all_the_same_goes_with_the_next_collector(two_files: KeptHome) -> None:
    workspace = two_files.workspace
    stakes = find_stakes(workspace, PATH)
    assert forget(workspace, stakes, ANN, lambda _, __: ["it could not be built"]).problems == ["it could not be built"]
    two_files.ingest(force=True)
    for _ in range(3):
        assert two_files.collect().problems == []
    assert holding(two_files.store, "alice@example.org") == []


# ---- taking it back --------------------------------------------------------------------------------------------------


def test_until_its_bytes_are_gone_it_can_be_taken_back_to_the_same_digests(two_files: KeptHome) -> None:
    before = two_files.workspace.reader.head("sales", DAY)
    forgotten(two_files)
    assert taken_back(two_files) == []
    after = two_files.workspace.reader.head("sales", DAY)
    assert before is not None
    assert after is not None
    assert after.candidate.view_key == before.candidate.view_key
    assert [e.content for e in after.candidate.entries] == [e.content for e in before.candidate.entries]
    assert rows(two_files) == [1, 2, 7]
    for _ in range(4):
        two_files.collect()
    assert rows(two_files) == [1, 2, 7]
    assert two_files.problems() == []
    two_files.drop(SECRET, f"{DAY}-again.csv")
    assert capture_everything(two_files) == 1, "it is taken again, too"


def capture_everything(kept: KeptHome) -> int:
    workspace = kept.workspace
    scan(workspace, kept.contract)
    return capture(workspace, kept.contract).captured


def test_when_its_bytes_are_gone_it_is_purged(two_files: KeptHome) -> None:
    forgotten(two_files, at_once=True)
    with pytest.raises(PurgedError, match="was purged: forgotten by ann"):
        taken_back(two_files)
    assert rows(two_files) == [7]


@pytest.mark.parametrize("then", ["never forgotten", "something else came"])
def test_what_would_not_count_is_not_taken_back(two_files: KeptHome, then: str) -> None:
    if then == "something else came":
        forgotten(two_files)
        two_files.restate(B)
    before = rows(two_files)
    with pytest.raises(UsageError, match="There is nothing to take back"):
        taken_back(two_files)
    assert rows(two_files) == before


def test_it_can_be_forgotten_again(two_files: KeptHome) -> None:
    forgotten(two_files)
    taken_back(two_files)
    assert forgotten(two_files, at_once=True).versions == 1
    assert holding(two_files.store, "alice@example.org") == []
    assert rows(two_files) == [7]
