"""`hashgate held`, `hashgate release` and `hashgate discard`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from contracts.commits import Commit
from contracts.gates import Verdict
from platform_assets.cli.arguments import Arguments
from platform_assets.cli.asked import say_json
from platform_assets.cli.confirming import DECLINED, confirmed
from platform_assets.cli.terminal import Colour, Terminal, counted, neutralized, short_digest
from platform_assets.decisions.deciding import decided_by
from platform_assets.decisions.holding import HeldCandidate, HeldList, find_held, held_candidates
from platform_assets.decisions.holding import discard as discard_held
from platform_assets.decisions.holding import release as release_held
from resources.looking_only import LookingOnlyWorkspace
from resources.workspace import Workspace

SOMETHING_IS_HELD = 1
_FINDINGS_SHOWN = 5


def held(arguments: Arguments, terminal: Terminal) -> int:
    """List what is held, or show one partition's in detail; changes nothing."""
    workspace = LookingOnlyWorkspace.from_environment()
    found = held_candidates(workspace, arguments.table, arguments.key)
    if arguments.json:
        document = {
            "held": [held_document(candidate) for candidate in found.candidates],
            "errors": [str(problem) for problem in found.problems],
        }
        say_json(terminal, document)
    elif arguments.key is not None:
        _say_details(terminal, found.candidates, f"{arguments.table}[{arguments.key}]")
    else:
        _say_list(terminal, found, every=arguments.all)
    if not arguments.json:
        for problem in found.problems:
            terminal.error(str(problem))
    waits = [candidate for candidate in found.candidates if candidate.superseded is None]
    return SOMETHING_IS_HELD if waits or found.problems else 0


def release(arguments: Arguments, terminal: Terminal) -> int:
    """Publish a held candidate with a recorded waiver."""
    workspace = Workspace.from_environment()
    decision = decided_by(arguments.actor, arguments.reason)
    candidate = find_held(workspace, str(arguments.table), str(arguments.key), arguments.candidate)
    name, rows = _name(candidate), counted(candidate.commit.candidate.valid_rows, "row")
    at_stake = [f"{name}: held candidate {candidate.commit.candidate.view_key}", *_stopping(candidate)]
    at_stake.append(_instead_of(candidate.head))
    if not confirmed(terminal, arguments, at_stake, f"Release it, so that readers see its {rows}?"):
        return DECLINED
    commit = release_held(workspace, candidate, decision)
    if arguments.json:
        say_json(terminal, commit_document(commit))
        return 0
    terminal.line(
        f"{name} version {commit.number} is released: readers see {rows}, let through by {neutralized(decision.actor)}"
    )
    if candidate.head is not None:
        back = f"hashgate rollback {candidate.table} {candidate.partition} --to {candidate.head.number}"
        terminal.line(f"  The way back: {back} --actor YOU --reason WHY")
    return 0


def discard(arguments: Arguments, terminal: Terminal) -> int:
    """Drop a held candidate, recorded."""
    workspace = Workspace.from_environment()
    decision = decided_by(arguments.actor, arguments.reason)
    candidate = find_held(workspace, str(arguments.table), str(arguments.key), arguments.candidate)
    name = _name(candidate)
    at_stake = [f"{name}: held candidate {candidate.commit.candidate.view_key}", *_stopping(candidate)]
    if not confirmed(terminal, arguments, at_stake, "Discard it? Readers see what they saw before."):
        return DECLINED
    record = discard_held(workspace, candidate, decision)
    if arguments.json:
        document = {"table": record.table, "partition": record.partition, "number": record.number}
        about = {"candidate": record.held.candidate.view_key, "actor": decision.actor, "reason": decision.reason}
        say_json(terminal, document | about)
        return 0
    terminal.line(f"{name}: candidate {candidate.name[:12]} is discarded; its drops stay captured")
    if record.held.candidate.origin == "drops":
        again = f"hashgate ingest {candidate.table} --partition {candidate.partition}"
        terminal.line(f"  The way back: {again} builds it again, to the same digests")
    return 0


def held_document(held: HeldCandidate) -> dict[str, Any]:
    """A held candidate for machines."""
    candidate = held.commit.candidate
    return {
        "table": held.table,
        "partition": held.partition,
        "candidate": candidate.view_key,
        "digest": held.commit.digest,
        "since": held.commit.committed_at.isoformat(),
        "run_id": candidate.run_id,
        "base": candidate.base.model_dump(mode="json") if candidate.base else None,
        "records": candidate.records,
        "valid_rows": candidate.valid_rows,
        "quarantined_rows": candidate.quarantined_rows,
        "contract": candidate.contract.version,
        "gates": [receipt.model_dump(mode="json") for receipt in held.commit.receipts],
        "version": held.head.number if held.head else None,
        "superseded": held.superseded,
    }


