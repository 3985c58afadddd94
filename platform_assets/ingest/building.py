"""Build, audit, publish: one partition from its frozen selection to its current version."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import duckdb
import numpy as np
import pyarrow as pa

from contracts.commits import Candidate, Commit, ContractStamp, SegmentEntry
from contracts.errors import UsageError
from contracts.gates import GateReceipt
from contracts.judgement import compile_judgement
from contracts.reasons import Reason
from contracts.refs import BlobRef, Digest, View, digest_json
from contracts.segments import (
    DropAccount,
    SegmentIndex,
    cut_segments,
    expected_partition_view,
    overlay_view,
    segment_view,
)
from contracts.selection import Selection, SelectionSnapshot
from contracts.table_contract import TableContract
from platform_assets.ingest.selecting import load_snapshot
from resources.dataset_catalogue import register_dataset
from resources.duckdb_session import open_session, parquet_source
from resources.gatekeeper import DropCounts, StagedCandidate, judge
from resources.object_store import refused_by_disk
from resources.parser_identity import parser_identity
from resources.publisher import Outcome, Publication, is_intact, publish, segment_contents
from resources.segment_writer import ReasonRow, quarantine_batches, reason, write_index, write_quarantine, write_segment
from resources.table_reader import INDEX, QUARANTINE, VALID, segment_prefix
from resources.workspace import Workspace

Repeated = dict[str, dict[int, list[ReasonRow]]]
"""By drop and record: which keys it repeats."""


@dataclass(frozen=True, slots=True)
class PartitionResult:
    """What became of one partition."""

    table: str
    partition: str
    outcome: Outcome
    commit: Commit
    """The head, or the held candidate."""
    segments_written: int
    reason: str = ""

    @property
    def receipts(self) -> tuple[GateReceipt, ...]:
        """The gates' verdicts, in order."""
        return self.commit.receipts


def build_partition(
    workspace: Workspace, contract: TableContract, partition: str, *, run_id: str, force: bool = False
) -> PartitionResult:
    """Build a partition from its newest selection, let the gates judge it, publish or hold it.

    A partition whose current version follows the same recipe is reused without any work, unless `force` is set;
    segments that exist are reused, too.

    Raises:
        UsageError: The partition was never selected.
        SchemaConflictError: The contract's version stands for another schema.
        CommitError: The sink mode forbids another version.
        StoreError: The store refused; what was readable before still is.
    """
    selection = workspace.reader.selection(contract.table, partition)
    if selection is None:
        msg = (
            f"{contract.table}[{partition}] has no selection yet. Materialize {contract.table}/selection for it first."
        )
        raise UsageError(msg, table=contract.table, partition=partition)
    snapshot = load_snapshot(workspace, selection)
    recipe = expected_partition_view(contract, parser_identity(), snapshot.inputs)
    head = workspace.reader.head(contract.table, partition)
    if head is not None and head.candidate.view_key == recipe.key and not force:
        return PartitionResult(contract.table, partition, Outcome.REUSED, head, 0)
    register_dataset(workspace.store, contract)
    with _staging(workspace, run_id) as folder, DropCounts(workspace.store, contract) as counts:
        builder = _Builder(workspace, contract, snapshot, head, folder, counts, reuse=not force)
        staged = builder.stage(partition, selection, recipe, run_id)
        receipts = judge(staged, workspace.store, counts)
        done: Publication = publish(workspace.store, workspace.reader, staged, receipts, workspace.now())
        return PartitionResult(contract.table, partition, done.outcome, done.commit, builder.written, done.reason)


def stamp_of(contract: TableContract) -> ContractStamp:
    """What a commit keeps of the contract it was made under."""
    return ContractStamp(
        version=contract.version,
        digest=contract.digest,
        rows_digest=contract.rows_digest,
        set_digest=contract.set_digest,
        schema_fingerprint=contract.schema_fingerprint,
        table_schema=tuple(contract.table_schema.items()),
    )


