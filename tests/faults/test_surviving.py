"""The judge itself: it condemns a writer with a defect that was planted, and acquits the same one without it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from resources.object_store import LocalObjectStore
from tests.faults.disk_trial import DiskTrial
from tests.faults.fault import Fault
from tests.faults.homes import Home
from tests.faults.scenarios import SCENARIOS, Claim, Said, ingest_what_is_new
from tests.faults.surviving import THE_END, UnfitScenarioError
from tests.faults.troubles import Trouble
from tests.faults.zygote import Zygote

REPLACE = next(scenario for scenario in SCENARIOS if scenario.name == "replace")

PATCH = pytest.MonkeyPatch()
"""What is patched in a child ends with it."""


def sync_nothing(home: Home) -> Said:
    """A writer that believes that written is on disk."""
    PATCH.setattr(os, "fsync", lambda _descriptor: None)
    return ingest_what_is_new(home)


def write_commits_in_place(home: Home) -> Said:
    """A writer whose commits come into being bit by bit, and are made again when they are there."""
    put_if_absent = LocalObjectStore.put_if_absent

    def put(store: LocalObjectStore, key: str, data: bytes) -> bool:
        if "/commits/" not in key:
            return put_if_absent(store, key, data)
        store.path(key).parent.mkdir(parents=True, exist_ok=True)
        return bool(store.path(key).write_bytes(data))

    PATCH.setattr(LocalObjectStore, "put_if_absent", put)
    return ingest_what_is_new(home)


def boast(home: Home) -> Said:
    """A writer that says it went well, however it went."""
    ingest_what_is_new(home)
    return Said(Claim.DONE, "published")


def forget_the_staging(home: Home) -> Said:
    """A writer that does not clean up behind itself when it fails."""
    rmtree: Any = shutil.rmtree

    def remove_unless_failing(*which: Any, **how: Any) -> None:
        if sys.exc_info()[0] is None:
            rmtree(*which, **how)

    PATCH.setattr(shutil, "rmtree", remove_unless_failing)
    return ingest_what_is_new(home)


def do_nothing(_home: Home) -> Said:
    """A writer that says it has done everything."""
    return Said(Claim.DONE, "published")


def _at_the_end(point: str) -> bool:
    return point == THE_END


def _writes_the_commit(point: str) -> bool:
    """In a sound store no write does: there it is the last one."""
    return point.startswith("write ") and ("/commits/" in point or "/incoming/" in point)


def _links_the_commit(point: str) -> bool:
    return point.startswith("link ") and "/commits/" in point


def _makes_a_staged_file(point: str) -> bool:
    return point.startswith("openat ") and "/staging/" in point and point.endswith("index.json")


PLANTED: dict[str, tuple[Callable[[Home], Said], Trouble, Callable[[str], bool], str]] = {
    "it syncs nothing, and the power goes": (sync_nothing, Trouble.POWER_CUT, _at_the_end, "false success"),
    "it syncs nothing, and the content goes": (
        sync_nothing, Trouble.POWER_CUT_NAMES_STAY, _at_the_end, "it cannot be read",
    ),
    "it writes commits in place, and is killed in the middle": (
        write_commits_in_place, Trouble.TORN, _writes_the_commit, "version 2",
    ),
    "it boasts, and the commit fails": (boast, Trouble.BROKEN, _links_the_commit, "false success"),
    "it cleans nothing up, and the disk is full": (
        forget_the_staging, Trouble.FULL_ONCE, _makes_a_staged_file, "it ended and left behind staging/",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def sound(zygote: Zygote, trials: Path) -> DiskTrial:
    return DiskTrial(zygote, REPLACE, Home(trials / "sound", "prepared"))


@pytest.mark.parametrize(("act", "trouble", "where", "defect"), PLANTED.values(), ids=PLANTED.keys())
def test_a_planted_defect_is_found(
    zygote: Zygote,
    trials: Path,
    request: pytest.FixtureRequest,
    act: Callable[[Home], Said],
    trouble: Trouble,
    where: Callable[[str], bool],
    defect: str,
) -> None:
    planted = replace(REPLACE, act=act, again=ingest_what_is_new)
    trial = DiskTrial(zygote, planted, Home(trials / request.node.callspec.id, "prepared"))
    at = max(number for number, point in enumerate(trial.points(trouble), 1) if where(point))
    tried = trial.try_out(Fault(trouble, at))
    assert tried.struck
    assert any(defect in found for found in tried.defects), tried


@pytest.mark.parametrize(("trouble", "where"), [(t, w) for _, t, w, _ in PLANTED.values()], ids=PLANTED.keys())
def test_without_the_planted_defect_it_is_acquitted(
    sound: DiskTrial, trouble: Trouble, where: Callable[[str], bool]
) -> None:
    points = [number for number, point in enumerate(sound.points(trouble), 1) if where(point)]
    assert sound.try_out(Fault(trouble, max(points))).defects == ()


def test_a_scenario_in_which_nothing_happens_is_refused(zygote: Zygote, trials: Path) -> None:
    with pytest.raises(UnfitScenarioError, match="or nothing changed"):
        DiskTrial(zygote, replace(REPLACE, act=do_nothing), Home(trials / "nothing", "prepared"))
