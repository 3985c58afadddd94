"""Eight processes on one partition: the history is linearizable, no update is lost, each number has one winner."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from contracts.produced import SinkMode
from tests.faults.contending import contend, versions
from tests.faults.homes import Home
from tests.faults.summary import EVERY, PROPERTY
from tests.faults.version_history import Operation, anomalies, appended, replaced
from tests.faults.zygote import Zygote

PROCESSES = 8
ROUNDS = 100
SOME_ROUNDS = 6
"""Unless HASHGATE_EVERY_FAULT is set: where each version is parsed and judged, or holds all that were before."""


@pytest.mark.parametrize("mode", ["replace", "append", "error"])
@pytest.mark.parametrize("way", ["candidates", "tables"])
def test_what_eight_processes_do_at_once_could_have_been_done_one_after_the_other(
    way: str, mode: SinkMode, zygote: Zygote, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    home = Home(tmp_path)
    home.found()
    rounds = SOME_ROUNDS if (way == "tables" or mode == "append") and not os.environ.get(EVERY) else ROUNDS
    history = zygote.value(contend, home, way, mode, PROCESSES, rounds)
    assert isinstance(history, dict)
    for partition, operations in history.items():
        assert anomalies(operations, appended if mode == "append" else replaced) == []
        made = [operation.number for operation in operations if operation.made is not None]
        assert zygote.value(versions, home, mode, partition) == sorted(made)
    published = sum(operation.made is not None for operations in history.values() for operation in operations)
    assert published == (rounds if mode == "error" else rounds * PROCESSES)
    met = sum(map(_met, history.values()))
    assert met, "no two publications ever overlapped: it was no race"
    record_property(PROPERTY, f"race, {way}, {mode}: {PROCESSES} x {rounds}, {published} published, {met} of them met")


def _met(operations: list[Operation]) -> int:
    """How many publications began before the one with the number below had ended."""
    made = sorted((o for o in operations if o.made is not None), key=lambda o: o.number)
    others = [o for o in operations if o.made is None and o.seen is None]
    return sum(later.begun < earlier.ended for earlier, later in pairwise(made)) + len(others)
