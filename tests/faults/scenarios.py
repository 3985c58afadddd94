"""What a writer does while something goes wrong: one function to prepare a home, one to act. Add a scenario here.

Each acts through the functions that the assets and commands call, in the order in which they call them, and says what
it believes has become of it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

import dagster as dg

from contracts.errors import HashgateError, UnansweredError
from contracts.selection import Decision
from platform_assets.decisions.going_back import find_return, roll_back
from platform_assets.decisions.holding import discard, find_held, release
from platform_assets.definitions import definitions
from platform_assets.ingest.ingesting import Ending, ingest, take_in
from platform_assets.ingest.planning import PartitionState, partition_statuses
from platform_assets.ingest.runs import open_instance
from platform_assets.ingest.selecting import scan
from platform_assets.upkeep.collecting import LEASE, collect
from resources.dagster_resources import WorkspaceResource
from resources.workspace import Workspace
from sensors.reconciling import reconcile_sensor
from tests.faults.homes import DAY, TABLE, Home
from tests.faults.observing import command, observe

FIRST = "id,item\n1,pen\n2,ink\n2,ink again\n3,\n"
"""Two sound records, one that repeats a key, one without what is required."""
SECOND = "id,item\n4,cap\n"
RESTATED = "id,item\n1,pencil\n5,pad\n6,\n"
MOSTLY_BAD = "id,item\n1,\n2,\n7,nib\n"
"""More than the budget of a half."""

DECISION = Decision(actor="Ada", reason="the harness wants it")


class Claim(StrEnum):
    """What a writer that ended by itself says of the version it was to make."""

    DONE = "done"
    """Readers see it."""
    PARTLY = "partly done"
    """Readers see a version of what could be read; what could not is named."""
    NOT_DONE = "not done"
    """Readers see what they saw before."""
    UNKNOWN = "unknown"
    """It could not find out."""


@dataclass(frozen=True)
class Said:
    """What a writer said when it ended."""

    claim: Claim
    how: str
    """The ending of the partition, or the class of the error."""
    message: str = ""


@dataclass(frozen=True)
class Scenario:
    """A home before, and the work."""

    name: str
    prepare: Callable[[Home], None]
    act: Callable[[Home], Said]
    rows: tuple[int, int]
    """How many rows readers see before and after."""
    again: Callable[[Home], Said] | None = None
    """What a person does after a failure; by default the same."""

    def __str__(self) -> str:
        return self.name


def _telling(work: Callable[[Workspace], Said], home: Home) -> Said:
    """Work in the home, opened anew, and turn what the platform raises into what it says by it."""
    workspace = home.workspace
    try:
        return work(workspace)
    except UnansweredError as error:
        return Said(Claim.UNKNOWN, type(error).__name__, str(error))
    except HashgateError as error:
        return Said(Claim.NOT_DONE, type(error).__name__, str(error))
    finally:
        if "catalogue" in vars(workspace):
            workspace.catalogue.close()


# ---- ingest ----------------------------------------------------------------------------------------------------------


def ingest_what_is_new(home: Home) -> Said:
    """Scan, capture, select, build, audit, publish what has something to do, as `hashgate ingest` does."""
    return _telling(_ingest_what_is_new, home)


def _ingest_what_is_new(workspace: Workspace) -> Said:
    contract = workspace.contract(TABLE)
    problems = scan(workspace, contract).problems
    statuses = partition_statuses(workspace, contract)
    wanted = [s.key for s in statuses if s.state is PartitionState.PENDING]
    if not wanted:
        held = [s.why for s in statuses if s.state is PartitionState.HELD]
        told = "; ".join([*held, *(str(p.problem) for p in problems)])
        return Said(Claim.NOT_DONE if told else Claim.DONE, "nothing to do", told)
    taken = take_in(workspace, contract, wanted)
    (ended,) = ingest(workspace, contract, wanted, taken, run_id="harness")
    told = "; ".join([ended.why, *map(str, taken.captured.failed), *(str(p.problem) for p in taken.scanned.problems)])
    if ended.ending not in {Ending.PUBLISHED, Ending.REUSED}:
        return Said(Claim.NOT_DONE, str(ended.ending), told)
    partly = taken.captured.failed or taken.captured.waiting or taken.scanned.problems
    return Said(Claim.PARTLY if partly else Claim.DONE, str(ended.ending), told)


def run_the_command(home: Home) -> Said:
    """`hashgate ingest`, with Dagster and all."""
    home.enter()
    code, answer = command("ingest", TABLE)
    if "error" in answer:
        error = answer["error"]
        if error["kind"] == "Defect":
            raise RuntimeError(error["message"])
        claim = Claim.UNKNOWN if error["kind"] == UnansweredError.__name__ else Claim.NOT_DONE
        return Said(claim, error["kind"], error["message"])
    endings = [partition["ending"] for partition in answer["partitions"]]
    told = [*answer["refused"], *answer["waiting"], *(partition["why"] for partition in answer["partitions"])]
    done = set(endings) <= {str(Ending.PUBLISHED), str(Ending.REUSED)}
    partly = answer["refused"] or answer["waiting"] or answer["problems"]
    claim = Claim.NOT_DONE if not done or (code and not endings) else Claim.PARTLY if partly else Claim.DONE
    return Said(claim, ", ".join(endings) or "nothing to do", "; ".join(told))


def run_the_command_and_reconcile(home: Home) -> Said:
    """The same beside Dagster's daemon, whose sensor tells what a run that died did not, and writes its report."""
    said = run_the_command(home)
    workspace, cursor = home.workspace, None
    contract = workspace.contract(TABLE)
    with open_instance(workspace.settings) as instance:
        for _ in range(2):  # what may still be in a run is left alone by the first tick
            context = dg.build_sensor_context(instance, cursor=cursor, definitions=definitions())
            result = reconcile_sensor([contract])(context, workspace=WorkspaceResource())
            assert isinstance(result, dg.SensorResult), result
            cursor = result.cursor
    return said


