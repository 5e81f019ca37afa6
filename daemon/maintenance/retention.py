"""Removes old rows, or too many, of videos whose files people have taken away. Never a file.

Pages that become free are used again. The database's file does not shrink: that would lock it for
long, or make it slower for ever (auto_vacuum).
"""

import logging
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Integer,
    and_,
    cast,
    delete,
    func,
    not_,
    or_,
    select,
)

from daemon.database.expressions import lies_below, that_counts
from daemon.database.tables import labels, outbox, part_labels, predictions, videos
from daemon.home.folder import Home
from daemon.home.settings import Settings
from daemon.home.sources import is_reachable, lies_in
from daemon.labels.queries import came_labelled
from daemon.training.holdout import AROUND
from learner.errors import VidwatchError
from learner.texts import counted

log = logging.getLogger(__name__)

YOUNG = timedelta(days=7)  # a database in which nothing is older is new, or was just begun again
READ_AT_ONCE = 1000
REMOVED = 100  # in one transaction: the daemon waits for it
PAUSE = 0.05  # seconds between transactions
_FILE = tuple(
    videos.c[name] for name in ("id", "path", "size", "dropped_at", "origin", "on_filed", "left_at")
)
_FOLDERS = ("classified", "labelled", "duplicates", "failed")


class Retention:
    """Removes rows; tended every few hours.

    A row goes if its file was gone at two visits: people may just be moving it.
    """

    def __init__(
        self,
        home: Home,
        engine: Engine,
        settings: Settings,
        back_up: Callable[[datetime], object],
        note: Callable[[str | None], None],
        progress: Callable[[], None] = lambda: None,
    ) -> None:
        """Nothing is removed yet.

        Args:
            home: The home.
            engine: Its database.
            settings: Its settings: `keep_days` and `keep_videos`.
            back_up: Called before anything is removed.
            note: Given the reason if nothing can be removed, and None if all is well.
            progress: Called for each video that is looked at. An exception from it ends the work.
        """
        self._engine = engine
        self._writer = engine.execution_options(writes=True)
        self._keep_days = settings.keep_days
        self._keep_videos = settings.keep_videos
        self._back_up = back_up
        self._note = note
        self._progress = progress
        self._folders = [home.root / name for name in _FOLDERS]
        self._mounted = [folder for folder in self._folders if folder.is_mount()]
        self._gone_before: frozenset[int] = frozenset()

    def tend(self, now: datetime) -> int:
        """Remove the rows that are due; gives how many."""
        if not self._keep_days and not self._keep_videos:
            return 0
        try:
            removed = self._tend(now)
            self._note(None)
            return removed
        except VidwatchError as error:
            self._note(f"no old rows are removed: {error}")
            return 0

    def _tend(self, now: datetime) -> int:
        self._require_folders()
        # Not that of the first row, which may have come while the clock was ahead.
        with self._engine.begin() as connection:
            first = connection.scalar(select(func.min(videos.c.arrived_at)))
            total = connection.scalar(select(func.count()).select_from(videos)) or 0
        if first is None or now - first < YOUNG:
            return 0
        gone = list(self._gone(now))
        gone_twice = [video for video in gone if video in self._gone_before]
        self._gone_before = frozenset(gone)
        # Files that we have removed say nothing of a disk that may be away.
        taken = len(gone) - self._n_removed(gone)
        if taken > total / 2:
            hint = "raise keep_days or keep_videos, and lower it again step by step"
            raise VidwatchError(f"{taken} of {total} would go, which is more than half; {hint}")
        if not gone_twice:
            return 0
        self._back_up(now)
        removed = 0
        for begin in range(0, len(gone_twice), REMOVED):
            self._progress()
            removed += self._remove(gone_twice[begin : begin + REMOVED])
            time.sleep(PAUSE)
        text = "rows of %s removed, whose files are gone (keep_days, keep_videos)"
        log.info(text, counted(removed, "video"))
        return removed

    def _n_removed(self, ids: Sequence[int]) -> int:
        """The files of how many of these videos vidwatch has removed itself."""
        is_removed = or_(videos.c.dropped_at.is_not(None), videos.c.removed_at.is_not(None))
        count = select(func.count()).where(is_removed)
        with self._engine.begin() as connection:
            return sum(
                connection.scalar(count.where(videos.c.id.in_(ids[first : first + READ_AT_ONCE])))
                or 0
                for first in range(0, len(ids), READ_AT_ONCE)
            )

    def _require_folders(self) -> None:
        """Check that no disk or share is away: then all files on it would look taken away."""
        for folder in self._folders:
            if folder in self._mounted and not folder.is_mount():
                raise VidwatchError(f"{folder} is not mounted any more")
            try:
                is_empty = next(folder.iterdir(), None) is None
            except OSError as error:
                raise VidwatchError(f"{folder} cannot be accessed ({error.strerror})") from error
            if is_empty and folder.name in ("classified", "labelled") and self._was_used(folder):
                problem = "is empty, and the database knows of clips in it"
                raise VidwatchError(f"{folder} {problem}: is its disk away?")

    def _was_used(self, folder: Path) -> bool:
        below = lies_below(videos.c.path, os.fsencode(folder))
        with self._engine.begin() as connection:
            return connection.execute(select(videos.c.id).where(below).limit(1)).first() is not None

    def _gone(self, now: datetime) -> Iterator[int]:
        """The videos that are due, the newest first: duplicates go before what they refer to."""
        oldest = now - timedelta(days=self._keep_days)
        with self._engine.begin() as connection:
            end = self._end(connection, oldest)
            near_labels = _near_labels(connection, end)
        n = 0
        while rows := self._read_rows(end, oldest):
            for row in rows:
                self._progress()
                if row.id in near_labels or not has_no_file(row):
                    continue
                n += 1
                is_too_many = bool(self._keep_videos) and n > self._keep_videos
                is_too_old = bool(self._keep_days) and row.is_old
                if is_too_many or is_too_old:
                    yield row.id
            end = rows[-1].id

    def _end(self, connection: Connection, oldest: datetime) -> int:
        """The id below which videos may go."""
        # The newest row always stays: SQLite would give its id to another video.
        newest = connection.scalar(select(func.max(videos.c.id))) or 0
        if self._keep_videos:
            return newest
        # By age alone, what came after the newest old one need not be read.
        is_old = videos.c.finished_at < oldest
        newest_old = connection.scalar(select(func.max(videos.c.id)).where(is_old)) or 0
        return min(newest, newest_old + 1)

    def _read_rows(self, below: int, oldest: datetime) -> Sequence[Any]:
        """The next videos below an id that may go, the newest first."""
        is_old = (videos.c.finished_at < oldest).label("is_old")
        query = select(*_FILE, is_old)
        query = query.where(videos.c.id < below, _may_go())
        with self._engine.begin() as connection:
            newest_first = query.order_by(videos.c.id.desc())
            return connection.execute(newest_first.limit(READ_AT_ONCE)).all()

    def _remove(self, ids: list[int]) -> int:
        """Remove these videos in one transaction, which reads again what the database says.

        Gives how many were removed.
        """
        paths = {row.id: row.path for row in self._files(ids) if has_no_file(row)}
        due = select(videos.c.id, videos.c.path).where(videos.c.id.in_(list(paths)), _may_go())
        copy = videos.alias()
        has_copy = select(copy.c.id).where(copy.c.duplicate_of == videos.c.id).exists()
        with self._writer.begin() as connection:
            going = [row.id for row in connection.execute(due) if paths[row.id] == row.path]
            these = videos.c.id.in_(going)
            # A duplicate and its original may be in the same batch.
            is_copy = and_(these, videos.c.duplicate_of.is_not(None))
            # A duplicate was the first video itself, and has a prediction, if another one took its
            # place.
            copies = list(connection.execute(select(videos.c.id).where(is_copy)).scalars())
            connection.execute(delete(predictions).where(predictions.c.video_id.in_(copies)))
            connection.execute(delete(videos).where(is_copy))
            without_copy = select(videos.c.id).where(these, not_(has_copy))
            going = list(connection.execute(without_copy).scalars())
            connection.execute(delete(predictions).where(predictions.c.video_id.in_(going)))
            connection.execute(delete(videos).where(videos.c.id.in_(going)))
            left = connection.scalar(select(func.count()).where(videos.c.id.in_(ids))) or 0
            return len(ids) - left

    def _files(self, ids: list[int]) -> Sequence[Any]:
        query = select(*_FILE).where(videos.c.id.in_(ids))
        with self._engine.begin() as connection:
            return connection.execute(query).all()


