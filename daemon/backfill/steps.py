"""The two steps of a backfill on a cluster: files are decoded, then clips are predicted.

What goes from one step to the next is data. Knows neither Ray nor the database.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from daemon.backfill.fetching import fetched
from daemon.classify.decoding import Decoders, DecoderSettings, Result, Undecoded
from daemon.classify.inference import Inference, Thresholds
from daemon.classify.predictor import Outcome
from daemon.database.queue import ATTEMPTS
from daemon.home.folders import Found
from daemon.home.identity import Identity, Version, version_of
from learner.checkpoint import Checkpoint
from learner.classifier import Classifier
from learner.errors import VidwatchError
from learner.spec import ReadOptions
from learner.video import Clip
from learner.windows import Long, Piece

CLIPS = 8  # clips that go to the device at once: as many as a GPU computes at a time
NO_FRAMES = np.empty((0, 0, 0, 3), np.uint8)
CHANGED = Undecoded("later", "it changed while it was read")


@dataclass(frozen=True)
class Read:
    """What a file gave, or a piece of a long video."""

    file: Found
    what: Clip | Long | Piece | Undecoded
    version: Version | None = None
    """The file as it was when it was read; None if it lies where no path leads."""
    first: int = 0
    """Of a piece, the number of the window that it was asked to begin with."""
    outcomes: Sequence[Outcome | str] = field(default_factory=tuple)
    """Of the clip, or of each window, what is predicted, or why it cannot be."""

    @property
    def clips(self) -> Sequence[Clip]:
        """What is to be predicted."""
        if isinstance(self.what, Piece):
            return self.what.windows
        return [self.what] if isinstance(self.what, Clip) else []

    def predicted(self, outcomes: Sequence[Outcome | str]) -> "Read":
        """With what is predicted, and without frames: these are not needed any more."""
        bare: list[Any] = [replace(clip, frames=NO_FRAMES, motion=None) for clip in self.clips]
        what = self.what
        if isinstance(what, Piece):
            what = replace(what, windows=tuple(bare))
        elif isinstance(what, Clip):
            (what,) = bare
        return replace(self, what=what, outcomes=tuple(outcomes))


class Decoding:
    """Decodes files in a confined process of its own, as the daemon does."""

    def __init__(self, settings: DecoderSettings) -> None:
        self._settings = replace(settings, workers=1)
        self._decoders = Decoders(self._settings)

    def groups(self, files: Sequence[Found]) -> Iterator[list[Read]]:
        """What the files give, in groups of few clips: a long video gives many."""
        group: list[Read] = []
        n_clips = 0
        for file in files:
            for read in self._read(file):
                group.append(read)
                n_clips += len(read.clips)
                if n_clips >= CLIPS:
                    yield group
                    group = []
                    n_clips = 0
        if group:
            yield group

    def _read(self, file: Found) -> Iterator[Read]:
        with fetched(file) as path:
            if isinstance(path, Undecoded):
                yield Read(file, path)
                return
            try:
                version = version_of(path)
            except OSError as error:
                reason = f"cannot be looked at ({error.strerror})"
                yield Read(file, Undecoded("later", reason))
                return
            is_remote = path != file.path
            # Its device has another number on another machine.
            if version is None or not (is_remote or version.identity.has_numbers_of(file.identity)):
                yield Read(file, CHANGED)
                return
            yield from self._read_at(file, path, version, None if is_remote else version)

    def _read_at(
        self, file: Found, path: bytes, here: Version, version: Version | None
    ) -> Iterator[Read]:
        identity = here.identity
        found: Any = self._outcome(lambda: self._decoders.read(path, identity))
        yield Read(file, found, version)
        if isinstance(found, Long):
            for first, piece in self._pieces(path, identity, found.sha256):
                yield Read(file, piece, version, first)

    def _pieces(
        self, path: bytes, identity: Identity, sha256: str
    ) -> Iterator[tuple[int, Clip | Piece | Undecoded]]:
        """The pieces of a long video, each with the number of the window that it begins with.

        A clip of all of it if it cannot be read in windows after all.
        """
        first = 0
        while True:
            read: Any = partial(self._decoders.windows, path, identity, sha256, first)
            found: Any = self._outcome(read)
            if not isinstance(found, Piece):
                yield first, found
                return
            windows_of = found.windows
            parts = [windows_of[at : at + CLIPS] for at in range(0, len(windows_of), CLIPS)] or [()]
            for at, windows in enumerate(parts):
                is_end = found.is_last and at == len(parts) - 1
                yield first, Piece(windows, is_end, is_end and found.is_rest_lost)
                first = windows[-1].number + 1 if windows else first
            if found.is_last:
                return

    def _outcome(self, begin: Callable[[], "Future[Result]"]) -> Result | Undecoded:
        return outcome_of(self._decoders, begin)


def outcome_of(decoders: Decoders, begin: Callable[[], "Future[Result]"]) -> Result | Undecoded:
    """What a reading gave. One that ended its decoder is tried again."""
    reason = ""
    for _ in range(ATTEMPTS):
        future = begin()
        future.exception()  # waits until it is done
        outcome = decoders.outcome(future)
        if not isinstance(outcome, Undecoded) or outcome.kind not in ("crashed", "again"):
            return outcome
        reason = outcome.reason
    return Undecoded("failed", f"{reason}; given up after {ATTEMPTS} attempts")


class Predicting:
    """Predicts what was decoded, as the daemon does."""

    def __init__(
        self, model: Checkpoint, device: str, reading: ReadOptions, thresholds: Thresholds
    ) -> None:
        self._inference = Inference(Classifier(model, device, reading), thresholds, None)

    def predicted(self, group: Sequence[Read]) -> list[Read]:
        """The group with predictions, and without frames."""
        clips = [clip for read in group for clip in read.clips]
        outcomes = iter(self._outcomes(clips))
        return [read.predicted([next(outcomes) for _ in read.clips]) for read in group]

    def _outcomes(self, clips: Sequence[Clip]) -> Sequence[Outcome | str]:
        """The predictions in order; for a clip that the model refuses, why."""
        if not clips:
            return []
        try:
            return self._inference(clips)
        except VidwatchError as error:
            if len(clips) == 1:
                return [str(error)]
        return [outcome for clip in clips for outcome in self._outcomes([clip])]


@dataclass(frozen=True)
class Orders:
    """What the workers of a backfill have to know."""

    model: Checkpoint
    device: str
    reading: ReadOptions
    thresholds: Thresholds
    decoding: DecoderSettings

    def first(self) -> Callable[[Sequence[Found]], Iterator[list[Read]]]:
        """Decodes files."""
        return Decoding(self.decoding).groups

    def second(self) -> Callable[[Sequence[Read]], list[Read]]:
        """Predicts clips."""
        return Predicting(self.model, self.device, self.reading, self.thresholds).predicted
