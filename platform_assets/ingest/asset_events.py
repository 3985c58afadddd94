"""What Dagster is told about a table: asset keys, and one event for each thing that became true.

Everything that people or senders wrote (values, paths, messages) goes into table cells and plain texts, which Dagster
shows as they are and never as Markdown or HTML; control characters are made visible, so that no terminal obeys them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster import AssetCheckEvaluation, AssetKey, AssetMaterialization
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData,  # Dagster exports the event, but not this part of it
)

from contracts.commits import Commit
from contracts.gates import Finding, GateReceipt, Verdict
from contracts.refs import Digest, digest_json
from contracts.segments import ParserIdentity
from contracts.selection import Selection
from contracts.table_contract import TableContract
from platform_assets.ingest.offending_rows import Offending
from platform_assets.reports.partition_report import ReportRef
from platform_assets.reports.table_overview import OverviewRef

Target = AssetCheckEvaluationTargetMaterializationData

DATA_VERSION = "dagster/data_version"
DATA_VERSION_IS_OURS = "dagster/data_version_is_user_provided"
CODE_VERSION = "dagster/code_version"
INPUT_DATA_VERSION = "dagster/input_data_version"
INPUT_EVENT_POINTER = "dagster/input_event_pointer"
ROW_COUNT = "dagster/row_count"
PARTITION_ROW_COUNT = "dagster/partition_row_count"
URI = "dagster/uri"
SIZE_BYTES = "dagster/size_bytes"
COLUMN_SCHEMA = "dagster/column_schema"
TABLE_NAME = "dagster/table_name"
"""Dagster's own keys, as its UI reads them; spelled here and nowhere else."""

CONTRACT_TAG = "hashgate/contract"

PATHS_SHOWN = 20
FINDINGS_SHOWN = 20
DIGEST_SHOWN = len("blake3:") + 12


@dataclass(frozen=True)
class TableKeys:
    """The asset keys of one table."""

    table: str

    @property
    def selection(self) -> AssetKey:
        """What the partition is built from."""
        return AssetKey([self.table, "selection"])

    @property
    def validated(self) -> AssetKey:
        """The rows that passed."""
        return AssetKey([self.table, "validated"])

    @property
    def quarantine(self) -> AssetKey:
        """The records that did not."""
        return AssetKey([self.table, "quarantine"])

    @property
    def report(self) -> AssetKey:
        """What there is to say about a version."""
        return AssetKey([self.table, "report"])

    @property
    def overview(self) -> AssetKey:
        """What there is to say about all current versions together."""
        return AssetKey([self.table, "overview"])


def code_version(contract: TableContract, parser: ParserIdentity) -> str:
    """The transform version of a table's partitions: a change of it makes them `outdated` in the UI."""
    return digest_json([contract.rows_digest, contract.set_digest, parser.model_dump(mode="json")])


