"""`hashgate gc`: what it says, and what it does only when it is not a dry run."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from resources.captures import put_blob
from tests.installation import CONTRACT, SOUND, Installation

OTHER = b"id,item,amount\n1,pen,2.5\n"
AT_ONCE = """
slaProperties:
  - {property: retention, value: 0, unit: versions}
"""


@pytest.fixture
def worn(installation: Installation) -> Installation:
    """A superseded version, a blob that nothing names, and what a dead run left; all a day old."""
    installation.write_contract(CONTRACT + AT_ONCE)
    for content in (SOUND, OTHER):
        installation.drop("2024-01-01", content)
        installation.build()
    put_blob(installation.workspace.store, b"never logged")
    folder = installation.home / "staging" / "run-1" / "half"
    folder.mkdir(parents=True)
    (folder / "valid.parquet").write_bytes(b"12345")
    a_day_passes(installation)
    return installation


def a_day_passes(installation: Installation) -> None:
    for path in (*installation.home.rglob("store/**/*"), *installation.home.rglob("staging/**/*")):
        then = path.stat().st_mtime - 90_000
        os.utime(path, (then, then))


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(worn: Installation) -> None:
    before = worn.tree()
    done = worn.hashgate("gc", "--dry-run")
    assert done.code == 0
    assert worn.tree() == before
    lines = [[cell.strip() for cell in line.split("  ")] for line in done.out.splitlines()]
    said = {line[1]: [cell for cell in line[2:] if cell] for line in lines if len(line) > 2}
    assert done.out.startswith("this would be done, and nothing was changed\n")
    assert said["staging of dead runs, removed"] == ["1", "5 B"]
    assert said["versions expired"][0] == "1"
    assert "more than 0 superseded versions of its partition (1 version)" in said["versions expired"][-1]
    assert said["doomed now: blob nothing names"][-1] == "removed after 1d, if nothing names it"


def test_three_times_a_day_apart_everything_is_gone(worn: Installation) -> None:
    for _ in range(3):
        assert worn.hashgate("gc").code == 0
        a_day_passes(worn)
    assert worn.hashgate("gc").out == "done\n  there is nothing to collect\n"
    assert list((worn.home / "staging").iterdir()) == []
    assert worn.hashgate("query", "SELECT count(*) FROM orders").out.splitlines()[2] == "1"
    assert worn.hashgate("verify").code == 0


def test_for_machines_every_object_is_named_with_its_size_and_why(worn: Installation) -> None:
    document = worn.hashgate("gc", "--json").json
    assert (document["dry_run"], document["grace_s"]) == (False, 86_400)
    assert [left["run_id"] for left in document["left"]] == ["run-1"]
    (version,) = document["expired"]["versions"]
    assert (version["table"], version["partition"], version["number"]) == ("orders", "2024-01-01", 1)
    assert version["why"] == "more than 0 superseded versions of its partition"
    assert {doomed["why"] for doomed in document["listed"]} == {"blob nothing names", "segment nothing names"}
    again = worn.hashgate("gc", "--json").json
    assert (again["listed"], again["removed"]) == ([], [])
    assert again["waiting"] == document["listed"]


def test_a_shorter_grace_for_when_nothing_runs(worn: Installation) -> None:
    assert worn.hashgate("gc", "--grace", "1h", "--json").json["grace_s"] == 3600
    assert worn.hashgate("gc", "--grace", "0s", "--json").json["removed"] != []


@pytest.mark.parametrize("grace", ["soon", "1", "-1h", "1.5h"])
def test_a_grace_that_is_none_is_wrong_usage(worn: Installation, grace: str) -> None:
    done = worn.hashgate("gc", f"--grace={grace}")
    assert done.code == 2
    assert f"--grace: {grace!r} is no duration: write a whole number and s, m, h or d, as in 24h." in done.err


def test_the_grace_of_the_environment_counts(worn: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASHGATE_GRACE", "2d")
    assert worn.hashgate("gc", "--dry-run", "--json").json["grace_s"] == 172_800
    monkeypatch.setenv("HASHGATE_GRACE", "5m")
    assert worn.hashgate("gc", "--dry-run").code == 2


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"{}")], ids=["missing", "altered"])
def test_a_document_that_cannot_be_read_is_told_and_ends_with_1(
    worn: Installation, harm: Callable[[Path], object]
) -> None:
    (first,) = worn.home.glob("store/tables/orders/commits/2024-01-01/00000001.json")
    harm(first)
    done = worn.hashgate("gc")
    assert done.code == 1
    assert "orders[2024-01-01] version 1: " in done.err
    assert "Until then nothing of its table, and no blob, is removed." in done.err
    assert len(worn.hashgate("gc", "--json").json["problems"]) == 1


def test_an_empty_home_has_nothing_to_collect_and_a_dry_run_does_not_make_one(installation: Installation) -> None:
    before = installation.tree()
    assert installation.hashgate("gc", "--dry-run").code == 0
    assert installation.tree() == before
    assert installation.hashgate("gc").code == 0


def test_another_collector_is_waited_for_by_nobody(worn: Installation) -> None:
    workspace = worn.workspace
    lease = workspace.leases.acquire("collector", "elsewhere:1", dt.timedelta(minutes=5))
    done = worn.hashgate("gc")
    assert done.code == 1
    assert "lease collector is held by elsewhere:1" in done.err
    workspace.leases.release(lease)
    assert worn.hashgate("gc").code == 0
