"""A run from its request to READY, or to the reason why not: every way there is."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import pytest
from jsonschema import Draft202012Validator

from contracts.authority.errors import CollisionError, DeniedError
from contracts.authority.evidence import EvidenceState
from contracts.authority.identities import attempt_id_of
from contracts.authority.reasons import ReasonCode
from contracts.authority.record import EventKind
from contracts.authority.reemission import ReemitKind
from contracts.authority.requests import RunRequest
from contracts.authority.status import RunState
from contracts.canonical import parse_json
from contracts.errors import StoreError, UsageError
from platform_assets.engine.reemitting import reemit, reemit_request
from platform_assets.engine.running import PolicyChangedError, advance
from platform_assets.engine.submitting import submit
from resources.authority.admission import Admissions
from resources.authority.kinesis_bus import kinesis_client
from resources.authority.run_documents import RunDocuments, RunNotFoundError
from tests.engine_home import ENGINE, EngineHome, marked, request, write_receipt, write_results
from tests.servers.s3 import BUCKET, S3Server

READY_IS_TOLD_BY = [
    EventKind.RUN_ADMITTED,
    EventKind.PLAN_COMMITTED,
    EventKind.ENGINE_ATTEMPT_LAUNCHED,
    EventKind.ENGINE_ATTEMPT_FINISHED,
    EventKind.EVIDENCE_ASSEMBLED,
    EventKind.RUN_READY,
    EventKind.PUBLISHED,
]


def test_a_run_whose_gates_pass_becomes_ready_with_facts_and_a_signal(engine_home: EngineHome) -> None:
    wanted = request()

    status = engine_home.run(wanted)

    documents = engine_home.documents(wanted.run_id)
    plan, facts, ready = documents.plan(), documents.facts(), documents.ready()
    assert status.state is RunState.READY
    assert engine_home.states(wanted.run_id) == [RunState.PLANNED, RunState.EXECUTING, RunState.READY]
    assert engine_home.kinds(wanted.run_id) == READY_IS_TOLD_BY
    assert plan is not None
    assert facts is not None
    assert ready is not None
    assert (plan.outputs, plan.optional, plan.gates) == (("notes", "numbers"), ("notes",), ("numbers_passed",))
    assert [locator.output_id for locator in facts.locators] == ["numbers"]
    assert facts.missing_optional == ("notes",)
    assert facts.attempt_id == attempt_id_of(wanted.run_id, 1, "ann")
    assert (facts.plan_digest, facts.policy_revision) == (plan.digest, plan.policy_revision)
    assert (ready.facts_digest, ready.facts_key) == (facts.digest, documents.key("facts.json"))
    assert documents.readable_facts() == facts
    expected = f"ready|{wanted.run_id}|{facts.scenario_run_id}|{facts.bundle_digest}"
    assert ready.message_id == hashlib.sha256(expected.encode()).hexdigest()[:32]


def test_the_bus_carries_the_signal_that_the_store_has(engine_home: EngineHome) -> None:
    engine_home.run(request())

    (envelope,) = engine_home.envelopes()

    assert (envelope.kind.value, envelope.run_id, envelope.engine) == ("READY", request().run_id, ENGINE)
    assert envelope.fact == engine_home.documents(request().run_id).ready()
    assert envelope.message_id == envelope.fact.message_id


def test_bringing_a_ready_run_forward_again_writes_nothing(engine_home: EngineHome) -> None:
    engine_home.run(request())
    before = list(engine_home.workspace.store.walk("engine"))

    again = advance(engine_home.workspace, request().run_id)

    assert again.state is RunState.READY
    assert list(engine_home.workspace.store.walk("engine")) == before
    assert len(engine_home.envelopes()) == 1


def test_the_same_request_of_somebody_else_is_the_same_run(engine_home: EngineHome) -> None:
    engine_home.run(request())

    again = submit(engine_home.workspace, request(actor="bob"))

    assert (again.run_id, again.state) == (request().run_id, RunState.READY)
    assert len(engine_home.events(request().run_id, EventKind.RUN_ADMITTED)) == 1


PIN: dict[str, Any] = {"manifest_fingerprint": "m1", "parameter_hash": "p1", "seed": 7, "scenario_id": "behaves"}
WORLD = {name: value for name, value in PIN.items() if name != "scenario_id"}
OTHER_INTENTS: dict[str, dict[str, Any]] = {
    "another seed": {"pins": PIN | {"seed": 8}},
    "another scenario": {"pins": PIN | {"scenario_id": "exits"}},
    "a set in place of a scenario": {"pins": WORLD | {"scenario_set": ["behaves"]}},
    "fewer outputs": {"outputs": ["numbers"]},
    "another strategy": {"strategy": "invoke"},
    "a window": {"window": {"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"}},
    "another root": {"engine_run_root": "/somewhere"},
}


@pytest.mark.parametrize("changed", OTHER_INTENTS.values(), ids=OTHER_INTENTS)
def test_the_same_key_with_another_intent_collides_and_changes_nothing(
    engine_home: EngineHome, changed: dict[str, Any]
) -> None:
    engine_home.run(request())
    before = list(engine_home.workspace.store.walk("engine"))

    with pytest.raises(CollisionError, match="RUN_EQUIVALENCE_COLLISION: key 'k1' is bound to run") as refused:
        submit(engine_home.workspace, request(**changed))

    other = request(**changed).intent
    assert (refused.value.evidence["bound_intent"], refused.value.evidence["intent"]) == (request().intent, other)
    assert list(engine_home.workspace.store.walk("engine")) == before


def test_a_lost_database_does_not_free_a_key_that_a_record_knows(
    engine_home: EngineHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine_home.run(request())
    monkeypatch.setenv("HASHGATE_DATABASE", f"sqlite:///{engine_home.home / 'another.db'}")

    with pytest.raises(CollisionError):
        submit(engine_home.workspace, request(pins=PIN | {"seed": 8}))

    assert submit(engine_home.workspace, request()).state is RunState.READY


def test_a_run_has_one_admission_also_where_two_databases_let_in_one_each(
    engine_home: EngineHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that was lost had bound the key, and its owner tells the record only now."""
    monkeypatch.setattr(Admissions, "admit", lambda _, wanted: wanted.run_id)
    submit(engine_home.workspace, request())

    with pytest.raises(CollisionError):
        submit(engine_home.workspace, request(how="exits"))

    assert engine_home.kinds(request().run_id) == [EventKind.RUN_ADMITTED]


