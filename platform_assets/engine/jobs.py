"""Submitting a run from Dagster's launchpad: the same request as in a file, field by field."""

# No `from __future__ import annotations` here: Dagster reads the annotations of an op's function as they stand.

import dagster as dg
from pydantic import Field

from contracts.authority.requests import RunRequest, parse_request
from contracts.canonical import canonical_bytes
from contracts.errors import HashgateError
from platform_assets.engine.engine_specs import ENGINE_RUN_TAG
from platform_assets.engine.run_partitions import partitions_name
from platform_assets.engine.submitting import submit
from platform_assets.ingest.asset_events import visible
from resources.dagster_resources import WorkspaceResource


class RunRequestConfig(dg.Config):
    """A run request."""

    engine: str = Field(description="The engine's name.")
    run_equivalence_key: str = Field(description="Whoever asks under the same key means the same run.")
    manifest_fingerprint: str
    parameter_hash: str
    seed: int
    scenario_id: str = Field(default="", description="One scenario; or name a scenario_set.")
    scenario_set: list[str] = Field(default_factory=list)
    window_start: str = Field(default="", description="A moment with its zone, as 2026-01-01T00:00:00Z.")
    window_end: str = ""
    outputs: list[str] = Field(default_factory=list, description="Ids of the catalogue; empty: all of it.")
    strategy: str = Field(default="auto", description="auto, reuse or invoke.")
    engine_run_root: str = Field(default="", description="Where results are: an absolute folder or s3://bucket/prefix.")
    actor: str = Field(description="Who asks. It stands in the run's record.")

    def request(self) -> RunRequest:
        """The request, checked as one in a file is.

        Raises:
            RequestError: It is none.
        """
        pins = {
            "manifest_fingerprint": self.manifest_fingerprint,
            "parameter_hash": self.parameter_hash,
            "seed": self.seed,
            "scenario_id": self.scenario_id,
            "scenario_set": self.scenario_set,
        }
        window = {"start": self.window_start, "end": self.window_end}
        document = {
            "engine": self.engine,
            "run_equivalence_key": self.run_equivalence_key,
            "pins": {name: value for name, value in pins.items() if value not in ("", [])},
            "window": {name: value for name, value in window.items() if value},
            "outputs": self.outputs,
            "strategy": self.strategy,
            "engine_run_root": self.engine_run_root,
            "actor": self.actor,
        }
        given = {name: value for name, value in document.items() if value not in ("", [], {})}
        return parse_request(canonical_bytes(given), "the launchpad")


def engine_jobs() -> dg.Definitions:
    """The job that people launch to submit a run."""
    return dg.Definitions(jobs=[submit_engine_run])


@dg.op(out=dg.Out(dg.Nothing))
def submit_run_request(context: dg.OpExecutionContext, config: RunRequestConfig, workspace: WorkspaceResource) -> None:
    """Admit a request; the sensor `engine_runs` brings its run forward."""
    try:
        submitted = submit(workspace.open(), config.request())
    except HashgateError as error:
        raise dg.Failure(description=visible(str(error), 4000), allow_retries=False) from None
    context.instance.add_dynamic_partitions(partitions_name(config.engine), [submitted.run_id])
    state = "ADMITTED" if submitted.state is None else submitted.state.value
    context.instance.add_run_tags(context.run_id, {ENGINE_RUN_TAG: submitted.run_id})
    context.log.info("run %s is %s: the sensor engine_runs brings it forward", submitted.run_id, state)
    context.add_output_metadata({"run_id": submitted.run_id, "state": state})


@dg.job(executor_def=dg.in_process_executor)
def submit_engine_run() -> None:
    """Submit a run of an engine. The answer names its id, always the same for the same key."""
    submit_run_request()
