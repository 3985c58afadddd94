"""The gatekeeper: opens a candidate's files and its drops itself, and says whether readers may have it.

It takes nothing from the writer but the claim to be checked: every count is made again, by a fresh session, on the
bytes that lie on disk. A gate that cannot look gives UNKNOWN, which publishes as little as FAIL does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import BinaryIO, Self

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from blake3 import blake3

from contracts.commits import Candidate, SegmentEntry
from contracts.decoding import UndecodableError
from contracts.duckdb_syntax import quoted
from contracts.errors import DigestMismatchError, GateError, HashgateError
from contracts.framing import BLOCK_BYTES
from contracts.gates import GATES, Finding, GateReceipt, counted, receipt, unknown
from contracts.judgement import Judgement, compile_judgement, holds
from contracts.records import Framing, count_frames
from contracts.refs import BlobRef, Digest
from contracts.segments import SegmentIndex
from contracts.selection import SelectionSnapshot
from contracts.table_contract import LINEAGE_COLUMNS, ParquetFormat, Severity, TableContract
from resources.block_digests import digests_of_file
from resources.captures import blob_key, check_blob
from resources.dataset_catalogue import catalogued_dataset
from resources.duckdb_session import open_session, parquet_source
from resources.object_store import LocalObjectStore
from resources.table_reader import INDEX, QUARANTINE, VALID

RULE_TIMEOUT_S = 600
"""What one question of the quality gate may take: a rule that does not end is one that was not evaluated."""


@dataclass(frozen=True)
class StagedCandidate:
    """A candidate with the folders its segments lie in, staged or at their final place."""

    candidate: Candidate
    snapshot: SelectionSnapshot
    contract: TableContract
    folders: Mapping[Digest, Path]
    """By segment content."""
    proven: frozenset[Digest] = frozenset()
    """Contents of segments that the current version's receipts have accounted for: not framed again."""

    def files(self, name: str, *, overlay: bool = False) -> list[Path]:
        """The paths of one kind of file, in segment order."""
        entries: Sequence[SegmentEntry] = self.candidate.segments
        if overlay:
            entries = [self.candidate.overlay] if self.candidate.overlay else []
        return [self.folders[e.content] / f.name for e in entries for f in e.files if f.name == name]


class DropCounts:
    """How many records each drop has, counted for the gates alone: may begin while the writer is still at work.

    Nothing of the writer's is used. A drop is read from the store once more, hashed while it is framed; that its
    verdict is asked for later only means that nobody waits for it. Closing ends what is still being counted.
    """

    def __init__(self, store: LocalObjectStore, contract: TableContract) -> None:
        self._store, self._contract = store, contract
        self._counts: dict[Digest, Future[int]] = {}
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="gatekeeper")
        self._unwanted = Event()

    def begin(self, sources: Iterable[BlobRef]) -> None:
        """Count these in the background, one after the other."""
        for source in sources:
            if source.digest not in self._counts:
                self._counts[source.digest] = self._pool.submit(self._count, source)

    def of(self, source: BlobRef) -> int:
        """How many records a drop has; one for a drop that cannot be read.

        Raises:
            DigestMismatchError: The blob is not what was captured.
            GateError: Its frames do not cover it.
        """
        self.begin([source])
        return self._counts[source.digest].result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._unwanted.set()
        self._pool.shutdown(cancel_futures=True)

    def _count(self, source: BlobRef) -> int:
        try:
            framing = self._frame(source)
        except UndecodableError:
            check_blob(self._store, source)
            return 1
        if not framing.tiled:
            msg = f"the frames of drop {source.digest} leave gaps or overlap: a defect of the framing. Report it."
            raise GateError(msg, source=source.digest)
        return framing.records

    def _frame(self, source: BlobRef) -> Framing:
        with self._store.open(blob_key(source.digest)) as file:
            if isinstance(self._contract.server.format, ParquetFormat):
                check_blob(self._store, source)
                return count_frames(file, self._contract)
            return count_frames(self._verified(file, source), self._contract)

    def _verified(self, file: BinaryIO, source: BlobRef) -> Iterator[bytes]:
        """The drop's bytes, refused at their end when they are not what was captured."""
        hasher = blake3()
        while chunk := file.read(BLOCK_BYTES):
            if self._unwanted.is_set():
                msg = f"drop {source.digest} is not counted any more: nobody asks"
                raise GateError(msg, source=source.digest)
            hasher.update(chunk)
            yield chunk
        observed = Digest(f"blake3:{hasher.hexdigest()}")
        if observed != source.digest:
            raise DigestMismatchError(subject=f"blob {source.digest}", expected=source.digest, observed=observed)


