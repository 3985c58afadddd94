"""Stage, audit, publish a table that an asset returned: the way a table takes that no drops stand behind.

It is written as one segment named by its content. In the mode `append` the version is that segment beside those of the
current version, and made and judged anew when another one comes first. The gates look at every file again, through
another database: is it the one its index names, are its columns the promised ones, are its rows as many as were
written and as declared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb

from contracts.commits import Candidate, Commit, SegmentEntry
from contracts.duckdb_syntax import duck_syntax, literal, quoted
from contracts.errors import UsageError
from contracts.gates import PRODUCED_GATES, Finding, GateReceipt, counted, receipt
from contracts.produced import AssetPromise, produced_segment_view, produced_view, reserved_columns
from contracts.refs import Digest, ViewRef, digest_json, hex_of
from contracts.segments import SegmentIndex
from resources.duckdb_session import open_session, parquet_source
from resources.exports import export
from resources.gatekeeper import column_deviations, integrity, run_gate
from resources.object_store import ObjectStore, fsync_path
from resources.parser_identity import parser_identity
from resources.publisher import Judged, Publication, publish, publish_on_head
from resources.segment_places import SegmentPlace, StagedFolder
from resources.segment_writer import stored_file
from resources.staging import staged as staged_folder
from resources.table_reader import INDEX, VALID, TableReader
from resources.table_streams import stream_of
from resources.workspace import Workspace


@dataclass(frozen=True)
class StagedTable:
    """A candidate that an asset returned, written and waiting for its gates."""

    candidate: Candidate
    contract: AssetPromise
    places: Mapping[Digest, SegmentPlace]

    @property
    def files(self) -> list[str]:
        """Its files, one a segment."""
        return [self.places[entry.content].source(VALID) for entry in self.candidate.segments]


def publish_table(
    workspace: Workspace, promise: AssetPromise, partition: str, table: Any, *, run_id: str
) -> Publication:
    """Take a table that an asset returned for one partition all the way, or hold it.

    Args:
        workspace: The installation.
        promise: What the asset declares.
        partition: The key; `UNPARTITIONED` when the asset has none.
        table: Anything that `stream_of` takes; a stream is used up.
        run_id: The run that does it.

    Raises:
        UsageError: `table` is no table, or has a column whose name is reserved.
        StoreError: The store refused; what was readable before still is.
    """
    with staged_folder(workspace.settings.staging, run_id) as folder:
        staged = _stage(workspace.store, promise, partition, table, folder, run_id)
        return _publish(workspace, staged, folder)


def _publish(workspace: Workspace, staged: StagedTable, folder: Path) -> Publication:
    store, reader, now = workspace.store, workspace.reader, workspace.now()
    if staged.contract.sink_mode != "append":
        return publish(store, reader, *_exported(store, staged, folder), now)

    def judged_on(head: Commit | None) -> Judged:
        attempt = folder / uuid4().hex
        attempt.mkdir(mode=0o700)
        return Judged.on(head, *_exported(store, _appended(reader, staged, head), attempt))

    candidate = staged.candidate
    return publish_on_head(store, reader, candidate.table, candidate.partition, judged_on, now)


def _exported(store: ObjectStore, staged: StagedTable, folder: Path) -> tuple[StagedTable, tuple[GateReceipt, ...]]:
    """The table with its exports, and what all gates say of it."""
    receipts = judge_produced(staged, store)
    exported = export(store, staged.candidate, staged.places, folder)
    return StagedTable(exported.candidate, staged.contract, exported.places), (*receipts, *exported.receipts)


def _appended(reader: TableReader, staged: StagedTable, head: Commit | None) -> StagedTable:
    """The staged table beside everything of the current version, each content once."""
    before = () if head is None else head.candidate.segments
    own = staged.candidate
    entries = {entry.content: entry for entry in (*before, *own.segments)}
    view = produced_view(staged.contract, [ViewRef(key=entry.view_key) for entry in entries.values()])
    rows = sum(entry.valid_rows for entry in entries.values())
    candidate = own.model_copy(
        update={
            "view_key": view.key,
            "snapshot": digest_json([entry.view_key for entry in entries.values()]),
            "materialization_key": digest_json([own.output_target_key, view.key]),
            "segments": tuple(entries.values()),
            "records": rows,
            "valid_rows": rows,
        }
    )
    places: dict[Digest, SegmentPlace] = {
        content: reader.segment_place(own.table, entry) for content, entry in entries.items()
    }
    # what was staged is moved into the store when it is published, and stays there if another version comes first
    places |= {
        content: place
        for content, place in staged.places.items()
        if isinstance(place, StagedFolder) and place.path.exists()
    }
    return StagedTable(candidate, staged.contract, places)


def judge_produced(staged: StagedTable, store: ObjectStore) -> tuple[GateReceipt, ...]:
    """Run the gates of a returned table, in their order."""
    receipts = {
        "integrity": run_gate("integrity", lambda: integrity(staged.candidate, staged.places)),
        "contract": run_gate("contract", lambda: _contract(staged, store)),
        "quality": run_gate("quality", lambda: _quality(staged, store)),
    }
    return tuple(receipts[gate] for gate in PRODUCED_GATES)


def _stage(
    store: ObjectStore, promise: AssetPromise, partition: str, table: Any, folder: Path, run_id: str
) -> StagedTable:
    what = f"asset {promise.asset}"
    segment_folder = folder / "segment"
    segment_folder.mkdir(mode=0o700)
    path = segment_folder / VALID
    rows, schema = _write(store, stream_of(table, what), path, what)
    file = stored_file(path, rows)
    segment = produced_segment_view(promise, file)
    index = SegmentIndex(view=segment.ref, drops=(), files=(file,))
    (segment_folder / INDEX).write_bytes(index.to_bytes())
    for written in (path, segment_folder / INDEX, segment_folder):
        fsync_path(written)
    promised = schema if promise.columns is None else _promised_schema(promise)
    stamp = promise.stamp(promised)
    target = digest_json([promise.table, stamp.schema_fingerprint, promise.sink_mode, "+".join(promise.sinks)])
    entry = SegmentEntry(
        view_key=segment.key,
        content=index.content,
        files=(file.stored,),
        records=rows,
        valid_rows=rows,
        quarantined_rows=0,
    )
    view = produced_view(promise, [segment.ref])
    candidate = Candidate(
        origin="asset",
        table=promise.table,
        partition=partition,
        view_key=view.key,
        snapshot=digest_json([segment.key]),
        selection_number=0,
        cutoff=0,
        contract=stamp,
        parser=parser_identity(),
        output_target_key=target,
        materialization_key=digest_json([target, view.key]),
        segments=(entry,),
        records=rows,
        valid_rows=rows,
        quarantined_rows=0,
        run_id=run_id,
    )
    return StagedTable(candidate, promise, {index.content: StagedFolder(segment_folder)})


def _write(store: ObjectStore, rows: Any, path: Path, what: str) -> tuple[int, list[tuple[str, str]]]:
    refused = reserved_columns(rows.schema.names)
    if refused:
        msg = (
            f"{what} returned the column {refused[0]}: names that begin with _hg_ are lineage's. "
            "Rename it, or hand on all three lineage columns as they are."
        )
        raise UsageError(msg, column=refused[0])
    with open_session("writer", store=store) as session:
        session.register("returned", rows)
        copied = session.execute(f"COPY returned TO {literal(str(path))} (FORMAT parquet)").fetchall()
        described = session.execute(f"DESCRIBE SELECT * FROM {parquet_source([path])}").fetchall()
    return int(copied[0][0]), [(name, kind) for name, kind, *_ in described]


def _promised_schema(promise: AssetPromise) -> list[tuple[str, str]]:
    with duck_syntax() as syntax:
        return [(c.name, syntax.canonical_type(c.type) or c.type) for c in promise.columns or ()]


def _contract(staged: StagedTable, store: ObjectStore) -> GateReceipt:
    """Every file has the promised columns, in order and of their types."""
    expected = list(staged.candidate.contract.table_schema)
    fix = "Mend the asset, or what it declares in dagster/column_schema."
    findings: list[Finding] = []
    with open_session("gate", store=store) as session:
        for entry, file in zip(staged.candidate.segments, staged.files, strict=True):
            described = session.execute(f"DESCRIBE SELECT * FROM {parquet_source([file])}").fetchall()
            observed = [(name, kind) for name, kind, *_ in described]
            where = "" if len(staged.files) == 1 else f" of segment {hex_of(entry.content)[:12]}"
            findings += column_deviations(expected, observed, where, fix)
    return receipt(
        "contract",
        expected=f"{len(expected)} columns" + ("" if staged.contract.columns is not None else ", none declared"),
        observed=f"{counted(len(staged.files), 'file')}, {counted(len(findings), 'deviation')}",
        findings=findings,
        measures={"columns": len(expected)},
    )


def _quality(staged: StagedTable, store: ObjectStore) -> GateReceipt:
    """The rows are as many as were written; columns declared not nullable have no NULL, unique ones no repetition."""
    declared = staged.contract.columns or ()
    findings: list[Finding] = []
    with open_session("gate", store=store) as session:
        session.execute(f"CREATE TEMP VIEW candidate AS SELECT * FROM {parquet_source(staged.files)}")
        rows = _count(session, "SELECT count(*) FROM candidate")
        if rows != staged.candidate.valid_rows:
            findings.append(
                Finding(
                    subject="rows", expected=str(staged.candidate.valid_rows), observed=str(rows), fix="Run it again."
                )
            )
        for column in declared:
            name = quoted(column.name)
            nulls = 0 if column.nullable else _count(session, f"SELECT count(*) FROM candidate WHERE {name} IS NULL")
            repeated = (
                _count(session, f"SELECT count({name}) - count(DISTINCT {name}) FROM candidate") if column.unique else 0
            )
            findings += _broken(column.name, "no NULL", f"{nulls} NULLs", nulls)
            findings += _broken(column.name, "each value once", f"{repeated} repetitions", repeated)
    return receipt(
        "quality",
        expected=f"{staged.candidate.valid_rows} rows, {len(declared)} declared columns as declared",
        observed=f"{rows} rows, {len(findings)} broken",
        findings=findings,
        measures={"valid_rows": rows},
    )


def _count(session: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(session.execute(query).fetchall()[0][0])


def _broken(column: str, expected: str, observed: str, count: int) -> list[Finding]:
    fix = "Mend the asset, or what it declares in dagster/column_schema."
    return [Finding(subject=f"column {column}", expected=expected, observed=observed, fix=fix)] if count else []
