"""The reports of a partition, and what is kept beside them: each is what was written, and of a version that is there.

A report is computed from its version and proves nothing about it. But one whose version is not there tells that the
chain's tail was cut off, or that a held candidate has gone without a word.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from contracts.commits import Commit
from contracts.overview_document import Overview
from contracts.refs import Digest, digest_bytes, hex_of
from contracts.report_document import Report, SegmentProfile
from platform_assets.evidence.corruptions import (
    AS_WRITTEN,
    INGEST_FORCED,
    MOVE_OUT,
    PUT_ASIDE,
    UNEXPLAINED,
    Concern,
)
from platform_assets.evidence.memories import Remembered
from platform_assets.evidence.partition_evidence import PartitionEvidence, tell_cut_off
from platform_assets.reports.partition_report import report_prefix
from resources.expirations import Expirations
from resources.object_store import ObjectStore
from resources.table_reader import NOTHING, held_key, table_prefix

DOCUMENT, PAGE = "report.json", "report.html"

COMPUTED_AGAIN = "Put it aside (`hashgate verify --deep --put-aside`): it is computed again when it is next needed."

_FOLDER = re.compile(r"(held|[1-9][0-9]*)-([0-9a-f]{12})")
_DERIVED = re.compile(r"[0-9a-f]{64}(\.[1-9][0-9]*)?")


def look_at_reports(
    store: ObjectStore, evidence: PartitionEvidence, remembered: Remembered, expirations: Expirations
) -> None:
    """Read and verify the reports of a partition whose other documents were looked at; adds to what was found."""
    prefix = f"{table_prefix(evidence.table)}/reports/{evidence.partition}"
    by_folder = {report_prefix(commit): commit for commit in (*evidence.commits, *evidence.stopped)}
    for name in store.keys(prefix):
        folder, found = f"{prefix}/{name}", _FOLDER.fullmatch(name)
        if found is None:
            evidence.found(folder, NOTHING, UNEXPLAINED, MOVE_OUT, Concern.STRAY)
            continue
        of = by_folder.get(folder)
        report = _look_at_report(store, evidence, folder, None if of is None else of.digest)
        if of is None and found[1] != "held":
            _tell_lost_version(evidence, folder, int(found[1]), found[2])
        elif of is None and report is not None:
            _tell_lost_candidate(evidence, folder, report, remembered.withdrawn)
    told = remembered.told.reports.get(evidence.partition)
    for folder, commit in by_folder.items():
        is_expired = (evidence.table, evidence.partition, commit.number) in expirations.versions
        if commit.digest == told and not is_expired and not store.exists(f"{folder}/{DOCUMENT}"):
            expected = f"the report of {told}, which Dagster links to"
            evidence.found(f"{folder}/{DOCUMENT}", expected, NOTHING, INGEST_FORCED, Concern.EVIDENCE)


def _look_at_report(
    store: ObjectStore, evidence: PartitionEvidence, folder: str, commit: Digest | None
) -> Report | None:
    """A report's document, if it is what was written."""
    evidence.counts["reports"] += 1

    def found(name: str, expected: str, observed: str) -> None:
        evidence.found(f"{folder}/{name}", expected, observed, PUT_ASIDE, Concern.EVIDENCE)

    for name in store.keys(folder):
        if name not in {DOCUMENT, PAGE}:
            evidence.found(f"{folder}/{name}", NOTHING, UNEXPLAINED, MOVE_OUT, Concern.STRAY)
    try:
        report = Report.from_bytes(store.get(f"{folder}/{DOCUMENT}"))
    except KeyError:  # its writer came no further: it is drawn when it is next told
        return None
    except ValueError as error:
        found(DOCUMENT, AS_WRITTEN, str(error).partition("\n")[0])
        return None
    if commit is not None and report.lineage.commit != commit:
        found(DOCUMENT, f"the report of {commit}", f"that of {report.lineage.commit}")
    if report.page is not None:  # pages of an earlier format lie beside it
        try:
            page = digest_bytes(store.get(f"{folder}/{PAGE}"))
        except KeyError:
            found(PAGE, report.page, NOTHING)
            return report
        if report.page != page:
            found(PAGE, report.page, page)
    return report


def look_at_derived(store: ObjectStore, table: str) -> Iterator[tuple[str, str, str, str, Concern]]:
    """What is wrong with a table's overviews and kept profiles.

    Yields:
        Key, expected, observed, the way back, and whom it concerns.
    """
    for kind, name, model in (("overviews", "overview.json", Overview), ("profiles", "profile.json", SegmentProfile)):
        prefix = f"{table_prefix(table)}/{kind}"
        for key in store.walk(prefix):
            folder, _, last = key.removeprefix(f"{prefix}/").partition("/")
            if _DERIVED.fullmatch(folder) is None or last != name:
                yield key, NOTHING, UNEXPLAINED, MOVE_OUT, Concern.STRAY
                continue
            try:
                document = model.from_bytes(store.get(key))
            except KeyError:  # collected meanwhile
                continue
            except ValueError as error:
                yield key, AS_WRITTEN, str(error).partition("\n")[0], COMPUTED_AGAIN, Concern.EVIDENCE
                continue
            named = hex_of(document.versions) if isinstance(document, Overview) else folder
            if (document.table, named) != (table, folder):
                observed = f"one of {document.table}, {named}"
                yield key, f"one of {table}, {folder}", observed, COMPUTED_AGAIN, Concern.EVIDENCE


def _tell_lost_version(evidence: PartitionEvidence, folder: str, number: int, digits: str) -> None:
    """A report of no version: unless that one's rows have expired, it was cut off or replaced."""
    link = next((link for link in evidence.links if link.number == number), None)
    if link is None or not hex_of(link.digest).startswith(digits):
        fix = f"Restore the store from a backup. If it is right as it is, remove {folder}."
        tell_cut_off(evidence, number, f"blake3:{digits}..., whose report is {folder}", fix)


def _tell_lost_candidate(
    evidence: PartitionEvidence, folder: str, report: Report, withdrawn: Collection[Digest]
) -> None:
    """A held candidate is gone: unless it came to something, or what it was made of is to be forgotten, it was lost."""
    known = {commit.candidate.view_key for commit in (*evidence.stopped, *evidence.commits)}
    known |= {link.candidate.view_key for link in evidence.links if isinstance(link, Commit)}
    view_key = report.lineage.view_key
    if view_key not in known and not {drop.digest for drop in report.flow.drop_lines} & set(withdrawn):
        key = held_key(evidence.table, evidence.partition, view_key)
        evidence.found(key, f"the held candidate whose report is {folder}", NOTHING, INGEST_FORCED, Concern.HISTORY)
