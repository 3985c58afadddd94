"""`hashgate engine submit`, `runs`, `show`, `wait`, `reemit`, `quarantine` and `supersede`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contracts.authority.evidence import EngineGateReceipt
from contracts.authority.reasons import Reason
from contracts.authority.reemission import ReemitKind
from contracts.authority.requests import RunRequest, parse_request
from contracts.authority.status import RunState, RunStatus
from contracts.errors import UsageError
from platform_assets.cli.arguments import Arguments
from platform_assets.cli.asked import say_json
from platform_assets.cli.confirming import DECLINED, confirmed
from platform_assets.cli.terminal import Colour, Terminal, counted, neutralized, short_digest
from platform_assets.decisions.deciding import decided_by
from platform_assets.engine import deciding
from platform_assets.engine.looking import RunView, found_run, run_lines, run_view
from platform_assets.engine.reemitting import reemit as reemit_facts
from platform_assets.engine.reemitting import reemit_request
from platform_assets.engine.submitting import submit as submit_request
from platform_assets.engine.waiting import brought_forward, wait_for_end
from resources.looking_only import LookingOnlyWorkspace
from resources.workspace import Workspace

ENDED_BADLY = 1
_MAXIMUM_REQUEST_BYTES = 1 << 20
_COLOURS = {
    "READY": Colour.GREEN,
    "WAITING": Colour.YELLOW,
    "FAILED": Colour.RED,
    "QUARANTINED": Colour.RED,
    "UNREADABLE": Colour.RED,
}


def submit(arguments: Arguments, terminal: Terminal) -> int:
    """Admit a request, and bring its run forward."""
    workspace = Workspace.from_environment()
    submitted = submit_request(workspace, _request(str(arguments.path), arguments.actor))
    status = None if arguments.detach else brought_forward(workspace, submitted.run_id)
    if status is None and arguments.detach:
        _say_detached(terminal, arguments, submitted.run_id, submitted.state)
        return 0
    return _say_status(terminal, arguments, submitted.run_id, status)


def runs(arguments: Arguments, terminal: Terminal) -> int:
    """List the runs."""
    lines = list(run_lines(LookingOnlyWorkspace.from_environment(), arguments.engine, arguments.state))
    if arguments.json:
        say_json(
            terminal,
            [
                {
                    "run_id": line.run_id,
                    "engine": line.engine,
                    "state": line.state,
                    "reasons": list(line.reasons),
                    "run_equivalence_key": line.key,
                    "at": line.at,
                    "problem": line.problem,
                }
                for line in lines
            ],
        )
    elif lines:
        rows = [
            (line.run_id, line.engine or "-", line.state, ", ".join(line.reasons), line.key or "-") for line in lines
        ]
        terminal.table([("run", "engine", "state", "reasons", "key"), *rows])
        for line in lines:
            if line.problem is not None:
                terminal.error(line.problem)
    else:
        terminal.line("no runs")
    return ENDED_BADLY if any(line.problem for line in lines) else 0


def show(arguments: Arguments, terminal: Terminal) -> int:
    """Show all that is known of a run."""
    workspace = LookingOnlyWorkspace.from_environment()
    view = run_view(workspace, found_run(workspace, arguments.run))
    if arguments.json:
        say_json(terminal, view.document)
    else:
        _say_view(terminal, view)
    return 0


def wait(arguments: Arguments, terminal: Terminal) -> int:
    """Bring a run forward until it has ended."""
    workspace = Workspace.from_environment()
    run_id = found_run(workspace, arguments.run)
    status = wait_for_end(workspace, run_id, arguments.timeout)
    code = _say_status(terminal, arguments, run_id, status)
    return code if status is not None and status.state.is_terminal else ENDED_BADLY


def reemit(arguments: Arguments, terminal: Terminal) -> int:
    """Publish a run's end on the control bus again."""
    workspace = Workspace.from_environment()
    request = reemit_request(
        found_run(workspace, arguments.run), ReemitKind(arguments.kind), arguments.actor, dry_run=arguments.dry_run
    )
    done = reemit_facts(workspace, request)
    if arguments.json:
        envelopes = [envelope.model_dump(mode="json") for envelope in done.envelopes]
        say_json(terminal, {"run_id": request.run_id, "envelopes": envelopes, "places": list(done.places)})
        return 0
    for number, envelope in enumerate(done.envelopes):
        where = f"published at {done.places[number]}" if done.places else "would be published"
        terminal.line(neutralized(f"{envelope.kind} {envelope.message_id}: {where}"))
    return 0


def quarantine(arguments: Arguments, terminal: Terminal) -> int:
    """Put a run into quarantine."""
    workspace = Workspace.from_environment()
    decision = decided_by(arguments.actor, arguments.reason)
    view = run_view(workspace, found_run(workspace, arguments.run))
    if not confirmed(terminal, arguments, _at_stake(view), f"Put run {view.run_id} into quarantine for good?"):
        return DECLINED
    status = deciding.quarantine(workspace, view.run_id, decision)
    _say_status(terminal, arguments, view.run_id, status)
    return 0


