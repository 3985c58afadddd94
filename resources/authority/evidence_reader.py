"""Assembles the evidence of a run from its run root. Reads only: nothing is decided here that lasts.

Each file is hashed once for its own digest, however many gates and outputs it belongs to, so that a gate's receipt and
an output's locator speak of the same bytes. Whoever captures them later hashes them again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product

from pydantic import ValidationError

from contracts.authority.evidence import (
    EngineGateReceipt,
    Evidence,
    EvidenceState,
    InstanceReceipt,
    Locator,
    Member,
    Missing,
    OraclePackRef,
    Role,
    Sha256,
)
from contracts.authority.gate_laws import check_gate
from contracts.authority.instance_receipts import instance_receipt
from contracts.authority.oracle_pack import (
    MANIFEST_FILE,
    MANIFEST_LIMIT_BYTES,
    bare_pack,
    identified_pack,
    unreadable_pack,
)
from contracts.authority.pack import Availability, EngineGate, EngineOutput, EnginePack
from contracts.authority.pins import PathPattern, Pins
from contracts.authority.reasons import Reason, ReasonCode, ReasonError
from contracts.authority.run_files import Ledger, RunFileError
from contracts.canonical import canonical_bytes
from resources.authority.instance_receipts import drift
from resources.authority.run_roots import RunRoot
from resources.object_store import ObjectStore

_WAIT_HINT = "The engine has not written it, or not yet."
_CONFLICT_HINT = "Nobody reads this run. Find out who changed the run root, have the engine write it anew, supersede."


def assemble_evidence(
    pack: EnginePack,
    wanted_outputs: Sequence[str],
    pins: Pins,
    run_root: RunRoot,
    *,
    policy_revision: str,
    store: ObjectStore,
    traffic_outputs: Collection[str] = (),
) -> Evidence:
    """Look at everything that a run's outputs need, and say what it comes to.

    Args:
        pack: The engine's interface.
        wanted_outputs: Ids; what is optional in the catalogue never blocks.
        pins: The run's.
        run_root: Where the engine wrote.
        policy_revision: What the run is pinned to; part of the bundle digest.
        store: The platform's own, with the verifier receipts of earlier runs.
        traffic_outputs: Ids of outputs in the role `traffic`.

    Returns:
        COMPLETE, WAITING, CONFLICT or FAIL, with reasons for all but the first. A contradiction outweighs a failure,
        and that what is missing.

    Raises:
        StoreError: The disk or a server refused: nothing is known, and nothing may be concluded.
    """
    reader = _Reader(pack, pins, run_root, store, frozenset(traffic_outputs))
    try:
        reader.read(wanted_outputs)
    except ReasonError as error:
        reader.failures.append(error.evidence["reason"])
    return reader.evidence(policy_revision)


def read_oracle_pack(run_root: RunRoot, pins: Pins) -> OraclePackRef | Reason:
    """Which pack a run root is; the reason when its manifest is invalid or of other pins."""
    try:
        data = run_root.read_document(MANIFEST_FILE, MANIFEST_LIMIT_BYTES)
    except KeyError:
        return bare_pack(run_root.location)
    except RunFileError as error:
        return unreadable_pack(str(error))
    return identified_pack(data, run_root.location, pins)


@dataclass
class _Reader:
    """The evidence of one run as it is being found."""

    pack: EnginePack
    pins: Pins
    run_root: RunRoot
    store: ObjectStore
    traffic: frozenset[str]
    locators: list[Locator] = field(default_factory=list)
    receipts: dict[str, EngineGateReceipt] = field(default_factory=dict)
    instance_receipts: list[InstanceReceipt] = field(default_factory=list)
    oracle_pack: OraclePackRef | None = None
    missing: list[Missing] = field(default_factory=list)
    contradictions: list[Reason] = field(default_factory=list)
    failures: list[Reason] = field(default_factory=list)
    _missing_gates: dict[str, Missing] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._ledger = Ledger(self.run_root)

    def read(self, wanted: Sequence[str]) -> None:
        outputs = [self.pack.output(output_id) for output_id in sorted(set(wanted))]
        gates = self.pack.required_gates(output.id for output in outputs)
        found = read_oracle_pack(self.run_root, self.pins)
        if isinstance(found, Reason):
            self.failures.append(found)
            return
        self.oracle_pack = found
        for gate_id in gates:
            self._check(self.pack.gates[gate_id])
        for output in outputs:
            self._locate(output)

    def evidence(self, policy_revision: str) -> Evidence:
        """The sum of what was found."""
        required = [missing for missing in self.missing if not missing.optional]
        waits = [_waiting(missing) for missing in required]
        if self.contradictions:
            state = EvidenceState.CONFLICT
        elif self.failures:
            state = EvidenceState.FAIL
        else:
            state = EvidenceState.WAITING if required else EvidenceState.COMPLETE
        return Evidence.model_construct(
            state=state,
            policy_revision=policy_revision,
            oracle_pack=self.oracle_pack,
            reasons=(*self.contradictions, *self.failures, *waits),
            locators=tuple(self.locators),
            gate_receipts=tuple(self.receipts.values()),
            instance_receipts=tuple(self.instance_receipts),
            missing=tuple(self.missing),
        )

    def _check(self, gate: EngineGate) -> None:
        """A gate's receipt; a contradiction in one is one of the run."""
        if self._lacks_pins(gate.id, gate.scope):
            return
        made = check_gate(gate, self.pins.within(gate.scope), self._ledger)
        if isinstance(made, Missing):
            self._missing_gates[gate.id] = made
            return
        try:
            self.receipts[gate.id] = EngineGateReceipt.model_validate(made.model_dump())
        except ValidationError as error:
            self.failures.append(_invalid(ReasonCode.RECEIPT_SCHEMA_INVALID, gate.id, error))
            return
        if not made.passed:
            self.contradictions.append(_contradiction(made))

    def _locate(self, output: EngineOutput) -> None:
        """An output's locator, if its files are there and every gate that it needs passed."""
        if self._lacks_pins(output.id, output.scope):
            return
        is_optional = output.availability is Availability.OPTIONAL
        gates = self.pack.gates_of(output.id)
        absent = [self._missing_gates[gate_id] for gate_id in gates if gate_id in self._missing_gates]
        pattern = output.template.filled(self.pins.within(output.scope))
        try:
            members, lacking = self._members(output, pattern)
            absent += [Missing(kind="output", subject=output.id, path=path) for path in lacking]
        except RunFileError as error:
            self.contradictions.append(_unusable(output.id, error))
            return
        if absent:
            self._note_missing(absent, is_optional=is_optional)
        elif all(gate_id in self.receipts and self.receipts[gate_id].passed for gate_id in gates):
            self._keep(output, pattern, members, gates)

    def _note_missing(self, absent: Sequence[Missing], *, is_optional: bool) -> None:
        for missing in absent:
            noted = missing.model_copy(update={"optional": is_optional})
            if noted not in self.missing:
                self.missing.append(noted)

    def _members(self, output: EngineOutput, pattern: PathPattern) -> tuple[list[Member], list[str]]:
        """The files that an output is made of, sorted, and the paths that should be there and are not."""
        if pattern.is_one_file:
            try:
                return [self._ledger.member(pattern.path)], []
            except KeyError:
                return [], [pattern.path]
        listed = self.run_root.listing(pattern.folder)
        matched = [(path, partition) for path in listed if (partition := pattern.matched(path)) is not None]
        lacking = list(_lacking(output, pattern, [partition for _, partition in matched]))
        if lacking:
            return [], lacking
        return [self._ledger.member(path).model_copy(update={"partition": found}) for path, found in matched], []

    def _keep(self, output: EngineOutput, pattern: PathPattern, members: list[Member], gates: Sequence[str]) -> None:
        """Draw up the locator and, for an output of one instance, the receipt that binds it."""
        try:
            locator = Locator(
                output_id=output.id,
                role=Role.TRAFFIC if output.id in self.traffic else Role.NON_TRAFFIC,
                scope=self.pins.within(output.scope),
                path=pattern.text,
                content_digest=_content_digest(pattern, members),
                members=tuple(Member.model_validate(member.model_dump()) for member in members),
                gates=tuple(gates),
            )
        except ValidationError as error:
            self.failures.append(_invalid(ReasonCode.LOCATOR_SCHEMA_INVALID, output.id, error))
            return
        self.locators.append(locator)
        if output.is_instance_scoped:
            self._bind(output, locator)

    def _bind(self, output: EngineOutput, locator: Locator) -> None:
        digest = locator.content_digest
        made = instance_receipt(self.pack.name, output, self.pins, path=locator.path, content_digest=digest)
        if isinstance(made, Reason):
            self.failures.append(made)
            return
        self.instance_receipts.append(made)
        reason = drift(self.store, made)
        if reason is not None:
            self.failures.append(reason)

    def _lacks_pins(self, subject: str, scope: Sequence[str]) -> bool:
        missing = self.pins.missing(scope)
        if missing:
            reason = Reason(
                code=ReasonCode.INSTANCE_SCOPE_MISSING,
                subject=subject,
                expected=f"a value for {', '.join(missing)}",
                observed="none in the run's pins",
                hint="Name it in the request: what belongs to one instance is bound to all pins of its scope.",
            )
            self.failures.append(reason)
        return bool(missing)


