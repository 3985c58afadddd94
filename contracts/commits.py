"""Commits: the documents that decide what a reader sees, and nothing else does.

Per partition they form a chain: number n names the digest of number n-1. A commit holds the segments it publishes,
the receipts of the gates that judged them and the identity of all that went in. Where people decide, their word is in
it: who let through what a gate had stopped (`release`), went back to an earlier version (`rollback`), or put up with
damage (`repair`). A held candidate is the same document under another name: complete, inspectable, and without any
effect on readers. An empty link holds no version: a number that was occupied so that nobody else's late commit can
have it, or a repair that found nothing whole.

What follows what is decided here, too: a late writer never undoes a newer selection, nor what a person decided.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, Protocol, Self

from pydantic import AwareDatetime, Field, model_validator

from contracts.canonical import parse_json
from contracts.gates import GATES, PRODUCED_GATES, SINKS_GATE, GateReceipt, Verdict, all_passed
from contracts.refs import Digest, Frozen
from contracts.sealing import Sealed
from contracts.segments import ParserIdentity, StoredFile
from contracts.selection import Decision
from contracts.sinks import Sink

FIRST_FORMAT = "hashgate/commit/v1"
"""Of the documents that knew neither people's decisions nor what a candidate was built on. They load as they are."""


class SegmentEntry(Frozen):
    """One segment of a partition version: where it lies and how much is in it."""

    view_key: Digest
    content: Digest
    files: tuple[StoredFile, ...]
    records: int = Field(ge=0)
    valid_rows: int = Field(ge=0)
    quarantined_rows: int = Field(ge=0)


class Export(Frozen):
    """The rows of a version once more, in another format: one file, in a folder with an index as a segment has it."""

    sink: Sink
    content: Digest
    file: StoredFile

    @property
    def files(self) -> tuple[StoredFile, ...]:
        """The file, as what it is: all of them."""
        return (self.file,)


class ContractStamp(Frozen):
    """Under which promise a version was made."""

    version: str
    digest: Digest
    rows_digest: Digest
    set_digest: Digest
    schema_fingerprint: Digest
    table_schema: tuple[tuple[str, str], ...] = ()
    sinks: tuple[Sink, ...] = Field(default=(), exclude_if=lambda sinks: not sinks)
    """In which formats beside Parquet."""


class LinkRef(Frozen):
    """A link of a chain by number and digest."""

    number: int = Field(ge=1)
    digest: Digest


class Candidate(Frozen):
    """A partition version as it stands before anybody may read it."""

    origin: Literal["drops", "asset"] = "drops"
    """`drops`: parsed from what arrived. `asset`: the table that an asset returned; its drops are other versions."""
    table: str
    partition: str
    view_key: Digest
    snapshot: Digest
    selection_number: int
    cutoff: int
    contract: ContractStamp
    parser: ParserIdentity
    output_target_key: Digest
    materialization_key: Digest
    segments: tuple[SegmentEntry, ...]
    overlay: SegmentEntry | None = None
    """Records that repeat an earlier key: excluded from the valid rows, counted as quarantined."""
    records: int
    valid_rows: int
    """After the overlay."""
    quarantined_rows: int
    """Including the overlay's."""
    run_id: str
    base: LinkRef | None = None
    """The version that was current when building began; None: there was none, or nobody knows."""
    revision: int = Field(default=0, ge=0)
    """How many contracts the partition has seen, this one included: a contract that returns counts anew. 0: unknown."""
    exports: tuple[Export, ...] = Field(default=(), exclude_if=lambda exports: not exports)
    """One for each of the contract's sinks; none while no gate has found them right."""

    @model_validator(mode="after")
    def _exports_what_is_promised(self) -> Self:
        if self.exports and tuple(export.sink for export in self.exports) != self.contract.sinks:
            msg = f"a version is exported as its contract says ({', '.join(self.contract.sinks) or 'not at all'})"
            raise ValueError(msg)
        return self

    @property
    def gates(self) -> tuple[str, ...]:
        """The gates that this candidate must pass, in order."""
        gates = GATES if self.origin == "drops" else PRODUCED_GATES
        return (*gates, SINKS_GATE) if self.contract.sinks else gates

    def export(self, sink: Sink) -> Export | None:
        """The version in a format beside Parquet; None when it has none."""
        return next((export for export in self.exports if export.sink is sink), None)

    @property
    def entries(self) -> tuple[SegmentEntry, ...]:
        """Everything it consists of: its segments, and the overlay."""
        return (*self.segments, *([self.overlay] if self.overlay else []))

    def built_on(self, head: Commit | None) -> Candidate:
        """The same candidate, saying that `head` was current when building it began."""
        if head is None:
            return self.model_copy(update={"base": None, "revision": 1})
        revision = head.revision + (self.contract.digest != head.candidate.contract.digest)
        return self.model_copy(update={"base": head.ref, "revision": revision})

    def is_same_content(self, other: Candidate) -> bool:
        """Whether both follow one recipe and came to the same bytes."""
        contents = [[entry.content for entry in candidate.entries] for candidate in (self, other)]
        return self.view_key == other.view_key and contents[0] == contents[1]


