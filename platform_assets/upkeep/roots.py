"""Roots: what documents name and what therefore stays. Whatever a document names is a root, unless it has expired.

This is worked out from the store's documents alone and reads no clock. What cannot be read counts as naming
everything that it might: then nothing of its kind is removed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from contracts.collection import base_name
from contracts.commits import Commit
from contracts.errors import HashgateError
from contracts.refs import Digest
from platform_assets.reports.partition_report import report_prefix
from platform_assets.reports.segment_profiles import profile_prefixes
from platform_assets.reports.table_overview import newest_held, overview_prefix, versions_digest
from platform_assets.upkeep.expiring import kept_selections, kept_versions
from platform_assets.upkeep.table_documents import Snapshots, TableDocuments
from resources.captures import blob_key
from resources.expirations import Expirations
from resources.table_reader import folders_of

BLOBS, TABLES, DAMAGED = "blobs", "tables", "damaged"
FOLDERS = ("segments", "exports", "reports", "profiles", "overviews")
"""The kinds of folders below a table's that documents name."""

_BLOB = re.compile(r"blobs/[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]{64}")
_FOLDER = re.compile(
    r"tables/(?P<table>[^/]+)/((segments|exports)/[0-9a-f]{64}/[0-9a-f]{64}|reports/.+/(held|[0-9]+)-[0-9a-f]{12}"
    r"|(profiles|overviews)/[0-9a-f]{64})"
)
_ASIDE = re.compile(r"damaged/[^/]+")


@dataclass
class Roots:
    """Names of objects that something names."""

    names: set[str] = field(default_factory=set)
    """Folders of segments, exports, reports, profiles and overviews, and blobs; each by the key it has when there is
    one copy."""
    problems: list[str] = field(default_factory=list)
    """Documents that cannot be read, in words."""
    unsure_tables: set[str] = field(default_factory=set)
    """Tables of which nothing may go, because one of their documents cannot be read."""

    def holds(self, name: str) -> bool:
        """Whether something names this object, or may; what lies where nothing of ours would is always held."""
        base = base_name(name)
        if _BLOB.fullmatch(base):
            # which tables a blob belongs to, only documents say
            return bool(self.unsure_tables) or base in self.names
        if (folder := _FOLDER.fullmatch(base)) is not None:
            return folder["table"] in self.unsure_tables or base in self.names
        return not _ASIDE.fullmatch(name)


def roots_of(tables: Iterable[TableDocuments], expirations: Expirations, snapshots: Snapshots) -> Roots:
    """What the documents of all tables name, but for what has expired."""
    roots = Roots()
    for documents in tables:
        if documents.problems:
            roots.problems += documents.problems
            roots.unsure_tables.add(documents.table)
        try:
            _add_table(roots, documents, expirations, snapshots)
        except HashgateError as error:
            roots.problems.append(str(error))
            roots.unsure_tables.add(documents.table)
    return roots


def _add_table(roots: Roots, documents: TableDocuments, expirations: Expirations, snapshots: Snapshots) -> None:
    table = documents.table
    for commit in (*kept_versions(documents, expirations), *documents.held):
        _add_candidate(roots, commit, snapshots)
    roots.names.add(_overview(documents, expirations))
    for selection in kept_selections(documents, expirations):
        _add_snapshot(roots, selection.snapshot, snapshots)
    roots.names |= {
        blob_key(drop.digest)
        for sequence, drop in documents.captures
        if not drop.withdrawn and not expirations.holds_drop(table, drop.digest, sequence)
    }


def _overview(documents: TableDocuments, expirations: Expirations) -> str:
    """Where the overview of what is current lies; earlier ones are computed again if anybody asks."""
    heads = {key: head for key, head in documents.heads.items() if head.place not in expirations.versions}
    return overview_prefix(documents.table, versions_digest(heads, newest_held(documents.heads, documents.held)))


def _add_candidate(roots: Roots, commit: Commit, snapshots: Snapshots) -> None:
    candidate = commit.candidate
    roots.names |= {name for name, _ in folders_of(candidate)}
    roots.names |= {report_prefix(commit), *profile_prefixes(candidate)}
    if candidate.origin == "drops":
        _add_snapshot(roots, candidate.snapshot, snapshots)


def _add_snapshot(roots: Roots, snapshot: Digest, snapshots: Snapshots) -> None:
    roots.names.add(blob_key(snapshot))
    roots.names |= {blob_key(ref.digest) for ref in snapshots.inputs(snapshot)}
