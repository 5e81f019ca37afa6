"""How good a model is: accuracy with its interval, loss, classes, calibration, unknowns, and its baseline."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support, roc_auc_score
from torchmetrics.functional.classification import multiclass_calibration_error

from learner.cache import Cache
from learner.classifier import Classifier
from learner.dataset import Progress, class_names, extract, find_clips, silent
from learner.errors import VidwatchError

Array = np.ndarray[Any, Any]

KNOWN_KEPT = 0.95


@dataclass(frozen=True)
class Score:
    """`interval` is Wilson's, at 95 %; `loss` the mean cross-entropy in nats; `confusion` rows are the true classes.

    `calibration_error` is by how much the probability of the answer is off on average, before the temperature and
    after it (15 bins; Guo et al., 2017).
    """

    n: int
    accuracy: float
    interval: tuple[float, float]
    loss: float
    per_class: dict[str, dict[str, float]]
    confusion: list[list[int]]
    calibration_error: tuple[float, float]


@dataclass(frozen=True)
class Unknowns:
    """How well clips of no known class are told: `told` is the share of these `n` that the threshold tells.

    `known_kept` is the share of the known clips that it leaves alone, `auroc` what can be had at any threshold.
    """

    n: int
    told: float
    interval: tuple[float, float]
    known_kept: float
    auroc: float


@dataclass(frozen=True)
class Evaluation:
    """A model's score and its baseline's on the same clips; `seen` of them it was trained on, which flatters."""

    model: str
    score: Score
    baseline: Score
    seen: int
    skipped: dict[str, str]
    unknowns: Unknowns | None = None

    def to_json(self) -> dict[str, Any]:
        """The score's figures on top, the baseline's three beside them."""
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
    logits: Array, truth: Array, classes: tuple[str, ...], temperature: float | Array = 1.0
) -> Score:
    """Score `(N, C)` logits against `(N,)` class indices; classes without a clip are left out of `per_class`.

    `temperature` is one for all clips, or `(N, 1)`.
    """
    n, answers, every = len(truth), logits.argmax(1), range(len(classes))
    right = answers == truth
    precision, recall, _, counts = precision_recall_fscore_support(
        truth, answers, labels=every, zero_division=0
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
    loss = float(-log_softmax(logits.astype(np.float64), axis=1)[np.arange(n), truth].mean())
    confusion = confusion_matrix(truth, answers, labels=every).tolist()
    off = calibration_error(logits, truth), calibration_error(logits / temperature, truth)
    return Score(
        n, float(right.mean()), interval(int(right.sum()), n), loss, per_class, confusion, off
    )


def interval(correct: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    low, high = binomtest(correct, n).proportion_ci(method="wilson")
    return float(low), float(high)


def calibration_error(logits: Array, truth: Array) -> float:
    """By how much the probability of the answer differs from the share of right answers, on average over 15 bins."""
    probabilities = torch.from_numpy(logits).softmax(1)
    return float(
        multiclass_calibration_error(
            probabilities, torch.from_numpy(truth), logits.shape[1], n_bins=15
        )
    )


def fit_temperature(logits: Array, truth: Array) -> float:
    """What the logits have to be divided by for the likeliest probabilities (Guo et al., 2017).

    Targets are smoothed by one clip in all, as Platt did (1999): else few clips, all answered right, would ask for
    probabilities of 1.
    """
    count, classes = logits.shape
    targets = np.full(logits.shape, 1 / (count + 2) / classes)
    targets[np.arange(count), truth] += 1 - 1 / (count + 2)

    def loss(log_temperature: float) -> float:
        return float(
            -(
                targets * log_softmax(logits.astype(np.float64) / np.exp(log_temperature), axis=1)
            ).sum()
        )

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))


def energies(logits: Array) -> Array:
    """`(N, C)` to `(N,)`: the higher, the more like clips of the known classes (Liu et al., 2020, negated)."""
    return np.asarray(logsumexp(logits.astype(np.float64), axis=1))


def fit_threshold(logits: Array) -> float:
    """The energy under which a clip counts as of no known class: 95 % of the known ones lie above it."""
    return float(np.quantile(energies(logits), 1 - KNOWN_KEPT))


def evaluate(
    root: Path,
    classifier: Classifier,
    unknown: Path | None = None,
    cache: Cache | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """Score `classifier` on the class folders of `root`; `unknown` has class folders of what it should not know.

    Raises:
        VidwatchError: no clips, a folder that is none of the model's classes, or one in `unknown` that is.
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
    features, temperature = found.tensor(), classifier.manifest.temperature
    logits = classifier.logits(features)
    unknowns, unread = (
        _tell_unknown(unknown, classifier, logits, cache, progress) if unknown else (None, {})
    )
    return Evaluation(
        classifier.name,
        score(logits, truth, classifier.classes, temperature),
        score(classifier.baseline_logits(features), truth, classifier.classes),
        sum(clip.sha256 in trained_on for clip in found.clips),
        found.skipped | unread,
        unknowns,
    )


def _tell_unknown(
    root: Path, classifier: Classifier, known: Array, cache: Cache | None, progress: Progress
) -> tuple[Unknowns, dict[str, str]]:
    threshold = classifier.manifest.unknown_below
    if threshold is None:
        raise VidwatchError(
            f"model {classifier.name!r} has no threshold for unknown clips; train it again"
        )
    clips = find_clips(root)
    if known_after_all := sorted(set(class_names(clips)) & set(classifier.classes)):
        raise VidwatchError(
            f"{root}: model {classifier.name!r} knows {', '.join(known_after_all)}; take it out of there"
        )
    found = extract(clips, classifier, cache, progress)
    strange = energies(classifier.logits(found.tensor()))
    kept, told = energies(known) >= threshold, strange < threshold
    both = np.concatenate([energies(known), strange])
    auroc = roc_auc_score([1] * len(known) + [0] * len(strange), both)
    share = interval(int(told.sum()), len(told))
    return Unknowns(
        len(told), float(told.mean()), share, float(kept.mean()), float(auroc)
    ), found.skipped


def figures(model: Score, baseline: Score, method: str) -> Mapping[str, Any]:
    """What a manifest keeps of a measurement."""
    return {
        "method": method,
        "n": model.n,
        "accuracy": model.accuracy,
        "interval_95": model.interval,
        "loss": model.loss,
        "calibration_error": model.calibration_error,
        "baseline_accuracy": baseline.accuracy,
        "baseline_interval_95": baseline.interval,
        "baseline_loss": baseline.loss,
    }
