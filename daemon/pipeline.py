"""Claim, decode, classify, record, file: one round at a time. Knows neither how files are found nor any model."""

import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from datetime import datetime
from typing import Protocol

from daemon.decoding import Undecoded
from daemon.filing import Folders, place, sync_folders, write_reason
from daemon.identity import display_name, identify
from daemon.store import ATTEMPTS, Answer, Claimed, Move, Store
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


class Reader(Protocol):
    """Decodes in the background."""

    def decode(self, path: bytes) -> Future[Clip]: ...  # noqa: D102
    def outcome(self, future: Future[Clip]) -> Clip | Undecoded: ...  # noqa: D102


class BusyError(Exception):
    """The device cannot do it now, and may later."""


class Pipeline:
    """The way of a video from the queue to its folder.

    Twice the batch size is in hand at most: the next clips decode while the device works, and memory stays bounded
    whatever waits. What is ready when the device frees is its next batch, so batches fill when it is busy and are
    small when it is idle.
    """

    def __init__(
        self,
        store: Store,
        reader: Reader,
        classify: Callable[[Sequence[Clip]], Sequence[Prediction]],
        folders: Folders,
        model_id: int,
        batch_size: int,
    ) -> None:
        self._store, self._reader, self._classify, self._folders = store, reader, classify, folders
        self._model_id, self._batch_size = model_id, batch_size
        self._in_hand: dict[Future[Clip], Claimed] = {}

    def step(self, now: datetime) -> bool:
        """One round; False where there was nothing to do. Waits for a decoder no longer than `NAP` seconds."""
        room = 2 * self._batch_size - len(self._in_hand)
        for video in self._store.claim(room, now) if room > 0 else []:
            self._in_hand[self._reader.decode(video.path)] = video
        moves = self._store.moves(now)
        if not self._in_hand and not moves:
            return False
        if self._in_hand:
            done = wait(self._in_hand, timeout=0 if moves else NAP, return_when=FIRST_COMPLETED).done
            batch = sorted(done, key=lambda future: self._in_hand[future].id)[: self._batch_size]
            self._answer([(self._in_hand.pop(future), self._reader.outcome(future)) for future in batch], now)
            moves = self._store.moves(now)
        self._file(moves, now)
        return True

    def release(self) -> None:
        """Put what is in hand back into the queue."""
        self._store.release(video.id for video in self._in_hand.values())
        self._in_hand.clear()

    def file_all(self, now: datetime) -> None:
        """Move what was answered before the last stop."""
        self._file(self._store.moves(now), now)

    def _answer(self, batch: list[tuple[Claimed, Clip | Undecoded]], now: datetime) -> None:
        clips: list[tuple[Claimed, Clip]] = []
        for video, outcome in batch:
            seen = identify(video.path)
            if seen is None:
                self._fail(video, "vanished before it could be read", None, now)
            elif seen != video.identity:
                log.info("changed while it was read, waits to be whole again: id=%d", video.id)
                self._store.wait(video.id)
            elif isinstance(outcome, Undecoded):
                self._give_up(video, outcome, now)
            else:
                clips.append((video, outcome))
        if not clips:
            return
        try:
            predictions = self._classify([clip for _, clip in clips])
        except BusyError as error:
            self._store.postpone([video.id for video, _ in clips], str(error), now)
            return
        answers = [
            _answer_of(video, clip, prediction) for (video, clip), prediction in zip(clips, predictions, strict=True)
        ]
        self._store.record(answers, self._model_id, self._folders, now)
        for answer in answers:
            name = display_name(answer.path)
            log.info("%s: %s, %.1f %% (id=%d)", name, answer.class_name, 100 * answer.probability, answer.video_id)

    def _give_up(self, video: Claimed, outcome: Undecoded, now: datetime) -> None:
        reason = outcome.reason
        if outcome.verdict == "later":
            log.warning("tried again later: id=%d reason=%r", video.id, reason)
            self._store.postpone([video.id], reason, now)
        elif outcome.verdict == "crashed" and self._store.count_crash(video.id, reason, now) < ATTEMPTS:
            log.warning("tried again: id=%d reason=%r", video.id, reason)
        else:
            tried = f"{reason}; given up after {ATTEMPTS} attempts" if outcome.verdict == "crashed" else reason
            self._fail(video, tried, self._folders.failed(video.path), now)

    def _fail(self, video: Claimed, reason: str, destination: bytes | None, now: datetime) -> None:
        log.warning("%s: failed, %s (id=%d)", display_name(video.path), reason, video.id)
        self._store.fail(video.id, reason, destination, now)

    def _file(self, moves: list[Move], now: datetime) -> None:
        placed: dict[int, bytes | None] = {}
        for move in moves:
            try:
                placed[move.id] = self._place(move)
            except OSError as error:
                trouble = f"cannot be moved to {os.fsdecode(move.destination)!r} ({error.strerror})"
                log.warning("tried again later: id=%d %s", move.id, trouble)
                self._store.postpone([move.id], trouble, now)
        if placed:
            by_id = {move.id: move.path for move in moves}
            ends = {path for video_id, path in placed.items() if path for path in (path, by_id[video_id])}
            sync_folders({os.path.dirname(path) for path in ends})
            self._store.moved(placed, now)

    def _place(self, move: Move) -> bytes | None:
        placed = place(
            move.path, move.destination, move.identity, move.sha256, lambda path: self._store.redirect(move.id, path)
        )
        if placed and move.reason:
            write_reason(placed, move.reason)
        return placed


def _answer_of(video: Claimed, clip: Clip, prediction: Prediction) -> Answer:
    return Answer(
        video.id,
        video.path,
        clip.sha256,
        prediction.class_name,
        prediction.class_index,
        prediction.probability,
        list(prediction.logits.values()),
        clip.frames_asked,
        clip.frames_read,
        clip.decoder,
    )
