"""From a drop's bytes to UTF-8: compression off, encoding changed, both as a stream.

Compression that is broken refuses the file, because nothing after the break can be trusted to be where it belongs.
Text that cannot be decoded refuses nothing here: each such place becomes bytes that are no UTF-8 either, so that
whoever reads records refuses exactly the record it lies in. Nothing is guessed: `auto` goes by the magic number alone.
A file that becomes too large is refused as soon as that is certain; which file is, does not depend on how it is cut.
"""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Iterable, Iterator
from typing import Literal

import pyarrow as pa

from contracts.errors import DropError
from contracts.reasons import Reason
from contracts.table_contract import RATIO_FROM_BYTES, Expansion

Compression = Literal["auto", "none", "gzip", "zstd"]

_BLOCK_BYTES = 4 << 20
_COMPRESSED_BYTES = 64 << 10
_GZIP_MAGIC, _ZSTD_MAGIC = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_BYTE_ORDERS = {"utf-16": (b"\xfe\xff", "utf-16-be"), "utf-32": (b"\0\0\xfe\xff", "utf-32-be")}
"""Python's own decoders of these raise, past any error handler, where the mark is missing."""
_INVALID = "hashgate-invalid"
_REFUSED = frozenset({"hz", "idna", "punycode", "unicode-escape", "raw-unicode-escape", "utf-7"})


class UndecodableError(DropError):
    """A file cannot be read at all: its compression is broken, or it is not the format it should be."""

    def __init__(self, *, reason: Reason, where: str, problem: str) -> None:
        super().__init__(
            f"{reason}: {where}: {problem}. {reason.fix}", reason=reason, where=where, problem=problem, fix=reason.fix
        )


def decode_chunks(
    chunks: Iterable[bytes],
    compression: Compression,
    encoding: str,
    *,
    limit: Expansion | None = None,
    size_bytes: int | None = None,
) -> Iterator[bytes]:
    """Decompress and transcode to UTF-8, lazily and in bounded memory.

    Args:
        chunks: The drop's bytes in order, cut anywhere.
        compression: `auto` decides between gzip, zstd and none by the first bytes.
        encoding: What `text_encoding` accepts. UTF-8 passes through untouched, byte order mark and errors included.
            UTF-16 and UTF-32 go by their byte order mark, and are little-endian without one (as on the web).
        limit: How large it may become; None: as large as it is.
        size_bytes: How much `chunks` are together. Without it, a ratio is judged at the end only.

    Raises:
        ValueError: `encoding` is none this can read.
        UndecodableError: While iterating; the compressed data is broken, cut short, or becomes too large.
    """
    codec = text_encoding(encoding)
    plain = _decompress(_Source(chunks), compression, limit, size_bytes)
    return plain if codec == "utf-8" else _transcode(_Source(plain), codec)


def text_encoding(name: str) -> str:
    """The normal name of an encoding that a file may be declared in.

    Encodings that switch alphabets by escape sequences (ISO 2022, HZ, UTF-7) are left out: there one lost byte changes
    the meaning of all that follows, so no record could be judged by itself.

    Raises:
        ValueError: Python has no such codec, or it is not one of text, or one of those.
    """
    try:
        "a".encode(name)  # refuses codecs that turn bytes into bytes, such as base64
        codec = codecs.lookup(name).name.replace("_", "-")
    except (LookupError, ValueError):
        codec = ""
    if not codec or codec in _REFUSED or codec.startswith("iso2022"):
        msg = f"{name!r} is no text encoding this platform reads: use utf-8, utf-16, cp1252, iso8859-1 or the like"
        raise ValueError(msg)
    return "utf-8" if codec == "utf-8-sig" else codec


def _transcode(source: _Source, codec: str) -> Iterator[bytes]:
    if codec in _BYTE_ORDERS:
        codec = _byte_order(source, codec)
    decoder = codecs.getincrementaldecoder(codec)(errors=_INVALID)
    for chunk in source:
        if text := decoder.decode(chunk):
            yield text.encode("utf-8", "surrogatepass")
    if text := decoder.decode(b"", final=True):
        yield text.encode("utf-8", "surrogatepass")


def _byte_order(source: _Source, codec: str) -> str:
    """The codec with the byte order that the mark at the start says; the mark is taken off."""
    mark, codec_if_big = _BYTE_ORDERS[codec]
    if source.peek(len(mark)) == mark:
        source.read(len(mark))
        return codec_if_big
    if source.peek(len(mark)) == mark[::-1]:
        source.read(len(mark))
    return f"{codec}-le"


