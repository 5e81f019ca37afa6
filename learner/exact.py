"""Exact tests for few clips, by adding up the probabilities of all possible counts.

Statistics alone.
"""

from functools import lru_cache
from math import inf, sqrt
from typing import Any

import numpy as np
from scipy.special import betainc, betaincc, gammaln, xlog1py, xlogy

Array = np.ndarray[Any, Any]

LARGE = 500
"""For more clips the normal distribution is near enough, and adding up would take too long."""


def tango_variance(gained: Any, lost: Any, null: float) -> Any:
    """`n` times the variance of the difference of two accuracies, if it truly is `null`.

    With p and q the shares of gains and losses, and d the difference under `null`, Tango's share of
    losses under `null` is the larger root of 2 x^2 + b x + c = 0, where b = (2 - p + q) d - p - q
    and c = -q d (1 - d). The variance is then 2 x + d (1 - d). Works on numbers and on arrays.
    """
    b = (2 - gained + lost) * null - gained - lost
    c = -lost * null * (1 - null)
    # abs: the difference is never negative but for rounding.
    return (abs(b * b - 8 * c) ** 0.5 - b) / 2 + null * (1 - null)


@lru_cache(maxsize=100_000)
def largest_probability(n: int, z: float, null: float) -> float:
    """How probable a score of at least `z` is at most, if the difference truly is `null`.

    The score is Tango's, of `n` independent clips. It depends on how often the two models differ,
    which nobody knows: the largest probability over all such shares counts, so the test holds its
    level exactly. This is the unconditional exact test of Suissa and Shuster (1991, Biometrics 47,
    361-372) for no difference, and of Hsueh, Liu and Chen (2001, Biometrics 57, 478-483) for a
    margin. The latter show that a difference further below `null` makes it less probable still.

    Args:
        n: how many clips; at least 1.
        z: the score.
        null: the difference of the accuracies, from -1 to 0.
    """
    losses = _most_losses(n, z, null)
    # The probability changes over steps of about 1 / sqrt(n) in the root of the share.
    end = sqrt((1 + null) / 2)
    step = 0.2 / sqrt(n)
    roots = np.linspace(0, end, int(end / step) + 3)
    found = [_probability(float(root) ** 2, losses, null) for root in roots]
    best = float(roots[int(np.argmax(found))])
    near = np.linspace(max(0.0, best - step), min(end, best + step), 21)
    largest = max(*found, *(_probability(float(root) ** 2, losses, null) for root in near))
    return min(1.0, 1.001 * largest)  # between two steps it may be a little larger


def _probability(gained: float, most_losses: Array, null: float) -> float:
    """How probable it is to have at most `most_losses`, by the number of gains, of `n` clips."""
    n = len(most_losses) - 1
    # Further than 9 standard deviations from the mean, counts add nothing.
    around = 9 * sqrt(n * gained * (1 - gained)) + 9
    first = max(0, int(n * gained - around))
    gains = np.arange(first, min(n, int(n * gained + around)) + 1)
    others = n - gains
    losses = most_losses[gains]
    choose = gammaln(n + 1) - gammaln(gains + 1) - gammaln(others + 1)
    of_gains = np.exp(choose + xlogy(gains, gained) + xlog1py(others, -gained))
    lost = min(1.0, (gained - null) / (1 - gained))
    is_some = (losses >= 0) & (losses < others)
    few_losses = np.where(losses >= others, 1.0, 0.0)
    few_losses[is_some] = betaincc(losses[is_some] + 1.0, (others - losses)[is_some], lost)
    return float((of_gains * few_losses).sum())


def _most_losses(n: int, z: float, null: float) -> Array:
    """For 0 to `n` gains: the most losses with which the score is at least `z`; -1 if none."""
    gains = np.arange(n + 1)
    reached = np.full(n + 1, -1)
    missed = n - gains + 1
    while (unknown := missed - reached > 1).any():
        middle = (reached + missed) // 2
        is_reached = _scores(gains, middle, n, null) >= z - 1e-9
        reached = np.where(unknown & is_reached, middle, reached)
        missed = np.where(unknown & ~is_reached, middle, missed)
    return reached


def _scores(gains: Array, losses: Array, n: int, null: float) -> Array:
    above = (gains - losses) / n - null
    variance = tango_variance(gains / n, losses / n, null)
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = above * np.sqrt(n / np.maximum(variance, 0))
    return np.where(variance > 0, scores, np.where(above > 0, inf, np.where(above < 0, -inf, 0)))


def at_least(right: float, n: float, share: float) -> float:
    """How probable at least `right` of `n` are, if each is right with probability `share`.

    The binomial distribution's tail. Between whole numbers, as of clips that are worth less because
    they are alike, it is interpolated by the incomplete beta function.
    """
    if right <= 0:
        return 1.0
    return float(betainc(right, max(n - right, 0.0) + 1, share))
