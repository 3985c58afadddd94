"""`hashgate ingest`: the same Dagster assets, in this process, with progress and a summary."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from contracts.commits import Commit
from contracts.partitions import keys_between, parse_range
from contracts.table_contract import TableContract
from platform_assets.cli.arguments import Arguments
from platform_assets.cli.asked import checked_partitions, say_json
from platform_assets.cli.looking import NEEDS_A_PERSON, say_problems
from platform_assets.cli.problem_files import problem_document
from platform_assets.cli.quarantining import say_reasons
from platform_assets.cli.terminal import Colour, Progress, Terminal, counted, human_duration, neutralized
from platform_assets.evidence.quarantined import count_reasons
from platform_assets.ingest.ingesting import Ended, Ending, TakenIn
from platform_assets.ingest.planning import PartitionState, PartitionStatus, partition_statuses
from platform_assets.ingest.run_outcomes import RunOutcome, outcome_of
from platform_assets.ingest.runs import run_ingest
from platform_assets.ingest.selecting import scan
from resources.file_catalogue import KnownFile
from resources.workspace import Workspace

_BRIDGED = 31
"""Runs cover contiguous ranges: a gap of so many partitions without work is run through, cheaper than another run."""

_SHOWN = 10
_REASONS_SHOWN = 5
_BAD = (Ending.HELD, Ending.FAILED)
_DECIDED = {PartitionState.HELD, PartitionState.DECLINED, PartitionState.UNREADABLE}


@dataclass
class _Work:
    """What is to be done, and what became of it so far."""

    contract: TableContract
    wanted: list[str]
    keys: list[str]
    """`wanted`, and what lies in small gaps between."""
    still_held: list[str]
    """Held before, by the same content: not tried again."""
    declined: list[str]
    """What somebody rolled back or discarded: not built by itself."""
    problems: Sequence[KnownFile]
    ended: list[Ended] = field(default_factory=list)
    waiting: dict[str, None] = field(default_factory=dict)
    refused: dict[str, None] = field(default_factory=dict)
    """What was said about files that could not be captured."""
    run_ids: tuple[str, ...] = ()
    aborted_run_ids: tuple[str, ...] = ()
    """Earlier runs that were found dead."""
    seconds: float = 0.0

    @property
    def is_well(self) -> bool:
        """Whether nothing waits for a person."""
        bad = any(e.ending in _BAD for e in self.ended)
        return not (bad or self.still_held or self.problems or self.refused)

    @property
    def outcome(self) -> RunOutcome:
        """In one word, as the run has it in Dagster; what somebody still has to look at is missing, too."""
        outcome = outcome_of(self.ended, len(self.refused))
        well = outcome is RunOutcome.COMPLETE and not self.is_well
        return RunOutcome.PARTIAL if well else outcome


def ingest(arguments: Arguments, terminal: Terminal) -> int:
    """Take new files in, and publish what passes its gates."""
    workspace = Workspace.from_environment()
    contract = workspace.contract(str(arguments.table))
    work = _work(workspace, contract, arguments)
    started = time.monotonic()
    try:
        with terminal.progress(len(work.wanted), "partition") as progress:
            done = run_ingest(
                workspace,
                contract.table,
                work.keys,
                force=arguments.force,
                on_taken_in=lambda taken: _heard_of_files(work, taken),
                on_ended=lambda ended: _heard(work, progress, ended),
            )
        work.run_ids, work.aborted_run_ids = done.run_ids, done.aborted_run_ids
    except KeyboardInterrupt:
        terminal.note(f"{len(work.ended):,} of {counted(len(work.wanted), 'partition')} done: {_counts_in_words(work)}")
        raise
    work.seconds = time.monotonic() - started
    if arguments.json:
        say_json(terminal, _document(workspace, work))
    else:
        _say(terminal, workspace, work)
    return 0 if work.is_well else NEEDS_A_PERSON


def _work(workspace: Workspace, contract: TableContract, arguments: Arguments) -> _Work:
    """Decide which partitions to build: those asked for, or those with something to do."""
    now = workspace.now()
    wanted = checked_partitions(contract, arguments.partition, now)
    if arguments.range is not None:
        first, last = parse_range(arguments.range)
        checked_partitions(contract, [first, last], now)
        wanted = keys_between(contract.partitioning, first, last)
    problems = scan(workspace, contract).problems
    if wanted is not None:
        return _Work(contract, wanted, wanted, [], [], ())
    statuses = partition_statuses(workspace, contract)
    # what a person declined is built again only where it is asked for by name
    unasked = {PartitionState.EMPTY, PartitionState.DECLINED, PartitionState.UNREADABLE}
    idle = unasked if arguments.force else set(PartitionState) - {PartitionState.PENDING}
    wanted = [s.key for s in statuses if s.state not in idle]
    held = [s.key for s in statuses if s.state is PartitionState.HELD and s.key not in wanted]
    declined = [s.key for s in statuses if s.state is PartitionState.DECLINED]
    return _Work(contract, wanted, _bridged(statuses, set(wanted)), held, declined, problems)


def _bridged(statuses: Sequence[PartitionStatus], wanted: set[str]) -> list[str]:
    """The wanted partitions, and the small gaps between them; not a gap with what waits for a person, or for news."""
    keys: list[str] = []
    gap: list[PartitionStatus] = []
    for status in statuses:
        if status.key not in wanted:
            gap.append(status)
            continue
        if keys and len(gap) <= _BRIDGED and not any(s.state in _DECIDED for s in gap):
            keys += [s.key for s in gap]
        keys.append(status.key)
        gap = []
    return keys


def _heard_of_files(work: _Work, taken: TakenIn) -> None:
    work.waiting |= dict.fromkeys(taken.captured.waiting)
    work.refused |= dict.fromkeys(str(error) for error in taken.captured.failed)


def _heard(work: _Work, progress: Progress, ended: Ended) -> None:
    if ended.partition in work.wanted or ended.ending not in {Ending.REUSED, Ending.EMPTY}:
        work.ended.append(ended)
    if ended.ending in _BAD:
        progress.say(neutralized(f"{ended.ending}: {ended.partition}: {ended.why}"))
    if ended.partition in work.wanted:
        progress.advance(ended.partition)


def _counts_in_words(work: _Work) -> str:
    counts = Counter(str(e.ending) for e in work.ended)
    return ", ".join(f"{number:,} {ending}" for ending, number in counts.items()) or "none"


def _built(work: _Work) -> list[Commit]:
    """The versions and candidates that this run made."""
    return [e.commit for e in work.ended if e.commit is not None and e.ending in {Ending.PUBLISHED, Ending.HELD}]


def _document(workspace: Workspace, work: _Work) -> dict[str, Any]:
    return {
        "table": work.contract.table,
        "outcome": work.outcome.lower(),
        "partitions": [_ended_document(ended) for ended in work.ended],
        "still_held": work.still_held,
        "declined": work.declined,
        "waiting": list(work.waiting),
        "refused": list(work.refused),
        "problems": [problem_document(work.contract, file, workspace.now()) for file in work.problems],
        "run_ids": list(work.run_ids),
        "aborted_run_ids": list(work.aborted_run_ids),
    }


def _ended_document(ended: Ended) -> dict[str, Any]:
    candidate = ended.commit.candidate if ended.commit else None
    return {
        "key": ended.partition,
        "ending": str(ended.ending),
        "version": ended.commit.number if ended.commit and not ended.commit.is_held else None,
        "view_key": candidate.view_key if candidate else None,
        "records": candidate.records if candidate else None,
        "valid_rows": candidate.valid_rows if candidate else None,
        "quarantined_rows": candidate.quarantined_rows if candidate else None,
        "segments_written": ended.segments_written,
        "why": ended.why,
    }


def _say(terminal: Terminal, workspace: Workspace, work: _Work) -> None:
    table = work.contract.table
    title = terminal.coloured(table, Colour.BOLD)
    if work.ended:
        whole = "" if work.outcome is RunOutcome.COMPLETE else f"  {terminal.coloured(work.outcome, Colour.RED)}"
        terminal.line(f"{title}  {counted(len(work.ended), 'partition')} in {human_duration(work.seconds)}{whole}")
        _say_endings(terminal, work)
    else:
        rest = "every other partition" if work.still_held or work.declined else "every partition"
        terminal.line(f"{title}  nothing to do: {rest} is built from what is there now")
    built = _built(work)
    reasons = count_reasons(workspace, built) if any(commit.candidate.quarantined_rows for commit in built) else []
    if reasons:
        terminal.line()
        terminal.line("quarantined")
        say_reasons(terminal, reasons[:_REASONS_SHOWN])
        more = len(reasons) - _REASONS_SHOWN
        terminal.line(f"  {f'and {more} more reasons; ' if more > 0 else ''}see: hashgate quarantine {table} --summary")
    _say_bad(terminal, work)
    for path in work.waiting:
        terminal.line(f"waiting  {neutralized(path)}: somebody is writing to it. It is taken when it rests")
    for said in work.refused:
        terminal.line(f"refused  {neutralized(said)}")
    say_problems(terminal, [problem_document(work.contract, file, workspace.now()) for file in work.problems])
    for run_id in work.aborted_run_ids:
        terminal.line(
            f"aborted  run {run_id}: its process was killed. What it had published stays, and so does its log"
        )
    if work.run_ids:
        runs = ", ".join(work.run_ids[:3]) + (f" and {len(work.run_ids) - 3} more" if len(work.run_ids) > 3 else "")
        terminal.line(terminal.coloured(f"Dagster {'run' if len(work.run_ids) == 1 else 'runs'} {runs}", Colour.DIM))


def _say_endings(terminal: Terminal, work: _Work) -> None:
    rows = [("ending", "partitions", "rows", "quarantined")]
    for ending in Ending:
        some = [e for e in work.ended if e.ending is ending]
        if some:
            candidates = [e.commit.candidate for e in some if e.commit is not None]
            valid, bad = sum(c.valid_rows for c in candidates), sum(c.quarantined_rows for c in candidates)
            shown = (f"{valid:,}", f"{bad:,}") if candidates else ("-", "-")
            rows.append((str(ending), f"{len(some):,}", *shown))
    terminal.table(rows, right=(1, 2, 3))


def _say_bad(terminal: Terminal, work: _Work) -> None:
    table = work.contract.table
    for ending in (*_BAD, Ending.SUPERSEDED, Ending.EMPTY):
        some = [e for e in work.ended if e.ending is ending and e.why]
        if not some or (ending is Ending.EMPTY and len(work.ended) > 1):
            continue
        terminal.line()
        terminal.line(terminal.coloured(str(ending), Colour.RED if ending in _BAD else Colour.YELLOW))
        for ended in some[:_SHOWN]:
            terminal.line(f"  {ended.partition}  {neutralized(ended.why)}")
        if len(some) > _SHOWN:
            terminal.line(f"  and {counted(len(some) - _SHOWN, 'more partition')}: hashgate status {table}")
        if ending is Ending.HELD:
            terminal.line(
                f"  Nobody reads a held candidate. Look: hashgate quarantine {table} --partition {some[0].partition}"
            )
    if work.still_held:
        shown = ", ".join(work.still_held[:3]) + (" and more" if len(work.still_held) > 3 else "")
        terminal.line()
        terminal.line(f"still held, by the same content as before: {shown}. See why: hashgate status {table}")
    if work.declined:
        shown = ", ".join(work.declined[:3]) + (" and more" if len(work.declined) > 3 else "")
        terminal.line()
        terminal.line(f"not built, as somebody declined it: {shown}. See who and why: hashgate status {table}")
