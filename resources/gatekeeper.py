"""The gatekeeper: opens a candidate's files and its drops itself, and says whether readers may have it.

It takes nothing from the writer but the claim to be checked: every count is made again, by a fresh session, on the
bytes that lie on disk. A gate that cannot look gives UNKNOWN, which publishes as little as FAIL does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
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
from contracts.parquet_records import read_through
from contracts.reasons import Reason
from contracts.records import Framing, count_frames
from contracts.refs import BlobRef, Digest, hex_of
from contracts.segments import SegmentIndex, segment_view
from contracts.selection import SelectionSnapshot
from contracts.table_contract import LINEAGE_COLUMNS, ParquetFormat, Severity, TableContract
from resources.background import Background
from resources.captures import open_blob
from resources.dataset_catalogue import catalogued_dataset
from resources.duckdb_session import open_session, parquet_source, run_query
from resources.object_store import ObjectStore
from resources.segment_places import SegmentPlace, open_source
from resources.table_reader import INDEX, QUARANTINE, VALID

RULE_TIMEOUT_S = 600
"""What one question of the quality gate may take: a rule that does not end is one that was not evaluated."""


@dataclass(frozen=True)
class StagedCandidate:
    """A candidate, and where its segments lie: staged or in the store."""

    candidate: Candidate
    snapshot: SelectionSnapshot
    contract: TableContract
    places: Mapping[Digest, SegmentPlace]
    """Where each segment lies, by content."""
    proven: frozenset[Digest] = frozenset()
    """Contents of segments that the current version's receipts have accounted for: not framed again."""

    def files(self, name: str, *, overlay: bool = False) -> list[str]:
        """The files of one kind, in segment order, as DuckDB reads them."""
        entries: Sequence[SegmentEntry] = self.candidate.segments
        if overlay:
            entries = [self.candidate.overlay] if self.candidate.overlay else []
        return [self.places[e.content].source(name) for e in entries if name in _names(e)]


class DropCounts:
    """How many records each drop has, counted for the gates alone: may begin while the writer is still at work.

    Nothing of the writer's is used. A drop is read from the store once more, hashed while it is framed; that its
    verdict is asked for later only means that nobody waits for it. Closing ends what is still being counted.
    """

    def __init__(self, store: ObjectStore, contract: TableContract) -> None:
        self._store, self._contract = store, contract
        self._counts: dict[Digest, Future[int]] = {}
        self._background = Background("gatekeeper")

    def begin(self, sources: Iterable[BlobRef]) -> None:
        """Count these in the background, one after the other."""
        for source in sources:
            if source.digest not in self._counts:
                self._counts[source.digest] = self._background.submit(partial(self._count, source))

    def of(self, source: BlobRef) -> int:
        """How many records a drop has; one for a drop that cannot be read.

        Raises:
            DigestMismatchError: The blob is not what was captured.
            GateError: Its frames do not cover it.
        """
        self.begin([source])
        return self._counts[source.digest].result()

    def closely(self, source: BlobRef) -> int:
        """The same, but believing no footer: of Parquet every page is read."""
        if not isinstance(self._contract.server.format, ParquetFormat):
            return self.of(source)
        try:
            with open_blob(self._store, source.digest) as file:
                return read_through(file, self._contract.server.decompression)
        except UndecodableError:
            return 1

    def call_off(self) -> None:
        """Nobody asks any more: what is being counted ends soon, and what waits is not begun."""
        self._background.stop.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._background.__exit__(*raised)

    def _count(self, source: BlobRef) -> int:
        try:
            framing = self._frame(source)
        except UndecodableError:
            self.check(source)
            return 1
        if not framing.tiled:
            msg = f"the frames of drop {source.digest} leave gaps or overlap: a defect of the framing. Report it."
            raise GateError(msg, source=source.digest)
        return framing.records

    def _frame(self, source: BlobRef) -> Framing:
        if isinstance(self._contract.server.format, ParquetFormat):
            self.check(source)
            with open_blob(self._store, source.digest) as file:
                return count_frames(file, self._contract)
        with open_blob(self._store, source.digest) as file:
            return count_frames(self._verified(file, source), self._contract, size_bytes=source.size_bytes)

    def check(self, source: BlobRef) -> None:
        """Hash a drop where it lies, in steps that can be called off.

        Raises:
            DigestMismatchError: It is not what was captured.
        """
        with open_blob(self._store, source.digest) as file:
            for _ in self._verified(file, source):
                pass

    def _verified(self, file: BinaryIO, source: BlobRef) -> Iterator[bytes]:
        """The drop's bytes, refused at their end when they are not what was captured."""
        hasher = blake3()
        while chunk := file.read(BLOCK_BYTES):
            if self._background.stop.is_set():
                msg = f"drop {source.digest} is not counted any more: nobody asks"
                raise GateError(msg, source=source.digest)
            hasher.update(chunk)
            yield chunk
        observed = Digest(f"blake3:{hasher.hexdigest()}")
        if observed != source.digest:
            raise DigestMismatchError(subject=f"blob {source.digest}", expected=source.digest, observed=observed)