class Waiver(Decision):
    """Who let through what a gate had stopped, why and when."""

    waived_at: AwareDatetime


class Declined(Frozen):
    """What a person turned down by going back: none of it is published again by itself."""

    view_key: Digest
    """Of the version that was current."""
    cutoff: int
    """Of the newest selection at that time: what was captured later is new."""
    revision: int = Field(ge=0)
    rows_digest: Digest
    set_digest: Digest
    """Of the contract at that time: under another one, its drops are another matter."""


class Damage(Frozen):
    """A link that is not what was written, as a repair found it."""

    number: int = Field(ge=1)
    observed: Digest | None
    """Of the bytes that were found there; None: nothing was."""
    problem: str
    below: LinkRef | None
    """Where the chain goes on below it; None: nowhere."""


class Commit(Sealed):
    """One link of a partition's chain, with a version; or a held candidate, which is in no chain."""

    format: Literal["hashgate/commit/v1", "hashgate/commit/v2"] = "hashgate/commit/v2"
    number: int = Field(ge=1)
    parent: Digest | None
    kind: Literal["publish", "release", "rollback", "repair", "held"] = "publish"
    committed_at: AwareDatetime
    writer: str = ""
    """Whose attempt to create it this is: no two have the same, so equal bytes are one's own."""
    candidate: Candidate
    receipts: tuple[GateReceipt, ...]
    waiver: Waiver | None = None
    """Whenever the receipts did not all pass and readers see it all the same."""
    decision: Decision | None = None
    """Who went back, and why: of a rollback and of a repair."""
    goes_back_to: LinkRef | None = None
    """The version that a rollback or a repair makes current again; the candidate is that one's."""
    declined: Declined | None = None
    damages: tuple[Damage, ...] = ()
    """What a repair found, the newest first."""

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> Self:
        passed = all_passed(self.receipts, self.candidate.gates)
        if self.kind == "publish" and not passed:
            msg = "a commit publishes what every gate passed, and here one did not"
            raise ValueError(msg)
        if self.kind in {"release", "held"} and passed:
            msg = f"a commit of kind {self.kind} is about what a gate stopped, and here every one passed"
            raise ValueError(msg)
        right = any(r.gate == SINKS_GATE and r.verdict is Verdict.PASS for r in self.receipts)
        if right != bool(self.candidate.exports):
            msg = "a version has its exports exactly when the gate over them passed"
            raise ValueError(msg)
        needed = _NEEDED[self.kind] | ({"waiver"} if not passed and self.kind != "held" else set())
        there = {name for name in _DECIDED if getattr(self, name)}
        for name in sorted((needed - there) | (there - needed - _ALLOWED[self.kind])):
            msg = f"a commit of kind {self.kind} {'needs' if name in needed else 'has no'} {name}"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _fits_the_chain(self) -> Self:
        if (self.number == 1) != (self.parent is None) and self.kind != "held":
            msg = "the first commit has no parent, every other one has"
            raise ValueError(msg)
        if self.goes_back_to is not None and self.goes_back_to.number >= self.number:
            msg = f"number {self.number} goes back to {self.goes_back_to.number}, which is no earlier one"
            raise ValueError(msg)
        return self

    @property
    def ref(self) -> LinkRef:
        """This link, as others name it."""
        return LinkRef(number=self.number, digest=self.digest)

    @property
    def place(self) -> tuple[str, str, int]:
        """Table, partition and number: where it must lie."""
        return self.candidate.table, self.candidate.partition, self.number

    @property
    def waived(self) -> bool:
        """Whether a gate stopped this version, and somebody let it through."""
        return self.waiver is not None

    @property
    def is_held(self) -> bool:
        """Whether it is a candidate that nobody reads."""
        return self.kind == "held"

    @property
    def failed(self) -> tuple[GateReceipt, ...]:
        """The receipts of the gates that did not pass."""
        return tuple(receipt for receipt in self.receipts if receipt.verdict != "PASS")

    @property
    def is_undecided(self) -> bool:
        """Whether no gate found anything wrong, but one could not look: judged again, it may pass."""
        return bool(self.failed) and all(receipt.verdict == "UNKNOWN" for receipt in self.failed)

    @property
    def cutoff(self) -> int:
        """The capture sequence up to which this version has had its say: its own, or that of what was declined."""
        return self.candidate.cutoff if self.declined is None else max(self.declined.cutoff, self.candidate.cutoff)

    @property
    def revision(self) -> int:
        """The candidate's, or that of what was declined."""
        return (
            self.candidate.revision if self.declined is None else max(self.declined.revision, self.candidate.revision)
        )

    def _body(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude=dict(_SINCE_SECOND) if self.format == FIRST_FORMAT else None)


