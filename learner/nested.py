"""Linear heads of which the settings are chosen by cross-validation, within each of its folds.

A choice that was made on the clips that judge flatters. So the settings of each model are chosen by
folds of its own training clips alone: nested cross-validation (Varma and Simon, "Bias in error
estimation when using cross-validation for model selection", 2006).
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from learner.linear import Linear, Standard, Table, coordinates, fit, log_shares, path
from learner.motion import DIRECTIONS
from learner.pooling import ORDER_FREE, Block, Statistics

Array = np.ndarray[Any, Any]
Weights = dict[Block, float]

# Times the mean squared length of a clip's standardised statistics, which is 1 for each part.
STRENGTHS = (100.0, 1000.0, 10_000.0, 100_000.0)
# If nothing can be chosen, since all classes but one have one clip only.
USUAL_STRENGTH = 10_000.0
INNER_FOLDS = 3
# Of the loss: settings differ by more.
TOLERANCE = 1e-4
# How much motion counts beside appearance. More than little harms where it tells nothing (3 points
# on UCF101's ten classes), and little is not enough where it tells all.
MOTION_WEIGHTS = (0.2, 1.0, 4.0)
# Settings are chosen on so many clips at most.
CHOOSING_CLIPS = 400


@dataclass(frozen=True)
class Settings:
    """What is chosen: how much each block of statistics counts, and how much the clips count."""

    weights: Weights
    strength: float


def candidates(statistics: Statistics) -> tuple[Weights, ...]:
    """Weights that compete, the simplest first: that of the order-free statistics alone."""
    with_change = dict.fromkeys((*ORDER_FREE, "change"), 1.0)
    if not statistics.motion:
        return dict.fromkeys(ORDER_FREE, 1.0), with_change
    with_motion = [{**with_change, "motion": weight} for weight in MOTION_WEIGHTS]
    return dict.fromkeys(ORDER_FREE, 1.0), with_change, *with_motion


def gains_of(statistics: Statistics, weights: Weights) -> Array:
    """`(S,)` float32: what each standardised statistic is multiplied by.

    With equal weights, what is in the frames and how it moves have the same total variance, however
    many statistics they have. Half of that of the motion is that of its directions.
    """
    gains = np.zeros(statistics.width, np.float32)
    slices = statistics.slices
    appearance = [slices[block] for block in weights if block != "motion"]
    width = sum(place.stop - place.start for place in appearance)
    for place in appearance:
        gains[place] = width**-0.5
    if "motion" in weights:
        first = slices["motion"].start
        for part in (slice(first, first + DIRECTIONS), slice(first + DIRECTIONS, None)):
            gains[part] = weights["motion"] * (2 * max(1, gains[part].size)) ** -0.5
    return gains


def fit_best(
    statistics: Statistics, values: Table, truth: Array, groups: Array, classes: int
) -> tuple[Linear, Linear]:
    """The linear head of `(N, S)` statistics, and the one that knows nothing of the frames' order.

    The settings of both are chosen on the same clips.

    Args:
        statistics: what the columns of `values` are.
        values: float32, or half precision where they are many.
        truth: `(N,)` class indices.
        groups: `(N,)` names.
        classes: how many there are.
    """
    best, order_free = choose(statistics, values, truth, groups, classes)
    head, baseline = (
        fit(values, truth, classes, gains_of(statistics, settings.weights), settings.strength)
        for settings in (best, order_free)
    )
    return head, baseline.first(statistics.slices[ORDER_FREE[-1]].stop)


def choose(
    statistics: Statistics, values: Table, truth: Array, groups: Array, classes: int
) -> tuple[Settings, Settings]:
    """The settings with the lowest loss on clips of other groups: of all, and of the simplest."""
    some = _some(truth, groups, classes)
    few = values[some]
    truth = truth[some]
    sets = candidates(statistics)
    losses = np.zeros((len(sets), len(STRENGTHS)))
    for known, held_out in _inner_folds(truth, groups[some]):
        products = _Products.of(statistics, few, known, held_out)
        for row, weights in enumerate(sets):
            learned, judged = coordinates(*products.weighted(gains_of(statistics, weights)))
            fits = path(learned, truth[known], classes, STRENGTHS, TOLERANCE)
            for column, (weight, bias) in enumerate(fits):
                likelihood = log_shares(judged @ weight + bias)
                losses[row, column] -= likelihood[np.arange(len(judged)), truth[held_out]].sum()
    if not losses.any():
        return Settings(sets[1], USUAL_STRENGTH), Settings(sets[0], USUAL_STRENGTH)
    best = int(losses.argmin())
    order_free = Settings(sets[0], STRENGTHS[losses[0].argmin()])
    return Settings(sets[best // len(STRENGTHS)], STRENGTHS[best % len(STRENGTHS)]), order_free


@dataclass(frozen=True)
class _Products:
    """Products of standardised clips, part of the statistics by part: weights change no more."""

    parts: list[slice]
    grams: list[Array]
    """`(N, N)` each."""
    crosses: list[Array]
    """`(M, N)` each."""

    @classmethod
    def of(cls, statistics: Statistics, values: Array, known: Array, held_out: Array) -> Self:
        """Of `(N, S)` statistics of all clips, and positions in them."""
        standard = Standard.of(values[known])
        every = np.ones(statistics.width, np.float32)
        learned = standard.scaled(values[known], every)
        judged = standard.scaled(values[held_out], every)
        parts = _parts(statistics)
        grams = [learned[:, part] @ learned[:, part].T for part in parts]
        crosses = [judged[:, part] @ learned[:, part].T for part in parts]
        return cls(parts, grams, crosses)

    def weighted(self, gains: Array) -> tuple[Array, Array]:
        """Their sums, each part times the square of its gain."""
        squares = [float(gains[part.start]) ** 2 for part in self.parts]
        gram = sum(square * one for square, one in zip(squares, self.grams, strict=True))
        cross = sum(square * one for square, one in zip(squares, self.crosses, strict=True))
        return np.asarray(gram), np.asarray(cross)


def _parts(statistics: Statistics) -> list[slice]:
    """The parts of the statistics that have one gain each."""
    slices = statistics.slices
    parts = [place for block, place in slices.items() if block != "motion"]
    if statistics.motion:
        first = slices["motion"].start
        middle = min(first + DIRECTIONS, statistics.width)
        parts += [slice(first, middle), slice(middle, statistics.width)]
    return [part for part in parts if part.stop > part.start]


def _some(truth: Array, groups: Array, classes: int) -> Array:
    """Positions of clips that are enough to choose by: of each class as many as of the others.

    They are of whole groups, as far as that is possible, and all clips of a class that has few.
    """
    if len(groups) <= CHOOSING_CLIPS:
        return np.arange(len(groups))
    names, members = np.unique(groups, return_inverse=True)
    place = np.random.default_rng(0).permutation(len(names))[members]
    quota = -(-CHOOSING_CLIPS // classes)
    chosen = []
    for label in np.unique(truth):
        of_class = np.flatnonzero(truth == label)
        chosen.append(of_class[np.argsort(place[of_class], kind="stable")[:quota]])
    return np.sort(np.concatenate(chosen))


def _inner_folds(truth: Array, groups: Array) -> Iterator[tuple[Array, Array]]:
    """By groups, or by clips if no class has two groups: that is enough to compare settings.

    A class that has one group only is never held out, and so is a clip that would be the last one
    of its class.
    """
    labels = np.unique(truth)
    for units in (groups, np.arange(len(truth))):
        can_judge = [label for label in labels if len(np.unique(units[truth == label])) >= 2]
        judging = np.flatnonzero(np.isin(truth, can_judge))
        if len(can_judge) >= 2:
            yield from _folds_of(truth, units, judging)
            return


def _folds_of(truth: Array, units: Array, judging: Array) -> Iterator[tuple[Array, Array]]:
    most = np.unique(truth[judging], return_counts=True)[1].max()
    parts = min(INNER_FOLDS, len(np.unique(units[judging])), most)
    splitter = StratifiedGroupKFold(parts, shuffle=True, random_state=0)
    everything = np.arange(len(truth))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class has fewer clips than there are folds
        folds = list(splitter.split(truth[judging], truth[judging], units[judging]))
    for _, some in folds:
        known = np.setdiff1d(everything, judging[some])
        held_out = judging[some][np.isin(truth[judging[some]], truth[known])]
        if len(held_out):
            yield known, held_out
