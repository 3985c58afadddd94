"""Leading a run: of any number of processes that want to bring it forward, one does, and it stops when it may not.

The lease is checked and made to last longer before each write. What was written under it carries its fencing token as
the leader's `term`, and chains refuse a lower one: even a leader that slept between check and write cannot pass for
the present one. Terms tell nobody how to lead: that takes the lease's secret, which is in no document.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from contracts.authority.errors import BusyError
from resources.database import DatabaseError
from resources.leases import Lease, LeaseHeldError, Leases

TTL = dt.timedelta(seconds=60)
"""How long a leader that died stands in others' way."""


class Leadership:
    """A lease that is held, and kept alive by whoever writes under it."""

    def __init__(self, leases: Leases, lease: Lease, ttl: dt.timedelta) -> None:
        self._leases, self._lease, self._ttl = leases, lease, ttl

    @property
    def term(self) -> int:
        """Greater than that of every leader before."""
        return self._lease.fencing_token

    def confirm(self) -> None:
        """Make sure that this process still leads, and will for another while.

        Raises:
            LeaseLostError: It does not. Nothing may be written any more.
            DatabaseError: Nobody knows.
        """
        self._lease = self._leases.renew(self._lease, self._ttl)


@contextmanager
def leading(leases: Leases, run_id: str, holder: str, ttl: dt.timedelta = TTL) -> Iterator[Leadership]:
    """Lead a run.

    Raises:
        BusyError: Somebody else does.
    """
    with _held(leases, f"engine-run/{run_id}", f"run {run_id}", holder, ttl) as lease:
        yield Leadership(leases, lease, ttl)


@contextmanager
def reemitting(leases: Leases, run_id: str, kind: str, holder: str, ttl: dt.timedelta = TTL) -> Iterator[None]:
    """Be the one who publishes a kind of fact of a run again.

    Raises:
        BusyError: Somebody else does.
    """
    with _held(leases, f"engine-reemit/{run_id}/{kind}", f"re-emit {kind} of run {run_id}", holder, ttl):
        yield


@contextmanager
def _held(leases: Leases, name: str, subject: str, holder: str, ttl: dt.timedelta) -> Iterator[Lease]:
    try:
        lease = leases.acquire(name, holder, ttl)
    except LeaseHeldError as error:
        raise BusyError(
            subject=subject, holder=error.evidence["holder"], seconds_left=error.evidence["seconds_left"]
        ) from None
    try:
        yield lease
    finally:
        with suppress(DatabaseError):  # it ends by itself
            leases.release(lease)