_DECIDED = ("waiver", "decision", "goes_back_to", "declined", "damages")
_NEEDED: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "publish": frozenset(),
        "held": frozenset(),
        "release": frozenset(),
        "rollback": frozenset({"decision", "goes_back_to", "declined"}),
        "repair": frozenset({"decision", "goes_back_to", "damages"}),
    }
)
_ALLOWED: Mapping[str, frozenset[str]] = MappingProxyType(
    dict.fromkeys(_NEEDED, frozenset[str]()) | {"repair": frozenset({"declined"})}
)
_SINCE_SECOND: Mapping[str, Any] = MappingProxyType(
    dict.fromkeys(("writer", *_DECIDED), True) | {"candidate": {"base": True, "revision": True, "exports": True}}
)


class EmptyLink(Sealed):
    """A link without a version: an occupied number, or a repair that found no version whole."""

    format: Literal["hashgate/empty-link/v1"] = "hashgate/empty-link/v1"
    number: int = Field(ge=1)
    parent: Digest | None
    kind: Literal["void", "repair"] = "void"
    """`void`: what was current stays so. `repair`: nothing is current any more."""
    committed_at: AwareDatetime
    writer: str
    table: str
    partition: str
    decision: Decision | None = None
    damages: tuple[Damage, ...] = ()

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> Self:
        decided = self.decision is not None and bool(self.damages)
        if self.kind == "repair" and not decided:
            msg = "a repair names what was found and who decided"
            raise ValueError(msg)
        if self.kind == "void" and (self.decision is not None or self.damages):
            msg = "a void link holds nothing"
            raise ValueError(msg)
        if self.kind == "void" and (self.number == 1) != (self.parent is None):
            msg = "the first link has no parent, every other one has"
            raise ValueError(msg)
        return self

    @property
    def ref(self) -> LinkRef:
        """This link, as others name it."""
        return LinkRef(number=self.number, digest=self.digest)

    @property
    def place(self) -> tuple[str, str, int]:
        """Table, partition and number: where it must lie."""
        return self.table, self.partition, self.number


Link = Commit | EmptyLink


def parse_link(data: bytes) -> Link:
    """Read a stored link of a chain; ValueError when it is none, or not what was written."""
    document = parse_json(data)
    if isinstance(document, dict) and document.get("format") == "hashgate/empty-link/v1":
        return EmptyLink.from_bytes(data)
    commit = Commit.from_bytes(data)
    if commit.is_held:
        msg = "it is a held candidate, which is in no chain"
        raise ValueError(msg)
    return commit


