"""Takes from a process what decoding does not need: memory, programs, the network, writing."""

import ctypes
import errno
import logging
import os
import platform
import resource
from pathlib import Path

from daemon.classify.system_calls import (
    MACHINES,
    MISSING,
    REFUSED,
    SECCOMP,
    Condition,
    conditions,
)
from daemon.home.space import GIGABYTE

log = logging.getLogger(__name__)

_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_SET_MODE_FILTER = 1
_SECCOMP_FILTER_FLAG_TSYNC = 1
_ALLOW = 0x7FFF0000
_FAIL = 0x00050000  # with the number of an error
# Instructions of a filter (linux/bpf_common.h), and where it finds what (struct seccomp_data).
_LOAD = 0x20
_IF_EQUAL = 0x15
_IF_AT_LEAST = 0x35
_IF_ANY_BIT = 0x45
_RETURN = 0x06
_NUMBER_AT = 0
_ARCHITECTURE_AT = 4
_ARGUMENTS_AT = 16  # 8 bytes each; the lower half comes first, and holds all that is looked at here
_FIRST_X32 = 0x40000000

Step = tuple[int, int, int, int]
"""The fields of `_Instruction`."""


def confine(gigabytes: float) -> None:
    """Limit this process for the rest of its life; needs no rights.

    It gets so much more memory than it has now. It can dump no core, open no socket, start no
    program and no other process, write to no file but those that are open, change or lock none, and
    do nothing to other processes. This works inside the limits of a systemd service, too.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _limit(resource.RLIMIT_DATA, _own_memory() + round(gigabytes * GIGABYTE))
    try:
        _refuse_calls()
    except OSError as error:
        text = "the kernel cannot confine decoders: a file may use the network, and write (%s)"
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
    if platform.machine() not in MACHINES:
        raise OSError(0, f"unknown machine {platform.machine()}")
    architecture, place = MACHINES[platform.machine()]
    seccomp = SECCOMP[place]
    program = _filter(architecture, place)
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


def _filter(architecture: int, place: int) -> list[Step]:
    """The steps of the filter.

    It refuses every call of another architecture, and all of x86's third kind of calls (x32): the
    same calls have other numbers there.
    """
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_IF_EQUAL, 1, 0, architecture),
        _failing(errno.EPERM),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_IF_AT_LEAST, 0, 1, _FIRST_X32),
        _failing(errno.EPERM),
    ]
    for numbers in REFUSED:
        program += _if_called(numbers[place], [_failing(errno.EPERM)])
    for numbers in MISSING:
        program += _if_called(numbers[place], [_failing(errno.ENOSYS)])
    for condition in conditions(os.getpid()):
        program += _if_called(condition.numbers[place], _judged(condition))
    return [*program, (_RETURN, 0, 0, _ALLOW)]


def _if_called(number: int | None, steps: list[Step]) -> list[Step]:
    """The steps for a call; they end in a return."""
    return [] if number is None else [(_IF_EQUAL, 0, len(steps), number), *steps]


def _judged(condition: Condition) -> list[Step]:
    allow = (_RETURN, 0, 0, _ALLOW)
    refuse = _failing(errno.EPERM)
    steps = [(_LOAD, 0, 0, _ARGUMENTS_AT + 8 * condition.argument)]
    for value in condition.allowed:
        steps += [(_IF_EQUAL, 0, 1, value), allow]
    if condition.without:
        steps += [(_IF_ANY_BIT, 1, 0, condition.without), allow]
    if condition.only_with:
        steps += [(_IF_ANY_BIT, 0, 1, condition.only_with), allow]
    return [*steps, refuse]


def _failing(error: int) -> Step:
    return _RETURN, 0, 0, _FAIL | error
