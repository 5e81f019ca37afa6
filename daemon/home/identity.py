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
    """The regular file at `path`; None where there is none. Links are not followed, pipes and devices not opened.

    Raises:
        OSError: it cannot be told now (a share that is away, no permission).
    """
    try:
        info = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(info.st_mode):
        return None
    return Identity(_signed(info.st_ino), info.st_size, _signed(info.st_mtime_ns))


def _signed(number: int) -> int:
    """Into the 64 bits of a database: some file systems give inodes above, and a date may lie far in the future."""
    return (number + 2**63) % 2**64 - 2**63


def open_for_writing(path: bytes) -> bool | None:
    """Whether a process has the file open for writing; None where the kernel does not tell.

    It tells owners and root, by refusing a read lease while there is a writer.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        # Should someone open it meanwhile, the kernel signals us: with SIGURG, since SIGIO would end the process.
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


def printable(text: str) -> str:
    """Text of unknown origin as it may be shown: no control character reaches a terminal or forges a line of a log."""
    text = os.fsencode(text).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
