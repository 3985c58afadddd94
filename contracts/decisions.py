"""What people decide about candidates and leave no version behind: the candidate that somebody discarded.

A release, a rollback and a repair are commits; they carry the decision themselves.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from contracts.commits import Commit, Rules
from contracts.sealing import Linked
from contracts.selection import Decision


class Discard(Linked):
    """A held candidate that somebody did not want; the whole of what was held, so that it can still be looked at."""

    format: Literal["hashgate/discard/v1"] = "hashgate/discard/v1"
    number: int = Field(ge=1)
    table: str
    partition: str
    discarded_at: AwareDatetime
    decision: Decision
    held: Commit

    @model_validator(mode="after")
    def _is_of_this_partition(self) -> Self:
        candidate = self.held.candidate
        if not self.held.is_held or (candidate.table, candidate.partition) != (self.table, self.partition):
            msg = "what is discarded is a held candidate of this partition"
            raise ValueError(msg)
        return self

    @property
    def place(self) -> int:
        """The number in the chain."""
        return self.number

    def declines(self, cutoff: int, rules: Rules) -> str | None:
        """Why what was captured up to `cutoff` is not built by itself: it was discarded. None when that was other."""
        candidate = self.held.candidate
        stamp = candidate.contract
        is_new = cutoff > candidate.cutoff
        if is_new or (stamp.rows_digest, stamp.set_digest) != (rules.rows_digest, rules.set_digest):
            return None
        return (
            f"discarded by {self.decision.actor} ({self.decision.reason}): waits for a new drop or another contract; "
            "naming the partition builds it again"
        )
