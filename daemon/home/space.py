"""Whether the disk has enough free space for more clips."""

import os
import time
from collections.abc import Callable
from pathlib import Path

GIGABYTE = 10**9
# To go on, this many times the least must be free. With less, work would start and stop all the
# time while the free space is near the limit.
MARGIN = 1.1
INTERVAL = 1.0  # seconds between two measurements


class Space:
    """The free space of the disks that `folders` lie on.

    Args:
        folders: Each must have enough free space.
        least: The least that must be free, in bytes.
        note: Gets the text of a notice when less is free, and None when that is over.
    """

    def __init__(
        self, folders: list[Path], least: float, note: Callable[[str | None], None]
    ) -> None:
        self._folders = folders
        self._least = least
        self._note = note
        self._enough = True
        self._measured_at = float("-inf")

    def is_enough(self) -> bool:
        """Whether new work may begin."""
        if time.monotonic() >= self._measured_at + INTERVAL:
            self._measured_at = time.monotonic()
            self._measure()
        return self._enough

    def _measure(self) -> None:
        free, folder = min((_free(folder), folder) for folder in self._folders)
        needed = self._least if self._enough else self._least * MARGIN
        self._enough = free >= needed
        if self._enough:
            self._note(None)
            return
        least = f"{self._least / GIGABYTE:g} GB (min_free_gigabytes)"
        trouble = f"less than {least} are free on the disk of {folder}"
        self._note(f"{trouble}: new clips wait until there is more")


def _free(folder: Path) -> float:
    """Bytes that this user may still write.

    Infinity if that is not known, as when a share does not answer.
    """
    try:
        info = os.statvfs(folder)
    except OSError:
        return float("inf")
    return info.f_bavail * info.f_frsize
