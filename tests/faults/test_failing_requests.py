"""A store in a bucket: a request that fails, or over which its writer dies, any one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.bucket_trial import BucketTrial
from tests.faults.points import try_points
from tests.faults.request_troubles import RequestTrouble
from tests.faults.scenarios import SCENARIOS, Scenario
from tests.faults.summary import PROPERTY

SOME = dict.fromkeys(RequestTrouble, 1) | {RequestTrouble.KILLED_BEFORE: 3, RequestTrouble.KILLED_AFTER: 3}
AT_COMMITS = {RequestTrouble.KILLED_AFTER, RequestTrouble.ANSWER_LOST}


@pytest.mark.parametrize("trouble", SOME, ids=str)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_a_writer_whose_request_fails_or_who_dies_over_it_leaves_the_old_version_or_the_new_one(
    scenario: Scenario,
    trouble: RequestTrouble,
    bucket_trial_of: Callable[[Scenario], BucketTrial],
    record_property: Callable[[str, object], None],
) -> None:
    def tell(said: str) -> None:
        record_property(PROPERTY, f"bucket, {said}")

    try_points(bucket_trial_of(scenario), trouble, SOME[trouble], tell, commits=trouble in AT_COMMITS)
