"""Versions made by hand for tests of the protocol: candidates, staged segments and commits, without parsing a thing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

from contracts.commits import Candidate, Commit, ContractStamp, LinkRef, SegmentEntry
from contracts.gates import GATES, Finding, GateReceipt, receipt
from contracts.refs import Digest, ViewRef, digest_bytes, digest_json
from contracts.segments import DropAccount, IndexedFile, ParserIdentity, SegmentIndex
from contracts.selection import Decision
from resources.block_digests import digests_of_file
from resources.file_catalogue import FileCatalogue
from resources.object_store import ObjectStore
from resources.publisher import Publication, publish
from resources.segment_places import SegmentPlace, StagedFolder
from resources.settings import Settings
from resources.table_reader import INDEX, VALID, TableReader
from resources.workspace import Workspace
from tests.profile import in_profile

SOME = digest_bytes(b"")
NOON = dt.datetime(2020, 1, 1, 12, tzinfo=dt.UTC)
TABLE, DAY = "t", "2020-01-01"
ANA = Decision(actor="ana", reason="the airport was closed")
PARSER = ParserIdentity(version=1, artifact=SOME, environment=SOME)


def stamp(contract: str = "A") -> ContractStamp:
    """The stamp of a contract by a letter."""
    digest = digest_bytes(contract.encode())
    return ContractStamp(
        version=contract, digest=digest, rows_digest=digest, set_digest=digest, schema_fingerprint=SOME
    )


def candidate(cutoff: int = 1, contract: str = "A", **changes: Any) -> Candidate:
    """A candidate without segments."""
    fields: dict[str, Any] = {
        "table": TABLE,
        "partition": DAY,
        "view_key": digest_json([cutoff, contract]),
        "snapshot": SOME,
        "selection_number": 1,
        "cutoff": cutoff,
        "contract": stamp(contract),
        "parser": PARSER,
        "output_target_key": SOME,
        "materialization_key": SOME,
        "segments": (),
        "records": 0,
        "valid_rows": 0,
        "quarantined_rows": 0,
        "run_id": "run",
    }
    return Candidate(**fields | changes)


def passed() -> tuple[GateReceipt, ...]:
    """The receipts of a candidate that may be published."""
    return tuple(receipt(gate, expected="e", observed="o", findings=()) for gate in GATES)


def stopped(gate: str = "quality") -> tuple[GateReceipt, ...]:
    """The receipts of one that a gate stopped."""
    finding = Finding(subject="budget", expected="at most 5 %", observed="50 %", fix="Mend it.")
    return tuple(
        receipt(name, expected="e", observed="o", findings=[finding] if name == gate else []) for name in GATES
    )


def first(of: Candidate | None = None, **changes: Any) -> Commit:
    """The first commit of a chain."""
    fields: dict[str, Any] = {"number": 1, "parent": None, "committed_at": NOON, "candidate": of or candidate()}
    return Commit(**fields | {"receipts": passed(), "writer": uuid4().hex} | changes)


def after(head: Commit, of: Candidate, **changes: Any) -> Commit:
    """The commit that follows another."""
    return first(of.built_on(head), **{"number": head.number + 1, "parent": head.digest} | changes)


@dataclass(frozen=True)
class Contract:
    """What the publisher asks of one."""

    sink_mode: str = "replace"


@dataclass(frozen=True)
class StagedVersion:
    """A candidate, and where its segments lie."""

    candidate: Candidate
    places: Mapping[Digest, SegmentPlace]
    contract: Contract = field(default_factory=Contract)


@dataclass(frozen=True)
class Home:
    """A store with a catalogue beside it, in the profile of the session. Each reader is a new one, as another process
    would have it."""

    folder: Path
    settings: Settings

    @classmethod
    def at(cls, folder: Path) -> Home:
        """One below a folder."""
        return cls(folder, in_profile(Settings(home=folder / "home", drops=folder / "drops", contracts=())))

    @cached_property
    def store(self) -> ObjectStore:
        return Workspace(self.settings).store

    @property
    def catalogue(self) -> FileCatalogue:
        return Workspace(self.settings).catalogue

    @property
    def reader(self) -> TableReader:
        return TableReader(self.store, self.catalogue)

    def stage(self, content: str, *, sink_mode: str = "replace", **about: Any) -> StagedVersion:
        """A candidate whose one segment holds this content."""
        entry, folder = staged_segment(self.folder / "staging" / uuid4().hex, content)
        about = {"view_key": digest_json([entry.view_key, about.get("contract", "A")])} | about
        made = candidate(segments=(entry,), records=entry.records, valid_rows=entry.valid_rows, **about)
        return StagedVersion(made, {entry.content: StagedFolder(folder)}, Contract(sink_mode))

    def publish(self, content: str, *, receipts: tuple[GateReceipt, ...] | None = None, **about: Any) -> Publication:
        """Publish content as whoever reads the store now would."""
        options = {name: about.pop(name) for name in ("base", "force") if name in about}
        staged = self.stage(content, **about)
        return publish(self.store, self.reader, staged, receipts or passed(), NOON, **options)


def staged_segment(folder: Path, content: str) -> tuple[SegmentEntry, Path]:
    """A folder with an index and one file of this content: one row a word."""
    folder.mkdir(parents=True)
    path = folder / VALID
    path.write_bytes(content.encode())
    digest, blocks = digests_of_file(path)
    rows = len(content.split())
    file = IndexedFile(name=VALID, digest=digest, size_bytes=len(content), rows=rows, blocks=blocks)
    view_key = digest_bytes(f"recipe of {content}".encode())
    index = SegmentIndex(view=ViewRef(key=view_key), drops=tuple[DropAccount, ...](), files=(file,))
    (folder / INDEX).write_bytes(index.to_bytes())
    entry = SegmentEntry(
        view_key=view_key,
        content=index.content,
        files=(file.stored,),
        records=rows,
        valid_rows=rows,
        quarantined_rows=0,
    )
    return entry, folder


def ref(commit: Commit) -> LinkRef:
    """How others name a commit."""
    return LinkRef(number=commit.number, digest=commit.digest)
