"""A file system call that fails, any one: no false success, no false failure, and the work can be done again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.disk_trial import DiskTrial
from tests.faults.points import try_points
from tests.faults.scenarios import SCENARIOS, Scenario
from tests.faults.summary import PROPERTY
from tests.faults.troubles import Trouble

SOME = {
    Trouble.BROKEN: 3,
    Trouble.FULL_ONCE: 1,
    Trouble.FULL: 1,
    Trouble.FORBIDDEN: 2,
    Trouble.SHORT: 1,
    Trouble.UNSYNCED: 1,
    Trouble.ANSWER_LOST: 1,
}
AT_COMMITS = {Trouble.UNSYNCED, Trouble.ANSWER_LOST}


@pytest.mark.parametrize("trouble", SOME, ids=str)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_a_writer_whose_call_fails_tells_the_truth_and_can_be_run_again(
    scenario: Scenario,
    trouble: Trouble,
    disk_trial_of: Callable[[Scenario], DiskTrial],
    record_property: Callable[[str, object], None],
) -> None:
    def tell(said: str) -> None:
        record_property(PROPERTY, said)

    try_points(disk_trial_of(scenario), trouble, SOME[trouble], tell, commits=trouble in AT_COMMITS)
