"""Run requests that are dropped into a folder: each is submitted once, and its run brought forward.

A file that changes is another request. One that cannot be read, is no request, collides or is denied stays where it is
and is named at each tick until it is mended or removed; it stops no other.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of a nested function as they stand.

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from contracts.authority.requests import parse_request
from contracts.errors import HashgateError
from contracts.refs import digest_bytes
from platform_assets.engine.submitting import submit
from platform_assets.ingest.asset_events import visible
from resources.dagster_resources import WorkspaceResource
from resources.drop_folder import is_being_written
from resources.workspace import Workspace
from sensors.cursors import SensorCursor

SECONDS_BETWEEN_TICKS = 10
SUFFIXES = (".yaml", ".yml", ".json")
REQUESTS_A_TICK = 50
MAXIMUM_BYTES = 1 << 20
_PROBLEMS_NAMED = 5


class RequestsCursor(SensorCursor):
    """The files that were submitted, by name, with the digest of what was in them."""

    submitted: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class RequestsLook:
    """What one tick came to."""

    runs: tuple[str, ...]
    problems: tuple[str, ...]
    cursor: RequestsCursor

    @property
    def said(self) -> str:
        """The tick in words."""
        parts = [f"{len(self.cursor.submitted)} requests in the folder, {len(self.runs)} submitted now"]
        parts += [visible(problem, 500) for problem in self.problems[:_PROBLEMS_NAMED]]
        return ". ".join(parts)


def request_sensor() -> dg.SensorDefinition:
    """The sensor over the requests folder. It submits; `engine_runs` asks for the runs."""

    @dg.sensor(
        name="engine_requests",
        minimum_interval_seconds=SECONDS_BETWEEN_TICKS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Run requests dropped into the requests folder are submitted.",
    )
    def engine_requests(context: dg.SensorEvaluationContext, workspace: WorkspaceResource) -> dg.SensorResult:
        look = look_for_requests(workspace.open(), RequestsCursor.parse(context.cursor))
        if look.runs:
            context.log.info(look.said)
        return dg.SensorResult(skip_reason=look.said, cursor=look.cursor.text())

    return engine_requests


def look_for_requests(workspace: Workspace, cursor: RequestsCursor) -> RequestsLook:
    """Submit what is new in the folder."""
    submitted: dict[str, str] = {}
    runs: list[str] = []
    problems: list[str] = []
    for path in _files(workspace.settings.requests):
        before = cursor.submitted.get(path.name)
        try:
            if len(runs) == REQUESTS_A_TICK or is_being_written(path):
                submitted |= {} if before is None else {path.name: before}
                continue
            with path.open("rb") as file:
                data = file.read(MAXIMUM_BYTES + 1)
            digest = digest_bytes(data)
            if digest != before:
                runs.append(submit(workspace, parse_request(data, path.name)).run_id)
            submitted[path.name] = digest
        except HashgateError as error:
            problems.append(f"{path.name}: {error}")
        except OSError as error:
            problems.append(f"{path.name}: {error.strerror}. Give this user access to it, or remove it")
    return RequestsLook(tuple(runs), tuple(problems), RequestsCursor(submitted=submitted))


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(Path(entry.path) for entry in entries if entry.name.endswith(SUFFIXES) and entry.is_file())