def judge(
    staged: StagedCandidate, store: LocalObjectStore, counts: DropCounts | None = None
) -> tuple[GateReceipt, ...]:
    """Run every gate, each on its own; the slowest one (framing the drops again) beside the others.

    Args:
        staged: What is to be judged.
        store: Where its drops lie.
        counts: Of the gates' own, begun earlier.
    """
    with ExitStack() as ending:
        counts = counts or ending.enter_context(DropCounts(store, staged.contract))
        beside = ending.enter_context(ThreadPoolExecutor(max_workers=1))
        conservation = beside.submit(run_gate, "conservation", lambda: _conservation(staged, store, counts))
        receipts = {
            "integrity": run_gate("integrity", lambda: _integrity(staged)),
            "contract": run_gate("contract", lambda: _contract(staged, store)),
            "quality": run_gate("quality", lambda: _quality(staged, store)),
        }
        receipts["conservation"] = conservation.result()
    return tuple(receipts[gate] for gate in GATES)


def run_gate(gate: str, look: Callable[[], GateReceipt]) -> GateReceipt:
    """Let a gate look; one that cannot gives UNKNOWN with what kept it from it."""
    try:
        return look()
    except duckdb.InterruptException:
        raise  # a cancel is no verdict: it ends the run
    except (HashgateError, duckdb.Error, pa.ArrowException, OSError, ValueError, KeyError) as error:
        return unknown(gate, f"{type(error).__name__}: {error}")


def _integrity(staged: StagedCandidate) -> GateReceipt:
    return integrity(staged.candidate, staged.folders)


def integrity(candidate: Candidate, folders: Mapping[Digest, Path]) -> GateReceipt:
    """Every file hashes to what the index says, the index to the segment's name, and nothing else lies there."""
    findings: list[Finding] = []
    files = size = 0
    entries = [*candidate.segments, *([candidate.overlay] if candidate.overlay else [])]
    for entry in entries:
        folder = folders[entry.content]
        index = SegmentIndex.from_bytes((folder / INDEX).read_bytes())
        if index.content != entry.content or index.view.key != entry.view_key or index.stored_files != entry.files:
            findings.append(_altered(f"{entry.content} {INDEX}", entry.content, index.content))
        described = {file.name: file.blocks for file in index.files}
        there = {path.name for path in folder.iterdir()} - {INDEX}
        named = {file.name for file in entry.files}
        if there != named:
            findings.append(_altered(f"files of segment {entry.content}", _listed(named), _listed(there)))
        for file in entry.files:
            if file.name in there:
                files += 1
                size += file.size_bytes
                observed, blocks = digests_of_file(folder / file.name)
                if observed != file.digest:
                    findings.append(_altered(f"{entry.content} {file.name}", file.digest, observed))
                elif blocks != described.get(file.name):
                    findings.append(_altered(f"{entry.content} blocks of {file.name}", "those of the file", "others"))
    return receipt(
        "integrity",
        expected=f"{counted(files, 'file')} with the digests of their indexes",
        observed=f"{counted(files, 'file')}, {counted(size, 'byte')} hashed, {len(findings)} differ",
        findings=findings,
        measures={"files": files, "bytes": size, "segments": len(entries)},
    )


