"""Reads the log that the daemon writes into its home."""

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TextIO

from daemon.home.logs import INDENT, log_files

INTERVAL = 0.3  # seconds between two looks for new lines
_LENGTH = len("2026-01-31 23:59:59+0000")


def last_lines(folder: Path, most: int | None, since: datetime | None) -> list[str]:
    """The last lines of the log, with their ends.

    Args:
        folder: The folder of the log.
        most: How many lines, at most; None for all.
        since: Only what was logged then or later; None for all.
    """
    lines = (line for path in log_files(folder) for line in _lines(path))
    return list(deque(_since(lines, since) if since else lines, most))


def new_lines(folder: Path) -> Iterator[str]:
    """The lines that are written from now on, as they are written; for ever."""
    path = folder / "vidwatch.log"
    file = _opened(path)
    if file:
        file.seek(0, os.SEEK_END)
    while True:
        if file:
            yield from _whole(file)
        if file is None or not _is_at(path, file):
            following = _opened(path)
            if following is not None:
                if file:
                    yield from _whole(file)  # written before the next file was begun
                    file.close()
                file = following
                continue
        time.sleep(INTERVAL)


def _lines(path: Path) -> Iterator[str]:
    if file := _opened(path):
        with file:
            yield from file


def _since(lines: Iterable[str], since: datetime) -> Iterator[str]:
    """The lines from the first one on that was written then. The clock may have gone back since."""
    is_late = False
    for line in lines:
        if not line.startswith(INDENT):
            with suppress(ValueError):
                is_late = is_late or datetime.fromisoformat(line[:_LENGTH]) >= since
        if is_late:
            yield line


def _whole(file: TextIO) -> Iterator[str]:
    """The lines that are there and have their ends."""
    while True:
        at = file.tell()
        line = file.readline()
        if not line.endswith("\n"):
            file.seek(at)
            return
        yield line


def _opened(path: Path) -> TextIO | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    return os.fdopen(descriptor, encoding="utf-8", errors="backslashreplace")


def _is_at(path: Path, file: TextIO) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