def _mark_invalid(error: UnicodeError) -> tuple[str, int]:
    """A lone surrogate for each undecodable stretch; encoded with surrogatepass it is no valid UTF-8."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\udcff", error.end


codecs.register_error(_INVALID, _mark_invalid)


def _decompress(
    source: _Source, compression: Compression, limit: Expansion | None, size_bytes: int | None
) -> Iterator[bytes]:
    if compression == "auto":
        compression = _by_magic(source.peek(len(_ZSTD_MAGIC)))
    if compression == "none":
        return iter(source)
    plain = _gunzip(source) if compression == "gzip" else _unzstd(source)
    return plain if limit is None else _limited(plain, source, compression, limit, size_bytes)


def _limited(
    plain: Iterator[bytes], source: _Source, codec: str, limit: Expansion, size_bytes: int | None
) -> Iterator[bytes]:
    most, produced = limit.max_bytes if size_bytes is None else limit.most_bytes(size_bytes), 0
    for chunk in plain:
        produced += len(chunk)
        if produced > most:
            raise too_large(limit, f"{codec} data", most)
        yield chunk
    if produced > (most := limit.most_bytes(source.position)):
        raise too_large(limit, f"{codec} data", most)


def too_large(limit: Expansion, where: str, most: int) -> UndecodableError:
    """The error for a file that becomes larger than `most`, which the limit makes of its size."""
    by_ratio = f"maxRatio is {limit.max_ratio} to the file's size, from {RATIO_FROM_BYTES:,} bytes on"
    by_size = f"maxBytes is {limit.max_bytes:,}"
    problem = f"decompressed it is larger than {most:,} bytes: {by_ratio if most < limit.max_bytes else by_size}"
    return UndecodableError(reason=Reason.DECOMPRESSED_TOO_LARGE, where=where, problem=problem)


def _by_magic(head: bytes) -> Compression:
    if head.startswith(_GZIP_MAGIC):
        return "gzip"
    return "zstd" if head.startswith(_ZSTD_MAGIC) else "none"


class _Source:
    """Chunks that can be peeked at, and read like a file, which is how decompressors want them."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._head = memoryview(b"")
        self.position = 0
        self.closed = False

    def close(self) -> None:
        """Part of what Arrow calls a file."""
        self.closed = True

    def __iter__(self) -> Iterator[bytes]:
        if self._head:
            yield bytes(self._head)
        yield from self._chunks

    def peek(self, size: int) -> bytes:
        """The next `size` bytes without moving on; fewer only at the end."""
        while len(self._head) < size and (chunk := next(self._chunks, None)) is not None:
            self._head = memoryview(bytes(self._head) + chunk)
        return bytes(self._head[:size])

    def read(self, size: int) -> bytes:
        """At most `size` bytes; none only at the end."""
        while not self._head:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._head = memoryview(chunk)
        data, self._head = bytes(self._head[:size]), self._head[size:]
        self.position += len(data)
        return data


def _gunzip(source: _Source) -> Iterator[bytes]:
    """All members of a gzip file, one after the other; zeros after the last are padding, as for gzip itself."""
    member = zlib.decompressobj(_GZIP_WINDOW)
    data, members = source.read(_COMPRESSED_BYTES), 0
    while data:
        try:
            plain = member.decompress(data, _BLOCK_BYTES)
        except zlib.error as error:
            raise _broken(source, codec="gzip", problem=str(error)) from None
        if plain:
            yield plain
        if member.eof:
            members += 1
            data = _after_padding(member.unused_data, source)
            member = zlib.decompressobj(_GZIP_WINDOW)
            if not data:
                return
        else:
            data = member.unconsumed_tail or source.read(_COMPRESSED_BYTES)
    if source.position:
        raise _broken(source, codec="gzip", problem=f"the file ends inside compressed member {members + 1}")


def _after_padding(data: bytes, source: _Source) -> bytes:
    while not (data := data.lstrip(b"\0")):
        data = source.read(_COMPRESSED_BYTES)
        if not data:
            break
    return data


def _unzstd(source: _Source) -> Iterator[bytes]:
    """All frames of a zstd file, one after the other."""
    with pa.PythonFile(source, mode="r") as file, pa.CompressedInputStream(file, "zstd") as stream:
        while True:
            try:
                plain = stream.read(_BLOCK_BYTES)
            except OSError as error:
                raise _broken(source, codec="zstd", problem=str(error)) from None
            if not plain:
                return
            yield plain


def _broken(source: _Source, *, codec: str, problem: str) -> UndecodableError:
    return UndecodableError(
        reason=Reason.UNDECODABLE_COMPRESSION,
        where=f"{codec} data, before compressed byte {source.position}",
        problem=problem,
    )
