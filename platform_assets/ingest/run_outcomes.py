"""How a run ended, in one word on the run itself: Dagster knows success and failure, and nothing between or beyond.

A run says RUNNING when it begins, and how it ended when it does. Where it never came to say so, because it was killed,
the word is put there by whoever looks next: only a process that still lives can end otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import dagster as dg

from platform_assets.ingest.ingesting import Ended, Ending
from resources.processes import Fate, ProcessMark, this_process

OUTCOME_TAG = "hashgate/outcome"
PROCESS_TAG = "hashgate/process"

_DEAD = (Fate.DEAD, Fate.WENT_DOWN)


class RunOutcome(StrEnum):
    """What a run came to."""

    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    """All that it was to bring about is there."""
    PARTIAL = "PARTIAL"
    """Some of it is there and stays; what is missing is named."""
    FAILED = "FAILED"
    """Nothing of it is there."""
    CANCELED = "CANCELED"
    """Somebody stopped it. What it had published before stays."""
    ABORTED = "ABORTED"
    """Its process was killed, or its host went down. What it had published before stays, and so does its log."""


def outcome_of(ended: Sequence[Ended], not_captured: int = 0) -> RunOutcome:
    """What a run comes to that ended so for its partitions, with so many files that could not be captured."""
    bad = sum(one.ending in {Ending.HELD, Ending.FAILED} for one in ended)
    if not bad and not not_captured:
        return RunOutcome.COMPLETE
    return RunOutcome.PARTIAL if any(one.ending.is_readable for one in ended) else RunOutcome.FAILED


def beginning_tags() -> dict[str, str]:
    """What a run carries from the moment it begins to work."""
    return {OUTCOME_TAG: RunOutcome.RUNNING.value, PROCESS_TAG: this_process().text}


def stopped_outcome(instance: dg.DagsterInstance, run_id: str) -> RunOutcome:
    """What a run comes to that was interrupted: somebody asked for it, or its host wants to be rid of it."""
    run = instance.get_run_by_id(run_id)
    asked = run is not None and run.status in {dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED}
    return RunOutcome.CANCELED if asked else RunOutcome.ABORTED


def report_aborted(instance: dg.DagsterInstance) -> list[str]:
    """Give the runs a word that died before they could say one, and end those that Dagster takes for alive.

    Returns:
        The ids of the runs that were found dead.
    """
    aborted = []
    for run in instance.get_runs(filters=dg.RunsFilter(tags={OUTCOME_TAG: RunOutcome.RUNNING.value})):
        if not run.is_finished and ProcessMark.parse(run.tags[PROCESS_TAG]).fate not in _DEAD:
            continue
        outcome = _settled(instance, run)
        instance.add_run_tags(run.run_id, {OUTCOME_TAG: outcome.value})
        if outcome is RunOutcome.ABORTED:
            aborted.append(run.run_id)
    return aborted


def _settled(instance: dg.DagsterInstance, run: dg.DagsterRun) -> RunOutcome:
    """The word for a run whose process is gone; Dagster hears of it, too."""
    if run.status is dg.DagsterRunStatus.SUCCESS:
        return RunOutcome.COMPLETE
    if run.status in {dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.CANCELING}:
        if not run.is_finished:
            instance.report_run_canceled(run, "CANCELED: its process ended. What it had published before stays.")
        return RunOutcome.CANCELED
    said = f"ABORTED: {_process_in_words(run)} died. What the run had published before stays, and nothing else shows."
    if run.is_finished:
        instance.report_engine_event(said, run)
    else:
        instance.report_run_failed(run, said)
    return RunOutcome.ABORTED


def _process_in_words(run: dg.DagsterRun) -> str:
    mark = ProcessMark.parse(run.tags[PROCESS_TAG])
    return f"process {mark.pid} on {mark.host}"
