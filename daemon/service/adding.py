"""Queues the files of archives: files and folders outside of the home."""

import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import and_, select

from daemon.database.arrivals import queue_again
from daemon.database.queue import Queue
from daemon.database.tables import videos
from daemon.home.clock import now
from daemon.home.folders import Folders, Found, files_below
from daemon.home.identity import base_name, identify
from daemon.home.left_alone import LeftAlone
from daemon.home.settings import Settings
from daemon.home.sidecars import is_video_by_name
from daemon.home.sources import OnFiled, Source
from daemon.home.texts import printable, shown_path
from learner.errors import VidwatchError
from learner.groups import compile_pattern

PAUSE = 0.02  # seconds between transactions, in which the daemon has its turn


@dataclass
class Added:
    """What became of the files that were found."""

    n_new: int = 0
    """Videos that were queued."""
    n_again: int = 0
    """Those that had failed before, and are tried again."""
    n_known: int = 0
    others: Counter[str] = field(default_factory=Counter)
    """How many files are no videos by their names, by the endings of these."""
    troubles: list[str] = field(default_factory=list)
    """What could not be looked at."""


def archives(paths: Sequence[Path], home: Path, settings: Settings) -> list[Source]:
    """The archives that these paths are, or the folders of those that are files.

    Raises:
        VidwatchError: one is not there, or lies where the daemon looks itself; names each.
    """
    found = []
    errors = []
    for path in paths:
        real = Path(os.path.realpath(path))
        if reason := _why_no_archive(real, home, settings):
            errors.append(f"{printable(str(path))}: {reason}")
        folder = real if real.is_dir() else real.parent
        found.append(Source(os.fsencode(folder), printable(folder.name)))
    if errors:
        raise VidwatchError("; ".join(errors))
    return found


def _why_no_archive(path: Path, home: Path, settings: Settings) -> str | None:
    if not path.exists():
        return "there is no such file or folder"
    if path.is_relative_to(home):
        return "it lies in the home; put it into the inbox"
    if home.is_relative_to(path):
        return "the home lies in it; name folders beside the home"
    for source in settings.source:
        folder = Path(os.path.realpath(source.folder))
        if path.is_relative_to(folder) or folder.is_relative_to(path):
            return f"it overlaps with {folder}, which is the source {source.name!r}"
    return None


class Listing:
    """The videos that lie in archives, batch by batch: none of a batch is held once it is given."""

    def __init__(self, home: Path, settings: Settings, on_filed: OnFiled) -> None:
        """Nothing is listed yet.

        Args:
            home: The home's folder.
            settings: How groups are named, and what is left alone.
            on_filed: What becomes of the files.
        """
        self.others: Counter[str] = Counter()
        """As in `Added`, and so are `troubles`."""
        self.troubles: list[str] = []
        self.n_seen = 0
        """How many files were looked at."""
        self._home = home
        self._on_filed = on_filed
        self._pattern: re.Pattern[str] = compile_pattern(settings.group_pattern)
        self._left_alone = LeftAlone(settings.ignore)

    def videos(self, path: Path, archive: Source) -> Iterator[list[Found]]:
        """A file of an archive, or all files in it that are videos by their names.

        Args:
            path: The archive's folder, or a file in it.
            archive: The archive.
        """
        source = Source(archive.folder, archive.name, self._on_filed)
        folders = Folders(self._home, sources=[source])
        real = Path(os.path.realpath(path))
        if real.is_dir():
            for batch in files_below(real, self._note_trouble, self._left_alone):
                yield self._placed(batch, folders)
        elif identity := identify(os.fsencode(real)):
            yield self._placed([Found(os.fsencode(real), identity)], folders)

    def _note_trouble(self, error: OSError) -> None:
        where = shown_path(os.fsencode(error.filename or b""))
        self.troubles.append(f"{where}: cannot be searched ({error.strerror})")

    def _placed(self, files: Sequence[Found], folders: Folders) -> list[Found]:
        found = []
        for file in files:
            name = base_name(file.path)
            if not is_video_by_name(name):
                self.others[printable(Path(os.fsdecode(name)).suffix.lower())] += 1
            else:
                found.append(folders.placed(file, self._pattern))
        self.n_seen += len(files)
        return found


class Adding:
    """Queues what lies in archives. What is there already is not queued again."""

    def __init__(
        self,
        queue: Queue,
        home: Path,
        settings: Settings,
        on_filed: OnFiled,
        progress: Callable[[int, int | None], None],
    ) -> None:
        """Nothing is queued yet.

        Args:
            queue: Where videos wait.
            home: The home's folder.
            settings: How groups are named, and what is left alone.
            on_filed: What becomes of the files.
            progress: Gets how many files were looked at.
        """
        self._listing = Listing(home, settings, on_filed)
        self.added = Added(others=self._listing.others, troubles=self._listing.troubles)
        self._queue = queue
        self._progress = progress

    def add(self, path: Path, archive: Source) -> None:
        """Queue a file of an archive, or all videos in it.

        Args:
            path: The archive's folder, or a file in it.
            archive: The archive.
        """
        for found in self._listing.videos(path, archive):
            self._take(found)
            self._progress(self._listing.n_seen, None)

    def _take(self, found: Sequence[Found]) -> None:
        unknown = self._queue.unknown(found, stay=True)
        n_new = self._queue.enqueue(unknown, now(), background=True)
        new = set(unknown)
        n_again = self._try_again([file for file in found if file not in new])
        time.sleep(PAUSE)
        self.added.n_new += n_new
        self.added.n_again += n_again
        self.added.n_known += len(found) - n_new - n_again

    def _try_again(self, files: Sequence[Found]) -> int:
        """Queue those again that failed; gives how many."""
        at = {file.path: file for file in files}
        failed = and_(
            videos.c.path.in_(list(at)), videos.c.state == "failed", videos.c.on_filed == "leave"
        )
        columns = (videos.c.id, videos.c.path, videos.c.size, videos.c.mtime_ns)
        with self._queue.engine.begin() as connection:
            rows = connection.execute(select(*columns).where(failed)).all()
        same = {
            row.id: at[row.path]
            for row in rows
            if at[row.path].identity[2:] == (row.size, row.mtime_ns)
        }
        if same:
            with self._queue.engine.execution_options(writes=True).begin() as connection:
                for video_id, file in same.items():
                    queue_again(connection, video_id, file)
        return len(same)
