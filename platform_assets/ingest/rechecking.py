"""Executing the checks alone: nothing is ingested, what is published is verified again from storage."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import dagster as dg
from dagster import AssetCheckEvaluation

from contracts.commits import Commit
from contracts.table_contract import TableContract
from platform_assets.evidence.corruptions import Corruption
from platform_assets.evidence.verifying import verify_partitions
from platform_assets.ingest.asset_events import TableKeys, recheck_event
from platform_assets.ingest.telling import stored_materializations
from resources.workspace import Workspace


def recheck(
    instance: dg.DagsterInstance,
    workspace: Workspace,
    contract: TableContract,
    partitions: Sequence[str],
    gates: Collection[str],
    run_id: str,
) -> Iterator[AssetCheckEvaluation]:
    """Verify the current versions of partitions, and give each of `gates` its verdict on them.

    A gate that can look says what is wrong with what it looks at; everything else that verification finds (a broken
    chain, a missing file) is `integrity`'s to tell. Partitions without a version are left out.
    """
    keys = TableKeys(contract.table)
    targets = stored_materializations(instance, workspace, keys, partitions, run_id)
    for partition in partitions:
        if partition not in targets:
            continue
        found = verify_partitions(workspace, contract.table, [partition]).corruptions
        head = _head(workspace, contract, partition, found)
        for gate in gates:
            mine = [c for c in found if _gate_of(c, gates) == gate]
            yield recheck_event(
                keys, partition, gate, [(c.subject, c.problem, c.fix) for c in mine], head, targets[partition]
            )


def _gate_of(corruption: Corruption, gates: Collection[str]) -> str:
    """Whose it is to tell."""
    judged = corruption.subject.removeprefix("gate ")
    return judged if judged in gates else "integrity"


def _head(workspace: Workspace, contract: TableContract, partition: str, found: Sequence[Corruption]) -> Commit | None:
    """The version that was verified; None when it cannot even be named."""
    return None if found else workspace.reader.head(contract.table, partition)
