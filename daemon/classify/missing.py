"""Settles what becomes of videos whose files were gone, or had changed, when their turn came."""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from daemon.database.queue import Queue
from daemon.home.folders import Found
from daemon.home.identity import identify, is_there
from daemon.home.sources import is_reachable
from daemon.home.texts import shown

log = logging.getLogger(__name__)

GONE = "vanished before it could be read"
OF_ANOTHER = "its file is that of another video"


class Missing:
    """Gives the videos up whose files stayed away. Watchers find the others again."""

    def __init__(self, queue: Queue, grace: timedelta, inbox_is_there: Callable[[], bool]) -> None:
        """Make it.

        Args:
            queue: Says which videos wait for their files.
            grace: How long they do.
            inbox_is_there: Whether the inbox is there: without it, no file counts as gone.
        """
        self._queue = queue
        self._grace = grace
        self._inbox_is_there = inbox_is_there

    def settle(self, now: datetime) -> None:
        """Give up the files that stayed away for their whole grace, while their folder was there.

        Nobody watches archives: a file of one that is there is queued again.
        """
        for row in self._queue.missing(now, self._grace):
            may_be_unwatched = row["origin"] is not None and row["on_filed"] is not None
            if may_be_unwatched and is_there(row["path"]):
                if self._is_anothers(row, now):
                    self._give_up(row, OF_ANOTHER, now)
            elif self._may_be_known(row) and not is_there(row["path"]):
                self._give_up(row, GONE, now)

    def _is_anothers(self, row: Mapping[Any, Any], now: datetime) -> bool:
        """Whether the file at the path of a row is not queued again, as another video has it."""
        try:
            identity = identify(row["path"])
            if identity is None:
                return False
            names = ("group", "source", "origin", "on_filed", "own_model")
            found = Found(row["path"], identity, **{name: row[name] for name in names})
            if self._queue.enqueue([found], now, background=row["background"]):
                return False
            return identify(row["path"]) == identity  # else it is being written
        except OSError:
            return False

    def _give_up(self, row: Mapping[Any, Any], reason: str, now: datetime) -> None:
        log.warning("%s: %s (id=%d)", shown(row["path"]), reason, row["id"])
        self._queue.give_up(row["id"], reason, now)

    def _may_be_known(self, row: Mapping[Any, Any]) -> bool:
        """Whether the folder that a video came from is there: else nobody knows what is in it."""
        if row["origin"] is None:
            return self._inbox_is_there()
        return is_reachable(row["origin"], row["on_filed"])
