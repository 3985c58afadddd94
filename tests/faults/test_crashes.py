"""A writer that is killed, anywhere: readers see the old version or the new one, and the work can be done again."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.faults.disk_trial import DiskTrial
from tests.faults.points import try_points
from tests.faults.scenarios import SCENARIOS, THE_COMMAND, Scenario
from tests.faults.summary import EVERY, PROPERTY
from tests.faults.troubles import Trouble

SOME = {Trouble.KILLED: 3, Trouble.TORN: 1, Trouble.POWER_CUT: 2, Trouble.POWER_CUT_NAMES_STAY: 1}

CASES = {f"{scenario}-{trouble}": (scenario, trouble) for scenario in SCENARIOS for trouble in SOME}
CASES |= {
    f"{THE_COMMAND}-{trouble}": (THE_COMMAND, trouble)
    for trouble in SOME
    if os.environ.get(EVERY) or trouble is Trouble.KILLED
}


@pytest.mark.parametrize(("scenario", "trouble"), CASES.values(), ids=CASES.keys())
def test_a_killed_writer_leaves_the_old_version_or_the_new_one(
    scenario: Scenario,
    trouble: Trouble,
    disk_trial_of: Callable[[Scenario], DiskTrial],
    record_property: Callable[[str, object], None],
) -> None:
    def tell(said: str) -> None:
        record_property(PROPERTY, said)

    try_points(disk_trial_of(scenario), trouble, SOME[trouble], tell, commits=trouble is Trouble.KILLED)
