"""What a process of ours does to itself: it ends with its parent, keeps memory, takes few cores.

Each function changes the whole process. The daemon and its commands call them; the rest of the
library never does, since a notebook that uses it must stay as it was.
"""

import contextlib
import ctypes
import os
import re
import signal
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_MADV_DONTNEED = 4

# glibc's names for what `mallopt` sets (malloc.h).
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8

GROUPS = Path("/sys/fs/cgroup")
KEPT = 24 << 20  # bytes


def die_with(parent: int) -> None:
    """In a child process: end when the process that made it ends, however that ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def keep_freed_memory() -> None:
    """Let new arrays take the memory of freed ones, in one heap for all threads begun from now on.

    glibc would give freed memory back to the system, and would fetch and clear it again for the
    next layer or clip: that takes a tenth of all processor time. It would also have a heap for each
    thread. Another C library is left as it is. Arrays larger than what is kept, such as frames
    beyond 4K, come from the system as before.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(M_MMAP_THRESHOLD, KEPT)
        mallopt(M_TRIM_THRESHOLD, KEPT)
        mallopt(M_ARENA_MAX, 1)


def let_go_of_code() -> None:
    """Give the memory back that holds code of libraries, which the kernel reads again when it runs.

    Starting runs much code that is never run again, and the kernel maps what is near it, too: with
    the libraries of CUDA that is a fifth of a gigabyte, more or less from machine to machine. Only
    code: no address of it is ever written to. The files are in the cache of the system.
    """
    madvise = getattr(ctypes.CDLL(None), "madvise", None)
    if madvise is None:
        return
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/maps").read_text().splitlines():
            addresses, rights, _, _, inode, *_ = line.split()
            if rights == "r-xp" and inode != "0":
                first, end = (int(address, 16) for address in addresses.split("-"))
                madvise(ctypes.c_void_p(first), ctypes.c_size_t(end - first), _MADV_DONTNEED)


def limit_cores(most: int) -> None:
    """Let this process and its children run on so many processor cores at most; 0: on all.

    Called before libraries count the cores. The last ones are taken: the system does more of its
    own work on the first.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if 0 < most < len(allowed):
        for thread in Path("/proc/self/task").iterdir():
            with contextlib.suppress(ProcessLookupError):  # it has ended
                os.sched_setaffinity(int(thread.name), allowed[-most:])


def processor_name() -> str | None:
    """The processor's model, as the kernel names it; ARM's kernels name none."""
    with contextlib.suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(errors="replace")
        if found := re.search(r"^model name\s*: (.+)$", text, re.MULTILINE):
            return found[1]
    return None


def usable_cores() -> int:
    """How many processor cores this process may use: not those that a limit keeps from it.

    Such are `limit_cores`, `taskset`, and the limit of a container or of a service's CPUQuota.
    """
    allowed = len(os.sched_getaffinity(0))
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            if line.startswith("0::/"):
                return min(allowed, cores_of_group(GROUPS, line.removeprefix("0::/")) or allowed)
    return allowed


def cores_of_group(groups: Path, own: str) -> int | None:
    """How many cores' time a control group (version 2) gives, rounded up; None: no limit.

    Args:
        groups: Where the groups are.
        own: The path of the group there; a group above it may give less.
    """
    limits = []
    for folder in (groups / own, *(groups / own).parents):
        if folder.is_relative_to(groups):
            with contextlib.suppress(OSError, ValueError):  # none: "max 100000"
                quota, period = map(int, (folder / "cpu.max").read_text().split())
                limits.append(max(1, -(-quota // period)))
    return min(limits, default=None)
