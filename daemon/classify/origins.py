"""Which archives and sources are there. Those that are away hold up no other clip."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from daemon.database.queue import Queue
from daemon.database.records import Claimed
from daemon.home.answering import Answers
from daemon.home.clock import is_waiting
from daemon.home.sources import is_reachable
from daemon.home.texts import shown_path
from learner.texts import counted

log = logging.getLogger(__name__)

T = TypeVar("T")

PAUSE = timedelta(seconds=30)  # after which a folder that is away is looked for again


class Origins:
    """The folders outside of the home that videos in hand came from."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._answers = Answers()
        # When each folder that is away was looked for last.
        self._away: dict[bytes, datetime] = {}

    def away(self, now: datetime) -> list[bytes]:
        """The folders whose videos are not worth a try now."""
        return [folder for folder, at in self._away.items() if is_waiting(now, at + PAUSE, PAUSE)]

    def ask(self, video: Claimed, ask: Callable[[], T]) -> T:
        """What `ask` finds out about a video's file.

        Raises:
            OSError: it raises that, or the disk does not answer.
        """
        return ask() if video.origin is None else self._answers.of(video.origin, ask)

    def why_away(self, video: Claimed) -> str | None:
        """What is said of a video whose archive or source is not there; None if it is there."""
        origin = video.origin
        if origin is None:
            return None
        try:
            if self._answers.of(origin, lambda: is_reachable(origin, video.on_filed)):
                return None
        except TimeoutError:
            return f"{shown_path(origin)} does not answer"
        return f"{shown_path(origin)} is empty or not there: mount it"

    def reachable(self, videos: Sequence[Claimed], now: datetime) -> list[Claimed]:
        """Those whose folder is there. The others are tried again later."""
        there: list[Claimed] = []
        by_origin: dict[bytes | None, list[Claimed]] = {}
        for video in videos:
            by_origin.setdefault(video.origin, []).append(video)
        for origin, of_origin in by_origin.items():
            trouble = self.why_away(of_origin[0])
            if origin is None or trouble is None:
                if origin is not None and self._away.pop(origin, None) is not None:
                    log.info("%s is there again", shown_path(origin))
                there += of_origin
                continue
            if origin not in self._away:
                log.warning("%s (%s)", trouble, counted(len(of_origin), "clip"))
            self._away[origin] = now
            self._queue.postpone([video.id for video in of_origin], trouble, now)
        return sorted(there, key=lambda video: video.id)
