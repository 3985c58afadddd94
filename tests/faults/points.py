"""Which points of a run are tried: all of them when HASHGATE_EVERY_FAULT is set, else some, spread evenly.

Where the answer to a change decides what its writer believes, what happens beside the commits is always among them.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from tests.faults.fault import AnyTrouble, Fault
from tests.faults.summary import EVERY
from tests.faults.surviving import Trial

_COMMITS = "/commits/"


def try_points(
    trial: Trial[AnyTrouble], trouble: AnyTrouble, some: int, tell: Callable[[str], None], *, commits: bool = False
) -> None:
    """Try a trouble at its points, say how many of them were tried, and fail when one shows a defect.

    Args:
        trial: Of a scenario.
        trouble: What goes wrong.
        some: At how many points by default.
        tell: Is told the figures.
        commits: Those beside the commits as well.
    """
    points = trial.points(trouble)
    chosen = set(range(1, len(points) + 1))
    if not os.environ.get(EVERY):
        chosen = _spread(len(points), some)
        chosen |= {at for at, point in enumerate(points, 1) if commits and _changes_a_commit(point)}
    tried = [trial.try_out(Fault(trouble, at)) for at in sorted(chosen)]
    bad = [one for one in tried if one.defects]
    reached = sum(bool(one.struck) for one in tried)
    tell(f"{trial}: {trouble}: n = {len(points)}, {reached} tried, {reached - len(bad)} survived")
    assert reached, f"{trial}: {trouble} happened nowhere: it shows nothing"
    assert not bad, f"{len(bad)} points show a defect:\n" + "\n".join(f"- {one}" for one in bad)


def _changes_a_commit(point: str) -> bool:
    """Of a bucket's requests those that only read change nothing; of a disk's calls none is a point at all."""
    return _COMMITS in point and not point.startswith(("GET ", "HEAD "))


def _spread(last: int, some: int) -> set[int]:
    """Numbers up to `last`, the last one among them."""
    return {last - round(at * (last - 1) / some) for at in range(some)} if last else set()