def _altered(subject: str, expected: str, observed: str) -> Finding:
    return Finding(subject=subject, expected=expected, observed=observed, fix="Ingest the partition again.")


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _conservation(staged: StagedCandidate, store: LocalObjectStore, counts: DropCounts) -> GateReceipt:
    """Frame each drop again: its records are exactly the ones that are valid or in quarantine, each once."""
    findings: list[Finding] = []
    accounted: list[BlobRef] = []
    records = valid = quarantined = size = 0
    with open_session("gate", spill_to=store.spill_folder) as session:
        for entry in staged.candidate.segments:
            folder = staged.folders[entry.content]
            index = SegmentIndex.from_bytes((folder / INDEX).read_bytes())
            accounted += [account.source for account in index.drops]
            if entry.content in staged.proven:
                records, valid, quarantined = (
                    records + entry.records,
                    valid + entry.valid_rows,
                    quarantined + entry.quarantined_rows,
                )
                continue
            good, bad = (_record_numbers(session, folder / name) for name in (VALID, QUARANTINE))
            for account in index.drops:
                framed = counts.of(account.source)
                there = (good.pop(account.source.digest, _NONE), bad.pop(account.source.digest, _NONE))
                findings += _unaccounted(account.source, framed, *there)
                records, size = records + framed, size + account.source.size_bytes
                valid, quarantined = valid + len(there[0]), quarantined + len(there[1])
            findings += [
                Finding(
                    subject=f"rows of {source}",
                    expected="a drop of this segment",
                    observed="none of them",
                    fix="Ingest again.",
                )
                for source in [*good, *bad]
            ]
    if accounted != list(staged.snapshot.inputs):
        expected, observed = (", ".join(ref.digest for ref in refs) for refs in (staged.snapshot.inputs, accounted))
        findings.append(
            Finding(subject="drops of the segments", expected=expected, observed=observed, fix="Ingest again.")
        )
    overlaid = _rows(staged.files(QUARANTINE, overlay=True))
    valid, quarantined = valid - overlaid, quarantined + overlaid
    claimed = staged.candidate
    if (claimed.records, claimed.valid_rows + claimed.quarantined_rows) != (records, records):
        said = f"{claimed.records} records, {claimed.valid_rows} valid + {claimed.quarantined_rows} quarantined"
        findings.append(
            Finding(subject="the candidate's counts", expected=f"{records} records", observed=said, fix="Ingest again.")
        )
    return receipt(
        "conservation",
        expected=(
            f"{counted(records, 'record')} framed in {counted(len(accounted), 'drop')}, "
            "each valid or in quarantine, once"
        ),
        observed=f"{valid} valid + {quarantined} quarantined = {valid + quarantined}",
        findings=findings,
        measures={"records": records, "valid_rows": valid, "quarantined_rows": quarantined, "drop_bytes_framed": size},
    )


_BATCH_ROWS = 200_000

_NONE = np.array([], dtype=np.int64)


def _record_numbers(session: duckdb.DuckDBPyConnection, path: Path) -> dict[str, np.ndarray]:
    if not path.exists():
        return {}
    found: dict[str, list[np.ndarray]] = {}
    for batch in session.sql(f"SELECT _hg_source, _hg_record FROM {parquet_source([path])}").to_arrow_reader(
        _BATCH_ROWS
    ):
        sources = batch.column(0).dictionary_encode()
        codes, numbers = np.from_dlpack(sources.indices), np.from_dlpack(batch.column(1))  # `to_numpy` imports pandas
        for code, source in enumerate(sources.dictionary.to_pylist()):
            found.setdefault(source, []).append(numbers[codes == code])
    return {source: np.concatenate(parts) for source, parts in found.items()}


def _unaccounted(source: BlobRef, records: int, valid: np.ndarray, quarantined: np.ndarray) -> list[Finding]:
    numbers = np.concatenate([valid, quarantined])
    outside = numbers[(numbers < 1) | (numbers > records)]
    seen = np.bincount(numbers[(numbers >= 1) & (numbers <= records)], minlength=records + 1)[1:]
    wrong = [
        ("lost", np.flatnonzero(seen == 0) + 1),
        ("there twice", np.flatnonzero(seen > 1) + 1),
        ("invented", outside),
    ]
    return [
        Finding(
            subject=f"records of drop {source.digest}",
            expected=f"{records} records, each once",
            observed=f"{len(which)} {what}, first record {which[0]}",
            fix="The writer lost or repeated records: ingest again, and report it if it stays.",
        )
        for what, which in wrong
        if len(which)
    ]


