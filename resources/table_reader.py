"""The table reader: what is current, and is it still what was published?

The highest commit of a partition decides. Its files are opened by the names it gives, and hashed before anybody
sees a row; a file that nothing touched since it was hashed is not hashed again. A head that cannot be trusted makes
the partition unreadable: it never falls back to an older one in silence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from contracts.canonical import parse_json
from contracts.commits import Candidate, Commit, Export, Link, LinkRef, SegmentEntry
from contracts.decisions import Discard
from contracts.errors import (
    CommitError,
    DigestMismatchError,
    HashgateError,
    NotExportedError,
    NotPublishedError,
    StoreError,
)
from contracts.refs import Digest, digest_bytes, hex_of
from contracts.segments import SegmentIndex
from contracts.selection import Selection
from contracts.sinks import Sink
from resources.commit_chain import CommitChain, Standing, highest_number, link_name
from resources.document_chain import DocumentChain
from resources.doomed_lists import first_copy
from resources.expirations import Expirations
from resources.file_catalogue import Anchor, FileCatalogue
from resources.object_store import ObjectStore
from resources.segment_places import Indexed, StoredFolder, is_remote

VALID = "valid.parquet"
QUARANTINE = "quarantine.parquet"
INDEX = "index.json"
NOTHING = "nothing"
"""What is observed where a file is missing, and expected where no file should be."""


def table_prefix(table: str) -> str:
    """Where everything of a table lies, but for its drops."""
    return f"tables/{table}"


def segment_prefix(table: str, view_key: Digest, content: Digest | None = None) -> str:
    """A segment's folder: below its recipe, under its content."""
    folder = f"{table_prefix(table)}/segments/{hex_of(view_key)}"
    return folder if content is None else f"{folder}/{hex_of(content)}"


def export_prefix(table: str, view_key: Digest, content: Digest) -> str:
    """An export's folder: below the version's recipe, under its content."""
    return f"{table_prefix(table)}/exports/{hex_of(view_key)}/{hex_of(content)}"


def exports_of(candidate: Candidate) -> Iterator[tuple[str, Export]]:
    """Its exports, each with the key of its folder when there is one copy of it."""
    for export in candidate.exports:
        yield export_prefix(candidate.table, candidate.view_key, export.content), export


def folders_of(candidate: Candidate) -> Iterator[tuple[str, Indexed]]:
    """All folders that it consists of, likewise: its segments, the overlay, its exports."""
    for entry in candidate.entries:
        yield segment_prefix(candidate.table, entry.view_key, entry.content), entry
    yield from exports_of(candidate)


def numbered_key(table: str, kind: str, partition: str, number: int) -> str:
    """A link of one of the append-only chains (`commits`, `selections`) of a partition."""
    return f"{table_prefix(table)}/{kind}/{partition}/{link_name(number)}"


def held_key(table: str, partition: str, view_key: Digest) -> str:
    """Where the candidate of a recipe is kept when a gate stopped it."""
    return f"{held_prefix(table, partition)}/{hex_of(view_key)}.json"


def selection_chain(store: ObjectStore, table: str, partition: str) -> DocumentChain[Selection]:
    """The selections of a partition."""
    return DocumentChain(
        store,
        f"{table_prefix(table)}/selections/{partition}",
        Selection,
        about={"table": table, "partition": partition},
        way_back="Restore the object from a backup of the store. Until then the partition cannot be built anew.",
    )


def commits_prefix(table: str, partition: str) -> str:
    """Where the chain of a partition's versions lies."""
    return f"{table_prefix(table)}/commits/{partition}"


def held_prefix(table: str, partition: str) -> str:
    """Where the candidates of a partition are kept that a gate stopped."""
    return f"{table_prefix(table)}/held/{partition}"


@dataclass(frozen=True, slots=True)
class PublishedFiles:
    """The verified files of one partition version, as DuckDB and `open_source` read them."""

    commit: Commit
    valid: tuple[str, ...]
    quarantine: tuple[str, ...]
    overlay: tuple[str, ...]


