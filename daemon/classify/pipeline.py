"""Takes videos from the queue to their folders: claim, decode, predict, record, file, in rounds.

Knows neither how files are found nor any model.
"""

import errno
import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from daemon.classify.batch_size import BatchSize
from daemon.classify.decoding import Undecoded
from daemon.classify.predictor import BusyError, Outcome, Predictor, model_prediction
from daemon.classify.versions import READ_AGAIN, Versions
from daemon.database.predictions import Predictions
from daemon.database.queue import ATTEMPTS, Queue
from daemon.database.records import Claimed, Move, Moved, VideoPrediction
from daemon.home.folders import Folders
from daemon.home.identity import Identity, display_name, identify, is_there, lies_at
from daemon.home.moving import move_file, sync_folders
from daemon.home.reasons import write_reason
from daemon.home.texts import printable
from learner.errors import VidwatchError
from learner.video import Clip

log = logging.getLogger(__name__)

LONGEST_WAIT = 0.2  # seconds for a decoder, in one round


class StoppedError(Exception):
    """The work at hand is to be left for the next start."""


@dataclass(frozen=True)
class PipelineSettings:
    """How a pipeline works, and what it asks of the daemon around it."""

    batch_size: int
    """The most clips in one batch. Batches are smaller while the device is slow."""
    grace: timedelta
    """How long a file that is gone or has changed may take to be found again."""
    patience: timedelta
    """A file that is cut short, and was changed less than this ago, may still be arriving."""
    inbox_is_there: Callable[[], bool]
    """Whether the inbox is there: without it, no file counts as gone."""
    may_begin: Callable[[], bool]
    """Whether new videos may be claimed now."""
    progress: Callable[[], None]
    """Called during long work; raises `StoppedError` to end it."""


