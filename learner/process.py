"""What a process of ours does to itself: it ends with its parent, and keeps the memory that it freed."""

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """In a child process: end when the process that made it ends, however that ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


# glibc's names for what `mallopt` sets (malloc.h), and bytes.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8


KEPT = 24 << 20


def keep_freed_memory() -> None:
    """Have arrays take the memory of those before them, in one heap for all threads begun from now on.

    glibc would give what is freed back to the system, to fetch and clear it anew for the next layer or clip, which
    takes a tenth of all processor time, and would have a heap for each thread. Another C library is left as it is.
    Arrays larger than what is kept, such as frames beyond 4K, come from the system as before.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        for name, value in ((M_MMAP_THRESHOLD, KEPT), (M_TRIM_THRESHOLD, KEPT), (M_ARENA_MAX, 1)):
            mallopt(name, value)
