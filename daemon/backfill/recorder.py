"""Writes what a cluster made of files: the same rows as the daemon's.

A file gets its row when all of it has come. So whenever the program ends, a file is done or is not.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from daemon.backfill.fetching import is_remote
from daemon.backfill.place import Place
from daemon.backfill.steps import Read
from daemon.classify.decoding import Undecoded
from daemon.classify.long_videos import LongVideo
from daemon.classify.predicted import long_prediction, recorded_prediction, why_damaged
from daemon.classify.predictor import Outcome
from daemon.database.contents import Contents, First
from daemon.database.queue import LEASE, Queue
from daemon.database.records import Claimed, Copy, VideoPrediction, WindowPrediction
from daemon.database.taking import take
from daemon.database.windows import Windows
from daemon.home.identity import version_of
from daemon.home.texts import shown
from learner.video import Clip
from learner.window_plan import WindowPlan
from learner.windows import Long, Piece

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Model:
    """The model that predicts, as far as the driver needs it."""

    id: int
    """In the database."""
    join: Callable[[Mapping[int, Sequence[WindowPrediction]], int], Outcome]
    """As `Predictor.join`."""
    plan: WindowPlan | None
    min_read_share: float


@dataclass
class _Coming:
    """A long video whose pieces come, in any order."""

    long: Read | None = None
    pieces: dict[int, Read] = field(default_factory=dict)

    def whole(self) -> list[Read] | None:
        """The pieces in order, if all are there."""
        if self.long is None:
            return None
        found = []
        first = 0
        while read := self.pieces.get(first):
            found.append(read)
            assert isinstance(read.what, Piece)
            if read.what.is_last:
                return found
            first = read.what.windows[-1].number + 1
        return None


@dataclass(frozen=True)
class _Whole:
    """All that is known of a file."""

    read: Read
    pieces: Sequence[Read] = ()

    @property
    def sha256(self) -> str:
        """Of its content; empty if that is not known."""
        return "" if isinstance(self.read.what, (Undecoded, Piece)) else self.read.what.sha256


class Recorder:
    """Writes results as they come."""

    def __init__(self, place: Place, queue: Queue, model: Model) -> None:
        """Nothing has come yet.

        Args:
            place: Where results go.
            queue: Of that place.
            model: The model.
        """
        self.n_settled = 0
        """How many files were written. Others may have been taken by the daemon, or come again."""
        self.n_left = 0
        """How many of them temporary trouble prevented."""
        self._place = place
        self._queue = queue
        self._model = model
        self._windows = Windows(place.engine, queue.owner)
        self._contents = Contents(place.engine)
        self._coming: dict[bytes, _Coming] = {}
        self._long_done: set[bytes] = set()

    def take(self, reads: Sequence[Read], now: datetime) -> None:
        """Write the files of which all has come by now."""
        whole = [found for read in reads if (found := self._assembled(read))]
        there = {found.read.file.path: found for found in whole if _is_as_read(found.read)}
        if not there:
            return
        files = [found.read.file for found in there.values()]
        with self._place.engine.execution_options(writes=True).begin() as connection:
            claimed = take(
                connection,
                files,
                self._queue.owner,
                now,
                LEASE,
                since=self._place.since,
                is_remote=is_remote(files[0].path),
            )
        self.n_settled += len(claimed)  # what comes twice is claimed once
        left = [(video, there[video.path]) for video in claimed]
        while left:
            contents = set[str]()
            later: list[tuple[Claimed, _Whole]] = []
            batch: list[tuple[Claimed, _Whole]] = []
            for video, found in left:
                is_second = found.sha256 != "" and found.sha256 in contents
                contents.add(found.sha256)
                (later if is_second else batch).append((video, found))
            self._write(batch, now)
            left = later

    def _assembled(self, read: Read) -> _Whole | None:
        """A file, if this was the last that was missing of it.

        What was lost with a machine may come twice.
        """
        path = read.file.path
        if path in self._long_done:
            return None
        if not isinstance(read.what, (Long, Piece)):
            if self._coming.pop(path, None):
                self._long_done.add(path)
            return _Whole(read)
        coming = self._coming.setdefault(path, _Coming())
        if isinstance(read.what, Long):
            coming.long = read
        else:
            coming.pieces[read.first] = read
        pieces = coming.whole()
        if pieces is None:
            return None
        assert coming.long
        del self._coming[path]
        self._long_done.add(path)
        return _Whole(coming.long, pieces)

    def _write(self, batch: Sequence[tuple[Claimed, _Whole]], now: datetime) -> None:
        """Write files with different contents."""
        firsts = self._contents.firsts(found.sha256 for _, found in batch)
        predicted = []
        copies = []
        for video, found in batch:
            what = found.read.what
            first = firsts.get(found.sha256)
            if isinstance(what, Undecoded):
                self._settle(video, what, now)
            elif first and self._has_followed(first, video):
                continue
            elif first and first.was_whole and self._is_there(first, video.path):
                recording = first.recording_of_copy(video.path, video.identity.mtime_ns)
                copies.append(Copy(video.id, video.path, found.sha256, recording))
            elif prediction := self._prediction(video, found, now):
                predicted.append(prediction)
        folders = self._place.folders
        if copies:
            for copy, original in self._place.predictions.record_copies(copies, folders, now):
                if original is None:  # the first video's row has been removed
                    self._queue.release([copy.video_id])
        if predicted:
            of_predicted = {one.sha256: one.path for one in predicted}
            gone = [
                first
                for sha256, first in firsts.items()
                if sha256 in of_predicted and not self._is_there(first, of_predicted[sha256])
            ]
            self._place.predictions.record(predicted, folders, now, gone)

    def _settle(self, video: Claimed, undecoded: Undecoded, now: datetime) -> None:
        """Note why there is no prediction."""
        if undecoded.kind == "failed":
            self._fail(video, undecoded.reason, now)
        else:
            log.warning("%s: %s (id=%d)", shown(video.path), undecoded.reason, video.id)
            self._queue.postpone([video.id], undecoded.reason, now)
            self.n_left += 1

    def _fail(self, video: Claimed, reason: str, now: datetime) -> None:
        log.warning("%s: failed, %s (id=%d)", shown(video.path), reason, video.id)
        self._queue.fail(video.id, reason, None, now)

    def _has_followed(self, first: First, video: Claimed) -> bool:
        """Whether a known video follows its file, which was moved; as the daemon has it."""
        if is_remote(video.path):
            return False
        known = self._contents.moved(first, video.path)
        if known is not None:
            self._contents.follow(known, video.id, self._place.folders)
        return known is not None

    def _is_there(self, first: First, arrived: bytes) -> bool:
        if is_remote(first.path):
            return True
        return first.is_there(self._place.folders, {arrived}, lambda: None)

    def _prediction(self, video: Claimed, found: _Whole, now: datetime) -> VideoPrediction | None:
        if isinstance(found.read.what, Long):
            return self._long_prediction(video, found.read.what, found.pieces, now)
        assert isinstance(found.read.what, Clip)
        (outcome,) = found.read.outcomes
        if isinstance(outcome, str):
            self._fail(video, outcome, now)
            return None
        predicted = recorded_prediction(video, found.read.what, outcome, self._model.id)
        assert isinstance(predicted, VideoPrediction)
        return predicted

    def _long_prediction(
        self, video: Claimed, long: Long, pieces: Sequence[Read], now: datetime
    ) -> VideoPrediction | None:
        plan = self._model.plan
        assert plan
        model_id = self._model.id
        self._windows.resume(video.id, long.sha256, model_id, plan, long.seconds)
        self._windows.forget(video.id)  # all of them have come
        windows = []
        for read in pieces:
            for clip, outcome in zip(read.clips, read.outcomes, strict=True):
                if isinstance(outcome, str):
                    self._fail(video, outcome, now)
                    return None
                window = recorded_prediction(video, clip, outcome, model_id)
                assert isinstance(window, WindowPrediction)
                windows.append(window)
        last = pieces[-1].what
        assert isinstance(last, Piece)
        one = LongVideo(video, long, plan, None, is_rest_lost=last.is_rest_lost)
        if reason := why_damaged(one, windows, self._model.min_read_share):
            self._fail(video, reason, now)
            return None
        self._windows.record(windows, now)
        outcome = self._model.join({model_id: windows}, model_id)
        return long_prediction(one, windows, outcome, model_id)


def _is_as_read(read: Read) -> bool:
    """Whether a file is still as it was when it was read; if not, it is read again."""
    if read.version is None:
        return True
    with suppress(OSError):
        now = version_of(read.file.path)
        if now is not None and now.ctime_ns == read.version.ctime_ns:
            return now.identity.has_numbers_of(read.version.identity)
    return False
