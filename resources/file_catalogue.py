"""The file catalogue: which files were seen, in which state, what was captured of them, and how far each chain reaches.

It is an index, never the truth: what was captured stands in the store's capture log, what is published in its
commits. `hashgate rebuild` makes it anew from the store.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from contracts.refs import Digest, digest_bytes
from contracts.selection import CaptureBatch, CapturedDrop
from resources.database import ROWS_A_STATEMENT, Database, batches
from resources.database_schema import anchors, captures, files, verified
from resources.drop_folder import FileStamp, ListedFile

MAXIMUM_PATH_BYTES = 2000
"""A longer path fits into no index of PostgreSQL (a third of a page). The file is named by a shortened one."""
PATH_TOO_LONG = "PATH_TOO_LONG"
_SHORTENED_TO = 200


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A file as the catalogue has it."""

    path: str
    stamp: str
    partition: str | None
    problem: str | None
    captured: bool
    """Whether this very state of it is in the store."""
    missing: bool = False


@dataclass(frozen=True, slots=True)
class ScanReport:
    """What one scan of a table's drop folder found."""

    table: str
    listed: int
    new: int
    changed: int
    unchanged: int
    missing: int
    problems: tuple[KnownFile, ...]
    """Files that cannot be taken, with the reason; they stop no other file."""


KeyOf = Callable[[Sequence[str]], Sequence[tuple[str | None, str | None]]]
"""File names to (partition key, None) or (None, problem), position by position."""


def stamp_text(stamp: FileStamp | None) -> str:
    """A stamp as the catalogue stores it; a file that has none always looks the same."""
    return "-" if stamp is None else f"{stamp.size_bytes}:{stamp.mtime_ns}:{stamp.ctime_ns}:{stamp.inode}"


@dataclass(frozen=True, slots=True)
class Anchor:
    """How far a chain of commits was seen to reach: a chain by itself cannot tell that its tail was cut off."""

    number: int
    digest: Digest


