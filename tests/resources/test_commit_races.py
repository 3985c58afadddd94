"""Many writers, one partition: the history is one line, each number has one winner, and no update is lost.

Whether it is linearizable is decided by the writers' own clocks: whoever was done before another began stands before
it in the history.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from contracts.commits import Commit
from resources.file_catalogue import Anchor
from resources.settings import Settings, parse_store
from resources.table_reader import TableReader
from tests.resources.committing import Told, keep_publishing
from tests.resources.racing import race
from tests.servers.s3 import S3Server
from tests.versions import DAY, TABLE, Home

PROCESSES = 8
ROUNDS = {"disk": 8, "bucket": 2}
"""A gateway of Ceph takes its time, and an append that comes late is judged anew."""


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    return ROUNDS[request.node.callspec.params["home"]]


pytestmark = pytest.mark.embedded
"""Not in the profile of moto's server: of two conditional creates at the same time it may grant both (1 in 100)."""


@pytest.fixture(params=["disk", "bucket"])
def home(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """One whose store is on disk, and one whose store is in a bucket."""
    settings = Settings(home=tmp_path / "home", drops=tmp_path / "drops", contracts=())
    if request.param == "bucket":
        server: S3Server = request.getfixturevalue("ceph")
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        settings = replace(settings, store_location=parse_store(server.setting))
    opened = Home(tmp_path, settings)
    opened.reader.head(TABLE, DAY)  # whoever comes first would make the tables of the catalogue
    return opened


def history(home: Home) -> list[Commit]:
    commits = home.reader.history(TABLE, DAY)
    assert [commit.number for commit in commits] == list(range(1, len(commits) + 1))
    assert [commit.parent for commit in commits] == [None, *(commit.digest for commit in commits[:-1])]
    return commits


def check_told(told: list[Told], commits: list[Commit]) -> None:
    """What writers were told is what stands in the history, in an order that their clocks allow."""
    published = sorted((t for t in told if t.outcome == "published"), key=lambda t: t.number)
    assert [(t.number, t.commit) for t in published] == [(c.number, c.digest) for c in commits]
    for told_of, commit in zip(published, commits, strict=True):
        assert told_of.content in {entry.content for entry in commit.candidate.entries}
    began_after = [max((t.began_ns for t in published[:n]), default=0) for n in range(len(published))]
    assert all(began < t.ended_ns for began, t in zip(began_after, published, strict=True)), "done before it began"


@pytest.mark.parametrize("sink_mode", ["replace", "append", "error"])
def test_processes_publish_into_one_partition(sink_mode: str, home: Home, rounds: int) -> None:
    some = race(keep_publishing, PROCESSES, Home(home.folder, home.settings), dict(os.environ), sink_mode, rounds)
    told = [t for of_one in some for t in of_one]
    assert len(told) == PROCESSES * rounds
    commits = history(home)
    check_told(told, commits)
    outcomes = Counter(t.outcome for t in told)
    if sink_mode == "append":
        assert outcomes == {"published": PROCESSES * rounds}
        assert {entry.content for entry in commits[-1].candidate.entries} == {t.content for t in told}
        assert all(len(later.candidate.entries) == len(c.candidate.entries) + 1 for c, later in pairwise(commits))
    elif sink_mode == "error":
        assert outcomes["published"] == 1
        assert outcomes["refused"] + outcomes["superseded"] == PROCESSES * rounds - 1
    else:
        assert all(later.cutoff >= commit.cutoff for commit, later in pairwise(commits)), "a newer one was undone"
        late = [t for t in told if t.outcome == "superseded"]
        assert outcomes["published"] + len(late) == PROCESSES * rounds
        assert all(t.cutoff < commits[-1].cutoff for t in late), "refused without a reason"
    for commit in commits:
        home.reader.check_files(commit.candidate)
    assert home.catalogue.anchors(TABLE) == {DAY: Anchor(commits[-1].number, commits[-1].digest)}


def test_threads_of_one_process_share_a_reader(home: Home, rounds: int) -> None:
    """A reader that several threads use never takes what another thread has just anchored for a cut-off tail."""
    reader = home.reader
    failed: list[BaseException] = []

    def work(writer: int) -> None:
        try:
            for number in range(rounds):
                home.publish(f"of-{writer} round-{number}", cutoff=number + 1)
                reader.standing(TABLE, DAY)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is told to the test
            failed.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert isinstance(reader, TableReader)
    assert reader.head(TABLE, DAY) == history(home)[-1]


def test_readers_beside_writers_see_versions_only_and_never_an_older_one_again(home: Home, rounds: int) -> None:
    seen: list[int] = []
    done = threading.Event()

    def look() -> None:
        reader = home.reader
        while not done.is_set():
            head = reader.head(TABLE, DAY)
            seen.append(0 if head is None else head.number)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        race(keep_publishing, 2, Home(home.folder, home.settings), dict(os.environ), "replace", rounds)
    finally:
        done.set()
        looking.join()
    assert seen == sorted(seen)
    assert seen[-1] > 0
