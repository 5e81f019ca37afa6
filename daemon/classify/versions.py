"""Whether a video's file is still the one that came, and was not written to while in hand."""

import logging
from datetime import datetime, timedelta

from daemon.classify.origins import Origins
from daemon.database.queue import Queue
from daemon.database.records import Claimed
from daemon.home.identity import Version, version_of
from daemon.home.texts import shown

log = logging.getLogger(__name__)

READ_AGAIN = timedelta(seconds=1)  # after which a file is read again that was touched meanwhile


class Versions:
    """Compares the files of videos in hand with what they were when a decoder got them.

    `grace` is how long a file that is gone or has changed may take to be found again.
    """

    def __init__(self, queue: Queue, origins: Origins, grace: timedelta) -> None:
        self._queue = queue
        self._origins = origins
        self._grace = grace
        # What the last reading gave of the videos that were touched meanwhile, by id.
        self._gave: dict[int, str] = {}

    def of(self, video: Claimed, path: bytes, now: datetime) -> Version | None:
        """The version of a video's file at `path`.

        If it is not there, that is noted in the queue, and None is returned.
        """
        try:
            version = self._origins.ask(video, lambda: version_of(path))
        except OSError as error:
            self._queue.postpone([video.id], f"cannot be looked at ({error.strerror})", now)
            return None
        if version is None and (trouble := self._origins.why_away(video)):
            self._queue.postpone([video.id], trouble, now)
            return None
        if version is None or not version.identity.has_numbers_of(video.identity):
            text = "%s: gone or changed while in hand, waits to be found whole (id=%d)"
            log.info(text, shown(path), video.id)
            self._queue.wait(video.id, now + self._grace)
            return None
        return version

    def is_settled(self, video: Claimed, version: Version, gave: str) -> bool:
        """Whether what a reading gave is of one content: nobody wrote to the file meanwhile.

        A program can write to a file and then give it its former size and date. The time of its
        last change shows that. A new name or mode changes that time, too, and on some file systems
        each look does. But then the next reading gives the same.
        """
        before = self._gave.pop(video.id, None)
        if version == video.version:
            return True
        if before != gave:
            self._gave[video.id] = gave
        return before == gave
