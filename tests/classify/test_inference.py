from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from daemon.classify.inference import Inference, Thresholds
from daemon.classify.predictor import BusyError
from daemon.database.records import ModelPrediction, WindowPrediction
from learner.cache import Cache
from learner.catalogue import STARTER
from learner.checkpoint import load
from learner.classifier import Classifier
from learner.motion import MOTION_FEATURES
from learner.video import Clip


class Small(Classifier):
    """A model on a device that may have no memory for a single clip."""

    has_room = True

    def features_on_device(self, clips: Iterable[Clip | np.ndarray[Any, Any]]) -> Tensor:
        if not self.has_room:
            raise torch.OutOfMemoryError
        return super().features_on_device(clips)


@pytest.fixture(scope="module")
def model() -> Small:
    return Small(load(STARTER), "cpu")


@pytest.fixture
def inference(model: Small, tmp_path: Path) -> Inference:
    model.has_room = True
    return Inference(model, Thresholds(0.5, {}), Cache(10**9, tmp_path))


def clips(model: Small, count: int) -> list[Clip]:
    frames, size = model.spec.frames, model.spec.size
    rng = np.random.default_rng(0)
    return [
        Clip(
            rng.integers(0, 255, (frames, size, size, 3), np.uint8),
            frames,
            frames,
            "pyav",
            f"{n:064}",
            motion=rng.random((frames, MOTION_FEATURES), np.float32),
        )
        for n in range(count)
    ]


def window(number: int, logits: list[float], unsure: str | None = None) -> WindowPrediction:
    prediction = ModelPrediction(1, "", 0, 0.0, logits, familiarity=0.5)
    return WindowPrediction(1, number, number, number + 1, prediction, 16, unsure)


@pytest.mark.parametrize(
    ("unsure", "expected"),
    [
        ([None, None, None, None], None),
        (["probability", "unknown", None, None], None),
        (["probability", "unknown", "probability", None], "probability"),
        (["unknown", "unknown", "unknown", None], "unknown"),
    ],
)
def test_a_video_that_shows_several_classes_is_unsure_only_if_most_of_its_windows_are(
    model: Small, inference: Inference, unsure: list[str | None], expected: str | None
) -> None:
    logits = 8 * np.eye(len(model.classes))[:4]  # a class for each window
    windows = [window(n, list(logits[n]), unsure[n]) for n in range(4)]
    outcome = inference.join({1: windows}, 1)
    assert outcome.prediction.probability < 0.5
    assert outcome.unsure == expected


def test_a_device_without_memory_for_one_clip_is_busy(model: Small, inference: Inference) -> None:
    model.has_room = False
    with pytest.raises(BusyError):
        inference(clips(model, 2))


@pytest.mark.parametrize(("n_unsure", "expected"), [(0, None), (2, None), (3, "probability")])
def test_a_long_video_of_several_classes_is_unsure_only_if_most_windows_are(
    model: Small, inference: Inference, n_unsure: int, expected: str | None
) -> None:
    windows = []
    for number in range(4):
        logits = [0.0] * len(model.classes)
        logits[number] = 9.0
        predicted = ModelPrediction(1, model.classes[number], number, 0.99, logits)
        unsure = "probability" if number < n_unsure else None
        windows.append(
            WindowPrediction(1, number, 4 * number, 4 * number + 4, predicted, 16, unsure)
        )
    outcome = inference.join({1: windows}, 1)
    assert outcome.prediction.probability < 0.5
    assert outcome.unsure == expected
