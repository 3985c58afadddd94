"""`hashgate quarantine`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import groupby

from contracts.reasons import Reason
from platform_assets.cli.arguments import Arguments
from platform_assets.cli.asked import checked_partitions, say_json
from platform_assets.cli.terminal import Colour, Terminal, counted, neutralized, short_digest, shortened
from platform_assets.evidence.quarantined import (
    QuarantinedRecord,
    ReasonCount,
    count_reasons,
    quarantined_records,
    versions_to_mend,
)
from resources.workspace import Workspace

_RAW_COLUMNS = 160


def quarantine(arguments: Arguments, terminal: Terminal) -> int:
    """Show refused records, or count their reasons."""
    workspace = Workspace.from_environment()  # which remembers what it has verified
    contract = workspace.contract(str(arguments.table))
    wanted = checked_partitions(contract, arguments.partition, workspace.now())
    versions = versions_to_mend(workspace, contract, wanted)
    total = sum(version.candidate.quarantined_rows for version in versions)
    if arguments.summary:
        counts = count_reasons(workspace, versions)
        if arguments.json:
            reasons = [dataclasses.asdict(count) for count in counts]
            say_json(terminal, {"table": contract.table, "records": total, "reasons": reasons})
        else:
            by_partition = [
                (v.candidate.partition, v.candidate.quarantined_rows, v.candidate.records, v.kind) for v in versions
            ]
            _say_counts(terminal, contract.table, total, counts, by_partition)
        return 0
    limit = arguments.limit or None
    records = quarantined_records(workspace, versions, limit)
    if arguments.json:
        documents = [dataclasses.asdict(record) for record in records]
        say_json(terminal, {"table": contract.table, "records": documents, "total": total})
    else:
        _say_records(terminal, records)
        _say_rest(terminal, contract.table, total, len(records))
    return 0


def say_reasons(terminal: Terminal, counts: Sequence[ReasonCount]) -> None:
    """A table of reasons with the number of records each."""
    rows = [("records", "partitions", "reason", "column", "rule", "first seen in", "such as")]
    rows += [
        (
            f"{c.records:,}",
            f"{c.partitions:,}",
            c.code,
            c.column or "-",
            c.rule or "-",
            c.first_partition,
            shortened(c.example, 40) if c.example is not None else "-",
        )
        for c in counts
    ]
    terminal.table(rows, right=(0, 1))


def _say_counts(
    terminal: Terminal,
    table: str,
    total: int,
    counts: Sequence[ReasonCount],
    by_partition: Sequence[tuple[str, int, int, str]],
) -> None:
    some = [row for row in by_partition if row[1]]
    terminal.line(f"{table}: {counted(total, 'record')} of {counted(len(some), 'partition')} in quarantine")
    if not counts:
        return
    terminal.line()
    say_reasons(terminal, counts)
    terminal.line()
    rows = [("records", "share", "partition", "")]
    worst = sorted(some, key=lambda row: (-row[1], row[0]))
    rows += [
        (f"{bad:,}", f"{bad / all_:.1%}", key, "held" if kind == "held" else "") for key, bad, all_, kind in worst[:10]
    ]
    terminal.table(rows, right=(0, 1))
    if len(worst) > 10:
        terminal.line(f"  and {counted(len(worst) - 10, 'more partition')}")
    terminal.line()
    for code in dict.fromkeys(c.code for c in counts):
        reason = Reason(code)
        terminal.line(f"  {code}: {reason.meaning}. {reason.fix}")


def _say_records(terminal: Terminal, records: Sequence[QuarantinedRecord]) -> None:
    for (partition, held), some in groupby(records, key=lambda r: (r.partition, r.held)):
        terminal.line(terminal.coloured(partition, Colour.BOLD) + ("  held, nobody reads it" if held else ""))
        for record in some:
            where = ", ".join(neutralized(path) for path in record.paths) or f"drop {short_digest(record.source)}"
            place = f"bytes {record.byte_start:,} to {record.byte_end:,}"
            terminal.line(f"  {where}, record {record.record:,} ({place})")
            for reason in record.reasons:
                terminal.line(f"    {_spoken(reason)}")
            terminal.line(
                terminal.coloured(f"    | {shortened(record.raw.rstrip(chr(10) + chr(13)), _RAW_COLUMNS)}", Colour.DIM)
            )


def _spoken(reason: dict[str, str | None]) -> str:
    names = ", ".join(f"{what} {reason[what]}" for what in ("column", "rule") if reason[what])
    value = "" if reason["value"] is None else f" (found {shortened(repr(reason['value']), 60)})"
    return neutralized(f"{reason['code']}{' ' + names if names else ''}: {reason['message'] or ''}") + value


def _say_rest(terminal: Terminal, table: str, total: int, shown: int) -> None:
    if total == 0:
        terminal.line(f"{table}: nothing is in quarantine")
    elif total > shown:
        more = total - shown
        terminal.line(f"and {counted(more, 'more record')}: --limit 0 shows all, --summary counts their reasons")