def supersede(arguments: Arguments, terminal: Terminal) -> int:
    """Let a READY run take another's place."""
    workspace = Workspace.from_environment()
    decision = decided_by(arguments.actor, arguments.reason)
    view, by = run_view(workspace, found_run(workspace, arguments.run)), found_run(workspace, arguments.by)
    question = f"Let run {by} take the place of run {view.run_id} for good?"
    if not confirmed(terminal, arguments, _at_stake(view), question):
        return DECLINED
    status = deciding.supersede(workspace, view.run_id, by, decision)
    _say_status(terminal, arguments, view.run_id, status)
    return 0


def _request(path: str, actor: str) -> RunRequest:
    """The request in a file, of whoever asks now.

    Raises:
        UsageError: The file cannot be read.
        RequestError: It is no request.
    """
    source = "standard input" if path == "-" else path
    try:
        if path == "-":
            data = sys.stdin.buffer.read(_MAXIMUM_REQUEST_BYTES + 1)
        else:
            with Path(path).open("rb") as file:
                data = file.read(_MAXIMUM_REQUEST_BYTES + 1)
    except OSError as error:
        msg = f"{source}: {error.strerror}. Name a file with a run request."
        raise UsageError(msg, path=path) from None
    request = parse_request(data, source)
    return request.model_copy(update={"actor": actor}) if actor else request


def _say_detached(terminal: Terminal, arguments: Arguments, run_id: str, state: RunState | None) -> None:
    if arguments.json:
        say_json(terminal, {"run_id": run_id, "state": "ADMITTED" if state is None else state.value})
        return
    said = "admitted" if state is None else f"known, and {state}"
    terminal.line(f"run {run_id}: {said}")


def _say_status(terminal: Terminal, arguments: Arguments, run_id: str, status: RunStatus | None) -> int:
    """How far a run is, and the exit code that belongs to it."""
    state = "ADMITTED" if status is None else status.state.value
    reasons = () if status is None else status.reasons
    if arguments.json:
        told = [reason.model_dump(mode="json") for reason in reasons]
        facts = None if status is None else status.facts_digest
        say_json(terminal, {"run_id": run_id, "state": state, "reasons": told, "facts_digest": facts})
    else:
        terminal.line(f"run {run_id}: {_coloured(terminal, state)}")
        _say_reasons(terminal, reasons)
    return ENDED_BADLY if status is not None and status.state.is_bad else 0


def _say_reasons(terminal: Terminal, reasons: Sequence[Reason]) -> None:
    for reason in reasons:
        terminal.line(neutralized(f"  {reason.sentence}"))


def _say_view(terminal: Terminal, view: RunView) -> None:
    terminal.line(f"run {view.run_id}: {_coloured(terminal, view.state)}")
    if view.statuses:
        _say_reasons(terminal, view.statuses[-1].reasons)
    if view.request is not None:
        terminal.line(neutralized(f"  engine {view.request.engine}, key {view.request.run_equivalence_key!r}"))
    if view.plan is not None:
        terminal.line(neutralized(f"  results in {view.plan.root.root}, as the {view.plan.root.said_by} says"))
        terminal.line(f"  plan {view.plan.digest}")
        terminal.line(f"  policy revision {view.plan.policy_revision}")
    if view.evidence is not None:
        _say_gates(terminal, view.evidence.gate_receipts)
    terminal.line(f"{counted(len(view.events), 'event')} in the record")
    rows = [
        (str(e.number), e.at.isoformat(timespec="seconds"), e.kind.value, e.actor, _about(e.details))
        for e in view.events
    ]
    terminal.table([("n", "at", "event", "actor", "about"), *rows], right=(0,))


def _say_gates(terminal: Terminal, receipts: Sequence[EngineGateReceipt]) -> None:
    if not receipts:
        return
    terminal.line(counted(len(receipts), "gate"))
    rows = [
        (
            receipt.gate_id,
            "passed" if receipt.passed else "did not pass",
            short_digest(receipt.expected),
            short_digest(receipt.observed),
            receipt.failing_member or receipt.problem or "",
        )
        for receipt in receipts
    ]
    terminal.table([("gate", "verdict", "expected", "observed", "where"), *rows])


def _about(details: dict[str, Any]) -> str:
    """The one thing of an event that tells it from others of its kind."""
    for name in ("outcome", "state", "message_id", "attempt_id", "plan_digest", "intent"):
        if isinstance(details.get(name), str):
            return f"{name} {details[name]}"
    return ""


def _at_stake(view: RunView) -> list[str]:
    last = view.statuses[-1] if view.statuses else None
    facts = "none" if last is None or last.facts_digest is None else last.facts_digest
    return [f"run {view.run_id} is {view.state}", f"facts {facts}"]


def _coloured(terminal: Terminal, state: str) -> str:
    return terminal.coloured(state, _COLOURS[state]) if state in _COLOURS else state