def judge(staged: StagedCandidate, store: ObjectStore, counts: DropCounts | None = None) -> tuple[GateReceipt, ...]:
    """Run every gate, each on its own; the slowest one (framing the drops again) beside the others.

    Args:
        staged: What is to be judged.
        store: Where its drops lie.
        counts: Of the gates' own, begun earlier. Its counting ends when the gates are left by an interruption.
    """
    with ExitStack() as ending:
        counts = counts or ending.enter_context(DropCounts(store, staged.contract))
        beside = ending.enter_context(Background("conservation"))
        conservation = beside.submit(
            lambda: run_gate("conservation", lambda: _conservation(staged, store, counts, beside.stop))
        )
        try:
            receipts = {
                "integrity": run_gate("integrity", lambda: _integrity(staged)),
                "contract": run_gate("contract", lambda: _contract(staged, store)),
                "quality": run_gate("quality", lambda: _quality(staged, store)),
            }
            receipts["conservation"] = conservation.result()
        except BaseException:
            counts.call_off()  # the gate beside may be waiting for it
            raise
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
    return integrity(staged.candidate, staged.places)


def integrity(candidate: Candidate, places: Mapping[Digest, SegmentPlace]) -> GateReceipt:
    """Every file hashes to what the index says, the index to the segment's name, and nothing else lies there."""
    findings: list[Finding] = []
    files = size = 0
    entries = [*candidate.segments, *([candidate.overlay] if candidate.overlay else [])]
    for entry in entries:
        place = places[entry.content]
        index = place.index()
        if index.content != entry.content or index.view.key != entry.view_key or index.stored_files != entry.files:
            findings.append(_altered(f"{entry.content} {INDEX}", entry.content, index.content))
        described = {file.name: file.blocks for file in index.files}
        there, named = place.names() - {INDEX}, _names(entry)
        if there != named:
            findings.append(_altered(f"files of segment {entry.content}", _listed(named), _listed(there)))
        for file in entry.files:
            if file.name in there:
                files += 1
                size += file.size_bytes
                observed, blocks = place.digests(file.name)
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


def _names(entry: SegmentEntry) -> set[str]:
    return {file.name for file in entry.files}


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _conservation(staged: StagedCandidate, store: ObjectStore, counts: DropCounts, stop: Event) -> GateReceipt:
    """Frame each drop again: its records are exactly the ones that are valid or in quarantine, each once."""
    findings: list[Finding] = []
    accounted: list[BlobRef] = []
    records = valid = quarantined = size = 0
    with open_session("gate", store=store) as session:
        for entry in staged.candidate.segments:
            place = staged.places[entry.content]
            index = place.index()
            accounted += [account.source for account in index.drops]
            if entry.content in staged.proven:
                records, valid, quarantined = (
                    records + entry.records,
                    valid + entry.valid_rows,
                    quarantined + entry.quarantined_rows,
                )
                continue
            good, bad = (
                _record_numbers(session, place.source(name), stop) if name in _names(entry) else {}
                for name in (VALID, QUARANTINE)
            )
            unread = _unread(session, staged, entry, index)
            for account in index.drops:
                there = (good.pop(account.source.digest, _NONE), bad.pop(account.source.digest, _NONE))
                if account.source.digest in unread:
                    counts.check(account.source)
                    framed = 1
                else:
                    framed = counts.of(account.source)
                    if framed != len(there[0]) + len(there[1]):
                        framed = counts.closely(account.source)
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


def _unread(
    session: duckdb.DuckDBPyConnection, staged: StagedCandidate, entry: SegmentEntry, index: SegmentIndex
) -> frozenset[Digest]:
    """The drops of a segment that were refused without being read, because that ended the process before.

    Its quarantine names them; what it says counts only if the recipe says it, too.
    """
    if not any((account.records, account.quarantined_rows) == (1, 1) for account in index.drops):
        return frozenset()
    quarantine = parquet_source([staged.places[entry.content].source(QUARANTINE)])
    query = f"SELECT _hg_source FROM {quarantine} WHERE reasons[1].code = '{Reason.PARSER_CRASHED}'"
    said = frozenset(Digest(source) for (source,) in run_query(session, query))
    drops = [account.source for account in index.drops]
    recipe = segment_view(staged.contract, staged.candidate.parser, drops, said)
    return said if recipe.key == entry.view_key else frozenset()


