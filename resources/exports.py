"""Exports: a version's rows once more, in the formats that its contract names beside Parquet.

They are made from the candidate's own files, staged beside its segments, and read back by the gate `sinks`, which
counts and digests the rows on both sides. Only what it found right is part of the candidate: a wrong export is held up
like anything else a gate stops, and even who lets the candidate through publishes it without. A commit names exports as
it names segments, so one create shows all of a version, in every format, or nothing of it.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import duckdb
import pyarrow as pa

from contracts.commits import Candidate, Export
from contracts.errors import HashgateError
from contracts.gates import SINKS_GATE, Finding, GateReceipt, Verdict, counted, receipt
from contracts.refs import Digest, ViewRef
from contracts.segments import SegmentIndex
from contracts.sinks import Sink, artifact_name
from resources.csv_sink import read_csv, write_csv
from resources.duckdb_session import open_session
from resources.gatekeeper import run_gate
from resources.object_store import ObjectStore, refused_by_disk
from resources.segment_places import SegmentPlace, StagedFolder, is_intact, is_remote, open_source, telling_why
from resources.segment_writer import stored_file, write_index
from resources.version_rows import RowsDigest, VersionRows, digest_rows, rows_of

_READ_ONLY = 0o400
"""Whoever opens a published file for writing by mistake is refused by the system, not found out later."""

_AGAIN = "Ingest the partition again with --force; if it stays, take the sink out of the contract and report it."


@dataclass(frozen=True)
class Exported:
    """A candidate with its exports, where everything of it lies, and the gate's word on them."""

    candidate: Candidate
    places: Mapping[Digest, SegmentPlace]
    receipts: tuple[GateReceipt, ...]
    """One, or none where nothing is to be exported."""


def export(store: ObjectStore, candidate: Candidate, places: Mapping[Digest, SegmentPlace], folder: Path) -> Exported:
    """Write what a candidate's contract promises beside Parquet, and have it judged.

    Args:
        store: The store that the candidate goes to.
        candidate: As the other gates have seen it. What one of them stopped is exported all the same: a person may
            let it through.
        places: Where its segments lie, by content.
        folder: An existing folder to stage in, which nobody else stages exports in.

    Returns:
        The candidate with all its exports, or with none when one of them is not right.

    Raises:
        StoreError: The disk is full.
        OSError: The disk refused.
    """
    if not candidate.contract.sinks:
        return Exported(candidate, places, ())
    try:
        staged = [_write(store, candidate, places, sink, folder) for sink in candidate.contract.sinks]
    except _UnwritableError as error:
        return Exported(candidate, places, (_receipt(candidate, None, [error.finding]),))
    exported = candidate.model_copy(update={"exports": tuple(one for one, _ in staged)})
    everywhere = {**places, **{one.content: place for one, place in staged}}
    receipts = judge_sinks(exported, everywhere, store)
    if all(told.verdict is Verdict.PASS for told in receipts):
        return Exported(exported, everywhere, receipts)
    return Exported(candidate, places, receipts)


def judge_sinks(
    candidate: Candidate, places: Mapping[Digest, SegmentPlace], store: ObjectStore
) -> tuple[GateReceipt, ...]:
    """The gate `sinks`: every export is whole, and holds exactly the rows that a reader of the Parquet files sees.

    Args:
        candidate: Staged, or published.
        places: Where its segments and exports lie, by content.
        store: Of those that lie in one.

    Returns:
        The receipt, or nothing where nothing is promised.
    """
    if not candidate.contract.sinks:
        return ()
    return (run_gate(SINKS_GATE, lambda: _judge(candidate, places, store)),)


@contextmanager
def local_file(place: SegmentPlace, export: Export, scratch: Path) -> Iterator[Path]:
    """An export's file on the local disk, for the time of the context."""
    source = place.source(export.file.name)
    if not is_remote(source):
        yield Path(source)
        return
    copy = scratch / uuid4().hex
    try:
        copy_source(source, copy)
        yield copy
    finally:
        copy.unlink(missing_ok=True)


def copy_source(source: str, target: Path) -> None:
    """Copy what `SegmentPlace.source` gave into a new file, every block verified if it comes from afar."""
    try:
        with open_source(source) as file, target.open("xb") as copy:
            shutil.copyfileobj(file, copy, 4 << 20)
    except OSError as error:
        raise refused_by_disk(os.fspath(target), error) from error


