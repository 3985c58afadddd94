"""`ingest`: what is done, what is not, and what is said about it."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.installation import SOUND, Installation
from tests.platform_assets.cli.conftest import REFUSED

ROOT = Path(__file__).parents[3]


def endings(installation: Installation, *arguments: str, code: int = 0) -> dict[str, str]:
    ran = installation.hashgate("ingest", "orders", *arguments, "--json")
    assert ran.code == code, ran.err
    return {p["key"]: p["ending"] for p in ran.json["partitions"]}


def test_what_is_new_is_published_and_running_again_does_nothing(installation: Installation) -> None:
    installation.drop("2024-01-01")
    installation.drop("2024-01-04", REFUSED)
    ran = installation.hashgate("ingest", "orders")
    assert ran.code == 0, ran.err
    assert "orders  2 partitions in " in ran.out
    assert re.search(r"published +2 +5 +3\n", ran.out)
    assert "DUPLICATE_KEY" in ran.out
    assert "see: hashgate quarantine orders --summary" in ran.out
    assert re.search(r"Dagster run [0-9a-f-]{36}\n", ran.out)
    assert "partitions, last 2024-01-04" in ran.err
    before = installation.tree()
    again = installation.hashgate("ingest", "orders")
    assert again.code == 0
    assert "nothing to do: every partition is built from what is there now" in again.out
    assert {k: v for k, v in installation.tree().items() if "/store/" in k} == {
        k: v for k, v in before.items() if "/store/" in k
    }


def test_the_run_is_recorded_in_the_dagster_instance(installation: Installation) -> None:
    installation.drop("2024-01-01")
    (run_id,) = installation.hashgate("ingest", "orders", "--json").json["run_ids"]
    assert run_id in {
        path.name.partition(".")[0] for path in (installation.home / "dagster").rglob("*") if path.exists()
    }


def test_partitions_and_ranges_are_taken_as_asked_for(installation: Installation) -> None:
    for day in range(1, 7):
        installation.drop(f"2024-01-0{day}")
    assert endings(installation, "--partition", "2024-01-02", "--partition", "2024-01-05") == {
        "2024-01-02": "published",
        "2024-01-05": "published",
    }
    assert endings(installation, "--range", "2024-01-01...2024-01-03") == {
        "2024-01-01": "published",
        "2024-01-02": "reused",
        "2024-01-03": "published",
    }
    assert endings(installation, "--new") == {"2024-01-04": "published", "2024-01-06": "published"}


def test_force_builds_anew_what_is_current_and_comes_to_the_same(installation: Installation) -> None:
    installation.drop("2024-01-01")
    assert endings(installation) == {"2024-01-01": "published"}
    ran = installation.hashgate("ingest", "orders", "--force", "--json")
    (partition,) = ran.json["partitions"]
    assert (partition["ending"], partition["segments_written"]) == ("reused", 1)
    assert installation.hashgate("verify", "orders").code == 0


def test_what_is_held_ends_with_1_says_why_and_is_not_tried_again_unless_asked_for(installation: Installation) -> None:
    installation.drop("2024-01-01")
    installation.drop("2024-01-02", b"id,thing,amount\n1,pen,2.5\n")
    ran = installation.hashgate("ingest", "orders")
    assert ran.code == 1
    assert "held: 2024-01-02: gate quality FAIL" in ran.err
    assert "Look: hashgate quarantine orders --partition 2024-01-02" in ran.out
    again = installation.hashgate("ingest", "orders")
    assert again.code == 1
    assert "still held, by the same content as before: 2024-01-02" in again.out
    assert endings(installation, "--partition", "2024-01-02", code=1) == {"2024-01-02": "held"}
    installation.drop("2024-01-02")
    assert endings(installation) == {"2024-01-02": "published"}


def test_a_partition_nothing_has_come_for(installation: Installation) -> None:
    installation.drop("2024-01-01")
    assert endings(installation, "--partition", "2024-01-09") == {"2024-01-09": "empty"}
    assert "no file for it has come" in installation.hashgate("ingest", "orders", "--partition", "2024-01-09").out


def test_a_person_at_a_terminal_sees_a_bar(installation: Installation) -> None:
    installation.drop("2024-01-01")
    master, slave = pty.openpty()
    running = subprocess.Popen(
        [sys.executable, "-m", "platform_assets.cli.main", "ingest", "orders"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm", "NO_COLOR": ""},
        stdout=subprocess.PIPE,
        stderr=slave,
    )
    os.close(slave)
    out, _ = running.communicate(timeout=120)
    shown = os.read(master, 1 << 16).decode()
    os.close(master)
    assert running.returncode == 0, shown
    assert "100%  1 of 1 partition" in shown
    assert shown.endswith("\r\x1b[2K")
    assert b"\x1b" not in out


def test_ctrl_c_stops_within_seconds_and_says_what_state_things_are_in(installation: Installation) -> None:
    for day in range(1, 29):
        for month in range(1, 13):
            installation.drop(f"2024-{month:02d}-{day:02d}", SOUND + f"3,{month}-{day},1\n".encode())
    running = subprocess.Popen(
        [sys.executable, "-m", "platform_assets.cli.main", "ingest", "orders"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    commits = installation.home / "store" / "tables" / "orders" / "commits"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and (not commits.exists() or len(list(commits.iterdir())) < 3):
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    interrupted_at = time.monotonic()
    _, err = running.communicate(timeout=60)
    assert time.monotonic() - interrupted_at < 20
    said = err.decode()
    assert running.returncode == 130, said
    assert "Partitions that were committed stay published, the others are as they were" in said
    assert re.search(r"\d+ of 336 partitions done: \d+ published", said)
    assert "Traceback" not in said
    states = {p["key"]: p["state"] for p in installation.hashgate("status", "orders", "--json").json["partitions"]}
    published = [key for key, state in states.items() if state == "published"]
    assert 3 <= len(published) < 336
    assert installation.hashgate("verify", "orders", "--partition", published[-1]).code == 0
