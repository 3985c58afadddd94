"""The table reader: what is current, and is it still what was published?

The highest commit of a partition decides. Its files are opened by the names it gives, and hashed before anybody
sees a row; a file that nothing touched since it was hashed is not hashed again. A head that cannot be trusted makes
the partition unreadable: it never falls back to an older one in silence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contracts.canonical import parse_json
from contracts.commits import Commit, SegmentEntry
from contracts.errors import CommitError, DigestMismatchError, NotPublishedError, StoreError
from contracts.refs import Digest, hex_of
from contracts.selection import Selection
from resources.drop_folder import FileStamp
from resources.file_catalogue import FileCatalogue, stamp_text
from resources.object_store import LocalObjectStore, digest_of_file

_LINK = re.compile(r"[0-9]{8}\.json")

VALID = "valid.parquet"
QUARANTINE = "quarantine.parquet"
INDEX = "index.json"


def table_prefix(table: str) -> str:
    """Where everything of a table lies, but for its drops."""
    return f"tables/{table}"


def segment_prefix(table: str, view_key: Digest, content: Digest | None = None) -> str:
    """A segment's folder: below its recipe, under its content."""
    folder = f"{table_prefix(table)}/segments/{hex_of(view_key)}"
    return folder if content is None else f"{folder}/{hex_of(content)}"


def numbered_key(table: str, kind: str, partition: str, number: int) -> str:
    """A link of one of the append-only chains (`commits`, `selections`) of a partition."""
    return f"{table_prefix(table)}/{kind}/{partition}/{number:08d}.json"


def held_key(table: str, partition: str, view_key: Digest) -> str:
    """Where the candidate of a recipe is kept when a gate stopped it."""
    return f"{held_prefix(table, partition)}/{hex_of(view_key)}.json"


def commits_prefix(table: str, partition: str) -> str:
    """Where the chain of a partition's versions lies."""
    return f"{table_prefix(table)}/commits/{partition}"


def held_prefix(table: str, partition: str) -> str:
    """Where the candidates of a partition are kept that a gate stopped."""
    return f"{table_prefix(table)}/held/{partition}"


@dataclass(frozen=True, slots=True)
class PublishedFiles:
    """The verified files of one partition version."""

    commit: Commit
    valid: tuple[Path, ...]
    quarantine: tuple[Path, ...]
    overlay: tuple[Path, ...]


