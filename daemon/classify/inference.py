"""The model that answers, and a challenger in its shadow: decoded clips in, answers out. Knows no queue and no file."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from daemon.classify.pipeline import BusyError, Outcome
from learner.cache import Cache
from learner.classifier import Classifier, Prediction
from learner.dataset import features_shelf
from learner.errors import VidwatchError
from learner.fingerprint import fingerprint
from learner.video import Clip

log = logging.getLogger(__name__)

MOST = 1024  # clips in one forward pass, where memory allows
GROWS_AFTER = 50  # forward passes that went well


@dataclass(frozen=True)
class Thresholds:
    """The probability below which an answer is unsure: of some classes, and of all others."""

    below: float
    by_class: Mapping[str, float]

    def doubt(self, prediction: Prediction) -> str | None:
        """Why an answer is not to be relied on; None where it is."""
        if not prediction.known:
            return "unknown"
        least = self.by_class.get(prediction.class_name, self.below)
        return "probability" if prediction.probability < least else None


class Inference:
    """Calls give one outcome a clip. The features that the model looked at are kept: what is trained later needs them.

    The challenger sees the same clips where it wants the same frames.
    """

    def __init__(
        self,
        model: Classifier,
        thresholds: Thresholds,
        cache: Cache,
        shadow: tuple[int, Classifier] | None = None,
    ) -> None:
        self.model, self._thresholds = model, thresholds
        self._shelf = features_shelf(model, cache)
        self._most, self._well = MOST, 0
        self._shadow = shadow
        self._shares_features = (
            shadow is not None and features_shelf(shadow[1], cache).key == self._shelf.key
        )

    def __call__(self, clips: Sequence[Clip]) -> list[Outcome]:
        """Classify; on a device short of memory half as many at a time, and after a while as many again.

        Raises:
            BusyError: the device has no memory for a single clip.
            VidwatchError: a logit is not finite.
        """
        outcomes: list[Outcome] = []
        while left := clips[len(outcomes) :][: self._most]:
            try:
                outcomes += self._outcomes(left)
            except torch.OutOfMemoryError as error:
                torch.cuda.empty_cache()
                if len(left) == 1:
                    raise BusyError("the device is out of memory") from error
                self._most, self._well = len(left) // 2, 0
            else:
                self._well += 1
            if self._well == GROWS_AFTER:
                self._most, self._well = min(2 * self._most, MOST), 0
        return outcomes

    def _outcomes(self, clips: Sequence[Clip]) -> list[Outcome]:
        frames = [clip.frames for clip in clips]
        features = self.model.features(frames)
        predictions = self.model.judge(features)
        shadows = self._in_the_shadow(frames, features)
        outcomes = []
        for i, (clip, values, prediction) in enumerate(
            zip(clips, features.numpy(), predictions, strict=True)
        ):
            if clip.read_share == 1:  # training learns from whole clips alone
                self._shelf.put(clip.sha256, values)
            seen = (self._shadow[0], shadows[i]) if self._shadow and shadows else None
            outcomes.append(
                Outcome(prediction, self._thresholds.doubt(prediction), fingerprint(values), seen)
            )
        return outcomes

    def _in_the_shadow(
        self, frames: list[np.ndarray[Any, Any]], features: torch.Tensor
    ) -> list[Prediction] | None:
        if self._shadow is None or self._shadow[1].spec != self.model.spec:
            return None
        challenger = self._shadow[1]
        try:
            return challenger.judge(
                features if self._shares_features else challenger.features(frames)
            )
        except (
            VidwatchError,
            torch.OutOfMemoryError,
        ) as error:  # it must never stand in the way of an answer
            log.warning("challenger %s gives no answer: %s", challenger.name, error)
            return None
