"""The store as a whole: what belongs to no table, and what lies there that nothing explains.

An object of a known kind that no document names is no damage: a writer that stopped left it, or it has expired, and
the collector removes it. Anything else does not belong there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from contracts.collection import DoomedList, EmptiedList, base_name
from platform_assets.evidence.corruptions import (
    AS_WRITTEN,
    RESTORE,
    Concern,
    Corruption,
    StoreReport,
)
from platform_assets.evidence.engine_evidence import ENGINE, look_at_engines
from platform_assets.evidence.object_evidence import stray
from platform_assets.evidence.partition_evidence import LINK, read_links, stray_names
from resources.commit_chain import link_name
from resources.doomed_lists import FOLDER as DOOMED
from resources.doomed_lists import emptied_key, list_key
from resources.expirations import Expirations, expired_chain
from resources.object_store import ObjectStore
from resources.table_reader import table_prefix

BLOBS, CAPTURES, DAMAGED, EXPIRED, TABLES = "blobs", "captures", "damaged", "expired", "tables"
FOLDERS = ("segments", "exports")
KINDS = frozenset({"commits", "datasets", "discarded", "held", "overviews", "profiles", "reports", "selections"})
"""What a table has beside these folders: looked at with its partitions, or with the table."""

_BLOB = re.compile(r"blobs/([0-9a-f]{2})/([0-9a-f]{2})/(?=\1\2)[0-9a-f]{64}(\.[1-9][0-9]*)?")
_IN_FOLDER = re.compile(r"tables/[^/]+/(segments|exports)/[0-9a-f]{64}/[0-9a-f]{64}(\.[1-9][0-9]*)?/[^/]+")
_DOOMED = re.compile(r"([0-9]{8,})(\.emptied)?\.json")


def read_expirations(store: ObjectStore) -> tuple[Expirations, list[Corruption], int]:
    """What was removed on purpose, as far as its records are whole; what is wrong with them; how many there are."""
    links, wrong = read_links(expired_chain(store))
    corruptions = [
        _of_store(f"{EXPIRED}/{link_name(number)}", AS_WRITTEN, problem, RESTORE) for number, problem in wrong.items()
    ]
    return Expirations().with_records(links.values()), corruptions, len(links)


def walk(store: ObjectStore, tables: Collection[str] | None = None) -> dict[str, int]:
    """Sizes by key, at the price of a listing: of everything, or of some tables' segments and exports alone."""
    folders = [""] if tables is None else [f"{table_prefix(table)}/{kind}" for table in tables for kind in FOLDERS]
    return {found.key: found.size_bytes for folder in folders for found in store.objects(folder)}


@dataclass
class LeftOvers:
    """What lies in the store and no document names."""

    blobs: dict[str, int] = field(default_factory=dict)
    """Sizes by key."""
    folders: dict[str, int] = field(default_factory=dict)
    """Of segments and exports: how much is in each."""
    objects: int = 0
    strays: list[str] = field(default_factory=list)
    """What nothing explains at all."""


def left_overs(walked: Mapping[str, int], needed: Collection[str], tables: Collection[str]) -> LeftOvers:
    """Tell what is left over from what does not belong here.

    Args:
        walked: Everything that lies in the store.
        needed: Names of folders and of blobs that documents name.
        tables: Those that were looked at.
    """
    found = LeftOvers()
    for key, size in walked.items():
        if _BLOB.fullmatch(key):
            if base_name(key) not in needed:
                found.blobs[key] = size
                found.objects += 1
        elif _IN_FOLDER.fullmatch(key):
            folder = key.rpartition("/")[0]
            if base_name(folder) not in needed:
                found.folders[folder] = found.folders.get(folder, 0) + size
                found.objects += 1
        elif not _is_looked_at(key, tables):
            found.strays.append(key)
    return found


def look_at_rest(store: ObjectStore, report: StoreReport, left: LeftOvers) -> None:
    """Look at everything that no table has told of; what is found is added to the report."""
    report.unneeded = left.objects
    report.unneeded_bytes = sum(left.blobs.values()) + sum(left.folders.values())
    report.put_aside = len(store.keys(DAMAGED))
    report.corruptions += _look_at_doomed(store)
    report.corruptions += look_at_engines(store)
    report.corruptions += [stray(None, None, key) for key in left.strays]


def _is_looked_at(key: str, tables: Collection[str]) -> bool:
    """Whether it lies where a table, a partition or the records of removals have been gone through by name."""
    first, _, rest = key.partition("/")
    if first == EXPIRED:
        return not any(stray_names([rest], LINK))
    if first == CAPTURES:
        return rest.partition("/")[0] in tables
    if first == TABLES:
        table, _, kind = rest.partition("/")
        return table in tables and kind.partition("/")[0] in KINDS
    return first in {DAMAGED, DOOMED, ENGINE} and bool(rest)


def _look_at_doomed(store: ObjectStore) -> Iterator[Corruption]:
    for name in store.keys(DOOMED):
        found = _DOOMED.fullmatch(name)
        number = int(found[1]) if found else 0
        key = f"{DOOMED}/{name}"
        if found is None or key not in {list_key(number), emptied_key(number)}:
            yield stray(None, None, key)
            continue
        kind = EmptiedList if found[2] else DoomedList
        fix = "Remove it when no gc is running: nothing hangs on it, the next gc makes a new one."
        try:
            there = kind.from_bytes(store.get(key))
        except KeyError:
            continue  # a collector has just retired it
        except ValueError as error:
            yield _of_store(key, AS_WRITTEN, str(error).partition("\n")[0], fix)
            continue
        if there.number != number:
            yield _of_store(key, f"number {number}", f"number {there.number}", fix)


def _of_store(key: str, expected: str, observed: str, fix: str) -> Corruption:
    return Corruption(None, None, key, expected, observed, fix, Concern.EVIDENCE)
