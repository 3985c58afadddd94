"""What the tracer asks of the Linux kernel on x86-64, by ctypes: ptrace(2), registers, a seccomp(2) filter."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path

SEIZE, CONTINUE, CONTINUE_TO_EXIT = 0x4206, 7, 24
_GET_REGISTERS, _SET_REGISTERS = 12, 13

TRACE_EVERYTHING = 1 | 2 | 4 | 8 | 16 | 1 << 7 | 1 << 20
"""TRACESYSGOOD, all children and threads, exec, seccomp; and that nothing outlives the tracer (EXITKILL)."""

EVENT_SECCOMP = 7
EXIT_STOP = 5 | 0x80
"""SIGTRAP, marked by TRACESYSGOOD: a call that was continued to its exit has come to it."""

ARGUMENTS = ("rdi", "rsi", "rdx", "r10", "r8", "r9")
AT_FDCWD = -100

_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _SECCOMP_MODE_FILTER = 22, 38, 2
_RET_TRACE, _RET_ALLOW = 0x7FF00000, 0x7FFF0000
_BPF_LOAD_WORD, _BPF_JUMP_EQUAL, _BPF_RETURN = 0x20, 0x15, 0x06
_PAGE_BYTES, _PATH_BYTES, _READ_BYTES = 4096, 4096, 256


class Registers(ctypes.Structure):
    """`user_regs_struct` of <sys/user.h>."""

    _fields_ = [
        (name, ctypes.c_ulonglong)
        for name in (
            "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi",
            "orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs",
        )
    ]  # fmt: skip

    @classmethod
    def of(cls, thread: int) -> Registers:
        """Those of a stopped thread."""
        registers = cls()
        ptrace(_GET_REGISTERS, thread, ctypes.addressof(registers))
        return registers

    def write_to(self, thread: int) -> None:
        """Make them those of a stopped thread."""
        ptrace(_SET_REGISTERS, thread, ctypes.addressof(self))

    @property
    def number(self) -> int:
        """Of the system call."""
        return int(self.orig_rax)

    def argument(self, position: int) -> int:
        """Of the system call, from 0."""
        return int(getattr(self, ARGUMENTS[position]))

    def refuse(self, errno: int) -> None:
        """At the entry of a call: it is not performed, and gives this error."""
        self.orig_rax = 2**64 - 1
        self.rax = 2**64 - errno

    def halve(self) -> None:
        """At the entry of a write: it is to write half of what it was to write."""
        self.rdx //= 2

    @property
    def failed(self) -> bool:
        """At the exit of a call: whether it gives an error."""
        return int(self.rax) >= 2**63

    def deny(self, errno: int) -> None:
        """At the exit of a call: it gives this error, unless it gives one already."""
        if not self.failed:
            self.rax = 2**64 - errno


class _Instruction(ctypes.Structure):
    """`sock_filter` of <linux/filter.h>."""

    _fields_ = [
        ("code", ctypes.c_ushort), ("if_true", ctypes.c_ubyte), ("if_false", ctypes.c_ubyte), ("value", ctypes.c_uint)
    ]  # fmt: skip


class _Program(ctypes.Structure):
    """`sock_fprog` of <linux/filter.h>."""

    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(_Instruction))]


_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
_libc.ptrace.restype = ctypes.c_long
_libc.prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong)


def ptrace(request: int, thread: int, data: int | None = None) -> None:
    """Ask; OSError when the kernel refuses (ESRCH: the thread is gone)."""
    if _libc.ptrace(request, thread, None, data) == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"ptrace: {os.strerror(number)}")


def stop_at(numbers: Sequence[int] | None) -> None:
    """Have the kernel stop this process, its threads and children at each of these system calls; None: at every one."""
    listed = sorted(numbers or ())
    code = [_Instruction(_BPF_LOAD_WORD, 0, 0, 0)]  # offset 0 of `seccomp_data`: the call's number
    code += [_Instruction(_BPF_JUMP_EQUAL, len(listed) - at, 0, number) for at, number in enumerate(listed)]
    code += [_Instruction(_BPF_RETURN, 0, 0, _RET_TRACE if numbers is None else _RET_ALLOW)]
    code += [_Instruction(_BPF_RETURN, 0, 0, _RET_TRACE)]
    program = _Program(len(code), (_Instruction * len(code))(*code))
    where = ctypes.cast(ctypes.byref(program), ctypes.c_void_p)
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, None, 0, 0) or _libc.prctl(
        _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, where, 0, 0
    ):
        number = ctypes.get_errno()
        raise OSError(number, f"seccomp: {os.strerror(number)}")


def descriptor_path(thread: int, descriptor: int) -> str:
    """What a descriptor of a thread (as it stands in a register) is open on; empty when it is not open."""
    number = ctypes.c_int(descriptor & 0xFFFFFFFF).value
    link = Path("/proc", str(thread), "cwd" if number == AT_FDCWD else f"fd/{number}")
    try:
        return os.fspath(link.readlink())
    except OSError:
        return ""


def text_at(thread: int, address: int) -> str:
    """A path in a stopped thread's memory."""
    if not address:
        return ""
    data = b""
    with Path("/proc", str(thread), "mem").open("rb", buffering=0) as memory:
        memory.seek(address)
        while b"\0" not in data and len(data) < _PATH_BYTES:
            page_end = _PAGE_BYTES - (address + len(data)) % _PAGE_BYTES
            data += memory.read(min(page_end, _READ_BYTES))
    return os.fsdecode(data.partition(b"\0")[0])
