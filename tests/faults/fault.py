"""One thing that goes wrong in a run: a kind of trouble, and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Kind(Protocol):
    """A kind of trouble."""

    @property
    def kills(self) -> bool:
        """Whether the process ends without a word."""


AnyTrouble = TypeVar("AnyTrouble", bound=Kind)


@dataclass(frozen=True, slots=True)
class Fault(Generic[AnyTrouble]):
    """One trouble at one point: the `at`-th event of a run, from 1, to which it can happen."""

    trouble: AnyTrouble
    at: int

    def __str__(self) -> str:
        return f"{self.trouble} no. {self.at}"
