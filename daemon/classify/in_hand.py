"""The videos in hand: each is decoded, or found to be a copy of an earlier one by its hash.

A file is hashed before it is decoded only if another video has its size. All other files are hashed
while they are decoded: so no file is hashed twice.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from daemon.classify.decoding import Result, Undecoded
from daemon.classify.incomplete import CUT_SHORT, complete_at, seen_change
from daemon.classify.predictor import Reader
from daemon.classify.versions import READ_AGAIN, Versions
from daemon.database.contents import Contents
from daemon.database.queue import ATTEMPTS, Queue
from daemon.database.records import Claimed, Copy
from daemon.home.folders import Folders
from daemon.home.identity import Identity
from daemon.home.texts import shown
from learner.video import Clip

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patience:
    """How long files are waited for."""

    grace: timedelta
    """How long a file that is gone or has changed may take to be found again."""
    completion: timedelta
    """A file that is cut short, and that vidwatch saw change less than this ago, may still be
    arriving."""


class InHand:
    """Reads claimed videos. What cannot be read has its new state noted in the queue."""

    def __init__(
        self,
        queue: Queue,
        reader: Reader,
        folders: Folders,
        patience: Patience,
        progress: Callable[[], None],
    ) -> None:
        """Nothing is in hand yet.

        Args:
            queue: Where each change of a video's state is written.
            reader: Decodes and hashes.
            folders: The home's folders.
            patience: How long files are waited for.
            progress: Called during long work. An exception from it ends that.
        """
        self.reader = reader
        self._queue = queue
        self._folders = folders
        self._patience = patience
        self._progress = progress
        self._contents = Contents(queue.engine)
        self._versions = Versions(queue, patience.grace)
        self._decoding: dict[Future[Clip], Claimed] = {}
        self._hashing: dict[Future[str], Claimed] = {}
        # Those whose hash is known, and that are neither decoded nor found to be copies yet.
        self._hashed: list[Claimed] = []

    def __len__(self) -> int:
        return len(self._decoding) + len(self._hashing) + len(self._hashed)

    def begin(self, videos: Sequence[Claimed], now: datetime) -> None:
        """Begin to read these videos."""
        there = []
        for video in videos:
            if version := self._versions.of(video, video.path, now):
                there.append(replace(video, version=version))
        sizes = [video.identity.size for video in (*self._all(), *there)]
        known = self._contents.known_sizes(video.identity.size for video in there)
        for video in there:
            size = video.identity.size
            if size in known or sizes.count(size) > 1:
                self._hashing[self.reader.hash(video.path, _now(video))] = video
            else:
                self._decode(video)

    def wait(self, seconds: float) -> None:
        """Wait until something is read, for at most so long."""
        futures: list[Future[Any]] = [*self._decoding, *self._hashing]
        wait(futures, timeout=seconds, return_when=FIRST_COMPLETED)

    def copies(self, now: datetime) -> list[Copy]:
        """The videos that are copies of earlier ones. Other hashed videos begin to be decoded.

        A video waits while another one with the same content is decoded. It is decoded itself if
        the first video's file is gone, or if that clip was cut short: then both may be arriving.
        """
        for video, path, outcome in self._done(self._hashing, len(self._hashing)):
            if isinstance(outcome, Undecoded):
                self._checked(video, path, outcome, now)
            else:
                self._hashed.append(replace(video, sha256=outcome))
        if not self._hashed:
            return []
        firsts = self._contents.firsts(video.sha256 for video in self._hashed if video.sha256)
        paths = self._queue.paths(video.id for video in self._hashed)
        copies = []
        for video in list(self._hashed):
            assert video.sha256
            path = paths[video.id]
            first = firsts.get(video.sha256)
            if any(video.sha256 == other.sha256 for other in self._decoding.values()):
                continue
            if not (first and first.was_whole) or not first.is_there(
                self._folders, {path}, self._progress
            ):
                first = None
            self._hashed.remove(video)
            if first is None:
                self._decode(replace(video, path=path))
            elif self._checked(video, path, video.sha256, now):
                recording = first.recording_of_copy(path, video.identity.mtime_ns)
                copies.append(Copy(video.id, path, video.sha256, recording))
        return copies

    def clips(self, limit: int, now: datetime) -> list[tuple[Claimed, Clip]]:
        """At most so many videos that are decoded by now, in the order in which they came."""
        clips: list[tuple[Claimed, Clip]] = []
        for video, path, outcome in self._done(self._decoding, limit):
            if clip := self._checked(video, path, outcome, now):
                clips.append((replace(video, path=path), clip))
        return clips

    def release(self) -> None:
        """Put all videos back into the queue."""
        self._queue.release(video.id for video in self._all())
        self.forget()

    def forget(self) -> None:
        """Drop all work: a change of state could not be written."""
        futures: list[Future[Any]] = [*self._decoding, *self._hashing]
        for future in futures:
            future.cancel()
        self._decoding.clear()
        self._hashing.clear()
        self._hashed.clear()

    def fail(self, video: Claimed, reason: str) -> None:
        """Note that there will be no prediction of a video."""
        log.warning("%s: failed, %s (id=%d)", shown(video.path), reason, video.id)
        self._queue.fail(video.id, reason, self._folders.failed(video.path))

    def _all(self) -> list[Claimed]:
        return [*self._decoding.values(), *self._hashing.values(), *self._hashed]

    def _decode(self, video: Claimed) -> None:
        future = self.reader.decode(video.path, _now(video), video.sha256)
        self._decoding[future] = video

    def _done(
        self, futures: dict[Future[Result], Claimed], limit: int
    ) -> Iterator[tuple[Claimed, bytes, Result | Undecoded]]:
        """Videos that are read by now, with where their files are, in the order of their ids."""
        done = [future for future in futures if future.done()]
        done.sort(key=lambda future: futures[future].id)
        batch = done[:limit]
        paths = self._queue.paths(futures[future].id for future in batch) if batch else {}
        for future in batch:
            video = futures.pop(future)
            yield video, paths[video.id], self.reader.outcome(future)

    def _checked(
        self, video: Claimed, path: bytes, outcome: Result | Undecoded, now: datetime
    ) -> Result | None:
        """The outcome, if it is of the file that was claimed. Else the video's state is noted."""
        version = self._versions.of(video, path, now)
        if version is None:
            return None
        if isinstance(outcome, Undecoded) and path != video.path:
            self._queue.release([video.id])  # it was renamed before it could be opened
        elif not self._versions.is_settled(video, version, _gave(outcome)):
            text = "%s: touched while it was read, is read again (id=%d)"
            log.info(text, shown(path), video.id)
            self._queue.hold(video.id, now + READ_AGAIN)
        elif _is_short(outcome) and (
            until := complete_at(video.changed_at, now, self._patience.completion)
        ):
            text = "%s: cut short, read again later in case it is still arriving (id=%d)"
            log.info(text, shown(path), video.id)
            changed = seen_change(video.changed_at, now)
            self._queue.hold(video.id, until, CUT_SHORT, changed_at=changed)
        elif isinstance(outcome, Undecoded):
            self._give_up(video, outcome, now)
        else:
            return outcome
        return None

    def _give_up(self, video: Claimed, outcome: Undecoded, now: datetime) -> None:
        reason = outcome.reason
        if outcome.kind == "failed":
            self.fail(video, reason)
            return
        if outcome.kind == "crashed":
            attempts = self._queue.count_crash(video.id, reason, now)
            if attempts >= ATTEMPTS:
                self.fail(video, f"{reason}; given up after {ATTEMPTS} attempts")
                return
        log.warning("%s: %s, is tried again (id=%d)", shown(video.path), reason, video.id)
        if outcome.kind == "later":
            self._queue.postpone([video.id], reason, now)
        elif outcome.kind == "again":
            self._queue.release([video.id])


def _now(video: Claimed) -> Identity:
    """The file as it was found when the video came into hand: its device may be another one."""
    return video.version.identity if video.version else video.identity


def _gave(outcome: Clip | str | Undecoded) -> str:
    """What a reading gave, in a word: two readings of one content give the same."""
    if isinstance(outcome, Undecoded):
        return outcome.reason
    return outcome.sha256 if isinstance(outcome, Clip) else outcome


def _is_short(outcome: Clip | str | Undecoded) -> bool:
    if isinstance(outcome, Undecoded):
        return outcome.cut_short
    return isinstance(outcome, Clip) and outcome.read_share < 1