class _UnwritableError(Exception):
    """A sink could not write the version."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.observed)
        self.finding = finding


def _write(
    store: ObjectStore, candidate: Candidate, places: Mapping[Digest, SegmentPlace], sink: Sink, folder: Path
) -> tuple[Export, SegmentPlace]:
    own = folder / f"export-{sink}"
    own.mkdir(mode=0o700)
    path = own / artifact_name(candidate.table, sink=sink)
    try:
        _write_rows(store, candidate, rows_of(candidate, places), sink, path)
    except duckdb.InterruptException:
        raise  # a cancel
    except (HashgateError, duckdb.Error, pa.ArrowException, ValueError, KeyError) as error:
        if os.strerror(errno.ENOSPC) in str(error):
            what = f"export of {candidate.table}[{candidate.partition}]"
            raise refused_by_disk(what, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))) from error
        raise _UnwritableError(_finding(sink, "a file with the version's rows", _said(error))) from error
    path.chmod(_READ_ONLY)
    file = stored_file(path, candidate.valid_rows)
    index = write_index(SegmentIndex(view=ViewRef(key=candidate.view_key), drops=(), files=(file,)), own)
    return Export(sink=sink, content=index.content, file=file.stored), StagedFolder(own)


def _write_rows(store: ObjectStore, candidate: Candidate, rows: VersionRows, sink: Sink, path: Path) -> None:
    with telling_why(rows.sources):
        if sink is Sink.CSV:
            write_csv(store, rows, path)
            return
        # imported here because it brings Dagster, which whoever exports nothing need not wait for
        from resources.duckdb_sink import write_database  # noqa: PLC0415

        write_database(store, candidate, rows, path)


def _read_rows(store: ObjectStore, candidate: Candidate, rows: VersionRows, sink: Sink, path: Path) -> RowsDigest:
    if sink is Sink.CSV:
        return read_csv(store, path, rows.columns)
    from resources.duckdb_sink import read_database  # noqa: PLC0415

    return read_database(path, candidate, rows.columns)


def _judge(candidate: Candidate, places: Mapping[Digest, SegmentPlace], store: ObjectStore) -> GateReceipt:
    missing = [sink for sink in candidate.contract.sinks if candidate.export(sink) is None]
    if missing:
        return _receipt(candidate, None, [_finding(sink, "the version's rows", "no file") for sink in missing])
    rows = rows_of(candidate, places)
    with telling_why(rows.sources), open_session("gate", store=store) as session:
        expected = digest_rows(session, rows.columns, f"({rows.query})")
    findings = []
    for export in candidate.exports:
        finding = _deviation(candidate, export, places[export.content], rows, expected, store)
        findings += [finding] if finding is not None else []
    return _receipt(candidate, expected, findings)


def _deviation(
    candidate: Candidate,
    export: Export,
    place: SegmentPlace,
    rows: VersionRows,
    expected: RowsDigest,
    store: ObjectStore,
) -> Finding | None:
    """What is wrong with an export; None when it is whole and has the expected rows."""
    if not is_intact(place, export):
        return _finding(export.sink, f"one file of digest {export.file.digest}, and its index", "something else")
    if export.file.rows != expected.rows:
        return _finding(export.sink, counted(expected.rows, "row"), f"{export.file.rows:,} claimed")
    try:
        with local_file(place, export, store.scratch) as path:
            observed = _read_rows(store, candidate, rows, export.sink, path)
    except (duckdb.ConversionException, duckdb.InvalidInputException, pa.ArrowInvalid, ValueError) as error:
        return _finding(export.sink, "a file that reads back", _said(error))
    if observed == expected:
        return None
    said = [f"{counted(found.rows, 'row')} of digest {found.digest}" for found in (expected, observed)]
    return _finding(export.sink, *said)


def _receipt(candidate: Candidate, rows: RowsDigest | None, findings: list[Finding]) -> GateReceipt:
    exports = counted(len(candidate.contract.sinks), "export")
    right = len(candidate.contract.sinks) - len(findings)
    return receipt(
        SINKS_GATE,
        expected=f"{exports} ({', '.join(candidate.contract.sinks)}), each with the rows of the Parquet files",
        observed=f"{exports} read back, {right} right" if rows else f"{len(findings)} not written",
        findings=findings,
        measures={"exports": right, **({"rows": rows.rows, "rows_digest": rows.digest} if rows else {})},
    )


def _finding(sink: Sink, expected: str, observed: str) -> Finding:
    return Finding(subject=f"{sink} export", expected=expected, observed=observed, fix=_AGAIN)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
