"""The files of a run root as gates and locators see them, and the ledger of what was read.

What opens them is `resources.authority.run_roots`; here is only what is asked of it. Every file that is read leaves its
path, size and digest in the ledger: a law may not see everything (bytes that are put one after another do not tell
where a file ends), and the ledger does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import RawIOBase
from typing import Any, BinaryIO, Protocol, cast

from contracts.authority.evidence import Member
from contracts.errors import HashgateError, StoreError

READ_BYTES = 4 << 20
_WORTH_A_THREAD = 256 << 10


class RunFileError(HashgateError):
    """A file of a run root cannot be taken as evidence."""

    def __init__(self, *, path: str, problem: str, fix: str) -> None:
        super().__init__(f"{path!r}: {problem}. {fix}", path=path, problem=problem, fix=fix)


class UnsafePathError(RunFileError):
    """A path leads out of the run root, or over a link, or to something that is no regular file."""


class DocumentTooLargeError(RunFileError):
    """A flag, index or manifest is larger than one is."""


class ChangedFileError(RunFileError):
    """A file was read twice and was not the same."""


class RunFiles(Protocol):
    """A run root, read-only. Paths are below it, their names joined by `/`.

    Only "not found" is a KeyError; whatever else keeps a file from being read is an error of its own.
    """

    def listing(self, folder: str) -> list[str]:
        """The path of every file below a folder (`""`: of all), sorted as text; empty when there is no such folder.

        Raises:
            UnsafePathError: A link or special file lies there, or a name is no text.
        """

    def open(self, path: str) -> BinaryIO:
        """A file for reading; KeyError when there is none; UnsafePathError."""

    def read_document(self, path: str, limit_bytes: int) -> bytes:
        """A small file whole; KeyError when there is none; UnsafePathError, DocumentTooLargeError."""


@contextmanager
def told_reading(path: str) -> Iterator[None]:
    """What the disk says while a file is read, said as a StoreError."""
    try:
        yield
    except OSError as error:
        msg = f"run root file {path}: {error.strerror or error}. Mend the disk and try again: nothing was concluded."
        raise StoreError(msg, path=path, errno=error.errno) from error


class Ledger:
    """Reads files of a run root and keeps what each was: whoever needs it again is told, or it is hashed again."""

    def __init__(self, files: RunFiles) -> None:
        self.files = files
        self._members: dict[str, Member] = {}
        # one buffer for all files: a new one each time would cost more than hashing a small file
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._beside = ThreadPoolExecutor(1)

    def member(self, path: str) -> Member:
        """What a file is, read once; raises as `RunFiles.open`."""
        return self._members[path] if path in self._members else self.read_into(path, None)

    def document(self, path: str, limit_bytes: int) -> tuple[bytes, Member]:
        """A small file with what it is; raises as `RunFiles.read_document`."""
        data = self.files.read_document(path, limit_bytes)
        return data, self._note(path, len(data), hashlib.sha256(data).hexdigest())

    def read_into(self, path: str, law: Any) -> Member:
        """Hash a file, and give its bytes to the law's hash as well, if there is one.

        Raises:
            KeyError: There is no such file.
            ChangedFileError: It was read before, and was another.
        """
        own = hashlib.sha256()
        size = 0
        with self.files.open(path) as file, told_reading(path):
            while count := cast("RawIOBase", file).readinto(self._buffer):
                chunk = self._buffer[:count]
                size += count
                if law is not None and count >= _WORTH_A_THREAD:
                    beside = self._beside.submit(law.update, chunk)
                    own.update(chunk)
                    beside.result()  # before the buffer is filled anew
                else:
                    own.update(chunk)
                    if law is not None:
                        law.update(chunk)
        return self._note(path, size, own.hexdigest())

    def _note(self, path: str, size_bytes: int, sha256: str) -> Member:
        member = Member.model_construct(path=path, size_bytes=size_bytes, sha256=sha256, partition={})
        before = self._members.setdefault(path, member)
        if before != member:
            problem = f"it had SHA-256 {before.sha256} a moment ago, and has {sha256} now"
            raise ChangedFileError(path=path, problem=problem, fix="Nobody may write to a run root that has its flags.")
        return before
