"""One bit of any byte of any file is turned: verification names the file, and nobody reads what was not published.

Some bytes of each file, spread evenly, the first and the last among them; all of them when HASHGATE_EVERY_BYTE is set.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from platform_assets.evidence.corruptions import Depth
from resources.table_reader import folders_of
from tests.faults.homes import DAY, TABLE
from tests.tamper.published import Published

pytestmark = pytest.mark.embedded

EVERY = "HASHGATE_EVERY_BYTE"
BYTES_A_FILE = 4

KINDS = {
    "drops and frozen inputs": "blobs/*/*/*",
    "capture log": "captures/*/*",
    "collector's list": "doomed/*",
    "record of a removal": "expired/*",
    "commits": "tables/*/commits/*/*",
    "dataset entry": "tables/*/datasets/*",
    "discard": "tables/*/discarded/*/*",
    "exports and their indexes": "tables/*/exports/*/*/*",
    "held candidate": "tables/*/held/*/*",
    "reports": "tables/*/reports/*/*/*",
    "segments and their indexes": "tables/*/segments/*/*/*",
    "selections": "tables/*/selections/*/*",
}
NOT_READ = ("blobs", "captures", "doomed", "expired", "reports", "held", "discarded", "datasets")
"""No reader looks at these: of all their bytes, one in so many is read beside."""
ONE_IN = 20


@contextmanager
def flipped(path: Path, at: int, *, keeps_time: bool) -> Iterator[None]:
    """The file with one bit of one byte turned, as if it had been written at the same time if so wanted."""
    before = path.stat()
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        _write(file.fileno(), at, byte ^ (1 << at % 8))
        try:
            if keeps_time:
                os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
            yield
        finally:
            _write(file.fileno(), at, byte)


def _write(descriptor: int, at: int, byte: int) -> None:
    assert os.pwrite(descriptor, bytes([byte]), at) == 1


def positions(path: Path) -> list[int]:
    """Which bytes of a file are tried."""
    size = path.stat().st_size
    if os.environ.get(EVERY) or size <= BYTES_A_FILE:
        return list(range(size))
    return sorted({round(n * (size - 1) / (BYTES_A_FILE - 1)) for n in range(BYTES_A_FILE)})


def test_every_file_is_of_a_kind_that_is_tried(published: Published) -> None:
    tried = [path for pattern in KINDS.values() for path in published.store.glob(pattern)]
    assert sorted(tried) == published.files


@pytest.mark.parametrize("pattern", KINDS.values(), ids=KINDS.keys())
def test_a_flipped_bit_anywhere_is_found_and_never_read(
    pattern: str, published: Published, record_property: Callable[[str, object], None]
) -> None:
    flips, reads, missed, misread = 0, 0, [], []
    for path in sorted(published.store.glob(pattern)):
        key = published.key(path)
        is_read = not any(part in NOT_READ for part in key.split("/"))
        for at in positions(path):
            flips += 1
            with flipped(path, at, keeps_time=flips % 2 == 0):
                if key not in {found.subject for found in published.verified().corruptions}:
                    missed.append(f"byte {at} of {key}")
                if is_read or not os.environ.get(EVERY) or flips % ONE_IN == 0:
                    reads += 1
                    misread += [f"byte {at} of {key}: {wrong}" for wrong in published.misread()]
    record_property("told", f"{flips} flipped, {flips - len(missed)} found, read after {reads} of them")
    assert missed == []
    assert misread == []
    assert flips >= BYTES_A_FILE
    assert list(published.verified().corruptions) == []


def test_a_quick_look_finds_a_flip_in_all_that_it_reads(published: Published) -> None:
    """Every document, and every file of versions and held candidates; it reads neither drops nor what is left over."""
    assert published.verified(Depth.QUICK).sound
    tried = 0
    for path in published.files:
        key = published.key(path)
        if key.startswith("blobs/") or is_left_over(key, published):
            continue
        tried += 1
        with flipped(path, path.stat().st_size // 2, keeps_time=True):
            assert key in {found.subject for found in published.verified(Depth.QUICK).corruptions}
    assert tried >= 30


def is_left_over(key: str, published: Published) -> bool:
    """Whether it is of a segment or an export that neither the current version nor the held candidate names."""
    reader = published.workspace.reader
    head = reader.head(TABLE, DAY)
    assert head is not None
    needed = [
        name for commit in (head, *reader.held_candidates(TABLE, DAY)) for name, _ in folders_of(commit.candidate)
    ]
    return ("/segments/" in key or "/exports/" in key) and key.rpartition("/")[0] not in needed
