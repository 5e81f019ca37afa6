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
    """Tells a file from all others that are there at the same time.

    Files on two file systems may have the same inode, size and date: memory cards number their
    files alike, and a snapshot shows the files of its original.
    """

    device: int | None
    """The number of the file system. It may change at a reboot, or when a disk is mounted again.
    None: not known, in rows that an older vidwatch wrote."""
    inode: int
    size: int
    """Bytes."""
    mtime_ns: int
    """The modification time in nanoseconds."""

    def has_numbers_of(self, other: "Identity | None") -> bool:
        """Whether all but the device is the same.

        At one and the same path that is enough: a device gets another number by itself.
        """
        return other is not None and self[1:] == other[1:]


class Version(NamedTuple):
    """A file as it was at one moment.

    A program can write to a file and then set its size and date to what they were. It cannot set
    the time of the last change (ctime).
    """

    identity: Identity
    ctime_ns: int
    """In nanoseconds. A new name, mode or hard link changes it, too."""


def identify(path: bytes, folder: int | None = None) -> Identity | None:
    """The identity of the regular file at `path`; None if there is no regular file.

    Links are not followed. Pipes and devices are not opened.

    Args:
        path: The file; its name if `folder` is given.
        folder: The descriptor of the folder that it lies in.

    Raises:
        OSError: it cannot be found out now (a share that is away, no permission).
    """
    version = version_of(path, folder)
    return version.identity if version else None


def version_of(path: bytes, folder: int | None = None) -> Version | None:
    """The version of the regular file at `path`, as `identify` gives its identity."""
    try:
        info = os.stat(path, dir_fd=folder, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return _version(info) if stat.S_ISREG(info.st_mode) else None


def version_of_open(descriptor: int) -> Version:
    """The version of an open file."""
    return _version(os.fstat(descriptor))


def _version(info: os.stat_result) -> Version:
    numbers = (_signed(info.st_dev), _signed(info.st_ino), info.st_size, _signed(info.st_mtime_ns))
    return Version(Identity(*numbers), _signed(info.st_ctime_ns))


def lies_at(path: bytes, identity: Identity) -> bool:
    """Whether the file with this identity lies at a path; its device may have another number now.

    False if that cannot be found out now.
    """
    try:
        return identity.has_numbers_of(identify(path))
    except OSError:
        return False


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
