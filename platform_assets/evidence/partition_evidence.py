"""What the documents of one partition say, each verified, and which objects they need.

The chain of commits, the selections, held candidates and discards. Nothing large is read here: folders and snapshots
are only named, with the concern of whoever needs them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from contracts.commits import Commit, Link, LinkRef
from contracts.errors import CommitError, StoreError
from contracts.refs import Digest
from contracts.sealing import ChainError, Linked
from contracts.selection import Selection
from platform_assets.evidence.corruptions import (
    AS_WRITTEN,
    INGEST_FORCED,
    MOVE_OUT,
    REPAIR,
    RESTORE,
    RESTORE_OLD,
    TRUST_STORE,
    UNEXPLAINED,
    Concern,
    Corruption,
    Need,
)
from platform_assets.evidence.memories import Remembered
from platform_assets.evidence.object_evidence import NeededFolder, folders_needed
from resources.commit_chain import CommitChain, Inspection, link_name
from resources.document_chain import DocumentChain
from resources.expirations import Expirations
from resources.table_reader import (
    NOTHING,
    commits_prefix,
    held_prefix,
    numbered_key,
    selection_chain,
    table_prefix,
)
from resources.workspace import Workspace

LinkedT = TypeVar("LinkedT", bound=Linked)

LINK = re.compile(r"([0-9]{8,})\.json")
_HELD = re.compile(r"[0-9a-f]{64}\.json")


@dataclass
class PartitionEvidence:
    """What was found of one partition."""

    table: str
    partition: str
    links: tuple[Link, ...] = ()
    """Of the chain, those that are whole, the newest first."""
    highest: int = 0
    """The last number that the chain has, or was seen to have."""
    lost: frozenset[int] = frozenset()
    """Numbers of the chain that are damaged, or whose damage a repair has put up with."""
    head: Commit | None = None
    """The newest whole version that readers would see."""
    commits: list[Commit] = field(default_factory=list)
    """The versions and held candidates that have not expired, what readers see first."""
    stopped: list[Commit] = field(default_factory=list)
    """Candidates that are held, or were until somebody discarded them."""
    selections: Mapping[int, Selection] = field(default_factory=dict)
    folders: list[tuple[NeededFolder, Need]] = field(default_factory=list)
    snapshots: list[tuple[Digest, Need]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    corruptions: list[Corruption] = field(default_factory=list)

    @property
    def cutoff(self) -> int:
        """The highest number of the capture log that any document says it has looked at."""
        cutoffs = [commit.candidate.cutoff for commit in self.commits]
        return max([*cutoffs, *(selection.cutoff for selection in self.selections.values())], default=0)

    @property
    def paths(self) -> dict[Digest, str]:
        """Under which name each selected drop came, by digest."""
        newest_last = sorted(self.selections.items())
        return {drop.digest: drop.paths[-1] for _, selection in newest_last for drop in selection.drops}

    @property
    def is_whole(self) -> bool:
        """Whether all is well with what readers see, and with what proves it."""
        return all(corruption.concern in {Concern.HISTORY, Concern.STRAY} for corruption in self.corruptions)

    def found(self, subject: str, expected: str, observed: str, fix: str, concern: Concern) -> None:
        """Something is not what was published; of one object this is said once."""
        if all(corruption.subject != subject for corruption in self.corruptions):
            self.corruptions.append(Corruption(self.table, self.partition, subject, expected, observed, fix, concern))


def partitions_of(workspace: Workspace, table: str, remembered: Remembered) -> list[str]:
    """Every partition of which anything lies in the store, or is remembered."""
    kinds = ("commits", "held", "selections", "discarded", "reports")
    there = (name for kind in kinds for name in workspace.store.keys(f"{table_prefix(table)}/{kind}"))
    return sorted({*there, *remembered.anchors, *remembered.told.versions})


def look_at_partition(
    workspace: Workspace, table: str, partition: str, remembered: Remembered, expirations: Expirations
) -> PartitionEvidence:
    """Read and verify the documents of a partition. Several threads may look at once, each at another one.

    What the store refuses to hand out ends the look at this partition, and is told like what is altered.
    """
    look = _PartitionLook(workspace, PartitionEvidence(table, partition), remembered, expirations)
    try:
        look.run()
    except StoreError as error:
        subject = str(error.evidence.get("key", commits_prefix(table, partition)))
        look.evidence.found(subject, AS_WRITTEN, f"it cannot be read: {error}", RESTORE, Concern.READERS)
    return look.evidence


def read_links(chain: DocumentChain[LinkedT]) -> tuple[dict[int, LinkedT], dict[int, str]]:
    """Every link of a chain: those that are whole by number, and what is wrong with the others."""
    links: dict[int, LinkedT] = {}
    wrong: dict[int, str] = {}
    for number in range(1, chain.newest() + 1):
        try:
            links[number] = link = chain.read(number)
        except ChainError as error:
            wrong[number] = str(error.evidence["problem"])
            continue
        # where the link before is broken, nobody can say what this one must follow
        problem = None if number - 1 in wrong else link.problem_after(links.get(number - 1))
        if problem is not None:
            wrong[number] = problem
    return links, wrong


class _PartitionLook:
    """One look at one partition."""

    def __init__(
        self, workspace: Workspace, evidence: PartitionEvidence, remembered: Remembered, expirations: Expirations
    ) -> None:
        self._store, self._reader, self.evidence = workspace.store, workspace.reader, evidence
        self._remembered, self._expirations = remembered, expirations
        self._table, self._partition = evidence.table, evidence.partition

    def run(self) -> None:
        evidence = self.evidence
        self._look_at_chain()
        self._look_at_selections()
        held = list(self._held())
        discards, wrong = read_links(self._reader.discards(self._table, self._partition))
        self._tell_wrong("discarded", wrong, Concern.EVIDENCE)
        evidence.stopped = [*held, *(discard.held for discard in discards.values())]
        older = [link for link in evidence.links if isinstance(link, Commit) and link is not evidence.head]
        for commit in [*([evidence.head] if evidence.head else []), *held, *older]:
            self._look_at_commit(commit)
        for kind, pattern in (("commits", LINK), ("selections", LINK), ("discarded", LINK), ("held", _HELD)):
            self._tell_strays(kind, pattern)

    # ---- the chain ---------------------------------------------------------------------------------------------------

    def _look_at_chain(self) -> None:
        anchor = self._remembered.anchors.get(self._partition)
        seen = None if anchor is None else LinkRef(number=anchor.number, digest=anchor.digest)
        prefix = commits_prefix(self._table, self._partition)
        chain = CommitChain(self._store, prefix, table=self._table, partition=self._partition, anchor=seen)
        inspection, evidence = chain.inspect(), self.evidence
        self._take_over(inspection)
        concern = Concern.READERS if inspection.damages and _is_unreadable(chain) else Concern.HISTORY
        repair = REPAIR.format(table=self._table, partition=self._partition)
        for damage in inspection.damages:
            observed = damage.problem
            if damage.observed is None and anchor is not None and damage.number <= anchor.number:
                observed = f"{NOTHING}; the database has seen number {anchor.number} of this chain, {anchor.digest}"
            evidence.found(chain.key(damage.number), AS_WRITTEN, observed, repair, concern)
        told = self._remembered.told.versions.get(self._partition)
        if told is not None and all(link.digest != told.commit for link in evidence.links):
            tell_cut_off(evidence, told.number, f"{told.commit}, which Dagster has recorded")

    def _take_over(self, inspection: Inspection) -> None:
        evidence = self.evidence
        evidence.links, evidence.highest = inspection.whole, inspection.highest
        put_up_with = {damage.number for link in inspection.whole for damage in link.damages}
        evidence.lost = frozenset(put_up_with | {damage.number for damage in inspection.damages})
        evidence.counts["versions"] = sum(isinstance(link, Commit) for link in inspection.whole)
        newest = next((link for link in inspection.whole if link.kind != "void"), None)
        evidence.head = newest if isinstance(newest, Commit) else None

    # ---- what hangs on commits ---------------------------------------------------------------------------------------

    def _look_at_commit(self, commit: Commit) -> None:
        candidate, evidence = commit.candidate, self.evidence
        evidence.counts["receipts"] += len(commit.receipts)
        if not commit.is_held and (self._table, self._partition, commit.number) in self._expirations.versions:
            evidence.counts["purged"] += 1
            return
        evidence.commits.append(commit)
        need = self._need(Concern.READERS if commit is evidence.head else Concern.HISTORY, held=commit.is_held)
        evidence.folders += [(folder, need) for folder in folders_needed(candidate)]
        if candidate.origin == "drops":
            self._look_at_inputs(commit)

    def _look_at_inputs(self, commit: Commit) -> None:
        """The selection that a version is built from says the same of its inputs."""
        candidate, evidence = commit.candidate, self.evidence
        concern = Concern.EVIDENCE if commit is evidence.head else Concern.HISTORY
        selection = evidence.selections.get(candidate.selection_number)
        key = numbered_key(self._table, "selections", self._partition, candidate.selection_number)
        if selection is None:
            evidence.found(key, f"the selection of version {commit.number}", NOTHING, RESTORE, concern)
        elif (selection.snapshot, selection.cutoff) != (candidate.snapshot, candidate.cutoff):
            expected = f"snapshot {candidate.snapshot} up to sequence {candidate.cutoff}"
            evidence.found(key, expected, f"{selection.snapshot} up to {selection.cutoff}", RESTORE, concern)
        evidence.snapshots.append((candidate.snapshot, self._need(concern, held=commit.is_held)))

    def _need(self, concern: Concern, *, held: bool = False) -> Need:
        fix = RESTORE_OLD if concern is Concern.HISTORY and not held else INGEST_FORCED
        return Need(self._table, self._partition, concern, fix)

    def _held(self) -> Iterator[Commit]:
        folder = held_prefix(self._table, self._partition)
        for name in filter(_HELD.fullmatch, self._store.keys(folder)):
            view_key = Digest(f"blake3:{name.removesuffix('.json')}")
            try:
                held = self._reader.held(self._table, self._partition, view_key)
            except CommitError as error:
                problem = str(error.evidence["problem"])
                self.evidence.found(f"{folder}/{name}", AS_WRITTEN, problem, INGEST_FORCED, Concern.HISTORY)
                continue
            if held is not None:  # else it was released or discarded between two looks
                self.evidence.counts["held"] += 1
                yield held

    def _look_at_selections(self) -> None:
        evidence = self.evidence
        links, wrong = read_links(selection_chain(self._store, self._table, self._partition))
        self._tell_wrong("selections", wrong, Concern.EVIDENCE)
        evidence.selections, evidence.counts["selections"] = links, len(links)
        newest = max(links, default=0)
        for number, selection in links.items():
            if (self._table, self._partition, number) not in self._expirations.selections:
                need = self._need(Concern.EVIDENCE if number == newest else Concern.HISTORY)
                evidence.snapshots.append((selection.snapshot, need))
        told = self._remembered.told.selections.get(self._partition)
        if told is not None and not wrong and all(told != selection.snapshot for selection in links.values()):
            key = numbered_key(self._table, "selections", self._partition, newest + 1)
            expected = f"a selection of snapshot {told}, which Dagster has recorded"
            evidence.found(key, expected, NOTHING, TRUST_STORE, Concern.EVIDENCE)

    def _tell_wrong(self, kind: str, wrong: Mapping[int, str], concern: Concern) -> None:
        for number, problem in wrong.items():
            key = numbered_key(self._table, kind, self._partition, number)
            self.evidence.found(key, AS_WRITTEN, problem, RESTORE, concern)

    def _tell_strays(self, kind: str, pattern: re.Pattern[str]) -> None:
        folder = f"{table_prefix(self._table)}/{kind}/{self._partition}"
        for name in stray_names(self._store.keys(folder), pattern):
            self.evidence.found(f"{folder}/{name}", NOTHING, UNEXPLAINED, MOVE_OUT, Concern.STRAY)


def tell_cut_off(evidence: PartitionEvidence, number: int, expected: str, fix: str = TRUST_STORE) -> None:
    """Somebody knows of a link that is not in the chain: its tail was cut off, or another was put in its place.

    What is known to be damaged, or a repair has put up with, is not told again.
    """
    if number not in evidence.lost:
        there = next((link.digest for link in evidence.links if link.number == number), None)
        observed = there or f"{NOTHING}; the chain reaches number {evidence.highest}"
        key = numbered_key(evidence.table, "commits", evidence.partition, number)
        evidence.found(key, expected, observed, fix, Concern.READERS)


def stray_names(names: Sequence[str], pattern: re.Pattern[str]) -> Iterator[str]:
    """Of the names in a folder, those that no document of it has; of a number there is one spelling."""
    for name in names:
        found = pattern.fullmatch(name)
        if found is None or (pattern is LINK and link_name(int(found[1])) != name):
            yield name


def _is_unreadable(chain: CommitChain) -> bool:
    try:
        chain.standing()
    except CommitError:
        return True
    return False
