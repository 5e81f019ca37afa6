"""What was exported to a destination before: a mark of each video, as it was then.

A time would not do: what is committed after the export has read may bear an earlier time, and would
never be exported; and moved files, renamed classes and restored databases have no time at all. A
mark is made of all that the database says of the video. So whatever changes is exported again.
"""

import hashlib
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Self

from daemon.export.rows import Found
from daemon.home.folder import Home
from learner.errors import VidwatchError
from learner.folders import create_in, new_name, opened_folder

FOLDER = ".exports"
MAGIC = b"vidwatch exported 1\n"
ENTRY = struct.Struct("<q8s")  # the video's id, its mark
AT_ONCE = 4096  # entries
LAST = 2**63 - 1


def marks_of(home: Home, destination: Path, kind: str) -> Path:
    """Where the marks of a destination lie.

    Args:
        home: The home.
        destination: A file, or the folder that gets a new file each time.
        kind: The format and the table: to one place, several may be exported.
    """
    key = hashlib.sha256(os.fsencode(destination) + b"\0" + kind.encode()).hexdigest()
    return home.root / FOLDER / key[:32]


class Marks:
    """The marks of one destination. They change only by `commit`.

    Raises:
        VidwatchError: the file is damaged.
        OSError: it cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(new_name())
        self._new: IO[bytes] | None = None
        self._before: Iterator[tuple[int, bytes]] = iter(())
        self._entry = (LAST, b"")

    def __enter__(self) -> Self:
        self._path.parent.mkdir(exist_ok=True)
        with opened_folder(self._path.parent) as folder:
            self._new = os.fdopen(create_in(folder, self._part.name, 0o600), "wb")
        self._new.write(MAGIC)
        self._before = self._read()
        self._step()
        return self

    def __exit__(self, *error: object) -> None:
        if self._new is not None:
            self._new.close()
        self._part.unlink(missing_ok=True)

    def changed(self, rows: Sequence[Found], renamed: str) -> list[Found]:
        """The rows that were not exported before as they are now. Ids have to rise.

        Args:
            rows: Of `query.videos_query`, with parts.
            renamed: What the renamed classes are: they change what windows count as.
        """
        return [row for row in rows if self._is_new(row.id, _mark(row, renamed))]

    def commit(self) -> None:
        """Keep the marks of all rows that were asked for: they were exported."""
        assert self._new is not None
        while self._entry[0] < LAST:
            self._keep()
        self._new.flush()
        os.fsync(self._new.fileno())
        self._part.replace(self._path)

    def _is_new(self, video: int, mark: bytes) -> bool:
        assert self._new is not None
        while self._entry[0] < video:
            self._keep()
        is_same = self._entry == (video, mark)
        if self._entry[0] == video:
            self._step()
        self._new.write(ENTRY.pack(video, mark))
        return not is_same

    def _keep(self) -> None:
        """Copy the mark of a video that the filters of this export do not match."""
        assert self._new is not None
        self._new.write(ENTRY.pack(*self._entry))
        self._step()

    def _step(self) -> None:
        self._entry = next(self._before, (LAST, b""))

    def _read(self) -> Iterator[tuple[int, bytes]]:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise self._damaged()
            while piece := file.read(AT_ONCE * ENTRY.size):
                if len(piece) % ENTRY.size:
                    raise self._damaged()
                yield from ENTRY.iter_unpack(piece)

    def _damaged(self) -> VidwatchError:
        return VidwatchError(f"{self._path} is damaged: remove it, and all is exported once more")


def _mark(found: Found, renamed: str) -> bytes:
    text = f"{tuple(found)!r}{renamed if found.is_cut else ''}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
