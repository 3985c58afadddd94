"""What the assets and checks of a table say of themselves: names, kinds, owners, descriptions, columns, versions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import dagster as dg

from contracts.gates import SINKS_GATE
from contracts.selection import Selector
from contracts.table_contract import EXTRA_COLUMN, Column, TableContract
from platform_assets.engine.engine_specs import EngineKeys
from platform_assets.ingest.asset_events import (
    COLUMN_SCHEMA,
    OVERVIEW_CODE_VERSION,
    REPORT_CODE_VERSION,
    TABLE_NAME,
    TableKeys,
    code_version,
)
from resources.parser_identity import parser_identity

FOLLOWS_REPORTS = (
    dg.AutomationCondition.any_deps_updated().since_last_handled()
    & ~dg.AutomationCondition.any_deps_in_progress()
    & ~dg.AutomationCondition.in_progress()
)
"""When partitions were published and no further ones are on their way: one overview for all of them."""

GATED = "gated"
"""The IO manager through which others read these assets."""


def table_specs(contract: TableContract, partitions: dg.PartitionsDefinition[str]) -> list[dg.AssetSpec]:
    """The four assets of a table, each after those it depends on."""
    keys, version = TableKeys(contract.table), code_version(contract, parser_identity())
    name = f"`{contract.table}`"
    selection = _spec(
        keys.selection,
        contract,
        partitions,
        f"The drops of {name} that each partition is built from, frozen in order, by digest.",
        deps=_sources(contract),
        kinds={contract.server.format.kind},
        code_version=Selector.of(contract.sink_mode).value,
        metadata={"contract": dg.MetadataValue.path(contract.source), "drops": contract.server.path},
    )
    validated = _spec(
        keys.validated,
        contract,
        partitions,
        f"The rows of {name} that keep the contract; readable once all gates passed.",
        deps=[keys.selection],
        kinds={"parquet", "duckdb", *contract.sinks},
        code_version=version,
        metadata=_promise(contract),
    )
    quarantine = _spec(
        keys.quarantine,
        contract,
        partitions,
        f"The records of {name} that do not keep it: raw text, place in the file, and every reason.",
        deps=[keys.selection],
        kinds={"parquet", "duckdb"},
        code_version=version,
        metadata={COLUMN_SCHEMA: _QUARANTINE_SCHEMA, TABLE_NAME: f"{contract.table}_quarantine"},
    )
    report = _spec(
        keys.report,
        contract,
        partitions,
        f"A report on each partition of {name}: what came, what passed, what did not and why, and what is in it.",
        deps=[keys.validated, keys.quarantine],
        kinds={"html"},
        code_version=REPORT_CODE_VERSION,
    )
    return [selection, validated.with_io_manager_key(GATED), quarantine.with_io_manager_key(GATED), report]


def _sources(contract: TableContract) -> list[dg.AssetKey]:
    """What an engine writes is an asset of its own; a drop folder is none."""
    source = contract.server.engine_source
    return [] if source is None else [EngineKeys(source.engine).output(source.output)]


def overview_spec(contract: TableContract) -> dg.AssetSpec:
    """The asset over all partitions of a table; no run of a partition makes it."""
    keys = TableKeys(contract.table)
    return _spec(
        keys.overview,
        contract,
        None,
        f"All current versions of `{contract.table}` together: completeness, freshness, quarantine, columns and drift.",
        deps=[keys.report],
        kinds={"html"},
        code_version=OVERVIEW_CODE_VERSION,
        automation_condition=FOLLOWS_REPORTS,
    )


def gate_specs(contract: TableContract, partitions: dg.PartitionsDefinition[str]) -> list[dg.AssetCheckSpec]:
    """The gates as blocking checks of the validated rows."""
    validated = TableKeys(contract.table).validated
    return [
        dg.AssetCheckSpec(gate, asset=validated, description=_GATES[gate], blocking=True, partitions_def=partitions)
        for gate in contract.gates
    ]


def _spec(
    key: dg.AssetKey, contract: TableContract, partitions: dg.PartitionsDefinition[str] | None, what: str, **more: Any
) -> dg.AssetSpec:
    return dg.AssetSpec(
        key,
        description=f"{what}\n\n{contract.description}".rstrip(),
        partitions_def=partitions,
        group_name=re.sub(r"\W", "_", contract.domain or contract.table),
        owners=list(contract.owners),
        tags={re.sub(r"[^A-Za-z0-9_.-]", "_", tag)[:63]: "" for tag in contract.tags},
        skippable=True,
        **more,
    )


def _promise(contract: TableContract) -> Mapping[str, Any]:
    return {
        COLUMN_SCHEMA: _column_schema(contract),
        TABLE_NAME: contract.table,
        "contract": dg.MetadataValue.path(contract.source),
        "contract_version": contract.version,
        "contract_digest": contract.digest,
        "schema_fingerprint": contract.schema_fingerprint,
        "dataset_id": str(contract.dataset_id),
    }


_GATES = {
    "integrity": "Every file of the version hashes to the digest its index names, and nothing else lies beside it.",
    "conservation": "The drops, framed again from their captured bytes, hold exactly the records that are valid or in "
    "quarantine, each once.",
    "contract": "The Parquet files have the contract's columns, in order and type, and lineage on every row.",
    "quality": "The quarantine is within its budget, keys are unique, and the contract's rules over the set hold.",
    SINKS_GATE: "Every file in another format than Parquet, read back, has exactly the rows of the Parquet files.",
}


def _column_schema(contract: TableContract) -> dg.TableSchema:
    described = {c.name: c for c in contract.columns}
    return dg.TableSchema(
        [
            _declared(described[name]) if name in described else dg.TableColumn(name, kind, _PLATFORM_COLUMNS[name])
            for name, kind in contract.table_schema.items()
        ]
    )


_PLATFORM_COLUMNS = {
    "_hg_source": "Digest of the drop that the row came in.",
    "_hg_record": "Which record of that drop it was, from 1.",
    "_hg_segment": "Key of the segment, which is the recipe that made the row: its drops, rules and parser.",
    EXTRA_COLUMN: "Columns of the file that the contract does not declare, as one JSON object.",
}

_QUARANTINE_SCHEMA = dg.TableSchema(
    [
        dg.TableColumn("_hg_source", "VARCHAR", _PLATFORM_COLUMNS["_hg_source"]),
        dg.TableColumn("_hg_record", "BIGINT", _PLATFORM_COLUMNS["_hg_record"]),
        dg.TableColumn("_hg_segment", "VARCHAR", _PLATFORM_COLUMNS["_hg_segment"]),
        dg.TableColumn("byte_start", "BIGINT", "Where the record begins in the decoded drop."),
        dg.TableColumn("byte_end", "BIGINT", "Where it ends."),
        dg.TableColumn("raw", "VARCHAR", "Its text, as it came."),
        dg.TableColumn("reasons", "STRUCT[]", "Every reason: code, column, rule, message, value."),
    ]
)


def _declared(column: Column) -> dg.TableColumn:
    bounds = [
        f"{word} {value}"
        for word, value in (
            ("at least", column.minimum),
            ("at most", column.maximum),
            ("matches", column.pattern),
            ("one of", ", ".join(column.allowed_values) if column.allowed_values else None),
            ("multiple of", column.multiple_of),
        )
        if value is not None
    ]
    return dg.TableColumn(
        column.name,
        column.type,
        column.description or None,
        constraints=dg.TableColumnConstraints(
            nullable=not (column.required or column.primary_key_position is not None),
            unique=column.unique,
            other=bounds,
        ),
    )
