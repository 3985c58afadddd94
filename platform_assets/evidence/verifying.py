"""Verification: everything a table's versions rest on, read again from storage and compared with what was published.

It trusts no earlier verification. Every version of a chain is checked, and every file any of them names; the drops of
the current version are framed again and its rows judged by every gate. It looks only: nothing is repaired, and what
it finds says how to come back. Against somebody who rewrites the store and its anchors together there is no defence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from contracts.canonical import parse_json
from contracts.commits import Commit, SegmentEntry
from contracts.errors import CommitError, HashgateError
from contracts.gates import GateReceipt, Verdict
from contracts.refs import BlobRef, Digest, digest_bytes
from contracts.segments import SegmentIndex, expected_partition_view
from contracts.selection import CaptureBatch, Selection, SelectionSnapshot
from contracts.table_contract import TableContract
from resources.captures import blob_key
from resources.gatekeeper import StagedCandidate, judge
from resources.object_store import digest_of_file
from resources.parser_identity import parser_identity
from resources.table_reader import INDEX, numbered_key, segment_prefix, table_prefix
from resources.workspace import Workspace

REINGEST = "Restore the object from a backup, or ingest the partition again with --force."
DROP_AGAIN = (
    "Restore the object from a backup; or move it out of the store, drop the same file again and ingest the partition."
)
_LINK = re.compile(r"[0-9]{8}\.json")
RESTORE = "Restore the object from a backup of the store."
RESTORE_OLD = (
    "Only an older version needs it, and readers do not: restore the object from a backup of the store to have it back."
)


@dataclass(frozen=True, slots=True)
class Corruption:
    """One object that is not what was published, and the way back."""

    table: str
    partition: str | None
    subject: str
    """The object's key in the store, or the gate that failed."""
    problem: str
    fix: str


