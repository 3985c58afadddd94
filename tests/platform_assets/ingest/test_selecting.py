"""Capturing and selecting: withdrawals, tables that grow, a collector at the same time, and an altered record."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from contracts.collection import DoomedList, DoomedObject
from contracts.refs import digest_bytes
from contracts.sealing import ChainError
from contracts.selection import CapturedDrop, Decision, Selector
from platform_assets.ingest import selecting
from platform_assets.ingest.selecting import capture, load_snapshot, scan, select, withdraw
from resources.captures import blob_key
from resources.doomed_lists import list_key
from resources.object_store import LocalObjectStore, ObjectStore
from tests.sales import DAY, HEADER, SalesHome, row

ANN = Decision(actor="ann", reason="asked to")
A, B = HEADER + row(1), HEADER + row(2)
PATH = f"sales/{DAY}.csv"


def inputs(sales: SalesHome, day: str = DAY) -> list[str]:
    """The digests that the newest selection names."""
    workspace = sales.workspace
    selection = workspace.reader.selection("sales", day)
    assert selection is not None
    return [ref.digest for ref in load_snapshot(workspace, selection).inputs]


def digests(*contents: str) -> list[str]:
    return [digest_bytes(content.encode()) for content in contents]


def come(sales: SalesHome, *contents: str, name: str = f"{DAY}.csv") -> None:
    for content in contents:
        sales.drop(content, name)
        sales.take_in()


def captured(content: str, path: str = PATH, *, withdrawn: bool = False) -> CapturedDrop:
    data = content.encode()
    return CapturedDrop(path=path, partition=DAY, digest=digest_bytes(data), size_bytes=len(data), withdrawn=withdrawn)


# ---- tables that grow ------------------------------------------------------------------------------------------------


def growing(sales: SalesHome) -> SalesHome:
    """A home whose contract says `append`."""
    return sales.under(sales.contract.model_copy(update={"sink_mode": "append"}))


def test_a_table_whose_drops_replace_each_other_selects_the_newest(sales: SalesHome) -> None:
    come(sales, A, B)
    assert inputs(sales) == digests(B)


def test_a_table_that_grows_selects_every_content_once_by_path_and_arrival(sales: SalesHome) -> None:
    home = growing(sales)
    other = HEADER + row(9)
    come(home, other, name=f"{DAY}-z.csv")
    come(home, A, B, A)
    come(home, B, name=f"{DAY}-z.csv")
    assert inputs(home) == digests(other, B, A), "the path with the -z sorts first"
    selection = home.workspace.reader.selection("sales", DAY)
    assert selection is not None
    assert selection.selector is Selector.EVERY_CONTENT
    assert load_snapshot(home.workspace, selection).selector is Selector.EVERY_CONTENT


def test_a_contract_that_changes_its_mode_freezes_another_selection(sales: SalesHome) -> None:
    come(sales, A)
    first = sales.workspace.reader.selection("sales", DAY)
    growing(sales).take_in()
    second = sales.workspace.reader.selection("sales", DAY)
    assert first is not None
    assert second is not None
    assert (second.number, second.parent) == (2, first.digest)
    assert second.snapshot != first.snapshot


# ---- withdrawals -----------------------------------------------------------------------------------------------------


def test_a_withdrawn_drop_is_in_no_later_selection(sales: SalesHome) -> None:
    come(sales, A)
    come(sales, B, name=f"{DAY}-b.csv")
    batch = withdraw(sales.workspace, "sales", [captured(A, withdrawn=True)], ANN)
    sales.take_in()
    assert inputs(sales) == digests(B)
    selection = sales.workspace.reader.selection("sales", DAY)
    assert selection is not None
    assert selection.cutoff == batch.sequence


def test_a_selection_of_the_same_drops_is_frozen_anew_after_a_withdrawal(sales: SalesHome) -> None:
    """What is built from it must count as later than what knows nothing of the withdrawal."""
    come(sales, A, B)
    before = sales.workspace.reader.selection("sales", DAY)
    withdraw(sales.workspace, "sales", [captured(A, withdrawn=True)], ANN)
    sales.take_in()
    after = sales.workspace.reader.selection("sales", DAY)
    assert before is not None
    assert after is not None
    assert after.snapshot == before.snapshot
    assert (after.number, after.cutoff > before.cutoff) == (before.number + 1, True)
    sales.take_in()
    assert sales.workspace.reader.selection("sales", DAY) == after


def test_a_partition_of_withdrawn_drops_alone_is_selected_empty(sales: SalesHome) -> None:
    come(sales, A)
    withdraw(sales.workspace, "sales", [captured(A, withdrawn=True)], ANN)
    sales.take_in()
    assert inputs(sales) == []


def test_a_withdrawal_and_a_capture_at_once_take_two_numbers(sales: SalesHome, monkeypatch: pytest.MonkeyPatch) -> None:
    come(sales, A)
    workspace = sales.workspace
    append = workspace.capture_log.append
    others: list[int] = []

    def beaten(*arguments: object) -> object:
        if not others:
            others.append(1)
            come(sales, B, name=f"{DAY}-b.csv")
        return append(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(workspace.capture_log, "append", beaten)
    assert withdraw(workspace, "sales", [captured(A, withdrawn=True)], ANN).sequence == 3
    sales.take_in()
    assert inputs(sales) == digests(B)


# ---- beside a collector ----------------------------------------------------------------------------------------------


def doom(store: ObjectStore, *names: str) -> None:
    objects = tuple(DoomedObject(name=name, size_bytes=1, why="test") for name in names)
    store.put_if_absent(list_key(1), DoomedList(number=1, objects=objects).to_bytes())


@pytest.mark.parametrize("removed", [False, True], ids=["doomed meanwhile", "removed meanwhile"])
def test_what_a_collector_takes_between_capture_and_log_is_captured_again(
    sales: SalesHome, monkeypatch: pytest.MonkeyPatch, removed: bool
) -> None:
    key = blob_key(digest_bytes(A.encode()))
    sales.drop(A)
    workspace = sales.workspace
    scan(workspace, sales.contract)
    take: Callable[..., object] = selecting._take
    rounds: list[int] = []

    def taken(*arguments: object) -> object:
        rounds.append(1)
        found = take(*arguments)
        if len(rounds) == 1:
            doom(workspace.store, key)
            if removed:
                workspace.store.forget(key)
        return found

    monkeypatch.setattr(selecting, "_take", taken)
    assert capture(workspace, sales.contract).captured == 1
    assert len(rounds) == 2
    assert workspace.store.get(f"{key}.1") == A.encode()
    workspace.store.forget(key)
    select(workspace, sales.contract, [DAY])
    assert sales.ingest().outcome == "published"


def test_without_a_new_list_nothing_is_looked_at_twice(sales: SalesHome, monkeypatch: pytest.MonkeyPatch) -> None:
    sales.drop(A)
    workspace = sales.workspace
    doom(workspace.store, "blobs/ab/cd/other")
    scan(workspace, sales.contract)
    asked: list[str] = []
    exists = LocalObjectStore.exists

    def counted(store: LocalObjectStore, key: str) -> bool:
        asked.append(key)
        return exists(store, key)

    monkeypatch.setattr(LocalObjectStore, "exists", counted)
    assert capture(workspace, sales.contract).captured == 1
    assert not any(key.startswith("blobs/") for key in asked)


# ---- the record ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "fix"),
    [
        ("captures/sales/00000001.json", "It is the record of what arrived: restore the object from a backup"),
        (f"tables/sales/selections/{DAY}/00000001.json", "Restore the object from a backup of the store."),
    ],
    ids=["captures", "selections"],
)
def test_an_altered_record_stops_what_would_build_on_it(sales: SalesHome, key: str, fix: str) -> None:
    come(sales, A)
    path = sales.folder / "home" / "store" / key
    path.write_bytes(path.read_bytes().replace(b'"2024-03-01"', b'"2024-03-02"', 1))
    sales.drop(B)
    with pytest.raises(ChainError, match=key) as broken:
        sales.take_in()
    assert fix in str(broken.value)
    assert broken.value.evidence["key"] == key
