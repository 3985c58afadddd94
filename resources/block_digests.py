"""Digests of a file, of the whole and block by block: with the blocks, a part of it can be verified by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from blake3 import blake3

from contracts.refs import Digest, digest_bytes
from contracts.segments import BLOCK_BYTES


class Readable(Protocol):
    """Something that gives as many bytes as it is asked for, fewer only at its end."""

    def read(self, size: int, /) -> bytes:
        """The next ones."""


def digests_of_file(path: Path) -> tuple[Digest, tuple[Digest, ...]]:
    """The digest of a file and those of its consecutive `BLOCK_BYTES`, in one pass and without holding it in memory."""
    with path.open("rb", buffering=0) as file:
        return digests_of(file)


def digests_of(file: Readable) -> tuple[Digest, tuple[Digest, ...]]:
    """The same of an open file, from where it stands."""
    whole = blake3()
    blocks: list[Digest] = []
    while block := file.read(BLOCK_BYTES):
        whole.update(block)
        blocks.append(digest_bytes(block))
    return Digest(f"blake3:{whole.hexdigest()}"), tuple(blocks)
