"""Which file lies at a path, and how its name is shown.

The content of a file is not read: a huge file costs nothing until it is known to be whole.
"""

import contextlib
import fcntl
import os
import signal
import stat
from typing import NamedTuple


class Identity(NamedTuple):
    """Inode, size in bytes and modification time in nanoseconds.

    The device number is left out, because it can change at a reboot. That two files on different
    file systems have the same three values is practically impossible.
    """

    inode: int
    size: int
    mtime_ns: int


def identify(path: bytes, folder: int | None = None) -> Identity | None:
    """The identity of the regular file at `path`; None if there is no regular file.

    Links are not followed. Pipes and devices are not opened.

    Args:
        path: The file; its name if `folder` is given.
        folder: The descriptor of the folder that it lies in.

    Raises:
        OSError: it cannot be found out now (a share that is away, no permission).
    """
    try:
        info = os.stat(path, dir_fd=folder, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(info.st_mode):
        return None
    return Identity(_signed(info.st_ino), info.st_size, _signed(info.st_mtime_ns))


def is_there(*paths: bytes | None) -> bool:
    """Whether a regular file lies at one of these paths; True if that cannot be found out now."""
    try:
        return any(path is not None and identify(path) is not None for path in paths)
    except OSError:
        return True


def _signed(number: int) -> int:
    """The number as a signed one of 64 bits, as a database can store it.

    Some file systems have larger inodes, and a date may lie far in the future.
    """
    return (number + 2**63) % 2**64 - 2**63


def open_for_writing(path: bytes) -> bool | None:
    """Whether a process has the file open for writing; None if the kernel does not say.

    The kernel says it to the file's owner and to root: it refuses a read lease while there is a
    writer.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        # If a process opens the file while we hold the lease, the kernel sends us a signal. The
        # default one, SIGIO, would end this process; SIGURG does nothing.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:
        return None
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