FAILURES = {
    "exits": ReasonCode.ENGINE_EXIT_NONZERO,
    "forgets_receipt": ReasonCode.ENGINE_RECEIPT_MISSING,
    "garbles_receipt": ReasonCode.ENGINE_RECEIPT_INVALID,
    "lacks_pin": ReasonCode.ENGINE_RECEIPT_INVALID,
    "misnames_run": ReasonCode.ENGINE_RECEIPT_MISMATCH,
    "misnames_seed": ReasonCode.ENGINE_RECEIPT_MISMATCH,
}


@pytest.mark.parametrize(("how", "code"), FAILURES.items(), ids=FAILURES)
def test_an_engine_that_fails_fails_its_run_with_the_reason(
    engine_home: EngineHome, how: str, code: ReasonCode
) -> None:
    status = engine_home.run(request(how=how))

    run_id = request().run_id
    (finished,) = engine_home.events(run_id, EventKind.ENGINE_ATTEMPT_FINISHED)
    assert status.state is RunState.FAILED
    assert [reason.code for reason in status.reasons] == [code]
    assert finished.details["outcome"] == code.value
    assert engine_home.documents(run_id).last_evidence() is None  # looked at only after a valid receipt
    assert engine_home.documents(run_id).facts() is None
    assert [envelope.kind.value for envelope in engine_home.envelopes()] == ["TERMINAL"]


