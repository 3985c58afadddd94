"""A partition's chain of commits, read from its tip down, each link verified before it counts.

A link is what it says it is (its own digest), lies where it belongs, and is the one that the link above was built on.
The tip is compared with the partition's anchor, because a chain cannot see that its own tail was cut off or replayed.
Where something is wrong the chain cannot be read: nothing here falls back to an older version. `inspect` looks at all
of it and says what is wrong, for whoever repairs it; where a repair has put up with damage, the chain goes round it.

It writes nothing; `publisher` does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from contracts.commits import Commit, Damage, EmptyLink, Link, LinkRef, parse_link
from contracts.errors import CommitError
from contracts.refs import Digest, digest_bytes
from resources.object_store import ObjectStore

_LINK = re.compile(r"([0-9]{8,})\.json")


def link_name(number: int) -> str:
    """The name of a chain's `number`th document, in the chain's folder."""
    return f"{number:08d}.json"


def highest_number(store: ObjectStore, prefix: str) -> int:
    """The number of the last document of a chain; 0 when it is empty. Costs one listing."""
    names = map(_LINK.fullmatch, store.keys(prefix))
    return max((int(name[1]) for name in names if name), default=0)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a chain stands."""

    tip: Link | None
    """The last link; None when there is none."""
    head: Commit | None
    """The version that readers see; None when there is none. Above it there are void links alone."""

    @property
    def next_number(self) -> int:
        """The number that the next commit takes."""
        return 1 if self.tip is None else self.tip.number + 1

    @property
    def parent(self) -> Digest | None:
        """What the next commit names as the one before it."""
        return None if self.tip is None else self.tip.digest


@dataclass(frozen=True, slots=True)
class Inspection:
    """All of a chain: what is whole and what is not, each the newest first."""

    whole: tuple[Link, ...]
    damages: tuple[Damage, ...]
    highest: int
    """The last number that there is, or that there was: the next one is free in any case."""


