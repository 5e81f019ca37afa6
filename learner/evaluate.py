"""How good a model is: accuracy with its interval, loss, per class, and the mean-pooling baseline beside it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import log_softmax
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix

from learner.classifier import Classifier
from learner.dataset import extract, find_clips
from learner.errors import VidwatchError

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Score:
    """`interval` is Wilson's, at 95 %; `loss` the mean cross-entropy in nats; `confusion` rows are the true classes."""

    n: int
    accuracy: float
    interval: tuple[float, float]
    loss: float
    per_class: dict[str, dict[str, float]]
    confusion: list[list[int]]


@dataclass(frozen=True)
class Evaluation:
    """A model's score and its baseline's on the same clips; `seen` of them it was trained on, which flatters."""

    model: str
    score: Score
    baseline: Score
    seen: int
    skipped: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """The score's figures on top, the baseline's three beside them."""
        baseline = {name: getattr(self.baseline, name) for name in ("accuracy", "interval", "loss")}
        extra = {"baseline": baseline, "seen": self.seen, "skipped": self.skipped}
        return {"model": self.model, **vars(self.score), **extra}


def score(logits: Array, truth: Array, classes: tuple[str, ...]) -> Score:
    """Score `(N, C)` logits against `(N,)` class indices; classes without a clip are left out of `per_class`."""
    n, right = len(truth), logits.argmax(1) == truth
    per_class = {}
    for index, name in enumerate(classes):
        own = right[truth == index]
        if len(own):
            per_class[name] = {"n": len(own), "correct": int(own.sum()), "accuracy": float(own.mean())}
    loss = float(-log_softmax(logits.astype(np.float64), axis=1)[np.arange(n), truth].mean())
    confusion = confusion_matrix(truth, logits.argmax(1), labels=range(len(classes))).tolist()
    return Score(n, float(right.mean()), interval(int(right.sum()), n), loss, per_class, confusion)


def interval(correct: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    low, high = binomtest(correct, n).proportion_ci(method="wilson")
    return float(low), float(high)


def evaluate(
    root: Path,
    classifier: Classifier,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Evaluation:
    """Score `classifier` on the class folders of `root`.

    Raises:
        VidwatchError: no clips, or a folder that is none of the model's classes.
    """
    clips = find_clips(root)
    if unknown := sorted({clip.label for clip in clips} - set(classifier.classes)):
        raise VidwatchError(
            f"{root}: model {classifier.name!r} does not know the classes {', '.join(unknown)}; "
            f"it knows {', '.join(classifier.classes)}"
        )
    found = extract(clips, classifier, progress)
    truth = np.array([classifier.classes.index(clip.label) for clip in found.clips])
    trained_on = set(classifier.manifest.trained_on)
    return Evaluation(
        classifier.name,
        score(classifier.logits(found.values), truth, classifier.classes),
        score(classifier.baseline_logits(found.values), truth, classifier.classes),
        sum(clip.sha256 in trained_on for clip in found.clips),
        found.skipped,
    )