# ---- what may follow what --------------------------------------------------------------------------------------------


class Rules(Protocol):
    """What `declines` asks of a contract, or of the stamp that a commit keeps of it."""

    @property
    def rows_digest(self) -> Digest:
        """Of what judges one row."""

    @property
    def set_digest(self) -> Digest:
        """Of what judges a partition as a whole."""


def declines(head: Commit | None, cutoff: int, rules: Rules) -> str | None:
    """Why what was captured up to `cutoff` is not built by itself: a person turned it down. None when nobody did.

    A drop that was captured later, or another contract, is something new.
    """
    declined = None if head is None else head.declined
    if head is None or declined is None or cutoff > declined.cutoff:
        return None
    if (rules.rows_digest, rules.set_digest) != (declined.rows_digest, declined.set_digest):
        return None
    return f"{gone_back(head)}: waits for a new drop or another contract; --force overrides"


def gone_back(head: Commit) -> str:
    """Who went back to which version, in words."""
    by = head.decision.actor if head.decision else "somebody"
    back = "" if head.goes_back_to is None else f" to version {head.goes_back_to.number}"
    reason = f" ({head.decision.reason})" if head.decision else ""
    return f"rolled back{back} by {by}{reason}"


def let_through(commit: Commit) -> str:
    """Who let a waived version through although which gates had stopped it, in words."""
    table, partition, number = commit.place
    gates = ", ".join(f"{receipt.gate} {receipt.verdict}" for receipt in commit.failed)
    by = f"{commit.waiver.actor} ({commit.waiver.reason})" if commit.waiver else "nobody"
    return f"{table}[{partition}] version {number} was let through by {by} although its gates said: {gates}"


def refuses(head: Commit | None, candidate: Candidate, *, force: bool = False) -> str | None:
    """Why `candidate` must not follow `head`; None when it may.

    A late writer never undoes a newer selection, a newer contract, a release or a rollback. With `force`, what was
    declined comes back, if whoever built it had seen that it was.
    """
    if head is None:
        return None
    if candidate.cutoff < head.cutoff:
        return (
            f"version {head.number} was selected at sequence {head.cutoff}, "
            f"later than this candidate's {candidate.cutoff}"
        )
    if candidate.revision < head.revision:
        return f"version {head.number} was made under a newer contract ({head.candidate.contract.version})"
    saw_it = candidate.base is not None and candidate.base.digest == head.digest
    declined = _declined_before(head, candidate)
    if declined is not None and not (force and saw_it):
        return declined
    if saw_it or candidate.origin == "asset" or candidate.cutoff > head.cutoff:
        return None
    if head.kind == "release" and candidate.contract.digest == head.candidate.contract.digest:
        return f"version {head.number} was released by {head.waiver.actor if head.waiver else 'somebody'} meanwhile"
    if candidate.revision == head.revision and candidate.contract.digest != head.candidate.contract.digest:
        return f"version {head.number} was made under another contract meanwhile"
    return None


def superseded(head: Commit | None, held: Commit) -> str | None:
    """Why a held candidate is not what a person should release any more; None when it still is.

    Whoever releases a candidate compares it with what was current when it was built: anything newer speaks against it.
    """
    if head is None:
        return None
    if held.candidate.is_same_content(head.candidate):
        return f"version {head.number} is the same content"
    refused = refuses(head, held.candidate, force=True)
    if refused is not None:
        return refused
    if held.format == FIRST_FORMAT:
        return f"version {head.number} came after it" if head.committed_at > held.committed_at else None
    known = {head.digest, *([head.goes_back_to.digest] if head.kind == "repair" and head.goes_back_to else [])}
    base = held.candidate.base
    return None if base is not None and base.digest in known else f"version {head.number} came after it"


def _declined_before(head: Commit, candidate: Candidate) -> str | None:
    if candidate.origin == "drops":
        return declines(head, candidate.cutoff, candidate.contract)
    if head.declined is None or head.declined.view_key != candidate.view_key:
        return None
    return f"{gone_back(head)}: the same content comes back by `hashgate rollback` alone"
