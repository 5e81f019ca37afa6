"""Claim, decode, classify, record, file, in rounds. Knows neither how files are found nor any model."""

import errno
import logging
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from daemon.classify.batch_size import BatchSize
from daemon.classify.decoding import Undecoded
from daemon.database.queue import ATTEMPTS, Store
from daemon.database.records import Answer, Claimed, Move, Opinion, Placed
from daemon.home.folders import Folders
from daemon.home.identity import Identity, display_name, identify, printable
from daemon.home.moving import place, sync_folders, write_reason
from learner.errors import VidwatchError
from learner.video import Clip

log = logging.getLogger(__name__)

NAP = 0.2


class Prediction(Protocol):
    """What a model says of a clip."""

    @property
    def class_name(self) -> str: ...  # noqa: D102
    @property
    def class_index(self) -> int: ...  # noqa: D102
    @property
    def probability(self) -> float: ...  # noqa: D102
    @property
    def logits(self) -> dict[str, float]: ...  # noqa: D102


@dataclass(frozen=True)
class Outcome:
    """What is known of a clip when it was classified; `doubt` says why the prediction is not to be relied on.

    `shadow` is the id of a challenger, and what it says.
    """

    prediction: Prediction
    doubt: str | None = None
    fingerprint: bytes | None = None
    shadow: tuple[int, Prediction] | None = None


class Reader(Protocol):
    """Decodes in the background."""

    def decode(self, path: bytes, identity: Identity) -> Future[Clip]: ...  # noqa: D102
    def outcome(self, future: Future[Clip]) -> Clip | Undecoded: ...  # noqa: D102
    def tend(self) -> None: ...  # noqa: D102


class StoppedError(Exception):
    """What is being done is to be left for the next start."""


class BusyError(Exception):
    """The device cannot do it now, and may later."""


@dataclass(frozen=True)
class Engine:
    """What reads clips and what classifies them, in frames of the same kind; `model_id` is the model's in the store."""

    reader: Reader
    classify: Callable[[Sequence[Clip]], Sequence[Outcome]]
    model_id: int


