"""A chain's tail is cut off, or a store put back: what remembers it sees it, and what nobody remembers is named."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from platform_assets.evidence.corruptions import Concern, Depth
from resources.database_schema import metadata
from tests.faults.homes import DAY, TABLE
from tests.tamper.published import FIRST, Published, build

pytestmark = pytest.mark.embedded

TIP = f"tables/{TABLE}/commits/{DAY}/00000002.json"


def forget(published: Published, *tables: str) -> None:
    """Lose what the database remembers."""
    workspace = published.workspace
    with workspace.database.writing() as connection:
        for name in tables:
            connection.execute(metadata.tables[name].delete())
    workspace.database.close()


def drop_reports(published: Published) -> None:
    shutil.rmtree(published.store / "tables" / TABLE / "reports")


def found(published: Published, *, asks_dagster: bool = False) -> dict[str, str]:
    """What is not as published, by key, in words; a quick look finds the same."""
    deep = published.verified(asks_dagster=asks_dagster)
    quick = published.verified(Depth.QUICK, asks_dagster=asks_dagster)
    assert [c.subject for c in deep.corruptions] == [c.subject for c in quick.corruptions]
    return {corruption.subject: corruption.problem for corruption in deep.corruptions}


def test_the_database_sees_that_the_newest_commit_is_gone(copied: Published) -> None:
    (copied.store / TIP).unlink()
    drop_reports(copied)
    assert "the database has seen number 2 of this chain" in found(copied)[TIP]
    assert copied.misread() == []


def test_dagster_sees_that_the_newest_commit_is_gone(copied: Published) -> None:
    (copied.store / TIP).unlink()
    drop_reports(copied)
    forget(copied, "anchors")
    assert (
        "which Dagster has recorded, observed nothing; the chain reaches number 1"
        in found(copied, asks_dagster=True)[TIP]
    )


def test_its_report_tells_that_the_newest_commit_is_gone(copied: Published) -> None:
    (copied.store / TIP).unlink()
    forget(copied, "anchors")
    assert "/reports/2024-01-01/2-" in found(copied)[TIP]


def test_a_tip_that_was_replaced_by_another_whole_one_is_seen(copied: Published) -> None:
    """A digest fits its document; it is not the one that was seen."""
    head = copied.workspace.reader.head(TABLE, DAY)
    assert head is not None
    (copied.store / TIP).write_bytes(head.model_copy(update={"writer": "somebody else"}).to_bytes())
    assert f"{head.digest} was seen under this number" in found(copied)[TIP]
    assert copied.misread() == []
    forget(copied, "anchors")
    assert f"expected {head.digest}, which Dagster has recorded" in found(copied, asks_dagster=True)[TIP]


def test_a_store_that_was_put_back_to_an_earlier_day_is_seen(copied: Published, tmp_path: Path) -> None:
    earlier = tmp_path / "earlier"
    shutil.copytree(copied.store, earlier)
    (copied.home.drops / TABLE / f"{TABLE}-{DAY}.csv").unlink()
    copied.home.drop(FIRST + "7,new\n")
    build(copied.home)
    shutil.rmtree(copied.store)
    earlier.rename(copied.store)
    seen = found(copied)
    assert f"tables/{TABLE}/commits/{DAY}/00000003.json" in seen
    assert f"captures/{TABLE}/00000006.json" in seen
    assert copied.misread() == []


@pytest.mark.parametrize("kind", ["selections", "discarded"])
def test_the_tail_of_another_chain_is_missed_by_what_names_it(kind: str, copied: Published) -> None:
    folder = copied.store / "tables" / TABLE / kind / DAY
    tip = max(folder.iterdir())
    tip.unlink()
    (problem,) = found(copied).values()
    if kind == "selections":
        assert problem.startswith("expected the selection of version 1")
    else:
        assert problem.startswith("expected the held candidate whose report is")


def test_a_capture_log_that_was_cut_off_is_missed_by_the_selections(copied: Published) -> None:
    tip = max((copied.store / "captures" / TABLE).iterdir())
    tip.unlink()
    assert copied.key(tip) in found(copied)
    forget(copied, "captures")
    assert f"which partition {DAY} has looked at" in found(copied)[copied.key(tip)]


def test_a_held_candidate_that_vanished_is_missed_by_its_report(copied: Published) -> None:
    (held,) = (copied.store / "tables" / TABLE / "held" / DAY).iterdir()
    held.unlink()
    assert "expected the held candidate whose report is" in found(copied)[copied.key(held)]


def test_what_nothing_remembers_cannot_be_missed(copied: Published) -> None:
    """Whoever takes the tail, its report, and the memories of database and Dagster goes unseen; the pages say so."""
    (copied.store / TIP).unlink()
    drop_reports(copied)
    forget(copied, "anchors")
    assert found(replace(copied, told={}), asks_dagster=True) == {}


def test_whoever_rewrites_the_store_and_all_that_remembers_it_goes_unseen(copied: Published) -> None:
    head = copied.workspace.reader.head(TABLE, DAY)
    assert head is not None
    (copied.store / TIP).write_bytes(head.model_copy(update={"writer": "somebody else"}).to_bytes())
    forget(copied, "anchors")
    drop_reports(copied)
    assert found(replace(copied, told={}), asks_dagster=True) == {}


def test_a_cut_off_tail_concerns_readers(copied: Published) -> None:
    (copied.store / TIP).unlink()
    concerns = {corruption.subject: corruption.concern for corruption in copied.verified().corruptions}
    assert concerns[TIP] is Concern.READERS
