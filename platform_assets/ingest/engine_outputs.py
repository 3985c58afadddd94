"""What comes to a table from an engine: the files that the facts of its READY runs name, and nothing else.

No folder is searched, and none is "the latest": a partition is a run, and a run's facts say which files are its output
and which digest each had when its gates passed. They are hashed again as they are taken in.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from contracts.authority.evidence import Locator
from contracts.authority.facts import RunFacts
from contracts.authority.run_files import RunFileError
from contracts.authority.status import RunState
from contracts.errors import DropError, HashgateError
from contracts.refs import Digest
from contracts.selection import CapturedDrop
from contracts.table_contract import EngineSource, TableContract
from resources.authority.run_documents import RunDocuments, RunNotFoundError, known_runs
from resources.authority.run_roots import open_run_root
from resources.captures import capture_stream
from resources.doomed_lists import doomed_names
from resources.file_catalogue import KnownFile, ScanReport
from resources.workspace import Workspace


class NotReadyError(DropError):
    """Nothing of a run may be read, or it has no such output."""

    def __init__(self, *, run_id: str, problem: str) -> None:
        hint = f"`hashgate engine show {run_id[:12]}` says more."
        super().__init__(f"run {run_id}: {problem}, so nothing of it was taken. {hint}", run_id=run_id, problem=problem)


def waiting_files(workspace: Workspace, contract: TableContract, only: Collection[str] | None) -> list[KnownFile]:
    """New and changed files that no capture has, from wherever a table's come; of an engine's, of `only` these runs."""
    if contract.server.engine_source is None:
        return workspace.catalogue.files(contract.table, to_capture=True)
    return list(new_outputs(workspace, contract, only))


def scan_runs(workspace: Workspace, contract: TableContract) -> ScanReport:
    """The files of READY runs, in numbers; a file of theirs never changes and cannot go missing."""
    files = list(_outputs(workspace, contract, None))
    new = sum(not file.captured for file in files)
    return ScanReport(
        table=contract.table,
        listed=len(files),
        new=new,
        changed=0,
        unchanged=len(files) - new,
        missing=0,
        problems=(),
    )


def check_runs(workspace: Workspace, contract: TableContract, run_ids: Sequence[str]) -> None:
    """Refuse runs that there are none of; a table with a calendar has no such partitions.

    Raises:
        RunNotFoundError: One is not known.
    """
    if contract.server.engine_source is not None:
        for run_id in run_ids:
            if not workspace.store.keys(RunDocuments(workspace.store, run_id).prefix):
                raise RunNotFoundError(run_id=run_id)


def new_outputs(
    workspace: Workspace, contract: TableContract, only: Collection[str] | None = None
) -> Iterator[KnownFile]:
    """Files of READY runs that no capture has."""
    return (file for file in _outputs(workspace, contract, only) if not file.captured)


def take_output(
    workspace: Workspace, contract: TableContract, run_id: str, withdrawn: Collection[Digest]
) -> list[tuple[CapturedDrop, str]]:
    """Copy a run's output into the store, and hold each file against what the gates saw.

    Returns:
        The drops in the locator's order, and where each lies. None when all of them are captured already.

    Raises:
        NotReadyError: The run is not READY, is another engine's, or has no such output.
        StatedDigestError: A file is not what the gates saw: nothing is taken.
        DropError: A file is gone or cannot be read.
    """
    facts, locator = _ready_output(workspace, contract, run_id)
    if not any(new_outputs(workspace, contract, [run_id])):
        return []
    root, doomed = open_run_root(facts.oracle_pack_ref.engine_run_root), doomed_names(workspace.store)
    taken = []
    for member in locator.members:
        path = _drop_path(run_id, member.path)
        try:
            with root.open(member.path) as source:
                ref, key = capture_stream(
                    workspace.store, path, source, sha256=member.sha256, doomed=doomed, withdrawn=withdrawn
                )
        except KeyError:
            problem = f"its output {member.path} is gone from {root.location}"
            raise NotReadyError(run_id=run_id, problem=problem) from None
        except RunFileError as error:
            raise NotReadyError(run_id=run_id, problem=f"its output cannot be taken: {error}") from error
        drop = CapturedDrop(path=path, partition=run_id, digest=ref.digest, size_bytes=ref.size_bytes)
        taken.append((drop, key))
    return taken


def _outputs(workspace: Workspace, contract: TableContract, only: Collection[str] | None) -> Iterator[KnownFile]:
    run_ids: Sequence[str] = known_runs(workspace.store) if only is None else sorted(only)
    captures = workspace.catalogue.captures(contract.table, None if only is None else run_ids)
    for run_id in run_ids:
        if run_id in captures:  # all files of a run are logged at once, and its documents need not be read again
            paths = dict.fromkeys(drop.path for _, drop in captures[run_id])
            yield from (KnownFile(path, "-", run_id, None, captured=True) for path in paths)
            continue
        try:
            _, locator = _ready_output(workspace, contract, run_id)
        except HashgateError:
            continue  # nothing of it may be read; whoever asks for this very run is told why
        for member in locator.members:
            yield KnownFile(_drop_path(run_id, member.path), member.sha256, run_id, None, captured=False)


def _ready_output(workspace: Workspace, contract: TableContract, run_id: str) -> tuple[RunFacts, Locator]:
    source = contract.server.engine_source
    if source is None:
        msg = f"{contract.table} has no engine"
        raise AssertionError(msg)
    documents = RunDocuments(workspace.store, run_id)
    facts = documents.readable_facts()
    if facts is None:
        status = documents.status()
        state = "not known" if status is None else f"{status.state}"
        problem = "its commit has not come to its end" if state == RunState.READY else f"it is {state}, not READY"
        raise NotReadyError(run_id=run_id, problem=problem)
    return facts, _locator(facts, source, run_id)


def _locator(facts: RunFacts, source: EngineSource, run_id: str) -> Locator:
    if facts.engine != source.engine:
        raise NotReadyError(run_id=run_id, problem=f"it is a run of engine {facts.engine}, not {source.engine}")
    locator = facts.locator(source.output)
    if locator is None:
        raise NotReadyError(run_id=run_id, problem=f"its facts name no output {source.output}")
    return locator


def _drop_path(run_id: str, member: str) -> str:
    """What a file of a run is called among drops: other runs have files of the same name."""
    return f"{run_id}/{member}"