class CommitChain:
    """The links `<prefix>/<number>.json` of one partition."""

    def __init__(
        self, store: ObjectStore, prefix: str, *, table: str, partition: str, anchor: LinkRef | None = None
    ) -> None:
        """Name a chain; nothing is read yet.

        Args:
            store: Where it lies.
            prefix: Its folder.
            table: Whose it is.
            partition: Whose it is.
            anchor: How far it was seen to reach. It must have been looked up before the chain is read.
        """
        self._store, self._prefix = store, prefix
        self._table, self._partition, self._anchor = table, partition, anchor

    def key(self, number: int) -> str:
        """Where a link lies."""
        return f"{self._prefix}/{link_name(number)}"

    def link(self, number: int) -> Link:
        """One link, verified against its own digest and its place.

        Raises:
            CommitError: It is missing, altered, or belongs elsewhere.
        """
        try:
            data = self._store.get(self.key(number))
        except KeyError:
            raise self._broken(number, _MISSING) from None
        return self._parsed(number, data)

    def standing(self) -> Standing:
        """The tip and the head, verified down to the head, the link below the tip, and the anchor.

        Raises:
            CommitError: One of these links is not what was written, or the tail was cut off or replayed.
        """
        tip: Link | None = None
        head: Commit | None = None
        is_known = False
        below: int | None = None
        for link, below in self._down():
            tip = tip or link
            if not is_known and not _is_void(link):
                head, is_known = link if isinstance(link, Commit) else None, True
            if self._anchor is None:
                is_enough = link is not tip  # one more: that it is what the tip was built on
            else:
                self._check_anchored(link, self._anchor)
                is_enough = below < self._anchor.number
            if is_known and is_enough:
                break
        return Standing(tip, head)

    def links(self) -> Iterator[Link]:
        """Every link, the newest first, down to the first.

        Raises:
            CommitError: A link is not what was written, or the tail was cut off or replayed.
        """
        for link, _ in self._down():
            if self._anchor is not None:
                self._check_anchored(link, self._anchor)
            yield link

    def inspect(self) -> Inspection:
        """Look at every number there is or was, and say of each whether it is whole. Raises nothing about damage."""
        anchored = 0 if self._anchor is None else self._anchor.number
        highest = max(self._highest(), anchored)
        whole: list[Link] = []
        damages: list[Damage] = []
        round_: dict[int, LinkRef | None] = {}
        expected: LinkRef | None = None
        open_from = 0
        for number in range(highest, 0, -1):
            if number in round_:
                continue
            link, observed, problem = self._look(number, expected)
            if problem is not None:
                damages.append(Damage(number=number, observed=observed, problem=problem, below=None))
                expected = None
            if link is None or problem is not None:
                continue
            whole.append(link)
            damages[open_from:] = [damage.model_copy(update={"below": link.ref}) for damage in damages[open_from:]]
            open_from = len(damages)
            round_ = _rounds(link) | round_
            expected = _below(link, round_)
        return Inspection(tuple(whole), tuple(damages), highest)

    def _look(self, number: int, expected: LinkRef | None) -> tuple[Link | None, Digest | None, str | None]:
        """A number's link, the digest of what lies there, and what is wrong with it."""
        try:
            data = self._store.get(self.key(number))
        except KeyError:
            return None, None, _MISSING
        observed = digest_bytes(data)
        try:
            link = self._parsed(number, data)
        except CommitError as error:
            return None, observed, str(error.evidence["problem"])
        if expected is not None and expected.number == number and expected.digest != link.digest:
            return link, observed, f"the link above was built on {expected.digest}, and this is {link.digest}"
        if self._anchor is not None and self._anchor.number == number and self._anchor.digest != link.digest:
            return link, observed, f"{self._anchor.digest} was seen under this number, and this is {link.digest}"
        return link, observed, None

    def _down(self) -> Iterator[tuple[Link, int]]:
        """The links from the tip down with the number where each goes on; each is what the one above was built on."""
        number = self._highest()
        if self._anchor is not None and number < self._anchor.number:
            raise self._cut_off(self._anchor, f"its last link is number {number}")
        expected: Digest | None = None
        above = 0
        round_: dict[int, LinkRef | None] = {}
        while number:
            link = self.link(number)
            if expected is not None and link.digest != expected:
                raise self._broken(number, f"version {above} was built on {expected}, and this is {link.digest}")
            round_ = _rounds(link) | round_
            below = _below(link, round_)
            above, number = number, 0 if below is None else below.number
            expected = None if below is None else below.digest
            yield link, number

    def _check_anchored(self, link: Link, anchor: LinkRef) -> None:
        if link.number == anchor.number and link.digest != anchor.digest:
            raise self._cut_off(anchor, f"number {link.number} is {link.digest} now")

    def _highest(self) -> int:
        return highest_number(self._store, self._prefix)

    def _parsed(self, number: int, data: bytes) -> Link:
        try:
            link = parse_link(data)
        except ValueError as error:
            raise self._broken(number, str(error).partition("\n")[0]) from error
        if link.place != (self._table, self._partition, number):
            table, partition, other = link.place
            raise self._broken(number, f"it belongs to {table}[{partition}] number {other}")
        return link

    def _cut_off(self, anchor: LinkRef, observed: str) -> CommitError:
        return self._broken(
            anchor.number,
            f"the chain's tail was cut off or replayed: number {anchor.number} was {anchor.digest}, but {observed}",
        )

    def _broken(self, number: int, problem: str) -> CommitError:
        return CommitError(
            f"{self._table}[{self._partition}] version {number}: {problem}. The partition cannot be read. Restore "
            f"{self.key(number)} from a backup of the store, or make the newest whole version current: "
            f"hashgate repair {self._table} {self._partition} --actor YOU --reason WHY",
            table=self._table,
            partition=self._partition,
            number=number,
            problem=problem,
        )


_MISSING = "it is missing from the chain"


def _is_void(link: Link) -> bool:
    return isinstance(link, EmptyLink) and link.kind == "void"


def _rounds(link: Link) -> dict[int, LinkRef | None]:
    """Where the chain goes on instead, by the numbers that a repair has put up with."""
    return {damage.number: damage.below for damage in link.damages}


def _below(link: Link, round_: dict[int, LinkRef | None]) -> LinkRef | None:
    """The next link that counts; None at the chain's end."""
    number = link.number - 1
    if number in round_:
        return round_[number]
    return LinkRef(number=number, digest=link.parent) if number and link.parent is not None else None
