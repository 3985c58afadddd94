"""An engine's policy: how it is invoked, how long anybody waits for it, and who may ask.

The interface pack says what an engine promises; the policy, what the people who run the platform decide. Both make the
policy revision that a run is pinned to.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from contracts.authority.pins import PIN_NAMES
from contracts.authority.reading import look_at_model, read_model
from contracts.authority.requests import ROOT_PATTERN
from contracts.refs import Digest, Frozen, digest_json
from contracts.yaml_document import Problem

PLACEHOLDERS = frozenset(
    {
        *PIN_NAMES,
        "attempt_id",
        "engine_folder",
        "engine_run_root",
        "invocation_json",
        "python",
        "window_end",
        "window_start",
    }
)
"""What a command template may name in braces."""

INVOCATION_VARIABLE = "HASHGATE_ENGINE_INVOCATION"
"""The environment variable with the invocation's JSON."""

Actor = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,256}$")]
_PATH = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$"
_NAME = r"^[A-Za-z_][A-Za-z0-9_]{0,127}$"


class EnginePolicy(Frozen):
    """What holds for all runs of an engine. Every field has a default; seconds are whole or not."""

    format: Literal["hashgate/engine-policy/v1"] = "hashgate/engine-policy/v1"
    command: tuple[str, ...] = ()
    """The program and its arguments, with placeholders; no shell reads it. Empty: the engine cannot be invoked."""
    environment: tuple[Annotated[str, StringConstraints(pattern=_NAME)], ...] = ()
    """Names of variables that the engine gets beside a cleaned environment."""
    timeout_s: float = Field(default=3600, gt=0, le=30 * 86_400)
    attempt_limit: int = Field(default=3, ge=1, le=100)
    evidence_wait_seconds: float = Field(default=300, ge=0, le=30 * 86_400)
    """How long a run waits for evidence before it fails."""
    reuse: bool = True
    """Whether `auto` looks at what is there before it invokes."""
    receipt: str = Field(default="run_receipt.json", pattern=_PATH)
    """Where below the run root the engine says what it ran."""
    engine_root: str | None = Field(default=None, pattern=ROOT_PATTERN)
    """The run root, with pins in braces: it stands above what a request names. None: the request's, or one of ours."""
    traffic_outputs: tuple[str, ...] = ()
    """Outputs in the role `traffic`; all others are `non_traffic`."""
    submit_allow: tuple[Actor, ...] | None = None
    """Who may submit; None: everybody."""
    reemit_allow: tuple[Actor, ...] | None = None
    """Who may publish a run's facts again; None: whoever may submit."""
    reemit_limit: int = Field(default=10, ge=1)
    """How often a run's facts may be published again within `reemit_window_s`."""
    reemit_window_s: float = Field(default=3600, gt=0)

    @model_validator(mode="after")
    def _root_is_a_template_of_pins(self) -> Self:
        unknown = [hole for hole in holes(self.engine_root or "") if hole not in PIN_NAMES]
        if unknown:
            msg = f"engine_root names {{{unknown[0]}}}, which is no pin. Pins: {', '.join(PIN_NAMES)}"
            raise ValueError(msg)
        return self

    @cached_property
    def digest(self) -> Digest:
        """What the policy says, by content."""
        return digest_json(self.model_dump(mode="json"))

    def may_submit(self, actor: str) -> bool:
        """Whether somebody may ask for runs."""
        return self.submit_allow is None or actor in self.submit_allow

    def may_reemit(self, actor: str) -> bool:
        """Whether somebody may publish facts again."""
        allowed = self.submit_allow if self.reemit_allow is None else self.reemit_allow
        return allowed is None or actor in allowed


def holes(template: str) -> Sequence[str]:
    """What stands in a template's braces; ValueError when a brace is not closed. Formats are no part of a name."""
    found = string.Formatter().parse(template)
    return [
        f"{name}{f'!{turned}' if turned else ''}{f':{form}' if form else ''}"
        for _, name, form, turned in found
        if name is not None
    ]


def parse_policy(data: bytes, source: str) -> EnginePolicy:
    """Read a policy.

    Raises:
        RequestError: It is none.
    """
    return read_model(data, source, EnginePolicy)


def lint_policy(data: bytes) -> list[Problem]:
    """Everything that is wrong with a policy, placeholders of its command included."""
    policy, problems = look_at_model(data, EnginePolicy)
    if policy is None:
        return problems
    return [problem for at, part in enumerate(policy.command) for problem in _of_part(at, part)]


def _of_part(at: int, part: str) -> list[Problem]:
    where = f"command[{at}]"
    try:
        unknown = [name for name in holes(part) if name not in PLACEHOLDERS]
    except ValueError as error:
        return [Problem(0, where, f"{part!r}: {error}", "Close the brace, or double it where it stands for itself.")]
    fix = f"Known are: {', '.join(sorted(PLACEHOLDERS))}."
    return [Problem(0, where, f"{{{name}}} is no placeholder", fix) for name in unknown]


def policy_revision_of(pack_revision: Digest, policy: EnginePolicy) -> Digest:
    """What a run is pinned to: the pack's revision and the policy's, together."""
    return digest_json([pack_revision, policy.digest])