class FileCatalogue:
    """The catalogue in an open database. Each method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def observe(
        self, table: str, listed: Iterable[ListedFile], key_of: KeyOf, now: dt.datetime, *, record: bool = True
    ) -> ScanReport:
        """Compare a listing with what is known, and remember it unless `record` is off.

        Costs one look-up a file and one write a new or changed one, in batches.
        """
        known = {f.path: f for f in self.files(table) if not f.missing}
        seen: set[str] = set()
        unkeyed: list[ListedFile] = []
        for file in map(_storable, listed):
            seen.add(file.path)
            before = known.get(file.path)
            # a name that had no key is looked at again: its day may have come, or the contract's pattern changed
            if before is None or before.stamp != stamp_text(file.stamp) or before.partition is None:
                unkeyed.append(file)
        keys = key_of([f.path.rpartition("/")[2] for f in unkeyed])
        rows = [_row(table, f, key, problem, now) for f, (key, problem) in zip(unkeyed, keys, strict=True)]
        rows = [r for r in rows if _differs(known.get(str(r["path"])), r)]
        changed = sum(str(r["path"]) in known for r in rows)
        gone = [path for path in known if path not in seen]
        if record and (rows or gone):
            self._remember(table, rows, gone, now)
        after = known | {str(r["path"]): _known(r) for r in rows}
        problems = [f for path, f in after.items() if f.problem and path in seen]
        return ScanReport(
            table=table,
            listed=len(seen),
            new=len(rows) - changed,
            changed=changed,
            unchanged=len(seen) - len(rows),
            missing=len(gone),
            problems=tuple(sorted(problems, key=lambda f: f.path)),
        )

    def files(self, table: str, *, to_capture: bool = False) -> list[KnownFile]:
        """What is known of a table's files; with `to_capture`, those whose present state is not in the store."""
        query = sa.select(files).where(files.c.table_name == table).order_by(files.c.path)
        if to_capture:
            stale = sa.or_(files.c.captured_stamp.is_(None), files.c.captured_stamp != files.c.stamp)
            query = query.where(stale, files.c.problem.is_(None), files.c.missing_since.is_(None))
        with self._database.reading() as connection:
            return [
                KnownFile(
                    r.path,
                    r.stamp,
                    r.partition_key,
                    r.problem,
                    r.captured_stamp == r.stamp,
                    r.missing_since is not None,
                )
                for r in connection.execute(query)
            ]

    def mark_captured(self, table: str, stamps: Sequence[tuple[str, str]]) -> None:
        """Remember that (path, stamp) states are in the store."""
        if not stamps:
            return
        marked = files.update().where(files.c.table_name == table, files.c.path == sa.bindparam("marked_path"))
        rows = [{"marked_path": path, "stamp_in_store": stamp} for path, stamp in sorted(stamps)]
        with self._database.writing() as connection:
            connection.execute(marked.values(captured_stamp=sa.bindparam("stamp_in_store")), rows)

    def newest_sequence(self, table: str) -> int:
        """The highest capture number that is indexed; 0 when none is."""
        query = sa.select(sa.func.max(captures.c.sequence)).where(captures.c.table_name == table)
        with self._database.reading() as connection:
            return connection.execute(query).scalar() or 0

    def index_captures(self, batch: CaptureBatch) -> None:
        """Take over one batch of the capture log; a batch that is indexed already changes nothing."""
        rows = [
            {
                "table_name": batch.table,
                "sequence": batch.sequence,
                "path": drop.path,
                "partition_key": drop.partition,
                "digest": drop.digest,
                "size_bytes": drop.size_bytes,
                "captured_at": batch.captured_at.isoformat(),
                "withdrawn": drop.withdrawn,
            }
            for drop in sorted(batch.drops, key=lambda drop: (drop.path, drop.digest))
        ]
        with self._database.writing() as connection:
            connection.execute(self._database.insert(captures).on_conflict_do_nothing(), rows)

    def newest_captures(self, table: str, paths: Sequence[str]) -> dict[str, Digest]:
        """The digest last captured for each of `paths`; left out are those that never were, or were withdrawn since."""
        found: dict[str, Digest] = {}
        with self._database.reading() as connection:
            for some in batches(paths):
                asked = sa.and_(captures.c.table_name == table, captures.c.path.in_(some))
                newest = sa.select(captures.c.path, sa.func.max(captures.c.sequence).label("sequence"))
                last = newest.where(asked).group_by(captures.c.path).subquery()
                same = sa.and_(captures.c.path == last.c.path, captures.c.sequence == last.c.sequence)
                query = sa.select(captures.c.path, captures.c.digest).join(last, same)
                query = query.where(asked, captures.c.withdrawn.is_(False))
                found |= {r.path: Digest(r.digest) for r in connection.execute(query)}
        return found

    def captures(
        self, table: str, partitions: Sequence[str] | None = None
    ) -> dict[str, list[tuple[int, CapturedDrop]]]:
        """Per partition what was captured, in sequence order. A path counts for the partition it names last."""
        asked = sa.select(captures).where(captures.c.table_name == table)
        queries = [asked]
        if partitions is not None:
            queries = [asked.where(captures.c.partition_key.in_(some)) for some in batches(partitions)]
        result: dict[str, list[tuple[int, CapturedDrop]]] = {}
        with self._database.reading() as connection:
            for query in queries:
                order = (captures.c.sequence, captures.c.path, captures.c.digest)
                for r in connection.execute(query.order_by(*order)):
                    drop = CapturedDrop.model_construct(
                        path=r.path,
                        partition=r.partition_key,
                        digest=r.digest,
                        size_bytes=r.size_bytes,
                        withdrawn=r.withdrawn,
                    )
                    result.setdefault(r.partition_key, []).append((r.sequence, drop))
        return result

    def captured_tables(self) -> list[str]:
        """The tables of which anything was captured, in order."""
        with self._database.reading() as connection:
            return sorted(connection.execute(sa.select(captures.c.table_name).distinct()).scalars())

    def withdrawn(self, table: str) -> frozenset[Digest]:
        """The content that somebody withdrew and that was not captured again since."""
        last = [
            sa.func.max(sa.case((captures.c.withdrawn.is_(said), captures.c.sequence), else_=0))
            for said in (True, False)
        ]
        query = sa.select(captures.c.digest).where(captures.c.table_name == table)
        query = query.group_by(captures.c.digest).having(last[0] > last[1])
        with self._database.reading() as connection:
            return frozenset(map(Digest, connection.execute(query).scalars()))

    def partitions_captured_since(self, table: str, sequence: int) -> set[str]:
        """The partitions for which anything was captured after `sequence`."""
        query = sa.select(captures.c.partition_key).distinct()
        query = query.where(captures.c.table_name == table, captures.c.sequence > sequence)
        with self._database.reading() as connection:
            return set(connection.execute(query).scalars())

    def verified(self, paths: Sequence[str] | None = None) -> dict[str, tuple[str, str]]:
        """Files of the store that were hashed before: path to (stamp, digest).

        Args:
            paths: Of these alone, unless they are so many that looking up all costs less (default: all).
        """
        query = sa.select(verified)
        if paths is not None and len(paths) <= ROWS_A_STATEMENT:
            query = query.where(verified.c.path.in_(paths))
        with self._database.reading() as connection:
            return {r.path: (r.stamp, r.digest) for r in connection.execute(query)}

    def remember_verified(self, rows: Sequence[tuple[str, str, str]]) -> None:
        """Remember that (path, stamp) had a digest, so that it need not be hashed again while nothing touched it."""
        if not rows:
            return
        last = {path: {"path": path, "stamp": stamp, "digest": digest} for path, stamp, digest in sorted(rows)}
        insert = self._database.insert(verified)
        upsert = insert.on_conflict_do_update(
            index_elements=["path"], set_={name: insert.excluded[name] for name in ("stamp", "digest")}
        )
        with self._database.writing() as connection:
            connection.execute(upsert, list(last.values()))

    def forget_verified(self, paths: Sequence[str]) -> None:
        """Take back that files were hashed: whoever reads one next hashes it, although nothing seems to touch it."""
        with self._database.writing() as connection:
            for some in batches(paths):
                connection.execute(verified.delete().where(verified.c.path.in_(some)))

    def anchor(self, table: str, partition: str, number: int, digest: Digest) -> bool:
        """Remember how far a partition's chain of commits reaches; see `anchor_all`.

        Returns:
            Whether it is anchored there now; False when a higher number, or another digest under this one, is.
        """
        return not self.anchor_all(table, {partition: Anchor(number, digest)})

    def anchor_all(self, table: str, heads: Mapping[str, Anchor]) -> dict[str, Anchor]:
        """Remember how far chains reach, by partition. An anchor never goes down, and a number keeps its digest.

        Returns:
            The anchors of those partitions that are anchored higher, or under the same number with another digest.
        """
        insert = self._database.insert(anchors)
        forward = insert.on_conflict_do_update(
            index_elements=["table_name", "partition_key"],
            set_={name: insert.excluded[name] for name in ("number", "digest")},
            where=anchors.c.number < insert.excluded.number,
        )
        rows = [
            {"table_name": table, "partition_key": key, "number": heads[key].number, "digest": heads[key].digest}
            for key in sorted(heads)
        ]
        if not rows:
            return {}
        with self._database.writing() as connection:
            connection.execute(forward, rows)
            standing = _anchors(connection, table, list(heads))
        return {key: anchor for key, anchor in standing.items() if anchor != heads[key]}

    def anchors(self, table: str) -> dict[str, Anchor]:
        """How far each partition's chain was seen to reach."""
        with self._database.reading() as connection:
            return _anchors(connection, table)

    def anchored_tables(self) -> list[str]:
        """The tables of which any chain was seen, in order."""
        query = sa.select(anchors.c.table_name).distinct().order_by(anchors.c.table_name)
        with self._database.reading() as connection:
            return list(connection.execute(query).scalars())

    def _remember(self, table: str, rows: list[dict[str, str | None]], gone: list[str], now: dt.datetime) -> None:
        insert = self._database.insert(files)
        again = {name: insert.excluded[name] for name in ("stamp", "partition_key", "problem", "last_changed")}
        upsert = insert.on_conflict_do_update(
            index_elements=["table_name", "path"], set_=again | {"missing_since": None}
        )
        missed = files.update().where(files.c.table_name == table, files.c.path == sa.bindparam("gone_path"))
        # in one order everywhere: of two scans at once neither waits for what the other holds
        with self._database.writing() as connection:
            if rows:
                connection.execute(upsert, sorted(rows, key=lambda row: str(row["path"])))
            if gone:
                paths = [{"gone_path": path} for path in sorted(gone)]
                connection.execute(missed.values(missing_since=now.isoformat()), paths)


