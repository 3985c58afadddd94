"""Reasons: every code has its words, and only four refuse a file."""

from __future__ import annotations

import pytest

from contracts.framing import Flaw
from contracts.reasons import WHOLE_FILE, Reason


@pytest.mark.parametrize("reason", list(Reason), ids=str)
def test_every_reason_says_what_it_means_and_what_to_do(reason: Reason) -> None:
    assert reason.value == reason.name
    assert reason.meaning
    assert not reason.meaning.endswith(".")
    assert reason.fix.endswith(".")
    assert "\n" not in reason.meaning + reason.fix


def test_no_two_reasons_mean_the_same() -> None:
    assert len({reason.meaning for reason in Reason}) == len(Reason)


def test_every_flaw_of_a_frame_is_a_reason() -> None:
    assert {flaw.name for flaw in Flaw} - {"NONE"} <= {reason.name for reason in Reason}


def test_a_file_is_refused_whole_for_four_reasons_only() -> None:
    whole = {"UNDECODABLE_COMPRESSION", "NOT_PARQUET", "DECOMPRESSED_TOO_LARGE", "PARSER_CRASHED"}
    assert whole == WHOLE_FILE
