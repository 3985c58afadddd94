"""Pack identity (E15): which pack of engine results a run root is, as the manifest in it says."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.authority.evidence import OraclePackRef
from contracts.authority.pins import PIN_NAMES, Pins
from contracts.authority.reasons import Reason, ReasonCode
from contracts.canonical import parse_json

MANIFEST_FILE = "_oracle_pack_manifest.json"
MANIFEST_LIMIT_BYTES = 1 << 20

_FIX = "Write the manifest of this run root anew, or name the run root that the pins belong to."


class OraclePackManifest(BaseModel):
    """What the platform reads of a manifest. It belongs to the engine, which may say more."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    oracle_pack_id: str = Field(min_length=1, max_length=256)
    engine_release: str | None = Field(default=None, max_length=256)
    pins: dict[str, str | int] = Field(default_factory=dict)
    """The values that the pack was made under; pins that it does not name may be any."""


def bare_pack(engine_run_root: str) -> OraclePackRef:
    """The identity of a run root without a manifest: its place."""
    return OraclePackRef(engine_run_root=engine_run_root)


def identified_pack(data: bytes, engine_run_root: str, pins: Pins) -> OraclePackRef | Reason:
    """The identity that a manifest gives a run root.

    Returns:
        The identity; or why there is none: ORACLE_PACK_INVALID, or ORACLE_PACK_MISMATCH when it is of other pins.
    """
    try:
        manifest = OraclePackManifest.model_validate(parse_json(data))
    except (ValidationError, ValueError) as error:
        observed = _first_line(error)
        return _reason(ReasonCode.ORACLE_PACK_INVALID, "a manifest with oracle_pack_id, engine_release, pins", observed)
    unknown = sorted(manifest.pins.keys() - set(PIN_NAMES))
    if unknown:
        expected = f"pins among {', '.join(PIN_NAMES)}"
        return _reason(ReasonCode.ORACLE_PACK_INVALID, expected, f"a pin {unknown[0]}")
    for name, stated in manifest.pins.items():
        wanted = pins.text(name)
        if wanted is not None and str(stated) != wanted:
            return _reason(ReasonCode.ORACLE_PACK_MISMATCH, f"{name} {wanted}", f"{name} {stated}")
    return OraclePackRef(
        engine_run_root=engine_run_root,
        manifest_ref=MANIFEST_FILE,
        oracle_pack_id=manifest.oracle_pack_id,
        engine_release=manifest.engine_release,
    )


def unreadable_pack(problem: str) -> Reason:
    """Why a manifest that cannot be taken gives no identity."""
    return _reason(ReasonCode.ORACLE_PACK_INVALID, "a manifest that can be read", problem)


def _reason(code: ReasonCode, expected: str, observed: str) -> Reason:
    return Reason(
        code=code, subject="oracle pack", expected=expected, observed=observed, member=MANIFEST_FILE, hint=_FIX
    )


def _first_line(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(map(str, first['loc'])) or 'the document'}: {first['msg']}"
    return str(error).partition("\n")[0]