def _contract(staged: StagedCandidate, store: LocalObjectStore) -> GateReceipt:
    """The Parquet files have the contract's columns, in its order and of its types, and lineage on every row."""
    expected = list(staged.contract.table_schema.items())
    findings: list[Finding] = []
    catalogued = catalogued_dataset(store, staged.contract)
    if catalogued is None or catalogued.schema_fingerprint != staged.contract.schema_fingerprint:
        findings.append(
            Finding(
                subject=f"schema of version {staged.contract.version}",
                expected="not catalogued" if catalogued is None else catalogued.schema_fingerprint,
                observed=staged.contract.schema_fingerprint,
                fix="Raise the contract's version: a version stands for one schema.",
            )
        )
    with open_session("gate", spill_to=store.spill_folder) as session:
        for path in staged.files(VALID):
            described = session.execute(f"DESCRIBE SELECT * FROM {parquet_source([path])}").fetchall()
            observed = [(row[0], row[1]) for row in described]
            where = f" of {path.parent.name[:12]}/{path.name}"
            findings += column_deviations(expected, observed, where, "Ingest again under the present contract.")
            missing = (
                session.execute(
                    f"SELECT count(*) FROM {parquet_source([path])} "
                    f"WHERE {' OR '.join(f'{name} IS NULL' for name in LINEAGE_COLUMNS)}"
                ).fetchall()[0][0]
                if not findings
                else 0
            )
            if missing:
                findings.append(
                    Finding(
                        subject=path.name,
                        expected="lineage on every row",
                        observed=f"{missing} rows without",
                        fix="Ingest again.",
                    )
                )
    return receipt(
        "contract",
        expected=f"{counted(len(expected), 'column')}, schema {staged.contract.schema_fingerprint}",
        observed=f"{counted(len(staged.files(VALID)), 'file')}, {counted(len(findings), 'deviation')}",
        findings=findings,
        measures={"columns": len(expected), "schema_fingerprint": staged.contract.schema_fingerprint},
    )


def column_deviations(
    expected: Sequence[tuple[str, str]], observed: Sequence[tuple[str, str]], where: str, fix: str
) -> list[Finding]:
    """Place by place, the columns (name and type) that are not the expected ones."""
    return [
        Finding(
            subject=f"column {position + 1}{where}",
            expected=_column(expected, position),
            observed=_column(observed, position),
            fix=fix,
        )
        for position in range(max(len(expected), len(observed)))
        if _column(expected, position) != _column(observed, position)
    ]


def _column(columns: Sequence[tuple[str, str]], position: int) -> str:
    return " ".join(columns[position]) if position < len(columns) else "no column"


