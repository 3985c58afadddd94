"""What the documents of a table say that belong to no partition: the capture log and the dataset catalogue."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from contracts.datasets import DatasetEntry
from contracts.refs import BlobRef, Digest
from contracts.selection import CaptureBatch
from platform_assets.evidence.corruptions import (
    AS_WRITTEN,
    DROP_AGAIN,
    MOVE_OUT,
    RESTORE,
    RESTORE_OLD,
    TRUST_STORE,
    UNEXPLAINED,
    Concern,
    Corruption,
    Need,
)
from platform_assets.evidence.memories import Remembered
from platform_assets.evidence.partition_evidence import LINK, PartitionEvidence, read_links, stray_names
from platform_assets.evidence.report_evidence import look_at_derived
from resources.commit_chain import link_name
from resources.expirations import Expirations
from resources.table_reader import NOTHING, table_prefix
from resources.workspace import Workspace

_DATASET = re.compile(r"[^/]+\.json")


@dataclass
class TableEvidence:
    """What was found of a table beside its partitions."""

    table: str
    batches: Mapping[int, CaptureBatch] = field(default_factory=dict)
    drops: list[tuple[BlobRef, Need]] = field(default_factory=list)
    """Everything captured that should be there."""
    paths: dict[Digest, str] = field(default_factory=dict)
    """Under which name a content came last."""
    captures: int = 0
    datasets: int = 0
    corruptions: list[Corruption] = field(default_factory=list)

    def found(self, subject: str, expected: str, observed: str, fix: str, concern: Concern) -> None:
        """Something is not what was published."""
        self.corruptions.append(Corruption(self.table, None, subject, expected, observed, fix, concern))


def look_at_table(
    workspace: Workspace,
    table: str,
    partitions: Sequence[PartitionEvidence],
    remembered: Remembered,
    expirations: Expirations,
) -> TableEvidence:
    """Read and verify a table's capture log and dataset entries, beside what its partitions and the database say."""
    evidence = TableEvidence(table)
    _look_at_captures(workspace, evidence, remembered, expirations)
    _look_at_cutoffs(evidence, partitions)
    _look_at_datasets(workspace, evidence, partitions)
    for altered in look_at_derived(workspace.store, table):
        evidence.found(*altered)
    return evidence


def drop_again(path: str) -> str:
    """The way back of a captured drop that readers' version is made of."""
    return DROP_AGAIN.format(path=path)


def _look_at_captures(
    workspace: Workspace, evidence: TableEvidence, remembered: Remembered, expirations: Expirations
) -> None:
    table, folder = evidence.table, f"captures/{evidence.table}"
    links, wrong = read_links(workspace.capture_log.chain(table))
    evidence.batches = links
    for number, problem in wrong.items():
        evidence.found(f"{folder}/{link_name(number)}", AS_WRITTEN, problem, RESTORE, Concern.EVIDENCE)
    for name in stray_names(workspace.store.keys(folder), LINK):
        evidence.found(f"{folder}/{name}", NOTHING, UNEXPLAINED, MOVE_OUT, Concern.STRAY)
    for number, seen in remembered.captures.items():
        there = frozenset(links[number].drops) if number in links else frozenset()
        if number not in wrong and not seen <= there:
            expected = f"{len(seen)} drops that the database has seen in it"
            observed = f"{len(seen & there)} of them" if number in links else NOTHING
            evidence.found(f"{folder}/{link_name(number)}", expected, observed, TRUST_STORE, Concern.EVIDENCE)
    _name_drops(evidence, links, expirations)


def _name_drops(evidence: TableEvidence, links: Mapping[int, CaptureBatch], expirations: Expirations) -> None:
    """What of the log must be there: everything that did not expire and that nobody withdrew."""
    newest: dict[str, Digest] = {}
    for number in sorted(links):
        for drop in links[number].drops:
            newest[drop.path] = drop.digest
            evidence.paths[drop.digest] = drop.path
    for number, batch in links.items():
        evidence.captures += len(batch.drops)
        for drop in batch.drops:
            if drop.withdrawn or expirations.holds_drop(evidence.table, drop.digest, number):
                continue
            concern, fix = Concern.HISTORY, RESTORE_OLD
            if newest[drop.path] == drop.digest:
                concern, fix = Concern.EVIDENCE, drop_again(drop.path)
            evidence.drops.append((drop.ref, Need(evidence.table, drop.partition, concern, fix)))


def _look_at_cutoffs(evidence: TableEvidence, partitions: Sequence[PartitionEvidence]) -> None:
    """Selections and versions say how far they have looked at the log: it reaches so far at least."""
    reached, farthest = max(evidence.batches, default=0), max(partitions, key=lambda p: p.cutoff, default=None)
    if farthest is not None and farthest.cutoff > reached:
        key = f"captures/{evidence.table}/{link_name(farthest.cutoff)}"
        if all(corruption.subject != key for corruption in evidence.corruptions):
            expected = f"a batch, which partition {farthest.partition} has looked at"
            evidence.found(key, expected, f"{NOTHING}; the log reaches number {reached}", RESTORE, Concern.EVIDENCE)


def _look_at_datasets(workspace: Workspace, evidence: TableEvidence, partitions: Sequence[PartitionEvidence]) -> None:
    """Every version of a contract that a version of a partition was made under is catalogued with its schema."""
    store, folder = workspace.store, f"{table_prefix(evidence.table)}/datasets"
    again = "Move it out of the store and ingest the table: it is written again. Or restore it from a backup."
    entries: dict[str, DatasetEntry] = {}
    for name in store.keys(folder):
        key, version = f"{folder}/{name}", unquote(name.removesuffix(".json"))
        if not _DATASET.fullmatch(name) or f"{quote(version, safe='')}.json" != name:
            evidence.found(key, NOTHING, UNEXPLAINED, MOVE_OUT, Concern.STRAY)
            continue
        evidence.datasets += 1
        try:
            entries[version] = entry = DatasetEntry.from_bytes(store.get(key))
        except ValueError as error:
            evidence.found(key, AS_WRITTEN, str(error).partition("\n")[0], again, Concern.EVIDENCE)
            continue
        if (entry.table, entry.version) != (evidence.table, version):
            evidence.found(
                key, f"{evidence.table} {version}", f"{entry.table} {entry.version}", again, Concern.EVIDENCE
            )
    promised = {
        commit.candidate.contract.version: commit.candidate.contract.schema_fingerprint
        for partition in partitions
        for commit in partition.commits
        if commit.candidate.origin == "drops"
    }
    for version, fingerprint in promised.items():
        key = f"{folder}/{quote(version, safe='')}.json"
        observed = entries[version].schema_fingerprint if version in entries else NOTHING
        if observed != fingerprint and all(corruption.subject != key for corruption in evidence.corruptions):
            evidence.found(key, f"schema {fingerprint}", observed, again, Concern.EVIDENCE)