def test_a_mismatch_names_the_pin_and_both_values(engine_home: EngineHome) -> None:
    status = engine_home.run(request(how="misnames_seed"))

    assert (status.reasons[0].expected, status.reasons[0].observed) == ("seed 7", "seed 8")
    assert status.reasons[0].sentence.startswith(
        "ENGINE_RECEIPT_MISMATCH: run_receipt.json, at run_receipt.json: expected"
    )


POLICIES: dict[str, tuple[dict[str, Any], ReasonCode]] = {
    "no command": ({"command": None}, ReasonCode.ENGINE_COMMAND_MISSING),
    "no such program": ({"command": '["/nowhere/engine"]'}, ReasonCode.ENGINE_COMMAND_MISSING),
    "an unknown placeholder": ({"command": '["{python}", "{moon}"]'}, ReasonCode.ENGINE_COMMAND_TEMPLATE_UNRESOLVED),
    "a window that nobody named": (
        {"command": '["{python}", "{window_start}"]'},
        ReasonCode.ENGINE_COMMAND_TEMPLATE_UNRESOLVED,
    ),
    "an attribute of a pin": ({"command": '["{seed.real}"]'}, ReasonCode.ENGINE_COMMAND_TEMPLATE_UNRESOLVED),
}


@pytest.mark.parametrize(("changed", "code"), POLICIES.values(), ids=POLICIES)
def test_a_command_that_cannot_be_run_fails_the_run_and_its_attempt(
    engine_home: EngineHome, changed: dict[str, Any], code: ReasonCode
) -> None:
    engine_home.write_policy(**changed)

    status = engine_home.run(request())

    (finished,) = engine_home.events(request().run_id, EventKind.ENGINE_ATTEMPT_FINISHED)
    assert (status.state, status.reasons[0].code) == (RunState.FAILED, code)
    assert finished.details["outcome"] == code.value


def test_too_many_scenarios_make_no_invocation(engine_home: EngineHome) -> None:
    status = engine_home.run(request(pins=WORLD | {"scenario_set": [f"{n:0120}" for n in range(1000)]}))

    assert (status.state, status.reasons[0].code) == (RunState.FAILED, ReasonCode.ENGINE_INVOCATION_INVALID)
    assert len(engine_home.events(request().run_id, EventKind.ENGINE_ATTEMPT_FINISHED)) == 1


def test_an_engine_whose_time_is_over_is_ended_with_all_that_it_started(engine_home: EngineHome) -> None:
    engine_home.write_policy(timeout_s=0.5)

    status = engine_home.run(request(how="sleeps"))

    (launched,) = engine_home.events(request().run_id, EventKind.ENGINE_ATTEMPT_LAUNCHED)
    assert status.reasons[0].code is ReasonCode.ENGINE_TIMEOUT
    assert marked(launched.details["mark"]) == []


def test_what_the_engine_printed_is_kept_by_reference(engine_home: EngineHome) -> None:
    engine_home.run(request(how="exits"))

    (finished,) = engine_home.events(request().run_id, EventKind.ENGINE_ATTEMPT_FINISHED)
    store = engine_home.workspace.store
    assert store.get(finished.details["stdout"]["key"]) == b"I am exits\n"
    assert store.get(finished.details["stderr"]["key"]) == b"trouble is exits\n"
    assert finished.details["exit_code"] == 3


