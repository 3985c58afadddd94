"""The control bus: where READY and the ends of runs are told. Here: what is asked of any bus, and the bus of files.

Nothing depends on it. An envelope that was not published is published again from truth (`hashgate engine reemit`), and
one that comes twice has the same message id.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from contracts.authority.envelopes import Envelope
from contracts.authority.errors import BusError
from contracts.errors import StoreError
from resources.object_store import LocalObjectStore
from resources.settings import Settings

READ_AT_ONCE = 100
_ATTEMPTS = 1000
"""So many publishers at once, and something is wrong."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came after a position."""

    envelopes: tuple[Envelope, ...]
    unreadable: tuple[str, ...]
    """Messages that are no envelopes, in words; they stop no other."""
    cursor: str
    """Where to go on."""


class ControlBus(Protocol):
    """What the authority and its consumers ask of a bus. Envelopes are delivered at least once."""

    def publish(self, envelope: Envelope) -> str:
        """Hand an envelope over; returns where it is, for people.

        Raises:
            BusError: It was not taken, or nobody knows.
        """

    def read(self, cursor: str, limit: int = READ_AT_ONCE) -> Delivery:
        """What came after a cursor; the empty one is the beginning.

        Raises:
            BusError: The bus is away.
        """


class FolderBus:
    """Envelopes as files `<n>.json` of a folder, numbered in the order in which they came."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def publish(self, envelope: Envelope) -> str:
        """Create the next file; a number that somebody else took is left to them."""
        with self._spoken_errors():
            folder = LocalObjectStore(self._folder)
            number = _highest(folder) + 1
            for at in range(number, number + _ATTEMPTS):
                if folder.put_if_absent(_name(at), envelope.to_bytes()):
                    return folder.uri(_name(at))
        msg = f"control bus {self._folder}: {_ATTEMPTS} numbers were taken by others. Publish again."
        raise BusError(msg, folder=str(self._folder))

    def read(self, cursor: str, limit: int = READ_AT_ONCE) -> Delivery:
        """The files after the one that the cursor names; nothing is listed."""
        envelopes: list[Envelope] = []
        unreadable: list[str] = []
        at = int(cursor or 0)
        with self._spoken_errors():
            folder = LocalObjectStore(self._folder) if self._folder.is_dir() else None
            while folder is not None and len(envelopes) + len(unreadable) < limit and folder.exists(_name(at + 1)):
                at += 1
                _add(folder.get(_name(at)), _name(at), envelopes, unreadable)
        return Delivery(tuple(envelopes), tuple(unreadable), str(at))

    @contextmanager
    def _spoken_errors(self) -> Iterator[None]:
        try:
            yield
        except (StoreError, OSError) as error:
            msg = f"control bus {self._folder}: {error}. Give this user access to it, or set HASHGATE_BUS."
            raise BusError(msg, folder=str(self._folder)) from error


def open_bus(settings: Settings) -> ControlBus:
    """The bus that the settings name; nothing is asked of it yet."""
    if isinstance(settings.bus, Path):
        return FolderBus(settings.bus)
    # imported here because boto3 takes 0.2 s, which a folder need not wait for
    from resources.authority.kinesis_bus import KinesisBus, kinesis_client  # noqa: PLC0415

    return KinesisBus(kinesis_client(), settings.bus.name)


def _name(number: int) -> str:
    return f"{number:08d}.json"


def _highest(folder: LocalObjectStore) -> int:
    names = (name.removesuffix(".json") for name in folder.keys("") if name.endswith(".json"))
    return max((int(name) for name in names if name.isdecimal()), default=0)


def _add(data: bytes, place: str, envelopes: list[Envelope], unreadable: list[str]) -> None:
    try:
        envelopes.append(Envelope.from_bytes(data))
    except ValueError as error:
        unreadable.append(f"{place}: {str(error).partition(chr(10))[0]}")
