"""Poison drops: real processes that die of reading one, and what the ones after them make of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from contracts.canonical import parse_json
from contracts.refs import Digest, digest_bytes
from platform_assets.ingest.watched_reading import transform_of
from resources.workspace import Workspace
from tests.installation import CONTRACT, SOUND, Installation
from tests.platform_assets.ingest.dying_parser import MARK

ROOT = Path(__file__).parents[3]
BEFORE, DAY, AFTER = "2024-03-01", "2024-03-02", "2024-03-03"
POISON = b"id,item,amount\n" + MARK + b",1\n667,of the same file,2\n"
SOUND_DROPS = {name: f"id,item,amount\n{number},pen,2.5\n".encode() for number, name in enumerate("acdef", 1)}


@pytest.fixture
def orders(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Installation:
    """Three days; on the middle one a poison drop among sound ones, all of them in one segment."""
    installation = Installation(home, monkeypatch, capsys)
    drop_all(installation)
    return installation


def drop_all(installation: Installation) -> None:
    installation.drop(BEFORE)
    for name, content in {**SOUND_DROPS, "b": POISON}.items():
        installation.drop(DAY, content, suffix=f"-{name}.csv")
    installation.drop(AFTER, b"id,item,amount\n9,cap,1\n")


def ingest(how: str, *flags: str, where: str = "writer") -> tuple[int, dict[str, str]]:
    """Ingest in a process of its own: how it ended, and what became of each partition until then."""
    command = [sys.executable, "-m", "tests.platform_assets.ingest.dying_parser", how, where, *flags]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    child = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, timeout=300)
    assert b"Traceback" not in child.stderr, child.stderr.decode()
    ended = [parse_json(line) for line in child.stdout.splitlines()]
    return child.returncode, {partition: ending for partition, ending, _ in ended}


def published(installation: Installation) -> dict[str, tuple[int, int]]:
    """Per published partition its valid and its quarantined rows."""
    reader = installation.workspace.reader
    heads = {key: reader.head("orders", key) for key in reader.partitions("orders")}
    return {key: (h.candidate.valid_rows, h.candidate.quarantined_rows) for key, h in heads.items() if h is not None}


def view_keys(installation: Installation) -> dict[str, Digest]:
    reader = installation.workspace.reader
    return {key: head.candidate.view_key for key in reader.partitions("orders") if (head := reader.head("orders", key))}


def quarantined(installation: Installation, day: str) -> list[dict[str, Any]]:
    ran = installation.hashgate("quarantine", "orders", "--partition", day, "--json")
    records: list[dict[str, Any]] = ran.json["records"]
    return records


def nothing_is_left(installation: Installation) -> bool:
    staging, incoming = installation.home / "staging", installation.home / "store" / "incoming"
    return not list(staging.rglob("*")) and not list(incoming.iterdir())


@pytest.mark.parametrize(
    ("how", "code", "where"),
    [
        pytest.param("kill", -signal.SIGKILL, "writer", id="killed while the writer reads"),
        pytest.param("abort", -signal.SIGABRT, "gates", id="aborted while the gates read"),
    ],
)
def test_after_two_deaths_everything_sound_is_published(orders: Installation, how: str, code: int, where: str) -> None:
    assert ingest(how, where=where)[0] == code
    assert published(orders) == {BEFORE: (2, 0)}, "what came before is published, and nothing half"
    assert ingest(how, where=where)[0] == code
    assert published(orders) == {BEFORE: (2, 0)}

    assert ingest(how, where=where) == (0, {BEFORE: "reused", DAY: "published", AFTER: "published"})

    assert published(orders) == {BEFORE: (2, 0), DAY: (5, 1), AFTER: (1, 0)}
    (record,) = quarantined(orders, DAY)
    assert record["source"] == digest_bytes(POISON)
    assert (record["byte_start"], record["byte_end"]) == (0, len(POISON))
    (why,) = record["reasons"]
    assert why["code"] == "PARSER_CRASHED"
    assert "reading it ended the process, twice" in why["message"]
    assert "hashgate ingest --force" in why["message"]
    assert nothing_is_left(orders)
    assert orders.hashgate("verify", "orders").code == 0, "nor is it read when what is published is verified"
    assert orders.hashgate("ingest", "orders").code == 0


def test_memory_that_runs_out_fails_the_partition_and_no_process(orders: Installation) -> None:
    assert ingest("memory") == (0, {BEFORE: "published", DAY: "failed", AFTER: "published"})
    assert ingest("memory") == (0, {BEFORE: "reused", DAY: "failed", AFTER: "reused"})
    assert ingest("memory") == (0, {BEFORE: "reused", DAY: "published", AFTER: "reused"})
    assert published(orders)[DAY] == (5, 1)
    assert [r["code"] for r in quarantined(orders, DAY)[0]["reasons"]] == ["PARSER_CRASHED"]


def test_sound_partitions_come_to_the_same_as_if_nothing_had_crashed(
    orders: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        ingest("kill")
    crashed = view_keys(orders)
    assert orders.hashgate("ingest", "orders", "--force", "--partition", DAY).code == 0
    tried_again = view_keys(orders)
    monkeypatch.setenv("HASHGATE_HOME", str(tmp_path / "elsewhere" / "home"))
    (tmp_path / "elsewhere").mkdir()
    other = Installation(tmp_path / "elsewhere" / "home", monkeypatch, capsys)
    drop_all(other)
    assert other.hashgate("ingest", "orders").code == 0
    never_crashed = view_keys(other)

    assert {key: crashed[key] == never_crashed[key] for key in crashed} == {BEFORE: True, DAY: False, AFTER: True}
    assert tried_again == never_crashed, "a person had it tried again, and it was read"
    assert published(orders) == published(other) == {BEFORE: (2, 0), DAY: (7, 0), AFTER: (1, 0)}
    assert quarantined(orders, DAY) == []


def test_force_gives_a_drop_two_more_tries(orders: Installation) -> None:
    for _ in range(3):
        ingest("kill")
    before = view_keys(orders)
    assert ingest("kill", "--force")[0] == -signal.SIGKILL
    assert ingest("kill", "--force")[0] == -signal.SIGKILL, "asked for again, it is tried again"
    assert view_keys(orders) == before, "the last good version stays"


def test_other_rules_for_rows_give_a_drop_another_chance(orders: Installation) -> None:
    for _ in range(3):
        ingest("kill")
    assert published(orders)[DAY] == (5, 1)
    orders.write_contract(CONTRACT.replace("minimum: 0", "minimum: 0.5"))
    assert orders.hashgate("ingest", "orders").code == 0
    assert published(orders)[DAY] == (7, 0)


def test_a_sound_drop_that_was_killed_by_chance_is_read_alone_and_published(orders: Installation) -> None:
    ingest("kill")
    assert len(noted_crashes(orders.workspace)) == 0, "they are counted when somebody looks"
    assert orders.hashgate("ingest", "orders").code == 0, "this time nothing kills it"
    assert published(orders) == {BEFORE: (2, 0), DAY: (7, 0), AFTER: (1, 0)}
    assert noted_crashes(orders.workspace) == {}


def noted_crashes(workspace: Workspace) -> dict[Digest, Any]:
    return dict(workspace.parser_attempts.crashes(transform_of(workspace.contract("orders"))))


def test_a_large_drop_of_its_own_segment_is_refused_alone(orders: Installation) -> None:
    large = b"id,item,amount\n" + MARK + b",1\n" + b"".join(b"%d,pen,1\n" % n for n in range(1000, 500_000))
    assert len(large) > 4 << 20
    orders.drop(DAY, SOUND.replace(b"1,", b"77,").replace(b"2,", b"78,"), suffix="-y.csv")
    orders.drop(DAY, large, suffix="-z.csv")
    (orders.drops / "orders" / f"orders-{DAY}-b.csv").unlink()
    for _ in range(3):
        code, _ = ingest("kill")
    assert code == 0
    assert published(orders)[DAY] == (7, 1)
