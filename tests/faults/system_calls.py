"""The system calls by which a process changes or looks at files, on Linux and x86-64: numbers, and where the file is.

This is the whole list of the harness: which of a writer's calls go wrong follows from the calls it makes. A test
shows that a writer makes no other call but those that cannot touch a file.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum


class Place(StrEnum):
    """How an argument of a call names a file."""

    DESCRIPTOR = "descriptor"
    PATH = "path"
    BELOW = "below"
    """A folder's descriptor, and in the next argument a path from there."""


@dataclass(frozen=True, slots=True)
class SystemCall:
    """One kind of call: its number, and its arguments that name files (position and manner)."""

    name: str
    number: int
    files: tuple[tuple[int, Place], ...]
    changes: bool


@dataclass(frozen=True, slots=True)
class Call:
    """One call that a traced process made, at the moment of its entry."""

    name: str
    paths: tuple[str, ...]
    """Absolute, as the kernel knows them."""
    by_descriptor: bool
    """Whether the file was open already, or is named by its path."""
    changes: bool
    length: int = 0
    """Of a write: how many bytes it wants to write."""
    creates: bool = False
    """Of an open: whether it may create the file."""

    def __str__(self) -> str:
        return f"{self.name} {' -> '.join(self.paths)}{f' ({self.length} bytes)' if self.length else ''}"


def _calls(changes: bool, *listed: tuple[str, int, int, Place]) -> list[SystemCall]:
    return [SystemCall(name, number, ((position, place),), changes) for name, number, position, place in listed]


_FD, _PATH, _AT = Place.DESCRIPTOR, Place.PATH, Place.BELOW

_WRITES = _calls(
    True, ("write", 1, 0, _FD), ("pwrite64", 18, 0, _FD), ("writev", 20, 0, _FD),
    ("pwritev", 296, 0, _FD), ("pwritev2", 328, 0, _FD),
)  # fmt: skip
_SYNCS = _calls(
    True, ("fsync", 74, 0, _FD), ("fdatasync", 75, 0, _FD), ("sync_file_range", 277, 0, _FD), ("syncfs", 306, 0, _FD)
)
_OPENS = _calls(
    False, ("open", 2, 0, _PATH), ("openat", 257, 0, _AT), ("openat2", 437, 0, _AT), ("creat", 85, 0, _PATH)
)
_OTHER_CHANGES = _calls(
    True,
    ("sendfile", 40, 0, _FD), ("splice", 275, 2, _FD), ("copy_file_range", 326, 2, _FD),
    ("truncate", 76, 0, _PATH), ("ftruncate", 77, 0, _FD), ("fallocate", 285, 0, _FD),
    ("mkdir", 83, 0, _PATH), ("mkdirat", 258, 0, _AT), ("rmdir", 84, 0, _PATH),
    ("unlink", 87, 0, _PATH), ("unlinkat", 263, 0, _AT),
    ("symlink", 88, 1, _PATH), ("symlinkat", 266, 1, _AT), ("mknod", 133, 0, _PATH), ("mknodat", 259, 0, _AT),
    ("chmod", 90, 0, _PATH), ("fchmod", 91, 0, _FD), ("fchmodat", 268, 0, _AT), ("fchmodat2", 452, 0, _AT),
    ("chown", 92, 0, _PATH), ("fchown", 93, 0, _FD), ("lchown", 94, 0, _PATH), ("fchownat", 260, 0, _AT),
    ("utime", 132, 0, _PATH), ("utimes", 235, 0, _PATH), ("utimensat", 280, 0, _AT), ("futimesat", 261, 0, _AT),
    ("setxattr", 188, 0, _PATH), ("lsetxattr", 189, 0, _PATH), ("fsetxattr", 190, 0, _FD),
    ("removexattr", 197, 0, _PATH), ("lremovexattr", 198, 0, _PATH), ("fremovexattr", 199, 0, _FD),
)  # fmt: skip
_TWO_NAMES = [
    SystemCall("rename", 82, ((0, _PATH), (1, _PATH)), True),
    SystemCall("renameat", 264, ((0, _AT), (2, _AT)), True),
    SystemCall("renameat2", 316, ((0, _AT), (2, _AT)), True),
    SystemCall("link", 86, ((0, _PATH), (1, _PATH)), True),
    SystemCall("linkat", 265, ((0, _AT), (2, _AT)), True),
]
_LOOKS = _calls(
    False,
    ("read", 0, 0, _FD), ("pread64", 17, 0, _FD), ("readv", 19, 0, _FD), ("preadv", 295, 0, _FD),
    ("preadv2", 327, 0, _FD), ("getdents", 78, 0, _FD), ("getdents64", 217, 0, _FD),
    ("stat", 4, 0, _PATH), ("lstat", 6, 0, _PATH), ("fstat", 5, 0, _FD), ("newfstatat", 262, 0, _AT),
    ("statx", 332, 0, _AT), ("access", 21, 0, _PATH), ("faccessat", 269, 0, _AT), ("faccessat2", 439, 0, _AT),
    ("readlink", 89, 0, _PATH), ("readlinkat", 267, 0, _AT), ("statfs", 137, 0, _PATH), ("fstatfs", 138, 0, _FD),
)  # fmt: skip

