"""Multinomial logistic regression with an L2 penalty, made for few clips with many statistics.

It is convex: no seed, no epochs, no learning rate. Statistics are standardised by the training
clips. Of the directions in the space of the statistics, those that the training clips span are
enough (the representer theorem; Kimeldorf and Wahba, 1971), so a fit takes as many numbers a clip
as there are clips. If clips are many, those that some of them span have to be enough (Williams and
Seeger, "Using the Nyström method to speed up kernel machines", 2001).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import eigh
from scipy.optimize import minimize

Array = np.ndarray[Any, Any]

SMALLEST_STD = 0.01
# So many clips span the space of a fit.
LANDMARKS = 1000
# So many clips at a time are made float32.
CHUNK = 1024
# The smallest share of the largest variance that a direction must have: below is rounding.
SMALLEST_VARIANCE = 1e-6
MOST_ITERATIONS = 200


@dataclass(frozen=True)
class Rows:
    """Some rows of an array `(M, S)`, which are copied only as far as they are read."""

    every: Array
    chosen: Array
    """`(N,)` positions."""

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, place: slice | Array) -> Array:
        return np.asarray(self.every[self.chosen[place]])

    @property
    def shape(self) -> tuple[int, int]:
        """`(N, S)`."""
        return len(self.chosen), self.every.shape[1]

    def first(self, count: int) -> "Rows":
        """The first columns alone."""
        return Rows(self.every[:, :count], self.chosen)


Table = Array | Rows


@dataclass(frozen=True)
class Linear:
    """A fitted model: logits are `(x - mean) / std @ weight + bias`."""

    mean: Array
    """`(S,)` float32."""
    std: Array
    """`(S,)` float32."""
    weight: Array
    """`(S, C)` float32."""
    bias: Array
    """`(C,)` float32."""

    def logits(self, statistics: Table) -> Array:
        """`(N, S)` to `(N, C)` float32."""
        scaled = self.weight / self.std[:, None]
        offset = self.bias - self.mean @ scaled
        return np.concatenate(
            [part.astype(np.float32) @ scaled + offset for part in chunks(statistics)]
        )

    def first(self, count: int) -> "Linear":
        """Of the first statistics alone."""
        return Linear(self.mean[:count], self.std[:count], self.weight[:count], self.bias)

    def of_signs(self, signs: Array) -> "Linear":
        """What gives the logits of `x * signs` for x; `(S,)`, 1 or -1 each."""
        return Linear(self.mean * signs, self.std, self.weight * signs[:, None], self.bias)

    def over(self, temperature: float) -> "Linear":
        """With logits divided by a temperature."""
        return Linear(self.mean, self.std, self.weight / temperature, self.bias / temperature)

    def rounded(self) -> "Linear":
        """As a checkpoint stores it, in half precision."""
        return Linear(
            *(value.astype(np.float16).astype(np.float32) for value in vars(self).values())
        )


@dataclass(frozen=True)
class Standard:
    """Mean and standard deviation of training clips, `(S,)` float32 each."""

    mean: Array
    std: Array

    @classmethod
    def of(cls, statistics: Table) -> "Standard":
        """Of `(N, S)` statistics.

        A statistic that hardly ever differs would become huge in the first clip in which it does:
        the standard deviation counts as at least 0.01.
        """
        total = np.zeros(statistics.shape[1])
        squares = np.zeros(statistics.shape[1])
        for part in chunks(statistics):
            exact = part.astype(np.float64)
            total += exact.sum(0)
            squares += np.square(exact).sum(0)
        mean = total / len(statistics)
        variance = np.maximum(squares / len(statistics) - np.square(mean), 0)
        std = np.maximum(np.sqrt(variance), SMALLEST_STD)
        return cls(mean.astype(np.float32), std.astype(np.float32))

    def scaled(self, statistics: Array, gains: Array) -> Array:
        """`(N, S)` to standardised float32, each one times its gain; those without are left out."""
        used = gains > 0
        return (statistics[:, used].astype(np.float32) - self.mean[used]) * (
            gains[used] / self.std[used]
        )


@dataclass(frozen=True)
class Axes:
    """Directions that clips span, with variance 1 over these clips times their number."""

    standard: Standard
    gains: Array
    """`(S,)`; a statistic with gain 0 is left out."""
    directions: Array
    """`(used, R)` float32."""

    @classmethod
    def spanned_by(cls, statistics: Table, gains: Array) -> "Axes":
        """By `(N, S)` statistics, or by some of them if they are many, evenly spread."""
        standard = Standard.of(statistics)
        step = max(1, -(-len(statistics) // LANDMARKS))
        landmarks = standard.scaled(statistics[::step], gains)
        spanned = _spanned(landmarks @ landmarks.T)
        if spanned is None:
            return cls(standard, gains, np.zeros((landmarks.shape[1], 1), np.float32))
        lengths, axes = spanned
        return cls(standard, gains, (landmarks.T @ axes / lengths).astype(np.float32))

    def of(self, statistics: Table) -> Array:
        """`(N, S)` statistics to `(N, R)` float32 coordinates."""
        found = np.empty((len(statistics), self.directions.shape[1]), np.float32)
        for part, into in zip(chunks(statistics), chunks(found), strict=True):
            into[:] = self.standard.scaled(part, self.gains) @ self.directions
        return found

    def linear(self, weight: Array, bias: Array) -> Linear:
        """The model of `(R, C)` weights of the coordinates."""
        full = np.zeros((len(self.gains), weight.shape[1]), np.float32)
        used = self.gains > 0
        full[used] = self.gains[used, None] * (self.directions @ weight)
        return Linear(self.standard.mean, self.standard.std, full, bias.astype(np.float32))


def fit(statistics: Table, truth: Array, classes: int, gains: Array, strength: float) -> Linear:
    """The regression of `(N,)` class indices on `(N, S)` statistics.

    Args:
        statistics: float32, or half precision where they are many.
        truth: class indices.
        classes: how many there are.
        gains: `(S,)`; see `gains_of`.
        strength: how much the clips count against the penalty: C of Fan et al. (LIBLINEAR, 2008).
    """
    axes = Axes.spanned_by(statistics, gains)
    ((weight, bias),) = path(axes.of(statistics), truth, classes, [strength])
    return axes.linear(weight, bias)


def path(
    coordinates: Array,
    truth: Array,
    classes: int,
    strengths: Sequence[float],
    tolerance: float = 1e-7,
) -> list[tuple[Array, Array]]:
    """Weights `(R, C)` and bias `(C,)` for each strength: each fit begins where the last ended.

    By L-BFGS (Liu and Nocedal, 1989), until a step lowers the loss by less than `tolerance` of it.
    """
    targets = np.eye(classes, dtype=np.float32)[truth]
    width = coordinates.shape[1]
    at = np.zeros((width + 1, classes))
    at[-1] = np.log(np.maximum(targets.mean(0), 0.5 / len(truth)))
    found = []
    for strength in strengths:

        def loss(flat: Array, strength: float = strength) -> tuple[float, Array]:
            weights = flat.reshape(width + 1, classes)
            logits = coordinates @ weights[:-1].astype(np.float32) + weights[-1]
            likelihood = log_shares(logits)
            slope = (strength * (np.exp(likelihood) - targets)).astype(np.float32)
            gradient = np.empty_like(weights)
            gradient[:-1] = coordinates.T @ slope + weights[:-1]
            gradient[-1] = slope.sum(0)
            penalty = np.square(weights[:-1]).sum() / 2
            return float(penalty - strength * (targets * likelihood).sum()), gradient.ravel()

        options = {"maxiter": MOST_ITERATIONS, "ftol": tolerance, "gtol": 1e-3}
        at = minimize(loss, at.ravel(), jac=True, method="L-BFGS-B", options=options).x
        at = at.reshape(width + 1, classes)
        found.append((at[:-1].astype(np.float32), at[-1].astype(np.float32)))
    return found


def log_shares(logits: Array) -> Array:
    """The logarithm of the softmax: SciPy's takes three times as long on so few rows."""
    shifted = logits - logits.max(1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(1, keepdims=True))
    return np.asarray(shifted)


def coordinates(gram: Array, cross: Array) -> tuple[Array, Array]:
    """Where training clips `(N, R)` and others `(M, R)` stand, in the space of the training clips.

    Args:
        gram: `(N, N)`, the products of training clips.
        cross: `(M, N)`, the products of others with training clips.
    """
    spanned = _spanned(gram)
    if spanned is None:
        return np.zeros((len(gram), 1), np.float32), np.zeros((len(cross), 1), np.float32)
    lengths, axes = spanned
    return axes * lengths, cross @ axes / lengths


def _spanned(gram: Array) -> tuple[Array, Array] | None:
    """How far clips with the products `(N, N)` reach in each direction that they span.

    Lengths `(R,)` and directions `(N, R)`; None if all clips are alike.
    """
    variances, vectors = eigh(gram)
    kept = variances > SMALLEST_VARIANCE * max(variances[-1], 1e-12)
    return (np.sqrt(variances[kept]), vectors[:, kept]) if kept.any() else None


def chunks(rows: Table) -> Iterator[Array]:
    """Some rows at a time: what is made of them takes more memory than they do."""
    return (rows[first : first + CHUNK] for first in range(0, len(rows), CHUNK))
