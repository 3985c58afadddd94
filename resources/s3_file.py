"""An object in a bucket as a file to read: seekable, in ranges, and one and the same object from first to last byte."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

FIRST_READ_BYTES = 256 << 10
LARGEST_READ_BYTES = 8 << 20


class S3File(io.RawIOBase):
    """Fetches what is read and, as long as reading goes straight on, twice as much each time, up to 8 MiB."""

    def __init__(self, size_bytes: int, fetch: Callable[[int, int], bytes]) -> None:
        """Read an object of that size through `fetch(start, length)`, which raises rather than give fewer bytes."""
        super().__init__()
        self._size = size_bytes
        self._fetch = fetch
        self._position = 0
        self._held, self._held_from = memoryview(b""), 0
        self._ahead = FIRST_READ_BYTES

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Where the next read starts."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place; beyond the end nothing is read."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if start + offset < 0:
            msg = f"seek to {start + offset}, before the start"
            raise ValueError(msg)
        self._position = start + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill what is held into the buffer, or fetch it first."""
        target = memoryview(buffer).cast("B")
        if self._position >= self._size or not len(target):
            return 0
        if not 0 <= self._position - self._held_from < len(self._held):
            self._hold(len(target))
        piece = self._held[self._position - self._held_from :][: len(target)]
        target[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def _hold(self, wanted: int) -> None:
        goes_on = self._position == self._held_from + len(self._held)
        self._ahead = min(2 * self._ahead, LARGEST_READ_BYTES) if goes_on else FIRST_READ_BYTES
        length = min(max(wanted, self._ahead), self._size - self._position)
        self._held, self._held_from = memoryview(self._fetch(self._position, length)), self._position
