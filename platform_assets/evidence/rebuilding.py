"""Rebuilding the database from what is true: captures and chains from the store, files from the drop folder.

Everything is read again and verified before it counts. What comes out is built beside the database and put in its
place in one step. What the database remembers is evidence, too: where it has seen a chain or a log reach farther than
the store's does now, the store has lost something, and nothing is replaced unless somebody says that the store is
right.

Leases, attempts of parsers and bindings of runs do not come from the store: they stay where the database can still be
used, and begin anew where it cannot. What was verified before is forgotten, and verified when it is next read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from uuid import uuid4

from blake3 import blake3

from contracts.errors import DropError, HashgateError
from contracts.refs import Digest
from contracts.table_contract import TableContract
from platform_assets.ingest.selecting import scan
from resources.captures import CHUNK_BYTES
from resources.database import Database, UnusableDatabaseError
from resources.database_migrations import open_database
from resources.database_replacement import replace, take_over
from resources.drop_folder import FileStamp, ListedFile, open_drop
from resources.expirations import expired_chain
from resources.file_catalogue import Anchor, FileCatalogue, KnownFile, stamp_text
from resources.settings import sqlite_url
from resources.staging import staged
from resources.table_reader import table_prefix
from resources.workspace import Workspace

RESTORE = (
    "Restore the store from a backup. If it is right as it is and this is to be forgotten, run "
    "`hashgate rebuild --trust-store`."
)
LATER = "Its files are looked for at the next scan."


@dataclass(frozen=True, slots=True)
class RebuildProblem:
    """Something that is not in the rebuilt database, and why."""

    table: str | None
    partition: str | None
    problem: str
    fix: str
    contradicts: bool = False
    """Whether the database remembers what the store does not have any more."""


@dataclass
class RebuiltTable:
    """What was found of one table."""

    table: str
    batches: int = 0
    """In the capture log."""
    drops: int = 0
    withdrawn: int = 0
    partitions: int = 0
    """With a chain of commits that is whole."""
    links: int = 0
    """In these chains."""
    held: int = 0
    files: int = 0
    """In the drop folder."""
    files_in_store: int = 0
    """Whose present content was captured."""


@dataclass
class RebuildReport:
    """What was found, and what became of it."""

    tables: list[RebuiltTable] = field(default_factory=list)
    expired: int = 0
    """Records of what was removed on purpose."""
    problems: list[RebuildProblem] = field(default_factory=list)
    replaced: bool = False
    """Whether the database is the rebuilt one now."""
    kept_aside: str | None = None
    """The file or schema with a database that could not be used any more."""


@dataclass(frozen=True, slots=True)
class _Memory:
    """What the present database remembers of a table."""

    anchors: Mapping[str, Anchor]
    newest_sequence: int


def rebuild(
    workspace: Workspace,
    *,
    trusts_store: Callable[[list[RebuildProblem]], bool] = lambda _: False,
    looked_at: Callable[[str], None] = lambda _: None,
) -> RebuildReport:
    """Build the database anew and put it in the place of the present one.

    Args:
        workspace: The installation.
        trusts_store: Asked when the database remembers what the store does not have: whether the database is replaced
            and its anchors lowered all the same.
        looked_at: Called with each partition's chain and each table's drop folder when it is done.

    Raises:
        DatabaseError, StoreError: The database or store is away or refuses; the database is as it was.
        ConfigurationError: The database cannot be put aside.
    """
    # remembered first, and then the store is read: whatever is remembered was in the store by then
    present, memory = _present(workspace)
    with _beside(workspace) as rebuilt:
        report = _Rebuilding(rebuilt, memory, looked_at).run(sorted({*known_tables(workspace), *memory}))
        contradictions = [problem for problem in report.problems if problem.contradicts]
        if contradictions and not trusts_store(contradictions):
            return report
        try:
            if present is not None:
                take_over(present, rebuilt.database, lower_anchors=bool(contradictions))
        except UnusableDatabaseError:
            present = None
        if present is None:
            workspace.settings.prepare()
            report.kept_aside = replace(workspace.settings.database, rebuilt.database)
        report.replaced = True
    return report


def known_tables(workspace: Workspace) -> list[str]:
    """The tables that the store or a contract knows."""
    store = workspace.store
    return sorted({*store.keys("captures"), *store.keys("tables"), *workspace.contracts.contracts})


def _present(workspace: Workspace) -> tuple[Database | None, dict[str, _Memory]]:
    """The present database with what it remembers; None when it cannot be used any more."""
    try:
        database = workspace.database
        catalogue = FileCatalogue(database)
        tables = {*catalogue.anchored_tables(), *catalogue.captured_tables()}
        memory = {table: _Memory(catalogue.anchors(table), catalogue.newest_sequence(table)) for table in tables}
    except UnusableDatabaseError:
        return None, {}
    return database, memory


@contextmanager
def _beside(workspace: Workspace) -> Iterator[_RebuiltWorkspace]:
    """The same installation over an empty database of its own, which is gone at the end."""
    workspace.settings.prepare()
    with staged(workspace.settings.staging, f"rebuild-{uuid4().hex}") as folder:
        rebuilt = _RebuiltWorkspace(workspace, open_database(sqlite_url(folder / "catalogue.db")))
        yield rebuilt
        rebuilt.database.close()


class _RebuiltWorkspace(Workspace):
    """An installation whose database is the one that is being built."""

    def __init__(self, workspace: Workspace, database: Database) -> None:
        super().__init__(workspace.settings)
        self._rebuilt = database

    @cached_property
    def database(self) -> Database:
        """The one that is being built."""
        return self._rebuilt


class _Rebuilding:
    """One run over all tables."""

    def __init__(
        self, rebuilt: _RebuiltWorkspace, memory: Mapping[str, _Memory], looked_at: Callable[[str], None]
    ) -> None:
        self._rebuilt, self._memory, self._looked_at = rebuilt, memory, looked_at
        self._report = RebuildReport()

    def run(self, tables: list[str]) -> RebuildReport:
        for name in tables:
            found = RebuiltTable(name)
            self._report.tables.append(found)
            self._index_captures(found)
            self._anchor_chains(found)
            self._look_at_held(found)
            self._look_at_files(found)
        for broken in self._rebuilt.contracts.problems:
            self._problem(None, None, str(broken), LATER)
        self._count_expired()
        return self._report

    def _index_captures(self, found: RebuiltTable) -> None:
        last = 0
        try:
            for batch in self._rebuilt.capture_log.since(found.table, 0):
                self._rebuilt.catalogue.index_captures(batch)
                withdrawn = sum(drop.withdrawn for drop in batch.drops)
                found.batches += 1
                found.drops += len(batch.drops) - withdrawn
                found.withdrawn += withdrawn
                last = batch.sequence
        except HashgateError as error:
            self._problem(found.table, None, str(error), "")
        remembered = self._memory[found.table].newest_sequence if found.table in self._memory else 0
        if remembered > last:
            said = f"the database knows captures up to number {remembered}, the store's log can be read up to {last}"
            self._problem(found.table, None, said, RESTORE, contradicts=True)

    def _anchor_chains(self, found: RebuiltTable) -> None:
        remembered = dict(self._memory[found.table].anchors) if found.table in self._memory else {}
        heads: dict[str, Anchor] = {}
        for partition in self._rebuilt.reader.partitions(found.table):
            digests = self._chain(found.table, partition)
            self._looked_at(f"{found.table}[{partition}]")
            anchor = remembered.pop(partition, None)
            if digests is None:
                continue  # what was remembered stays: a broken chain says nothing else
            if anchor is not None and digests.get(anchor.number) != anchor.digest:
                self._contradicted(found.table, partition, anchor, digests)
            if digests:
                found.partitions += 1
                found.links += len(digests)
                heads[partition] = Anchor(max(digests), digests[max(digests)])
        for partition, anchor in remembered.items():
            self._contradicted(found.table, partition, anchor, {})
        self._rebuilt.catalogue.anchor_all(found.table, heads)

    def _chain(self, table: str, partition: str) -> dict[int, Digest] | None:
        """The links of a chain, number to digest; None when it is not whole."""
        try:
            return {link.number: link.digest for link in self._rebuilt.reader.chain(table, partition).links()}
        except HashgateError as error:
            self._problem(table, partition, str(error), "")
            return None

    def _look_at_held(self, found: RebuiltTable) -> None:
        for partition in self._rebuilt.store.keys(f"{table_prefix(found.table)}/held"):
            try:
                found.held += len(self._rebuilt.reader.held_candidates(found.table, partition))
            except HashgateError as error:
                self._problem(found.table, partition, str(error), "")

    def _look_at_files(self, found: RebuiltTable) -> None:
        contract = self._rebuilt.contracts.contracts.get(found.table)
        if contract is None:
            return
        try:
            found.files = scan(self._rebuilt, contract).listed
        except HashgateError as error:
            self._problem(found.table, None, str(error), LATER)
            return
        found.files_in_store = self._mark_captured(contract)
        self._looked_at(found.table)

    def _mark_captured(self, contract: TableContract) -> int:
        catalogue = self._rebuilt.catalogue
        files = catalogue.files(contract.table, to_capture=True)
        captured = catalogue.newest_captures(contract.table, [file.path for file in files])
        drops = self._rebuilt.settings.drops
        same = [
            (file.path, file.stamp)
            for file in files
            if file.path in captured
            and _has_content(ListedFile(file.path, drops / file.path, None), file, captured[file.path])
        ]
        catalogue.mark_captured(contract.table, same)
        return len(same)

    def _count_expired(self) -> None:
        try:
            for _ in expired_chain(self._rebuilt.store).after(0):
                self._report.expired += 1
        except HashgateError as error:
            self._problem(None, None, str(error), "")

    def _contradicted(self, table: str, partition: str, anchor: Anchor, digests: Mapping[int, Digest]) -> None:
        there = f"number {max(digests)} is {digests[max(digests)]}" if digests else "there is no chain"
        said = f"the database has seen number {anchor.number} as {anchor.digest}, and in the store {there}"
        self._problem(table, partition, said, RESTORE, contradicts=True)

    def _problem(
        self, table: str | None, partition: str | None, problem: str, fix: str, *, contradicts: bool = False
    ) -> None:
        self._report.problems.append(RebuildProblem(table, partition, problem, fix, contradicts))


def _has_content(listed: ListedFile, file: KnownFile, digest: Digest) -> bool:
    """Whether a file is still in the state that was seen, and its content has this digest."""
    hasher = blake3(max_threads=blake3.AUTO)
    try:
        with os.fdopen(open_drop(listed), "rb", buffering=0) as content:
            while chunk := content.read(CHUNK_BYTES):
                hasher.update(chunk)
            stamp = stamp_text(FileStamp.of(os.fstat(content.fileno())))
    except (OSError, DropError):
        return False
    return stamp == file.stamp and f"blake3:{hasher.hexdigest()}" == digest
