"""Stage, audit, publish a table that an asset returned: the way a table takes that no drops stand behind.

It is written as one segment named by its content. The gates look at the file again, through another database: is it
the file its index names, are its columns the promised ones, are its rows as many as were written and as declared.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb

from contracts.commits import Candidate, SegmentEntry
from contracts.duckdb_syntax import duck_syntax, literal, quoted
from contracts.errors import UsageError
from contracts.gates import PRODUCED_GATES, Finding, GateReceipt, receipt
from contracts.produced import AssetPromise, produced_segment_view, produced_view, reserved_columns
from contracts.refs import Digest, digest_json
from contracts.segments import SegmentIndex
from resources.duckdb_session import open_session, parquet_source
from resources.gatekeeper import column_deviations, integrity, run_gate
from resources.object_store import fsync_path
from resources.parser_identity import parser_identity
from resources.publisher import Publication, publish
from resources.segment_writer import stored_file
from resources.table_reader import INDEX, VALID
from resources.table_streams import stream_of
from resources.workspace import Workspace


@dataclass(frozen=True)
class StagedTable:
    """A candidate that an asset returned, written and waiting for its gates."""

    candidate: Candidate
    contract: AssetPromise
    folders: Mapping[Digest, Path]

    @property
    def file(self) -> Path:
        """Its one file."""
        return self.folders[self.candidate.segments[0].content] / VALID


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
    folder = workspace.settings.staging / run_id / uuid4().hex
    folder.mkdir(mode=0o700, parents=True)
    try:
        staged = _stage(promise, partition, table, folder, run_id)
        return publish(workspace.store, workspace.reader, staged, judge_produced(staged), workspace.now())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            folder.parent.rmdir()


def judge_produced(staged: StagedTable) -> tuple[GateReceipt, ...]:
    """Run the gates of a returned table, in their order."""
    receipts = {
        "integrity": run_gate("integrity", lambda: integrity(staged.candidate, staged.folders)),
        "contract": run_gate("contract", lambda: _contract(staged)),
        "quality": run_gate("quality", lambda: _quality(staged)),
    }
    return tuple(receipts[gate] for gate in PRODUCED_GATES)


def _stage(promise: AssetPromise, partition: str, table: Any, folder: Path, run_id: str) -> StagedTable:
    what = f"asset {promise.asset}"
    segment_folder = folder / "segment"
    segment_folder.mkdir(mode=0o700)
    path = segment_folder / VALID
    rows, schema = _write(stream_of(table, what), path, what)
    file = stored_file(path, rows)
    segment = produced_segment_view(promise, file)
    index = SegmentIndex(view=segment.ref, drops=(), files=(file,))
    (segment_folder / INDEX).write_bytes(index.to_bytes())
    for written in (path, segment_folder / INDEX, segment_folder):
        fsync_path(written)
    promised = schema if promise.columns is None else _promised_schema(promise)
    stamp = promise.stamp(promised)
    target = digest_json([promise.table, stamp.schema_fingerprint, promise.sink_mode, "parquet"])
    entry = SegmentEntry(
        view_key=segment.key,
        content=index.content,
        files=(file.stored,),
        records=rows,
        valid_rows=rows,
        quarantined_rows=0,
    )
    view = produced_view(promise, segment.ref)
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
    return StagedTable(candidate, promise, {index.content: segment_folder})


def _write(rows: Any, path: Path, what: str) -> tuple[int, list[tuple[str, str]]]:
    refused = reserved_columns(rows.schema.names)
    if refused:
        msg = (
            f"{what} returned the column {refused[0]}: names that begin with _hg_ are lineage's. "
            "Rename it, or hand on all three lineage columns as they are."
        )
        raise UsageError(msg, column=refused[0])
    with open_session("writer", spill_to=path.parent.parent) as session:
        session.register("returned", rows)
        copied = session.execute(f"COPY returned TO {literal(str(path))} (FORMAT parquet)").fetchall()
        described = session.execute(f"DESCRIBE SELECT * FROM {parquet_source([path])}").fetchall()
    return int(copied[0][0]), [(name, kind) for name, kind, *_ in described]


def _promised_schema(promise: AssetPromise) -> list[tuple[str, str]]:
    with duck_syntax() as syntax:
        return [(c.name, syntax.canonical_type(c.type) or c.type) for c in promise.columns or ()]


def _contract(staged: StagedTable) -> GateReceipt:
    """The file has the promised columns, in order and of their types."""
    expected = list(staged.candidate.contract.table_schema)
    with open_session("gate") as session:
        described = session.execute(f"DESCRIBE SELECT * FROM {parquet_source([staged.file])}").fetchall()
    observed = [(name, kind) for name, kind, *_ in described]
    fix = "Mend the asset, or what it declares in dagster/column_schema."
    findings = column_deviations(expected, observed, "", fix)
    return receipt(
        "contract",
        expected=f"{len(expected)} columns" + ("" if staged.contract.columns is not None else ", none declared"),
        observed=f"{len(observed)} columns, {len(findings)} deviations",
        findings=findings,
        measures={"columns": len(observed)},
    )


def _quality(staged: StagedTable) -> GateReceipt:
    """The rows are as many as were written; columns declared not nullable have no NULL, unique ones no repetition."""
    declared = staged.contract.columns or ()
    findings: list[Finding] = []
    with open_session("gate") as session:
        session.execute(f"CREATE TEMP VIEW candidate AS SELECT * FROM {parquet_source([staged.file])}")
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