class Pipeline:
    """Takes videos from the queue to their folders.

    At most two batches are in hand: the next clips decode while the device works, and memory stays
    bounded. What is decoded when the device becomes free is its next batch, so batches are large
    if the device is busy, and small if it is idle. While it works, predicted videos are filed, and
    new ones are claimed.
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
        self._in_hand: dict[Future[Clip], Claimed] = {}
        self._versions = Versions(queue, settings.grace)
        self._device = ThreadPoolExecutor(1, "device")
        self._must_recover = False

    def step(self, now: datetime) -> bool:
        """One round; False if there was nothing to do."""
        if self._must_recover:
            self._queue.recover()
            self._must_recover = False
        if not self._in_hand:
            self._claim(2 * self._batch_size.now, now)
        moves = self._queue.moves(now)
        if not self._in_hand and not moves:
            return False
        self._predictor.reader.tend()
        wait(self._in_hand, timeout=0 if moves else LONGEST_WAIT, return_when=FIRST_COMPLETED)
        clips = self._decoded(now)
        predicting = self._device.submit(self._predict, clips) if clips else None
        self._claim(2 * self._batch_size.now - len(self._in_hand) - len(clips), now)
        self._file(moves, now)
        if predicting:
            self._record(clips, predicting, now)
            if not self._in_hand:  # nothing else could be done while they are filed
                self.file(now)
        return True

    def file(self, now: datetime) -> None:
        """Move predicted videos to where they belong."""
        self._file(self._queue.moves(now), now)

    def use(self, predictor: Predictor) -> None:
        """Go on with another model. Clips in hand were read for the one before: read them again."""
        self.release()
        self._predictor = predictor

    def release(self) -> None:
        """Put what is in hand back into the queue."""
        self._queue.release(video.id for video in self._in_hand.values())
        self._in_hand.clear()

    def start_over(self) -> None:
        """A change of state could not be written: drop all work; the next step queues it again.

        What the device may still be working on is predicted again, too.
        """
        for future in self._in_hand:
            future.cancel()
        self._in_hand.clear()
        self._must_recover = True

    def settle_missing(self, now: datetime) -> None:
        """Give up the files that stayed away for their whole grace, while the inbox was there."""
        for video_id, path in self._queue.missing(now, self._settings.grace):
            if self._settings.inbox_is_there() and not is_there(path):
                reason = "vanished before it could be read"
                log.warning("%s: %s (id=%d)", _shown(path), reason, video_id)
                self._queue.give_up(video_id, reason, now)

    def _claim(self, free_slots: int, now: datetime) -> None:
        if free_slots > 0 and self._settings.may_begin():
            for video in self._queue.claim(free_slots, now):
                if version := self._versions.of(video, video.path, now):
                    future = self._predictor.reader.decode(video.path, version.identity)
                    self._in_hand[future] = replace(video, version=version)

    def _decoded(self, now: datetime) -> list[tuple[Claimed, Clip]]:
        """The next batch: videos that are decoded by now. Files without a clip are dealt with."""
        clips: list[tuple[Claimed, Clip]] = []
        done = [future for future in self._in_hand if future.done()]
        done.sort(key=lambda future: self._in_hand[future].id)
        batch = done[: self._batch_size.now]
        paths = self._queue.paths(self._in_hand[future].id for future in batch) if batch else {}
        for future in batch:
            video = self._in_hand.pop(future)
            clip = self._checked(video, paths[video.id], future, now)
            if clip:
                clips.append((replace(video, path=paths[video.id]), clip))
        return clips

    def _checked(
        self, video: Claimed, path: bytes, future: Future[Clip], now: datetime
    ) -> Clip | None:
        """The clip, if it is of the file that was claimed. Else the video's new state is noted."""
        outcome = self._predictor.reader.outcome(future)
        version = self._versions.of(video, path, now)
        if version is None:
            return None
        if isinstance(outcome, Undecoded) and path != video.path:
            self._queue.release([video.id])  # it was renamed before it could be opened
        elif not self._versions.is_settled(video, version, outcome):
            text = "%s: touched while it was read, is read again (id=%d)"
            log.info(text, _shown(path), video.id)
            self._queue.hold(video.id, now + READ_AGAIN)
        elif _is_short(outcome) and (until := self._complete_at(video.identity, now)):
            text = "%s: cut short, read again later in case it is still arriving (id=%d)"
            log.info(text, _shown(path), video.id)
            self._queue.hold(video.id, until)
        elif isinstance(outcome, Undecoded):
            self._give_up(video, outcome, now)
        else:
            return outcome
        return None

    def _record(
        self,
        clips: list[tuple[Claimed, Clip]],
        predicting: Future[list[VideoPrediction | VidwatchError]],
        now: datetime,
    ) -> None:
        predicted = []
        try:
            for (video, _), result in zip(clips, predicting.result(), strict=True):
                if isinstance(result, VidwatchError):
                    self._fail(video, str(result))
                else:
                    predicted.append(result)
        except BusyError as error:
            self._queue.postpone([video.id for video, _ in clips], str(error), now)
            return
        for found, original in self._predictions.record(predicted, self._folders, now):
            text = _described(found)
            if original:
                text = f"a duplicate of video {original}, whose prediction counts"
            log.info("%s: %s (id=%d)", _shown(found.path), text, found.video_id)

    def _complete_at(self, identity: Identity, now: datetime) -> datetime | None:
        """When a file that is cut short, and was changed just now, counts as complete.

        None if it does already.
        """
        changed = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=identity.mtime_ns / 1000)
        is_recent = timedelta() <= now - changed < self._settings.patience
        return changed + self._settings.patience if is_recent else None

    def _predict(self, clips: list[tuple[Claimed, Clip]]) -> list[VideoPrediction | VidwatchError]:
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
            _video_prediction(video, clip, outcome, self._predictor.model_id)
            for (video, clip), outcome in zip(clips, outcomes, strict=True)
        ]

    def _give_up(self, video: Claimed, outcome: Undecoded, now: datetime) -> None:
        reason = outcome.reason
        if outcome.kind == "failed":
            self._fail(video, reason)
            return
        if outcome.kind == "crashed":
            attempts = self._queue.count_crash(video.id, reason, now)
            if attempts >= ATTEMPTS:
                self._fail(video, f"{reason}; given up after {ATTEMPTS} attempts")
                return
        log.warning("%s: %s, is tried again (id=%d)", _shown(video.path), reason, video.id)
        if outcome.kind == "later":
            self._queue.postpone([video.id], reason, now)
        elif outcome.kind == "again":
            self._queue.release([video.id])

    def _fail(self, video: Claimed, reason: str) -> None:
        log.warning("%s: failed, %s (id=%d)", _shown(video.path), reason, video.id)
        self._queue.fail(video.id, reason, self._folders.failed(video.path))

    def _file(self, moves: list[Move], now: datetime) -> None:
        moved: dict[int, Moved] = {}
        unmoved: list[int] = []
        touched: set[bytes] = set()  # folders
        for done, move in enumerate(moves):
            try:
                moved[move.id] = self._move(move)
            except StoppedError:
                unmoved = [left.id for left in moves[done:] if not _may_be_gone(left)]
                break
            except OSError as error:
                source = os.fsdecode(os.path.dirname(move.path))
                target = os.fsdecode(os.path.dirname(move.destination))
                reason = f"cannot be moved from {source} to {target} ({error.strerror})"
                trouble = printable(reason)
                text = "%s: %s, is tried again (id=%d)"
                log.warning(text, _shown(move.path), trouble, move.id)
                self._queue.postpone_move(move.id, trouble, now, is_begun=_may_be_gone(move))
                continue
            if (path := moved[move.id].path) is not None:
                touched |= {os.path.dirname(move.path), os.path.dirname(path)}
        if moved or unmoved:
            sync_folders(touched)
            self._queue.moved(moved, now, unmoved)

    def _move(self, move: Move) -> Moved:
        destination = move.destination

        def redirect(path: bytes) -> None:
            nonlocal destination
            self._queue.redirect(move.id, destination, path)
            destination = path

        path = move_file(
            move.path,
            move.destination,
            move.identity,
            move.sha256,
            redirect,
            self._settings.progress,
            root=self._folders.root,
        )
        if path is None and not self._settings.inbox_is_there():
            raise OSError(errno.ENOENT, "the inbox is not there")
        if path and move.reason:
            write_reason(path, move.reason, self._folders.root)
        return Moved(path, destination, identify(path) if path else None)


def _may_be_gone(move: Move) -> bool:
    """Whether a file may have left the place that it is to be moved from."""
    return not lies_at(move.path, move.identity)


def _is_short(outcome: Clip | Undecoded) -> bool:
    return outcome.cut_short if isinstance(outcome, Undecoded) else outcome.read_share < 1


def _shown(path: bytes) -> str:
    return printable(display_name(path))


def _described(found: VideoPrediction) -> str:
    text = f"{found.prediction.class_name}, {found.prediction.probability:.1%}"
    return f"{text}, unsure" if found.unsure else text


def _video_prediction(
    video: Claimed, clip: Clip, outcome: Outcome, model_id: int
) -> VideoPrediction:
    shadow = None
    if outcome.shadow:
        shadow = model_prediction(*outcome.shadow)
    return VideoPrediction(
        video_id=video.id,
        path=video.path,
        sha256=clip.sha256,
        prediction=model_prediction(model_id, outcome.prediction),
        frames_asked=clip.frames_asked,
        frames_read=clip.frames_read,
        decoder=clip.decoder,
        unsure=outcome.unsure,
        fingerprint=outcome.fingerprint,
        shadow=shadow,
        read_share=clip.read_share,
    )
