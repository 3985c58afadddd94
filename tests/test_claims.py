"""The list of claims: each has a proof that exists."""

from __future__ import annotations

import importlib.util
from collections import Counter

import pytest

from tests.claims import ROOT, Claim, read_claims


def test_ids_are_unique() -> None:
    assert [name for name, times in Counter(claim.id for claim in read_claims()).items() if times > 1] == []


@pytest.mark.parametrize("claim", read_claims(), ids=lambda claim: claim.id)
def test_every_claim_has_a_proof_that_can_be_run(claim: Claim) -> None:
    assert claim.proof
    for proof in claim.proof:
        if claim.mode == "performance":
            assert importlib.util.find_spec(proof), proof
        else:
            path, _, name = proof.partition("::")
            assert f"\ndef {name}(" in (ROOT / path).read_text(), proof
    assert (claim.baseline is not None) == (claim.mode == "performance")
