"""A chain of numbered documents in the store: created once each, never changed, each naming the one before it.

Whoever reads a link has it verified: its own digest, its place, and that it follows the link before. A gap is an error
and never the end of the chain. A cut-off tail cannot be seen from here: for the newest links there are anchors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from contracts.refs import Digest
from contracts.sealing import ChainError, Linked
from resources.object_store import ObjectStore

_LINK = re.compile(r"([0-9]{8,})\.json")

DocumentT = TypeVar("DocumentT", bound=Linked)


class DocumentChain(Generic[DocumentT]):
    """The documents `<prefix>/<number>.json`."""

    def __init__(
        self, store: ObjectStore, prefix: str, kind: type[DocumentT], *, about: Mapping[str, Any], way_back: str
    ) -> None:
        """Name a chain; nothing is read yet.

        Args:
            store: Where it lies.
            prefix: Its folder.
            kind: What its documents are.
            about: What every document must say of itself (its table, say): one that was moved here says otherwise.
            way_back: What to do about a broken chain, for people.
        """
        self._store, self._prefix, self._kind = store, prefix, kind
        self._about, self._way_back = about, way_back

    def key(self, number: int) -> str:
        """Where a link lies."""
        return f"{self._prefix}/{number:08d}.json"

    def newest(self) -> int:
        """The highest number there is; 0 for an empty chain."""
        names = map(_LINK.fullmatch, self._store.keys(self._prefix))
        return max((int(name[1]) for name in names if name), default=0)

    def read(self, number: int) -> DocumentT:
        """One link, verified against its own digest and its place.

        Raises:
            ChainError: It is missing, altered, or belongs elsewhere.
        """
        try:
            return self._parsed(number, self._store.get(self.key(number)))
        except KeyError:
            raise self._broken(number, "it is missing from its chain") from None

    def last(self) -> DocumentT | None:
        """The newest link, verified to follow the one before it; None for an empty chain."""
        number = self.newest()
        if number == 0:
            return None
        link = self.read(number)
        self._check_follows(link, self.read(number - 1) if number > 1 else None)
        return link

    def after(self, number: int) -> Iterator[DocumentT]:
        """The links after `number`, in order, each verified to follow the one before it.

        Looks for no more than it finds: one request when there is nothing new but for the two that would show a gap.
        """
        before: DocumentT | None = None
        while True:
            try:
                data = self._store.get(self.key(number + 1))
            except KeyError:
                break
            link = self._parsed(number + 1, data)
            if before is None and number > 0:
                before = self.read(number)
            self._check_follows(link, before)
            yield link
            before, number = link, number + 1
        if self._store.exists(self.key(number + 2)):
            raise self._broken(number + 1, "it is missing from its chain, and there are later ones")
        if before is None and number > 0 and not self._store.exists(self.key(number)):
            raise self._broken(number, "it was there before, and is missing from its chain")

    def append(self, number: int, make: Callable[[Digest | None], DocumentT]) -> DocumentT | None:
        """Create link `number`; None when somebody else was first.

        Args:
            number: One more than the newest.
            make: The document that has a certain parent.
        """
        link = make(self.read(number - 1).digest if number > 1 else None)
        return link if self._store.put_if_absent(self.key(number), link.to_bytes()) else None

    def _parsed(self, number: int, data: bytes) -> DocumentT:
        try:
            link = self._kind.from_bytes(data)
        except ValueError as error:
            raise self._broken(number, str(error).partition("\n")[0]) from error
        said = {name: getattr(link, name) for name in self._about} | {"number": link.place}
        expected = {**self._about, "number": number}
        if said != expected:
            raise self._broken(number, f"it belongs to {_listed(said)}")
        return link

    def _check_follows(self, link: DocumentT, before: DocumentT | None) -> None:
        problem = link.problem_after(before)
        if problem is not None:
            raise self._broken(link.place, problem)

    def _broken(self, number: int, problem: str) -> ChainError:
        return ChainError(key=self.key(number), problem=problem, fix=self._way_back)


def _listed(said: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in said.items())
