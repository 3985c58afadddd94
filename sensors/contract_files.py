"""New and changed contracts and engines: definitions are made when they are loaded, so somebody has to load them again.

With `HASHGATE_WEBSERVER` (host:port of Dagster's webserver) this sensor does it, through the webserver's documented
API: put a contract into its folder, and its assets, checks, job and sensor appear. Without it, it says what to press.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of a nested function as they stand.

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import dagster as dg
from dagster_graphql import DagsterGraphQLClient, DagsterGraphQLClientError, ReloadRepositoryLocationStatus

from contracts.authority.pack_reader import CATALOGUE_FILE, GATES_FILE
from contracts.errors import ConfigurationError
from contracts.refs import Digest, digest_bytes
from platform_assets.ingest.asset_events import visible
from resources.authority.pack_files import engine_folders
from resources.contract_registry import contract_files
from resources.dagster_resources import WorkspaceResource

SECONDS_BETWEEN_TICKS = 10
LOCATION = "hashgate"
"""The code location's name in workspace.yaml."""

PACK_FILES = (CATALOGUE_FILE, GATES_FILE)
WEBSERVER_VARIABLE = "HASHGATE_WEBSERVER"


def contract_sensor(folders: Sequence[Path], engines: Sequence[Path] = ()) -> dg.SensorDefinition:
    """The sensor over the contract and engine folders, which remembers what they held at the definitions' loading."""
    loaded = {**contract_digests(folders), **pack_digests(engines)}

    @dg.sensor(
        name="contracts",
        minimum_interval_seconds=SECONDS_BETWEEN_TICKS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Loads the definitions again when contracts come, go or change.",
    )
    def contracts(context: dg.SensorEvaluationContext, workspace: WorkspaceResource) -> dg.SkipReason:
        try:
            settings = workspace.open().settings
            now = {**contract_digests(settings.contracts), **pack_digests(settings.engines)}
            changes = differences(loaded, now)
        except ConfigurationError as error:
            return dg.SkipReason(str(error))
        if not changes:
            return dg.SkipReason(f"{len(loaded)} contract files, as loaded.")
        said = visible(", ".join(changes), 1000)
        webserver = os.environ.get(WEBSERVER_VARIABLE)
        if not webserver:
            return dg.SkipReason(
                f"{said}. Press `Reload definitions`, or set {WEBSERVER_VARIABLE} to the webserver's host:port."
            )
        context.log.info("%s: loading the definitions again", said)
        return dg.SkipReason(f"{said}. {reload_definitions(webserver)}")

    return contracts


def contract_digests(folders: Sequence[Path]) -> Mapping[Path, Digest]:
    """The contract files and what is in them; one that cannot be read counts as empty.

    Raises:
        ConfigurationError: A folder is missing.
    """
    return {path: _digest(path) for folder in folders for path in contract_files(folder)}


def pack_digests(folders: Sequence[Path]) -> Mapping[Path, Digest]:
    """The catalogues and gate maps of engines, which their assets are made of; a policy is read when a run needs it.

    Raises:
        ConfigurationError: A folder cannot be read.
    """
    engines = (engine for folder in folders for engine in engine_folders(folder))
    return {path: _digest(path) for engine in engines for name in PACK_FILES if (path := engine / name).exists()}


def differences(before: Mapping[Path, Digest], now: Mapping[Path, Digest]) -> list[str]:
    """What came, went or changed, in words."""
    return [
        f"{path.name} {'is new' if path not in before else 'is gone' if path not in now else 'changed'}"
        for path in sorted({*before, *now})
        if before.get(path) != now.get(path)
    ]


def reload_definitions(webserver: str) -> str:
    """Ask the webserver to load the code location again; what came of it, in words."""
    host, _, port = webserver.rpartition(":")
    try:
        client = DagsterGraphQLClient(host or "127.0.0.1", port_number=int(port))
        answer = client.reload_repository_location(LOCATION)
    except (DagsterGraphQLClientError, OSError, ValueError) as error:
        return (
            f"The webserver at {webserver} could not be asked to load the definitions again: {visible(str(error), 300)}"
        )
    if answer.status is ReloadRepositoryLocationStatus.SUCCESS:
        return "The definitions were loaded again."
    return f"Loading the definitions again failed: {visible(str(answer.message), 1000)}"


def _digest(path: Path) -> Digest:
    try:
        return digest_bytes(path.read_bytes())
    except OSError:
        return digest_bytes(b"")
