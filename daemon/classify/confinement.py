"""Takes from a process what decoding does not need: endless memory, other programs, the network."""

import ctypes
import errno
import logging
import os
import platform
import resource
from pathlib import Path

from daemon.home.space import GIGABYTE

log = logging.getLogger(__name__)

_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_SET_MODE_FILTER = 1
_SECCOMP_FILTER_FLAG_TSYNC = 1
_ALLOW = 0x7FFF0000
_REFUSE = 0x00050000 | errno.EPERM
# For each machine: the kernel's number of the architecture, the number of the call `seccomp`, and
# the numbers of the calls that are refused: socket, socketpair, execve, ptrace, execveat, and
# io_uring_setup, because io_uring opens sockets, too.
_CALLS = {
    "x86_64": (0xC000003E, 317, (41, 53, 59, 101, 322, 425)),
    "aarch64": (0xC00000B7, 277, (198, 199, 221, 117, 281, 425)),
}
# Instructions of a filter (linux/bpf_common.h), and where it finds what (struct seccomp_data).
_LOAD = 0x20
_IF_EQUAL = 0x15
_IF_AT_LEAST = 0x35
_RETURN = 0x06
_NUMBER_AT = 0
_ARCHITECTURE_AT = 4
_FIRST_X32 = 0x40000000


def confine(gigabytes: float) -> None:
    """Limit this process for the rest of its life; needs no rights.

    It gets so much more memory than it has now, and no core dumps, no sockets, no other programs.
    This works inside the limits of a systemd service, too.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _limit(resource.RLIMIT_DATA, _own_memory() + round(gigabytes * GIGABYTE))
    try:
        _refuse_calls()
    except OSError as error:
        text = "the kernel cannot cut decoders off from the network (%s)"
        log.warning(text, error.strerror)


def _own_memory() -> int:
    """Bytes that count against RLIMIT_DATA.

    On a machine with many cores, numpy's threads alone may reserve a gigabyte.
    """
    data_pages = int(Path("/proc/self/statm").read_text().split()[5])
    return data_pages * resource.getpagesize()


def _limit(kind: int, most: int) -> None:
    hard = resource.getrlimit(kind)[1]
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(kind, (most, most))


class _Instruction(ctypes.Structure):
    """One step of a filter: `yes` and `no` are how many steps to skip (struct sock_filter)."""

    _fields_ = (
        ("code", ctypes.c_ushort),
        ("yes", ctypes.c_ubyte),
        ("no", ctypes.c_ubyte),
        ("value", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(_Instruction)))


def _refuse_calls() -> None:
    """Install a seccomp filter for all threads; see seccomp(2).

    Raises:
        OSError: this machine cannot do that.
    """
    if platform.machine() not in _CALLS:
        raise OSError(0, f"unknown machine {platform.machine()}")
    architecture, seccomp, refused = _CALLS[platform.machine()]
    program = _filter(architecture, refused)
    instructions = (_Instruction * len(program))(*(_Instruction(*step) for step in program))
    filter_program = ctypes.byref(_Program(len(program), instructions))
    libc = ctypes.CDLL(None, use_errno=True)
    long = ctypes.c_ulong  # the kernel looks at arguments of this width
    # Without rights, a filter is allowed only to a process that can gain none.
    failed = libc.prctl(_PR_SET_NO_NEW_PRIVS, long(1), long(0), long(0), long(0))
    if not failed:
        mode = long(_SECCOMP_SET_MODE_FILTER)
        all_threads = long(_SECCOMP_FILTER_FLAG_TSYNC)
        failed = libc.syscall(long(seccomp), mode, all_threads, filter_program)
    if failed:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _filter(architecture: int, refused: tuple[int, ...]) -> list[tuple[int, int, int, int]]:
    """The steps of the filter, as the fields of `_Instruction`: it refuses these calls.

    It refuses every call of another architecture, and all of x86's third kind of calls (x32): the
    same calls have other numbers there.
    """
    refuse = (_RETURN, 0, 0, _REFUSE)
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_IF_EQUAL, 1, 0, architecture),
        refuse,
        (_LOAD, 0, 0, _NUMBER_AT),
        (_IF_AT_LEAST, 0, 1, _FIRST_X32),
        refuse,
    ]
    for number in refused:
        program += [(_IF_EQUAL, 0, 1, number), refuse]
    return [*program, (_RETURN, 0, 0, _ALLOW)]
