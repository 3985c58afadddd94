"""Files are dropped, cut, lengthened, swapped and copied: each is found, but for the few whose loss nobody can miss."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path

import pytest

from tests.faults.homes import DAY
from tests.tamper.published import Published
from tests.tamper.test_flipped_bytes import KINDS, is_left_over

pytestmark = pytest.mark.embedded

Damage = Callable[[Path], None]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


DAMAGES: dict[str, Damage] = {
    "dropped": Path.unlink,
    "cut by a byte": cut,
    "emptied": empty,
    "with a byte more": lengthen,
}


def after(damage: Damage, path: Path, published: Published) -> tuple[set[str], list[str]]:
    """What is found, and misread, while a file is damaged."""
    content, status = path.read_bytes(), path.stat()
    path.chmod(0o600)
    damage(path)
    try:
        return {found.subject for found in published.verified().corruptions}, published.misread()
    finally:
        path.write_bytes(content)
        path.chmod(status.st_mode)


def nobody_misses(key: str, published: Published) -> str | None:
    """Why the loss of a whole file is not seen; None when it is."""
    if key.startswith("doomed/"):
        return "a collector's list is made anew, and no rows hang on it"
    if key.startswith("expired/"):
        return "it is the newest record, and what it speaks of is still there: nothing is lost"
    if is_left_over(key, published) or (key.startswith("blobs/") and key not in _named(published)):
        return "nothing names it: the collector would remove it"
    if "/reports/" in key and "/held-" in key and key.endswith(".json"):
        return "the report of a candidate is drawn again when the candidate is told again"
    return None


def _named(published: Published) -> set[str]:
    """The blobs that versions, candidates, selections and the capture log name."""
    whole = published.verified()
    assert whole.store is not None
    everything = {published.key(path) for path in published.store.glob("blobs/*/*/*")}
    lost: set[str] = set()
    for key in sorted(everything):
        path = published.store / key
        aside = path.rename(published.home.folder / "aside")
        lost |= {found.subject for found in published.verified().corruptions}
        aside.rename(path)
    return lost & everything


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
@pytest.mark.parametrize("pattern", KINDS.values(), ids=KINDS.keys())
def test_a_damaged_file_is_found_and_never_read(pattern: str, damage: Damage, published: Published) -> None:
    for path in sorted(published.store.glob(pattern)):
        key = published.key(path)
        found, misread = after(damage, path, published)
        assert misread == []
        if damage is not Path.unlink:
            assert key in found, f"{key} was changed, and nobody saw it"
        elif not found:
            assert nobody_misses(key, published) is not None, f"{key} was dropped, and nobody misses it"
    assert published.verified().sound


def pairs(published: Published) -> Iterator[tuple[Path, Path]]:
    """Files that could be taken for each other: of one kind, by one name, or of one chain."""
    for pattern in KINDS.values():
        there = sorted(published.store.glob(pattern))
        yield from (
            (one, other)
            for one, other in combinations(there, 2)
            if one.name == other.name or one.parent == other.parent or pattern == KINDS["drops and frozen inputs"]
        )


def test_two_files_that_change_places_are_found_and_never_read(published: Published) -> None:
    tried = 0
    for one, other in pairs(published):
        contents = one.read_bytes(), other.read_bytes()
        if contents[0] == contents[1]:
            continue
        tried += 1
        for path, content in zip((one, other), reversed(contents), strict=True):
            path.chmod(0o600)
            path.write_bytes(content)
        found = {corruption.subject for corruption in published.verified().corruptions}
        assert {published.key(one), published.key(other)} & found
        assert published.misread() == []
        one.write_bytes(contents[0])
        other.write_bytes(contents[1])
    assert tried >= 20
    assert published.verified().sound


def commits(published: Published) -> Path:
    return published.store / "tables" / "orders" / "commits" / DAY


def next_number(folder: Path) -> Path:
    """The name that the next link of a chain has."""
    return folder / f"{len(list(folder.iterdir())) + 1:08d}.json"


REPLAYED = {
    "an earlier commit": lambda p: (commits(p) / "00000001.json", next_number(commits(p))),
    "a held candidate": lambda p: (next(p.store.glob("tables/orders/held/*/*")), next_number(commits(p))),
    "a selection": lambda p: (
        p.store / f"tables/orders/selections/{DAY}/00000001.json",
        next_number(p.store / f"tables/orders/selections/{DAY}"),
    ),
    "a capture": lambda p: (p.store / "captures/orders/00000001.json", next_number(p.store / "captures/orders")),
    "a discard": lambda p: (
        p.store / f"tables/orders/discarded/{DAY}/00000001.json",
        p.store / f"tables/orders/discarded/{DAY}/00000002.json",
    ),
    "a record of a removal": lambda p: (p.store / "expired/00000001.json", p.store / "expired/00000002.json"),
    "a commit, in another partition": lambda p: (
        commits(p) / "00000001.json",
        p.store / "tables/orders/commits/2024-01-02/00000001.json",
    ),
    "a chain, in another table": lambda p: (
        commits(p) / "00000001.json",
        p.store / f"tables/others/commits/{DAY}/00000001.json",
    ),
    "a dataset entry, of another version": lambda p: (
        p.store / "tables/orders/datasets/1.0.0.json",
        p.store / "tables/orders/datasets/2.0.0.json",
    ),
    "a held candidate, of another recipe": lambda p: (
        next(p.store.glob("tables/orders/held/*/*")),
        p.store / f"tables/orders/held/{DAY}" / f"{'0' * 64}.json",
    ),
    "a report, of another version": lambda p: (
        next(p.store.glob("tables/orders/reports/*/held-*/report.json")),
        next(p.store.glob("tables/orders/reports/*/2-*/report.json")),
    ),
    "a blob, under another digest": lambda p: (
        next(p.store.glob("blobs/*/*/*")),
        p.store / "blobs" / "00" / "00" / ("0" * 64),
    ),
}  # fmt: skip


@pytest.mark.parametrize("replay", REPLAYED.values(), ids=REPLAYED.keys())
def test_a_document_that_was_put_in_again_is_found_and_never_read(
    replay: Callable[[Published], tuple[Path, Path]], copied: Published
) -> None:
    source, target = replay(copied)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
    assert copied.key(target) in {found.subject for found in copied.verified().corruptions}
    assert copied.misread() == []
