"""Segments: which drops of a partition are parsed together, and the recipe ("view") of each part.

A segment is the unit of reuse. Which drops share one must not depend on the order of arrival, and one more drop must
cost its own segment only, so the cuts are taken from the content, as prolly trees do.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from pydantic import Field

from contracts.canonical import canonical_bytes, parse_json
from contracts.refs import BlobRef, Digest, Frozen, View, ViewRef, digest_bytes
from contracts.table_contract import TableContract

ALONE_BYTES = 4 << 20
"""A drop of this size or more is a segment of its own."""

BLOCK_BYTES = 1 << 20
"""What is verified at once when a file is read in parts."""

MAXIMUM_BYTES = 32 << 20
MAXIMUM_DROPS = 64
_CUT_BITS = 0xF
"""One drop in sixteen ends its segment."""

_CRASHED = "crashed"


class ParserIdentity(Frozen):
    """What reads, judges and writes: a change of any of these may change bytes, so it is in every key."""

    version: int
    artifact: Digest
    """Over the code that frames, parses, judges and writes."""
    environment: Digest
    """Over the versions of the libraries that do the bulk of it."""


class StoredFile(Frozen):
    """One file of a segment."""

    name: str
    digest: Digest
    size_bytes: int = Field(ge=0)
    rows: int = Field(ge=0)


class IndexedFile(StoredFile):
    """A file as its segment's index describes it: in parts, too, so that a part of it can be read and be verified."""

    blocks: tuple[Digest, ...]
    """Digests of its consecutive `BLOCK_BYTES`; the last block is what is left."""

    @property
    def stored(self) -> StoredFile:
        """What commits keep of it."""
        return StoredFile(name=self.name, digest=self.digest, size_bytes=self.size_bytes, rows=self.rows)


class DropAccount(Frozen):
    """What became of one drop's records, as the writer counted. The gates count for themselves."""

    source: BlobRef
    records: int = Field(ge=0)
    valid_rows: int = Field(ge=0)
    quarantined_rows: int = Field(ge=0)


class SegmentIndex(Frozen):
    """The table of contents of a segment's folder; its digest names the folder."""

    format: Literal["hashgate/segment/v1"] = "hashgate/segment/v1"
    view: ViewRef
    drops: tuple[DropAccount, ...]
    files: tuple[IndexedFile, ...]

    def to_bytes(self) -> bytes:
        """Canonical JSON, as it is stored."""
        return canonical_bytes(self.model_dump(mode="json"))

    @classmethod
    def from_bytes(cls, data: bytes) -> SegmentIndex:
        """Read a stored index; ValueError when it is not one, or not canonical: its digest is that of its bytes."""
        index = cls.model_validate(parse_json(data))
        if index.to_bytes() != data:
            msg = f"it has digest {index.content} in canonical form, its bytes {digest_bytes(data)}"
            raise ValueError(msg)
        return index

    @property
    def stored_files(self) -> tuple[StoredFile, ...]:
        """The files as commits name them."""
        return tuple(file.stored for file in self.files)

    @property
    def content(self) -> Digest:
        """The segment's content digest: everything in the folder hangs on it."""
        return digest_bytes(self.to_bytes())


def cut_segments(inputs: Sequence[BlobRef]) -> tuple[tuple[BlobRef, ...], ...]:
    """Part a selection, in its order, into segments.

    The bounds depend on the drops around them only: an inserted drop moves at most the cuts up to the next natural
    one. Source: prolly trees (Noms, Dolt), with rolling hashes replaced by the drops' own digests.
    """
    segments: list[tuple[BlobRef, ...]] = []
    current: list[BlobRef] = []

    def close() -> None:
        if current:
            segments.append(tuple(current))
            current.clear()

    for drop in inputs:
        if drop.size_bytes >= ALONE_BYTES:
            close()
            segments.append((drop,))
            continue
        if len(current) >= MAXIMUM_DROPS or sum(d.size_bytes for d in current) + drop.size_bytes > MAXIMUM_BYTES:
            close()
        current.append(drop)
        if int(drop.digest[-4:], 16) & _CUT_BITS == 0:
            close()
    close()
    return tuple(segments)


def segment_view(
    contract: TableContract, parser: ParserIdentity, drops: Sequence[BlobRef], crashed: Collection[Digest] = ()
) -> View:
    """The recipe "these drops, read and judged row by row under these rules".

    Args:
        contract: The rules for rows.
        parser: What reads, judges and writes.
        drops: In selection order.
        crashed: Drops that are not read, because reading them ended the process. Only those among `drops` count: of
            sound ones the recipe is the same, whatever happened before.
    """
    refused = sorted({drop.digest for drop in drops}.intersection(crashed))
    parameters = {"rows": contract.rows_digest, "parser": parser.model_dump(mode="json")}
    return View(
        transform="urn:hashgate:segment:1",
        parameters=parameters | ({_CRASHED: refused} if refused else {}),
        inputs=tuple(drops),
    )


def crashed_drops(segment: View) -> frozenset[Digest]:
    """The drops of a segment that are refused without being read."""
    return frozenset(segment.parameters.get(_CRASHED, ()))


def partition_view(contract: TableContract, segments: Sequence[ViewRef]) -> View:
    """The recipe "these segments in this order, judged as a set"."""
    return View(transform="urn:hashgate:partition:1", parameters={"set": contract.set_digest}, inputs=tuple(segments))


def overlay_view(contract: TableContract, segments: Sequence[ViewRef]) -> View:
    """The recipe "records of these segments that repeat an earlier record's key"."""
    keys = [list(key) for key in contract.unique_keys]
    return View(transform="urn:hashgate:overlay:1", parameters={"unique_keys": keys}, inputs=tuple(segments))


def expected_partition_view(
    contract: TableContract, parser: ParserIdentity, inputs: Sequence[BlobRef], crashed: Collection[Digest] = ()
) -> View:
    """The partition's recipe straight from its selected drops: known before any work is done."""
    segments = [segment_view(contract, parser, drops, crashed) for drops in cut_segments(inputs)]
    return partition_view(contract, [segment.ref for segment in segments])
