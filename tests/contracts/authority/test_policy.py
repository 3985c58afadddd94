"""An engine's policy: defaults, lists of actors, placeholders, and the revision that it makes with the pack."""

from __future__ import annotations

import pytest

from contracts.authority.errors import RequestError
from contracts.authority.policy import EnginePolicy, lint_policy, parse_policy, policy_revision_of
from contracts.refs import digest_bytes

PACK = digest_bytes(b"pack")


def test_an_empty_mapping_is_all_defaults() -> None:
    policy = parse_policy(b"{}", "policy.yaml")

    assert policy == EnginePolicy()
    assert (policy.timeout_s, policy.attempt_limit, policy.evidence_wait_seconds, policy.reuse) == (3600, 3, 300, True)
    assert policy.may_submit("anybody")
    assert policy.may_reemit("anybody")


def test_any_change_of_pack_or_policy_is_another_revision() -> None:
    revisions = {
        policy_revision_of(PACK, EnginePolicy()),
        policy_revision_of(digest_bytes(b"other"), EnginePolicy()),
        policy_revision_of(PACK, EnginePolicy(timeout_s=1)),
        policy_revision_of(PACK, EnginePolicy(submit_allow=())),
    }
    assert len(revisions) == 4


@pytest.mark.parametrize("text", [b"format: hashgate/engine-policy/v1\ntimeout_s: 3600\n", b"timeout_s: 3600.0"])
def test_how_it_is_written_does_not_matter(text: bytes) -> None:
    assert parse_policy(text, "p").digest == EnginePolicy().digest


BROKEN = {
    "an unknown key": (b"timeout: 3", "this key is not known, and an unknown key is never ignored"),
    "no time at all": (b"timeout_s: 0", "too small"),
    "no attempts": (b"attempt_limit: 0", "too small"),
    "a command that a shell would read": (b"command: python x.py", "expected a list"),
    "a receipt outside": (b"receipt: ../receipt.json", "receipt"),
    "an absolute receipt": (b"receipt: /receipt.json", "receipt"),
    "a root that names no pin": (b"engine_root: '/data/{moon}'", "{moon}, which is no pin"),
    "a relative root": (b"engine_root: data", "engine_root"),
    "a variable with a value": (b"environment: ['A=1']", "environment"),
}


@pytest.mark.parametrize(("text", "said"), BROKEN.values(), ids=BROKEN)
def test_what_is_no_policy_is_refused_with_the_reason(text: bytes, said: str) -> None:
    with pytest.raises(RequestError) as refused:
        parse_policy(text, "policy.yaml")

    assert said in str(refused.value)
    assert said in " ".join(f"{p.problem} {p.path}" for p in lint_policy(text))


COMMANDS = {
    "an unknown name": (b"command: ['{moon}']", "{moon} is no placeholder"),
    "a format": (b"command: ['{seed:>3}']", "{seed:>3} is no placeholder"),
    "an attribute": (b"command: ['{seed.real}']", "{seed.real} is no placeholder"),
    "no name": (b"command: ['{}']", "{} is no placeholder"),
    "an open brace": (b"command: ['{seed']", "expected '}'"),
}


@pytest.mark.parametrize(("text", "said"), COMMANDS.values(), ids=COMMANDS)
def test_lint_names_what_a_command_cannot_be_filled_with(text: bytes, said: str) -> None:
    (problem,) = lint_policy(text)

    assert said in problem.problem
    assert problem.path == "command[0]"


def test_lint_has_nothing_against_what_can_be_filled() -> None:
    assert lint_policy(b"command: ['{python}', '{engine_folder}/x.py', '{{as it stands}}', '{invocation_json}']") == []


def test_lists_of_actors() -> None:
    policy = EnginePolicy(submit_allow=("ann",))
    assert [policy.may_submit("ann"), policy.may_submit("bob"), policy.may_reemit("bob")] == [True, False, False]
    assert EnginePolicy(submit_allow=("ann",), reemit_allow=("bob",)).may_reemit("bob")
    assert not EnginePolicy(submit_allow=("ann",), reemit_allow=("bob",)).may_reemit("ann")
