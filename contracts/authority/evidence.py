"""Evidence: what a run root holds of the wanted outputs, which gates let them through, and what follows for the run.

Four states. COMPLETE: every required output is there, and every gate that it needs passed. WAITING: something is not
there yet. CONFLICT: what is there contradicts itself. FAIL: it cannot become complete. Unknown is never complete.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from contracts.authority.pins import PinName
from contracts.authority.reasons import Reason, ReasonCode
from contracts.refs import Digest, Frozen, digest_json
from contracts.sealing import Sealed

SHA256_PATTERN = "^[0-9a-f]{64}$"
_CONTROL = r"\x00-\x1f\x7f\\"
_NAME = rf"(?:[^./{_CONTROL}][^/{_CONTROL}]*|\.[^./{_CONTROL}][^/{_CONTROL}]*|\.\.[^/{_CONTROL}]+)"
PATH_PATTERN = rf"^{_NAME}(?:/{_NAME})*/?$"
"""A path below the run root, as documents have it: neither absolute nor with `.` or `..` as a name."""

ID_PATTERN = r"^[A-Za-z][A-Za-z0-9_.-]{0,127}$"
"""Names of outputs and gates."""

ScopeValues = dict[PinName, str]
"""Pins by name, as they stand in paths."""


class EvidenceState(StrEnum):
    """What the evidence comes to."""

    COMPLETE = "COMPLETE"
    WAITING = "WAITING"
    CONFLICT = "CONFLICT"
    FAIL = "FAIL"


class Role(StrEnum):
    """Whether an output is traffic, as policy lists it, or anything else."""

    TRAFFIC = "traffic"
    NON_TRAFFIC = "non_traffic"


class Sha256(Frozen):
    """A content digest as engines write it."""

    algo: Literal["sha256"] = "sha256"
    hex: str = Field(pattern=SHA256_PATTERN)


class Member(Frozen):
    """A file as it was read: whoever reads it again must find the same."""

    path: str = Field(pattern=PATH_PATTERN)
    """Below the run root."""
    size_bytes: int = Field(ge=0)
    sha256: str = Field(pattern=SHA256_PATTERN)
    partition: dict[str, str] = Field(default_factory=dict)
    """What stands in the path for the output's partitions."""


class Locator(Frozen):
    """Where an output is and what it is made of."""

    format: str = "hashgate/engine-locator/v1"
    output_id: str = Field(pattern=ID_PATTERN)
    role: Role
    scope: ScopeValues
    path: str = Field(pattern=PATH_PATTERN)
    """The catalogue's template with the pins filled in: a file, a folder (`/` at its end) or a pattern."""
    content_digest: Sha256
    """A file's own; of a folder or pattern, that of the canonical JSON of its sorted members."""
    members: tuple[Member, ...] = Field(min_length=1)
    """Sorted by path."""
    gates: tuple[str, ...]
    """The gates that a reader of this output relies on, upstream ones first; all of them passed."""


class EngineGateReceipt(Frozen):
    """What an engine's gate came to, with path, size and digest of each file that it looked at."""

    format: str = "hashgate/engine-gate-receipt/v1"
    gate_id: str = Field(pattern=ID_PATTERN)
    scope: ScopeValues
    law: str
    ordering: str
    path_base: str
    bundle_root: str
    passed: bool
    expected: str | None
    """The digest that the flag states; None when there is no flag, or it states none."""
    observed: str | None
    """The digest by the law; None when it could not be computed."""
    flag: Member | None
    index: Member | None
    members: tuple[Member, ...]
    """In the law's order."""
    failing_member: str | None
    problem: str | None
    """Why it did not pass, in words; None when it did."""


class InstanceReceipt(Sealed):
    """Binds an output of one instance to its bytes: output, scope, locator and content digest, and no time."""

    format: str = "hashgate/engine-instance-receipt/v1"
    engine: str
    output_id: str = Field(pattern=ID_PATTERN)
    scope: ScopeValues = Field(min_length=1)
    path: str = Field(pattern=PATH_PATTERN)
    content_digest: Sha256


class Missing(Frozen):
    """Something that evidence needs and that is not there."""

    kind: Literal["output", "flag", "bundle"]
    subject: str
    path: str
    optional: bool = False


class OraclePackRef(Frozen):
    """Which pack of engine results a run root is (E15)."""

    engine_run_root: str
    manifest_ref: str | None = None
    oracle_pack_id: str | None = None
    engine_release: str | None = None


class Evidence(Frozen):
    """The state of a run's evidence and all that it rests on."""

    state: EvidenceState
    policy_revision: str
    oracle_pack: OraclePackRef | None
    """None when the pack's manifest is what is wrong."""
    reasons: tuple[Reason, ...] = ()
    locators: tuple[Locator, ...] = ()
    """Sorted by output id."""
    gate_receipts: tuple[EngineGateReceipt, ...] = ()
    """Upstream ones first."""
    instance_receipts: tuple[InstanceReceipt, ...] = ()
    """For the outputs that belong to one instance; not kept yet."""
    missing: tuple[Missing, ...] = ()
    """What is waited for, and the optional outputs that are left out."""

    @property
    def bundle_digest(self) -> Digest:
        """Over sorted locators, receipts and the policy revision; the same files give the same, wherever they lie."""
        return digest_json(
            {
                "locators": [o.model_dump(mode="json") for o in sorted(self.locators, key=lambda o: o.output_id)],
                "receipts": [r.model_dump(mode="json") for r in sorted(self.gate_receipts, key=lambda r: r.gate_id)],
                "instance_receipts": sorted(receipt.digest for receipt in self.instance_receipts),
                "policy_revision": self.policy_revision,
            }
        )


def past_deadline(evidence: Evidence, *, waited_s: float, evidence_wait_seconds: float) -> Evidence:
    """Give up waiting: WAITING for longer than allowed is FAIL, its reasons kept behind the one that says so."""
    if evidence.state is not EvidenceState.WAITING or waited_s <= evidence_wait_seconds:
        return evidence
    first = evidence.missing[0]
    reason = Reason(
        code=ReasonCode.EVIDENCE_MISSING_DEADLINE,
        subject=first.subject,
        expected=f"all evidence within {evidence_wait_seconds:g} s",
        observed=f"{len(evidence.missing)} still missing after {waited_s:.0f} s",
        member=first.path,
        hint="See whether the engine has ended; submit the work under a new key when it is there.",
    )
    return evidence.model_copy(update={"state": EvidenceState.FAIL, "reasons": (reason, *evidence.reasons)})
