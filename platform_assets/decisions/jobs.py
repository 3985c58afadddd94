"""People's decisions as Dagster jobs: the same functions as the commands call, with actor and reason in the run.

A run that decides is the record of it in Dagster, beside the one in the commit; it tells Dagster of the new version
before it ends.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of an op's function as they stand.

from collections.abc import Callable, Iterator
from typing import TypeAlias, TypeVar

import dagster as dg
from pydantic import Field

from contracts.commits import Commit, gone_back, let_through
from contracts.errors import HashgateError
from contracts.produced import UNPARTITIONED, produced_asset
from platform_assets.decisions.deciding import decided_by
from platform_assets.decisions.going_back import find_return, roll_back
from platform_assets.decisions.holding import discard, find_held, release
from platform_assets.ingest.asset_events import visible
from platform_assets.ingest.telling import tell
from resources.dagster_resources import WorkspaceResource
from resources.gated_io_manager import version_metadata
from resources.workspace import Workspace

DecidedT = TypeVar("DecidedT")
DecidedEvent: TypeAlias = dg.AssetMaterialization | dg.AssetCheckEvaluation | dg.Output[None]


class PersonsDecision(dg.Config):
    """Who decides, why, and about which partition."""

    table: str = Field(description="The table's name; of a gated asset's tables `asset.` and its key.")
    partition: str = Field(description="The partition's key.")
    actor: str = Field(description="Who decides. It stands in the commit.")
    reason: str = Field(description="Why. It stands in the commit.")


class HeldDecision(PersonsDecision):
    """A decision about a held candidate."""

    candidate: str = Field(
        default="", description="First digits of the candidate's name; empty: the newest one that may be released."
    )


class RollbackDecision(PersonsDecision):
    """A decision to go back."""

    to: int = Field(description="The number of the version that becomes current again.")


def decision_jobs() -> dg.Definitions:
    """The jobs that people launch with their name and reason: release, discard, rollback."""
    return dg.Definitions(jobs=[release_held, discard_held, roll_back_partition])


@dg.op(out=dg.Out(dg.Nothing))
def release_held_candidate(
    context: dg.OpExecutionContext, config: HeldDecision, workspace: WorkspaceResource
) -> Iterator[DecidedEvent]:
    """Make a held candidate the current version although a gate stopped it."""
    opened = workspace.open()

    def decide() -> Commit:
        held = find_held(opened, config.table, config.partition, config.candidate or None)
        return release(opened, held, decided_by(config.actor, config.reason))

    commit = _decided(decide)
    context.log.info(let_through(commit))
    yield from _told(context, opened, commit)
    yield dg.Output(None)


@dg.op(out=dg.Out(dg.Nothing))
def discard_held_candidate(context: dg.OpExecutionContext, config: HeldDecision, workspace: WorkspaceResource) -> None:
    """Drop a held candidate; readers see what they saw before."""
    opened = workspace.open()

    def decide() -> str:
        held = find_held(opened, config.table, config.partition, config.candidate or None)
        discard(opened, held, decided_by(config.actor, config.reason))
        return f"{held.table}[{held.partition}]: the held candidate {held.name} was discarded by {config.actor}"

    context.log.info(_decided(decide))


@dg.op(out=dg.Out(dg.Nothing))
def roll_back_to_version(
    context: dg.OpExecutionContext, config: RollbackDecision, workspace: WorkspaceResource
) -> Iterator[DecidedEvent]:
    """Make an earlier version current again; it stays so until something new comes."""
    opened = workspace.open()

    def decide() -> Commit:
        to = find_return(opened, config.table, config.partition, config.to)
        return roll_back(opened, to, decided_by(config.actor, config.reason))

    commit = _decided(decide)
    context.log.info("%s[%s] is %s, as version %d", config.table, config.partition, gone_back(commit), commit.number)
    yield from _told(context, opened, commit)
    yield dg.Output(None)


@dg.job(executor_def=dg.in_process_executor)
def release_held() -> None:
    """Publish a held candidate with a recorded waiver."""
    release_held_candidate()


@dg.job(executor_def=dg.in_process_executor)
def discard_held() -> None:
    """Drop a held candidate, recorded."""
    discard_held_candidate()


@dg.job(executor_def=dg.in_process_executor)
def roll_back_partition() -> None:
    """Make an earlier version of a partition current again, recorded."""
    roll_back_to_version()


def _decided(decide: Callable[[], DecidedT]) -> DecidedT:
    try:
        return decide()
    except HashgateError as error:
        raise dg.Failure(description=visible(str(error), 4000), allow_retries=False) from None


def _told(context: dg.OpExecutionContext, workspace: Workspace, commit: Commit) -> Iterator[DecidedEvent]:
    table, partition, _ = commit.place
    key = produced_asset(table)
    if key is not None:
        yield dg.AssetMaterialization(
            asset_key=dg.AssetKey(key),
            partition=None if partition == UNPARTITIONED else partition,
            metadata=version_metadata(workspace, commit),
        )
    elif table in workspace.contracts.contracts:
        yield from tell(context.instance, workspace, workspace.contract(table), [commit], context.run_id)