class _Builder:
    """Stages one candidate: finds or writes its segments, and the overlay of repeated keys over them."""

    def __init__(
        self,
        workspace: Workspace,
        contract: TableContract,
        snapshot: SelectionSnapshot,
        head: Commit | None,
        folder: Path,
        counts: DropCounts,
        *,
        reuse: bool,
    ) -> None:
        self._workspace, self._contract, self._snapshot, self._folder = workspace, contract, snapshot, folder
        self._proven = segment_contents(head.candidate) if head is not None and reuse else frozenset()
        self._reuse = reuse
        self._counts = counts
        self._folders: dict[Digest, Path] = {}
        self.written = 0

    def stage(self, partition: str, selection: Selection, recipe: View, run_id: str) -> StagedCandidate:
        """Everything of the candidate but the gates' word."""
        contract, parser = self._contract, parser_identity()
        views = [segment_view(contract, parser, drops) for drops in cut_segments(self._snapshot.inputs)]
        segments = [self._segment(view) for view in views]
        overlay = self._overlay(views, segments)
        records = sum(s.records for s in segments)
        repeated = overlay.quarantined_rows if overlay else 0
        target_key = digest_json([contract.table, contract.schema_fingerprint, contract.sink_mode, "parquet"])
        candidate = Candidate(
            table=contract.table,
            partition=partition,
            view_key=recipe.key,
            snapshot=selection.snapshot,
            selection_number=selection.number,
            cutoff=selection.cutoff,
            contract=stamp_of(contract),
            parser=parser,
            output_target_key=target_key,
            materialization_key=digest_json(
                [
                    target_key,
                    selection.snapshot,
                    parser.model_dump(mode="json"),
                    contract.rows_digest,
                    contract.set_digest,
                ]
            ),
            segments=tuple(segments),
            overlay=overlay,
            records=records,
            valid_rows=sum(s.valid_rows for s in segments) - repeated,
            quarantined_rows=sum(s.quarantined_rows for s in segments) + repeated,
            run_id=run_id,
        )
        return StagedCandidate(candidate, self._snapshot, contract, self._folders, self._proven)

    def _segment(self, view: View) -> SegmentEntry:
        found = self._existing(view.key)
        if found is not None:
            return found
        self._counts.begin(ref for ref in view.inputs if isinstance(ref, BlobRef))
        folder = self._folder / f"segment-{self.written}"
        folder.mkdir(mode=0o700)
        index = write_segment(self._workspace.store, self._contract, view, folder)
        self.written += 1
        self._folders[index.content] = folder
        return _entry(index)

    def _existing(self, view_key: Digest) -> SegmentEntry | None:
        """A segment of this recipe that lies in the store, whole: published, held or left over."""
        if not self._reuse:
            return None
        prefix = segment_prefix(self._contract.table, view_key)
        for name in self._workspace.store.keys(prefix):
            folder = self._workspace.store.path(f"{prefix}/{name}")
            try:
                entry = _entry(SegmentIndex.from_bytes((folder / INDEX).read_bytes()))
            except (OSError, ValueError):
                continue
            if entry.content in self._proven or is_intact(folder, entry):
                self._folders[entry.content] = folder
                return entry
        return None

    def _overlay(self, views: Sequence[View], segments: Sequence[SegmentEntry]) -> SegmentEntry | None:
        """The records that repeat the key of an earlier one, as quarantine rows in a segment of their own."""
        paths = [self._folders[s.content] / VALID for s in segments]
        repeated: Repeated = {}
        with open_session("writer", spill_to=self._workspace.store.spill_folder) as session:
            for key in self._contract.unique_keys if paths else ():
                if _may_repeat(session, self._contract, key, paths):
                    self._find_repeated(session, key, paths, repeated)
        if not repeated:
            return None
        return self._write_overlay(overlay_view(self._contract, [view.ref for view in views]), repeated)

    def _find_repeated(
        self, session: duckdb.DuckDBPyConnection, key: Sequence[str], paths: Sequence[Path], repeated: Repeated
    ) -> None:
        """Add to `repeated` who repeats `key`, and whom: what comes first in selection order stays."""
        sources = [ref.digest for ref in self._snapshot.inputs]
        session.register("selection_order", pa.table({"_hg_source": sources, "_hg_order": range(len(sources))}))
        ordered = f"(SELECT * FROM {parquet_source(paths)} JOIN selection_order USING (_hg_source))"
        query = compile_judgement(self._contract).duplicates_query(ordered, key)
        names = ", ".join(key)
        for source, number, first_source, first_record in session.execute(
            f"SELECT _hg_source, _hg_record, first_source, first_record FROM ({query})"
        ).fetchall():
            where = "this drop" if first_source == source else f"drop {first_source}"
            said = reason(Reason.DUPLICATE_KEY, names, f"record {first_record} of {where} has the same {names}")
            repeated.setdefault(source, {}).setdefault(number, []).append(said)

    def _write_overlay(self, view: View, repeated: Repeated) -> SegmentEntry:
        folder = self._folder / "overlay"
        folder.mkdir(mode=0o700)
        sources = [ref for ref in self._snapshot.inputs if ref.digest in repeated]
        batches = (
            batch
            for ref in sources
            for batch in quarantine_batches(
                self._workspace.store,
                self._contract,
                view.key,
                ref,
                np.array(sorted(repeated[ref.digest]), dtype=np.int64),
                because=repeated[ref.digest],
            )
        )
        stored = write_quarantine(self._workspace.store, self._contract, batches, folder / QUARANTINE)
        accounts = tuple(
            DropAccount(source=ref, records=0, valid_rows=0, quarantined_rows=len(repeated[ref.digest]))
            for ref in sources
        )
        index = SegmentIndex(view=view.ref, drops=accounts, files=(stored,))
        write_index(index, folder)
        self._folders[index.content] = folder
        return _entry(index)


def _may_repeat(
    session: duckdb.DuckDBPyConnection, contract: TableContract, key: Sequence[str], paths: Sequence[Path]
) -> bool:
    query = compile_judgement(contract).has_duplicates_query(parquet_source(paths), key)
    return bool(session.execute(query).fetchall()[0][0])


def _entry(index: SegmentIndex) -> SegmentEntry:
    return SegmentEntry(
        view_key=index.view.key,
        content=index.content,
        files=index.stored_files,
        records=sum(d.records for d in index.drops),
        valid_rows=sum(d.valid_rows for d in index.drops),
        quarantined_rows=sum(d.quarantined_rows for d in index.drops),
    )


@contextmanager
def _staging(workspace: Workspace, run_id: str) -> Iterator[Path]:
    """A folder of this run's own; whatever is left in it when we are done goes."""
    folder = workspace.settings.staging / run_id / uuid4().hex
    folder.mkdir(mode=0o700, parents=True)
    candidate = f"candidate in staging/{run_id}"
    try:
        yield folder
    except OSError as error:
        raise refused_by_disk(candidate, error) from error
    except duckdb.IOException as error:
        if os.strerror(errno.ENOSPC) not in str(error):
            raise
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        raise refused_by_disk(candidate, full) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            folder.parent.rmdir()  # unless another partition of the run is being staged
