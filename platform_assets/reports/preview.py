"""Reports in a few lines of Markdown, for a metadata field of Dagster. No page is drawn, and nothing of one is loaded.

Every value from outside is a code span, in which nothing is markup.
"""

from __future__ import annotations

from contracts.overview_document import Overview
from contracts.report_document import Report
from platform_assets.reports.wording import code_span, count, counted, share, size

REASONS = 5
PARTITIONS = 5


def render_markdown(report: Report) -> str:
    """What came in, what became of it, and what stopped it."""
    flow = report.flow
    title = "held" if report.state == "held" else f"published, version {report.version}"
    came = f"{count(flow.drops)} ({size(flow.drop_bytes)})"
    refused = f"{count(flow.quarantined_rows)} ({share(flow.quarantined_rows, flow.records)})"
    lines = [
        f"**{code_span(report.table)} {code_span(report.partition)}: {title}**",
        "",
        "| drops | records | valid rows | quarantined |",
        "| ---: | ---: | ---: | ---: |",
        f"| {came} | {count(flow.records)} | {count(flow.valid_rows)} | {refused} |",
        "",
    ]
    for gate in report.gates_not_passed:
        found = "; ".join(
            f"{code_span(f.subject)}: expected {code_span(f.expected)}, observed {code_span(f.observed)}"
            for f in gate.findings[:3]
        )
        lines.append(f"- gate {code_span(gate.gate)} **{gate.verdict}**: {found or code_span(gate.observed)}")
    if not report.gates_not_passed:
        lines.append(f"- all {len(report.gates)} gates passed")
    for group in report.quarantine[:REASONS]:
        about = "".join(
            f" {what} {code_span(name)}" for what, name in (("column", group.column), ("rule", group.rule)) if name
        )
        lines.append(f"- {count(group.records)} x {code_span(group.code)}{about}")
    if report.quarantine_reasons > REASONS:
        lines.append(f"- and {report.quarantine_reasons - REASONS} more reasons")
    return "\n".join(lines) + "\n"


def render_overview_markdown(overview: Overview) -> str:
    """How much there is, what is missing, and what is refused most."""
    totals = overview.totals
    refused = f"{count(totals.quarantined_rows)} ({share(totals.quarantined_rows, totals.records)})"
    came = f"{count(totals.drops)} ({size(totals.drop_bytes)})"
    numbers = (
        came,
        count(totals.records),
        count(totals.valid_rows),
        refused,
        count(totals.held),
        count(totals.missing),
    )
    lines = [
        f"**{code_span(overview.table)}: {counted(totals.published, 'published partition')}**",
        "",
        "| drops | records | valid rows | quarantined | held | missing |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
        f"| {' | '.join(numbers)} |",
        "",
    ]
    for state in ("held", "missing", "unreadable"):
        found = [line.partition for line in overview.partitions if line.state == state]
        if found:
            more = f" and {len(found) - PARTITIONS} more" if len(found) > PARTITIONS else ""
            lines.append(f"- {state}: {', '.join(map(code_span, found[:PARTITIONS]))}{more}")
    for reason in overview.reasons[:REASONS]:
        about = "".join(
            f" {what} {code_span(name)}" for what, name in (("column", reason.column), ("rule", reason.rule)) if name
        )
        lines.append(
            f"- {count(reason.records)} x {code_span(reason.code)}{about} in {counted(reason.partitions, 'partition')}"
        )
    return "\n".join(lines) + "\n"
