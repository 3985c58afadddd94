"""A store that answers as one on a bad network does: late, or not at all. What it does, it really does."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, cast

from contracts.errors import StoreError, UnansweredError
from resources.object_store import ObjectStore


class Fate(StrEnum):
    """What becomes of a create."""

    ANSWERED = "answered"
    ARRIVES = "arrives, and nobody is told"
    """It is created; the answer is lost."""
    LATE = "arrives late"
    """It is on its way, and is created when it arrives, unless its number is taken then."""
    LOST = "lost"
    """It never arrives."""
    REFUSED = "refused"
    """The store says no."""
    CANCELLED_BEFORE = "cancelled before"
    """Whoever waited is interrupted, and the request never leaves."""
    CANCELLED_AFTER = "cancelled after"
    """Whoever waited is interrupted when it was created already."""


class UnansweringStore:
    """A store as it is, but that the creates of commits meet their fates, in order; then all is answered."""

    def __init__(self, inner: ObjectStore, *fates: Fate, gets_fail: int = 0) -> None:
        self._inner = inner
        self.fates = list(fates)
        self.tried: list[str] = []
        self.gets_fail = gets_fail
        """So many reads of commits fail after the first create."""
        self.looks_until_late: int | None = None
        """What is late arrives right after so many looks at a commit; None: when `arrive` is called."""
        self._late: Callable[[], object] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @property
    def as_store(self) -> ObjectStore:
        """Itself, as what it stands for."""
        return cast("ObjectStore", self)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        if "/commits/" not in key:
            return self._inner.put_if_absent(key, data)
        self.tried.append(key)
        return self._meet(self.fates.pop(0) if self.fates else Fate.ANSWERED, key, data)

    def get(self, key: str) -> bytes:
        if "/commits/" not in key or not self.tried:
            return self._inner.get(key)
        if self.gets_fail:
            self.gets_fail -= 1
            message = f"store object {key}: 503"
            raise StoreError(message, key=key)
        try:
            return self._inner.get(key)
        finally:
            if self.looks_until_late is not None:
                self.looks_until_late -= 1
                if self.looks_until_late == 0:
                    self.arrive()

    def arrive(self) -> None:
        """What is still on its way arrives now."""
        if self._late is not None:
            late, self._late = self._late, None
            late()

    def _meet(self, fate: Fate, key: str, data: bytes) -> bool:
        unanswered = UnansweredError(key=key, problem="timed out")
        if fate is Fate.ANSWERED:
            return self._inner.put_if_absent(key, data)
        if fate is Fate.REFUSED:
            message = f"store object {key}: 403"
            raise StoreError(message, key=key)
        if fate in {Fate.ARRIVES, Fate.CANCELLED_AFTER}:
            self._inner.put_if_absent(key, data)
        if fate is Fate.LATE:
            self._late = lambda: self._inner.put_if_absent(key, data)
        if fate in {Fate.CANCELLED_BEFORE, Fate.CANCELLED_AFTER}:
            raise KeyboardInterrupt
        raise unanswered
