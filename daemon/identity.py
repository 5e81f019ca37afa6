"""What a file is, as it stands: told without reading it, so that huge files cost nothing before they count."""

import contextlib
import fcntl
import os
import signal
import stat
from typing import NamedTuple


class Identity(NamedTuple):
    """Inode, size in bytes and modification time in nanoseconds.

    The device number is left out: it can be another one after a reboot, and two file systems agreeing in all three
    of these is out of the question.
    """

    inode: int
    size: int
    mtime_ns: int


def identify(path: bytes) -> Identity | None:
    """The regular file at `path`; None where there is none. Links are not followed, pipes and devices not opened."""
    try:
        info = os.lstat(path)
    except OSError:
        return None
    return Identity(info.st_ino, info.st_size, info.st_mtime_ns) if stat.S_ISREG(info.st_mode) else None


def open_for_writing(path: bytes) -> bool:
    """Whether a process has the file open for writing; False where the kernel does not tell.

    It tells owners and root, by refusing a read lease while there is a writer.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        # Should someone open it meanwhile, the kernel signals us: with SIGURG, since SIGIO would end the process.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    return False


def base_name(path: bytes) -> bytes:
    """What follows the last slash."""
    return path.rpartition(b"/")[2]


def display_name(path: bytes) -> str:
    r"""The base name as text for people; bytes that are not UTF-8 are shown as `\xff`."""
    return base_name(path).decode("utf-8", "backslashreplace")