class TableReader:
    """Reads commits, selections and held candidates, and opens only what it has verified."""

    def __init__(self, store: ObjectStore, catalogue: FileCatalogue) -> None:
        self._store = store
        self._catalogue = catalogue
        self._anchors: dict[str, dict[str, Anchor]] = {}
        self._sources: dict[Digest, dict[str, str]] = {}

    def partitions(self, table: str) -> list[str]:
        """The partitions that have a commit, in order; those whose chain has vanished since it was seen, too."""
        return sorted({*self._store.keys(f"{table_prefix(table)}/commits"), *self._anchors_of(table)})

    def standing(self, table: str, partition: str) -> Standing:
        """The tip of a partition's chain, and the version that readers see.

        Raises:
            CommitError: One of the two, or the link below, is not what was written; or the chain's tail was cut off.
        """
        while True:
            # looked up before the chain is listed: whatever is anchored now was created before
            anchor = self._anchors_of(table).get(partition)
            standing = self._chain(table, partition, anchor).standing()
            tip = standing.tip
            if tip is None or (anchor is not None and tip.number == anchor.number) or self.anchor(tip):
                return standing

    def head(self, table: str, partition: str) -> Commit | None:
        """The current version; None when there is none.

        Raises:
            CommitError: The head, or its link to its parent, is not what was written.
        """
        return self.standing(table, partition).head

    def claimed_head(self, table: str, partition: str) -> str | None:
        """The digest that the current version claims to have; None when there is none. Nothing is verified."""
        for number in range(highest_number(self._store, commits_prefix(table, partition)), 0, -1):
            try:
                document = parse_json(self._store.get(numbered_key(table, "commits", partition, number)))
                if document["kind"] != "void":
                    return str(document["digest"]) if "candidate" in document else None
            except (KeyError, ValueError, TypeError):
                return "unreadable"
        return None

    def chain(self, table: str, partition: str) -> CommitChain:
        """The chain of a partition's commits, to read down or to look for damage."""
        return self._chain(table, partition, self._anchors_of(table).get(partition))

    def commit(self, table: str, partition: str, number: int) -> Commit:
        """One version, verified against its own digest, its number and its place.

        Raises:
            CommitError: It is missing or altered, or the link of that number holds no version.
        """
        link = self.chain(table, partition).link(number)
        if isinstance(link, Commit):
            return link
        msg = f"{table}[{partition}] number {number} holds no version: it is a link of kind {link.kind}."
        raise CommitError(msg, table=table, partition=partition, number=number)

    def history(self, table: str, partition: str) -> list[Commit]:
        """Every version, oldest first, the chain verified from end to end."""
        return [link for link in self.chain(table, partition).links() if isinstance(link, Commit)][::-1]

    def anchor(self, link: Link) -> bool:
        """Remember that a chain was seen to reach this verified link.

        Returns:
            Whether that is how far it reaches; False when it was seen to reach farther, or another link under this
            number: then what is known has been looked up again.
        """
        table, partition, number = link.place
        try:
            anchored = self._catalogue.anchor(table, partition, number, link.digest)
            if anchored:
                self._anchors_of(table)[partition] = Anchor(number, link.digest)
            else:
                self._anchors[table] = self._catalogue.anchors(table)
        except HashgateError:
            # what is committed stays so and what is verified can be read: the next reader anchors it
            return True
        return anchored

    def held(self, table: str, partition: str, view_key: Digest) -> Commit | None:
        """The held candidate of a recipe, if a gate stopped it.

        Raises:
            CommitError: It is not what was written.
        """
        key = held_key(table, partition, view_key)
        try:
            held = Commit.from_bytes(self._store.get(key))
        except KeyError:
            return None
        except ValueError as error:
            problem = str(error).partition("\n")[0]
            raise _not_held(table, partition, key, problem) from error
        candidate = held.candidate
        if (candidate.table, candidate.partition, candidate.view_key) != (table, partition, view_key):
            raise _not_held(table, partition, key, f"it belongs to {candidate.table}[{candidate.partition}]")
        if not held.is_held:
            raise _not_held(table, partition, key, f"it is a commit of kind {held.kind}")
        return held

    def held_candidates(self, table: str, partition: str) -> list[Commit]:
        """Every candidate of a partition that a gate stopped, the newest selection last.

        Raises:
            CommitError: One of them is not what was written.
        """
        names = self._store.keys(held_prefix(table, partition))
        keys = [Digest(f"blake3:{name.removesuffix('.json')}") for name in names]
        found = [held for key in keys if (held := self.held(table, partition, key)) is not None]
        return sorted(found, key=lambda held: (held.candidate.cutoff, held.committed_at))

    def discards(self, table: str, partition: str) -> DocumentChain[Discard]:
        """What people discarded of a partition."""
        return DocumentChain(
            self._store,
            f"{table_prefix(table)}/discarded/{partition}",
            Discard,
            about={"table": table, "partition": partition},
            way_back="Restore the object from a backup of the store.",
        )

    def segment_place(self, table: str, entry: SegmentEntry) -> StoredFolder:
        """Where a segment lies that was published; nothing of it is verified."""
        name = segment_prefix(table, entry.view_key, entry.content)
        return StoredFolder(self._store, first_copy(self._store, name, INDEX) or name)

    def export_place(self, candidate: Candidate, export: Export) -> StoredFolder:
        """Where an export lies that was published; nothing of it is verified."""
        name = export_prefix(candidate.table, candidate.view_key, export.content)
        return StoredFolder(self._store, first_copy(self._store, name, INDEX) or name)

    def check_files(self, candidate: Candidate) -> None:
        """Read every file of a candidate but its exports', trusting no earlier verification.

        Raises:
            DigestMismatchError: Something is not what it was, or is missing.
            StoreError: The store refused.
        """
        for entry in candidate.entries:
            name = segment_prefix(candidate.table, entry.view_key, entry.content)
            check_segment(self._store, first_copy(self._store, name, INDEX) or name, entry)

    def selection(self, table: str, partition: str) -> Selection | None:
        """The newest frozen selection; None when the partition was never selected."""
        return selection_chain(self._store, table, partition).last()

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
        known = self._catalogue.verified([path for commit in commits for path in _paths(commit.candidate)])
        fresh: list[tuple[str, str, str]] = []
        opened: list[PublishedFiles] = []
        for commit in commits:
            with self._purged_if_so(commit):
                opened.append(self._open(commit, known, fresh))
        self._catalogue.remember_verified(fresh)
        return opened

    def open_exports(self, commits: Sequence[Commit], sink: Sink) -> list[tuple[Export, str]]:
        """Each of some versions in a format beside Parquet: its export, and its file as `open_source` takes it.

        Raises:
            NotExportedError: A version has none.
            DigestMismatchError, StoreError: A file is not what was published.
        """
        known = self._catalogue.verified()
        fresh: list[tuple[str, str, str]] = []
        opened: list[tuple[Export, str]] = []
        for commit in commits:
            candidate = commit.candidate
            export = candidate.export(sink)
            if export is None:
                raise _not_exported(commit, sink)
            place = export_prefix(candidate.table, candidate.view_key, export.content)
            with self._purged_if_so(commit):
                opened += [(export, source) for source in self._verify(place, export, known, fresh).values()]
        self._catalogue.remember_verified(fresh)
        return opened

    def is_whole(self, commit: Commit) -> bool:
        """Whether readers can have a version: its files are there, and as they were when they were last hashed.

        Raises:
            StoreError: The store refused; that is no damage.
        """
        try:
            self.open_commits([commit])
            for export in commit.candidate.exports:
                self.open_exports([commit], export.sink)
            for name, said in folders_of(commit.candidate):
                place, index = self._index(name, said)
                if index.content != said.content:
                    subject = f"{place}/{INDEX}"
                    raise DigestMismatchError(subject=subject, expected=said.content, observed=index.content)
        except StoreError as error:
            if isinstance(error, DigestMismatchError) or error.evidence.get("missing"):
                return False
            raise
        return True

    @contextmanager
    def _purged_if_so(self, commit: Commit) -> Iterator[None]:
        """What is missing of a version may have been removed on purpose: then the answer is PURGED, and not "lost"."""
        try:
            yield
        except StoreError as error:
            if error.evidence.get("missing") and not commit.is_held:
                Expirations.read(self._store).check_version(*commit.place)
            raise

    def _open(
        self, commit: Commit, known: dict[str, tuple[str, str]], fresh: list[tuple[str, str, str]]
    ) -> PublishedFiles:
        table = commit.candidate.table
        by_name: dict[str, list[str]] = {VALID: [], QUARANTINE: []}
        for segment in commit.candidate.segments:
            place = segment_prefix(table, segment.view_key, segment.content)
            for name, source in self._verify(place, segment, known, fresh).items():
                by_name[name].append(source)
        overlay = commit.candidate.overlay
        overlaid: dict[str, str] = {}
        if overlay is not None:
            overlaid = self._verify(segment_prefix(table, overlay.view_key, overlay.content), overlay, known, fresh)
        return PublishedFiles(commit, tuple(by_name[VALID]), tuple(by_name[QUARANTINE]), tuple(overlaid.values()))

    def _verify(
        self, place: str, segment: Indexed, known: dict[str, tuple[str, str]], fresh: list[tuple[str, str, str]]
    ) -> dict[str, str]:
        if is_remote(self._store.url(place)):
            return self._verify_index(place, segment)
        try:
            stamps = self._stamps(place, segment)
        except KeyError:
            place = first_copy(self._store, place, INDEX) or place
            stamps = self._stamps_or_missing(place, segment)
        for file in segment.files:
            key, stamp = f"{place}/{file.name}", stamps[file.name]
            if known.get(key) != (stamp, file.digest):
                observed = self._store.digest(key)
                if observed != file.digest:
                    raise DigestMismatchError(subject=key, expected=file.digest, observed=observed)
                fresh.append((key, stamp, file.digest))
        return {file.name: self._store.url(f"{place}/{file.name}") for file in segment.files}

    def _verify_index(self, place: str, segment: Indexed) -> dict[str, str]:
        """Of a remote segment only the index: by it, every block is verified when it is read."""
        if segment.content not in self._sources:
            place, index = self._index(place, segment)
            if (index.content, index.stored_files) != (segment.content, segment.files):
                raise DigestMismatchError(subject=f"{place}/{INDEX}", expected=segment.content, observed=index.content)
            folder = StoredFolder(self._store, place, index)
            self._sources[segment.content] = {file.name: folder.source(file.name) for file in segment.files}
        return self._sources[segment.content]

    def _index(self, place: str, segment: Indexed) -> tuple[str, SegmentIndex]:
        """The index, and where the segment lies."""
        data = self._get(f"{place}/{INDEX}")
        if data is None:
            place = first_copy(self._store, place, INDEX) or place
            data = self._get(f"{place}/{INDEX}")
        if data is None:
            raise _missing(place + "/" + INDEX)
        try:
            return place, SegmentIndex.from_bytes(data)
        except ValueError:
            observed = digest_bytes(data)
            raise DigestMismatchError(subject=f"{place}/{INDEX}", expected=segment.content, observed=observed) from None

    def _get(self, key: str) -> bytes | None:
        try:
            return self._store.get(key)
        except KeyError:
            return None

    def _stamps(self, place: str, segment: Indexed) -> dict[str, str]:
        return {file.name: self._store.stamp(f"{place}/{file.name}") for file in segment.files}

    def _stamps_or_missing(self, place: str, segment: Indexed) -> dict[str, str]:
        try:
            return self._stamps(place, segment)
        except KeyError as error:
            raise _missing(error.args[0]) from None

    def _anchors_of(self, table: str) -> dict[str, Anchor]:
        if table not in self._anchors:
            self._anchors[table] = self._catalogue.anchors(table)
        return self._anchors[table]

    def _chain(self, table: str, partition: str, anchor: Anchor | None) -> CommitChain:
        seen = None if anchor is None else LinkRef(number=anchor.number, digest=anchor.digest)
        return CommitChain(self._store, commits_prefix(table, partition), table=table, partition=partition, anchor=seen)


