"""Large tables of arrays, in memory or in a file."""

import mmap
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from learner.errors import VidwatchError

Array = np.ndarray[Any, Any]

# Values that take more bytes than this lie in a file.
IN_MEMORY = 500_000_000
ROWS_TO_RELEASE = 2000


class Table:
    """Arrays of one shape by name, in memory or, if they need much of it, in an unnamed file.

    It is one file for all: mapped one by one, they would use up the files that a process may open.
    """

    def __init__(self, count: int, folder: Path) -> None:
        self._count = count
        self._folder = folder
        self._rows: dict[str, int] = {}
        self._values: Array | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, name: str) -> bool:
        return name in self._rows

    def __getitem__(self, name: str) -> Array:
        assert self._values is not None
        return self._values[self._rows[name]]  # type: ignore[no-any-return]

    def add(self, name: str, values: Array) -> None:
        """Keep the values of a clip."""
        if self._values is None:
            self._values = self._room(values)
        row = self._rows.setdefault(name, len(self._rows))
        self._values[row] = values
        if row % ROWS_TO_RELEASE == 0:
            release_pages(self._values)

    def _room(self, like: Array) -> Array:
        shape = (self._count, *like.shape)
        size = self._count * like.nbytes
        if size <= IN_MEMORY:
            return np.empty(shape, like.dtype)
        folder = self._folder if os.access(self._folder, os.W_OK) else None
        with tempfile.TemporaryFile(dir=folder) as file:
            try:
                # A full disk is an error now, not in the middle of training.
                os.posix_fallocate(file.fileno(), 0, size)
            except OSError as error:
                where = folder or tempfile.gettempdir()
                raise VidwatchError(
                    f"frames or features need {size / 1e9:.1f} GB in {where} ({error.strerror})"
                ) from error
            return np.memmap(file, like.dtype, "r+", shape=shape)


def release_pages(values: Any) -> None:
    """Let the memory go that was used for values which lie in a file: they stay in the file."""
    first = values[0] if len(values) else None
    while first is not None and not isinstance(first, np.memmap):
        first = getattr(first, "base", None)
    if first is not None:
        first._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]
