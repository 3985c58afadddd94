"""An invocation: what the engine is told, and the receipt with which it says what it ran.

The command is a list: no shell ever reads it, so that no pin can be more than text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.authority.pins import Pins
from contracts.authority.policy import holes
from contracts.authority.reasons import Reason, ReasonCode, ReasonError
from contracts.authority.requests import RequestedPins, Window
from contracts.canonical import canonical_bytes, parse_json
from contracts.refs import Frozen

MAXIMUM_INVOCATION_BYTES = 100_000
"""One argument of a program has at most 128 KiB on Linux (MAX_ARG_STRLEN)."""


class Invocation(Frozen):
    """What an engine is told: by environment variable, and wherever its command names it."""

    format: Literal["hashgate/engine-invocation/v1"] = "hashgate/engine-invocation/v1"
    engine: str
    run_id: str
    attempt_id: str
    attempt: int = Field(ge=1)
    engine_run_root: str
    manifest_fingerprint: str
    parameter_hash: str
    seed: int
    scenario_id: str
    scenario_set: tuple[str, ...] | None
    window: Window | None
    outputs: tuple[str, ...]
    receipt: str
    """Where below the run root its receipt is looked for."""

    def text(self) -> str:
        """Canonical JSON.

        Raises:
            ReasonError: ENGINE_INVOCATION_INVALID: it is too long to be handed over.
        """
        data = canonical_bytes(self.model_dump(mode="json"))
        if len(data) > MAXIMUM_INVOCATION_BYTES:
            raise ReasonError(
                Reason(
                    code=ReasonCode.ENGINE_INVOCATION_INVALID,
                    subject=self.attempt_id,
                    expected=f"at most {MAXIMUM_INVOCATION_BYTES} bytes",
                    observed=f"{len(data)} bytes",
                    hint="Ask for fewer scenarios or outputs in one run.",
                )
            )
        return data.decode()


def invocation_of(*, engine: str, pins: Pins, requested: RequestedPins, about: Mapping[str, object]) -> Invocation:
    """What the engine is told about an attempt.

    Args:
        engine: Its name.
        pins: The run's.
        requested: The pins as they were asked for.
        about: The invocation's other fields.

    Raises:
        ReasonError: ENGINE_INVOCATION_INVALID: they make no invocation.
    """
    try:
        return Invocation.model_validate(
            {
                "engine": engine,
                "run_id": pins.run_id,
                "manifest_fingerprint": pins.manifest_fingerprint,
                "parameter_hash": pins.parameter_hash,
                "seed": pins.seed,
                "scenario_id": pins.scenario_id,
                "scenario_set": requested.scenario_set,
                **about,
            }
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ReasonError(
            Reason(
                code=ReasonCode.ENGINE_INVOCATION_INVALID,
                subject=".".join(map(str, first["loc"])) or "invocation",
                observed=first["msg"],
                hint="Mend the request or the engine's policy, and submit under a new key.",
            )
        ) from None


def resolved_command(command: Sequence[str], values: Mapping[str, str], engine: str) -> tuple[str, ...]:
    """A command template with its placeholders filled in.

    Raises:
        ReasonError: ENGINE_COMMAND_MISSING: there is none. ENGINE_COMMAND_TEMPLATE_UNRESOLVED: it names a placeholder
            that has no value.
    """
    if not command:
        raise ReasonError(
            Reason(
                code=ReasonCode.ENGINE_COMMAND_MISSING,
                subject=engine,
                expected="a command in the engine's policy",
                observed="none",
                hint="Write `command:` into policy.yaml, or ask with strategy reuse.",
            )
        )
    return tuple(_resolved(part, values) for part in command)


class EngineReceipt(BaseModel):
    """What the engine says it ran. It may say more than this: engines have their own words."""

    model_config = ConfigDict(frozen=True, extra="allow")

    run_id: str = Field(min_length=1)
    manifest_fingerprint: str
    parameter_hash: str
    seed: int
    scenario_id: str


def parse_receipt(data: bytes | None, pins: Pins, path: str, *, ours: bool) -> EngineReceipt:
    """Read an engine's receipt and compare it with the pins.

    Args:
        data: What lies at its place; None: nothing.
        pins: The run's.
        path: Where it lies, for messages.
        ours: Whether the engine ran for this very run, so that its run id must be ours.

    Raises:
        ReasonError: ENGINE_RECEIPT_MISSING, ENGINE_RECEIPT_INVALID, or ENGINE_RECEIPT_MISMATCH with the pin.
    """
    if data is None:
        raise _receipt(ReasonCode.ENGINE_RECEIPT_MISSING, path, "a receipt", "none", "The engine writes it at its end.")
    try:
        receipt = EngineReceipt.model_validate(parse_json(data))
    except ValueError as error:  # pydantic's is one
        said = _first_problem(error)
        raise _receipt(
            ReasonCode.ENGINE_RECEIPT_INVALID, path, "run_id and pins as JSON", said, "Mend the engine."
        ) from None
    for name in ("run_id", "manifest_fingerprint", "parameter_hash", "seed", "scenario_id"):
        expected, observed = getattr(pins, name), getattr(receipt, name)
        if expected != observed and (ours or name != "run_id"):
            hint = "These are the results of another run: mend the engine, or name the right run root."
            raise _receipt(ReasonCode.ENGINE_RECEIPT_MISMATCH, path, f"{name} {expected}", f"{name} {observed}", hint)
    return receipt


def _first_problem(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc'])) or 'the document'}: {first['msg']}"
    return str(error).partition("\n")[0]


def _receipt(code: ReasonCode, path: str, expected: str, observed: str, hint: str) -> ReasonError:
    return ReasonError(Reason(code=code, subject=path, expected=expected, observed=observed, member=path, hint=hint))


def _resolved(part: str, values: Mapping[str, str]) -> str:
    try:
        missing = [name for name in holes(part) if name not in values]
    except ValueError as error:
        missing = [str(error)]
    if missing:
        known = ", ".join(sorted(values))
        raise ReasonError(
            Reason(
                code=ReasonCode.ENGINE_COMMAND_TEMPLATE_UNRESOLVED,
                subject=part,
                expected=f"one of {known}",
                observed=missing[0],
                hint="Mend the command in the engine's policy.",
            )
        )
    return part.format_map(values)
