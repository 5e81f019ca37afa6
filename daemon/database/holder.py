"""Finds which program has locked the database, for people."""

import os
from contextlib import suppress
from pathlib import Path

UNKNOWN = "another program"
LOCKS = Path("/proc/locks")


def holder(database: Path) -> str:
    """The program that keeps others from using the database: "process 812 (sqlite3)".

    "another program" if the kernel does not name it, as one in another container.
    """
    others = holding_processes(database) - {os.getpid()}
    for process in sorted(others):
        with suppress(OSError):  # it has ended
            name = Path("/proc", str(process), "comm").read_text().strip()
            return f"process {process} ({name})"
    return UNKNOWN


def holding_processes(database: Path) -> set[int]:
    """The processes that have locked the database for themselves.

    SQLite locks parts of the database's file, and of the file of shared memory beside it.
    """
    files = {
        _number(file)
        for file in (database, database.with_name(database.name + "-shm"))
        if file.exists()
    }
    try:
        lines = LOCKS.read_text().splitlines()
    except OSError:
        return set()
    found = set()
    # 1: POSIX ADVISORY WRITE <process> <major>:<minor>:<inode> <first byte> <last byte>
    # Lines of processes that wait for a lock have an arrow after the number.
    for line in lines:
        fields = line.split()
        is_lock = len(fields) == 8 and fields[1] in ("POSIX", "OFDLCK") and fields[3] == "WRITE"
        if is_lock and fields[5] in files and int(fields[4]) > 0:
            found.add(int(fields[4]))
    return found


def _number(file: Path) -> str:
    """A file as /proc/locks names it."""
    info = file.stat()
    return f"{os.major(info.st_dev):02x}:{os.minor(info.st_dev):02x}:{info.st_ino}"
