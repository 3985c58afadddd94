"""What Dagster remembers of heads: a second anchor beside the database, in events that the store knows nothing of.

It is read before the chains are: whatever is told was committed by then.
"""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from contracts.produced import UNPARTITIONED, produced_asset
from platform_assets.evidence.memories import ToldTable, ToldVersion
from platform_assets.ingest.asset_events import DATA_VERSION, TableKeys

_ASKED_TOGETHER = 500


def told_table(instance: dg.DagsterInstance, table: str) -> ToldTable:
    """What an instance remembers of a table, be it a contract's or an asset's."""
    asset = produced_asset(table)
    if asset is not None:
        return ToldTable(versions=told_versions_of(instance, dg.AssetKey(asset)))
    keys = TableKeys(table)
    return ToldTable(
        versions=told_versions_of(instance, keys.validated),
        selections=_data_versions(instance, keys.selection),
        reports=_data_versions(instance, keys.report),
    )


def _data_versions(instance: dg.DagsterInstance, key: dg.AssetKey) -> dict[str, str]:
    tags = instance.event_log_storage.get_latest_tags_by_partition(
        key, dg.DagsterEventType.ASSET_MATERIALIZATION, [DATA_VERSION]
    )
    return {partition: found[DATA_VERSION] for partition, found in tags.items() if DATA_VERSION in found}


def told_versions_of(
    instance: dg.DagsterInstance, key: dg.AssetKey, partitions: Sequence[str] | None = None
) -> dict[str, ToldVersion]:
    """By partition what the latest materialization of an asset says of the commit; left out where it says nothing.

    Args:
        instance: Whom to ask.
        key: The asset.
        partitions: Of these (default: all).
    """
    storage = instance.event_log_storage
    wanted = None if partitions is None else set(partitions)
    latest = storage.get_latest_storage_id_by_partition(key, dg.DagsterEventType.ASSET_MATERIALIZATION, wanted)
    ids = sorted(latest.values())
    found: dict[str, ToldVersion] = {}
    for start in range(0, len(ids), _ASKED_TOGETHER):
        some = ids[start : start + _ASKED_TOGETHER]
        records = instance.fetch_materializations(dg.AssetRecordsFilter(key, storage_ids=some), limit=len(some)).records
        found |= _told(records)
    whole = instance.get_latest_materialization_event(key) if not latest else None
    told = _version_of(whole.asset_materialization) if whole is not None and whole.asset_materialization else None
    return found | ({UNPARTITIONED: told} if told is not None else {})


def _told(records: Sequence[dg.EventLogRecord]) -> dict[str, ToldVersion]:
    told: dict[str, ToldVersion] = {}
    for record in records:
        event = record.asset_materialization
        version = None if event is None else _version_of(event)
        if version is not None and record.partition_key is not None:
            told[record.partition_key] = version
    return told


def _version_of(event: dg.AssetMaterialization) -> ToldVersion | None:
    commit, number = event.metadata.get("commit"), event.metadata.get("version")
    if isinstance(commit, dg.TextMetadataValue) and isinstance(number, dg.IntMetadataValue) and commit.text:
        return ToldVersion(commit.text, number.value or 0)
    return None
