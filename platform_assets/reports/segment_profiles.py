"""Profiles of single segments, kept: a version that shares segments with an earlier one reads only those that are new.

Kept for partitions too large to be profiled from memory; of a small one, reading a kept profile costs what computing
it does. What is kept can be lost without harm: it is computed again. It is named by what it is computed from, so it is
never stale.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache

import duckdb

from contracts.commits import Candidate, SegmentEntry
from contracts.duckdb_syntax import quoted
from contracts.refs import Digest, digest_json, hex_of
from contracts.report_document import Profile, SegmentProfile
from platform_assets.reports.profile import HASHING, profile_table
from resources.duckdb_session import parquet_source, run_query
from resources.object_store import ObjectStore
from resources.table_reader import VALID, PublishedFiles, table_prefix

DOCUMENT = "profile.json"
_PROFILER = "urn:hashgate:profile:1"


def profile_prefixes(candidate: Candidate) -> Iterator[str]:
    """Where the profiles of a version's segments lie, if they are kept."""
    for entry in candidate.segments:
        yield profile_prefix(candidate.table, entry, candidate.overlay)


@cache
def _name(segment: Digest, overlay: Digest | None) -> Digest:
    return digest_json({"by": _PROFILER, "hashing": HASHING, "segment": segment, "overlay": overlay})


def profile_prefix(table: str, entry: SegmentEntry, overlay: SegmentEntry | None) -> str:
    """Where the profile of a segment lies, without the records that an overlay excludes."""
    name = _name(entry.content, None if overlay is None else overlay.content)
    return f"{table_prefix(table)}/profiles/{hex_of(name)}"


def rows_query(valid: Sequence[str], overlay: Sequence[str], columns: Mapping[str, str]) -> str:
    """SQL for the rows that readers see."""
    names = ", ".join(quoted(name) for name in (*columns, "_hg_source", "_hg_record"))
    rows = f"SELECT {names} FROM {parquet_source(valid)} AS valid"
    if overlay:
        rows += f" ANTI JOIN {parquet_source(overlay)} AS overlay USING (_hg_source, _hg_record)"
    return rows


def segment_profiles(
    session: duckdb.DuckDBPyConnection, store: ObjectStore, files: PublishedFiles, columns: Mapping[str, str]
) -> Iterator[Profile]:
    """The profile of each segment that has valid rows, in order, without prose; computed if it is not kept.

    Args:
        session: In UTC.
        store: Where they are kept.
        files: The version's verified files.
        columns: Name to DuckDB type.
    """
    candidate = files.commit.candidate
    with_rows = [entry for entry in candidate.segments if any(file.name == VALID for file in entry.files)]
    for entry, source in zip(with_rows, files.valid, strict=True):
        key = f"{profile_prefix(candidate.table, entry, candidate.overlay)}/{DOCUMENT}"
        kept = _kept(store, key, candidate, entry)
        if kept is None:
            run_query(session, f"CREATE OR REPLACE TEMP VIEW read AS {rows_query([source], files.overlay, columns)}")
            seed = int(hex_of(entry.content)[:8], 16)
            profile = profile_table(session, "read", columns, {}, seed)
            overlay = None if candidate.overlay is None else candidate.overlay.content
            kept = SegmentProfile(table=candidate.table, segment=entry.content, overlay=overlay, profile=profile)
            if not store.put_if_absent(key, kept.to_bytes()) and store.get(key) != kept.to_bytes():
                store.put_aside(key)
                store.put_if_absent(key, kept.to_bytes())
        yield kept.profile


def _kept(store: ObjectStore, key: str, candidate: Candidate, entry: SegmentEntry) -> SegmentProfile | None:
    """What is kept, if it is whole and of this segment."""
    try:
        found = SegmentProfile.from_bytes(store.get(key))
    except (KeyError, ValueError):
        return None
    overlay = None if candidate.overlay is None else candidate.overlay.content
    is_this = (found.table, found.segment, found.overlay) == (candidate.table, entry.content, overlay)
    return found if is_this else None
