"""The truth of engine runs: plan, record, status, facts and signals, as they lie in the store.

```
engine/runs/<run_id>/plan.json                 written once
                     record/<n>.json           events, a chain
                     status/<n>.json           a chain that goes forward
                     evidence/<digest>.json    what was found each time that it was another
                     attempts/<attempt_id>/    invocation, stdout, stderr
                     facts.json, ready.json    written once, in this order
                     terminal-<n>.json         the end that status n is
```
Each document is held against its JSON Schema before it is written. Reading verifies digests, places and chains. Who may
write is not decided here: `run_writer` does that.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, TypeVar

from jsonschema import Draft202012Validator
from pydantic import BaseModel

from contracts.authority.document_schemas import ENGINE_DOCUMENTS
from contracts.authority.errors import AuthorityError
from contracts.authority.evidence import Evidence
from contracts.authority.facts import ReadySignal, RunFacts, TerminalSignal
from contracts.authority.plans import RunPlan
from contracts.authority.record import EventKind, RunEvent
from contracts.authority.status import RunState, RunStatus
from contracts.canonical import canonical_bytes, parse_json
from contracts.document_schemas import schema_of_model
from contracts.errors import StoreError, UsageError
from contracts.refs import Digest, digest_bytes, hex_of
from contracts.sealing import Sealed
from resources.document_chain import DocumentChain
from resources.object_store import ObjectStore

RUNS = "engine/runs"
_RESTORE = "Restore it from a backup of the store; nothing else of the run can be trusted before."

SealedT = TypeVar("SealedT", bound=Sealed)


class ImmutableError(AuthorityError):
    """A document that is written once is there already, and says something else."""

    def __init__(self, *, key: str, there: str, wanted: str) -> None:
        hint = "It is never changed: a correction is another run that supersedes this one."
        super().__init__(
            f"{key} is {there}, and was to be {wanted}. {hint}", code="IMMUTABLE", key=key, there=there, wanted=wanted
        )


class RunNotFoundError(UsageError):
    """There is no run of that id."""

    def __init__(self, *, run_id: str) -> None:
        super().__init__(f"there is no run {run_id!r}. `hashgate engine runs` lists them.", run_id=run_id)


class RunDocuments:
    """The documents of one run. Nothing is read before it is asked for."""

    def __init__(self, store: ObjectStore, run_id: str) -> None:
        self.store, self.run_id = store, run_id
        self.prefix = f"{RUNS}/{run_id}"
        about = {"run_id": run_id}
        self.record: DocumentChain[RunEvent] = DocumentChain(
            store, f"{self.prefix}/record", RunEvent, about=about, way_back=_RESTORE
        )
        self.statuses: DocumentChain[RunStatus] = DocumentChain(
            store, f"{self.prefix}/status", RunStatus, about=about, way_back=_RESTORE
        )

    def key(self, name: str) -> str:
        """Where a document of the run lies."""
        return f"{self.prefix}/{name}"

    def plan(self) -> RunPlan | None:
        """What the run is to bring about; None before it is planned."""
        return self._single("plan.json", RunPlan)

    def facts(self) -> RunFacts | None:
        """What it brought about, whether it may still be read or not."""
        return self._single("facts.json", RunFacts)

    def ready(self) -> ReadySignal | None:
        """The signal that ends the commit of a READY run."""
        return self._single("ready.json", ReadySignal)

    def terminal(self, status_number: int) -> TerminalSignal | None:
        """The signal of a bad end."""
        return self._single(terminal_name(status_number), TerminalSignal)

    def status(self) -> RunStatus | None:
        """How far the run is; None when it has no status."""
        return self.statuses.last()

    def events(self) -> Iterator[RunEvent]:
        """Everything that happened, in order."""
        return self.record.after(0)

    def evidence(self, digest: Digest) -> Evidence | None:
        """What was found at some time; None when it is not kept.

        Raises:
            StoreError: It is not what was written.
        """
        key = self.key(evidence_name(digest))
        try:
            data = self.store.get(key)
        except KeyError:
            return None
        if digest_bytes(data) != digest:
            msg = f"{key}: expected {digest}, observed {digest_bytes(data)}. {_RESTORE}"
            raise StoreError(msg, key=key, expected=digest)
        return Evidence.model_validate(parse_json(data))

    def last_evidence(self) -> Evidence | None:
        """What was found the last time that it was other than before."""
        digests = [event.details["digest"] for event in self.events() if event.kind is EventKind.EVIDENCE_ASSEMBLED]
        return self.evidence(Digest(digests[-1])) if digests else None

    def readable_facts(self) -> RunFacts | None:
        """The facts that anybody may act on: those of a run that is READY now, whose commit came to its end."""
        status = self.status()
        if status is None or status.state is not RunState.READY or self.ready() is None:
            return None
        facts = self.facts()
        return facts if facts is not None and facts.digest == status.facts_digest else None

    def _single(self, name: str, kind: type[SealedT]) -> SealedT | None:
        key = self.key(name)
        try:
            data = self.store.get(key)
        except KeyError:
            return None
        try:
            found = kind.from_bytes(data)
        except ValueError as error:
            msg = f"{key}: {str(error).partition(chr(10))[0]}. {_RESTORE}"
            raise StoreError(msg, key=key) from error
        if getattr(found, "run_id", self.run_id) != self.run_id:
            msg = f"{key}: it belongs to run {getattr(found, 'run_id', '')}. {_RESTORE}"
            raise StoreError(msg, key=key)
        return found


def put_once(store: ObjectStore, key: str, document: Sealed) -> bool:
    """Write a document that is never changed; False when the very same was there.

    Raises:
        ImmutableError: Another one is there.
    """
    data = checked_bytes(document)
    if store.put_if_absent(key, data):
        return True
    there = store.get(key)
    if there != data:
        raise ImmutableError(key=key, there=digest_bytes(there), wanted=digest_bytes(data))
    return False


def put_evidence(documents: RunDocuments, evidence: Evidence) -> Digest:
    """Keep what was found, under its digest."""
    data = canonical_bytes(evidence.model_dump(mode="json"))
    digest = digest_bytes(data)
    documents.store.put_if_absent(documents.key(evidence_name(digest)), data)
    return digest


def checked_bytes(document: Sealed) -> bytes:
    """A document's bytes, held against its schema; ValueError when they do not keep it."""
    data = document.to_bytes()
    check_schema(document.format.split("/")[1], parse_json(data))
    return data


def check_schema(name: str, document: Any) -> None:
    """Hold a document that is about to be written against its schema; ValueError when it does not keep it."""
    wrong = next(iter(_validator(ENGINE_DOCUMENTS[name], name).iter_errors(document)), None)
    if wrong is not None:
        place = ".".join(map(str, wrong.absolute_path))
        msg = f"hashgate/{name} does not keep its schema at {place or 'its root'}: {wrong.message}"
        raise ValueError(msg)


def known_runs(store: ObjectStore) -> list[str]:
    """The ids of all runs that the store has anything of, in order."""
    return store.keys(RUNS)


def terminal_name(status_number: int) -> str:
    """The signal of the bad end that a status is."""
    return f"terminal-{status_number:08d}.json"


def evidence_name(digest: Digest) -> str:
    """What was found, by its digest."""
    return f"evidence/{hex_of(digest)}.json"


@cache
def _validator(model: type[BaseModel], name: str) -> Draft202012Validator:
    return Draft202012Validator(schema_of_model(name, model))
