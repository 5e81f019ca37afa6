"""The champion, and a challenger in its shadow: takes decoded clips, gives predictions.

Knows no queue and no files.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from daemon.classify.predictor import BusyError, Outcome
from daemon.database.records import WindowPrediction
from daemon.home.stages import timed
from learner.cache import Cache
from learner.classifier import Classifier
from learner.cutting import Window
from learner.errors import VidwatchError
from learner.fingerprint import fingerprint, majority
from learner.memory import free_memory
from learner.prediction import Prediction
from learner.shelves import features_key, features_shelf
from learner.video import Clip

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Thresholds:
    """The probability below which a prediction is unsure."""

    below: float
    """Of every class that `by_class` does not name."""
    by_class: Mapping[str, float]
    only_raised: bool = False
    """Whether a threshold of a class counts only if it is higher than `below`."""

    def unsure_because(self, prediction: Prediction) -> str | None:
        """Why a prediction is unsure: one of `tables.DOUBTS`; None if it is not."""
        if not prediction.known:
            return "unknown"
        threshold = self.by_class.get(prediction.class_name, self.below)
        if self.only_raised:
            threshold = max(threshold, self.below)
        return "probability" if prediction.probability < threshold else None


class Inference:
    """Predicts clips. Keeps the features that it computes: later trainings learn from them.

    The challenger predicts the same clips if it wants the same frames.
    """

    def __init__(
        self,
        model: Classifier,
        thresholds: Thresholds,
        cache: Cache | None,
        shadow: tuple[int, Classifier] | None = None,
    ) -> None:
        """Make it ready to predict.

        Args:
            model: The model in use.
            thresholds: Below which its predictions are unsure.
            cache: Where features are kept; None to keep none.
            shadow: The challenger's id, and the challenger.
        """
        self._model = model
        self._thresholds = thresholds
        self._shelf = features_shelf(model, cache) if cache else None
        self._shadow = shadow
        self._shares_features = shadow is not None and features_key(shadow[1]) == features_key(
            model
        )

    @timed("predict")
    def __call__(self, clips: Sequence[Clip]) -> list[Outcome]:
        """Give one outcome for each clip.

        Raises:
            BusyError: the device has no memory for a single clip.
            VidwatchError: a logit is not finite.
        """
        try:
            return self._outcomes(clips)
        except torch.OutOfMemoryError as error:
            free_memory()
            raise BusyError("the device is out of memory") from error

    def join(self, windows: Mapping[int, Sequence[WindowPrediction]], model_id: int) -> Outcome:
        """The outcome of a long video, from its windows.

        Its logits are the means of theirs, its familiarity the median. It is unknown if more than
        half of them are, and its probability makes it unsure only if more than half of them are
        unsure: where windows differ, their mean is near none of them. The challenger's prediction
        is drawn from its own windows.

        Args:
            windows: All windows of the video, by the ids of the models that predicted them.
            model_id: The model in use.
        """
        own = windows[model_id]
        prediction = _joined(self._model, own)
        shadow = None
        if self._shadow and self._shadow[0] in windows:
            challenger_id, challenger = self._shadow
            shadow = challenger_id, _joined(challenger, windows[challenger_id])
        unsure = self._thresholds.unsure_because(prediction)
        if 2 * sum(window.unsure is not None for window in own) <= len(own):
            unsure = None
        scene = majority([window.fingerprint for window in own if window.fingerprint])
        return Outcome(prediction, unsure, scene, shadow)

    def _outcomes(self, clips: Sequence[Clip]) -> list[Outcome]:
        features = self._model.features_on_device(clips)
        predictions = self._model.judge(features)
        shadows = self._shadow_predictions(clips, features)
        appearance = self._model.network.appearance
        outcomes = []
        for clip, values, prediction, shadow in zip(
            clips, features.cpu().numpy(), predictions, shadows, strict=True
        ):
            # Training learns only from complete clips, and the features of one have its hash.
            if self._shelf and clip.read_share == 1 and not isinstance(clip, Window):
                self._shelf.put(clip.sha256, values)
            unsure = self._thresholds.unsure_because(prediction)
            scene = fingerprint(values[:, :appearance])
            outcomes.append(Outcome(prediction, unsure, scene, shadow))
        return outcomes

    def _shadow_predictions(
        self, clips: Sequence[Clip], features: torch.Tensor
    ) -> Sequence[tuple[int, Prediction] | None]:
        """For each clip: the challenger's id and its prediction, or None."""
        nothing = [None] * len(clips)
        if self._shadow is None:
            return nothing
        model_id, challenger = self._shadow
        if not self._wants_the_same_frames(challenger):
            return nothing
        try:
            if not self._shares_features:
                features = challenger.features_on_device(clips)
            return [(model_id, prediction) for prediction in challenger.judge(features)]
        except (VidwatchError, torch.OutOfMemoryError) as error:
            # The champion's predictions must be recorded all the same.
            log.warning("challenger %s cannot predict: %s", challenger.name, error)
            return nothing

    def _wants_the_same_frames(self, challenger: Classifier) -> bool:
        """Motion may be missing in one of both: the decoders measure it if either needs it."""
        own = self._model.spec
        return replace(challenger.spec, motion=own.motion) == own


def _joined(model: Classifier, windows: Sequence[WindowPrediction]) -> Prediction:
    found = [window.prediction for window in windows]
    return model.joined(
        [prediction.logits for prediction in found],
        [prediction.familiarity for prediction in found],
        [window.unsure != "unknown" for window in windows],
    )
