"""Keeps frames and features of clips for the next run, in a folder with a size limit.

A cache may be cleared at any time, also while it is used.
"""

import contextlib
import hashlib
import io
import logging
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from learner import files

log = logging.getLogger(__name__)

CHECK = hashlib.sha256().digest_size
TOLERANCE = 60 * 10**9  # nanoseconds that a file may be dated in the future, as on a share
Array = np.ndarray[Any, Any]


def _folder() -> Path:
    return Path(platformdirs.user_cache_dir("vidwatch"))


@dataclass(frozen=True)
class Usage:
    """Entries and bytes of one kind."""

    entries: int
    size: int


@dataclass(frozen=True)
class Cache:
    """A folder of kinds of entries ("frames", "features")."""

    limit: int = 20 * 10**9
    """Bytes. The entries that were not used for longest are removed first."""
    root: Path = field(default_factory=_folder)

    def shelf(self, kind: str, key: str) -> "Shelf":
        """The entries of one kind whose `key`, all that they depend on but the clip, is this."""
        return Shelf(self.root / kind / hashlib.sha256(key.encode()).hexdigest()[:24], key)

    def usage(self) -> dict[str, Usage]:
        """How much each kind takes."""
        found: dict[str, list[int]] = defaultdict(list)
        for path, info in self._entries():
            found[path.relative_to(self.root).parts[0]].append(info.st_size)
        return {kind: Usage(len(sizes), sum(sizes)) for kind, sizes in sorted(found.items())}

    def clear(self) -> None:
        """Remove every entry."""
        self._trim(0)

    def trim(self) -> None:
        """Remove the entries not used for longest, until the rest is within the limit."""
        self._trim(self.limit)

    def _trim(self, limit: int) -> None:
        entries = sorted(self._entries(), key=lambda entry: _last_used(entry[1]))
        size = sum(info.st_size for _, info in entries)
        for path, info in entries:
            if size <= limit:
                return
            with contextlib.suppress(OSError):
                path.unlink()
                size -= info.st_size
                path.parent.rmdir()  # succeeds only if it is empty

    def _entries(self) -> Iterator[tuple[Path, os.stat_result]]:
        for path in self.root.glob("*/*/*"):
            with contextlib.suppress(OSError):  # another process cleared it
                yield path, path.stat()


def _last_used(info: os.stat_result) -> int:
    """When an entry was last used, in nanoseconds.

    One dated in the future was used while the clock was ahead. It counts as the oldest: it would be
    the newest for years.
    """
    is_in_future = info.st_mtime_ns > time.time_ns() + TOLERANCE
    return 0 if is_in_future else info.st_mtime_ns


@dataclass(frozen=True)
class Shelf:
    """Arrays by the SHA-256 of their clip.

    Each file ends with a hash over its key, its name and its bytes.
    """

    folder: Path
    key: str

    def get(self, name: str) -> Array | None:
        """The array; None if there is none, or if it is damaged or was made under another key."""
        path = self.folder / name
        try:
            data = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return None
        if data[-CHECK:] != self._check(name, memoryview(data)[:-CHECK]):
            return None
        with contextlib.suppress(OSError):  # another user's cache can be used, too
            os.utime(path)
        return np.load(io.BytesIO(data))  # type: ignore[no-any-return]

    def put(self, name: str, values: Array) -> None:
        """Keep an array.

        If that fails (a read-only or a full disk), the next run takes longer, and nothing else.
        """
        path = self.folder / name
        buffer = io.BytesIO()
        np.save(buffer, values)
        data = buffer.getvalue()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            files.write(path, data + self._check(name, data), durable=False)
        except OSError as error:
            log.warning("not cached file=%s reason=%s", path, error.strerror)

    def _check(self, name: str, data: Any) -> bytes:
        # A hash instead of fsync: after a crash a torn entry is made anew, and writing many entries
        # stays fast.
        digest = hashlib.sha256(f"{self.key}\n{name}\n".encode())
        digest.update(data)
        return digest.digest()