def test_the_engine_sees_a_clean_environment_and_its_invocation(
    engine_home: EngineHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setenv("LET_THROUGH", "yes")
    command = '["{python}", "-I", "-S", "{engine_folder}/toy.py", "{invocation_json}", "{seed}", "$HOME; `id`"]'
    engine_home.write_policy(command=command, environment="[LET_THROUGH]")

    engine_home.run(request(how="tells_environment"))

    plan = engine_home.documents(request().run_id).plan()
    assert plan is not None
    seen = json.loads((Path(plan.root.root) / "environment.json").read_text())
    assert seen.keys() - {"LC_CTYPE"} == {
        "PATH", "LANG", "LC_ALL", "TZ", "HOME", "TMPDIR", "LET_THROUGH", "HASHGATE_ENGINE_INVOCATION",
        "HASHGATE_ATTEMPT", "cwd", "argv",
    }  # fmt: skip
    assert seen["HOME"] == seen["cwd"] != os.environ["HOME"]
    assert seen["argv"][1] == seen["HASHGATE_ENGINE_INVOCATION"]
    assert seen["argv"][2:] == ["7", "$HOME; `id`"]  # no shell ever reads it
    (launched,) = engine_home.events(request().run_id, EventKind.ENGINE_ATTEMPT_LAUNCHED)
    assert json.loads(seen["argv"][1])["attempt_id"] == launched.details["attempt_id"]
    assert seen["HASHGATE_ATTEMPT"] == launched.details["mark"]


def test_secrets_that_the_engine_was_given_are_not_kept(
    engine_home: EngineHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {
        "SIM_TOKEN": "hush-hush",
        "SIM_API_KEY": "hush",
        "DATABASE_DSN": "postgresql://a:quiet@b/c",
        "MONKEY": "loud",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    program = "import os; print(*sorted(v for k, v in os.environ.items() if k in '" + " ".join(given) + "'.split()))"
    command = json.dumps(["{python}", "-I", "-S", "-c", program.replace("{", "{{").replace("}", "}}")])
    engine_home.write_policy(command=command, environment=json.dumps(list(given)))

    engine_home.run(request())

    (finished,) = engine_home.events(request().run_id, EventKind.ENGINE_ATTEMPT_FINISHED)
    kept = engine_home.workspace.store.get(finished.details["stdout"]["key"])
    assert kept == b"[REDACTED] [REDACTED] loud [REDACTED]\n"
    for key in engine_home.workspace.store.walk("engine"):
        assert b"hush" not in engine_home.workspace.store.get(key)


@pytest.mark.parametrize("how", ["behaves", "lies", "exits", "forgets_flag"])
def test_every_document_of_a_run_keeps_its_published_schema(engine_home: EngineHome, how: str) -> None:
    engine_home.run(request(how=how))
    if how == "behaves":
        reemit(engine_home.workspace, reemit_request(request().run_id, ReemitKind.BOTH, "ann"))
    store = engine_home.workspace.store
    schemas = Path(__file__).parents[3] / "contracts" / "schemas"
    seen = set()
    for key in store.walk("engine"):
        if key.endswith(".json") and "/evidence/" not in key:
            document = parse_json(store.get(key))
            _, name, version = document["format"].split("/")
            schema = parse_json((schemas / f"{name}.{version}.json").read_bytes())
            assert list(Draft202012Validator(schema).iter_errors(document)) == [], key
            seen.add(name)
    assert {"run-plan", "run-event", "run-status"} <= seen
    assert ("run-facts" in seen) == ("run-ready" in seen) == (how == "behaves")


def test_a_flag_that_differs_puts_the_run_into_quarantine(engine_home: EngineHome) -> None:
    status = engine_home.run(request(how="lies"))

    evidence = engine_home.documents(request().run_id).last_evidence()
    assert status.state is RunState.QUARANTINED
    assert status.reasons[0].code is ReasonCode.EVIDENCE_CONFLICT
    assert status.reasons[0].expected == "0" * 64
    assert evidence is not None
    assert evidence.state is EvidenceState.CONFLICT
    assert not evidence.gate_receipts[0].passed
    assert engine_home.documents(request().run_id).readable_facts() is None


def test_missing_evidence_is_waited_for_and_then_used(engine_home: EngineHome) -> None:
    wanted = request(how="forgets_flag")
    first = engine_home.run(wanted)
    plan = engine_home.documents(wanted.run_id).plan()
    assert plan is not None
    bundle = Path(plan.root.root) / "m1" / "seed=7" / "numbers"
    said = hashlib.sha256(b"".join(part.read_bytes() for part in sorted(bundle.glob("part-*")))).hexdigest()
    (bundle / "_passed.flag").write_text(f"sha256_hex = {said}\n")

    second = advance(engine_home.workspace, wanted.run_id)

    assert first.state is RunState.WAITING
    assert first.reasons[0].code is ReasonCode.EVIDENCE_MISSING
    assert second.state is RunState.READY
    assert len(engine_home.events(wanted.run_id, EventKind.ENGINE_ATTEMPT_LAUNCHED)) == 1


@pytest.mark.parametrize("how", ["forgets_flag", "writes_nothing"])
def test_evidence_that_does_not_come_fails_the_run_at_its_deadline(engine_home: EngineHome, how: str) -> None:
    engine_home.write_policy(evidence_wait_seconds=0)
    first = engine_home.run(request(how=how))

    second = advance(engine_home.workspace, request().run_id)

    assert (first.state, second.state) == (RunState.WAITING, RunState.FAILED)
    assert second.reasons[0].code is ReasonCode.EVIDENCE_MISSING_DEADLINE


def test_looking_again_at_the_same_lack_adds_no_event(engine_home: EngineHome) -> None:
    engine_home.run(request(how="forgets_flag"))
    before = engine_home.kinds(request().run_id)

    advance(engine_home.workspace, request().run_id)

    assert engine_home.kinds(request().run_id) == before


UNKNOWN: dict[str, tuple[dict[str, Any], ReasonCode]] = {
    "an output": ({"outputs": ["moon"]}, ReasonCode.UNKNOWN_OUTPUT_ID),
    "a strategy that policy forbids": ({"strategy": "reuse", "engine_run_root": "/x"}, ReasonCode.REUSE_NOT_ALLOWED),
    "reuse of nothing": ({"strategy": "reuse"}, ReasonCode.ENGINE_ROOT_MISSING),
}


@pytest.mark.parametrize(("changed", "code"), UNKNOWN.values(), ids=UNKNOWN)
def test_a_request_that_cannot_be_planned_fails_with_its_code(
    engine_home: EngineHome, changed: dict[str, Any], code: ReasonCode
) -> None:
    if code is ReasonCode.REUSE_NOT_ALLOWED:
        engine_home.write_policy(reuse="false")

    status = engine_home.run(request(**changed))

    assert (status.state, status.reasons[0].code, status.plan_digest) == (RunState.FAILED, code, None)
    assert engine_home.documents(request().run_id).plan() is None


def test_a_gate_that_leads_nowhere_fails_the_run(engine_home: EngineHome) -> None:
    catalogue = engine_home.folder / "catalogue.yaml"
    catalogue.write_text(catalogue.read_text().replace("[numbers_passed]", "[moon]"))

    status = engine_home.run(request())

    assert (status.state, status.reasons[0].code) == (RunState.FAILED, ReasonCode.UNKNOWN_GATE_ID)


def test_an_engine_that_nobody_described_is_an_error_and_no_run(engine_home: EngineHome) -> None:
    with pytest.raises(UsageError, match="moon"):
        submit(engine_home.workspace, request(engine="moon"))
    assert engine_home.workspace.store.keys("engine") == []


def test_a_run_that_was_never_submitted_is_not_there(engine_home: EngineHome) -> None:
    with pytest.raises(RunNotFoundError, match="hashgate engine runs"):
        advance(engine_home.workspace, "0" * 32)


class TestReuse:
    """Results that are there already."""

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        return tmp_path / "results"

    @staticmethod
    def reusing(root: Path, strategy: str = "reuse", **changed: Any) -> RunRequest:
        return request(strategy=strategy, engine_run_root=str(root), **changed)

    @pytest.mark.parametrize("strategy", ["reuse", "auto"])
    def test_what_is_complete_is_used_and_the_engine_left_alone(
        self, engine_home: EngineHome, root: Path, strategy: str
    ) -> None:
        write_results(root)
        write_receipt(root)

        status = engine_home.run(self.reusing(root, strategy))

        facts = engine_home.documents(request().run_id).readable_facts()
        assert status.state is RunState.READY
        assert facts is not None
        assert (facts.attempt_id, facts.pins.run_id) == (None, "theirs")
        assert engine_home.events(request().run_id, EventKind.ENGINE_ATTEMPT_LAUNCHED) == []
        assert engine_home.events(request().run_id, EventKind.RUN_REUSED)[0].details["run_id"] == "theirs"

    def test_nothing_is_written_into_what_is_reused(self, engine_home: EngineHome, root: Path) -> None:
        write_results(root)
        before = {path: path.lstat().st_mtime_ns for path in (root, *root.rglob("*"))}

        engine_home.run(self.reusing(root))

        assert {path: path.lstat().st_mtime_ns for path in (root, *root.rglob("*"))} == before

    def test_results_in_a_bucket_are_reused_where_they_are(
        self, engine_home: EngineHome, root: Path, moto: S3Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in moto.environment().items():
            monkeypatch.setenv(name, value)
        write_results(root)
        write_receipt(root)
        prefix = f"results/{uuid4().hex}"
        for path in (path for path in root.rglob("*") if path.is_file()):
            key = f"{prefix}/{path.relative_to(root)}"
            moto.client().put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes())

        status = engine_home.run(request(strategy="reuse", engine_run_root=f"s3://{BUCKET}/{prefix}"))

        facts = engine_home.documents(request().run_id).readable_facts()
        assert status.state is RunState.READY
        assert facts is not None
        assert facts.oracle_pack_ref.engine_run_root == f"s3://{BUCKET}/{prefix}"
        assert facts.pins.run_id == "theirs"

    def test_results_without_a_receipt_may_be_reused(self, engine_home: EngineHome, root: Path) -> None:
        write_results(root)

        assert engine_home.run(self.reusing(root)).state is RunState.READY

    def test_auto_invokes_where_nothing_is_complete(self, engine_home: EngineHome, root: Path) -> None:
        status = engine_home.run(self.reusing(root, "auto"))

        assert status.state is RunState.READY
        assert len(engine_home.events(request().run_id, EventKind.ENGINE_ATTEMPT_FINISHED)) == 1

    def test_auto_invokes_where_policy_forbids_reuse(self, engine_home: EngineHome, root: Path) -> None:
        engine_home.write_policy(reuse="false")
        write_results(root)

        engine_home.run(self.reusing(root, "auto"))

        assert len(engine_home.events(request().run_id, EventKind.ENGINE_ATTEMPT_FINISHED)) == 1

    def test_invoke_invokes_whatever_is_there(self, engine_home: EngineHome, root: Path) -> None:
        write_results(root)

        engine_home.run(self.reusing(root, "invoke"))

        assert len(engine_home.events(request().run_id, EventKind.ENGINE_ATTEMPT_FINISHED)) == 1

    def test_what_is_not_there_yet_is_waited_for(self, engine_home: EngineHome, root: Path) -> None:
        first = engine_home.run(self.reusing(root))
        write_results(root)

        second = advance(engine_home.workspace, request().run_id)

        assert (first.state, second.state) == (RunState.WAITING, RunState.READY)

    @pytest.mark.parametrize("strategy", ["reuse", "auto"])
    def test_what_contradicts_itself_is_not_overwritten(
        self, engine_home: EngineHome, root: Path, strategy: str
    ) -> None:
        write_results(root, flag="0" * 64)

        status = engine_home.run(self.reusing(root, strategy))

        assert (status.state, status.reasons[0].code) == (RunState.QUARANTINED, ReasonCode.EVIDENCE_CONFLICT)
        assert engine_home.events(request().run_id, EventKind.ENGINE_ATTEMPT_LAUNCHED) == []

    def test_results_of_other_pins_are_not_reused(self, engine_home: EngineHome, root: Path) -> None:
        write_results(root)
        write_receipt(root, parameter_hash="p2")

        status = engine_home.run(self.reusing(root))

        assert (status.state, status.reasons[0].code) == (RunState.FAILED, ReasonCode.ENGINE_RECEIPT_MISMATCH)
        assert status.reasons[0].observed == "parameter_hash p2"

    def test_the_policys_root_stands_above_the_requests_and_says_so(
        self, engine_home: EngineHome, root: Path, tmp_path: Path
    ) -> None:
        write_results(root / "7")
        engine_home.write_policy(engine_root=f'"{root}/{{seed}}"')

        status = engine_home.run(self.reusing(tmp_path / "elsewhere"))

        plan = engine_home.documents(request().run_id).plan()
        assert status.state is RunState.READY
        assert plan is not None
        assert (plan.root.root, plan.root.said_by) == (str(root / "7"), "policy")
        assert plan.root.overridden == str(tmp_path / "elsewhere")
        assert len(engine_home.events(request().run_id, EventKind.ENGINE_ROOT_OVERRIDDEN)) == 1

    PACKS: ClassVar[dict[str, tuple[str, ReasonCode]]] = {
        "no JSON": ("{", ReasonCode.ORACLE_PACK_INVALID),
        "no manifest": ("[]", ReasonCode.ORACLE_PACK_INVALID),
        "other pins": ('{"oracle_pack_id": "p", "pins": {"seed": 8}}', ReasonCode.ORACLE_PACK_MISMATCH),
    }

    @pytest.mark.parametrize(("text", "code"), PACKS.values(), ids=PACKS)
    @pytest.mark.parametrize("strategy", ["reuse", "auto"])
    def test_a_pack_that_is_another_ends_the_run(
        self, engine_home: EngineHome, root: Path, strategy: str, text: str, code: ReasonCode
    ) -> None:
        write_results(root)
        (root / "_oracle_pack_manifest.json").write_text(text)

        status = engine_home.run(self.reusing(root, strategy))

        assert (status.state, status.reasons[0].code) == (RunState.FAILED, code)
        assert engine_home.envelopes()[0].fact.reason_codes[0] == code.value

    def test_bytes_that_differ_from_what_a_run_bound_are_drift(self, engine_home: EngineHome, root: Path) -> None:
        write_results(root / "one")
        write_results(root / "two", parts=2)
        engine_home.run(self.reusing(root / "one"))

        status = engine_home.run(self.reusing(root / "two", key="k2"))

        assert (status.state, status.reasons[0].code) == (RunState.FAILED, ReasonCode.INSTANCE_RECEIPT_DRIFT)


class TestAllowLists:
    """Who may submit."""

    def test_a_denial_is_on_record_and_binds_nothing(self, engine_home: EngineHome) -> None:
        engine_home.write_policy(submit_allow="[ann]")

        with pytest.raises(DeniedError, match="AUTH_DENIED: eve may not submit") as denied:
            submit(engine_home.workspace, request(actor="eve"))

        run_id = request().run_id
        (event,) = engine_home.documents(run_id).events()
        assert denied.value.evidence["code"] == "AUTH_DENIED"
        assert (event.kind, event.actor) == (EventKind.AUTH_DENIED, "eve")
        assert engine_home.states(run_id) == []
        assert engine_home.run(request(how="exits", actor="ann")).run_id == run_id  # another intent: the key was free

    def test_the_same_denial_is_told_once(self, engine_home: EngineHome) -> None:
        engine_home.write_policy(submit_allow="[]")
        for _ in range(3):
            with pytest.raises(DeniedError):
                submit(engine_home.workspace, request())

        assert engine_home.kinds(request().run_id) == [EventKind.AUTH_DENIED]

    def test_a_run_that_nobody_was_let_in_for_goes_nowhere(self, engine_home: EngineHome) -> None:
        engine_home.write_policy(submit_allow="[]")
        with pytest.raises(DeniedError):
            submit(engine_home.workspace, request())

        with pytest.raises(RunNotFoundError):
            advance(engine_home.workspace, request().run_id)


class TestPinnedPolicy:
    """A run goes on under the policy that it was planned under."""

    def test_a_run_does_not_go_on_under_another_policy(self, engine_home: EngineHome) -> None:
        engine_home.run(request(how="forgets_flag"))
        before = engine_home.kinds(request().run_id)
        engine_home.write_policy(timeout_s=21)

        with pytest.raises(PolicyChangedError, match="POLICY_CHANGED: run .* is pinned to revision blake3:"):
            advance(engine_home.workspace, request().run_id)

        assert engine_home.kinds(request().run_id) == before

    def test_an_end_is_told_under_any_policy(self, engine_home: EngineHome, monkeypatch: pytest.MonkeyPatch) -> None:
        workspace = engine_home.workspace
        submit(workspace, request())
        with monkeypatch.context() as broken:
            broken.setattr(type(workspace.store), "put_if_absent", _failing_at(workspace.store, "ready.json"))
            with pytest.raises(StoreError):
                advance(workspace, request().run_id)
        engine_home.write_policy(timeout_s=21)

        assert advance(engine_home.workspace, request().run_id).state is RunState.READY
        assert engine_home.documents(request().run_id).readable_facts() is not None


def _failing_at(store: Any, name: str) -> Any:
    created = type(store).put_if_absent

    def put_if_absent(self: Any, key: str, data: bytes) -> bool:
        if key.endswith(name):
            msg = "the store is away"
            raise StoreError(msg)
        return bool(created(self, key, data))

    return put_if_absent


def test_kinesis_carries_the_same(engine_home: EngineHome, moto: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in moto.environment().items():
        monkeypatch.setenv(name.replace("_S3", ""), value)
    stream = f"bus-{uuid4().hex}"
    client = kinesis_client()
    client.create_stream(StreamName=stream, ShardCount=1)
    client.get_waiter("stream_exists").wait(StreamName=stream, WaiterConfig={"Delay": 1, "MaxAttempts": 20})
    monkeypatch.setenv("HASHGATE_BUS", f"kinesis://{stream}")

    engine_home.run(request())
    reemit(engine_home.workspace, reemit_request(request().run_id, ReemitKind.READY_ONLY, "ann"))

    first, second = engine_home.envelopes()
    assert (first.kind, second.kind) == ("READY", "READY_REEMIT")
    assert first.fact == second.fact == engine_home.documents(request().run_id).ready()
    assert engine_home.events(request().run_id, EventKind.PUBLISHED)[0].details["place"].startswith("kinesis://bus-")


class TestBusFailures:
    """What the bus does changes nothing of a run."""

    def test_a_bus_that_is_away_is_on_record_and_stops_nothing(self, engine_home: EngineHome) -> None:
        (engine_home.home / "bus").write_text("no folder")

        status = engine_home.run(request())

        (failed,) = engine_home.events(request().run_id, EventKind.PUBLISH_FAILED)
        assert status.state is RunState.READY
        assert engine_home.documents(request().run_id).readable_facts() is not None
        assert "HASHGATE_BUS" in failed.details["problem"]

    def test_what_failed_is_not_tried_again_by_itself(self, engine_home: EngineHome) -> None:
        (engine_home.home / "bus").write_text("no folder")
        engine_home.run(request())
        (engine_home.home / "bus").unlink()

        advance(engine_home.workspace, request().run_id)

        assert engine_home.envelopes() == []


def test_a_facts_document_of_another_run_is_not_read(engine_home: EngineHome) -> None:
    engine_home.run(request())
    store = engine_home.workspace.store
    moved = store.get(f"engine/runs/{request().run_id}/facts.json")
    store.put_if_absent(f"engine/runs/{'0' * 32}/facts.json", moved)

    with pytest.raises(StoreError, match=f"it belongs to run {request().run_id}"):
        RunDocuments(store, "0" * 32).facts()


def test_the_same_attempt_of_two_installations_is_two_processes(engine_home: EngineHome) -> None:
    """Both have the same run and attempt ids; what one ends is its own."""
    engine_home.run(request(strategy="invoke"))
    (first,) = engine_home.events(request().run_id, EventKind.ENGINE_ATTEMPT_LAUNCHED)
    store = engine_home.workspace.store
    for key in list(store.walk("engine")):
        store.forget(key)
    engine_home.run(request(strategy="invoke"))
    (second,) = engine_home.events(request().run_id, EventKind.ENGINE_ATTEMPT_LAUNCHED)

    assert first.details["attempt_id"] == second.details["attempt_id"]
    assert first.details["mark"] != second.details["mark"]
