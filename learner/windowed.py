"""Predicts the windows of files by a classifier, as they are read. For commands and notebooks."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

from learner.classifier import Classifier
from learner.cutting import Window
from learner.errors import VidwatchError
from learner.measured import NotCutError
from learner.prediction import Classified, Prediction
from learner.safe_open import File, VideoError, open_regular
from learner.video import read_open
from learner.window_plan import WindowPlan
from learner.windows import Windows, read_windows

BATCH = 8  # windows


@dataclass(frozen=True)
class PredictedWindow:
    """What a model predicts of one window of a file."""

    file: str
    number: int
    start: float
    """Seconds from the video's first picture, as `end`."""
    end: float
    prediction: Prediction
    model: str
    frames_asked: int
    frames_read: int
    read_share: float
    """Of the file, as in `Classified`."""
    movement: float | None
    """As in `Clip`."""

    def to_json(self) -> dict[str, Any]:
        """One flat object: that of a file, and which window it is."""
        fields = _classified(self, self.prediction, 1, self.frames_read).to_json()
        window = {"number": self.number, "start": self.start, "end": self.end}
        return {"file": fields.pop("file"), **window, **fields}


def predict_windows(
    classifier: Classifier, path: str | os.PathLike[str], plan: WindowPlan
) -> Iterator[PredictedWindow]:
    """The windows of a file as they are predicted; a short file is one window.

    The next windows are decoded while the device works, and no more than a batch of them.

    Raises:
        VidwatchError: the file cannot be read in windows, or is no video.
        OSError: it is gone or may not be read.
    """
    with open_regular(path) as file, ThreadPoolExecutor(1) as pool:
        read = _windows(file, classifier, plan)
        try:
            ahead = pool.submit(_batch, read.windows)
            while batch := ahead.result():
                ahead = pool.submit(_batch, read.windows)
                predictions = classifier.predict(batch)
                for window, prediction in zip(batch, predictions, strict=True):
                    yield PredictedWindow(
                        os.fspath(path),
                        window.number,
                        window.start,
                        window.end,
                        prediction,
                        classifier.name,
                        window.frames_asked,
                        window.frames_read,
                        read.read_share,
                        window.movement,
                    )
        except NotCutError as error:
            raise _cannot_be_cut(error) from error


def joined(classifier: Classifier, windows: Sequence[PredictedWindow]) -> Classified:
    """The prediction of a file from those of all its windows.

    Its logits are the means of theirs, its familiarity the median. It is unknown if more than half
    of them are.

    Raises:
        VideoError: there are none.
    """
    if not windows:
        raise VideoError("damaged: no frame of it can be decoded")
    found = [window.prediction for window in windows]
    prediction = classifier.joined(
        [list(one.logits.values()) for one in found],
        [one.familiarity for one in found],
        [one.known for one in found],
    )
    frames_read = sum(window.frames_read for window in windows)
    return _classified(windows[0], prediction, len(windows), frames_read)


def _classified(
    window: PredictedWindow, prediction: Prediction, n: int, frames_read: int
) -> Classified:
    return Classified(
        file=window.file,
        prediction=prediction,
        model=window.model,
        frames_asked=n * window.frames_asked,
        frames_read=frames_read,
        read_share=window.read_share,
    )


def _windows(file: File, classifier: Classifier, plan: WindowPlan) -> Windows:
    least = classifier.reading.min_read_share
    try:
        return read_windows(file, classifier.spec, plan, least=least)
    except NotCutError as error:
        # If it is no video, this says so.
        read_open(file, classifier.spec, classifier.reading)
        raise _cannot_be_cut(error) from error


def _cannot_be_cut(error: NotCutError) -> VidwatchError:
    return VidwatchError(f"cannot be cut into windows ({error}); leave --windows out")


def _batch(windows: Iterator[Window]) -> list[Window]:
    return list(islice(windows, BATCH))
