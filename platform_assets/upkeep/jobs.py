"""Collection as a Dagster job: the same function as the command calls, with what it did in the run."""

# No `from __future__ import annotations` here: Dagster reads the annotations of an op's function as they stand.

import dagster as dg

from contracts.errors import HashgateError
from platform_assets.ingest.asset_events import visible
from platform_assets.upkeep.collecting import Collection, collect
from resources.dagster_resources import WorkspaceResource

PROBLEMS_NAMED = 5


@dg.op(out=dg.Out(dg.Nothing))
def collect_unneeded(context: dg.OpExecutionContext, workspace: WorkspaceResource) -> None:
    """Remove what nothing needs any more, in two phases.

    Raises:
        dg.Failure: A document cannot be read, so that nothing of its table was removed; or the store refused.
    """
    opened = workspace.open()

    def is_active(run_id: str) -> bool:
        run = context.instance.get_run_by_id(run_id)
        return run is not None and not run.is_finished

    try:
        done = collect(opened, opened.settings.grace, is_active=is_active)
    except HashgateError as error:
        raise dg.Failure(description=visible(str(error), 4000), allow_retries=False) from None
    context.log.info(said(done))
    context.add_output_metadata(measured(done))
    if done.problems:
        named = "\n".join(visible(problem) for problem in done.problems[:PROBLEMS_NAMED])
        raise dg.Failure(description=f"{said(done)}\n{named}", allow_retries=False)


@dg.job(executor_def=dg.in_process_executor)
def collect_garbage() -> None:
    """Remove staging of dead runs, what no document names, and what is older than its contract's retention."""
    collect_unneeded()


def said(done: Collection) -> str:
    """What a collector did, in a sentence."""
    expiry = done.expiry
    parts = (
        (len(done.left), "staging folders of dead runs removed"),
        (done.swept, "unfinished files removed"),
        (len(expiry.versions), "versions expired"),
        (len(expiry.drops), "drops expired"),
        (len(done.no_longer_held), "held candidates let go"),
        (len(done.listed), "objects doomed"),
        (len(done.waiting), "objects waiting for their grace to be over"),
        (len(done.removed), "objects removed"),
        (len(done.kept), "objects kept because something names them again"),
        (len(done.problems), "documents cannot be read: of their tables, and of the blobs, nothing was removed"),
    )
    return "; ".join(f"{number:,} {what}" for number, what in parts if number) or "there was nothing to collect"


def measured(done: Collection) -> dict[str, int]:
    """The figures of a collector."""
    return {
        "dead_runs": len(done.left),
        "expired_versions": len(done.expiry.versions),
        "expired_drops": len(done.expiry.drops),
        "doomed_objects": len(done.listed),
        "doomed_bytes": sum(doomed.size_bytes for doomed in done.listed),
        "removed_objects": len(done.removed),
        "removed_bytes": sum(doomed.size_bytes for doomed in done.removed),
    }
