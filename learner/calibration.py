"""From logits to probabilities that keep what they promise, and what may be left to a model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

Array = np.ndarray[Any, Any]

# Of the bias of each class, in nats: without a penalty a few clips would say too much.
BIAS_PENALTY = 1.0
AUTOMATIC_ROWS = 100


@dataclass(frozen=True)
class Calibration:
    """Calibrated logits are `logits / temperature + bias`."""

    temperature: float = 1.0
    """Guo et al., "On calibration of modern neural networks", 2017."""
    bias: tuple[float, ...] = ()
    """Of each class (Alexandari et al., "Maximum likelihood with bias-corrected calibration",
    2020).

    Empty if cross-validation did not find it better than the temperature alone.
    """

    def calibrated(self, logits: Array) -> Array:
        """`(N, C)` logits to `(N, C)` float64, of which the softmax are the probabilities."""
        scaled = logits.astype(np.float64) / self.temperature
        return scaled + np.array(self.bias) if self.bias else scaled

    @classmethod
    def fitted(cls, logits: Array, truth: Array, *, with_bias: bool = False) -> Self:
        """For the likeliest probabilities of `(N,)` class indices.

        Targets are smoothed by one clip in all, as Platt did (1999): else a few clips that are all
        predicted right would require probabilities of 1.
        """
        count, classes = logits.shape
        targets = np.full(logits.shape, 1 / (count + 2) / classes)
        targets[np.arange(count), truth] += 1 - 1 / (count + 2)
        exact = logits.astype(np.float64)

        def loss(values: Array) -> tuple[float, Array]:
            scale = np.exp(-values[0])
            biases = values[1:] if with_bias else 0.0
            likelihood = log_softmax(exact * scale + biases, axis=1)
            slope = np.exp(likelihood) - targets
            gradient = [-(slope * exact).sum() * scale]
            total = -(targets * likelihood).sum()
            if with_bias:
                gradient += list(slope.sum(0) + BIAS_PENALTY * values[1:])
                total += BIAS_PENALTY * np.square(values[1:]).sum() / 2
            return float(total), np.array(gradient)

        start = np.zeros(1 + classes * with_bias)
        bounds = [(-3.0, 3.0)] + [(None, None)] * (len(start) - 1)
        found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
        return cls(float(np.exp(found[0])), tuple(map(float, found[1:])))


def calibrate(logits: Array, truth: Array, folds: Sequence[Array]) -> tuple[Calibration, Array]:
    """The calibration, and the calibrated logits of each clip by one that was fitted without it.

    Biases are used if they lower the loss by more than its standard error.

    Args:
        logits: `(N, C)`, each row of a model that had not seen the clip.
        truth: `(N,)` class indices.
        folds: positions of the clips that were held out together.
    """
    plain = crossed(logits, truth, folds)
    biased = crossed(logits, truth, folds, with_bias=True)
    gain = losses(plain, truth) - losses(biased, truth)
    is_better = gain.mean() > gain.std() / np.sqrt(len(gain))
    calibration = Calibration.fitted(logits, truth, with_bias=bool(is_better))
    return calibration, biased if is_better else plain


def crossed(
    logits: Array, truth: Array, folds: Sequence[Array], *, with_bias: bool = False
) -> Array:
    """The logits of each clip, calibrated by the clips of the other folds; as in `calibrate`."""
    everything = np.arange(len(truth))
    found = logits.astype(np.float64)
    for held_out in folds:
        others = np.delete(everything, held_out)
        fitted = Calibration.fitted(logits[others], truth[others], with_bias=with_bias)
        found[held_out] = fitted.calibrated(logits[held_out])
    return found


def losses(logits: Array, truth: Array) -> Array:
    """`(N,)`: the cross-entropy of each clip, in nats."""
    likelihood = log_softmax(logits.astype(np.float64), axis=1)
    return np.asarray(-likelihood[np.arange(len(truth)), truth])


def automatic(calibrated: Array, truth: Array) -> list[list[float]]:
    """What may be left to the model, by thresholds of the probability.

    Args:
        calibrated: `(N, C)` logits of clips that the model had not seen.
        truth: `(N,)` class indices.

    Returns:
        Rows of a threshold, the share of the clips that reach it, and the share of these that are
        predicted wrong; by rising threshold.
    """
    probabilities = softmax(calibrated, axis=1)
    highest = probabilities.max(1)
    is_wrong = probabilities.argmax(1) != truth
    rows = []
    for threshold in np.unique(np.quantile(highest, np.linspace(0, 1, AUTOMATIC_ROWS + 1))):
        kept = highest >= threshold
        rows.append([float(threshold), float(kept.mean()), float(is_wrong[kept].mean())])
    return rows


def reliability(calibrated: Array, truth: Array, bins: int = 10) -> list[list[float]]:
    """Rows of the mean probability of the predicted class, the share that is right, and how many.

    A row for each of `bins` equal intervals of the probability that holds a clip.
    """
    probabilities = softmax(calibrated, axis=1)
    highest = probabilities.max(1)
    is_right = probabilities.argmax(1) == truth
    place = np.minimum((highest * bins).astype(int), bins - 1)
    return [
        [float(highest[place == row].mean()), float(is_right[place == row].mean()), int(n)]
        for row in range(bins)
        if (n := (place == row).sum())
    ]