def _quality(staged: StagedCandidate, store: LocalObjectStore) -> GateReceipt:
    """Over the partition as readers would see it: budget, keys, rules over the set; warnings are counted."""
    contract, judgement = staged.contract, compile_judgement(staged.contract)
    findings: list[Finding] = []
    with open_session("gate", spill_to=store.spill_folder) as session:
        session.execute(f"SET max_execution_time = {RULE_TIMEOUT_S * 1000}")
        session.execute(f"CREATE TEMP VIEW candidate AS {_readers_view(staged)}")
        valid = session.execute("SELECT count(*) FROM candidate").fetchall()[0][0]
        quarantined = _rows(staged.files(QUARANTINE)) + _rows(staged.files(QUARANTINE, overlay=True))
        records = valid + quarantined
        if (valid, quarantined) != (staged.candidate.valid_rows, staged.candidate.quarantined_rows):
            claimed = f"{staged.candidate.valid_rows} valid, {staged.candidate.quarantined_rows} quarantined"
            findings.append(
                Finding(
                    subject="the candidate's counts",
                    expected=f"{valid} valid, {quarantined} quarantined",
                    observed=claimed,
                    fix="Ingest again.",
                )
            )
        share = quarantined / records if records else 0.0
        if share > contract.quarantine_budget:
            findings.append(
                Finding(
                    subject="quarantine budget",
                    expected=f"at most {contract.quarantine_budget:.2%} of the records",
                    observed=f"{share:.2%} ({quarantined} of {records})",
                    fix=f"Look at `hashgate quarantine {contract.table} --summary`; mend the drop, or the contract.",
                )
            )
        for key in contract.unique_keys:
            repeated = _repeated_values(session, judgement, key)
            if repeated:
                findings.append(
                    Finding(
                        subject=f"key {', '.join(key)}",
                        expected="each value once",
                        observed=f"{repeated} values stand more than once",
                        fix="The overlay missed them: ingest again, and report it if it stays.",
                    )
                )
        for rule in contract.set_rules:
            value = _evaluate(session, judgement.set_rule_query(rule, "candidate"))
            if not isinstance(value, str) and holds(rule, value):
                continue
            findings.append(
                Finding(
                    subject=f"rule {rule.name}",
                    expected=f"{rule.operator} {' and '.join(f'{t:g}' for t in rule.threshold)}",
                    observed="could not be evaluated: " + value if isinstance(value, str) else str(value),
                    fix=rule.description or "Mend the drop, or the rule in the contract.",
                    severity="error" if rule.severity is Severity.ERROR else "warning",
                )
            )
        findings += _broken_warnings(session, judgement.warnings_query("candidate"))
    broken = [f for f in findings if f.severity == "error"]
    return receipt(
        "quality",
        expected=(
            f"quarantine within {contract.quarantine_budget:.2%}, {counted(len(contract.unique_keys), 'key')}, "
            f"{counted(len(contract.set_rules), 'rule')}"
        ),
        observed=f"{counted(valid, 'row')}, {share:.2%} quarantined, {len(broken)} broken",
        findings=findings,
        measures={"valid_rows": valid, "quarantined_rows": quarantined, "quarantine_share": share},
    )


def _repeated_values(session: duckdb.DuckDBPyConnection, judgement: Judgement, key: Sequence[str]) -> int:
    """How many values of a key stand more than once: a cheap look first, which may only err towards looking closer."""
    if not session.execute(judgement.has_duplicates_query("candidate", key)).fetchall()[0][0]:
        return 0
    names = ", ".join(quoted(name) for name in key)
    whole = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in key)
    groups = f"SELECT 1 FROM candidate WHERE {whole} GROUP BY {names} HAVING count(*) > 1"
    return int(session.execute(f"SELECT count(*) FROM ({groups})").fetchall()[0][0])


def _readers_view(staged: StagedCandidate) -> str:
    columns = ", ".join(quoted(name) for name in staged.contract.table_schema)
    query = f"SELECT {columns} FROM {parquet_source(staged.files(VALID))} AS valid"
    overlay = staged.files(QUARANTINE, overlay=True)
    if overlay:
        query += f" ANTI JOIN {parquet_source(overlay)} AS overlay USING (_hg_source, _hg_record)"
    return query


def _rows(paths: Sequence[Path]) -> int:
    return sum(pq.read_metadata(path).num_rows for path in paths)


def _evaluate(session: duckdb.DuckDBPyConnection, query: str) -> object:
    """The rule's number, or a text saying why there is none."""
    try:
        return session.execute(query).fetchall()[0][0]
    except duckdb.Error as error:
        return str(error).splitlines()[0]


def _broken_warnings(session: duckdb.DuckDBPyConnection, query: str | None) -> list[Finding]:
    if query is None:
        return []
    return [
        Finding(
            subject=f"rule {name}", expected="holds for every row", observed=f"{rows} rows break it", severity="warning"
        )
        for name, rows in session.execute(query).fetchall()
        if rows
    ]
