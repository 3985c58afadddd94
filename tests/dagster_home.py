"""An installation with its Dagster instance for tests: run partitions for real, and ask Dagster what it knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg
import pytest

from contracts.table_contract import TableContract
from platform_assets.definitions import definitions
from tests.installation import Installation

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
HALF_BAD = b"id,item,amount\n1,pen,2.5\n2,,-1\n3,,x\n4,<b>ink</b>,\x1b[31mred\n"
"""Three of four records break the contract, more than its budget of a half."""


@dataclass(frozen=True)
class DagsterHome:
    """Orders, by day, in an instance of their own."""

    installation: Installation
    instance: dg.DagsterInstance

    @property
    def contract(self) -> TableContract:
        return self.installation.workspace.contract("orders")

    @property
    def definitions(self) -> dg.Definitions:
        """Loaded anew, as a run's own process does."""
        return definitions()

    def run(
        self,
        first: str,
        last: str | None = None,
        *,
        assets: Iterable[dg.AssetKey] | None = None,
        also: Iterable[dg.AssetsDefinition] = (),
        force: bool = False,
        tags: Mapping[str, str] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """Materialize a range in this process; by default the whole table."""
        loaded = dg.Definitions.merge(self.definitions, dg.Definitions(assets=list(also)))
        config: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        selection = None if assets is None else list(assets)
        if selection is None:
            config["ops"] = {"orders_ingest_partitions": {"config": {"force": force}}}
            job = loaded.resolve_job_def("orders_ingest")
        else:
            job = loaded.resolve_implicit_global_asset_job_def()
        return job.execute_in_process(
            instance=self.instance,
            asset_selection=selection,
            run_config=config,
            raise_on_error=False,
            tags={RANGE_START: first, RANGE_END: last or first, **(tags or {})},
        )

    def materializations(self, asset: str) -> Counter[str]:
        """How many times each partition of an asset was recorded."""
        events = self.instance.fetch_materializations(dg.AssetKey(asset.split("/")), limit=1000).records
        return Counter(record.partition_key for record in events if record.partition_key is not None)

    def latest(self, asset: str, partition: str) -> dg.AssetMaterialization:
        """What was recorded last for a partition."""
        records = self.instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset.split("/")), asset_partitions=[partition]), limit=1
        ).records
        assert records[0].asset_materialization is not None
        return records[0].asset_materialization

    def gates(self, gate: str) -> dict[str, tuple[str, bool]]:
        """Per partition the verdict Dagster shows for a gate, and whether it speaks of the latest materialization."""
        key = dg.AssetCheckKey(dg.AssetKey(["orders", "validated"]), gate)
        return {
            str(info.partition_key): (info.latest_execution_status.value, info.is_current)
            for info in self.instance.event_log_storage.get_asset_check_partition_info([key])
            if info.partition_key is not None
        }

    def verdict(self, gate: str, partition: str) -> dg.AssetCheckEvaluation:
        """The last evaluation of a gate for a partition."""
        key = dg.AssetCheckKey(dg.AssetKey(["orders", "validated"]), gate)
        for record in self.instance.event_log_storage.get_asset_check_execution_history(key, limit=100):
            event = record.event.dagster_event if record.event is not None else None
            found = event.event_specific_data if event is not None else None
            if isinstance(found, dg.AssetCheckEvaluation) and found.partition == partition:
                return found
        pytest.fail(f"gate {gate} was never evaluated for {partition}")


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    """What the failed step said."""
    (event,) = [event for event in result.all_events if event.is_step_failure]
    data = event.step_failure_data.user_failure_data
    assert data is not None, "the run did not fail of its own accord"
    return str(data.description)
