"""Removes folders of the inbox that have been empty for a while, such as those of past days."""

import errno
import logging
import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from daemon.home.left_alone import LeftAlone
from daemon.home.texts import shortened
from learner.folders import opened_folder, walk

log = logging.getLogger(__name__)


class _Folder(NamedTuple):
    inner: bytes
    """Its path below the inbox."""
    numbers: tuple[int, int]
    """Of its file system, and its inode."""


class EmptyFolders:
    """Removes empty folders of an inbox, and nothing else.

    The kernel removes only what is empty (rmdir), so a file that comes meanwhile is safe. No link
    is followed, and the inbox itself stays. A folder counts as empty since it or its entries last
    changed: no program can set that time.
    """

    def __init__(
        self,
        inbox: Path,
        minutes: float,
        progress: Callable[[], None] = lambda: None,
        left_alone: LeftAlone | None = None,
    ) -> None:
        """Remove nothing yet.

        Args:
            inbox: The inbox.
            minutes: How long a folder has to be empty.
            progress: Called during long work. An exception from it ends that.
            left_alone: Which folders stay, whatever is in them.
        """
        self._left_alone = left_alone or LeftAlone()
        self._inbox = inbox
        self._least = timedelta(minutes=minutes)
        self._progress = progress
        self._left = set[bytes]()

    def tend(self, now: datetime) -> int:
        """Remove the folders that are due; gives how many there were.

        A folder that holds only folders that are due goes with them.
        """
        if not self._inbox.is_dir():
            return 0
        # The walk gives each folder before those in it.
        due = self._without_files(now - self._least)
        removed = sum(self._remove(folder) for folder in reversed(due))
        if removed:
            log.info("empty folders removed from %s: %d", self._inbox, removed)
        return removed

    def _without_files(self, before: datetime) -> list[_Folder]:
        """The folders that have held no file, and have not changed, since before that time."""
        base = os.fsencode(self._inbox)
        found = []

        def enter(path: bytes) -> bool:
            return not self._left_alone.folder(path[len(base) + 1 :])

        for opened, path, names in walk(self._inbox, enter=enter, go_on=self._progress):
            info = os.fstat(opened)
            if path != base and not names and info.st_ctime < before.timestamp():
                found.append(_Folder(path[len(base) + 1 :], (info.st_dev, info.st_ino)))
        return found

    def _remove(self, folder: _Folder) -> bool:
        self._progress()
        above, _, name = folder.inner.rpartition(b"/")
        try:
            with opened_folder(self._inbox, above) as parent:
                info = os.stat(name, dir_fd=parent, follow_symlinks=False)
                if (info.st_dev, info.st_ino) != folder.numbers:
                    return False  # another folder has its name by now
                os.rmdir(name, dir_fd=parent)
        except FileNotFoundError:
            return False
        except OSError as error:
            # A file or a folder came, or there is a hidden one. Some systems say "exists" for that.
            if (
                error.errno not in (errno.ENOTEMPTY, errno.EEXIST)
                and folder.inner not in self._left
            ):
                self._left.add(folder.inner)
                text = "empty folder %s in the inbox cannot be removed (%s)"
                log.warning(text, shortened(os.fsdecode(folder.inner)), error.strerror)
            return False
        return True
