"""Removes rows of videos whose files people have taken away, when these rows are old or many. Never a file.

Pages that become free are used again; the file does not shrink, since that would lock it for long, or make it slower
for ever (auto_vacuum).
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
    select,
)

from daemon.database.tables import labels, lies_below, predictions, that_counts, videos
from daemon.home.folder import Home
from daemon.home.settings import Settings
from daemon.labels.queries import came_labelled
from daemon.training.holdout import AROUND
from learner.errors import VidwatchError

log = logging.getLogger(__name__)

YOUNG = timedelta(days=7)  # a database in which nothing is older is new, or was just begun anew
LOOKED_AT = 1000
REMOVED = 100  # in one transaction: the daemon waits for it
PAUSE = 0.05
_FOLDERS = ("classified", "labelled", "duplicates", "failed")


class Retention:
    """Tended every hour or so: a row goes when its file was gone at two looks, for people may just be moving it.

    `back_up` is called before anything is removed; `note` is told why nothing is, and None where all is well.
    """

    def __init__(
        self,
        home: Home,
        engine: Engine,
        settings: Settings,
        back_up: Callable[[datetime], object],
        note: Callable[[str | None], None],
    ) -> None:
        self._engine, self._writer = engine, engine.execution_options(writes=True)
        self._days, self._videos = settings.keep_days, settings.keep_videos
        self._back_up, self._note = back_up, note
        self._folders = [home.root / name for name in _FOLDERS]
        self._mounted = [folder for folder in self._folders if folder.is_mount()]
        self._seen: frozenset[int] = frozenset()

    def tend(self, now: datetime) -> int:
        """Remove what is to be removed; gives how many videos."""
        if not self._days and not self._videos:
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
        with self._engine.begin() as read:
            first = read.scalar(select(videos.c.arrived_at).order_by(videos.c.id).limit(1))
            total = read.scalar(select(func.count()).select_from(videos)) or 0
        if first is None or now - first < YOUNG:
            return 0
        gone = list(self._gone(now))
        again = [row for row in gone if row in self._seen]
        self._seen = frozenset(gone)
        if len(gone) > total / 2:
            hint = "raise keep_days or keep_videos, and lower it again step by step"
            raise VidwatchError(f"{len(gone)} of {total} would go, which is more than half; {hint}")
        if not again:
            return 0
        self._back_up(now)
        removed = 0
        for first_one in range(0, len(again), REMOVED):
            removed += self._remove(again[first_one : first_one + REMOVED])
            time.sleep(PAUSE)
        log.info(
            "rows of %d videos removed, whose files are gone (keep_days, keep_videos)", removed
        )
        return removed

    def _require_folders(self) -> None:
        """Where a disk or share is away, all files on it look as if people had taken them."""
        for folder in self._folders:
            if folder in self._mounted and not folder.is_mount():
                raise VidwatchError(f"{folder} is not mounted any more")
            try:
                empty = next(folder.iterdir(), None) is None
            except OSError as error:
                raise VidwatchError(f"{folder} cannot be looked at ({error.strerror})") from error
            if empty and folder.name in ("classified", "labelled") and self._was_used(folder):
                raise VidwatchError(
                    f"{folder} is empty, and the database knows of clips in it: is its disk away?"
                )

    def _was_used(self, folder: Path) -> bool:
        below = lies_below(videos.c.path, os.fsencode(folder))
        with self._engine.begin() as read:
            return read.execute(select(videos.c.id).where(below).limit(1)).first() is not None

    def _gone(self, now: datetime) -> Iterator[int]:
        """The videos that are to go, the newest first: duplicates go before what they refer to."""
        oldest = now - timedelta(days=self._days)
        with self._engine.begin() as read:
            # The newest row stays in any case: SQLite would give its id to another video.
            last = read.scalar(select(func.max(videos.c.id))) or 0
            if not self._videos:  # what came after the newest old one need not be looked at
                old = (
                    read.scalar(select(func.max(videos.c.id)).where(videos.c.finished_at < oldest))
                    or 0
                )
                last = min(last, old + 1)
            near = _near_labels(read, last)
        n = 0
        while rows := self._rows(last, oldest):
            for row in rows:
                if row.id not in near and _is_gone(row.path, row.size):
                    n += 1
                    if (self._videos and n > self._videos) or (self._days and row.is_old):
                        yield row.id
            last = rows[-1].id

    def _rows(self, below: int, oldest: datetime) -> Sequence[Any]:
        columns = (
            videos.c.id,
            videos.c.path,
            videos.c.size,
            (videos.c.finished_at < oldest).label("is_old"),
        )
        query = (
            select(*columns)
            .where(videos.c.id < below, _may_go())
            .order_by(videos.c.id.desc())
            .limit(LOOKED_AT)
        )
        with self._engine.begin() as read:
            return read.execute(query).all()

    def _remove(self, ids: list[int]) -> int:
        """In one transaction, which looks again at what the database says."""
        looked_at = {row.id: row.path for row in self._paths(ids) if _is_gone(row.path, row.size)}
        refers = videos.alias()
        original = select(refers.c.id).where(refers.c.duplicate_of == videos.c.id).exists()
        sure = select(videos.c.id, videos.c.path).where(videos.c.id.in_(list(looked_at)), _may_go())
        with self._writer.begin() as write:
            going = [row.id for row in write.execute(sure) if looked_at[row.id] == row.path]
            # A duplicate and its original may be in the same batch.
            write.execute(
                delete(videos).where(videos.c.id.in_(going), videos.c.duplicate_of.is_not(None))
            )
            going = list(
                write.execute(
                    select(videos.c.id).where(videos.c.id.in_(going), not_(original))
                ).scalars()
            )
            write.execute(delete(predictions).where(predictions.c.video_id.in_(going)))
            write.execute(delete(videos).where(videos.c.id.in_(going)))
            left = write.scalar(select(func.count()).where(videos.c.id.in_(ids))) or 0
            return len(ids) - left

    def _paths(self, ids: list[int]) -> Sequence[Any]:
        with self._engine.begin() as read:
            return read.execute(
                select(videos.c.id, videos.c.path, videos.c.size).where(videos.c.id.in_(ids))
            ).all()


def _may_go() -> ColumnElement[bool]:
    """What its row says of a video that may go."""
    said = select(labels.c.id).where(labels.c.video_id == videos.c.id).exists()
    return and_(videos.c.finished_at.is_not(None), videos.c.destination.is_(None), not_(said))


def _near_labels(read: Connection, below: int) -> set[int]:
    """The videos that came around labelled ones: without them, it would look as if all were labelled, see `sides`."""
    video = predictions.c.video_id
    said = select(labels.c.id).where(labels.c.video_id == video).exists()
    around = (
        func.max(cast(said, Integer)).over(order_by=video, rows=(-AROUND, AROUND)).label("is_near")
    )
    answered = select(video, around).where(that_counts(), not_(came_labelled(video))).subquery()
    near = select(answered.c.video_id).where(answered.c.is_near == 1, answered.c.video_id < below)
    return set(read.execute(near.execution_options(yield_per=LOOKED_AT)).scalars())


def _is_gone(path: bytes, size: int) -> bool:
    """Whether a video's file is not where its row says.

    Raises:
        VidwatchError: that cannot be told now.
    """
    try:
        info = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError as error:
        raise VidwatchError(
            f"{os.fsdecode(path)} cannot be looked at ({error.strerror})"
        ) from error
    return not stat.S_ISREG(info.st_mode) or info.st_size != size
