"""Creating a link of a partition's chain: the one step by which anything becomes visible, and the end of every doubt.

Of any number of writers one creates a number. When the answer to a create is lost, or a cancel comes in its midst,
nobody guesses: the number is read back, and if nothing is there, occupied, so that what was sent can never arrive. Only
when the store says nothing at all does the outcome stay unknown, and then that is said.
"""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from enum import StrEnum
from uuid import uuid4

from contracts.commits import EmptyLink, Link
from contracts.errors import HashgateError, StoreError, UnansweredError
from resources.object_store import ObjectStore
from resources.table_reader import TableReader, numbered_key


class Creation(StrEnum):
    """What became of a link that was to be created."""

    OURS = "ours"
    """It is there."""
    ANOTHERS = "another's"
    """Somebody else was first: look at the chain again and decide anew."""
    VOID = "void"
    """The store did not answer; the number is occupied now by an empty link, and what was sent can never arrive."""


def new_writer() -> str:
    """A name for one attempt to create a link; no two attempts have the same, so equal bytes are one's own."""
    return uuid4().hex


def create_link(store: ObjectStore, reader: TableReader, link: Link, now: dt.datetime) -> Creation:
    """Create a link at its number, and anchor it.

    An exception that is no answer of the store's (a cancel, say) carries a note that says whether it came too late.

    Raises:
        UnansweredError: Nobody knows what became of it. Nothing was cleaned up.
        StoreError: The store refused; nothing became visible.
    """
    try:
        creation = _created(store, link, now)
        if creation is Creation.OURS:
            reader.anchor(link)
    except HashgateError:
        raise
    except BaseException as stopped:
        stopped.add_note(_who_won(store, reader, link, now, stopped))
        raise
    return creation


def committed_before(link: Link) -> str:
    """What to say of an interruption that came after a commit."""
    table, partition, number = link.place
    return f"The commit came before it: {table}[{partition}] version {number} is published."


def _created(store: ObjectStore, link: Link, now: dt.datetime) -> Creation:
    try:
        if store.put_if_absent(_key(link), link.to_bytes()):
            return Creation.OURS
    except UnansweredError as error:
        return _settled(store, link, now, error)
    # also one's own: a client that repeats a request by itself may find what its first one has created
    return _settled(store, link, now)


def _settled(store: ObjectStore, link: Link, now: dt.datetime, cause: BaseException | None = None) -> Creation:
    """Find out whose the number is, and if nothing is there, see to it that the link never arrives.

    Raises:
        UnansweredError: The store does not answer.
    """
    key, data = _key(link), link.to_bytes()
    table, partition, number = link.place
    void = EmptyLink(
        number=number, parent=link.parent, committed_at=now, writer=new_writer(), table=table, partition=partition
    )
    try:
        there = _stored(store, key)
        if there is None:
            with suppress(UnansweredError):
                store.put_if_absent(key, void.to_bytes())
            there = _stored(store, key)
        if there == data:
            store.put_if_absent(key, data)  # changes nothing: it answers when what is there is there to stay
            return Creation.OURS
        if there is not None:
            return Creation.VOID if there == void.to_bytes() else Creation.ANOTHERS
    except StoreError as error:
        cause = error
    problem = (
        f"version {number} of {table}[{partition}] was sent and not answered, nor was what should have settled it: "
        "whether it was published is unknown, and nothing was cleaned up"
    )
    raise UnansweredError(key=key, problem=problem) from cause


def _who_won(store: ObjectStore, reader: TableReader, link: Link, now: dt.datetime, stopped: BaseException) -> str:
    """What became of a link whose creation was interrupted, in words."""
    table, partition, _ = link.place
    try:
        creation = _settled(store, link, now, stopped)
    except UnansweredError as error:
        return str(error)
    if creation is not Creation.OURS:
        return f"It came before the commit: nothing of {table}[{partition}] was published, nor will be."
    reader.anchor(link)
    return committed_before(link)


def _stored(store: ObjectStore, key: str) -> bytes | None:
    try:
        return store.get(key)
    except KeyError:
        return None


def _key(link: Link) -> str:
    table, partition, number = link.place
    return numbered_key(table, "commits", partition, number)
