"""Build, audit, publish: one partition from its frozen selection to its current version."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

import duckdb
import numpy as np
import pyarrow as pa

from contracts.commits import Candidate, Commit, ContractStamp, SegmentEntry
from contracts.errors import HashgateError, UsageError
from contracts.gates import GateReceipt, Verdict
from contracts.judgement import compile_judgement
from contracts.reasons import Reason
from contracts.refs import BlobRef, Digest, View, digest_json, hex_of
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
from platform_assets.ingest.watched_reading import ReadingWatch
from resources.captures import put_damaged_aside
from resources.dataset_catalogue import register_dataset
from resources.doomed_lists import doomed_names
from resources.duckdb_session import open_session, parquet_source, run_query
from resources.exports import export
from resources.gatekeeper import DropCounts, StagedCandidate, judge
from resources.object_store import refused_by_disk
from resources.parser_attempts import IsOver
from resources.parser_identity import parser_identity
from resources.publisher import Outcome, Publication, publish, segment_contents
from resources.segment_places import SegmentPlace, StagedFolder, StoredFolder, is_intact
from resources.segment_writer import ReasonRow, quarantine_batches, reason, write_index, write_quarantine, write_segment
from resources.staging import staged as staged_folder
from resources.table_reader import QUARANTINE, VALID, segment_prefix
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
    workspace: Workspace,
    contract: TableContract,
    partition: str,
    *,
    run_id: str,
    force: bool = False,
    is_over: IsOver = lambda _: False,
) -> PartitionResult:
    """Build a partition from its newest selection, let the gates judge it, publish or hold it.

    A partition whose current version follows the same recipe is reused without any work, unless `force` is set;
    segments that exist are reused, too. A captured drop that is found damaged is moved aside, to be dropped again.

    Args:
        workspace: The installation.
        contract: The table's.
        partition: The key.
        run_id: In whose name.
        force: Reuse nothing, and try drops again that are refused because reading them ended the process.
        is_over: Whether the run of an id has ended; asked of runs on other hosts.

    Raises:
        UsageError: The partition was never selected.
        OutOfMemoryError: Memory ran out; the next attempt reads what may have caused it by itself.
        SchemaConflictError: The contract's version stands for another schema.
        CommitError: The sink mode forbids another version.
        DigestMismatchError: A captured drop is damaged; nothing was made of it.
        StoreError: The store refused; what was readable before still is.
    """
    selection = workspace.reader.selection(contract.table, partition)
    if selection is None:
        msg = (
            f"{contract.table}[{partition}] has no selection yet. Materialize {contract.table}/selection for it first."
        )
        raise UsageError(msg, table=contract.table, partition=partition)
    snapshot = load_snapshot(workspace, selection)
    watch = ReadingWatch(workspace, contract, run_id, is_over)
    if force:
        watch.begin_anew(snapshot.inputs)
    recipe = expected_partition_view(contract, parser_identity(), snapshot.inputs, watch.refused)
    base = workspace.reader.standing(contract.table, partition)
    head = base.head
    # what was damaged or lost of a version is made again from its drops, and nothing else of it is relied on
    reuse = not force and (head is None or workspace.reader.is_whole(head))
    if head is not None and head.candidate.view_key == recipe.key and reuse:
        return PartitionResult(contract.table, partition, Outcome.REUSED, head, 0)
    register_dataset(workspace.store, contract)
    with _staging(workspace, run_id) as folder, DropCounts(workspace.store, contract) as counts:
        builder = _Builder(workspace, contract, snapshot, head, folder, counts, watch, reuse=reuse)
        builder.read_suspects()
        with watch.reading(builder.unread):
            staged = builder.stage(partition, selection, recipe, run_id)
            receipts = judge(staged, workspace.store, counts)
        if any(told.verdict is Verdict.UNKNOWN for told in receipts):
            put_damaged_aside(workspace.store, snapshot.inputs)
        exported = export(workspace.store, staged.candidate, staged.places, folder)
        whole = replace(staged, candidate=exported.candidate, places=exported.places)
        receipts = (*receipts, *exported.receipts)
        done: Publication = publish(
            workspace.store, workspace.reader, whole, receipts, workspace.now(), base=base, force=force
        )
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
        sinks=contract.exports,
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
        watch: ReadingWatch,
        *,
        reuse: bool,
    ) -> None:
        self._workspace, self._contract, self._snapshot, self._folder = workspace, contract, snapshot, folder
        self._proven = segment_contents(head.candidate) if head is not None and reuse else frozenset()
        self._reuse = reuse
        self._counts, self._watch = counts, watch
        self._places: dict[Digest, SegmentPlace] = {}
        cuts = cut_segments(snapshot.inputs)
        self._views = [segment_view(contract, parser_identity(), drops, watch.refused) for drops in cuts]
        self._found = {view.key: self._existing(view.key) for view in self._views}
        self.written = 0

    @property
    def unread(self) -> list[BlobRef]:
        """The drops that have to be read for what is not there yet."""
        views = [view for view in self._views if self._found[view.key] is None]
        drops = [ref for view in views for ref in view.inputs if isinstance(ref, BlobRef)]
        return [drop for drop in drops if drop.digest not in self._watch.refused]

    def read_suspects(self) -> None:
        """Read those alone that may have ended a process before. Who survives is no suspect any more."""
        for drop in self._watch.suspects(self.unread):
            with self._watch.reading([drop], alone=True):
                self._read_alone(drop)
            self._watch.begin_anew([drop])

    def _read_alone(self, drop: BlobRef) -> None:
        """As the writer and the gates read it. What is written counts when the drop is a segment by itself."""
        view = segment_view(self._contract, parser_identity(), [drop])
        if view.key in self._found:
            self._found[view.key] = self._segment(view)
        else:
            folder = self._folder / f"alone-{hex_of(drop.digest)}"
            folder.mkdir(mode=0o700)
            write_segment(self._workspace.store, self._contract, view, folder)
            shutil.rmtree(folder)
        with suppress(HashgateError):  # a gate will say it, where it is heard
            self._counts.of(drop)

    def stage(self, partition: str, selection: Selection, recipe: View, run_id: str) -> StagedCandidate:
        """Everything of the candidate but the gates' word."""
        contract, parser = self._contract, parser_identity()
        segments = [self._found[view.key] or self._segment(view) for view in self._views]
        overlay = self._overlay(self._views, segments)
        records = sum(s.records for s in segments)
        repeated = overlay.quarantined_rows if overlay else 0
        candidate = Candidate(
            table=contract.table,
            partition=partition,
            view_key=recipe.key,
            snapshot=selection.snapshot,
            selection_number=selection.number,
            cutoff=selection.cutoff,
            contract=stamp_of(contract),
            parser=parser,
            output_target_key=contract.output_target_key,
            materialization_key=digest_json(
                [
                    contract.output_target_key,
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
        return StagedCandidate(candidate, self._snapshot, contract, self._places, self._proven)

    def _segment(self, view: View) -> SegmentEntry:
        drops = [ref for ref in view.inputs if isinstance(ref, BlobRef)]
        self._counts.begin(drop for drop in drops if drop.digest not in self._watch.refused)
        folder = self._folder / f"segment-{self.written}"
        folder.mkdir(mode=0o700)
        index = write_segment(self._workspace.store, self._contract, view, folder)
        self.written += 1
        self._places[index.content] = StagedFolder(folder)
        return _entry(index)

    def _existing(self, view_key: Digest) -> SegmentEntry | None:
        """A segment of this recipe that lies in the store, whole, and is not about to be collected."""
        if not self._reuse:
            return None
        prefix = segment_prefix(self._contract.table, view_key)
        doomed = doomed_names(self._workspace.store)
        for name in self._workspace.store.keys(prefix):
            if f"{prefix}/{name}" in doomed:
                continue
            place = StoredFolder(self._workspace.store, f"{prefix}/{name}")
            try:
                entry = _entry(place.index())
            except (KeyError, ValueError):
                continue
            if entry.content in self._proven or is_intact(place, entry):
                self._places[entry.content] = place
                return entry
        return None

    def _overlay(self, views: Sequence[View], segments: Sequence[SegmentEntry]) -> SegmentEntry | None:
        """The records that repeat the key of an earlier one, as quarantine rows in a segment of their own."""
        paths = [self._places[s.content].source(VALID) for s in segments]
        repeated: Repeated = {}
        with open_session("writer", store=self._workspace.store) as session:
            for key in self._contract.unique_keys if paths else ():
                if _may_repeat(session, self._contract, key, paths):
                    self._find_repeated(session, key, paths, repeated)
        if not repeated:
            return None
        return self._write_overlay(overlay_view(self._contract, [view.ref for view in views]), repeated)

    def _find_repeated(
        self, session: duckdb.DuckDBPyConnection, key: Sequence[str], paths: Sequence[str], repeated: Repeated
    ) -> None:
        """Add to `repeated` who repeats `key`, and whom: what comes first in selection order stays."""
        sources = [ref.digest for ref in self._snapshot.inputs]
        session.register("selection_order", pa.table({"_hg_source": sources, "_hg_order": range(len(sources))}))
        ordered = f"(SELECT * FROM {parquet_source(paths)} JOIN selection_order USING (_hg_source))"
        query = compile_judgement(self._contract).duplicates_query(ordered, key)
        names = ", ".join(key)
        for source, number, first_source, first_record in run_query(
            session, f"SELECT _hg_source, _hg_record, first_source, first_record FROM ({query})"
        ):
            where = "this drop" if first_source == source else f"drop {first_source}"
            said = reason(Reason.DUPLICATE_KEY, names, f"record {first_record} of {where} has the same {names}")
            repeated.setdefault(source, {}).setdefault(number, []).append(said)

    def _write_overlay(self, view: View, repeated: Repeated) -> SegmentEntry:
        folder = self._folder / "overlay"
        folder.mkdir(mode=0o700)
        sources = [ref for ref in self._snapshot.inputs if ref.digest in repeated]

        def batches(stop: Event) -> Generator[pa.RecordBatch, None, None]:
            for ref in sources:
                numbers = np.array(sorted(repeated[ref.digest]), dtype=np.int64)
                because = repeated[ref.digest]
                yield from quarantine_batches(
                    self._workspace.store, self._contract, view.key, ref, numbers, because, stop=stop
                )

        stored = write_quarantine(self._workspace.store, self._contract, batches, folder / QUARANTINE)
        accounts = tuple(
            DropAccount(source=ref, records=0, valid_rows=0, quarantined_rows=len(repeated[ref.digest]))
            for ref in sources
        )
        index = SegmentIndex(view=view.ref, drops=accounts, files=(stored,))
        write_index(index, folder)
        self._places[index.content] = StagedFolder(folder)
        return _entry(index)


def _may_repeat(
    session: duckdb.DuckDBPyConnection, contract: TableContract, key: Sequence[str], paths: Sequence[str]
) -> bool:
    query = compile_judgement(contract).has_duplicates_query(parquet_source(paths), key)
    return bool(run_query(session, query)[0][0])


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
    candidate = f"candidate in staging/{run_id}"
    try:
        with staged_folder(workspace.settings.staging, run_id) as folder:
            yield folder
    except OSError as error:
        raise refused_by_disk(candidate, error) from error
    except duckdb.IOException as error:
        raise refused_by_disk(candidate, _told_by_duckdb(error)) from error


def _told_by_duckdb(error: duckdb.IOException) -> OSError:
    """The operating system's error, of which DuckDB passes on the words alone."""
    said = str(error)
    code = next((code for code in errno.errorcode if os.strerror(code) in said), None)
    return OSError(said) if code is None else OSError(code, os.strerror(code))
