"""Discards: the record of a held candidate that somebody did not want."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.decisions import Discard
from tests.versions import ANA, DAY, NOON, TABLE, candidate, first, stamp, stopped

HELD = first(candidate(cutoff=5, contract="B").built_on(None), kind="held", receipts=stopped())


def discard(**changes: Any) -> Discard:
    fields: dict[str, Any] = {"number": 1, "table": TABLE, "partition": DAY, "discarded_at": NOON, "decision": ANA}
    return Discard(**fields | {"held": HELD} | changes)


def test_a_discard_survives_storage_with_all_of_what_was_held() -> None:
    record = Discard.from_bytes(discard().to_bytes())
    assert record == discard()
    assert record.held.digest == HELD.digest
    assert record.place == 1


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"held": first()}, id="a published version"),
        pytest.param({"table": "other"}, id="of another table"),
        pytest.param({"partition": "2020-01-02"}, id="of another partition"),
    ],
)
def test_what_is_discarded_is_a_held_candidate_of_its_partition(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="what is discarded is a held candidate of this partition"):
        discard(**changes)


@pytest.mark.parametrize(
    ("cutoff", "contract", "waits"),
    [
        pytest.param(5, "B", True, id="what was discarded"),
        pytest.param(6, "B", False, id="a drop that came since"),
        pytest.param(5, "C", False, id="another contract"),
    ],
)
def test_it_is_not_built_by_itself_until_something_new_comes(cutoff: int, contract: str, waits: bool) -> None:
    said = discard().declines(cutoff, stamp(contract))
    assert (said is not None) is waits
    assert said is None or said.startswith("discarded by ana (the airport was closed): waits for a new drop")