class Pipeline:
    """The way of a video from the queue to its folder.

    Batches have `batch_size` clips at most, and fewer where the device is slow. Twice as many are in hand at most: the
    next clips decode while the device works, and memory stays bounded whatever waits. What is ready when the device
    frees is its next batch, so batches fill when it is busy and are small when it is idle. While it works, what was
    answered before is filed, and clips are taken up. A file that is gone or has changed has `grace` to be found again,
    under whatever name; one that is cut short and was changed less than `patience` ago may still be on its way. Nothing
    new is taken up while `may_begin` says no; `progress` is called in what takes long, and may raise `StoppedError`.
    """

    def __init__(
        self,
        store: Store,
        engine: Engine,
        folders: Folders,
        *,
        batch_size: int,
        grace: timedelta,
        patience: timedelta,
        inbox_is_there: Callable[[], bool],
        may_begin: Callable[[], bool],
        progress: Callable[[], None],
    ) -> None:
        self._store, self._engine, self._folders = store, engine, folders
        self._batch_size, self._grace, self._patience = BatchSize(batch_size), grace, patience
        self._inbox_is_there, self._may_begin, self._progress = inbox_is_there, may_begin, progress
        self._in_hand: dict[Future[Clip], Claimed] = {}
        self._device = ThreadPoolExecutor(1, "device")
        self._astray = False

    def step(self, now: datetime) -> bool:
        """One round; False where there was nothing to do. Waits for a decoder no longer than `NAP` seconds."""
        if self._astray:
            self._store.recover()
            self._astray = False
        if not self._in_hand:
            self._take_up(2 * self._batch_size.now, now)
        moves = self._store.moves(now)
        if not self._in_hand and not moves:
            return False
        self._engine.reader.tend()
        wait(self._in_hand, timeout=0 if moves else NAP, return_when=FIRST_COMPLETED)
        clips = self._decoded(now)
        classifying = self._device.submit(self._predict, clips) if clips else None
        self._take_up(2 * self._batch_size.now - len(self._in_hand) - len(clips), now)
        self._file(moves, now)
        if classifying:
            self._record(clips, classifying, now)
            if not self._in_hand:  # nothing will be done meanwhile
                self.file(now)
        return True

    def file(self, now: datetime) -> None:
        """Move what is answered to where it belongs."""
        self._file(self._store.moves(now), now)

    def use(self, engine: Engine) -> None:
        """Go on with another model: what is in hand was read for the one before, and is read again."""
        self.release()
        self._engine = engine

    def release(self) -> None:
        """Put what is in hand back into the queue."""
        self._store.release(video.id for video in self._in_hand.values())
        self._in_hand.clear()

    def start_over(self) -> None:
        """A change of state could not be written: let go of everything; the next step puts it back into the queue.

        What the device may still be working on is answered again, too.
        """
        for future in self._in_hand:
            future.cancel()
        self._in_hand.clear()
        self._astray = True

    def settle_missing(self, now: datetime) -> None:
        """Give up the files that have been gone for the whole of their grace, while the inbox was there."""
        for video_id, path in self._store.missing(now):
            if self._inbox_is_there() and _look(path) is None:
                log.warning("%s: vanished before it could be read (id=%d)", _shown(path), video_id)
                self._store.give_up(video_id, "vanished before it could be read", now)

    def _take_up(self, room: int, now: datetime) -> None:
        for video in self._store.claim(room, now) if room > 0 and self._may_begin() else []:
            self._in_hand[self._engine.reader.decode(video.path, video.identity)] = video

    def _decoded(self, now: datetime) -> list[tuple[Claimed, Clip]]:
        """A batch of what is done by now. What follows for a file that gave no clip is done here."""
        clips: list[tuple[Claimed, Clip]] = []
        done = sorted(
            filter(Future.done, self._in_hand), key=lambda future: self._in_hand[future].id
        )
        batch = done[: self._batch_size.now]
        paths = self._store.paths(self._in_hand[future].id for future in batch) if batch else {}
        for future in batch:
            video, outcome = self._in_hand.pop(future), self._engine.reader.outcome(future)
            path = paths[video.id]
            seen = _look(path)
            if isinstance(seen, OSError):
                self._store.postpone([video.id], f"cannot be looked at ({seen.strerror})", now)
            elif seen != video.identity:
                log.info(
                    "%s: gone or changed while in hand, waits to be found whole (id=%d)",
                    _shown(path),
                    video.id,
                )
                self._store.wait(video.id, now + self._grace)
            elif isinstance(outcome, Undecoded) and path != video.path:
                self._store.release([video.id])  # renamed before it could be opened
            elif _is_short(outcome) and (until := self._ripe_at(video.identity, now)):
                log.info(
                    "%s: cut short, looked at again in case it is still coming (id=%d)",
                    _shown(path),
                    video.id,
                )
                self._store.hold(video.id, until)
            elif isinstance(outcome, Undecoded):
                self._give_up(video, outcome, now)
            else:
                clips.append((replace(video, path=path), outcome))
        return clips

    def _record(
        self,
        clips: list[tuple[Claimed, Clip]],
        classifying: Future[list[Answer | VidwatchError]],
        now: datetime,
    ) -> None:
        answers = []
        try:
            for (video, _), answer in zip(clips, classifying.result(), strict=True):
                if isinstance(answer, VidwatchError):
                    self._fail(video, str(answer))
                else:
                    answers.append(answer)
        except BusyError as error:
            self._store.postpone([video.id for video, _ in clips], str(error), now)
            return
        for answer, original in self._store.record(
            answers, self._engine.model_id, self._folders, now
        ):
            said = f"{answer.class_name}, {answer.probability:.1%}" + (
                ", unsure" if answer.doubt else ""
            )
            if original:
                said = f"a duplicate of video {original}, whose answer counts"
            log.info("%s: %s (id=%d)", _shown(answer.path), said, answer.video_id)

    def _ripe_at(self, identity: Identity, now: datetime) -> datetime | None:
        """When a file that is cut short and was changed a moment ago counts as complete; None where it does."""
        changed = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=identity.mtime_ns / 1000)
        return changed + self._patience if timedelta() <= now - changed < self._patience else None

    def _predict(self, clips: list[tuple[Claimed, Clip]]) -> list[Answer | VidwatchError]:
        """The answers in order; in place of one, why the model refuses that clip: the others go on without it."""
        began = time.monotonic()
        try:
            predictions = self._engine.classify([clip for _, clip in clips])
            self._batch_size.took(len(clips), time.monotonic() - began)
        except VidwatchError as error:
            if len(clips) > 1:
                return [answer for clip in clips for answer in self._predict([clip])]
            return [error]
        return [
            _answer_of(video, clip, said)
            for (video, clip), said in zip(clips, predictions, strict=True)
        ]

    def _give_up(self, video: Claimed, outcome: Undecoded, now: datetime) -> None:
        reason = outcome.reason
        if outcome.verdict == "failed":
            self._fail(video, reason)
        elif (
            outcome.verdict == "crashed"
            and self._store.count_crash(video.id, reason, now) >= ATTEMPTS
        ):
            self._fail(video, f"{reason}; given up after {ATTEMPTS} attempts")
        else:
            log.warning("%s: %s, is tried again (id=%d)", _shown(video.path), reason, video.id)
            if outcome.verdict == "later":
                self._store.postpone([video.id], reason, now)
            elif outcome.verdict == "again":
                self._store.release([video.id])

    def _fail(self, video: Claimed, reason: str) -> None:
        log.warning("%s: failed, %s (id=%d)", _shown(video.path), reason, video.id)
        self._store.fail(video.id, reason, self._folders.failed(video.path))

    def _file(self, moves: list[Move], now: datetime) -> None:
        placed: dict[int, Placed] = {}
        for move in moves:
            try:
                placed[move.id] = self._place(move)
            except StoppedError:
                break
            except OSError as error:
                source, target = (
                    os.fsdecode(os.path.dirname(path)) for path in (move.path, move.destination)
                )
                trouble = printable(f"cannot be moved from {source} to {target} ({error.strerror})")
                log.warning("%s: %s, is tried again (id=%d)", _shown(move.path), trouble, move.id)
                self._store.postpone_move(move.id, trouble, now)
        if placed:
            there = {move: placed[move.id].path for move in moves if move.id in placed}
            paths = [
                path for move, target in there.items() if target for path in (move.path, target)
            ]
            sync_folders({os.path.dirname(path) for path in paths})
            self._store.moved(placed, now)

    def _place(self, move: Move) -> Placed:
        destination = move.destination

        def redirect(path: bytes) -> None:
            nonlocal destination
            self._store.redirect(move.id, destination, path)
            destination = path

        placed = place(
            move.path, move.destination, move.identity, move.sha256, redirect, self._progress
        )
        if placed is None and not self._inbox_is_there():
            raise OSError(errno.ENOENT, "the inbox is not there")
        if placed and move.reason:
            write_reason(placed, move.reason)
        return Placed(placed, destination)


def _look(path: bytes) -> Identity | OSError | None:
    try:
        return identify(path)
    except OSError as error:
        return error


def _is_short(outcome: Clip | Undecoded) -> bool:
    return outcome.cut_short if isinstance(outcome, Undecoded) else outcome.read_share < 1


def _shown(path: bytes) -> str:
    return printable(display_name(path))


def _answer_of(video: Claimed, clip: Clip, outcome: Outcome) -> Answer:
    prediction = outcome.prediction
    return Answer(
        video.id,
        video.path,
        clip.sha256,
        *_said(prediction),
        clip.frames_asked,
        clip.frames_read,
        clip.decoder,
        outcome.doubt,
        outcome.fingerprint,
        outcome.shadow and Opinion(outcome.shadow[0], *_said(outcome.shadow[1])),
        clip.read_share,
    )


def _said(prediction: Prediction) -> tuple[str, int, float, list[float]]:
    named = prediction.class_name, prediction.class_index, prediction.probability
    return *named, list(prediction.logits.values())
