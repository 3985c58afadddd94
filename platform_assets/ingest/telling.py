"""Telling Dagster of versions, in the order that makes their checks count: rows, verdicts on them, the report last.

Where the report of a version is recorded, everything of it is: that is how the others know what is still to be told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import dagster as dg
from dagster import AssetCheckEvaluation, AssetMaterialization

from contracts.commits import Commit
from contracts.table_contract import TableContract
from platform_assets.ingest.asset_events import (
    DATA_VERSION,
    TableKeys,
    Target,
    check_events,
    report_event,
    version_events,
)
from platform_assets.ingest.offending_rows import first_offending
from platform_assets.reports.partition_report import write_reports
from resources.table_reader import numbered_key
from resources.workspace import Workspace


def told_versions(
    instance: dg.DagsterInstance, key: dg.AssetKey, partitions: Sequence[str] | None = None
) -> Mapping[str, str]:
    """Per partition the data version of Dagster's latest event of an asset; of `report` that is the commit's digest."""
    tags = instance.event_log_storage.get_latest_tags_by_partition(
        key, dg.DagsterEventType.ASSET_MATERIALIZATION, [DATA_VERSION], asset_partitions=partitions
    )
    return {partition: found[DATA_VERSION] for partition, found in tags.items() if DATA_VERSION in found}


def tell(
    instance: dg.DagsterInstance,
    workspace: Workspace,
    contract: TableContract,
    commits: Sequence[Commit],
    run_id: str,
    *,
    known: Mapping[str, str] | None = None,
) -> Iterator[AssetMaterialization | AssetCheckEvaluation]:
    """The events of some versions, published or held.

    Whoever iterates has each event stored before asking for the next one: a verdict points at the stored
    materialization it speaks of. Without that, Dagster does not count a passed check for the partition.

    Args:
        instance: Whom it is told to.
        workspace: The installation.
        contract: The table's.
        commits: The versions.
        run_id: Of the run that tells.
        known: Per partition the commit that Dagster knows. A version that it knows is not told again, but its verdicts
            are: a run that plans a check and gives no verdict makes Dagster forget the one before.
    """
    keys = TableKeys(contract.table)
    published = [commit for commit in commits if not commit.is_held]
    untold = [commit for commit in published if (known or {}).get(commit.candidate.partition) != commit.digest]
    for commit in untold:
        place = numbered_key(contract.table, "commits", commit.candidate.partition, commit.number)
        yield from version_events(keys, commit, workspace.store.uri(place), _exports(workspace, commit))
    targets = stored_materializations(
        instance, workspace, keys, [commit.candidate.partition for commit in published], run_id
    )
    reports = list(write_reports(workspace, contract, commits))
    for commit, report in zip(commits, reports, strict=True):
        target = targets.get(commit.candidate.partition) if not commit.is_held else None
        yield from check_events(keys, commit, contract.gates, first_offending(workspace, commit), report, target)
    for commit, report in zip(commits, reports, strict=True):
        if commit in untold:
            yield report_event(keys, commit, report)


def _exports(workspace: Workspace, commit: Commit) -> dict[str, str]:
    """Where the exports of a version lie, by sink."""
    candidate, reader = commit.candidate, workspace.reader
    places = [(export, reader.export_place(candidate, export).prefix) for export in candidate.exports]
    return {str(export.sink): workspace.store.uri(f"{place}/{export.file.name}") for export, place in places}


def stored_materializations(
    instance: dg.DagsterInstance, workspace: Workspace, keys: TableKeys, partitions: Sequence[str], run_id: str
) -> dict[str, Target]:
    """What verdicts on partitions speak of: per partition Dagster's latest materialization of its validated rows."""
    if not partitions:
        return {}
    ids = instance.event_log_storage.get_latest_storage_id_by_partition(
        keys.validated, dg.DagsterEventType.ASSET_MATERIALIZATION, set(partitions)
    )
    now = workspace.now().timestamp()
    return {key: Target(storage_id=id_, run_id=run_id, timestamp=now) for key, id_ in ids.items()}
