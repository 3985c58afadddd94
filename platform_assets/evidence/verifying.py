"""Verification: everything that versions rest on, read again from storage and compared with what was published.

It trusts no earlier verification, but where it was asked for a quick look. First the documents: they are few, each is
verified, and together they say which objects there must be. Then the objects, each once, however many need it. What
the database and Dagster remember is compared with the chains, since a chain cannot see its own tail cut off. Against
somebody who rewrites the store and all that remembers it there is no defence.

It looks only: the store stays as it is, unless the caller asks to put aside what is damaged. One thing it always does:
the database forgets that a damaged file was ever verified, so that no reader takes it for whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from contracts.collection import base_name
from contracts.refs import BlobRef, Digest
from platform_assets.evidence.corruptions import (
    COLLECT,
    Concern,
    Corruption,
    Depth,
    Need,
    StoreReport,
    TableReport,
    Verification,
)
from platform_assets.evidence.memories import ToldTable, remembered
from platform_assets.evidence.object_evidence import (
    FolderLook,
    Lying,
    Needed,
    NeededFolder,
    Subject,
    blobs,
    look_at_folder,
    look_at_left_folder,
    look_at_snapshot,
    of_another_size,
    stray,
)
from platform_assets.evidence.partition_evidence import PartitionEvidence, look_at_partition, partitions_of
from platform_assets.evidence.putting_aside import put_damaged_aside
from platform_assets.evidence.rejudging import can_be_judged, judge_again
from platform_assets.evidence.report_evidence import look_at_reports
from platform_assets.evidence.store_evidence import left_overs, look_at_rest, read_expirations, walk
from platform_assets.evidence.table_evidence import TableEvidence, drop_again, look_at_table
from resources.captures import blob_key
from resources.expirations import Expirations
from resources.rereading import Altered, ExpectedObject, readers_of, reread
from resources.segment_places import is_remote
from resources.table_reader import NOTHING
from resources.workspace import Workspace

Told = Mapping[str, ToldTable]
"""What Dagster remembers, by table."""
OnProgress = Callable[[str, str, int, int], None]
"""Of what kind of thing, the last that was done, how many are, and how many there are to do."""

ItemT = TypeVar("ItemT")
FoundT = TypeVar("FoundT")


def known_tables(workspace: Workspace) -> list[str]:
    """Every table of which anything lies in the store, or is remembered."""
    store = workspace.store
    there = (*store.keys("tables"), *store.keys("captures"))
    return sorted({*there, *workspace.catalogue.anchored_tables(), *workspace.contracts.contracts})


def verify(
    workspace: Workspace,
    tables: Sequence[str] | None = None,
    partitions: Sequence[str] | None = None,
    *,
    depth: Depth = Depth.QUICK,
    told: Told | None = None,
    put_aside: bool = False,
    progress: OnProgress = lambda _unit, _label, _done, _total: None,
) -> Verification:
    """Look again at what lies in the store.

    Args:
        workspace: The installation.
        tables: Which ones (default: all, and what else lies in the store).
        partitions: Of these tables (default: all, and the tables' capture logs and dataset entries).
        depth: How closely.
        told: What Dagster remembers, looked up before (default: it was not asked).
        put_aside: Move damaged blobs, segments, held candidates and reports to `damaged/`.
        progress: Called now and then.

    Raises:
        DatabaseError, StoreError: The database or the store is away or refuses.
    """
    return _Verifying(workspace, tables, partitions, depth, told, progress).run(put_aside=put_aside)


def verify_partitions(
    workspace: Workspace, table: str, partitions: Sequence[str], *, depth: Depth = Depth.JUDGED
) -> TableReport:
    """Look again at some partitions of a table, and say what was found of them alone."""
    return verify(workspace, [table], partitions, depth=depth).tables[0]


class _Verifying:
    """One look."""

    def __init__(
        self,
        workspace: Workspace,
        tables: Sequence[str] | None,
        partitions: Sequence[str] | None,
        depth: Depth,
        told: Told | None,
        progress: OnProgress,
    ) -> None:
        self._workspace, self._store, self._progress = workspace, workspace.store, progress
        self._partitions, self._depth = partitions, depth
        self._is_all = tables is None and partitions is None
        self._tables = known_tables(workspace) if tables is None else list(tables)
        # looked up before the store is: whatever is remembered was there by then
        log = partitions is None
        self._remembered = {
            name: remembered(workspace.catalogue, name, (told or {}).get(name), log=log) for name in self._tables
        }
        self._result = Verification(depth, [TableReport(name) for name in self._tables], asked_dagster=told is not None)
        self._reports = {report.table: report for report in self._result.tables}
        self._partition_evidence: list[PartitionEvidence] = []
        self._folders: dict[str, tuple[NeededFolder, Needed]] = {}
        self._snapshots: dict[Digest, Needed] = {}
        self._drops: dict[Digest, tuple[BlobRef, Needed]] = {}
        self._objects: dict[str, tuple[ExpectedObject, Needed]] = {}

    def run(self, *, put_aside: bool) -> Verification:
        expirations, wrong, expired = read_expirations(self._store)
        self._look_at_documents(expirations)
        lying, walked = self._walk()
        self._look_at_folders(lying)
        self._look_at_snapshots(lying)
        self._name_drops(lying)
        if self._is_all:
            self._result.store = StoreReport(expired=expired, corruptions=wrong)
            self._look_at_rest(lying, walked or {}, self._result.store)
        self._look_at_objects(lying)
        if self._depth is Depth.JUDGED:
            self._judge()
        if self._result.store is None and wrong and self._result.tables:
            self._result.tables[0].corruptions += wrong
        for report in self._result.tables:
            report.corruptions.sort(key=_order)
        damaged = list(self._result.corruptions)
        self._workspace.catalogue.forget_verified(sorted({found.subject for found in damaged}))
        if put_aside:
            self._result.moved = put_damaged_aside(self._store, damaged)
        return self._result

    # ---- documents ---------------------------------------------------------------------------------------------------

    def _look_at_documents(self, expirations: Expirations) -> None:
        asked = [
            (name, key)
            for name in self._tables
            for key in self._partitions or partitions_of(self._workspace, name, self._remembered[name])
        ]
        # opened here: threads share them
        _ = self._workspace.reader

        def look(table: str, partition: str) -> PartitionEvidence:
            memory = self._remembered[table]
            evidence = look_at_partition(self._workspace, table, partition, memory, expirations)
            look_at_reports(self._store, evidence, memory, expirations)
            return evidence

        for evidence in self._each("partition", lambda where: look(*where), asked, label="{0[0]}[{0[1]}]".format):
            self._partition_evidence.append(evidence)
            self._take_over_partition(evidence)
        if self._partitions is None:
            for name in self._tables:
                own = [evidence for evidence in self._partition_evidence if evidence.table == name]
                table = look_at_table(self._workspace, name, own, self._remembered[name], expirations)
                self._take_over_table(table)

    def _take_over_partition(self, evidence: PartitionEvidence) -> None:
        report = self._reports[evidence.table]
        report.partitions += 1
        for name, count in evidence.counts.items():
            setattr(report, name, getattr(report, name) + count)
        report.corruptions += evidence.corruptions
        for folder, need in evidence.folders:
            self._folders.setdefault(folder.name, (folder, Needed()))[1].add(need)
        for digest, need in evidence.snapshots:
            self._snapshots.setdefault(digest, Needed()).add(need)

    def _take_over_table(self, evidence: TableEvidence) -> None:
        report = self._reports[evidence.table]
        report.captures, report.datasets = evidence.captures, evidence.datasets
        report.corruptions += evidence.corruptions
        for ref, need in evidence.drops:
            self._drops.setdefault(ref.digest, (ref, Needed()))[1].add(need)

    # ---- objects -----------------------------------------------------------------------------------------------------

    def _walk(self) -> tuple[Lying, Mapping[str, int] | None]:
        """See what lies where, in one go unless only some partitions are asked for."""
        walked = None if self._partitions is not None else walk(self._store, None if self._is_all else self._tables)
        return Lying(self._store, walked), walked

    def _look_at_folders(self, lying: Lying) -> None:
        def look(item: tuple[NeededFolder, Needed]) -> tuple[FolderLook, Needed]:
            return look_at_folder(self._store, lying, item[0]), item[1]

        for found, needed in self._each("folder", look, list(self._folders.values()), label=lambda item: item[0].name):
            for told in found.wrong:
                self._miss(needed, *told)
            for key in found.strays:
                for table, partition in needed.by:
                    self._corruptions_of(table).append(stray(table, partition, key))
            for asked in found.files:
                self._objects.setdefault(asked.key, (asked, Needed()))[1].add_all(needed)
            self._count(needed, folders=1, files=len(found.files))

    def _look_at_snapshots(self, lying: Lying) -> None:
        paths = {(found.table, found.partition): found.paths for found in self._partition_evidence}

        def look(item: tuple[Digest, Needed]) -> tuple[Sequence[BlobRef], list[tuple[str, str, str]], Needed]:
            inputs, wrong = look_at_snapshot(self._store, lying, item[0])
            return inputs or (), wrong, item[1]

        for inputs, wrong, needed in self._each(
            "selection", look, list(self._snapshots.items()), label=lambda item: item[0]
        ):
            for told in wrong:
                self._miss(needed, *told)
            for ref in inputs:
                by = self._drops.setdefault(ref.digest, (ref, Needed()))[1]
                for subject, need in needed.by.items():
                    path = paths.get((str(need.table), str(need.partition)), {}).get(ref.digest)
                    by.add(need if need.concern is Concern.HISTORY or path is None else _dropped(subject, path))

    def _name_drops(self, lying: Lying) -> None:
        for ref, needed in self._drops.values():
            for asked in blobs(lying, ref):
                self._objects.setdefault(asked.key, (asked, Needed()))[1].add_all(needed)
            self._count(needed, drops=1)

    def _look_at_rest(self, lying: Lying, walked: Mapping[str, int], report: StoreReport) -> None:
        """What no document names is no damage; unless it is damaged, which shows when it is read, too."""
        needed = {*self._folders, *map(blob_key, (*self._snapshots, *self._drops))}
        left = left_overs(walked, needed, self._tables)
        look_at_rest(self._store, report, left)
        if self._depth is Depth.QUICK:
            return
        nobody = Needed({(None, None): Need(None, None, Concern.STRAY, COLLECT)})
        for key, size in left.blobs.items():
            digest = Digest(f"blake3:{base_name(key.rpartition('/')[2])}")
            self._objects[key] = (ExpectedObject(key, digest, size), nobody)
        for place in left.folders:
            found = look_at_left_folder(self._store, lying, place)
            for told in found.wrong:
                self._miss(nobody, *told)
            report.corruptions += [stray(None, None, key) for key in found.strays]
            self._objects |= {asked.key: (asked, nobody) for asked in found.files}

    def _look_at_objects(self, lying: Lying) -> None:
        expected = [asked for asked, _ in self._objects.values()]
        altered = self._altered_at_a_glance(lying, expected) if self._depth is Depth.QUICK else self._altered(expected)
        for found in altered:
            needed = self._objects[found.expected.key][1]
            if (None, None) in needed.by and found.observed == NOTHING:
                continue  # a collector was at work
            self._miss(needed, found.expected.key, found.expected.digest, found.observed)

    def _altered(self, expected: Sequence[ExpectedObject]) -> Iterable[Altered]:
        """Read everything."""
        for asked in expected:
            self._count(self._objects[asked.key][1], hashed_bytes=asked.size_bytes)
        done = 0

        def tell(key: str, count: int) -> None:
            nonlocal done
            done += count
            self._progress("object", key, done, len(expected))

        return reread(self._store, expected, done=tell)

    def _altered_at_a_glance(self, lying: Lying, expected: Sequence[ExpectedObject]) -> Iterable[Altered]:
        """Look at sizes; and read those files of segments that somebody has touched since they were last read.

        A file in a bucket is verified whenever it is read, block by block: there is nothing to remember of it.
        """
        missing = list(of_another_size(lying, expected))
        yield from missing
        if is_remote(self._store.url("any")):
            return
        gone = {altered.expected.key for altered in missing}
        known = self._workspace.catalogue.verified()
        touched: dict[str, tuple[ExpectedObject, str]] = {}
        for asked in expected:
            if asked.key not in gone and not asked.key.startswith("blobs/"):
                stamp = self._store.stamp(asked.key)
                if known.get(asked.key) != (stamp, asked.digest):
                    touched[asked.key] = (asked, stamp)
        for altered in self._altered([asked for asked, _ in touched.values()]):
            del touched[altered.expected.key]
            yield altered
        fresh = [(asked.key, stamp, asked.digest) for asked, stamp in touched.values()]
        self._workspace.catalogue.remember_verified(fresh)

    def _miss(self, needed: Needed, subject: str, expected: str, observed: str) -> None:
        for need in needed.by.values():
            self._corruptions_of(need.table).append(need.missed(subject, expected, observed))

    def _corruptions_of(self, table: str | None) -> list[Corruption]:
        if table is None and self._result.store is not None:
            return self._result.store.corruptions
        return self._reports[str(table)].corruptions

    def _count(self, needed: Needed, **counts: int) -> None:
        for report in (self._reports[table] for table in {table for table, _ in needed.by} if table is not None):
            for name, count in counts.items():
                setattr(report, name, getattr(report, name) + count)

    # ---- judging -----------------------------------------------------------------------------------------------------

    def _judge(self) -> None:
        broken = {
            (found.table, found.partition)
            for found in self._result.corruptions
            if found.concern in {Concern.READERS, Concern.EVIDENCE}
        }
        to_judge = [found for found in self._partition_evidence if found.head is not None]
        for done, found in enumerate(to_judge, 1):
            report, head = self._reports[found.table], found.head
            contract = self._workspace.contracts.contracts.get(found.table)
            if (found.table, found.partition) in broken or head is None:
                continue
            if contract is None or not can_be_judged(contract, head):
                report.not_judged.append(found.partition)
                continue
            judged = judge_again(self._workspace, contract, head)
            report.gates, report.records = report.gates + judged.gates, report.records + judged.records
            report.corruptions += judged.corruptions
            self._progress("partition judged", found.partition, done, len(to_judge))

    def _each(
        self, unit: str, look: Callable[[ItemT], FoundT], items: Sequence[ItemT], label: Callable[[ItemT], str]
    ) -> Iterable[FoundT]:
        """Look at each, several at once where the store is far away; near ones are read faster than they are parsed."""
        at_once = readers_of(self._store) if is_remote(self._store.url("any")) else 1
        with ThreadPoolExecutor(at_once, thread_name_prefix="verify") as pool:
            found = pool.map(look, items) if at_once > 1 else map(look, items)
            for done, one in enumerate(found, 1):
                self._progress(unit, label(items[done - 1]), done, len(items))
                yield one


def _dropped(subject: Subject, path: str) -> Need:
    """The drop of a version that readers see can be dropped again."""
    return Need(*subject, Concern.EVIDENCE, drop_again(path))


def _order(found: Corruption) -> tuple[str, int, str]:
    return found.partition or "", list(Concern).index(found.concern), found.subject
