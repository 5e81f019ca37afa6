"""The long videos in hand: their windows are read piece by piece, and predicted with other clips.

What is recorded stays: after a stop, a video goes on at its first window that is not.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from fractions import Fraction

from daemon.classify.predictor import Predictor
from daemon.database.records import Claimed, WindowPrediction
from daemon.database.windows import Windows
from learner.cutting import Window
from learner.video import Clip
from learner.window_plan import WindowPlan
from learner.windows import Long, Piece

# So many of them are no obstacle to other videos: short ones that come later must not wait for
# hours of recordings.
BESIDES = 16


@dataclass
class LongVideo:
    """A long video in hand."""

    video: Claimed
    long: Long
    plan: WindowPlan
    next: int | None
    """The first window to be read next; None if all are read."""
    waiting: deque[Window] = field(default_factory=deque)
    """Windows that are read, and are not predicted yet."""
    n_predicting: int = 0
    """How many the device has, or are not recorded yet."""
    reading: Future[Clip | Piece] | None = None
    is_rest_lost: bool = False
    """As in `Piece`, of the last one."""

    def read_share(self, windows: Sequence[WindowPrediction]) -> float:
        """The share of it that was read, from all of its windows."""
        count = self.plan.count(Fraction(round(self.long.seconds * 1_000_000), 1_000_000))
        done = 0
        total = 0.0
        for window in windows:
            total += (window.number + 1 - done) * window.read_share
            done = window.number + 1
        if not self.is_rest_lost:
            total += count - done
        return self.long.read_share * min(total / count, 1.0)

    @property
    def is_done(self) -> bool:
        """Whether all of its windows are recorded."""
        return self.next is None and not self.waiting and not self.n_predicting

    @property
    def n_in_memory(self) -> int:
        """How many windows of it are in memory, or will be soon."""
        return len(self.waiting) + self.n_predicting + bool(self.reading) * self.plan.at_once


class LongVideos:
    """Gives pieces of long videos to the decoders, the oldest first, so that memory is bounded."""

    def __init__(self, windows: Windows, predictor: Predictor) -> None:
        self.predictor = predictor
        self._windows = windows
        self._videos: dict[int, LongVideo] = {}

    def __len__(self) -> int:
        return len(self._videos)

    @property
    def slots(self) -> int:
        """How many places of other videos they take."""
        return max(0, len(self._videos) - BESIDES)

    @property
    def has_windows(self) -> bool:
        """Whether windows wait to be predicted."""
        return any(video.waiting for video in self._videos.values())

    def all(self) -> list[Claimed]:
        """The videos."""
        return [video.video for video in self._videos.values()]

    def begin(self, video: Claimed, long: Long) -> None:
        """Take a long video into hand; it goes on where it was stopped."""
        plan = self.predictor.plan
        assert plan
        model_id = self.predictor.model_id
        first = self._windows.resume(video.id, long.sha256, model_id, plan, long.seconds)
        video = replace(video, sha256=long.sha256)
        self._videos[video.id] = LongVideo(video, long, plan, first)

    def drop(self, video_id: int) -> None:
        """A video is not in hand any more; what is recorded of it stays."""
        dropped = self._videos.pop(video_id, None)
        if dropped and dropped.reading:
            dropped.reading.cancel()

    def clear(self) -> None:
        """No video is in hand any more."""
        for video_id in list(self._videos):
            self.drop(video_id)

    def pieces(self) -> dict[Future[Clip | Piece], Claimed]:
        """What is being read."""
        return {one.reading: one.video for one in self._videos.values() if one.reading}

    def put(self, video: Claimed, piece: Piece) -> None:
        """Note the next piece of a video, which was read."""
        one = self._videos[video.id]
        one.reading = None
        one.video = video
        one.waiting.extend(piece.windows)
        one.is_rest_lost = piece.is_rest_lost
        one.next = None if piece.is_last else piece.windows[-1].number + 1

    def become_clip(self, video: Claimed) -> None:
        """A video cannot be read in windows after all: it has none, and is not long any more."""
        self._windows.forget(video.id)
        self.drop(video.id)

    def take(self, limit: int) -> Iterator[tuple[Claimed, Window]]:
        """At most so many windows that are read by now, those of the oldest video first."""
        left = limit
        for _, one in sorted(self._videos.items()):
            while one.waiting and left > 0:
                left -= 1
                one.n_predicting += 1
                yield one.video, one.waiting.popleft()

    def read_on(self, limit: int) -> None:
        """Begin to read the next pieces, as far as memory for windows allows.

        Each video has one piece at a time, and a new one when less than a batch of windows is left.

        Args:
            limit: The most windows in a batch.
        """
        in_memory = sum(one.n_in_memory for one in self._videos.values())
        for _, one in sorted(self._videos.items()):
            piece = one.plan.at_once
            if one.reading or one.next is None or len(one.waiting) > limit:
                continue
            if in_memory and in_memory + piece > 2 * max(limit, piece):
                continue
            in_memory += piece
            video = one.video
            assert video.sha256
            one.reading = self.predictor.reader.windows(
                video.path, video.found, video.sha256, one.next
            )

    def idle(self) -> list[Claimed]:
        """The videos that wait for their next piece to be read: else nothing of them is in hand."""
        return [
            one.video
            for one in self._videos.values()
            if one.next is not None and not (one.reading or one.waiting or one.n_predicting)
        ]

    def recorded(self, video_ids: Sequence[int]) -> None:
        """Note that windows were recorded, one of each of these videos; ids may repeat."""
        for video_id in video_ids:
            if video_id in self._videos:
                self._videos[video_id].n_predicting -= 1

    def done(self) -> list[LongVideo]:
        """Give the videos whose windows are all recorded out of hand."""
        done = [one for one in self._videos.values() if one.is_done]
        for one in done:
            self.drop(one.video.id)
        return done
