"""What may go wrong at a file system call: the process dies after it or in its middle, or the call fails.

Each kind of trouble says to which calls it can happen; its points are those calls of a run, all of them.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum, auto

from tests.faults.system_calls import OPENS, SYNCS, TAKES_SPACE, WRITES, Call


class Deed(Enum):
    """What is done to a call."""

    REFUSE = auto()
    """It is not performed and gives an error."""
    HALVE = auto()
    """A write writes its first half only, and says so."""
    KILL_AFTER = auto()
    """It is performed, and its process is gone before it learns of it."""
    KILL_MIDWAY = auto()
    """A write writes its first half, and its process is gone."""
    DENY = auto()
    """It is performed, and gives an error all the same: the answer was lost."""


class Trouble(StrEnum):
    """A kind of trouble."""

    KILLED = "killed after a change"
    TORN = "killed in the middle of a write"
    POWER_CUT = "power cut"
    POWER_CUT_NAMES_STAY = "power cut, names stay"
    BROKEN = "EIO"
    FULL_ONCE = "ENOSPC once"
    FULL = "ENOSPC from then on"
    FORBIDDEN = "EACCES"
    SHORT = "short write"
    UNSYNCED = "failed fsync"
    ANSWER_LOST = "done, but EIO"

    @property
    def kills(self) -> bool:
        """Whether the process ends without a word."""
        return _SPECS[self].deed in {Deed.KILL_AFTER, Deed.KILL_MIDWAY}

    @property
    def cuts_power(self) -> bool:
        """Whether what was not synced is lost, too: then also when the process has ended by itself before."""
        return self in {Trouble.POWER_CUT, Trouble.POWER_CUT_NAMES_STAY}

    @property
    def deed(self) -> Deed:
        """What is done to the call."""
        return _SPECS[self].deed

    @property
    def errno(self) -> int:
        """The error that the call gives."""
        return _SPECS[self].errno

    @property
    def lasts(self) -> bool:
        """Whether it also happens to every later call that it can happen to."""
        return self is Trouble.FULL

    def can_happen_to(self, call: Call) -> bool:
        """Whether this can happen to the call."""
        return _SPECS[self].can_happen_to(call)


@dataclass(frozen=True, slots=True)
class _Spec:
    deed: Deed
    can_happen_to: Callable[[Call], bool]
    errno: int = 0


def _takes_a_path(call: Call) -> bool:
    return not call.by_descriptor


def _takes_space(call: Call) -> bool:
    return call.name in TAKES_SPACE or call.creates


def _is_divisible_write(call: Call) -> bool:
    return call.name in WRITES and call.length > 1


_SPECS = {
    Trouble.KILLED: _Spec(Deed.KILL_AFTER, lambda call: call.changes),
    Trouble.TORN: _Spec(Deed.KILL_MIDWAY, _is_divisible_write),
    Trouble.POWER_CUT: _Spec(Deed.KILL_AFTER, lambda call: call.changes),
    Trouble.POWER_CUT_NAMES_STAY: _Spec(Deed.KILL_AFTER, lambda call: call.changes),
    Trouble.BROKEN: _Spec(Deed.REFUSE, lambda _: True, errno.EIO),
    Trouble.FULL_ONCE: _Spec(Deed.REFUSE, _takes_space, errno.ENOSPC),
    Trouble.FULL: _Spec(Deed.REFUSE, _takes_space, errno.ENOSPC),
    Trouble.FORBIDDEN: _Spec(Deed.REFUSE, _takes_a_path, errno.EACCES),
    Trouble.SHORT: _Spec(Deed.HALVE, _is_divisible_write),
    Trouble.UNSYNCED: _Spec(Deed.REFUSE, lambda call: call.name in SYNCS, errno.EIO),
    Trouble.ANSWER_LOST: _Spec(
        Deed.DENY, lambda call: call.changes and call.name not in WRITES | SYNCS | OPENS, errno.EIO
    ),
}
