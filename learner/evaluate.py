"""How good a model is: accuracy, loss, calibration and unknowns, with its baseline beside it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support, roc_auc_score
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error

from learner.cache import Cache
from learner.calibration import losses
from learner.classifier import Classifier
from learner.dataset import Progress, class_names, extract, find_clips, silent
from learner.errors import VidwatchError
from learner.guessing import p_of_accuracy, p_of_classes, p_of_either

Array = np.ndarray[Any, Any]

# At this level a model has to be better than guessing.
BY_CHANCE = 0.05


@dataclass(frozen=True)
class Score:
    """What predictions of clips are worth. The names are those of the JSON that people read."""

    n: int
    accuracy: float
    interval: tuple[float, float]
    """Wilson's, at 95 %."""
    loss: float
    """The mean cross-entropy of the calibrated probabilities, in nats."""
    per_class: dict[str, dict[str, float]]
    confusion: list[list[int]]
    """A row for each true class, a column for each predicted one."""
    calibration_error: tuple[float, float]
    """By how much the probability of the predicted class is off on average.

    Before calibration and after it (15 bins; Guo et al., 2017).
    """
    chance: float
    """What always guessing the commonest class of these clips gives."""
    beats_chance: bool
    """Whether it is better than guessing, beyond chance (`learner.guessing`, at 5 %)."""


@dataclass(frozen=True)
class Order:
    """Whether a model uses the order of the frames, on clips that it had not seen."""

    n: int
    changed_backwards: int
    """How many get another class when they are played backwards."""
    gains: int
    """How many it predicts right and its baseline, which knows nothing of the order, wrong."""
    losses: int
    """The other way round."""
    beats_baseline: bool
    """Whether there are more gains than losses, beyond chance (McNemar's exact test, at 5 %)."""

    @classmethod
    def of(cls, truth: Array, predicted: Array, baseline: Array, backwards: Array) -> Self:
        """Of `(N,)` class indices: the true ones, and those that each predicts."""
        is_right = predicted == truth
        baseline_is_right = baseline == truth
        gains = int((is_right & ~baseline_is_right).sum())
        losses = int((~is_right & baseline_is_right).sum())
        is_beyond_chance = gains > 0 and (
            binomtest(gains, gains + losses, 0.5, "greater").pvalue < BY_CHANCE
        )
        changed = int((predicted != backwards).sum())
        return cls(len(truth), changed, gains, losses, bool(is_beyond_chance))


@dataclass(frozen=True)
class HeadScore:
    """How a head did in cross-validation, over the clips that all heads have judged."""

    head: str
    accuracy: float
    loss: float
    """In nats, after calibration."""
    sure: float
    """How probable it is that the head that was chosen has a lower loss, or an equal one."""


@dataclass(frozen=True)
class Unknowns:
    """How well clips of no known class are recognised as unknown."""

    n: int
    told: float
    """The share of these clips below the threshold; the name is that of the JSON."""
    interval: tuple[float, float]
    """Wilson's, at 95 %."""
    known_kept: float
    """The share of the clips of known classes above the threshold."""
    auroc: float
    """The area under the curve of both shares over all thresholds."""


@dataclass(frozen=True)
class Evaluation:
    """A model's score and its baseline's on the same clips."""

    model: str
    score: Score
    baseline: Score
    seen: int
    """Of the clips, how many it was trained on: they flatter it."""
    skipped: dict[str, str]
    unknowns: Unknowns | None = None

    def to_json(self) -> dict[str, Any]:
        """The score's figures on top, and three of the baseline's."""
        baseline = {name: getattr(self.baseline, name) for name in ("accuracy", "interval", "loss")}
        unknowns = vars(self.unknowns) if self.unknowns else None
        extra = {
            "baseline": baseline,
            "seen": self.seen,
            "skipped": self.skipped,
            "unknowns": unknowns,
        }
        return {"model": self.model, **vars(self.score), **extra}


def score(
    logits: Array, truth: Array, classes: tuple[str, ...], calibrated: Array | None = None
) -> Score:
    """Score `(N, C)` logits against `(N,)` class indices.

    `calibrated` are the logits after calibration; None if there is none. Classes without a clip are
    left out of `per_class`.
    """
    calibrated = logits if calibrated is None else calibrated
    n = len(truth)
    predicted = calibrated.argmax(1)
    right = predicted == truth
    every = range(len(classes))
    precision, recall, _, counts = precision_recall_fscore_support(
        truth, predicted, labels=every, zero_division=0
    )
    per_class = {
        name: {
            "n": int(counts[index]),
            "correct": int(right[truth == index].sum()),
            "accuracy": float(recall[index]),  # the name that earlier versions gave to the recall
            "precision": float(precision[index]),
            "recall": float(recall[index]),
        }
        for index, name in enumerate(classes)
        if counts[index]
    }
    confusion = confusion_matrix(truth, predicted, labels=every)
    by_chance = p_of_either(p_of_accuracy(confusion), p_of_classes(confusion))
    return Score(
        n=n,
        accuracy=float(right.mean()),
        interval=interval(int(right.sum()), n),
        loss=float(losses(calibrated, truth).mean()),
        per_class=per_class,
        confusion=confusion.tolist(),
        calibration_error=(
            calibration_error(logits, truth),
            calibration_error(calibrated, truth),
        ),
        chance=float(counts.max() / n),
        beats_chance=by_chance < BY_CHANCE,
    )


