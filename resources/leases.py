"""Leases: who may work on something now, with a number that outs whoever worked too long.

A lease ends by itself, by the database's clock: no holder's clock counts, and one that was killed stands in nobody's
way for longer than its time. Its fencing token is greater than that of every lease of that name before it, also when
the database was lost in between: it is the clock's milliseconds or the last token and one, whichever is more. A lease
is held by whoever knows its secret, so tokens and secrets stand in no representation, and of the secret only its
digest in the database.

A lease is no lock that makes writes safe: between a check and a write it may end. Safety is the commits' own
(put-if-absent); what cannot be made so passes the fencing token along and refuses a lower one.
"""

from __future__ import annotations

import datetime as dt
import secrets
from dataclasses import dataclass, field

import sqlalchemy as sa

from contracts.errors import HashgateError
from contracts.refs import digest_bytes
from resources.database import Database, now_ms
from resources.database_schema import leases

MAXIMUM_NAME_BYTES = 1000
_SECRET_BYTES = 32


class LeaseHeldError(HashgateError):
    """Somebody else holds the lease."""

    def __init__(self, *, name: str, holder: str, seconds_left: float) -> None:
        super().__init__(
            f"lease {name} is held by {holder}, for {seconds_left:.1f} s more at most unless it is renewed. "
            "Wait for it, or try again when it has ended.",
            name=name,
            holder=holder,
            seconds_left=seconds_left,
        )


class LeaseLostError(HashgateError):
    """The lease has ended, or somebody else has taken it over."""

    def __init__(self, *, name: str, holder: str) -> None:
        super().__init__(
            f"{holder} does not hold lease {name} any more: it ended, and somebody may have taken over. "
            "Nothing may be written under it; acquire it anew and look at the state first.",
            name=name,
            holder=holder,
        )


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease that was granted. Whoever has this object holds it."""

    name: str
    holder: str
    """Who, for people; it grants nothing."""
    fencing_token: int = field(repr=False)
    expires_at: dt.datetime
    """By the database's clock."""
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Holding:
    """Who holds a lease, as anybody may know."""

    holder: str
    seconds_left: float


class Leases:
    """The leases in an open database. Each method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def acquire(self, name: str, holder: str, ttl: dt.timedelta) -> Lease:
        """Take a lease that is free, was released or has ended.

        Args:
            name: What it is for; at most 1,000 bytes.
            holder: Who asks, for people.
            ttl: How long it lasts unless it is renewed; at least a millisecond.

        Raises:
            LeaseHeldError: Somebody holds it, were it under the same `holder`.
            DatabaseError: The database is away; whether the lease was granted is unknown, and it ends by itself.
        """
        if not 0 < len(name.encode()) <= MAXIMUM_NAME_BYTES:
            msg = f"a lease's name has 1 to {MAXIMUM_NAME_BYTES} bytes, not {len(name.encode())}"
            raise ValueError(msg)
        secret = secrets.token_hex(_SECRET_BYTES)
        terms = {"holder": holder, "secret_digest": _digest(secret), "expires_ms": now_ms() + _milliseconds(ttl)}
        next_token = leases.c.fencing_token + 1
        later_token = sa.case((next_token > now_ms(), next_token), else_=now_ms())
        grant = (
            self._database.insert(leases)
            .values(name=name, fencing_token=now_ms(), **terms)
            .on_conflict_do_update(
                index_elements=["name"],
                set_=terms | {"fencing_token": later_token},
                where=leases.c.expires_ms <= now_ms(),
            )
            .returning(leases.c.fencing_token, leases.c.expires_ms)
        )
        with self._database.writing() as connection:
            granted = connection.execute(grant).one_or_none()
            if granted is None:
                other = _holding(connection, name)
                raise LeaseHeldError(
                    name=name,
                    holder=other.holder if other else "somebody whose lease ends now",
                    seconds_left=other.seconds_left if other else 0.0,
                )
        return Lease(name, holder, granted.fencing_token, _moment(granted.expires_ms), secret)

    def renew(self, lease: Lease, ttl: dt.timedelta) -> Lease:
        """Let a lease last `ttl` from now; the fencing token stays.

        Raises:
            LeaseLostError: It has ended, even if nobody took over.
            DatabaseError: The database is away; the lease as it is remains valid until it ends.
        """
        expires = now_ms() + _milliseconds(ttl)
        renewal = leases.update().where(*_is_live(lease)).values(expires_ms=expires).returning(leases.c.expires_ms)
        with self._database.writing() as connection:
            expires_ms = connection.execute(renewal).scalar_one_or_none()
        if expires_ms is None:
            raise LeaseLostError(name=lease.name, holder=lease.holder)
        return Lease(lease.name, lease.holder, lease.fencing_token, _moment(expires_ms), lease.secret)

    def check(self, lease: Lease) -> float:
        """How many seconds the lease still lasts: to be called before every write under it.

        Raises:
            LeaseLostError: It has ended.
        """
        query = sa.select(leases.c.expires_ms - now_ms()).where(*_is_live(lease))
        with self._database.reading() as connection:
            left_ms = connection.execute(query).scalar_one_or_none()
        if left_ms is None:
            raise LeaseLostError(name=lease.name, holder=lease.holder)
        return float(left_ms) / 1000

    def release(self, lease: Lease) -> bool:
        """End a lease before its time; False when it had ended, and then nothing is changed for whoever has it now."""
        # the row stays: the token of whoever comes next is counted on from it
        end = leases.update().where(*_is_live(lease)).values(expires_ms=0)
        with self._database.writing() as connection:
            return connection.execute(end).rowcount == 1

    def holding(self, name: str) -> Holding | None:
        """Who holds a lease now; None when it is free."""
        with self._database.reading() as connection:
            return _holding(connection, name)


def _is_live(lease: Lease) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        leases.c.name == lease.name,
        leases.c.fencing_token == lease.fencing_token,
        leases.c.secret_digest == _digest(lease.secret),
        leases.c.expires_ms > now_ms(),
    )


def _holding(connection: sa.Connection, name: str) -> Holding | None:
    query = sa.select(leases.c.holder, (leases.c.expires_ms - now_ms()).label("left_ms"))
    row = connection.execute(query.where(leases.c.name == name, leases.c.expires_ms > now_ms())).one_or_none()
    return None if row is None else Holding(row.holder, row.left_ms / 1000)


def _digest(secret: str) -> str:
    return digest_bytes(secret.encode())


def _milliseconds(ttl: dt.timedelta) -> int:
    milliseconds = ttl // dt.timedelta(milliseconds=1)
    if milliseconds < 1:
        msg = f"a lease lasts a millisecond at least, not {ttl}"
        raise ValueError(msg)
    return milliseconds


def _moment(milliseconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)
