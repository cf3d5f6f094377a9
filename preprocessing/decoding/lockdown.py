"""Take from a decoder process whatever decoding does not need: seccomp (Linux, man 2 seccomp).

A frame that takes over a decoder must find nothing to do: no file can be opened and no socket, no
program or thread started, no other process signalled, traced or read. What is not listed fails with
EPERM, so that a library which asks for more goes on without it.
"""

from __future__ import annotations

import ctypes
import platform
import struct
import sys

# System call: number on x86-64 and on 64-bit ARM (asm/unistd_64.h, asm-generic/unistd.h).
_ALLOWED = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "fstat": (5, 80),
    "recvfrom": (45, 207),
    "sendto": (44, 206),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "brk": (12, 214),
    "futex": (202, 98),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "restart_syscall": (219, 128),
    "setitimer": (38, 103),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "gettimeofday": (96, 169),
    "getrandom": (318, 278),
    "getpid": (39, 172),
    "gettid": (186, 178),
    "exit": (60, 93),
    "exit_group": (231, 94),
}
# Machine: its column above, its AUDIT_ARCH (linux/audit.h), its number of seccomp.
_MACHINES = {"x86_64": (0, 0xC000003E, 317), "aarch64": (1, 0xC00000B7, 277)}

# linux/bpf_common.h, linux/seccomp.h: an instruction is a code, two jumps and an operand.
_INSTRUCTION = struct.Struct("HBBI")
_LOAD, _IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_NUMBER, _ARCHITECTURE = 0, 4  # offsets in struct seccomp_data
_ALLOW, _FAIL_WITH_EPERM = 0x7FFF0000, 0x00050001
_PR_SET_NO_NEW_PRIVS = 38
_SET_MODE_FILTER, _ALL_THREADS = 1, 1


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def lock_down() -> bool:
    """Confine this process, all its threads and for good.

    Returns:
        Whether the system did so: macOS, an old kernel or a container's profile may not.
    """
    machine = _MACHINES.get(platform.machine())
    if sys.platform != "linux" or sys.maxsize < 1 << 32 or machine is None:
        return False
    column, architecture, seccomp = machine
    code = _filter(architecture, [numbers[column] for numbers in _ALLOWED.values()])
    program = _Program(len(code) // _INSTRUCTION.size, code)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        return False
    done: int = libc.syscall(seccomp, _SET_MODE_FILTER, _ALL_THREADS, ctypes.byref(program))
    return done == 0


def _filter(architecture: int, allowed: list[int]) -> bytes:
    """Write the filter: another architecture's calls and all that are not listed fail."""
    instructions = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_IF_EQUAL, 0, len(allowed) + 1, architecture),
        (_LOAD, 0, 0, _NUMBER),
        *((_IF_EQUAL, len(allowed) - n, 0, number) for n, number in enumerate(allowed)),
        (_RETURN, 0, 0, _FAIL_WITH_EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(_INSTRUCTION.pack(*each) for each in instructions)