def _lacking(output: EngineOutput, pattern: PathPattern, found: Sequence[dict[str, str]]) -> Iterator[str]:
    """The patterns that nothing matches: of each combination of declared partition values, or of all."""
    declared = [partition for partition in output.partitions if partition.values]
    for values in product(*(partition.values for partition in declared)):
        wanted = {partition.name: value for partition, value in zip(declared, values, strict=True)}
        if not any(wanted.items() <= partition.items() for partition in found):
            text = pattern.text
            for name, value in wanted.items():
                text = text.replace(f"{{{name}}}", value)
            yield text


def _content_digest(pattern: PathPattern, members: Sequence[Member]) -> Sha256:
    """A file's own digest; of several files, that of their sorted list."""
    if pattern.is_one_file:
        return Sha256(hex=members[0].sha256)
    listing = [
        {"path": m.path, "sha256": m.sha256, "size_bytes": m.size_bytes} for m in sorted(members, key=lambda m: m.path)
    ]
    return Sha256(hex=hashlib.sha256(canonical_bytes(listing)).hexdigest())


def _waiting(missing: Missing) -> Reason:
    return Reason(
        code=ReasonCode.EVIDENCE_MISSING,
        subject=missing.subject,
        expected=f"the {missing.kind} at {missing.path}",
        observed="nothing there",
        member=missing.path,
        hint=_WAIT_HINT,
    )


def _contradiction(receipt: EngineGateReceipt) -> Reason:
    observed = f"{receipt.observed or 'no digest'} ({receipt.problem})"
    return Reason(
        code=ReasonCode.EVIDENCE_CONFLICT,
        subject=receipt.gate_id,
        expected=receipt.expected,
        observed=observed,
        member=receipt.failing_member,
        hint=_CONFLICT_HINT,
    )


def _unusable(subject: str, error: RunFileError) -> Reason:
    return Reason(
        code=ReasonCode.EVIDENCE_CONFLICT,
        subject=subject,
        expected="plain files below the run root that nobody writes to",
        observed=str(error),
        member=error.evidence["path"],
        hint=_CONFLICT_HINT,
    )


def _invalid(code: ReasonCode, subject: str, error: ValidationError) -> Reason:
    first = error.errors(include_url=False, include_input=False)[0]
    return Reason(
        code=code,
        subject=subject,
        expected="a document that keeps its schema",
        observed=f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
        hint="See contracts/schemas: mostly a file has a name with a control character. Have the engine name it anew.",
    )