FILE_CALLS = {call.number: call for call in [*_WRITES, *_SYNCS, *_OPENS, *_OTHER_CHANGES, *_TWO_NAMES, *_LOOKS]}
"""By number: every call that can change a file or a folder or look into one, but for mapping it into memory."""

WRITES = frozenset(call.name for call in _WRITES)
SYNCS = frozenset(call.name for call in _SYNCS)
REMOVALS = frozenset({"unlink", "unlinkat", "rmdir"})
OPENS = frozenset(call.name for call in _OPENS)
TAKES_SPACE = WRITES | {
    "sendfile", "splice", "copy_file_range", "fallocate", "mkdir", "mkdirat", "symlink", "symlinkat", "rename",
    "renameat", "renameat2", "link", "linkat",
}  # fmt: skip
"""What a full disk refuses; an open that creates does, too."""

TOUCHES_NO_FILE = {
    "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12, "mremap": 25, "msync": 26, "madvise": 28,
    "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "sigaltstack": 131, "tgkill": 234,
    "ioctl": 16, "lseek": 8, "close": 3, "close_range": 436, "dup": 32, "dup2": 33, "dup3": 292, "fcntl": 72,
    "flock": 73, "fadvise64": 221, "pipe": 22, "pipe2": 293, "poll": 7, "ppoll": 271, "select": 23, "eventfd2": 290,
    "epoll_create1": 291, "epoll_ctl": 233, "epoll_wait": 232, "epoll_pwait": 281, "memfd_create": 319,
    "socketpair": 53, "socket": 41, "sendto": 44, "recvfrom": 45, "recvmsg": 47, "sendmsg": 46, "shutdown": 48,
    "connect": 42, "setsockopt": 54, "getsockopt": 55, "getsockname": 51, "getpeername": 52,
    "futex": 202, "futex_waitv": 449, "clone": 56, "clone3": 435, "exit": 60, "exit_group": 231, "wait4": 61,
    "set_robust_list": 273, "get_robust_list": 274, "rseq": 334, "set_tid_address": 218, "arch_prctl": 158,
    "prctl": 157, "seccomp": 317, "membarrier": 324, "prlimit64": 302, "getrlimit": 97, "getrusage": 98,
    "sched_yield": 24, "sched_getaffinity": 204, "sched_setaffinity": 203, "sched_getparam": 143,
    "sched_getscheduler": 145, "getcpu": 309, "set_mempolicy": 238, "get_mempolicy": 239, "mbind": 237,
    "nanosleep": 35, "clock_nanosleep": 230, "clock_gettime": 228, "clock_getres": 229, "gettimeofday": 96,
    "timerfd_create": 283, "getitimer": 36, "setitimer": 38, "alarm": 37, "times": 100,
    "getpid": 39, "gettid": 186, "getppid": 110, "getuid": 102, "geteuid": 107, "getgid": 104, "getegid": 108,
    "getrandom": 318, "uname": 63, "sysinfo": 99, "getcwd": 79, "umask": 95, "restart_syscall": 219, "kill": 62,
    "setpriority": 141, "getpriority": 140, "capget": 125, "getgroups": 115, "getresuid": 118, "getresgid": 120,
}  # fmt: skip
"""Calls that change no file and take nothing from one. (SQLite's mapping of its shared-memory index is scratch: the
database is rebuilt from its log when the processes that had it open are gone. Locks end with their process.)"""


def opens_for_change(flags: int) -> bool:
    """Whether an open may create or change the file."""
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
