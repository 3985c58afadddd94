"""One ingest, as the assets and the command line both do it: look, take in, freeze, then partition by partition.

Each partition is committed on its own: whatever stops the run later takes nothing back.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from contracts.commits import Commit
from contracts.errors import DropError, HashgateError
from contracts.refs import Digest, digest_json
from contracts.selection import Selection
from contracts.table_contract import TableContract
from platform_assets.ingest.building import build_partition
from platform_assets.ingest.leftovers import sweep_leftovers
from platform_assets.ingest.selecting import CaptureReport, capture, scan, select
from resources.captures import DropChangedError, WithdrawnError
from resources.dataset_catalogue import register_dataset
from resources.file_catalogue import ScanReport
from resources.parser_attempts import IsOver
from resources.parser_identity import parser_identity
from resources.workspace import Workspace

_HOPELESS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})
"""What would stop the next partition just the same."""


class Ending(StrEnum):
    """How it ended for one partition of a run."""

    PUBLISHED = "published"
    REUSED = "reused"
    """The current version follows the same recipe: nothing was done."""
    SUPERSEDED = "superseded"
    """Somebody else published a newer selection meanwhile: theirs stays."""
    HELD = "held"
    EMPTY = "empty"
    """No drop has come for it, or its only drop is still being written."""
    FAILED = "failed"

    @property
    def is_readable(self) -> bool:
        """Whether the version that the run found or made is what readers see."""
        return self in {Ending.PUBLISHED, Ending.REUSED, Ending.SUPERSEDED}


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of one partition in one run."""

    table: str
    partition: str
    ending: Ending
    commit: Commit | None = None
    """The version readers see, or the held candidate."""
    selection: Selection | None = None
    segments_written: int = 0
    why: str = ""
    """In words, for anything but a plain success."""


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What the run found in the drop folder before it built anything."""

    scanned: ScanReport
    captured: CaptureReport
    selections: dict[str, Selection]


def take_in(workspace: Workspace, contract: TableContract, partitions: Sequence[str]) -> TakenIn:
    """Scan the drop folder, capture what is new for `partitions`, and freeze what each is built from.

    Raises:
        SchemaConflictError: The contract's version stands for another schema; nothing was looked at.
    """
    sweep_leftovers(workspace)
    register_dataset(workspace.store, contract)
    scanned = scan(workspace, contract)
    captured = capture(workspace, contract, partitions)
    return TakenIn(scanned, captured, select(workspace, contract, partitions))


def missing_files(taken: TakenIn) -> list[DropError]:
    """What should have been captured and could not be; not what waits until its writer is done, or was withdrawn."""
    return [error for error in taken.captured.failed if not isinstance(error, DropChangedError | WithdrawnError)]


def run_fingerprint(contract: TableContract, taken: TakenIn, *, force: bool) -> Digest:
    """What a run is, whenever and wherever it runs: the same inputs, contract, code and flags give the same."""
    return digest_json(
        {
            "contract": contract.digest,
            "parser": parser_identity().model_dump(mode="json"),
            "inputs": {partition: selection.snapshot for partition, selection in taken.selections.items()},
            "force": force,
        }
    )


def ingest(
    workspace: Workspace,
    contract: TableContract,
    partitions: Sequence[str],
    taken: TakenIn,
    *,
    run_id: str,
    force: bool = False,
    is_over: IsOver = lambda _: False,
) -> Iterator[Ended]:
    """Build, audit and publish `partitions` in order, one after the other.

    A partition that cannot be built is FAILED with the reason and stops no other one, unless the store itself gave
    up (a full or broken disk).

    Args:
        workspace: The installation.
        contract: The table's.
        partitions: Keys.
        taken: What was found before.
        run_id: In whose name.
        force: Build again, even what is unchanged.
        is_over: Whether the run of an id has ended; asked of runs on other hosts.

    Raises:
        StoreError: The store can take nothing more.
    """
    for partition in partitions:
        selection = taken.selections.get(partition)
        if selection is None:
            yield Ended(contract.table, partition, Ending.EMPTY, why=_why_empty(contract, taken))
            continue
        try:
            yield _ingest_one(workspace, contract, selection, run_id=run_id, force=force, is_over=is_over)
        except HashgateError as error:
            if error.evidence.get("errno") in _HOPELESS:
                raise
            yield Ended(contract.table, partition, Ending.FAILED, selection=selection, why=str(error))


def _ingest_one(
    workspace: Workspace,
    contract: TableContract,
    selection: Selection,
    *,
    run_id: str,
    force: bool,
    is_over: IsOver,
) -> Ended:
    partition = selection.partition
    result = build_partition(workspace, contract, partition, run_id=run_id, force=force, is_over=is_over)
    ending = Ending(result.outcome)
    return Ended(
        table=contract.table,
        partition=partition,
        ending=ending,
        commit=result.commit,
        selection=selection,
        segments_written=result.segments_written,
        why=_why_held(result.commit) if ending is Ending.HELD else result.reason,
    )


def _why_held(commit: Commit) -> str:
    failed = [r for r in commit.receipts if r.verdict != "PASS"]
    return "; ".join(f"gate {r.gate} {r.verdict}: {r.observed}, expected {r.expected}" for r in failed)


def _why_empty(contract: TableContract, taken: TakenIn) -> str:
    waiting, failed = taken.captured.waiting, [str(error) for error in taken.captured.failed]
    if waiting or failed:
        said = [f"{len(waiting)} files are still being written: {', '.join(waiting[:3])}"] if waiting else []
        return "; ".join(said + failed[:3])
    return f"no file for it has come to {contract.server.path} ({taken.scanned.listed} files are there)"
