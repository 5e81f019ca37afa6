"""Takes videos from the queue to their folders: claim, decode, predict, record, file, in rounds.

Knows neither how files are found nor any model.
"""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from daemon.classify.batch_size import BatchSize
from daemon.classify.filing import Filing, NotLeadingError, StoppedError
from daemon.classify.in_hand import InHand, Patience
from daemon.classify.missing import Missing
from daemon.classify.predicted import Predicted, long_prediction, recorded_prediction, why_damaged
from daemon.classify.predictor import BusyError, Predictor
from daemon.database.contents import Contents, First
from daemon.database.due import Which
from daemon.database.predictions import Predictions
from daemon.database.queue import Queue
from daemon.database.records import (
    Claimed,
    Copy,
    VideoPrediction,
    WindowPrediction,
)
from daemon.database.windows import Windows
from daemon.home.folders import Folders
from daemon.home.texts import shown
from learner.errors import VidwatchError
from learner.video import Clip

log = logging.getLogger(__name__)

LONGEST_WAIT = 0.2  # seconds for a decoder, in one round


@dataclass(frozen=True)
class PipelineSettings:
    """How a pipeline works, and what it asks of the daemon around it."""

    batch_size: int
    """The most clips in one batch. Batches are smaller while the device is slow."""
    grace: timedelta
    """How long a file that is gone or has changed may take to be found again."""
    patience: timedelta
    """A file that is cut short, and that vidwatch saw change less than this ago, may still be
    arriving."""
    inbox_is_there: Callable[[], bool]
    """Whether the inbox is there: without it, no file counts as gone."""
    may_begin: Callable[[], bool]
    """Whether new videos may be claimed now."""
    progress: Callable[[], None]
    """Called during long work; raises `StoppedError` to end it."""
    drop_duplicates: bool = False
    """Whether duplicates in the inbox are removed."""
    may_file: Callable[[], bool] = lambda: True
    """Whether this daemon is the one that moves files now."""
    may_go_on: Callable[[], bool] = lambda: True
    """Whether the next pieces of long videos in hand may be read."""
    model: str | None = None
    """The model whose videos are taken: one that sources have alone. None: the champion."""
    device: Executor = field(default_factory=lambda: ThreadPoolExecutor(1, "device"))
    """What the batches are computed in: one at a time, whatever the number of pipelines."""


@dataclass(frozen=True)
class _Batch:
    """What the device has: videos, and what will be predicted of each, or of a window of it.

    The frames are let go as soon as they are computed.
    """

    videos: list[Claimed]
    outcomes: Future[list[Predicted | VidwatchError]]
    begun_at: datetime


