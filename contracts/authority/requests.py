"""Run requests: what somebody wants of an engine, and the intent that tells two requests for the same from two others.

A request is a document that people or programs write, YAML or JSON. Who asks, and when, is not part of its intent.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, Field, StringConstraints, field_validator, model_validator

from contracts.authority.identities import run_id_of, scenario_id_of_set
from contracts.authority.pins import LARGEST_SEED, Pins
from contracts.authority.reading import read_model
from contracts.refs import Digest, Frozen, digest_json

PIN_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9._=+-]{0,127}$"
ENGINE_PATTERN = r"^[a-z][a-z0-9_-]{0,62}$"
ROOT_PATTERN = r"^(/|s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/)[^\x00-\x1f\x7f]{1,1000}$"
"""An absolute folder, or a place in S3 with a prefix."""

_PRINTABLE = r"^[^\x00-\x1f\x7f]{1,512}$"

PinText = Annotated[str, StringConstraints(pattern=PIN_PATTERN)]


class Strategy(StrEnum):
    """How a run comes by its results."""

    AUTO = "auto"
    """What is in the run root is used when it is complete; else the engine is invoked."""
    REUSE = "reuse"
    """The engine is not invoked: its results are there, or are waited for."""
    INVOKE = "invoke"
    """The engine is invoked, whatever is there."""


class Window(Frozen):
    """The time that a run is about: from `start` to before `end`."""

    start: AwareDatetime
    end: AwareDatetime

    @field_validator("start", "end")
    @classmethod
    def _in_utc(cls, moment: dt.datetime) -> dt.datetime:
        return moment.astimezone(dt.UTC)  # one moment, one spelling: it enters the intent

    @model_validator(mode="after")
    def _is_forward(self) -> Self:
        if self.end <= self.start:
            msg = f"the window ends at {self.end.isoformat()}, which is not after its start {self.start.isoformat()}"
            raise ValueError(msg)
        return self


class RequestedPins(Frozen):
    """The pins that a request names; a scenario, or a set of them."""

    manifest_fingerprint: PinText
    parameter_hash: PinText
    seed: int = Field(ge=0, le=LARGEST_SEED)
    scenario_id: PinText | None = None
    scenario_set: tuple[PinText, ...] | None = Field(default=None, min_length=1, max_length=1000)

    @field_validator("scenario_set")
    @classmethod
    def _as_a_set(cls, scenarios: Sequence[str] | None) -> tuple[str, ...] | None:
        return None if scenarios is None else tuple(sorted(set(scenarios)))

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if (self.scenario_id is None) == (self.scenario_set is None):
            msg = "exactly one of scenario_id and scenario_set is named, not both and not none"
            raise ValueError(msg)
        return self

    def pins(self, run_id: str | None) -> Pins:
        """The pins for templates; a set of scenarios stands there under a name of its own."""
        scenario = self.scenario_id or scenario_id_of_set(self.scenario_set or ())
        return Pins(
            manifest_fingerprint=self.manifest_fingerprint,
            parameter_hash=self.parameter_hash,
            seed=self.seed,
            scenario_id=scenario,
            run_id=run_id,
        )


class RunRequest(Frozen):
    """What somebody wants of an engine."""

    format: Literal["hashgate/engine-request/v1"] = "hashgate/engine-request/v1"
    engine: str = Field(pattern=ENGINE_PATTERN)
    run_equivalence_key: str = Field(pattern=_PRINTABLE)
    """Whoever asks under the same key means the same run."""
    pins: RequestedPins
    window: Window | None = None
    outputs: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Ids of the catalogue; None: all of it."""
    strategy: Strategy = Strategy.AUTO
    engine_run_root: str | None = Field(default=None, pattern=ROOT_PATTERN)
    """An absolute folder or `s3://bucket/prefix` with the engine's results; the policy may name another."""
    actor: str = Field(pattern=r"^[^\x00-\x1f\x7f]{1,256}$")

    @field_validator("outputs")
    @classmethod
    def _each_once(cls, outputs: Sequence[str] | None) -> tuple[str, ...] | None:
        return None if outputs is None else tuple(sorted(set(outputs)))

    @property
    def run_id(self) -> str:
        """The run that the key stands for."""
        return run_id_of(self.run_equivalence_key)

    @cached_property
    def intent(self) -> Digest:
        """What is asked for, whoever asks."""
        return digest_json(self._intended())

    def _intended(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude={"format", "actor", "run_equivalence_key"})


def parse_request(data: bytes, source: str) -> RunRequest:
    """Read a request.

    Args:
        data: YAML or JSON.
        source: Where it came from, for messages.

    Raises:
        RequestError: It is none, with each problem's line.
    """
    return read_model(data, source, RunRequest)