def visible(text: str, limit: int = 500) -> str:
    """Text with its control characters (terminal escapes, line ends, marks that turn its direction) spelled out."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text[: limit + 1])
    return shown if len(shown) <= limit else shown[:limit] + "…"


def inert(text: str) -> str:
    """Visible text for a place that Dagster renders as Markdown (descriptions): it stays text.

    Source: CommonMark 0.31, "Backslash escapes"; GFM, "Autolinks (extension)".
    """
    # an underscore between letters means nothing, and names are full of them
    escaped = re.sub(r"([\\`*\[\]<>&|~#]|(?<!\w)_|_(?!\w))", r"\\\1", visible(text, 2000))
    return re.sub(r"(?i)(?<=www)\.|://|@", lambda found: "\\" + found[0], escaped)


def selection_event(keys: TableKeys, selection: Selection) -> AssetMaterialization:
    """The partition's drops are frozen under the snapshot's digest."""
    paths = [path for drop in selection.drops for path in drop.paths]
    shown = [(visible(path), drop.digest) for drop in selection.drops for path in drop.paths][:PATHS_SHOWN]
    return AssetMaterialization(
        asset_key=keys.selection,
        partition=selection.partition,
        metadata={
            "inputs": len(selection.drops),
            "files": len(paths),
            "drops": _table(("path", "digest"), shown),
            "cutoff": selection.cutoff,
            "snapshot": selection.snapshot,
        },
        tags={DATA_VERSION: selection.snapshot, DATA_VERSION_IS_OURS: "true", CODE_VERSION: selection.selector.value},
    )


def version_events(
    keys: TableKeys, commit: Commit, uri: str, exports: Mapping[str, str]
) -> tuple[AssetMaterialization, AssetMaterialization]:
    """The partition's validated rows and its quarantine are what the commit says.

    Args:
        keys: The table's assets.
        commit: A published version.
        uri: Where the commit lies.
        exports: Where its exports lie, by sink.
    """
    candidate = commit.candidate
    parts = (*candidate.segments, *([candidate.overlay] if candidate.overlay else []))
    common: dict[str, Any] = {
        "records": candidate.records,
        "version": commit.number,
        "commit": commit.digest,
        URI: dg.MetadataValue.url(uri),
        **_decided(commit),
    }
    tags = _version_tags(candidate.view_key, digest_of_code(commit), {keys.selection: candidate.snapshot})
    validated = AssetMaterialization(
        asset_key=keys.validated,
        partition=candidate.partition,
        metadata={
            ROW_COUNT: candidate.valid_rows,
            PARTITION_ROW_COUNT: candidate.valid_rows,
            "quarantined_rows": candidate.quarantined_rows,
            "snapshot": candidate.snapshot,
            SIZE_BYTES: sum(f.size_bytes for p in parts for f in p.files if f.name == "valid.parquet"),
            **{f"{sink}_file": dg.MetadataValue.url(place) for sink, place in exports.items()},
            **common,
        },
        tags=tags,
    )
    quarantine = AssetMaterialization(
        asset_key=keys.quarantine,
        partition=candidate.partition,
        metadata={ROW_COUNT: candidate.quarantined_rows, PARTITION_ROW_COUNT: candidate.quarantined_rows, **common},
        tags=tags,
    )
    return validated, quarantine


def _decided(commit: Commit) -> dict[str, str]:
    """Who let a version through that a gate had stopped, or went back to it."""
    decided = commit.decision or commit.waiver
    if decided is None:
        return {}
    return {"decided": commit.kind, "decided_by": visible(decided.actor), "because": visible(decided.reason)} | (
        {"waived_by": visible(commit.waiver.actor)} if commit.waiver else {}
    )


def digest_of_code(commit: Commit) -> str:
    """The code version a commit was made under; `code_version` of its contract and parser."""
    stamp = commit.candidate.contract
    return digest_json([stamp.rows_digest, stamp.set_digest, commit.candidate.parser.model_dump(mode="json")])


def report_event(keys: TableKeys, commit: Commit, report: ReportRef) -> AssetMaterialization:
    """The version has its report. It is the last event of a version: where it is recorded, all of them are."""
    view_key = commit.candidate.view_key
    return AssetMaterialization(
        asset_key=keys.report,
        partition=commit.candidate.partition,
        metadata={
            "report": dg.MetadataValue.path(report.place),
            "page": dg.MetadataValue.url(report.page),
            "page_command": f"hashgate report {keys.table} {commit.candidate.partition} --open",
            "summary": dg.MetadataValue.md(report.markdown),
            "version": commit.number,
        },
        tags=_version_tags(commit.digest, REPORT_CODE_VERSION, {keys.validated: view_key, keys.quarantine: view_key}),
    )


REPORT_CODE_VERSION = "urn:hashgate:report:2"
OVERVIEW_CODE_VERSION = "urn:hashgate:overview:1"


def overview_metadata(table: str, ref: OverviewRef) -> dict[str, Any]:
    """What is said of an overview that was written, or found."""
    totals = ref.overview.totals
    return {
        "overview": dg.MetadataValue.path(ref.place),
        "page": dg.MetadataValue.url(ref.page),
        "page_command": f"hashgate report {table} --open",
        "summary": dg.MetadataValue.md(ref.markdown),
        "partitions": totals.published,
        "held": totals.held,
        "missing": totals.missing,
        ROW_COUNT: totals.valid_rows,
        "quarantined_rows": totals.quarantined_rows,
    }


def check_events(
    keys: TableKeys,
    commit: Commit,
    gates: Sequence[str],
    offending: Sequence[Offending],
    report: ReportRef,
    target: Target | None,
) -> Iterator[AssetCheckEvaluation]:
    """One evaluation a gate, with what was expected, what was observed, and the first offending rows.

    A gate that somebody overrode stops nothing further down, so it counts as passed there, and says who did.

    Args:
        keys: The table's assets.
        commit: A published version, or a held candidate.
        gates: Those that the table has checks for; under an earlier contract it may have had others.
        offending: The first records in quarantine.
        report: The candidate's report.
        target: The materialization of the partition that the verdicts speak of; None when the candidate is held.
    """
    for receipt in (receipt for receipt in commit.receipts if receipt.gate in gates):
        yield AssetCheckEvaluation(
            asset_key=keys.validated,
            check_name=receipt.gate,
            partition=commit.candidate.partition,
            passed=receipt.verdict is Verdict.PASS or commit.waived,
            blocking=True,
            # Dagster shows it as Markdown in one place and as plain text in another: a command's backticks suit neither
            description=inert(_verdict_in_words(commit, receipt).replace("`", "")),
            metadata=_evidence(receipt, offending if receipt.gate == "quality" else (), report),
            target_materialization_data=target,
        )


def recheck_event(
    keys: TableKeys,
    partition: str,
    gate: str,
    found: Sequence[tuple[str, str, str]],
    commit: Commit | None,
    target: Target,
) -> AssetCheckEvaluation:
    """A gate looked again at what is published.

    Args:
        keys: The table's assets.
        partition: The key.
        gate: Its name.
        found: Subject, problem and fix of everything that is wrong.
        commit: The version that was verified.
        target: The materialization that the verdict speaks of.
    """
    version = (
        f"version {commit.number}, verified again from storage" if commit is not None else "verified again from storage"
    )
    metadata: dict[str, dg.MetadataValue] = {"observed": dg.MetadataValue.text(version)}
    if found:
        columns = ("subject", "problem", "fix")
        metadata["findings"] = _table(columns, [[visible(text) for text in row] for row in found[:FINDINGS_SHOWN]])
    return AssetCheckEvaluation(
        asset_key=keys.validated,
        check_name=gate,
        partition=partition,
        passed=not found,
        blocking=True,
        description=inert(f"{found[0][0]}: {found[0][1]}. {found[0][2]}") if found else version,
        metadata=metadata,
        target_materialization_data=target,
    )


def failure_events(keys: TableKeys, partition: str, gates: Sequence[str], why: str) -> Iterator[AssetCheckEvaluation]:
    """Gates that never came to a verdict, because nothing could be built: red, with the reason."""
    for gate in gates:
        yield AssetCheckEvaluation(
            asset_key=keys.validated,
            check_name=gate,
            partition=partition,
            passed=False,
            blocking=True,
            description=inert(why),
        )


def _verdict_in_words(commit: Commit, receipt: GateReceipt) -> str:
    if receipt.verdict is Verdict.PASS:
        return receipt.observed
    first = f" {_sentence(receipt.findings[0])}" if receipt.findings else ""
    held = " Held: nobody can read this candidate." if commit.is_held else ""
    waiver = commit.waiver
    by = f"Let through by {visible(waiver.actor)} ({visible(waiver.reason)}) although it says " if waiver else ""
    return f"{by}{receipt.verdict}: {receipt.observed}.{first}{held}"


def _sentence(finding: Finding) -> str:
    return f"{finding.subject}: expected {finding.expected}, observed {finding.observed}. {finding.fix}".rstrip()


def _evidence(receipt: GateReceipt, offending: Sequence[Offending], report: ReportRef) -> dict[str, dg.MetadataValue]:
    evidence: dict[str, dg.MetadataValue] = {
        "expected": dg.MetadataValue.text(visible(receipt.expected)),
        "observed": dg.MetadataValue.text(visible(receipt.observed)),
    }
    findings = [*receipt.findings, *receipt.warnings]
    if findings:
        columns = ("severity", "subject", "expected", "observed", "fix")
        evidence["findings"] = _table(columns, [[visible(getattr(f, c)) for c in columns] for f in findings])
    if receipt.findings_total > len(receipt.findings):
        evidence["findings_total"] = dg.MetadataValue.int(receipt.findings_total)
    if offending:
        evidence["first_offending_rows"] = _table(
            ("record", "raw", "reasons", "drop"),
            [(o.record, visible(o.raw, 200), visible(o.reasons), o.drop[:DIGEST_SHOWN]) for o in offending],
        )
    if receipt.verdict is not Verdict.PASS:
        evidence["report"] = dg.MetadataValue.path(report.place)
        evidence["page"] = dg.MetadataValue.url(report.page)
    return evidence


def _table(columns: Sequence[str], rows: Sequence[Sequence[str | int]]) -> dg.TableMetadataValue:
    schema = dg.TableSchema([dg.TableColumn(c, "int" if c == "record" else "string") for c in columns])
    return dg.MetadataValue.table([dg.TableRecord(dict(zip(columns, row, strict=True))) for row in rows], schema)


def _version_tags(data_version: Digest, code: str, inputs: dict[AssetKey, Digest]) -> dict[str, str]:
    tags: dict[str, str] = {DATA_VERSION: data_version, DATA_VERSION_IS_OURS: "true", CODE_VERSION: code}
    for key, version in inputs.items():
        tags[f"{INPUT_DATA_VERSION}/{key.to_user_string()}"] = version
        # Dagster counts an input only with a pointer to its event; versions alone say whether it changed
        tags[f"{INPUT_EVENT_POINTER}/{key.to_user_string()}"] = "NULL"
    return tags