def _anchors(connection: sa.Connection, table: str, partitions: Sequence[str] | None = None) -> dict[str, Anchor]:
    query = sa.select(anchors).where(anchors.c.table_name == table)
    found: dict[str, Anchor] = {}
    for some in [None] if partitions is None else batches(partitions):
        rows = connection.execute(query if some is None else query.where(anchors.c.partition_key.in_(some)))
        found |= {r.partition_key: Anchor(r.number, Digest(r.digest)) for r in rows}
    return found


def _storable(file: ListedFile) -> ListedFile:
    """The file itself, or what stands for it when its path is too long for an index: a problem like any other."""
    name = file.path.encode()
    if len(name) <= MAXIMUM_PATH_BYTES:
        return file
    digits = digest_bytes(name).rpartition(":")[2][:16]
    shown = name[:_SHORTENED_TO].decode(errors="ignore")
    return ListedFile(f"{shown}...{digits}", file.location, None, PATH_TOO_LONG)


def _row(
    table: str, file: ListedFile, key: str | None, key_problem: str | None, now: dt.datetime
) -> dict[str, str | None]:
    return {
        "table_name": table,
        "path": file.path,
        "stamp": stamp_text(file.stamp),
        "partition_key": key,
        "problem": file.problem or key_problem,
        "first_seen": now.isoformat(),
        "last_changed": now.isoformat(),
    }


def _differs(before: KnownFile | None, row: dict[str, str | None]) -> bool:
    return before is None or (before.stamp, before.partition, before.problem) != (
        row["stamp"],
        row["partition_key"],
        row["problem"],
    )


def _known(row: dict[str, str | None]) -> KnownFile:
    return KnownFile(str(row["path"]), str(row["stamp"]), row["partition_key"], row["problem"], captured=False)
