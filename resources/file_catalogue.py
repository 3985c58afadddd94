"""The file catalogue: which files were seen, in which state, and what was captured of them.

It is an index, never the truth: what was captured stands in the store's capture log, what is published in its
commits. Losing the database costs one scan.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from contracts.errors import ConfigurationError
from contracts.selection import CaptureBatch, CapturedDrop
from resources.drop_folder import FileStamp, ListedFile

SCHEMA_VERSION = 1
_ROWS_A_STATEMENT = 5000

_metadata = sa.MetaData()
_meta = sa.Table(
    "meta", _metadata, sa.Column("key", sa.String, primary_key=True), sa.Column("value", sa.String, nullable=False)
)
_files = sa.Table(
    "files",
    _metadata,
    sa.Column("table_name", sa.String, primary_key=True),
    sa.Column("path", sa.String, primary_key=True),
    sa.Column("stamp", sa.String, nullable=False),
    sa.Column("partition_key", sa.String),
    sa.Column("problem", sa.String),
    sa.Column("first_seen", sa.String, nullable=False),
    sa.Column("last_changed", sa.String, nullable=False),
    sa.Column("missing_since", sa.String),
    sa.Column("captured_stamp", sa.String),
    sa.Index("files_to_capture", "table_name", "captured_stamp"),
)
_captures = sa.Table(
    "captures",
    _metadata,
    sa.Column("table_name", sa.String, primary_key=True),
    sa.Column("sequence", sa.Integer, primary_key=True),
    sa.Column("path", sa.String, primary_key=True),
    sa.Column("partition_key", sa.String, nullable=False),
    sa.Column("digest", sa.String, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("captured_at", sa.String, nullable=False),
    sa.Index("captures_of_path", "table_name", "path", "sequence"),
    sa.Index("captures_of_partition", "table_name", "partition_key"),
)
_verified = sa.Table(
    "verified",
    _metadata,
    sa.Column("path", sa.String, primary_key=True),
    sa.Column("stamp", sa.String, nullable=False),
    sa.Column("digest", sa.String, nullable=False),
)


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


class FileCatalogue:
    """The catalogue in a SQLite file. Safe for several processes; each method is one transaction."""

    def __init__(self, path: Path, *, engine: sa.Engine | None = None) -> None:
        self._path = path
        self._engine = engine or sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": 60})
        sa.event.listen(self._engine, "connect", _tune)
        self._prepare()

    @classmethod
    def copied(cls, path: Path) -> FileCatalogue:
        """What the catalogue knows now, in memory: whatever is done to the copy, file and folder stay as they are."""
        memory = sqlite3.connect(":memory:", check_same_thread=False)
        if path.exists():
            # in WAL mode even a reader creates files beside the database, unless it is told that nobody writes
            log = path.with_name(f"{path.name}-wal")
            mode = "ro" if log.exists() and log.stat().st_size else "ro&immutable=1"
            try:
                with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True)) as source:
                    source.backup(memory)
            except sqlite3.DatabaseError as error:
                raise _unusable(path, error) from error
        return cls(path, engine=sa.create_engine("sqlite://", creator=lambda: memory, poolclass=sa.StaticPool))

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()

    def observe(
        self, table: str, listed: Iterable[ListedFile], key_of: KeyOf, now: dt.datetime, *, record: bool = True
    ) -> ScanReport:
        """Compare a listing with what is known, and remember it unless `record` is off.

        Costs one look-up a file and one write a new or changed one.
        """
        known = {f.path: f for f in self.files(table) if not f.missing}
        seen: set[str] = set()
        unkeyed: list[ListedFile] = []
        for file in listed:
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
        if record:
            self._write(table, rows, gone, now)
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
        query = sa.select(_files).where(_files.c.table_name == table).order_by(_files.c.path)
        if to_capture:
            stale = sa.or_(_files.c.captured_stamp.is_(None), _files.c.captured_stamp != _files.c.stamp)
            query = query.where(stale, _files.c.problem.is_(None), _files.c.missing_since.is_(None))
        with self._reading() as connection:
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
        with self._writing() as connection:
            for path, stamp in stamps:
                where = (_files.c.table_name == table) & (_files.c.path == path)
                connection.execute(_files.update().where(where).values(captured_stamp=stamp))

    def newest_sequence(self, table: str) -> int:
        """The highest capture number that is indexed; 0 when none is."""
        query = sa.select(sa.func.max(_captures.c.sequence)).where(_captures.c.table_name == table)
        with self._reading() as connection:
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
            }
            for drop in batch.drops
        ]
        with self._writing() as connection:
            connection.execute(_captures.insert().prefix_with("OR IGNORE"), rows)

    def newest_capture(self, table: str, path: str) -> str | None:
        """The digest last captured for a path."""
        where = (_captures.c.table_name == table) & (_captures.c.path == path)
        query = sa.select(_captures.c.digest).where(where).order_by(_captures.c.sequence.desc()).limit(1)
        with self._reading() as connection:
            return connection.execute(query).scalar()

    def captures(
        self, table: str, partitions: Sequence[str] | None = None
    ) -> dict[str, list[tuple[int, CapturedDrop]]]:
        """Per partition what was captured, in sequence order. A path counts for the partition it names last."""
        query = (
            sa.select(_captures).where(_captures.c.table_name == table).order_by(_captures.c.sequence, _captures.c.path)
        )
        if partitions is not None and len(partitions) <= _ROWS_A_STATEMENT:
            query = query.where(_captures.c.partition_key.in_(partitions))
        result: dict[str, list[tuple[int, CapturedDrop]]] = {}
        with self._reading() as connection:
            for r in connection.execute(query):
                drop = CapturedDrop.model_construct(
                    path=r.path, partition=r.partition_key, digest=r.digest, size_bytes=r.size_bytes
                )
                result.setdefault(r.partition_key, []).append((r.sequence, drop))
        return result

    def partitions_captured_since(self, table: str, sequence: int) -> set[str]:
        """The partitions for which anything was captured after `sequence`."""
        query = sa.select(_captures.c.partition_key).distinct()
        query = query.where(_captures.c.table_name == table, _captures.c.sequence > sequence)
        with self._reading() as connection:
            return set(connection.execute(query).scalars())

    def verified(self) -> dict[str, tuple[str, str]]:
        """Files of the store that were hashed before: path to (stamp, digest)."""
        with self._reading() as connection:
            return {r.path: (r.stamp, r.digest) for r in connection.execute(sa.select(_verified))}

    def remember_verified(self, rows: Sequence[tuple[str, str, str]]) -> None:
        """Remember that (path, stamp) had a digest, so that it need not be hashed again while nothing touched it."""
        if not rows:
            return
        values = [dict(zip(("path", "stamp", "digest"), row, strict=True)) for row in rows]
        with self._writing() as connection:
            connection.execute(_verified.insert().prefix_with("OR REPLACE"), values)

    def _write(self, table: str, rows: list[dict[str, str | None]], gone: list[str], now: dt.datetime) -> None:
        upsert = sa.text(
            "INSERT INTO files"
            " (table_name, path, stamp, partition_key, problem, first_seen, last_changed, missing_since)"
            " VALUES (:table_name, :path, :stamp, :partition_key, :problem, :first_seen, :last_changed, NULL)"
            " ON CONFLICT (table_name, path) DO UPDATE"
            " SET stamp = excluded.stamp, partition_key = excluded.partition_key,"
            " problem = excluded.problem, last_changed = excluded.last_changed, missing_since = NULL"
        )
        if not rows and not gone:
            return
        with self._writing() as connection:
            if rows:
                connection.execute(upsert, rows)
            for path in gone:
                where = (_files.c.table_name == table) & (_files.c.path == path)
                connection.execute(_files.update().where(where).values(missing_since=now.isoformat()))

    def _prepare(self) -> None:
        try:
            with self._engine.begin() as connection:
                _metadata.create_all(connection)
                found = connection.execute(sa.select(_meta.c.value).where(_meta.c.key == "schema_version")).scalar()
                if found is None:
                    connection.execute(_meta.insert().values(key="schema_version", value=str(SCHEMA_VERSION)))
        except sa.exc.DatabaseError as error:
            raise _unusable(self._path, error.orig) from error
        if found is not None and int(found) > SCHEMA_VERSION:
            msg = (
                f"catalogue {self._path} has schema version {found}, this hashgate knows {SCHEMA_VERSION}. "
                "Upgrade hashgate, or point HASHGATE_HOME elsewhere."
            )
            raise ConfigurationError(msg, path=str(self._path), found=int(found), known=SCHEMA_VERSION)

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with self._engine.begin() as connection:
            yield connection


def _unusable(path: Path, error: BaseException | None) -> ConfigurationError:
    msg = f"catalogue {path}: {error}. It is only an index: move it away and run `hashgate scan`."
    return ConfigurationError(msg, path=str(path))


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


def _tune(connection: object, _record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()
