"""Whether there is room enough on the disk to take up more clips."""

import os
import time
from collections.abc import Callable
from pathlib import Path

GIGABYTE = 10**9
MARGIN = 1.1  # so much more than the least has to be free before work goes on: on the edge, it would come and go
INTERVAL = 1.0  # seconds between two looks


class Space:
    """The free space of the file systems that `folders` lie on; `least` is in bytes.

    `note` is told of too little of it, and None when that is over.
    """

    def __init__(
        self, folders: list[Path], least: float, note: Callable[[str | None], None]
    ) -> None:
        self._folders, self._least, self._note = folders, least, note
        self._enough, self._looked_at = True, float("-inf")

    def is_enough(self) -> bool:
        """Whether work may begin."""
        if time.monotonic() >= self._looked_at + INTERVAL:
            self._looked_at = time.monotonic()
            self._look()
        return self._enough

    def _look(self) -> None:
        free, folder = min((_free(folder), folder) for folder in self._folders)
        self._enough = free >= self._least * (1 if self._enough else MARGIN)
        if self._enough:
            self._note(None)
        else:
            said = f"on the disk of {folder}, less than {self._least / GIGABYTE:g} GB (min_free_gigabytes) are free"
            self._note(f"{said}: no new clips are taken up until there is more")


def _free(folder: Path) -> float:
    """Bytes that this user may still write; infinitely many where nobody can tell (a share that is away)."""
    try:
        info = os.statvfs(folder)
    except OSError:
        return float("inf")
    return info.f_bavail * info.f_frsize