def commit_document(commit: Commit) -> dict[str, Any]:
    """A version that a person decided about, for machines."""
    candidate, decided = commit.candidate, commit.decision or commit.waiver
    return {
        "table": candidate.table,
        "partition": candidate.partition,
        "version": commit.number,
        "kind": commit.kind,
        "commit": commit.digest,
        "parent": commit.parent,
        "view_key": candidate.view_key,
        "committed_at": commit.committed_at.isoformat(),
        "valid_rows": candidate.valid_rows,
        "quarantined_rows": candidate.quarantined_rows,
        "waived": commit.waived,
        "actor": decided.actor if decided else None,
        "reason": decided.reason if decided else None,
        "goes_back_to": commit.goes_back_to.number if commit.goes_back_to else None,
        "damages": [damage.model_dump(mode="json") for damage in commit.damages],
    }


def _say_list(terminal: Terminal, found: HeldList, *, every: bool) -> None:
    shown = [candidate for candidate in found.candidates if every or candidate.superseded is None]
    hidden = len(found.candidates) - len(shown)
    if not shown:
        terminal.line("nothing is held")
    else:
        rows = [("table", "partition", "candidate", "held since", "rows", "quarantined", "stopped by")]
        rows += [
            (
                held.table,
                held.partition,
                held.name[:12],
                held.commit.committed_at.strftime("%Y-%m-%d %H:%M:%SZ"),
                f"{held.commit.candidate.valid_rows:,}",
                f"{held.commit.candidate.quarantined_rows:,}",
                "; ".join(_stopping(held)) + (f" (superseded: {held.superseded})" if held.superseded else ""),
            )
            for held in shown
        ]
        terminal.table(rows, right=(4, 5), indent=0)
        terminal.line()
        terminal.line(f"look closer: hashgate held {shown[0].table} {shown[0].partition}")
    if hidden:
        terminal.line(f"and {counted(hidden, 'superseded one')}: --all shows them, too")


def _say_details(terminal: Terminal, candidates: Sequence[HeldCandidate], name: str) -> None:
    if not candidates:
        terminal.line(f"nothing is held of {neutralized(name)}")
    for held in candidates:
        _say_one(terminal, held)


def _say_one(terminal: Terminal, held: HeldCandidate) -> None:
    candidate = held.commit.candidate
    since = held.commit.committed_at.strftime("%Y-%m-%d %H:%M:%SZ")
    terminal.line(terminal.coloured(_name(held), Colour.BOLD) + f"  held since {since}, by run {candidate.run_id}")
    base = f"version {candidate.base.number}" if candidate.base else "nothing"
    counts = f"{candidate.valid_rows:,} valid, {candidate.quarantined_rows:,} to quarantine"
    head = "nothing" if held.head is None else f"version {held.head.number} ({short_digest(held.head.digest)})"
    terminal.line(f"  candidate     {candidate.view_key}")
    terminal.line(f"  built on      {base}, contract {candidate.contract.version}")
    terminal.line(f"  records       {candidate.records:,}: {counts}")
    terminal.line(f"  readers       see {head} meanwhile")
    for receipt in held.commit.receipts:
        colour = Colour.GREEN if receipt.verdict is Verdict.PASS else Colour.RED
        verdict = terminal.coloured(f"{receipt.verdict:7}", colour)
        terminal.line(f"  {receipt.gate:14}{verdict} {neutralized(receipt.observed)}")
        for finding in receipt.findings[:_FINDINGS_SHOWN]:
            said = f"{finding.subject}: expected {finding.expected}, observed {finding.observed}. {finding.fix}"
            terminal.line(f"    {neutralized(said)}")
        more = receipt.findings_total - _FINDINGS_SHOWN
        if more > 0:
            terminal.line(f"    and {counted(more, 'more finding')}")
    if held.superseded is not None:
        terminal.line(f"  superseded    {neutralized(held.superseded)}: it cannot be released any more")
    else:
        terminal.line(f"  publish it all the same: hashgate release {_asked(held)} --actor YOU --reason WHY")
    terminal.line(f"  drop it: hashgate discard {_asked(held)} --actor YOU --reason WHY")


def _stopping(held: HeldCandidate) -> list[str]:
    """Each gate that stopped it, with its first finding."""
    said = []
    for receipt in held.commit.failed:
        first = receipt.findings[0] if receipt.findings else None
        why = f"{first.subject}: {first.observed}" if first else receipt.observed
        said.append(f"{receipt.gate} {receipt.verdict}: {why}")
    return said


def _instead_of(head: Commit | None) -> str:
    return "Readers see nothing now." if head is None else f"Readers see version {head.number} now: {head.digest}"


def _name(held: HeldCandidate) -> str:
    return neutralized(f"{held.table}[{held.partition}]")


def _asked(held: HeldCandidate) -> str:
    return neutralized(f"{held.table} {held.partition}")
