"""Tries failed videos again, as a person asks for: their files go back into the inbox.

The row of a video stays, and so does what is known of it. If this ends between the move and the
change of the row, the daemon finds the file in the inbox, as one that a person has moved there.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, and_, or_, select, update

from daemon.database.arrivals import queue_again
from daemon.database.by_whom import note_person
from daemon.database.files import has_numbers
from daemon.database.tables import videos
from daemon.home import settings
from daemon.home.folder import Home
from daemon.home.folders import Folders, Found, folders_of
from daemon.home.identity import Identity, base_name, identify
from daemon.home.moving import move_file, sync_folders
from daemon.home.reasons import remove_reason
from daemon.home.sidecars import Sidecars
from daemon.home.texts import printable
from learner.errors import VidwatchError
from learner.groups import compile_pattern

GONE = "its file is not there any more, or has changed: nothing was done"


@dataclass
class TriedAgain:
    """What became of videos that are to be tried again."""

    n: int = 0
    """How many are queued again."""
    refused: dict[int, str] = field(default_factory=dict)
    """Why the others are not, by their ids."""


class TryingAgain:
    """Queues failed videos of a home again."""

    def __init__(self, engine: Engine, home: Home) -> None:
        """Nothing is queued yet.

        Raises:
            VidwatchError: the settings cannot be read.
        """
        loaded = settings.load(home.settings)
        self._engine = engine
        self._writer = engine.execution_options(writes=True)
        self.folders = loaded.folders(home.root)
        """The folders of the home."""
        self._pattern: re.Pattern[str] = compile_pattern(loaded.group_pattern)
        self._sidecars = Sidecars(self.folders.root)

    def try_again(self, ids: Sequence[int], now: datetime, who: str) -> TriedAgain:
        """Queue these videos again. Several wait as long as other videos do.

        Who asked for it is noted with what befell them.

        Raises:
            DatabaseError: the database cannot be written.
        """
        done = TriedAgain()
        with self._engine.begin() as connection:
            rows = connection.execute(select(videos).where(videos.c.id.in_(list(ids)))).mappings()
            found = {row["id"]: row for row in rows}
        for video in ids:
            try:
                if video not in found:
                    raise VidwatchError("there is no such video")
                done.n += self._try(found[video], now, who, is_one_of_several=len(ids) > 1)
            except VidwatchError as error:
                done.refused[video] = str(error)
            except OSError as error:
                done.refused[video] = f"its file cannot be moved into inbox/ ({error.strerror})"
        return done

    def _try(self, row: Any, now: datetime, who: str, *, is_one_of_several: bool) -> bool:
        """Queue a video again; gives whether it was this that did it."""
        if not is_at_rest(row):
            raise VidwatchError("it is being tried again already, or is on its way to failed/")
        file = self._back_in_its_place(row)
        with self._writer.begin() as connection:
            is_failed = connection.scalar(select(videos.c.state).where(videos.c.id == row["id"]))
            if is_failed != "failed":
                return False  # somebody else was faster
            if _has_row(connection, file, row["id"]):
                # The daemon was faster: the file is a new video, which comes in the place of this.
                this = update(videos).where(videos.c.id == row["id"])
                connection.execute(this.values(forgotten_at=now))
            else:
                queue_again(connection, row["id"], file, background=is_one_of_several)
                note_person(connection, videos.c.id == row["id"], "again", f"by {who}")
            return True

    def _back_in_its_place(self, row: Any) -> Found:
        """The file of a video, where the daemon reads it."""
        file = Found(row["path"], Identity(*(row[name] for name in Identity._fields)))
        if row["on_filed"] == "leave":
            there = identify(file.path)
            if there is None or not there.has_numbers_of(file.identity):
                raise VidwatchError(GONE)
            return file._replace(identity=there)
        if not is_in_failed(row["path"], self.folders):
            raise VidwatchError(f"its file is not in failed/: {printable(os.fsdecode(file.path))}")
        placed = self._put_back(file, row)
        there = identify(placed) if placed else None
        if placed is None or there is None:
            raise VidwatchError(GONE)
        # All that belongs to it comes before its row is queued: the daemon may read it at once.
        self._sidecars.follow_if_possible(file.path, placed, lambda: None)
        remove_reason(file.path, self.folders.root)
        found = self.folders.placed(Found(placed, there), self._pattern)
        return found._replace(
            group=found.group or row["group"], source=found.source or row["source"]
        )

    def _put_back(self, file: Found, row: Any) -> bytes | None:
        """Move a file into the folder of the inbox that it came from; None if that is not it."""
        root = self.folders.root
        inner = folders_of(file.path, root)
        if not inner and row["source"] and row["origin"] is None:
            inner = os.fsencode(row["source"]).split(b"/")
        folder = b"/".join((root, b"inbox", *inner))
        target = folder + b"/" + base_name(file.path)
        placed = move_file(file.path, target, file.identity, None, lambda _: None, root=root)
        sync_folders({file.path.rpartition(b"/")[0], folder})
        return placed


def is_at_rest(row: Any) -> bool:
    """Whether a video has failed, and its file is not being moved."""
    return row["state"] == "failed" and row["destination"] is None and row["moving_to"] is None


def is_in_failed(path: bytes, folders: Folders) -> bool:
    """Whether a file lies in `failed/`."""
    return path.startswith(folders.root + b"/failed/")


def _has_row(connection: Connection, file: Found, video: int) -> bool:
    """Whether another video that is on its way has this file."""
    is_same = or_(has_numbers(file.identity), videos.c.path == file.path)
    on_its_way = and_(is_same, videos.c.finished_at.is_(None), videos.c.id != video)
    return connection.execute(select(videos.c.id).where(on_its_way).limit(1)).first() is not None