def interval(correct: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    low, high = binomtest(correct, n).proportion_ci(method="wilson")
    return float(low), float(high)


def calibration_error(logits: Array, truth: Array) -> float:
    """The calibration error of `(N, C)` logits.

    By how much the probability of the predicted class differs from the share of right predictions,
    on average over 15 bins.
    """
    probabilities = torch.from_numpy(logits).softmax(1)
    return float(
        multiclass_calibration_error(
            probabilities, torch.from_numpy(truth), logits.shape[1], n_bins=15
        )
    )


def evaluate(
    root: Path,
    classifier: Classifier,
    unknown: Path | None = None,
    cache: Cache | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """Score a model on class folders.

    Args:
        root: the class folders.
        classifier: the model.
        unknown: class folders of what the model should not know.
        cache: where features are kept.
        progress: called with the clips read, and of how many.

    Raises:
        VidwatchError: no clips, a folder in `root` that is none of the model's classes, or one in
            `unknown` that is.
    """
    clips = find_clips(root)
    if strange := sorted(set(class_names(clips)) - set(classifier.classes)):
        raise VidwatchError(
            f"{root}: model {classifier.name!r} does not know the classes {', '.join(strange)}; "
            f"it knows {', '.join(classifier.classes)}"
        )
    found = extract(clips, classifier, cache, progress)
    truth = np.array([classifier.classes.index(clip.label) for clip in found.clips])
    trained_on = {clip.sha256 for clip in classifier.manifest.trained_on}
    features = found.tensor()
    logits = classifier.logits(features)
    skipped = found.skipped
    unknowns = None
    if unknown:
        unknowns, skipped_too = _score_unknown(unknown, classifier, features, cache, progress)
        skipped = skipped | skipped_too
    return Evaluation(
        model=classifier.name,
        score=score(
            logits,
            truth,
            classifier.classes,
            classifier.manifest.calibration.calibrated(logits),
        ),
        baseline=score(classifier.baseline_logits(features), truth, classifier.classes),
        seen=sum(clip.sha256 in trained_on for clip in found.clips),
        skipped=skipped,
        unknowns=unknowns,
    )


def _score_unknown(
    root: Path, classifier: Classifier, known: Tensor, cache: Cache | None, progress: Progress
) -> tuple[Unknowns, dict[str, str]]:
    """`known` are the features of clips of known classes, `(N, T, F)`."""
    manifest = classifier.manifest
    if manifest.familiarity is None and manifest.unknown_below is None:
        raise VidwatchError(
            f"model {classifier.name!r} cannot say which clips are unknown; train it again"
        )
    clips = find_clips(root)
    if known_after_all := sorted(set(class_names(clips)) & set(classifier.classes)):
        raise VidwatchError(
            f"{root}: model {classifier.name!r} knows {', '.join(known_after_all)}; "
            "take it out of there"
        )
    found = extract(clips, classifier, cache, progress)
    unknown = found.tensor()
    scores = []
    are_known = []
    for features in (known, unknown):
        logits = classifier.logits(features)
        familiar = classifier.familiar(features, logits)
        scores.append(familiar.scores)
        are_known.append(familiar.known)
    truth = np.repeat([1, 0], [len(known), len(unknown)])
    recognised = ~are_known[1]
    unknowns = Unknowns(
        n=len(recognised),
        told=float(recognised.mean()),
        interval=interval(int(recognised.sum()), len(recognised)),
        known_kept=float(are_known[0].mean()),
        auroc=float(roc_auc_score(truth, np.concatenate(scores))),
    )
    return unknowns, found.skipped


def figures(model: Score, baseline: Score, method: str) -> Mapping[str, Any]:
    """What a manifest keeps of a measurement; `method` says how it was made."""
    return {
        "method": method,
        "n": model.n,
        "accuracy": model.accuracy,
        "interval_95": model.interval,
        "loss": model.loss,
        "chance": model.chance,
        "beats_chance": model.beats_chance,
        "calibration_error": model.calibration_error,
        "baseline_accuracy": baseline.accuracy,
        "baseline_interval_95": baseline.interval,
        "baseline_loss": baseline.loss,
    }