@dataclass
class VerificationReport:
    """What was checked, how much of it, and what was found."""

    table: str
    partitions: int = 0
    versions: int = 0
    receipts: int = 0
    segments: int = 0
    files: int = 0
    drops: int = 0
    captures: int = 0
    """Drops in the capture log."""
    hashed_bytes: int = 0
    records: int = 0
    """Framed again in the current versions' drops."""
    gates: int = 0
    """Run again over the current versions."""
    not_judged: list[str] = field(default_factory=list)
    """Partitions whose files are whole, but which today's contract cannot judge: it has changed since."""
    corruptions: list[Corruption] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether everything is what it was."""
        return not self.corruptions


def verify_table(
    workspace: Workspace,
    contract: TableContract,
    partitions: Sequence[str] | None = None,
    *,
    verified: Callable[[str], None] = lambda _: None,
) -> VerificationReport:
    """Read a table's partitions (default: all, and the capture log) again and compare.

    Args:
        workspace: The installation.
        contract: The table's, as it is now.
        partitions: Which ones; those without a version have nothing to verify.
        verified: Called with each partition's key when it is done.
    """
    return _Verification(workspace, contract).run(partitions, verified)


def verifiable_partitions(workspace: Workspace, table: str) -> list[str]:
    """The partitions with a version, published or held, in order."""
    prefix = table_prefix(table)
    return sorted({*workspace.store.keys(f"{prefix}/commits"), *workspace.store.keys(f"{prefix}/held")})


class _Verification:
    """One run over one table; remembers what it hashed, because versions share segments and drops."""

    def __init__(self, workspace: Workspace, contract: TableContract) -> None:
        self._workspace, self._store, self._contract = workspace, workspace.store, contract
        self._report = VerificationReport(contract.table)
        self._partition: str | None = None
        self._checked: dict[Digest, list[Corruption]] = {}

    def run(self, partitions: Sequence[str] | None, verified: Callable[[str], None]) -> VerificationReport:
        if partitions is None:
            self._check_captures()
        for key in verifiable_partitions(self._workspace, self._contract.table) if partitions is None else partitions:
            self._partition = key
            self._check_partition(key)
            self._report.partitions += 1
            verified(key)
        return self._report

    def _found(self, subject: str, problem: str, fix: str) -> None:
        self._report.corruptions.append(Corruption(self._contract.table, self._partition, subject, problem, fix))

    def _check_captures(self) -> None:
        folder = f"captures/{self._contract.table}"
        for number in range(1, self._newest(folder) + 1):
            key = f"{folder}/{number:08d}.json"
            if not self._store.exists(key):
                self._found(key, "it is missing from the capture log", RESTORE)
                continue
            try:
                batch = CaptureBatch.model_validate(parse_json(self._store.get(key)))
            except (HashgateError, ValueError, KeyError) as error:
                self._found(key, f"it is no capture batch any more: {_first_line(error)}", RESTORE)
                continue
            if (batch.table, batch.sequence) != (self._contract.table, number):
                self._found(key, f"it belongs to {batch.table} number {batch.sequence}", RESTORE)
            self._report.captures += len(batch.drops)
            for drop in batch.drops:
                if not self._store.exists(blob_key(drop.digest)):
                    self._found(blob_key(drop.digest), f"it is missing, and {key} names it for {drop.path}", DROP_AGAIN)

    def _check_partition(self, key: str) -> None:
        versions = list(self._versions(key))
        head = versions[-1] if versions else None
        for version in [*self._held(key), *reversed(versions)]:  # what is in use first: its way back is the shorter one
            self._report.receipts += len(version.receipts)
            fix = REINGEST if version is head or version.kind == "held" else RESTORE_OLD
            whole = min([self._check_segment(entry, fix) for entry in _entries(version)], default=True)
            snapshot = self._snapshot(version)
            drops = snapshot is not None and min([self._check_drop(ref) for ref in snapshot.inputs], default=True)
            if version is head and snapshot is not None and whole and drops:
                self._judge_again(version, snapshot)

    def _versions(self, key: str) -> Iterator[Commit]:
        """The chain, oldest first; a broken link is reported, and the others are checked all the same."""
        folder = f"{table_prefix(self._contract.table)}/commits/{key}"
        parent: Digest | None = None
        for number in range(1, self._newest(folder) + 1):
            try:
                version = self._workspace.reader.commit(self._contract.table, key, number)
            except CommitError as error:
                self._found(f"{folder}/{number:08d}.json", str(error), RESTORE)
                parent = None
                continue
            if parent is not None and version.parent != parent:
                self._found(
                    f"{folder}/{number:08d}.json", f"its parent should be {parent}, but is {version.parent}", RESTORE
                )
            parent = version.digest
            self._report.versions += 1
            yield version

    def _newest(self, folder: str) -> int:
        """The highest number of a chain; what is no link of it does not belong there."""
        names = self._store.keys(folder)
        for name in names:
            if not _LINK.fullmatch(name):
                self._found(f"{folder}/{name}", "it is no link of this chain", "Move it out of the store.")
        return max((int(name[:8]) for name in names if _LINK.fullmatch(name)), default=0)

    def _held(self, key: str) -> Iterator[Commit]:
        folder = f"{table_prefix(self._contract.table)}/held/{key}"
        for name in self._store.keys(folder):
            try:
                yield Commit.from_bytes(self._store.get(f"{folder}/{name}"))
            except (HashgateError, ValueError, TypeError, KeyError) as error:
                self._found(f"{folder}/{name}", f"it is no held candidate any more: {_first_line(error)}", REINGEST)

    def _once(self, digest: Digest, check: Callable[[], None]) -> bool:
        """Check what has `digest`, unless that was done for another version; what was found counts here, too."""
        if digest in self._checked:
            found = [replace(corruption, partition=self._partition) for corruption in self._checked[digest]]
            self._report.corruptions += [
                corruption for corruption in found if corruption not in self._report.corruptions
            ]
        else:
            before = len(self._report.corruptions)
            check()
            self._checked[digest] = self._report.corruptions[before:]
        return not self._checked[digest]

    def _check_segment(self, entry: SegmentEntry, fix: str) -> bool:
        return self._once(entry.content, lambda: self._look_at_segment(entry, fix))

    def _look_at_segment(self, entry: SegmentEntry, fix: str) -> None:
        """The index has the segment's name and says what the version says; its files are there alone, as they were."""
        self._report.segments += 1
        prefix = segment_prefix(self._contract.table, entry.view_key, entry.content)
        try:
            data = self._store.get(f"{prefix}/{INDEX}")
            observed = digest_bytes(data)
            if observed != entry.content:
                self._found(f"{prefix}/{INDEX}", f"expected {entry.content}, observed {observed}", fix)
                return
            index = SegmentIndex.from_bytes(data)
        except KeyError:
            self._found(f"{prefix}/{INDEX}", "it is missing", fix)
            return
        except (HashgateError, ValueError) as error:
            self._found(f"{prefix}/{INDEX}", _first_line(error), fix)
            return
        if index.view.key != entry.view_key or index.stored_files != entry.files:
            self._found(f"{prefix}/{INDEX}", "it does not say what the version says of it", fix)
        for name in sorted(set(self._store.keys(prefix)) - {INDEX, *(file.name for file in index.files)}):
            self._found(f"{prefix}/{name}", "the index does not name it", "Move it out of the store.")
        for file in index.files:
            self._check_object(f"{prefix}/{file.name}", file.digest, fix)
            self._report.files += 1

    def _check_drop(self, ref: BlobRef) -> bool:
        return self._once(ref.digest, lambda: self._look_at_drop(ref))

    def _look_at_drop(self, ref: BlobRef) -> None:
        self._report.drops += 1
        self._check_object(blob_key(ref.digest), ref.digest, DROP_AGAIN)

    def _check_object(self, key: str, digest: Digest, fix: str) -> None:
        path = self._store.path(key)
        try:
            self._report.hashed_bytes += path.stat().st_size
            observed = digest_of_file(path)
        except FileNotFoundError:
            self._found(key, "it is missing", fix)
            return
        except OSError as error:
            self._found(key, f"it cannot be read: {error.strerror}", fix)
            return
        if observed != digest:
            self._found(key, f"expected {digest}, observed {observed}", fix)

    def _snapshot(self, version: Commit) -> SelectionSnapshot | None:
        """The frozen inputs of a version: by digest, and as the selection of its number names them."""
        candidate = version.candidate
        key = numbered_key(candidate.table, "selections", candidate.partition, candidate.selection_number)
        try:
            selection = Selection.model_validate(parse_json(self._store.get(key)))
            if selection.snapshot != candidate.snapshot:
                self._found(key, f"expected snapshot {candidate.snapshot}, observed {selection.snapshot}", RESTORE)
        except (HashgateError, ValueError, KeyError) as error:
            self._found(key, "it is missing" if isinstance(error, KeyError) else _first_line(error), RESTORE)
        blob = blob_key(candidate.snapshot)
        try:
            data = self._store.get(blob)
        except KeyError:
            self._found(blob, "it is missing", RESTORE)
            return None
        observed = digest_bytes(data)
        if observed != candidate.snapshot:
            self._found(blob, f"expected {candidate.snapshot}, observed {observed}", RESTORE)
            return None
        return SelectionSnapshot.from_bytes(data)

    def _judge_again(self, version: Commit, snapshot: SelectionSnapshot) -> None:
        """Run the gates on what lies there, and compare with the receipts of the version."""
        candidate, contract = version.candidate, self._contract
        stamp = candidate.contract
        if (stamp.rows_digest, stamp.set_digest) != (contract.rows_digest, contract.set_digest):
            self._report.not_judged.append(candidate.partition)
            return
        where = numbered_key(candidate.table, "commits", candidate.partition, version.number)
        if candidate.parser == parser_identity():
            recipe = expected_partition_view(contract, candidate.parser, snapshot.inputs).key
            if recipe != candidate.view_key:
                self._found(where, f"its recipe is {recipe}, but it says {candidate.view_key}", REINGEST)
        folders = {
            e.content: self._store.path(segment_prefix(contract.table, e.view_key, e.content))
            for e in _entries(version)
        }
        receipts = judge(StagedCandidate(candidate, snapshot, contract, folders), self._store)
        for before, now in zip(version.receipts, receipts, strict=True):
            self._report.gates += 1
            self._compare(before, now)
        counts = next((r.measures for r in receipts if r.gate == "conservation"), {})
        self._report.records += int(counts.get("records", 0))
        claimed = (candidate.records, candidate.valid_rows + candidate.quarantined_rows)
        if counts and claimed != (counts.get("records"), counts.get("records")):
            problem = f"it says {claimed[0]} records and {claimed[1]} rows, the drops have {counts.get('records')}"
            self._found(where, problem, REINGEST)

    def _compare(self, before: GateReceipt, now: GateReceipt) -> None:
        if now.verdict is Verdict.PASS:
            return
        finding = now.findings[0] if now.findings else None
        said = (
            f"{finding.subject}: expected {finding.expected}, observed {finding.observed}" if finding else now.observed
        )
        self._found(f"gate {now.gate}", f"it said {before.verdict}, and says {now.verdict}: {said}", REINGEST)


def _entries(version: Commit) -> list[SegmentEntry]:
    candidate = version.candidate
    return [*candidate.segments, *([candidate.overlay] if candidate.overlay else [])]


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