def check_exports(store: ObjectStore, candidate: Candidate) -> None:
    """Read every file of a candidate's exports, trusting no earlier verification.

    Raises:
        DigestMismatchError: Something is not what it was, or is missing.
        StoreError: The store refused.
    """
    for name, export in exports_of(candidate):
        check_segment(store, first_copy(store, name, INDEX) or name, export)


def check_segment(store: ObjectStore, place: str, entry: Indexed) -> None:
    """Read a segment's, or an export's, index and files where they lie.

    Raises:
        DigestMismatchError: One is not what it was or is missing, or something else lies there, too.
        StoreError: The store refused.
    """
    expected = {INDEX: entry.content, **{file.name: file.digest for file in entry.files}}
    for name in sorted(expected.keys() | set(store.keys(place))):
        observed = _digest_or_nothing(store, f"{place}/{name}")
        if observed != expected.get(name):
            raise DigestMismatchError(
                subject=f"{place}/{name}", expected=expected.get(name, NOTHING), observed=observed or NOTHING
            )


def _not_exported(commit: Commit, sink: Sink) -> NotExportedError:
    table, partition, number = commit.place
    fix = (
        "it was let through although the gate over its exports had stopped it. Ingest it again with --force."
        if sink in commit.candidate.contract.sinks
        else f"its contract did not name that sink. Add {sink} to `sinks` there, and ingest {table} again."
    )
    return NotExportedError(table=table, partition=partition, number=number, sink=sink, fix=fix)


def _missing(key: str) -> StoreError:
    msg = f"{key} is missing. Restore the store, or ingest the partition again with --force."
    return StoreError(msg, key=key, missing=True)


def _paths(candidate: Candidate) -> list[str]:
    """Where the files of a version lie, unless a segment was moved."""
    places = [(segment_prefix(candidate.table, entry.view_key, entry.content), entry) for entry in candidate.entries]
    return [f"{place}/{file.name}" for place, entry in places for file in entry.files]


def _digest_or_nothing(store: ObjectStore, key: str) -> Digest | None:
    try:
        return store.digest(key)
    except KeyError:
        return None


def _not_held(table: str, partition: str, key: str, problem: str) -> CommitError:
    return CommitError(
        f"held candidate of {table}[{partition}]: {key}: {problem}. Move it out of the store and ingest the partition "
        "again with --force.",
        table=table,
        partition=partition,
        key=key,
        problem=problem,
    )
