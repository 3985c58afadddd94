"""Versions with exports for tests: Parquet made by hand, and all that follows by the platform's own functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
import pyarrow as pa

from contracts.commits import Candidate, Export, SegmentEntry
from contracts.refs import Digest, ViewRef, digest_bytes
from contracts.segments import SegmentIndex
from contracts.sinks import Sink
from resources.duckdb_session import open_session
from resources.exports import Exported, export
from resources.object_store import LocalObjectStore
from resources.segment_places import SegmentPlace, StagedFolder
from resources.segment_writer import stored_file, write_index
from resources.table_reader import VALID
from resources.version_rows import rows_of
from tests.versions import candidate, stamp

LINEAGE = {"_hg_source": "VARCHAR", "_hg_record": "BIGINT", "_hg_segment": "VARCHAR"}
BOTH = (Sink.CSV, Sink.DUCKDB)


@dataclass(frozen=True)
class Made:
    """A candidate with one segment."""

    candidate: Candidate
    places: Mapping[Digest, SegmentPlace]
    folder: Path
    store: LocalObjectStore

    def exported(self) -> Exported:
        folder = self.folder / uuid4().hex
        folder.mkdir()
        return export(self.store, self.candidate, self.places, folder)


def made(folder: Path, query: str, *, sinks: tuple[Sink, ...] = BOTH, lineage: bool = True, **about: Any) -> Made:
    """A candidate whose rows are those of a query; with lineage, each row is a record of one drop."""
    segment = folder / uuid4().hex
    segment.mkdir(parents=True)
    path = segment / VALID
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        more = ", 'blake3:a' AS _hg_source, row_number() OVER () AS _hg_record, 'blake3:b' AS _hg_segment"
        rows = connection.execute(
            f"COPY (SELECT *{more if lineage else ''} FROM ({query})) TO '{path}' (FORMAT parquet)"
        ).fetchall()[0][0]
        described = connection.execute(f"DESCRIBE SELECT * FROM '{path}'").fetchall()
    schema = tuple((name, kind) for name, kind, *_ in described)
    view_key = digest_bytes(f"{query}{about}".encode())
    index = write_index(SegmentIndex(view=ViewRef(key=view_key), drops=(), files=(stored_file(path, rows),)), segment)
    entry = SegmentEntry(
        view_key=view_key,
        content=index.content,
        files=index.stored_files,
        records=rows,
        valid_rows=rows,
        quarantined_rows=0,
    )
    promised = stamp().model_copy(update={"table_schema": schema, "sinks": sinks})
    of = candidate(segments=(entry,), records=rows, valid_rows=rows, **({"view_key": view_key} | about))
    of = of.model_copy(update={"contract": promised})
    return Made(of, {entry.content: StagedFolder(segment)}, folder, LocalObjectStore(folder / "store"))


def file_of(exported: Exported, sink: Sink) -> Path:
    """Where an export is staged."""
    one = exported.candidate.export(sink)
    assert one is not None
    return path_of(exported.places, one)


def path_of(places: Mapping[Digest, SegmentPlace], export: Export) -> Path:
    return Path(places[export.content].source(export.file.name))


def parquet_rows(of: Made) -> pa.Table:
    """What a reader of the Parquet file sees, in the order of its records."""
    with open_session("reader") as session:
        return session.execute(f"{rows_of(of.candidate, of.places).query}").to_arrow_table()
