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
from daemon.classify.long_videos import LongVideo, LongVideos
from daemon.classify.origins import Origins
from daemon.classify.predictor import Predictor
from daemon.classify.versions import READ_AGAIN, Versions
from daemon.database.contents import Contents, First
from daemon.database.queue import ATTEMPTS, Queue
from daemon.database.records import Claimed, Copy
from daemon.database.windows import Windows
from daemon.home.folders import Folders
from daemon.home.texts import shown
from learner.cutting import Window
from learner.video import Clip
from learner.windows import Long, Piece

log = logging.getLogger(__name__)
Read = Clip | Long | Piece | str


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
        predictor: Predictor,
        folders: Folders,
        patience: Patience,
        progress: Callable[[], None],
    ) -> None:
        """Nothing is in hand yet.

        Args:
            queue: Where each change of a video's state is written.
            predictor: Decodes and hashes, for a model.
            folders: The home's folders.
            patience: How long files are waited for.
            progress: Called during long work. An exception from it ends that.
        """
        self._reader = predictor.reader
        self._queue = queue
        self._folders = folders
        self._patience = patience
        self._progress = progress
        self._contents = Contents(queue.engine)
        self._origins = Origins(queue)
        self._versions = Versions(queue, self._origins, patience.grace)
        self._long = LongVideos(Windows(queue.engine, queue.owner), predictor)
        self._decoding: dict[Future[Clip | Long], Claimed] = {}
        self._hashing: dict[Future[str], Claimed] = {}
        # Those whose hash is known, and that are neither decoded nor found to be copies yet.
        self._hashed: list[Claimed] = []
        # Those that the device has, or whose predictions are not recorded yet, by id.
        self._predicting: dict[int, Claimed] = {}
        self._windows_turn = False

    def __len__(self) -> int:
        return len(self._decoding) + len(self._hashing) + len(self._hashed) + len(self._long)

    @property
    def slots(self) -> int:
        """How many places are taken: some long videos take none."""
        return len(self) - len(self._long) + self._long.slots

    def use(self, predictor: Predictor) -> None:
        """Read for another model from now on."""
        self._reader = predictor.reader
        self._long.predictor = predictor

    def away(self, now: datetime) -> list[bytes]:
        """The archives and sources whose videos are not worth a try now."""
        return self._origins.away(now)

    def begin(self, videos: Sequence[Claimed], now: datetime) -> None:
        """Begin to read these videos."""
        there = []
        for video in self._origins.reachable(videos, now):
            if version := self._versions.of(video, video.path, now):
                there.append(replace(video, version=version))
        sizes = [video.identity.size for video in (*self._all(), *there)]
        known = self._contents.known_sizes(video.identity.size for video in there)
        for video in there:
            size = video.identity.size
            if size in known or sizes.count(size) > 1:
                self._hashing[self._reader.hash(video.path, video.found)] = video
            else:
                self._decode(video)

    def wait(self, seconds: float) -> None:
        """Wait until something is read, for at most so long."""
        if self._long.has_windows:
            return
        futures: list[Future[Any]] = [*self._decoding, *self._hashing, *self._long.pieces()]
        wait(futures, timeout=seconds, return_when=FIRST_COMPLETED)

    def copies(self, now: datetime) -> list[Copy]:
        """The videos that are copies of earlier ones. Other hashed videos begin to be decoded.

        A video waits while another one with the same content is in hand. It is decoded itself if
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
            others = (*self._decoding.values(), *self._predicting.values(), *self._long.all())
            if any(video.sha256 == other.sha256 for other in others):
                continue
            if first and self._has_followed(first, replace(video, path=path), now):
                self._hashed.remove(video)
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

    def _has_followed(self, first: First, video: Claimed, now: datetime) -> bool:
        """Whether a known video follows its file, which a person has moved or mounted elsewhere.

        What was predicted of it stays. `first` is the first video of its content.
        """
        if video.on_filed != "leave":
            return False
        known = self._contents.moved(first, video.path)
        if known is None:
            return False
        if self._checked(video, video.path, video.sha256 or "", now):
            self._contents.follow(known, video.id, self._folders)
            log.info("%s: found again (id=%d)", shown(video.path), known)
        return True

    def clips(self, limit: int, now: datetime) -> list[tuple[Claimed, Clip]]:
        """At most so many videos and windows that are decoded by now.

        The videos are in the order in which they came. Windows are at most half of a batch if
        there are enough videos: neither waits for all of the others. `recorded` has to follow.
        """
        clips: list[tuple[Claimed, Clip]] = self._pieces(now)
        self._windows_turn = not self._windows_turn
        n_videos = sum(future.done() for future in self._decoding)
        n_windows = max((limit + self._windows_turn) // 2, limit - n_videos)
        clips += self._long.take(n_windows - len(clips))
        for video, path, outcome in self._done(self._decoding, limit - len(clips)):
            found = self._checked(video, path, outcome, now)
            if isinstance(found, Long):
                self._long.begin(replace(video, path=path), found)
            elif isinstance(found, Clip):
                clips.append((replace(video, path=path), found))
        for video, clip in clips:
            if not isinstance(clip, Window):
                self._predicting[video.id] = replace(video, sha256=clip.sha256)
        return clips

    def go_on(self, limit: int, *, may_read: bool) -> None:
        """Begin to read the next pieces of long videos, while at most so many windows wait.

        If that may not be now, those of which nothing is being read or predicted go back into the
        queue. What is recorded of them stays: they go on there.
        """
        if may_read:
            self._long.read_on(limit)
        elif idle := self._long.idle():
            self._queue.release(video.id for video in idle)
            for video in idle:
                log.info("%s: goes on later (id=%d)", shown(video.path), video.id)
                self._long.drop(video.id)

    def recorded(self, videos: Sequence[Claimed], of_windows: Sequence[int]) -> None:
        """Note that what the device gave of these videos is recorded.

        Args:
            videos: The videos of a batch.
            of_windows: The id of a video for each window of it that was recorded.
        """
        self._long.recorded(of_windows)
        for video in videos:
            self._predicting.pop(video.id, None)

    def whole_videos(self) -> list[LongVideo]:
        """The long videos of which all windows are recorded; they are not in hand any more."""
        return self._long.done()

    def drop(self, video: Claimed) -> None:
        """A video's state has changed: it is not in hand any more."""
        self._long.drop(video.id)
        self._predicting.pop(video.id, None)

    def _pieces(self, now: datetime) -> list[tuple[Claimed, Clip]]:
        """Take the pieces that were read; gives clips of videos that cannot be read in windows."""
        clips = []
        pieces = self._long.pieces()
        for video, path, outcome in self._done(pieces, len(pieces)):
            found = self._checked(video, path, outcome, now)
            here = replace(video, path=path)
            if isinstance(found, Piece):
                self._long.put(here, found)
            elif isinstance(found, Clip):
                self._long.become_clip(here)
                clips.append((here, found))
            else:
                self._long.drop(video.id)
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
        self._predicting.clear()
        self._long.clear()

    def fail(self, video: Claimed, reason: str, now: datetime) -> None:
        """Note that there will be no prediction of a video."""
        log.warning("%s: failed, %s (id=%d)", shown(video.path), reason, video.id)
        self.drop(video)
        stays = video.on_filed == "leave"
        destination = None if stays else self._folders.failed(video.path)
        self._queue.fail(video.id, reason, destination, now)

    def _all(self) -> list[Claimed]:
        return [
            *self._decoding.values(),
            *self._hashing.values(),
            *self._hashed,
            *self._predicting.values(),
            *self._long.all(),
        ]

    def _decode(self, video: Claimed) -> None:
        future = self._reader.read(video.path, video.found, video.sha256)
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
            yield video, paths[video.id], self._reader.outcome(future)

    def _checked(
        self, video: Claimed, path: bytes, outcome: Result | Undecoded, now: datetime
    ) -> Result | None:
        """The outcome, if it is of the file that was claimed. Else the video's state is noted."""
        version = self._versions.of(video, path, now)
        if version is None:
            return None
        if isinstance(outcome, Undecoded) and path != video.path:
            self._queue.release([video.id])  # it was renamed before it could be opened
        elif not self._versions.is_settled(video, version, _gave(video, outcome)):
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
            self.fail(video, reason, now)
            return
        if outcome.kind == "crashed":
            attempts = self._queue.count_crash(video.id, reason, now)
            if attempts >= ATTEMPTS:
                self.fail(video, f"{reason}; given up after {ATTEMPTS} attempts", now)
                return
        log.warning("%s: %s, is tried again (id=%d)", shown(video.path), reason, video.id)
        if outcome.kind == "later":
            self._queue.postpone([video.id], reason, now)
        elif outcome.kind == "again":
            self._queue.release([video.id])


def _gave(video: Claimed, outcome: Read | Undecoded) -> str:
    """What a reading gave, in a word: two readings of one content give the same."""
    if isinstance(outcome, Undecoded):
        return outcome.reason
    if isinstance(outcome, Piece):
        return video.sha256 or ""
    return outcome if isinstance(outcome, str) else outcome.sha256


def _is_short(outcome: Read | Undecoded) -> bool:
    if isinstance(outcome, Undecoded):
        return outcome.cut_short
    return isinstance(outcome, (Clip, Long)) and outcome.read_share < 1