def _nothing_published(home: Home) -> None:
    home.found()
    home.drop(FIRST)
    home.drop(SECOND, "-b")


def _one_published(home: Home, sink_mode: str = "replace") -> None:
    home.found(sink_mode)
    home.drop(FIRST)
    said = ingest_what_is_new(home)
    assert said.claim is Claim.DONE, said


def _restated(home: Home) -> None:
    _one_published(home)
    home.drop(RESTATED)


def _restated_by_command(home: Home) -> None:
    home.found()
    home.drop(FIRST)
    said = run_the_command(home)
    assert said.claim is Claim.DONE, said
    home.drop(RESTATED)


def _another_has_come(home: Home) -> None:
    _one_published(home, "append")
    home.drop(SECOND)


# ---- what people decide ----------------------------------------------------------------------------------------------


def release_what_is_held(home: Home) -> Said:
    """Let through what a gate has stopped, as `hashgate release` does."""
    return _telling(_release, home)


def _release(workspace: Workspace) -> Said:
    return _committed(release(workspace, find_held(workspace, TABLE, DAY), DECISION).number)


def release_unless_it_is(home: Home) -> Said:
    """Look, and let through what is still held."""
    head = home.workspace.reader.head(TABLE, DAY)
    return _committed(head.number) if head is not None and head.waived else release_what_is_held(home)


def roll_back_to_the_first(home: Home) -> Said:
    """Make version 1 current again, as `hashgate rollback` does."""
    return _telling(_roll_back, home)


def _roll_back(workspace: Workspace) -> Said:
    return _committed(roll_back(workspace, find_return(workspace, TABLE, DAY, 1), DECISION).number)


def roll_back_unless_it_is(home: Home) -> Said:
    """Look, and go back if readers do not see the first version's content again."""
    head = home.workspace.reader.head(TABLE, DAY)
    gone_back = head is not None and head.kind == "rollback"
    return _committed(head.number) if gone_back and head is not None else roll_back_to_the_first(home)


def _committed(number: int) -> Said:
    return Said(Claim.DONE, f"version {number}")


def _one_held(home: Home) -> None:
    _one_published(home)
    home.drop(MOSTLY_BAD)
    said = ingest_what_is_new(home)
    assert said.how == str(Ending.HELD), said


def _two_published(home: Home) -> None:
    _restated(home)
    said = ingest_what_is_new(home)
    assert said.claim is Claim.DONE, said


# ---- collection ------------------------------------------------------------------------------------------------------

_PHASES = 3
"""What nothing names is listed by one collector, removed by the next, and the list retired by a third."""


def collect_what_is_left(home: Home) -> Said:
    """Remove what nothing names, as `hashgate gc` does, in all its phases and with no grace."""
    return _telling(_collect, home)


def _collect(workspace: Workspace) -> Said:
    problems = [problem for _ in range(_PHASES) for problem in collect(workspace, dt.timedelta(0)).problems]
    return Said(Claim.NOT_DONE if problems else Claim.DONE, "collected", "; ".join(problems))


def collect_later(home: Home) -> Said:
    """The same, when the lease of a collector that died has ended."""
    workspace = home.workspace
    with workspace.database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM leases WHERE name = ?", (LEASE,))  # minutes have passed
    workspace.database.close()
    return collect_what_is_left(home)


def _something_is_left(home: Home) -> None:
    """A segment, a blob and a selection that no version names: what was held was discarded, and its drop forgotten."""
    _one_held(home)
    workspace = home.workspace
    discard(workspace, find_held(workspace, TABLE, DAY), DECISION)
    workspace.store.put_if_absent("blobs/aa/bb/" + "aabb" * 16, b"of a capture that went no further")


SCENARIOS = (
    Scenario("first publish", _nothing_published, ingest_what_is_new, (0, 3)),
    Scenario("replace", _restated, ingest_what_is_new, (2, 2)),
    Scenario("append", _another_has_come, ingest_what_is_new, (2, 3)),
    Scenario("release", _one_held, release_what_is_held, (2, 1), release_unless_it_is),
    Scenario("rollback", _two_published, roll_back_to_the_first, (2, 2), roll_back_unless_it_is),
    Scenario("collection", _something_is_left, collect_what_is_left, (2, 2), collect_later),
)

THE_COMMAND = Scenario("hashgate ingest", _restated_by_command, run_the_command, (2, 2), run_the_command_and_reconcile)
"""The same with Dagster around it, which takes seconds: for crashes alone."""


def rehearse(home: Home) -> None:
    """Everything that children of the harness do, once: it loads whatever they load."""
    for scenario in (*SCENARIOS, THE_COMMAND):
        here = replace(home, folder=home.folder / scenario.name)
        scenario.prepare(here)
        scenario.act(here)
        (scenario.again or scenario.act)(here)
        collect_what_is_left(here)
        observe(here)