def _record_numbers(session: duckdb.DuckDBPyConnection, source: str, stop: Event) -> dict[str, np.ndarray]:
    found: dict[str, list[np.ndarray]] = {}
    for batch in session.sql(f"SELECT _hg_source, _hg_record FROM {parquet_source([source])}").to_arrow_reader(
        _BATCH_ROWS
    ):
        if stop.is_set():
            msg = "the records are not counted any more: nobody asks"
            raise GateError(msg)
        sources = batch.column(0).dictionary_encode()
        codes, numbers = np.from_dlpack(sources.indices), np.from_dlpack(batch.column(1))  # `to_numpy` imports pandas
        for code, drop in enumerate(sources.dictionary.to_pylist()):
            found.setdefault(drop, []).append(numbers[codes == code])
    return {drop: np.concatenate(parts) for drop, parts in found.items()}


def _unaccounted(source: BlobRef, records: int, valid: np.ndarray, quarantined: np.ndarray) -> list[Finding]:
    numbers = np.concatenate([valid, quarantined])
    outside = numbers[(numbers < 1) | (numbers > records)]
    # no longer than what is there: a file may claim more records than fit in memory
    seen = np.bincount(numbers[(numbers >= 1) & (numbers <= records)], minlength=min(records, len(numbers)) + 2)[1:]
    lost = np.flatnonzero(seen[:records] == 0) + 1
    wrong = [
        ("lost", max(records - len(seen), 0) + len(lost), lost),
        ("there twice", int((seen > 1).sum()), np.flatnonzero(seen > 1) + 1),
        ("invented", len(outside), outside),
    ]
    return [
        Finding(
            subject=f"records of drop {source.digest}",
            expected=f"{records} records, each once",
            observed=f"{many} {what}, first record {which[0]}",
            fix="The writer lost or repeated records: ingest again, and report it if it stays.",
        )
        for what, many, which in wrong
        if many
    ]


def _contract(staged: StagedCandidate, store: ObjectStore) -> GateReceipt:
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
    with open_session("gate", store=store) as session:
        for entry, path in zip(staged.candidate.segments, staged.files(VALID), strict=True):
            described = run_query(session, f"DESCRIBE SELECT * FROM {parquet_source([path])}")
            observed = [(row[0], row[1]) for row in described]
            name = f"{hex_of(entry.content)[:12]}/{VALID}"
            where = f" of {name}"
            findings += column_deviations(expected, observed, where, "Ingest again under the present contract.")
            missing = (
                run_query(
                    session,
                    f"SELECT count(*) FROM {parquet_source([path])} "
                    f"WHERE {' OR '.join(f'{name} IS NULL' for name in LINEAGE_COLUMNS)}",
                )[0][0]
                if not findings
                else 0
            )
            if missing:
                findings.append(
                    Finding(
                        subject=name,
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


def _quality(staged: StagedCandidate, store: ObjectStore) -> GateReceipt:
    """Over the partition as readers would see it: budget, keys, rules over the set; warnings are counted."""
    contract, judgement = staged.contract, compile_judgement(staged.contract)
    findings: list[Finding] = []
    with open_session("gate", store=store) as session:
        session.execute(f"SET max_execution_time = {RULE_TIMEOUT_S * 1000}")
        session.execute(f"CREATE TEMP VIEW candidate AS {_readers_view(staged)}")
        valid = run_query(session, "SELECT count(*) FROM candidate")[0][0]
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
    if not run_query(session, judgement.has_duplicates_query("candidate", key))[0][0]:
        return 0
    names = ", ".join(quoted(name) for name in key)
    whole = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in key)
    groups = f"SELECT 1 FROM candidate WHERE {whole} GROUP BY {names} HAVING count(*) > 1"
    return int(run_query(session, f"SELECT count(*) FROM ({groups})")[0][0])


def _readers_view(staged: StagedCandidate) -> str:
    valid = staged.files(VALID)
    if not valid:  # every drop was withdrawn
        empty = (f"CAST(NULL AS {type_}) AS {quoted(name)}" for name, type_ in staged.contract.table_schema.items())
        return f"SELECT {', '.join(empty)} WHERE false"
    columns = ", ".join(quoted(name) for name in staged.contract.table_schema)
    query = f"SELECT {columns} FROM {parquet_source(valid)} AS valid"
    overlay = staged.files(QUARANTINE, overlay=True)
    if overlay:
        query += f" ANTI JOIN {parquet_source(overlay)} AS overlay USING (_hg_source, _hg_record)"
    return query


def _rows(sources: Sequence[str]) -> int:
    rows = 0
    for source in sources:
        with open_source(source) as file:
            rows += pq.read_metadata(file).num_rows
    return rows


def _evaluate(session: duckdb.DuckDBPyConnection, query: str) -> object:
    """The rule's number, or a text saying why there is none."""
    try:
        return run_query(session, query)[0][0]
    except duckdb.Error as error:
        return str(error).splitlines()[0]


def _broken_warnings(session: duckdb.DuckDBPyConnection, query: str | None) -> list[Finding]:
    if query is None:
        return []
    return [
        Finding(
            subject=f"rule {name}", expected="holds for every row", observed=f"{rows} rows break it", severity="warning"
        )
        for name, rows in run_query(session, query)
        if rows
    ]
