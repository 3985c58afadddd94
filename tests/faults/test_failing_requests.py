"""A store in a bucket: a request that fails, or over which its writer dies, any one."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.faults.bucket_trial import BucketTrial
from tests.faults.points import try_points
from tests.faults.request_troubles import RequestTrouble
from tests.faults.scenarios import SCENARIOS, Scenario
from tests.faults.summary import EVERY, PROPERTY

SOME = dict.fromkeys(RequestTrouble, 1)
AT_COMMITS = {RequestTrouble.KILLED_AFTER, RequestTrouble.ANSWER_LOST}
EVERYWHERE = AT_COMMITS
"""The others meet one scenario, unless HASHGATE_EVERY_FAULT is set: what a request becomes is the store's matter."""

CASES = {
    f"{scenario}-{trouble}": (scenario, trouble)
    for scenario in SCENARIOS
    for trouble in RequestTrouble
    if os.environ.get(EVERY) or scenario.name == "replace" or (trouble in EVERYWHERE and scenario.name != "collection")
}


@pytest.mark.parametrize(("scenario", "trouble"), CASES.values(), ids=CASES.keys())
def test_a_writer_whose_request_fails_or_who_dies_over_it_leaves_the_old_version_or_the_new_one(
    scenario: Scenario,
    trouble: RequestTrouble,
    bucket_trial_of: Callable[[Scenario], BucketTrial],
    record_property: Callable[[str, object], None],
) -> None:
    def tell(said: str) -> None:
        record_property(PROPERTY, f"bucket, {said}")

    try_points(bucket_trial_of(scenario), trouble, SOME[trouble], tell, commits=trouble in AT_COMMITS)
