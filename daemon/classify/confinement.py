"""Takes from a process what it does not need to decode: memory without end, other programs, and the network."""

import ctypes
import logging
import os
import platform
import resource
from pathlib import Path

from daemon.home.space import GIGABYTE

log = logging.getLogger(__name__)

_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC = 1, 1
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | 1  # with EPERM
# The kernel's numbers: of the architecture, of seccomp, and of what is refused (socket, socketpair, execve, ptrace,
# execveat, io_uring_setup: io_uring opens sockets, too).
_CALLS = {
    "x86_64": (0xC000003E, 317, (41, 53, 59, 101, 322, 425)),
    "aarch64": (0xC00000B7, 277, (198, 199, 221, 117, 281, 425)),
}


def confine(gigabytes: float) -> None:
    """For the rest of this process's life: so much more memory than it has now, no core dumps, no sockets, no programs.

    Needs no rights, and works inside a service's own limits.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _limit(resource.RLIMIT_DATA, _own_memory() + round(gigabytes * GIGABYTE))
    try:
        _refuse_calls()
    except OSError as error:
        log.warning(
            "decoders cannot be cut off from the network by the kernel (%s)", error.strerror
        )


def _own_memory() -> int:
    """Bytes that count against RLIMIT_DATA: numpy's threads alone may reserve a gigabyte where there are many cores."""
    return int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()


def _limit(kind: int, most: int) -> None:
    hard = resource.getrlimit(kind)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (most, most))


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_ushort),
        ("yes", ctypes.c_ubyte),
        ("no", ctypes.c_ubyte),
        ("value", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(_Instruction)))


def _refuse_calls() -> None:
    """A seccomp filter for all threads; see seccomp(2).

    Raises:
        OSError: this machine has none.
    """
    if platform.machine() not in _CALLS:
        raise OSError(0, f"unknown machine {platform.machine()}")
    architecture, seccomp, refused = _CALLS[platform.machine()]
    load, equal, at_least, answer = 0x20, 0x15, 0x35, 0x06
    program = [
        (load, 0, 0, 4),
        (equal, 1, 0, architecture),
        (answer, 0, 0, _REFUSE),
        (load, 0, 0, 0),
    ]
    # Numbers from here on are x86's third kind of call, with which the others could be got around.
    program += [(at_least, 0, 1, 0x40000000), (answer, 0, 0, _REFUSE)]
    for number in refused:
        program += [(equal, 0, 1, number), (answer, 0, 0, _REFUSE)]
    program += [(answer, 0, 0, _ALLOW)]
    instructions = (_Instruction * len(program))(*(_Instruction(*line) for line in program))
    libc = ctypes.CDLL(None, use_errno=True)
    given = ctypes.byref(_Program(len(program), instructions))
    whole = ctypes.c_ulong  # the width in which the kernel looks at arguments
    failed = libc.prctl(
        _PR_SET_NO_NEW_PRIVS, whole(1), whole(0), whole(0), whole(0)
    ) or libc.syscall(
        whole(seccomp), whole(_SECCOMP_SET_MODE_FILTER), whole(_SECCOMP_FILTER_FLAG_TSYNC), given
    )
    if failed:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