def _may_go() -> ColumnElement[bool]:
    """Whether a video may go, by its row alone.

    It is done, nothing of it is labelled, and all receivers were told of it.
    """
    label = select(labels.c.id).where(labels.c.video_id == videos.c.id)
    of_part = select(part_labels.c.id).where(part_labels.c.video_id == videos.c.id)
    waiting = select(outbox.c.id).where(outbox.c.video_id == videos.c.id)
    is_done = and_(videos.c.finished_at.is_not(None), videos.c.destination.is_(None))
    return and_(is_done, *(not_(rows.exists()) for rows in (label, of_part, waiting)))


def _near_labels(connection: Connection, below: int) -> set[int]:
    """The videos that came around labelled ones.

    Without them, it would look as if all that came had been labelled, see `training/holdout.py`.
    """
    video = predictions.c.video_id
    is_labelled = select(labels.c.id).where(labels.c.video_id == video).exists()
    window = func.max(cast(is_labelled, Integer)).over(order_by=video, rows=(-AROUND, AROUND))
    arrived = select(video, window.label("is_near"))
    arrived_by_itself = arrived.where(that_counts(), not_(came_labelled(video))).subquery()
    near = select(arrived_by_itself.c.video_id).where(
        arrived_by_itself.c.is_near == 1, arrived_by_itself.c.video_id < below
    )
    return set(connection.execute(near.execution_options(yield_per=READ_AT_ONCE)).scalars())


def has_no_file(row: Any) -> bool:
    """Whether a video's file is gone; another one may lie where a duplicate was that we dropped.

    The disk of a file that stays where it is may be away.
    """
    if row.dropped_at is not None:
        return True
    if lies_in(row.origin, row.path) and not is_reachable(row.origin, row.on_filed):
        return False
    return _is_gone(row.path, row.size)


def _is_gone(path: bytes, size: int) -> bool:
    """Whether a video's file is not where its row says.

    Raises:
        VidwatchError: that cannot be found out now.
    """
    try:
        info = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError as error:
        text = f"{os.fsdecode(path)} cannot be accessed ({error.strerror})"
        raise VidwatchError(text) from error
    return not stat.S_ISREG(info.st_mode) or info.st_size != size