class TableReader:
    """Reads commits, selections and held candidates, and opens only what it has verified."""

    def __init__(self, store: LocalObjectStore, catalogue: FileCatalogue) -> None:
        self._store = store
        self._catalogue = catalogue

    def partitions(self, table: str) -> list[str]:
        """The partitions that have a commit, in order."""
        return self._store.keys(f"{table_prefix(table)}/commits")

    def head(self, table: str, partition: str) -> Commit | None:
        """The current version; None when nothing was ever published.

        Raises:
            CommitError: The head, or its link to its parent, is not what was written.
        """
        number = self._newest(table, "commits", partition)
        if number == 0:
            return None
        commit = self.commit(table, partition, number)
        if number > 1:
            parent = self.commit(table, partition, number - 1)
            if parent.digest != commit.parent:
                raise _broken(table, partition, number, f"its parent should be {commit.parent}, but is {parent.digest}")
        return commit

    def commit(self, table: str, partition: str, number: int) -> Commit:
        """One version, verified against its own digest, its number and its place."""
        try:
            commit = Commit.from_bytes(self._store.get(numbered_key(table, "commits", partition, number)))
        except KeyError:
            raise _broken(table, partition, number, "it is missing from the chain") from None
        except (ValueError, TypeError) as error:
            raise _broken(table, partition, number, str(error)) from error
        candidate = commit.candidate
        if (candidate.table, candidate.partition, commit.number) != (table, partition, number):
            where = f"{candidate.table}[{candidate.partition}] number {commit.number}"
            raise _broken(table, partition, number, f"it belongs to {where}")
        return commit

    def history(self, table: str, partition: str) -> list[Commit]:
        """Every version, oldest first, the chain verified from end to end."""
        commits: list[Commit] = []
        for number in range(1, self._newest(table, "commits", partition) + 1):
            commit = self.commit(table, partition, number)
            if commit.parent != (commits[-1].digest if commits else None):
                raise _broken(table, partition, number, "its parent is not the version before it")
            commits.append(commit)
        return commits

    def held(self, table: str, partition: str, view_key: Digest) -> Commit | None:
        """The held candidate of a recipe, if a gate stopped it."""
        try:
            data = self._store.get(held_key(table, partition, view_key))
        except KeyError:
            return None
        try:
            return Commit.from_bytes(data)
        except (ValueError, TypeError) as error:
            msg = f"held candidate of {table}[{partition}]: {error}. Ingest the partition again with --force."
            raise CommitError(msg, table=table, partition=partition) from error

    def selection(self, table: str, partition: str) -> Selection | None:
        """The newest frozen selection; None when the partition was never selected."""
        number = self._newest(table, "selections", partition)
        if number == 0:
            return None
        data = self._store.get(numbered_key(table, "selections", partition, number))
        return Selection.model_validate(parse_json(data))

    def open(self, table: str, partition: str) -> PublishedFiles:
        """The verified files of the current version.

        Raises:
            NotPublishedError: No version passed its gates.
            DigestMismatchError, StoreError: A file is not what was published.
        """
        commit = self.head(table, partition)
        if commit is None:
            raise NotPublishedError(
                table=table,
                partition=partition,
                state="held" if self._store.keys(f"{table_prefix(table)}/held/{partition}") else "pending",
                fix=f"See why with `hashgate status {table} --explain`.",
            )
        return self.open_commits([commit])[0]

    def open_commits(self, commits: Sequence[Commit]) -> list[PublishedFiles]:
        """The verified files of versions, looking up once for all what was hashed before."""
        known = self._catalogue.verified()
        fresh: list[tuple[str, str, str]] = []
        opened = [self._open(commit, known, fresh) for commit in commits]
        self._catalogue.remember_verified(fresh)
        return opened

    def _open(
        self, commit: Commit, known: dict[str, tuple[str, str]], fresh: list[tuple[str, str, str]]
    ) -> PublishedFiles:
        table = commit.candidate.table
        by_name: dict[str, list[Path]] = {VALID: [], QUARANTINE: []}
        for segment in commit.candidate.segments:
            for name, path in self._verify(table, segment, known, fresh).items():
                by_name[name].append(path)
        overlay = commit.candidate.overlay
        overlaid = self._verify(table, overlay, known, fresh).values() if overlay else ()
        return PublishedFiles(commit, tuple(by_name[VALID]), tuple(by_name[QUARANTINE]), tuple(overlaid))

    def _verify(
        self, table: str, segment: SegmentEntry, known: dict[str, tuple[str, str]], fresh: list[tuple[str, str, str]]
    ) -> dict[str, Path]:
        prefix = segment_prefix(table, segment.view_key, segment.content)
        paths: dict[str, Path] = {}
        for file in segment.files:
            key = f"{prefix}/{file.name}"
            path = self._store.path(key)
            try:
                stamp = stamp_text(FileStamp.of(path.stat()))
            except FileNotFoundError:
                msg = f"{key} is missing. Restore the store, or ingest the partition again with --force."
                raise StoreError(msg, key=key) from None
            if known.get(key) != (stamp, file.digest):
                observed = digest_of_file(path)
                if observed != file.digest:
                    raise DigestMismatchError(subject=key, expected=file.digest, observed=observed)
                fresh.append((key, stamp, file.digest))
            paths[file.name] = path
        return paths

    def _newest(self, table: str, kind: str, partition: str) -> int:
        names = self._store.keys(f"{table_prefix(table)}/{kind}/{partition}")
        return max((int(name[:8]) for name in names if _LINK.fullmatch(name)), default=0)


def _broken(table: str, partition: str, number: int, problem: str) -> CommitError:
    return CommitError(
        f"{table}[{partition}] version {number}: {problem}. The partition cannot be read until the store is restored "
        "or the partition is ingested again with --force.",
        table=table,
        partition=partition,
        number=number,
    )
