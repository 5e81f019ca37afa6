"""How much a clip is like the clips that a model learned from: it may be of no known class.

Three figures of a clip are standardised, added, and compared with those of clips of known classes
that the model had not learned from. Each finds other clips than the other two:

- the energy of its logits (Liu et al., "Energy-based out-of-distribution detection", 2020);
- the cosine to the nearest training clip (as in Sun et al., "Out-of-distribution detection with
  deep nearest neighbors", 2022);
- the distance to the nearest class (Lee et al., "A simple unified framework for detecting
  out-of-distribution samples", 2018), with a covariance that is shrunk (Ledoit and Wolf, 2004).
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from scipy.special import logsumexp
from torch import Tensor

from learner.linear import Axes, Table, chunks

Array = np.ndarray[Any, Any]

AXES = 100
CLIPS_AN_AXIS = 3
PREFIX = "familiarity."
QUANTILES = 101
# Of the sums, in standard deviations: less is what clips have that are all alike.
LEAST_SPREAD = 1.0


class Familiar(NamedTuple):
    """How much B clips are like those of the known classes."""

    scores: Array
    """`(B,)`, without a scale: higher is more."""
    shares: Array | None
    """`(B,)`, from 0 to 1, as `Prediction.familiarity`; None in models of before."""
    known: Array
    """`(B,)`, whether they are like those of some class; true if that was not measured."""


@dataclass(frozen=True)
class Reference:
    """The training clips, as far as familiarity needs them."""

    offset: Array
    """`(S,)` float32: the mean of the statistics."""
    axes: Array
    """`(S, R)` float32: from statistics to the principal components of the training clips."""
    clips: Array
    """`(N, R)` int8: the training clips, in units of `step`."""
    step: Array
    """`(R,)` float32."""
    classes: Array
    """`(C, R)` float32: the mean of each class."""
    whitening: Array
    """`(R, R)` float32: after it, clips of one class differ by 1 in all directions."""

    @classmethod
    def of(cls, statistics: Table, truth: Array, classes: int, axes: int = AXES) -> Self:
        """Of `(N, S)` statistics of the training clips and `(N,)` class indices.

        At most `axes` principal components count: models that are compared have to have as many,
        since distances grow with their number.
        """
        from sklearn.covariance import ledoit_wolf  # slow to import, and only for training

        width = statistics.shape[1]
        spanned = Axes.spanned_by(statistics, np.full(width, width**-0.5, np.float32))
        kept = axes_for(len(statistics), axes)
        directions = spanned.directions[:, -kept:]
        onto = directions * (spanned.gains / spanned.standard.std)[:, None]
        places = np.concatenate(
            [_places(part, spanned.standard.mean, onto) for part in chunks(statistics)]
        )
        means = np.stack([places[truth == label].mean(0) for label in range(classes)])
        within, _ = ledoit_wolf(places - means[truth], assume_centered=True)
        # All clips of a class may be alike.
        least = max(1e-4 * np.trace(within) / len(within), 1e-9)
        inverse = np.linalg.inv(within + least * np.eye(len(within)))
        step = np.maximum(np.abs(places).max(0), 1e-6) / 127
        return cls(
            offset=spanned.standard.mean,
            axes=onto.astype(np.float32),
            clips=np.rint(places / step).astype(np.int8),
            step=step.astype(np.float32),
            classes=means.astype(np.float32),
            whitening=np.linalg.cholesky(inverse).astype(np.float32),
        )

    def figures(self, statistics: Table, logits: Array) -> Array:
        """`(N, S)` statistics and `(N, C)` logits to `(N, 3)`: the higher, the more familiar."""
        parts = [
            self._place_figures(_places(part, self.offset, self.axes))
            for part in chunks(statistics)
        ]
        return np.column_stack([energies(logits), np.concatenate(parts)])

    @cached_property
    def _known(self) -> Array:
        """`(N, R)`, the directions of the training clips."""
        return _directions(self.clips * self.step)

    def _place_figures(self, places: Array) -> Array:
        """`(N, R)` places to `(N, 2)`: how near the nearest clip and the nearest class are."""
        nearest = (_directions(places) @ self._known.T).max(1)
        from_classes = (places[:, None] - self.classes) @ self.whitening
        distance = np.sqrt(np.square(from_classes).sum(2).min(1))
        return np.column_stack([nearest, -distance])

    def rounded(self) -> Self:
        """As a checkpoint stores it: floats in half precision."""
        return type(self)(
            **{
                name: value.astype(np.float16).astype(np.float32) if name != "clips" else value
                for name, value in self._arrays().items()
            }
        )

    def _arrays(self) -> dict[str, Array]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def tensors(self) -> dict[str, Tensor]:
        """As a checkpoint keeps them."""
        return {PREFIX + name: torch.from_numpy(value) for name, value in self._arrays().items()}

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Tensor]) -> Self | None:
        """Those that `tensors` gave; None if there are none, as in models of before."""
        own = {name: value for name, value in tensors.items() if name.startswith(PREFIX)}
        if not own:
            return None
        return cls(**{name.removeprefix(PREFIX): value.numpy() for name, value in own.items()})


@dataclass(frozen=True)
class Scale:
    """Turns the figures of a clip into its familiarity.

    That is the share of clips of known classes that look stranger than this one, the clip itself
    counted: of known clips, 5 % are below 0.05 (conformal prediction; Vovk et al., 2005). Fewer
    than 19 known clips cannot show that any clip is strange.
    """

    means: tuple[float, ...]
    """Of each figure, over clips of known classes."""
    stds: tuple[float, ...]
    count: int
    """How many clips of known classes there were."""
    quantiles: tuple[float, ...]
    """Of the sum of the standardised figures, from the lowest to the highest."""

    @classmethod
    def of(cls, figures: Array) -> Self:
        """Of `(N, 3)` figures of clips of known classes, by models that had not seen them."""
        means = figures.mean(0)
        # Of clips that are all alike, the slightest difference would be strange.
        stds = np.maximum(figures.std(0), 1e-3 * np.abs(means) + 1e-6)
        sums = ((figures - means) / stds).sum(1)
        quantiles = np.quantile(sums, np.linspace(0, 1, QUANTILES))
        if quantiles[-1] - quantiles[0] < LEAST_SPREAD:
            quantiles = np.median(sums) + np.linspace(-0.5, 0.5, QUANTILES) * LEAST_SPREAD
        return cls(
            means=tuple(map(float, means)),
            stds=tuple(map(float, stds)),
            count=len(figures),
            quantiles=tuple(map(float, quantiles)),
        )

    def familiarity(self, figures: Array) -> Array:
        """`(N, 3)` figures to `(N,)`, from 0 to 1."""
        sums = self.scores(figures)
        below = np.interp(sums, self.quantiles, np.linspace(0, 1, len(self.quantiles)))
        return np.asarray((self.count * below + 1) / (self.count + 1))

    def scores(self, figures: Array) -> Array:
        """`(N, 3)` figures to `(N,)`: as familiarity, but without an end."""
        return np.asarray(((figures - np.array(self.means)) / np.array(self.stds)).sum(1))


def axes_for(clips: int, most: int = AXES) -> int:
    """How many principal components so many clips can say something of."""
    return max(1, min(most, clips // CLIPS_AN_AXIS))


def energies(logits: Array) -> Array:
    """`(N, C)` logits to `(N, 1)`: the higher, the more like clips of the known classes."""
    return np.asarray(logsumexp(logits.astype(np.float64), axis=1, keepdims=True))


def _places(statistics: Array, offset: Array, axes: Array) -> Array:
    return np.asarray((statistics.astype(np.float32) - offset) @ axes)


def _directions(places: Array) -> Array:
    lengths = np.linalg.norm(places, axis=1, keepdims=True)
    return np.asarray(places / np.maximum(lengths, 1e-12))
