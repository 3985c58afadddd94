"""Digests of a file, of the whole and block by block: with the blocks, a part of it can be verified by itself."""

from __future__ import annotations

from pathlib import Path

from blake3 import blake3

from contracts.refs import Digest, digest_bytes
from contracts.segments import BLOCK_BYTES


def digests_of_file(path: Path) -> tuple[Digest, tuple[Digest, ...]]:
    """The digest of a file and those of its consecutive `BLOCK_BYTES`, in one pass and without holding it in memory."""
    whole = blake3()
    blocks: list[Digest] = []
    with path.open("rb", buffering=0) as file:
        while block := file.read(BLOCK_BYTES):
            whole.update(block)
            blocks.append(digest_bytes(block))
    return Digest(f"blake3:{whole.hexdigest()}"), tuple(blocks)