class Pipeline:
    """Takes videos from the queue to their folders.

    The next clips decode while the device works. They are not many, so that memory stays bounded:
    `_claim` says how many. What is decoded when the device becomes free is its next batch, so
    batches are large if the device is busy, and small if it is idle. While it works, the batch
    before is recorded and filed, and new videos are claimed.
    """

    def __init__(
        self,
        queue: Queue,
        predictions: Predictions,
        predictor: Predictor,
        folders: Folders,
        settings: PipelineSettings,
    ) -> None:
        """Make a pipeline; it claims nothing yet.

        Args:
            queue: Where videos wait, and where each change of their state is written.
            predictions: Where predictions are recorded.
            predictor: Decodes clips and predicts their classes.
            folders: The home's folders.
            settings: How it works.
        """
        self._queue = queue
        self._predictions = predictions
        self._predictor = predictor
        self._folders = folders
        self._settings = settings
        self._batch_size = BatchSize(settings.batch_size)
        patience = Patience(settings.grace, settings.patience)
        self._in_hand = InHand(queue, predictor, folders, patience, settings.progress)
        self._windows = Windows(queue.engine, queue.owner)
        self._contents = Contents(queue.engine)
        self._filing = Filing(
            queue,
            folders,
            settings.inbox_is_there,
            self._go_on_filing,
            drop_duplicates=settings.drop_duplicates,
        )
        self._missing = Missing(queue, settings.grace, settings.inbox_is_there)
        self._batch: _Batch | None = None
        self._must_recover = False

    def step(self, now: datetime) -> bool:
        """One round; False if there was nothing to do."""
        if self._must_recover:
            self._queue.recover()
            self._must_recover = False
        if not self._in_hand and not self._batch:
            self._claim(now)
        worked = bool(self._in_hand or self._batch)
        if self._batch:
            wait([self._batch.outcomes])
        elif self._in_hand:
            self._in_hand.wait(LONGEST_WAIT)
        copies = self._in_hand.copies(now)
        done = self._batch
        self._batch = self._begun(now)
        self._claim(now)
        if done:
            self._record(done, now)
        self._record_whole(now)
        self._record_copies(copies, now)
        return self._file(now) or worked

    def file(self, now: datetime) -> None:
        """Record what the device has, and move predicted videos to where they belong."""
        self._record_last()
        self._file(now)

    def use(self, predictor: Predictor) -> None:
        """Go on with another model. Clips in hand were read for the one before: read them again."""
        self.release()
        self._predictor = predictor
        self._in_hand.use(predictor)

    def release(self) -> None:
        """Record what the device has, and put all else that is in hand back into the queue."""
        self._record_last()
        self._in_hand.release()

    def start_over(self) -> None:
        """A change of state could not be written: drop all work; the next step queues it again.

        What the device may still be working on is predicted again, too.
        """
        self.forget()
        self._must_recover = True

    def forget(self) -> None:
        """Drop all work, without a change in the queue."""
        self._batch = None
        self._in_hand.forget()

    def settle_missing(self, now: datetime) -> None:
        """Give up the files that stayed away for their whole grace."""
        self._missing.settle(now)

    def _file(self, now: datetime) -> bool:
        """Move predicted videos, if this daemon may; False if there were none."""
        moves = self._queue.moves(now) if self._settings.may_file() else []
        try:
            self._filing.file(moves, now)
        except NotLeadingError:
            log.warning("another daemon files from now on")
        return bool(moves)

    def _go_on_filing(self) -> None:
        if not self._settings.may_file():
            raise NotLeadingError
        self._settings.progress()

    def _claim(self, now: datetime) -> None:
        """Take new videos into hand, beside those that the device has.

        That is the next batch, and a clip for each decoder after it, so that none waits when that
        batch is whole. A round may take longer than a clip: so it is at least two for each decoder.
        """
        workers = self._predictor.workers
        most = max(self._batch_size.now, workers) + workers
        free_slots = most - self._in_hand.slots
        if free_slots > 0 and self._settings.may_begin():
            which = Which(self._settings.model, tuple(self._in_hand.away(now)))
            self._in_hand.begin(self._queue.claim(free_slots, now, which), now)

    def _record_copies(self, copies: Sequence[Copy], now: datetime) -> None:
        if not copies:
            return
        for copy, original in self._predictions.record_copies(copies, self._folders, now):
            if original is None:
                self._queue.release([copy.video_id])  # the first video's row has been removed
            else:
                _log_copy(copy, original)

    def _begun(self, now: datetime) -> _Batch | None:
        """Give the device what is decoded by now, and go on with long videos."""
        clips = self._in_hand.clips(self._batch_size.now, now)
        self._in_hand.go_on(self._batch_size.now, may_read=self._settings.may_go_on())
        if not clips:
            return None
        outcomes = self._settings.device.submit(self._predict, clips)
        return _Batch([video for video, _ in clips], outcomes, now)

    def _record_last(self) -> None:
        """Wait for what the device has, and record it, unless this daemon has to stop at once."""
        done = self._batch
        self._batch = None
        if done:
            with suppress(StoppedError):  # `release` puts it back
                self._record(done, done.begun_at)

    def _record(self, batch: _Batch, now: datetime) -> None:
        predicted = []
        windows = []
        try:
            for video, result in zip(batch.videos, batch.outcomes.result(), strict=True):
                if isinstance(result, VidwatchError):
                    self._in_hand.fail(video, str(result), now)
                elif isinstance(result, WindowPrediction):
                    windows.append(result)
                else:
                    predicted.append(result)
        except BusyError as error:
            self._queue.postpone([video.id for video in batch.videos], str(error), now)
            for video in batch.videos:
                self._in_hand.drop(video)
            return
        if windows:
            self._windows.record(windows, now)
        self._record_videos(predicted, now)
        self._in_hand.recorded(batch.videos, [window.video_id for window in windows])

    def _record_whole(self, now: datetime) -> None:
        """Record the predictions of long videos whose windows are all recorded."""
        predicted = []
        for one in self._in_hand.whole_videos():
            model_id = self._predictor.model_id
            windows = self._windows.complete(one.video.id, model_id)
            own = windows.get(model_id, ())
            if reason := why_damaged(one, own, self._predictor.min_read_share):
                self._in_hand.fail(one.video, reason, now)
                continue
            outcome = self._predictor.join(windows, model_id)
            predicted.append(long_prediction(one, own, outcome, model_id))
        self._record_videos(predicted, now)

    def _record_videos(self, predicted: Sequence[VideoPrediction], now: datetime) -> None:
        if not predicted:
            return
        gone = self._gone(predicted)
        for found, original in self._predictions.record(predicted, self._folders, now, gone):
            if original:
                _log_copy(found, original)
            else:
                log.info("%s: %s (id=%d)", shown(found.path), _described(found), found.video_id)

    def _gone(self, predicted: Sequence[VideoPrediction]) -> list[First]:
        """The first videos of these contents whose files are gone."""
        arrived = {found.path for found in predicted}
        firsts = self._contents.firsts(found.sha256 for found in predicted)
        around = (self._folders, arrived, self._settings.progress)
        return [first for first in firsts.values() if not first.is_there(*around)]

    def _predict(self, clips: list[tuple[Claimed, Clip]]) -> list[Predicted | VidwatchError]:
        """The predictions in order; for a clip that the model refuses, why."""
        began = time.monotonic()
        try:
            outcomes = self._predictor.predict([clip for _, clip in clips])
            self._batch_size.took(len(clips), time.monotonic() - began)
        except VidwatchError as error:
            if len(clips) > 1:
                return [result for clip in clips for result in self._predict([clip])]
            return [error]
        return [
            recorded_prediction(video, clip, outcome, self._predictor.model_id)
            for (video, clip), outcome in zip(clips, outcomes, strict=True)
        ]


def _log_copy(found: VideoPrediction | Copy, original: int) -> None:
    text = "%s: a duplicate of video %d, whose prediction counts (id=%d)"
    log.info(text, shown(found.path), original, found.video_id)


def _described(found: VideoPrediction) -> str:
    text = f"{found.prediction.class_name}, {found.prediction.probability:.1%}"
    return f"{text}, unsure" if found.unsure else text
